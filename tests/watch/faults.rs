//! What is done to a watch.

use libtest_mimic::Trial;

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}
