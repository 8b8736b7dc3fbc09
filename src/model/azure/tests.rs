use serde_json::{Value, json};

use super::{
    Network,
    testing::{Documents, group, hub_and_spokes, id, reference, rule},
    trace,
};
use crate::model::trace::{HopKind, Outcome, PeeringProblem, Reason, Trace, TraceError};

fn ask(documents: &Documents, from: &str, to: &str, port: u16) -> Result<Trace, TraceError> {
    let facts = documents.facts();
    trace(&Network::new(&facts.azure), &from.parse().unwrap(), &to.parse().unwrap(), port)
}

/// `outcome; blocker; ? unknown`.
fn told(documents: &Documents, from: &str, to: &str) -> String {
    let traced = ask(documents, from, to, 443).unwrap();
    let mut words = vec![traced.outcome.label().to_owned()];
    words.extend(traced.blockers().map(|hop| format!("{}: {}", hop.component, hop.rule)));
    words.extend(traced.unknowns().map(|hop| format!("? {}: {}", hop.component, hop.rule)));
    words.join("; ")
}

/// Name, range and next hop of routes.
type Routes = &'static [(&'static str, &'static str, &'static str)];

const NETWORKS: &str = "network/virtual-networks.json";
const GROUPS: &str = "network/network-security-groups.json";
const TABLES: &str = "network/route-tables.json";
const INTERFACES: &str = "network/network-interfaces.json";

/// Gives the first subnet of a network (by place) a security group of these rules.
fn guard(documents: &mut Documents, network: usize, rules: Vec<Value>) {
    let name = format!("nsg-{network}");
    documents.at(NETWORKS)[network]["subnets"][0]["networkSecurityGroup"] =
        reference(id("rg", &format!("networkSecurityGroups/{name}")));
    documents.at(GROUPS).as_array_mut().unwrap().push(group(&name, rules));
}

/// Gives the first subnet of a network a route table: prefix, kind and address of next hop each.
fn routes(documents: &mut Documents, network: usize, routes: &[(&str, &str, &str)]) {
    let name = format!("rt-{network}");
    let own = id("rg", &format!("routeTables/{name}"));
    documents.at(NETWORKS)[network]["subnets"][0]["routeTable"] = reference(own.as_str());
    let routes: Vec<Value> = routes
        .iter()
        .enumerate()
        .map(|(place, (prefix, kind, address))| {
            json!({"name": format!("r{place}"), "addressPrefix": prefix, "nextHopType": kind, "nextHopIpAddress": address})
        })
        .collect();
    let table = json!({"id": own, "name": name, "type": "Microsoft.Network/routeTables", "routes": routes});
    documents.at(TABLES).as_array_mut().unwrap().push(table);
}

#[test]
fn one_network_and_its_peers() {
    let documents = hub_and_spokes();
    assert_eq!(told(&documents, "vm-a", "vm-a2"), "reachable");
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    assert_eq!(told(&documents, "vm-hub", "10.2.0.4"), "reachable");
    let spokes = ask(&documents, "vm-a", "vm-b", 443).unwrap();
    assert_eq!(spokes.outcome, Outcome::Blocked);
    let problems: Vec<_> = spokes
        .blockers()
        .filter_map(|hop| match &hop.reason {
            Some(Reason::VirtualNetworkPeering { problem, reply, .. }) => Some((problem.clone(), *reply)),
            _ => None,
        })
        .collect();
    let through = id("rg", "virtualNetworks/hub").as_str().into();
    let through = PeeringProblem::NotTransitive { through };
    assert_eq!(problems, [(through.clone(), false), (through, true)]);
    let hops: Vec<(HopKind, &str)> = spokes.forward.iter().map(|hop| (hop.kind, hop.component.as_str())).collect();
    assert_eq!(hops, [(HopKind::VirtualMachine, "vm-a"), (HopKind::Peering, "a"), (HopKind::VirtualMachine, "vm-b")]);
}

#[test]
fn a_peering_that_is_not_up_carries_nothing() {
    let mut documents = hub_and_spokes();
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"][0]["peeringState"] = json!("Initiated");
    documents.at(NETWORKS)[0]["virtualNetworkPeerings"] = json!([]);
    assert_eq!(
        told(&documents, "vm-a", "vm-hub"),
        "blocked; to-hub: the peering of a and hub is Initiated, not Connected; hub: no peering between hub and a"
    );
}

#[test]
fn a_network_that_the_facts_do_not_hold_is_named() {
    let mut documents = hub_and_spokes();
    let mut far = super::testing::peering("rg", "a", ("elsewhere", "far"));
    far["remoteAddressSpace"] = json!({"addressPrefixes": ["10.9.0.0/16"]});
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"].as_array_mut().unwrap().push(far);
    assert_eq!(told(&documents, "vm-a", "10.9.0.5"), "unknown; ? far: the virtual network far is not in the facts");
}

#[test]
fn without_virtual_network_access_only_named_addresses_pass() {
    let mut documents = hub_and_spokes();
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"][0]["allowVirtualNetworkAccess"] = json!(false);
    assert!(told(&documents, "vm-a", "vm-hub").starts_with("blocked; to-hub: allowVirtualNetworkAccess is false"));
    // The other side's flag is its own affair: it guards what comes in there.
    assert!(told(&documents, "vm-hub", "vm-a").starts_with("blocked; to-hub: allowVirtualNetworkAccess is false"));
    guard(&mut documents, 1, vec![rule("to-hub", "Outbound", "Allow", 100, ("*", "10.0.0.0/16"), "443")]);
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    let back = told(&documents, "vm-hub", "vm-a");
    assert!(back.contains("nsg-1: inbound rule DenyAllInBound (65500)"), "{back}");
}

#[test]
fn the_lowest_priority_number_decides() {
    for (rules, expected) in [
        (vec![], "reachable"),
        (
            vec![rule("no", "Outbound", "Deny", 200, ("*", "10.0.0.0/8"), "*")],
            "blocked; nsg-1: outbound rule no (200) for tcp/443 from 10.1.0.4 to 10.0.0.4",
        ),
        (
            vec![
                rule("no", "Outbound", "Deny", 200, ("*", "*"), "*"),
                rule("yes", "Outbound", "Allow", 199, ("10.1.0.0/24", "VirtualNetwork"), "80,443"),
            ],
            "blocked; nsg-1: outbound rule no (200) for tcp/443 from 10.1.0.4 to 10.0.0.4",
        ),
        (
            vec![
                rule("no", "Outbound", "Deny", 200, ("*", "*"), "*"),
                rule("yes", "Outbound", "Allow", 199, ("10.1.0.4", "VirtualNetwork"), "400-500"),
            ],
            "reachable",
        ),
        (vec![rule("in", "Inbound", "Deny", 100, ("*", "*"), "*")], "reachable"),
        (vec![rule("no", "Outbound", "Deny", 100, ("10.1.0.5/32", "Any"), "*")], "reachable"),
        (vec![rule("no", "Outbound", "Deny", 100, ("*", "AzureLoadBalancer"), "*")], "reachable"),
        (vec![rule("no", "Outbound", "Deny", 100, ("*", "Internet"), "*")], "reachable"),
        (vec![rule("no", "Outbound", "Deny", 100, ("*", "Storage.WestEurope"), "*")], "reachable"),
        (
            vec![json!({"name": "udp", "direction": "Outbound", "access": "Deny", "priority": 100, "protocol": "Udp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"})],
            "reachable",
        ),
    ] {
        let mut documents = hub_and_spokes();
        let rules = rules.into_iter().map(|mut rule| {
            if rule["destinationPortRange"] == "80,443" {
                // No such text exists; it must not be taken for what it may mean.
                rule["destinationPortRange"] = json!("80");
            }
            rule
        });
        guard(&mut documents, 1, rules.collect());
        assert_eq!(told(&documents, "vm-a", "vm-hub"), expected);
    }
}

#[test]
fn both_groups_filter_and_both_are_told() {
    let mut documents = hub_and_spokes();
    guard(&mut documents, 0, vec![rule("closed", "Inbound", "Deny", 100, ("10.1.0.0/16", "*"), "443")]);
    documents.at(INTERFACES)[0]["networkSecurityGroup"] = reference(id("rg", "networkSecurityGroups/of-nic"));
    documents
        .at(GROUPS)
        .as_array_mut()
        .unwrap()
        .push(group("of-nic", vec![rule("shut", "Inbound", "Deny", 300, ("*", "*"), "*")]));
    assert_eq!(
        told(&documents, "vm-a", "vm-hub"),
        "blocked; nsg-0: inbound rule closed (100) for tcp/443 from 10.1.0.4 to 10.0.0.4; \
         of-nic: inbound rule shut (300) for tcp/443 from 10.1.0.4 to 10.0.0.4"
    );
    assert_eq!(
        told(&documents.clone().without(GROUPS), "vm-a", "vm-hub"),
        "unknown; ? nsg-0: the rules of the security group nsg-0 is not in the facts; \
         ? of-nic: the rules of the security group of-nic is not in the facts"
    );
}

#[test]
fn application_security_groups_are_those_of_interfaces() {
    let asg = id("rg", "applicationSecurityGroups/web");
    let by_group = |access: &str, priority: u32| {
        json!({"name": "by-group", "direction": "Inbound", "access": access, "priority": priority, "protocol": "*",
            "sourceApplicationSecurityGroups": [{"id": asg}], "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"})
    };
    let mut documents = hub_and_spokes();
    guard(&mut documents, 0, vec![by_group("Allow", 100), rule("no", "Inbound", "Deny", 200, ("*", "*"), "*")]);
    assert!(told(&documents, "vm-a", "vm-hub").starts_with("blocked"));
    documents.at(INTERFACES)[1]["ipConfigurations"][0]["applicationSecurityGroups"] =
        json!([{"id": asg.to_uppercase()}]);
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    // Of a host that no interface describes nobody knows the groups.
    assert!(told(&documents, "10.1.0.9", "vm-hub").contains("? nsg-0: whether inbound rule by-group (100)"));
}

#[test]
fn a_service_tag_is_unknown_only_where_it_decides() {
    let mut documents = hub_and_spokes();
    guard(
        &mut documents,
        1,
        vec![
            rule("tag", "Outbound", "Allow", 100, ("*", "AzureCloud.westeurope"), "443"),
            rule("no", "Outbound", "Deny", 200, ("*", "Internet"), "*"),
        ],
    );
    let unknown = ask(&documents, "vm-a", "20.50.0.1", 443).unwrap();
    assert_eq!(unknown.outcome, Outcome::Unknown);
    assert!(matches!(&unknown.unknowns().next().unwrap().reason,
        Some(Reason::NsgRuleUnclear { tag: Some(tag), .. }) if tag == "AzureCloud.westeurope"));
    // On another port the rule is not reached; without the last rule both say the same.
    assert_eq!(ask(&documents, "vm-a", "20.50.0.1", 22).unwrap().outcome, Outcome::Blocked);
    let mut open = documents.clone();
    open.at(GROUPS)[0]["securityRules"].as_array_mut().unwrap().pop();
    assert_eq!(ask(&open, "vm-a", "20.50.0.1", 443).unwrap().outcome, Outcome::Reachable);
    documents.set("network/service-tags.json", json!({"name": "Public", "cloud": "Public", "type": "Microsoft.Network/serviceTags",
        "values": [{"name": "AzureCloud.WestEurope", "id": "AzureCloud.WestEurope", "properties": {"addressPrefixes": ["20.50.0.0/16", "2603::/24"]}}]}));
    assert_eq!(ask(&documents, "vm-a", "20.50.0.1", 443).unwrap().outcome, Outcome::Reachable);
    assert_eq!(ask(&documents, "vm-a", "20.60.0.1", 443).unwrap().outcome, Outcome::Blocked);
}

#[test]
fn the_longest_route_wins_and_of_equal_ones_the_users() {
    let cases: [(Routes, &str); 8] = [
        (&[("0.0.0.0/0", "None", "")], "reachable"),
        (&[("10.0.0.0/8", "None", "")], "reachable"),
        (
            &[("10.0.0.0/16", "None", "")],
            "blocked; rt-1: route r0 sends 10.0.0.0/16 to None: packets to 10.0.0.4 are dropped",
        ),
        (
            &[("10.0.0.0/16", "None", ""), ("10.0.0.0/24", "VnetLocal", "")],
            "blocked; rt-1: route r1 sends 10.0.0.0/24 to the virtual network, where 10.0.0.4 is not",
        ),
        (
            &[("10.0.0.4/32", "Internet", "")],
            "blocked; rt-1: route r0 sends 10.0.0.4/32 to the internet: the internet does not carry 10.0.0.4",
        ),
        (
            &[("10.0.0.0/24", "VirtualAppliance", "10.1.1.4")],
            "unknown; ? vm-a2: 10.1.1.4 decides by itself what to do with the packet",
        ),
        (
            &[("10.0.0.0/24", "VirtualNetworkGateway", "")],
            "unknown; ? 10.0.0.4: whether packets to 10.0.0.4 come from there to vm-hub",
        ),
        (&[("10.0.1.0/24", "None", "")], "reachable"),
    ];
    for (table, expected) in cases {
        let mut documents = hub_and_spokes();
        routes(&mut documents, 1, table);
        assert_eq!(told(&documents, "vm-a", "vm-hub"), expected, "{table:?}");
        let lacking = told(&documents.without(TABLES), "vm-a", "vm-hub");
        assert_eq!(lacking, "unknown; ? rt-1: the route table rt-1 of a/main is not in the facts");
    }
}

#[test]
fn an_appliance_that_does_not_forward_is_dead() {
    let mut documents = hub_and_spokes();
    routes(&mut documents, 1, &[("10.0.0.0/16", "VirtualAppliance", "10.1.1.4")]);
    documents.at(INTERFACES)[2]["enableIPForwarding"] = json!(false);
    let traced = ask(&documents, "vm-a", "vm-hub", 443).unwrap();
    assert_eq!(traced.outcome, Outcome::Blocked);
    assert!(matches!(
        &traced.blockers().next().unwrap().reason,
        Some(Reason::UserRoute { appliance: Some(_), firewall: None, .. })
    ));
}

#[test]
fn replies_take_their_own_routes() {
    let mut documents = hub_and_spokes();
    routes(&mut documents, 0, &[("10.1.0.0/24", "None", "")]);
    let traced = ask(&documents, "vm-a", "vm-hub", 443).unwrap();
    assert_eq!(traced.outcome, Outcome::Blocked);
    assert!(traced.forward.iter().all(|hop| !hop.decision.blocks()));
    assert!(matches!(&traced.back[0].reason, Some(Reason::UserRoute { reply: true, .. })));
    // Of a whole subnet only a part is concerned.
    let mut parted = hub_and_spokes();
    routes(&mut parted, 0, &[("10.1.0.64/26", "None", "")]);
    let subnet = id("rg", "virtualNetworks/a/subnets/main");
    assert!(
        told(&parted, &subnet, "vm-hub").starts_with("unknown; ? hub/main: route r0 (10.1.0.64/26) parts 10.1.0.0/24")
    );
    assert_eq!(told(&parted, "vm-a", "vm-hub"), "reachable");
}

fn with_endpoint(policies: &str) -> Documents {
    let mut documents = hub_and_spokes();
    let subnet = id("rg", "virtualNetworks/a/subnets/other");
    documents.at(NETWORKS)[1]["subnets"][1]["privateEndpointNetworkPolicies"] = json!(policies);
    let own = id("rg", "privateEndpoints/kube-apiserver");
    documents.set(
        "network/private-endpoints.json",
        json!([{"id": own, "name": "kube-apiserver", "type": "Microsoft.Network/privateEndpoints",
        "subnet": {"id": subnet}, "networkInterfaces": [{"id": id("rg", "networkInterfaces/pe-nic")}],
        "privateLinkServiceConnections": [{"privateLinkServiceConnectionState": {"status": "Approved"}}]}]),
    );
    let nic = json!({"id": id("rg", "networkInterfaces/pe-nic"), "name": "pe-nic", "privateEndpoint": {"id": own},
        "ipConfigurations": [{"privateIPAddress": "10.1.1.10", "subnet": {"id": subnet}}]});
    documents.at(INTERFACES).as_array_mut().unwrap().push(nic);
    documents
}

#[test]
fn a_private_endpoint_has_a_route_of_its_own() {
    let mut documents = with_endpoint("Disabled");
    assert_eq!(told(&documents, "vm-hub", "kube-apiserver"), "reachable");
    assert_eq!(told(&documents, "vm-hub", "10.1.1.10"), "reachable");
    // Its interface names it where no file describes it; whether it is approved is not known then.
    let undescribed = documents.clone().without("network/private-endpoints.json");
    assert!(told(&undescribed, "vm-hub", "kube-apiserver").starts_with("unknown; ? kube-apiserver: the state of"));
    // Its own /32 goes before wider routes of the user, of whatever kind.
    routes(&mut documents, 0, &[("10.1.0.0/16", "None", ""), ("0.0.0.0/0", "None", "")]);
    assert_eq!(told(&documents, "vm-hub", "kube-apiserver"), "reachable");
    let mut exact = with_endpoint("Disabled");
    routes(&mut exact, 0, &[("10.1.1.10/32", "None", "")]);
    assert!(told(&exact, "vm-hub", "kube-apiserver").starts_with("blocked; rt-0"));
    for (policies, table, blocked) in [
        ("RouteTableEnabled", "10.1.0.0/16", true),
        ("Enabled", "10.1.1.0/24", true),
        ("RouteTableEnabled", "10.0.0.0/8", false),
        ("NetworkSecurityGroupEnabled", "10.1.0.0/16", false),
    ] {
        let mut documents = with_endpoint(policies);
        routes(&mut documents, 0, &[(table, "None", "")]);
        assert_eq!(told(&documents, "vm-hub", "kube-apiserver").starts_with("blocked"), blocked, "{policies} {table}");
    }
}

#[test]
fn groups_count_at_a_private_endpoint_only_where_the_subnet_says_so() {
    for (policies, blocked) in
        [("Disabled", false), ("RouteTableEnabled", false), ("NetworkSecurityGroupEnabled", true), ("enabled", true)]
    {
        let mut documents = with_endpoint(policies);
        documents.at(NETWORKS)[1]["subnets"][1]["networkSecurityGroup"] =
            reference(id("rg", "networkSecurityGroups/pe"));
        documents
            .at(GROUPS)
            .as_array_mut()
            .unwrap()
            .push(group("pe", vec![rule("no", "Inbound", "Deny", 100, ("*", "*"), "*")]));
        assert_eq!(told(&documents, "vm-hub", "kube-apiserver").starts_with("blocked; pe"), blocked, "{policies}");
        // Others in that subnet are guarded in any case.
        assert!(told(&documents, "vm-hub", "vm-a2").starts_with("blocked; pe"));
    }
}

#[test]
fn a_private_endpoint_that_nobody_approved_is_closed() {
    let mut documents = with_endpoint("Disabled");
    let path = "network/private-endpoints.json";
    documents.at(path)[0]["privateLinkServiceConnections"][0]["privateLinkServiceConnectionState"]["status"] =
        json!("Rejected");
    assert_eq!(
        told(&documents, "vm-hub", "kube-apiserver"),
        "blocked; kube-apiserver: its connection is Rejected, not Approved"
    );
}

#[test]
fn the_way_out_is_the_nat_gateways_then_the_interfaces_then_the_default() {
    let mut documents = hub_and_spokes();
    let seen = |documents: &Documents| ask(documents, "vm-a", "20.0.0.1", 443).unwrap().source_seen;
    assert!(seen(&documents).is_empty());
    documents.set("network/public-ip-addresses.json", json!([
        {"id": id("rg", "publicIPAddresses/own"), "name": "own", "type": "Microsoft.Network/publicIPAddresses", "ipAddress": "198.51.100.1"},
        {"id": id("rg", "publicIPAddresses/nat"), "name": "nat", "type": "Microsoft.Network/publicIPAddresses", "ipAddress": "198.51.100.2"}]));
    documents.at(INTERFACES)[1]["ipConfigurations"][0]["publicIPAddress"] =
        reference(id("rg", "publicIPAddresses/own"));
    assert_eq!(seen(&documents), ["198.51.100.1".parse::<std::net::IpAddr>().unwrap()]);
    documents.at(NETWORKS)[1]["subnets"][0]["natGateway"] = reference(id("rg", "natGateways/nat"));
    documents.set(
        "network/public-ip-prefixes.json",
        json!([{"id": id("rg", "publicIPPrefixes/four"), "name": "four",
        "type": "Microsoft.Network/publicIPPrefixes", "ipPrefix": "203.0.113.4/31"}]),
    );
    documents.set("network/nat-gateways.json", json!([{"id": id("rg", "natGateways/nat"), "name": "nat", "type": "Microsoft.Network/natGateways",
        "publicIpAddresses": [{"id": id("rg", "publicIPAddresses/nat")}], "publicIpPrefixes": [{"id": id("rg", "publicIPPrefixes/four")}]}]));
    let all: Vec<String> = seen(&documents).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["198.51.100.2", "203.0.113.4", "203.0.113.5"]);
    assert!(seen(&documents.clone().without("network/public-ip-prefixes.json")).is_empty());
    assert_eq!(told(&documents.without("network/nat-gateways.json"), "vm-a", "20.0.0.1"), "reachable");
}

#[test]
fn a_private_subnet_has_no_way_out_by_default() {
    let mut documents = hub_and_spokes();
    documents.at(NETWORKS)[1]["subnets"][0]["defaultOutboundAccess"] = json!(false);
    assert_eq!(
        told(&documents, "vm-a", "20.0.0.1"),
        "blocked; a/main: a/main has no default outbound access, and vm-a no address to leave with"
    );
    let pool = id("rg", "loadBalancers/kubernetes/backendAddressPools/out");
    documents.at(INTERFACES)[1]["ipConfigurations"][0]["loadBalancerBackendAddressPools"] = json!([{"id": pool}]);
    assert!(told(&documents, "vm-a", "20.0.0.1").starts_with("unknown"));
    let front = id("rg", "loadBalancers/kubernetes/frontendIPConfigurations/f");
    documents.set(
        "network/load-balancers.json",
        json!([{"id": id("rg", "loadBalancers/kubernetes"), "name": "kubernetes",
        "type": "Microsoft.Network/loadBalancers",
        "frontendIPConfigurations": [{"id": front, "publicIPAddress": {"id": id("rg", "publicIPAddresses/out")}}],
        "outboundRules": [{"frontendIPConfigurations": [{"id": front}], "backendAddressPool": {"id": pool}}]}]),
    );
    documents.set(
        "network/public-ip-addresses.json",
        json!([{"id": id("rg", "publicIPAddresses/out"), "name": "out",
        "type": "Microsoft.Network/publicIPAddresses", "ipAddress": "198.51.100.7"}]),
    );
    assert_eq!(told(&documents, "vm-a", "20.0.0.1"), "reachable");
    assert_eq!(ask(&documents, "vm-a", "20.0.0.1", 443).unwrap().source_seen.len(), 1);
}

#[test]
fn a_firewall_hides_what_it_does_but_not_its_addresses() {
    let mut documents = hub_and_spokes();
    routes(&mut documents, 1, &[("0.0.0.0/0", "VirtualAppliance", "10.0.1.4")]);
    documents.set("network/azure-firewalls.json", json!([{"id": id("rg", "azureFirewalls/fw"), "name": "fw", "type": "Microsoft.Network/azureFirewalls",
        "ipConfigurations": [{"privateIPAddress": "10.0.1.4", "publicIPAddress": {"id": id("rg", "publicIPAddresses/fw")}}]}]));
    documents.set(
        "network/public-ip-addresses.json",
        json!([{"id": id("rg", "publicIPAddresses/fw"), "name": "fw",
        "type": "Microsoft.Network/publicIPAddresses", "ipAddress": "198.51.100.9"}]),
    );
    let traced = ask(&documents, "vm-a", "20.0.0.1", 443).unwrap();
    assert_eq!(traced.outcome, Outcome::Unknown);
    assert_eq!(traced.source_seen[0].to_string(), "198.51.100.9");
    assert!(matches!(&traced.unknowns().next().unwrap().reason, Some(Reason::UserRoute { firewall: Some(_), .. })));
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
}

#[test]
fn gateways_learn_what_no_file_tells() {
    let mut documents = hub_and_spokes();
    assert!(
        told(&documents, "vm-hub", "192.168.7.7")
            .starts_with("blocked; hub/main: the default route of 192.168.0.0/16 leads to None")
    );
    documents.at(NETWORKS)[0]["subnets"][1]["ipConfigurations"] = json!([{"id": "x"}]);
    assert!(
        told(&documents, "vm-hub", "192.168.7.7")
            .starts_with("unknown; ? hub/main: whether a gateway has learned a route")
    );
    assert_eq!(told(&documents, "vm-hub", "vm-a"), "reachable");
    documents.set(
        "network/virtual-network-gateways.json",
        json!([{"id": id("rg", "virtualNetworkGateways/vpn"), "name": "vpn",
        "type": "Microsoft.Network/virtualNetworkGateways",
        "ipConfigurations": [{"subnet": {"id": id("rg", "virtualNetworks/hub/subnets/GatewaySubnet")}}],
        "vpnClientConfiguration": {"vpnClientAddressPool": {"addressPrefixes": ["192.168.7.0/24"]}}}]),
    );
    assert_eq!(told(&documents, "vm-hub", "192.168.7.7"), "reachable");
    assert_eq!(told(&documents, "192.168.7.7", "vm-hub"), "reachable");
    // The spoke does not use the hub's gateway until both sides say so.
    let alone = told(&documents, "192.168.7.7", "vm-a");
    assert!(alone.contains("a does not use the gateway of hub"), "{alone}");
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"][0]["useRemoteGateways"] = json!(true);
    assert!(told(&documents, "192.168.7.7", "vm-a").contains("a does not use the gateway of hub"));
    documents.at(NETWORKS)[0]["virtualNetworkPeerings"][0]["allowGatewayTransit"] = json!(true);
    assert_eq!(told(&documents, "192.168.7.7", "vm-a"), "reachable");
    // Two spokes of one hub do not meet by its gateway.
    assert!(told(&documents, "vm-a", "vm-b").starts_with("blocked; a: a and b are each peered with hub"));
}

#[test]
fn effective_routes_of_an_interface_go_before_all_others() {
    let mut documents = hub_and_spokes();
    routes(&mut documents, 1, &[("10.0.0.0/16", "None", "")]);
    documents.set("network/effective-route-table-vm-a-nic.json", json!({"value": [
        {"source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/16"], "nextHopIpAddress": [], "nextHopType": "VNetPeering"},
        {"source": "User", "state": "Invalid", "addressPrefix": ["10.0.0.0/24"], "nextHopIpAddress": [], "nextHopType": "None"}]}));
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    assert!(
        told(&documents, "vm-a", "10.2.0.4")
            .starts_with("unknown; ? a/main: no effective route of the interface holds")
    );
}

#[test]
fn from_the_internet_only_public_addresses_are_reached() {
    let mut documents = hub_and_spokes();
    assert!(
        told(&documents, "198.51.100.50", "10.1.0.4")
            .starts_with("blocked; a: the internet does not carry packets to 10.1.0.4")
    );
    documents.set(
        "network/public-ip-addresses.json",
        json!([{"id": id("rg", "publicIPAddresses/own"), "name": "own",
        "type": "Microsoft.Network/publicIPAddresses", "ipAddress": "203.0.113.1"}]),
    );
    documents.at(INTERFACES)[1]["ipConfigurations"][0]["publicIPAddress"] =
        reference(id("rg", "publicIPAddresses/own"));
    assert!(
        told(&documents, "198.51.100.50", "203.0.113.1")
            .starts_with("unknown; ? 203.0.113.1: whether 203.0.113.1 is open without")
    );
    guard(&mut documents, 1, vec![rule("web", "Inbound", "Allow", 100, ("Internet", "*"), "443")]);
    assert_eq!(told(&documents, "198.51.100.50", "203.0.113.1"), "reachable");
    assert_eq!(ask(&documents, "198.51.100.50", "vm-a", 22).unwrap().outcome, Outcome::Blocked);
}

#[test]
fn points_are_found_by_name_and_by_id() {
    let mut documents = hub_and_spokes();
    let machine = format!(
        "{}/resourceGroups/mc/providers/Microsoft.Compute/virtualMachineScaleSets/aks-np-1-vmss/virtualMachines/11",
        super::testing::SUBSCRIPTION
    );
    let mut node = super::testing::interface("mc", "x", &id("rg", "virtualNetworks/a/subnets/main"), "10.1.0.99");
    node["virtualMachine"] = reference(machine.as_str());
    documents.at(INTERFACES).as_array_mut().unwrap().push(node);
    for name in [
        "aks-np-1-vmss_11",
        "aks-np-1-vmss00000B",
        &machine.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"),
        "x-nic",
        "10.1.0.99",
    ] {
        let traced = ask(&documents, name, "vm-hub", 443).unwrap();
        assert_eq!(traced.forward[0].component, "aks-np-1-vmss_11", "{name}");
    }
    documents.at(INTERFACES)[0]["id"] = json!(id("rg", "networkInterfaces/vm-hub"));
    assert_eq!(ask(&documents, "VM-HUB", "vm-a", 443).unwrap().forward[0].component, "vm-hub");
    let mut twice = documents.clone();
    twice.at(INTERFACES)[1]["virtualMachine"] = reference(id("other", "virtualMachines/vm-hub"));
    let error = ask(&twice, "vm-hub", "vm-b", 443).unwrap_err().to_string();
    assert!(error.starts_with("several resources are called vm-hub: /subscriptions/"), "{error}");
    let error = |from: &str, to: &str| ask(&documents, from, to, 443).unwrap_err().to_string();
    assert_eq!(
        error("vm-hubb", "vm-a"),
        "the facts hold no network interface, machine, private endpoint or internal load balancer vm-hubb; did you mean vm-hub, vm-b?"
    );
    assert_eq!(error("8.8.8.8", "9.9.9.9"), "neither 8.8.8.8 nor 9.9.9.9 is in a network of the facts");
    assert!(error("vm-a", &id("rg", "virtualNetworks/b/subnets/main")).contains("is a subnet: name an address"));
    assert_eq!(error("fd00::1", "vm-a"), "fd00::1 and vm-a have no address family in common");
    let empty = Documents::default();
    assert!(ask(&empty, "vm-a", "10.0.0.1", 443).unwrap_err().to_string().contains("network/virtual-networks.json"));
}

#[test]
fn the_providers_own_default_route_diverts_nothing() {
    let documents = hub_and_spokes();
    let traced = ask(&documents, "vm-a", "169.254.7.7", 443).unwrap();
    let reasons: Vec<_> = traced.blockers().filter_map(|hop| hop.reason.clone()).collect();
    assert_eq!(traced.outcome, Outcome::Blocked);
    assert!(!reasons.iter().any(|reason| matches!(reason, Reason::UserRoute { .. })), "{reasons:?}");
}

#[test]
fn what_follows_from_a_missing_peering_is_no_second_blocker() {
    let mut documents = hub_and_spokes();
    for place in 0..3 {
        documents.at(NETWORKS)[place]["virtualNetworkPeerings"] = json!([]);
    }
    guard(&mut documents, 1, vec![]);
    let traced = ask(&documents, "vm-a", "vm-hub", 443).unwrap();
    assert!(traced.hops().any(|hop| hop.kind == HopKind::NetworkSecurityGroup && hop.decision.blocks()), "{traced:?}");
    let kinds: Vec<HopKind> = traced.blockers().map(|hop| hop.kind).collect();
    assert!(kinds.iter().all(|kind| *kind == HopKind::Peering), "{traced:?}");
    assert!(traced.first_rule().contains("no peering between"), "{}", traced.first_rule());
}

#[test]
fn lists_that_are_left_out_are_not_empty() {
    for absent in [Value::Null, json!("absent")] {
        let change = |value: &mut Value, key: &str| {
            if absent.is_null() {
                value[key] = Value::Null;
            } else {
                value.as_object_mut().unwrap().remove(key);
            }
        };
        let mut documents = hub_and_spokes();
        guard(&mut documents, 1, vec![]);
        routes(&mut documents, 1, &[]);
        assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
        let mut rules = documents.clone();
        change(&mut rules.at(GROUPS)[0], "securityRules");
        assert!(told(&rules, "vm-a", "vm-hub").starts_with("unknown; ? nsg-1: the rules of the security group nsg-1"));
        let mut table = documents.clone();
        change(&mut table.at(TABLES)[0], "routes");
        assert!(told(&table, "vm-a", "vm-hub").starts_with("unknown; ? rt-1: the route table rt-1"));
        let mut peerings = documents.clone();
        change(&mut peerings.at(NETWORKS)[1], "virtualNetworkPeerings");
        for (from, to) in [("vm-a", "vm-hub"), ("vm-hub", "vm-a"), ("vm-a", "vm-b")] {
            assert!(told(&peerings, from, to).starts_with("unknown"), "{from} {to}");
        }
        assert_eq!(told(&peerings, "vm-hub", "vm-b"), "reachable");
        let mut tags = documents.clone();
        guard(&mut tags, 0, vec![rule("tag", "Outbound", "Deny", 100, ("*", "Some.Service"), "443")]);
        let mut tag = json!({"name": "Some.Service", "properties": {"addressPrefixes": ["20.50.0.0/16"]}});
        let mut of_tag = |prefixes: Option<Value>| {
            match prefixes {
                Some(prefixes) => tag["properties"]["addressPrefixes"] = prefixes,
                None => change(&mut tag["properties"], "addressPrefixes"),
            }
            tags.set(
                "network/service-tags.json",
                json!({"name": "Public", "type": "Microsoft.Network/serviceTags", "values": [tag]}),
            );
            told(&tags, "vm-hub", "20.50.0.1")
        };
        assert!(of_tag(Some(json!(["20.50.0.0/16"]))).starts_with("blocked"));
        assert_eq!(of_tag(Some(json!([]))), "reachable");
        assert!(of_tag(Some(json!(["20.51.0.0/16", "20.50.0.0/160"]))).starts_with("unknown"));
        assert!(of_tag(None).starts_with("unknown"));
    }
}

#[test]
fn refused_peerings_may_exist() {
    let mut documents = hub_and_spokes();
    guard(&mut documents, 1, vec![]);
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"] = json!([]);
    documents.at(NETWORKS)[0]["virtualNetworkPeerings"] = json!([]);
    assert!(told(&documents, "vm-a", "vm-hub").starts_with("blocked"));
    for action in
        ["Microsoft.Network/virtualNetworks/virtualNetworkPeerings/read", "Microsoft.Network/virtualNetworks/read"]
    {
        documents.set("manifest.json", json!({"denied": [{"action": action, "message": "no"}]}));
        assert!(told(&documents, "vm-a", "vm-hub").starts_with("unknown"), "{action}");
        assert_eq!(told(&documents, "vm-a", "vm-a2"), "reachable");
    }
}

#[test]
fn a_private_endpoint_is_reached_only_if_both_sides_are_up() {
    let hub = |documents: &mut Documents, peerings: Value| {
        documents.at(NETWORKS)[1]["virtualNetworkPeerings"] = peerings;
    };
    let documents = with_endpoint("Disabled");
    assert_eq!(told(&documents, "vm-hub", "kube-apiserver"), "reachable");
    let mut down = documents.clone();
    down.at(NETWORKS)[1]["virtualNetworkPeerings"][0]["peeringState"] = json!("Disconnected");
    assert_eq!(
        told(&down, "vm-hub", "kube-apiserver"),
        "blocked; to-hub: the peering of a and hub is Disconnected, not Connected"
    );
    let mut none = documents.clone();
    hub(&mut none, json!([]));
    assert_eq!(told(&none, "vm-hub", "kube-apiserver"), "blocked; a: no peering between a and hub");
    let mut untold = documents;
    hub(&mut untold, Value::Null);
    assert!(told(&untold, "vm-hub", "kube-apiserver").starts_with("unknown; ? a: the peering of a with hub"));
}

#[test]
fn routes_of_the_gateways_own_subnet_count() {
    let mut documents = hub_and_spokes();
    documents.at(NETWORKS)[0]["virtualNetworkPeerings"][0]["allowGatewayTransit"] = json!(true);
    documents.at(NETWORKS)[1]["virtualNetworkPeerings"][0]["useRemoteGateways"] = json!(true);
    documents.set(
        "network/virtual-network-gateways.json",
        json!([{"id": id("rg", "virtualNetworkGateways/vpn"), "name": "vpn",
        "type": "Microsoft.Network/virtualNetworkGateways",
        "ipConfigurations": [{"subnet": {"id": id("rg", "virtualNetworks/hub/subnets/GatewaySubnet")}}],
        "vpnClientConfiguration": {"vpnClientAddressPool": {"addressPrefixes": ["192.168.7.0/24"]}}}]),
    );
    for (kind, address, expected) in [
        ("None", "", "blocked; rt-0: route r0 sends 10.1.0.4/32 to None"),
        ("VirtualAppliance", "10.0.0.4", "unknown; ? vm-hub: 10.0.0.4 decides by itself"),
    ] {
        let mut documents = documents.clone();
        routes(&mut documents, 0, &[("10.1.0.4/32", kind, address), ("10.9.0.0/16", "None", "")]);
        let table = documents.at(NETWORKS)[0]["subnets"][0]["routeTable"].take();
        assert_eq!(told(&documents, "192.168.7.7", "vm-a"), "reachable");
        documents.at(NETWORKS)[0]["subnets"][1]["routeTable"] = table;
        assert!(told(&documents, "192.168.7.7", "vm-a").starts_with(expected), "{kind}");
        assert_eq!(told(&documents, "192.168.7.7", "vm-a2"), "reachable");
        assert!(
            told(&documents.without(TABLES), "192.168.7.7", "vm-a2").starts_with("unknown; ? rt-0: the route table")
        );
    }
}

#[test]
fn rules_and_routes_part_the_public_space() {
    let outcomes = |documents: &Documents| {
        let facts = documents.facts();
        let network = Network::new(&facts.azure);
        let from = "vm-a".parse().unwrap();
        let places = super::public_places(&network, &from).unwrap();
        let mut found: Vec<&str> = places
            .into_iter()
            .map(|place| trace(&network, &from, &super::Point::Address(place), 443).unwrap().outcome.label())
            .collect();
        found.sort_unstable();
        found.dedup();
        found.join(" ")
    };
    assert_eq!(outcomes(&hub_and_spokes()), "reachable");
    for (destination, expected) in [
        ("52.0.0.0/8", "blocked reachable"),
        ("0.0.0.0/1", "blocked reachable"),
        ("10.0.0.0/8", "reachable"),
        ("Internet", "blocked"),
        ("0.0.0.0/0", "blocked"),
        ("AzureCloud", "unknown"),
    ] {
        let mut documents = hub_and_spokes();
        guard(&mut documents, 1, vec![rule("no", "Outbound", "Deny", 100, ("*", destination), "443")]);
        assert_eq!(outcomes(&documents), expected, "{destination}");
    }
    let tables: [(Routes, &str); 5] = [
        (&[("4.0.0.0/8", "None", "")], "blocked reachable"),
        (&[("0.0.0.0/1", "None", "")], "blocked reachable"),
        (&[("0.0.0.0/1", "None", ""), ("128.0.0.0/1", "None", "")], "blocked"),
        (&[("0.0.0.0/0", "None", ""), ("20.0.0.0/8", "Internet", "")], "blocked reachable"),
        (&[("10.0.0.0/8", "None", "")], "reachable"),
    ];
    for (table, expected) in tables {
        let mut documents = hub_and_spokes();
        routes(&mut documents, 1, table);
        assert_eq!(outcomes(&documents), expected, "{table:?}");
    }
}

#[test]
fn effective_routes_are_of_one_interface_only() {
    let mut documents = hub_and_spokes();
    let none = json!({"value": [{"source": "User", "state": "Active", "addressPrefix": ["10.0.0.0/16"], "nextHopIpAddress": [], "nextHopType": "None"}]});
    documents.set("network/effective-route-table-vm-a-nic.json", none.clone());
    assert!(told(&documents, "vm-a", "vm-hub").starts_with("blocked"));
    // Another of the name, in another group: whose they are is not known.
    let mut twin = super::testing::interface("other", "x", &id("rg", "virtualNetworks/a/subnets/main"), "10.1.0.99");
    twin["id"] = json!(id("other", "networkInterfaces/vm-a-nic"));
    documents.at(INTERFACES).as_array_mut().unwrap().push(twin);
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    documents.set("network/effective-route-table-vm-a-nic-other.json", none);
    assert!(told(&documents, "10.1.0.99", "vm-hub").starts_with("blocked"));
    assert_eq!(told(&documents, "vm-a", "vm-hub"), "reachable");
    // Of two for one range neither is taken for being the first.
    let route = |kind: &str| json!({"source": "User", "state": "Active", "addressPrefix": ["10.0.0.0/16"], "nextHopType": kind});
    let mut equal = hub_and_spokes();
    equal.set("network/effective-route-table-vm-a-nic.json", json!({"value": [route("VNetPeering"), route("None")]}));
    assert!(told(&equal, "vm-a", "vm-hub").starts_with("unknown; ? a/main: two effective routes"));
    equal.set(
        "network/effective-route-table-vm-a-nic.json",
        json!({"value": [route("VNetPeering"), route("VNetPeering")]}),
    );
    assert_eq!(told(&equal, "vm-a", "vm-hub"), "reachable");
}

#[test]
fn what_cannot_be_read_is_not_left_out() {
    for prefix in ["10.0.0.0/33", "10.0.0.0/", ""] {
        let mut documents = hub_and_spokes();
        routes(&mut documents, 1, &[(prefix, "None", "")]);
        assert!(told(&documents, "vm-a", "vm-hub").starts_with("unknown; ? a/main: the ranges of `"), "{prefix}");
    }
    for (changes, expected) in [
        (json!({"destinationPortRange": "450-440"}), "its ports are not understood"),
        (json!({"direction": "Both"}), "it does not say for which direction it is"),
        (json!({"destinationAddressPrefix": "10.0.0.0/99"}), "its addresses are not understood"),
        (json!({"destinationAddressPrefix": "fd00::/999"}), "its addresses are not understood"),
    ] {
        let mut documents = hub_and_spokes();
        let mut deny = rule("no", "Outbound", "Deny", 100, ("*", "10.0.0.0/16"), "443");
        for (key, value) in changes.as_object().unwrap() {
            deny[key] = value.clone();
        }
        guard(&mut documents, 1, vec![deny]);
        let told = told(&documents, "vm-a", "vm-hub");
        assert!(told.starts_with("unknown; ? nsg-1") && told.contains(expected), "{changes}: {told}");
    }
    for (network, from, to) in [(0, "vm-a", "vm-hub"), (1, "vm-a", "vm-a2")] {
        let mut documents = hub_and_spokes();
        documents.at(NETWORKS)[network]["addressSpace"]["addressPrefixes"] = json!(["10.1.0.0/166"]);
        assert!(told(&documents, from, to).starts_with("unknown"), "{network}: {}", told(&documents, from, to));
    }
    let mut subnet = hub_and_spokes();
    subnet.at(NETWORKS)[0]["subnets"][0]["addressPrefix"] = json!("10.0.0.0/x");
    assert!(told(&subnet, "vm-a", "10.0.0.77").starts_with("unknown"));
}

#[test]
fn application_security_groups_of_a_private_endpoint_count() {
    let asg = id("rg", "applicationSecurityGroups/api");
    let mut documents = with_endpoint("Disabled");
    let mut deny = rule("no-api", "Outbound", "Deny", 100, ("*", "*"), "443");
    deny.as_object_mut().unwrap().remove("destinationAddressPrefix");
    deny["destinationApplicationSecurityGroups"] = json!([{"id": asg}]);
    guard(&mut documents, 0, vec![deny]);
    assert_eq!(told(&documents, "vm-hub", "kube-apiserver"), "reachable");
    documents.at("network/private-endpoints.json")[0]["applicationSecurityGroups"] = json!([{"id": asg}]);
    for to in ["kube-apiserver", "10.1.1.10"] {
        assert!(told(&documents, "vm-hub", to).starts_with("blocked; nsg-0: outbound rule no-api"), "{to}");
    }
}
