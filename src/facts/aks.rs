//! AKS's own JSON as plain types: the body of a managed cluster, and what `az aks show -o json` prints.
//!
//! Shapes after <https://learn.microsoft.com/rest/api/aks/managed-clusters/get>; both spellings are read, as
//! [`super::azure`] tells. Every field may be missing; states and modes are text.

use std::borrow::Cow;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Cidr, List,
    azure::{ArmId, Reference},
};

/// A managed cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedCluster {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: Option<String>,
    /// `Succeeded`, `Creating`, `Updating`, `Failed`, `Deleting` …
    pub provisioning_state: Option<String>,
    /// Whether it runs.
    pub power_state: Option<PowerState>,
    /// Kubernetes version.
    pub current_kubernetes_version: Option<String>,
    /// The public name of the API server; absent where there is none.
    pub fqdn: Option<String>,
    /// The name in the private zone.
    pub private_fqdn: Option<String>,
    /// A name for the portal only.
    pub azure_portal_fqdn: Option<String>,
    /// The label that the user chose in a zone of their own.
    pub fqdn_subdomain: Option<String>,
    /// The resource group of the nodes.
    pub node_resource_group: Option<String>,
    /// `Enabled` or `Disabled`.
    pub public_network_access: Option<String>,
    /// Who may reach the API server. Where the whole profile is absent, nobody restricted anything.
    pub api_server_access_profile: Option<ApiServerAccessProfile>,
    /// How the cluster's own packets leave.
    pub network_profile: Option<NetworkProfile>,
    /// Its node pools.
    pub agent_pool_profiles: List<AgentPool>,
    /// The proxy that its nodes use.
    pub http_proxy_config: Option<HttpProxyConfig>,
}

/// Whether a cluster or pool runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PowerState {
    /// `Running` or `Stopped`.
    pub code: Option<String>,
}

/// Who may reach the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiServerAccessProfile {
    /// Sources that the public endpoint lets in; empty or absent lets everybody in.
    pub authorized_ip_ranges: List<AuthorizedSource>,
    /// The API server has private addresses only.
    pub enable_private_cluster: Option<bool>,
    /// `system`, `none`, or the id of a zone.
    pub private_dns_zone: Option<String>,
    /// A public name gives the private addresses.
    pub enable_private_cluster_public_fqdn: Option<bool>,
    /// `az aks command invoke` is off.
    pub disable_run_command: Option<bool>,
    /// The API server has an address in a subnet of the user's.
    pub enable_vnet_integration: Option<bool>,
    /// That subnet.
    pub subnet_id: Option<ArmId>,
}

/// An entry of the authorized ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizedSource {
    /// A range or a bare address.
    Range(Cidr),
    /// A service tag: all of a service's ranges.
    ServiceTag(String),
}

/// How the cluster's own packets leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkProfile {
    /// `azure`, `kubenet`, `none`.
    pub network_plugin: Option<String>,
    /// `standard` or `basic`.
    pub load_balancer_sku: Option<String>,
    /// `loadBalancer`, `managedNATGateway`, `userAssignedNATGateway`, `userDefinedRouting`, `none`, `block`.
    pub outbound_type: Option<String>,
    /// Addresses of the load balancer.
    pub load_balancer_profile: Option<OutboundProfile>,
    /// Addresses of the NAT gateway.
    pub nat_gateway_profile: Option<OutboundProfile>,
    /// Range of pods.
    pub pod_cidr: Option<String>,
    /// Range of services.
    pub service_cidr: Option<String>,
    /// `IPv4`, `IPv6`.
    pub ip_families: List<String>,
}

/// Addresses that the cluster's packets leave with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundProfile {
    /// Those in use, by the ids of public addresses or prefixes.
    pub effective_outbound_ips: List<Reference>,
    /// Prefixes that the user gave.
    pub outbound_ip_prefixes: Option<OutboundIpPrefixes>,
}

/// Prefixes that packets leave with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundIpPrefixes {
    /// Their ids.
    pub public_ip_prefixes: List<Reference>,
}

/// A node pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentPool {
    /// Its id; absent where it stands in its cluster.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Nodes.
    pub count: Option<u32>,
    /// The subnet of its nodes; absent where AKS made the network.
    pub vnet_subnet_id: Option<ArmId>,
    /// Each node has a public address.
    pub enable_node_public_ip: Option<bool>,
    /// The prefix that those addresses are taken from.
    pub node_public_ip_prefix_id: Option<ArmId>,
}

/// The proxy that nodes use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpProxyConfig {
    /// For `http`, without user and password.
    #[serde(deserialize_with = "nobodys")]
    pub http_proxy: Option<String>,
    /// For `https`, without user and password.
    #[serde(deserialize_with = "nobodys")]
    pub https_proxy: Option<String>,
    /// Hosts that are reached without it, without user and password.
    #[serde(deserialize_with = "all_nobodys")]
    pub no_proxy: List<String>,
    /// The authority of the proxy, base64 of PEM text.
    pub trusted_ca: Option<String>,
}

impl ManagedCluster {
    /// The resource group, from the id.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        self.id.resource_group()
    }

    /// The subscription, from the id.
    #[must_use]
    pub fn subscription(&self) -> Option<&str> {
        self.id.subscription()
    }

    /// Who may reach the API server; all defaults where nobody restricted anything.
    #[must_use]
    pub fn access(&self) -> Cow<'_, ApiServerAccessProfile> {
        self.api_server_access_profile
            .as_ref()
            .map_or_else(|| Cow::Owned(ApiServerAccessProfile::default()), Cow::Borrowed)
    }

    /// The name by which its API server is meant to be reached: the private one of a private cluster, unless it has no
    /// private zone (`none`), and the public one of any other
    /// (<https://learn.microsoft.com/azure/aks/private-clusters#configure-a-private-dns-zone>).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        let without_zone =
            self.access().private_dns_zone.as_deref().is_some_and(|zone| zone.eq_ignore_ascii_case("none"));
        let (first, second) = if self.is_private() && !without_zone {
            (&self.private_fqdn, &self.fqdn)
        } else {
            (&self.fqdn, &self.private_fqdn)
        };
        [first, second].into_iter().flatten().map(String::as_str).find(|name| !name.is_empty())
    }

    /// Whether anything is said of it but its name: what the provider prints always tells its state.
    #[must_use]
    pub const fn is_described(&self) -> bool {
        self.provisioning_state.is_some()
            || self.fqdn.is_some()
            || self.private_fqdn.is_some()
            || self.api_server_access_profile.is_some()
            || self.network_profile.is_some()
    }

    /// Whether it is a private cluster: `enablePrivateCluster`, which AKS leaves out where it is off.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.api_server_access_profile.as_ref().and_then(|access| access.enable_private_cluster).unwrap_or(false)
    }

    /// Whether the API server stands in a subnet of the user's: `enableVnetIntegration`, left out where it is off.
    #[must_use]
    pub fn is_vnet_integrated(&self) -> bool {
        self.api_server_access_profile.as_ref().and_then(|access| access.enable_vnet_integration).unwrap_or(false)
    }
}

impl AuthorizedSource {
    /// Reads a range, a bare address, or a service tag such as `AzureCloud.westeurope`.
    ///
    /// # Errors
    /// What was expected, as one sentence without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Cidr::parse(text) {
            Ok(cidr) => Ok(Self::Range(cidr)),
            Err(_) if is_service_tag(text) => Ok(Self::ServiceTag(text.to_owned())),
            Err(error) => Err(format!("{error}, and no service tag such as AzureCloud.westeurope")),
        }
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Range(cidr) => &cidr.text,
            Self::ServiceTag(name) => name,
        }
    }

    /// The range, where it is one.
    #[must_use]
    pub const fn net(&self) -> Option<IpNet> {
        match self {
            Self::Range(cidr) => Some(cidr.net),
            Self::ServiceTag(_) => None,
        }
    }

    /// Whether it is `0.0.0.0/32`, which stands for the cluster's own outbound address.
    #[must_use]
    pub fn is_outbound_only(&self) -> bool {
        self.net().is_some_and(|net| net.prefix_len() == 32 && net.addr().is_unspecified())
    }
}

impl<'de> Deserialize<'de> for AuthorizedSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A host or URL without whoever's name and password stand before it.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{host}"),
            None => host.to_owned(),
        },
        None => text.to_owned(),
    }
}

fn nobodys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| without_user(&text)))
}

fn all_nobodys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<List<String>, D::Error> {
    let all = List::<String>::deserialize(deserializer)?;
    Ok(all.iter().map(|text| without_user(text)).collect::<Vec<_>>().into())
}

/// Letters first, then letters, digits and dots: `AzureDevOps`, `AzureCloud.westeurope`.
fn is_service_tag(text: &str) -> bool {
    text.len() <= LONGEST_TAG
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

const LONGEST_TAG: usize = 100;
