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
