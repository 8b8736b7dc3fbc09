//! The network that the bench has to itself, and what stands in it.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
};

use kubereach::demo::servers::{
    ApiServer, AuthoritySpec, CertificateSpec, DnsAnswer, DnsServer, DnsView, LabCa, ServerSpec, serve,
};
use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// The healthy server's name.
pub(crate) const HOST: &str = "prod.figures.test";

/// Runs the bench again in network and mount namespaces of its own, which end with it.
pub(crate) fn enter(wanted: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    for tool in ["unshare", "ip", "mount"] {
        if find_tool(tool).is_none() {
            println!("figures: skipped: needs {tool}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut unshare = Command::new("unshare");
    unshare.env("PATH", tool_path());
    // The owner of one's own entry under /proc is the effective user.
    let root = fs::metadata("/proc/self").is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0);
    if !root {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--"]);
    let status = unshare.arg(env::current_exe()?).arg("inside").args(wanted).stdin(Stdio::null()).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A loopback with a DNS server and an API server, and beyond it silence.
pub(crate) struct World {
    folder: TempDir,
    /// In a process of its own, so that its processor time is not ours.
    servers: Child,
}

impl World {
    pub(crate) fn build() -> Result<Self, Box<dyn Error>> {
        let folder = TempDir::with_prefix("kubereach-figures-")?;
        let file = |name: &str| folder.path().join(name);
        // What leaves by one end arrives at the other, where nobody forwards it; without ARP it needs no neighbour.
        for line in [
            "link set lo up",
            "link add silence arp off type veth peer name void",
            "link set void up",
            "link set silence up",
            "address add 192.0.2.2/24 dev silence",
            "route add default dev silence",
        ] {
            run(Command::new("ip").args(line.split(' ')))?;
        }
        for (name, text) in [
            ("resolv.conf", "nameserver 127.0.0.1\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ] {
            fs::write(file(name), text)?;
            run(Command::new("mount").arg("--bind").arg(file(name)).arg(Path::new("/etc").join(name)))?;
        }
        let authority = LabCa::new("figures cluster CA")?;
        fs::write(file(CA), authority.certificate_pem())?;
        fs::write(file(KUBECONFIG), kubeconfig(&file(CA)))?;
        let description = Description {
            authority: AuthoritySpec {
                common_name: "figures cluster CA".to_owned(),
                key_pem: Some(authority.key_pem()),
                ..AuthoritySpec::default()
            },
            servers: servers(),
        };
        fs::write(file("servers.json"), serde_json::to_string(&description)?)?;
        let mut servers = Command::new(env::current_exe()?)
            .arg("serve")
            .arg(file("servers.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = servers.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() != READY {
            return Err(format!("the servers did not start: {}", line.trim()).into());
        }
        Ok(Self { folder, servers })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join(CA)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder().join(KUBECONFIG)
    }

    /// The built program, with nothing of this shell's environment but the kubeconfig.
    pub(crate) fn kubereach(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.env_clear().env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder()).args(arguments);
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It ends with the namespace in any case.
        let _ = self.servers.kill();
        let _ = self.servers.wait();
    }
}

#[derive(Serialize, Deserialize)]
struct Description {
    authority: AuthoritySpec,
    servers: Vec<ServerSpec>,
}

/// Serves what the file describes; says when every server listens, and never returns.
pub(crate) fn serve_for_ever(description: &Path) -> Result<(), Box<dyn Error>> {
    let description: Description = serde_json::from_slice(&fs::read(description)?)?;
    let authority = Arc::new(LabCa::from_spec(&description.authority)?);
    let authorities = BTreeMap::from([("prod".to_owned(), authority)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = serve(&authorities, &description.servers).await?;
        println!("{READY}");
        std::io::stdout().flush()?;
        running.wait().await;
        Ok(())
    })
}

fn servers() -> Vec<ServerSpec> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let certificate = CertificateSpec {
        names: vec![HOST.to_owned(), "kubernetes.default.svc".to_owned()],
        ..CertificateSpec::default()
    };
    let answer = |address: [u8; 4]| vec![DnsAnswer::addresses(vec![IpAddr::from(address)])];
    let names =
        BTreeMap::from([(HOST.to_owned(), answer([127, 0, 0, 1])), (SILENT_HOST.to_owned(), answer([10, 99, 0, 1]))]);
    vec![
        ServerSpec::Api(ApiServer::new(vec![loopback(443)], certificate)),
        ServerSpec::Dns(DnsServer { listen: vec![loopback(53)], views: vec![DnsView { names, ..DnsView::default() }] }),
    ]
}

fn kubeconfig(ca: &Path) -> String {
    let cluster = |name: &str, host: &str| {
        format!(
            "- name: {name}\n  cluster: {{ server: \"https://{host}\", certificate-authority: \"{}\" }}\n",
            ca.display()
        )
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n{}{}contexts:\n\
         - name: prod\n  context: {{ cluster: prod, user: someone }}\n\
         - name: silent\n  context: {{ cluster: silent, user: someone }}\n\
         users:\n- name: someone\n  user: {{}}\n",
        cluster("prod", HOST),
        cluster("silent", SILENT_HOST),
    )
}

pub(crate) fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.env("PATH", tool_path()).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// Why so many sockets cannot be open at once here, if they cannot.
pub(crate) fn too_few_descriptors(targets: u32) -> Option<String> {
    let wanted = u64::from(targets) + RESERVE;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    (hard < wanted).then(|| format!("needs a hard limit of {wanted} open files, and here it is {hard}"))
}

/// Where a tool is, also when it is one of root's.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    env::split_paths(&tool_path()).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn tool_path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())
}

/// A name whose address swallows every packet.
const SILENT_HOST: &str = "silent.figures.test";
const READY: &str = "ready";
const CA: &str = "ca.pem";
const KUBECONFIG: &str = "kubeconfig";
/// What the program keeps back for everything but its targets.
const RESERVE: u64 = 4_096;
