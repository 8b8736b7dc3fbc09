//! What the causes of a configured cell share: the prediction beside what the probes show of the same path, and the
//! commands that change the endpoint.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::AddressClass;

pub(super) use crate::causes::shown::{Lost, Shown, listed, shown, single, told};
use crate::{
    causes::{CellView, ConfigurationView, Configured, Strictness, Told, configuration::words, shown::shown_of_class},
    facts::{ec2, eks},
    model::eks::{Place, Prediction},
    report::{Confidence, Via},
};

/// A cell of the Kubernetes API whose configuration is known.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) view: &'a CellView<'a>,
    pub(super) configured: Configured<'a>,
    pub(super) cluster: &'a eks::Cluster,
    pub(super) prediction: &'a Prediction,
}

impl<'a> Sight<'a> {
    /// `None` without facts of the cluster, and for another target.
    pub(super) fn of(view: &'a CellView<'a>) -> Option<Self> {
        let configured = view.configuration?;
        Some(Self { view, configured, cluster: configured.facts.cluster.as_ref()?, prediction: configured.eks()? })
    }

    /// `resourcesVpcConfig`.
    pub(super) fn config(&self) -> Option<&'a eks::VpcConfig> {
        self.cluster.resources_vpc_config.as_ref()
    }

    /// What the probes show of the public path; `None` where the cell does not take it.
    pub(super) fn public(&self) -> Option<Shown<'a>> {
        shown_of_class(self.view, AddressClass::Public, Lost::Dropped)
    }

    /// The client's place is in a VPC of the facts.
    pub(super) const fn in_a_vpc(&self) -> bool {
        matches!(self.prediction.place, Place::ClusterVpc | Place::OtherVpc { .. })
    }

    /// The public endpoint's addresses are not known, and some route of the facts depends on them.
    fn is_assumed(&self) -> bool {
        let known = !self.view.known_addresses.is_empty() || !self.view.observation.attempts.is_empty();
        !known
            && self.in_a_vpc()
            && self.prediction.via != Some(Via::Private)
            && leads_apart(&self.configured.facts.network)
    }

    /// How sure configuration and probe together are.
    pub(super) fn confidence(&self, shown: &Shown<'_>) -> Confidence {
        match shown {
            Shown::Silence(_) => Confidence::Certain,
            Shown::Nothing if self.is_assumed() => Confidence::Possible,
            Shown::Nothing => Confidence::Likely,
            Shown::Answer => Confidence::Possible,
        }
    }

    /// A cause that the configuration shows: what was seen first, then what the configuration says.
    pub(super) fn told(&self, shown: &Shown<'_>, says: impl Into<String>) -> Told {
        told(self.view, self.confidence(shown), shown, says)
    }

    /// The configuration as its own causes see it, for the words and commands that they share.
    pub(super) fn configuration(&self) -> ConfigurationView<'a> {
        configuration(self.view, &self.configured)
    }

    /// Region and name of the cluster as shell words.
    pub(super) fn region(&self) -> String {
        words::region_and_name(&self.configuration()).0
    }

    /// The entries of the public list as the provider prints them.
    pub(super) fn entries(&self) -> Vec<String> {
        let cidrs = self.config().and_then(|config| config.public_access_cidrs.as_ref());
        cidrs.into_iter().flatten().map(|cidr| cidr.text.clone()).collect()
    }

    /// The command that makes the public list this one; the flags are repeated as they are.
    pub(super) fn replace_list(&self, list: &[String]) -> String {
        let config = self.config();
        let command = words::update_endpoint(
            &self.configuration(),
            Some(true),
            config.and_then(|config| config.endpoint_private_access),
            Some(list),
        );
        if list.len() > MOST_ENTRIES {
            format!(
                "# {} entries, and EKS takes {MOST_ENTRIES}: join ranges first (`kubereach facts lint` prints the minimal list).\n{command}",
                list.len()
            )
        } else {
            command
        }
    }

    /// The command that lets these addresses in besides those on the list.
    pub(super) fn admit(&self, addresses: &[IpNet]) -> String {
        let mut list = self.entries();
        list.extend(addresses.iter().map(ToString::to_string));
        format!("# The call replaces the list: the present entries stay in it.\n{}", self.replace_list(&list))
    }

    /// The command that sets the two flags, with the public list where public access is on.
    pub(super) fn set_mode(&self, public: Option<bool>, private: Option<bool>) -> String {
        let list = self.entries();
        let list = (public == Some(true)).then_some(list.as_slice());
        words::update_endpoint(&self.configuration(), public, private, list)
    }

    /// Public addresses that the client's packets carry, where it has any of its own.
    pub(super) fn own_public(&self) -> Vec<IpAddr> {
        let classes = kubereach_probes::AddressClasses::default();
        let own = self.configured.standpoint.own.iter().copied();
        own.filter(|address| classes.of(*address) == AddressClass::Public).collect()
    }
}

/// The configuration of a cell as the causes of configurations see it.
pub(in crate::causes) fn configuration<'a>(view: &CellView<'a>, configured: &Configured<'a>) -> ConfigurationView<'a> {
    ConfigurationView {
        cluster: view.cluster,
        facts: configured.facts,
        intent: None,
        vantages: &[],
        kubeconfig_ca: view.client_authorities,
        planned: false,
        strictness: Strictness::Verify,
        now: view.now,
    }
}

/// Some table sends a part of the internet elsewhere than the rest.
fn leads_apart(network: &ec2::Network) -> bool {
    let classes = kubereach_probes::AddressClasses::default();
    let public = |net: &IpNet| net.prefix_len() > 0 && classes.of(net.addr()) == AddressClass::Public;
    let routes = network.route_tables.iter().flatten().flat_map(|table| table.routes.iter().flatten());
    routes
        .filter_map(|route| route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref()))
        .any(|cidr| public(&cidr.net))
}

/// The quota of entries, which cannot be raised (<https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html>).
const MOST_ENTRIES: usize = 40;
