//! Causes of what changes: an update under way, a new range, another cluster under the same name, facts that are missing.

use std::net::IpAddr;

use super::{
    paths::{self, MissingFact},
    sight::{Lost, Shown, Sight, shown},
};
use crate::{
    causes::{
        CellView, Told, aks,
        configuration::words,
        evidence::{self, clean, clean_ends, shell},
        lookups::{self, moment_words},
    },
    report::{Confidence, Reachability, Verdict},
};

/// `propagation-eks-update-in-progress`.
pub(in crate::causes) fn update_in_progress(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let update = sight.configured.update?;
    if view.verdict == Verdict::Match {
        return None;
    }
    let kind = update.kind.as_deref().map_or_else(|| "an update".to_owned(), |kind| format!("the {}", clean(kind)));
    let id = update.id.as_deref().map(|id| format!(" {}", clean(id))).unwrap_or_default();
    let began = update.began.map(|began| format!(", begun at {}", moment_words(began))).unwrap_or_default();
    let told = match update.ended {
        None => Told::new(Confidence::Likely, format!("{kind}{id} of the cluster is InProgress{began}"))
            .and("what is seen may belong to the state before it, and handshakes may time out meanwhile")
            .and("its window ends one DNS time to live (60 s) after it is Successful"),
        Some(ended) => {
            Told::new(Confidence::Likely, format!("{kind}{id} of the cluster ended at {}{began}", moment_words(ended)))
                .and("resolvers may keep the old answer for one DNS time to live (60 s) after that")
        }
    };
    let told = match view.configuration_says() {
        Some(says) if view.is_contradicted() => {
            told.and(format!("the configuration, as it is becoming, says {says}; observed: {}", view.observed.label()))
        }
        _ => told,
    };
    let told = if update.followed || update.ended.is_some() {
        told
    } else {
        told.and("from facts on disk its end cannot be seen: read them again when it is over")
    };
    let (region, name) = words::region_and_name(&sight.configuration());
    let id = update.id.as_deref().map_or_else(|| "<id>".to_owned(), shell);
    Some(told.setting("update.status").fix(format!(
        "aws eks describe-update --region {region} --name {name} --update-id {id} --query update.status   # until Successful"
    )))
}

/// `propagation-eks-vpc-cidr`.
///
/// The provider tells no time of an association, only that one is still being made; a range that was associated some
/// hours ago cannot be told from an old one.
pub(in crate::causes) fn new_vpc_range(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let own = own_addresses(&sight);
    let vpcs = sight.configured.facts.network.vpcs.iter().flatten();
    let (vpc, range) = vpcs
        .flat_map(|vpc| vpc.cidr_block_association_set.iter().map(move |association| (vpc, association)))
        .filter(|(_, association)| {
            let state = association.cidr_block_state.as_ref().and_then(|state| state.state.as_deref());
            state.is_some_and(|state| state.eq_ignore_ascii_case("associating"))
        })
        .find_map(|(vpc, association)| {
            let range = association.cidr_block.as_ref()?;
            own.iter().any(|address| range.net.contains(address)).then_some((vpc, range))
        })?;
    let attempts = evidence::direct(view);
    if !matches!(shown(view, &attempts, Lost::Dropped), Shown::Silence(_)) {
        return None;
    }
    Some(
        Told::new(
            Confidence::Possible,
            format!(
                "{} of {} is still being associated, and {} is in it",
                clean(&range.text),
                clean(&vpc.vpc_id),
                clean(view.vantage)
            ),
        )
        .and("EKS takes up to 5 hours to take a new range of the VPC into account")
        .and("rivals: every other cause of silence; what decides: the same probe from an older range of the VPC")
        .fix(words::ec2(
            &sight.configuration(),
            &format!(
                "describe-vpcs --vpc-ids {} --query 'Vpcs[].CidrBlockAssociationSet'   # then wait, at most 5 hours",
                shell(&vpc.vpc_id)
            ),
        )),
    )
}

/// `client-kubeconfig-server-not-this-cluster`.
pub(in crate::causes) fn server_not_this_cluster(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let endpoint = sight.cluster.endpoint.as_deref()?;
    let host = endpoint.split("://").last()?.split(['/', ':']).next()?.trim_end_matches('.');
    let own = view.host.trim_end_matches('.');
    let is_address = own.parse::<IpAddr>().is_ok();
    // Whoever goes by an address or an alias and gets a certificate that verifies is where he means to be.
    if host.is_empty() || own.is_empty() || own.eq_ignore_ascii_case(host) || is_address {
        return None;
    }
    if lookups::deciding(view).any(|attempt| attempt.tls.outcome == kubereach_probes::TlsOutcome::Verified) {
        return None;
    }
    // Another name of the provider's can only be another cluster's; a name of one's own may be an alias.
    let foreign = own.to_ascii_lowercase().ends_with(".eks.amazonaws.com");
    let unlike = view.observed == Reachability::Unreachable;
    let confidence = match (foreign, unlike) {
        (true, true) => Confidence::Certain,
        (true, false) => Confidence::Likely,
        (false, _) => Confidence::Possible,
    };
    let told = Told::new(
        confidence,
        format!("{} is asked for, and the endpoint of {} is {}", clean(own), clean(&sight.cluster.name), clean(host)),
    )
    .and(if foreign {
        "that name belongs to another cluster, or to one that was deleted"
    } else {
        "rival: an alias or a proxy of one's own in front of the endpoint"
    });
    let (region, name) = words::region_and_name(&sight.configuration());
    Some(
        told.setting(format!("server = https://{}:{}", clean(own), view.port))
            .fix(format!("aws eks update-kubeconfig --region {region} --name {name}")),
    )
}

/// `inconclusive-facts-missing`, where there are facts and something is not in them.
pub(in crate::causes) fn not_in_the_facts(view: &CellView<'_>) -> Option<Told> {
    if view.configured != Reachability::Unknown || view.observed != Reachability::Unknown {
        return None;
    }
    let configured = view.configuration?;
    let missing = paths::missing(view);
    let first = missing.first()?;
    let mut told = Told::new(Confidence::Certain, not_known(first));
    for other in missing.iter().skip(1).take(MOST_MISSING - 1) {
        told = told.and(not_known(other));
    }
    let mut actions: Vec<&str> = missing.iter().filter_map(|one| one.action.as_deref()).collect();
    actions.sort_unstable();
    actions.dedup();
    for action in &actions {
        told = match configured.facts.denied(action) {
            Some(message) => told.and(format!("{action} was denied: {}", clean(message))),
            None => told.and(format!("the permission that reads it: {action}")),
        };
    }
    if let (Some(instance), true) = (configured.standpoint.instance.as_deref(), actions.is_empty() && !is_file(first)) {
        // No pull brings a machine that is not there.
        return Some(told.setting(format!("vantages.{}.model.instance = {}", clean(view.vantage), clean(instance))).fix(
            "# Name a machine, interface or subnet of the facts in the scenario; if it is new, pull the facts again.",
        ));
    }
    let pull = if configured.facts.managed_cluster.is_some() {
        let (group, name) = aks::commands::group_and_name(configured.facts);
        format!("aks --resource-group {group} --name {name}")
    } else {
        let (region, name) = words::region_and_name(&super::sight::configuration(view, &configured));
        format!("eks --name {name} --region {region}")
    };
    Some(told.setting(format!("the facts in {}", clean(&configured.facts.origin.display().to_string()))).fix(format!(
        "kubereach facts pull {pull} --out {}   # with {}",
        shell(&configured.facts.origin.display().to_string()),
        if actions.is_empty() { "the permission that is named".to_owned() } else { actions.join(", ") }
    )))
}

/// What is not known, and what would tell, as a clause.
fn not_known(missing: &MissingFact) -> String {
    let tells = if is_file(missing) { "it stands in" } else { "what tells:" };
    format!("not known: {} ({tells} {})", clean_ends(&missing.what), clean(&missing.file))
}

/// Whether a file of the facts would tell, and not the scenario, a probe or time.
fn is_file(missing: &MissingFact) -> bool {
    missing.file.contains(".json")
}

fn own_addresses(sight: &Sight<'_>) -> Vec<IpAddr> {
    let standpoint = sight.configured.standpoint;
    let mut own = standpoint.own.clone();
    let instance = standpoint.instance.as_deref().and_then(|id| sight.configured.network.instance(id));
    own.extend(instance.and_then(|instance| instance.private_ip_address));
    own
}

const MOST_MISSING: usize = 6;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        causes::{Update, testing::*, testing_facts::*},
        report::{Confidence, Verdict},
    };

    #[test]
    fn an_update_under_way_excuses_a_contradiction() {
        let update = Update {
            id: Some("u-1".into()),
            kind: Some("EndpointAccessUpdate".into()),
            began: Some(now()),
            ended: None,
            followed: true,
        };
        let case = Case::new(json!({})).from("203.0.113.7").updating(update);
        let scene = Scene::new()
            .saw(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")])
            .changed(10)
            .with(|scene| scene.verdict = Verdict::Propagating);
        assert_eq!(case.errors(&scene), ["propagation-eks-update-in-progress", "net-filtered-silently"]);
        let finding = case.finding(&scene, "propagation-eks-update-in-progress").unwrap();
        assert!(finding.evidence.join("\n").contains("InProgress"));
        assert!(finding.fix.unwrap().contains("--region eu-west-1 --name prod --update-id u-1"));
        let matched = scene.with(|scene| scene.verdict = Verdict::Match);
        assert!(case.finding(&matched, "propagation-eks-update-in-progress").is_none());
    }

    #[test]
    fn a_range_that_is_still_being_associated_is_possible() {
        let vpcs = |state: &str| {
            json!({ "ec2/describe-vpcs.json": { "Vpcs": [{
                "VpcId": "vpc-a", "CidrBlock": "10.20.0.0/16", "DhcpOptionsId": "dopt-1",
                "CidrBlockAssociationSet": [{ "CidrBlock": "10.20.8.0/24", "CidrBlockState": { "State": state } }],
            }] } })
        };
        let scene = Scene::new().saw(vec![answer("system", &["10.20.1.10"])], vec![silent("10.20.1.10")]);
        let code = "propagation-eks-vpc-cidr";
        let finding = Case::new(vpcs("associating")).at("i-node").finding(&scene, code).unwrap();
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(Case::new(vpcs("associated")).at("i-node").finding(&scene, code).is_none());
    }

    #[test]
    fn another_clusters_name_is_not_this_one() {
        let code = "client-kubeconfig-server-not-this-cluster";
        let scene = |host: &'static str| {
            Scene::new()
                .saw(vec![no_answer("system", kubereach_probes::DnsOutcome::Nxdomain)], vec![])
                .with(|scene| scene.host = host)
        };
        let case = Case::new(json!({})).from("203.0.113.7");
        let other = scene("fedc.gr7.eu-west-1.eks.amazonaws.com");
        assert_eq!(case.errors(&other), [code]);
        assert_eq!(case.finding(&other, code).unwrap().confidence, Confidence::Certain);
        assert_eq!(case.finding(&scene("k8s.corp.example"), code).unwrap().confidence, Confidence::Possible);
        assert!(case.finding(&scene("API.prod.example.com"), code).is_none());
    }
}
