//! What is written besides batches: numbers of cells, ends of deliveries, leases, and what is thrown away.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    codes::Code as _,
    commit::{USED_AGAIN, json},
    engine::{Engine, Session, Work},
    value::{Fault, Value},
};
use crate::{
    report::CellTarget,
    watch::{
        config::Retention,
        record::{Alert, CellId, CellKey},
    },
};

/// Gives cells their numbers.
pub(super) struct Register {
    keys: Vec<CellKey>,
}

impl Register {
    /// Of these cells.
    pub(super) fn new(keys: &[CellKey]) -> Self {
        Self { keys: keys.to_vec() }
    }
}

impl Work for Register {
    type Output = Vec<CellId>;

    async fn run(&self, session: &Session<'_>) -> Result<Vec<CellId>, Fault> {
        let mut known = numbers(session).await?;
        let missing: BTreeSet<&CellKey> = self.keys.iter().filter(|key| !known.contains_key(key)).collect();
        if !missing.is_empty() {
            let row = |key: &&CellKey| -> Vec<Value> {
                let names = [&key.check, &key.cluster, &key.vantage].map(|name| Value::from(name.as_str()));
                names.into_iter().chain([key.target.code().into()]).collect()
            };
            session.execute_many(NEW_CELL, &missing.iter().map(row).collect::<Vec<_>>()).await?;
            known = numbers(session).await?;
        }
        let number = |key: &CellKey| {
            known.get(key).copied().ok_or_else(|| Fault::Unavailable("a cell was not stored".to_owned()))
        };
        self.keys.iter().map(number).collect()
    }
}

/// Writes down how deliveries ended.
pub(super) struct Sent {
    done: Vec<Vec<Value>>,
    kept: Vec<Vec<Value>>,
    reached: Vec<Vec<Value>>,
}

impl Sent {
    /// Of these alerts.
    pub(super) fn new(alerts: &[Alert]) -> Result<Self, Fault> {
        let mut sorted: Vec<&Alert> = alerts.iter().collect();
        sorted.sort_by_key(|alert| alert.id);
        let (mut done, mut kept, mut reached) = (Vec::new(), Vec::new(), Vec::new());
        for alert in sorted {
            // It is the same alert only while it says the same: one that was changed meanwhile is still to be sent.
            let same = [
                alert.id.into(),
                alert.ends_at.map(Timestamp::as_millisecond).into(),
                json(&alert.labels)?,
                json(&alert.annotations)?,
            ];
            if alert.ends_at.is_some() && alert.delivered {
                done.push(same.to_vec());
            } else {
                let news = [alert.next_at.as_millisecond(), i64::from(alert.attempts), i64::from(alert.delivered)];
                kept.push(news.map(Value::from).into_iter().chain(same).collect());
            }
            if alert.delivered {
                reached.push(vec![alert.id.into()]);
            }
        }
        Ok(Self { done, kept, reached })
    }
}

impl Work for Sent {
    type Output = ();

    async fn run(&self, session: &Session<'_>) -> Result<(), Fault> {
        session.execute_many(ALERT_DONE, &self.done).await?;
        session.execute_many(ALERT_KEPT, &self.kept).await?;
        session.execute_many(ALERT_REACHED, &self.reached).await?;
        Ok(())
    }
}

/// Takes or renews leases, by the clock of PostgreSQL.
pub(super) struct Lease {
    rows: Vec<Vec<Value>>,
}

impl Lease {
    /// Of these names, which are in order and each there once.
    pub(super) fn new(holder: &str, names: &BTreeSet<&String>, lasts: Duration) -> Self {
        let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 2);
        let row = |name: &&String| vec![Value::from(name.as_str()), holder.into(), lasts.into()];
        Self { rows: names.iter().map(row).collect() }
    }
}

impl Work for Lease {
    /// Of each name whether it is held.
    type Output = Vec<bool>;

    async fn run(&self, session: &Session<'_>) -> Result<Vec<bool>, Fault> {
        Ok(session.execute_many(LEASE, &self.rows).await?.into_iter().map(|count| count > 0).collect())
    }
}

/// Gives leases back.
pub(super) struct Release {
    rows: Vec<Vec<Value>>,
}

impl Release {
    /// Of these names, which are in order and each there once.
    pub(super) fn new(holder: &str, names: &BTreeSet<&String>) -> Self {
        Self { rows: names.iter().map(|name| vec![name.as_str().into(), holder.into()]).collect() }
    }
}

impl Work for Release {
    type Output = ();

    async fn run(&self, session: &Session<'_>) -> Result<(), Fault> {
        session.execute_many(RELEASE, &self.rows).await.map(drop)
    }
}

/// Who holds a lease that still lasts.
pub(super) async fn holders(engine: &Engine) -> Result<Vec<String>, Fault> {
    engine.query(HOLDERS, Vec::new(), |row| row.text(0)).await
}

/// Removes what is older than it is to be kept; how many rows went. Each piece is a transaction of its own, so that
/// batches come in between.
pub(super) async fn prune(engine: &Engine, retention: &Retention, now: Timestamp) -> Result<u64, Fault> {
    let before = |age: Duration| {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        now.as_millisecond().saturating_sub(age)
    };
    let (rounds, rollups, events) = (before(retention.rounds), before(retention.rollups), before(retention.events));
    let mut gone = 0;
    for (old, delete, until) in
        [(OLD_ROUNDS, DELETE_ROUNDS, rounds), (OLD_HOURS, DELETE_HOURS, rollups), (OLD_DAYS, DELETE_DAYS, rollups)]
    {
        let mut after = i64::MIN;
        loop {
            let cells = engine
                .query(old, vec![after.into(), until.into(), CELLS_OF_A_PIECE.into()], |row| row.integer(0))
                .await?;
            let Some(last) = cells.last() else { break };
            let row = |cell: &i64| vec![Value::from(*cell), until.into(), ROWS_OF_A_CELL.into()];
            let rows: Vec<Vec<Value>> = cells.iter().map(row).collect();
            let counts = engine.write(Delete { sql: delete, rows }).await?;
            // A cell that had more than one piece's worth is among the next ones again.
            let full = counts.iter().position(|count| i64::try_from(*count).is_ok_and(|count| count >= ROWS_OF_A_CELL));
            after = full.and_then(|index| cells.get(index)).map_or(*last, |cell| cell - 1);
            gone += counts.iter().sum::<u64>();
        }
    }
    // Of a detail that a round names, the last use was written down at most so long before that round.
    let unused = rounds.min(now.as_millisecond()).saturating_sub(USED_AGAIN);
    for (delete, until) in [
        (DELETE_EVENTS, events),
        (DELETE_SNAPSHOTS, events),
        (DELETE_ALERTS, events),
        (DELETE_DETAILS, unused),
        (DELETE_LEASES, unused),
    ] {
        loop {
            let rows = vec![vec![until.into(), ROWS_OF_A_PIECE.into()]];
            let count: u64 = engine.write(Delete { sql: delete, rows }).await?.into_iter().sum();
            gone += count;
            if i64::try_from(count).is_ok_and(|count| count < ROWS_OF_A_PIECE) {
                break;
            }
        }
    }
    Ok(gone)
}

struct Delete {
    sql: &'static str,
    rows: Vec<Vec<Value>>,
}

impl Work for Delete {
    type Output = Vec<u64>;

    async fn run(&self, session: &Session<'_>) -> Result<Vec<u64>, Fault> {
        session.execute_many(self.sql, &self.rows).await
    }
}

async fn numbers(session: &Session<'_>) -> Result<HashMap<CellKey, CellId>, Fault> {
    let numbers = session.query("select id, check_set, cluster, vantage, target from cells", &[], |row| {
        let target = CellTarget::from_code(row.integer(4)?)?;
        let key = CellKey { check: row.text(1)?, cluster: row.text(2)?, vantage: row.text(3)?, target };
        Ok((key, CellId(row.integer(0)?)))
    });
    Ok(numbers.await?.into_iter().collect())
}

macro_rules! old {
    ($table:literal, $time:literal) => {
        concat!(
            "select c.id from cells c where c.id > $1 and exists
            (select 1 from ",
            $table,
            " s where s.cell = c.id and s.",
            $time,
            " < $2) order by c.id limit $3"
        )
    };
}
macro_rules! delete_old {
    ($table:literal, $time:literal) => {
        concat!(
            "delete from ",
            $table,
            " where cell = $1 and ",
            $time,
            " < $2 and ",
            $time,
            " <=
            (select max(o.",
            $time,
            ") from (select s.",
            $time,
            " from ",
            $table,
            " s where s.cell = $1 and s.",
            $time,
            " < $2 order by s.",
            $time,
            " limit $3) o)"
        )
    };
}

const NEW_CELL: &str = "insert into cells (check_set, cluster, vantage, target) values ($1, $2, $3, $4)
    on conflict (check_set, cluster, vantage, target) do nothing";
const ALERT_DONE: &str = "delete from alerts
    where id = $1 and ends_at is not distinct from $2 and labels = $3 and annotations = $4";
const ALERT_KEPT: &str = "update alerts set next_at = $1, attempts = $2, delivered = $3
    where id = $4 and ends_at is not distinct from $5 and labels = $6 and annotations = $7";
const ALERT_REACHED: &str = "update alerts set delivered = 1 where id = $1";
const LEASE: &str = "insert into leases (name, holder, ends_at)
    values ($1, $2, cast(extract(epoch from now()) * 1000 as bigint) + $3)
    on conflict (name) do update set holder = excluded.holder, ends_at = excluded.ends_at
    where leases.holder = excluded.holder or leases.ends_at <= cast(extract(epoch from now()) * 1000 as bigint)";
const RELEASE: &str = "delete from leases where name = $1 and holder = $2";
const HOLDERS: &str = "select distinct holder from leases
    where ends_at > cast(extract(epoch from now()) * 1000 as bigint) order by holder";
const OLD_ROUNDS: &str = old!("rounds", "at");
const OLD_HOURS: &str = old!("hours", "begins");
const OLD_DAYS: &str = old!("days", "begins");
const DELETE_ROUNDS: &str = delete_old!("rounds", "at");
const DELETE_HOURS: &str = delete_old!("hours", "begins");
const DELETE_DAYS: &str = delete_old!("days", "begins");
const DELETE_EVENTS: &str = "delete from events where id in (select id from events where at < $1 order by at limit $2)";
/// The last one before that time stays: it is what events after it are compared with.
const DELETE_SNAPSHOTS: &str = "delete from snapshots where (check_set, cluster, at) in
    (select s.check_set, s.cluster, s.at from snapshots s where s.at < $1 and exists
        (select 1 from snapshots n where n.check_set = s.check_set and n.cluster = s.cluster and n.at > s.at and n.at < $1)
    limit $2)";
const DELETE_ALERTS: &str = "delete from alerts where id in (select id from alerts where ends_at < $1 limit $2)";
const DELETE_LEASES: &str = "delete from leases where name in (select name from leases where ends_at < $1 limit $2)";
const DELETE_DETAILS: &str = "delete from details where id in (select d.id from details d where d.used < $1
    and not exists (select 1 from events e where e.before_detail = d.id)
    and not exists (select 1 from events e where e.after_detail = d.id)
    and d.id not in (select s.last_good from states s where s.last_good is not null) limit $2)";
const CELLS_OF_A_PIECE: i64 = 20;
const ROWS_OF_A_CELL: i64 = 500;
const ROWS_OF_A_PIECE: i64 = 1_000;
