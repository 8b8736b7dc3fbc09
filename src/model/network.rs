//! The provider's objects by id, each with what belongs to it.

use crate::facts::ec2;

/// An index of the EC2 facts. Cheap to make: nothing is copied.
#[derive(Debug)]
pub struct Network<'f> {
    /// What it is an index of.
    pub facts: &'f ec2::Network,
}

impl<'f> Network<'f> {
    /// Makes the index.
    #[must_use]
    pub fn new(facts: &'f ec2::Network) -> Self {
        Self { facts }
    }
}
