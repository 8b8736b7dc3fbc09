//! Who is told, and until when: alerts are stored with the event that raised them, and sent until they arrive.
//!
//! `route` says which alerts an event raises, changes or ends: pure. [`deliver`] sends what is due; one file a kind
//! of receiver says how.

mod alertmanager;
mod command;
mod deliver;
mod payload;
mod post;
mod route;
mod webhook;

#[cfg(test)]
mod tests;

pub use deliver::{deliver, deliver_once};
pub use route::{forgotten, permalink, raised, reconciled};
