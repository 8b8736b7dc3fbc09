mod carried;

use kubereach_probes::{EgressObservation, HttpOutcome, TcpOutcome, TlsOutcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{snapshot::documents, *};
use crate::{
    report::{Hop, Reachability, every_variant},
    watch::record::{ClusterKey, Snapshot},
};

const AT: &str = "2026-11-22T14:02:00Z";

fn at() -> Timestamp {
    AT.parse().unwrap()
}

/// A cell whose addresses all answer.
fn good() -> Cell {
    let mut cell = every_variant::doctor_report().cells.remove(0);
    let model = cell.attempts.iter().find(|attempt| attempt.http.outcome == HttpOutcome::ApiServer).unwrap().clone();
    cell.attempts = vec![Attempt { address: Some("203.0.113.9".parse().unwrap()), decides: true, ..model }];
    cell.dns.truncate(1);
    cell.dns[0].name = "api.example.com".to_owned();
    cell.dns[0].outcome = DnsOutcome::Answer;
    cell.dns[0].addresses = vec!["203.0.113.9".parse().unwrap()];
    cell.dns[0].address_class = AddressClass::Public;
    cell.proxy = None;
    cell.egress = Vec::new();
    cell
}

fn told(before: &Cell, after: &Cell) -> Vec<(ChangeKind, String)> {
    observed(before, after, at()).into_iter().map(|change| (change.kind, change.text)).collect()
}

fn one(kind: ChangeKind, text: &str) -> Vec<(ChangeKind, String)> {
    vec![(kind, text.to_owned())]
}

#[test]
fn nothing_differs_from_itself_whatever_its_times_and_order() {
    let report = every_variant::report();
    for cell in &report.cells {
        let mut again = cell.clone();
        again.attempts.reverse();
        for dns in &mut again.dns {
            dns.addresses.reverse();
            dns.ms += 3.0;
            dns.ttl = Some(7);
        }
        for attempt in &mut again.attempts {
            attempt.tcp.ms += 9.0;
        }
        assert_eq!(told(cell, &again), Vec::new());
    }
}

#[test]
fn names_and_addresses_are_told_of() {
    let before = good();
    let mut after = before.clone();
    after.dns[0].addresses = vec!["10.0.1.5".parse().unwrap()];
    after.dns[0].address_class = AddressClass::Private;
    let text = "api.example.com resolves to 10.0.1.5 (private) instead of 203.0.113.9 (public)";
    assert_eq!(told(&before, &after), one(ChangeKind::Dns, text));
    after.dns[0].address_class = AddressClass::Public;
    after.dns[0].addresses = vec!["203.0.113.10".parse().unwrap()];
    let text = "api.example.com resolves to 203.0.113.10 instead of 203.0.113.9";
    assert_eq!(told(&before, &after), one(ChangeKind::Addresses, text));
    after.dns[0].addresses.push("203.0.113.9".parse().unwrap());
    let text = "api.example.com resolves to other addresses: gained 203.0.113.10";
    assert_eq!(told(&before, &after), one(ChangeKind::Addresses, text));
    after.dns[0].addresses.clear();
    after.dns[0].outcome = DnsOutcome::Nxdomain;
    let text = "api.example.com resolves no longer: nxdomain instead of 203.0.113.9";
    assert_eq!(told(&before, &after), one(ChangeKind::Dns, text));
    let text = "api.example.com resolves to 203.0.113.9 (public) instead of nxdomain";
    assert_eq!(told(&after, &before), one(ChangeKind::Dns, text));
    let mut after = before.clone();
    after.dns[0].cnames = vec!["lb.example.net".to_owned()];
    let text = "api.example.com stands for lb.example.net instead of no other name";
    assert_eq!(told(&before, &after), one(ChangeKind::Dns, text));
    // What another resolver says comes after the one that decides.
    let mut other = before.dns[0].clone();
    other.resolver = "vpc".to_owned();
    let (mut before, mut after) = (before.clone(), before);
    before.dns.insert(0, other.clone());
    other.outcome = DnsOutcome::Servfail;
    after.dns.insert(0, other);
    after.dns[1].outcome = DnsOutcome::Timeout;
    let told = told(&before, &after);
    assert!(told[0].1.contains("timeout") && told[1].1.contains("by the resolver vpc no longer: servfail"), "{told:?}");
}

#[test]
fn certificates_are_told_of() {
    let before = good();
    let mut after = before.clone();
    let leaf = &mut after.attempts[0].tls.chain[0];
    leaf.sha256 = "cd34".repeat(16);
    leaf.issuer = "CN=someone else".to_owned();
    leaf.not_after = Some("2027-11-22T00:00:00Z".parse().unwrap());
    let told_of = told(&before, &after);
    let [(ChangeKind::Certificate, text)] = told_of.as_slice() else { panic!("{told_of:?}") };
    assert!(text.starts_with("the certificate sha256 "), "{text}");
    let end = " was replaced by sha256 cd34cd34cd34… (issuer CN=someone else, valid until 2027-11-22)";
    assert!(text.ends_with(end), "{text}");
    // Where none is presented the stage says why.
    after.attempts[0].tls.chain.clear();
    after.attempts[0].tls.outcome = TlsOutcome::Closed;
    assert_eq!(told(&before, &after), one(ChangeKind::Outcome, "tls to 203.0.113.9: closed instead of verified"));
}

#[test]
fn outcomes_and_the_rest_are_told_of() {
    let before = good();
    let mut after = before.clone();
    after.attempts[0].tcp.outcome = TcpOutcome::Timeout;
    after.attempts[0].tls.outcome = TlsOutcome::Skipped;
    after.attempts[0].http.outcome = HttpOutcome::Skipped;
    assert_eq!(told(&before, &after), one(ChangeKind::Outcome, "tcp to 203.0.113.9: timeout instead of connected"));
    after.attempts[0].address = Some("10.0.1.5".parse().unwrap());
    assert_eq!(told(&before, &after), one(ChangeKind::Outcome, "10.0.1.5:443, which is new: tcp timeout"));
    let mut after = before.clone();
    after.attempts[0].http.status = Some(503);
    let status = before.attempts[0].http.status.unwrap();
    let text = format!("http to 203.0.113.9: 503 instead of {status}");
    assert_eq!(told(&before, &after), one(ChangeKind::Outcome, &text));
    let (mut before, mut after) = (before.clone(), before);
    let echo = |address: &str| EgressObservation {
        server: "https://echo.example.com/".to_owned(),
        asked: None,
        address: Some(address.parse().unwrap()),
        ms: 1.0,
        detail: None,
    };
    before.egress = vec![echo("203.0.113.77")];
    after.egress = vec![echo("203.0.113.78")];
    let text = "the vantage is seen by 203.0.113.78 instead of 203.0.113.77";
    assert_eq!(told(&before, &after), one(ChangeKind::Egress, text));
    after.egress.clear();
    before.configured = Reachability::Reachable;
    after.configured = Reachability::Unreachable;
    after.path = vec![Hop {
        component: "sg-0abc".to_owned(),
        kind: "security-group".to_owned(),
        decision: "deny".to_owned(),
        rule: "no ingress rule for tcp/443 from 10.9.0.0/16".to_owned(),
    }];
    let text = "the configuration says unreachable instead of reachable: sg-0abc, no ingress rule for tcp/443 from 10.9.0.0/16";
    assert_eq!(told(&before, &after), one(ChangeKind::Configuration, text));
}

#[test]
fn hostile_answers_stay_harmless_and_short() {
    let before = good();
    let mut after = before.clone();
    after.dns[0].cnames = vec!["\u{1b}[31mevil\n".repeat(1_000)];
    after.attempts = (0..200_u32)
        .map(|index| {
            let mut attempt = after.attempts[0].clone();
            attempt.address = Some(std::net::Ipv4Addr::from(0x0a00_0000 + index).into());
            attempt.tcp.outcome = TcpOutcome::Refused;
            attempt
        })
        .collect();
    let told = told(&before, &after);
    assert_eq!(told.len(), 51);
    assert!(told[50].1.contains("and 151 more") || told[50].1.contains("and 152 more"), "{}", told[50].1);
    assert!(told.iter().all(|(_, text)| text.len() < 8_000 && !text.contains(char::is_control)));
}

/// A cluster as `aws eks describe-cluster` prints it.
fn eks() -> Value {
    json!({ "cluster": {
        "name": "prod",
        "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/prod",
        "createdAt": "2026-01-01T00:00:00Z",
        "version": "1.33",
        "endpoint": "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
        "resourcesVpcConfig": {
            "subnetIds": ["subnet-1", "subnet-2"],
            "securityGroupIds": ["sg-1"],
            "clusterSecurityGroupId": "sg-2",
            "vpcId": "vpc-1",
            "endpointPublicAccess": true,
            "endpointPrivateAccess": false,
            "publicAccessCidrs": ["203.0.113.0/24", "198.51.100.0/24"],
        },
        "certificateAuthority": { "data": "LS0tLS1CRUdJTg==" },
        "status": "ACTIVE",
        "health": { "issues": [] },
        "platformVersion": "eks.5",
        "tags": { "a": "b" },
    } })
}

fn aks() -> Value {
    let text = include_str!("../../../tests/data/aks/managed-cluster-get.2021-10-01.authorized-ranges.creating.json");
    serde_json::from_str(text).unwrap()
}

fn aws(name: &str) -> Value {
    let text = match name {
        "SecurityGroups" => include_str!("../../../tests/data/aws/public-private-subnet/SecurityGroups.json"),
        "NetworkAcls" => include_str!("../../../tests/data/aws/public-private-subnet/NetworkAcls.json"),
        "RouteTables" => include_str!("../../../tests/data/aws/public-private-subnet/RouteTables.json"),
        "VpnConnections" => include_str!("../../../tests/data/aws/public-private-subnet/VpnConnections.json"),
        "Reservations" => include_str!("../../../tests/data/aws/public-private-subnet/Reservations.json"),
        "NetworkInterfaces" => include_str!("../../../tests/data/aws/public-private-subnet/NetworkInterfaces.json"),
        _ => include_str!("../../../tests/data/aws/public-private-subnet/Subnets.json"),
    };
    serde_json::from_str(text).unwrap()
}

fn of(documents: &[(&str, &Value)]) -> Snapshot {
    let documents: Vec<(String, Value)> =
        documents.iter().map(|(path, value)| ((*path).to_owned(), (*value).clone())).collect();
    snapshot(ClusterKey { check: "prod".to_owned(), cluster: "prod".to_owned() }, at(), &documents)
}

/// What is told of one document that is edited.
fn edited(path: &str, document: &Value, edit: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut after = document.clone();
    edit(&mut after);
    let (before, after) = (of(&[(path, document)]), of(&[(path, &after)]));
    let changes = configured(&before, &after);
    assert_eq!(changes.is_empty(), before.hash == after.hash, "{changes:?}");
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Configuration && change.at == at()));
    changes.into_iter().map(|change| change.text).collect()
}

#[test]
fn settings_of_eks_are_named_as_eks_names_them() {
    let path = "eks/describe-cluster.json";
    let told = |edit: fn(&mut Value)| edited(path, &eks(), |document| edit(&mut document["cluster"]));
    assert_eq!(
        told(|cluster| cluster["resourcesVpcConfig"]["publicAccessCidrs"] = json!(["198.51.100.0/24"])),
        ["resourcesVpcConfig.publicAccessCidrs lost 203.0.113.0/24"]
    );
    assert_eq!(
        told(|cluster| cluster["resourcesVpcConfig"]["publicAccessCidrs"] = json!([])),
        ["resourcesVpcConfig.publicAccessCidrs lost 198.51.100.0/24 and 203.0.113.0/24"]
    );
    assert_eq!(
        told(|cluster| {
            cluster["resourcesVpcConfig"]["subnetIds"] = json!(["subnet-2", "subnet-3"]);
            cluster["resourcesVpcConfig"]["endpointPublicAccess"] = json!(false);
            cluster["version"] = json!("1.34");
        }),
        [
            "resourcesVpcConfig.endpointPublicAccess is false instead of true",
            "resourcesVpcConfig.subnetIds lost subnet-1 and gained subnet-3",
            "version is 1.34 instead of 1.33",
        ]
    );
    // The order of a list, and what changes by itself, are no changes.
    let none = told(|cluster| {
        cluster["resourcesVpcConfig"]["publicAccessCidrs"] = json!(["198.51.100.0/24", "203.0.113.0/24"]);
        cluster["platformVersion"] = json!("eks.6");
        cluster["status"] = json!("UPDATING");
        cluster["health"] = json!({ "issues": [{ "code": "x" }] });
        cluster["tags"] = json!({});
        cluster["createdAt"] = json!(1);
        cluster["connectorConfig"] = Value::Null;
    });
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn settings_of_aks_are_named_as_azure_names_them() {
    let told = |edit: fn(&mut Value)| edited("aks/show.json", &aks(), edit);
    assert_eq!(
        told(|cluster| {
            cluster["properties"]["apiServerAccessProfile"]["authorizedIPRanges"] =
                json!(["1.2.3.4/32", "203.0.113.0/24"]);
        }),
        ["apiServerAccessProfile.authorizedIPRanges gained 203.0.113.0/24"]
    );
    assert_eq!(
        told(|cluster| {
            cluster["properties"]["apiServerAccessProfile"]["enablePrivateCluster"] = json!(true);
            cluster["properties"]["networkProfile"]["loadBalancerProfile"]["effectiveOutboundIPs"] = json!([{ "id": "/subscriptions/0/resourceGroups/MC/providers/Microsoft.Network/publicIPAddresses/other" }]);
            cluster["properties"]["powerState"]["code"] = json!("Stopped");
        }),
        [
            "apiServerAccessProfile.enablePrivateCluster is true, and was not set",
            "networkProfile.loadBalancerProfile.effectiveOutboundIPs lost def6bad5-9966-4275-ad61-892c2aec94ef and gained other",
            "powerState.code is Stopped instead of Running",
        ]
    );
    let none = told(|cluster| {
        cluster["eTag"] = json!("x");
        cluster["properties"]["provisioningState"] = json!("Succeeded");
        cluster["properties"]["agentPoolProfiles"][0]["count"] = json!(9);
        cluster["properties"]["agentPoolProfiles"][0]["nodeImageVersion"] = json!("AKSUbuntu-2026");
    });
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn rules_and_routes_are_told_as_consoles_show_them() {
    let told = edited("ec2/describe-security-groups.json", &aws("SecurityGroups"), |document| {
        let group = &mut document["SecurityGroups"][1];
        group["IpPermissions"] = json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "IpRanges": [{ "CidrIp": "10.0.0.0/8", "Description": "VPN" }], "UserIdGroupPairs": [{ "GroupId": "sg-9" }] }]);
        document["SecurityGroups"].as_array_mut().unwrap().remove(0);
    });
    assert_eq!(
        told,
        [
            "sg-063f2bb51713c3236: ingress lost tcp/22 from 0.0.0.0/0 and gained tcp/443 from 10.0.0.0/8 and tcp/443 from sg-9",
            "sg-03a9dc5ba789b0f7f is gone (security group)",
        ]
    );
    let told = edited("ec2/describe-network-acls.json", &aws("NetworkAcls"), |document| {
        let entries = document["NetworkAcls"][0]["Entries"].as_array_mut().unwrap();
        let inbound = entries.iter_mut().find(|entry| entry["Egress"] == false && entry["RuleNumber"] == 100).unwrap();
        inbound["RuleAction"] = json!("deny");
        entries
            .push(json!({ "Egress": true, "RuleNumber": 90, "Protocol": "6", "PortRange": { "From": 443, "To": 443 },
            "CidrBlock": "10.0.0.0/8", "RuleAction": "deny" }));
    });
    assert_eq!(
        told,
        [
            "acl-0ae73e62fae564306: inbound rule 100 is deny all traffic 0.0.0.0/0 instead of allow all traffic 0.0.0.0/0",
            "acl-0ae73e62fae564306: outbound rule 90 is deny tcp/443 10.0.0.0/8, and was not set",
        ]
    );
    let told = edited("ec2/describe-route-tables.json", &aws("RouteTables"), |document| {
        let table = &mut document["RouteTables"][0];
        table["Routes"][1] = json!({ "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole",
            "Origin": "CreateRoute" });
    });
    assert_eq!(told, ["rtb-002f0eabf583bf991: route to 0.0.0.0/0 is nat-1 blackhole instead of vgw-070087240d6fa2989"]);
    let rules = json!([{ "id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nodes",
        "name": "nodes", "securityRules": [{ "name": "allow-https", "id": "/subscriptions/0/x/securityRules/allow-https",
            "access": "Allow", "priority": 100 }],
        "networkInterfaces": [{ "id": "/subscriptions/0/x/networkInterfaces/vm1", "name": null }] }]);
    let told = edited("network/nsgs.json", &rules, |document| {
        document[0]["securityRules"][0]["access"] = json!("Deny");
        document[0]["securityRules"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "name": "new", "access": "Deny", "priority": 90 }));
        document[0]["networkInterfaces"] = json!([]);
    });
    assert_eq!(
        told,
        [
            "networkSecurityGroups/nodes: securityRules.allow-https.access is Deny instead of Allow",
            "networkSecurityGroups/nodes: securityRules.new is new (access Deny, priority 90)",
        ]
    );
}

#[test]
fn machines_that_come_and_go_are_no_changes() {
    let none = edited("ec2/describe-subnets.json", &aws("Subnets"), |document| {
        document["Subnets"][0]["AvailableIpAddressCount"] = json!(1);
    });
    assert!(none.is_empty(), "{none:?}");
    let node = json!({ "ReservationId": "r-9", "Instances": [{ "InstanceId": "i-9",
        "Tags": [{ "Key": "kubernetes.io/cluster/prod", "Value": "owned" }] }] });
    let none = edited("ec2/describe-instances.json", &aws("Reservations"), |document| {
        document["Reservations"].as_array_mut().unwrap().push(node);
    });
    assert!(none.is_empty(), "{none:?}");
    let told = edited("ec2/describe-network-interfaces.json", &aws("NetworkInterfaces"), |document| {
        let interfaces = document["NetworkInterfaces"].as_array_mut().unwrap();
        interfaces
            .push(json!({ "NetworkInterfaceId": "eni-8", "Description": "aws-K8S-i-9", "InterfaceType": "interface" }));
        interfaces.push(
            json!({ "NetworkInterfaceId": "eni-9", "Description": "Amazon EKS prod", "InterfaceType": "interface" }),
        );
    });
    assert_eq!(told, ["eni-9 is new (network interface)"]);
}

#[test]
fn secrets_are_in_no_snapshot() {
    let mut cluster = aks();
    cluster["properties"]["servicePrincipalProfile"]["secret"] = json!("hunter2");
    cluster["properties"]["windowsProfile"] = json!({ "adminPassword": "hunter2", "adminUsername": "azure" });
    let token = json!({ "kind": "ExecCredential", "status": { "token": "hunter2" } });
    let kubeconfigs = json!({ "kubeconfigs": [{ "name": "clusterUser", "value": "hunter2" }] });
    let mut vpn = aws("VpnConnections");
    vpn["VpnConnections"][0]["CustomerGatewayConfiguration"] = json!("<pre_shared_key>hunter2</pre_shared_key>");
    vpn["VpnConnections"][0]["Options"] = json!({ "TunnelOptions": [{ "PreSharedKey": "hunter2" }] });
    let key = json!({ "note": "-----BEGIN PRIVATE KEY-----hunter2" });
    let snapshot = of(&[
        ("aks/show.json", &cluster),
        ("eks/token.json", &token),
        ("aks/credentials.json", &kubeconfigs),
        ("ec2/describe-vpn-connections.json", &vpn),
        ("ec2/other.json", &key),
        ("manifest.json", &json!({ "createdAt": AT })),
        ("eks/list-updates.json", &json!({ "updateIds": ["a"] })),
    ]);
    let kept = documents(&snapshot);
    let text = serde_json::to_string(&kept).unwrap();
    assert!(!text.contains("hunter2") && text.contains("azure") && text.contains("vgw-"), "{text}");
    let paths: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(paths, ["aks/show.json", "ec2/describe-vpn-connections.json", "ec2/other.json"]);
}

#[test]
fn a_document_that_could_not_be_read_says_nothing() {
    let (cluster, groups) = (eks(), aws("SecurityGroups"));
    let both = of(&[("eks/describe-cluster.json", &cluster), ("ec2/describe-security-groups.json", &groups)]);
    let one = of(&[("eks/describe-cluster.json", &cluster)]);
    assert!(configured(&both, &one).is_empty() && configured(&one, &both).is_empty());
    let broken = Snapshot { body: vec![1, 2, 3], hash: 1, ..one.clone() };
    assert!(configured(&both, &broken).is_empty() && configured(&broken, &both).is_empty());
}

#[test]
fn many_changes_are_cut_short() {
    let told = edited("eks/describe-cluster.json", &eks(), |document| {
        for index in 0..80 {
            document["cluster"][format!("setting{index:02}")] = json!("\u{1b}x".repeat(10_000));
        }
    });
    assert_eq!(told.len(), 51);
    assert_eq!(told[50], "and 30 more");
    assert!(told.iter().all(|text| text.len() < 1_000 && !text.contains('\u{1b}')));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(80) })]

    /// Any two documents, of words that mean something among others.
    #[test]
    fn no_document_makes_it_panic(left in document(), right in document(), path in path()) {
        let (before, after) = (of(&[(&path, &left)]), of(&[(&path, &right)]));
        let changes = configured(&before, &after);
        prop_assert!(changes.len() <= 51);
        let again = configured(&before, &of(&[(&path, &left)]));
        prop_assert!(again.is_empty());
    }
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![Just("eks/describe-cluster.json"), Just("ec2/x.json"), Just("network/x.json"), Just("aks/show.json")]
        .prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    let word = || {
        prop::sample::select(vec![
            "cluster",
            "properties",
            "value",
            "id",
            "name",
            "GroupId",
            "Routes",
            "Entries",
            "RuleNumber",
            "IpPermissions",
            "IpRanges",
            "CidrIp",
            "Reservations",
            "Instances",
            "Tags",
            "Key",
            "NetworkInterfaces",
            "/a/b/c",
            "x",
            "",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}
