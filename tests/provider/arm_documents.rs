//! A cluster and its network as Azure Resource Manager describes them: a hub in another subscription, gateways, zones,
//! scale sets, secrets; and what a pull has no business with.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The subscription of the cluster, and the one of the hub.
pub(crate) const OWN: &str = "00000000-0000-0000-0000-000000000001";
pub(crate) const HUB: &str = "00000000-0000-0000-0000-000000000002";
/// Everything of its own is in this.
pub(crate) const NODES: &str = "MC_rg-prod_prod_westeurope";

/// The documents of a facts folder by their paths, lists in no particular order, secrets included.
pub(crate) fn subscription() -> BTreeMap<String, Value> {
    let documents = [
        ("aks/show", cluster()),
        (
            "aks/agent-pools",
            list([
                json!({"id": format!("{}/agentPools/nodepool1", cluster_id()), "name": "nodepool1", "properties": {"count": 3}}),
            ]),
        ),
        (
            "aks/activity-log",
            list([event("2026-01-01T10:00:09.5Z", "Succeeded"), event("2026-01-01T10:00:01.25Z", "Started")]),
        ),
        ("network/virtual-networks", list(networks())),
        (
            "network/network-security-groups",
            list([
                group(
                    OWN,
                    "rg-net",
                    "nsg-nodes",
                    json!({"sourceAddressPrefix": "VirtualNetwork", "destinationAddressPrefixes": ["10.1.0.0/16"]}),
                ),
                group(
                    HUB,
                    "rg-hub",
                    "nsg-far",
                    json!({"sourceAddressPrefix": "*", "destinationAddressPrefix": "Internet"}),
                ),
                group(HUB, "rg-hub", "nsg-dns", json!({"sourceAddressPrefix": "*", "destinationAddressPrefix": "*"})),
            ]),
        ),
        (
            "network/route-tables",
            list([
                resource(
                    OWN,
                    "rg-net",
                    "routeTables/rt-nodes",
                    json!({"routes": [{"name": "all",
                    "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.1.4"}}]}),
                ),
                resource(HUB, "rg-hub", "routeTables/rt-hub", json!({"routes": []})),
            ]),
        ),
        (
            "network/public-ip-addresses",
            list([
                resource(HUB, "rg-hub", "publicIPAddresses/pip-out", json!({"ipAddress": "203.0.113.7"})),
                resource(HUB, "rg-hub", "publicIPAddresses/pip-gateway", json!({"ipAddress": "203.0.113.8"})),
                resource(HUB, "rg-hub", "publicIPAddresses/pip-nat", json!({"ipAddress": "203.0.113.9"})),
                resource(OWN, NODES, "publicIPAddresses/managed", json!({"ipAddress": "203.0.113.6"})),
            ]),
        ),
        (
            "network/public-ip-prefixes",
            list([resource(HUB, "rg-hub", "publicIPPrefixes/nodes", json!({"ipPrefix": "203.0.113.64/28"}))]),
        ),
        (
            "network/load-balancers",
            list([resource(OWN, NODES, "loadBalancers/kubernetes", json!({"outboundRules": []}))]),
        ),
        (
            "network/nat-gateways",
            list([resource(
                HUB,
                "rg-hub",
                "natGateways/nat-hub",
                json!({"publicIpAddresses": [{"id": id(HUB, "rg-hub", "publicIPAddresses/pip-nat")}]}),
            )]),
        ),
        (
            "network/private-endpoints",
            list([resource(
                OWN,
                NODES,
                "privateEndpoints/kube-apiserver",
                json!({"privateLinkServiceConnections": [
                {"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}}]}),
            )]),
        ),
        ("network/network-interfaces", list(interfaces())),
        (
            "network/azure-firewalls",
            list([resource(OWN, "rg-net", "azureFirewalls/fw", json!({"sku": {"tier": "Standard"}}))]),
        ),
        (
            "network/virtual-network-gateways",
            list([resource(
                HUB,
                "rg-hub",
                "virtualNetworkGateways/gw-hub",
                json!({
                "ipConfigurations": [{"name": "default", "properties": {"publicIPAddress": {"id": id(HUB, "rg-hub", "publicIPAddresses/pip-gateway")}}}],
                "vpnClientConfiguration": {"radiusServerAddress": "10.0.0.9", "radiusServerSecret": "hunter2"}}),
            )]),
        ),
        (
            "network/service-tags",
            json!({"id": "here", "name": "Public", "type": "Microsoft.Network/serviceTags", "cloud": "Public",
                "values": [{"name": "AzureCloud.westeurope", "properties": {"addressPrefixes": ["198.51.100.0/24"]}}]}),
        ),
        (
            "network/private-dns-zones",
            list([zone(OWN, NODES, SYSTEM_ZONE), zone(OWN, "rg-net", "contoso.com"), zone(HUB, "rg-hub", CUSTOM_ZONE)]),
        ),
        (
            "network/private-dns-zone-links",
            list([
                link(OWN, NODES, SYSTEM_ZONE, &id(OWN, "rg-net", "virtualNetworks/vnet-spoke")),
                link(HUB, "rg-hub", CUSTOM_ZONE, &id(HUB, "rg-hub", "virtualNetworks/vnet-dns")),
                link(OWN, "rg-net", "contoso.com", &id(HUB, "rg-hub", "virtualNetworks/vnet-beyond")),
            ]),
        ),
        (
            "network/private-dns-records",
            list([
                record(
                    OWN,
                    NODES,
                    SYSTEM_ZONE,
                    "A/prod-x",
                    json!({"aRecords": [{"ipv4Address": "10.1.0.4"}], "ttl": 300}),
                ),
                record(OWN, NODES, SYSTEM_ZONE, "SOA/@", json!({"soaRecord": {"host": "azureprivatedns.net"}})),
                record(HUB, "rg-hub", CUSTOM_ZONE, "A/prod-x", json!({"aRecords": [{"ipv4Address": "10.1.0.4"}]})),
                record(OWN, "rg-net", "contoso.com", "A/www", json!({"aRecords": [{"ipv4Address": "10.9.0.1"}]})),
            ]),
        ),
        ("network/effective-route-table-vm-a", list([json!({"source": "Default", "addressPrefix": ["10.1.0.0/16"]})])),
        (
            "network/effective-network-security-groups-vm-a",
            list([json!({"effectiveSecurityRules": [{"name": "allow", "access": "Allow"}]})]),
        ),
    ];
    documents.into_iter().map(|(stem, document)| (format!("{stem}.json"), document)).collect()
}

/// The documents that a pull gives: the same, but for what is none of its business and for what was not asked for.
pub(crate) fn expected() -> BTreeMap<String, Value> {
    let mut documents = subscription();
    documents.retain(|path, _| !path.contains("effective"));
    let unasked = ["vnet-beyond", "other-vmss", "privatednszones/contoso.com/"];
    for (path, document) in &mut documents {
        if path.ends_with("service-tags.json") {
            continue;
        }
        if let Some(items) = document.get_mut("value").and_then(Value::as_array_mut) {
            items.retain(|item| {
                let id = item["id"].as_str().unwrap_or_default().to_lowercase();
                !unasked.iter().any(|part| id.contains(part))
            });
        }
        if path == "aks/activity-log.json" {
            for event in document["value"].as_array_mut().into_iter().flatten() {
                event.as_object_mut().map(|event| event.remove("caller"));
            }
        }
    }
    documents
}

/// The id of a resource of `Microsoft.Network`.
pub(crate) fn id(subscription: &str, group: &str, rest: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{rest}")
}

pub(crate) fn cluster_id() -> String {
    format!("/subscriptions/{OWN}/resourcegroups/rg-prod/providers/Microsoft.ContainerService/managedClusters/prod")
}

fn cluster() -> Value {
    let nodes = id(OWN, "rg-net", "virtualNetworks/vnet-spoke/subnets/nodes");
    json!({"id": cluster_id(), "name": "prod", "location": "westeurope", "type": "Microsoft.ContainerService/ManagedClusters",
        "properties": {"provisioningState": "Succeeded", "powerState": {"code": "Running"},
            "fqdn": "prod-x.hcp.westeurope.azmk8s.io", "privateFQDN": "prod-x.privatelink.westeurope.azmk8s.io",
            "nodeResourceGroup": NODES,
            "agentPoolProfiles": [{"name": "nodepool1", "vnetSubnetID": nodes, "enableNodePublicIP": true,
                "nodePublicIPPrefixID": id(HUB, "rg-hub", "publicIPPrefixes/nodes")}],
            "servicePrincipalProfile": {"clientId": "c", "secret": "hunter2"},
            "windowsProfile": {"adminUsername": "azureuser", "adminPassword": "hunter2"},
            "httpProxyConfig": {"httpProxy": "http://me:hunter2@proxy.example.com:3128/", "noProxy": ["localhost"]},
            "apiServerAccessProfile": {"authorizedIPRanges": ["203.0.113.7/32", "AzureCloud.westeurope", "10.1.0.0/16"],
                "enablePrivateCluster": true, "privateDNSZone": id(HUB, "rg-hub", &format!("privateDnsZones/{CUSTOM_ZONE}"))},
            "networkProfile": {"outboundType": "loadBalancer", "loadBalancerSku": "standard", "loadBalancerProfile": {
                "effectiveOutboundIPs": [{"id": id(HUB, "rg-hub", "publicIPAddresses/pip-out")}]}}}})
}

fn networks() -> Vec<Value> {
    let peering = |name: &str, remote: String| json!({"name": name, "properties": {"peeringState": "Connected", "remoteVirtualNetwork": {"id": remote}}});
    let hub = |name: &str| id(HUB, "rg-hub", &format!("virtualNetworks/{name}"));
    let own = |name: &str| id(OWN, "rg-net", &format!("virtualNetworks/{name}"));
    let subnet = |name: &str, properties: Value| json!({"name": name, "properties": properties});
    vec![
        resource(
            OWN,
            "rg-net",
            "virtualNetworks/vnet-spoke",
            json!({"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
            "dhcpOptions": {"dnsServers": ["10.0.0.9", "10.0.0.1"]},
            "subnets": [subnet("nodes", json!({"addressPrefix": "10.1.0.0/20",
                "networkSecurityGroup": {"id": id(OWN, "rg-net", "networkSecurityGroups/nsg-nodes")},
                "routeTable": {"id": id(OWN, "rg-net", "routeTables/rt-nodes")}}))],
            "virtualNetworkPeerings": [peering("to-hub", hub("vnet-hub"))]}),
        ),
        resource(
            OWN,
            "rg-net",
            "virtualNetworks/vnet-other",
            json!({"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}, "subnets": []}),
        ),
        resource(
            HUB,
            "rg-hub",
            "virtualNetworks/vnet-hub",
            json!({"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [
                subnet("GatewaySubnet", json!({"addressPrefix": "10.0.255.0/27",
                    "routeTable": {"id": id(HUB, "rg-hub", "routeTables/rt-hub")},
                    "ipConfigurations": [{"id": id(HUB, "rg-hub", "virtualNetworkGateways/gw-hub/ipConfigurations/default")}]})),
                subnet("out", json!({"addressPrefix": "10.0.2.0/24", "natGateway": {"id": id(HUB, "rg-hub", "natGateways/nat-hub")}}))],
            "virtualNetworkPeerings": [peering("to-spoke", own("vnet-spoke")), peering("to-far", hub("vnet-far"))]}),
        ),
        resource(
            HUB,
            "rg-hub",
            "virtualNetworks/vnet-far",
            json!({"addressSpace": {"addressPrefixes": ["10.2.0.0/16"]},
            "subnets": [subnet("far", json!({"networkSecurityGroup": {"id": id(HUB, "rg-hub", "networkSecurityGroups/nsg-far")}}))],
            "virtualNetworkPeerings": [peering("to-hub", hub("vnet-hub")), peering("to-beyond", hub("vnet-beyond"))]}),
        ),
        resource(HUB, "rg-hub", "virtualNetworks/vnet-beyond", json!({"subnets": []})),
        resource(
            HUB,
            "rg-hub",
            "virtualNetworks/vnet-dns",
            json!({"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]},
            "subnets": [subnet("dns", json!({"networkSecurityGroup": {"id": id(HUB, "rg-hub", "networkSecurityGroups/nsg-dns")}}))]}),
        ),
    ]
}

fn interfaces() -> Vec<Value> {
    let of = |id: String, network: &str, machine: bool| {
        let name = id.rsplit('/').next().unwrap().to_owned();
        let subnet = self::id(OWN, "rg-net", &format!("virtualNetworks/{network}/subnets/nodes"));
        let mut properties = json!({"ipConfigurations": [{"name": "a", "properties": {"privateIPAddress": "10.1.0.5", "subnet": {"id": subnet}}}]});
        if machine {
            properties["virtualMachine"] = json!({"id": format!("/subscriptions/{OWN}/resourceGroups/rg-net/providers/Microsoft.Compute/virtualMachines/{name}")});
        }
        json!({"id": id, "name": name, "properties": properties})
    };
    let node = |group: &str, set: &str, number: u32| {
        format!(
            "/subscriptions/{OWN}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{number}/networkInterfaces/{set}"
        )
    };
    vec![
        of(node(NODES, "aks-nodepool1-1-vmss", 1), "vnet-spoke", false),
        of(node(NODES, "aks-nodepool1-1-vmss", 0), "vnet-spoke", false),
        of(node("rg-net", "other-vmss", 0), "vnet-spoke", false),
        of(id(OWN, "rg-net", "networkInterfaces/vm-a"), "vnet-spoke", true),
        of(id(OWN, "rg-net", "networkInterfaces/vm-b"), "vnet-other", true),
        of(id(OWN, NODES, "networkInterfaces/kube-apiserver.nic"), "vnet-spoke", false),
    ]
}

fn event(time: &str, status: &str) -> Value {
    json!({"eventTimestamp": time, "status": {"value": status, "localizedValue": status}, "resourceId": cluster_id(),
        "operationName": {"value": "Microsoft.ContainerService/managedClusters/write", "localizedValue": "Create or update"},
        "correlationId": "c-1", "caller": "jane@example.com"})
}

fn group(subscription: &str, resource_group: &str, name: &str, mut rule: Value) -> Value {
    rule["priority"] = json!(100);
    let rule = json!({"name": "one", "properties": rule});
    resource(subscription, resource_group, &format!("networkSecurityGroups/{name}"), json!({"securityRules": [rule]}))
}

fn zone(subscription: &str, group: &str, name: &str) -> Value {
    let mut zone = resource(subscription, group, &format!("privateDnsZones/{name}"), json!({"numberOfRecordSets": 2}));
    zone["location"] = json!("global");
    zone
}

fn link(subscription: &str, group: &str, zone: &str, network: &str) -> Value {
    let name = format!("privateDnsZones/{zone}/virtualNetworkLinks/the-link");
    let properties = json!({"virtualNetwork": {"id": network}, "registrationEnabled": false, "virtualNetworkLinkState": "Completed"});
    // The provider prints the ids of what belongs to a zone in small letters.
    let mut link = resource(subscription, group, &name, properties);
    link["id"] = json!(link["id"].as_str().unwrap().to_lowercase());
    link
}

fn record(subscription: &str, group: &str, zone: &str, name: &str, properties: Value) -> Value {
    resource(subscription, group, &format!("privateDnsZones/{zone}/{name}"), properties)
}

#[expect(clippy::needless_pass_by_value, reason = "every caller makes the value for this call")]
fn resource(subscription: &str, group: &str, rest: &str, properties: Value) -> Value {
    let name = rest.rsplit('/').next().unwrap();
    json!({"id": id(subscription, group, rest), "name": name, "location": "westeurope", "properties": properties})
}

fn list(items: impl Into<Vec<Value>>) -> Value {
    json!({"value": items.into()})
}

const SYSTEM_ZONE: &str = "privatelink.westeurope.azmk8s.io";
const CUSTOM_ZONE: &str = "corp.privatelink.westeurope.azmk8s.io";
