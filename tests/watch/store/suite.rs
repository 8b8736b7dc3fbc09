//! The same cases for both databases.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use jiff::Timestamp;
use kubereach::{
    report::{CellTarget, Reachability, Verdict},
    watch::{
        config::{Retention, Storage},
        record::{
            Alert, CellKey, CellState, Change, ChangeKind, DetailId, EventKind, Pending, Round, Snapshot, StageSum,
            StageTimes, Standing,
        },
        store::{Batch, EventFilter, Span, Store},
    },
};

use super::world::{at, batch, cells, cluster, detail, event, key, round, run};
use crate::postgres;

/// A case, given an empty database.
type Case = fn(Store) -> Pin<Box<dyn Future<Output = ()>>>;

/// Every case.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("cells_keep_their_numbers", |store| Box::pin(cells_keep_their_numbers(store))),
    ("rounds_come_back_and_count_once", |store| Box::pin(rounds_come_back_and_count_once(store))),
    ("a_slot_that_comes_again_is_stored_beside", |store| Box::pin(a_slot_that_comes_again_is_stored_beside(store))),
    ("spans_sum_up_what_was_judged", |store| Box::pin(spans_sum_up_what_was_judged(store))),
    ("details_are_shared", |store| Box::pin(details_are_shared(store))),
    ("states_come_back_whole", |store| Box::pin(states_come_back_whole(store))),
    ("events_are_found_by_what_they_are_about", |store| Box::pin(events_are_found(store))),
    ("snapshots_are_found_by_time", |store| Box::pin(snapshots_are_found_by_time(store))),
    ("alerts_stay_until_they_arrived", |store| Box::pin(alerts_stay_until_they_arrived(store))),
    ("what_is_old_goes_and_what_is_named_stays", |store| Box::pin(what_is_old_goes(store))),
];

/// Runs a case on a file of its own.
pub(crate) fn on_sqlite(case: Case) {
    let folder = tempfile::tempdir().unwrap();
    on(&Storage::Sqlite { path: folder.path().join("history.db") }, case);
}

/// Runs a case in a database of its own.
pub(crate) fn on_postgres(case: Case) {
    on(&postgres::shared().database(), case);
}

fn on(storage: &Storage, case: Case) {
    run(async {
        let store = Store::open(storage).await.unwrap();
        case(store.clone()).await;
        store.close().await;
        // Nothing is left that another opening would stumble over.
        Store::open_to_read(storage).await.unwrap().close().await;
    });
}

async fn cells_keep_their_numbers(store: Store) {
    let api = CellKey { target: CellTarget::EksApi, ..key("prod", "office") };
    let first = store.register(&[key("prod", "office"), api.clone()]).await.unwrap();
    let again =
        store.register(&[api.clone(), key("test", "office"), key("prod", "office"), api.clone()]).await.unwrap();
    assert_eq!((again[0], again[2], again[3]), (first[1], first[0], first[1]));
    let stored = store.cells().await.unwrap();
    let of = |key: &CellKey| stored.iter().find(|cell| cell.key == *key).unwrap().id;
    assert_eq!((stored.len(), of(&api), of(&key("test", "office"))), (3, first[1], again[1]));
    assert!(stored.iter().all(|cell| cell.state == CellState::default() && cell.last.is_none()));
}

async fn rounds_come_back_and_count_once(store: Store) {
    let id = cells(&store, 2).await[0];
    let odd = Round {
        verdict: Verdict::Mismatch,
        observed: Reachability::Unreachable,
        stages: StageTimes { dns: Some(900), tcp: None, tls: None, http: Some(u32::MAX) },
        detail: DetailId(i64::MIN),
        ..round(id, at(30))
    };
    let rounds = vec![round(id, at(0)), odd.clone(), round(id, Timestamp::from_millisecond(1).unwrap())];
    store.commit(&batch(rounds.clone())).await.unwrap();
    // What came back in doubt is sent again, and what was stored stays.
    store.commit(&batch(vec![round(id, at(0)), round(id, at(60))])).await.unwrap();
    store.commit(&batch(rounds)).await.unwrap();
    let found = store.rounds(id, Timestamp::MIN, Timestamp::MAX, 10).await.unwrap();
    // The longest time that a column holds.
    let cut = Round { stages: StageTimes { http: Some(i32::MAX.unsigned_abs()), ..odd.stages }, ..odd };
    assert_eq!(found[1..], [round(id, at(0)), cut, round(id, at(60))]);
    assert_eq!(store.rounds(id, at(0), at(60), 1).await.unwrap(), found[2..3], "the newest of those before");
    let days = store.rollups(&[id], Span::Day, at(0), at(86_400)).await.unwrap();
    assert_eq!((days.len(), days[0].matched, days[0].mismatched, days[0].inconclusive), (1, 2, 1, 0));
    assert_eq!(store.cells().await.unwrap()[0].last, Some(round(id, at(60))));
}

/// After the clock was set back its slots come again, with other rounds.
async fn a_slot_that_comes_again_is_stored_beside(store: Store) {
    let ids = cells(&store, 2).await;
    let (first, after) = (at(3_600 - 1), |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap());
    let later = |round: &Round, by: i64| Round { at: after(round.at.as_millisecond() + by), ..round.clone() };
    let good = round(ids[0], first);
    let bad = Round { verdict: Verdict::Mismatch, ..good.clone() };
    let odd = Round { observed: Reachability::Unknown, ..good.clone() };
    let silent = Round { stages: StageTimes::default(), offline: true, ..good.clone() };
    let other = Round { detail: DetailId(8), ..good.clone() };
    store.commit(&batch(vec![good.clone(), round(ids[1], first)])).await.unwrap();
    // Each of them may come in a batch that is sent twice, and beside another one of the same slot.
    for rounds in [vec![bad.clone(), round(ids[1], first)], vec![odd.clone(), silent.clone(), silent.clone()]] {
        for _ in 0..2 {
            store.commit(&batch(rounds.clone())).await.unwrap();
        }
    }
    store.commit(&batch(vec![other.clone(), good.clone(), bad.clone(), silent.clone()])).await.unwrap();
    let stored = |from, until| store.rounds(ids[0], from, until, 9_999);
    let expected = [good.clone(), later(&bad, 1), later(&odd, 2), later(&silent, 3), later(&other, 4)];
    assert_eq!(stored(at(0), at(9_999)).await.unwrap(), expected);
    assert_eq!(store.rounds(ids[1], at(0), at(9_999), 9).await.unwrap(), [round(ids[1], first)]);
    let days = store.rollups(&ids[..1], Span::Day, at(0), at(86_400)).await.unwrap();
    assert_eq!((days[0].matched, days[0].mismatched, days[0].offline, days[0].stages[2].count), (3, 1, 1, 4));

    // What has no room within a second is left out; the last that has is of the next hour.
    for number in 0..1_010 {
        let next = Round { detail: DetailId(100 + number), ..good.clone() };
        store.commit(&batch(vec![next])).await.unwrap();
    }
    let rounds = stored(at(0), at(9_999)).await.unwrap();
    assert_eq!((rounds.len(), rounds[1_000].at), (1_001, at(3_600)));
    let hours = store.rollups(&ids[..1], Span::Hour, at(0), at(9_999)).await.unwrap();
    assert_eq!(hours.iter().map(|hour| hour.matched).collect::<Vec<_>>(), [998, 1], "each where it is stored");
}

async fn spans_sum_up_what_was_judged(store: Store) {
    let ids = cells(&store, 40).await;
    let of = |verdict, seconds, tcp| Round {
        verdict,
        stages: StageTimes { tcp, ..StageTimes::default() },
        ..round(ids[0], at(seconds))
    };
    let rounds = [
        of(Verdict::Match, 0, Some(100)),
        of(Verdict::Match, 3_599, Some(300)),
        of(Verdict::Mismatch, 3_600, None),
        of(Verdict::Propagating, 7_200, Some(50)),
        of(Verdict::Inconclusive, 86_399, Some(20)),
        Round { offline: true, ..of(Verdict::Inconclusive, 86_400, Some(9)) },
        round(ids[39], at(10)),
    ];
    // One by one and together come to the same.
    for round in &rounds[..3] {
        store.commit(&batch(vec![round.clone()])).await.unwrap();
    }
    store.commit(&batch(rounds[3..].to_vec())).await.unwrap();
    let hours = store.rollups(&ids[..1], Span::Hour, at(0), at(90_000)).await.unwrap();
    assert_eq!(hours.iter().map(|hour| hour.begin).collect::<Vec<_>>(), [0, 3_600, 7_200, 82_800, 86_400].map(at));
    assert_eq!((hours[0].matched, hours[0].stages[1]), (2, StageSum { count: 2, sum: 400, longest: 300 }));
    assert_eq!((hours[4].offline, hours[4].inconclusive, hours[4].stages[1]), (1, 0, StageSum::default()));
    let days = store.rollups(&[], Span::Day, at(0), at(90_000)).await.unwrap();
    assert_eq!(days.iter().map(|day| day.cell).collect::<Vec<_>>(), [ids[0], ids[0], ids[39]]);
    let day = &days[0];
    assert_eq!((day.matched, day.mismatched, day.inconclusive, day.propagating, day.offline), (2, 1, 1, 1, 0));
    assert_eq!(day.stages[1], StageSum { count: 4, sum: 470, longest: 300 });
    assert_eq!(store.rollups(&ids, Span::Day, at(0), at(90_000)).await.unwrap(), days);
    assert_eq!(store.rollups(&ids[1..], Span::Day, at(0), at(90_000)).await.unwrap(), days[2..]);
}

async fn details_are_shared(store: Store) {
    let id = cells(&store, 1).await[0];
    for seconds in 0..5 {
        store.commit(&batch(vec![round(id, at(seconds))])).await.unwrap();
    }
    let text = "ünïcode ".repeat(10_000);
    let other = Batch { details: vec![detail(-3, &text)], ..Batch::default() };
    store.commit(&other).await.unwrap();
    assert_eq!(store.detail(DetailId(7)).await.unwrap().unwrap().summary, "all is well");
    assert_eq!(store.detail(DetailId(-3)).await.unwrap().unwrap().summary, text);
    assert!(store.detail(DetailId(8)).await.unwrap().is_none());
}

async fn states_come_back_whole(store: Store) {
    let ids = cells(&store, 2).await;
    let full = CellState {
        standing: Some(Standing { verdict: Verdict::Mismatch, code: Some("dns-nxdomain".to_owned()) }),
        since: Some(at(1)),
        pending: Some(Pending {
            standing: Standing { verdict: Verdict::Match, code: None },
            rounds: 2,
            since: at(2),
            last: at(6),
        }),
        last_good: Some((DetailId(i64::MAX), at(3))),
        paused_since: Some(at(4)),
        incident: Some(at(5)),
        judged_for: Some("reachable via any at https://127.0.0.1:1".to_owned()),
    };
    store.commit(&Batch { states: vec![(ids[1], full.clone())], ..batch(vec![round(ids[1], at(9))]) }).await.unwrap();
    let stored = store.cells().await.unwrap();
    assert_eq!((&stored[0].state, &stored[1].state), (&CellState::default(), &full));
    assert_eq!((&stored[0].last, &stored[1].last), (&None, &Some(round(ids[1], at(9)))));
    let next = CellState { standing: full.standing.clone(), ..CellState::default() };
    store.commit(&Batch { states: vec![(ids[1], next.clone())], ..Batch::default() }).await.unwrap();
    assert_eq!(store.cells().await.unwrap()[1].state, next);
}

async fn events_are_found(store: Store) {
    let mut events = vec![
        event("prod", "office", EventKind::First, 100),
        event("prod", "home", EventKind::Failed, 200),
        event("prod", "", EventKind::Configuration, 300),
        event("test", "office", EventKind::Failed, 400),
        event("prod", "office", EventKind::Recovered, 500),
    ];
    events[1].changes = vec![Change {
        kind: ChangeKind::Configuration,
        at: at(190),
        text: "publicAccessCidrs lost 203.0.113.0/24".to_owned(),
    }];
    (events[1].before, events[1].after) = (Some(DetailId(1)), Some(DetailId(2)));
    let stored = Batch { events: events.clone(), ..Batch::default() };
    store.commit(&stored).await.unwrap();
    store.commit(&stored).await.unwrap();
    let all = store.events(&EventFilter { limit: 100, ..EventFilter::default() }).await.unwrap();
    let plain: Vec<_> =
        all.iter().rev().cloned().map(|found| kubereach::watch::record::Event { id: 0, ..found }).collect();
    assert_eq!(plain, events, "newest first, each once");
    let seconds = |filter: EventFilter| {
        let store = store.clone();
        async move {
            let found = store.events(&EventFilter { limit: filter.limit.max(2), ..filter }).await.unwrap();
            found.into_iter().map(|event| event.at.as_second() - at(0).as_second()).collect::<Vec<_>>()
        }
    };
    let of = EventFilter::default;
    assert_eq!(seconds(EventFilter { cell: Some(key("prod", "office")), limit: 9, ..of() }).await, [500, 300, 100]);
    assert_eq!(seconds(EventFilter { cluster: Some(cluster("prod")), limit: 9, ..of() }).await, [500, 300, 200, 100]);
    assert_eq!(
        seconds(EventFilter { kinds: vec![EventKind::Failed, EventKind::First], limit: 9, ..of() }).await,
        [400, 200, 100]
    );
    assert_eq!(
        seconds(EventFilter { from: Some(at(200)), until: Some(at(500)), limit: 9, ..of() }).await,
        [400, 300, 200]
    );
    assert_eq!(seconds(EventFilter { before: Some(all[1].id), limit: 2, ..of() }).await, [300, 200]);
    assert_eq!(store.event(all[3].id).await.unwrap().as_ref(), Some(&all[3]));
    assert_eq!(store.event(i64::MAX).await.unwrap(), None);
}

async fn snapshots_are_found_by_time(store: Store) {
    let taken =
        |name: &str, seconds, hash| Snapshot { cluster: cluster(name), at: at(seconds), hash, body: vec![0, 255, 3] };
    let snapshots = vec![taken("prod", 10, 1), taken("prod", 20, -2), taken("test", 15, 3)];
    store.commit(&Batch { snapshots: snapshots.clone(), ..Batch::default() }).await.unwrap();
    store.commit(&Batch { snapshots: vec![taken("prod", 10, 9)], ..Batch::default() }).await.unwrap();
    let before = |seconds| store.snapshot(&snapshots[0].cluster, at(seconds));
    let cluster = cluster("nowhere");
    assert_eq!(before(10).await.unwrap(), None);
    assert_eq!(before(20).await.unwrap().as_ref(), Some(&snapshots[0]));
    assert_eq!(before(21).await.unwrap().as_ref(), Some(&snapshots[1]));
    assert_eq!(store.snapshot(&cluster, Timestamp::MAX).await.unwrap(), None);
}

async fn alerts_stay_until_they_arrived(store: Store) {
    let id = cells(&store, 1).await[0];
    let mut alert = Alert {
        id: 0,
        receiver: "pager".to_owned(),
        cell: id,
        starts_at: at(10),
        ends_at: None,
        labels: BTreeMap::from([("cluster".to_owned(), "c0".to_owned())]),
        annotations: BTreeMap::new(),
        repeat_seconds: 3_600,
        next_at: at(10),
        attempts: 0,
        delivered: false,
    };
    let other = Alert { receiver: "mail".to_owned(), next_at: at(50), ..alert.clone() };
    store.commit(&Batch { alerts: vec![alert.clone(), other], ..Batch::default() }).await.unwrap();
    assert!(store.alerts_due(at(9), 10).await.unwrap().is_empty());
    let due = store.alerts_due(at(10), 10).await.unwrap();
    assert_eq!((due.len(), due[0].receiver.as_str()), (1, "pager"));
    alert.id = due[0].id;
    assert_eq!(due[0], alert);
    assert_eq!(
        store.alerts().await.unwrap().iter().map(|alert| alert.receiver.clone()).collect::<Vec<_>>(),
        ["mail", "pager"]
    );

    // It failed, then it arrived.
    store.alerts_sent(&[Alert { attempts: 1, next_at: at(20), ..alert.clone() }]).await.unwrap();
    let failed = store.alerts_due(at(20), 10).await.unwrap().remove(0);
    assert_eq!((failed.attempts, failed.delivered), (1, false));
    store.alerts_sent(&[Alert { delivered: true, attempts: 0, next_at: at(3_620), ..failed.clone() }]).await.unwrap();
    assert!(store.alerts_due(at(30), 10).await.unwrap().is_empty());

    // While it is sent again the incident ends: what was sent is not what is stored now, which stays due.
    let sending =
        store.alerts_due(at(3_620), 10).await.unwrap().into_iter().find(|due| due.receiver == "pager").unwrap();
    let ended = Alert { ends_at: Some(at(3_000)), next_at: at(3_000), delivered: false, ..alert.clone() };
    store.commit(&Batch { alerts: vec![ended], ..Batch::default() }).await.unwrap();
    store.alerts_sent(&[Alert { delivered: true, next_at: at(9_999), ..sending }]).await.unwrap();
    let due = store.alerts_due(at(3_001), 10).await.unwrap();
    let resolved = due.iter().find(|due| due.receiver == "pager").unwrap();
    assert_eq!((resolved.id, resolved.ends_at, resolved.delivered), (alert.id, Some(at(3_000)), true));

    store.alerts_sent(&[Alert { delivered: true, ..resolved.clone() }]).await.unwrap();
    assert_eq!(store.alerts().await.unwrap().len(), 1, "only that of the other receiver is left");
}

async fn what_is_old_goes(store: Store) {
    const DAY: i64 = 86_400;
    let ids = cells(&store, 25).await;
    let retention = Retention {
        rounds: Duration::from_hours(24),
        rollups: Duration::from_hours(48),
        events: Duration::from_hours(72),
    };
    let mut named = event("c0", "office", EventKind::Failed, 9 * DAY);
    named.before = Some(DetailId(1));
    let state = CellState { last_good: Some((DetailId(2), at(0))), ..CellState::default() };
    let shot = |seconds, hash| Snapshot { cluster: cluster("c0"), at: at(seconds), hash, body: vec![1] };
    let old = |detail, seconds: i64| Round { detail: DetailId(detail), ..round(ids[0], at(seconds)) };
    let mut rounds: Vec<Round> = (0..1_200).map(|index| round(ids[0], at(index * 10))).collect();
    rounds.extend(ids.iter().map(|id| round(*id, at(13_000))));
    rounds.extend([old(1, 20_000), old(2, 20_001), old(3, 20_002), old(4, 10 * DAY - 5)]);
    let batch = Batch {
        details: [1, 2, 3, 4, 7].map(|id| detail(id, "x")).to_vec(),
        states: vec![(ids[0], state)],
        events: vec![event("c0", "office", EventKind::First, 2 * DAY), named],
        snapshots: vec![shot(DAY, 1), shot(2 * DAY, 2), shot(9 * DAY, 3)],
        ..batch(rounds)
    };
    store.commit(&batch).await.unwrap();
    let now = at(10 * DAY);
    let gone = store.prune(&retention, now).await.unwrap();
    // 1,200 + 25 + 3 rounds, 25 cells with 4 hours (cell 0 with 3 more) and a day, an event, a snapshot, details 3 and 7.
    let hours = 24 + (12_000 / 3_600 + 1) + 1;
    assert_eq!(gone, 1_228 + hours + 25 + 1 + 1 + 2);
    assert_eq!(store.prune(&retention, now).await.unwrap(), 0);
    assert_eq!(store.rounds(ids[0], Timestamp::MIN, Timestamp::MAX, 9).await.unwrap(), [old(4, 10 * DAY - 5)]);
    assert_eq!(store.rollups(&[], Span::Hour, Timestamp::MIN, Timestamp::MAX).await.unwrap().len(), 1);
    for (id, stays) in [(1, true), (2, true), (3, false), (4, true), (7, false)] {
        assert_eq!(store.detail(DetailId(id)).await.unwrap().is_some(), stays, "{id}");
    }
    let hash = |snapshot: Option<Snapshot>| snapshot.map(|snapshot| snapshot.hash);
    assert_eq!(hash(store.snapshot(&cluster("c0"), at(DAY + 1)).await.unwrap()), None);
    assert_eq!(hash(store.snapshot(&cluster("c0"), at(5 * DAY)).await.unwrap()), Some(2), "what held then");
    // A detail that went is written again when it comes back.
    store
        .commit(&Batch { details: vec![detail(3, "again")], ..super::world::batch(vec![old(3, 10 * DAY)]) })
        .await
        .unwrap();
    assert_eq!(store.detail(DetailId(3)).await.unwrap().unwrap().summary, "again");
}
