//! A cell's past in spans of equal width: pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::shown::Shown;
use crate::{
    report::Verdict,
    watch::{
        record::{Rollup, Round, Stage, StageSum},
        store::Span,
    },
};

/// How much of the past is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) enum Range {
    /// The last hour.
    #[serde(rename = "1h")]
    Hour,
    /// The last 24 hours.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// The last 7 days.
    #[serde(rename = "7d")]
    Week,
    /// The last 30 days.
    #[serde(rename = "30d")]
    Month,
    /// The last 365 days.
    #[serde(rename = "1y")]
    Year,
}

kubereach_probes::labels! { Range {
    Hour => "1h",
    Day => "24h",
    Week => "7d",
    Month => "30d",
    Year => "1y",
} }

/// Where the past of a range is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Single rounds.
    Rounds,
    /// Sums over hours or days.
    Rollups(Span),
}

impl Range {
    /// By its label; the usual one when nothing is said.
    pub(super) fn named(label: &str) -> Option<Self> {
        if label.is_empty() {
            return Some(Self::default());
        }
        Self::ALL.iter().find(|range| range.label() == label).copied()
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Hour => "the last hour",
            Self::Day => "the last 24 hours",
            Self::Week => "the last 7 days",
            Self::Month => "the last 30 days",
            Self::Year => "the last year",
        }
    }

    /// From what it is read, for a cell with such an interval: a day of a fast cell has too many rounds.
    pub(super) fn grain(self, interval: Duration) -> Grain {
        match self {
            Self::Hour => Grain::Rounds,
            Self::Day if interval >= DAY_BY_ROUNDS => Grain::Rounds,
            Self::Day | Self::Week | Self::Month => Grain::Rollups(Span::Hour),
            Self::Year => Grain::Rollups(Span::Day),
        }
    }

    /// Its spans for a cell with such an interval, the last one around `now`.
    pub(super) fn spans(self, interval: Duration, now: Timestamp) -> Spans {
        let (total, usual) = match self {
            Self::Hour => (3_600, 60),
            Self::Day => (DAY, 900),
            Self::Week => (7 * DAY, 3_600),
            Self::Month => (30 * DAY, 6 * 3_600),
            Self::Year => (365 * DAY, DAY),
        };
        // A span holds a round at least, and one of the sums that it is read from.
        let least = match self.grain(interval) {
            Grain::Rounds => i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
            Grain::Rollups(Span::Hour) => 3_600,
            Grain::Rollups(Span::Day) => DAY,
        };
        let wide = [60, 300, 900, 3_600, 6 * 3_600, DAY].into_iter().find(|wide| *wide >= least.max(usual));
        let wide = wide.unwrap_or(DAY);
        let last = now.as_second().div_euclid(wide) * wide;
        let count = (total / wide).max(1);
        Spans {
            begin: last - (count - 1) * wide,
            wide,
            sums: vec![Rollup::default(); usize::try_from(count).unwrap_or(1)],
        }
    }
}

/// Spans of equal width, and what the rounds in each come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spans {
    /// Begin of the first, seconds since 1970.
    begin: i64,
    /// Seconds of each.
    wide: i64,
    /// One a span.
    sums: Vec<Rollup>,
}

impl Spans {
    /// Where the first begins.
    pub(super) fn from(&self) -> Timestamp {
        Timestamp::from_second(self.begin).unwrap_or(Timestamp::MIN)
    }

    /// Where the last ends.
    pub(super) fn until(&self) -> Timestamp {
        let count = i64::try_from(self.sums.len()).unwrap_or(0);
        Timestamp::from_second(self.begin + count * self.wide).unwrap_or(Timestamp::MAX)
    }

    /// How wide each is.
    pub(super) const fn width(&self) -> SignedDuration {
        SignedDuration::from_secs(self.wide)
    }

    /// Each with its begin.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, &Rollup)> {
        let begins = (0_i64..).map(|index| self.begin + index * self.wide);
        begins.map(|begin| Timestamp::from_second(begin).unwrap_or(Timestamp::MAX)).zip(&self.sums)
    }

    /// Whether no round lies in any.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.iter().all(|sum| worst(sum).is_none())
    }

    /// Adds a round.
    pub(super) fn round(&mut self, round: &Round) {
        let mut sum = Rollup::default();
        if round.offline {
            sum.offline = 1;
        } else {
            match round.verdict {
                Verdict::Match => sum.matched = 1,
                Verdict::Mismatch => sum.mismatched = 1,
                Verdict::Inconclusive => sum.inconclusive = 1,
                Verdict::Propagating => sum.propagating = 1,
            }
        }
        for (stage, sum) in Stage::ALL.iter().zip(&mut sum.stages) {
            if let Some(took) = round.stages.of(*stage) {
                *sum = StageSum { count: 1, sum: u64::from(took), longest: took };
            }
        }
        self.add(round.at.as_second(), &sum);
    }

    /// Adds what an hour or a day came to.
    pub(super) fn rollup(&mut self, rollup: &Rollup) {
        self.add(rollup.begin.as_second(), rollup);
    }

    /// All of them together.
    pub(super) fn total(&self) -> Rollup {
        let mut total = Rollup::default();
        self.sums.iter().for_each(|sum| add(&mut total, sum));
        total
    }

    fn add(&mut self, second: i64, sum: &Rollup) {
        let index = usize::try_from((second - self.begin).div_euclid(self.wide)).ok();
        if let Some(own) = index.and_then(|index| self.sums.get_mut(index)) {
            add(own, sum);
        }
    }
}

/// The worst that happened, and in which share of the rounds that could be judged; `None` without rounds.
pub(super) fn worst(sum: &Rollup) -> Option<(Shown, f64)> {
    let judged = sum.matched + sum.mismatched + sum.inconclusive + sum.propagating;
    let worst = [
        (Shown::Mismatch, sum.mismatched),
        (Shown::Inconclusive, sum.inconclusive),
        (Shown::Propagating, sum.propagating),
        (Shown::Match, sum.matched),
    ];
    let worst = worst.into_iter().find(|(_, count)| *count > 0);
    match worst {
        Some((shown, count)) => Some((shown, f64::from(count) / f64::from(judged))),
        None if sum.offline > 0 => Some((Shown::Paused, 1.0)),
        None => None,
    }
}

/// `58 match, 2 mismatch`: how many rounds came to what.
pub(super) fn rounds_counted(sum: &Rollup) -> String {
    let parts = [
        (sum.mismatched, "mismatch"),
        (sum.inconclusive, "inconclusive"),
        (sum.propagating, "propagating"),
        (sum.matched, "match"),
        (sum.offline, "prober offline"),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "no rounds".to_owned() } else { parts.join(", ") }
}

/// How much of a span matched, of the rounds that were judged; `None` without any.
pub(super) fn availability(sum: &Rollup) -> Option<f64> {
    let judged = sum.matched + sum.mismatched + sum.inconclusive + sum.propagating;
    (judged > 0).then(|| f64::from(sum.matched) / f64::from(judged))
}

fn add(own: &mut Rollup, other: &Rollup) {
    own.matched = own.matched.saturating_add(other.matched);
    own.mismatched = own.mismatched.saturating_add(other.mismatched);
    own.inconclusive = own.inconclusive.saturating_add(other.inconclusive);
    own.propagating = own.propagating.saturating_add(other.propagating);
    own.offline = own.offline.saturating_add(other.offline);
    for (own, other) in own.stages.iter_mut().zip(&other.stages) {
        own.count = own.count.saturating_add(other.count);
        own.sum = own.sum.saturating_add(other.sum);
        own.longest = own.longest.max(other.longest);
    }
}

/// Rounds that are read for one page at most.
pub(super) const ROUND_LIMIT: usize = 10_000;
/// From this interval on a day is read round by round.
const DAY_BY_ROUNDS: Duration = Duration::from_secs(10);
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::record::{CellId, DetailId, StageTimes};

    #[test]
    fn rounds_fall_into_their_spans() {
        let now: Timestamp = "2026-11-22T14:02:30Z".parse().unwrap();
        let mut spans = Range::Hour.spans(Duration::from_secs(30), now);
        assert_eq!(
            (spans.from().to_string(), spans.until().to_string()),
            ("2026-11-22T13:03:00Z".to_owned(), "2026-11-22T14:03:00Z".to_owned())
        );
        let round = |at: &str, verdict, offline| Round {
            cell: CellId(1),
            at: at.parse().unwrap(),
            verdict,
            observed: crate::report::Reachability::Unknown,
            offline,
            stages: StageTimes { tcp: Some(1_000), ..StageTimes::default() },
            detail: DetailId(1),
        };
        for one in [
            round("2026-11-22T13:02:59Z", Verdict::Mismatch, false),
            round("2026-11-22T14:02:00Z", Verdict::Match, false),
            round("2026-11-22T14:02:30Z", Verdict::Mismatch, false),
            round("2026-11-22T13:03:00Z", Verdict::Inconclusive, true),
        ] {
            spans.round(&one);
        }
        let sums: Vec<_> = spans.iter().filter_map(|(at, sum)| Some((at.to_string(), worst(sum)?))).collect();
        assert_eq!(
            sums,
            [
                ("2026-11-22T13:03:00Z".to_owned(), (Shown::Paused, 1.0)),
                ("2026-11-22T14:02:00Z".to_owned(), (Shown::Mismatch, 0.5))
            ]
        );
        assert_eq!(rounds_counted(&spans.total()), "1 mismatch, 1 match, 1 prober offline");
        assert_eq!(availability(&spans.total()), Some(0.5));
    }

    #[test]
    fn spans_are_never_narrower_than_what_they_are_read_from() {
        let now: Timestamp = "2026-11-22T14:02:30Z".parse().unwrap();
        for (range, interval, wide, count) in [
            (Range::Hour, 300, 300, 12),
            (Range::Day, 30, 900, 96),
            (Range::Day, 1, 3_600, 24),
            (Range::Week, 30, 3_600, 168),
            (Range::Month, 30, 21_600, 120),
            (Range::Year, 30, 86_400, 365),
            (Range::Hour, 7_200, 21_600, 1),
        ] {
            let spans = range.spans(Duration::from_secs(interval), now);
            assert_eq!((spans.wide, spans.sums.len()), (wide, count), "{range:?} {interval}");
        }
    }
}
