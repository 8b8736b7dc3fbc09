//! Events, from a transition and what differs: pure.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::{
    report::{Cell, Verdict, words::moment},
    watch::{
        board::CellNow,
        change,
        record::{Change, ClusterKey, Event, EventKind},
        state::Transition,
    },
};

/// Everything that an event of a cell is told from.
pub(super) struct Telling<'a> {
    pub(super) transition: &'a Transition,
    /// The cell as it is now.
    pub(super) after: &'a CellNow,
    /// Its judged round.
    pub(super) cell: &'a Cell,
    /// Its last good round.
    pub(super) before: Option<&'a Cell>,
    /// What changed in the configuration of its cluster lately, the newest last.
    pub(super) recent: Option<&'a VecDeque<Change>>,
    pub(super) now: Timestamp,
}

impl Telling<'_> {
    /// The event, with what differs from the last good round, the configuration first.
    pub(super) fn event(&self) -> Event {
        let Self { transition, after, cell, before, now, .. } = self;
        let good = transition.last_good.map(|(_, at)| at);
        let mut changes: Vec<Change> = Vec::new();
        if transition.kind != EventKind::First {
            changes.extend(self.configured(good).cloned());
            if let Some(before) = before {
                changes.extend(change::observed(before, cell, transition.since));
            }
            changes.truncate(CHANGES_TOLD);
        }
        Event {
            id: 0,
            at: *now,
            since: transition.since,
            kind: transition.kind,
            cluster: after.key.cluster_key(),
            cell: Some(after.key.clone()),
            from: transition.from.clone(),
            to: Some(transition.to.clone()),
            summary: self.summary(&changes),
            changes,
            before: transition.last_good.map(|(id, _)| id),
            after: after.last.as_ref().map(|last| last.detail),
        }
    }

    /// How long a change of the configuration took to arrive, where the cell became fine after one.
    pub(super) fn converged(&self) -> Option<Duration> {
        let fine = self.transition.to.verdict == Verdict::Match && self.transition.from.is_some();
        let newest = self.recent?.iter().rev().find(|change| change.at <= self.transition.since)?;
        let took = Duration::try_from(self.transition.since.duration_since(newest.at)).ok()?;
        (fine && took <= LONGEST_PROPAGATION).then_some(took)
    }

    /// What changed in the configuration since it was good, or not long before it failed.
    fn configured(&self, good: Option<Timestamp>) -> impl Iterator<Item = &Change> {
        let from = good.unwrap_or(self.transition.since).min(self.transition.since);
        let from = from.saturating_sub(BEFORE_IT_FAILED).unwrap_or(Timestamp::MIN);
        self.recent.into_iter().flatten().filter(move |change| change.at >= from)
    }

    fn summary(&self, changes: &[Change]) -> String {
        let Self { transition, cell, after, .. } = self;
        let subject = after.key.subject();
        let since = moment(transition.since);
        let what = match (transition.to.verdict, transition.kind) {
            (Verdict::Match, EventKind::Recovered) => format!("{subject} is as intended again since {since}"),
            (Verdict::Match, _) => format!("{subject} is as intended ({} from there)", cell.observed.label()),
            (Verdict::Propagating, _) => format!("a change of {subject} is on its way since {since}"),
            (Verdict::Inconclusive, _) => format!("{subject} cannot be decided since {since}"),
            (Verdict::Mismatch, _) => {
                format!("{subject} is {} since {since}, intended {}", cell.observed.label(), cell.intended.label())
            }
        };
        let cause = transition
            .to
            .code
            .as_ref()
            .and_then(|code| cell.findings.iter().find(|finding| finding.code == *code))
            .map(|finding| format!(": {}", finding.title))
            .unwrap_or_default();
        let change = changes
            .first()
            .filter(|_| transition.to.verdict != Verdict::Match)
            .map(|change| format!(" ({} at {})", change.text, moment(change.at)))
            .unwrap_or_default();
        format!("{what}{cause}{change}")
    }
}

/// A vantage that went offline, or is back. The cell is the one that showed it.
pub(super) fn of_vantage(kind: EventKind, cell: &CellNow, now: Timestamp) -> Event {
    let vantage = &cell.key.vantage;
    let summary = match kind {
        EventKind::Paused => format!("the prober at {vantage} is offline: judgement of what is seen from there pauses"),
        _ => format!("the prober at {vantage} is online again: judgement goes on"),
    };
    Event {
        id: 0,
        at: now,
        since: cell.state.paused_since.unwrap_or(now),
        kind,
        cluster: cell.key.cluster_key(),
        cell: Some(cell.key.clone()),
        from: None,
        to: None,
        changes: Vec::new(),
        before: None,
        after: None,
        summary,
    }
}

/// A configuration that changed.
pub(super) fn of_configuration(cluster: ClusterKey, changes: Vec<Change>, now: Timestamp) -> Event {
    let more = match changes.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let first = changes.first().map(|change| change.text.clone()).unwrap_or_default();
    let summary = format!("the configuration of {} changed: {first}{more}", cluster.cluster);
    Event {
        id: 0,
        at: now,
        since: now,
        kind: EventKind::Configuration,
        cluster,
        cell: None,
        from: None,
        to: None,
        changes,
        before: None,
        after: None,
        summary,
    }
}

/// One line of the log.
pub(super) fn line(event: &Event) -> String {
    format!("{}: {}", event.kind.label(), event.summary)
}

const CHANGES_TOLD: usize = 50;
/// A configuration is read now and then: what is found later may have changed earlier, and the other way round.
const BEFORE_IT_FAILED: Duration = Duration::from_mins(10);
/// A recovery that is later than this has another reason.
const LONGEST_PROPAGATION: Duration = Duration::from_hours(1);
