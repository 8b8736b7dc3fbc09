//! What the cases of `scenarios/facts` cannot ask: plans, the strictness of `verify`, sizes, single rules.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{facts, scenario::Access};

/// Facts of one cluster with these members of `resourcesVpcConfig`, and more documents.
#[expect(clippy::needless_pass_by_value, reason = "the tests write `json!` in place")]
fn facts_of(config: Value, more: &[(&str, Value)]) -> Facts {
    let cluster = json!({ "cluster": {
        "name": "prod",
        "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/prod",
        "status": "ACTIVE",
        "kubernetesNetworkConfig": { "ipFamily": "ipv4" },
        "resourcesVpcConfig": config,
    } });
    let documents = more.iter().map(|(name, document)| (*name, document.clone())).chain([("cluster.json", cluster)]);
    let documents = documents.map(|(name, document)| (PathBuf::from(name), document.to_string().into_bytes()));
    facts::from_documents(Path::new("facts"), documents).unwrap()
}

fn view(facts: &Facts) -> ConfigurationView<'_> {
    ConfigurationView {
        cluster: "prod",
        facts,
        intent: None,
        vantages: &[],
        kubeconfig_ca: None,
        planned: false,
        strictness: Strictness::Lint,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn severity_of(findings: &[Finding], code: &str) -> Option<Severity> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.severity)
}

#[test]
fn what_the_provider_refuses_is_an_error_in_a_plan_only() {
    let subnets = json!({ "Subnets": [
        { "SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZoneId": "euw1-az1", "AvailableIpAddressCount": 5 },
        { "SubnetId": "subnet-2", "VpcId": "vpc-1", "AvailabilityZoneId": "euw1-az1", "AvailableIpAddressCount": 90 },
    ] });
    let config = json!({
        "endpointPublicAccess": true, "endpointPrivateAccess": true,
        "publicAccessCidrs": ["10.0.0.0/8", "240.0.0.0/8", "52.95.4.10/32"],
        "subnetIds": ["subnet-1", "subnet-2"], "securityGroupIds": ["a", "b", "c", "d", "e"],
    });
    let facts = facts_of(config, &[("subnets.json", subnets)]);
    let stored = lint(&view(&facts));
    let planned = lint(&ConfigurationView { planned: true, ..view(&facts) });
    for code in ["eks-public-cidr-not-accepted", "eks-network-config-invalid", "eks-cluster-subnet-short-of-addresses"]
    {
        assert_eq!(severity_of(&stored, code), Some(Severity::Warning), "{code}");
        assert_eq!(severity_of(&planned, code), Some(Severity::Error), "{code}");
    }
    // What is doubtful stays a warning: the provider's own list is not published.
    let doubtful = planned.iter().filter(|one| one.code == "eks-public-cidr-not-accepted").map(|one| one.severity);
    assert_eq!(doubtful.collect::<Vec<_>>(), [Severity::Error, Severity::Warning]);
}

#[test]
fn more_than_intended_is_an_error_where_the_cluster_is_verified() {
    let config = json!({
        "endpointPublicAccess": true, "endpointPrivateAccess": true, "publicAccessCidrs": ["52.95.4.0/24"],
    });
    let facts = facts_of(config, &[]);
    let allow = vec!["52.95.4.0/25".parse().unwrap()];
    let intent =
        Intent { public_access: Some(Access { enabled: true, allow: Some(allow), line: 7 }), private_access: None };
    let lenient = ConfigurationView { intent: Some(&intent), ..view(&facts) };
    let strict = ConfigurationView { strictness: Strictness::Verify, ..lenient };
    let code = "net-allow-list-exceeds-intent";
    assert_eq!(severity_of(&lint(&lenient), code), Some(Severity::Warning));
    assert_eq!(severity_of(&lint(&strict), code), Some(Severity::Error));
}

#[test]
fn nothing_known_is_nothing_told_but_the_gap() {
    let facts = Facts::default();
    let codes: Vec<String> = lint(&view(&facts)).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["inconclusive-facts-missing"]);
    let facts = facts_of(json!({}), &[]);
    let findings = lint(&view(&facts));
    assert!(findings.iter().all(|finding| finding.code == "inconclusive-facts-missing"), "{findings:?}");
    let said = findings[0].evidence.join("\n");
    for unknown in ["endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs"] {
        assert!(said.contains(unknown), "{said}");
    }
}

#[test]
fn a_list_of_any_length_gives_findings_of_bounded_length() {
    let cidrs: Vec<String> = (0..20_000_u32).map(|n| format!("52.{}.{}.1/32", n / 256 % 256, n % 256)).collect();
    let config = json!({ "endpointPublicAccess": true, "endpointPrivateAccess": true, "publicAccessCidrs": cidrs });
    let facts = facts_of(config, &[]);
    let findings = lint(&view(&facts));
    assert_eq!(severity_of(&findings, "eks-public-cidrs-over-quota"), Some(Severity::Error));
    for finding in findings {
        let length: usize = finding.evidence.iter().map(String::len).sum::<usize>()
            + finding.setting.as_deref().unwrap_or_default().len()
            + finding.fix.as_deref().unwrap_or_default().len();
        assert!(length < 8_000, "{}: {length}", finding.code);
    }
}

#[test]
fn ipv6_is_taken_by_dual_stack_endpoints_only() {
    let cluster = |host: &str, family: &str| eks::Cluster {
        endpoint: (!host.is_empty()).then(|| format!("https://{host}")),
        kubernetes_network_config: Some(eks::KubernetesNetworkConfig {
            ip_family: (!family.is_empty()).then(|| family.to_owned()),
            ..eks::KubernetesNetworkConfig::default()
        }),
        ..eks::Cluster::default()
    };
    let takes = |host, family| endpoint::takes_ipv6(&cluster(host, family));
    assert_eq!(takes("0123.eu-west-1.api.aws", "ipv6"), Some(true));
    assert_eq!(takes("0123.gr7.eu-west-1.eks.amazonaws.com", "ipv6"), Some(false));
    assert_eq!(takes("0123.gr7.eu-west-1.eks.amazonaws.com", "ipv4"), Some(false));
    assert_eq!(takes("", "ipv6"), None);
    assert_eq!(takes("", ""), None);
}

#[test]
fn counts_read_well() {
    assert_eq!(words::addresses(1), "1 address");
    assert_eq!(words::addresses(65_536), "65536 addresses");
    assert_eq!(words::addresses(1 << 80), "2^80 addresses");
    assert_eq!(words::addresses((1 << 80) + 1), "more than 2^80 addresses");
    assert_eq!(words::addresses(u128::MAX), "2^128 addresses");
}

#[test]
fn a_rule_speaks_of_its_protocol_and_ports() {
    let rule = |protocol: &str, from: Option<i64>, to: Option<i64>| Permission {
        ip_protocol: Some(protocol.to_owned()),
        from_port: from,
        to_port: to,
        ..Permission::default()
    };
    for (rule, speaks) in [
        (rule("tcp", Some(443), Some(443)), true),
        (rule("6", Some(1), Some(65_535)), true),
        (rule("-1", None, None), true),
        (rule("-1", Some(0), Some(0)), true),
        (rule("tcp", None, None), true),
        (rule("tcp", Some(-1), Some(-1)), true),
        (rule("tcp", Some(80), Some(442)), false),
        (rule("udp", Some(443), Some(443)), false),
        (rule("icmp", Some(-1), Some(-1)), false),
    ] {
        assert_eq!(speaks_of_tcp(&rule, 443), speaks, "{rule:?}");
    }
}

/// Facts of one AKS cluster with these members of `properties`, and more documents.
#[expect(clippy::needless_pass_by_value, reason = "the tests write `json!` in place")]
fn aks_facts(properties: Value, more: &[(&str, Value)]) -> Facts {
    let cluster = json!({ "id": CLUSTER, "name": "prod", "location": "westeurope", "properties": properties });
    let documents = more.iter().map(|(name, document)| (*name, document.clone())).chain([("aks/show.json", cluster)]);
    let documents = documents.map(|(name, document)| (PathBuf::from(name), document.to_string().into_bytes()));
    facts::from_documents(Path::new("facts"), documents).unwrap()
}

fn fix_of<'f>(findings: &'f [Finding], code: &str) -> &'f str {
    findings.iter().find(|finding| finding.code == code).and_then(|finding| finding.fix.as_deref()).unwrap()
}

#[test]
fn the_page_of_an_aks_cluster_shows_peered_networks_and_what_is_missing() {
    let network =
        |name: &str| format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/{name}");
    let cluster = json!({
        "apiServerAccessProfile": { "enablePrivateCluster": true },
        "agentPoolProfiles": [{ "name": "nodes", "vnetSubnetID": format!("{}/subnets/nodes", network("prod")) }]
    });
    let peering = json!({ "id": format!("{}/virtualNetworkPeerings/to-peer", network("prod")), "name": "to-peer",
        "properties": { "remoteVirtualNetwork": { "id": network("peer") }, "peeringState": "Connected" } });
    let subnet = json!({ "id": format!("{}/subnets/nodes", network("prod")), "name": "nodes", "properties": { "addressPrefix": "10.0.0.0/24" } });
    let networks = json!({ "value": [
        { "id": network("prod"), "name": "prod", "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [subnet], "virtualNetworkPeerings": [peering] } },
        { "id": network("peer"), "name": "peer", "properties": { "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] } } },
        { "id": network("other"), "name": "other", "properties": { "addressSpace": { "addressPrefixes": ["10.2.0.0/16"] } } },
    ] });
    let facts = aks_facts(cluster.clone(), &[("network/virtual-networks.json", networks)]);
    let page = aks_summary::summary(&view(&facts));
    let mut shown: Vec<String> = page.networks.into_iter().map(|one| one.id).collect();
    shown.sort();
    assert_eq!(shown, [network("peer"), network("prod")]);
    assert_eq!(page.mode, Some("private-endpoint"));
    let missing = |cluster: Value| -> Vec<String> {
        let facts = aks_facts(cluster, &[]);
        let page = aks_summary::summary(&view(&facts));
        page.gaps
            .missing
            .into_iter()
            .map(|one| one.file)
            .filter(|file| file == "network/virtual-networks.json")
            .collect()
    };
    let mut public = cluster.clone();
    public["apiServerAccessProfile"] = json!({ "authorizedIPRanges": ["52.95.4.0/28"] });
    assert_eq!(
        (missing(cluster).len(), missing(public).len()),
        (1, 1),
        "each names the file that holds the subnets, once"
    );
}

#[test]
fn nothing_of_one_provider_is_told_of_the_other() {
    let eks = facts_of(json!({ "endpointPublicAccess": true, "publicAccessCidrs": ["0.0.0.0/0"] }), &[]);
    let aks =
        aks_facts(json!({ "apiServerAccessProfile": { "authorizedIPRanges": ["0.0.0.0/0", "10.0.0.0/8"] } }), &[]);
    let codes = |facts: &Facts| -> Vec<String> { lint(&view(facts)).into_iter().map(|one| one.code).collect() };
    assert!(codes(&eks).iter().all(|code| !code.starts_with("aks-") && !code.starts_with("azure-")));
    assert!(lint(&view(&aks)).iter().all(|one| one.docs.as_deref().is_some_and(|docs| !docs.contains("aws"))));
    let told = codes(&aks);
    assert!(told.iter().all(|code| !code.starts_with("eks-") && !code.starts_with("vpc-")), "{told:?}");
    assert!(told.contains(&"net-allow-list-open-to-internet".to_owned()), "{told:?}");
    // Only Azure's network, and a manifest of an empty pull.
    let azure = facts::from_documents(
        Path::new("facts"),
        [(PathBuf::from("network/route-tables.json"), b"{\"value\": []}".to_vec())],
    )
    .unwrap();
    assert_eq!(view(&azure).provider(), Provider::Aks);
    assert_eq!(view(&Facts::default()).provider(), Provider::Eks);
}

#[test]
fn two_thousand_ranges_of_aks_are_compared_and_put_into_one_command() {
    let ranges: Vec<String> = (0..1_990_u32).map(|n| format!("52.{}.{}.1/32", n / 256, n % 256)).collect();
    let profile = json!({ "enableVnetIntegration": true, "authorizedIPRanges": ranges });
    let facts = aks_facts(json!({ "apiServerAccessProfile": profile }), &[]);
    let allow = (0..1_990_u32).map(|n| format!("52.{}.{}.1/32", n / 256, (n + 1) % 256).parse().unwrap()).collect();
    let intent =
        Intent { public_access: Some(Access { enabled: true, allow: Some(allow), line: 7 }), private_access: None };
    let findings = lint(&ConfigurationView { intent: Some(&intent), ..view(&facts) });
    assert_eq!(severity_of(&findings, "net-allow-list-near-limit"), Some(Severity::Warning));
    let fix = fix_of(&findings, "net-allow-list-lacks-intended-source");
    let list = fix.split("--api-server-authorized-ip-ranges ").nth(1).unwrap();
    assert_eq!(list.split(',').count(), 1_991, "{fix}");
    let many: Vec<String> = (0..20_000_u32).map(|n| format!("52.{}.{}.1/32", n / 256, n % 256)).collect();
    let facts = aks_facts(json!({ "apiServerAccessProfile": { "authorizedIPRanges": many } }), &[]);
    for finding in lint(&view(&facts)) {
        let length = finding.evidence.iter().map(String::len).sum::<usize>()
            + finding.fix.as_deref().unwrap_or_default().len()
            + finding.setting.as_deref().unwrap_or_default().len();
        assert!(length < 8_000, "{}: {length}", finding.code);
    }
}

#[test]
fn no_command_lists_what_az_refuses_or_everybody() {
    for (ranges, expected) in [
        (json!(["0.0.0.0/0"]), "'<egress address>/32'"),
        (json!(["0.0.0.0/1", "128.0.0.0/1"]), "'<egress address>/32'"),
        (json!([]), "'<egress address>/32'"),
        (json!(["0.0.0.0/0", "52.1.1.1/32"]), "'52.1.1.1/32,<egress address>/32'"),
    ] {
        let facts = aks_facts(json!({ "apiServerAccessProfile": { "authorizedIPRanges": ranges } }), &[]);
        let findings = lint(&view(&facts));
        let fix = fix_of(&findings, "net-allow-list-open-to-internet");
        assert!(
            fix.ends_with(&format!("-g rg -n prod --subscription s --api-server-authorized-ip-ranges {expected}")),
            "{fix}"
        );
        assert!(fix.contains("Not known: `networkProfile.outboundType` is not in the facts"), "{fix}");
    }
}

#[test]
fn rules_of_a_group_are_asked_in_order_and_unknown_ones_decide_nothing() {
    let subnet = |name: &str, range: &str, more: Value| {
        let mut one = json!({ "id": format!("{NETWORK}/virtualNetworks/v/subnets/{name}"), "name": name, "addressPrefix": range });
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let told = |rules: Value| -> Option<String> {
        let group = format!("{NETWORK}/networkSecurityGroups/g");
        let network = json!([{ "id": format!("{NETWORK}/virtualNetworks/v"), "name": "v",
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [
                subnet("nodes", "10.0.0.0/24", json!({})),
                subnet("api", "10.0.1.0/28", json!({ "networkSecurityGroup": { "id": group },
                    "delegations": [{ "serviceName": "Microsoft.ContainerService/managedClusters" }] })),
            ] }]);
        let groups = json!([{ "id": group, "name": "g", "securityRules": rules }]);
        let facts = aks_facts(
            json!({ "apiServerAccessProfile": { "enableVnetIntegration": true,
                        "subnetId": format!("{NETWORK}/virtualNetworks/v/subnets/api") },
                    "agentPoolProfiles": [{ "name": "p", "vnetSubnetID": format!("{NETWORK}/virtualNetworks/v/subnets/nodes") }] }),
            &[("network/virtual-networks.json", network), ("network/network-security-groups.json", groups)],
        );
        let findings = lint(&view(&facts));
        let finding = findings.into_iter().find(|one| one.code == "aks-apiserver-subnet-nsg-blocks")?;
        Some(finding.evidence.join(" "))
    };
    let rule = |priority: u32, access: &str, source: &str, ports: &str| {
        json!({ "name": format!("r{priority}"), "direction": "Inbound", "access": access, "priority": priority,
                "protocol": "Tcp", "sourceAddressPrefix": source, "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": ports })
    };
    assert_eq!(told(json!([])), None, "the provider's own rules allow all three");
    // The lower number decides, whatever the order in the file.
    assert_eq!(told(json!([rule(300, "Deny", "*", "443"), rule(200, "Allow", "VirtualNetwork", "443")])), None);
    let half = told(json!([rule(200, "Allow", "10.0.0.0/25", "443"), rule(300, "Deny", "10.0.0.0/16", "443")]));
    assert!(half.unwrap().contains("(10.0.0.128/25) is denied by the rule 300 r300"));
    // A tag of public addresses never holds a node; one of the load balancer does hold the probe.
    assert_eq!(told(json!([rule(100, "Deny", "AzureCloud", "*")])), None);
    assert!(told(json!([rule(100, "Deny", "AzureLoadBalancer", "9980-9990")])).unwrap().contains("tcp 9988"));
    // Who is in an application security group is in no facts: what such a rule may allow is not denied.
    let mut members = rule(100, "Allow", "", "443");
    members["sourceApplicationSecurityGroups"] = json!([{ "id": format!("{NETWORK}/applicationSecurityGroups/a") }]);
    assert_eq!(told(json!([members, rule(200, "Deny", "*", "443")])), None);
    let udp = json!({ "name": "udp", "direction": "Inbound", "access": "Deny", "priority": 100, "protocol": "Udp",
        "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*" });
    assert_eq!(told(json!([udp])), None);
}

const CLUSTER: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
const NETWORK: &str = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network";
