//! What the configuration lets one expect of one target from one standpoint, whoever the provider is.

use super::{Missing, aks, eks, eks_api, trace::Hop};
use crate::report::{Reachability, Via};

/// A prediction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outlook {
    /// Of an EKS cluster's API server.
    Eks(eks::Prediction),
    /// Of the EKS management API.
    EksApi(eks_api::ManagementPrediction),
    /// Of an AKS cluster's API server.
    Aks(aks::Prediction),
}

impl Outlook {
    /// Whether the path that this standpoint takes lets it in.
    #[must_use]
    pub const fn configured(&self) -> Reachability {
        match self {
            Self::Eks(prediction) => prediction.configured,
            Self::EksApi(prediction) => prediction.configured,
            Self::Aks(prediction) => prediction.configured,
        }
    }

    /// The class of address that it takes; `None` when not known.
    #[must_use]
    pub const fn via(&self) -> Option<Via> {
        match self {
            Self::Eks(prediction) => prediction.via,
            Self::EksApi(prediction) => prediction.via,
            Self::Aks(prediction) => prediction.via,
        }
    }

    /// Whether it goes by private addresses, of which the configuration closes some and not others.
    #[must_use]
    pub fn is_partly_closed(&self) -> bool {
        match self {
            Self::Eks(prediction) => prediction.closed_in_part().is_some(),
            Self::EksApi(_) | Self::Aks(_) => false,
        }
    }

    /// What is not known, and what would tell.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        match self {
            Self::Eks(prediction) => &prediction.missing,
            Self::EksApi(prediction) => &prediction.missing,
            Self::Aks(prediction) => &prediction.missing,
        }
    }

    /// One line on what is predicted, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Eks(prediction) => prediction.summary(),
            Self::EksApi(prediction) => prediction.summary(),
            Self::Aks(prediction) => prediction.summary(),
        }
    }

    /// The hops that stand for the path that is taken.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        match self {
            Self::Eks(prediction) => prediction.hops(),
            // Several interfaces and a way out: a finding names the one that matters.
            Self::EksApi(_) => Vec::new(),
            Self::Aks(prediction) => prediction.hops(),
        }
    }
}
