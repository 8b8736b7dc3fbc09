//! Causes: aks.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
