//! The validated plan: what to probe from where, and what should come of it. Names are resolved to indices.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use kubereach_probes::{AddressClasses, EchoServer, Endpoint, NamedResolver, ProxyTarget};

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
    /// The servers that `agent` vantages take their orders from.
    pub nats: Option<NatsServers>,
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
    /// The public addresses that it should be seen by, and who tells those that it is.
    pub egress: Egress,
    /// Line of the vantage in the file.
    pub line: usize,
}

/// The addresses that a vantage's packets should have at their target, and who tells those that they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// As declared; one of them is expected. Empty when the scenario does not say.
    pub declared: Vec<IpNet>,
    /// Who is asked from the vantage; the scenario's own list where the vantage has none.
    pub echo: Vec<EchoServer>,
}

/// A host that OpenSSH reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SshHost {
    /// `[user@]host`, or an alias of the configuration.
    pub host: String,
    /// Port, where the configuration does not say or says another.
    pub port: Option<u16>,
    /// An OpenSSH client configuration instead of the user's own.
    pub config: Option<PathBuf>,
    /// Path of an agent on the host; otherwise the first found of `kubereach-agent` and `kubereach`.
    pub agent: Option<String>,
}

/// An EC2 instance that AWS Systems Manager reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SsmInstance {
    /// Instance id, of EC2 (`i-…`) or a managed node (`mi-…`).
    pub instance: String,
    /// Region.
    pub region: Option<String>,
    /// Profile of the AWS configuration.
    pub profile: Option<String>,
    /// Any AWS-compatible API.
    pub endpoint_url: Option<String>,
    /// Path of an agent on the instance; otherwise the first found of `kubereach-agent` and `kubereach`.
    pub agent: Option<String>,
    /// Where the instance fetches an agent for one run when it has none.
    pub download: Option<Download>,
}

/// A file that is only used when its digest is right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Download {
    /// `https://…`.
    pub url: String,
    /// SHA-256 as 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A pod of a cluster, which need not be one of the scenario's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodPlace {
    /// The kubeconfig; the user's own (`KUBECONFIG`, `~/.kube/config`) when absent.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; its current one when absent.
    pub context: Option<String>,
    /// Namespace; the context's, else `default`.
    pub namespace: Option<String>,
    /// Image whose entry point is the agent.
    pub image: String,
    /// Service account of the pod.
    pub service_account: Option<String>,
    /// Labels of the node that it must run on, by key.
    pub node_selector: Vec<(String, String)>,
}

/// A long-lived agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentName {
    /// Its name: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// Its public key (`U…`): what another key signed is not its. Without it nothing that it says can be believed.
    pub key: Option<String>,
}

/// The NATS servers that orders and observations go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServers {
    /// `tls://host:port`; `nats://` only towards loopback.
    pub servers: Vec<String>,
    /// PEM file with the servers' authorities; the system's roots when absent.
    pub ca: Option<PathBuf>,
    /// File with the controller's user credentials (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// File with the seed of the controller's user key, for servers that know users by their key.
    pub user_key: Option<PathBuf>,
    /// PEM files of the controller's client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// File with the seed that orders are signed with.
    pub signing_key: PathBuf,
    /// Line of the block in the file.
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
    Ssh(SshHost),
    /// On an EC2 instance by AWS Systems Manager.
    Ssm(SsmInstance),
    /// In a pod of a cluster.
    Kubernetes(PodPlace),
    /// Behind a long-lived agent.
    Agent(AgentName),
}

impl VantageKind {
    /// The key that names this kind in a scenario.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Proxy(_) | Self::UnusableProxy { .. } => "proxy",
            Self::Model { .. } => "model",
            Self::Ssh(_) => "ssh",
            Self::Ssm(_) => "ssm",
            Self::Kubernetes(_) => "kubernetes",
            Self::Agent(_) => "agent",
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
