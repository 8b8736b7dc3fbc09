//! `kubereach verify`.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach::demo::servers::{CertificateSpec, DnsAnswer, DnsReply};

use crate::house::{HOST, House, Ran, Reported, closed_port};

const REACHABLE: &str = "expect: [{ cluster: prod, from: here, reachable: true }]\n";
const UNREACHABLE: &str = "expect: [{ cluster: prod, from: here, reachable: false }]\n";

fn now() -> String {
    Timestamp::now().to_string()
}

fn until(seconds: f64) -> DnsAnswer {
    DnsAnswer { reply: DnsReply::Nxdomain, until_seconds: Some(seconds), ttl: 1, ..DnsAnswer::default() }
}

fn at_last() -> DnsAnswer {
    DnsAnswer::addresses(vec!["127.0.0.1".parse().unwrap()])
}

#[test]
fn what_is_as_intended_is_a_match() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    house.scenario(&format!("https://{HOST}:{}", api.port()), dns, REACHABLE);
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.cell("here")["rounds"], 1);
    assert_eq!(found.cell("here")["via"], "private");
    house.scenario(&format!("https://{}", closed_port()), dns, UNREACHABLE);
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.cell("here")["observed"], "unreachable");
}

#[test]
fn what_is_not_as_intended_is_a_mismatch() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let open = format!("https://{HOST}:{}", api.port());
    house.scenario(&format!("https://{}", closed_port()), dns, REACHABLE);
    let found = house.verify(&[]);
    assert_eq!((found.verdict(), found.codes("error")[0]), ((1, "mismatch"), "net-port-closed"));
    house.scenario(&open, dns, UNREACHABLE);
    let found = house.verify(&[]);
    assert_eq!((found.verdict(), found.codes("error")[0]), ((1, "mismatch"), "net-reachable-though-not-intended"));
    house.scenario(&open, dns, "expect: [{ cluster: prod, from: here, reachable: true, via: public }]\n");
    let found = house.verify(&[]);
    assert_eq!((found.verdict(), found.codes("error")[0]), ((1, "mismatch"), "net-path-not-as-intended"));
}

#[test]
fn one_bad_address_among_several_is_not_hidden() {
    let mut house = House::new();
    let api = house.api();
    let dns =
        house.dns(vec![DnsAnswer::addresses(["127.0.0.1", "127.0.0.7"].map(|text| text.parse().unwrap()).to_vec())]);
    let endpoint = format!("https://{HOST}:{}", api.port());
    house.scenario(&endpoint, dns, REACHABLE);
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.cell("here")["observed"], "reachable");
    assert!(found.codes("error").contains(&"partial-address-failure"), "{:?}", found.codes("error"));
    assert_eq!(found.cell("here")["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn the_worst_cell_is_the_verdict() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let cells = |from: &str| {
        format!(
            "  away: {{ model: {{ ip: 198.51.100.7 }} }}\n  bastion: {{ ssh: {{ host: ops@bastion.example }} }}\n\
             expect: [{{ cluster: prod, from: {from}, reachable: true }}]\n"
        )
    };
    let endpoint = format!("https://{HOST}:{}", api.port());
    house.scenario(&endpoint, dns, &cells("[here, away]"));
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(found.codes("error"), ["inconclusive-facts-missing"]);
    house.scenario(&endpoint, dns, &cells("[here, bastion]"));
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(found.codes("error"), ["inconclusive-vantage-unavailable"]);
    house.scenario(&format!("https://{}", closed_port()), dns, &cells("[here, away]"));
    assert_eq!(house.verify(&[]).verdict(), (1, "mismatch"));
}

#[test]
fn a_young_change_is_propagating() {
    let mut house = House::new();
    let dns = house.usual_dns();
    let window = format!("{REACHABLE}propagation: {{ window: 1h, interval: 200ms, consecutive: 2 }}\n");
    house.scenario(&format!("https://{}", closed_port()), dns, &window);
    let found = house.verify(&["--changed-at", &now(), "--no-wait"]);
    assert_eq!(found.verdict(), (4, "propagating"));
    assert_eq!(found.cell("here")["rounds"], 1);
    let found = house.verify(&["--changed-at", &now(), "--wait", "1s"]);
    assert_eq!(found.verdict(), (4, "propagating"));
    assert!(found.cell("here")["rounds"].as_u64() > Some(2), "{:#}", found.cell("here")["rounds"]);
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&found.ran.wall), "{:?}", found.ran.wall);
    // A change that is older than its window excuses nothing, and nothing is waited for.
    let found = house.verify(&["--changed-at", "2024-01-01T00:00:00Z"]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert!(found.ran.wall < Duration::from_secs(4), "{:?}", found.ran.wall);
    // Without a declared change there is nothing to excuse either, when nobody waits.
    assert_eq!(house.verify(&["--no-wait"]).verdict(), (1, "mismatch"));
}

#[test]
fn a_change_that_arrives_is_waited_for() {
    let mut house = House::new();
    let api = house.api();
    let dns = house.dns(vec![until(2.0), at_last()]);
    let window = format!("{REACHABLE}propagation: {{ window: 30s, interval: 200ms, consecutive: 2 }}\n");
    house.scenario(&format!("https://{HOST}:{}", api.port()), dns, &window);
    let changed = now();
    let found = house.verify(&["--changed-at", &changed]);
    assert_eq!(found.verdict(), (0, "match"));
    let after = found.cell("here")["convergedAfterMs"].as_u64().unwrap();
    assert!((500..15_000).contains(&after), "{after}");
    assert!(found.cell("here")["rounds"].as_u64() >= Some(3));
}

#[test]
fn a_window_that_ends_gives_a_firm_verdict() {
    let mut house = House::new();
    let dns = house.dns(vec![DnsAnswer { reply: DnsReply::Nxdomain, ..DnsAnswer::default() }]);
    let window = format!("{REACHABLE}propagation: {{ window: 1s, interval: 100ms, consecutive: 2 }}\n");
    house.scenario(&format!("https://{HOST}"), dns, &window);
    let found = house.verify(&["--changed-at", &now()]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.cell("here")["convergedAfterMs"], serde_json::Value::Null);
    assert!((Duration::from_millis(900)..Duration::from_secs(6)).contains(&found.ran.wall), "{:?}", found.ran.wall);
}

#[test]
fn an_interruption_while_waiting_reports_what_is_known() {
    let mut house = House::new();
    let dns = house.usual_dns();
    let port = closed_port();
    let window = format!("{REACHABLE}propagation: {{ window: 1h, interval: 30s }}\n");
    house.scenario(&format!("https://{HOST}:{}", port.port()), dns, &window);
    let found = interrupted(&house, &["--changed-at", &now()], "INT", Duration::from_secs(2));
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(found.codes("error"), ["inconclusive-run-interrupted"]);
    // The round that was complete is still shown.
    assert_eq!(found.stages("here")[0], "refused");
    assert_eq!(found.cell("here")["dns"][0]["outcome"], "answer");
}

#[test]
fn an_interruption_while_probing_reports_what_is_known() {
    let mut house = House::new();
    let (silent, dns) = (house.silent(), house.usual_dns());
    house.scenario(&format!("https://{HOST}:{}", silent.port()), dns, REACHABLE);
    for signal in ["INT", "TERM"] {
        let found = interrupted(&house, &["--connect-timeout", "30s"], signal, Duration::from_secs(1));
        assert_eq!(found.verdict(), (3, "inconclusive"));
        assert_eq!(found.codes("error"), ["inconclusive-run-interrupted"]);
        assert_eq!(found.cell("here")["dns"][0]["outcome"], "answer");
    }
}

#[test]
fn a_change_that_an_interruption_leaves_undecided_is_inconclusive_whatever_was_seen() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let window = format!("{UNREACHABLE}propagation: {{ window: 1h, interval: 30s }}\n");
    house.scenario(&format!("https://{HOST}:{}", api.port()), dns, &window);
    let found = interrupted(&house, &["--changed-at", &now()], "INT", Duration::from_secs(2));
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(found.codes("error")[0], "inconclusive-run-interrupted");
    assert_eq!(found.stages("here")[2], "api-server");
}

fn interrupted(house: &House, arguments: &[&str], signal: &str, after: Duration) -> Reported {
    let started = Instant::now();
    let mut command = house.command(&["verify", "scenario.yaml", "-o", "json"]);
    let child = command.args(arguments).spawn().unwrap();
    std::thread::sleep(after);
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    let ran = Ran::from_output(child.wait_with_output().unwrap(), started);
    assert!(ran.wall < after + Duration::from_secs(3), "{:?}", ran.wall);
    Reported::read(ran)
}

#[test]
fn the_whole_run_has_a_time_limit() {
    let mut house = House::new();
    let (silent, dns) = (house.silent(), house.usual_dns());
    house.scenario(&format!("https://{HOST}:{}", silent.port()), dns, REACHABLE);
    let found = house.verify(&["--timeout", "1s", "--connect-timeout", "30s"]);
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(found.codes("error"), ["inconclusive-run-interrupted"]);
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&found.ran.wall), "{:?}", found.ran.wall);
    let found = house.doctor(&["--server", &silent.to_string(), "--timeout", "1s", "--connect-timeout", "30s"]);
    assert_eq!(found.verdict(), (3, "inconclusive"));
}

#[test]
fn each_stage_has_a_time_limit() {
    let mut house = House::new();
    let silent = house.silent();
    let found = house.doctor(&["--server", &silent.to_string(), "--ca", "ca.pem", "--connect-timeout", "500ms"]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.stages("here"), ["connected", "timeout", "skipped"]);
    assert!(found.ran.wall < Duration::from_secs(6), "{:?}", found.ran.wall);
}

#[test]
fn a_proxy_is_a_vantage() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let hosts = [(HOST.to_owned(), api.ip())].into();
    let proxy =
        kubereach::demo::servers::Socks5 { listen: vec![crate::house::anywhere()], hosts, ..Default::default() };
    let proxy = house.serve(kubereach::demo::servers::ServerSpec::Socks5(proxy));
    let rest = format!(
        "  remote: {{ proxy: {{ url: 'socks5h://{proxy}' }} }}\n  local-name: {{ proxy: {{ url: 'socks5://{proxy}' }} }}\n\
         expect: [{{ cluster: prod, from: [remote, local-name], reachable: true }}]\n"
    );
    house.scenario(&format!("https://{HOST}:{}", api.port()), dns, &rest);
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.cell("remote")["attempts"][0]["address"], serde_json::Value::Null);
    assert_eq!(found.cell("local-name")["attempts"][0]["address"], "127.0.0.1");
}

#[test]
fn cells_run_side_by_side() {
    let mut house = House::new();
    let (silent, dns) = (house.silent(), house.usual_dns());
    let vantages: String =
        (0..20).fold(String::new(), |text, index| text + &format!("  v{index}: {{ local: {{}} }}\n"));
    let names: Vec<String> = (0..20).map(|index| format!("v{index}")).collect();
    let rest = format!("{vantages}expect: [{{ cluster: prod, from: [{}], reachable: false }}]\n", names.join(", "));
    house.scenario(&format!("https://{HOST}:{}", silent.port()), dns, &rest);
    let found = house.verify(&["--connect-timeout", "1s"]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.vantages().len(), 20);
    assert!(found.ran.wall < Duration::from_secs(8), "{:?}", found.ran.wall);
}

#[test]
fn the_certificate_may_be_for_another_name() {
    let mut house = House::new();
    let dns = house.usual_dns();
    let api = house.api_that(|server| {
        server.certificate = CertificateSpec { names: vec!["inner.test".to_owned()], ..CertificateSpec::default() };
    });
    let endpoint = format!("https://{HOST}:{}', serverName: 'inner.test", api.port());
    house.scenario(&endpoint, dns, REACHABLE);
    assert_eq!(house.verify(&[]).verdict(), (0, "match"));
}
