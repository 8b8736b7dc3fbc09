//! A number beside what it is measured against.

use std::{error::Error, fmt, time::Duration};

use crate::cost::Measured;

/// What measuring comes to.
pub(crate) type Outcome = Result<Measured, Box<dyn Error>>;

/// One number of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// What the same costs without us: its name and its value in the same unit.
    pub(crate) floor: Option<(String, f64)>,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
}

/// When a figure is good enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// At most this, in the figure's unit.
    AtMost(f64),
    /// At most so many times the floor, and so much more.
    RatioAndMore(f64, f64),
    /// This median of ratios, at most that.
    MedianRatio(f64, f64),
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        match (self.bound, &self.floor) {
            (Bound::MedianRatio(ratio, _), _) => Some(ratio),
            (_, Some((_, floor))) => Some(self.value / floor),
            (_, None) => None,
        }
    }

    pub(crate) fn is_met(&self) -> bool {
        match (self.bound, &self.floor) {
            (Bound::AtMost(most), _) => self.value <= most,
            (Bound::RatioAndMore(times, more), Some((_, floor))) => self.value <= floor * times + more,
            (Bound::RatioAndMore(..), None) => false,
            (Bound::MedianRatio(ratio, most), _) => ratio <= most,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| if value < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") };
        let value = format!("{} {}", number(self.value), self.unit);
        let floor = self
            .floor
            .as_ref()
            .map_or_else(|| "-".to_owned(), |(name, floor)| format!("{name} {} {}", number(*floor), self.unit));
        let ratio = self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let bound = match self.bound {
            Bound::AtMost(most) => format!("≤ {} {}", number(most), self.unit),
            Bound::RatioAndMore(times, more) => format!("≤ {times} × + {more} {}", self.unit),
            Bound::MedianRatio(_, most) => format!("≤ {most} ×"),
        };
        let met = if self.is_met() { "ok" } else { "NOT MET" };
        write!(formatter, "{:<70} {value:>10}  {floor:<28} {ratio:>6}  {bound:<18} {met}", self.name)
    }
}

/// The middle one; zero of none.
pub(crate) fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
