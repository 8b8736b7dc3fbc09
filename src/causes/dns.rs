//! Causes: dns.

use super::Cause;

pub(super) const CAUSES: &[Cause] = &[];
