//! Azure's network around an AKS cluster: security groups, routes, peerings, the private endpoint, the API server's
//! subnet.
//!
//! Rules after <https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview>,
//! <https://learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview>,
//! <https://learn.microsoft.com/azure/private-link/disable-private-endpoint-network-policy> and
//! <https://learn.microsoft.com/azure/aks/api-server-vnet-integration>.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    super::{
        Told,
        evidence::{clean, shell},
    },
    ConfigurationView,
    allow_lists::private_space,
    is, outbound,
    words::{self, aks_options, azure_options, counted, id_word, listed, ranges},
};
use crate::{
    facts::{
        aks::ManagedCluster,
        azure::{
            ArmId, Kind, NetworkSecurityGroup, Peering, PrivateEndpoint, Route, SecurityRule, Subnet, VirtualNetwork,
        },
    },
    model::set::AddressSet,
    report::{Confidence, Severity},
};

impl<'a> ConfigurationView<'a> {
    /// The subnet with this id.
    pub(super) fn azure_subnet(&self, id: &ArmId) -> Option<&'a Subnet> {
        let networks = self.facts.azure.virtual_networks.iter().flatten();
        let alone = self.facts.azure.subnets.iter().flatten();
        networks.flat_map(|network| &network.subnets).chain(alone).find(|subnet| subnet.id == *id)
    }

    /// The virtual network with this id.
    pub(super) fn azure_network(&self, id: &ArmId) -> Option<&'a VirtualNetwork> {
        self.facts.azure.virtual_networks.as_ref()?.iter().find(|network| network.id == *id)
    }

    /// The virtual networks whose ranges hold an address: several may use the same.
    pub(super) fn azure_networks_of(&self, address: IpAddr) -> Vec<&'a VirtualNetwork> {
        let networks = self.facts.azure.virtual_networks.iter().flatten();
        networks.filter(|network| space_of(network).contains(address)).collect()
    }

    fn security_group(&self, subnet: &Subnet) -> Option<&'a NetworkSecurityGroup> {
        let id = &subnet.network_security_group.as_ref()?.id;
        self.facts.azure.network_security_groups.as_ref()?.iter().find(|group| group.id == *id)
    }
}

/// The networks that lie in a resource group.
pub(super) fn vnets_of_group<'a>(
    view: &ConfigurationView<'a>,
    group: &str,
) -> impl Iterator<Item = &'a VirtualNetwork> + use<'a> {
    let group = group.to_ascii_lowercase();
    let networks = view.facts.azure.virtual_networks.iter().flatten();
    networks.filter(move |network| network.id.resource_group().is_some_and(|own| own.eq_ignore_ascii_case(&group)))
}

/// Whether a route is the IPv4 default route.
pub(super) fn is_default_route(route: &Route) -> bool {
    route
        .address_prefix
        .as_deref()
        .and_then(|text| text.parse::<IpNet>().ok())
        .is_some_and(|net| net.prefix_len() == 0 && net.addr().is_ipv4())
}

/// The ranges of a network.
pub(super) fn space_of(network: &VirtualNetwork) -> AddressSet {
    set_of_texts(network.address_space.address_prefixes.iter().map(String::as_str))
}

/// The networks of the cluster's nodes.
pub(super) fn node_networks<'a>(view: &ConfigurationView<'a>) -> Vec<&'a VirtualNetwork> {
    let ids: BTreeSet<ArmId> =
        outbound::node_subnets(view).known.iter().filter_map(|subnet| subnet.id.parent()).collect();
    ids.iter().filter_map(|id| view.azure_network(id)).collect()
}

/// The private endpoint that AKS made for the API server of a private cluster.
pub(super) fn private_endpoint<'a>(view: &ConfigurationView<'a>) -> Option<&'a PrivateEndpoint> {
    let cluster = view.aks()?;
    let all = view.facts.azure.private_endpoints.as_deref().unwrap_or_default();
    let group = outbound::node_group(cluster);
    let in_group = |one: &PrivateEndpoint| {
        group.is_some_and(|group| one.id.resource_group().is_some_and(|own| own.eq_ignore_ascii_case(group)))
    };
    let own = |one: &&PrivateEndpoint| in_group(one) && one.name.to_ascii_lowercase().contains("kube-apiserver");
    all.iter().find(own).or_else(|| all.iter().find(|one| leads_to(one, cluster)))
}

/// The private addresses of the API server: of the private endpoint's interfaces, or of the load balancer of a
/// VNet-integrated cluster. Empty where the facts do not hold them.
pub(super) fn api_addresses(view: &ConfigurationView<'_>) -> Vec<IpAddr> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let azure = &view.facts.azure;
    if cluster.is_vnet_integrated() {
        let group = outbound::node_group(cluster);
        let own = |id: &ArmId| {
            group.is_some_and(|group| id.resource_group().is_some_and(|own| own.eq_ignore_ascii_case(group)))
        };
        return azure
            .load_balancers
            .iter()
            .flatten()
            .filter(|balancer| balancer.name.eq_ignore_ascii_case("kube-apiserver") && own(&balancer.id))
            .flat_map(|balancer| &balancer.frontend_ip_configurations)
            .filter_map(|one| one.private_ip_address)
            .collect();
    }
    let Some(endpoint) = private_endpoint(view) else { return Vec::new() };
    let of_interface = |id: &ArmId| {
        let interfaces = azure.network_interfaces.iter().flatten();
        interfaces.filter(|one| one.id == *id).flat_map(|one| &one.ip_configurations).collect::<Vec<_>>()
    };
    let found: Vec<IpAddr> = endpoint
        .network_interfaces
        .iter()
        .flat_map(|reference| of_interface(&reference.id))
        .filter_map(|one| one.private_ip_address)
        .collect();
    if !found.is_empty() {
        return found;
    }
    let configured = endpoint.custom_dns_configs.iter().flat_map(|config| &config.ip_addresses);
    configured.filter_map(|text| text.parse().ok()).collect()
}

/// The private endpoint is missing, or its connection does not work.
pub(in crate::causes) fn private_endpoint_not_usable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_private() && !cluster.is_vnet_integrated()) else {
        return Vec::new();
    };
    // Stopping a cluster takes the endpoint away, and starting it makes a new one.
    let stopped = is(cluster.power_state.as_ref().and_then(|state| state.code.as_deref()), "Stopped");
    if stopped || view.planned {
        return Vec::new();
    }
    let reconcile = format!("{}   # asks whether to reconcile; answer y", words::aks_update(view, ""));
    let Some(endpoint) = private_endpoint(view) else {
        if !view.facts.azure_lists(Kind::PrivateEndpoint) {
            return Vec::new();
        }
        return vec![
            Told::new(
                Confidence::Likely,
                "The cluster is private, and none of the private endpoints in the facts leads to it: there is no private address behind its name.",
            )
            .and("The endpoint `kube-apiserver` belongs into the resource group of the nodes; one that the credentials may not read looks missing as well.")
            .setting("privateEndpoints: no kube-apiserver")
            .fix(reconcile),
        ];
    };
    let connections =
        endpoint.private_link_service_connections.iter().chain(&endpoint.manual_private_link_service_connections);
    let state = connections
        .map(|one| &one.private_link_service_connection_state)
        .find(|state| state.status.as_deref().is_some_and(|status| !status.eq_ignore_ascii_case("Approved")));
    let Some(state) = state else { return Vec::new() };
    let status = clean(state.status.as_deref().unwrap_or_default());
    let description = state.description.as_deref().filter(|text| !text.trim().is_empty());
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "The connection of the private endpoint {} is {status}{}, not Approved: its address leads nowhere.",
                clean(&endpoint.name),
                description.map(|text| format!(" ({})", clean(text))).unwrap_or_default()
            ),
        )
        .setting(format!("privateLinkServiceConnectionState.status of {} = {status}", clean(&endpoint.name)))
        .fix(format!(
            "az network private-endpoint show --ids {} --query privateLinkServiceConnections\n{reconcile}",
            id_word(&endpoint.id)
        )),
    ]
}

/// The security group of the API server's subnet denies what the nodes or the load balancer need.
pub(in crate::causes) fn api_subnet_group_blocks(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_vnet_integrated()) else { return Vec::new() };
    let Some(subnet) = api_subnet(view, cluster) else { return Vec::new() };
    let Some(group) = view.security_group(subnet) else { return Vec::new() };
    // One family at a time: a rule for the one says nothing of the other.
    let destination = subnet_set(subnet).ipv4();
    let nodes = outbound::node_subnets(view).known;
    let sources = nodes.iter().fold(AddressSet::empty(), |all, subnet| all.union(&subnet_set(subnet).ipv4()));
    let balancer = AddressSet::from_addresses([AZURE_DNS]);
    let mut evidence = Vec::new();
    let mut settings: Vec<String> = Vec::new();
    let mut fixes: Vec<String> = Vec::new();
    for (port, source, who) in [
        (443, &sources, "the nodes' subnets"),
        (4443, &sources, "the nodes' subnets"),
        (9988, &balancer, "AzureLoadBalancer"),
    ] {
        if source.is_empty() || destination.is_empty() {
            continue;
        }
        let flow = Flow { inbound: true, port, source: source.clone(), destination: destination.clone() };
        let verdict = evaluate(view, group, subnet.id.parent().as_ref(), &flow);
        let Some((first, from)) = verdict.first_denied() else { continue };
        let from = if port == 9988 { who.to_owned() } else { format!("{who} ({})", ranges(&from.cover())) };
        evidence.push(format!("tcp {port} from {from} is denied by the rule {}.", first.name()));
        settings.push(first.name());
        let priority = first.below();
        let source = if port == 9988 {
            "AzureLoadBalancer".to_owned()
        } else {
            sources.cover().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let target = destination.cover().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        fixes.push(format!(
            "az network nsg rule create {} -n allow-aks-api-{port} --priority {priority} --direction Inbound --access Allow --protocol Tcp --source-address-prefixes {source} --destination-address-prefixes {target} --destination-port-ranges {port}",
            azure_options(&group.id, "--nsg-name", group.id.name())
        ));
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    settings.dedup();
    evidence.insert(
        0,
        format!(
            "The network security group {} of the API server's subnet {} keeps the cluster from its own API server.",
            clean(group.id.name()),
            clean(&subnet.name)
        ),
    );
    evidence.push("Nodes go NotReady, and the private address stays silent.".to_owned());
    vec![
        Told { confidence: Some(Confidence::Likely), evidence, ..Told::default() }
            .setting(format!("securityRules of {}: {}", clean(group.id.name()), listed(&settings)))
            .fix(fixes.join("\n")),
    ]
}

/// The API server's subnet is not as AKS wants it.
pub(in crate::causes) fn api_subnet_invalid(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_vnet_integrated()) else { return Vec::new() };
    let Some(subnet) = api_subnet(view, cluster) else { return Vec::new() };
    let mut problems = Vec::new();
    let four: Vec<IpNet> =
        subnet.prefixes().filter_map(|text| text.parse().ok()).filter(|net: &IpNet| net.addr().is_ipv4()).collect();
    if let Some(small) = four.iter().map(IpNet::prefix_len).min().filter(|length| *length > 28) {
        problems.push(format!("It is a /{small}; AKS needs a /28 or wider"));
    }
    if !subnet.delegations.iter().any(|one| is(one.service_name.as_deref(), DELEGATION)) {
        let present: Vec<&str> = subnet.delegations.iter().filter_map(|one| one.service_name.as_deref()).collect();
        problems.push(if present.is_empty() {
            format!("It is not delegated to {DELEGATION}")
        } else {
            format!("It is delegated to {}, not to {DELEGATION}", listed(&present))
        });
    }
    let pools: Vec<&str> = outbound::pools(view)
        .into_iter()
        .filter(|pool| pool.vnet_subnet_id.as_ref() == Some(&subnet.id))
        .map(|pool| pool.name.as_str())
        .collect();
    if !pools.is_empty() {
        problems.push(format!("Node pools are in it as well: {}", listed(&pools)));
    }
    let others: Vec<&str> = subnet
        .ip_configurations
        .iter()
        .filter(|one| one.id.kind().is_some_and(|kind| WORKLOADS.iter().any(|part| kind.contains(part))))
        .map(|one| one.id.name())
        .collect();
    if !others.is_empty() && pools.is_empty() {
        problems.push(format!(
            "Machines are in it as well: {}",
            counted(others.len(), "address of an interface", "addresses of interfaces")
        ));
    }
    // Each cluster takes nine addresses; Azure keeps five of every subnet.
    let newly = view.facts.earlier.as_ref().is_some_and(|earlier| !earlier.is_vnet_integrated());
    let size: u128 = four.iter().map(|net| 1_u128 << u32::from(32 - net.prefix_len())).sum();
    let used = u128::try_from(subnet.ip_configurations.len()).unwrap_or(u128::MAX).saturating_add(RESERVED_BY_AZURE);
    if newly && !four.is_empty() && size.saturating_sub(used) < TAKEN_BY_A_CLUSTER {
        problems.push(format!(
            "{} of its addresses are free, and a cluster takes {TAKEN_BY_A_CLUSTER}",
            size.saturating_sub(used)
        ));
    }
    let Some((first, rest)) = problems.split_first() else { return Vec::new() };
    let told = Told::new(
        Confidence::Certain,
        format!("The API server's subnet {} does not meet the rules. {first}.", clean(&subnet.name)),
    );
    let told = rest.iter().fold(told, |told, problem| told.and(format!("{problem}.")));
    let network = subnet.id.name_of("virtualNetworks").unwrap_or("<vnet>");
    vec![
        told.and(if view.planned { "AKS refuses it." } else { "A later operation of the cluster may fail." })
            .severity(view.refused())
            .setting(format!("apiServerAccessProfile.subnetId = {}", clean(subnet.id.as_str())))
            .fix(format!(
                "# A subnet of its own, /28 or wider:\naz network vnet subnet create {} -n '<name>' --delegations {DELEGATION} --address-prefixes '<cidr>'",
                azure_options(&subnet.id, "--vnet-name", network)
            )),
    ]
}

/// A security group denies the nodes' connections to the API server.
pub(in crate::causes) fn group_denies_443(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let mut told = Vec::new();
    let private = view.private_access() == Some(true);
    let destination = if private {
        let addresses = api_addresses(view);
        if addresses.is_empty() {
            api_subnet(view, cluster).map(subnet_set).unwrap_or_default()
        } else {
            AddressSet::from_addresses(addresses)
        }
        .ipv4()
    } else {
        // Which public address it has is in no facts: what is denied to all of them is denied to it.
        AddressSet::everything().ipv4().difference(&private_space()).difference(&not_routed())
    };
    if destination.is_empty() {
        return told;
    }
    let nodes = outbound::node_subnets(view).known;
    // One finding a group, however many subnets it stands before.
    let mut groups: BTreeMap<(&ArmId, Option<ArmId>), (&NetworkSecurityGroup, Vec<&Subnet>)> = BTreeMap::new();
    for subnet in &nodes {
        let Some(group) = view.security_group(subnet) else { continue };
        groups.entry((&group.id, subnet.id.parent())).or_insert((group, Vec::new())).1.push(subnet);
    }
    for ((_, network), (group, subnets)) in &groups {
        let source = subnets.iter().fold(AddressSet::empty(), |all, one| all.union(&subnet_set(one).ipv4()));
        let flow = Flow { inbound: false, port: 443, source, destination: destination.clone() };
        let verdict = evaluate(view, group, network.as_ref(), &flow);
        let whole = verdict.denied_for(&flow.destination);
        let found = if private { verdict.first_denied() } else { whole };
        let Some((rule, from)) = found.filter(|(_, from)| !from.is_empty()) else { continue };
        let names = listed(subnets.iter().map(|subnet| subnet.name.as_str()));
        let place = format!("{} {names}", if subnets.len() == 1 { "subnet" } else { "subnets" });
        told.push(denied(group, &rule, &place, "Outbound", &from, &destination, private));
    }
    // Groups cover a private endpoint only where its subnet says so.
    let endpoint = private_endpoint(view).filter(|_| cluster.is_private() && !cluster.is_vnet_integrated());
    let subnet = endpoint.and_then(|one| view.azure_subnet(&one.subnet.as_ref()?.id));
    if let Some(subnet) = subnet.filter(|subnet| policies_cover(subnet, "NetworkSecurityGroupEnabled"))
        && let Some(group) = view.security_group(subnet)
    {
        let source = nodes.iter().fold(AddressSet::empty(), |all, one| all.union(&subnet_set(one).ipv4()));
        let flow = Flow { inbound: true, port: 443, source, destination: destination.clone() };
        let verdict = evaluate(view, group, subnet.id.parent().as_ref(), &flow);
        if let Some((rule, from)) = verdict.first_denied() {
            let place = format!("private endpoint's subnet {}", clean(&subnet.name));
            told.push(denied(group, &rule, &place, "Inbound", &from, &destination, true));
        }
    }
    told
}

/// A user-defined route of the nodes' subnets leads the API server's address nowhere.
pub(in crate::causes) fn route_diverts(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let private = view.private_access() == Some(true);
    let addresses = if private { api_addresses(view) } else { Vec::new() };
    if private && addresses.is_empty() {
        return Vec::new();
    }
    let endpoint = private_endpoint(view).filter(|_| !cluster.is_vnet_integrated());
    let endpoint_subnet = endpoint.and_then(|one| view.azure_subnet(&one.subnet.as_ref()?.id));
    let mut told = Vec::new();
    let mut tables: BTreeSet<&ArmId> = BTreeSet::new();
    for subnet in outbound::node_subnets(view).known {
        let Some(reference) = &subnet.route_table else { continue };
        let Some(table) = view.facts.azure.route_tables.iter().flatten().find(|table| table.id == reference.id) else {
            continue;
        };
        if !tables.insert(&table.id) {
            continue;
        }
        let parsed = |route: &Route| route.address_prefix.as_deref().and_then(|text| text.parse::<IpNet>().ok());
        let culprit = if private {
            let network = subnet.id.parent().and_then(|id| view.azure_network(&id));
            addresses.iter().find_map(|address| {
                let system = network.map_or(0, |network| system_length(view, network, *address));
                let ours = table.routes.iter().filter_map(|route| Some((route, parsed(route)?)));
                let (route, net) =
                    ours.filter(|(_, net)| net.contains(address)).max_by_key(|(_, net)| net.prefix_len())?;
                let wins = if endpoint.is_some() {
                    let covered = endpoint_subnet.is_some_and(|subnet| policies_cover(subnet, "RouteTableEnabled"));
                    net.prefix_len() == net.max_prefix_len() || (covered && net.prefix_len() >= system)
                } else {
                    net.prefix_len() >= system
                };
                (wins && is(route.next_hop_type.as_deref(), "None")).then(|| (route, address.to_string()))
            })
        } else {
            // A narrower route, or one for a service tag, may lead to the endpoint all the same.
            let narrower = table.routes.iter().any(|route| match parsed(route) {
                Some(net) => {
                    net.prefix_len() > 0
                        && !private_space().is_superset(&AddressSet::from_nets([&net]))
                        && !is(route.next_hop_type.as_deref(), "None")
                }
                None => true,
            });
            table
                .routes
                .iter()
                .find(|route| is_default_route(route) && is(route.next_hop_type.as_deref(), "None") && !narrower)
                .map(|route| (route, "every public address".to_owned()))
        };
        let Some((route, what)) = culprit else { continue };
        told.push(
            Told::new(
                Confidence::Likely,
                format!(
                    "The route {} of {} leads {what} nowhere (next hop type None), and the nodes of the subnet {} reach the API server by {}.",
                    clean(&route.name),
                    clean(&table.name),
                    clean(&subnet.name),
                    if private { "that address" } else { "its public address" }
                ),
            )
            .setting(format!("routes[].nextHopType of {} ({}) = None", clean(&route.name), clean(&table.name)))
            .fix(format!(
                "az network route-table route delete {} -n {}\n# or lead it where it should go:\naz network route-table route update {} -n {} --next-hop-type '<type>'",
                azure_options(&table.id, "--route-table-name", table.id.name()),
                shell(&route.name),
                azure_options(&table.id, "--route-table-name", table.id.name()),
                shell(&route.name)
            )),
        );
    }
    told
}

/// A peering of the cluster's networks that does not carry traffic.
pub(in crate::causes) fn peering_unusable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|_| view.private_access() == Some(true)) else { return Vec::new() };
    let mut own: BTreeSet<ArmId> = node_networks(view).into_iter().map(|network| network.id.clone()).collect();
    own.extend(api_subnet(view, cluster).and_then(|subnet| subnet.id.parent()));
    own.extend(private_endpoint(view).and_then(|endpoint| endpoint.subnet.as_ref()?.id.parent()));
    let remote = |peering: &Peering| peering.remote_virtual_network.as_ref().map(|remote| remote.id.clone());
    let all: Vec<(ArmId, &Peering)> = view.facts.azure.all_peerings().collect();
    let mut done: BTreeSet<(ArmId, ArmId)> = BTreeSet::new();
    let mut told = Vec::new();
    for (network, peering) in &all {
        let Some(other) = remote(peering) else { continue };
        if !own.contains(network) && !own.contains(&other) {
            continue;
        }
        let pair = if *network < other { (network.clone(), other.clone()) } else { (other.clone(), network.clone()) };
        if !done.insert(pair) {
            continue;
        }
        let back = all.iter().find(|(far, one)| *far == other && remote(one).as_ref() == Some(network));
        let mut problems = Vec::new();
        let mut settings = Vec::new();
        let sides = std::iter::once((network, *peering)).chain(back.map(|(far, one)| (far, *one)));
        for (place, side) in sides {
            let name = format!("{} of {}", clean(&side.name), clean(place.name()));
            if let Some(state) = side.peering_state.as_deref().filter(|state| !state.eq_ignore_ascii_case("Connected"))
            {
                problems.push(format!("{name} is {}, not Connected", clean(state)));
                settings.push(format!("peeringState of {name} = {}", clean(state)));
            }
            if side.allow_virtual_network_access == Some(false) {
                problems
                    .push(format!("{name} does not allow the other network in (`allowVirtualNetworkAccess` is false)"));
                settings.push(format!("allowVirtualNetworkAccess of {name} = false"));
            }
        }
        let missing = back.is_none() && view.azure_network(&other).is_some() && view.facts.azure_lists(Kind::Peering);
        if missing {
            problems.push(format!("{} has no peering back to {}", clean(other.name()), clean(network.name())));
            settings.push(format!(
                "virtualNetworkPeerings of {} (none to {})",
                clean(other.name()),
                clean(network.name())
            ));
        }
        if problems.is_empty() {
            continue;
        }
        if told.len() >= MOST_PEERINGS {
            break;
        }
        let far = if own.contains(network) { &other } else { network };
        let space = view.azure_network(far).map_or_else(
            || set_of_texts(peering.remote_address_space.address_prefixes.iter().map(String::as_str)),
            space_of,
        );
        let affected: Vec<&str> = view
            .vantages
            .iter()
            .filter(|vantage| vantage.addresses.iter().any(|address| space.contains(*address)))
            .map(|vantage| vantage.name.as_str())
            .collect();
        let intended = view
            .intent
            .and_then(|intent| intent.private_access.as_ref())
            .filter(|access| access.enabled)
            .and_then(|access| access.allow.as_ref())
            .is_some_and(|allow| AddressSet::from_nets(allow).overlaps(&space));
        let severity = if intended || !affected.is_empty() { Severity::Error } else { Severity::Warning };
        let mut one = Told::new(
            Confidence::Likely,
            format!(
                "Nothing passes between the networks {} and {}: {}.",
                clean(network.name()),
                clean(other.name()),
                problems.join("; ")
            ),
        );
        if !affected.is_empty() {
            one = one.and(format!("That cuts off {}.", listed(&affected)));
        }
        let initiated = is(peering.peering_state.as_deref(), "Initiated") && back.is_none();
        if initiated && !missing {
            one = one.and("Initiated means that the other side's peering is missing.");
        }
        let mut fix = Vec::new();
        if missing || initiated {
            fix.push(format!(
                "az network vnet peering create {} -n {} --remote-vnet {} --allow-vnet-access true",
                azure_options(&other, "--vnet-name", other.name()),
                shell(&format!("to-{}", network.name())),
                id_word(network)
            ));
        }
        let sides = std::iter::once((network, *peering)).chain(back.map(|(far, one)| (far, *one)));
        for (place, side) in sides {
            let options = azure_options(place, "--vnet-name", place.name());
            if side.allow_virtual_network_access == Some(false) {
                let name = shell(&side.name);
                fix.push(format!(
                    "az network vnet peering update {options} -n {name} --set allowVirtualNetworkAccess=true"
                ));
            }
            if is(side.peering_state.as_deref(), "Disconnected") {
                // Such a side cannot be mended: both are made anew.
                fix.push(format!(
                    "az network vnet peering delete {options} -n {}   # then create both sides anew",
                    shell(&side.name)
                ));
            }
        }
        if fix.is_empty() {
            fix.push(format!(
                "az network vnet peering list {} -o table   # and the same of the other network",
                azure_options(network, "--vnet-name", network.name())
            ));
        }
        told.push(one.severity(severity).setting(settings.join(", ")).fix(fix.join("\n")));
    }
    told
}

/// The subnet of a VNet-integrated API server.
pub(super) fn api_subnet<'a>(view: &ConfigurationView<'a>, cluster: &ManagedCluster) -> Option<&'a Subnet> {
    let id = cluster.api_server_access_profile.as_ref()?.subnet_id.as_ref().filter(|id| !id.is_empty());
    match id {
        Some(id) => view.azure_subnet(id),
        // Without a choice AKS makes one in the network of the node resource group.
        None => outbound::node_group(cluster).and_then(|group| {
            vnets_of_group(view, group)
                .flat_map(|network| &network.subnets)
                .find(|subnet| subnet.delegations.iter().any(|one| is(one.service_name.as_deref(), DELEGATION)))
        }),
    }
}

/// The ranges of a subnet.
pub(super) fn subnet_set(subnet: &Subnet) -> AddressSet {
    set_of_texts(subnet.prefixes())
}

/// Whether the policies of a private endpoint's subnet are on, for this kind or for both.
fn policies_cover(subnet: &Subnet, kind: &str) -> bool {
    let policies = subnet.private_endpoint_network_policies.as_deref();
    is(policies, "Enabled") || is(policies, kind)
}

/// The longest prefix of the routes that Azure makes by itself to an address: the network's own ranges and those of its
/// peers.
fn system_length(view: &ConfigurationView<'_>, network: &VirtualNetwork, address: IpAddr) -> u8 {
    let own = network.address_space.address_prefixes.iter();
    let peers: Vec<&Peering> = view
        .facts
        .azure
        .all_peerings()
        .filter(|(place, peering)| *place == network.id && is(peering.peering_state.as_deref(), "Connected"))
        .map(|(_, peering)| peering)
        .collect();
    let theirs = peers.iter().flat_map(|peering| peering.remote_address_space.address_prefixes.iter());
    own.chain(theirs)
        .filter_map(|text| text.parse::<IpNet>().ok())
        .filter(|net| net.contains(&address))
        .map(|net| net.prefix_len())
        .max()
        .unwrap_or(0)
}

fn leads_to(endpoint: &PrivateEndpoint, cluster: &ManagedCluster) -> bool {
    !cluster.id.is_empty()
        && endpoint
            .private_link_service_connections
            .iter()
            .chain(&endpoint.manual_private_link_service_connections)
            .any(|one| one.private_link_service_id.as_ref() == Some(&cluster.id))
}

fn denied(
    group: &NetworkSecurityGroup,
    rule: &Denier,
    place: &str,
    direction: &str,
    from: &AddressSet,
    to: &AddressSet,
    private: bool,
) -> Told {
    let target = if private { ranges(&to.cover()) } else { "every public address".to_owned() };
    let prefixes = |set: &AddressSet| set.cover().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let destination = if private { prefixes(to) } else { "AzureCloud".to_owned() };
    Told::new(
        Confidence::Likely,
        format!(
            "The network security group {} of the {place} denies tcp 443 {} from {} to {target}, by the rule {}.",
            clean(group.id.name()),
            if direction == "Outbound" { "outbound" } else { "inbound" },
            ranges(&from.cover()),
            rule.name()
        ),
    )
    .and("The nodes do not reach the API server then.")
    .setting(format!("securityRules of {}: {}", clean(group.id.name()), rule.name()))
    .fix(format!(
        "az network nsg rule create {} -n allow-k8s-api --priority {} --direction {direction} --access Allow --protocol Tcp --source-address-prefixes {} --destination-address-prefixes {destination} --destination-port-ranges 443",
        azure_options(&group.id, "--nsg-name", group.id.name()),
        rule.below(),
        prefixes(from)
    ))
}

/// Connections over tcp to one port.
struct Flow {
    inbound: bool,
    port: u16,
    source: AddressSet,
    destination: AddressSet,
}

/// What a group says of a flow.
#[derive(Default)]
struct GroupVerdict {
    /// What is denied for certain: sources, destinations, the rule.
    denied: Vec<(AddressSet, AddressSet, Denier)>,
}

/// A rule that denies.
#[derive(Clone)]
struct Denier {
    rule: String,
    priority: i64,
    /// A priority that is free and comes before it.
    free: Option<i64>,
}

impl Denier {
    fn name(&self) -> String {
        format!("{} {}", self.priority, clean(&self.rule))
    }

    fn below(&self) -> String {
        self.free.map_or_else(|| "'<below the deny>'".to_owned(), |free| free.to_string())
    }
}

impl GroupVerdict {
    /// The first rule that denies anything, and all sources that it denies.
    fn first_denied(&self) -> Option<(Denier, AddressSet)> {
        let (_, _, first) = self.denied.first()?;
        let sources = self
            .denied
            .iter()
            .filter(|(_, _, rule)| rule.priority == first.priority)
            .fold(AddressSet::empty(), |all, (source, ..)| all.union(source));
        Some((first.clone(), sources))
    }

    /// The sources that are denied every one of these destinations.
    fn denied_for(&self, destination: &AddressSet) -> Option<(Denier, AddressSet)> {
        let (_, _, first) = self.denied.first()?;
        let whole = self.denied.iter().filter(|(_, to, _)| to.is_superset(destination));
        Some((first.clone(), whole.fold(AddressSet::empty(), |all, (source, ..)| all.union(source))))
    }
}

/// Asks a group's rules by ascending priority, the provider's own last. What a rule that cannot be evaluated might decide
/// is left out.
fn evaluate(
    view: &ConfigurationView<'_>,
    group: &NetworkSecurityGroup,
    network: Option<&ArmId>,
    flow: &Flow,
) -> GroupVerdict {
    let direction = if flow.inbound { "Inbound" } else { "Outbound" };
    let mut rules: Vec<&SecurityRule> =
        group.security_rules.iter().filter(|rule| is(rule.direction.as_deref(), direction)).collect();
    let own: BTreeSet<i64> = rules.iter().filter_map(|rule| rule.priority).collect();
    let defaults = default_rules();
    if group.default_security_rules.is_empty() {
        rules.extend(defaults.iter().filter(|rule| is(rule.direction.as_deref(), direction)));
    } else {
        rules.extend(group.default_security_rules.iter().filter(|rule| is(rule.direction.as_deref(), direction)));
    }
    rules.sort_by_key(|rule| rule.priority.unwrap_or(i64::MAX));
    let mut verdict = GroupVerdict::default();
    let inside = virtual_network(view, network);
    let mut open = vec![(flow.source.clone(), flow.destination.clone())];
    for rule in rules {
        let Some(matched) = matches(view, rule, &inside, flow) else { continue };
        let mut rest = Vec::new();
        for (source, destination) in open {
            let (from, to) = (source.intersection(&matched.source), destination.intersection(&matched.destination));
            if from.is_empty() || to.is_empty() {
                rest.push((source, destination));
                continue;
            }
            for (source, destination) in
                [(source.difference(&from), destination.clone()), (from.clone(), destination.difference(&to))]
            {
                if !source.is_empty() && !destination.is_empty() {
                    rest.push((source, destination));
                }
            }
            if matched.known && is(rule.access.as_deref(), "Deny") {
                let priority = rule.priority.unwrap_or(i64::MAX);
                let free = (100..priority.min(4097)).rev().find(|one| !own.contains(one));
                verdict.denied.push((from, to, Denier { rule: rule.name.clone(), priority, free }));
            }
        }
        open = rest;
        if open.is_empty() || open.len() > MOST_PIECES || verdict.denied.len() > MOST_PIECES {
            break;
        }
    }
    verdict
}

/// What of a flow a rule speaks of. `known`: it is all that, and nothing else decides.
struct Matched {
    source: AddressSet,
    destination: AddressSet,
    known: bool,
}

/// `None` when the rule speaks of something else.
fn matches(view: &ConfigurationView<'_>, rule: &SecurityRule, inside: &AddressSet, flow: &Flow) -> Option<Matched> {
    let protocol = rule.protocol.as_deref().unwrap_or("*");
    if protocol != "*" && !is(Some(protocol), "Tcp") && !is(Some(protocol), "Any") {
        return None;
    }
    let ports = |one: &Option<String>, several: &[String]| -> Vec<String> {
        one.iter().filter(|text| !text.is_empty()).chain(several).cloned().collect()
    };
    let to_ports = ports(&rule.destination_port_range, &rule.destination_port_ranges);
    if !to_ports.iter().any(|text| holds_port(text, flow.port)) {
        return None;
    }
    let from_ports = ports(&rule.source_port_range, &rule.source_port_ranges);
    let mut known = from_ports.is_empty() || from_ports.iter().any(|text| text == "*" || text == "0-65535");
    let mut side = |one: &Option<String>, several: &[String], groups: usize, whole: &AddressSet| {
        if groups > 0 {
            known = false;
            return whole.clone();
        }
        let mut set = AddressSet::empty();
        for text in ports(one, several) {
            match prefix(view, &text, inside, whole) {
                Some(part) => set = set.union(&part),
                None => {
                    known = false;
                    return whole.clone();
                }
            }
        }
        set
    };
    let source = side(
        &rule.source_address_prefix,
        &rule.source_address_prefixes,
        rule.source_application_security_groups.len(),
        &flow.source,
    );
    let destination = side(
        &rule.destination_address_prefix,
        &rule.destination_address_prefixes,
        rule.destination_application_security_groups.len(),
        &flow.destination,
    );
    Some(Matched { source, destination, known })
}

/// What a rule's word stands for; `None` when the facts do not tell. `inside`: what the tag `VirtualNetwork` stands for;
/// `asked`: the addresses in question.
fn prefix(view: &ConfigurationView<'_>, text: &str, inside: &AddressSet, asked: &AddressSet) -> Option<AddressSet> {
    let text = text.trim();
    if text == "*" || text.eq_ignore_ascii_case("any") {
        return Some(AddressSet::everything());
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(AddressSet::from_nets([&net]));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(AddressSet::from_addresses([address]));
    }
    if text.eq_ignore_ascii_case("VirtualNetwork") {
        // Networks behind a gateway belong to it as well, and the facts may not name them.
        let beyond = asked.difference(inside).intersection(&private_space());
        return beyond.is_empty().then(|| inside.clone());
    }
    if text.eq_ignore_ascii_case("AzureLoadBalancer") {
        return Some(AddressSet::from_addresses([AZURE_DNS]));
    }
    if text.eq_ignore_ascii_case("Internet") {
        return Some(AddressSet::everything().difference(&private_space()).difference(inside));
    }
    if let Some(set) = super::ranges::of_tag(view, text) {
        return Some(set);
    }
    // All other tags stand for public addresses of Azure's services.
    private_space().is_superset(asked).then(AddressSet::empty)
}

/// What the tag `VirtualNetwork` stands for in a network: its own ranges and those of its peers.
fn virtual_network(view: &ConfigurationView<'_>, id: Option<&ArmId>) -> AddressSet {
    let Some(id) = id else { return AddressSet::empty() };
    let own = view.azure_network(id).map(space_of).unwrap_or_default();
    view.facts
        .azure
        .all_peerings()
        .filter(|(place, peering)| place == id && peering.allow_virtual_network_access != Some(false))
        .map(|(_, peering)| set_of_texts(peering.remote_address_space.address_prefixes.iter().map(String::as_str)))
        .fold(own, |all, one| all.union(&one))
}

fn holds_port(text: &str, port: u16) -> bool {
    if text == "*" {
        return true;
    }
    match text.split_once('-') {
        Some((first, last)) => {
            matches!((first.trim().parse::<u16>(), last.trim().parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
        }
        None => text.trim().parse() == Ok(port),
    }
}

/// The rules that every group has
/// (<https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview#default-security-rules>), for
/// files that leave them out.
fn default_rules() -> Vec<SecurityRule> {
    let rule =
        |direction: &str, priority: i64, name: &str, source: &str, destination: &str, access: &str| SecurityRule {
            name: name.to_owned(),
            direction: Some(direction.to_owned()),
            access: Some(access.to_owned()),
            priority: Some(priority),
            protocol: Some("*".to_owned()),
            source_address_prefix: Some(source.to_owned()),
            destination_address_prefix: Some(destination.to_owned()),
            destination_port_range: Some("*".to_owned()),
            source_port_range: Some("*".to_owned()),
            ..SecurityRule::default()
        };
    vec![
        rule("Inbound", 65_000, "AllowVnetInBound", "VirtualNetwork", "VirtualNetwork", "Allow"),
        rule("Inbound", 65_001, "AllowAzureLoadBalancerInBound", "AzureLoadBalancer", "*", "Allow"),
        rule("Inbound", 65_500, "DenyAllInBound", "*", "*", "Deny"),
        rule("Outbound", 65_000, "AllowVnetOutBound", "VirtualNetwork", "VirtualNetwork", "Allow"),
        rule("Outbound", 65_001, "AllowInternetOutBound", "*", "Internet", "Allow"),
        rule("Outbound", 65_500, "DenyAllOutBound", "*", "*", "Deny"),
    ]
}

fn set_of_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> AddressSet {
    let nets: Vec<IpNet> = texts.into_iter().filter_map(|text| text.trim().parse().ok()).collect();
    AddressSet::from_nets(&nets)
}

/// Public in form only: nobody answers there.
fn not_routed() -> AddressSet {
    set_of_texts(["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "168.63.129.16/32"])
}

/// `-g rg -n cluster` of the cluster that a finding is about, for commands that start with it.
pub(super) fn reconcile(view: &ConfigurationView<'_>) -> String {
    format!("az aks update {}   # asks whether to reconcile; answer y", aks_options(view))
}

/// Azure's resolver, and where its load balancers' probes come from
/// (<https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>).
pub(super) const AZURE_DNS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(168, 63, 129, 16));
const DELEGATION: &str = "Microsoft.ContainerService/managedClusters";
/// Parts of the types of what a machine has in a subnet.
const WORKLOADS: [&str; 2] = ["networkinterfaces", "virtualmachinescalesets"];
const TAKEN_BY_A_CLUSTER: u128 = 9;
const RESERVED_BY_AZURE: u128 = 5;
const MOST_PIECES: usize = 256;
/// More findings than anybody reads.
const MOST_PEERINGS: usize = 64;
