//! `manifest.json`: when a facts folder was pulled, of what, and what could not be read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// kubereach's own file beside the provider's documents. Fields that a newer version added are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    /// When the documents were pulled, or first pulled as they are now. Unknown in a folder made by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// `eks` or `aks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The provider's account number.
    pub account: Option<String>,
    /// The provider's region.
    pub region: Option<String>,
    /// Actions that the credentials do not allow, once each, sorted. What they would tell is unknown.
    pub denied: Vec<Refused>,
    /// Actions that failed otherwise, at least in part, once each, sorted. What they would tell is unknown.
    pub failed: Vec<Refused>,
    /// The files that were written, relative to the folder, sorted. The next pull into the folder replaces them.
    pub files: Vec<String>,
}

/// An action that gave no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Refused {
    /// As an IAM policy names it: `ec2:DescribeVpcs`.
    pub action: String,
    /// The provider's words, without what differs from call to call.
    pub message: String,
}

impl Manifest {
    /// The file's name in the folder.
    pub const FILE: &'static str = "manifest.json";

    /// Whether both say the same of the same documents, whenever they were pulled.
    #[must_use]
    pub fn same_but_for_time(&self, other: &Self) -> bool {
        let timeless = |manifest: &Self| Self { created_at: None, ..manifest.clone() };
        timeless(self) == timeless(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_made_by_hand_or_by_a_newer_version_is_read() {
        let text = r#"{"createdAt": "2026-03-01T12:00:00Z", "account": "123456789012", "region": "eu-west-1",
            "denied": [{"action": "ec2:DescribeVpcs", "message": "no", "since": 1}], "colour": "blue"}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.denied[0].action, "ec2:DescribeVpcs");
        assert_eq!(manifest.created_at.unwrap().to_string(), "2026-03-01T12:00:00Z");
        assert_eq!(serde_json::from_str::<Manifest>("{}").unwrap(), Manifest::default());
    }

    #[test]
    fn the_contracts_fields_are_written() {
        let manifest = Manifest { created_at: Some(Timestamp::UNIX_EPOCH), ..Manifest::default() };
        let value = serde_json::to_value(&manifest).unwrap();
        assert_eq!(value["createdAt"], "1970-01-01T00:00:00Z");
        for key in ["account", "region", "denied", "failed", "files"] {
            assert!(value.get(key).is_some(), "{key}");
        }
        let later = Manifest { created_at: Some(Timestamp::MAX), ..manifest.clone() };
        assert!(manifest.same_but_for_time(&later) && manifest != later);
    }
}
