//! Who looks at a cluster, as far as that is known, and what the facts do not hold about it.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::AddressClass;

/// Where the client is, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standpoint {
    /// An instance of the facts.
    pub instance: Option<String>,
    /// Addresses that its own packets carry.
    pub own: Vec<IpAddr>,
    /// The scenario says where it is; an address that was only seen may be translated on the way.
    pub declared: bool,
    /// Its packets leave through something that sends its own instead: a proxy.
    pub behind_proxy: bool,
    /// By which addresses the internet sees it, as the scenario declares or as echo servers say; empty where neither does.
    pub egress: Vec<IpNet>,
    /// Who says so.
    pub egress_by: Option<EgressBy>,
    /// Class of the answer that its own resolver gave, when it was asked.
    pub answer: Option<AddressClass>,
}

/// Who says by which address a standpoint is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressBy {
    /// The scenario; the servers, if any, agree.
    Declared {
        /// The echo servers that see a declared address.
        seen_by: Vec<String>,
    },
    /// Echo servers only, which may be on another path than the API server.
    Observed {
        /// Their URLs.
        servers: Vec<String>,
    },
}

/// Something that the facts do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is not known.
    pub what: String,
    /// The file or permission that would tell.
    pub decided_by: String,
}
