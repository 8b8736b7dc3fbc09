use std::{net::SocketAddr, path::PathBuf};

use kubereach_probes::{AddressClasses, ProxyScheme, ProxyTarget};

use super::*;
use crate::{
    report::{Confidence, Provider, Reachability},
    scenario::{ClusterEndpoint, Egress, Propagation},
};

fn plan() -> Plan {
    let cluster = Cluster {
        name: "prod".to_owned(),
        endpoint: Some(ClusterEndpoint { host: "127.0.0.1".to_owned(), port: 1, base_path: String::new() }),
        provider: Provider::Generic,
        ca_pem: None,
        server_name: None,
        addresses: Vec::new(),
        intent: None,
        provider_block: None,
        facts: None,
        kubeconfig: None,
        line: 3,
    };
    Plan {
        clusters: vec![cluster],
        vantages: vec![local("here")],
        cells: vec![planned(0, Intended::Reachable)],
        resolvers: Vec::new(),
        controls: None,
        classes: AddressClasses::default(),
        propagation: Propagation::default(),
        nats: None,
        contradictions: Vec::new(),
        file: PathBuf::from("scenario.yaml"),
    }
}

fn local(name: &str) -> Vantage {
    let kind = VantageKind::Local { source_ip: None, interface: None, netns: None };
    Vantage { name: name.to_owned(), kind, resolvers: Vec::new(), egress: Egress::default(), line: 5 }
}

fn planned(vantage: usize, intended: Intended) -> PlannedCell {
    PlannedCell {
        cluster: 0,
        target: CellTarget::Kubernetes,
        vantage,
        intended,
        via: None,
        origin: "expect, line 7".to_owned(),
    }
}

fn resolver(label: &str, last: u8) -> NamedResolver {
    let servers = vec![SocketAddr::from(([127, 0, 0, last], 53))];
    NamedResolver { label: label.to_owned(), servers, eager: true }
}

#[test]
fn the_nearest_word_on_a_resolver_wins() {
    let mut plan = plan();
    plan.resolvers = vec![resolver("system", 3), resolver("vpc", 3), resolver("lab", 3)];
    plan.vantages[0].resolvers = vec![resolver("vpc", 2), resolver("system", 2)];
    let settings = Settings {
        resolvers: vec![resolver("mine", 1), resolver("system", 1)],
        fallback_resolvers: vec![resolver("lab", 4), resolver("public", 4)],
        ..Settings::default()
    };
    let vantage = plan.vantages[0].clone();
    let options = options(&plan, &settings, &vantage);
    assert_eq!(options.system, SystemResolver::Servers(resolver("system", 1).servers));
    assert_eq!(options.resolvers, [resolver("mine", 1), resolver("vpc", 2), resolver("lab", 3), resolver("public", 4)]);
    let plain = self::options(&self::plan(), &Settings::default(), &local("there"));
    assert_eq!((plain.system, plain.resolvers), (SystemResolver::Host, Vec::new()));
}

#[test]
fn the_plan_says_who_may_be_asked_in_need() {
    let control = |host: &str| Endpoint { host: host.to_owned(), port: 53 };
    let settings = Settings { default_controls: vec![control("default.example")], ..Settings::default() };
    for (controls, expected) in [
        (None, vec![control("default.example")]),
        (Some(Vec::new()), Vec::new()),
        (Some(vec![control("own.example")]), vec![control("own.example")]),
    ] {
        let plan = Plan { controls, ..plan() };
        assert_eq!(options(&plan, &settings, &local("here")).controls, expected);
    }
}

#[test]
fn the_local_end_belongs_to_the_vantage() {
    let (plan, settings) = (plan(), Settings { connect_timeout: Duration::from_secs(7), ..Settings::default() });
    let kind = VantageKind::Local {
        source_ip: Some("127.0.0.7".parse().unwrap()),
        interface: Some("lo".to_owned()),
        netns: None,
    };
    let bound = options(&plan, &settings, &Vantage { kind, ..local("here") });
    assert_eq!(bound.source.interface.as_deref(), Some("lo"));
    assert_eq!(bound.source.address, Some("127.0.0.7".parse().unwrap()));
    assert_eq!((bound.connect_timeout, bound.dns_timeout), (Duration::from_secs(7), Duration::from_secs(7)));
    let proxy = ProxyTarget {
        scheme: ProxyScheme::Socks5h,
        host: "127.0.0.1".to_owned(),
        port: 1080,
        credentials: None,
        authorities: None,
    };
    let through = options(&plan, &settings, &Vantage { kind: VantageKind::Proxy(proxy), ..local("proxy") });
    assert_eq!(through.proxy.unwrap().redacted(), "socks5h://127.0.0.1:1080");
    assert_eq!(through.source, SourceBinding::default());
}

#[test]
fn the_window_is_the_scenarios_then_the_providers_then_the_wait() {
    let (minute, two, ten) = (Duration::from_mins(1), Duration::from_mins(2), Duration::from_secs(10));
    for (provider, declared, wait, window) in [
        (Provider::Aks, None, None, two),
        (Provider::Eks, None, None, Duration::ZERO),
        (Provider::Generic, None, None, Duration::ZERO),
        (Provider::Aks, Some(minute), None, minute),
        (Provider::Generic, Some(minute), None, minute),
        (Provider::Aks, Some(Duration::ZERO), None, Duration::ZERO),
        // Somebody who waits for a cluster without a window has named the window.
        (Provider::Generic, None, Some(ten), ten),
        (Provider::Aks, None, Some(ten), two),
        (Provider::Generic, None, Some(Duration::ZERO), Duration::ZERO),
    ] {
        let mut plan = plan();
        plan.propagation.window = declared;
        let (settings, now) = (Settings { wait, ..Settings::default() }, Timestamp::now());
        let frame = Frame { plan: &plan, settings: &settings, started_at: now };
        let convergence = frame.convergence(provider, None, now);
        assert_eq!((convergence.window, convergence.wait), (window, wait), "{provider:?} {declared:?} {wait:?}");
    }
}

#[test]
fn a_change_that_azure_tells_of_has_two_minutes_from_its_time() {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let at = |seconds: i64| start.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    let update = |began: Option<i64>, ended: Option<i64>, followed| causes::Update {
        id: None,
        kind: None,
        began: began.map(at),
        ended: ended.map(at),
        followed,
    };
    // (the update, what is declared, now) → (the time of the change, the end of the window), in seconds from the start.
    for (update, declared, now, changed, ends) in [
        // It was over half a minute before the run.
        (update(Some(-30), Some(-30), true), None, 0, -30, 90),
        // What is declared is the time that counts, and the younger of both opens the window.
        (update(Some(-30), Some(-30), true), Some(-100), 0, -100, 90),
        (update(Some(-100), Some(-100), true), Some(-30), 0, -30, 90),
        // Under way: for as long as it is, and two minutes more.
        (update(Some(-30), None, true), None, 60, -30, 180),
        (update(None, None, true), None, 60, 0, 180),
        // It ended during the run.
        (update(Some(-30), Some(40), true), None, 50, -30, 160),
        // From a folder its end cannot be seen.
        (update(None, None, false), None, 300, 0, 120),
    ] {
        let plan = plan();
        let settings = Settings { changed_at: declared.map(at), ..Settings::default() };
        let frame = Frame { plan: &plan, settings: &settings, started_at: start };
        let convergence = frame.convergence(Provider::Aks, Some(&update), at(now));
        let window = jiff::SignedDuration::try_from(convergence.window).unwrap();
        let seen = (convergence.changed_at, convergence.changed_at.and_then(|from| from.checked_add(window).ok()));
        assert_eq!(seen, (Some(at(changed)), Some(at(ends))), "{update:?} {declared:?} {now}");
    }
}

#[test]
fn ranges_that_open_ninety_seconds_after_the_change_are_waited_for() {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let at = |seconds: i64| start.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    let plan = plan();
    let settings = Settings { changed_at: Some(start), ..Settings::default() };
    let frame = Frame { plan: &plan, settings: &settings, started_at: start };
    let outcome = |opens: i64| {
        let mut rounds = Vec::new();
        for seconds in (0..600).step_by(5) {
            let agreement = if seconds >= opens { Agreement::Agrees } else { Agreement::Disagrees };
            rounds.push((at(seconds), agreement));
            let convergence = frame.convergence(Provider::Aks, None, at(seconds));
            match convergence.next(&rounds) {
                Next::Again => {}
                next => return (next, seconds, convergence.converged_after(at(opens))),
            }
        }
        unreachable!("it is judged at some time")
    };
    // Three rounds agree: those at 90, 95 and 100 seconds; the first of them is when it converged.
    assert_eq!(outcome(90), (Next::Judge, 100, 90_000));
    // It never opens: it is judged when two minutes are over.
    let (next, seconds, _) = outcome(1_000);
    assert_eq!((next, seconds), (Next::Judge, 120));
}

#[test]
fn a_ca_that_cannot_be_used_is_bad_input() {
    let unread = [State::default()];
    let mut plan = plan();
    plan.clusters[0].ca_pem = Some("nothing".to_owned());
    let errors = targets(&plan, &unread).unwrap_err().to_string();
    assert!(errors.starts_with("error: scenario.yaml:3:1: the CA of cluster \"prod\": "), "{errors}");
    plan.clusters[0].ca_pem = None;
    assert!(matches!(targets(&plan, &unread).unwrap()[0].as_deref(), Some(Target { trust: Trust::SystemRoots, .. })));
    plan.clusters[0].endpoint = None;
    assert!(targets(&plan, &unread).unwrap()[0].is_none());
}

fn finding(code: &str, cluster: &str, vantage: &str, severity: Severity, confidence: Confidence) -> Finding {
    Finding {
        code: code.to_owned(),
        severity,
        confidence,
        title: code.to_owned(),
        cluster: Some(cluster.to_owned()),
        vantage: Some(vantage.to_owned()),
        cells: Vec::new(),
        evidence: vec![format!("seen from {vantage}")],
        setting: None,
        fix: None,
        docs: None,
    }
}

fn cell(vantage: &str, intended: Intended, verdict: Verdict, findings: Vec<Finding>) -> Cell {
    Cell {
        cluster: "prod".to_owned(),
        vantage: vantage.to_owned(),
        target: CellTarget::Kubernetes,
        endpoint: None,
        provider: Provider::Generic,
        intended,
        configured: Reachability::Unknown,
        configured_now: None,
        observed: Reachability::Unknown,
        verdict,
        via: None,
        dns: Vec::new(),
        attempts: Vec::new(),
        proxy: None,
        egress: Vec::new(),
        left_out: Vec::new(),
        connectivity: None,
        path: Vec::new(),
        findings,
        converged_after_ms: None,
        rounds: 1,
        summary: String::new(),
    }
}

#[test]
fn a_finding_stands_once_with_all_its_cells() {
    use Confidence::{Certain, Likely, Possible};
    use Severity::{Error, Info, Warning};
    let mut other_fix = finding("c", "prod", "b", Warning, Possible);
    other_fix.fix = Some("another command".to_owned());
    let cells = vec![
        cell(
            "a",
            Intended::Reachable,
            Verdict::Mismatch,
            vec![finding("a", "prod", "a", Error, Possible), finding("c", "prod", "a", Info, Likely)],
        ),
        cell(
            "b",
            Intended::Reachable,
            Verdict::Mismatch,
            vec![finding("a", "prod", "b", Warning, Likely), finding("b", "prod", "b", Error, Certain), other_fix],
        ),
    ];
    let report = assemble(cells, Vec::new(), Timestamp::UNIX_EPOCH, false);
    let told: Vec<_> = report
        .findings
        .iter()
        .map(|one| (one.code.as_str(), one.severity, one.confidence, one.cells.join(" "), one.vantage.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("b", Error, Certain, "prod/b".to_owned(), Some("b")),
            ("a", Error, Likely, "prod/a prod/b".to_owned(), None),
            ("c", Warning, Possible, "prod/b".to_owned(), Some("b")),
            ("c", Info, Likely, "prod/a".to_owned(), Some("a")),
        ]
    );
    assert_eq!(report.findings[1].cluster.as_deref(), Some("prod"));
    assert_eq!(report.findings[1].evidence, ["seen from a", "seen from b"]);
    // The cells keep their own words.
    assert_eq!(report.cells[1].findings[0].vantage.as_deref(), Some("b"));
    assert!(report.cells[0].findings[0].cells.is_empty());
}

#[test]
fn the_worst_cell_decides_but_never_doctors_other_path() {
    use Intended::{Reachable, Unspecified};
    use Verdict::{Inconclusive, Match, Mismatch, Propagating};
    for (verdicts, doctor, expected) in [
        (&[(Reachable, Match), (Reachable, Propagating)][..], false, Propagating),
        (&[(Reachable, Inconclusive), (Reachable, Propagating)], false, Inconclusive),
        (&[(Reachable, Mismatch), (Reachable, Inconclusive)], false, Mismatch),
        (&[(Reachable, Match), (Unspecified, Mismatch)], false, Mismatch),
        (&[(Reachable, Match), (Unspecified, Mismatch)], true, Match),
        (&[(Reachable, Mismatch), (Unspecified, Match)], true, Mismatch),
        (&[], false, Inconclusive),
    ] {
        let cells = verdicts.iter().map(|(intended, verdict)| cell("v", *intended, *verdict, Vec::new())).collect();
        assert_eq!(
            assemble(cells, Vec::new(), Timestamp::UNIX_EPOCH, doctor).verdict,
            expected,
            "{verdicts:?} {doctor}"
        );
    }
}

#[tokio::test]
async fn a_run_tells_what_happens_and_ends() {
    let mut plan = plan();
    // Nobody listens on port 1 of this loopback address.
    plan.clusters[0].endpoint.as_mut().unwrap().host = "127.9.9.9".to_owned();
    plan.controls = Some(Vec::new());
    plan.vantages.push(Vantage { kind: VantageKind::Model { ip: None, instance: None }, ..local("away") });
    plan.cells.push(planned(1, Intended::Reachable));
    let (_stop, stopped) = watch::channel(false);
    let (events, mut happened) = mpsc::unbounded_channel();
    let report = run(&plan, &Settings::default(), stopped, Some(events)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Mismatch);
    let vantages: Vec<&str> = report.cells.iter().map(|cell| cell.vantage.as_str()).collect();
    assert_eq!(vantages, ["here", "away"], "the order of the plan, not of the ends");
    assert_eq!(report.cells[0].attempts[0].tcp.outcome.label(), "refused");
    assert_eq!(report.cells[1].verdict, Verdict::Inconclusive);
    assert_eq!(report.cells[1].findings[0].code, "inconclusive-facts-missing");
    let (mut started, mut done, mut stages) = (0, 0, 0);
    while let Some(event) = happened.recv().await {
        match event {
            Event::CellStarted { .. } => started += 1,
            Event::CellDone { .. } => done += 1,
            Event::Stage { .. } => stages += 1,
            Event::Configuration { .. } => panic!("no configuration to read"),
            Event::Note { text } => panic!("{text}"),
            Event::Waiting { .. } => panic!("nothing to wait for"),
        }
    }
    assert_eq!((started, done), (2, 2));
    assert!(stages > 0);
    assert!(report.finished_at >= report.started_at);
}
