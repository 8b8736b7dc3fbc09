//! What the binary says of itself: help, manual pages, completions, schemas, explanations.

use kubereach::causes;
use serde_json::Value;

use crate::house::{House, Ran};

const COMMANDS: [&str; 13] = [
    "doctor",
    "verify",
    "predict",
    "trace",
    "facts",
    "watch",
    "history",
    "agent",
    "explain",
    "demo",
    "schema",
    "completions",
    "man",
];
/// Commands of the contract that this version does not have.
const LATER: [&str; 1] = ["init"];

fn assert_names_no_later_command(text: &str, whence: &str) {
    for later in LATER {
        let command = format!("kubereach {later}");
        assert!(!text.contains(&command), "{whence} names {command:?}");
    }
}

#[test]
fn help_fits_and_names_only_what_there_is() {
    let house = House::new();
    let mut pages: Vec<Vec<&str>> = vec![vec!["--help"], vec!["-h"], vec!["help"]];
    pages.extend(COMMANDS.iter().flat_map(|command| [vec![*command, "--help"], vec![*command, "-h"]]));
    for arguments in pages {
        let ran = Ran::new(house.command(&arguments).env("COLUMNS", "80"));
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let too_wide: Vec<&str> = ran.stdout.lines().filter(|line| line.chars().count() > 84).collect();
        assert!(too_wide.is_empty(), "{arguments:?}: {too_wide:#?}");
        assert_names_no_later_command(&ran.stdout, &arguments.join(" "));
        assert!(ran.stdout.contains("Usage: kubereach"), "{arguments:?}: {}", ran.stdout);
    }
    let all = house.run(&["--help"]).stdout;
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is missing from {all}");
    }
    let listed = all.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let listed: Vec<&str> = listed.collect();
    assert!(LATER.iter().all(|later| !listed.contains(later)), "{all}");
    assert!(house.run(&["--version"]).stdout.starts_with("kubereach "));
}

#[test]
fn commands_of_later_versions_are_refused_as_unknown() {
    let house = House::new();
    for later in LATER {
        assert!(house.refused(&[later]).contains("unrecognized subcommand"), "{later}");
    }
}

#[test]
fn every_code_is_explained() {
    let house = House::new();
    for cause in causes::all() {
        let ran = house.run(&["explain", cause.code]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{}", cause.code);
        assert!(ran.stdout.contains(cause.code) && ran.stdout.contains(cause.docs), "{}", ran.stdout);
        assert_names_no_later_command(&ran.stdout, cause.code);
    }
    let json = house.run(&["explain", "net-port-closed", "-o", "json"]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["code"], "net-port-closed");
    let unknown = house.refused(&["explain", "net-port-closd"]);
    assert!(unknown.contains("net-port-closed"), "{unknown}");
}

#[test]
fn error_texts_of_kubectl_are_ranked() {
    let house = House::new();
    for (text, code) in [
        ("dial tcp 198.51.100.7:443: connect: connection refused", "net-port-closed"),
        ("x509: certificate has expired or is not yet valid", "tls-certificate-expired"),
        ("dial tcp: lookup api.example on 10.0.0.2:53: no such host", "dns-name-does-not-exist"),
    ] {
        let ran = house.run(&["explain", text]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains(code) || !ran.stdout.is_empty(), "{text}: {}", ran.stdout);
        let json: Value = serde_json::from_str(&house.run(&["explain", text, "-o", "json"]).stdout).unwrap();
        assert!(json.to_string().contains("\"code\""), "{json}");
    }
}

#[test]
fn every_shell_is_completed() {
    let house = House::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = house.run(&["completions", shell]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(COMMANDS.iter().all(|command| ran.stdout.contains(command)), "{shell}");
        assert!(ran.stdout.contains("connect-timeout"), "{shell}");
    }
}

#[test]
fn manual_pages_are_written() {
    let house = House::new();
    let ran = house.run(&["man", "pages/man1"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let mut names = vec!["kubereach.1".to_owned()];
    names.extend(COMMANDS.iter().map(|command| format!("kubereach-{command}.1")));
    for name in names {
        let page = std::fs::read_to_string(house.folder().join("pages/man1").join(&name)).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{name}");
        assert_names_no_later_command(&page, &name);
        assert!(ran.stdout.contains(&name), "{}", ran.stdout);
    }
    house.file("in-the-way", "");
    assert!(house.refused(&["man", "in-the-way"]).contains("in-the-way"));
}

#[test]
fn schemas_are_schemas() {
    let house = House::new();
    for of in ["scenario", "report"] {
        let ran = house.run(&["schema", of]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
        let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{of}");
    }
}
