//! What is intended: a scenario file, from text with positions to a validated plan, all errors at once.

mod plan;

pub use plan::*;
