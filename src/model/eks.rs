//! What the configuration of an EKS cluster lets one expect from a standpoint: which answer DNS should give there, and
//! whether the public and the private path let it in. Pure.
//!
//! Rules after <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    Missing, Standpoint,
    network::{Network, Span},
    paths::{self, PORT, Words, any},
    set::{AddressSet, Family},
    trace::{Hop, HopKind, Outcome, Point, Trace, TraceError, trace},
};
use crate::{
    facts::{Facts, ec2, eks},
    report::{Reachability, Via},
};

pub use super::paths::PublicPath;

/// What the configuration says about one cluster from one standpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Whether the path that this standpoint takes lets it in.
    pub configured: Reachability,
    /// The class of address that it takes; `None` when not known.
    pub via: Option<Via>,
    /// Where it is.
    pub place: Place,
    /// What its resolver should answer.
    pub answer: ExpectedAnswer,
    /// The public path.
    pub public: PublicPath,
    /// The private path, one entry a control-plane interface; empty when it is off, or not known.
    pub private: Vec<PrivatePath>,
    /// What is not known, and what would tell.
    pub missing: Vec<Missing>,
}

/// Where a standpoint is in the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the cluster's VPC.
    ClusterVpc,
    /// In another VPC of the facts.
    OtherVpc {
        /// `vpc-…`.
        vpc: String,
    },
    /// At a private address outside all VPCs: behind a VPN, or nowhere that packets find.
    OutsideAddress,
    /// On the internet, at an address of its own.
    Internet,
    /// The facts do not know its addresses.
    Unknown,
}

/// What a resolver should answer at a standpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// Public or private; `None` when that depends on something unknown.
    pub class: Option<AddressClass>,
    /// The addresses, where the facts know them all.
    pub addresses: Vec<IpAddr>,
    /// Why, as what may follow "because".
    pub because: String,
    /// What keeps the private answer from a client in the cluster's VPC.
    pub obstacle: Option<DnsObstacle>,
}

/// What keeps the private answer from clients in the cluster's VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsObstacle {
    /// `enableDnsSupport` is false: the VPC's resolver does not answer.
    SupportDisabled,
    /// `enableDnsHostnames` is false: private zones are not in effect.
    HostnamesDisabled,
    /// The DHCP options name other servers, which may or may not forward.
    OtherServers {
        /// `dopt-…`.
        options: String,
        /// The servers.
        servers: Vec<String>,
    },
}

/// The path to one network interface of the control plane.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivatePath {
    /// `eni-…`.
    pub interface: String,
    /// `subnet-…`.
    pub subnet: Option<String>,
    /// Name of the Availability Zone.
    pub zone: Option<String>,
    /// Its address.
    pub address: IpAddr,
    /// Every rule on the way there and back.
    pub trace: Trace,
}

/// Evaluates the cluster's configuration for one standpoint. `None` when the facts describe no cluster.
#[must_use]
pub fn predict(
    facts: &Facts,
    network: &Network<'_>,
    standpoint: &Standpoint,
    classes: &AddressClasses,
    endpoint_addresses: &[IpAddr],
) -> Option<Prediction> {
    let cluster = facts.cluster.as_ref()?;
    let evaluation = Evaluation { facts, network, cluster, standpoint, classes, endpoint_addresses };
    Some(evaluation.prediction())
}

/// The VPC of a cluster: as it says, else that of its subnets.
#[must_use]
pub fn cluster_vpc(facts: &Facts) -> Option<&str> {
    let config = facts.cluster.as_ref()?.resources_vpc_config.as_ref()?;
    config.vpc_id.as_deref().filter(|id| !id.is_empty()).or_else(|| {
        let subnets = facts.network.subnets.as_deref()?;
        let own = |subnet: &&ec2::Subnet| config.subnet_ids.contains(&subnet.subnet_id);
        subnets.iter().find(own).map(|subnet| subnet.vpc_id.as_str())
    })
}

/// The control plane's network interfaces in the cluster's VPC, in the order of their ids.
#[must_use]
pub fn control_plane_interfaces(facts: &Facts) -> Vec<&ec2::NetworkInterface> {
    let (Some(cluster), Some(interfaces)) = (&facts.cluster, &facts.network.network_interfaces) else {
        return Vec::new();
    };
    let description = cluster.interface_description();
    let vpc = cluster_vpc(facts);
    let mut own: Vec<_> = interfaces
        .iter()
        .filter(|one| one.description.as_deref() == Some(&description))
        .filter(|one| vpc.is_none() || one.vpc_id.as_deref() == vpc)
        // EKS makes and attaches them; a user may write the same description on an interface of their own.
        .filter(|one| one.requester_managed != Some(false))
        .filter(|one| !one.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("available")))
        .collect();
    own.sort_by(|one, other| one.network_interface_id.cmp(&other.network_interface_id));
    own
}

/// The sources that the public endpoint lets in, per the documented default: an empty list is open, to IPv6 as well
/// where the endpoint has it. `None` when the facts do not say.
#[must_use]
pub fn admitted(cluster: &eks::Cluster) -> Option<AddressSet> {
    let cidrs = cluster.resources_vpc_config.as_ref()?.public_access_cidrs.as_ref()?;
    if cidrs.is_empty() {
        return Some(AddressSet::everything());
    }
    Some(AddressSet::from_nets(cidrs.iter().map(|cidr| &cidr.net)))
}

/// The DNS attributes and the DHCP options of a VPC: what keeps private answers from its hosts, as far as the facts
/// say, and what they do not say.
#[must_use]
pub fn dns_obstacle(network: &ec2::Network, vpc: &str) -> (Option<DnsObstacle>, Vec<Missing>) {
    let mut missing = Vec::new();
    let only_vpc = network.vpcs.as_ref().is_some_and(|vpcs| vpcs.len() == 1);
    let attribute = |read: fn(&ec2::VpcAttribute) -> Option<bool>| {
        let of_this = |one: &&ec2::VpcAttribute| match &one.vpc_id {
            Some(id) => id == vpc,
            None => only_vpc,
        };
        network.vpc_attributes.iter().filter(of_this).find_map(read)
    };
    let mut unknown = |name: &str| {
        missing.push(Missing {
            what: format!("{name} of {vpc}"),
            decided_by: format!("ec2/describe-vpc-attribute-{name}.json (ec2:DescribeVpcAttribute)"),
        });
    };
    let support = attribute(|one| one.enable_dns_support);
    let hostnames = attribute(|one| one.enable_dns_hostnames);
    if support.is_none() {
        unknown("enableDnsSupport");
    }
    if hostnames.is_none() {
        unknown("enableDnsHostnames");
    }
    if support == Some(false) {
        return (Some(DnsObstacle::SupportDisabled), missing);
    }
    if hostnames == Some(false) {
        return (Some(DnsObstacle::HostnamesDisabled), missing);
    }
    let options =
        network.vpcs.iter().flatten().find(|one| one.vpc_id == vpc).and_then(|one| one.dhcp_options_id.as_deref());
    let set = options.and_then(|id| network.dhcp_options.iter().flatten().find(|one| one.dhcp_options_id == id));
    match (options, set) {
        // `default` is no set at all: hosts are given no server by DHCP.
        (Some("default"), None) => {
            return (Some(DnsObstacle::OtherServers { options: "default".to_owned(), servers: Vec::new() }), missing);
        }
        (_, None) => missing.push(Missing {
            what: format!("the DHCP options of {vpc}"),
            decided_by: "ec2/describe-dhcp-options.json (ec2:DescribeDhcpOptions)".to_owned(),
        }),
        (Some(id), Some(set)) => {
            let servers: Vec<String> = set
                .dhcp_configurations
                .iter()
                .filter(|option| option.key == "domain-name-servers")
                .flat_map(|option| option.values.iter().map(|value| value.value.clone()))
                .collect();
            let amazon = |server: &String| server == "AmazonProvidedDNS" || is_amazon_resolver(network, vpc, server);
            if !servers.iter().any(amazon) {
                return (Some(DnsObstacle::OtherServers { options: id.to_owned(), servers }), missing);
            }
        }
        (None, Some(_)) => {}
    }
    (None, missing)
}

/// The VPC's own resolver by address: base + 2 of a range, or a link-local one
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html>).
fn is_amazon_resolver(network: &ec2::Network, vpc: &str, server: &str) -> bool {
    let Ok(server) = server.parse::<IpAddr>() else { return false };
    if [IpAddr::from([169, 254, 169, 253]), IpAddr::from([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253])].contains(&server) {
        return true;
    }
    let Some(vpc) = network.vpcs.iter().flatten().find(|one| one.vpc_id == vpc) else { return false };
    // Of the primary range only.
    vpc.cidr_block.as_ref().and_then(|range| range.net.hosts().nth(1)) == Some(server)
}

struct Evaluation<'e, 'f> {
    facts: &'f Facts,
    network: &'e Network<'f>,
    cluster: &'f eks::Cluster,
    standpoint: &'e Standpoint,
    classes: &'e AddressClasses,
    /// Public addresses of the endpoint, where they are known.
    endpoint_addresses: &'e [IpAddr],
}

impl Evaluation<'_, '_> {
    fn prediction(&self) -> Prediction {
        let mut missing = Vec::new();
        let config = self.cluster.resources_vpc_config.as_ref();
        let (public_on, private_on) = (
            config.and_then(|config| config.endpoint_public_access),
            config.and_then(|config| config.endpoint_private_access),
        );
        for (flag, name) in [(public_on, "endpointPublicAccess"), (private_on, "endpointPrivateAccess")] {
            if flag.is_none() {
                missing.push(Missing {
                    what: format!("resourcesVpcConfig.{name}"),
                    decided_by: "eks/describe-cluster.json (eks:DescribeCluster)".to_owned(),
                });
            }
        }
        let (place, point) = locate(self.facts, self.standpoint, self.classes, &mut missing);
        let answer = self.answer(&place, public_on, private_on, &mut missing);
        let (private, complete) =
            if private_on == Some(true) { self.private(point.as_ref(), &mut missing) } else { (Vec::new(), true) };
        let by_private = || match any(private.iter().map(|path| &path.trace)) {
            // Of an interface that nothing is known of it may be the one that lets in.
            Reachability::Unreachable if !complete => Reachability::Unknown,
            other => other,
        };
        let public = self.public(public_on, &place, point.as_ref());
        // What the client's own resolver gave settles which path it takes where the facts do not.
        let seen = self.standpoint.answer.filter(|class| matches!(class, AddressClass::Public | AddressClass::Private));
        let class = answer.class.or(seen);
        let (configured, via) = match class {
            _ if matches!(answer.obstacle, Some(DnsObstacle::SupportDisabled)) => (Reachability::Unreachable, None),
            Some(AddressClass::Public) => (public.reachability(), Some(Via::Public)),
            Some(AddressClass::Private) if private_on == Some(false) => (Reachability::Unreachable, Some(Via::Private)),
            Some(AddressClass::Private) => (by_private(), Some(Via::Private)),
            _ => match (public.reachability(), by_private()) {
                // Both paths say the same, whichever it takes.
                (one, other) if one == other => (one, None),
                (one, _) if private_on == Some(false) => (one, Some(Via::Public)),
                _ => (Reachability::Unknown, None),
            },
        };
        let serving = |status: &str| ["ACTIVE", "UPDATING"].iter().any(|known| status.eq_ignore_ascii_case(known));
        let status = self.cluster.status.as_deref().filter(|status| !serving(status));
        if let (Some(status), Reachability::Reachable) = (status, configured) {
            missing.push(Missing {
                what: format!("whether the cluster serves while its status is {status}"),
                decided_by: "a later eks/describe-cluster.json, or a probe".to_owned(),
            });
            return Prediction { configured: Reachability::Unknown, via, place, answer, public, private, missing };
        }
        Prediction { configured, via, place, answer, public, private, missing }
    }

    fn answer(
        &self,
        place: &Place,
        public_on: Option<bool>,
        private_on: Option<bool>,
        missing: &mut Vec<Missing>,
    ) -> ExpectedAnswer {
        let private_addresses =
            || control_plane_interfaces(self.facts).iter().filter_map(|one| one.private_ip_address).collect();
        let expected = |class, because: &str| ExpectedAnswer {
            class: Some(class),
            addresses: if class == AddressClass::Private { private_addresses() } else { Vec::new() },
            because: because.to_owned(),
            obstacle: None,
        };
        let unknown =
            |because: String, obstacle| ExpectedAnswer { class: None, addresses: Vec::new(), because, obstacle };
        let (Some(public_on), Some(private_on)) = (public_on, private_on) else {
            return unknown("the facts do not say which endpoints are on".to_owned(), None);
        };
        if let Place::OtherVpc { vpc } = place
            && let (Some(obstacle @ DnsObstacle::SupportDisabled), _) = dns_obstacle(&self.facts.network, vpc)
        {
            return unknown(
                format!("enableDnsSupport of {vpc} is false: its resolver does not answer"),
                Some(obstacle),
            );
        }
        let obstacle = match (place, cluster_vpc(self.facts)) {
            (Place::ClusterVpc, Some(vpc)) if private_on => {
                let (obstacle, unknowns) = dns_obstacle(&self.facts.network, vpc);
                missing.extend(unknowns);
                obstacle
            }
            _ => None,
        };
        match (public_on, private_on) {
            (true, false) => {
                expected(AddressClass::Public, "private access is off: every resolver answers with public addresses")
            }
            (false, true) => ExpectedAnswer {
                obstacle,
                ..expected(
                    AddressClass::Private,
                    "public access is off: public DNS answers with the private addresses, too",
                )
            },
            (false, false) => unknown("both endpoints are off".to_owned(), None),
            (true, true) => match (place, obstacle) {
                (Place::ClusterVpc, None)
                    if missing.iter().any(|one| one.what.contains("enableDns") || one.what.contains("DHCP")) =>
                {
                    unknown("the facts do not hold the DNS settings of the VPC".to_owned(), None)
                }
                (Place::ClusterVpc, None) => expected(
                    AddressClass::Private,
                    "private access is on and the VPC's DNS settings let it take effect",
                ),
                (Place::ClusterVpc, Some(obstacle)) => match obstacle {
                    DnsObstacle::HostnamesDisabled => ExpectedAnswer {
                        obstacle: Some(obstacle),
                        ..expected(
                            AddressClass::Public,
                            "enableDnsHostnames is false: the private zone is not in effect in the VPC",
                        )
                    },
                    DnsObstacle::SupportDisabled => unknown(
                        "enableDnsSupport is false: the VPC's resolver does not answer".to_owned(),
                        Some(obstacle),
                    ),
                    DnsObstacle::OtherServers { ref servers, .. } if servers.is_empty() => {
                        unknown("the DHCP options hand out no resolver".to_owned(), Some(obstacle))
                    }
                    DnsObstacle::OtherServers { ref servers, .. } => {
                        let because = format!(
                            "the DHCP options name other servers ({}), which may forward or not",
                            servers.join(", ")
                        );
                        unknown(because, Some(obstacle))
                    }
                },
                (Place::OtherVpc { .. } | Place::OutsideAddress, _) => expected(
                    AddressClass::Public,
                    "the private zone covers the cluster's own VPC only, unless its resolver forwards to that VPC",
                ),
                (Place::Internet, _) => expected(AddressClass::Public, "the client is on the internet"),
                (Place::Unknown, _) => unknown("where the client is, is not known".to_owned(), None),
            },
        }
    }

    /// The way to each interface, and whether that is all of them.
    fn private(&self, from: Option<&Point>, missing: &mut Vec<Missing>) -> (Vec<PrivatePath>, bool) {
        let interfaces = control_plane_interfaces(self.facts);
        if interfaces.is_empty() {
            missing.push(Missing {
                what: format!(
                    "the control plane's network interfaces (description `{}`)",
                    self.cluster.interface_description()
                ),
                decided_by: "ec2/describe-network-interfaces.json (ec2:DescribeNetworkInterfaces)".to_owned(),
            });
        }
        let Some(from) = from else { return (Vec::new(), false) };
        let all = interfaces.len();
        let paths: Vec<PrivatePath> = interfaces
            .into_iter()
            .filter_map(|interface| {
                let to = Point::Interface(interface.network_interface_id.clone());
                Some(PrivatePath {
                    interface: interface.network_interface_id.clone(),
                    subnet: interface.subnet_id.clone(),
                    zone: interface.availability_zone.clone(),
                    address: interface.private_ip_address?,
                    trace: trace(self.network, from, &to, PORT).ok()?,
                })
            })
            .collect();
        let complete = paths.len() == all;
        if !complete {
            missing.push(Missing {
                what: format!("the way to {} of {all} interfaces of the control plane", all - paths.len()),
                decided_by: "their addresses and subnets in ec2/describe-network-interfaces.json".to_owned(),
            });
        }
        (paths, complete)
    }

    fn public(&self, on: Option<bool>, place: &Place, from: Option<&Point>) -> PublicPath {
        match on {
            Some(false) => return PublicPath::Off,
            None => return PublicPath::NotKnown,
            Some(true) => {}
        }
        let Some(admitted) = admitted(self.cluster) else { return PublicPath::NotKnown };
        let mut egress: Vec<IpAddr> = Vec::new();
        match (place, from) {
            (Place::ClusterVpc | Place::OtherVpc { .. }, Some(from)) => {
                match way_out(self.network, from, self.endpoint_addresses, self.classes) {
                    Ok(way) => match way.outcome {
                        Outcome::Reachable => egress = way.source_seen,
                        Outcome::Blocked => return PublicPath::NoWayOut(Box::new(way)),
                        Outcome::Unknown => return PublicPath::WayOutNotKnown(Box::new(way)),
                    },
                    Err(_) => return PublicPath::NotKnown,
                }
            }
            // By which address it is seen is declared or was observed.
            _ if !self.standpoint.egress.is_empty() => {
                let config = self.cluster.resources_vpc_config.as_ref();
                let entries = config.and_then(|config| config.public_access_cidrs.as_ref()).into_iter().flatten();
                egress = paths::representatives(&self.standpoint.egress, entries.map(|cidr| cidr.net));
            }
            // The scenario says where it is, and the facts do not know that place: nor whether it has a way out.
            (Place::Unknown, _) if self.standpoint.declared => return PublicPath::EgressNotKnown,
            _ => egress.extend(self.standpoint.own.iter().filter(|one| self.classes.of(**one) == AddressClass::Public)),
        }
        let dual_stack = self.cluster.kubernetes_network_config.as_ref().and_then(|config| config.ip_family.as_deref())
            == Some("ipv6");
        if !dual_stack && !egress.is_empty() {
            // Such an endpoint has IPv4 addresses only: who has none of those needs a translator to get there.
            egress.retain(IpAddr::is_ipv4);
            if egress.is_empty() {
                return PublicPath::EgressNotKnown;
            }
        }
        let open = |family| admitted.is_everything(family);
        if open(Family::V4) && (!dual_stack || open(Family::V6)) {
            return PublicPath::Open;
        }
        if egress.is_empty() || (self.standpoint.behind_proxy && self.standpoint.egress.is_empty()) {
            return PublicPath::EgressNotKnown;
        }
        let (listed, unlisted): (Vec<IpAddr>, Vec<IpAddr>) =
            egress.into_iter().partition(|one| admitted.contains(*one));
        match (listed.first(), unlisted.is_empty()) {
            (None, _) => PublicPath::NotListed { egress: unlisted },
            (Some(first), true) => PublicPath::Listed { egress: *first, entry: self.entry(*first) },
            (Some(_), false) => PublicPath::PartlyListed { listed, unlisted },
        }
    }

    /// The entry that holds the address, as the provider prints it.
    fn entry(&self, address: IpAddr) -> String {
        let config = self.cluster.resources_vpc_config.as_ref();
        let cidrs = config.and_then(|config| config.public_access_cidrs.as_ref());
        let holds = |cidr: &&crate::facts::Cidr| cidr.net.contains(&address);
        cidrs.into_iter().flatten().find(holds).map_or_else(String::new, |cidr| cidr.text.clone())
    }
}

/// Where the standpoint is, and the point of the facts that a trace begins at.
pub(super) fn locate(
    facts: &Facts,
    standpoint: &Standpoint,
    classes: &AddressClasses,
    missing: &mut Vec<Missing>,
) -> (Place, Option<Point>) {
    let vpc = cluster_vpc(facts);
    let in_vpc = |id: Option<&str>| match id {
        Some(id) if Some(id) == vpc => Place::ClusterVpc,
        // Which VPC the cluster is in must be known before another can be told from it.
        Some(id) if vpc.is_some() => Place::OtherVpc { vpc: id.to_owned() },
        Some(_) | None => Place::Unknown,
    };
    if vpc.is_none() {
        missing.push(Missing {
            what: "the cluster's VPC".to_owned(),
            decided_by: "vpcId in eks/describe-cluster.json, or its subnets in ec2/describe-subnets.json".to_owned(),
        });
    }
    if let Some(id) = &standpoint.instance {
        let instance = facts.network.instances.iter().flatten().find(|one| one.instance_id == *id);
        let attached = |one: &&ec2::NetworkInterface| {
            one.attachment.as_ref().is_some_and(|attachment| attachment.instance_id.as_deref() == Some(id))
        };
        let interface = facts.network.network_interfaces.iter().flatten().find(attached);
        let vpc_id =
            instance.and_then(|one| one.vpc_id.as_deref()).or_else(|| interface.and_then(|one| one.vpc_id.as_deref()));
        if instance.is_none() && interface.is_none() {
            missing.push(match &facts.network.instances {
                Some(_) => Missing {
                    what: format!("the instance {id}, which the facts do not hold"),
                    decided_by: "the scenario's `instance`, or facts that are newer than it".to_owned(),
                },
                None => Missing {
                    what: format!("the instance {id}"),
                    decided_by: "ec2/describe-instances.json (ec2:DescribeInstances)".to_owned(),
                },
            });
            return (Place::Unknown, None);
        }
        return (in_vpc(vpc_id), Some(Point::Instance(id.clone())));
    }
    let own = &standpoint.own;
    let interface = |address: &IpAddr| {
        let mut holders = facts.network.network_interfaces.iter().flatten().filter(|one| has(one, *address));
        let first = holders.next()?;
        // Two VPCs may use the same range: then the address alone does not tell.
        holders.next().is_none().then_some(first)
    };
    if let Some(found) = own.iter().find_map(interface) {
        return (in_vpc(found.vpc_id.as_deref()), Some(Point::Interface(found.network_interface_id.clone())));
    }
    let private = own.iter().find(|address| classes.of(**address) == AddressClass::Private);
    let public = own.iter().find(|address| classes.of(**address) == AddressClass::Public);
    match (private, public) {
        (Some(address), _) if standpoint.declared => {
            let mut holders = facts.network.subnets.iter().flatten().filter(|one| covers(one, *address));
            match (holders.next(), holders.next()) {
                (Some(one), None) => (in_vpc(Some(&one.vpc_id)), Some(Point::Address(*address))),
                (None, _) if in_a_vpc(facts, *address) => {
                    missing.push(Missing {
                        what: format!("the subnet of {address}, which is in a VPC's range"),
                        decided_by: "ec2/describe-subnets.json (ec2:DescribeSubnets)".to_owned(),
                    });
                    (Place::Unknown, None)
                }
                (None, _) => (Place::OutsideAddress, Some(Point::Address(*address))),
                _ => (Place::Unknown, None),
            }
        }
        (_, Some(address)) => (Place::Internet, Some(Point::Address(*address))),
        _ => (Place::Unknown, None),
    }
}

impl Prediction {
    /// One line on what is predicted, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let public = || self.public.words(&WORDS);
        let private = || {
            let reachable = self.private.iter().filter(|path| path.trace.outcome == Outcome::Reachable).count();
            let count = format!("{reachable} of {} control-plane interfaces can be reached", self.private.len());
            match self.private.iter().find(|path| path.trace.outcome != Outcome::Reachable) {
                Some(path) => format!("{count}: {}", path.trace.first_rule()),
                None if self.private.is_empty() => "the private path is not known".to_owned(),
                None => count,
            }
        };
        let said = match self.via {
            Some(Via::Public) => public(),
            Some(Via::Private) => private(),
            _ => match self.answer.obstacle {
                Some(DnsObstacle::SupportDisabled) => self.answer.because.clone(),
                _ => format!("{}; {}", public(), private()),
            },
        };
        format!("predicted {}: {said}", self.configured.label())
    }

    /// The private paths that are closed, where that is the way and others are open.
    #[must_use]
    pub fn closed_in_part(&self) -> Option<Vec<&PrivatePath>> {
        let of = |outcome| self.private.iter().filter(move |path| path.trace.outcome == outcome);
        let closed: Vec<_> = of(Outcome::Blocked).collect();
        let in_part = self.via == Some(Via::Private) && !closed.is_empty() && of(Outcome::Reachable).next().is_some();
        in_part.then_some(closed)
    }

    /// The hops that stand for the path that is taken: those of the first blocked interface, else of the first; or
    /// those of the way out to the public endpoint.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        paths::hops(self.via, &self.public, self.private.iter().map(|path| &path.trace))
    }
}

/// The way from an interface to the endpoint on the internet: to each of its known public addresses. Where none is
/// known, to places all over the internet; what tells those apart, or might, leaves the way unknown.
pub(super) fn way_out(
    network: &Network<'_>,
    from: &Point,
    known: &[IpAddr],
    classes: &AddressClasses,
) -> Result<Trace, TraceError> {
    let known: Vec<IpAddr> = known.iter().copied().filter(|one| classes.of(*one) == AddressClass::Public).collect();
    let assumed = known.is_empty();
    let targets = match known {
        known if !known.is_empty() => known,
        // One stands for all where nothing in the facts tells them apart.
        _ if network.tells_apart(&SOME_PUBLIC_ADDRESSES.map(|one| Span::of(&IpNet::from(IpAddr::V4(one))))) => {
            SOME_PUBLIC_ADDRESSES.map(IpAddr::V4).to_vec()
        }
        _ => vec![IpAddr::V4(SOME_PUBLIC_ADDRESSES[0])],
    };
    let mut ways = Vec::with_capacity(targets.len());
    for target in targets.iter().take(MOST_TARGETS) {
        ways.push(trace(network, from, &Point::Address(*target), PORT)?);
    }
    let same = ways.iter().all(|way| way.outcome == ways[0].outcome);
    // A filter that names ranges may name the endpoint's, which nobody knows.
    let filtered = |way: &Trace| {
        way.blockers().any(|hop| matches!(hop.kind, HopKind::SecurityGroup | HopKind::NetworkAcl))
            && way.blockers().all(|hop| matches!(hop.kind, HopKind::SecurityGroup | HopKind::NetworkAcl))
    };
    let unclear = !same || (assumed && filtered(&ways[0]));
    // The one that is not open says more.
    let place = ways.iter().position(|way| way.outcome != Outcome::Reachable).unwrap_or(0);
    let mut way = ways.swap_remove(place);
    if unclear {
        way.outcome = Outcome::Unknown;
        way.notes
            .push("the endpoint's addresses are not known, or not all alike: list them under `addresses`".to_owned());
    }
    Ok(way)
}

/// Whether some VPC of the facts has the address in its range.
fn in_a_vpc(facts: &Facts, address: IpAddr) -> bool {
    facts.network.vpcs.iter().flatten().any(|vpc| {
        let ranges = vpc.cidr_block_association_set.iter().filter_map(|one| one.cidr_block.as_ref());
        let six = vpc.ipv6_cidr_block_association_set.iter().filter_map(|one| one.ipv6_cidr_block.as_ref());
        vpc.cidr_block.iter().chain(ranges).chain(six).any(|range| range.net.contains(&address))
    })
}

fn has(interface: &ec2::NetworkInterface, address: IpAddr) -> bool {
    interface.private_ip_address == Some(address)
        || interface.private_ip_addresses.iter().any(|one| {
            one.private_ip_address == Some(address)
                || one.association.as_ref().is_some_and(|public| public.public_ip == Some(address))
        })
        || interface.association.as_ref().is_some_and(|public| public.public_ip == Some(address))
        || interface.ipv6_addresses.iter().any(|one| one.ipv6_address == Some(address))
}

fn covers(subnet: &ec2::Subnet, address: IpAddr) -> bool {
    let ranges = subnet
        .cidr_block
        .iter()
        .chain(subnet.ipv6_cidr_block_association_set.iter().filter_map(|one| one.ipv6_cidr_block.as_ref()));
    ranges.into_iter().any(|range| range.net.contains(&address))
}

const WORDS: Words =
    Words { off: "public access is off", entry: "entry of publicAccessCidrs", list: "publicAccessCidrs" };
/// Stand for the public endpoint where its addresses are not known: blocks of the provider's, far from each other.
const SOME_PUBLIC_ADDRESSES: [Ipv4Addr; 5] = [
    Ipv4Addr::new(3, 120, 0, 1),
    Ipv4Addr::new(18, 200, 0, 1),
    Ipv4Addr::new(34, 240, 0, 1),
    Ipv4Addr::new(52, 0, 0, 1),
    Ipv4Addr::new(99, 80, 0, 1),
];
const MOST_TARGETS: usize = 16;
