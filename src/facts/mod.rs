//! What is *configured*, raw: the providers' own JSON as plain types, from a folder or live.
//!
//! A value that the facts do not hold is absent, never guessed: `None` for a file that was not there, an empty list for
//! one that said there is nothing.

pub mod aks;
#[cfg(feature = "azure")]
pub mod arm;
#[cfg(feature = "aws")]
pub mod aws;
pub mod azure;
pub mod ec2;
pub mod eks;
mod folder;
#[cfg(any(feature = "aws", feature = "azure"))]
mod live;
pub mod manifest;
pub mod planned;
pub mod resolver;
pub mod write;

use std::{net::IpAddr, ops::Deref, path::PathBuf};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

pub use folder::{documents, from_documents, read};
pub use manifest::Manifest;

/// Everything that is known of one cluster's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The folder, or what stands for it in messages.
    pub origin: PathBuf,
    /// When and by whom it was made; `None` in a folder that was made by hand.
    pub manifest: Option<Manifest>,
    /// `describe-cluster`.
    pub cluster: Option<eks::Cluster>,
    /// `describe-update`, newest first; without time stamps in the order of `list-updates`.
    pub updates: Vec<eks::Update>,
    /// Certificate authorities that EKS lists; `None` when nobody asked.
    pub certificate_authorities: Option<Vec<eks::CertificateAuthority>>,
    /// EC2.
    pub network: ec2::Network,
    /// Route 53 Resolver rules and zones, where somebody asked.
    pub resolver: resolver::Resolver,
    /// `az aks show`.
    pub managed_cluster: Option<aks::ManagedCluster>,
    /// The same as it was when the authorized ranges were others: `aks/earlier-show.json`. In a plan, as it is today.
    pub earlier: Option<aks::ManagedCluster>,
    /// The certificate authority that a kubeconfig of an AKS cluster holds, base64 of PEM text.
    pub managed_authority: Option<String>,
    /// `az aks nodepool list`; the cluster's own profiles tell most of it.
    pub agent_pools: Option<Vec<aks::AgentPool>>,
    /// What happened to the cluster lately, newest first: `az monitor activity-log list`.
    pub activity: Option<Vec<azure::ActivityEvent>>,
    /// Azure's network.
    pub azure: azure::Network,
    /// Files that were read but say nothing that is known, relative to the folder.
    pub unrecognised: Vec<PathBuf>,
}

impl Facts {
    /// Whether there is anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                origin: self.origin.clone(),
                manifest: self.manifest.clone(),
                unrecognised: self.unrecognised.clone(),
                ..Self::default()
            }
    }

    /// Whether this action was refused when the facts were pulled, with the provider's words.
    #[must_use]
    pub fn denied(&self, action: &str) -> Option<&str> {
        let manifest = self.manifest.as_ref()?;
        manifest.denied.iter().find(|denied| denied.action == action).map(|denied| denied.message.as_str())
    }
}

/// A range as the provider prints it, with the text it was printed as: what is stored may have host bits set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// As printed.
    pub text: String,
    /// The range, host bits cleared.
    pub net: IpNet,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a bare address, which is a range of one.
    ///
    /// # Errors
    /// What was expected, as one sentence without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("`{}` is not a range such as 203.0.113.0/24", text.escape_debug()))?;
        Ok(Self { text: text.to_owned(), net: net.trunc() })
    }

    /// Whether the text has bits set below the prefix.
    #[must_use]
    pub fn has_host_bits(&self) -> bool {
        self.text.parse::<IpNet>().is_ok_and(|net| net != net.trunc())
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A list that may also be written as `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(items)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// An address; empty text and `null` are none.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(D::Error::custom(format!("`{}` is not an IP address", text.escape_debug()))),
        },
    }
}

/// A time: RFC 3339 text, text with a space for the `T`, or seconds since 1970; anything else is not known.
fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Text(text)) => text.replacen(' ', "T", 1).parse().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a time that does not fit is refused by `from_millisecond`"
        )]
        Some(Written::Seconds(seconds)) => Timestamp::from_millisecond((seconds * 1000.0) as i64).ok(),
        Some(Written::Other(_)) | None => None,
    })
}
