//! Has anything changed for certain? Pure: a cell's state and a round give the next state and perhaps a transition.
//!
//! A state changes only after so many rounds in a row that do not agree with it. A round while the prober is offline
//! says nothing and leaves everything as it is, what is pending included.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{CellState, DetailId, EventKind, Pending, Standing};
use crate::report::{Cell, Finding, Severity, Verdict};

/// What a round says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// What the cell is by it.
    pub standing: Standing,
    /// The prober was offline: it says nothing.
    pub offline: bool,
    /// Everything about it.
    pub detail: DetailId,
}

/// A confirmed change of a cell's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What happened.
    pub kind: EventKind,
    /// The first of the rounds that say so.
    pub since: Timestamp,
    /// What it was.
    pub from: Option<Standing>,
    /// What it is.
    pub to: Standing,
    /// The last round that was a match.
    pub last_good: Option<(DetailId, Timestamp)>,
}

/// What a judged cell is taken to be.
#[must_use]
pub fn standing(cell: &Cell) -> Standing {
    let worst = |finding: &&Finding| finding.severity == Severity::Error;
    let code = match cell.verdict {
        Verdict::Match => None,
        Verdict::Mismatch | Verdict::Inconclusive | Verdict::Propagating => {
            cell.findings.iter().find(worst).or_else(|| cell.findings.first()).map(|finding| finding.code.clone())
        }
    };
    Standing { verdict: cell.verdict, code }
}

/// The next state; `confirm` rounds in a row make a change certain, and one is enough for a cell that was never judged
/// and is fine. Rounds that are further apart than `longest_gap` are not in a row.
#[must_use]
pub fn step(state: &CellState, said: &Said, confirm: u32, longest_gap: Duration) -> (CellState, Option<Transition>) {
    let mut next = state.clone();
    if said.offline {
        next.paused_since = state.paused_since.or(Some(said.at));
        if let Some(pending) = next.pending.as_mut().filter(|pending| is_near(pending, said, longest_gap)) {
            pending.last = said.at;
        }
        return (next, None);
    }
    next.paused_since = None;
    if said.standing.verdict == Verdict::Match {
        next.last_good = Some((said.detail, said.at));
    }
    if state.standing.as_ref() == Some(&said.standing) {
        next.pending = None;
        return (next, None);
    }
    let pending = pending(state, said, longest_gap);
    let at_first_sight = state.standing.is_none() && said.standing.verdict == Verdict::Match;
    if pending.rounds < confirm && !at_first_sight {
        next.pending = Some(pending);
        return (next, None);
    }
    let was_bad = state.standing.as_ref().is_some_and(is_bad);
    let kind = match (is_bad(&pending.standing), pending.standing.verdict) {
        (true, _) if was_bad => EventKind::Changed,
        (true, _) => EventKind::Failed,
        (false, Verdict::Match) if state.incident.is_some() => EventKind::Recovered,
        _ if state.standing.is_none() => EventKind::First,
        _ => EventKind::Changed,
    };
    next.pending = None;
    next.since = Some(pending.since);
    next.incident = match pending.standing.verdict {
        Verdict::Match => None,
        // What may still be on its way is no incident, and does not end one.
        Verdict::Propagating => state.incident,
        Verdict::Mismatch | Verdict::Inconclusive => state.incident.or(Some(pending.since)),
    };
    let transition = Transition {
        kind,
        since: pending.since,
        from: state.standing.clone(),
        to: pending.standing.clone(),
        last_good: state.last_good,
    };
    next.standing = Some(pending.standing);
    (next, Some(transition))
}

/// Whether the difference is worth a write beside the round itself.
#[must_use]
pub fn is_worth_storing(before: &CellState, after: &CellState) -> bool {
    let good = |state: &CellState| state.last_good.map(|(detail, _)| detail);
    let rest = |state: &CellState| CellState { last_good: None, ..state.clone() };
    good(before) != good(after) || rest(before) != rest(after)
}

/// The rounds in a row that do not agree with the state. Those that fail in different ways all speak against a state
/// that is fine; between two ways of failing only equal rounds count.
fn pending(state: &CellState, said: &Said, longest_gap: Duration) -> Pending {
    let fresh = Pending { standing: said.standing.clone(), rounds: 1, since: said.at, last: said.at };
    let Some(known) = state.pending.as_ref().filter(|known| is_near(known, said, longest_gap)) else { return fresh };
    let was_bad = state.standing.as_ref().is_some_and(is_bad);
    let counts = match (is_bad(&known.standing), is_bad(&said.standing)) {
        // It was fine: any failure counts. It was not: the same verdict counts, whatever the cause.
        (true, true) if !was_bad => true,
        (true, true) if state.standing.as_ref().map(|one| one.verdict) != Some(said.standing.verdict) => {
            known.standing.verdict == said.standing.verdict
        }
        _ => known.standing == said.standing,
    };
    if !counts {
        return fresh;
    }
    // Of rounds that fail in different ways the worst is what is told, and of those the last.
    let standing = if said.standing.verdict >= known.standing.verdict { &said.standing } else { &known.standing };
    Pending { standing: standing.clone(), rounds: known.rounds.saturating_add(1), since: known.since, last: said.at }
}

/// Whether a round follows closely enough on what is pending.
fn is_near(pending: &Pending, said: &Said, longest_gap: Duration) -> bool {
    Duration::try_from(said.at.duration_since(pending.last)).unwrap_or_default() <= longest_gap
}

fn is_bad(standing: &Standing) -> bool {
    matches!(standing.verdict, Verdict::Mismatch | Verdict::Inconclusive)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(5);
    const FINE: (Verdict, Option<&str>) = (Verdict::Match, None);
    const TIMEOUT: (Verdict, Option<&str>) = (Verdict::Mismatch, Some("net-timeout"));
    const REFUSED: (Verdict, Option<&str>) = (Verdict::Mismatch, Some("net-refused"));
    const UNKNOWN: (Verdict, Option<&str>) = (Verdict::Inconclusive, Some("inconclusive-vantage"));
    const ON_ITS_WAY: (Verdict, Option<&str>) = (Verdict::Propagating, Some("propagation-window-open"));

    fn said(second: i64, (verdict, code): (Verdict, Option<&str>)) -> Said {
        Said {
            at: Timestamp::from_second(second).unwrap(),
            standing: Standing { verdict, code: code.map(str::to_owned) },
            offline: false,
            detail: DetailId(second),
        }
    }

    /// The events of a series of rounds, one a second, each with the seconds it came at and began at.
    fn events(confirm: u32, series: &[(Verdict, Option<&str>)]) -> Vec<(i64, i64, EventKind)> {
        let mut state = CellState::default();
        let mut events = Vec::new();
        for (second, what) in (1..).zip(series) {
            let (next, transition) = step(&state, &said(second, *what), confirm, GAP);
            state = next;
            events.extend(transition.map(|one| (second, one.since.as_second(), one.kind)));
        }
        events
    }

    #[test]
    fn a_state_changes_after_agreeing_rounds_only() {
        let series = [FINE, TIMEOUT, TIMEOUT, FINE, TIMEOUT, TIMEOUT, TIMEOUT, FINE, FINE, FINE];
        let expected = [(1, 1, EventKind::First), (7, 5, EventKind::Failed), (10, 8, EventKind::Recovered)];
        assert_eq!(events(3, &series), expected);
        assert_eq!(events(1, &[FINE, TIMEOUT, FINE]).len(), 3);
    }

    #[test]
    fn failures_of_different_kinds_speak_together_against_what_was_fine() {
        let series = [FINE, TIMEOUT, REFUSED, UNKNOWN, TIMEOUT, REFUSED, TIMEOUT];
        // Failed after three, told as the worst of them; no cause is ever stable afterwards, so nothing more is told.
        assert_eq!(events(3, &series), [(1, 1, EventKind::First), (4, 2, EventKind::Failed)]);
        let changes = [FINE, TIMEOUT, TIMEOUT, REFUSED, REFUSED, FINE, FINE];
        let expected = [
            (1, 1, EventKind::First),
            (3, 2, EventKind::Failed),
            (5, 4, EventKind::Changed),
            (7, 6, EventKind::Recovered),
        ];
        assert_eq!(events(2, &changes), expected);
    }

    #[test]
    fn the_worst_of_different_failures_is_told() {
        let mut state = CellState::default();
        for (second, what) in (1..).zip([FINE, REFUSED, UNKNOWN]) {
            state = step(&state, &said(second, what), 2, GAP).0;
        }
        assert_eq!(state.standing.unwrap().code.as_deref(), Some("net-refused"));
        assert_eq!(state.incident, Some(Timestamp::from_second(2).unwrap()));
        assert_eq!(state.last_good, Some((DetailId(1), Timestamp::from_second(1).unwrap())));
    }

    #[test]
    fn rounds_that_are_far_apart_are_not_in_a_row() {
        let mut state = CellState::default();
        for (second, what) in [(1, FINE), (2, TIMEOUT), (3, TIMEOUT)] {
            state = step(&state, &said(second, what), 3, GAP).0;
        }
        let (state, transition) = step(&state, &said(2_000_000, TIMEOUT), 3, GAP);
        assert_eq!(transition, None, "three weeks later");
        assert_eq!(state.pending.unwrap().rounds, 1);
    }

    #[test]
    fn being_offline_pauses_and_forgets_nothing() {
        let mut state = CellState::default();
        for (second, what) in (1..).zip([FINE, TIMEOUT]) {
            state = step(&state, &said(second, what), 2, GAP).0;
        }
        for second in 3..50 {
            let offline = Said { offline: true, ..said(second, UNKNOWN) };
            let (next, transition) = step(&state, &offline, 2, GAP);
            assert_eq!(transition, None);
            state = next;
        }
        assert_eq!(state.paused_since, Some(Timestamp::from_second(3).unwrap()));
        let (state, transition) = step(&state, &said(50, TIMEOUT), 2, GAP);
        assert_eq!(transition.unwrap().since.as_second(), 2);
        assert_eq!(state.paused_since, None);
    }

    #[test]
    fn what_may_be_on_its_way_neither_begins_nor_ends_an_incident() {
        let series = [FINE, ON_ITS_WAY, ON_ITS_WAY, TIMEOUT, TIMEOUT, ON_ITS_WAY, ON_ITS_WAY, FINE, FINE];
        let expected = [
            (1, 1, EventKind::First),
            (3, 2, EventKind::Changed),
            (5, 4, EventKind::Failed),
            (7, 6, EventKind::Changed),
            (9, 8, EventKind::Recovered),
        ];
        assert_eq!(events(2, &series), expected);
        assert_eq!(events(2, &[FINE, ON_ITS_WAY, ON_ITS_WAY, FINE, FINE]).last().unwrap().2, EventKind::Changed);
    }

    #[test]
    fn a_round_like_the_one_before_is_not_worth_a_write() {
        let (first, _) = step(&CellState::default(), &said(1, FINE), 3, GAP);
        let same = Said { detail: DetailId(1), ..said(2, FINE) };
        let (second, _) = step(&first, &same, 3, GAP);
        assert!(is_worth_storing(&CellState::default(), &first));
        assert!(!is_worth_storing(&first, &second));
        let (third, _) = step(&second, &said(3, TIMEOUT), 3, GAP);
        assert!(is_worth_storing(&second, &third), "what is pending outlives a restart");
    }
}
