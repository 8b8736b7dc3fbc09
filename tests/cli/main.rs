//! The built binary, as a user runs it: an environment of its own, files of its own, peers on loopback.
//!
//! Nothing here sends a packet beyond this machine: `doctor` runs with `--no-controls`, scenarios say `controls: []`,
//! and every name is answered by a DNS server that the test started.

mod doctor;
mod house;
mod input;
mod manuals;
mod outputs;
mod verify;
