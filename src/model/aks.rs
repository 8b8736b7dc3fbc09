//! What the configuration of an AKS cluster lets one expect from a standpoint: which answer DNS should give there, and
//! whether the public or the private path lets it in. Pure.
//!
//! Rules after <https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>,
//! <https://learn.microsoft.com/azure/aks/private-clusters> and
//! <https://learn.microsoft.com/azure/aks/api-server-vnet-integration>.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    Missing, Standpoint,
    azure::Network,
    trace::{Hop, Trace},
};
use crate::{
    facts::{Facts, azure::ArmId},
    report::{Reachability, Via},
};

/// What the configuration says about one cluster from one standpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Whether the path that this standpoint takes lets it in.
    pub configured: Reachability,
    /// The class of address that it takes; `None` when not known.
    pub via: Option<Via>,
    /// How the API server is published.
    pub mode: Mode,
    /// Where the standpoint is.
    pub place: Place,
    /// What its resolver should answer for the host that is dialled.
    pub answer: ExpectedAnswer,
    /// The public path.
    pub public: PublicPath,
    /// The private path, one entry an address of the API server; empty when there is none, or it is not known.
    pub private: Vec<PrivatePath>,
    /// What is not known, and what would tell.
    pub missing: Vec<Missing>,
}

/// How the API server is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A public address, guarded by the authorized ranges.
    Public,
    /// The same; the nodes use an address in a subnet of the user's.
    PublicWithVnetIntegration,
    /// A private endpoint in the node subnet, by Private Link.
    PrivateLink,
    /// An address in a subnet of the user's only.
    PrivateWithVnetIntegration,
}

/// Where a standpoint is in the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the network of the API server's private address, or of the cluster's nodes where it has none.
    ClusterNetwork {
        /// Its id.
        network: ArmId,
    },
    /// In another virtual network of the facts.
    OtherNetwork {
        /// Its id.
        network: ArmId,
    },
    /// At a private address outside all virtual networks: behind a gateway, or nowhere that packets find.
    OutsideAddress,
    /// On the internet, at an address of its own.
    Internet,
    /// The facts do not know its addresses.
    Unknown,
}

/// What a resolver should answer at a standpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// Public, private, or none at all; `None` when that depends on something unknown.
    pub class: Option<AddressClass>,
    /// The addresses, where the facts know them all.
    pub addresses: Vec<IpAddr>,
    /// Why, as what may follow "because".
    pub because: String,
    /// What keeps the private answer from it.
    pub obstacle: Option<ZoneObstacle>,
}

/// What keeps the private answer from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneObstacle {
    /// The zone has no link to the network whose resolver decides.
    NotLinked {
        /// The zone.
        zone: ArmId,
        /// The client's network, or that of the DNS server that it uses.
        network: ArmId,
        /// That server, where the network names one of its own.
        server: Option<IpAddr>,
    },
    /// The network is linked to another zone of a fitting name that does not have the record.
    Shadowed {
        /// The zone that answers.
        zone: ArmId,
        /// Its link.
        link: ArmId,
        /// The network.
        network: ArmId,
    },
    /// The zone has no record of the name.
    RecordMissing {
        /// The zone.
        zone: ArmId,
    },
    /// The zone's record is not the API server's private address.
    RecordDiffers {
        /// The zone.
        zone: ArmId,
        /// What it says.
        recorded: Vec<IpAddr>,
        /// What the endpoint's interface has.
        endpoint: Vec<IpAddr>,
    },
    /// The network names DNS servers of its own, of which the facts do not know whether they forward.
    CustomServers {
        /// The network.
        network: ArmId,
        /// The servers.
        servers: Vec<String>,
    },
    /// The name that is dialled is not published: the public name of a cluster that has none.
    NotPublished,
}

/// What the public path says.
#[derive(Clone, Debug, PartialEq)]
pub enum PublicPath {
    /// There is none: a private cluster, or public network access is disabled.
    Off,
    /// The facts do not say whether there is one, or for whom.
    NotKnown,
    /// Everybody is let in.
    Open,
    /// The address that the endpoint sees is listed.
    Listed {
        /// That address.
        egress: IpAddr,
        /// The entry that holds it.
        entry: String,
    },
    /// None of the addresses that the endpoint may see is listed.
    NotListed {
        /// Those addresses.
        egress: Vec<IpAddr>,
    },
    /// The list is `0.0.0.0/32`: only the cluster's own outbound address gets in, and this is none.
    OutboundOnly {
        /// The addresses that the endpoint may see.
        egress: Vec<IpAddr>,
    },
    /// Some of the addresses that the endpoint may see are listed.
    PartlyListed {
        /// Listed.
        listed: Vec<IpAddr>,
        /// Not listed.
        unlisted: Vec<IpAddr>,
    },
    /// No range holds the address, but a service tag might, and its ranges are not in the facts.
    TagNotKnown {
        /// The tag.
        tag: String,
        /// The addresses that the endpoint may see.
        egress: Vec<IpAddr>,
    },
    /// The list is restricted, and the address that the endpoint sees is not known.
    EgressNotKnown,
    /// The standpoint's own network does not let packets out to the internet.
    NoWayOut(Box<Trace>),
    /// Whether its network lets packets out is not known.
    WayOutNotKnown(Box<Trace>),
}

/// The path to one private address of the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivatePath {
    /// The private endpoint, or the internal load balancer of a VNet-integrated cluster.
    pub endpoint: Option<ArmId>,
    /// The subnet of its address.
    pub subnet: Option<ArmId>,
    /// Its address.
    pub address: IpAddr,
    /// State of the private endpoint's connection where it is not `Approved`.
    pub not_approved: Option<String>,
    /// Every rule on the way there and back.
    pub trace: Trace,
}

/// Evaluates the cluster's configuration for one standpoint that dials `host`. `None` when the facts describe no
/// managed cluster.
#[must_use]
pub fn predict(
    facts: &Facts,
    _network: &Network<'_>,
    standpoint: &Standpoint,
    _classes: &AddressClasses,
    _host: &str,
    _endpoint_addresses: &[IpAddr],
) -> Option<Prediction> {
    let cluster = facts.managed_cluster.as_ref()?;
    let mode = match (cluster.is_private(), cluster.is_vnet_integrated()) {
        (false, false) => Mode::Public,
        (false, true) => Mode::PublicWithVnetIntegration,
        (true, false) => Mode::PrivateLink,
        (true, true) => Mode::PrivateWithVnetIntegration,
    };
    Some(Prediction {
        configured: Reachability::Unknown,
        via: None,
        mode,
        place: Place::Unknown,
        answer: ExpectedAnswer {
            class: standpoint.answer,
            addresses: Vec::new(),
            because: "nothing is evaluated yet".to_owned(),
            obstacle: None,
        },
        public: PublicPath::NotKnown,
        private: Vec::new(),
        missing: Vec::new(),
    })
}

impl Prediction {
    /// One line on what is predicted, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("predicted {}", self.configured.label())
    }

    /// The hops that stand for the path that is taken.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        self.private.iter().flat_map(|path| path.trace.hops().cloned()).collect()
    }
}
