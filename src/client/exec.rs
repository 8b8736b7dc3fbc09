//! Exec plugins: named always, run only when asked. What they print is never shown.

use std::{
    fmt,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use kubereach_probes::Credentials;
use serde_json::{Value, json};

use super::{ExecPlugin, host, pem::decode_base64};
use crate::input::{InputError, InputErrors, io_text, quoted};

/// What is needed to run a kubeconfig's exec plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecCommand {
    /// The command: a name to look up on PATH, or a path that is already resolved against the kubeconfig's folder.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside the ones of this process.
    pub environment: Vec<(String, String)>,
    /// `client.authentication.k8s.io/v1` or `…/v1beta1`.
    pub api_version: String,
    /// Whether it may, must or must not talk to the user.
    pub interactive: Interactive,
    /// What its author says about installing it.
    pub install_hint: Option<String>,
    /// What it is told about the cluster, when it asks for that.
    pub cluster: Option<Value>,
    /// The kubeconfig that names it.
    pub kubeconfig: PathBuf,
}

/// An EKS cluster, as a kubeconfig names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EksIdentity {
    /// The cluster's name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The profile of the AWS configuration.
    pub profile: Option<String>,
}

/// Whether a plugin may talk to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interactive {
    /// It gets no terminal.
    Never,
    /// It gets the terminal where there is one.
    IfAvailable,
    /// It cannot run without a terminal.
    Always,
}

impl fmt::Debug for ExecCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may hold secrets.
        formatter.debug_struct("ExecCommand").field("command", &self.command).finish_non_exhaustive()
    }
}

impl ExecCommand {
    /// The plugin as the causes see it: whether it is there, and which service it asks for a token.
    /// `server` is the host of the API server, whose name may tell the region.
    #[must_use]
    pub fn describe(&self, server: &str, environment: &dyn Fn(&str) -> Option<String>) -> ExecPlugin {
        let path = self.variable("PATH").map(str::to_owned).or_else(|| environment("PATH")).unwrap_or_default();
        ExecPlugin {
            command: self.command.clone(),
            found: is_found(&self.command, &path),
            token_service: self.token_service(server, environment),
            token_service_reachable: None,
        }
    }

    /// The EKS cluster that it asks a token for, as its arguments name it.
    #[must_use]
    pub fn eks_cluster(&self, server: &str, environment: &dyn Fn(&str) -> Option<String>) -> Option<EksIdentity> {
        let command = Path::new(&self.command).file_name()?.to_str()?.trim_end_matches(".exe").to_ascii_lowercase();
        let name = match command.as_str() {
            "aws" => self.option("--cluster-name"),
            "aws-iam-authenticator" | "heptio-authenticator-aws" => {
                self.option("--cluster-id").or_else(|| self.option("-i"))
            }
            _ => None,
        }?;
        let region = self.aws_region(server, environment)?;
        let profile = self.option("--profile").or_else(|| self.variable("AWS_PROFILE")).map(str::to_owned);
        Some(EksIdentity { name: name.to_owned(), region, profile: profile.filter(|profile| !profile.is_empty()) })
    }

    /// By option, variable, or the endpoint's own name.
    fn aws_region(&self, server: &str, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        self.option("--region")
            .map(str::to_owned)
            .or_else(|| {
                ["AWS_REGION", "AWS_DEFAULT_REGION"]
                    .iter()
                    .find_map(|name| self.variable(name).map(str::to_owned).or_else(|| environment(name)))
            })
            .filter(|region| !region.is_empty())
            .or_else(|| host::recognise(server).region)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of `--name value` or `--name=value`.
    fn option(&self, name: &str) -> Option<&str> {
        self.arguments.iter().enumerate().find_map(|(index, argument)| {
            let rest = argument.strip_prefix(name)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => self.arguments.get(index + 1).map(String::as_str),
                None => None,
            }
        })
    }

    fn token_service(&self, server: &str, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let name = Path::new(&self.command).file_name()?.to_str()?.trim_end_matches(".exe").to_ascii_lowercase();
        let says = |word: &str| self.arguments.iter().any(|argument| argument == word);
        match name.as_str() {
            "aws" if !says("get-token") => None,
            "aws" | "aws-iam-authenticator" | "heptio-authenticator-aws" => {
                let region = self.aws_region(server, environment)?;
                let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                is_label(&region).then(|| format!("sts.{region}.{suffix}"))
            }
            "gke-gcloud-auth-plugin" | "gcloud" => Some("oauth2.googleapis.com".to_owned()),
            "kubelogin" | "kubectl-oidc_login" | "kubectl"
                if self.option("--oidc-issuer-url").is_some() && (name != "kubectl" || says("oidc-login")) =>
            {
                let issuer = url::Url::parse(self.option("--oidc-issuer-url")?).ok()?;
                issuer.host_str().map(str::to_owned)
            }
            "kubelogin" => {
                let cloud = self.option("--environment").or_else(|| self.option("-e")).unwrap_or_default();
                let service = match cloud.to_ascii_lowercase().as_str() {
                    "azureusgovernmentcloud" | "azureusgovernment" => "login.microsoftonline.us",
                    "azurechinacloud" => "login.chinacloudapi.cn",
                    _ => "login.microsoftonline.com",
                };
                Some(service.to_owned())
            }
            _ => None,
        }
    }
}

/// Runs the plugin, for at most 15 seconds and 1 MiB of output, and reads the credentials that it prints.
///
/// Blocks the thread. Its standard error goes to this process's; its output is never printed nor kept.
pub fn exec_credentials(exec: &ExecCommand) -> Result<Credentials, InputErrors> {
    exec_credentials_within(exec, LONGEST_RUN)
}

fn exec_credentials_within(exec: &ExecCommand, deadline: Duration) -> Result<Credentials, InputErrors> {
    let name = quoted(&exec.command);
    let failed = |message: String| InputError::new(message).in_file(&exec.kubeconfig);
    let terminal = std::io::stdin().is_terminal();
    if exec.interactive == Interactive::Always && !terminal {
        return Err(failed(format!("the exec plugin {name} needs a terminal, but there is none"))
            .help("run it by hand first, or leave out --auth")
            .into());
    }
    let interactive = terminal && exec.interactive != Interactive::Never;
    let mut info = json!({
        "apiVersion": exec.api_version,
        "kind": "ExecCredential",
        "spec": { "interactive": interactive },
    });
    if let Some(cluster) = &exec.cluster {
        info["spec"]["cluster"] = cluster.clone();
    }
    let mut child = Command::new(&exec.command)
        .args(&exec.arguments)
        .envs(exec.environment.iter().map(|(name, value)| (name, value)))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let error = failed(format!("cannot run the exec plugin {name}: {}", io_text(&error)));
            match &exec.install_hint {
                Some(hint) => error.help(hint.chars().filter(|c| !c.is_control()).take(400).collect::<String>()),
                None => error.help("install it, or leave out --auth"),
            }
        })?;
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // A grandchild may hold the pipe open: the reader is left behind when the time is over.
        std::thread::spawn(move || {
            let mut output = Vec::new();
            let _ = stdout.take(MOST_OUTPUT + 1).read_to_end(&mut output);
            let _ = sender.send(output);
        });
    }
    let end = Instant::now() + deadline;
    let output = receiver.recv_timeout(deadline).ok();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let (Some(output), Some(status)) = (output, status) else {
        let seconds = deadline.as_secs_f64();
        return Err(failed(format!("the exec plugin {name} did not finish within {seconds} s"))
            .help("its token service may be out of reach; run it by hand to see")
            .into());
    };
    if u64::try_from(output.len()).unwrap_or(u64::MAX) > MOST_OUTPUT {
        return Err(failed(format!("the exec plugin {name} printed more than 1 MiB")).into());
    }
    if !status.success() {
        return Err(failed(format!("the exec plugin {name} failed: {status}"))
            .help("run it by hand to see why")
            .into());
    }
    read_credential(&output, &exec.api_version)
        .map_err(|reason| failed(format!("the exec plugin {name} printed no usable credential: {reason}")).into())
}

/// Reads an `ExecCredential`. The reason never repeats a piece of it.
fn read_credential(output: &[u8], api_version: &str) -> Result<Credentials, String> {
    let credential: Value = serde_json::from_slice(output).map_err(|_| "it is not JSON".to_owned())?;
    if credential["kind"] != "ExecCredential" {
        return Err("its kind is not ExecCredential".to_owned());
    }
    if credential["apiVersion"] != api_version {
        return Err(format!("its apiVersion is not the kubeconfig's {}", quoted(api_version)));
    }
    let status = &credential["status"];
    let text = |key: &str| status[key].as_str().filter(|text| !text.is_empty());
    match (text("token"), text("clientCertificateData"), text("clientKeyData")) {
        (Some(token), ..) => Ok(Credentials::Bearer(token.to_owned())),
        (None, Some(certificate), Some(key)) => {
            Ok(Credentials::ClientCertificate(certificate.as_bytes().to_vec(), key.as_bytes().to_vec()))
        }
        (None, Some(_), None) | (None, None, Some(_)) => {
            Err("a client certificate needs both clientCertificateData and clientKeyData".to_owned())
        }
        (None, None, None) => Err("its status holds neither a token nor a client certificate".to_owned()),
    }
}

/// Whether a command exists as an executable file: on PATH when it has no separator, else where it says.
fn is_found(command: &str, path: &str) -> bool {
    if command.contains('/') {
        return is_executable(Path::new(command));
    }
    std::env::split_paths(path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .any(|folder| is_executable(&folder.join(command)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Base64 of PEM in a kubeconfig's `…-data`, as bytes.
pub(super) fn decode_data(text: &str) -> Result<Vec<u8>, String> {
    decode_base64(text)
}

const LONGEST_RUN: Duration = Duration::from_secs(15);
const MOST_OUTPUT: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn command(command: &str, arguments: &[&str]) -> ExecCommand {
        ExecCommand {
            command: command.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: Vec::new(),
            api_version: "client.authentication.k8s.io/v1".to_owned(),
            interactive: Interactive::Never,
            install_hint: None,
            cluster: None,
            kubeconfig: PathBuf::from("config"),
        }
    }

    fn shell(script: &str) -> ExecCommand {
        command("/bin/sh", &["-c", script])
    }

    #[test]
    fn token_services_are_guessed() {
        let nothing = |_: &str| None;
        let server = "x.gr7.eu-west-1.eks.amazonaws.com";
        for (exec, service) in [
            (command("aws", &["--region", "eu-north-1", "eks", "get-token"]), Some("sts.eu-north-1.amazonaws.com")),
            (command("aws", &["eks", "get-token", "--region=cn-north-1"]), Some("sts.cn-north-1.amazonaws.com.cn")),
            (command("/opt/bin/aws", &["eks", "get-token"]), Some("sts.eu-west-1.amazonaws.com")),
            (command("aws", &["s3", "ls"]), None),
            (command("kubelogin", &["get-token", "--login", "spn"]), Some("login.microsoftonline.com")),
            (
                command("kubelogin", &["get-token", "--environment", "AzureUSGovernmentCloud"]),
                Some("login.microsoftonline.us"),
            ),
            (
                command("kubectl", &["oidc-login", "get-token", "--oidc-issuer-url=https://id.example.com/x"]),
                Some("id.example.com"),
            ),
            (command("gke-gcloud-auth-plugin", &[]), Some("oauth2.googleapis.com")),
            (command("mine", &[]), None),
        ] {
            assert_eq!(exec.token_service(server, &nothing).as_deref(), service, "{exec:?} {:?}", exec.arguments);
        }
        let environment = |name: &str| (name == "AWS_REGION").then(|| "us-east-2".to_owned());
        let aws = command("aws", &["eks", "get-token"]);
        assert_eq!(aws.token_service(server, &environment).as_deref(), Some("sts.us-east-2.amazonaws.com"));
        assert_eq!(aws.token_service("10.0.0.1", &nothing), None);
    }

    #[test]
    fn commands_are_looked_up() {
        assert!(is_found("sh", "/nonexistent:/bin"));
        assert!(is_found("/bin/sh", ""));
        assert!(!is_found("sh", "/nonexistent"));
        assert!(!is_found("/etc/passwd", ""));
    }

    #[test]
    fn a_plugin_gives_a_token() {
        let script = r#"test "$1" = "" && case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 9;; esac
            printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"hunter2"}}'"#;
        let Credentials::Bearer(token) = exec_credentials(&shell(script)).unwrap() else { panic!() };
        assert_eq!(token, "hunter2");
    }

    #[test]
    fn a_plugin_that_fails_says_how_without_its_output() {
        for (script, part) in [
            ("echo hunter2; exit 3", "exit status: 3"),
            ("echo hunter2", "not JSON"),
            ("echo '{\"kind\":\"hunter2\"}'", "kind"),
            ("echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"hunter2\"}'", "apiVersion"),
            (
                "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\"}'",
                "neither a token",
            ),
            ("head -c 2000000 /dev/zero", "1 MiB"),
        ] {
            let message = exec_credentials(&shell(script)).unwrap_err().to_string();
            assert!(message.contains(part), "{script}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let mut missing = command("/nonexistent/plugin", &[]);
        missing.install_hint = Some("brew install plugin".to_owned());
        let message = exec_credentials(&missing).unwrap_err().to_string();
        assert!(message.contains("no such file") && message.contains("brew install"), "{message}");
    }

    #[test]
    fn a_plugin_that_hangs_is_ended() {
        let begin = Instant::now();
        let error = exec_credentials_within(&shell("sleep 30 & wait"), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("did not finish"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
