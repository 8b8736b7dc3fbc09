//! What the causes of a configured cell share: the prediction beside what the probes show of the same path, and the
//! commands that change the endpoint.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::{AddressClass, Attempt, TcpOutcome};

use crate::{
    causes::{
        CellView, ConfigurationView, Configured, Strictness, Told,
        configuration::words,
        evidence::{self, Seen, clean, host_prefix, seen},
        net,
    },
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

/// What the probes show of a path that the configuration says is closed.
pub(super) enum Shown<'a> {
    /// Nothing was sent that way.
    Nothing,
    /// Nothing answered.
    Silence(Seen<'a>),
    /// Something answered, so that nothing on the way drops silently.
    Answer,
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

    /// Whether the cell goes by addresses of this class: those that were dialled, else those that the configuration
    /// leads to, else those that are meant.
    pub(super) fn takes(&self, class: AddressClass) -> bool {
        let attempts = evidence::deciding(self.view);
        if !attempts.is_empty() {
            return attempts.iter().any(|attempt| attempt.address_class == class);
        }
        let via = if class == AddressClass::Public { Via::Public } else { Via::Private };
        self.prediction.via.or(self.view.intended_via).is_none_or(|taken| taken == via)
    }

    /// What the probes show of the public path; `None` where the cell does not take it.
    pub(super) fn public(&self) -> Option<Shown<'a>> {
        self.takes(AddressClass::Public).then(|| {
            let attempts = evidence::direct(self.view);
            let public = attempts.into_iter().filter(|attempt| attempt.address_class == AddressClass::Public);
            shown(self.view, &public.collect::<Vec<_>>(), Lost::Dropped)
        })
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
    pub(super) fn admit(&self, addresses: &[IpAddr]) -> String {
        let mut list = self.entries();
        list.extend(addresses.iter().map(|address| single(*address)));
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

/// How packets are lost where the configuration closes a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Without a word.
    Dropped,
    /// For want of a route: a router of one's own network may say so.
    Unrouted,
}

/// What these attempts show.
pub(super) fn shown<'a>(view: &CellView<'a>, attempts: &[&'a Attempt], lost: Lost) -> Shown<'a> {
    if !evidence::silence_counts(view) {
        return Shown::Nothing;
    }
    let is_lost = |attempt: &Attempt| {
        net::is_swallowed(attempt) || (lost == Lost::Unrouted && attempt.tcp.outcome == TcpOutcome::Unreachable)
    };
    match seen(attempts, is_lost) {
        _ if attempts.is_empty() => Shown::Nothing,
        Some(seen) if seen.attempts.len() == seen.of => Shown::Silence(seen),
        _ => Shown::Answer,
    }
}

/// What was seen first, then what the configuration says.
pub(super) fn told(view: &CellView<'_>, confidence: Confidence, shown: &Shown<'_>, says: impl Into<String>) -> Told {
    let says = says.into();
    match shown {
        Shown::Silence(seen) => {
            let first = seen.first();
            let outcome = first.tcp.outcome.label();
            let words = format!(
                "{} did not answer (tcp {outcome}, {}): {}, from {}",
                seen.count(),
                seen.longest_connect(),
                seen.places(view),
                evidence::from_where(view, first)
            );
            let told = evidence::told(view, confidence, words).and(format!("the configuration says: {says}"));
            if confidence == Confidence::Certain { told.and("configuration and probe agree") } else { told }
        }
        Shown::Nothing | Shown::Answer if view.observation.attempts.is_empty() => {
            let words = format!("nothing was dialled from {}; the configuration says: {says}", clean(view.vantage));
            evidence::told(view, confidence, words).and("a probe from there would make it certain")
        }
        Shown::Nothing | Shown::Answer => evidence::told(view, confidence, format!("the configuration says: {says}")),
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

/// The range that is this address alone.
pub(super) fn single(address: IpAddr) -> String {
    format!("{address}/{}", host_prefix(address))
}

/// Addresses in words, at most four.
pub(super) fn listed(addresses: &[IpAddr]) -> String {
    evidence::listed(addresses.iter().map(ToString::to_string))
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
