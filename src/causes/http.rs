//! Causes: http.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
