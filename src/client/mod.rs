//! This host as a Kubernetes client: what kubeconfig and environment make kubectl do. Read once, then plain values.

pub mod exec;
pub mod host;
pub mod kubeconfig;
pub(crate) mod pem;
pub mod proxy;
mod server;

use std::path::PathBuf;

use jiff::Timestamp;
use kubereach_probes::ProxyTarget;

pub use self::server::{ClusterEndpoint, ServerUrlError, parse_server_url};
pub(crate) use self::{
    pem::{certificates_pem, inline_pem},
    server::split_host_port,
};

/// What kubeconfig and environment say beyond the endpoint. Plain values, read by the causes.
#[derive(Clone, Debug, Default)]
pub struct ClientEnvironment {
    /// The kubeconfig file that names the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// Context in use.
    pub context: Option<String>,
    /// Cluster name in the kubeconfig.
    pub cluster: Option<String>,
    /// `insecure-skip-tls-verify: true`.
    pub skips_tls_verification: bool,
    /// The exec plugin of the user, never run unless asked.
    pub exec: Option<ExecPlugin>,
    /// End of the client certificate's validity.
    pub client_certificate_expires: Option<Timestamp>,
    /// The proxy situation for this host.
    pub proxy: ProxyEnvironment,
}

/// An exec plugin, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlugin {
    /// The command.
    pub command: String,
    /// Whether it was found on PATH (or exists, when it is a path).
    pub found: bool,
    /// The token service that it calls, when known: `sts.eu-west-1.amazonaws.com`.
    pub token_service: Option<String>,
    /// Whether that service could be connected to; null when it was not tried.
    pub token_service_reachable: Option<bool>,
}

/// What Go's HTTP client would do about proxies for this host.
#[derive(Clone, Debug, Default)]
pub struct ProxyEnvironment {
    /// The proxy that kubectl uses for this host.
    pub used: Option<ProxySetting>,
    /// A proxy that is set, but not used because of `no_proxy_entry`.
    pub bypassed: Option<ProxySetting>,
    /// The entry of `NO_PROXY` that matches the host.
    pub no_proxy_entry: Option<String>,
    /// What is wrong with the settings, a sentence each, without credentials.
    pub problems: Vec<String>,
    /// Good to know and nothing wrong, a sentence each, without credentials.
    pub notes: Vec<String>,
}

/// One proxy setting.
#[derive(Clone, Debug)]
pub struct ProxySetting {
    /// `HTTPS_PROXY`, `https_proxy` or `proxy-url of cluster "prod"`.
    pub source: String,
    /// The proxy; `None` when the value cannot be used.
    pub target: Option<ProxyTarget>,
}
