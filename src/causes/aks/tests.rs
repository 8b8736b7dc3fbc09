//! Each cause of AKS and of Azure's network: what makes it sign, how sure it is, and what refutes it.

use kubereach_probes::{Attempt, DnsOutcome, TcpOutcome, TlsOutcome, TlsVariant, TlsVariantKind};
use serde_json::{Value, json};

use crate::{
    causes::{Update, testing::*, testing_facts::*},
    model::{
        aks::{Mode, Place, PublicPath, ZoneObstacle},
        trace::{HopKind, NsgRule, PeeringProblem, Reason},
    },
    report::{Confidence, Intended, Provider, Severity, Verdict, Via},
};

const NOT_LISTED: &str = "aks-client-not-in-authorized-ip-ranges";
const EGRESS: &str = "aks-cluster-egress-not-in-authorized-ip-ranges";
const PRIVATE: &str = "prod-1a2b.privatelink.westeurope.azmk8s.io";
const PUBLIC: &str = "198.51.100.20";
const ENDPOINT: &str = "10.20.1.4";

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn show(properties: Value) -> Value {
    json!({ "aks/show.json": { "properties": properties } })
}

fn seen(attempt: Attempt) -> Scene {
    let to = attempt.address.map(|address| address.to_string()).unwrap_or_default();
    Scene::new().saw(vec![answer("system", &[&to])], vec![attempt]).with(|scene| scene.provider = Provider::Aks)
}

fn unknown_name(outcome: DnsOutcome) -> Scene {
    Scene::new().saw(vec![no_answer("system", outcome)], vec![]).with(|scene| {
        scene.provider = Provider::Aks;
        scene.host = PRIVATE;
    })
}

/// A private cluster whose private endpoint is there.
fn private_cluster() -> Value {
    let mut patch = private_show();
    patch["network/private-endpoints.json"] = json!({ "value": [{
        "id": azure_id("privateEndpoints/kube-apiserver").as_str(), "name": "kube-apiserver",
        "type": "Microsoft.Network/privateEndpoints", "properties": {},
    }] });
    patch
}

fn private_show() -> Value {
    show(json!({
        "privateFQDN": PRIVATE, "fqdn": "prod.hcp.westeurope.azmk8s.io",
        "azurePortalFQDN": "prod.portal.hcp.westeurope.azmk8s.io",
        "apiServerAccessProfile": { "authorizedIPRanges": null, "enablePrivateCluster": true },
    }))
}

fn with_obstacle(obstacle: ZoneObstacle) -> Case {
    Case::aks(private_cluster()).from("10.20.3.50").predicting_aks(move |prediction| {
        prediction.answer.obstacle = Some(obstacle.clone());
        prediction.configured = kubereach_probes::Reachability::Unreachable;
        prediction.via = Some(Via::Private);
    })
}

fn confidence(case: &Case, scene: &Scene, code: &str) -> Option<Confidence> {
    case.finding(scene, code)?.confidence.into()
}

#[test]
fn silence_of_an_unlisted_address_is_certain_and_a_refusal_refutes_it() {
    let case = Case::aks(json!({})).from("11.51.100.7");
    let silence = seen(silent(PUBLIC));
    assert_eq!(case.errors(&silence), [NOT_LISTED]);
    let finding = case.finding(&silence, NOT_LISTED).unwrap();
    assert_eq!(finding.confidence, Confidence::Certain);
    assert!(finding.fix.unwrap().ends_with(
        "az aks update -g rg -n prod --subscription s --api-server-authorized-ip-ranges 203.0.113.0/24,11.51.100.7/32"
    ));
    assert_eq!(confidence(&case, &unprobed(), NOT_LISTED), Some(Confidence::Likely));
    assert!(case.finding(&seen(attempt(PUBLIC, TcpOutcome::Refused, 9.0)), NOT_LISTED).is_none());
    let listed = Case::aks(json!({})).from("203.0.113.7");
    assert!(listed.finding(&silence, NOT_LISTED).is_none());
    assert!(listed.errors(&seen(reached(PUBLIC)).with(|scene| scene.verdict = Verdict::Match)).is_empty());
}

#[test]
fn a_node_that_is_not_listed_is_the_clusters_own_egress() {
    let case = Case::aks(json!({})).from("10.20.3.50").predicting_aks(|prediction| {
        prediction.public = PublicPath::NotListed { egress: vec!["20.1.2.3".parse().unwrap()] };
    });
    let silence = seen(silent(PUBLIC));
    assert_eq!(case.errors(&silence), [EGRESS]);
    assert!(case.finding(&silence, EGRESS).unwrap().fix.unwrap().contains("203.0.113.0/24,20.1.2.3/32"));
    // With VNet integration the nodes do not go that way.
    let integrated = Case::aks(show(json!({ "apiServerAccessProfile": { "enableVnetIntegration": true } })))
        .from("10.20.3.50")
        .predicting_aks(|prediction| {
            prediction.public = PublicPath::NotListed { egress: vec!["20.1.2.3".parse().unwrap()] };
        });
    assert!(integrated.finding(&silence, EGRESS).is_none());
}

#[test]
fn a_list_for_the_cluster_alone_shuts_out_everybody_else() {
    let code = "aks-authorized-ip-ranges-outbound-only";
    let case = Case::aks(show(json!({ "apiServerAccessProfile": { "authorizedIPRanges": ["0.0.0.0/32"] } })))
        .from("11.51.100.7")
        .predicting_aks(|prediction| {
            prediction.public = PublicPath::OutboundOnly { egress: vec!["11.51.100.7".parse().unwrap()] };
        });
    assert_eq!(case.errors(&seen(silent(PUBLIC))), [code]);
    let fix = case.finding(&seen(silent(PUBLIC)), code).unwrap().fix.unwrap();
    assert!(fix.ends_with("--api-server-authorized-ip-ranges 20.1.2.3/32,11.51.100.7/32"), "{fix}");
    assert!(case.finding(&seen(attempt(PUBLIC, TcpOutcome::Refused, 9.0)), code).is_none());
}

#[test]
fn a_stopped_cluster_is_silent_or_refuses_and_never_shakes_hands() {
    let code = "aks-cluster-stopped";
    let case = Case::aks(show(json!({ "powerState": { "code": "Stopped" } }))).from("203.0.113.7");
    for scene in [
        seen(silent(PUBLIC)),
        seen(attempt(PUBLIC, TcpOutcome::Refused, 9.0)),
        unknown_name(DnsOutcome::Nxdomain).with(|scene| scene.host = "api.prod.example.com"),
    ] {
        assert_eq!(case.errors(&scene), [code]);
        assert_eq!(confidence(&case, &scene, code), Some(Confidence::Certain));
    }
    assert!(case.finding(&seen(shook(PUBLIC, TlsOutcome::Untrusted)), code).is_none());
    assert!(Case::aks(json!({})).finding(&seen(silent(PUBLIC)), code).is_none());
}

#[test]
fn a_failed_cluster_explains_a_refusal_and_only_perhaps_a_silence() {
    let code = "aks-cluster-not-ready";
    let failed = Case::aks(show(json!({ "provisioningState": "Failed" }))).from("203.0.113.7");
    let refused = seen(attempt(PUBLIC, TcpOutcome::Refused, 9.0));
    assert_eq!(confidence(&failed, &refused, code), Some(Confidence::Likely));
    assert_eq!(confidence(&failed, &seen(silent(PUBLIC)), code), Some(Confidence::Possible));
    let updating = Case::aks(show(json!({ "provisioningState": "Updating" }))).from("203.0.113.7");
    assert_eq!(confidence(&updating, &refused, code), Some(Confidence::Possible));
    assert!(updating.finding(&seen(attempt(PUBLIC, TcpOutcome::Refused, 9.0)).changed(10), code).is_none());
    assert!(Case::aks(json!({})).finding(&refused, code).is_none());
}

#[test]
fn no_public_path_matters_to_those_who_mean_one() {
    let code = "aks-public-network-access-disabled";
    let off = |meant: Option<Via>| {
        let case = Case::aks(show(json!({ "publicNetworkAccess": "Disabled" }))).from("11.51.100.7").predicting_aks(
            |prediction| {
                prediction.public = PublicPath::Off;
                prediction.place = Place::Internet;
            },
        );
        let scene = seen(silent(ENDPOINT)).with(|scene| scene.intended_via = meant);
        case.finding(&scene, code)
    };
    assert_eq!(off(Some(Via::Public)).unwrap().confidence, Confidence::Certain);
    assert!(off(None).is_some() && off(Some(Via::Private)).is_none());
}

#[test]
fn a_zone_that_the_network_does_not_see_is_told_by_its_obstacle() {
    let zone = azure_id("privateDnsZones/privatelink.westeurope.azmk8s.io");
    let network = azure_id("virtualNetworks/vnet-a");
    let obstacles = [
        (
            "aks-private-zone-not-linked",
            ZoneObstacle::NotLinked { zone: zone.clone(), network: network.clone(), server: None },
            "az network private-dns link vnet create -g rg -z privatelink.westeurope.azmk8s.io",
        ),
        (
            "aks-private-zone-shadowed",
            ZoneObstacle::Shadowed {
                zone: zone.clone(),
                link: azure_id("privateDnsZones/privatelink.westeurope.azmk8s.io/virtualNetworkLinks/stray"),
                network: network.clone(),
            },
            "-n stray --resolution-policy NxDomainRedirect",
        ),
        ("aks-private-zone-record-wrong", ZoneObstacle::RecordMissing { zone }, "az aks update -g rg -n prod"),
    ];
    for (code, obstacle, fix) in obstacles {
        let case = with_obstacle(obstacle);
        let denied = unknown_name(DnsOutcome::Nxdomain);
        assert_eq!(case.errors(&denied), [code]);
        let finding = case.finding(&denied, code).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain, "{code}");
        assert!(finding.fix.unwrap().contains(fix), "{code}");
        // Another resolver serves this host.
        assert!(case.finding(&seen(silent(ENDPOINT)), code).is_none(), "{code}");
    }
}

#[test]
fn a_record_of_an_older_endpoint_is_certain_only_when_it_was_dialled_in_vain() {
    let code = "aks-private-zone-record-wrong";
    let case = with_obstacle(ZoneObstacle::RecordDiffers {
        zone: azure_id("privateDnsZones/z"),
        recorded: vec!["10.20.1.9".parse().unwrap()],
        endpoint: vec![ENDPOINT.parse().unwrap()],
    });
    assert_eq!(confidence(&case, &seen(silent("10.20.1.9")), code), Some(Confidence::Certain));
    assert_eq!(confidence(&case, &unprobed(), code), Some(Confidence::Likely));
    assert!(case.finding(&seen(reached("10.20.1.9")), code).is_none());
}

#[test]
fn servers_of_ones_own_are_to_blame_when_azure_dns_knows_the_name() {
    let code = "azure-custom-dns-not-forwarding";
    let case = with_obstacle(ZoneObstacle::CustomServers {
        network: azure_id("virtualNetworks/vnet-a"),
        servers: vec!["10.20.1.53".to_owned()],
    });
    let asked = |others: Vec<kubereach_probes::DnsObservation>| {
        let mut dns = vec![no_answer("system", DnsOutcome::Servfail)];
        dns.extend(others);
        Scene::new().saw(dns, vec![]).with(|scene| scene.host = PRIVATE)
    };
    assert_eq!(confidence(&case, &asked(vec![answer("vpc", &[ENDPOINT])]), code), Some(Confidence::Certain));
    assert_eq!(confidence(&case, &asked(vec![]), code), Some(Confidence::Possible));
    let fix = case.finding(&asked(vec![]), code).unwrap().fix.unwrap();
    assert!(fix.contains("forward privatelink.westeurope.azmk8s.io to 168.63.129.16"), "{fix}");
}

#[test]
fn names_of_the_cluster_that_lead_nowhere_are_told_apart_from_another_clusters() {
    let code = "aks-kubeconfig-uses-wrong-fqdn";
    let dialling = |host: &'static str| unknown_name(DnsOutcome::Nxdomain).with(|scene| scene.host = host);
    let unpublished = with_obstacle(ZoneObstacle::NotPublished);
    let finding = unpublished.finding(&dialling("prod.hcp.westeurope.azmk8s.io"), code).unwrap();
    assert_eq!(finding.confidence, Confidence::Certain);
    assert!(finding.fix.unwrap().contains("--enable-public-fqdn"));
    let portal = Case::aks(private_cluster());
    assert!(portal.finding(&dialling("prod.portal.hcp.westeurope.azmk8s.io"), code).is_some());
    let other = "client-kubeconfig-server-not-this-cluster";
    assert_eq!(confidence(&portal, &dialling("old.hcp.westeurope.azmk8s.io"), other), Some(Confidence::Certain));
    assert_eq!(confidence(&portal, &dialling("k8s.example.com"), other), Some(Confidence::Possible));
    assert!(portal.finding(&dialling(PRIVATE), other).is_none());
}

#[test]
fn a_private_name_asked_from_the_internet_is_the_wrong_view() {
    let code = "dns-wrong-view-for-vantage";
    let outside = Case::aks(private_cluster()).from("11.51.100.7").predicting_aks(|prediction| {
        prediction.place = Place::Internet;
        prediction.answer.obstacle = None;
    });
    let finding = outside.finding(&unknown_name(DnsOutcome::Nxdomain), code).unwrap();
    assert!(finding.fix.unwrap().contains("--public-fqdn"));
    let inside = Case::aks(private_cluster()).from("10.20.3.50").predicting_aks(|prediction| {
        prediction.place = Place::ClusterNetwork { network: azure_id("virtualNetworks/vnet-a") };
    });
    assert!(inside.finding(&unknown_name(DnsOutcome::Nxdomain), code).is_none());
}

#[test]
fn a_private_endpoint_that_is_not_approved_or_gone_explains_silence() {
    let code = "aks-private-endpoint-not-usable";
    let state = |state: Option<&'static str>| {
        Case::aks(if state.is_some() { private_cluster() } else { private_show() })
            .from("10.20.3.50")
            .closed_aks(
                HopKind::PrivateEndpoint,
                "kube-apiserver",
                Reason::EndpointState { endpoint: "kube-apiserver".to_owned(), state: "Rejected".to_owned() },
            )
            .predicting_aks(move |prediction| {
                prediction.mode = Mode::PrivateLink;
                prediction.private[0].not_approved = state.map(str::to_owned);
            })
    };
    let silence = seen(silent(ENDPOINT)).with(|scene| scene.host = PRIVATE);
    assert_eq!(state(Some("Rejected")).errors(&silence), [code]);
    assert_eq!(confidence(&state(Some("Rejected")), &seen(silent(ENDPOINT)), code), Some(Confidence::Certain));
    assert!(state(Some("Rejected")).finding(&seen(attempt(ENDPOINT, TcpOutcome::Refused, 1.0)), code).is_none());
    // All endpoints are known, and none is the cluster's.
    let said = state(None).finding(&seen(silent(ENDPOINT)), code).unwrap().evidence.join("\n");
    assert!(said.contains("no private endpoint of the subscription"), "{said}");
}

#[test]
fn hops_of_azure_have_their_codes_settings_and_commands() {
    let net = |text: &str| text.parse().unwrap();
    let rule = |guards: &str, inbound| {
        Reason::NsgRule(NsgRule {
            group: azure_id("networkSecurityGroups/nsg"),
            guards: azure_id(guards),
            name: "deny".to_owned(),
            priority: Some(200),
            inbound,
            source: net("10.20.3.50/32"),
            destination: net("10.20.1.4/32"),
            port: 443,
        })
    };
    let route = |next_hop: &str| Reason::UserRoute {
        table: Some(azure_id("routeTables/rt")),
        subnet: azure_id("virtualNetworks/vnet-a/subnets/nodes"),
        route: "old-hub".to_owned(),
        prefix: "10.20.0.0/16".to_owned(),
        next_hop: next_hop.to_owned(),
        appliance: None,
        firewall: None,
        destination: net("10.20.1.4/32"),
        reply: false,
    };
    let peering = |problem: PeeringProblem| Reason::VirtualNetworkPeering {
        peering: Some(azure_id("virtualNetworks/vnet-b/virtualNetworkPeerings/to-a")),
        network: azure_id("virtualNetworks/vnet-b"),
        remote: azure_id("virtualNetworks/vnet-a"),
        problem,
        reply: false,
    };
    let (nsg, udr, peer) =
        ("azure-nsg-denies-443", "azure-udr-diverts-endpoint", "azure-peering-does-not-carry-traffic");
    let subnet = "virtualNetworks/vnet-a/subnets/api";
    let cases = [
        (
            nsg,
            HopKind::NetworkSecurityGroup,
            rule("virtualNetworks/vnet-a/subnets/nodes", false),
            "--direction Outbound",
        ),
        (
            "aks-apiserver-subnet-nsg-blocks",
            HopKind::NetworkSecurityGroup,
            rule(subnet, true),
            "-n allow-aks-api-443 --priority",
        ),
        (
            udr,
            HopKind::RouteTable,
            route("None"),
            "--route-table-name rt --subscription s -n old-hub --next-hop-type VnetLocal",
        ),
        (
            peer,
            HopKind::Peering,
            peering(PeeringProblem::State("Initiated".to_owned())),
            "peering create -g rg --vnet-name vnet-a",
        ),
        (peer, HopKind::Peering, peering(PeeringProblem::AccessDenied), "--set allowVirtualNetworkAccess=true"),
        (peer, HopKind::Peering, peering(PeeringProblem::Missing), "# On both sides"),
    ];
    for (code, kind, reason, command) in cases {
        let integrated = show(json!({ "apiServerAccessProfile": {
            "authorizedIPRanges": null, "enablePrivateCluster": true, "enableVnetIntegration": true,
            "subnetId": azure_id(subnet).as_str(),
        } }));
        let case = Case::aks(integrated).from("10.20.3.50").closed_aks(kind, "thing", reason);
        let scene = seen(silent(ENDPOINT));
        assert_eq!(case.errors(&scene), [code]);
        let finding = case.finding(&scene, code).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain, "{code}");
        assert!(finding.fix.as_ref().unwrap().contains(command), "{code}: {:?}", finding.fix);
        assert!(case.finding(&seen(attempt(ENDPOINT, TcpOutcome::Refused, 1.0)), code).is_none(), "{code}");
        assert_eq!(case.finding(&unprobed(), code).unwrap().confidence, Confidence::Likely, "{code}");
    }
}

#[test]
fn an_appliance_on_the_way_is_a_firewall_only_where_names_are_cut_or_it_is_one() {
    let (firewall, route) = ("azure-firewall-lacks-endpoint-rule", "azure-udr-diverts-endpoint");
    let by = |own: bool| {
        let reason = Reason::UserRoute {
            table: Some(azure_id("routeTables/rt")),
            subnet: azure_id("virtualNetworks/vnet-a/subnets/nodes"),
            route: "all".to_owned(),
            prefix: "0.0.0.0/0".to_owned(),
            next_hop: "VirtualAppliance".to_owned(),
            appliance: Some("10.20.200.4".parse().unwrap()),
            firewall: own.then(|| azure_id("azureFirewalls/fw")),
            destination: "10.20.1.4/32".parse().unwrap(),
            reply: false,
        };
        Case::aks(private_cluster()).from("10.20.3.50").closed_aks(HopKind::Firewall, "fw", reason).predicting_aks(
            |prediction| {
                prediction.configured = kubereach_probes::Reachability::Unknown;
                prediction.private[0].trace.outcome = crate::model::trace::Outcome::Unknown;
                prediction.private[0].trace.forward[0].decision = crate::model::trace::Decision::Unknown;
            },
        )
    };
    let mut cut = shook(ENDPOINT, TlsOutcome::Reset);
    cut.tls.variants =
        vec![TlsVariant { kind: TlsVariantKind::NoServerName, outcome: TlsOutcome::Untrusted, ms: 5.0, detail: None }];
    let by_name = seen(cut);
    assert_eq!(confidence(&by(true), &by_name, firewall), Some(Confidence::Likely));
    assert_eq!(confidence(&by(false), &by_name, firewall), Some(Confidence::Likely));
    let silence = seen(silent(ENDPOINT));
    assert_eq!(confidence(&by(true), &silence, firewall), Some(Confidence::Possible));
    assert!(by(false).finding(&silence, firewall).is_none());
    assert_eq!(confidence(&by(false), &silence, route), Some(Confidence::Possible));
    assert!(by(true).finding(&seen(reached(ENDPOINT)), firewall).is_none());
}

#[test]
fn a_tag_or_an_address_that_is_not_known_leaves_the_cell_open() {
    let tag = Case::aks(json!({})).from("11.51.100.7").predicting_aks(|prediction| {
        prediction.configured = kubereach_probes::Reachability::Unknown;
        prediction.public =
            PublicPath::TagNotKnown { tag: "AzureDevOps".to_owned(), egress: vec!["11.51.100.7".parse().unwrap()] };
    });
    let open = unprobed().with(|scene| scene.verdict = Verdict::Inconclusive);
    let said = tag.finding(&open, "inconclusive-rule-not-evaluable").unwrap();
    assert!(said.evidence.join("\n").contains("AzureDevOps"));
    assert_eq!(said.confidence, Confidence::Certain);
    let egress = Case::aks(json!({})).predicting_aks(|prediction| {
        prediction.configured = kubereach_probes::Reachability::Unknown;
        prediction.public = PublicPath::EgressNotKnown;
    });
    assert!(egress.finding(&open, "inconclusive-egress-address-unknown").is_some());
}

#[test]
fn what_lets_somebody_in_is_taken_off_the_list_and_never_leaves_it_empty() {
    let code = "net-reachable-though-not-intended";
    let scene = || {
        seen(reached(PUBLIC)).with(|scene| {
            scene.intended = Intended::Unreachable;
            scene.via = Some(Via::Public);
        })
    };
    let fix = |ranges: Value, address: &str| {
        let case = Case::aks(show(json!({ "apiServerAccessProfile": { "authorizedIPRanges": ranges } }))).from(address);
        case.finding(&scene(), code).unwrap().fix.unwrap()
    };
    let only = fix(json!(["203.0.113.0/24"]), "203.0.113.7");
    assert!(only.ends_with("--api-server-authorized-ip-ranges 20.1.2.3/32"), "{only}");
    let two = fix(json!(["203.0.113.0/24", "11.0.0.0/8"]), "203.0.113.7");
    assert!(two.ends_with("--api-server-authorized-ip-ranges 11.0.0.0/8"), "{two}");
    let open = fix(json!([]), "203.0.113.7");
    assert!(open.contains("20.1.2.3/32,") && !open.contains("0.0.0.0/0"), "{open}");
}

#[test]
fn a_change_that_the_facts_tell_of_stands_first_while_its_window_is_open() {
    let code = "propagation-aks-authorized-ip-ranges";
    let update = Update { id: None, kind: None, began: Some(now()), ended: Some(now()), followed: true };
    let case = Case::aks(json!({})).from("203.0.113.7").updating(update);
    let scene = seen(silent(PUBLIC)).with(|scene| scene.verdict = Verdict::Propagating).changed(10);
    let finding = case.findings(&scene).remove(0);
    assert_eq!((finding.code.as_str(), finding.severity), (code, Severity::Error));
    assert!(finding.evidence.join("\n").contains("the list is now 203.0.113.0/24 (1 entry)"), "{:?}", finding.evidence);
}

#[test]
fn what_dns_servers_of_ones_own_answer_is_not_known_and_blamed_on_nobody() {
    let case = Case::aks(private_cluster()).from("10.20.3.50").predicting_aks(|prediction| {
        prediction.configured = kubereach_probes::Reachability::Unknown;
        prediction.via = None;
        prediction.answer.class = None;
        prediction.missing.clear();
        prediction.answer.because =
            "vnet-a names DNS servers of its own (10.30.1.53), which may forward or not".to_owned();
        prediction.answer.obstacle = Some(ZoneObstacle::CustomServers {
            network: azure_id("virtualNetworks/vnet-a"),
            servers: vec!["10.30.1.53".to_owned()],
        });
    });
    let open = unprobed().with(|scene| {
        scene.verdict = Verdict::Inconclusive;
        scene.host = PRIVATE;
    });
    let code = "inconclusive-rule-not-evaluable";
    assert_eq!(case.errors(&open), [code]);
    let finding = case.finding(&open, code).unwrap();
    let said = finding.evidence.join("\n");
    assert!(said.contains("DNS servers of its own (10.30.1.53), which may forward or not"), "{said}");
    assert_eq!(finding.setting.unwrap(), "dhcpOptions.dnsServers of vnet-a = 10.30.1.53");
    assert!(finding.fix.unwrap().contains(&format!("dig +short {PRIVATE} @10.30.1.53")));
}

#[test]
fn what_the_model_cannot_tell_is_never_unexplained() {
    // Some of the addresses are listed: nobody can say by which this one comes.
    let partly = Case::aks(json!({})).from("10.20.3.50").predicting_aks(|prediction| {
        prediction.configured = kubereach_probes::Reachability::Unknown;
        prediction.public = PublicPath::PartlyListed {
            listed: vec!["203.0.113.7".parse().unwrap()],
            unlisted: vec!["11.2.0.9".parse().unwrap()],
        };
    });
    let open = unprobed().with(|scene| {
        scene.verdict = Verdict::Inconclusive;
        scene.provider = Provider::Aks;
    });
    assert_eq!(partly.errors(&open), ["inconclusive-rule-not-evaluable"]);
    let finding = partly.finding(&open, "inconclusive-rule-not-evaluable").unwrap();
    assert!(finding.evidence.join("\n").contains("11.2.0.9"), "{:?}", finding.evidence);
    assert!(finding.docs.unwrap().starts_with("https://learn.microsoft.com/"));
}

#[test]
fn a_node_loses_the_only_endpoint_with_everybody_else() {
    let case = Case::aks(show(json!({ "publicNetworkAccess": "Disabled" }))).from("10.20.3.50");
    let code = "aks-public-network-access-disabled";
    assert_eq!(case.errors(&unprobed()), [code]);
    let said = case.finding(&unprobed(), code).unwrap().evidence.join("\n");
    assert!(said.contains("its nodes go by the public one as well"), "{said}");
}

#[test]
fn why_an_own_address_is_not_what_is_seen_is_not_invented() {
    let said = |address: &str| {
        let case = Case::aks(json!({})).from(address).predicting_aks(|prediction| {
            prediction.configured = kubereach_probes::Reachability::Unknown;
            prediction.public = PublicPath::EgressNotKnown;
        });
        let open = unprobed().with(|scene| scene.verdict = Verdict::Inconclusive);
        case.finding(&open, "inconclusive-egress-address-unknown").unwrap().evidence.join("\n")
    };
    let six = said("2a00:1450::5");
    assert!(six.contains("the endpoint has IPv4 addresses") && !six.contains("is translated on the way"), "{six}");
    assert!(said("10.99.0.7").contains("10.99.0.7 is private"));
}

#[test]
fn a_peering_that_was_cut_off_is_deleted_on_both_sides_before_it_is_made_anew() {
    let side = |from: &str, to: &str, name: &str| {
        json!({
            "id": azure_id(&format!("virtualNetworks/{from}")).as_str(), "name": from,
            "type": "Microsoft.Network/virtualNetworks",
            "properties": { "virtualNetworkPeerings": [{
                "id": azure_id(&format!("virtualNetworks/{from}/virtualNetworkPeerings/{name}")).as_str(), "name": name,
                "properties": {
                    "peeringState": "Disconnected",
                    "remoteVirtualNetwork": { "id": azure_id(&format!("virtualNetworks/{to}")).as_str() },
                },
            }] },
        })
    };
    let networks = json!({ "network/virtual-networks.json": { "value": [
        side("vnet-a", "vnet-b", "to-b"), side("vnet-b", "vnet-a", "to-a"),
    ] } });
    let facts = Case::aks(networks).facts();
    let (a, b) = (azure_id("virtualNetworks/vnet-a"), azure_id("virtualNetworks/vnet-b"));
    let command = crate::causes::aks::commands::renew_peering(&facts, &b, &a);
    let verbs: Vec<&str> = command.lines().skip(1).map(|line| line.split(' ').nth(4).unwrap()).collect();
    assert_eq!(verbs, ["delete", "delete", "create", "create"], "{command}");
    assert!(command.contains("delete -g rg --vnet-name vnet-a --subscription s -n to-b"), "{command}");
}

#[test]
fn an_address_of_the_client_itself_is_no_path_of_the_configuration() {
    for patch in [private_cluster(), json!({})] {
        let case = Case::aks(patch).from("10.20.3.50");
        let open = unprobed().with(|scene| {
            scene.verdict = Verdict::Inconclusive;
            scene.host = "127.0.0.1";
        });
        assert_eq!(case.errors(&open), ["inconclusive-rule-not-evaluable"]);
        let said = case.finding(&open, "inconclusive-rule-not-evaluable").unwrap().evidence.join("\n");
        assert!(said.contains("127.0.0.1 is the client itself"), "{said}");
    }
}

#[test]
fn a_machine_that_is_not_there_is_the_scenarios_affair() {
    let case = Case::aks(json!({ "network/network-interfaces.json": { "value": [] } })).at("aks-np_9");
    let open = unprobed().with(|scene| scene.verdict = Verdict::Inconclusive);
    let finding = case.finding(&open, "inconclusive-facts-missing").unwrap();
    assert!(finding.setting.unwrap().ends_with("model.instance = aks-np_9"));
    assert!(!finding.fix.unwrap().contains("facts pull"), "{:?}", finding.evidence);
}
