//! What the configuration lets one expect of the EKS management API (`eks.<region>.amazonaws.com`) from a standpoint. Pure.
//!
//! It is a target of its own: nothing here says anything of the Kubernetes API. Rules after
//! <https://docs.aws.amazon.com/eks/latest/userguide/vpc-interface-endpoints.html>.

use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    Missing, Standpoint,
    eks::{DnsObstacle, Place, dns_obstacle, locate, way_out},
    network::Network,
    paths::PORT,
    trace::{Outcome, Point, Trace, trace},
};
use crate::{
    facts::{Facts, ec2},
    report::{Reachability, Via},
};

/// What the configuration says about the management API from one standpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagementPrediction {
    /// Whether it can be reached.
    pub configured: Reachability,
    /// The class of address that is taken; `None` when not known.
    pub via: Option<Via>,
    /// Where the client is.
    pub place: Place,
    /// The VPC of the client, when it is in one of the facts.
    pub vpc: Option<String>,
    /// The interface endpoint of the client's VPC; `None` where there is none, or the facts do not say.
    pub endpoint: Option<Endpoint>,
    /// Whether the facts say which endpoints there are.
    pub endpoints_known: bool,
    /// What keeps the endpoint's private name from being answered in the client's VPC.
    pub obstacle: Option<DnsObstacle>,
    /// The way to each interface of the endpoint.
    pub interfaces: Vec<(String, Trace)>,
    /// The way to the internet, where that is what is taken.
    pub way_out: Option<Trace>,
    /// What is not known, and what would tell.
    pub missing: Vec<Missing>,
}

/// An interface endpoint of the management API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `vpce-…`.
    pub id: String,
    /// Its state, as the provider writes it.
    pub state: Option<String>,
    /// Whether the service's ordinary name leads to it.
    pub private_dns: Option<bool>,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Its interfaces.
    pub interfaces: Vec<String>,
}

impl Endpoint {
    fn of(endpoint: &ec2::VpcEndpoint) -> Self {
        Self {
            id: endpoint.vpc_endpoint_id.clone(),
            state: endpoint.state.clone(),
            private_dns: endpoint.private_dns_enabled,
            groups: endpoint.groups.iter().filter_map(|group| group.group_id.clone()).collect(),
            interfaces: endpoint.network_interface_ids.0.clone(),
        }
    }

    /// Whether it is in service.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("available"))
    }
}

/// Evaluates the facts for the management API. `None` when the facts describe no cluster.
#[must_use]
pub fn predict(
    facts: &Facts,
    network: &Network<'_>,
    standpoint: &Standpoint,
    classes: &AddressClasses,
) -> Option<ManagementPrediction> {
    facts.cluster.as_ref()?;
    let mut missing = Vec::new();
    let (place, point) = locate(facts, standpoint, classes, &mut missing);
    let vpc = match &place {
        Place::ClusterVpc => super::eks::cluster_vpc(facts).map(str::to_owned),
        Place::OtherVpc { vpc } => Some(vpc.clone()),
        Place::OutsideAddress | Place::Internet | Place::Unknown => None,
    };
    let endpoints = facts.network.vpc_endpoints.as_deref();
    if endpoints.is_none() && vpc.is_some() {
        missing.push(Missing {
            what: "whether the VPC has an interface endpoint of the EKS API".to_owned(),
            decided_by: "ec2/describe-vpc-endpoints.json (ec2:DescribeVpcEndpoints)".to_owned(),
        });
    }
    let endpoint = vpc.as_ref().and_then(|vpc| management_endpoint(&facts.network, vpc)).map(Endpoint::of);
    let (obstacle, unknown) = match (&vpc, &endpoint) {
        (Some(vpc), Some(_)) => dns_obstacle(&facts.network, vpc),
        _ => (None, Vec::new()),
    };
    missing.extend(unknown);
    let mut prediction = ManagementPrediction {
        configured: Reachability::Unknown,
        via: None,
        place,
        vpc,
        endpoint,
        endpoints_known: endpoints.is_some(),
        obstacle,
        interfaces: Vec::new(),
        way_out: None,
        missing,
    };
    let private = prediction.endpoint.as_ref().is_some_and(|endpoint| {
        endpoint.is_available() && endpoint.private_dns == Some(true) && prediction.obstacle.is_none()
    });
    match (&point, private || standpoint.answer == Some(AddressClass::Private)) {
        (Some(from), true) => {
            prediction.via = Some(Via::Private);
            let ids = prediction.endpoint.as_ref().map(|endpoint| endpoint.interfaces.clone()).unwrap_or_default();
            prediction.interfaces = ids
                .into_iter()
                .filter_map(|id| Some((id.clone(), trace(network, from, &Point::Interface(id), PORT).ok()?)))
                .collect();
            prediction.configured = any(&prediction.interfaces);
        }
        (Some(from), false) if prediction.vpc.is_some() && prediction.endpoints_known => {
            prediction.via = Some(Via::Public);
            prediction.way_out = way_out(network, from, &[], classes).ok();
            prediction.configured = match prediction.way_out.as_ref().map(|way| way.outcome) {
                Some(Outcome::Reachable) => Reachability::Reachable,
                Some(Outcome::Blocked) => Reachability::Unreachable,
                Some(Outcome::Unknown) | None => Reachability::Unknown,
            };
        }
        // The public API lets everybody in; who may call what is another matter.
        _ if prediction.place == Place::Internet => {
            (prediction.via, prediction.configured) = (Some(Via::Public), Reachability::Reachable);
        }
        _ => {}
    }
    Some(prediction)
}

/// The interface endpoint of the management API in a VPC.
#[must_use]
pub fn management_endpoint<'f>(network: &'f ec2::Network, vpc: &str) -> Option<&'f ec2::VpcEndpoint> {
    network.vpc_endpoints.iter().flatten().find(|endpoint| {
        endpoint.vpc_id.as_deref() == Some(vpc)
            && endpoint
                .service_name
                .as_deref()
                .is_some_and(|name| name.rsplit('.').next() == Some("eks") && name.contains("amazonaws"))
    })
}

/// The host of the management API in a region
/// (<https://docs.aws.amazon.com/general/latest/gr/eks.html>).
#[must_use]
pub fn management_host(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("eks.{region}.{suffix}")
}

impl ManagementPrediction {
    /// One line on what is predicted, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let rule = |trace: &Trace| {
            let hop = trace.blockers().next().or_else(|| trace.unknowns().next());
            hop.map_or_else(|| "open".to_owned(), |hop| format!("{}: {}", hop.component, hop.rule))
        };
        let said = match (&self.via, &self.way_out, self.interfaces.first()) {
            (Some(Via::Private), _, Some((_, trace))) => format!("by the interface endpoint: {}", rule(trace)),
            (Some(Via::Private), ..) => "by the interface endpoint, whose interfaces are not in the facts".to_owned(),
            (Some(Via::Public), Some(way), _) => format!("over the internet: {}", rule(way)),
            (Some(Via::Public), ..) => "over the internet".to_owned(),
            _ => "by which path is not known".to_owned(),
        };
        format!("predicted {}: {said}", self.configured.label())
    }
}

fn any(interfaces: &[(String, Trace)]) -> Reachability {
    let outcome = |wanted| interfaces.iter().any(|(_, trace)| trace.outcome == wanted);
    if outcome(Outcome::Reachable) {
        Reachability::Reachable
    } else if interfaces.is_empty() || outcome(Outcome::Unknown) {
        Reachability::Unknown
    } else {
        Reachability::Unreachable
    }
}
