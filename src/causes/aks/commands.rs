//! The `az` commands that the causes of AKS and of Azure's network print: complete, quote-safe, with the values of the
//! facts, and with the whole list wherever the provider replaces it.

use std::net::IpAddr;

use crate::{
    causes::{
        configuration::words::azure_options,
        evidence::{clean, host_prefix, shell},
    },
    facts::{
        Facts,
        aks::{AuthorizedSource, ManagedCluster},
        azure::{ArmId, Peering, SecurityRule},
    },
};

/// Resource group and name of the cluster as shell words; `<rg>` and `<cluster>` where they are not known.
pub(in crate::causes) fn group_and_name(facts: &Facts) -> (String, String) {
    let cluster = facts.managed_cluster.as_ref();
    let name = cluster.map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty());
    (word(cluster.and_then(|cluster| cluster.resource_group()), "<rg>"), word(name, "<cluster>"))
}

/// Puts in what the cluster itself gives: `<rg>`, `<cluster>`, `<node-rg>`, `<region>`. Its own options get the
/// subscription, without which `az` may act in another.
pub(in crate::causes) fn filled_in(facts: &Facts, text: &str) -> String {
    let (group, name) = group_and_name(facts);
    let cluster = facts.managed_cluster.as_ref();
    let nodes = word(cluster.and_then(|cluster| cluster.node_resource_group.as_deref()), "<node-rg>");
    let region = word(cluster.and_then(|cluster| cluster.location.as_deref()), "<region>");
    let subscription = subscription_option(facts);
    text.replace("-g <rg> -n <cluster>", &format!("-g <rg> -n <cluster>{subscription}"))
        .replace("-g <node-rg>", &format!("-g <node-rg>{subscription}"))
        .replace("<node-rg>", &nodes)
        .replace("<rg>", &group)
        .replace("<cluster>", &name)
        .replace("<region>", &region)
}

/// `az aks <verb> -g <rg> -n <cluster> --subscription <id>`, and what follows.
pub(in crate::causes) fn aks(facts: &Facts, verb: &str, rest: &str) -> String {
    let (group, name) = group_and_name(facts);
    let space = if rest.is_empty() { "" } else { " " };
    format!("az aks {verb} -g {group} -n {name}{}{space}{rest}", subscription_option(facts))
}

/// Lets AKS bring the cluster to its declared state.
pub(in crate::causes) fn reconcile(facts: &Facts) -> String {
    aks(facts, "update", "  # asks whether to reconcile; answer y")
}

/// Writes the kubeconfig anew, with the public name where that is wanted.
pub(in crate::causes) fn kubeconfig(facts: &Facts, public_name: bool) -> String {
    let public = if public_name { " --public-fqdn" } else { "" };
    aks(facts, "get-credentials", &format!("--overwrite-existing{public}"))
}

/// The authorized ranges as the facts print them.
pub(in crate::causes) fn entries(facts: &Facts) -> Vec<String> {
    let cluster = facts.managed_cluster.as_ref();
    let access = cluster.and_then(|cluster| cluster.api_server_access_profile.as_ref());
    access
        .map(|access| access.authorized_ip_ranges.iter().map(|entry| entry.text().to_owned()).collect())
        .unwrap_or_default()
}

/// Lets these ranges in besides those on the list. Two lists cannot be added to: the empty one, which lets everybody in,
/// and `0.0.0.0/32`, which may not be combined; then the command sets the cluster's own outbound addresses and these.
pub(in crate::causes) fn add_ranges(facts: &Facts, new: &[String]) -> String {
    let present = entries(facts);
    let only_itself = facts
        .managed_cluster
        .iter()
        .any(|cluster| cluster.access().authorized_ip_ranges.iter().any(AuthorizedSource::is_outbound_only));
    if present.is_empty() {
        return format!(
            "# The list is empty, so everybody is let in: a first range cuts off all others. Name every source, nodes included:\n{}",
            set_ranges(facts, &with_outbound(facts, new))
        );
    }
    if only_itself {
        return format!(
            "# 0.0.0.0/32 may not be combined with ranges: the cluster's own outbound addresses take its place.\n{}",
            set_ranges(facts, &with_outbound(facts, new))
        );
    }
    let mut list = present;
    list.extend(new.iter().filter(|range| !list.contains(range)).cloned().collect::<Vec<_>>());
    format!("# The call replaces the list: the present entries stay in it.\n{}", set_ranges(facts, &list))
}

/// Makes the list exactly this one. An empty list would let everybody in, so it is never written.
pub(in crate::causes) fn set_ranges(facts: &Facts, list: &[String]) -> String {
    if list.is_empty() {
        return format!(
            "# An empty list lets everybody in: name the real sources, the cluster's own outbound addresses included.\n{}",
            aks(facts, "update", "--api-server-authorized-ip-ranges <ranges>")
        );
    }
    let integrated = facts.managed_cluster.as_ref().is_some_and(ManagedCluster::is_vnet_integrated);
    let most = if integrated { MOST_RANGES_INTEGRATED } else { MOST_RANGES };
    let too_many = if list.len() > most {
        format!(
            "# {} entries, and AKS takes {most}: join ranges first (`kubereach facts lint` prints the minimal list).\n",
            list.len()
        )
    } else {
        String::new()
    };
    let words: Vec<String> = list.iter().map(|entry| word_of_a_list(entry)).collect();
    format!("{too_many}{}", aks(facts, "update", &format!("--api-server-authorized-ip-ranges {}", words.join(","))))
}

/// The cluster's own outbound addresses as entries of a list: those of its load balancer, NAT gateway or firewall as far
/// as the facts hold them; `<outbound ips>` where they do not.
pub(in crate::causes) fn outbound_ranges(facts: &Facts) -> Vec<String> {
    let profile = facts.managed_cluster.as_ref().and_then(|cluster| cluster.network_profile.as_ref());
    let in_use: Vec<&ArmId> = profile
        .into_iter()
        .flat_map(|profile| [&profile.load_balancer_profile, &profile.nat_gateway_profile])
        .flatten()
        .flat_map(|outbound| outbound.effective_outbound_ips.iter())
        .map(|reference| &reference.id)
        .collect();
    let mut ranges: Vec<String> = Vec::new();
    let mut add = |range: String| {
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    };
    for id in &in_use {
        let address = facts.azure.public_ip_addresses.iter().flatten().find(|one| &one.id == *id);
        if let Some(address) = address.and_then(|one| one.ip_address) {
            add(single(address));
        }
        let prefix = facts.azure.public_ip_prefixes.iter().flatten().find(|one| &one.id == *id);
        if let Some(prefix) = prefix.and_then(|one| one.ip_prefix.as_deref()) {
            add(prefix.to_owned());
        }
    }
    if ranges.is_empty() { vec![OUTBOUND.to_owned()] } else { ranges }
}

/// Links a zone to a network.
pub(in crate::causes) fn link_zone(zone: &ArmId, network: &ArmId) -> String {
    format!(
        "az network private-dns link vnet create {} -n {} --virtual-network {} --registration-enabled false",
        azure_options(zone, "-z", zone.name()),
        shell(&format!("{}-link", network.name())),
        shell(network.as_str())
    )
}

/// Lets public DNS be asked for what a linked zone does not know.
pub(in crate::causes) fn redirect_link(zone: &ArmId, link: &ArmId) -> String {
    format!(
        "az network private-dns link vnet update {} -n {} --resolution-policy NxDomainRedirect",
        azure_options(zone, "-z", zone.name()),
        word(Some(link.name()), "<link>")
    )
}

/// A rule that a network security group needs.
pub(in crate::causes) struct NsgRule<'a> {
    /// The group.
    pub(in crate::causes) group: &'a ArmId,
    /// Into the subnet, rather than out of it.
    pub(in crate::causes) inbound: bool,
    /// The rule that it must stand before; `None` puts it first.
    pub(in crate::causes) before: Option<i64>,
    /// Range or service tag.
    pub(in crate::causes) source: &'a str,
    /// Range or service tag.
    pub(in crate::causes) destination: &'a str,
    /// `443`, or `443 4443`.
    pub(in crate::causes) ports: &'a str,
    /// The rule's name.
    pub(in crate::causes) name: &'a str,
}

/// Adds a rule to a network security group: the highest free priority before the rule that denies.
pub(in crate::causes) fn add_nsg_rule(facts: &Facts, rule: &NsgRule<'_>) -> String {
    let group = facts.azure.network_security_groups.iter().flatten().find(|one| one.id == *rule.group);
    let priority = group.map_or_else(
        || "<below the deny>".to_owned(),
        |group| match free_priority(&group.security_rules, rule.inbound, rule.before) {
            Some(number) => number.to_string(),
            None => "<free a number before the rule that denies>".to_owned(),
        },
    );
    format!(
        "az network nsg rule create {} -n {} --priority {priority} --direction {} --access Allow --protocol Tcp --source-address-prefixes {} --destination-address-prefixes {} --destination-port-ranges {}",
        azure_options(rule.group, "--nsg-name", rule.group.name()),
        shell(rule.name),
        if rule.inbound { "Inbound" } else { "Outbound" },
        prefix_word(rule.source),
        prefix_word(rule.destination),
        rule.ports
    )
}

/// Leads a route elsewhere.
pub(in crate::causes) fn update_route(table: &ArmId, route: &str, next_hop_type: &str) -> String {
    format!(
        "az network route-table route update {} -n {} --next-hop-type {next_hop_type}",
        azure_options(table, "--route-table-name", table.name()),
        word(Some(route), "<route>")
    )
}

/// Makes one side of a peering.
pub(in crate::causes) fn create_peering(network: &ArmId, remote: &ArmId) -> String {
    format!(
        "az network vnet peering create {} -n {} --remote-vnet {} --allow-vnet-access true",
        azure_options(network, "--vnet-name", network.name()),
        shell(&format!("{}-to-{}", network.name(), remote.name())),
        shell(remote.as_str())
    )
}

/// Makes a peering anew that was cut off: what is left of either side must go before it can be created again
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-peering>).
pub(in crate::causes) fn renew_peering(facts: &Facts, network: &ArmId, remote: &ArmId) -> String {
    let leads =
        |peering: &Peering, to: &ArmId| peering.remote_virtual_network.as_ref().is_some_and(|one| one.id == *to);
    let mut lines = vec!["# Disconnected: delete what is left of both sides, and make both anew:".to_owned()];
    for (here, there) in [(network, remote), (remote, network)] {
        let own = facts.azure.all_peerings().filter(|(place, peering)| place == here && leads(peering, there));
        lines.extend(own.map(|(_, peering)| {
            let options = azure_options(here, "--vnet-name", here.name());
            format!("az network vnet peering delete {options} -n {}", shell(peering.id.name()))
        }));
    }
    lines.push(create_peering(network, remote));
    lines.push(create_peering(remote, network));
    lines.join("\n")
}

/// Changes one side of a peering: `--set allowVirtualNetworkAccess=true`.
pub(in crate::causes) fn set_peering(peering: &ArmId, setting: &str) -> String {
    format!(
        "az network vnet peering update {} -n {} --set {setting}",
        azure_options(peering, "--vnet-name", peering.name_of("virtualNetworks").unwrap_or("<vnet>")),
        word(Some(peering.name()), "<name>")
    )
}

/// The range that is this address alone.
pub(in crate::causes) fn single(address: IpAddr) -> String {
    format!("{address}/{}", host_prefix(address))
}

/// The cluster's own outbound addresses, then these.
fn with_outbound(facts: &Facts, new: &[String]) -> Vec<String> {
    let mut list = outbound_ranges(facts);
    list.extend(new.iter().filter(|range| !list.contains(range)).cloned().collect::<Vec<_>>());
    list
}

/// The highest number before the rule that denies at which no rule of this direction stands; from 100 to 4096
/// (<https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview>).
fn free_priority(rules: &[SecurityRule], inbound: bool, before: Option<i64>) -> Option<i64> {
    let wanted = if inbound { "Inbound" } else { "Outbound" };
    let taken = |number: i64| {
        rules.iter().any(|rule| {
            rule.priority == Some(number)
                && rule.direction.as_deref().is_some_and(|direction| direction.eq_ignore_ascii_case(wanted))
        })
    };
    let below = before.unwrap_or(LAST_PRIORITY + 1).min(LAST_PRIORITY + 1);
    (FIRST_PRIORITY..below).rev().find(|number| !taken(*number))
}

/// ` --subscription <id>`; empty where it is not known.
fn subscription_option(facts: &Facts) -> String {
    let of_cluster = facts.managed_cluster.as_ref().and_then(ManagedCluster::subscription);
    let of_manifest = || facts.manifest.as_ref().and_then(|manifest| manifest.account.as_deref());
    let known = of_cluster.or_else(of_manifest).filter(|id| !id.is_empty());
    known.map(|id| format!(" --subscription {}", shell(id))).unwrap_or_default()
}

/// A shell word, or the placeholder where nothing is known.
fn word(text: Option<&str>, placeholder: &str) -> String {
    text.filter(|text| !text.is_empty()).map_or_else(|| placeholder.to_owned(), shell)
}

/// An entry of a list that is joined by commas.
fn word_of_a_list(entry: &str) -> String {
    if entry == OUTBOUND { entry.to_owned() } else { shell(&entry.replace(',', "")) }
}

/// A prefix of a rule; `*` must not reach the shell bare.
fn prefix_word(prefix: &str) -> String {
    if prefix.starts_with('<') { prefix.to_owned() } else { shell(&clean(prefix)) }
}

/// Where the cluster's outbound addresses are not in the facts.
pub(in crate::causes) const OUTBOUND: &str = "<outbound ips>";
/// <https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>
const MOST_RANGES: usize = 200;
/// The same with API-server `VNet` integration.
const MOST_RANGES_INTEGRATED: usize = 2_000;
const FIRST_PRIORITY: i64 = 100;
const LAST_PRIORITY: i64 = 4_096;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn facts(ranges: &[&str]) -> Facts {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
        let address = "/subscriptions/s/resourceGroups/MC_rg/providers/Microsoft.Network/publicIPAddresses/outbound";
        let show = json!({
            "id": id, "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters", "location": "westeurope",
            "properties": {
                "apiServerAccessProfile": { "authorizedIPRanges": ranges },
                "networkProfile": { "loadBalancerProfile": { "effectiveOutboundIPs": [{ "id": address }] } },
            },
        });
        let group = json!([{
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg",
            "name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "properties": { "securityRules": [
                { "name": "deny", "properties": { "priority": 200, "direction": "Outbound", "access": "Deny" } },
                { "name": "other", "properties": { "priority": 199, "direction": "Outbound", "access": "Allow" } },
                { "name": "in", "properties": { "priority": 198, "direction": "Inbound", "access": "Allow" } },
            ] },
        }]);
        let addresses = json!([{
            "id": address, "name": "outbound", "type": "Microsoft.Network/publicIPAddresses",
            "properties": { "ipAddress": "20.1.2.3" },
        }]);
        let documents = [("aks/show.json", show), ("network/nsg.json", group), ("network/ips.json", addresses)];
        crate::facts::from_documents(
            Path::new("facts"),
            documents.map(|(name, value)| (Path::new(name).to_owned(), serde_json::to_vec(&value).unwrap())),
        )
        .unwrap()
    }

    fn last_line(text: &str) -> &str {
        text.lines().last().unwrap()
    }

    #[test]
    fn ranges_are_added_to_the_present_list_and_never_to_one_that_cannot_be_added_to() {
        let new = ["198.51.100.7/32".to_owned()];
        let command = |ranges: &[&str]| last_line(&add_ranges(&facts(ranges), &new)).to_owned();
        let update = "az aks update -g rg -n prod --subscription s --api-server-authorized-ip-ranges";
        assert_eq!(command(&["11.0.0.0/8"]), format!("{update} 11.0.0.0/8,198.51.100.7/32"));
        assert_eq!(command(&["198.51.100.7/32"]), format!("{update} 198.51.100.7/32"));
        for stops in [&[][..], &["0.0.0.0/32"]] {
            assert_eq!(command(stops), format!("{update} 20.1.2.3/32,198.51.100.7/32"), "{stops:?}");
        }
        assert!(add_ranges(&facts(&[]), &new).contains("cuts off all others"));
        assert!(last_line(&set_ranges(&facts(&[]), &[])).ends_with("<ranges>"));
        let many: Vec<String> = (0..201).map(|number| format!("20.0.{number}.0/24")).collect();
        assert!(set_ranges(&facts(&[]), &many).starts_with("# 201 entries, and AKS takes 200"));
    }

    #[test]
    fn a_rule_gets_the_next_free_number_before_the_one_that_denies() {
        let facts = facts(&[]);
        let group =
            ArmId::from("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg");
        let rule = |inbound, before| NsgRule {
            group: &group,
            inbound,
            before,
            source: "10.0.0.0/16",
            destination: "*",
            ports: "443",
            name: "allow-k8s-api",
        };
        let priority = |inbound, before| {
            let command = add_nsg_rule(&facts, &rule(inbound, before));
            command.split("--priority ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
        };
        assert_eq!(
            [priority(false, Some(200)), priority(true, Some(200)), priority(false, None)],
            ["198", "199", "4096"]
        );
        assert_eq!(priority(false, Some(100)), "<free");
        assert!(add_nsg_rule(&facts, &rule(true, None)).contains("--destination-address-prefixes '*'"));
    }

    #[test]
    fn what_is_not_known_is_a_placeholder() {
        let none = Facts::default();
        assert_eq!(aks(&none, "start", ""), "az aks start -g <rg> -n <cluster>");
        assert_eq!(aks(&facts(&[]), "start", ""), "az aks start -g rg -n prod --subscription s");
        assert_eq!(outbound_ranges(&none), [OUTBOUND]);
        assert_eq!(
            filled_in(&facts(&[]), "-g <rg> -n <cluster> <node-rg> <region>"),
            "-g rg -n prod --subscription s <node-rg> westeurope"
        );
    }
}
