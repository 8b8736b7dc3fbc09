//! Runs what is due.
