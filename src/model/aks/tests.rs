use serde_json::{Value, json};

use super::*;
use crate::model::azure::testing::{Documents, SUBSCRIPTION, group, id, interface, peering, reference, rule, vnet};

const CLUSTER: &str = "aks/show.json";
const NETWORKS: &str = "network/virtual-networks.json";
const LINKS: &str = "network/private-dns-zone-links.json";
const RECORDS: &str = "network/private-dns-records.json";
const ZONES: &str = "network/private-dns-zones.json";
const FQDN: &str = "prod-abc1.hcp.westeurope.azmk8s.io";
const PRIVATE: &str = "prod-abc1.00000000-1111.privatelink.westeurope.azmk8s.io";
const ZONE: &str = "00000000-1111.privatelink.westeurope.azmk8s.io";

fn public_ip(group: &str, name: &str, address: &str) -> Value {
    json!({"id": id(group, &format!("publicIPAddresses/{name}")), "name": name, "type": "Microsoft.Network/publicIPAddresses", "ipAddress": address})
}

/// A public cluster whose nodes leave by its load balancer, a peered network with a machine, and one that is not peered.
fn public(ranges: &[&str]) -> Documents {
    let mut documents = Documents::default();
    let nodes = id("rg", "virtualNetworks/nodes/subnets/nodes");
    documents.set(CLUSTER, json!({"id": format!("{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod"),
        "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters", "location": "westeurope", "provisioningState": "Succeeded",
        "powerState": {"code": "Running"}, "fqdn": FQDN, "nodeResourceGroup": "MC_rg_prod_westeurope",
        "agentPoolProfiles": [{"name": "np", "vnetSubnetId": nodes}],
        "apiServerAccessProfile": {"authorizedIpRanges": ranges},
        "networkProfile": {"outboundType": "loadBalancer", "loadBalancerSku": "standard",
            "loadBalancerProfile": {"effectiveOutboundIPs": [{"id": id("MC_rg_prod_westeurope", "publicIPAddresses/out")}]}}}));
    documents.set(
        NETWORKS,
        json!([
            vnet(
                "rg",
                "nodes",
                "10.0.0.0/16",
                &[("nodes", "10.0.0.0/24"), ("endpoints", "10.0.1.0/24"), ("api", "10.0.2.0/28")],
                vec![peering("rg", "nodes", ("rg", "ops"))]
            ),
            vnet("rg", "ops", "10.1.0.0/16", &[("main", "10.1.0.0/24")], vec![peering("rg", "ops", ("rg", "nodes"))]),
            vnet("rg", "alone", "10.2.0.0/16", &[("main", "10.2.0.0/24")], vec![]),
        ]),
    );
    let node = {
        let mut node = interface("MC_rg_prod_westeurope", "aks-np", &nodes, "10.0.0.4");
        node["virtualMachine"] = reference(format!(
            "{SUBSCRIPTION}/resourceGroups/mc_rg_prod_westeurope/providers/Microsoft.Compute/virtualMachineScaleSets/aks-np-vmss/virtualMachines/0"
        ));
        node
    };
    documents.set(
        "network/network-interfaces.json",
        json!([
            node,
            interface("rg", "ops", &id("rg", "virtualNetworks/ops/subnets/main"), "10.1.0.4"),
            interface("rg", "alone", &id("rg", "virtualNetworks/alone/subnets/main"), "10.2.0.4"),
        ]),
    );
    documents.set("network/public-ip-addresses.json", json!([public_ip("MC_rg_prod_westeurope", "out", "20.1.2.3")]));
    for kind in ["network-security-groups", "route-tables", "nat-gateways", "load-balancers"] {
        documents.set(&format!("network/{kind}.json"), json!([]));
    }
    documents
}

/// The same as a private cluster: an endpoint in the node network, its zone linked there.
fn private() -> Documents {
    let mut documents = public(&[]);
    let cluster = documents.at(CLUSTER);
    cluster["privateFqdn"] = json!(PRIVATE);
    cluster["apiServerAccessProfile"] =
        json!({"enablePrivateCluster": true, "privateDnsZone": "system", "enablePrivateClusterPublicFqdn": true});
    let group = "MC_rg_prod_westeurope";
    let subnet = id("rg", "virtualNetworks/nodes/subnets/endpoints");
    let endpoint = id(group, "privateEndpoints/kube-apiserver");
    let nic = id(group, "networkInterfaces/kube-apiserver.nic.1");
    documents.set("network/private-endpoints.json", json!([{"id": endpoint, "name": "kube-apiserver", "type": "Microsoft.Network/privateEndpoints",
        "subnet": {"id": subnet}, "networkInterfaces": [{"id": nic}],
        "privateLinkServiceConnections": [{"groupIds": ["management"], "privateLinkServiceConnectionState": {"status": "Approved"}}]}]));
    documents
        .at("network/network-interfaces.json")
        .as_array_mut()
        .unwrap()
        .push(json!({"id": nic, "name": "kube-apiserver.nic.1", "privateEndpoint": {"id": endpoint},
            "ipConfigurations": [{"privateIPAddress": "10.0.1.10", "subnet": {"id": subnet}}]}));
    zone(&mut documents, (group, ZONE), &["nodes"], &[("prod-abc1", "10.0.1.10")]);
    documents
}

/// Adds a zone, its links and its records.
fn zone(documents: &mut Documents, (group, name): (&str, &str), networks: &[&str], records: &[(&str, &str)]) {
    let own = id(group, &format!("privateDnsZones/{name}"));
    let add = |documents: &mut Documents, path: &str, value: Value| {
        documents.at(path).as_array_mut().unwrap().push(value);
    };
    add(documents, ZONES, json!({"id": own, "name": name, "type": "Microsoft.Network/privateDnsZones"}));
    documents.at(LINKS);
    documents.at(RECORDS);
    for network in networks {
        add(
            documents,
            LINKS,
            json!({"id": format!("{own}/virtualNetworkLinks/{network}"), "name": network,
            "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            "virtualNetwork": {"id": id("rg", &format!("virtualNetworks/{network}"))}, "virtualNetworkLinkState": "Completed"}),
        );
    }
    for (record, address) in records {
        add(
            documents,
            RECORDS,
            json!({"id": format!("{own}/A/{record}"), "name": record, "type": "Microsoft.Network/privateDnsZones/A",
            "aRecords": [{"ipv4Address": address}], "ttl": 300}),
        );
    }
}

fn at(who: &str) -> Standpoint {
    match who.parse::<IpAddr>() {
        Ok(address) => Standpoint { own: vec![address], declared: true, ..Standpoint::default() },
        Err(_) => Standpoint { instance: Some(who.to_owned()), declared: true, ..Standpoint::default() },
    }
}

fn ask(documents: &Documents, who: &str, host: &str) -> Prediction {
    let facts = documents.facts();
    let network = Network::new(&facts.azure);
    predict(&facts, &network, &at(who), &AddressClasses::default(), host, &[]).unwrap()
}

fn told(documents: &Documents, who: &str, host: &str) -> String {
    ask(documents, who, host).summary()
}

#[test]
fn the_public_path_is_judged_by_the_address_that_it_sees() {
    let documents = public(&["198.51.100.0/24", "20.1.2.3/32"]);
    for (who, expected) in [
        ("198.51.100.7", "predicted reachable: the public endpoint lets 198.51.100.7 in (198.51.100.0/24)"),
        ("203.0.113.7", "predicted unreachable: 203.0.113.7 is in no authorized range"),
        ("2001:db8::7", "predicted unknown: the address that the public endpoint sees is not known"),
        // A node leaves by the cluster's load balancer, another machine nobody knows how.
        ("aks-np-vmss_0", "predicted reachable: the public endpoint lets 20.1.2.3 in (20.1.2.3/32)"),
        ("ops", "predicted unknown: the address that the public endpoint sees is not known"),
        ("192.168.9.9", "predicted unknown: the address that the public endpoint sees is not known"),
    ] {
        assert_eq!(told(&documents, who, FQDN), expected, "{who}");
        // An open list lets in whoever comes; of an IPv6 address nobody knows how it comes.
        let open = ask(&public(&[]), who, FQDN);
        let wanted = if who.contains(':') { Reachability::Unknown } else { Reachability::Reachable };
        assert_eq!((open.configured, open.via), (wanted, Some(Via::Public)), "{who}");
    }
    let node = ask(&documents, "aks-np-vmss_0", FQDN);
    let nodes: ArmId = id("rg", "virtualNetworks/nodes").as_str().into();
    assert_eq!(node.place, Place::ClusterNetwork { network: nodes });
    assert!(matches!(ask(&documents, "ops", FQDN).place, Place::OtherNetwork { .. }));
    assert_eq!(ask(&documents, "203.0.113.7", FQDN).place, Place::Internet);
    assert_eq!(ask(&documents, "192.168.9.9", FQDN).place, Place::OutsideAddress);
}

#[test]
fn the_placeholder_lets_the_load_balancers_addresses_in_and_nobody_else() {
    let documents = public(&["0.0.0.0/32"]);
    assert_eq!(
        told(&documents, "203.0.113.7", FQDN),
        "predicted unreachable: only the cluster's own outbound address is let in (0.0.0.0/32), not 203.0.113.7"
    );
    assert_eq!(
        told(&documents, "aks-np-vmss_0", FQDN),
        "predicted reachable: the public endpoint lets 20.1.2.3 in (0.0.0.0/32)"
    );
    // By a NAT gateway they are locked out.
    let mut nat = documents;
    nat.at(NETWORKS)[0]["subnets"][0]["natGateway"] = reference(id("rg", "natGateways/nat"));
    nat.set(
        "network/nat-gateways.json",
        json!([{"id": id("rg", "natGateways/nat"), "name": "nat", "type": "Microsoft.Network/natGateways",
        "publicIpAddresses": [{"id": id("rg", "publicIPAddresses/nat")}]}]),
    );
    nat.at("network/public-ip-addresses.json").as_array_mut().unwrap().push(public_ip("rg", "nat", "20.9.9.9"));
    assert!(
        matches!(ask(&nat, "aks-np-vmss_0", FQDN).public, PublicPath::OutboundOnly { egress } if egress.len() == 1)
    );
}

#[test]
fn a_service_tag_needs_its_ranges() {
    let mut documents = public(&["AzureDevOps", "198.51.100.0/24"]);
    assert_eq!(ask(&documents, "198.51.100.7", FQDN).configured, Reachability::Reachable);
    let unknown = ask(&documents, "13.1.2.3", FQDN);
    assert_eq!(
        (unknown.configured, matches!(unknown.public, PublicPath::TagNotKnown { .. })),
        (Reachability::Unknown, true)
    );
    documents.set(
        "network/service-tags.json",
        json!({"name": "Public", "cloud": "Public", "changeNumber": 1,
        "values": [{"name": "AzureDevOps", "id": "AzureDevOps", "properties": {"addressPrefixes": ["13.1.0.0/16"]}}]}),
    );
    assert_eq!(ask(&documents, "13.1.2.3", FQDN).configured, Reachability::Reachable);
    assert_eq!(ask(&documents, "13.2.2.3", FQDN).configured, Reachability::Unreachable);
}

#[test]
fn several_egress_addresses_may_be_listed_in_part() {
    let mut documents = public(&["20.1.2.3"]);
    documents.at(CLUSTER)["networkProfile"]["loadBalancerProfile"]["effectiveOutboundIPs"]
        .as_array_mut()
        .unwrap()
        .push(reference(id("MC_rg_prod_westeurope", "publicIPAddresses/second")));
    // One of the two is not known: then neither is what the endpoint sees.
    assert_eq!(ask(&documents, "aks-np-vmss_0", FQDN).public, PublicPath::EgressNotKnown);
    documents.at("network/public-ip-addresses.json").as_array_mut().unwrap().push(public_ip(
        "MC_rg_prod_westeurope",
        "second",
        "20.1.2.4",
    ));
    assert!(matches!(ask(&documents, "aks-np-vmss_0", FQDN).public, PublicPath::PartlyListed { .. }));
}

#[test]
fn a_firewall_that_is_not_listed_is_locked_out_whatever_it_lets_through() {
    let mut documents = public(&["198.51.100.0/24"]);
    documents.at(CLUSTER)["networkProfile"]["outboundType"] = json!("userDefinedRouting");
    documents.at(NETWORKS)[0]["subnets"][0]["routeTable"] = reference(id("rg", "routeTables/rt"));
    documents.set("network/route-tables.json", json!([{"id": id("rg", "routeTables/rt"), "name": "rt", "type": "Microsoft.Network/routeTables",
        "routes": [{"name": "out", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.9.4"}]}]));
    assert!(matches!(ask(&documents, "aks-np-vmss_0", FQDN).public, PublicPath::WayOutNotKnown(_)));
    documents.set("network/azure-firewalls.json", json!([{"id": id("rg", "azureFirewalls/fw"), "name": "fw", "type": "Microsoft.Network/azureFirewalls",
        "ipConfigurations": [{"privateIPAddress": "10.1.9.4", "publicIPAddress": {"id": id("rg", "publicIPAddresses/fw")}}]}]));
    documents.at("network/public-ip-addresses.json").as_array_mut().unwrap().push(public_ip("rg", "fw", "20.7.7.7"));
    assert_eq!(told(&documents, "aks-np-vmss_0", FQDN), "predicted unreachable: 20.7.7.7 is in no authorized range");
    documents.at(CLUSTER)["apiServerAccessProfile"]["authorizedIpRanges"] = json!(["20.7.7.7/32"]);
    assert!(matches!(ask(&documents, "aks-np-vmss_0", FQDN).public, PublicPath::WayOutNotKnown(_)));
}

#[test]
fn state_and_power_come_before_the_network() {
    let mut documents = public(&[]);
    documents.at(CLUSTER)["provisioningState"] = json!("Failed");
    let failed = ask(&documents, "203.0.113.7", FQDN);
    assert_eq!(failed.configured, Reachability::Unknown);
    assert!(failed.missing[0].what.contains("provisioningState is Failed"));
    documents.at(CLUSTER)["provisioningState"] = json!("Updating");
    assert_eq!(ask(&documents, "203.0.113.7", FQDN).configured, Reachability::Reachable);
    documents.at(CLUSTER)["powerState"]["code"] = json!("Stopped");
    assert_eq!(told(&documents, "203.0.113.7", FQDN), "predicted unreachable: the cluster is stopped");
    documents.at(CLUSTER)["powerState"]["code"] = json!("Running");
    documents.at(CLUSTER)["publicNetworkAccess"] = json!("Disabled");
    assert_eq!(told(&documents, "203.0.113.7", FQDN), "predicted unreachable: there is no public endpoint");
}

#[test]
fn a_private_cluster_is_reached_where_its_zone_is_seen() {
    let documents = private();
    let node = ask(&documents, "aks-np-vmss_0", PRIVATE);
    assert_eq!(
        (node.configured, node.via, node.mode),
        (Reachability::Reachable, Some(Via::Private), Mode::PrivateLink)
    );
    assert_eq!((node.answer.class, node.answer.addresses.len()), (Some(AddressClass::Private), 1));
    assert_eq!(node.private[0].endpoint.as_ref().unwrap().name(), "kube-apiserver");
    assert!(node.missing.is_empty(), "{:?}", node.missing);
    // The peered network is not linked; the public name gives the private address everywhere.
    let ops = ask(&documents, "ops", PRIVATE);
    assert_eq!((ops.configured, ops.via), (Reachability::Unreachable, None));
    assert!(
        matches!(&ops.answer.obstacle, Some(ZoneObstacle::NotLinked { network, server: None, .. }) if network.name() == "ops")
    );
    assert_eq!(ask(&documents, "ops", FQDN).configured, Reachability::Reachable);
    // From elsewhere: no name, and no way.
    let internet = ask(&documents, "203.0.113.7", PRIVATE);
    assert_eq!((internet.configured, internet.answer.class), (Reachability::Unreachable, Some(AddressClass::None)));
    let by_public_name = ask(&documents, "203.0.113.7", FQDN);
    assert_eq!((by_public_name.configured, by_public_name.via), (Reachability::Unreachable, Some(Via::Private)));
    let alone = ask(&documents, "alone", FQDN);
    assert_eq!(alone.configured, Reachability::Unreachable);
    assert!(alone.summary().contains("no peering between alone and nodes"), "{}", alone.summary());
}

#[test]
fn what_was_not_listed_is_not_known_to_be_absent() {
    for (path, action) in [
        (LINKS, "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read"),
        (RECORDS, "Microsoft.Network/privateDnsZones/ALL/read"),
    ] {
        let documents = private().without(path);
        let node = ask(&documents, "aks-np-vmss_0", PRIVATE);
        assert_eq!((node.configured, node.answer.class), (Reachability::Unknown, None), "{path}");
        assert!(node.missing.iter().any(|one| one.decided_by.contains(action)), "{:?}", node.missing);
    }
    let mut denied = private();
    denied.at(LINKS).as_array_mut().unwrap().clear();
    assert_eq!(ask(&denied, "aks-np-vmss_0", PRIVATE).answer.class, Some(AddressClass::None));
    denied.set(
        "manifest.json",
        json!({"denied": [{"action": "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read", "message": "no"}]}),
    );
    assert_eq!(ask(&denied, "aks-np-vmss_0", PRIVATE).answer.class, None);
    let no_endpoint = private().without("network/private-endpoints.json");
    let told = ask(&no_endpoint, "aks-np-vmss_0", PRIVATE);
    // The record still says where to go; what stands there is not told, but that it is no machine is not known either.
    assert_eq!(told.answer.addresses.len(), 1);
    assert_ne!(told.configured, Reachability::Unreachable);
    // The public name is not hidden by what nobody listed.
    assert_eq!(ask(&private().without(LINKS), "ops", FQDN).configured, Reachability::Reachable);
}

#[test]
fn records_and_zones_that_are_wrong_are_told_apart() {
    let mut wrong = private();
    wrong.at(RECORDS)[0]["aRecords"] = json!([{"ipv4Address": "10.0.1.77"}]);
    let told = ask(&wrong, "aks-np-vmss_0", PRIVATE);
    assert_eq!(told.configured, Reachability::Unreachable);
    assert!(matches!(told.answer.obstacle, Some(ZoneObstacle::RecordDiffers { .. })));
    assert!(told.summary().contains("says 10.0.1.77, but the API server has 10.0.1.10"));

    let mut lacking = private();
    lacking.at(RECORDS).as_array_mut().unwrap().clear();
    assert!(matches!(
        ask(&lacking, "aks-np-vmss_0", PRIVATE).answer.obstacle,
        Some(ZoneObstacle::RecordMissing { .. })
    ));

    // A zone of the same name in the client's network goes before nothing: it is the only one linked there.
    let mut shadowed = private();
    zone(&mut shadowed, ("rg", ZONE), &["ops"], &[]);
    let told = ask(&shadowed, "ops", PRIVATE);
    assert_eq!(told.configured, Reachability::Unreachable);
    assert!(matches!(&told.answer.obstacle, Some(ZoneObstacle::Shadowed { network, .. }) if network.name() == "ops"));
    // A longer name goes before a shorter one, and a zone above the public name hides that, too.
    let mut above = private();
    zone(&mut above, ("rg", "azmk8s.io"), &["ops", "nodes"], &[]);
    assert_eq!(ask(&above, "aks-np-vmss_0", PRIVATE).configured, Reachability::Reachable);
    assert!(matches!(ask(&above, "ops", FQDN).answer.obstacle, Some(ZoneObstacle::Shadowed { .. })));
    for link in above.at(LINKS).as_array_mut().unwrap() {
        link["resolutionPolicy"] = json!("NxDomainRedirect");
    }
    assert_eq!(ask(&above, "ops", FQDN).configured, Reachability::Reachable);
    zone(&mut above, ("rg", "hcp.westeurope.azmk8s.io"), &["ops"], &[("*", "10.0.1.10")]);
    assert_eq!(ask(&above, "ops", FQDN).answer.addresses.len(), 1);
}

#[test]
fn servers_of_the_networks_own_may_forward() {
    let mut documents = private();
    documents.at(NETWORKS)[1]["dhcpOptions"] = json!({"dnsServers": ["10.0.0.53"]});
    let told = ask(&documents, "ops", PRIVATE);
    assert_eq!((told.configured, told.answer.class), (Reachability::Unknown, None));
    assert!(matches!(told.answer.obstacle, Some(ZoneObstacle::CustomServers { .. })));
    // The server is in a network that does not see the zone.
    documents.at(NETWORKS)[1]["dhcpOptions"] = json!({"dnsServers": ["10.2.0.53"]});
    let obstacle = ask(&documents, "ops", PRIVATE).answer.obstacle;
    assert!(
        matches!(&obstacle, Some(ZoneObstacle::NotLinked { network, server: Some(_), .. }) if network.name() == "alone"),
        "{obstacle:?}"
    );
    assert_eq!(ask(&documents, "ops", FQDN).configured, Reachability::Reachable);
    // Or in the client's own, which does not see it either.
    documents.at(NETWORKS)[1]["dhcpOptions"] = json!({"dnsServers": ["10.1.0.53"]});
    let obstacle = ask(&documents, "ops", PRIVATE).answer.obstacle;
    assert!(
        matches!(&obstacle, Some(ZoneObstacle::NotLinked { network, server: Some(_), .. }) if network.name() == "ops")
    );
    documents.at(NETWORKS)[1]["dhcpOptions"] = json!({"dnsServers": ["168.63.129.16"]});
    assert!(matches!(
        ask(&documents, "ops", PRIVATE).answer.obstacle,
        Some(ZoneObstacle::NotLinked { server: None, .. })
    ));
    // What the client's resolver really gave settles it.
    documents.at(NETWORKS)[1]["dhcpOptions"] = json!({"dnsServers": ["10.0.0.53"]});
    let facts = documents.facts();
    let standpoint = Standpoint { answer: Some(AddressClass::Private), ..at("ops") };
    let seen =
        predict(&facts, &Network::new(&facts.azure), &standpoint, &AddressClasses::default(), PRIVATE, &[]).unwrap();
    assert_eq!(seen.configured, Reachability::Reachable);
}

#[test]
fn names_that_are_not_the_clusters_are_not_guessed_at() {
    let mut documents = private();
    documents.at(CLUSTER)["apiServerAccessProfile"]["enablePrivateClusterPublicFqdn"] = json!(false);
    let told = ask(&documents, "aks-np-vmss_0", FQDN);
    assert_eq!((told.configured, told.answer.obstacle), (Reachability::Unreachable, Some(ZoneObstacle::NotPublished)));
    documents.at(CLUSTER).as_object_mut().unwrap().remove("fqdn");
    assert_eq!(ask(&documents, "aks-np-vmss_0", FQDN).answer.obstacle, Some(ZoneObstacle::NotPublished));
    assert_eq!(ask(&documents, "aks-np-vmss_0", &PRIVATE.to_uppercase()).configured, Reachability::Reachable);
    assert_eq!(ask(&documents, "aks-np-vmss_0", "10.0.1.10").configured, Reachability::Reachable);
    assert_eq!(ask(&documents, "aks-np-vmss_0", "other.example.com").answer.class, None);
    documents.at(CLUSTER)["azurePortalFqdn"] = json!("prod.portal.hcp.westeurope.azmk8s.io");
    assert_eq!(ask(&documents, "ops", "prod.portal.hcp.westeurope.azmk8s.io").answer.class, None);
}

#[test]
fn zones_of_the_users_and_none_at_all() {
    let mut custom = private().without(ZONES).without(LINKS).without(RECORDS);
    let name = "privatelink.westeurope.azmk8s.io";
    custom.at(ZONES);
    zone(&mut custom, ("dns", name), &["nodes", "ops"], &[("prod", "10.0.1.10")]);
    custom.at(CLUSTER)["apiServerAccessProfile"]["privateDnsZone"] =
        json!(id("dns", &format!("privateDnsZones/{name}")));
    custom.at(CLUSTER)["privateFqdn"] = json!(format!("prod.{name}"));
    for who in ["aks-np-vmss_0", "ops"] {
        assert_eq!(ask(&custom, who, &format!("prod.{name}")).configured, Reachability::Reachable, "{who}");
    }
    assert!(matches!(
        ask(&custom, "alone", &format!("prod.{name}")).answer.obstacle,
        Some(ZoneObstacle::NotLinked { .. })
    ));

    let mut none = private().without(ZONES).without(LINKS).without(RECORDS);
    none.at(CLUSTER)["apiServerAccessProfile"]["privateDnsZone"] = json!("none");
    none.at(CLUSTER).as_object_mut().unwrap().remove("privateFqdn");
    let told = ask(&none, "ops", FQDN);
    assert_eq!((told.configured, told.via, told.missing.len()), (Reachability::Reachable, Some(Via::Private), 0));
}

#[test]
fn an_endpoint_that_is_not_approved_lets_nobody_in() {
    let mut documents = private();
    documents.at("network/private-endpoints.json")[0]["privateLinkServiceConnections"][0]["privateLinkServiceConnectionState"]
        ["status"] = json!("Pending");
    let told = ask(&documents, "aks-np-vmss_0", PRIVATE);
    assert_eq!(
        (told.configured, told.private[0].not_approved.as_deref()),
        (Reachability::Unreachable, Some("Pending"))
    );
    assert!(told.hops().iter().any(|hop| hop.component == "kube-apiserver" && hop.decision.blocks()));
}

fn integrated(private_cluster: bool) -> Documents {
    let mut documents = if private_cluster {
        private().without("network/private-endpoints.json")
    } else {
        public(&["198.51.100.0/24"])
    };
    let subnet = id("rg", "virtualNetworks/nodes/subnets/api");
    let access = &mut documents.at(CLUSTER)["apiServerAccessProfile"];
    access["enableVnetIntegration"] = json!(true);
    access["subnetId"] = json!(subnet);
    documents.at(NETWORKS)[0]["subnets"][2]["delegations"] =
        json!([{"serviceName": "Microsoft.ContainerService/managedClusters"}]);
    documents.at(NETWORKS)[0]["subnets"][2]["networkSecurityGroup"] = reference(id("rg", "networkSecurityGroups/api"));
    documents.set("network/network-security-groups.json", json!([group("api", vec![])]));
    documents.set("network/load-balancers.json", json!([{"id": id("MC_rg_prod_westeurope", "loadBalancers/kube-apiserver"), "name": "kube-apiserver",
        "type": "Microsoft.Network/loadBalancers", "frontendIPConfigurations": [{"privateIPAddress": "10.0.2.4", "subnet": {"id": subnet}}]}]));
    if private_cluster {
        documents.at(RECORDS)[0]["aRecords"] = json!([{"ipv4Address": "10.0.2.4"}]);
        documents.at("network/network-interfaces.json").as_array_mut().unwrap().pop();
    }
    documents
}

#[test]
fn with_vnet_integration_the_api_server_has_a_subnet_of_its_own() {
    let mut documents = integrated(true);
    let told = ask(&documents, "aks-np-vmss_0", PRIVATE);
    assert_eq!((told.configured, told.mode), (Reachability::Reachable, Mode::PrivateWithVnetIntegration), "{told:#?}");
    assert!(told.private[0].endpoint.as_ref().unwrap().name() == "kube-apiserver" && told.private[0].subnet.is_some());
    // The address alone, without the load balancer's description, is in that subnet as well.
    let lacking = ask(&documents.clone().without("network/load-balancers.json"), "aks-np-vmss_0", PRIVATE);
    assert_eq!((lacking.configured, lacking.private[0].endpoint.as_ref()), (Reachability::Reachable, None));
    // What stands behind the load balancer listens on 4443.
    documents.at("network/network-security-groups.json")[0]["securityRules"] = json!([
        rule("api", "Inbound", "Allow", 100, ("VirtualNetwork", "*"), "443"),
        rule("no", "Inbound", "Deny", 200, ("*", "*"), "*"),
    ]);
    let blocked = ask(&documents, "aks-np-vmss_0", PRIVATE);
    assert_eq!(blocked.configured, Reachability::Unreachable);
    assert!(blocked.summary().contains("tcp/4443"), "{}", blocked.summary());
    documents.at("network/network-security-groups.json")[0]["securityRules"][0]["destinationPortRange"] = json!("");
    documents.at("network/network-security-groups.json")[0]["securityRules"][0]["destinationPortRanges"] =
        json!(["443", "4443"]);
    assert_eq!(ask(&documents, "aks-np-vmss_0", PRIVATE).configured, Reachability::Reachable);
}

#[test]
fn a_public_cluster_with_vnet_integration_answers_publicly_everywhere() {
    let documents = integrated(false);
    let node = ask(&documents, "aks-np-vmss_0", FQDN);
    assert_eq!((node.mode, node.answer.class), (Mode::PublicWithVnetIntegration, Some(AddressClass::Public)));
    // The list lacks the node's own address, but nodes need not go that way.
    assert_eq!(node.configured, Reachability::Unknown);
    assert!(node.missing.iter().any(|one| one.what.contains("goes by the private address")), "{:?}", node.missing);
    assert_eq!(ask(&documents, "198.51.100.7", FQDN).configured, Reachability::Reachable);
    // Who is given the private address gets in by it.
    let facts = documents.facts();
    let by_address =
        predict(&facts, &Network::new(&facts.azure), &at("aks-np-vmss_0"), &AddressClasses::default(), "10.0.2.4", &[]);
    assert_eq!(by_address.unwrap().configured, Reachability::Reachable);
}

#[test]
fn a_group_of_the_users_blocks_the_private_path() {
    let mut documents = private();
    documents.at(NETWORKS)[1]["subnets"][0]["networkSecurityGroup"] = reference(id("rg", "networkSecurityGroups/ops"));
    documents.set(
        "network/network-security-groups.json",
        json!([group("ops", vec![rule("shut", "Outbound", "Deny", 4000, ("*", "10.0.1.0/24"), "*"),])]),
    );
    assert_eq!(
        told(&documents, "ops", FQDN),
        "predicted unreachable: 10.0.1.10: ops: outbound rule shut (4000) for tcp/443 from 10.1.0.4 to 10.0.1.10"
    );
    // On the node network nothing is wrong.
    assert_eq!(ask(&documents, "aks-np-vmss_0", FQDN).configured, Reachability::Reachable);
}

#[test]
fn what_may_be_another_cluster_or_is_not_said_is_not_known() {
    let own = public(&[]);
    let of = |documents: &Documents, host: &str| ask(documents, "198.51.100.7", host).configured;
    assert_eq!(of(&own, FQDN), Reachability::Reachable);
    for host in ["other-1.hcp.westeurope.azmk8s.io", "evil.example.com", "192.0.2.1", &format!("{FQDN}:6443")] {
        let told = ask(&own, "198.51.100.7", host);
        assert_eq!(told.configured, Reachability::Unknown, "{host}");
        assert!(told.missing.iter().any(|one| one.what.contains(host)), "{host}: {:?}", told.missing);
    }
    for (word, expected) in [
        ("Enabled", Reachability::Reachable),
        ("disabled", Reachability::Unreachable),
        ("SecuredByPerimeter", Reachability::Unknown),
    ] {
        let mut documents = public(&[]);
        documents.at("aks/show.json")["publicNetworkAccess"] = json!(word);
        assert_eq!(of(&documents, FQDN), expected, "{word}");
    }
    let mut documents = public(&[]);
    documents.at("aks/show.json")["powerState"] = json!({"code": "Deallocated"});
    assert_eq!(of(&documents, FQDN), Reachability::Unknown);
}

#[test]
fn a_private_endpoint_must_be_approved_and_the_clusters_own() {
    const ENDPOINTS: &str = "network/private-endpoints.json";
    assert_eq!(ask(&private(), "aks-np-vmss_0", PRIVATE).configured, Reachability::Reachable);
    for connections in [json!([]), json!([{}]), json!([{"privateLinkServiceConnectionState": {"status": null}}])] {
        let mut documents = private();
        documents.at(ENDPOINTS)[0]["privateLinkServiceConnections"] = connections.clone();
        assert_eq!(ask(&documents, "aks-np-vmss_0", PRIVATE).configured, Reachability::Unknown, "{connections}");
    }
    let mut documents = private();
    documents.at(ENDPOINTS)[0]["privateLinkServiceConnections"][0]["privateLinkServiceId"] =
        json!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/other");
    let facts = documents.facts();
    assert!(private_endpoint(&facts).is_none());
}

#[test]
fn records_of_no_address_and_zones_that_nobody_asked_about_are_not_known() {
    let node = "aks-np-vmss_0";
    let mut alias = private();
    alias.at(RECORDS)[0]["aRecords"] = json!([]);
    assert_eq!(ask(&alias, node, PRIVATE).configured, Reachability::Unknown);
    let mut pending = private();
    pending.at(LINKS)[0]["virtualNetworkLinkState"] = json!("InProgress");
    assert_ne!(ask(&pending, node, PRIVATE).configured, Reachability::Reachable);
    let mut elsewhere = private();
    elsewhere.at(RECORDS)[0]["id"] =
        json!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/privateDnsZones/other.test/A/x");
    let told = ask(&elsewhere, node, PRIVATE);
    assert!(told.answer.obstacle.is_none(), "{:?}", told.answer);
    assert_eq!(told.configured, Reachability::Unknown);
}
