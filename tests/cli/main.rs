//! The built binary, as a user runs it: an environment of its own, files of its own, peers on loopback.
//!
//! Nothing here sends a packet beyond this machine: `doctor` runs with `--no-controls`, scenarios say `controls: []`,
//! and every name is answered by a DNS server that the test started.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod cluster;
mod doctor;
mod facts;
mod house;
mod input;
mod manuals;
mod outputs;
mod pod;
mod verify;
