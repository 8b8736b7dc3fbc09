//! Facts for tests: a hub with two spokes, an AKS cluster's node network, and whatever a test changes of them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::facts::{Facts, from_documents};

pub(in crate::model) const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// The documents of a facts folder, by path.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Documents(pub(in crate::model) Map<String, Value>);

impl Documents {
    /// Sets a document, whole.
    pub(in crate::model) fn set(&mut self, path: &str, document: Value) -> &mut Self {
        self.0.insert(path.to_owned(), document);
        self
    }

    /// The document, to be changed.
    pub(in crate::model) fn at(&mut self, path: &str) -> &mut Value {
        self.0.entry(path).or_insert_with(|| json!([]))
    }

    pub(in crate::model) fn without(mut self, path: &str) -> Self {
        assert!(self.0.remove(path).is_some(), "{path}");
        self
    }

    pub(in crate::model) fn facts(&self) -> Facts {
        let documents = self.0.iter().map(|(path, value)| (PathBuf::from(path), value.to_string().into_bytes()));
        let facts = from_documents(Path::new("facts"), documents).unwrap_or_else(|error| panic!("{error}"));
        assert!(facts.unrecognised.is_empty(), "{:?}", facts.unrecognised);
        facts
    }
}

/// The id of a resource of the network provider: `virtualNetworks/hub`.
pub(in crate::model) fn id(group: &str, rest: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{rest}")
}

pub(in crate::model) fn reference(id: impl Into<String>) -> Value {
    json!({"id": id.into()})
}

/// A network of one group with subnets: name and range each.
#[expect(clippy::needless_pass_by_value, reason = "lists are written where they are used")]
pub(in crate::model) fn vnet(
    group: &str,
    name: &str,
    range: &str,
    subnets: &[(&str, &str)],
    peerings: Vec<Value>,
) -> Value {
    let own = id(group, &format!("virtualNetworks/{name}"));
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|(subnet, range)| json!({"id": format!("{own}/subnets/{subnet}"), "name": subnet, "addressPrefix": range}))
        .collect();
    json!({"id": own, "name": name, "type": "Microsoft.Network/virtualNetworks", "location": "westeurope",
        "addressSpace": {"addressPrefixes": [range]}, "subnets": subnets, "virtualNetworkPeerings": peerings})
}

/// One side of a peering, connected.
pub(in crate::model) fn peering(group: &str, from: &str, to: (&str, &str)) -> Value {
    json!({"id": id(group, &format!("virtualNetworks/{from}/virtualNetworkPeerings/to-{}", to.1)), "name": format!("to-{}", to.1),
        "remoteVirtualNetwork": {"id": id(to.0, &format!("virtualNetworks/{}", to.1))}, "peeringState": "Connected",
        "allowVirtualNetworkAccess": true, "allowForwardedTraffic": false, "allowGatewayTransit": false, "useRemoteGateways": false})
}

/// An interface of a machine.
pub(in crate::model) fn interface(group: &str, name: &str, subnet: &str, address: &str) -> Value {
    json!({"id": id(group, &format!("networkInterfaces/{name}-nic")), "name": format!("{name}-nic"),
        "type": "Microsoft.Network/networkInterfaces",
        "virtualMachine": {"id": format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}")},
        "ipConfigurations": [{"name": "ipconfig1", "privateIPAddress": address, "subnet": {"id": subnet}}]})
}

/// A rule of a security group.
pub(in crate::model) fn rule(
    name: &str,
    direction: &str,
    access: &str,
    priority: u32,
    (source, destination): (&str, &str),
    ports: &str,
) -> Value {
    json!({"name": name, "direction": direction, "access": access, "priority": priority, "protocol": "Tcp",
        "sourceAddressPrefix": source, "sourcePortRange": "*", "destinationAddressPrefix": destination, "destinationPortRange": ports})
}

#[expect(clippy::needless_pass_by_value, reason = "lists are written where they are used")]
pub(in crate::model) fn group(name: &str, rules: Vec<Value>) -> Value {
    json!({"id": id("rg", &format!("networkSecurityGroups/{name}")), "name": name,
        "type": "Microsoft.Network/networkSecurityGroups", "securityRules": rules})
}

/// A hub, peered with two spokes; a machine `vm-…` in each, at `.4` of its subnet.
pub(in crate::model) fn hub_and_spokes() -> Documents {
    let mut documents = Documents::default();
    let networks = json!([
        vnet(
            "rg",
            "hub",
            "10.0.0.0/16",
            &[("main", "10.0.0.0/24"), ("GatewaySubnet", "10.0.255.0/27")],
            vec![peering("rg", "hub", ("rg", "a")), peering("rg", "hub", ("rg", "b"))]
        ),
        vnet(
            "rg",
            "a",
            "10.1.0.0/16",
            &[("main", "10.1.0.0/24"), ("other", "10.1.1.0/24")],
            vec![peering("rg", "a", ("rg", "hub"))]
        ),
        vnet("rg", "b", "10.2.0.0/16", &[("main", "10.2.0.0/24")], vec![peering("rg", "b", ("rg", "hub"))]),
    ]);
    let subnet = |network: &str, name: &str| id("rg", &format!("virtualNetworks/{network}/subnets/{name}"));
    let interfaces = json!([
        interface("rg", "vm-hub", &subnet("hub", "main"), "10.0.0.4"),
        interface("rg", "vm-a", &subnet("a", "main"), "10.1.0.4"),
        interface("rg", "vm-a2", &subnet("a", "other"), "10.1.1.4"),
        interface("rg", "vm-b", &subnet("b", "main"), "10.2.0.4"),
    ]);
    documents.set("network/virtual-networks.json", networks);
    documents.set("network/network-interfaces.json", interfaces);
    documents.set("network/network-security-groups.json", json!([]));
    documents.set("network/route-tables.json", json!([]));
    documents
}
