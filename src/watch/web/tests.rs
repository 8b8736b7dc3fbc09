//! Pages as they come out, and who gets them.

mod access;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    cell::CellPage,
    cluster::ClusterPage,
    events::{EventPage, EventQuery, EventsPage},
    history::Range,
    layout::{Moment, OpenWindow},
    links,
    matrix::MatrixPage,
    shown::{CellFilter, Shown},
};
use crate::{
    report::{Cell, CellTarget, Intended, Provider, Reachability, Verdict, every_variant},
    watch::{
        board::{CellNow, Health},
        record::{
            CellId, CellKey, CellState, Change, ChangeKind, DetailId, Event, EventKind, Pending, Round, StageTimes,
            Standing,
        },
    },
};

fn now() -> Timestamp {
    "2026-11-22T14:02:30Z".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn key(cluster: &str, vantage: &str) -> CellKey {
    CellKey {
        check: "main".to_owned(),
        cluster: cluster.to_owned(),
        vantage: vantage.to_owned(),
        target: CellTarget::Kubernetes,
    }
}

fn round(at: Timestamp, verdict: Verdict) -> Round {
    Round {
        cell: CellId(1),
        at,
        verdict,
        observed: Reachability::Reachable,
        offline: false,
        stages: StageTimes { dns: Some(1_100), tcp: Some(3_000), tls: Some(9_000), http: None },
        detail: DetailId(1),
    }
}

/// A cell that was judged an hour ago, last seen ten seconds ago.
fn judged(key: CellKey, verdict: Verdict, detail: Option<Cell>) -> CellNow {
    let code = (verdict != Verdict::Match).then(|| "tcp-timeout".to_owned());
    CellNow {
        id: CellId(1),
        key,
        provider: Provider::Eks,
        intended: Intended::Reachable,
        interval: Duration::from_secs(30),
        state: CellState {
            standing: Some(Standing { verdict, code }),
            since: Some(before(3_600)),
            incident: (verdict != Verdict::Match).then(|| before(3_600)),
            ..CellState::default()
        },
        last: Some(round(before(10), verdict)),
        detail: detail.map(Arc::new),
        due: Some(before(-20)),
        own: true,
        maintenance: false,
    }
}

/// A cell in every state that there is.
fn every_state() -> Moment {
    let report = every_variant::report();
    let detail = |index: usize| report.cells.get(index).cloned();
    let mut stale = judged(key("prod", "stale"), Verdict::Match, None);
    (stale.last, stale.due) = (Some(round(before(121), Verdict::Match)), Some(before(91)));
    let mut paused = judged(key("prod", "paused"), Verdict::Match, None);
    paused.state.paused_since = Some(before(300));
    let mut new = judged(key("prod", "new"), Verdict::Match, None);
    (new.state, new.last) = (CellState::default(), None);
    let mut pending = judged(key("staging", "office"), Verdict::Match, detail(4));
    pending.state.pending = Some(Pending {
        standing: Standing { verdict: Verdict::Mismatch, code: Some("tls-expired".to_owned()) },
        rounds: 2,
        since: before(40),
        last: before(40),
    });
    pending.maintenance = true;
    let cells = vec![
        judged(key("prod", "ci"), Verdict::Inconclusive, detail(3)),
        new,
        judged(key("prod", "office"), Verdict::Mismatch, detail(0)),
        paused,
        stale,
        judged(key("staging", "ci"), Verdict::Propagating, detail(1)),
        pending,
    ];
    let health = Health {
        store: Some((before(120), "insert rounds: disk is full".to_owned())),
        unwritten: 12,
        dropped: 3,
        reload: Some("watch.yaml:3:5: no such cluster".to_owned()),
        started_at: Some(before(7_200)),
        configured_at: Some(before(7_200)),
        process: "one".to_owned(),
    };
    let windows = vec![OpenWindow { name: "patch night".to_owned(), until: before(-7_050), cells: 1 }];
    Moment { now: now(), health, cells: cells.into_iter().map(Arc::new).collect(), windows }
}

/// The same where every name and text is hostile.
fn hostile() -> Moment {
    let cells = every_variant::hostile_report().cells.into_iter().enumerate().map(|(index, cell)| {
        let mut one = judged(key(HOSTILE, &format!("{index}{HOSTILE}")), Verdict::Mismatch, Some(cell));
        one.key.check = HOSTILE.to_owned();
        one.state.standing = Some(Standing { verdict: Verdict::Mismatch, code: Some(HOSTILE.to_owned()) });
        Arc::new(one)
    });
    let health = Health {
        store: Some((before(1), HOSTILE.to_owned())),
        reload: Some(HOSTILE.to_owned()),
        process: HOSTILE.to_owned(),
        ..Health::default()
    };
    let windows = vec![OpenWindow { name: HOSTILE.to_owned(), until: before(-60), cells: 2 }];
    Moment { now: now(), health, cells: cells.collect(), windows }
}

fn event(cell: CellKey, text: &str) -> Event {
    Event {
        id: 7,
        at: before(60),
        since: before(120),
        kind: EventKind::Failed,
        cluster: cell.cluster_key(),
        cell: Some(cell),
        from: Some(Standing { verdict: Verdict::Match, code: None }),
        to: Some(Standing { verdict: Verdict::Mismatch, code: Some(text.to_owned()) }),
        changes: vec![Change { kind: ChangeKind::Configuration, at: before(125), text: text.to_owned() }],
        before: Some(DetailId(1)),
        after: Some(DetailId(2)),
        summary: format!("prod/office is a mismatch: {text}"),
    }
}

fn cell_page(moment: &Moment, cell: &Arc<CellNow>) -> CellPage {
    let range = Range::Hour;
    let mut past = range.spans(cell.interval, now());
    for index in 0..100 {
        let verdict = if index % 10 == 3 { Verdict::Mismatch } else { Verdict::Match };
        past.round(&round(before(index * 30), verdict));
    }
    CellPage {
        moment: moment.clone(),
        cell: Arc::clone(cell),
        unread: None,
        window: moment.windows.first().map(|window| (window.name.clone(), window.until)),
        confirm: Some(3),
        range,
        past: Ok(past),
        events: Ok(vec![event(cell.key.clone(), "publicAccessCidrs lost 203.0.113.0/24")]),
    }
}

fn matrix(moment: Moment, filter: CellFilter) -> MatrixPage {
    MatrixPage::of(moment, filter, Ok(Vec::new())).unwrap()
}

/// A page without the addresses of assets, which change with their content.
fn snapshot(name: &str, html: &str) {
    let lines = html.replace("><", ">\n<");
    insta::with_settings!({ filters => [(r"/assets/[0-9a-f]{16}", "/assets/HASH")] }, {
        insta::assert_snapshot!(name, lines);
    });
}

#[test]
fn the_matrix_with_every_state() {
    snapshot("matrix", &matrix(every_state(), CellFilter::default()).html());
}

#[test]
fn a_cell_with_everything() {
    let moment = every_state();
    let office = moment.cells.iter().find(|cell| cell.key == key("prod", "office")).unwrap();
    snapshot("cell", &cell_page(&moment, office).html());
}

#[test]
fn an_event_with_both_sides() {
    let report = every_variant::report();
    let page = EventPage {
        moment: every_state(),
        event: event(key("prod", "office"), "publicAccessCidrs lost 203.0.113.0/24"),
        before: Ok(report.cells.get(4).cloned()),
        after: Err("the database is away".to_owned()),
    };
    snapshot("event", &page.html());
}

/// What is not known to be fine never looks fine.
#[test]
fn only_a_fresh_match_is_a_match() {
    let moment = every_state();
    let shown: Vec<_> = moment.cells.iter().map(|cell| Shown::of(cell, moment.now)).collect();
    assert_eq!(
        shown,
        [
            Shown::Inconclusive,
            Shown::NotJudged,
            Shown::Mismatch,
            Shown::Paused,
            Shown::Stale,
            Shown::Propagating,
            Shown::Match
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&matrix(moment, CellFilter::default()).json().unwrap()).unwrap();
    assert_eq!(json["schema"], "kubereach.watch/v1");
    assert_eq!(json["counts"]["stale"], 1);
    assert_eq!(json["cells"][1]["shown"], "not-judged");
    assert_eq!(json["cells"][4]["shown"], "stale");
}

#[test]
fn cells_are_narrowed_by_verdict_and_names() {
    let chosen = |verdict: &str, cluster: &str, vantage: &str| {
        let filter = CellFilter {
            verdict: verdict.to_owned(),
            cluster: cluster.to_owned(),
            vantage: vantage.to_owned(),
            ..CellFilter::default()
        };
        let chosen = filter.choose(&every_state().cells, now())?;
        Ok::<_, String>(chosen.iter().map(|cell| cell.key.subject()).collect::<Vec<_>>())
    };
    assert_eq!(chosen("mismatch", "", "").unwrap(), ["prod/office"]);
    assert_eq!(chosen("", "stag*", "").unwrap(), ["staging/ci", "staging/office"]);
    assert_eq!(
        chosen("", "", "*e*").unwrap(),
        ["prod/new", "prod/office", "prod/paused", "prod/stale", "staging/office"]
    );
    assert!(chosen("fine", "", "").unwrap_err().contains("not-judged"));
}

#[test]
fn hostile_text_stays_text_on_every_page() {
    let moment = hostile();
    let mut pages = vec![matrix(moment.clone(), CellFilter::default()).html()];
    let filter = CellFilter { cluster: HOSTILE.to_owned(), ..CellFilter::default() };
    pages.push(matrix(moment.clone(), filter).html());
    for cell in &moment.cells {
        pages.push(cell_page(&moment, cell).html());
    }
    let report = every_variant::hostile_report();
    let cell = &moment.cells[0];
    pages.push(
        ClusterPage {
            moment: moment.clone(),
            key: cell.key.cluster_key(),
            cells: moment.cells.clone(),
            unread: Some(HOSTILE.to_owned()),
            left_out: 3,
            findings: report.findings.clone(),
            changes: Ok(vec![event(cell.key.clone(), HOSTILE)]),
        }
        .html(),
    );
    pages.push(
        EventsPage {
            moment: moment.clone(),
            query: EventQuery::default(),
            limit: 1,
            events: Ok(vec![event(cell.key.clone(), HOSTILE)]),
        }
        .html(),
    );
    pages.push(
        EventPage {
            moment: moment.clone(),
            event: event(cell.key.clone(), HOSTILE),
            before: Ok(report.cells.first().cloned()),
            after: Err(HOSTILE.to_owned()),
        }
        .html(),
    );
    for (index, page) in pages.iter().enumerate() {
        for forbidden in ["<script>", "<img", " onload=\"x", " style=\"", "href=\"javascript", "\u{202e}"] {
            assert!(!page.contains(forbidden), "page {index} has {forbidden}");
        }
        assert!(page.chars().all(|character| character == '\n' || !character.is_control()), "page {index}");
        // The only script is the page's own, by its address.
        assert_eq!(page.matches("<script").count(), 1, "page {index}");
    }
}

#[test]
fn a_history_that_cannot_be_read_leaves_the_rest_standing() {
    let moment = every_state();
    let office = moment.cells.iter().find(|cell| cell.key == key("prod", "office")).unwrap();
    let page = CellPage {
        past: Err("select rounds: database is locked".to_owned()),
        events: Err("select events: database is locked".to_owned()),
        ..cell_page(&moment, office)
    };
    let html = page.html();
    assert_eq!(html.matches("History cannot be read").count(), 2);
    assert!(html.contains("mismatch") && html.contains("Findings") && html.contains("Resolvers"));
    let json: serde_json::Value = serde_json::from_str(&page.json().unwrap()).unwrap();
    assert_eq!(json["historyError"], "select rounds: database is locked");
    assert_eq!(json["detail"]["cluster"], "prod");
}

#[test]
fn questions_to_the_log_are_understood_or_refused() {
    let ask = |query: &str| {
        let uri = format!("http://localhost/events?{query}").parse().unwrap();
        axum::extract::Query::<EventQuery>::try_from_uri(&uri).unwrap().0.filter()
    };
    let filter = ask("kind=failed&check=main&cluster=prod&vantage=office&from=2026-11-01&before=99").unwrap();
    assert_eq!(filter.cell, Some(key("prod", "office")));
    assert_eq!((filter.kinds, filter.before, filter.limit), (vec![EventKind::Failed], Some(99), 100));
    assert_eq!(filter.from, Some("2026-11-01T00:00:00Z".parse().unwrap()));
    assert_eq!(ask("limit=1000000").unwrap().limit, 1_000);
    for wrong in
        ["kind=bang", "cluster=prod", "vantage=office", "from=yesterday", "before=x", "target=moon&check=a&cluster=b"]
    {
        assert!(ask(wrong).is_err(), "{wrong}");
    }
}

/// The figure of the page: 1,000 cells; 10,000 are on ten pages, and what is not fine is on the first.
#[test]
fn a_thousand_cells_are_drawn_at_once_and_ten_thousand_in_pages() {
    let cells: Vec<Arc<CellNow>> = (0..10_000)
        .map(|index| {
            let verdict = if index == 9_999 { Verdict::Mismatch } else { Verdict::Match };
            Arc::new(judged(
                key(&format!("cluster-{:03}", index / 20), &format!("vantage-{:02}", index % 20)),
                verdict,
                None,
            ))
        })
        .collect();
    let draw = |cells: &[Arc<CellNow>]| {
        let moment = Moment { now: now(), health: Health::default(), cells: cells.to_vec(), windows: Vec::new() };
        let begun = std::time::Instant::now();
        (matrix(moment, CellFilter::default()).html(), begun.elapsed())
    };
    let (thousand, took) = draw(&cells[..1_000]);
    assert_eq!(thousand.matches("<a href=\"/cells/").count(), 1_000);
    println!("page of 1,000 cells: {took:?}, {} kB", thousand.len() / 1_000);
    let (all, took) = draw(&cells);
    println!("first page of 10,000 cells: {took:?}, {} kB", all.len() / 1_000);
    assert_eq!(all.matches("<a href=\"/cells/").count(), 1_001);
    assert!(all.contains(&links::cell_path(&key("cluster-499", "vantage-19"))) && all.contains("Not fine (1)"));
    assert!(all.contains("href=\"/?page=10\""));
}

const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\x1b[31m\r\n\"' onload=\"x\" a/b/../..&amp;<img src=x>";
