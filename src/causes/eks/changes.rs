//! Causes of what changes: an update under way, a new range, another cluster under the same name, facts that are missing.

use std::net::IpAddr;

use super::{
    paths,
    sight::{Lost, Shown, Sight, shown},
};
use crate::{
    causes::{
        CellView, Told,
        configuration::words,
        evidence::{self, clean, shell},
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
    let mut told = Told::new(
        Confidence::Certain,
        format!("not known: {} (it stands in {})", clean(&first.what), clean(&first.file)),
    );
    for other in missing.iter().skip(1).take(MOST_MISSING - 1) {
        told = told.and(format!("not known: {} (it stands in {})", clean(&other.what), clean(&other.file)));
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
    let (region, name) = words::region_and_name(&super::sight::configuration(view, &configured));
    Some(told.setting(format!("the facts in {}", clean(&configured.facts.origin.display().to_string()))).fix(format!(
        "kubereach facts pull eks --name {name} --region {region} --out {}   # with {}",
        shell(&configured.facts.origin.display().to_string()),
        if actions.is_empty() { "the permission that is named".to_owned() } else { actions.join(", ") }
    )))
}

fn own_addresses(sight: &Sight<'_>) -> Vec<IpAddr> {
    let standpoint = sight.configured.standpoint;
    let mut own = standpoint.own.clone();
    let instance = standpoint.instance.as_deref().and_then(|id| sight.configured.network.instance(id));
    own.extend(instance.and_then(|instance| instance.private_ip_address));
    own
}

const MOST_MISSING: usize = 6;
