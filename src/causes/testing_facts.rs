//! A cluster with its facts for the tests of the causes that need probe and configuration together.
//!
//! `prod` in `vpc-a` (10.20.0.0/16) with two control-plane interfaces, a worker `i-node` in the same VPC behind a NAT
//! gateway (203.0.113.10), and a peered `vpc-b` (10.9.0.0/16) with the client `i-peer`.

use std::{net::IpAddr, path::Path};

use kubereach_probes::AddressClasses;
use serde_json::{Map, Value, json};

use super::{CellView, Configured, Update, diagnose, testing::Scene};
use crate::{
    facts::{self, Facts, azure::ArmId},
    model::{
        EgressBy, Outlook, Standpoint, aks, azure,
        eks::{self, Prediction, PrivatePath, PublicPath},
        eks_api,
        network::Network,
        trace::{Decision, Hop, HopKind, Outcome, Reason, Trace},
    },
    report::{CellTarget, Finding, Reachability, Severity, Via},
};

type Alter = Box<dyn Fn(&mut Prediction)>;
type AlterAks = Box<dyn Fn(&mut aks::Prediction)>;

/// Facts and a place in them.
pub(super) struct Case {
    documents: Map<String, Value>,
    standpoint: Standpoint,
    alter: Vec<Alter>,
    alter_aks: Vec<AlterAks>,
    update: Option<Update>,
}

impl Case {
    /// The base with this merged into it, file by file (JSON merge patch), seen from nowhere in particular.
    pub(super) fn new(patch: Value) -> Self {
        Self::over(base(), patch)
    }

    /// The same over the base of AKS: `prod` is public, with 203.0.113.0/24 listed and a node in `vnet-a` (10.20.0.0/16)
    /// that leaves by the load balancer as 20.1.2.3.
    pub(super) fn aks(patch: Value) -> Self {
        Self::over(base_of_aks(), patch)
    }

    fn over(mut documents: Value, patch: Value) -> Self {
        merge(&mut documents, patch);
        let Value::Object(documents) = documents else { unreachable!("the base is an object") };
        Self { documents, standpoint: Standpoint::default(), alter: Vec::new(), alter_aks: Vec::new(), update: None }
    }

    /// Seen from an address of one's own.
    pub(super) fn from(mut self, address: &str) -> Self {
        self.standpoint = Standpoint { own: vec![address.parse().unwrap()], declared: true, ..Standpoint::default() };
        self
    }

    /// The addresses that it is seen by, as declared or else as observed.
    pub(super) fn seen_as(mut self, egress: &[&str], declared: bool) -> Self {
        self.standpoint.egress = egress.iter().map(|net| net.parse().unwrap()).collect();
        self.standpoint.egress_by = Some(if declared {
            EgressBy::Declared { seen_by: Vec::new() }
        } else {
            EgressBy::Observed { servers: vec!["stun://192.0.2.1:3478".to_owned()] }
        });
        self
    }

    /// Seen from an instance of the facts.
    pub(super) fn at(mut self, instance: &str) -> Self {
        self.standpoint = Standpoint { instance: Some(instance.to_owned()), ..Standpoint::default() };
        self
    }

    /// While this update is under way.
    pub(super) fn updating(mut self, update: Update) -> Self {
        self.update = Some(update);
        self
    }

    /// With what the model says changed: what a trace of these facts would have found.
    pub(super) fn predicting(mut self, alter: impl Fn(&mut Prediction) + 'static) -> Self {
        self.alter.push(Box::new(alter));
        self
    }

    /// The same for AKS.
    pub(super) fn predicting_aks(mut self, alter: impl Fn(&mut aks::Prediction) + 'static) -> Self {
        self.alter_aks.push(Box::new(alter));
        self
    }

    /// With the path to the private address 10.20.1.4 of an AKS cluster closed for this reason.
    pub(super) fn closed_aks(self, kind: HopKind, component: &'static str, reason: Reason) -> Self {
        self.predicting_aks(move |prediction| {
            prediction.configured = Reachability::Unreachable;
            prediction.via = Some(Via::Private);
            prediction.public = PublicPath::Off;
            prediction.private = vec![aks::PrivatePath {
                endpoint: Some(azure_id("privateEndpoints/kube-apiserver")),
                subnet: None,
                address: "10.20.1.4".parse().unwrap(),
                not_approved: None,
                trace: blocked(kind, component, false, reason.clone()),
            }];
        })
    }

    /// With every path to the control plane closed for this reason on the way there (or back).
    pub(super) fn closed(self, kind: HopKind, component: &'static str, back: bool, reason: Reason) -> Self {
        self.predicting(move |prediction| {
            prediction.configured = Reachability::Unreachable;
            prediction.via = Some(Via::Private);
            prediction.private = ["10.20.1.10", "10.20.2.10"]
                .iter()
                .enumerate()
                .map(|(place, address)| PrivatePath {
                    interface: format!("eni-{place}"),
                    subnet: Some(format!("subnet-a{}", place + 1)),
                    zone: None,
                    address: address.parse().unwrap(),
                    trace: blocked(kind, component, back, reason.clone()),
                })
                .collect();
        })
    }

    /// With the way out to the public endpoint closed for this reason.
    pub(super) fn no_way_out(self, kind: HopKind, component: &'static str, back: bool, reason: Reason) -> Self {
        self.predicting(move |prediction| {
            prediction.configured = Reachability::Unreachable;
            prediction.via = Some(Via::Public);
            prediction.public = PublicPath::NoWayOut(Box::new(blocked(kind, component, back, reason.clone())));
        })
    }

    pub(super) fn facts(&self) -> Facts {
        let documents =
            self.documents.iter().map(|(name, value)| (Path::new(name).to_owned(), serde_json::to_vec(value).unwrap()));
        facts::from_documents(Path::new("facts"), documents).unwrap()
    }

    /// What a cell with these facts looks like to a predicate.
    pub(super) fn look<T>(&self, scene: &Scene, see: impl FnOnce(&CellView<'_>) -> T) -> T {
        let facts = self.facts();
        let network = Network::new(&facts.network);
        let view = scene.view();
        let classes = AddressClasses::default();
        let mut standpoint = self.standpoint.clone();
        standpoint.answer = view.observation.dns.first().map(|answer| answer.address_class);
        let azure = azure::Network::new(&facts.azure);
        let outlook = if facts.managed_cluster.is_some() {
            let addresses: Vec<IpAddr> =
                view.observation.attempts.iter().filter_map(|attempt| attempt.address).collect();
            let mut prediction = aks::predict(&facts, &azure, &standpoint, &classes, view.host, &addresses);
            for alter in &self.alter_aks {
                prediction.as_mut().into_iter().for_each(alter);
            }
            prediction.map(Outlook::Aks)
        } else if view.target == CellTarget::EksApi {
            eks_api::predict(&facts, &network, &standpoint, &classes).map(Outlook::EksApi)
        } else {
            let addresses: Vec<IpAddr> =
                view.observation.attempts.iter().filter_map(|attempt| attempt.address).collect();
            let mut prediction = eks::predict(&facts, &network, &standpoint, &classes, &addresses);
            for alter in &self.alter {
                prediction.as_mut().into_iter().for_each(alter);
            }
            prediction.map(Outlook::Eks)
        };
        let configured = outlook.as_ref().map_or(Reachability::Unknown, Outlook::configured);
        see(&CellView {
            configured,
            configuration: Some(Configured {
                facts: &facts,
                network: &network,
                standpoint: &standpoint,
                azure: &azure,
                outlook: outlook.as_ref(),
                update: self.update.as_ref(),
            }),
            ..view
        })
    }

    pub(super) fn findings(&self, scene: &Scene) -> Vec<Finding> {
        self.look(scene, diagnose)
    }

    pub(super) fn finding(&self, scene: &Scene, code: &str) -> Option<Finding> {
        self.findings(scene).into_iter().find(|finding| finding.code == code)
    }

    /// The codes of the error findings, most probable first.
    pub(super) fn errors(&self, scene: &Scene) -> Vec<String> {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        self.findings(scene).into_iter().filter(is_error).map(|finding| finding.code).collect()
    }
}

/// A cell that is only predicted.
pub(super) fn unprobed() -> Scene {
    Scene::new().with(|scene| {
        scene.observed = Reachability::Unknown;
        scene.vantage_kind = "model";
    })
}

/// A path with one hop that stops it.
pub(super) fn blocked(kind: HopKind, component: &str, back: bool, reason: Reason) -> Trace {
    let hop = Hop {
        component: component.to_owned(),
        kind,
        decision: Decision::Deny,
        rule: "the rule in words".to_owned(),
        reason: Some(reason),
    };
    let (forward, back) = if back { (Vec::new(), vec![hop]) } else { (vec![hop], Vec::new()) };
    Trace { outcome: Outcome::Blocked, forward, back, destination: None, source_seen: Vec::new(), notes: Vec::new() }
}

/// An open path.
pub(super) fn open() -> Trace {
    Trace {
        outcome: Outcome::Reachable,
        forward: Vec::new(),
        back: Vec::new(),
        destination: None,
        source_seen: Vec::new(),
        notes: Vec::new(),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The id of a resource of Azure's network provider, in the resource group `rg`.
pub(super) fn azure_id(rest: &str) -> ArmId {
    ArmId::new(format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/{rest}"))
}

fn base_of_aks() -> Value {
    let id = |rest: &str| azure_id(rest).as_str().to_owned();
    let reference = |rest: &str| json!({ "id": id(rest) });
    let subnet = |name: &str, range: &str| json!({ "id": id(&format!("virtualNetworks/vnet-a/subnets/{name}")), "name": name, "properties": { "addressPrefix": range } });
    json!({
        "aks/show.json": {
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod",
            "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters", "location": "westeurope",
            "properties": {
                "provisioningState": "Succeeded", "powerState": { "code": "Running" }, "fqdn": "api.prod.example.com",
                "nodeResourceGroup": "MC_rg", "apiServerAccessProfile": { "authorizedIPRanges": ["203.0.113.0/24"] },
                "networkProfile": {
                    "outboundType": "loadBalancer", "loadBalancerSku": "standard",
                    "loadBalancerProfile": { "effectiveOutboundIPs": [reference("publicIPAddresses/out")] },
                },
                "agentPoolProfiles": [{ "name": "np", "vnetSubnetID": id("virtualNetworks/vnet-a/subnets/nodes") }],
            },
        },
        "network/virtual-networks.json": { "value": [{
            "id": id("virtualNetworks/vnet-a"), "name": "vnet-a", "type": "Microsoft.Network/virtualNetworks",
            "properties": {
                "addressSpace": { "addressPrefixes": ["10.20.0.0/16"] },
                "subnets": [subnet("nodes", "10.20.3.0/24"), subnet("api", "10.20.1.0/28")],
            },
        }] },
        "network/public-ip-addresses.json": { "value": [{
            "id": id("publicIPAddresses/out"), "name": "out", "type": "Microsoft.Network/publicIPAddresses",
            "properties": { "ipAddress": "20.1.2.3" },
        }] },
        "network/network-security-groups.json": { "value": [] },
        "network/route-tables.json": { "value": [] },
        "network/private-endpoints.json": { "value": [] },
    })
}

fn base() -> Value {
    let interface = |id: &str, subnet: &str, address: &str| {
        json!({
            "NetworkInterfaceId": id, "SubnetId": subnet, "VpcId": "vpc-a", "Description": "Amazon EKS prod",
            "PrivateIpAddress": address, "Groups": [{ "GroupId": "sg-cluster" }, { "GroupId": "sg-own" }],
        })
    };
    let subnet = |id: &str, vpc: &str, cidr: &str, zone: &str| json!({ "SubnetId": id, "VpcId": vpc, "CidrBlock": cidr, "AvailabilityZone": zone });
    let instance = |id: &str, vpc: &str, subnet: &str, address: &str, group: &str| {
        json!({
            "InstanceId": id, "VpcId": vpc, "SubnetId": subnet, "PrivateIpAddress": address,
            "SecurityGroups": [{ "GroupId": group }], "State": { "Name": "running" },
        })
    };
    let vpc = |id: &str, cidr: &str| json!({ "VpcId": id, "CidrBlock": cidr, "DhcpOptionsId": "dopt-1" });
    json!({
        "eks/describe-cluster.json": { "cluster": {
            "name": "prod", "status": "ACTIVE", "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/prod",
            "endpoint": "https://api.prod.example.com",
            "kubernetesNetworkConfig": { "ipFamily": "ipv4" },
            "resourcesVpcConfig": {
                "vpcId": "vpc-a", "subnetIds": ["subnet-a1", "subnet-a2"], "clusterSecurityGroupId": "sg-cluster",
                "securityGroupIds": ["sg-own"], "endpointPublicAccess": true, "endpointPrivateAccess": true,
                "publicAccessCidrs": ["203.0.113.0/24"],
            },
        } },
        "ec2/describe-vpcs.json": { "Vpcs": [vpc("vpc-a", "10.20.0.0/16"), vpc("vpc-b", "10.9.0.0/16")] },
        "ec2/describe-vpc-attribute-enableDnsSupport-vpc-a.json":
            { "VpcId": "vpc-a", "EnableDnsSupport": { "Value": true } },
        "ec2/describe-vpc-attribute-enableDnsHostnames-vpc-a.json":
            { "VpcId": "vpc-a", "EnableDnsHostnames": { "Value": true } },
        "ec2/describe-dhcp-options.json": { "DhcpOptions": [{
            "DhcpOptionsId": "dopt-1",
            "DhcpConfigurations": [{ "Key": "domain-name-servers", "Values": [{ "Value": "AmazonProvidedDNS" }] }],
        }] },
        "ec2/describe-subnets.json": { "Subnets": [
            subnet("subnet-a1", "vpc-a", "10.20.1.0/24", "eu-west-1a"),
            subnet("subnet-a2", "vpc-a", "10.20.2.0/24", "eu-west-1b"),
            subnet("subnet-n", "vpc-a", "10.20.8.0/24", "eu-west-1a"),
            subnet("subnet-b", "vpc-b", "10.9.1.0/24", "eu-west-1a"),
        ] },
        "ec2/describe-network-interfaces.json": { "NetworkInterfaces": [
            interface("eni-0", "subnet-a1", "10.20.1.10"), interface("eni-1", "subnet-a2", "10.20.2.10"),
        ] },
        "ec2/describe-instances.json": { "Reservations": [{ "Instances": [
            instance("i-node", "vpc-a", "subnet-n", "10.20.8.5", "sg-node"),
            instance("i-peer", "vpc-b", "subnet-b", "10.9.1.5", "sg-peer"),
        ] }] },
        "ec2/describe-security-groups.json": { "SecurityGroups": [
            { "GroupId": "sg-cluster", "VpcId": "vpc-a", "IpPermissions": [], "IpPermissionsEgress": [] },
            { "GroupId": "sg-own", "VpcId": "vpc-a", "IpPermissions": [], "IpPermissionsEgress": [] },
        ] },
        "ec2/describe-network-acls.json": { "NetworkAcls": [{
            "NetworkAclId": "acl-a", "VpcId": "vpc-a", "IsDefault": true,
            "Associations": [{ "SubnetId": "subnet-a1" }, { "SubnetId": "subnet-a2" }],
            "Entries": [
                { "RuleNumber": 90, "Protocol": "6", "RuleAction": "deny", "Egress": false, "CidrBlock": "10.9.0.0/16",
                  "PortRange": { "From": 443, "To": 443 } },
                { "RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": false, "CidrBlock": "0.0.0.0/0" },
                { "RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": true, "CidrBlock": "0.0.0.0/0" },
            ],
        }] },
        "ec2/describe-route-tables.json": { "RouteTables": [
            { "RouteTableId": "rtb-a", "VpcId": "vpc-a", "Associations": [{ "Main": true }], "Routes": [
                { "DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local", "State": "active" },
            ] },
            { "RouteTableId": "rtb-b", "VpcId": "vpc-b", "Associations": [{ "Main": true }], "Routes": [
                { "DestinationCidrBlock": "10.9.0.0/16", "GatewayId": "local", "State": "active" },
            ] },
        ] },
        "ec2/describe-vpc-peering-connections.json": { "VpcPeeringConnections": [{
            "VpcPeeringConnectionId": "pcx-1", "Status": { "Code": "active" },
            "RequesterVpcInfo": { "VpcId": "vpc-a", "CidrBlock": "10.20.0.0/16" },
            "AccepterVpcInfo": { "VpcId": "vpc-b", "CidrBlock": "10.9.0.0/16" },
        }] },
        "ec2/describe-vpc-endpoints.json": { "VpcEndpoints": [] },
    })
}
