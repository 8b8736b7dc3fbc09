//! What the configuration of an AKS cluster lets one expect from a standpoint: which answer DNS should give there, and
//! whether the public or the private path lets it in. Pure.
//!
//! Rules after <https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>,
//! <https://learn.microsoft.com/azure/aks/private-clusters> and
//! <https://learn.microsoft.com/azure/aks/api-server-vnet-integration>.

mod names;
mod public;

use std::net::IpAddr;

use kubereach_probes::{AddressClass, AddressClasses};

pub use super::paths::PublicPath;
use super::{
    Missing, Standpoint,
    azure::{self, Network},
    paths::{self, PORT, Words, any, listed},
    trace::{Hop, Outcome, Point, Trace},
};
use crate::{
    facts::{
        Facts,
        aks::{AgentPool, ManagedCluster},
        azure::{ArmId, Kind, LoadBalancer, NetworkInterface, PrivateEndpoint, PrivateLinkServiceConnection},
    },
    report::{Reachability, Via},
};
pub use public::{admitted, outbound_addresses};

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
    /// The cluster is stopped: it serves nobody, whatever the network lets through.
    pub stopped: bool,
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

/// Evaluates the cluster's configuration for one standpoint that dials `host`, which has its port behind it where that is
/// not 443: then it is none of the cluster's names. `None` when the facts describe no managed cluster.
#[must_use]
pub fn predict(
    facts: &Facts,
    network: &Network<'_>,
    standpoint: &Standpoint,
    classes: &AddressClasses,
    host: &str,
    endpoint_addresses: &[IpAddr],
) -> Option<Prediction> {
    let cluster = facts.managed_cluster.as_ref()?;
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let evaluation = Evaluation { facts, network, cluster, standpoint, classes, host: &host, endpoint_addresses };
    Some(evaluation.prediction())
}

/// How the cluster's API server is published.
#[must_use]
pub fn mode(cluster: &ManagedCluster) -> Mode {
    match (cluster.is_private(), cluster.is_vnet_integrated()) {
        (false, false) => Mode::Public,
        (false, true) => Mode::PublicWithVnetIntegration,
        (true, false) => Mode::PrivateLink,
        (true, true) => Mode::PrivateWithVnetIntegration,
    }
}

/// The cluster's node pools: as they were listed, else as they stand in the cluster.
#[must_use]
pub fn agent_pools(facts: &Facts) -> &[AgentPool] {
    let own = facts.managed_cluster.as_ref().map(|cluster| cluster.agent_pool_profiles.as_slice());
    facts.agent_pools.as_deref().or(own).unwrap_or_default()
}

/// The subnets of the cluster's nodes, as far as its pools name them.
#[must_use]
pub fn node_subnets(facts: &Facts) -> Vec<&ArmId> {
    let mut subnets: Vec<&ArmId> =
        agent_pools(facts).iter().filter_map(|pool| pool.vnet_subnet_id.as_ref()).filter(|id| !id.is_empty()).collect();
    subnets.sort_unstable();
    subnets.dedup();
    subnets
}

/// The virtual network of the cluster's nodes: that of its pools' subnets, else the one that AKS made beside the nodes.
#[must_use]
pub fn node_network(facts: &Facts) -> Option<ArmId> {
    if let Some(subnet) = node_subnets(facts).first() {
        return subnet.parent();
    }
    let mut made = facts.azure.virtual_networks.iter().flatten().filter(|one| is_node_resource(facts, &one.id));
    let first = made.next()?;
    made.next().is_none().then(|| first.id.clone())
}

/// The cluster's private endpoint that AKS made beside its nodes.
#[must_use]
pub fn private_endpoint(facts: &Facts) -> Option<&PrivateEndpoint> {
    let all = || facts.azure.private_endpoints.iter().flatten();
    // By its name only where nothing says that it leads to another.
    let named = |one: &&PrivateEndpoint| {
        one.id.name().eq_ignore_ascii_case(API_SERVER) && (leads_here(facts, one) || services(one).next().is_none())
    };
    let beside_nodes = || all().filter(|one| is_node_resource(facts, &one.id));
    beside_nodes().find(named).or_else(|| beside_nodes().find(|one| leads_here(facts, one)))
}

/// The internal load balancer of a VNet-integrated API server.
#[must_use]
pub fn api_server_balancer(facts: &Facts) -> Option<&LoadBalancer> {
    let subnet = facts.managed_cluster.as_ref()?.access().subnet_id.clone();
    let all = || facts.azure.load_balancers.iter().flatten();
    let named =
        |one: &&LoadBalancer| one.id.name().eq_ignore_ascii_case(API_SERVER) && is_node_resource(facts, &one.id);
    let inside = |one: &&LoadBalancer| {
        one.frontend_ip_configurations.iter().any(|front| {
            front.private_ip_address.is_some() && front.subnet.as_ref().map(|subnet| &subnet.id) == subnet.as_ref()
        })
    };
    all().find(named).or_else(|| subnet.is_some().then(|| all().find(inside)).flatten())
}

/// The private addresses of the API server, as far as its private endpoint or internal load balancer tells them.
#[must_use]
pub fn private_addresses(facts: &Facts, network: &Network<'_>) -> Vec<IpAddr> {
    let Some(cluster) = &facts.managed_cluster else { return Vec::new() };
    if cluster.is_vnet_integrated() {
        let fronts = api_server_balancer(facts).into_iter().flat_map(|one| &one.frontend_ip_configurations);
        return fronts.filter_map(|front| front.private_ip_address).collect();
    }
    private_endpoint(facts).into_iter().flat_map(|one| network.addresses_of_endpoint(&one.id)).collect()
}

/// Whether an interface is that of a node: AKS has made it beside the others.
#[must_use]
pub fn is_node(facts: &Facts, interface: &NetworkInterface) -> bool {
    interface.private_endpoint.is_none()
        && is_node_resource(facts, &interface.id)
        && interface.virtual_machine.as_ref().is_some_and(|machine| is_node_resource(facts, &machine.id))
}

/// Whether something is in the resource group of the nodes, and of their subscription.
fn is_node_resource(facts: &Facts, id: &ArmId) -> bool {
    let Some(cluster) = &facts.managed_cluster else { return false };
    let alike = |one: Option<&str>, other: Option<&str>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    alike(cluster.node_resource_group.as_deref(), id.resource_group())
        && alike(cluster.subscription(), id.subscription())
}

/// Whether a private endpoint leads to this cluster.
fn leads_here(facts: &Facts, endpoint: &PrivateEndpoint) -> bool {
    let Some(cluster) = &facts.managed_cluster else { return false };
    services(endpoint).any(|id| *id == cluster.id)
}

/// What a private endpoint leads to, as far as it is written.
fn services(endpoint: &PrivateEndpoint) -> impl Iterator<Item = &ArmId> {
    connections(endpoint).filter_map(|one| one.private_link_service_id.as_ref()).filter(|id| !id.is_empty())
}

fn connections(endpoint: &PrivateEndpoint) -> impl Iterator<Item = &PrivateLinkServiceConnection> {
    endpoint.private_link_service_connections.iter().chain(&endpoint.manual_private_link_service_connections)
}

struct Evaluation<'e, 'f> {
    facts: &'f Facts,
    network: &'e Network<'f>,
    cluster: &'f ManagedCluster,
    standpoint: &'e Standpoint,
    classes: &'e AddressClasses,
    /// The name that is dialled, in lower case.
    host: &'e str,
    /// Addresses of the endpoint, where they are known.
    endpoint_addresses: &'e [IpAddr],
}

/// Where the standpoint is, in terms of the network.
struct Located<'f> {
    place: Place,
    /// Where a trace begins.
    point: Option<Point>,
    /// The network that it is in.
    network: Option<ArmId>,
    /// Its interface, where the facts hold it.
    interface: Option<&'f NetworkInterface>,
}

impl<'f> Evaluation<'_, 'f> {
    fn prediction(&self) -> Prediction {
        let mut missing = Vec::new();
        let mode = mode(self.cluster);
        let located = self.locate(&mut missing);
        let answer = self.answer(mode, &located, &mut missing);
        // What the client's own resolver gave settles which path it takes where the facts do not.
        let seen = self.standpoint.answer.filter(|class| matches!(class, AddressClass::Public | AddressClass::Private));
        let class = answer.class.or(seen);
        let itself = self.leads_to_the_client();
        let public = if itself { PublicPath::NotKnown } else { self.public(&located) };
        let may_be_private = !itself && mode != Mode::Public && !matches!(class, Some(AddressClass::Public));
        let private = if may_be_private { self.private(&answer, &located, &mut missing) } else { Vec::new() };
        let by_private = || any(private.iter().map(|path| &path.trace));
        let (configured, via) = match class {
            _ if itself => (Reachability::Unknown, None),
            Some(AddressClass::None) => (Reachability::Unreachable, None),
            Some(AddressClass::Public) => (public.reachability(), Some(Via::Public)),
            Some(AddressClass::Private) if matches!(answer.obstacle, Some(ZoneObstacle::RecordDiffers { .. })) => {
                (Reachability::Unreachable, Some(Via::Private))
            }
            Some(AddressClass::Private) => (by_private(), Some(Via::Private)),
            _ => match (public.reachability(), by_private()) {
                // Both paths say the same, whichever it takes.
                (one, other) if one == other && mode != Mode::Public => (one, None),
                (one, _) if mode == Mode::Public => (one, Some(Via::Public)),
                _ => (Reachability::Unknown, None),
            },
        };
        let power = self.cluster.power_state.as_ref().and_then(|state| state.code.as_deref());
        let stopped = power.is_some_and(|code| code.eq_ignore_ascii_case("Stopped"));
        let doubts = self.doubts(mode, &located, &public, configured);
        let configured = match configured {
            _ if stopped => Reachability::Unreachable,
            Reachability::Unknown => configured,
            _ if doubts.is_empty() => configured,
            _ => Reachability::Unknown,
        };
        missing.extend(doubts);
        Prediction { configured, via, mode, place: located.place, answer, public, private, stopped, missing }
    }

    /// What leaves open whether the paths mean anything here.
    fn doubts(&self, mode: Mode, located: &Located<'f>, public: &PublicPath, configured: Reachability) -> Vec<Missing> {
        let open = configured == Reachability::Reachable;
        let mut doubts = Vec::new();
        let mut doubt =
            |what: String, decided_by: &str| doubts.push(Missing { what, decided_by: decided_by.to_owned() });
        if !self.leads_to_the_client() && self.is_of_another(mode) {
            doubt(
                format!("whether {} leads to this cluster: it is none of its names", self.host),
                "the scenario's `endpoint`, or a probe",
            );
        }
        let state = self.cluster.provisioning_state.as_deref();
        if let Some(state) = state.filter(|state| NOT_SERVING.iter().any(|known| state.eq_ignore_ascii_case(known)))
            && open
        {
            doubt(
                format!("whether the cluster serves while its provisioningState is {state}"),
                "a later aks/show.json, or a probe",
            );
        }
        let power = self.cluster.power_state.as_ref().and_then(|state| state.code.as_deref());
        let known = |code: &&str| ["Running", "Stopped"].iter().any(|known| code.eq_ignore_ascii_case(known));
        if let Some(power) = power.filter(|code| open && !known(code)) {
            doubt(format!("whether the cluster runs: its powerState is {power}"), "a later aks/show.json, or a probe");
        }
        // <https://learn.microsoft.com/azure/aks/api-server-vnet-integration>: nodes go by the private address.
        let node = located.interface.is_some_and(|interface| is_node(self.facts, interface));
        let not_listed = configured == Reachability::Unreachable && *public != PublicPath::Off;
        if mode == Mode::PublicWithVnetIntegration && node && not_listed {
            doubt(
                "whether this client goes by the private address, as its node does, or by the public name".to_owned(),
                "a probe from there",
            );
        }
        doubts
    }

    /// Whether what is dialled is the client itself: a tunnel, or a forwarder, of which the configuration knows nothing.
    fn leads_to_the_client(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
    }

    /// The network of the API server's private address, or of the cluster's nodes where it has none.
    fn cluster_network(&self) -> Option<ArmId> {
        let of_subnet = || self.cluster.access().subnet_id.as_ref().filter(|id| !id.is_empty()).and_then(ArmId::parent);
        let of_endpoint = || private_endpoint(self.facts)?.subnet.as_ref()?.id.parent();
        let own = if self.cluster.is_vnet_integrated() { of_subnet() } else { None };
        let own = own.or_else(|| if self.cluster.is_private() { of_endpoint() } else { None });
        own.or_else(|| node_network(self.facts))
    }

    fn locate(&self, missing: &mut Vec<Missing>) -> Located<'f> {
        let own_network = self.cluster_network();
        let nowhere = || Located { place: Place::Unknown, point: None, network: None, interface: None };
        let at = |network: Option<&ArmId>, point: Point, interface: Option<&'f NetworkInterface>| {
            let place = match network {
                Some(id) if own_network.as_ref() == Some(id) => Place::ClusterNetwork { network: id.clone() },
                Some(id) => Place::OtherNetwork { network: id.clone() },
                None => Place::Unknown,
            };
            Located { place, point: Some(point), network: network.cloned(), interface }
        };
        let of_interface = |interface: &'f NetworkInterface| {
            let network = self.network.subnet_of_interface(interface).and_then(|id| self.network.network_of_subnet(id));
            at(network, Point::Resource(interface.id.clone()), Some(interface))
        };
        if let Some(name) = &self.standpoint.instance {
            let point = name.parse::<Point>().unwrap_or_else(|_| Point::Resource(ArmId::new(name.as_str())));
            return match azure::interface_of(self.network, &point) {
                Ok(Some(interface)) => of_interface(interface),
                Ok(None) => match azure::network_of(self.network, &point) {
                    Some(network) => at(Some(network), point, None),
                    None => nowhere(),
                },
                Err(error) => {
                    missing.push(Missing {
                        what: format!("the machine {name}: {error}"),
                        decided_by: if self.facts.azure_lists(Kind::NetworkInterface) {
                            "the scenario's `instance`, or facts that are newer than it".to_owned()
                        } else {
                            INTERFACES.to_owned()
                        },
                    });
                    nowhere()
                }
            };
        }
        let own = &self.standpoint.own;
        let only_interface = |address: &IpAddr| {
            let mut holders = self.network.interfaces_with(*address);
            let first = holders.next()?;
            // Two networks may use the same range: then the address alone does not tell.
            holders.next().is_none().then_some(first)
        };
        if let Some(interface) = own.iter().find_map(only_interface) {
            return of_interface(interface);
        }
        let private = own.iter().find(|address| self.classes.of(**address) == AddressClass::Private);
        let public = own.iter().find(|address| self.classes.of(**address) == AddressClass::Public);
        match (private, public) {
            (Some(address), _) if self.standpoint.declared => match self.network.network_holding(*address) {
                Some(network) => at(Some(network), Point::Address(*address), None),
                None if self.network.is_in_a_network(*address) => {
                    missing.push(Missing {
                        what: format!("which network {address} is in: no subnet of the facts holds it, or several do"),
                        decided_by: VIRTUAL_NETWORKS.to_owned(),
                    });
                    nowhere()
                }
                // Without the networks nobody knows what is outside of them.
                None if self.facts.azure.virtual_networks.is_none() => {
                    missing.push(Missing {
                        what: format!("which network {address} is in"),
                        decided_by: VIRTUAL_NETWORKS.to_owned(),
                    });
                    nowhere()
                }
                None => Located {
                    place: Place::OutsideAddress,
                    point: Some(Point::Address(*address)),
                    network: None,
                    interface: None,
                },
            },
            (_, Some(address)) => Located {
                place: Place::Internet,
                point: Some(Point::Address(*address)),
                network: None,
                interface: None,
            },
            _ => nowhere(),
        }
    }

    /// The way to each private address of the API server.
    fn private(&self, answer: &ExpectedAnswer, located: &Located<'f>, missing: &mut Vec<Missing>) -> Vec<PrivatePath> {
        let known = private_addresses(self.facts, self.network);
        // A second private endpoint in another network has an address of its own, and the answer there is that.
        let mut wanted = known.clone();
        let agreed = !matches!(answer.obstacle, Some(ZoneObstacle::RecordDiffers { .. }));
        if agreed && answer.class == Some(AddressClass::Private) && !answer.addresses.is_empty() {
            wanted.clone_from(&answer.addresses);
        }
        if wanted.is_empty() {
            wanted = self.recorded().into_iter().chain(self.dialled_inside()).collect();
            wanted.sort_unstable();
            wanted.dedup();
        }
        if wanted.is_empty() {
            missing.push(if self.cluster.is_vnet_integrated() {
                Missing {
                    what: "the address of the API server's internal load balancer".to_owned(),
                    decided_by: "network/load-balancers.json (Microsoft.Network/loadBalancers/read)".to_owned(),
                }
            } else if private_endpoint(self.facts).is_some() {
                Missing {
                    what: "the address of the private endpoint kube-apiserver".to_owned(),
                    decided_by: INTERFACES.to_owned(),
                }
            } else if self.facts.azure_lists(Kind::PrivateEndpoint) {
                Missing {
                    what: "the address of the private endpoint kube-apiserver, which is not there (or not yet)"
                        .to_owned(),
                    decided_by: "facts that are pulled once the cluster has one".to_owned(),
                }
            } else {
                Missing {
                    what: "the private endpoint kube-apiserver".to_owned(),
                    decided_by: "network/private-endpoints.json (Microsoft.Network/privateEndpoints/read)".to_owned(),
                }
            });
        }
        let Some(from) = &located.point else { return Vec::new() };
        wanted.into_iter().filter_map(|address| self.way_to(from, address, missing)).collect()
    }

    fn way_to(&self, from: &Point, address: IpAddr, missing: &mut Vec<Missing>) -> Option<PrivatePath> {
        let endpoints = self.facts.azure.private_endpoints.iter().flatten();
        let holding = |one: &&PrivateEndpoint| self.network.addresses_of_endpoint(&one.id).any(|own| own == address);
        let endpoint = endpoints.into_iter().filter(holding).max_by_key(|one| leads_here(self.facts, one));
        let balancer = api_server_balancer(self.facts)
            .filter(|one| one.frontend_ip_configurations.iter().any(|front| front.private_ip_address == Some(address)));
        let id = endpoint
            .map(|one| &one.id)
            .or(balancer.map(|one| &one.id))
            .filter(|_| !self.cluster.is_vnet_integrated() || balancer.is_some());
        // By id where there is one: several networks may have the address.
        let to = id.map_or(Point::Address(address), |id| Point::Resource(id.clone()));
        let subnet = endpoint
            .and_then(|one| one.subnet.as_ref())
            .or_else(|| balancer?.frontend_ip_configurations.iter().find_map(|front| front.subnet.as_ref()))
            .map(|one| one.id.clone())
            .or_else(|| self.cluster.access().subnet_id.clone());
        let connections = endpoint.into_iter().flat_map(connections);
        let states: Vec<&str> =
            connections.filter_map(|one| one.private_link_service_connection_state.status.as_deref()).collect();
        let not_approved = states.iter().find(|state| !state.eq_ignore_ascii_case("Approved"));
        let not_approved = not_approved.map(|state| (*state).to_owned());
        match azure::trace(self.network, from, &to, PORT) {
            Ok(mut trace) => {
                if endpoint.is_some() && states.is_empty() && trace.outcome == Outcome::Reachable {
                    trace.outcome = Outcome::Unknown;
                    missing.push(Missing {
                        what: "whether the connection of the private endpoint is approved".to_owned(),
                        decided_by: "network/private-endpoints.json (Microsoft.Network/privateEndpoints/read)"
                            .to_owned(),
                    });
                }
                Some(PrivatePath { endpoint: id.cloned(), subnet, address, not_approved, trace })
            }
            Err(error) => {
                missing.push(Missing {
                    what: format!("the way to {address}: {error}"),
                    decided_by: VIRTUAL_NETWORKS.to_owned(),
                });
                None
            }
        }
    }

    /// Private addresses that the host was seen to have, inside the subnet of the API server or a network of the facts.
    fn dialled_inside(&self) -> impl Iterator<Item = IpAddr> {
        let private = |address: &&IpAddr| self.classes.of(**address) == AddressClass::Private;
        self.endpoint_addresses
            .iter()
            .filter(private)
            .filter(|address| self.network.is_in_a_network(**address))
            .copied()
    }
}

impl Prediction {
    /// One line on what is predicted, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let private = || {
            let open = self.private.iter().filter(|path| path.trace.outcome == Outcome::Reachable).count();
            match self.private.iter().find(|path| path.trace.outcome != Outcome::Reachable) {
                Some(path) => format!("{}: {}", path.address, path.trace.first_rule()),
                None if self.private.is_empty() => "the private path is not known".to_owned(),
                None => format!("{open} of {} private addresses can be reached", self.private.len()),
            }
        };
        let said = match self.via {
            _ if self.stopped => "the cluster is stopped".to_owned(),
            _ if self.answer.class == Some(AddressClass::None) => self.answer.because.clone(),
            // Neither path is in question.
            None if self.answer.class.is_none() && self.private.is_empty() && self.missing.is_empty() => {
                self.answer.because.clone()
            }
            Some(Via::Public) => self.public.words(&WORDS),
            Some(Via::Private) if matches!(self.answer.obstacle, Some(ZoneObstacle::RecordDiffers { .. })) => {
                self.answer.because.clone()
            }
            Some(Via::Private) => private(),
            _ if self.public == PublicPath::Off => format!("{}; {}", self.answer.because, private()),
            _ => format!("{}; {}", self.public.words(&WORDS), private()),
        };
        format!("predicted {}: {said}", self.configured.label())
    }

    /// The hops that stand for the path that is taken: those of the first blocked address, else of the first; or those
    /// of the way out to the public endpoint.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        paths::hops(self.via, &self.public, self.private.iter().map(|path| &path.trace))
    }
}

const WORDS: Words =
    Words { off: "there is no public endpoint", entry: "authorized range", list: "the authorized ranges" };
const API_SERVER: &str = "kube-apiserver";
const INTERFACES: &str = "network/network-interfaces.json (Microsoft.Network/networkInterfaces/read)";
const VIRTUAL_NETWORKS: &str = "network/virtual-networks.json (Microsoft.Network/virtualNetworks/read)";
/// States in which a cluster may not serve; others, such as `Updating`, change nothing.
const NOT_SERVING: [&str; 5] = ["Creating", "Deleting", "Failed", "Starting", "Stopping"];

#[cfg(test)]
mod tests;
