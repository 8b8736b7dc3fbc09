//! What OpenSSH says when it fails, in words that say what to do. Pure.

use crate::redact::clean;

/// Why there is no connection to `host`, from what the client wrote to its standard error. `jump` is the jump host of its
/// configuration, when it has one.
///
/// The client's words follow in parentheses: they name the very key, address or file.
pub(super) fn explain(host: &str, jump: Option<&str>, stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    // Only the jump host is dialled, or looked for, from here.
    let dialled = has("connect to host") || has("Could not resolve hostname");
    let named = jump.is_some_and(|jump| has(jump.rsplit('@').next().unwrap_or(jump)));
    let jump = has("UNKNOWN port 65535") || has("stdio forwarding failed") || (jump.is_some() && dialled) || named;
    let known = KNOWN.iter().find(|known| known.words.iter().any(|words| has(words)));
    let told = known.map(|known| (known.told.replace("HOST", host), known.words)).map(|(told, words)| {
        let line = words.iter().find_map(|words| lines.iter().find(|line| line.contains(words)));
        (told, line.copied())
    });
    let way = if jump { format!("the way to {host} through its jump host fails: ") } else { String::new() };
    match told {
        Some((told, Some(line))) => format!("{way}{told} ({})", clean(line)),
        Some((told, None)) => format!("{way}{told}"),
        None => match lines.iter().rev().find(|line| !line.contains("UNKNOWN port 65535")) {
            Some(line) => format!("{way}ssh cannot connect to {host}: {}", clean(line)),
            None => {
                format!("{way}ssh ended without connecting to {host} and without a word; `ssh -v {host}` tells more")
            }
        },
    }
}

struct Known {
    /// Any of these, as OpenSSH has them in its sources.
    words: &'static [&'static str],
    told: &'static str,
}

/// The first that fits counts: what is behind a failure stands before what it looks like.
const KNOWN: &[Known] = &[
    Known {
        words: &["Offending", "REMOTE HOST IDENTIFICATION HAS CHANGED", "has changed and you have requested strict"],
        told: "the host key on the way to HOST is not the one that known_hosts has: it was renewed, or somebody stands in \
               between; compare it with the host's own, then remove the old one with `ssh-keygen -R NAME` and connect \
               once by hand",
    },
    Known {
        words: &["host key is known for", "Host key verification failed"],
        told: "the host key on the way to HOST is not known here, and none is taken on trust: connect once by hand and \
               compare its fingerprint, or add it to known_hosts",
    },
    Known {
        words: &["Too many authentication failures"],
        told: "HOST ends the connection after too many keys: name the right one by `IdentityFile` and `IdentitiesOnly yes`",
    },
    Known {
        words: &["Permission denied ("],
        told: "login to HOST is refused with the keys that this machine offers: look at the user name, `ssh-add -l` and \
               `IdentityFile`; no password is asked for",
    },
    Known {
        words: &["Could not resolve hostname", "Name or service not known", "Temporary failure in name resolution"],
        told: "a host name on the way to HOST does not resolve here: look at its spelling, at `HostName` and at this \
               machine's resolver",
    },
    Known {
        words: &["Connection refused"],
        told: "nothing listens at the SSH port on the way to HOST: look at the port and whether sshd runs",
    },
    Known {
        words: &["timed out during banner exchange"],
        told: "HOST accepts the connection and says nothing: what listens there may be no SSH server, or it is overloaded",
    },
    Known {
        words: &["timed out", "Timeout, server"],
        told: "no answer from the SSH port on the way to HOST: look at the address, its firewall or security group, and \
               whether a VPN is needed",
    },
    Known {
        words: &["No route to host", "Network is unreachable", "Network unreachable"],
        told: "this machine has no route to the SSH port on the way to HOST",
    },
    Known {
        words: &["administratively prohibited"],
        told: "the jump host does not forward to HOST: its `AllowTcpForwarding` or `PermitOpen` forbids it",
    },
    Known { words: &["Unable to negotiate with"], told: "this machine's ssh and HOST have no algorithm in common" },
    Known {
        words: &["Bad owner or permissions on"],
        told: "ssh does not use a file that others may write: mend its permissions",
    },
    Known {
        words: &["Bad configuration option", "terminating, ", "Can't open user config file", "extra arguments at end"],
        told: "the OpenSSH client configuration cannot be used",
    },
    Known {
        words: &["kex_exchange_identification", "Connection closed by", "Connection reset by"],
        told: "HOST ends the connection before anybody could log in: what listens there may be no SSH server, or it lets \
               this machine's address in no more",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_told_by_what_to_do() {
        let changed = "@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nOffending ED25519 key in /h:3\r\n\
                       Host key for b has changed and you have requested strict checking.\r\nHost key verification failed.\r\n";
        for (stderr, expected) in [
            (changed, "ssh-keygen -R"),
            (
                "No ED25519 host key is known for b and you have requested strict checking.\r\nHost key verification failed.\r\n",
                "not known here",
            ),
            ("ops@b: Permission denied (publickey).\r\n", "ssh-add -l"),
            ("ssh: Could not resolve hostname b: Name or service not known\r\n", "does not resolve"),
            ("ssh: connect to host b port 22: Connection refused\r\n", "sshd runs"),
            ("ssh: connect to host b port 22: Connection timed out\r\n", "security group"),
            ("Connection timed out during banner exchange\r\nConnection to b port 22 timed out\r\n", "says nothing"),
            ("ssh: connect to host b port 22: No route to host\r\n", "no route"),
            ("/c: line 3: Bad configuration option: foo\r\n", "configuration"),
            (
                "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 192.0.2.1 port 22\r\n",
                "no SSH server",
            ),
            ("Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\r\n", "IdentitiesOnly"),
        ] {
            let told = explain("b", None, stderr);
            assert!(told.contains(expected), "{told}");
            assert!(!told.contains("jump"), "{told}");
        }
        assert!(explain("b", None, changed).contains("(Offending ED25519 key in /h:3)"));
        assert!(explain("b", None, "").contains("without a word"));
        assert_eq!(explain("b", None, "something new\x1b[31m"), "ssh cannot connect to b: something new [31m");
    }

    #[test]
    fn a_jump_host_is_told_from_the_host_itself() {
        let closed = "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535\r\n";
        let refused = format!("ssh: connect to host j port 22: Connection refused\r\n{closed}");
        let told = explain("b", None, &refused);
        assert!(told.contains("the way to b through its jump host fails") && told.contains("host j port 22"), "{told}");
        let behind = format!(
            "channel 0: open failed: connect failed: Connection refused\r\nstdio forwarding failed\r\n{closed}"
        );
        assert!(explain("b", None, &behind).contains("jump host"));
        assert!(explain("b", None, closed).contains("jump host"));
        let unknown = "No ED25519 host key is known for j.example and you have requested strict checking.";
        assert!(explain("b", Some("ops@j.example"), unknown).contains("through its jump host fails"));
        assert!(!explain("b", Some("j"), "root@b: Permission denied (publickey).").contains("through its jump host"));
    }

    #[test]
    fn what_comes_from_elsewhere_is_bounded() {
        let told = explain("b", None, &"x".repeat(100_000));
        assert!(told.len() < 600, "{}", told.len());
    }
}
