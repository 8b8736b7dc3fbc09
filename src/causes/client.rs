//! Causes: client.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
