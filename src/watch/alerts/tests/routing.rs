use std::collections::BTreeSet;

use super::*;
use crate::{
    report::Finding,
    watch::{
        alerts::{forgotten, permalink, raised, reconciled},
        record::{Change, ChangeKind},
    },
};

#[test]
fn an_incident_is_one_alert_a_receiver() {
    let mut narrow = route(&["hook"]);
    narrow.matcher.clusters = vec!["eu-*".to_owned()];
    narrow.repeat = Duration::from_mins(10);
    narrow.labels = vec![("team".to_owned(), "sre".to_owned()), ("cluster".to_owned(), "forged".to_owned())];
    let mut other = route(&["pager"]);
    other.matcher.vantages = vec!["ci*".to_owned()];
    let config = config(Vec::new(), vec![route(&["hook", "ops"]), narrow, other]);
    let cell = cell(Verdict::Mismatch);
    let mut event = event(EventKind::Failed, &cell, 0);
    let text = "publicAccessCidrs lost 203.0.113.0/24".to_owned();
    event.changes = vec![Change { kind: ChangeKind::Configuration, at: at(0), text }; 12];
    let alerts = raised(&config, &event, &cell, &[]);
    assert_eq!(alerts.iter().map(|alert| alert.receiver.as_str()).collect::<Vec<_>>(), ["hook", "ops"]);
    let hook = &alerts[0];
    assert_eq!(hook.repeat_seconds, 600);
    assert_eq!(hook.starts_at, at(0));
    assert_eq!(hook.next_at, at(60));
    assert_eq!(
        hook.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        [
            "alertname=KubereachUnreachable",
            "check=prod",
            "cluster=eu-1",
            "provider=eks",
            "severity=error",
            "target=kubernetes",
            "team=sre",
            "vantage=office"
        ]
    );
    let annotation = |name: &str| hook.annotations[name].as_str();
    assert_eq!(annotation("summary"), "eu-1 is unreachable from office");
    assert_eq!(annotation("code"), "eks-client-not-in-public-access-cidrs");
    assert_eq!(annotation("url"), "https://watch.example.com/cells/prod/eu-1/office/kubernetes");
    assert!(annotation("description").contains("seen as 203.0.113.7"));
    assert!(annotation("runbook_url").ends_with("/docs/causes.md#eks-client-not-in-public-access-cidrs"));
    assert!(annotation("changes").starts_with("2023-11-14 22:13:20 UTC publicAccessCidrs lost 203.0.113.0/24\n"));
    assert!(annotation("changes").ends_with("\nand 2 more"));
}

#[test]
fn what_is_no_incident_raises_nothing() {
    let config = config(Vec::new(), vec![route(&["ops"])]);
    for verdict in [Verdict::Match, Verdict::Propagating, Verdict::Inconclusive] {
        let cell = cell(verdict);
        for kind in [EventKind::First, EventKind::Failed, EventKind::Changed] {
            assert_eq!(raised(&config, &event(kind, &cell, 0), &cell, &[]), []);
        }
        assert_eq!(reconciled(&config, &cell, None, &[], at(90)), []);
    }
    let cell = cell(Verdict::Mismatch);
    for kind in [EventKind::Paused, EventKind::Resumed, EventKind::Configuration] {
        assert_eq!(raised(&config, &event(kind, &cell, 0), &cell, &[]), []);
    }
}

#[test]
fn a_route_takes_what_is_bad_enough() {
    let mut cell = cell(Verdict::Inconclusive);
    let mut detail = cell.detail.as_deref().unwrap().clone();
    detail.findings[0].severity = Severity::Warning;
    cell.detail = Some(Arc::new(detail));
    let mut wide = route(&["ops"]);
    wide.inconclusive = true;
    let event = event(EventKind::Failed, &cell, 0);
    assert_eq!(raised(&config(Vec::new(), vec![wide.clone()]), &event, &cell, &[]), []);
    wide.severity = Severity::Warning;
    let alerts = raised(&config(Vec::new(), vec![wide]), &event, &cell, &[]);
    assert_eq!(alerts[0].labels["alertname"], "KubereachInconclusive");
    assert_eq!(alerts[0].labels["severity"], "warning");
}

#[test]
fn what_is_reachable_and_should_not_be_has_a_name_of_its_own() {
    let mut cell = cell(Verdict::Mismatch);
    cell.intended = Intended::Unreachable;
    cell.last.as_mut().unwrap().observed = Reachability::Reachable;
    let alerts = raised(&config(Vec::new(), vec![route(&["ops"])]), &event(EventKind::First, &cell, 0), &cell, &[]);
    assert_eq!(alerts[0].labels["alertname"], "KubereachUnexpectedlyReachable");
}

#[test]
fn another_cause_is_the_same_alert_with_other_words() {
    let config = config(Vec::new(), vec![route(&["ops"])]);
    let mut cell = cell(Verdict::Mismatch);
    let first = raised(&config, &event(EventKind::Failed, &cell, 0), &cell, &[]);
    let told = Alert { delivered: true, id: 9, next_at: at(4_000), ..first[0].clone() };
    cell.state.standing = Some(Standing { verdict: Verdict::Mismatch, code: Some("net-tcp-timeout".to_owned()) });
    // It is reachable now, by the wrong path: still the incident that was told.
    cell.last.as_mut().unwrap().observed = Reachability::Reachable;
    let next = raised(&config, &event(EventKind::Changed, &cell, 300), &cell, std::slice::from_ref(&told));
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].starts_at, next[0].ends_at, next[0].next_at), (at(0), None, at(360)));
    assert_eq!(next[0].labels, told.labels);
    assert_eq!(next[0].annotations["code"], "net-tcp-timeout");
    // Nor does it end because it cannot be decided any longer, or is taken for the effect of a change.
    for verdict in [Verdict::Inconclusive, Verdict::Propagating] {
        cell.state.standing = Some(standing(verdict));
        assert_eq!(raised(&config, &event(EventKind::Changed, &cell, 600), &cell, std::slice::from_ref(&told)), []);
        assert_eq!(reconciled(&config, &cell, None, std::slice::from_ref(&told), at(700)), []);
    }
}

#[test]
fn what_becomes_worse_ends_one_alert_and_begins_another() {
    let mut wide = route(&["ops"]);
    wide.inconclusive = true;
    let config = config(Vec::new(), vec![wide]);
    let undecided = cell(Verdict::Inconclusive);
    let first = raised(&config, &event(EventKind::Failed, &undecided, 0), &undecided, &[]);
    let mut worse = cell(Verdict::Mismatch);
    worse.state.incident = Some(at(0));
    let next = raised(&config, &event(EventKind::Changed, &worse, 300), &worse, &first);
    assert_eq!(next.len(), 2);
    assert_eq!((next[0].starts_at, next[0].ends_at), (at(0), Some(at(300))));
    assert_eq!(next[0].labels, first[0].labels);
    assert_eq!((next[1].starts_at, next[1].ends_at), (at(300), None));
    assert_eq!(next[1].labels["alertname"], "KubereachUnreachable");
    assert!(!next[1].delivered);
    // Back to undecided: the worse alert stays.
    let open = [Alert { ends_at: Some(at(300)), ..first[0].clone() }, next[1].clone()];
    let back = raised(&config, &event(EventKind::Changed, &undecided, 600), &undecided, &open);
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].labels, next[1].labels);
}

#[test]
fn a_maintenance_window_holds_alerts_back_but_no_recovery() {
    let config = config(Vec::new(), vec![route(&["ops"])]);
    let mut broken = cell(Verdict::Mismatch);
    broken.maintenance = true;
    assert_eq!(raised(&config, &event(EventKind::Failed, &broken, 0), &broken, &[]), []);
    assert_eq!(reconciled(&config, &broken, None, &[], at(100)), []);
    // It closes, and the cell is still wrong.
    broken.maintenance = false;
    let late = reconciled(&config, &broken, None, &[], at(7_200));
    assert_eq!((late[0].starts_at, late[0].next_at), (at(0), at(7_200)));
    assert_eq!(reconciled(&config, &broken, None, &late, at(7_230)), []);
    // Where the event is known, the alert tells what it told.
    let mut known = event(EventKind::Failed, &broken, 0);
    let text = "publicAccessCidrs lost 203.0.113.0/24".to_owned();
    known.changes = vec![Change { kind: ChangeKind::Configuration, at: at(-60), text }];
    let told = &reconciled(&config, &broken, Some(&known), &[], at(7_200))[0].annotations;
    assert_eq!(told["summary"], known.summary);
    assert!(told["changes"].ends_with("publicAccessCidrs lost 203.0.113.0/24"), "{told:?}");
    assert_ne!(late[0].annotations["summary"], known.summary);
    // A recovery inside a window ends what was told before.
    let mut fine = cell(Verdict::Match);
    fine.maintenance = true;
    let over = raised(&config, &event(EventKind::Recovered, &fine, 9_000), &fine, &late);
    assert_eq!((over[0].starts_at, over[0].ends_at), (at(0), Some(at(9_000))));
    // What never was told does not end.
    assert_eq!(raised(&config, &event(EventKind::Recovered, &fine, 9_000), &fine, &[]), []);
}

#[test]
fn routes_that_change_are_followed() {
    let old = config(Vec::new(), vec![route(&["ops", "hook"])]);
    let cell = cell(Verdict::Mismatch);
    let open = reconciled(&old, &cell, None, &[], at(10));
    let mut labelled = route(&["hook", "pager"]);
    labelled.labels = vec![("team".to_owned(), "sre".to_owned())];
    let alerts = reconciled(&config(Vec::new(), vec![labelled]), &cell, None, &open, at(500));
    let told: Vec<_> = alerts.iter().map(|alert| (alert.receiver.as_str(), alert.starts_at, alert.ends_at)).collect();
    assert_eq!(
        told,
        [
            ("ops", at(0), Some(at(500))),
            ("hook", at(0), Some(at(500))),
            ("hook", at(500), None),
            ("pager", at(0), None)
        ]
    );
    // A cell that recovered while nobody looked, and one that is no longer checked.
    let mut fine = super::cell(Verdict::Match);
    fine.state.since = Some(at(400));
    assert!(reconciled(&old, &fine, None, &open, at(500)).iter().all(|alert| alert.ends_at == Some(at(400))));
    assert_eq!(forgotten(&BTreeSet::from([CellId(1)]), &open, at(500)), []);
    assert_eq!(forgotten(&BTreeSet::new(), &open, at(500)).len(), 2);
}

#[test]
fn hostile_words_are_bounded_and_visible() {
    let mut cell = cell(Verdict::Mismatch);
    let mut detail = cell.detail.as_deref().unwrap().clone();
    let finding = Finding {
        title: "\u{1b}[31m".repeat(10_000),
        evidence: vec!["x".repeat(10_000); 20],
        fix: Some("y".repeat(100_000)),
        setting: Some("z\n".repeat(9_000)),
        ..detail.findings[0].clone()
    };
    detail.findings = vec![finding; 50];
    cell.detail = Some(Arc::new(detail));
    cell.key.cluster = "a\u{202e}b/..".repeat(1_000);
    let alerts = raised(&config(Vec::new(), vec![route(&["ops"])]), &event(EventKind::Failed, &cell, 0), &cell, &[]);
    let texts: Vec<&String> = alerts[0].labels.values().chain(alerts[0].annotations.values()).collect();
    assert!(texts.iter().all(|text| !text.contains(['\u{1b}', '\u{202e}'])), "{texts:?}");
    assert!(alerts[0].labels.values().all(|text| text.chars().count() <= 201));
    let without_link = alerts[0].annotations.iter().filter(|(name, _)| *name != "url");
    assert!(without_link.map(|(_, text)| text.len()).sum::<usize>() < 8_000);
    assert!(!alerts[0].annotations.contains_key("fix"));
    assert!(alerts[0].annotations["description"].ends_with("There are 49 more findings"));
}

#[test]
fn a_permalink_holds_any_name() {
    let key = CellKey {
        check: "a/b".to_owned(),
        cluster: "<ü>".to_owned(),
        vantage: "x y".to_owned(),
        target: CellTarget::EksApi,
    };
    assert_eq!(permalink(None, &key), None);
    assert_eq!(
        permalink(Some("https://watch.example.com/"), &key).unwrap(),
        "https://watch.example.com/cells/a%2Fb/%3C%C3%BC%3E/x%20y/eks-api"
    );
}
