//! kubereach: is the API server reachable from where it should be, and only from there?
//!
//! Data flows one way: [`scenario`] (what is intended) → [`vantage`] (what happens, by `kubereach-probes`) →
//! [`verdict`] (the two side by side) → [`causes`] (what it means) → [`report`] (how it looks). [`check`] is the use
//! case that joins them; [`cli`] is wiring.

#[cfg(feature = "aws")]
mod aws;
pub mod causes;
pub mod check;
pub mod cli;
pub mod client;
pub mod demo;
pub mod facts;
pub mod input;
pub mod model;
mod redact;
pub mod report;
pub mod scenario;
pub mod vantage;
pub mod verdict;
pub mod watch;
