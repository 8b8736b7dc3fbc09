//! Causes: eks.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
