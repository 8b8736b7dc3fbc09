//! What is run on the host: one line of POSIX shell that finds an agent, or takes one in, and becomes it.

use std::collections::BTreeSet;

use super::super::shell;
use crate::scenario::SshHost;

/// The command for the host's login shell, whichever that is: it only has to know single quotes.
///
/// It says on standard output, each on a line that begins with [`MARK`], what it does; then the agent speaks. An agent
/// that was taken in is gone from the disk before it says its first word, where the host has `/proc`; elsewhere when it
/// ends, which it does when the connection does.
pub(super) fn command(host: &SshHost, allowances: &BTreeSet<String>) -> String {
    let flags = allowances.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let script = match &host.agent {
        Some(path) => {
            let subcommand = if path.rsplit('/').next() == Some("kubereach") { "agent " } else { "" };
            GIVEN.replace("@PATH@", path).replace("@SUBCOMMAND@", subcommand)
        }
        None => FOUND.to_owned() + &TAKEN_IN.replace("@DIGEST@", shell::DIGEST),
    };
    // No word of it is a pattern of file names.
    format!("exec sh -c 'set -f; {}'", script.replace("@FLAGS@", &flags).replace('\n', " "))
}

/// What one of our lines says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// An agent is there, at this path.
    Found(String),
    /// There is none at the path that was given.
    Absent(String),
    /// There is none; the host is of this kind (`Linux x86_64`) and waits for one.
    Nothing(String),
    /// One is being put into this folder.
    Folder(String),
    /// The folder is gone, or was never made.
    Removed,
    /// The one that was sent is not used.
    Failed(Failure),
}

/// Why an agent that was sent is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No private folder could be made.
    Folder,
    /// Nothing on the host computes a digest.
    NoDigestTool,
    /// What arrived has this digest, which is not the file's.
    Digest(String),
    /// The host does not run files of its folder.
    CannotRun(String),
    /// It ended with this status when it was asked for its version.
    Broken(String),
}

/// Reads a line of ours, behind whatever a profile wrote before it without ending its line.
pub(super) fn said(line: &str) -> Option<Said> {
    let (_, said) = line.split_once(MARK)?;
    let said = said.trim();
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    let rest = rest.trim().to_owned();
    Some(match word {
        "found" => Said::Found(rest),
        "absent" => Said::Absent(rest),
        "none" => Said::Nothing(rest),
        "folder" => Said::Folder(rest),
        "removed" => Said::Removed,
        "failed-folder" => Said::Failed(Failure::Folder),
        "failed-no-digest" => Said::Failed(Failure::NoDigestTool),
        "failed-digest" => Said::Failed(Failure::Digest(rest)),
        "failed-run" => Said::Failed(Failure::CannotRun(rest)),
        "failed-version" => Said::Failed(Failure::Broken(rest)),
        _ => return None,
    })
}

/// The line that announces an agent of this size and digest; its bytes follow.
pub(super) fn announcement(size: usize, digest: &str) -> String {
    format!("upload {size} {digest}\n")
}

/// Begins a line of ours.
const MARK: &str = "KUBEREACH-SSH-1 ";

// No single quote, no backslash and no exclamation mark: they mean something else in one shell or another.
const GIVEN: &str = r#"if [ -x "@PATH@" ]; then
echo "KUBEREACH-SSH-1 found @PATH@"; exec "@PATH@" @SUBCOMMAND@--stdio @FLAGS@; fi;
echo "KUBEREACH-SSH-1 absent @PATH@"; exit 3"#;

const FOUND: &str = r#"if a=$(command -v kubereach-agent); then
echo "KUBEREACH-SSH-1 found $a"; exec "$a" --stdio @FLAGS@; fi;
if a=$(command -v kubereach); then
echo "KUBEREACH-SSH-1 found $a"; exec "$a" agent --stdio @FLAGS@; fi;
"#;

/// `read` takes no byte beyond its line; a `head` that does take more does no harm, because nothing more is sent until
/// the agent has spoken.
const TAKEN_IN: &str = r#"umask 077; d=;
c() { if [ -n "$d" ]; then rm -rf "$d"; d=; fi; };
trap c 0; trap "exit 1" 1 2 13 15;
echo "KUBEREACH-SSH-1 none $(uname -sm)";
read -r word size digest || exit 3;
[ "$word" = upload ] || exit 3;
d=$(mktemp -d "${TMPDIR:-/tmp}/kubereach.XXXXXXXXXX") || { d=; echo "KUBEREACH-SSH-1 failed-folder"; exit 3; };
f=$d/kubereach-agent;
echo "KUBEREACH-SSH-1 folder $d";
head -c "$size" > "$f" || { c; echo "KUBEREACH-SSH-1 failed-folder"; exit 3; };
@DIGEST@
if [ "$s" = none ]; then c; echo "KUBEREACH-SSH-1 failed-no-digest"; exit 3; fi;
if [ "$s" = "$digest" ]; then :; else c; echo "KUBEREACH-SSH-1 failed-digest $s"; exit 3; fi;
chmod 700 "$f";
"$f" --version </dev/null >/dev/null; r=$?;
case $r in 0) ;; 126) echo "KUBEREACH-SSH-1 failed-run $d"; exit 3;;
*) echo "KUBEREACH-SSH-1 failed-version $r"; exit 3;; esac;
if [ -e /proc/self/fd ]; then exec 3<"$f"; c; echo "KUBEREACH-SSH-1 removed"; exec /proc/self/fd/3 --stdio @FLAGS@; fi;
"$f" --stdio @FLAGS@; r=$?; c; echo "KUBEREACH-SSH-1 removed"; exit "$r""#;

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        path::Path,
        process::{Command, Output, Stdio},
    };

    use super::*;

    fn host(agent: Option<&str>) -> SshHost {
        SshHost { host: "bastion".to_owned(), port: None, config: None, agent: agent.map(str::to_owned) }
    }

    fn flags() -> BTreeSet<String> {
        ["--allow-port=8443".to_owned(), "--allow-resolver=10.0.0.2:53".to_owned()].into()
    }

    #[test]
    fn every_shell_takes_it_as_one_word() {
        for host in [host(None), host(Some("/opt/kubereach"))] {
            let command = command(&host, &flags());
            let inner = command.strip_prefix("exec sh -c '").unwrap().strip_suffix('\'').unwrap();
            assert!(!inner.contains(['\'', '\\', '!', '\n', '@']), "{inner}");
            assert!(inner.contains("--allow-port=8443 --allow-resolver=10.0.0.2:53"), "{inner}");
        }
    }

    #[test]
    fn a_path_that_was_given_is_called_as_what_it_is() {
        assert!(command(&host(Some("/opt/kubereach")), &flags()).contains(r#"exec "/opt/kubereach" agent --stdio "#));
        assert!(command(&host(Some("/opt/agent-2")), &flags()).contains(r#"exec "/opt/agent-2" --stdio "#));
    }

    #[test]
    fn lines_of_a_profile_are_none_of_ours() {
        assert_eq!(said("Welcome!"), None);
        assert_eq!(said("KUBEREACH-SSH-1 sing"), None);
        assert_eq!(
            said("hi there KUBEREACH-SSH-1 none Linux x86_64\r"),
            Some(Said::Nothing("Linux x86_64".to_owned()))
        );
    }

    /// Runs the command with nothing but these tools, as `sh -c` of a login shell would.
    fn run(tools: &Path, temporary: &Path, input: &[u8]) -> Output {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &command(&host(None), &flags())])
            .env_clear()
            .env("PATH", tools)
            .env("TMPDIR", temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A shell that ends before it has read everything closes its end.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    fn tools(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let found = ["/bin", "/usr/bin"].iter().map(|bin| Path::new(bin).join(name)).find(|file| file.exists());
            std::os::unix::fs::symlink(found.unwrap(), folder.path().join(name)).unwrap();
        }
        folder
    }

    const TOOLS: &[&str] = &["sh", "uname", "mktemp", "head", "sha256sum", "chmod", "rm", "cat"];
    /// An agent of a kind: it shows its flags, where its file is and what comes in.
    const AGENT: &str = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho \"agent $*\"\ncat\n";

    #[test]
    fn what_was_sent_runs_when_its_digest_is_right_and_is_gone_at_once() {
        let (tools, temporary) = (tools(TOOLS), tempfile::tempdir().unwrap());
        let digest = super::super::binary::sha256(AGENT.as_bytes()).unwrap();
        // A script cannot be run once its file is gone, as a binary can: it shows that the file was.
        let binary = std::fs::read("/bin/cat").unwrap();
        for (bytes, digest, expected) in [
            (AGENT.as_bytes(), digest.as_str(), "KUBEREACH-SSH-1 removed"),
            (AGENT.as_bytes(), "00", "KUBEREACH-SSH-1 failed-digest"),
            (&AGENT.as_bytes()[..20], digest.as_str(), "KUBEREACH-SSH-1 failed-digest"),
            (&b"\x7fELF no program"[..], "", "failed-"),
            (&binary, "", "KUBEREACH-SSH-1 removed"),
        ] {
            let digest =
                if digest.is_empty() { super::super::binary::sha256(bytes).unwrap() } else { digest.to_owned() };
            let input = [announcement(bytes.len(), &digest).as_bytes(), bytes].concat();
            let output = run(tools.path(), temporary.path(), &input);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(told.contains("KUBEREACH-SSH-1 none Linux ") && told.contains(expected), "{told} {output:?}");
            assert!(std::fs::read_dir(temporary.path()).unwrap().next().is_none(), "something is left: {told}");
        }
        let without = self::tools(&["sh", "uname", "mktemp", "head", "chmod", "rm"]);
        let output = run(without.path(), temporary.path(), announcement(0, "00").as_bytes());
        assert!(String::from_utf8_lossy(&output.stdout).contains("failed-no-digest"), "{output:?}");
        assert!(std::fs::read_dir(temporary.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_connection_that_breaks_in_the_middle_of_the_file_leaves_none() {
        let (tools, temporary) = (tools(TOOLS), tempfile::tempdir().unwrap());
        let output = run(tools.path(), temporary.path(), &[announcement(1 << 20, "00").as_bytes(), &[7; 100]].concat());
        assert_ne!(output.status.code(), Some(0));
        assert!(std::fs::read_dir(temporary.path()).unwrap().next().is_none(), "{output:?}");
    }

    #[test]
    fn the_first_agent_of_the_path_is_used() {
        let tools = tools(TOOLS);
        let put = |name: &str| {
            let file = tools.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho \"{name} $*\"\n")).unwrap();
            let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&file, mode).unwrap();
        };
        put("kubereach");
        let told = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
        let first = told(&run(tools.path(), Path::new("/nowhere"), b""));
        assert!(first.contains("kubereach agent --stdio --allow-port=8443"), "{first}");
        put("kubereach-agent");
        let then = told(&run(tools.path(), Path::new("/nowhere"), b""));
        assert!(then.contains("kubereach-agent --stdio --allow-port=8443"), "{then}");
    }
}
