//! Where reports go, and the demo.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{HOST, House, Ran, Reported, closed_port};

const FORMATS: [(&str, &str); 6] = [
    ("text", ""),
    ("json", "{\n"),
    ("junit", "<?xml"),
    ("sarif", "{\n"),
    ("markdown", ""),
    ("html", "<!doctype html>"),
];

#[test]
fn every_format_goes_to_stdout_and_into_files() {
    let mut house = House::new();
    let dns = house.usual_dns();
    let expect = "expect: [{ cluster: prod, from: here, reachable: true }]\n";
    house.scenario(&format!("https://{HOST}:{}", closed_port().port()), dns, expect);
    let outputs: Vec<String> = FORMATS.iter().map(|(format, _)| format!("{format}=report.{format}")).collect();
    let mut command = house.command(&["verify", "scenario.yaml"]);
    let all = Ran::new(command.args(outputs.iter().flat_map(|output| ["-o", output])));
    assert_eq!(all.status, Some(1));
    // With files only, people still see the text.
    assert_eq!(all.stdout, std::fs::read_to_string(house.folder().join("report.text")).unwrap());
    for (format, begin) in FORMATS {
        let file = std::fs::read_to_string(house.folder().join(format!("report.{format}"))).unwrap();
        let alone = house.run(&["verify", "scenario.yaml", "-o", format]);
        assert_eq!(alone.status, Some(1), "{format}");
        for document in [&file, &alone.stdout] {
            assert!(document.starts_with(begin), "{format}: {document}");
            assert!(document.ends_with('\n') && document.contains("net-port-closed"), "{format}: {document}");
            assert!(!document.contains('\u{1b}'), "{format} holds escapes");
        }
        if matches!(format, "json" | "sarif") {
            let document: Value = serde_json::from_str(&file).unwrap();
            assert!(document.is_object());
        }
    }
    let sarif: Value =
        serde_json::from_str(&std::fs::read_to_string(house.folder().join("report.sarif")).unwrap()).unwrap();
    let location = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "scenario.yaml");
    let help = sarif["runs"][0]["tool"]["driver"]["rules"][0]["help"]["text"].as_str().unwrap();
    assert!(help.contains("Setting: "), "{help}");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let house = House::new();
    let nobody = closed_port();
    house.scenario(&format!("https://{nobody}"), nobody, "expect: [{ cluster: prod, from: here, reachable: true }]");
    let run = |more: &[&str], environment: &[(&str, &str)]| {
        let mut command = house.command(&["verify", "scenario.yaml"]);
        Ran::new(command.args(more).envs(environment.iter().copied())).stdout
    };
    assert!(!run(&[], &[]).contains('\u{1b}'));
    assert!(run(&["--color", "always"], &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!run(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    let narrow = run(&[], &[("COLUMNS", "60")]);
    // Commands (indented) and URLs are not broken: they are for copying.
    let too_wide: Vec<&str> = narrow
        .lines()
        .filter(|line| line.chars().count() > 60 && !line.starts_with("     ") && !line.contains("https://"))
        .collect();
    assert!(too_wide.is_empty(), "{too_wide:#?}");
    assert!(narrow.is_ascii(), "no UTF-8 in this locale: {narrow}");
}

#[test]
fn progress_goes_to_stderr() {
    let mut house = House::new();
    let api = house.api();
    let ran =
        house.run(&["doctor", "--no-controls", "--server", &api.to_string(), "--ca", "ca.pem", "-v", "-o", "json"]);
    assert!(ran.stderr.contains("tcp connected"), "{}", ran.stderr);
    assert_eq!(Reported::read(ran).verdict(), (0, "match"));
    let quiet = house.run(&["doctor", "--no-controls", "--server", &api.to_string(), "--ca", "ca.pem"]);
    assert_eq!(quiet.stderr, "", "not a terminal");
}

#[test]
fn a_report_that_cannot_be_written_stops_the_run_before_it_begins() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    house.scenario(
        &format!("https://{HOST}:{}", api.port()),
        dns,
        "expect: [{ cluster: prod, from: here, reachable: true }]\n",
    );
    for arguments in [
        &["verify", "scenario.yaml", "-o", "json=none/report.json"][..],
        &["verify", "scenario.yaml", "-o", "json=."],
        &["doctor", "--no-controls", "--server", "127.0.0.1:1", "-o", "json=none/report.json"],
        &["demo", "-o", "html=none/report.html"],
    ] {
        let message = house.refused(arguments);
        assert!(message.contains("a report cannot be written there"), "{message}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut house = House::new();
    let api = house.api().to_string();
    for arguments in [
        &["completions", "bash"][..],
        &["schema", "report"],
        &["explain", "net-port-closed"],
        &["--help"],
        &["doctor", "--no-controls", "--server", &api, "--ca", "ca.pem", "-o", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = house.command(arguments);
        let started = Instant::now();
        let child = command.stdout(writer).spawn().unwrap();
        drop(command);
        let ran = Ran::from_output(child.wait_with_output().unwrap(), started);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_demo_shows_one_match_and_one_mismatch() {
    let house = House::new();
    let found = Reported::read(house.run(&["demo", "-o", "json"]));
    assert_eq!(found.ran.status, Some(0), "the demo is well when it shows its mismatch");
    assert!(found.ran.wall < Duration::from_secs(10), "{:?}", found.ran.wall);
    let verdicts: Vec<&str> =
        found.report["cells"].as_array().unwrap().iter().map(|cell| cell["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["match", "mismatch"]);
    assert!(found.codes("error").contains(&"tls-certificate-expired"), "{:?}", found.codes("error"));
    assert!(found.codes("error").contains(&"partial-address-failure"));
    // Two at once do not get into each other's way.
    let other = house.command(&["demo"]).spawn().unwrap();
    let text = house.run(&["demo"]);
    assert_eq!(text.status, Some(0), "{}", text.stderr);
    for shown in ["tls-certificate-expired", "kubereach doctor", "kubereach verify"] {
        assert!(text.stdout.contains(shown), "{}", text.stdout);
    }
    assert_eq!(other.wait_with_output().unwrap().status.code(), Some(0));
}
