//! The command line: one file a command, wiring only.

pub mod arguments;
pub mod completions;
pub mod explain;
pub mod man;
pub mod printer;
pub mod progress;
pub mod schema;
