//! Enums as the small numbers that are stored. The numbers are for ever: a new variant takes a new one.

use super::value::Fault;
use crate::{
    report::{CellTarget, Reachability, Verdict},
    watch::record::EventKind,
};

/// An enum that is stored as a number.
pub(super) trait Code: Copy + Sized + 'static {
    /// Every variant.
    const ALL: &'static [Self];

    /// Its number.
    fn code(self) -> i64;

    /// The variant of a number.
    fn from_code(code: i64) -> Result<Self, Fault> {
        Self::ALL
            .iter()
            .copied()
            .find(|variant| variant.code() == code)
            .ok_or_else(|| Fault::Damaged(format!("{code} stands for nothing that this kubereach knows")))
    }
}

impl Code for Verdict {
    const ALL: &'static [Self] = Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Match => 0,
            Self::Propagating => 1,
            Self::Inconclusive => 2,
            Self::Mismatch => 3,
        }
    }
}

impl Code for Reachability {
    const ALL: &'static [Self] = Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Reachable => 0,
            Self::Unreachable => 1,
            Self::Unknown => 2,
        }
    }
}

impl Code for CellTarget {
    const ALL: &'static [Self] = Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Kubernetes => 0,
            Self::EksApi => 1,
        }
    }
}

impl Code for EventKind {
    const ALL: &'static [Self] = Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::First => 0,
            Self::Failed => 1,
            Self::Recovered => 2,
            Self::Changed => 3,
            Self::Configuration => 4,
            Self::Paused => 5,
            Self::Resumed => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Debug};

    use super::*;

    fn round_trip<T: Code + PartialEq + Debug>() {
        let codes: BTreeSet<i64> = T::ALL.iter().map(|variant| variant.code()).collect();
        assert_eq!(codes.len(), T::ALL.len(), "two variants share a number");
        for variant in T::ALL {
            assert_eq!(T::from_code(variant.code()).unwrap(), *variant);
        }
        assert!(matches!(T::from_code(-1), Err(Fault::Damaged(_))));
        assert!(matches!(T::from_code(i64::MAX), Err(Fault::Damaged(_))));
    }

    #[test]
    fn every_variant_has_a_number_of_its_own_and_comes_back() {
        round_trip::<Verdict>();
        round_trip::<Reachability>();
        round_trip::<CellTarget>();
        round_trip::<EventKind>();
    }

    #[test]
    fn the_numbers_that_are_documented_stay() {
        assert_eq!(Verdict::ALL.iter().map(|one| one.code()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(Reachability::ALL.iter().map(|one| one.code()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(CellTarget::ALL.iter().map(|one| one.code()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(EventKind::ALL.iter().map(|one| one.code()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    }
}
