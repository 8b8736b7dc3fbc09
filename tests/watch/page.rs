//! The page in a browser.

use libtest_mimic::Trial;

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}
