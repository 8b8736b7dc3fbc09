//! Findings of a vantage on another host: "this host" is not the reader's, so the host is named.
//!
//! Causes are written for the host that they are told on. Here, in one place, their words and commands get its name.

use super::evidence::clean;
use crate::report::Finding;

/// Whether a vantage of this kind (the scenario's key) probes from another host than the one that kubereach runs on.
pub(super) fn is_another_host(vantage_kind: &str) -> bool {
    matches!(vantage_kind, "ssh" | "ssm" | "kubernetes" | "agent")
}

/// The finding with the vantage's name wherever it speaks of "this host", of that host's files, or gives a command for
/// it.
pub(super) fn named(finding: Finding, vantage: &str) -> Finding {
    let vantage = clean(vantage);
    Finding {
        title: words(&finding.title, &vantage),
        evidence: finding.evidence.iter().map(|sentence| words(sentence, &vantage)).collect(),
        setting: finding.setting.map(|setting| {
            let told = words(&setting, &vantage);
            let of_a_host = OF_A_HOST.iter().any(|what| setting.starts_with(what));
            if told == setting && of_a_host { format!("on {vantage}: {told}") } else { told }
        }),
        fix: finding.fix.map(|fix| commands(&fix, &vantage)),
        ..finding
    }
}

/// `this host's clock` is `bastion's clock`, `line 7 of /etc/hosts` is `line 7 of /etc/hosts on bastion`.
fn words(text: &str, vantage: &str) -> String {
    let mut told = text.to_owned();
    for this in ["this host", "This host", "this machine", "This machine"] {
        told = told.replace(this, vantage);
    }
    for file in FILES {
        told = said_of(&told, file, vantage);
    }
    told
}

/// Adds ` on bastion` to the file where it stands as a word, and not where a rule or a quoted line goes on.
fn said_of(text: &str, file: &str, vantage: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(file) {
        let (before, after) = rest.split_at(place + file.len());
        told.push_str(before);
        let mut following = after.chars();
        let ends = match following.next() {
            Some('.') => following.next().is_none_or(char::is_whitespace),
            Some(next) => !next.is_alphanumeric() && !"/-_".contains(next),
            None => true,
        };
        if ends {
            told.push_str(" on ");
            told.push_str(vantage);
        }
        rest = after;
    }
    told.push_str(rest);
    told
}

/// Comments name the host; before the first command that is for the host itself stands where it is to be run.
fn commands(fix: &str, vantage: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut placed = false;
    for line in fix.lines() {
        let for_the_host = FOR_THE_HOST.iter().any(|command| line.starts_with(command));
        if for_the_host && !placed {
            lines.push(format!("# On {vantage}:"));
        }
        placed |= for_the_host;
        lines.push(if line.starts_with('#') { words(line, vantage) } else { line.to_owned() });
    }
    lines.join("\n")
}

/// Files that every host has of its own.
const FILES: &[&str] = &["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"];
/// How settings begin that every host has of its own, where they do not say whose.
const OF_A_HOST: &[&str] = &[
    "the local clock",
    "the local route table",
    "the route to ",
    "MTU of ",
    "the list of resolvers",
    "the order of resolvers",
    "the cache of the resolver",
    "the resolver ",
];
/// Commands that ask or change the host on which they are run.
const FOR_THE_HOST: &[&str] = &[
    "resolvectl ",
    "ip route ",
    "ip -6 route ",
    "ip neigh",
    "sudo ip ",
    "sudo nft insert rule inet <table> <output chain>",
    "sudo timedatectl ",
    "sudo sysctl -w net.ipv4.tcp_keepalive",
    "sudo traceroute ",
    "traceroute ",
    "dig ",
    "kubereach doctor --server ",
];

#[cfg(test)]
mod tests {
    use kubereach_probes::{DnsSource, TcpOutcome};

    use super::{super::testing::*, *};

    #[test]
    fn what_is_wrong_on_another_host_names_that_host() {
        let mut pinned = answer("system", &["198.51.100.99"]);
        let text = "198.51.100.99 api.prod.example.com".to_owned();
        pinned.source = DnsSource::HostsFile { path: "/etc/hosts".into(), line: 7, text };
        let scene = || {
            Scene::new().saw(
                vec![pinned.clone(), answer("system-dns", &["198.51.100.20"])],
                vec![silent("198.51.100.99"), beside(reached("198.51.100.20"))],
            )
        };
        let told = |kind: &'static str| {
            let finding = scene().with(|scene| scene.vantage_kind = kind).finding("client-hosts-file-overrides-dns");
            let finding = finding.unwrap();
            (finding.evidence.join("\n"), finding.setting.unwrap(), finding.fix.unwrap())
        };
        let (evidence, setting, fix) = told("ssh");
        assert!(evidence.contains("Line 7 of /etc/hosts on laptop pins"), "{evidence}");
        assert!(setting.starts_with("/etc/hosts on laptop, line 7"), "{setting}");
        assert!(fix.starts_with("# Delete line 7 of /etc/hosts on laptop:"), "{fix}");
        let (evidence, setting, fix) = told("local");
        assert!(!format!("{evidence}{setting}{fix}").contains("/etc/hosts on"), "{evidence} {setting} {fix}");
    }

    #[test]
    fn commands_for_another_host_say_where_to_run_them() {
        for kind in ["ssh", "ssm", "kubernetes", "agent"] {
            let scene = Scene::new()
                .saw(
                    vec![answer("system", &["198.51.100.20"])],
                    vec![attempt("198.51.100.20", TcpOutcome::Unreachable, 0.1)],
                )
                .with(|scene| scene.vantage_kind = kind);
            let findings = scene.findings();
            let all = format!("{findings:?}");
            assert!(!all.contains("this host") && !all.contains("this machine"), "{kind}: {all}");
            let settings: Vec<&str> = findings.iter().filter_map(|finding| finding.setting.as_deref()).collect();
            assert!(settings.contains(&"the route table of laptop"), "{kind}: {settings:?}");
            let fixes: Vec<&str> = findings.iter().filter_map(|finding| finding.fix.as_deref()).collect();
            assert!(fixes.iter().any(|fix| fix.contains("# On laptop:\nip route get")), "{kind}: {fixes:?}");
        }
    }

    #[test]
    fn only_whole_words_and_host_commands_are_touched() {
        assert_eq!(words("see /etc/hosts.allow and /etc/hostsfile", "b"), "see /etc/hosts.allow and /etc/hostsfile");
        assert_eq!(commands("aws eks describe-cluster", "b"), "aws eks describe-cluster");
        assert_eq!(
            commands("sudo nft add rule inet <table> forward x", "b"),
            "sudo nft add rule inet <table> forward x"
        );
        assert_eq!(commands("# Ask\ndig +short x\ndig y", "b"), "# Ask\n# On b:\ndig +short x\ndig y");
    }
}
