//! Input that is wrong: one clear message each, exit 2, nothing on stdout, nothing probed.

use std::fmt::Write;

use crate::house::House;

/// A scenario that is right, to be spoilt in one place.
const SCENARIO: &str = "apiVersion: kubereach/v1
controls: []
clusters:
  prod:
    endpoint: https://127.0.0.1:6443
    intent:
      publicAccess: { enabled: true, allow: [203.0.113.0/24] }
vantages:
  here: { local: { sourceIp: 127.0.0.1 } }
expect:
  - { cluster: prod, from: here, reachable: true }
";

/// A kubeconfig that is right, to be spoilt in one place.
const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: ops
clusters:
- name: prod
  cluster: { server: 'https://127.0.0.1:6443' }
contexts:
- name: ops
  context: { cluster: prod, user: me }
users:
- name: me
  user: { token: hunter2 }
";

#[test]
fn what_is_to_be_spoilt_is_right() {
    let house = House::new();
    house.file("scenario.yaml", SCENARIO.replace("https://127.0.0.1:6443", "https://127.0.0.1:1"));
    assert_eq!(house.verify(&[]).verdict(), (1, "mismatch"));
    house.file("config", KUBECONFIG.replace(":6443", ":1"));
    assert_eq!(house.doctor(&["--kubeconfig", "config"]).verdict(), (1, "mismatch"));
}

#[test]
fn wrong_kubeconfigs_are_explained() {
    let house = House::new();
    let spoilt = |from: &str, to: &str| {
        assert!(KUBECONFIG.contains(from), "{from}");
        KUBECONFIG.replace(from, to)
    };
    let server = "server: 'https://127.0.0.1:6443'";
    let data = |text: &str| spoilt(server, &format!("{server}, certificate-authority-data: {text}"));
    // "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n"
    let bad_pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmFHaz0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    let mut said = String::new();
    for (name, text) in [
        ("broken YAML", spoilt("- name: ops", "- name: [ops").into_bytes()),
        ("a list", b"- a\n".to_vec()),
        ("wrong type", spoilt("users:\n- name: me\n  user: { token: hunter2 }", "users: hunter2").into_bytes()),
        ("no server", spoilt(server, "").into_bytes()),
        ("server without https", spoilt("https://", "http://").into_bytes()),
        ("port 0", spoilt(":6443", ":0").into_bytes()),
        ("bad base64", data("'!!!'").into_bytes()),
        ("bad PEM", data(bad_pem).into_bytes()),
        ("no such CA file", spoilt(server, &format!("{server}, certificate-authority: none.pem")).into_bytes()),
        ("no current context", spoilt("current-context: ops\n", "").into_bytes()),
        ("context of no cluster", spoilt("cluster: prod, user", "cluster: dev, user").into_bytes()),
        ("not UTF-8", [KUBECONFIG.as_bytes(), b"# \xff\n"].concat()),
    ] {
        house.file("config", text);
        let _ = writeln!(said, "=== {name}\n{}", house.refused(&["doctor", "--no-controls", "--kubeconfig", "config"]));
    }
    house.file("config", KUBECONFIG);
    let doctor = |arguments: &[&str]| house.refused(&[&["doctor", "--no-controls"], arguments].concat());
    for (name, message) in [
        ("unknown context", doctor(&["--kubeconfig", "config", "--context", "opps"])),
        ("missing file", doctor(&["--kubeconfig", "none"])),
        ("a folder", doctor(&["--kubeconfig", "."])),
        ("nothing anywhere", doctor(&[])),
        ("missing files", house.refused_with(&["doctor", "--no-controls"], &[("KUBECONFIG", "none:neither")])),
        ("no credentials to send", {
            house.file("config", spoilt("{ token: hunter2 }", "{}"));
            doctor(&["--kubeconfig", "config", "--auth"])
        }),
    ] {
        let _ = writeln!(said, "=== {name}\n{message}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn wrong_scenarios_are_explained() {
    let house = House::new();
    let spoilt = |from: &str, to: &str| {
        assert!(SCENARIO.contains(from), "{from}");
        SCENARIO.replace(from, to).into_bytes()
    };
    let bomb = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        text + &format!("a{level}: &a{level} [{below}]\n")
    });
    let mut said = String::new();
    for (name, text) in [
        ("unknown keys", spoilt("endpoint:", "endpiont:")),
        ("duplicate key", [SCENARIO, "vantages: {}\n"].concat().into_bytes()),
        ("duplicate cluster", spoilt("vantages:", "  prod: { endpoint: 'https://a.example' }\nvantages:")),
        ("YAML bomb", bomb.into_bytes()),
        ("deep nesting", "[".repeat(100_000).into_bytes()),
        ("wrong type", spoilt("reachable: true", "reachable: [true]")),
        ("CIDR with host bits", spoilt("203.0.113.0/24", "203.0.113.7/24")),
        ("port 0", spoilt(":6443", ":0")),
        ("unknown cluster and vantage", spoilt("cluster: prod, from: here", "cluster: dev, from: [here, there]")),
        (
            "nothing expected",
            SCENARIO
                .split("expect")
                .next()
                .unwrap()
                .replace("    intent:\n      publicAccess: { enabled: true, allow: [203.0.113.0/24] }\n", "")
                .into_bytes(),
        ),
        (
            "bad PEM",
            spoilt("intent:", "ca: \"-----BEGIN CERTIFICATE-----\\naGk=\\n-----END CERTIFICATE-----\"\n    intent:"),
        ),
        (
            "base64 of something else",
            spoilt("intent:", "ca: aGVsbG8gd29ybGQsIHRoaXMgaXMgbm8gY2VydGlmaWNhdGU=\n    intent:"),
        ),
        ("no such CA file", spoilt("intent:", "ca: ./none.pem\n    intent:")),
        ("wrong address", spoilt("sourceIp: 127.0.0.1", "sourceIp: 127.0.0.256")),
        ("not UTF-8", [SCENARIO.as_bytes(), b"# \xe4\n"].concat()),
        ("empty", Vec::new()),
        ("JSON that ends early", b"{\"apiVersion\": \"kubereach/v1\",".to_vec()),
    ] {
        house.file("scenario.yaml", text);
        let _ = writeln!(said, "=== {name}\n{}", house.refused(&["verify", "scenario.yaml"]));
    }
    let _ = writeln!(said, "=== missing file\n{}", house.refused(&["verify", "none.yaml"]));
    let _ = writeln!(said, "=== a folder\n{}", house.refused(&["verify", "."]));
    let _ = writeln!(said, "=== a device\n{}", house.refused(&["verify", "/dev/zero"]));
    insta::assert_snapshot!(said);
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    let house = House::new();
    let path = house.file("scenario.yaml", SCENARIO);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // This user may read everything: what is to be tested cannot be set up.
        return;
    }
    let message = house.refused(&["verify", "scenario.yaml"]);
    assert_eq!(message, "error: scenario.yaml: cannot read the scenario: permission denied\n");
}

#[test]
fn wrong_arguments_are_explained() {
    let house = House::new();
    house.file("scenario.yaml", SCENARIO);
    house.file("empty.pem", "");
    let mut said = String::new();
    for arguments in [
        &["doctor", "--server", "http://127.0.0.1"][..],
        &["doctor", "--server", "https://127.0.0.1:0"],
        &["doctor", "--server", "https://me:hunter2@127.0.0.1"],
        &["doctor", "--server", "127.0.0.1", "--context", "ops"],
        &["doctor", "--ca", "ca.pem"],
        &["doctor", "--no-controls", "--server", "127.0.0.1", "--ca", "none.pem"],
        &["doctor", "--no-controls", "--server", "127.0.0.1", "--ca", "empty.pem"],
        &["doctor", "--connect-timeout", "0s"],
        &["doctor", "--resolver", "vpc=dns.example.com"],
        &["verify", "scenario.yaml", "--changed-at", "yesterday"],
        &["verify", "scenario.yaml", "--wait", "5"],
        &["verify", "scenario.yaml", "--no-wait", "--wait", "5s"],
        &["verify", "scenario.yaml", "-o", "json", "-o", "text"],
        &["verify", "scenario.yaml", "-o", "pdf"],
        &["verify"],
        &["explain", "no-such-code"],
    ] {
        let _ = writeln!(said, "=== {}\n{}", arguments.join(" "), house.refused(arguments));
    }
    assert!(!said.lines().any(|line| line.contains("hunter2") && !line.starts_with("=== ")), "{said}");
    insta::assert_snapshot!(said);
}
