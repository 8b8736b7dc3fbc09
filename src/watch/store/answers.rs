//! What is read: one statement a question, and what its rows stand for.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use jiff::Timestamp;

use super::{
    EventFilter, Span, StoredCell,
    codes::Code as _,
    commit::NO_TARGET,
    engine::Engine,
    value::{Fault, Row, Value, odd},
};
use crate::{
    report::{Cell, CellTarget, Reachability, Verdict},
    watch::record::{
        Alert, CellId, CellKey, CellState, ClusterKey, DetailId, Event, EventKind, Pending, Rollup, Round, Snapshot,
        StageSum, StageTimes, Standing,
    },
};

/// Every cell, by number.
pub(super) async fn cells(engine: &Engine) -> Result<Vec<StoredCell>, Fault> {
    engine.query(CELLS, Vec::new(), cell).await
}

/// A judged cell.
pub(super) async fn detail(engine: &Engine, id: DetailId) -> Result<Option<Cell>, Fault> {
    let bodies = engine.query("select body from details where id = $1", vec![id.0.into()], inflated).await?;
    Ok(bodies.into_iter().next())
}

/// Rounds of a cell, oldest first; of more than `limit` the newest.
pub(super) async fn rounds(
    engine: &Engine,
    id: CellId,
    (from, until): (i64, i64),
    limit: usize,
) -> Result<Vec<Round>, Fault> {
    let parameters = vec![id.0.into(), from.into(), until.into(), bound(limit)];
    let mut rounds = engine.query(ROUNDS, parameters, |row| round(row, 0)).await?;
    rounds.reverse();
    Ok(rounds)
}

/// Rollups of cells (all when empty), by cell and begin.
pub(super) async fn rollups(
    engine: &Engine,
    cells: &[CellId],
    span: Span,
    (from, until): (i64, i64),
) -> Result<Vec<Rollup>, Fault> {
    let (of_one, of_all) = match span {
        Span::Hour => (HOURS, ALL_HOURS),
        Span::Day => (DAYS, ALL_DAYS),
    };
    let mut wanted: Vec<CellId> = cells.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() || wanted.len() > MOST_ASKED_SINGLY {
        let mut all = engine.query(of_all, vec![from.into(), until.into()], rollup).await?;
        all.retain(|rollup| wanted.is_empty() || wanted.binary_search(&rollup.cell).is_ok());
        return Ok(all);
    }
    let mut rollups = Vec::new();
    for id in wanted {
        rollups.extend(engine.query(of_one, vec![id.0.into(), from.into(), until.into()], rollup).await?);
    }
    Ok(rollups)
}

/// Events, newest first.
pub(super) async fn events(engine: &Engine, filter: &EventFilter) -> Result<Vec<Event>, Fault> {
    let kinds = filter.kinds.iter().fold(0_i64, |mask, kind| mask | 1 << kind.code());
    let time = |time: Option<Timestamp>, otherwise: i64| Value::from(time.map_or(otherwise, Timestamp::as_millisecond));
    let mut parameters = vec![
        filter.before.unwrap_or(i64::MAX).into(),
        time(filter.from, i64::MIN),
        time(filter.until, i64::MAX),
        if kinds == 0 { i64::MAX } else { kinds }.into(),
    ];
    let sql = match (&filter.cell, &filter.cluster) {
        (Some(key), _) => {
            parameters.extend([key.check.as_str(), key.cluster.as_str(), key.vantage.as_str()].map(Value::from));
            parameters.extend([key.target.code(), EventKind::Configuration.code()].map(Value::from));
            EVENTS_OF_CELL
        }
        (None, Some(cluster)) => {
            parameters.extend([cluster.check.as_str(), cluster.cluster.as_str()].map(Value::from));
            EVENTS_OF_CLUSTER
        }
        (None, None) => EVENTS,
    };
    parameters.push(bound(filter.limit));
    engine.query(sql, parameters, event).await
}

/// One event.
pub(super) async fn one_event(engine: &Engine, id: i64) -> Result<Option<Event>, Fault> {
    Ok(engine.query(EVENT, vec![id.into()], event).await?.into_iter().next())
}

/// The last snapshot before a time.
pub(super) async fn snapshot(engine: &Engine, cluster: &ClusterKey, before: i64) -> Result<Option<Snapshot>, Fault> {
    let parameters = vec![cluster.check.as_str().into(), cluster.cluster.as_str().into(), before.into()];
    let found = engine.query(SNAPSHOT, parameters, |row| {
        Ok(Snapshot {
            cluster: ClusterKey { check: row.text(0)?, cluster: row.text(1)? },
            at: time(row, 2)?,
            hash: row.integer(3)?,
            body: row.bytes(4)?.to_vec(),
        })
    });
    Ok(found.await?.into_iter().next())
}

/// Alerts that are due.
pub(super) async fn alerts_due(engine: &Engine, now: i64, limit: usize) -> Result<Vec<Alert>, Fault> {
    engine.query(ALERTS_DUE, vec![now.into(), bound(limit)], alert).await
}

/// Every alert: one that is done with is not stored any more.
pub(super) async fn alerts(engine: &Engine) -> Result<Vec<Alert>, Fault> {
    engine.query(ALERTS, Vec::new(), alert).await
}

fn cell(row: &Row) -> Result<StoredCell, Fault> {
    let key = CellKey {
        check: row.text(1)?,
        cluster: row.text(2)?,
        vantage: row.text(3)?,
        target: CellTarget::from_code(row.integer(4)?)?,
    };
    let standing = |verdict: usize| standing(row, verdict);
    let pending = match (standing(8)?, row.optional_count(10)?, optional_time(row, 11)?) {
        (Some(standing), Some(rounds), Some(since)) => {
            Some(Pending { standing, rounds, since, last: optional_time(row, 16)?.unwrap_or(since) })
        }
        _ => None,
    };
    let state = CellState {
        standing: standing(5)?,
        since: optional_time(row, 7)?,
        pending,
        last_good: row.optional(12)?.map(DetailId).zip(optional_time(row, 13)?),
        paused_since: optional_time(row, 14)?,
        incident: optional_time(row, 15)?,
        judged_for: row.optional_text(17)?,
    };
    let last = if row.optional(18)?.is_some() { Some(round(row, 18)?) } else { None };
    Ok(StoredCell { id: CellId(row.integer(0)?), key, state, last })
}

fn round(row: &Row, first: usize) -> Result<Round, Fault> {
    Ok(Round {
        cell: CellId(row.integer(first)?),
        at: time(row, first + 1)?,
        verdict: Verdict::from_code(row.integer(first + 2)?)?,
        observed: Reachability::from_code(row.integer(first + 3)?)?,
        offline: row.integer(first + 4)? != 0,
        stages: StageTimes {
            dns: row.optional_count(first + 5)?,
            tcp: row.optional_count(first + 6)?,
            tls: row.optional_count(first + 7)?,
            http: row.optional_count(first + 8)?,
        },
        detail: DetailId(row.integer(first + 9)?),
    })
}

fn rollup(row: &Row) -> Result<Rollup, Fault> {
    let stage = |first: usize| -> Result<StageSum, Fault> {
        Ok(StageSum { count: row.count(first)?, sum: row.count(first + 1)?, longest: row.count(first + 2)? })
    };
    Ok(Rollup {
        cell: CellId(row.integer(0)?),
        begin: time(row, 1)?,
        matched: row.count(2)?,
        mismatched: row.count(3)?,
        inconclusive: row.count(4)?,
        propagating: row.count(5)?,
        offline: row.count(6)?,
        stages: [stage(7)?, stage(10)?, stage(13)?, stage(16)?],
    })
}

fn event(row: &Row) -> Result<Event, Fault> {
    let cluster = ClusterKey { check: row.text(4)?, cluster: row.text(5)? };
    let cell = match row.integer(7)? {
        NO_TARGET => None,
        target => Some(CellKey {
            check: cluster.check.clone(),
            cluster: cluster.cluster.clone(),
            vantage: row.text(6)?,
            target: CellTarget::from_code(target)?,
        }),
    };
    Ok(Event {
        id: row.integer(0)?,
        at: time(row, 1)?,
        since: time(row, 2)?,
        kind: EventKind::from_code(row.integer(3)?)?,
        cluster,
        cell,
        from: standing(row, 8)?,
        to: standing(row, 10)?,
        changes: json(row, 12)?,
        before: row.optional(13)?.map(DetailId),
        after: row.optional(14)?.map(DetailId),
        summary: row.text(15)?,
    })
}

fn alert(row: &Row) -> Result<Alert, Fault> {
    Ok(Alert {
        id: row.integer(0)?,
        receiver: row.text(1)?,
        cell: CellId(row.integer(2)?),
        starts_at: time(row, 3)?,
        ends_at: optional_time(row, 4)?,
        labels: json(row, 5)?,
        annotations: json(row, 6)?,
        repeat_seconds: row.count(7)?,
        next_at: time(row, 8)?,
        attempts: row.count(9)?,
        delivered: row.integer(10)? != 0,
    })
}

fn standing(row: &Row, verdict: usize) -> Result<Option<Standing>, Fault> {
    let code = row.optional_text(verdict + 1)?;
    row.optional(verdict)?.map(|verdict| Ok(Standing { verdict: Verdict::from_code(verdict)?, code })).transpose()
}

fn time(row: &Row, column: usize) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(row.integer(column)?).map_err(|_| odd(column))
}

fn optional_time(row: &Row, column: usize) -> Result<Option<Timestamp>, Fault> {
    row.optional(column)?.map(|at| Timestamp::from_millisecond(at).map_err(|_| odd(column))).transpose()
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<T, Fault> {
    serde_json::from_str(&row.text(column)?).map_err(|_| odd(column))
}

fn inflated(row: &Row) -> Result<Cell, Fault> {
    let mut text = Vec::new();
    ZlibDecoder::new(row.bytes(0)?).take(LARGEST_DETAIL).read_to_end(&mut text).map_err(|_| odd(0))?;
    serde_json::from_slice(&text).map_err(|_| odd(0))
}

fn bound(limit: usize) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

/// More cells than this are asked for together, and the others left out.
const MOST_ASKED_SINGLY: usize = 32;
const LARGEST_DETAIL: u64 = 64 << 20;

const CELLS: &str = "select c.id, c.check_set, c.cluster, c.vantage, c.target,
    s.verdict, s.code, s.since, s.pending_verdict, s.pending_code, s.pending_rounds, s.pending_since,
    s.last_good, s.last_good_at, s.paused_since, s.incident, s.pending_last, s.judged_for,
    r.cell, r.at, r.verdict, r.observed, r.offline, r.dns, r.tcp, r.tls, r.http, r.detail
    from cells c left join states s on s.cell = c.id
    left join rounds r on r.cell = c.id and r.at = (select max(l.at) from rounds l where l.cell = c.id)
    order by c.id";
const ROUNDS: &str = "select cell, at, verdict, observed, offline, dns, tcp, tls, http, detail from rounds
    where cell = $1 and at >= $2 and at < $3 order by at desc limit $4";
macro_rules! spans {
    ($table:literal, $rest:literal) => {
        concat!(
            "select s.cell, s.begins, s.matched, s.mismatched, s.inconclusive, s.propagating, s.offline,
            s.dns_count, s.dns_sum, s.dns_longest, s.tcp_count, s.tcp_sum, s.tcp_longest,
            s.tls_count, s.tls_sum, s.tls_longest, s.http_count, s.http_sum, s.http_longest from ",
            $table,
            " s ",
            $rest
        )
    };
}
macro_rules! events {
    ($condition:literal) => {
        concat!(
            "select id, at, since, kind, check_set, cluster, vantage, target, from_verdict, from_code, to_verdict,
            to_code, changes, before_detail, after_detail, summary from events where ",
            $condition
        )
    };
}
const HOURS: &str = spans!("hours", "where s.cell = $1 and s.begins >= $2 and s.begins < $3 order by s.begins");
const DAYS: &str = spans!("days", "where s.cell = $1 and s.begins >= $2 and s.begins < $3 order by s.begins");
/// By way of the cells, so that what lies outside the time is skipped.
const ALL_HOURS: &str =
    spans!("hours", "join cells c on c.id = s.cell where s.begins >= $1 and s.begins < $2 order by s.cell, s.begins");
const ALL_DAYS: &str =
    spans!("days", "join cells c on c.id = s.cell where s.begins >= $1 and s.begins < $2 order by s.cell, s.begins");
const EVENT: &str = events!("id = $1");
const EVENTS: &str = events!("id < $1 and at >= $2 and at < $3 and ($4 & (1 << kind)) <> 0 order by id desc limit $5");
const EVENTS_OF_CLUSTER: &str = events!(
    "id < $1 and at >= $2 and at < $3 and ($4 & (1 << kind)) <> 0 and check_set = $5 and cluster = $6
    order by id desc limit $7"
);
const EVENTS_OF_CELL: &str = events!(
    "id < $1 and at >= $2 and at < $3 and ($4 & (1 << kind)) <> 0 and check_set = $5 and cluster = $6
    and ((vantage = $7 and target = $8) or kind = $9) order by id desc limit $10"
);
const SNAPSHOT: &str = "select check_set, cluster, at, hash, body from snapshots
    where check_set = $1 and cluster = $2 and at < $3 order by at desc limit 1";
const ALERTS: &str =
    "select id, receiver, cell, starts_at, ends_at, labels, annotations, repeat_seconds, next_at, attempts,
    delivered from alerts order by receiver, starts_at, id";
const ALERTS_DUE: &str = "select id, receiver, cell, starts_at, ends_at, labels, annotations, repeat_seconds, next_at,
    attempts, delivered from alerts where next_at <= $1 order by receiver, starts_at, id limit $2";
