//! What a batch writes, in one transaction.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use flate2::{Compression, write::ZlibEncoder};
use jiff::Timestamp;

use super::{
    Batch, again,
    codes::Code as _,
    engine::{Session, Work},
    value::{Fault, Value},
};
use crate::watch::record::{Alert, CellId, CellState, Detail, DetailId, Event, Round, Snapshot, Stage, Standing};

/// The longer of what is stored and what comes.
macro_rules! longest {
    ($table:literal, $stage:literal) => {
        concat!(
            "case when excluded.",
            $stage,
            "_longest > ",
            $table,
            ".",
            $stage,
            "_longest then excluded.",
            $stage,
            "_longest else ",
            $table,
            ".",
            $stage,
            "_longest end"
        )
    };
}

/// Adds to a span, or begins it.
macro_rules! span_sql {
    ($table:literal) => {
        concat!(
            "insert into ",
            $table,
            " (cell, begins, matched, mismatched, inconclusive, propagating, offline,
            dns_count, dns_sum, dns_longest, tcp_count, tcp_sum, tcp_longest, tls_count, tls_sum, tls_longest,
            http_count, http_sum, http_longest)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
            on conflict (cell, begins) do update set
            matched = ",
            $table,
            ".matched + excluded.matched,
            mismatched = ",
            $table,
            ".mismatched + excluded.mismatched,
            inconclusive = ",
            $table,
            ".inconclusive + excluded.inconclusive,
            propagating = ",
            $table,
            ".propagating + excluded.propagating,
            offline = ",
            $table,
            ".offline + excluded.offline,
            dns_count = ",
            $table,
            ".dns_count + excluded.dns_count,
            dns_sum = ",
            $table,
            ".dns_sum + excluded.dns_sum,
            dns_longest = ",
            longest!($table, "dns"),
            ",
            tcp_count = ",
            $table,
            ".tcp_count + excluded.tcp_count,
            tcp_sum = ",
            $table,
            ".tcp_sum + excluded.tcp_sum,
            tcp_longest = ",
            longest!($table, "tcp"),
            ",
            tls_count = ",
            $table,
            ".tls_count + excluded.tls_count,
            tls_sum = ",
            $table,
            ".tls_sum + excluded.tls_sum,
            tls_longest = ",
            longest!($table, "tls"),
            ",
            http_count = ",
            $table,
            ".http_count + excluded.http_count,
            http_sum = ",
            $table,
            ".http_sum + excluded.http_sum,
            http_longest = ",
            longest!($table, "http")
        )
    };
}

/// A batch as rows of parameters, in an order that is the same in every process: two that write the same rows wait for
/// each other instead of for ever.
pub(super) struct Commit {
    rounds: Vec<Planned>,
    details: Vec<Vec<Value>>,
    states: Vec<Vec<Value>>,
    events: Vec<Vec<Value>>,
    snapshots: Vec<Vec<Value>>,
    alerts: Vec<Vec<Value>>,
}

/// A round, and what it adds to its hour and its day.
struct Planned {
    row: Vec<Value>,
    cell: CellId,
    at: i64,
    adds: Sums,
}

/// The columns of a span of time after its key.
type Sums = [i64; 17];

impl Commit {
    /// Prepares a batch. Details that `known` has are left out.
    pub(super) fn new(batch: &Batch, known: &Known) -> Result<Self, Fault> {
        let mut rounds: Vec<Planned> = batch.rounds.iter().map(planned).collect();
        rounds.sort_by_key(|planned| (planned.cell, planned.at));
        let mut states: Vec<&(CellId, CellState)> = batch.states.iter().collect();
        states.sort_by_key(|(cell, _)| *cell);
        let mut alerts: Vec<&Alert> = batch.alerts.iter().collect();
        alerts.sort_by_key(|alert| (&alert.receiver, alert.cell, alert.starts_at));
        Ok(Self {
            rounds,
            details: details(batch, known)?,
            states: states.into_iter().map(|(cell, state)| state_row(*cell, state)).collect(),
            events: batch.events.iter().map(event_row).collect::<Result<_, _>>()?,
            snapshots: batch.snapshots.iter().map(snapshot_row).collect(),
            alerts: alerts.into_iter().map(alert_row).collect::<Result<_, _>>()?,
        })
    }
}

impl Work for Commit {
    type Output = ();

    async fn run(&self, session: &Session<'_>) -> Result<(), Fault> {
        session.execute_many(DETAIL, &self.details).await?;
        let rows: Vec<Vec<Value>> = self.rounds.iter().map(|planned| planned.row.clone()).collect();
        let stored = session.execute_many(ROUND, &rows).await?;
        let taken: Vec<&Vec<Value>> =
            rows.iter().zip(&stored).filter(|(_, stored)| **stored == 0).map(|(row, _)| row).collect();
        let mut moved = again::stored_beside(session, &taken).await?.into_iter();
        let (mut hours, mut days) = (BTreeMap::<_, Sums>::new(), BTreeMap::<_, Sums>::new());
        for (planned, stored) in self.rounds.iter().zip(stored) {
            let at = if stored > 0 { Some(planned.at) } else { moved.next().flatten() };
            let Some(at) = at else { continue };
            add(hours.entry((planned.cell, begin(at, HOUR_MS))).or_default(), &planned.adds);
            add(days.entry((planned.cell, begin(at, DAY_MS))).or_default(), &planned.adds);
        }
        for (sql, spans) in [(HOUR, hours), (DAY, days)] {
            let rows: Vec<Vec<Value>> = spans
                .into_iter()
                .map(|((cell, begins), sums)| [cell.0, begins].into_iter().chain(sums).map(Value::from).collect())
                .collect();
            session.execute_many(sql, &rows).await?;
        }
        session.execute_many(STATE, &self.states).await?;
        session.execute_many(EVENT, &self.events).await?;
        session.execute_many(SNAPSHOT, &self.snapshots).await?;
        session.execute_many(ALERT, &self.alerts).await?;
        Ok(())
    }
}

/// Which details are stored, and when they were last written down as used. Bounded: what is forgotten is written again.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<DetailId, i64>>>);

impl Known {
    /// Whether the detail need not be written for a round of this time.
    fn has(&self, id: DetailId, at: i64) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).is_some_and(|used| at.saturating_sub(*used) < USED_AGAIN)
    }

    /// Takes in what a batch that is stored now has written.
    pub(super) fn learn(&self, batch: &Batch) {
        let used = uses(batch);
        if batch.details.iter().all(|detail| self.has(detail.id, used_at(&used, detail.id))) {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MOST_KNOWN {
            known.clear();
        }
        for detail in &batch.details {
            let used = used_at(&used, detail.id);
            known.entry(detail.id).and_modify(|before| *before = used.max(*before)).or_insert(used);
        }
    }
}

/// The body of a detail: JSON, compressed.
pub(super) fn compressed(detail: &Detail) -> Result<Vec<u8>, Fault> {
    let cannot = |error: String| Fault::Damaged(format!("a cell cannot be written as JSON: {error}"));
    let json = serde_json::to_vec(&*detail.cell).map_err(|error| cannot(error.to_string()))?;
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(json.len() / 3), Compression::default());
    encoder.write_all(&json).and_then(|()| encoder.finish()).map_err(|error| cannot(error.to_string()))
}

fn details(batch: &Batch, known: &Known) -> Result<Vec<Vec<Value>>, Fault> {
    let mut rows = BTreeMap::new();
    let uses = uses(batch);
    for detail in &batch.details {
        let used = used_at(&uses, detail.id);
        if rows.contains_key(&detail.id) || known.has(detail.id, used) {
            continue;
        }
        rows.insert(detail.id, vec![detail.id.0.into(), used.into(), compressed(detail)?.into()]);
    }
    Ok(rows.into_values().collect())
}

/// The last time that a batch uses each detail, by the batch's own clock.
fn uses(batch: &Batch) -> HashMap<DetailId, i64> {
    let mut uses = HashMap::with_capacity(batch.details.len());
    if batch.details.is_empty() {
        return uses;
    }
    let rounds = batch.rounds.iter().map(|round| (round.detail, round.at));
    let events = batch
        .events
        .iter()
        .flat_map(|event| [event.before, event.after].into_iter().flatten().map(|detail| (detail, event.at)));
    for (detail, at) in rounds.chain(events) {
        let used = uses.entry(detail).or_insert(i64::MIN);
        *used = at.as_millisecond().max(*used);
    }
    uses
}

fn used_at(uses: &HashMap<DetailId, i64>, id: DetailId) -> i64 {
    uses.get(&id).copied().unwrap_or_default()
}

fn planned(round: &Round) -> Planned {
    let at = round.at.as_millisecond();
    let stage = |stage: Stage| round.stages.of(stage).map(|micros| i64::from(micros).min(LONGEST));
    let times = [stage(Stage::Dns), stage(Stage::Tcp), stage(Stage::Tls), stage(Stage::Http)];
    let mut row: Vec<Value> = Vec::with_capacity(10);
    row.extend(
        [round.cell.0, at, round.verdict.code(), round.observed.code(), i64::from(round.offline)].map(Value::from),
    );
    row.extend(times.map(Value::from));
    row.push(round.detail.0.into());
    let mut adds = Sums::default();
    if round.offline {
        adds[OFFLINE] = 1;
    } else {
        use crate::report::Verdict::{Inconclusive, Match, Mismatch, Propagating};
        let column = match round.verdict {
            Match => 0,
            Mismatch => 1,
            Inconclusive => 2,
            Propagating => 3,
        };
        adds[column] = 1;
        for (index, micros) in times.iter().enumerate() {
            if let Some(micros) = micros {
                let first = OFFLINE + 1 + 3 * index;
                adds[first..first + 3].copy_from_slice(&[1, *micros, *micros]);
            }
        }
    }
    Planned { row, cell: round.cell, at, adds }
}

fn add(sums: &mut Sums, adds: &Sums) {
    for (index, (sum, more)) in sums.iter_mut().zip(adds).enumerate() {
        let is_longest = index > OFFLINE && (index - OFFLINE).is_multiple_of(3);
        *sum = if is_longest { (*sum).max(*more) } else { sum.saturating_add(*more) };
    }
}

/// The begin of the span that a time is in.
const fn begin(at: i64, span: i64) -> i64 {
    at.div_euclid(span) * span
}

fn state_row(cell: CellId, state: &CellState) -> Vec<Value> {
    let CellState { standing, since, pending, last_good, paused_since, incident, judged_for } = state;
    let verdict = |standing: Option<&Standing>| standing.map(|standing| standing.verdict.code());
    let code = |standing: Option<&Standing>| standing.and_then(|standing| standing.code.clone());
    let time = |time: Option<Timestamp>| Value::from(time.map(Timestamp::as_millisecond));
    let waiting = pending.as_ref().map(|pending| &pending.standing);
    vec![
        cell.0.into(),
        verdict(standing.as_ref()).into(),
        code(standing.as_ref()).into(),
        time(*since),
        verdict(waiting).into(),
        code(waiting).into(),
        pending.as_ref().map(|pending| i64::from(pending.rounds).min(LONGEST)).into(),
        time(pending.as_ref().map(|pending| pending.since)),
        last_good.map(|(detail, _)| detail.0).into(),
        time(last_good.map(|(_, at)| at)),
        time(*paused_since),
        time(*incident),
        time(pending.as_ref().map(|pending| pending.last)),
        judged_for.clone().into(),
    ]
}

fn event_row(event: &Event) -> Result<Vec<Value>, Fault> {
    let changes = json(&event.changes)?;
    let standing = |standing: &Option<Standing>| -> [Value; 2] {
        let verdict = standing.as_ref().map(|standing| standing.verdict.code());
        [verdict.into(), standing.as_ref().and_then(|standing| standing.code.clone()).into()]
    };
    let (vantage, target) =
        event.cell.as_ref().map_or(("", NO_TARGET), |cell| (cell.vantage.as_str(), cell.target.code()));
    let mut row: Vec<Value> = vec![
        event.at.as_millisecond().into(),
        event.since.as_millisecond().into(),
        event.kind.code().into(),
        event.cluster.check.as_str().into(),
        event.cluster.cluster.as_str().into(),
        vantage.into(),
        target.into(),
    ];
    row.extend(standing(&event.from));
    row.extend(standing(&event.to));
    row.push(changes);
    row.extend([event.before.map(|id| id.0).into(), event.after.map(|id| id.0).into()]);
    row.push(event.summary.as_str().into());
    Ok(row)
}

fn snapshot_row(snapshot: &Snapshot) -> Vec<Value> {
    vec![
        snapshot.cluster.check.as_str().into(),
        snapshot.cluster.cluster.as_str().into(),
        snapshot.at.as_millisecond().into(),
        snapshot.hash.into(),
        snapshot.body.clone().into(),
    ]
}

fn alert_row(alert: &Alert) -> Result<Vec<Value>, Fault> {
    Ok(vec![
        alert.receiver.as_str().into(),
        alert.cell.0.into(),
        alert.starts_at.as_millisecond().into(),
        alert.ends_at.map(Timestamp::as_millisecond).into(),
        json(&alert.labels)?,
        json(&alert.annotations)?,
        i64::try_from(alert.repeat_seconds).unwrap_or(i64::MAX).into(),
        alert.next_at.as_millisecond().into(),
        i64::from(alert.attempts).min(LONGEST).into(),
        i64::from(alert.delivered).into(),
    ])
}

/// A value as JSON text.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Value, Fault> {
    serde_json::to_string(value).map(Value::from).map_err(|error| Fault::Damaged(error.to_string()))
}

/// `target` of an event that is about no cell.
pub(super) const NO_TARGET: i64 = -1;
/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// A detail that is used is written down as used at least this often, milliseconds.
pub(super) const USED_AGAIN: i64 = 12 * HOUR_MS;
const MOST_KNOWN: usize = 200_000;
/// The largest number of a column of 32 bits.
const LONGEST: i64 = i32::MAX as i64;
const OFFLINE: usize = 4;

const DETAIL: &str = "insert into details (id, used, body) values ($1, $2, $3)
    on conflict (id) do update set used = case when excluded.used > details.used then excluded.used else details.used end";
/// A round, unless its time is taken.
pub(super) const ROUND: &str = "insert into rounds (cell, at, verdict, observed, offline, dns, tcp, tls, http, detail)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (cell, at) do nothing";
const HOUR: &str = span_sql!("hours");
const DAY: &str = span_sql!("days");
const STATE: &str = "insert into states (cell, verdict, code, since, pending_verdict, pending_code, pending_rounds,
    pending_since, last_good, last_good_at, paused_since, incident, pending_last, judged_for)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    on conflict (cell) do update set verdict = excluded.verdict, code = excluded.code, since = excluded.since,
    pending_verdict = excluded.pending_verdict, pending_code = excluded.pending_code,
    pending_rounds = excluded.pending_rounds, pending_since = excluded.pending_since, last_good = excluded.last_good,
    last_good_at = excluded.last_good_at, paused_since = excluded.paused_since, incident = excluded.incident,
    pending_last = excluded.pending_last, judged_for = excluded.judged_for";
const EVENT: &str = "insert into events (at, since, kind, check_set, cluster, vantage, target, from_verdict, from_code,
    to_verdict, to_code, changes, before_detail, after_detail, summary)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    on conflict (check_set, cluster, vantage, target, kind, at) do nothing";
const SNAPSHOT: &str = "insert into snapshots (check_set, cluster, at, hash, body) values ($1, $2, $3, $4, $5)
    on conflict (check_set, cluster, at) do nothing";
const ALERT: &str =
    "insert into alerts (receiver, cell, starts_at, ends_at, labels, annotations, repeat_seconds, next_at,
    attempts, delivered) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (receiver, cell, starts_at) do update set ends_at = excluded.ends_at, labels = excluded.labels,
    annotations = excluded.annotations, repeat_seconds = excluded.repeat_seconds, next_at = excluded.next_at,
    attempts = excluded.attempts,
    delivered = case when excluded.delivered > alerts.delivered then excluded.delivered else alerts.delivered end";
