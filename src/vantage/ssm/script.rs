//! What is run on the instance. Pure.

use std::collections::BTreeSet;

use kubereach_agent::{Order, pack_order};

use super::super::shell;
use crate::scenario::{Download, SsmInstance};

/// The lines of the script. What stands in them is of letters that mean nothing to a shell: base64, digits, addresses,
/// and what the scenario's reader has checked.
pub(super) fn script(instance: &SsmInstance, order: &Order, allowances: &BTreeSet<String>) -> Vec<String> {
    let flags = allowances.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let mut script = HEAD.replace("@ORDER@", &pack_order(order)).replace("@FLAGS@", &flags);
    script = script.replace("@LIMIT@", &LONGEST_REPLY.to_string());
    match (&instance.agent, &instance.download) {
        (Some(path), _) => {
            let subcommand = if path.rsplit('/').next() == Some("kubereach") { " agent" } else { "" };
            script += &GIVEN.replace("@PATH@", path).replace("@SUBCOMMAND@", subcommand);
        }
        (None, None) => script += &(FOUND.to_owned() + NOTHING),
        (None, Some(Download { url, sha256 })) => {
            script += FOUND;
            script += &DOWNLOADED
                .replace("@DIGEST@", shell::DIGEST)
                .replace("@URL@", url)
                .replace("@SHA256@", sha256)
                .replace("@LARGEST@", &LARGEST_AGENT.to_string());
        }
    }
    script.lines().map(str::to_owned).collect()
}

/// What the script says besides the agent's reply, as [`MARK`] begins it.
pub(super) fn said(output: &str) -> Option<(&str, &str)> {
    let said = output.lines().rev().find_map(|line| line.split_once(MARK))?.1.trim();
    Some(said.split_once(' ').unwrap_or((said, "")))
}

const MARK: &str = "KUBEREACH-SSM-1 ";
/// Characters of a reply: `GetCommandInvocation` gives 24,000 of the output
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html>).
const LONGEST_REPLY: usize = 23_000;
const LARGEST_AGENT: u64 = 64 << 20;

const HEAD: &str = r#"set -f
umask 077
KUBEREACH_ORDER=@ORDER@
export KUBEREACH_ORDER
say() { echo "KUBEREACH-SSM-1 $*"; }
run() { "$@" --once --reply-limit @LIMIT@ @FLAGS@; r=$?; [ "$r" -eq 0 ] || say "failed-agent $r $1"; exit "$r"; }
"#;

const GIVEN: &str = r#"if [ -x "@PATH@" ]; then run "@PATH@"@SUBCOMMAND@; fi
say "absent @PATH@"; exit 3
"#;

const FOUND: &str = r#"if a=$(command -v kubereach-agent); then run "$a"; fi
if a=$(command -v kubereach); then run "$a" agent; fi
"#;

const NOTHING: &str = r#"say "none $(uname -sm)"; exit 3
"#;

/// The file is gone before it runs, where there is `/proc`: a command that is cancelled leaves none.
const DOWNLOADED: &str = r#"d=
c() { if [ -n "$d" ]; then rm -rf "$d"; d=; fi; }
trap c 0; trap "exit 1" 1 2 13 15
d=$(mktemp -d "${TMPDIR:-/tmp}/kubereach.XXXXXXXXXX") || { d=; say failed-folder; exit 3; }
f=$d/kubereach-agent
if command -v curl >/dev/null 2>&1; then
curl -fsSL --proto =https --proto-redir =https --connect-timeout 10 --max-time 60 --max-filesize @LARGEST@ -o "$f" "@URL@" || { say "failed-fetch curl $?"; exit 3; }
elif command -v wget >/dev/null 2>&1; then
wget -q -T 10 -t 1 -O "$f" "@URL@" || { say "failed-fetch wget $?"; exit 3; }
else say failed-fetcher; exit 3; fi
@DIGEST@
if [ "$s" = none ]; then say failed-no-digest; exit 3; fi
if [ "$s" != "@SHA256@" ]; then say "failed-digest $s"; exit 3; fi
chmod 700 "$f"
"$f" --version </dev/null >/dev/null || { say "failed-run $? $d"; exit 3; }
if [ -e /proc/self/fd ]; then exec 3<"$f"; c; run /proc/self/fd/3; fi
run "$f"
"#;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kubereach_agent::{PROTOCOL, ProbeOrder};
    use kubereach_probes::{Options, Target, Trust};

    use super::*;

    fn instance() -> SsmInstance {
        SsmInstance {
            instance: "i-0123456789abcdef0".to_owned(),
            region: None,
            profile: None,
            endpoint_url: None,
            agent: None,
            download: None,
        }
    }

    fn order() -> Order {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let target = Target::new("api.example$(reboot)`'\"", 443, Trust::SystemRoots);
        let probe = ProbeOrder::of(&target, &Options::plain(Duration::from_secs(3)));
        Order { protocol: PROTOCOL, id: "a".to_owned(), agent: String::new(), issued_at: now, expires_at: now, probe }
    }

    #[test]
    fn nothing_of_an_order_means_anything_to_the_shell() {
        let flags = ["--allow-port=443".to_owned()].into();
        let with = |agent: Option<&str>, download: bool| SsmInstance {
            agent: agent.map(str::to_owned),
            download: download
                .then(|| Download { url: "https://example.test/agent?x=1&y=2".to_owned(), sha256: "0".repeat(64) }),
            ..instance()
        };
        for instance in [with(None, false), with(Some("/opt/kubereach"), false), with(None, true)] {
            let lines = script(&instance, &order(), &flags);
            let text = lines.join("\n");
            assert!(!text.contains("reboot") && !text.replace("$@", "").contains('@'), "{text}");
            let order = lines[2].strip_prefix("KUBEREACH_ORDER=").unwrap();
            assert!(order.chars().all(|letter| letter.is_ascii_alphanumeric() || "+/=".contains(letter)), "{order}");
            // The shell itself reads it without running it.
            let checked = std::process::Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
        let given = script(&with(Some("/opt/kubereach"), false), &order(), &flags).join("\n");
        assert!(given.contains(r#"run "/opt/kubereach" agent"#), "{given}");
        assert!(given.contains("--once --reply-limit 23000 --allow-port=443;"), "{given}");
    }

    #[test]
    fn the_last_line_of_ours_counts() {
        assert_eq!(said("x\nKUBEREACH-SSM-1 none Linux x86_64\n"), Some(("none", "Linux x86_64")));
        assert_eq!(said("KUBEREACH-SSM-1 failed-folder"), Some(("failed-folder", "")));
        assert_eq!(said("KUBEREACH-REPLY-1:abc"), None);
    }
}
