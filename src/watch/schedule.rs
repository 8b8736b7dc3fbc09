//! When a cell is due: pure.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// When the cells of a check set are due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Every so often. Cells are spread over the interval, each at its own fixed phase.
    Every {
        /// The interval, at least one second.
        interval: Duration,
        /// Each slot is moved by at most this much either way, by a value that follows from cell and slot.
        jitter: Duration,
    },
    /// At the times of a cron expression; cells are spread over `spread` after each.
    Cron {
        /// The expression.
        cron: Box<croner::Cron>,
        /// Where its hours are meant.
        zone: TimeZone,
        /// Over how long after each time the cells are spread.
        spread: Duration,
    },
}

impl Schedule {
    /// The first slot after `after`, of a cell whose [`seed`] this is. The same for every process.
    #[must_use]
    pub fn next(&self, seed: u64, after: Timestamp) -> Timestamp {
        todo!("{seed} {after}")
    }

    /// How far apart slots are, as a rule.
    #[must_use]
    pub fn interval(&self) -> Duration {
        todo!()
    }
}
