//! Causes of the public endpoint: its switch, its list, and the cluster itself.

use ipnet::IpNet;
use kubereach_probes::{AddressClass, DnsOutcome};

use super::sight::{Shown, Sight, single, told};
use crate::{
    causes::{
        CellView, Told,
        configuration::words,
        egress,
        evidence::{clean, shell, silence_counts},
        lookups::{self, answered, labelled, lookup_words, others, system},
        public::PublicList,
        shown::LetsIn,
    },
    model::{
        eks::{Place, PublicPath},
        set::Family,
        trace::HopKind,
    },
    report::{Confidence, Reachability, Severity, Via},
};

/// `eks-client-not-in-public-access-cidrs`.
pub(super) fn client_not_listed(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let addresses = sight.prediction.public.unlisted()?;
    let (unlisted, _) = addresses;
    let shown = sight.public()?;
    let list = list(&sight);
    let told = list.not_listed(&shown, sight.in_a_vpc(), addresses, |says| sight.told(&shown, says))?;
    let mut told = egress::says_who(view, &sight.configured, unlisted, told);
    let family = Family::of(*unlisted.first()?);
    if family == Family::V6 && !list.entries.iter().any(|entry| entry.contains(':')) {
        told = told.and("the list has no IPv6 entry, and the endpoint has IPv6 addresses");
    }
    Some(
        told.and("security groups do not govern the public endpoint")
            .setting(format!("resourcesVpcConfig.publicAccessCidrs = {}", words::listed(&list.entries)))
            .fix(sight.admit(&egress::to_admit(view, unlisted))),
    )
}

/// `eks-public-access-disabled`.
pub(super) fn public_access_disabled(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let outside = matches!(sight.prediction.place, Place::Internet | Place::Unknown | Place::OutsideAddress);
    let meant = view.intended_via == Some(Via::Public);
    // Who should come over private addresses is to join the network, not to be let in from the internet.
    let elsewhere = view.intended_via == Some(Via::Private);
    if sight.prediction.public != PublicPath::Off || elsewhere || !(meant || outside) {
        return None;
    }
    let attempts = crate::causes::evidence::direct(view);
    let seen = super::sight::shown(view, &attempts, super::sight::Lost::Unrouted);
    let public = attempts.iter().any(|attempt| attempt.address_class == AddressClass::Public);
    if matches!(seen, Shown::Answer) && !meant || public {
        // Something answers, or names still lead to public addresses: then another thing is wrong.
        return None;
    }
    let surely = meant || sight.prediction.place == Place::Internet;
    let confidence = match (&seen, surely) {
        (Shown::Silence(_), true) => Confidence::Certain,
        (_, true) => Confidence::Likely,
        _ => Confidence::Possible,
    };
    let mut finding =
        told(view, confidence, &seen, "endpointPublicAccess = false, so no public address lets anybody in");
    if let Some(lookup) = system(view) {
        finding = finding.and(lookup_words(lookup));
        if lookup.address_class == AddressClass::Private {
            finding =
                finding.and("that answer is right for a private-only cluster, and leads nowhere from the internet");
        }
    }
    if !surely {
        finding = finding
            .and("the private endpoint can be reached from the networks that are connected to the VPC")
            .severity(Severity::Info);
    }
    let list = own_entries(&sight);
    Some(
        finding
            .setting("resourcesVpcConfig.endpointPublicAccess = false")
            .fix(format!("# The list in the same call, or the endpoint opens to all:\n{}", sight.replace_list(&list))),
    )
}

/// `eks-private-access-disabled`.
pub(super) fn private_access_disabled(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    if sight.config()?.endpoint_private_access != Some(false) {
        return None;
    }
    let meant = view.intended_via == Some(Via::Private);
    let inside = sight.prediction.place == Place::ClusterVpc;
    // A private answer would come from somebody else's zone.
    let private = system(view).is_some_and(|lookup| lookup.address_class == AddressClass::Private);
    if !(meant || inside) || private {
        return None;
    }
    let says = "endpointPrivateAccess = false, so every resolver gives public addresses";
    let answer = system(view).filter(|lookup| lookup.address_class == AddressClass::Public);
    let told = match answer {
        Some(lookup) => Told::new(if meant { Confidence::Certain } else { Confidence::Likely }, lookup_words(lookup))
            .and(format!("the configuration says: {says}")),
        None => Told::new(Confidence::Likely, format!("the configuration says: {says}")),
    };
    let told = if inside && !meant {
        told.and(format!("{} is in the cluster's VPC; by private access it would not leave it", clean(view.vantage)))
    } else {
        told
    };
    Some(
        told.setting("resourcesVpcConfig.endpointPrivateAccess = false")
            .fix(sight.set_mode(sight.config()?.endpoint_public_access, Some(true))),
    )
}

/// `eks-public-dns-not-switched-to-private`.
pub(super) fn public_dns_not_switched(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let config = sight.config()?;
    let private_only = config.endpoint_public_access == Some(false) && config.endpoint_private_access == Some(true);
    let denies = |outcome| matches!(outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata);
    let public = labelled(view, lookups::PUBLIC).filter(|lookup| denies(lookup.outcome))?;
    let own = system(view).filter(|lookup| denies(lookup.outcome))?;
    let active = sight.cluster.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("ACTIVE"));
    if !private_only || !active || sight.prediction.place == Place::ClusterVpc {
        return None;
    }
    let inside = others(view).find(|lookup| {
        lookup.resolver != lookups::PUBLIC && answered(lookup) && lookup.address_class == AddressClass::Private
    });
    let confidence = if inside.is_some() { Confidence::Certain } else { Confidence::Likely };
    let mut told = Told::new(confidence, lookup_words(own)).and(lookup_words(public));
    told = match inside {
        Some(inside) => told.and(lookup_words(inside)),
        None => told.and("the cluster is ACTIVE, so its name is not gone; what the VPC's resolver says was not asked"),
    };
    let list = own_entries(&sight);
    Some(
        told.and("the configuration says: private access only; public DNS gives the private addresses of such a cluster, unless it is older than that behaviour")
            .fix(format!(
                "# Turn public access on once, restricted, wait until that is Successful, and turn it off again:\n{}\n{}",
                sight.replace_list(&list),
                sight.set_mode(Some(false), Some(true))
            )),
    )
}

/// `eks-cluster-not-healthy`.
pub(super) fn cluster_not_healthy(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let status = sight.cluster.status.as_deref()?;
    let works = ["ACTIVE", "UPDATING"].iter().any(|state| status.eq_ignore_ascii_case(state));
    let issues: Vec<String> = sight
        .cluster
        .health
        .iter()
        .flat_map(|health| &health.issues)
        .filter_map(|issue| {
            let code = clean(issue.code.as_deref()?);
            let of = if issue.resource_ids.is_empty() {
                String::new()
            } else {
                format!(" ({})", words::listed(issue.resource_ids.iter()))
            };
            Some(format!("{code}{of}"))
        })
        .collect();
    if works && issues.is_empty() {
        return None;
    }
    let reached = view.observed == Reachability::Reachable;
    if reached && works {
        return None;
    }
    let confidence = if works { Confidence::Possible } else { Confidence::Likely };
    let mut told =
        Told::new(confidence, format!("the configuration says: the status of the cluster is {}", clean(status)));
    if !issues.is_empty() {
        told = told.and(format!(
            "EKS lists {}: {}",
            words::counted(issues.len(), "health issue", "health issues"),
            words::listed(&issues)
        ));
    }
    if silence_counts(view) && view.observed == Reachability::Unreachable {
        told = told
            .and(format!("{} is unreachable from here, and how it fails may follow from that", clean(view.cluster)));
    }
    let (region, name) = words::region_and_name(&sight.configuration());
    Some(told.setting(format!("cluster.status = {}", clean(status))).fix(format!(
        "aws eks describe-cluster --region {region} --name {name} --query 'cluster.[status,health]'   # then repair the resource that is named"
    )))
}

/// The command that lets these addresses in; `None` where the list does not decide.
pub(in crate::causes) fn admit(view: &CellView<'_>, addresses: &[IpNet]) -> Option<String> {
    let sight = Sight::of(view)?;
    (!sight.entries().is_empty()).then(|| sight.admit(addresses))
}

/// `inconclusive-egress-address-unknown`.
pub(in crate::causes) fn egress_not_known(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    list(&sight).egress_not_known(view, &sight.configured, &sight.prediction.public, &sight.public()?)
}

/// The entry or rule of the configuration that lets this cell's client in; `None` where the configuration does not say.
pub(in crate::causes) fn what_lets_in(view: &CellView<'_>) -> Option<LetsIn> {
    let sight = Sight::of(view)?;
    let list = list(&sight);
    let private = sight.config()?.endpoint_private_access == Some(true);
    let setting = format!("resourcesVpcConfig.publicAccessCidrs = {}", words::listed(&list.entries));
    let close = || {
        if private {
            format!(
                "# Nothing else is on the list, and an empty list lets everybody in: name the real sources, or turn public access off:\n{}",
                sight.set_mode(Some(false), Some(true))
            )
        } else {
            format!(
                "# Nothing else is on the list, and an empty list lets everybody in: name the real sources instead:\n{}",
                sight.replace_list(&["<real source>/32".to_owned()])
            )
        }
    };
    if view.via.or(sight.prediction.via) == Some(Via::Private) {
        let path = sight.prediction.private.iter().find(|path| path.trace.blockers().next().is_none())?;
        let rule = path.trace.forward.iter().rev().find(|hop| hop.kind == HopKind::SecurityGroup)?;
        return Some(LetsIn {
            rule: format!("what lets it in: {} ({})", clean(&rule.rule), clean(&rule.component)),
            setting: format!("the ingress rules of {}", clean(&rule.component)),
            fix: format!(
                "# Narrow or revoke the rule that the evidence names; whom else it serves:\naws ec2 describe-security-group-rules --region {} --filters {}",
                sight.region(),
                shell(&format!("Name=group-id,Values={}", rule.component.replace(", ", ",")))
            ),
        });
    }
    match &sight.prediction.public {
        PublicPath::Open => Some(LetsIn { rule: list.lets_everybody_in(), setting, fix: close() }),
        PublicPath::Listed { egress, entry } => {
            let (dropped, rest) = list.parted_by(*egress);
            let also = if dropped.iter().all(|text| *text == single(*egress)) {
                String::new()
            } else {
                format!("# This also shuts out everybody else in {}.\n", words::listed(&dropped))
            };
            Some(LetsIn {
                rule: list.lets_in(*egress, entry),
                setting,
                fix: if rest.is_empty() {
                    close()
                } else {
                    format!(
                        "{also}# The call replaces the list: the other entries stay in it.\n{}",
                        sight.replace_list(&rest)
                    )
                },
            })
        }
        _ => None,
    }
}

fn list(sight: &Sight<'_>) -> PublicList {
    PublicList { setting: "publicAccessCidrs", provider: "EKS", network: "VPC", entries: sight.entries() }
}

/// The entries of a list that is to let this vantage in; a placeholder where its public address is not known.
fn own_entries(sight: &Sight<'_>) -> Vec<String> {
    let own = sight.own_public();
    if own.is_empty() {
        return vec!["<egress address>/32".to_owned()];
    }
    own.iter().map(|address| single(*address)).collect()
}

#[cfg(test)]
mod tests {
    use kubereach_probes::TcpOutcome;
    use serde_json::json;

    use crate::{
        causes::{testing::*, testing_facts::*},
        report::{Confidence, Intended, Severity, Verdict, Via},
    };

    const NOT_LISTED: &str = "eks-client-not-in-public-access-cidrs";

    fn public(attempts: Vec<kubereach_probes::Attempt>) -> Scene {
        Scene::new().saw(vec![answer("system", &["198.51.100.20"])], attempts)
    }

    fn config(value: &serde_json::Value) -> serde_json::Value {
        json!({ "eks/describe-cluster.json": { "cluster": { "resourcesVpcConfig": value } } })
    }

    #[test]
    fn silence_and_a_list_without_the_client_are_certain() {
        let case = Case::new(json!({})).from("192.0.2.7");
        let scene = public(vec![silent("198.51.100.20")]);
        assert_eq!(case.errors(&scene), [NOT_LISTED]);
        let finding = case.finding(&scene, NOT_LISTED).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        let said = finding.evidence.join("\n");
        assert!(said.contains("1 of 1 address did not answer (tcp timeout, 3.0 s)"), "{said}");
        assert!(said.contains("publicAccessCidrs = 203.0.113.0/24 (1 entry) does not contain 192.0.2.7"), "{said}");
        let fix = finding.fix.unwrap();
        assert!(fix.contains("--region eu-west-1 --name prod"), "{fix}");
        assert!(fix.contains(r#""publicAccessCidrs":["203.0.113.0/24","192.0.2.7/32"]"#), "{fix}");
        assert!(fix.contains(r#""endpointPrivateAccess":true,"endpointPublicAccess":true"#), "{fix}");
    }

    #[test]
    fn whoever_answers_is_not_dropped_by_the_list() {
        let case = Case::new(json!({})).from("192.0.2.7");
        for outcome in [TcpOutcome::Refused, TcpOutcome::Prohibited, TcpOutcome::Unreachable] {
            let codes = case.errors(&public(vec![attempt("198.51.100.20", outcome, 20.0)]));
            assert!(!codes.contains(&NOT_LISTED.to_owned()), "{outcome:?} {codes:?}");
        }
        // What answers although the list does not hold it is not explained, and both are said.
        let reached = public(vec![reached("198.51.100.20")]);
        assert_eq!(case.errors(&reached), ["unexplained"]);
        let said = case.finding(&reached, "unexplained").unwrap().evidence.join("\n");
        assert!(said.contains("The configuration says unreachable: 192.0.2.7 is in no entry"), "{said}");
    }

    #[test]
    fn a_listed_client_is_not_blamed_on_the_list() {
        let case = Case::new(json!({})).from("203.0.113.7");
        let scene = public(vec![silent("198.51.100.20")]);
        assert_eq!(case.errors(&scene), ["net-filtered-silently"]);
        let finding = case.finding(&scene, "net-filtered-silently").unwrap();
        assert_eq!(finding.confidence, Confidence::Possible);
        let said = finding.evidence.join("\n");
        assert!(
            said.contains("Yet the configuration lets it in: reachable: the public endpoint lets 203.0.113.7 in"),
            "{said}"
        );
        assert!(!said.contains(NOT_LISTED), "{said}");
    }

    #[test]
    fn the_configuration_alone_is_likely_at_most() {
        let finding = Case::new(json!({})).from("192.0.2.7").finding(&unprobed(), NOT_LISTED).unwrap();
        assert_eq!((finding.severity, finding.confidence), (Severity::Error, Confidence::Likely));
        let said = finding.evidence.join("\n");
        assert!(said.contains("the configuration says: publicAccessCidrs"), "{said}");
        assert!(!said.contains("did not answer") && !said.contains("Seen from"), "{said}");
        // Met as intended: what blocks it is good to know.
        let met = unprobed().with(|scene| {
            scene.intended = Intended::Unreachable;
            scene.verdict = Verdict::Match;
        });
        assert_eq!(Case::new(json!({})).from("192.0.2.7").finding(&met, NOT_LISTED).unwrap().severity, Severity::Info);
    }

    #[test]
    fn public_access_that_is_off_is_an_error_where_it_is_meant() {
        let off = || Case::new(config(&json!({ "endpointPublicAccess": false }))).from("192.0.2.7");
        let private = Scene::new().saw(vec![answer("system", &["10.20.1.10"])], vec![silent("10.20.1.10")]);
        assert_eq!(off().errors(&private), ["eks-public-access-disabled"]);
        let finding = off().finding(&private, "eks-public-access-disabled").unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.fix.unwrap().contains(r#""publicAccessCidrs":["192.0.2.7/32"]"#));
        // Inside the VPC the private path is all that is wanted.
        let inside = Case::new(config(&json!({ "endpointPublicAccess": false }))).at("i-node");
        assert!(inside.finding(&private, "eks-public-access-disabled").is_none());
        // On: silent.
        assert!(Case::new(json!({})).from("192.0.2.7").finding(&private, "eks-public-access-disabled").is_none());
    }

    #[test]
    fn private_access_that_is_off_explains_public_addresses() {
        let off = || Case::new(config(&json!({ "endpointPrivateAccess": false }))).from("203.0.113.7");
        let scene = |via| {
            public(vec![reached("198.51.100.20")]).with(|scene| {
                scene.intended_via = Some(via);
                scene.via = Some(Via::Public);
            })
        };
        let errors = off().errors(&scene(Via::Private));
        assert!(errors.contains(&"eks-private-access-disabled".to_owned()), "{errors:?}");
        assert!(off().finding(&scene(Via::Public), "eks-private-access-disabled").is_none());
        let on = Case::new(json!({})).from("203.0.113.7");
        assert!(on.finding(&scene(Via::Private), "eks-private-access-disabled").is_none());
        let fix = off().finding(&scene(Via::Private), "eks-private-access-disabled").unwrap().fix.unwrap();
        assert!(
            fix.contains(
                r#""endpointPrivateAccess":true,"endpointPublicAccess":true,"publicAccessCidrs":["203.0.113.0/24"]"#
            ),
            "{fix}"
        );
    }

    #[test]
    fn an_old_private_cluster_is_unknown_to_public_dns() {
        use kubereach_probes::DnsOutcome;
        let case = || Case::new(config(&json!({ "endpointPublicAccess": false }))).from("192.0.2.7");
        let code = "eks-public-dns-not-switched-to-private";
        let denied = |label| no_answer(label, DnsOutcome::Nxdomain);
        let scene = Scene::new().saw(vec![denied("system"), denied("public"), answer("vpc", &["10.20.1.10"])], vec![]);
        assert_eq!(case().finding(&scene, code).unwrap().confidence, Confidence::Certain);
        assert!(!case().errors(&scene).contains(&"dns-name-does-not-exist".to_owned()));
        let without = Scene::new().saw(vec![denied("system"), denied("public")], vec![]);
        assert_eq!(case().finding(&without, code).unwrap().confidence, Confidence::Likely);
        let known = Scene::new().saw(vec![denied("system"), answer("public", &["10.20.1.10"])], vec![]);
        assert!(case().finding(&known, code).is_none());
    }

    #[test]
    fn a_cluster_that_is_not_active_is_told() {
        let case =
            |cluster| Case::new(json!({ "eks/describe-cluster.json": { "cluster": cluster } })).from("192.0.2.7");
        let scene = public(vec![attempt("198.51.100.20", TcpOutcome::Refused, 20.0)]);
        let code = "eks-cluster-not-healthy";
        assert_eq!(case(json!({ "status": "FAILED" })).finding(&scene, code).unwrap().confidence, Confidence::Likely);
        let issues = json!({ "health": { "issues": [{ "code": "VpcNotFound", "resourceIds": ["vpc-a"] }] } });
        let said = case(issues).finding(&scene, code).unwrap().evidence.join("\n");
        assert!(said.contains("VpcNotFound (vpc-a)"), "{said}");
        assert!(case(json!({ "status": "UPDATING" })).finding(&scene, code).is_none());
    }

    #[test]
    fn an_open_door_is_named_with_its_entry() {
        let met = |scene: &mut Scene| {
            scene.intended = Intended::Unreachable;
            scene.via = Some(Via::Public);
        };
        let code = "net-reachable-though-not-intended";
        let list = config(&json!({ "publicAccessCidrs": ["203.0.113.0/24", "192.0.2.7/32"] }));
        let case = Case::new(list).from("192.0.2.7");
        let reached = public(vec![reached("198.51.100.20")]).with(met);
        let finding = case.finding(&reached, code).unwrap();
        let said = finding.evidence.join("\n");
        assert!(said.contains("192.0.2.7 is in the entry 192.0.2.7/32 of publicAccessCidrs"), "{said}");
        let fix = finding.fix.unwrap();
        assert!(fix.contains(r#""publicAccessCidrs":["203.0.113.0/24"]"#) && !fix.contains("192.0.2.7"), "{fix}");
        // Nothing would be left: an empty list opens.
        let only = Case::new(json!({})).from("203.0.113.7").finding(&reached, code).unwrap().fix.unwrap();
        assert!(only.contains(r#""endpointPublicAccess":false"#) && !only.contains("[]"), "{only}");
        // Silent today, open by configuration.
        let silent = public(vec![silent("198.51.100.20")]).with(met);
        assert_eq!(case.errors(&silent), [code]);
        // Closed by configuration, and yet it answers.
        let closed = Case::new(json!({})).from("192.0.2.7").finding(&reached, code).unwrap().evidence.join("\n");
        assert!(closed.contains("The configuration does not explain it"), "{closed}");
    }

    #[test]
    fn an_egress_address_that_nobody_knows_is_asked_for() {
        let case = Case::new(json!({}));
        let code = "inconclusive-egress-address-unknown";
        let scene = unprobed().with(|scene| scene.verdict = Verdict::Inconclusive);
        assert_eq!(case.finding(&scene, code).unwrap().severity, Severity::Error);
        assert!(case.finding(&public(vec![reached("198.51.100.20")]), code).is_none());
        let open = Case::new(config(&json!({ "publicAccessCidrs": ["0.0.0.0/0"] })));
        assert!(open.finding(&scene, code).is_none());
    }
}
