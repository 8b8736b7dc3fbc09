//! Causes: tls.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
