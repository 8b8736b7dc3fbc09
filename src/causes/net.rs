//! Causes: net.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
