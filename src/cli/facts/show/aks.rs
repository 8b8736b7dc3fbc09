//! The same for an AKS cluster.

use super::{allow_lists, few, field, heading, let_in, not_in_the_facts, on_off, section, title};
use crate::{
    causes::configuration::aks_summary::{AksSummary, NetworkSummary, NodeSubnetSummary, ZoneSummary},
    facts::azure::ArmId,
    report::page::{Page, Paper},
};

/// The page for people; every list is bounded, and says how much more there is.
pub(super) fn page(summary: &AksSummary, paper: Paper) -> String {
    let mut page = Page::new(paper);
    let place = [summary.location.as_deref(), summary.resource_group.as_deref(), summary.subscription.as_deref()];
    title(&mut page, summary.cluster.as_deref(), &place);
    cluster(&mut page, summary);
    who_is_let_in(&mut page, summary);
    egress(&mut page, summary);
    private(&mut page, summary);
    let subnets: Vec<Vec<String>> = summary.node_subnets.iter().map(subnet).collect();
    section(&mut page, "NODE SUBNETS", &subnets);
    networks(&mut page, &summary.networks);
    not_in_the_facts(&mut page, &summary.gaps);
    page.finish()
}

fn cluster(page: &mut Page, summary: &AksSummary) {
    let state = [summary.provisioning_state.as_deref(), summary.power_state.as_deref()];
    let state: Vec<&str> = state.into_iter().flatten().collect();
    field(page, "state", (!state.is_empty()).then(|| state.join(", ")));
    field(page, "version", summary.version.clone());
    let mode = summary.mode.map(|mode| match mode {
        "private-endpoint" => "private, by a private endpoint".to_owned(),
        other => other.replace("-vnet-integrated", ", VNet-integrated"),
    });
    field(page, "mode", mode);
    if summary.fqdn.is_some() || summary.private_fqdn.is_none() {
        field(page, "public name", summary.fqdn.clone());
    }
    if summary.private_fqdn.is_some() {
        field(page, "private name", summary.private_fqdn.clone());
    }
    field(page, "facts read", summary.read_at.map(|time| time.to_string()));
}

fn who_is_let_in(page: &mut Page, summary: &AksSummary) {
    heading(page, "WHO IS LET IN");
    field(page, "public endpoint", summary.public_access.map(on_off));
    if let Some(list) = &summary.allow_list {
        allow_lists(page, list);
    }
    field(page, "private addresses", summary.private_access.map(on_off));
    if let Some(on) = summary.run_command {
        field(page, "run command", Some(on_off(on)));
    }
}

fn egress(page: &mut Page, summary: &AksSummary) {
    let how = [
        summary.outbound_type.as_ref().map(|kind| format!("outbound type {kind}")),
        summary.load_balancer_sku.as_ref().map(|sku| format!("load balancer {sku}")),
    ];
    let how: Vec<String> = how.into_iter().flatten().collect();
    let first = (!how.is_empty()).then(|| vec![how.join(", ")]);
    let known = summary.egress.iter().map(|one| vec![one.range.clone(), one.by.clone(), let_in(one.listed).to_owned()]);
    super::egress(page, first.into_iter().chain(known), &summary.egress_unknown);
}

fn private(page: &mut Page, summary: &AksSummary) {
    if summary.private_access != Some(true) {
        return;
    }
    heading(page, "PRIVATE PATH");
    if let Some(endpoint) = &summary.private_endpoint {
        let state = endpoint.state.as_deref().unwrap_or("state not known");
        let subnet = endpoint.subnet.as_deref().map_or_else(String::new, |id| format!(", in {}", place(id)));
        field(page, "private endpoint", Some(format!("{}, {state}{subnet}", short(&endpoint.id))));
    }
    if let Some(subnet) = &summary.api_server_subnet {
        let group = subnet.network_security_group.as_deref().unwrap_or("none");
        field(
            page,
            "API server subnet",
            Some(format!("{}, {}, security group {group}", place(&subnet.id), few(&subnet.ranges, 2))),
        );
    }
    let addresses: Vec<String> = summary.api_server_addresses.iter().map(ToString::to_string).collect();
    field(page, "API server addresses", (!addresses.is_empty()).then(|| few(&addresses, 4)));
    if let Some(zone) = &summary.zone {
        zone_fields(page, zone);
    }
    if let Some(on) = summary.public_fqdn {
        field(page, "public name for it", Some(on_off(on)));
    }
}

fn zone_fields(page: &mut Page, zone: &ZoneSummary) {
    let setting = zone.setting.as_deref().map(|text| if text.starts_with('/') { "of the user" } else { text });
    let name = match (setting, zone.name.as_deref()) {
        (Some("none"), None) => Some("none".to_owned()),
        (Some(setting), Some(name)) => Some(format!("{name} ({setting})")),
        (Some(setting), None) => Some(format!("{setting}, not in the facts")),
        (None, name) => name.map(str::to_owned),
    };
    field(page, "private DNS zone", name);
    if setting == Some("none") {
        return;
    }
    let links = zone.links.as_ref().map(|links| links.iter().map(|id| short(id)).collect::<Vec<_>>());
    field(
        page,
        "linked to",
        links.map(|links| if links.is_empty() { "no network".to_owned() } else { few(&links, 8) }),
    );
    let record = zone.record.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    field(page, "record", record.map(|all| if all.is_empty() { "none".to_owned() } else { few(&all, 4) }));
}

fn subnet(subnet: &NodeSubnetSummary) -> Vec<String> {
    let mut with = Vec::new();
    for (word, name) in [
        ("security group", &subnet.network_security_group),
        ("route table", &subnet.route_table),
        ("NAT gateway", &subnet.nat_gateway),
    ] {
        with.extend(name.as_ref().map(|name| format!("{word} {name}")));
    }
    let ranges = if subnet.ranges.is_empty() { "not in the facts".to_owned() } else { few(&subnet.ranges, 2) };
    vec![place(&subnet.id), ranges, with.join(", ")]
}

fn networks(page: &mut Page, networks: &[NetworkSummary]) {
    let rows = networks.iter().map(|network| {
        let servers = &network.dns_servers;
        let dns = if servers.is_empty() { "Azure DNS".to_owned() } else { format!("DNS {}", few(servers, 4)) };
        vec![short(&network.id), few(&network.ranges, 4), dns]
    });
    section(page, "NETWORKS", &rows.collect::<Vec<_>>());
    let peerings = networks.iter().flat_map(|network| {
        network.peerings.iter().map(|peering| {
            let to = peering.to.as_deref().map_or_else(|| "?".to_owned(), short);
            let state = peering.state.clone().unwrap_or_else(|| "state not known".to_owned());
            vec![short(&network.id), peering.name.clone(), format!("to {to}"), state]
        })
    });
    section(page, "PEERINGS", &peerings.collect::<Vec<_>>());
}

/// The resource's own name.
fn short(id: &str) -> String {
    ArmId::new(id).name().to_owned()
}

/// `vnet/subnet`.
fn place(id: &str) -> String {
    let id = ArmId::new(id);
    match id.name_of("virtualNetworks") {
        Some(network) => format!("{network}/{}", id.name()),
        None => id.name().to_owned(),
    }
}
