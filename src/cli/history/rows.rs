//! The rows of each list, one after the other: never more of them in memory than a page.

use std::io;

use jiff::Timestamp;
use serde::Serialize;

use super::{Question, Stop, newest::Newest, watched::Watched};
use crate::{
    cli::arguments::HistoryOf,
    report::{CellTarget, Reachability, Verdict},
    watch::{
        record::{CellKey, Change, Event, EventKind, Rollup, Round, Stage, StageSum, Standing},
        store::{EventFilter, Span, Store, StoredCell},
    },
};

/// One row of a list.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Row {
    /// A cell, now and over the time that was asked for.
    Cell(CellRow),
    /// One round.
    Round(RoundRow),
    /// An hour or a day.
    Span(SpanRow),
    /// An event.
    Event(EventRow),
}

/// The names of a cell; vantage and target are null for a change of a cluster's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Names {
    pub(super) check: String,
    pub(super) cluster: String,
    pub(super) vantage: Option<String>,
    pub(super) target: Option<CellTarget>,
}

/// A cell, now and over the time that was asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CellRow {
    #[serde(flatten)]
    pub(super) names: Names,
    pub(super) now: Now,
    pub(super) verdict: Option<Verdict>,
    pub(super) code: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) last_round: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) counts: Counts,
    #[serde(flatten)]
    pub(super) times: Times,
}

/// What is to be thought of what was last known of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Now {
    /// Its rounds come as they are due.
    Current,
    /// The prober was offline at last, which pauses judgement.
    Paused,
    /// Its round did not come when it was due: nobody watches, or the watch is in trouble.
    Stale,
    /// The configuration does not name it any more.
    NotWatched,
}

kubereach_probes::labels! { Now {
    Current => "current",
    Paused => "paused",
    Stale => "stale",
    NotWatched => "not-watched",
} }

/// One round.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoundRow {
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) names: Names,
    pub(super) verdict: Verdict,
    pub(super) observed: Reachability,
    pub(super) offline: bool,
    pub(super) dns_ms: Option<f64>,
    pub(super) tcp_ms: Option<f64>,
    pub(super) tls_ms: Option<f64>,
    pub(super) http_ms: Option<f64>,
}

/// An hour or a day.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpanRow {
    pub(super) begin: Timestamp,
    #[serde(flatten)]
    pub(super) names: Names,
    #[serde(flatten)]
    pub(super) counts: Counts,
    #[serde(flatten)]
    pub(super) times: Times,
}

/// An event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventRow {
    pub(super) id: i64,
    pub(super) at: Timestamp,
    pub(super) since: Timestamp,
    pub(super) kind: EventKind,
    #[serde(flatten)]
    pub(super) names: Names,
    pub(super) from: Option<Standing>,
    pub(super) to: Option<Standing>,
    pub(super) summary: String,
    pub(super) changes: Vec<Change>,
}

/// How rounds ended, and which part of those that were judged matched: all but those while the prober was offline. One
/// inside a propagation window did not match.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Counts {
    /// From 0 to 1; null where nothing was judged.
    pub(super) availability: Option<f64>,
    pub(super) matched: u32,
    pub(super) mismatched: u32,
    pub(super) inconclusive: u32,
    pub(super) propagating: u32,
    pub(super) offline: u32,
}

/// Mean and longest of each stage, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names that are printed say their unit")]
pub(super) struct Times {
    pub(super) dns_mean_ms: Option<f64>,
    pub(super) dns_longest_ms: Option<f64>,
    pub(super) tcp_mean_ms: Option<f64>,
    pub(super) tcp_longest_ms: Option<f64>,
    pub(super) tls_mean_ms: Option<f64>,
    pub(super) tls_longest_ms: Option<f64>,
    pub(super) http_mean_ms: Option<f64>,
    pub(super) http_longest_ms: Option<f64>,
}

/// Where rows come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    /// The cells that are asked for, in the order in which they are listed.
    pub(super) cells: &'a [StoredCell],
    pub(super) watched: &'a Watched,
    pub(super) question: &'a Question,
}

/// Gives every row to `sink`, rounds and events the newest first, hours and days cell by cell and of each the newest
/// first; whether there are more than the limit.
pub(super) async fn each(
    source: &Source<'_>,
    sink: &mut (dyn FnMut(Row) -> io::Result<()> + Send),
) -> Result<bool, Stop> {
    let mut list = List { left: source.question.limit, sink };
    let whole = match source.question.of {
        HistoryOf::Cells => list.cells(source).await?,
        HistoryOf::Rounds => list.rounds(source).await?,
        HistoryOf::Hours => list.spans(source, Span::Hour).await?,
        HistoryOf::Days => list.spans(source, Span::Day).await?,
        HistoryOf::Events => list.events(source).await?,
    };
    Ok(!whole)
}

struct List<'a> {
    left: usize,
    sink: &'a mut (dyn FnMut(Row) -> io::Result<()> + Send),
}

impl List<'_> {
    /// False when it is one too many.
    fn push(&mut self, row: Row) -> Result<bool, Stop> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(false) };
        self.left = left;
        (self.sink)(row)?;
        Ok(true)
    }

    async fn cells(&mut self, source: &Source<'_>) -> Result<bool, Stop> {
        let Source { store, cells, watched, question } = *source;
        for cell in cells {
            if self.left == 0 {
                return Ok(false);
            }
            let sums = sums(store, cell, question).await?;
            self.push(Row::Cell(CellRow {
                names: names(&cell.key),
                now: watched.now(store, cell, question.now).await?,
                verdict: cell.state.standing.as_ref().map(|standing| standing.verdict),
                code: cell.state.standing.as_ref().and_then(|standing| standing.code.clone()),
                since: cell.state.since,
                last_round: cell.last.as_ref().map(|round| round.at),
                counts: counts(&sums),
                times: times(&sums),
            }))?;
        }
        Ok(true)
    }

    async fn rounds(&mut self, source: &Source<'_>) -> Result<bool, Stop> {
        let Source { store, cells, question, .. } = *source;
        let mut newest = Newest::new(store, cells, (question.from, question.until), self.left.saturating_add(1));
        while let Some((cell, round)) = newest.next().await? {
            if !self.push(Row::Round(round_row(&cell.key, &round)))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn spans(&mut self, source: &Source<'_>, span: Span) -> Result<bool, Stop> {
        let Source { store, cells, question, .. } = *source;
        let from = begin(question.from, span);
        for cell in cells {
            for rollup in store.rollups(&[cell.id], span, from, question.until).await?.iter().rev() {
                let row = SpanRow {
                    begin: rollup.begin,
                    names: names(&cell.key),
                    counts: counts(rollup),
                    times: times(rollup),
                };
                if !self.push(Row::Span(row))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn events(&mut self, source: &Source<'_>) -> Result<bool, Stop> {
        let Source { store, question, .. } = *source;
        let mut before = None;
        loop {
            let filter = EventFilter {
                kinds: question.kinds.clone(),
                from: Some(question.from),
                until: Some(question.until),
                before,
                limit: EVENTS_OF_A_PAGE,
                ..EventFilter::default()
            };
            let page = store.events(&filter).await?;
            let Some(last) = page.last() else { return Ok(true) };
            before = Some(last.id);
            for event in page {
                if question.tells(&event) && !self.push(Row::Event(event_row(event)))? {
                    return Ok(false);
                }
            }
        }
    }
}

/// What a cell comes to over the time: from rounds where it is short, else from whole hours, else from whole days.
async fn sums(store: &Store, cell: &StoredCell, question: &Question) -> Result<Rollup, Stop> {
    let mut whole = Rollup::default();
    let hours = (question.until.as_second() - question.from.as_second()) / 3_600;
    if hours < SHORT {
        let mut until = question.until;
        loop {
            let page = store.rounds(cell.id, question.from, until, PAGE).await?;
            let Some(oldest) = page.first() else { return Ok(whole) };
            until = oldest.at;
            for round in &page {
                add_round(&mut whole, round);
            }
        }
    }
    let span = if hours <= LONG { Span::Hour } else { Span::Day };
    for rollup in store.rollups(&[cell.id], span, begin(question.from, span), question.until).await? {
        for (sum, more) in [
            (&mut whole.matched, rollup.matched),
            (&mut whole.mismatched, rollup.mismatched),
            (&mut whole.inconclusive, rollup.inconclusive),
            (&mut whole.propagating, rollup.propagating),
            (&mut whole.offline, rollup.offline),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in whole.stages.iter_mut().zip(rollup.stages) {
            add_stage(sum, more);
        }
    }
    Ok(whole)
}

fn add_round(sums: &mut Rollup, round: &Round) {
    if round.offline {
        sums.offline = sums.offline.saturating_add(1);
        return;
    }
    let count = match round.verdict {
        Verdict::Match => &mut sums.matched,
        Verdict::Mismatch => &mut sums.mismatched,
        Verdict::Inconclusive => &mut sums.inconclusive,
        Verdict::Propagating => &mut sums.propagating,
    };
    *count = count.saturating_add(1);
    for (sum, stage) in sums.stages.iter_mut().zip(Stage::ALL) {
        if let Some(micros) = round.stages.of(*stage) {
            add_stage(sum, StageSum { count: 1, sum: micros.into(), longest: micros });
        }
    }
}

fn add_stage(sum: &mut StageSum, more: StageSum) {
    sum.count = sum.count.saturating_add(more.count);
    sum.sum = sum.sum.saturating_add(more.sum);
    sum.longest = sum.longest.max(more.longest);
}

/// The begin of the span that a time is in.
fn begin(at: Timestamp, span: Span) -> Timestamp {
    let seconds = match span {
        Span::Hour => 3_600,
        Span::Day => 86_400,
    };
    Timestamp::from_second(at.as_second().div_euclid(seconds) * seconds).unwrap_or(at)
}

fn names(key: &CellKey) -> Names {
    Names {
        check: key.check.clone(),
        cluster: key.cluster.clone(),
        vantage: Some(key.vantage.clone()),
        target: Some(key.target),
    }
}

fn counts(rollup: &Rollup) -> Counts {
    let Rollup { matched, mismatched, inconclusive, propagating, offline, .. } = *rollup;
    let judged: u64 = [matched, mismatched, inconclusive, propagating].into_iter().map(u64::from).sum();
    let availability = (judged > 0).then(|| f64::from(matched) / judged as f64);
    Counts { availability, matched, mismatched, inconclusive, propagating, offline }
}

fn times(rollup: &Rollup) -> Times {
    let [dns, tcp, tls, http] = &rollup.stages;
    let mean = |sum: &StageSum| (sum.count > 0).then(|| rounded(sum.sum as f64 / f64::from(sum.count) / 1_000.0));
    let longest = |sum: &StageSum| (sum.count > 0).then(|| rounded(f64::from(sum.longest) / 1_000.0));
    Times {
        dns_mean_ms: mean(dns),
        dns_longest_ms: longest(dns),
        tcp_mean_ms: mean(tcp),
        tcp_longest_ms: longest(tcp),
        tls_mean_ms: mean(tls),
        tls_longest_ms: longest(tls),
        http_mean_ms: mean(http),
        http_longest_ms: longest(http),
    }
}

fn round_row(key: &CellKey, round: &Round) -> RoundRow {
    let ms = |stage: Stage| round.stages.of(stage).map(|micros| rounded(f64::from(micros) / 1_000.0));
    RoundRow {
        at: round.at,
        names: names(key),
        verdict: round.verdict,
        observed: round.observed,
        offline: round.offline,
        dns_ms: ms(Stage::Dns),
        tcp_ms: ms(Stage::Tcp),
        tls_ms: ms(Stage::Tls),
        http_ms: ms(Stage::Http),
    }
}

fn event_row(event: Event) -> EventRow {
    let names = event.cell.as_ref().map_or_else(
        || Names {
            check: event.cluster.check.clone(),
            cluster: event.cluster.cluster.clone(),
            vantage: None,
            target: None,
        },
        names,
    );
    let Event { id, at, since, kind, from, to, summary, changes, .. } = event;
    EventRow { id, at, since, kind, names, from, to, summary, changes }
}

/// Whole microseconds.
fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

const PAGE: usize = 5_000;
const EVENTS_OF_A_PAGE: usize = 500;
/// Hours below which single rounds are summed up, and up to which whole hours are.
const SHORT: i64 = 2;
const LONG: i64 = 24 * 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_of_what_was_judged() {
        let sums = Rollup { matched: 3, mismatched: 1, offline: 6, ..Rollup::default() };
        assert_eq!(counts(&sums).availability, Some(0.75));
        assert_eq!(counts(&Rollup { offline: 6, ..Rollup::default() }).availability, None);
    }

    #[test]
    fn rounds_sum_up_as_the_database_does_it() {
        let round = Round {
            cell: crate::watch::record::CellId(1),
            at: Timestamp::UNIX_EPOCH,
            verdict: Verdict::Mismatch,
            observed: Reachability::Unreachable,
            offline: false,
            stages: crate::watch::record::StageTimes { tcp: Some(1_500), ..Default::default() },
            detail: crate::watch::record::DetailId(1),
        };
        let mut sums = Rollup::default();
        add_round(&mut sums, &round);
        add_round(&mut sums, &Round { offline: true, ..round.clone() });
        add_round(
            &mut sums,
            &Round { verdict: Verdict::Match, stages: crate::watch::record::StageTimes::default(), ..round },
        );
        assert_eq!((sums.matched, sums.mismatched, sums.offline), (1, 1, 1));
        let times = times(&sums);
        assert_eq!((times.tcp_mean_ms, times.tcp_longest_ms, times.dns_mean_ms), (Some(1.5), Some(1.5), None));
    }
}
