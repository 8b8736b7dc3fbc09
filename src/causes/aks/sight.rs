//! What the causes of a configured AKS cell share: the prediction beside what the probes show of the same path.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, DnsObservation, DnsOutcome};

use super::commands;
use crate::{
    causes::{
        CellView, Configured, Told,
        lookups::{self, from_hosts_file, system},
        shown::{self, Lost, Shown, shown_of_class},
    },
    facts::{
        Facts,
        aks::ManagedCluster,
        azure::{ArmId, NetworkInterface},
    },
    model::aks::{self, Place, Prediction},
    report::{Confidence, Reachability},
};

/// A cell of an AKS cluster whose configuration is known.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) view: &'a CellView<'a>,
    pub(super) configured: Configured<'a>,
    pub(super) cluster: &'a ManagedCluster,
    pub(super) prediction: &'a Prediction,
}

impl<'a> Sight<'a> {
    /// `None` without facts of the cluster.
    pub(super) fn of(view: &'a CellView<'a>) -> Option<Self> {
        let configured = view.configuration?;
        let cluster = configured.facts.managed_cluster.as_ref()?;
        Some(Self { view, configured, cluster, prediction: configured.aks()? })
    }

    pub(super) const fn facts(&self) -> &'a Facts {
        self.configured.facts
    }

    /// What the probes show of the public path; `None` where the cell does not take it.
    pub(super) fn public(&self) -> Option<Shown<'a>> {
        shown_of_class(self.view, AddressClass::Public, Lost::Dropped)
    }

    /// The authorized ranges as the provider prints them.
    pub(super) fn entries(&self) -> Vec<String> {
        commands::entries(self.facts())
    }

    /// How sure configuration and probe together are.
    pub(super) const fn confidence(shown: &Shown<'_>) -> Confidence {
        match shown {
            Shown::Silence(_) => Confidence::Certain,
            Shown::Nothing => Confidence::Likely,
            Shown::Answer => Confidence::Possible,
        }
    }

    /// A cause that the configuration shows: what was seen first, then what the configuration says.
    pub(super) fn told(&self, shown: &Shown<'_>, says: impl Into<String>) -> Told {
        shown::told(self.view, Self::confidence(shown), shown, says)
    }

    /// The lookup that decides, unless a hosts file stands in for it.
    pub(super) fn lookup(&self) -> Option<&'a DnsObservation> {
        system(self.view).filter(|lookup| !from_hosts_file(lookup))
    }

    /// The client stands in a virtual network of the facts.
    pub(super) const fn in_a_network(&self) -> bool {
        matches!(self.prediction.place, Place::ClusterNetwork { .. } | Place::OtherNetwork { .. })
    }

    /// The client is a node of the cluster: it leaves with the cluster's own addresses, or by a node's interface.
    pub(super) fn is_node(&self, egress: &[IpAddr]) -> bool {
        let own = commands::outbound_ranges(self.facts());
        let leaves_as_node = !egress.is_empty()
            && egress.iter().all(|address| {
                own.iter().any(|range| crate::facts::Cidr::parse(range).is_ok_and(|range| range.net.contains(address)))
            });
        leaves_as_node || self.is_nodes_interface()
    }

    /// Its interface is one of the facts that belongs to a node.
    fn is_nodes_interface(&self) -> bool {
        let standpoint = self.configured.standpoint;
        let has_its_address = |interface: &NetworkInterface| {
            let mut addresses = interface.ip_configurations.iter().filter_map(|one| one.private_ip_address);
            addresses.any(|address| standpoint.own.contains(&address))
        };
        let is_it = |interface: &NetworkInterface| {
            let machine = interface.virtual_machine.as_ref().map(|machine| &machine.id);
            standpoint.instance.as_deref().is_some_and(|instance| {
                [Some(&interface.id), machine]
                    .into_iter()
                    .flatten()
                    .any(|id| *id == ArmId::new(instance) || id.name().eq_ignore_ascii_case(instance))
            })
        };
        let interfaces = self.facts().azure.network_interfaces.iter().flatten();
        matches!(self.prediction.place, Place::ClusterNetwork { .. })
            && interfaces
                .filter(|interface| is_it(interface) || has_its_address(interface))
                .any(|interface| aks::is_node(self.facts(), interface))
    }

    /// Nothing that was tried got an answer of the API server, and something was tried.
    pub(super) fn is_unreachable(&self) -> bool {
        self.view.observed == Reachability::Unreachable
    }

    /// Whether the name that is dialled is this one of the cluster's.
    pub(super) fn dials(&self, name: Option<&str>) -> bool {
        let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(self.view.host.trim_end_matches('.'));
        name.is_some_and(|name| !name.is_empty() && same(name))
    }
}

/// Whether a resolver says that there is no such address.
pub(super) const fn denies(lookup: &DnsObservation) -> bool {
    matches!(lookup.outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata)
}

/// What the platform's own resolver (168.63.129.16) said.
pub(super) fn azure_dns<'a>(view: &CellView<'a>) -> Option<&'a DnsObservation> {
    lookups::labelled(view, AZURE_DNS).or_else(|| {
        let is_platform = |lookup: &&DnsObservation| {
            lookup.server.as_deref().is_some_and(|server| server.starts_with("168.63.129.16"))
        };
        view.observation.dns.iter().find(is_platform)
    })
}

/// Label of the network's own resolver.
const AZURE_DNS: &str = "vpc";
