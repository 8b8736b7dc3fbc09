//! `facts lint` and `facts show`: a folder in, a report or a page out; nobody is asked.

use crate::house::{House, Ran, Reported};

/// A cluster that is open in two halves of the internet; its network is not in the facts.
const CLUSTER: &str = r#"{ "cluster": { "name": "prod", "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/prod",
  "status": "ACTIVE", "version": "1.33", "endpoint": "https://0123.gr7.eu-west-1.eks.amazonaws.com",
  "kubernetesNetworkConfig": { "ipFamily": "ipv4" },
  "resourcesVpcConfig": { "endpointPublicAccess": true, "endpointPrivateAccess": false, "subnetIds": [],
    "publicAccessCidrs": ["0.0.0.0/1", "128.0.0.0/1"] } } }"#;

/// Two clusters, told apart by their names at AWS.
const SCENARIO: &str = "apiVersion: kubereach/v1
controls: []
clusters:
  live:
    eks: { name: prod, region: eu-west-1 }
    intent: { publicAccess: { enabled: true, allow: [35.180.7.0/24] } }
  other:
    eks: { name: test, region: eu-west-1 }
    intent: { publicAccess: { enabled: false }, privateAccess: { enabled: true } }
vantages:
  office: { model: { ip: 35.180.7.3 } }
  stranger: { model: { ip: 35.180.8.3 } }
";

fn house() -> House {
    let house = House::new();
    house.file("facts/cluster.json", CLUSTER);
    house.file("facts/subnets.json", r#"{ "Subnets": [] }"#);
    house
}

fn lint(house: &House, arguments: &[&str]) -> Reported {
    let mut command = house.command(&["facts", "lint", "--facts", "facts", "-o", "json"]);
    Reported::read(Ran::new(command.args(arguments)))
}

#[test]
fn what_is_only_warned_about_is_a_match() {
    let reported = lint(&house(), &[]);
    assert_eq!(reported.verdict(), (0, "match"));
    assert_eq!(reported.codes("warning"), ["net-allow-list-open-to-internet"]);
    assert_eq!(reported.report["findings"][0]["cluster"], "prod");
    assert!(reported.report["cells"].as_array().unwrap().is_empty());
}

#[test]
fn the_cluster_of_a_scenario_is_found_by_its_name() {
    let house = house();
    house.file("scenario.yaml", SCENARIO);
    let reported = lint(&house, &["scenario.yaml"]);
    assert_eq!(reported.verdict(), (0, "match"));
    assert!(reported.codes("warning").contains(&"net-allow-list-exceeds-intent"));
    let text = reported.report.to_string();
    assert!(text.contains("It cuts off stranger (35.180.8.3)") && !text.contains("office (35.180.7.3)"), "{text}");
    assert_eq!(reported.report["findings"][0]["cluster"], "live");
    // The intent turns public access off: an error.
    house.file("scenario.yaml", SCENARIO.replace("name: prod", "name: x").replace("name: test", "name: prod"));
    let reported = lint(&house, &["scenario.yaml"]);
    assert_eq!(reported.verdict(), (1, "mismatch"));
    assert!(reported.codes("error").contains(&"net-endpoint-mode-differs-from-intent"));
}

#[test]
fn a_scenario_that_knows_another_cluster_is_refused() {
    let house = house();
    house.file("scenario.yaml", SCENARIO.replace("name: prod", "name: staging"));
    let said = house.refused(&["facts", "lint", "--facts", "facts", "scenario.yaml"]);
    assert!(said.contains("the facts describe the cluster `prod`, and no cluster of the scenario"), "{said}");
    let said = house.refused(&["facts", "lint", "--facts", "nowhere"]);
    assert!(said.contains("cannot read the facts folder"), "{said}");
    house.file("facts/broken.json", "{ \"Vpcs\": [");
    let said = house.refused(&["facts", "lint", "--facts", "facts"]);
    assert!(said.contains("broken.json:1:"), "{said}");
}

#[test]
fn facts_without_a_cluster_decide_nothing() {
    let house = House::new();
    house.file("facts/subnets.json", r#"{ "Subnets": [] }"#);
    let reported = lint(&house, &[]);
    assert_eq!(reported.verdict(), (3, "inconclusive"));
    assert_eq!(reported.codes("error"), ["inconclusive-facts-missing"]);
}

#[test]
fn every_format_draws_a_report_without_cells() {
    let house = house();
    for (format, words) in [
        ("text", "match: 1 warning"),
        ("markdown", "## kubereach: match: 1 warning"),
        ("junit", "net-allow-list-open-to-internet"),
        ("sarif", "net-allow-list-open-to-internet:prod:resourcesVpcConfig.publicAccessCidrs"),
        ("html", "match: 1 warning"),
    ] {
        let ran = house.run(&["facts", "lint", "--facts", "facts", "-o", format]);
        assert_eq!(ran.status, Some(0), "{format}: {}", ran.stderr);
        assert!(ran.stdout.contains(words), "{format}: {}", ran.stdout);
    }
}

#[test]
fn one_page_shows_what_is_known_and_what_is_not() {
    let house = house();
    let ran = house.run(&["facts", "show", "--facts", "facts"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for line in
        ["  status                   ACTIVE", "  public access            on", "2 of 40 entries, every IPv4 address"]
    {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    assert!(ran.stdout.lines().count() <= 60, "{}", ran.stdout);
    let ran = house.run(&["facts", "show", "--facts", "facts", "-o", "json"]);
    let page: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(page["schema"], "kubereach.facts/v1");
    assert_eq!((&page["publicAccess"], &page["privateAccess"]), (&true.into(), &false.into()));
    assert_eq!(page["allowList"]["minimal"], serde_json::json!(["0.0.0.0/0"]));
}

#[test]
fn one_page_shows_an_aks_cluster_too() {
    let house = house();
    let cluster = r#"{ "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod",
        "name": "prod", "location": "westeurope", "properties": { "provisioningState": "Succeeded",
        "apiServerAccessProfile": { "authorizedIPRanges": ["35.180.7.0/25", "35.180.7.128/25"] },
        "networkProfile": { "outboundType": "loadBalancer" } } }"#;
    house.file("azure/aks/show.json", cluster);
    let ran = house.run(&["facts", "show", "--facts", "azure"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for line in ["prod westeurope, rg, s", "  mode                     public", "2 of 200 entries, 256 IPv4 addresses"]
    {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    let ran = house.run(&["facts", "show", "--facts", "azure", "-o", "json"]);
    let page: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&page["schema"], &page["provider"]), (&"kubereach.facts/v1".into(), &"aks".into()));
    assert_eq!(page["allowList"]["minimal"], serde_json::json!(["35.180.7.0/24"]));
    // A plan is judged as one; a setting of the other provider is an error.
    let ran = house.run(&["facts", "lint", "--facts", "azure", "--set", "authorizedIPRanges=10.0.0.0/8"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("aks-authorized-ip-range-not-public-ipv4"), "{}", ran.stdout);
    let ran = house.run(&["facts", "lint", "--facts", "azure", "--set", "endpointPublicAccess=false"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_plan_that_changes_more_than_is_evaluated_is_no_match() {
    let house = house();
    let scenario = "apiVersion: kubereach/v1\nclusters:\n  live: { facts: ./facts }\nvantages:\n  \
                    office: { model: { ip: 35.180.7.3 } }\nexpect:\n  - { cluster: live, from: office, reachable: true }\n";
    house.file("plain.yaml", scenario);
    let cluster = r#"{ "address": "aws_eks_cluster.prod", "type": "aws_eks_cluster", "change": { "actions": ["update"],
        "after": { "name": "prod", "vpc_config": [{ "public_access_cidrs": ["35.180.7.0/24"] }] } } }"#;
    let predict = |more: &str| {
        house.file("plan.json", format!(r#"{{ "resource_changes": [{cluster}{more}] }}"#));
        let mut command = house.command(&["predict", "plain.yaml", "--plan", "plan.json", "-o", "json"]);
        Reported::read(Ran::new(&mut command))
    };
    assert_eq!(predict("").verdict(), (0, "match"));
    let more = r#", { "address": "aws_security_group_rule.x", "type": "aws_security_group_rule",
        "change": { "actions": ["delete"], "after": null } }"#;
    let reported = predict(more);
    assert_eq!(reported.verdict(), (3, "inconclusive"));
    assert_eq!(reported.codes("error"), ["inconclusive-facts-missing"]);
    assert!(reported.report["findings"].to_string().contains("aws_security_group_rule.x"), "{:#}", reported.report);
}
