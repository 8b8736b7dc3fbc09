//! kubereach's own note beside the facts: when they were pulled, by which account, and what was refused.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    /// When the facts were pulled.
    pub created_at: Option<Timestamp>,
    /// The provider's account.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Actions that the account may not call: what depends on them is unknown.
    pub denied: Vec<Refused>,
    /// Actions that failed for another reason: what depends on them is unknown, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Refused>,
}

/// An action that brought nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Refused {
    /// `ec2:DescribeNetworkAcls`.
    pub action: String,
    /// The provider's words.
    pub message: String,
}
