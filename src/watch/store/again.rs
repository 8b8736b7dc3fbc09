//! Rounds whose slot is stored already: the same ones once more, or other ones of a time that came twice.
//!
//! Of several processes, two may have run a slot when its cell passed from one to the other: there a round that came to the
//! same is the same, though it took other times. One process alone runs a slot twice only when its clock was set back.

use super::{
    commit::ROUND,
    engine::Session,
    value::{Fault, Row, Value},
};

/// For each row of a round whose time is taken: when it is stored instead, or nothing when it is stored already, as
/// that of a batch that came back in doubt is, or when there is no room.
pub(super) async fn stored_beside(session: &Session<'_>, rows: &[&Vec<Value>]) -> Result<Vec<Option<i64>>, Fault> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // Nearly always the whole batch comes once more: that is asked without waiting for one answer before the next.
    let questions: Vec<Vec<Value>> = rows.iter().map(|row| question(row)).collect();
    let same = session.execute_many(session.dialect(SAME_TO_THE_TIMES, SAME), &questions).await?;
    let mut times = Vec::with_capacity(rows.len());
    for (row, same) in rows.iter().zip(same) {
        times.push(if same > 0 { None } else { store_beside(session, row).await? });
    }
    Ok(times)
}

async fn store_beside(session: &Session<'_>, row: &[Value]) -> Result<Option<i64>, Fault> {
    let [cell, Value::Integer(Some(at)), round @ ..] = row else { return Ok(None) };
    let until = at.saturating_add(FARTHEST);
    let is_same = |stored: &[Value]| match session {
        Session::Sqlite(_) => stored == round,
        Session::Postgres(_) => {
            let came_to = |round: &[Value]| (round.get(..OUTCOME).map(<[Value]>::to_vec), round.last().cloned());
            came_to(stored) == came_to(round)
        }
    };
    // Another process may take what was free: then there is a next one.
    for _ in 0..ATTEMPTS {
        let near = vec![cell.clone(), (*at).into(), until.into()];
        let near = session.query(NEAR, &near, timed).await?;
        if near.iter().any(|(_, stored)| is_same(stored)) {
            return Ok(None);
        }
        let mut free = *at;
        for (taken, _) in near {
            if taken != free {
                break;
            }
            free = free.saturating_add(1);
        }
        if free > until {
            return Ok(None);
        }
        let mut moved = row.to_vec();
        moved[1] = free.into();
        if session.execute(ROUND, moved).await? > 0 {
            return Ok(Some(free));
        }
    }
    Ok(None)
}

/// The parameters of [`SAME`].
fn question(row: &[Value]) -> Vec<Value> {
    let mut question = row.to_vec();
    if let Some(Value::Integer(Some(at))) = row.get(1) {
        question.insert(2, at.saturating_add(FARTHEST).into());
    }
    question
}

/// When a round is stored, and the rest of it.
fn timed(row: &Row) -> Result<(i64, Vec<Value>), Fault> {
    Ok((row.integer(0)?, row.0[1..].to_vec()))
}

/// How much later than it was a round may be stored, milliseconds.
const FARTHEST: i64 = 1_000;
const ATTEMPTS: usize = 3;
/// Verdict, what was observed, and whether it was offline.
const OUTCOME: usize = 3;
/// Touches the round if it is stored, and changes nothing.
const SAME_TO_THE_TIMES: &str = "update rounds set detail = detail
    where cell = $1 and at >= $2 and at <= $3 and verdict = $4 and observed = $5 and offline = $6
    and dns is not distinct from $7 and tcp is not distinct from $8 and tls is not distinct from $9
    and http is not distinct from $10 and detail = $11";
const SAME: &str = "update rounds set detail = detail
    where cell = $1 and at >= $2 and at <= $3 and verdict = $4 and observed = $5 and offline = $6 and detail = $11";
const NEAR: &str = "select at, verdict, observed, offline, dns, tcp, tls, http, detail from rounds
    where cell = $1 and at >= $2 and at <= $3 order by at";
