//! What became of a command, in words that say what to do. Pure.

use super::script;
use crate::redact::clean;

/// What a command came to, as `GetCommandInvocation` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// `Success`, `DeliveryTimedOut`, `Undeliverable` …:
    /// <https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html>.
    pub(super) details: String,
    /// Exit status of the script; -1 when it did not end.
    pub(super) response_code: i32,
    pub(super) output: String,
    pub(super) error: String,
}

/// Why there is no reply in it.
pub(super) fn no_reply(instance: &str, ended: &Ended) -> String {
    let error = ended.error.lines().rev().map(clean).find(|line| !line.is_empty());
    let told = error.map_or_else(String::new, |line| format!(" ({line})"));
    if let Some((word, rest)) = script::said(&ended.output) {
        let rest = clean(rest);
        match word {
            "none" => {
                return format!(
                    "{instance} ({rest}) has neither kubereach-agent nor kubereach in its PATH: install one there, name it by \
                     `agent`, or let the instance fetch one by `download: {{ url, sha256 }}`"
                );
            }
            "absent" => {
                return format!("{instance} has no program at {rest}, where the scenario's `agent` says that it is");
            }
            "failed-folder" => {
                return format!("{instance} has no room for a private folder in its TMPDIR or /tmp{told}");
            }
            "failed-fetcher" => {
                return format!("{instance} has neither curl nor wget to fetch an agent with: install one there");
            }
            "failed-fetch" => {
                return format!(
                    "{instance} cannot fetch the agent ({rest}){told}: look at `download.url` and at the instance's way to it"
                );
            }
            "failed-no-digest" => {
                return format!(
                    "{instance} has neither sha256sum nor shasum nor openssl: an agent that was fetched is not run unchecked"
                );
            }
            "failed-digest" => {
                return format!(
                    "the agent that {instance} fetched is not the one of `download.sha256` (its SHA-256 is {rest}): it was not run"
                );
            }
            "failed-run" => {
                return format!(
                    "{instance} does not run the agent that it fetched (status and folder: {rest}){told}: it is for another \
                     platform, or its folder is mounted `noexec`"
                );
            }
            "failed-agent" => {
                return format!(
                    "the agent on {instance} ended with status {rest}{told}; one of another version does not know what it is \
                     told: renew it"
                );
            }
            _ => {}
        }
    }
    match ended.details.as_str() {
        "DeliveryTimedOut" => format!(
            "{instance} did not take the command in time: its SSM agent is not running, or has no way to the service \
             (`aws ssm describe-instance-information` shows its last ping)"
        ),
        "Undeliverable" | "Terminated" => format!(
            "the command cannot be delivered to {instance}: it is not there, does not answer, or too many commands failed \
             before (`{}`)",
            ended.details
        ),
        "ExecutionTimedOut" | "TimedOut" => format!("the command on {instance} did not end within its time"),
        "Cancelled" | "Cancelling" => format!("somebody cancelled the command on {instance}"),
        "AccessDenied" => format!("{instance} is not allowed to run the command: look at the instance's own role"),
        "InvalidPlatform" => not_linux(instance),
        "Success" if ended.output.contains(TRUNCATED) => {
            format!("the output of the command on {instance} was cut off: something there writes to it as well")
        }
        "Success" => format!("the command on {instance} ended well without a reply of an agent{told}"),
        details => format!("the command on {instance} failed: {details}, status {}{told}", ended.response_code),
    }
}

/// Of an instance that Run Command's shell script is not for.
pub(super) fn not_linux(instance: &str) -> String {
    format!("{instance} runs no shell scripts (AWS-RunShellScript is for Linux and macOS): probe from another one")
}

/// What `DescribeInstanceInformation` says of an instance that takes no command.
pub(super) fn managed(instance: &str, information: Option<(&str, &str)>) -> String {
    match information {
        None => format!(
            "{instance} is no managed node of this account and region: it is not there, its SSM agent does not run, its \
             instance profile lacks AmazonSSMManagedInstanceCore, or it has no way to the service's endpoints"
        ),
        Some((_, "Windows")) => not_linux(instance),
        Some(("Online", _)) => {
            format!("{instance} is online, and these credentials may not send it commands, or it is stopping")
        }
        Some((ping, _)) => format!(
            "{instance} is a managed node whose SSM agent does not answer ({ping}): it is stopped, or has lost its way to the \
             service's endpoints"
        ),
    }
}

/// How the service marks an output that it cut: <https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html>.
const TRUNCATED: &str = "--output truncated--";

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(details: &str, output: &str) -> Ended {
        let error = "line one\nline two\u{1b}\n".to_owned();
        Ended { details: details.to_owned(), response_code: 3, output: output.to_owned(), error }
    }

    #[test]
    fn each_end_is_told_by_what_to_do() {
        for (details, output, word) in [
            ("Failed", "KUBEREACH-SSM-1 none Linux x86_64", "`download: { url, sha256 }`"),
            ("Failed", "KUBEREACH-SSM-1 absent /opt/x", "no program at /opt/x"),
            ("Failed", "KUBEREACH-SSM-1 failed-digest ff", "(its SHA-256 is ff): it was not run"),
            ("Failed", "KUBEREACH-SSM-1 failed-fetch curl 22", "cannot fetch the agent (curl 22) (line two)"),
            ("Failed", "KUBEREACH-SSM-1 failed-run 126 /tmp/k", "noexec"),
            ("Failed", "KUBEREACH-SSM-1 failed-agent 2 /bin/kubereach", "renew it"),
            ("DeliveryTimedOut", "", "did not take the command"),
            ("Undeliverable", "", "cannot be delivered"),
            ("ExecutionTimedOut", "", "within its time"),
            ("Cancelled", "", "cancelled"),
            ("Success", "xx--output truncated--", "cut off"),
            ("Success", "", "without a reply"),
            ("Failed", "", "failed: Failed, status 3 (line two)"),
        ] {
            let told = no_reply("i-1", &ended(details, output));
            assert!(told.contains(word) && told.contains("i-1"), "{told}");
        }
        assert!(managed("i-1", None).contains("AmazonSSMManagedInstanceCore"));
        assert!(managed("i-1", Some(("ConnectionLost", "Linux"))).contains("ConnectionLost"));
        assert!(managed("i-1", Some(("Online", "Windows"))).contains("AWS-RunShellScript"));
    }
}
