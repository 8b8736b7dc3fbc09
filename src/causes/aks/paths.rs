//! Causes of Azure's network between a client and the cluster: every hop of the predicted paths that stops a packet is
//! one, and so is an appliance of which the facts do not know what it does, where packets are lost.
//!
//! The hops are collected and put into words as those of any provider (`eks::paths`); what is Azure's own stands here.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::{AddressClass, Attempt, TcpOutcome, TlsOutcome, TlsVariantKind};

use super::{commands, sight::Sight};
use crate::{
    causes::{
        CellView, Told,
        eks::paths::{To, Way, sign},
        evidence::{self, clean},
        lookups::attempt_words,
        shown::{self, Lost, Shown, takes},
    },
    facts::{
        Facts,
        azure::{ArmId, Kind},
    },
    model::{
        aks::Mode,
        trace::{NsgRule, PeeringProblem, Reason, Trace},
    },
    report::{Confidence, Reachability},
};

/// `aks-private-endpoint-not-usable`.
pub(super) fn private_endpoint(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    if sight.prediction.mode != Mode::PrivateLink || !takes(view, AddressClass::Private) {
        return None;
    }
    let attempts: Vec<&Attempt> =
        evidence::direct(view).into_iter().filter(|one| one.address_class == AddressClass::Private).collect();
    let shown = shown::shown(view, &attempts, Lost::Unrouted);
    if matches!(shown, Shown::Answer) {
        return None;
    }
    let state =
        sight.prediction.private.iter().find_map(|path| Some((path.endpoint.as_ref()?, path.not_approved.as_deref()?)));
    let (says, setting) = match state {
        Some((endpoint, state)) => (
            format!(
                "the connection of the private endpoint {} is {}, not Approved",
                clean(endpoint.name()),
                clean(state)
            ),
            format!("privateLinkServiceConnectionState.status of {} = {}", clean(endpoint.name()), clean(state)),
        ),
        None if endpoint_is_gone(&sight) => (
            "no private endpoint of the subscription leads to the cluster".to_owned(),
            "the private endpoint kube-apiserver".to_owned(),
        ),
        None => return None,
    };
    let told = shown::told(view, Sight::confidence(&shown), &shown, says);
    Some(told.setting(setting).fix(commands::filled_in(
        sight.facts(),
        &format!(
            "az network private-endpoint list -g <node-rg> --query \"[?contains(name,'kube-apiserver')]\"\n{}",
            commands::reconcile(sight.facts())
        ),
    )))
}

/// `aks-apiserver-subnet-nsg-blocks`.
pub(super) fn api_server_subnet(view: &CellView<'_>) -> Option<Told> {
    sign(view, API_SERVER_SUBNET)
}

/// `azure-nsg-denies-443`.
pub(super) fn security_group(view: &CellView<'_>) -> Option<Told> {
    sign(view, "azure-nsg-denies-443")
}

/// `azure-peering-does-not-carry-traffic`.
pub(super) fn peering(view: &CellView<'_>) -> Option<Told> {
    sign(view, "azure-peering-does-not-carry-traffic")
}

/// `azure-udr-diverts-endpoint`.
pub(super) fn user_route(view: &CellView<'_>) -> Option<Told> {
    sign(view, USER_ROUTE).or_else(|| dead_appliance(view))
}

/// `azure-firewall-lacks-endpoint-rule`.
pub(super) fn firewall(view: &CellView<'_>) -> Option<Told> {
    let appliance = appliance(view)?;
    let sight = Sight::of(view)?;
    let attempts = appliance.attempts(view);
    let cut = evidence::seen(&attempts, cut_by_name);
    let lost = evidence::seen(&attempts, |attempt| {
        matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Refused | TcpOutcome::Reset)
            || (attempt.tcp.outcome == TcpOutcome::Connected
                && matches!(attempt.tls.outcome, TlsOutcome::Reset | TlsOutcome::Closed))
    });
    let whole = |seen: &evidence::Seen<'_>| seen.attempts.len() == seen.of && evidence::silence_counts(view);
    let (confidence, first) = match (cut, lost) {
        (Some(cut), _) => (Confidence::Likely, cut.first()),
        // An appliance of which nobody knows whether it is a firewall.
        (None, Some(lost)) if appliance.firewall.is_some() && whole(&lost) => (Confidence::Possible, lost.first()),
        _ => return None,
    };
    let told =
        Told::new(confidence, attempt_words(first)).and(format!("the configuration says: {}", appliance.words()));
    let told = if confidence == Confidence::Likely {
        told.and("a handshake that names the API server is cut off, and one without a name is not: what is in between reads names")
    } else {
        told.and("its rules are not in the facts; rivals: the firewall is down (`azure-udr-diverts-endpoint`), or what lies beyond it is closed; its log decides")
    };
    let zone = view.host.split_once('.').map_or(view.host, |(_, zone)| zone);
    let name = appliance.firewall.map_or_else(|| "<firewall>".to_owned(), |firewall| evidence::shell(firewall.name()));
    let group = appliance.firewall.and_then(ArmId::resource_group).map_or_else(|| "<rg>".to_owned(), evidence::shell);
    let sources = if sight.configured.standpoint.own.is_empty() {
        "<client cidr>".to_owned()
    } else {
        sight.configured.standpoint.own.iter().map(|own| commands::single(*own)).collect::<Vec<_>>().join(" ")
    };
    Some(told.setting(format!("application rules of {}", clean(&appliance.name))).fix(format!(
        "# Allow the name (or *.{}) on the firewall; with a firewall policy the same rule stands in its rule collection:\n\
         az network firewall application-rule create -g {group} --firewall-name {name} --collection-name allow-k8s-api -n allow-k8s-api --protocols Https={} --target-fqdns {} --source-addresses {sources} --priority 200 --action Allow",
        clean(zone),
        view.port,
        evidence::shell(view.host)
    )))
}

/// The traces of the paths that the cell takes, each with the address that it leads to.
pub(in crate::causes) fn traces<'a>(view: &CellView<'a>) -> Option<Vec<(To<'a>, &'a Trace)>> {
    let prediction = view.configuration?.aks()?;
    let mut traces = Vec::new();
    if takes(view, AddressClass::Private) {
        let dialled = evidence::direct(view);
        let was_dialled = |address: IpAddr| dialled.iter().any(|attempt| attempt.address == Some(address));
        let any_private = dialled.iter().any(|attempt| attempt.address_class == AddressClass::Private);
        traces.extend(
            prediction
                .private
                .iter()
                // Addresses that were not dialled say nothing beside those that were.
                .filter(|path| !any_private || was_dialled(path.address))
                .map(|path| {
                    let name = path.endpoint.as_ref().map_or("API server", ArmId::name);
                    (To { way: Way::Private, interface: Some((name, path.address)) }, &path.trace)
                }),
        );
    }
    if takes(view, AddressClass::Public)
        && let Some(way) = prediction.public.way_out()
    {
        traces.push((To { way: Way::Out, interface: None }, way));
    }
    Some(traces)
}

/// The code under which a hop of Azure's is told; `None` for hops of another provider's, and for what has no code.
pub(in crate::causes) fn code(view: &CellView<'_>, reason: &Reason) -> Option<&'static str> {
    let sight = Sight::of(view)?;
    Some(match reason {
        Reason::NsgRule(rule) if guards_the_api_server(&sight, rule) => API_SERVER_SUBNET,
        Reason::NsgRule(_) => "azure-nsg-denies-443",
        Reason::UserRoute { .. } | Reason::LeadsElsewhere { .. } => USER_ROUTE,
        Reason::VirtualNetworkPeering { .. } | Reason::NoRoute { .. } | Reason::OverlapsClient { .. } => {
            "azure-peering-does-not-carry-traffic"
        }
        Reason::PrivateFromInternet { .. } | Reason::VpnDown { .. } => "client-not-on-connected-network",
        _ => return None,
    })
}

/// Whether a peering is what stops the packet.
pub(in crate::causes) const fn is_peering(reason: &Reason) -> bool {
    matches!(reason, Reason::VirtualNetworkPeering { .. })
}

/// Whether a hop stops the packet only because a peering does not carry it: the provider's own rules let in what the
/// service tag `VirtualNetwork` holds, and that holds the networks that are connected.
pub(in crate::causes) fn follows_from_peering(reason: &Reason) -> bool {
    matches!(reason, Reason::NsgRule(rule) if rule.priority.is_some_and(|priority| priority > LAST_OWN_PRIORITY))
}

/// What opens a hop of Azure's, as a command; empty where there is none.
pub(in crate::causes) fn command(facts: &Facts, host_port: u16, reason: &Reason) -> String {
    match reason {
        Reason::NsgRule(rule) => {
            let subnet = facts.managed_cluster.as_ref().and_then(|cluster| cluster.access().subnet_id.clone());
            // The nodes and the load balancer's probes need their ports in the API server's subnet as well.
            let ports = if rule.inbound && subnet.as_ref() == Some(&rule.guards) { "443 4443" } else { "" };
            let own = host_port.to_string();
            let (source, destination) = (prefix(rule.source), prefix(rule.destination));
            let line = |source: &str, ports: &str, name: &str| {
                commands::add_nsg_rule(
                    facts,
                    &commands::NsgRule {
                        group: &rule.group,
                        inbound: rule.inbound,
                        before: rule.priority.filter(|priority| *priority <= LAST_OWN_PRIORITY),
                        source,
                        destination: &destination,
                        ports,
                        name,
                    },
                )
            };
            if ports.is_empty() {
                line(&source, &own, "allow-k8s-api")
            } else {
                format!(
                    "{}\n# and, where it is not there yet, for the load balancer's probes: tcp 9988 from AzureLoadBalancer",
                    line(&source, ports, "allow-k8s-api")
                )
            }
        }
        Reason::UserRoute { table: Some(table), subnet, route, next_hop, prefix, destination, .. } => {
            route_command(facts, &Detour { table, subnet, route, next_hop, prefix, destination: destination.addr() })
        }
        Reason::VirtualNetworkPeering { peering, network, remote, problem, .. } => match (problem, peering) {
            (PeeringProblem::Missing, _) => format!(
                "# On both sides:\n{}\n{}",
                commands::create_peering(network, remote),
                commands::create_peering(remote, network)
            ),
            (PeeringProblem::NotTransitive { through }, _) => format!(
                "# {} has a peering with each of the two, and that is no way through: connect the two themselves, on both sides:\n{}\n{}",
                clean(through.name()),
                commands::create_peering(network, remote),
                commands::create_peering(remote, network)
            ),
            (PeeringProblem::State(state), _) if state.eq_ignore_ascii_case("Initiated") => {
                format!("# The other side is missing:\n{}", commands::create_peering(remote, network))
            }
            (PeeringProblem::State(_), Some(peering)) => format!(
                "# Disconnected: delete this side and make both anew:\naz network vnet peering delete --ids {}\n{}\n{}",
                evidence::shell(peering.as_str()),
                commands::create_peering(network, remote),
                commands::create_peering(remote, network)
            ),
            (PeeringProblem::AccessDenied, Some(peering)) => {
                commands::set_peering(peering, "allowVirtualNetworkAccess=true")
            }
            (PeeringProblem::ForwardedTraffic, Some(peering)) => {
                commands::set_peering(peering, "allowForwardedTraffic=true")
            }
            (PeeringProblem::GatewayTransit, Some(peering)) => format!(
                "# allowGatewayTransit on the side of the gateway, useRemoteGateways on the other:\n{}",
                commands::set_peering(peering, "allowGatewayTransit=true")
            ),
            (_, None) => commands::create_peering(network, remote),
        },
        _ => String::new(),
    }
}

/// A route that leads packets elsewhere.
struct Detour<'a> {
    table: &'a ArmId,
    subnet: &'a ArmId,
    route: &'a str,
    next_hop: &'a str,
    prefix: &'a str,
    destination: IpAddr,
}

/// No route of the user's can name a peering as its next hop
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview>): where the destination is in
/// another network, only taking the route away leads packets to it.
fn route_command(facts: &Facts, detour: &Detour<'_>) -> String {
    let Detour { table, subnet, route, next_hop, prefix, destination } = detour;
    let group = table.resource_group().map_or_else(|| "<rg>".to_owned(), evidence::shell);
    let (table_name, route_name) = (evidence::shell(table.name()), evidence::shell(route));
    let appliance = next_hop.eq_ignore_ascii_case("VirtualAppliance");
    let note = if appliance {
        format!("# Only the appliance's own log tells what it does with {destination}. To lead the packets past it:\n")
    } else {
        String::new()
    };
    let within = subnet.parent().is_some_and(|home| {
        let networks = facts.azure.virtual_networks.iter().flatten();
        let own =
            networks.filter(|network| network.id == home).flat_map(|network| &*network.address_space.address_prefixes);
        own.filter_map(|range| crate::facts::Cidr::parse(range).ok()).any(|range| range.net.contains(destination))
    });
    let own = commands::single(*destination);
    let beside = |next_hop: &str| {
        format!(
            "{note}az network route-table route create -g {group} --route-table-name {table_name} -n direct-to-k8s-api --address-prefix {own} --next-hop-type {next_hop}"
        )
    };
    match (is_private(*destination), within) {
        (false, _) if appliance => beside("Internet"),
        (false, _) => commands::update_route(table, route, "Internet"),
        (true, true) if appliance => beside("VnetLocal"),
        (true, true) => commands::update_route(table, route, "VnetLocal"),
        (true, false) => format!(
            "{note}# It serves all of {} in the subnets of the table, so look at them first; without it packets to {destination} take the peering:\naz network route-table route delete -g {group} --route-table-name {table_name} -n {route_name}",
            clean(prefix)
        ),
    }
}

/// The setting with its present value.
pub(in crate::causes) fn setting(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::NsgRule(rule) if rule.name.is_empty() => format!("rules of {}", clean(rule.group.name())),
        Reason::NsgRule(rule) => {
            let priority = rule.priority.map(|priority| format!(" (priority {priority})")).unwrap_or_default();
            format!("rule {}{priority} of {}", clean(&rule.name), clean(rule.group.name()))
        }
        Reason::UserRoute { table, route, prefix, next_hop, .. } => {
            let table = table.as_ref().map_or_else(|| "the effective routes".to_owned(), |table| clean(table.name()));
            format!("route {} of {table}: {} → nextHopType {}", clean(route), clean(prefix), clean(next_hop))
        }
        Reason::VirtualNetworkPeering { peering, network, remote, problem, .. } => {
            let name = peering.as_ref().map_or_else(
                || format!("virtualNetworkPeerings of {} towards {}", clean(network.name()), clean(remote.name())),
                |peering| format!("the peering {}", clean(peering.name())),
            );
            match problem {
                PeeringProblem::State(state) => format!("peeringState of {name} = {}", clean(state)),
                PeeringProblem::AccessDenied => format!("allowVirtualNetworkAccess of {name} = false"),
                PeeringProblem::ForwardedTraffic => format!("allowForwardedTraffic of {name} = false"),
                PeeringProblem::GatewayTransit => format!("allowGatewayTransit and useRemoteGateways of {name}"),
                PeeringProblem::Missing | PeeringProblem::NotTransitive { .. } => name,
            }
        }
        _ => return None,
    })
}

/// What is to be known of a kind of hop.
pub(in crate::causes) const fn note(reason: &Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NsgRule(_) => "rules are read by ascending priority number, and the first that matches decides",
        Reason::VirtualNetworkPeering { problem: PeeringProblem::NotTransitive { .. }, .. } => {
            "peering carries packets between the two networks and no further"
        }
        Reason::VirtualNetworkPeering { problem: PeeringProblem::State(_), .. } => {
            "a peering works when both sides are there and Connected"
        }
        _ => return None,
    })
}

/// What cannot be evaluated about a hop, where that is Azure's.
pub(in crate::causes) fn not_evaluable(component: &str, rule: &str, reason: &Reason) -> Option<String> {
    match reason {
        Reason::NsgRuleUnclear { why, .. } => Some(format!("{}: {}", clean(component), clean(why))),
        Reason::UserRoute { .. } | Reason::NsgRule(_) => Some(format!("{}: {}", clean(component), clean(rule))),
        _ => None,
    }
}

/// An appliance on the way of which the facts do not know what it does.
struct Appliance<'a> {
    name: String,
    rule: &'a str,
    route: &'a Reason,
    firewall: Option<&'a ArmId>,
    interface: Option<IpAddr>,
}

impl Appliance<'_> {
    /// The attempts that went its way.
    fn attempts<'v>(&self, view: &CellView<'v>) -> Vec<&'v Attempt> {
        let went = |attempt: &&Attempt| match self.interface {
            Some(address) => attempt.address == Some(address),
            None => attempt.address_class == AddressClass::Public,
        };
        evidence::direct(view).into_iter().filter(went).collect()
    }

    fn words(&self) -> String {
        let route = setting(self.route).unwrap_or_default();
        format!("{route}; {} ({})", clean(&self.name), clean(self.rule))
    }
}

/// The first of them on a way that packets of this cell take.
fn appliance<'a>(view: &CellView<'a>) -> Option<Appliance<'a>> {
    traces(view)?.into_iter().find_map(|(to, trace)| {
        let hop = trace
            .forward
            .iter()
            .find(|hop| !hop.decision.blocks() && matches!(hop.reason, Some(Reason::UserRoute { .. })))?;
        let route = hop.reason.as_ref()?;
        let Reason::UserRoute { firewall, .. } = route else { return None };
        Some(Appliance {
            name: hop.component.clone(),
            rule: &hop.rule,
            route,
            firewall: firewall.as_ref(),
            interface: to.interface.map(|(_, address)| address),
        })
    })
}

/// `azure-udr-diverts-endpoint`, by an appliance that swallows what it gets.
fn dead_appliance(view: &CellView<'_>) -> Option<Told> {
    let appliance = appliance(view)?;
    let sight = Sight::of(view)?;
    let attempts = appliance.attempts(view);
    let shown = shown::shown(view, &attempts, Lost::Unrouted);
    if !matches!(shown, Shown::Silence(_)) || view.observed == Reachability::Reachable {
        return None;
    }
    let told = shown::told(view, Confidence::Possible, &shown, appliance.words())
        .and("the appliance may be dead, filter, or see one direction only: replies of a private endpoint go straight back")
        .and(if appliance.firewall.is_some() {
            "rivals: its rules lack the endpoint (`azure-firewall-lacks-endpoint-rule`), or what lies beyond it is closed; its log decides"
        } else {
            "rivals: what lies beyond it is closed; its log decides"
        });
    let told = match setting(appliance.route) {
        Some(setting) => told.setting(setting),
        None => told,
    };
    Some(told.fix(command(sight.facts(), view.port, appliance.route)))
}

/// A handshake that names the server is cut off, and one without a name passes.
fn cut_by_name(attempt: &Attempt) -> bool {
    let cut = attempt.tcp.outcome == TcpOutcome::Connected
        && matches!(
            attempt.tls.outcome,
            TlsOutcome::Reset | TlsOutcome::Closed | TlsOutcome::Timeout | TlsOutcome::Alert
        );
    let unnamed = attempt.tls.variants.iter().find(|variant| variant.kind == TlsVariantKind::NoServerName);
    cut && unnamed.is_some_and(|variant| variant.outcome.completed())
}

/// All private endpoints are known, and none is the cluster's.
fn endpoint_is_gone(sight: &Sight<'_>) -> bool {
    let facts = sight.facts();
    let leads_here = |endpoint: &crate::facts::azure::PrivateEndpoint| {
        let connections =
            endpoint.private_link_service_connections.iter().chain(&endpoint.manual_private_link_service_connections);
        endpoint.name.to_ascii_lowercase().contains("kube-apiserver")
            || connections
                .filter_map(|one| one.private_link_service_id.as_ref())
                .any(|service| *service == sight.cluster.id)
    };
    facts.azure_lists(Kind::PrivateEndpoint) && !facts.azure.private_endpoints.iter().flatten().any(leads_here)
}

/// The rule guards the subnet that the API server of a VNet-integrated cluster stands in.
fn guards_the_api_server(sight: &Sight<'_>, rule: &NsgRule) -> bool {
    rule.inbound
        && sight.cluster.is_vnet_integrated()
        && sight.cluster.access().subnet_id.as_ref() == Some(&rule.guards)
}

/// A range as an address where it is one, as `az` takes it.
fn prefix(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn is_private(address: IpAddr) -> bool {
    kubereach_probes::AddressClasses::default().of(address) == AddressClass::Private
}

const API_SERVER_SUBNET: &str = "aks-apiserver-subnet-nsg-blocks";
const USER_ROUTE: &str = "azure-udr-diverts-endpoint";
/// The user's rules end here; the provider's come after them.
const LAST_OWN_PRIORITY: i64 = 4_096;
