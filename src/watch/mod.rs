//! Scheduled synthetic checks: the same scenarios, run for months.
//!
//! [`config`] (what to check, when, and whom to tell) → [`schedule`] (when a cell is due) → [`runner`] (probes it, by
//! [`crate::check`]) → [`state`] (has anything changed for certain?) → [`change`] (what changed with it) →
//! [`store`] (history) → [`board`] (what is known now) → [`metrics`], [`web`], [`alerts`].
//!
//! `schedule`, `state`, `change`, `record` and `alerts::route` are pure: they take the clock as a value (checked by
//! `tests/architecture.rs`). `config` reads files and the environment once, and gives plain values.

pub mod alerts;
pub mod board;
pub mod change;
pub mod config;
pub mod metrics;
pub mod record;
pub mod runner;
pub mod schedule;
pub mod state;
pub mod store;
pub mod web;
mod words;
