//! What a cluster's configuration shows by itself: no packet is sent, no clock but the one that is given is read.
//!
//! The causes' functions over a [`ConfigurationView`] stand in the submodules. Each signs once for each thing that is
//! wrong, or for all of a kind together, and says nothing of what the facts do not hold.

pub(super) mod aks;
pub mod aks_summary;
pub(super) mod aks_zones;
pub(super) mod allow_lists;
pub(super) mod azure;
pub(super) mod endpoint;
pub(super) mod gaps;
pub(super) mod limits;
pub(super) mod management;
pub(super) mod network;
mod nodes;
mod outbound;
pub(super) mod ranges;
pub mod summary;
#[cfg(test)]
mod tests;
pub(super) mod words;

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Cause, Signing, Told, all, sources};
use crate::{
    facts::{
        self, Facts,
        aks::ManagedCluster,
        ec2::{Permission, RouteTable, SecurityGroup, Subnet, Vpc},
        eks,
    },
    report::{Confidence, Finding, Provider, Severity},
    scenario::Intent,
};

/// Everything that a cause of the configuration may look at: one cluster, as it is stored or as it is planned.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationView<'a> {
    /// Name of the cluster in the scenario; the provider's name where there is no scenario.
    pub cluster: &'a str,
    /// What the provider says.
    pub facts: &'a Facts,
    /// What should be.
    pub intent: Option<&'a Intent>,
    /// Vantages whose address is known, so that a finding can name whom it cuts off.
    pub vantages: &'a [KnownVantage],
    /// PEM text of the certificate authorities that the kubeconfig trusts, where one was read.
    pub kubeconfig_ca: Option<&'a str>,
    /// The facts are a plan that the provider has not accepted yet: what it would refuse is an error.
    pub planned: bool,
    /// For which command.
    pub strictness: Strictness,
    /// The clock.
    pub now: Timestamp,
}

/// How bad a difference from the intent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// `facts lint`: a list that lets in more than intended is a warning.
    Lint,
    /// `verify` and `predict`: it is an error.
    Verify,
}

/// A vantage and the addresses that the cluster would see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownVantage {
    /// Name in the scenario.
    pub name: String,
    /// Its own and its egress addresses, as far as they are known.
    pub addresses: Vec<IpAddr>,
}

/// Asks every cause that a configuration can show, once; the worst findings first, the surer before the less sure.
///
/// The findings name the cluster and no vantage, because they hold for all of them.
#[must_use]
pub fn lint(view: &ConfigurationView<'_>) -> Vec<Finding> {
    let mut signed: Vec<(usize, &'static Cause, Told)> = all()
        .enumerate()
        .filter(|(_, cause)| view.concerns(cause.code))
        .filter_map(|(place, cause)| Some((place, cause, cause.configuration?)))
        .flat_map(|(place, cause, ask)| ask(view).into_iter().map(move |told| (place, cause, told)))
        .collect();
    let silenced: Vec<&str> = SILENCES
        .iter()
        .filter(|(specific, _)| signed.iter().any(|(_, cause, _)| cause.code == *specific))
        .map(|(_, general)| *general)
        .collect();
    signed.retain(|(_, cause, _)| !silenced.contains(&cause.code));
    let severity = |cause: &Cause, told: &Told| told.severity.unwrap_or(cause.severity);
    signed.sort_by_key(|(place, cause, told)| {
        (severity(cause, told), told.confidence.unwrap_or(Confidence::Likely), *place)
    });
    signed
        .into_iter()
        .map(|(_, cause, told)| {
            let severity = severity(cause, &told);
            let mut finding = told.signed(&Signing {
                cause,
                severity,
                cluster: view.cluster,
                vantage: None,
                provider: view.provider(),
                fill_in: &|text| words::filled_in(view, text),
            });
            // What holds for both providers is documented by each.
            if view.provider() == Provider::Aks && cause.docs.starts_with(DOCS_OF_AWS) {
                finding.docs = Some(sources::AKS_RANGES.to_owned());
            }
            finding
        })
        .collect()
}

impl<'a> ConfigurationView<'a> {
    /// Whose cluster it is. Facts that describe none are of whoever else they speak of; EKS where they say nothing.
    #[must_use]
    pub fn provider(&self) -> Provider {
        let Facts { cluster, managed_cluster, manifest, azure, .. } = self.facts;
        let pulled_of = |name: &str| manifest.as_ref().is_some_and(|manifest| is(manifest.provider.as_deref(), name));
        let speaks_of_azure = || *azure != facts::azure::Network::default() && !pulled_of("eks");
        if cluster.is_none() && (managed_cluster.is_some() || pulled_of("aks") || speaks_of_azure()) {
            Provider::Aks
        } else {
            Provider::Eks
        }
    }

    /// Whether a code is of this provider, or of all.
    fn concerns(&self, code: &str) -> bool {
        let others: &[&str] = match self.provider() {
            Provider::Aks => &["eks-", "vpc-"],
            _ => &["aks-", "azure-"],
        };
        !others.iter().any(|prefix| code.starts_with(prefix))
    }

    /// `az aks show`.
    fn aks(&self) -> Option<&'a ManagedCluster> {
        self.facts.managed_cluster.as_ref().filter(|_| self.facts.cluster.is_none())
    }

    /// `describe-cluster`.
    fn eks(&self) -> Option<&'a eks::Cluster> {
        self.facts.cluster.as_ref()
    }

    /// `resourcesVpcConfig`.
    fn config(&self) -> Option<&'a eks::VpcConfig> {
        self.eks()?.resources_vpc_config.as_ref()
    }

    /// Whether there is a public endpoint; `None` when the facts do not say. An AKS cluster has one unless it is private
    /// or its `publicNetworkAccess` is `Disabled`; without the field it is `Enabled`
    /// (<https://learn.microsoft.com/azure/templates/microsoft.containerservice/managedclusters>).
    fn public_access(&self) -> Option<bool> {
        match self.aks() {
            Some(cluster) => Some(!cluster.is_private() && !is(cluster.public_network_access.as_deref(), "Disabled")),
            None => self.config()?.endpoint_public_access,
        }
    }

    /// Whether the API server has private addresses, which the nodes use then; `None` when the facts do not say. An AKS
    /// cluster has them when it is private or VNet-integrated.
    fn private_access(&self) -> Option<bool> {
        match self.aks() {
            Some(cluster) => Some(cluster.is_private() || cluster.is_vnet_integrated()),
            None => self.config()?.endpoint_private_access,
        }
    }

    /// Whether the nodes come by the public endpoint: there is no private way, or only one that is not in effect yet.
    fn nodes_come_publicly(&self) -> bool {
        self.private_access() == Some(false) || self.integration_pending()
    }

    /// Whether an AKS cluster that was public gets VNet integration, which takes effect only after a restart; until then
    /// its nodes come by the public endpoint (<https://learn.microsoft.com/azure/aks/api-server-vnet-integration>).
    fn integration_pending(&self) -> bool {
        let was = self.facts.earlier.as_ref();
        was.is_some_and(|earlier| !earlier.is_vnet_integrated() && !earlier.is_private())
            && self.aks().is_some_and(ManagedCluster::is_vnet_integrated)
    }

    /// The VPC of the cluster: as EKS says, else that of its subnets.
    fn vpc_id(&self) -> Option<&'a str> {
        let stated = self.config()?.vpc_id.as_deref().filter(|id| !id.is_empty());
        stated.or_else(|| self.subnets().first().map(|subnet| subnet.vpc_id.as_str()).filter(|id| !id.is_empty()))
    }

    fn vpc(&self, id: &str) -> Option<&'a Vpc> {
        self.facts.network.vpcs.as_ref()?.iter().find(|vpc| vpc.vpc_id == id)
    }

    /// The cluster's subnets, those of them that the facts describe.
    fn subnets(&self) -> Vec<&'a Subnet> {
        let ids = self.config().map_or(&[][..], |config| &config.subnet_ids);
        ids.iter().filter_map(|id| self.subnet(id)).collect()
    }

    fn subnet(&self, id: &str) -> Option<&'a Subnet> {
        self.facts.network.subnets.as_ref()?.iter().find(|subnet| subnet.subnet_id == id)
    }

    /// The subnets with an interface of the control plane; the cluster's subnets where no interface is known.
    fn control_plane_subnets(&self) -> Vec<&'a Subnet> {
        let description = self.eks().map(eks::Cluster::interface_description).unwrap_or_default();
        let interfaces = self.facts.network.network_interfaces.as_deref().unwrap_or_default();
        let mut subnets: Vec<&Subnet> = Vec::new();
        for interface in interfaces.iter().filter(|one| one.description.as_deref() == Some(description.as_str())) {
            let Some(subnet) = interface.subnet_id.as_deref().and_then(|id| self.subnet(id)) else { continue };
            if !subnets.iter().any(|known| known.subnet_id == subnet.subnet_id) {
                subnets.push(subnet);
            }
        }
        if subnets.is_empty() { self.subnets() } else { subnets }
    }

    /// The table that a subnet's packets are looked up in: its own, else the main one of its VPC
    /// (<https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html>).
    fn route_table(&self, subnet: &Subnet) -> Option<&'a RouteTable> {
        let tables = self.facts.network.route_tables.as_ref()?;
        let own = tables.iter().find(|table| {
            table.associations.iter().any(|one| one.subnet_id.as_deref() == Some(subnet.subnet_id.as_str()))
        });
        own.or_else(|| {
            tables.iter().find(|table| {
                table.vpc_id == subnet.vpc_id && table.associations.iter().any(|one| one.main == Some(true))
            })
        })
    }

    /// `enableDnsSupport` and `enableDnsHostnames` of a VPC, each `None` when the facts do not say.
    fn dns_attributes(&self, vpc_id: &str) -> (Option<bool>, Option<bool>) {
        let only_one = self.facts.network.vpcs.as_ref().is_none_or(|vpcs| vpcs.len() <= 1);
        let speaks_of_it = |id: Option<&str>| id.map_or(only_one, |id| id == vpc_id);
        let attributes = || self.facts.network.vpc_attributes.iter().filter(|one| speaks_of_it(one.vpc_id.as_deref()));
        (attributes().find_map(|one| one.enable_dns_support), attributes().find_map(|one| one.enable_dns_hostnames))
    }

    /// Ids of the security groups of the control plane's interfaces: the one that EKS made, then the user's own.
    fn control_plane_groups(&self) -> Vec<&'a str> {
        let Some(config) = self.config() else { return Vec::new() };
        let mut ids: Vec<&str> = Vec::new();
        for id in config.cluster_security_group_id.iter().chain(config.security_group_ids.iter()) {
            if !id.is_empty() && !ids.contains(&id.as_str()) {
                ids.push(id);
            }
        }
        ids
    }

    fn group(&self, id: &str) -> Option<&'a SecurityGroup> {
        self.facts.network.security_groups.as_ref()?.iter().find(|group| group.group_id == id)
    }

    /// What the provider refuses is an error in a plan; a stored value it has accepted once.
    const fn refused(&self) -> Severity {
        if self.planned { Severity::Error } else { Severity::Warning }
    }
}

/// Whether a rule of a security group speaks of a TCP port.
fn speaks_of_tcp(permission: &Permission, port: i64) -> bool {
    speaks_of(permission, &["tcp", "6"], port)
}

/// Whether a rule of a security group speaks of a protocol (any of its names) and port.
fn speaks_of(permission: &Permission, protocols: &[&str], port: i64) -> bool {
    let protocol = permission.ip_protocol.as_deref().unwrap_or_default();
    if protocol == "-1" {
        return true;
    }
    let protocol = protocol.to_ascii_lowercase();
    let (from, to) = (permission.from_port.unwrap_or(-1), permission.to_port.unwrap_or(-1));
    protocols.contains(&protocol.as_str()) && ((from == -1 && to == -1) || (from <= port && port <= to))
}

/// Whether a state is this one; the providers do not agree with themselves on upper and lower case.
fn is(state: Option<&str>, wanted: &str) -> bool {
    state.is_some_and(|state| state.eq_ignore_ascii_case(wanted))
}

const DOCS_OF_AWS: &str = "https://docs.aws.amazon.com/";
/// The specific code, and the general one that only repeats part of its evidence.
const SILENCES: &[(&str, &str)] = &[("eks-node-egress-not-in-public-access-cidrs", "eks-node-traffic-leaves-vpc")];
