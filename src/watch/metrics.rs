//! `/metrics`: what Prometheus is told.

use std::time::Duration;

use super::{
    board::Board,
    config::WatchConfig,
    record::{Event, Round},
};

/// Counters and histograms of this process. What can be read off the [`Board`] is not kept twice.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Of a new process.
    #[must_use]
    pub fn new(config: &WatchConfig) -> Self {
        let _ = config;
        Self {}
    }

    /// A round of `check` from `vantage` was finished, so much later than it was due, within so much time.
    pub fn round(&self, check: &str, vantage: &str, round: &Round, lag: Duration, took: Duration) {
        let _ = (check, vantage, round, lag, took);
    }

    /// A slot of a cell of `check` was left out: its round before was still under way, or the slot was noticed too late.
    pub fn missed(&self, check: &str) {
        let _ = check;
    }

    /// An event was confirmed; `converged` is how long a change took to reach a cell, where that is known.
    pub fn event(&self, event: &Event, converged: Option<Duration>) {
        let _ = (event, converged);
    }

    /// A delivery to a receiver ended.
    pub fn delivery(&self, receiver: &str, ok: bool) {
        let _ = (receiver, ok);
    }

    /// Rounds were written to the history, or that failed.
    pub fn written(&self, rounds: usize, took: Duration, ok: bool) {
        let _ = (rounds, took, ok);
    }

    /// The exposition, with what the board shows. Its content type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn exposition(&self, board: &Board) -> String {
        let _ = board;
        String::new()
    }
}

/// Of the exposition.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
