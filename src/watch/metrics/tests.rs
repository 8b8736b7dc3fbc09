use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, sync::Arc, time::Instant};

use jiff::Timestamp;

use super::*;
use crate::{
    report::{Cell, CellTarget, Intended, Provider, Reachability},
    watch::{
        board::CellNow,
        config::{Receiver, ReceiverKind, Retention, Storage},
        record::{CellId, CellKey, CellState, ClusterKey, DetailId, StageTimes, Standing},
    },
};

#[test]
fn every_metric_of_the_list_is_exported_and_no_other() {
    let (metrics, board) = full(3);
    let exposition = metrics.exposition(&board);
    let families: BTreeSet<&str> =
        exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let listed: BTreeSet<&str> = CATALOGUE.iter().map(Metric::family).collect();
    assert_eq!(families, listed);
    for metric in CATALOGUE {
        let line = format!("# TYPE {} {}\n", metric.family(), metric.kind.label());
        assert_eq!(exposition.matches(&line).count(), 1, "{line}");
        let sample = exposition.lines().find(|line| !line.starts_with('#') && line.starts_with(metric.name)).unwrap();
        let names: BTreeSet<&str> = sample
            .split_once('{')
            .map(|(_, labels)| labels.split("\",").filter_map(|label| label.split('=').next()).collect())
            .unwrap_or_default();
        let names: BTreeSet<&str> = names.into_iter().filter(|name| *name != "le").collect();
        assert_eq!(names, metric.labels.iter().copied().collect(), "{sample}");
    }
    assert!(exposition.ends_with("# EOF\n"));
}

#[test]
fn what_a_cell_shows() {
    let (metrics, board) = full(1);
    let exposition = metrics.exposition(&board);
    let names = r#"check="prod",cluster="cluster-0",vantage="office",target="kubernetes""#;
    for line in [
        format!("kubereach_cell_verdict{{{names},verdict=\"mismatch\"}} 1"),
        format!("kubereach_cell_verdict{{{names},verdict=\"match\"}} 0"),
        format!("kubereach_cell_observed{{{names},observed=\"unreachable\"}} 1"),
        format!("kubereach_cell_last_round_timestamp_seconds{{{names}}} 1700000060.000"),
        format!("kubereach_cell_next_due_timestamp_seconds{{{names}}} 1700000090.000"),
        format!("kubereach_cell_stage_duration_seconds{{{names},stage=\"tls\"}} 0.009001"),
        format!("kubereach_finding{{{names},code=\"eks-client-not-in-public-access-cidrs\",severity=\"error\"}} 1"),
        format!("kubereach_certificate_not_after_timestamp_seconds{{{names}}} 1798761600.000"),
        format!("kubereach_dns_class{{{names},class=\"public\"}} 1"),
        "kubereach_cells 1".to_owned(),
        "kubereach_rounds_total{check=\"prod\",verdict=\"mismatch\"} 1".to_owned(),
        "kubereach_deliveries_total{receiver=\"ops\",outcome=\"failed\"} 0".to_owned(),
    ] {
        assert!(exposition.lines().any(|have| have == line), "{line}\n{exposition}");
    }
    // What is never due again is never overdue.
    board.put(CellNow { due: Some(Timestamp::MAX), ..CellNow::clone(&board.cells()[0]) });
    assert!(!metrics.exposition(&board).contains("kubereach_cell_next_due_timestamp_seconds{"));
    let classic = metrics.classic_exposition(&board);
    assert!(classic.contains("# TYPE kubereach_rounds_total counter\n"));
    assert!(classic.contains("# TYPE kubereach_cell_info gauge\n"));
    assert!(!classic.contains("# EOF"));
}

#[test]
fn cells_of_others_and_cells_that_went_are_not_exported() {
    let (metrics, board) = full(2);
    let mut other = board.cells()[0].as_ref().clone();
    other.own = false;
    board.put(other);
    let exposition = metrics.exposition(&board);
    assert!(!exposition.contains("cluster-0\"") && exposition.contains("cluster-1\""));
    assert!(
        exposition
            .contains("kubereach_stage_duration_seconds_count{check=\"prod\",vantage=\"office\",stage=\"tls\"} 2")
    );
    board.retain(|_| false);
    let exposition = metrics.exposition(&board);
    assert!(!exposition.contains("kubereach_cell_verdict") && exposition.contains("kubereach_cells 0\n"));
    assert!(!exposition.contains("kubereach_stage_duration_seconds_count"));
}

#[test]
fn hostile_names_are_escaped_and_bounded() {
    let (metrics, board) = full(1);
    let mut cell = board.cells()[0].as_ref().clone();
    cell.key.cluster = format!("a\"}} 1\n# TYPE x\\{}", "é".repeat(10_000));
    board.put(cell.clone());
    cell.key.cluster.push('b');
    board.put(cell);
    metrics.delivery("b\"\n", true);
    let exposition = metrics.exposition(&board);
    let mut series: Vec<&str> = exposition.lines().filter(|line| line.starts_with("kubereach_cell_offline")).collect();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), 3, "what differs beyond the cut is another series");
    assert!(exposition.contains(r#"cluster="a\"} 1\n# TYPE x\\é"#));
    assert!(exposition.contains(r#"receiver="b\"\n""#));
    assert!(exposition.lines().all(|line| line.len() < 900));
}

#[test]
fn vantages_beyond_the_limit_share_their_histograms() {
    let (metrics, board) = full(1);
    let cell = board.cells()[0].as_ref().clone();
    let round = cell.last.clone().unwrap();
    for number in 0..MOST_PAIRS + 50 {
        let vantage = format!("vantage-{number}");
        metrics.round("prod", &vantage, &round, Duration::ZERO, Duration::ZERO);
        board.put(CellNow { key: CellKey { vantage, ..cell.key.clone() }, ..cell.clone() });
    }
    let exposition = metrics.exposition(&board);
    let counts = exposition.matches("kubereach_stage_duration_seconds_count{").count();
    assert_eq!(counts, (MOST_PAIRS + 1) * Stage::ALL.len());
    // One vantage was there before.
    let others = r#"kubereach_stage_duration_seconds_count{check="prod",vantage="(others)",stage="tls"} 51"#;
    assert!(exposition.lines().any(|line| line == others));
}

#[test]
fn the_document_lists_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once("<!-- metrics -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of metrics -->").unwrap();
    let mut table = String::from("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for metric in CATALOGUE {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let kind = metric.kind.label();
        writeln!(table, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help).unwrap();
    }
    let renewed = format!("{before}<!-- metrics -->\n{table}<!-- end of metrics -->{after}");
    if std::env::var_os("KUBEREACH_UPDATE_DOCS").is_some() {
        fs::write(&path, &renewed).unwrap();
    } else {
        assert!(document == renewed, "run KUBEREACH_UPDATE_DOCS=1 cargo test -p kubereach --lib watch::metrics");
    }
}

#[test]
fn dashboard_and_rules_use_metrics_that_exist() {
    for file in [
        "docs/grafana/kubereach.json",
        "docs/prometheus/kubereach-rules.yaml",
        "docs/prometheus/kubereach-rules-test.yaml",
        "docs/metrics.md",
        "docs/alerts.md",
    ] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let mut words = 0;
        for (at, _) in text.match_indices("kubereach_") {
            let before = text[..at].chars().next_back();
            let name: String =
                text[at..].chars().take_while(|next| next.is_ascii_alphanumeric() || *next == '_').collect();
            // `job:kubereach_…` and `kubereach_…:sum` are names of recording rules.
            let next = text[at + name.len()..].chars().next();
            if before == Some(':') || next == Some(':') || name == "kubereach_" {
                continue;
            }
            words += 1;
            let known = CATALOGUE.iter().any(|metric| {
                let suffixes: &[&str] =
                    if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count", ""] } else { &[""] };
                suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(metric.name))
            });
            assert!(known, "{file} uses {name}, which does not exist");
        }
        assert!(words > 0 || file.ends_with("alerts.md"), "{file}");
    }
}

/// Prints how long an exposition takes; `cargo test --release` says what it is in earnest.
#[test]
fn an_exposition_of_many_cells() {
    let (metrics, board) = full(5_000);
    let begun = Instant::now();
    let first = metrics.exposition(&board);
    let once = begun.elapsed();
    let begun = Instant::now();
    let again = metrics.exposition(&board).len();
    let text = format!("5,000 cells: {} bytes in {once:?}, then {:?}", first.len(), begun.elapsed());
    assert!(again > 5_000_000 && once < Duration::from_secs(20), "{text}");
    // Shown with --nocapture.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
}

/// Metrics in which everything has happened once, and cells in which everything is known.
fn full(cells: i64) -> (Metrics, Board) {
    let at = Timestamp::from_second(1_700_000_060).unwrap();
    let config = WatchConfig {
        file: "watch.yaml".into(),
        checks: Vec::new(),
        storage: Storage::Sqlite { path: "unused.db".into() },
        retention: Retention::default(),
        maintenance: Vec::new(),
        receivers: vec![Receiver {
            name: "ops".to_owned(),
            kind: ReceiverKind::Alertmanager { urls: Vec::new() },
            timeout: Duration::from_secs(1),
        }],
        routes: Vec::new(),
        web: None,
    };
    let metrics = Metrics::new(&config);
    let board = Board::default();
    board.change_health(|health| {
        health.started_at = Some(at);
        health.configured_at = Some(at);
    });
    let detail: Cell = serde_json::from_str(include_str!("../../../tests/watch/cell.json")).unwrap();
    let detail = Arc::new(detail);
    for number in 0..cells {
        let standing = Standing { verdict: Verdict::Mismatch, code: Some("net-tcp-timeout".to_owned()) };
        let round = Round {
            cell: CellId(number),
            at,
            verdict: Verdict::Mismatch,
            observed: Reachability::Unreachable,
            offline: false,
            stages: StageTimes { dns: Some(3_100), tcp: Some(12_000), tls: Some(9_001), http: Some(4_000) },
            detail: DetailId(1),
        };
        metrics.round("prod", "office", &round, Duration::from_millis(2), Duration::from_millis(30));
        board.put(CellNow {
            id: CellId(number),
            key: CellKey {
                check: "prod".to_owned(),
                cluster: format!("cluster-{number}"),
                vantage: "office".to_owned(),
                target: CellTarget::Kubernetes,
            },
            provider: Provider::Eks,
            intended: Intended::Reachable,
            interval: Duration::from_secs(30),
            state: CellState { standing: Some(standing), since: Some(at), incident: Some(at), ..CellState::default() },
            last: Some(round),
            detail: Some(Arc::clone(&detail)),
            due: Some(at + Duration::from_secs(30)),
            own: true,
            maintenance: false,
        });
    }
    let offline = Round { offline: true, ..board.cells()[0].last.clone().unwrap() };
    metrics.round("prod", "office", &offline, Duration::ZERO, Duration::ZERO);
    let cluster = ClusterKey { check: "prod".to_owned(), cluster: "cluster-0".to_owned() };
    let event = Event {
        id: 0,
        at,
        since: at,
        kind: EventKind::Failed,
        cluster,
        cell: None,
        from: None,
        to: None,
        changes: Vec::new(),
        before: None,
        after: None,
        summary: String::new(),
    };
    metrics.event(&event, Some(Duration::from_secs(40)));
    metrics.missed("prod");
    metrics.delivery("ops", true);
    metrics.written(5, Duration::from_millis(3), true);
    metrics.written(5, Duration::from_millis(3), false);
    (metrics, board)
}
