//! Causes: generic.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
