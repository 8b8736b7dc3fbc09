//! The validated plan: what to probe from where, and what should come of it. Names are resolved to indices.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use kubereach_probes::{AddressClasses, Endpoint, NamedResolver, ProxyTarget};

pub use crate::client::ClusterEndpoint;
use crate::{
    client::kubeconfig::KubeCluster,
    report::{CellTarget, Intended, Provider, Via},
};

/// A validated scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The clusters, in the file's order.
    pub clusters: Vec<Cluster>,
    /// The vantages, in the file's order.
    pub vantages: Vec<Vantage>,
    /// The pairs to decide: those that `expect` names, in its order, then those that a cluster's intent implies.
    pub cells: Vec<PlannedCell>,
    /// Where the scenario contradicts itself; the cell keeps what was said first.
    pub contradictions: Vec<Contradiction>,
    /// The scenario's `resolvers`, by label (`eager`); a `system` entry replaces the host's resolver.
    pub resolvers: Vec<NamedResolver>,
    /// The scenario's `controls`; `None` means the default, `Some(vec![])` asks nobody.
    pub controls: Option<Vec<Endpoint>>,
    /// Ranges whose class the scenario declares.
    pub classes: AddressClasses,
    /// How to wait for a change.
    pub propagation: Propagation,
    /// The file, for messages.
    pub file: PathBuf,
}

/// A cluster of the plan.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name in the scenario.
    pub name: String,
    /// Where its API server is; `None` when only a provider could tell.
    pub endpoint: Option<ClusterEndpoint>,
    /// Who runs it: by its provider block, else by its host name.
    pub provider: Provider,
    /// PEM text of its certificate authorities; the system's roots when absent.
    pub ca_pem: Option<String>,
    /// Name for SNI and certificate.
    pub server_name: Option<String>,
    /// Known addresses.
    pub addresses: Vec<IpAddr>,
    /// The configuration that should be.
    pub intent: Option<Intent>,
    /// What the provider's block names: `eks prod in eu-west-1`; read by the provider's own part.
    pub provider_block: Option<ProviderBlock>,
    /// The kubeconfig's cluster, when the scenario names one: its credentials are used only when asked.
    pub kubeconfig: Option<KubeCluster>,
    /// Folder with provider configuration, relative paths resolved against the scenario file.
    pub facts: Option<PathBuf>,
    /// Line of the cluster in the file.
    pub line: usize,
}

/// The provider's name for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderBlock {
    /// Amazon EKS.
    Eks {
        /// Cluster name.
        name: String,
        /// Region.
        region: Option<String>,
        /// Profile of the AWS configuration.
        profile: Option<String>,
        /// Any AWS-compatible API.
        endpoint_url: Option<String>,
    },
    /// Azure AKS.
    Aks {
        /// Subscription id.
        subscription: String,
        /// Resource group.
        resource_group: String,
        /// Cluster name.
        name: String,
        /// Any ARM-compatible API.
        endpoint_url: Option<String>,
    },
    /// An AKS cluster of which only the name of its API server is known: doctor's.
    AksByHost {
        /// The host of the kubeconfig's server.
        host: String,
        /// Any ARM-compatible API.
        endpoint_url: Option<String>,
    },
}

/// The configuration that should be.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Intent {
    /// The public endpoint.
    pub public_access: Option<Access>,
    /// The private endpoint.
    pub private_access: Option<Access>,
}

/// One path's intended setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether the path should exist.
    pub enabled: bool,
    /// Who should be let in; everybody when `None`.
    pub allow: Option<Vec<IpNet>>,
    /// Line of the block in the file.
    pub line: usize,
}

/// A vantage of the plan.
#[derive(Clone, Debug)]
pub struct Vantage {
    /// Its name in the scenario.
    pub name: String,
    /// Where it is.
    pub kind: VantageKind,
    /// Resolvers of its own, by label; they replace the scenario's of the same label.
    pub resolvers: Vec<NamedResolver>,
    /// Line of the vantage in the file.
    pub line: usize,
}

/// Where a vantage is.
#[derive(Clone, Debug)]
pub enum VantageKind {
    /// This host.
    Local {
        /// Source address.
        source_ip: Option<IpAddr>,
        /// Interface.
        interface: Option<String>,
        /// Network namespace, by the name that `ip netns` knows.
        netns: Option<String>,
    },
    /// Through a proxy.
    Proxy(ProxyTarget),
    /// Through a proxy setting that no client can use: nothing goes out. Doctor's only; a scenario has it refused.
    UnusableProxy {
        /// Where the setting stands, e.g. `HTTPS_PROXY`.
        setting: String,
    },
    /// Never probed: only predicted.
    Model {
        /// Its egress address.
        ip: Option<IpAddr>,
        /// Its instance id.
        instance: Option<String>,
    },
    /// On another host by OpenSSH.
    Ssh {
        /// `[user@]host`.
        host: String,
    },
    /// On an EC2 instance by AWS Systems Manager.
    Ssm {
        /// Instance id.
        instance: String,
        /// Region.
        region: Option<String>,
    },
    /// Behind a long-lived agent.
    Agent {
        /// The agent's name.
        name: String,
    },
}

impl VantageKind {
    /// The key that names this kind in a scenario.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Proxy(_) | Self::UnusableProxy { .. } => "proxy",
            Self::Model { .. } => "model",
            Self::Ssh { .. } => "ssh",
            Self::Ssm { .. } => "ssm",
            Self::Agent { .. } => "agent",
        }
    }
}

/// A pair to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCell {
    /// Index into [`Plan::clusters`].
    pub cluster: usize,
    /// Index into [`Plan::vantages`].
    pub vantage: usize,
    /// What is to be reached.
    pub target: CellTarget,
    /// What should be.
    pub intended: Intended,
    /// Which class of address should answer.
    pub via: Option<Via>,
    /// Who says so: `expect, line 24` or `intent.publicAccess, line 12`.
    pub origin: String,
}

/// Two places of the scenario that cannot both hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Index into [`Plan::clusters`].
    pub cluster: usize,
    /// What is to be reached.
    pub target: CellTarget,
    /// Index into [`Plan::vantages`].
    pub vantage: usize,
    /// What contradicts what, with both lines. No final full stop.
    pub message: String,
}

/// How to wait for a change to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// The provider's window; `None` means the provider's default.
    pub window: Option<Duration>,
    /// Between rounds.
    pub interval: Duration,
    /// How many agreeing rounds in a row are believed.
    pub consecutive: u32,
}

impl Default for Propagation {
    fn default() -> Self {
        Self { window: None, interval: Duration::from_secs(5), consecutive: 3 }
    }
}
