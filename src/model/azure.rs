//! Azure's network as an index, and the path of one connection through it. Pure.

use crate::facts::azure;

/// The facts of Azure's network, indexed.
#[derive(Debug)]
pub struct Network<'f> {
    facts: &'f azure::Network,
}

impl<'f> Network<'f> {
    /// Indexes the facts once.
    #[must_use]
    pub const fn new(facts: &'f azure::Network) -> Self {
        Self { facts }
    }

    /// The facts themselves.
    #[must_use]
    pub const fn facts(&self) -> &'f azure::Network {
        self.facts
    }
}
