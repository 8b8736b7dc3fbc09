//! Changes of a cluster's configuration that its facts tell of: under way, or so young that they may not be everywhere yet.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    causes::Update,
    facts::{
        self, Facts,
        aks::ManagedCluster,
        azure::{ActivityEvent, ArmId},
    },
};

/// The change that is under way. `followed`: its state is asked for again and again, otherwise its end cannot be seen.
pub(super) fn under_way(facts: &Facts, followed: bool) -> Option<Update> {
    if let Some(cluster) = &facts.managed_cluster {
        return write_under_way(facts, cluster, followed);
    }
    let newest = newest_update(facts).filter(|newest| is(newest.status.as_deref(), "InProgress"));
    if let Some(newest) = newest {
        return Some(Update {
            id: newest.id.clone(),
            kind: newest.kind.clone(),
            began: newest.created_at,
            ended: None,
            followed,
        });
    }
    let updating = facts.cluster.as_ref().is_some_and(|cluster| is(cluster.status.as_deref(), "UPDATING"));
    // Other kinds of updates (a new version) replace the control plane's interfaces as well.
    updating.then_some(Update { id: None, kind: None, began: None, ended: None, followed })
}

/// The change that is over, and may not have arrived everywhere. `live`: the facts were read just now.
pub(super) fn just_over(facts: &Facts, live: bool, now: Timestamp) -> Option<Update> {
    match &facts.managed_cluster {
        Some(cluster) => write_just_over(facts, cluster, now),
        None if live => update_just_over(facts, now),
        None => None,
    }
}

/// EKS: an update of the endpoint that has ended so recently that names may still be cached.
fn update_just_over(facts: &Facts, now: Timestamp) -> Option<Update> {
    let newest = newest_update(facts)?;
    let began = newest.created_at?;
    let recent = age(began, now).is_some_and(|age| age < RECENT);
    (recent && is(newest.status.as_deref(), "Successful")).then(|| Update {
        id: newest.id.clone(),
        kind: newest.kind.clone(),
        began: Some(began),
        ended: Some(now),
        followed: true,
    })
}

/// EKS: the newest update that concerns who can reach the endpoint.
fn newest_update(facts: &Facts) -> Option<&facts::eks::Update> {
    facts.updates.iter().find(|update| update.kind.as_deref().is_some_and(|kind| ENDPOINT_UPDATES.contains(&kind)))
}

/// AKS: the cluster is being written.
fn write_under_way(facts: &Facts, cluster: &ManagedCluster, followed: bool) -> Option<Update> {
    let state = cluster.provisioning_state.as_deref();
    let newest = newest_write(facts, &cluster.id);
    let open = |event: &ActivityEvent| ["Started", "Accepted"].iter().any(|word| is(Some(&event.status.value), word));
    // The log lags behind; what the cluster says of itself counts.
    let writing = match state {
        Some(state) => is(Some(state), "Updating"),
        None => newest.is_some_and(open),
    };
    writing.then(|| Update {
        id: None,
        kind: Some(WRITE.to_owned()),
        began: newest.filter(|event| open(event)).and_then(|event| event.event_timestamp),
        ended: None,
        followed,
    })
}

/// AKS: a write that the activity log knows, or that an earlier snapshot of the ranges shows, not older than ranges take
/// to arrive.
fn write_just_over(facts: &Facts, cluster: &ManagedCluster, now: Timestamp) -> Option<Update> {
    let logged = newest_write(facts, &cluster.id)
        .filter(|event| !is(Some(&event.status.value), "Failed"))
        .and_then(|event| event.event_timestamp);
    let other =
        |earlier: &ManagedCluster| earlier.access().authorized_ip_ranges != cluster.access().authorized_ip_ranges;
    let snapshot =
        facts.earlier.as_ref().filter(|earlier| other(earlier)).and_then(|_| facts.manifest.as_ref()?.created_at);
    // A clock that is a little ahead of ours makes no change of tomorrow.
    let at = logged.max(snapshot)?.min(now);
    let young = age(at, now).is_some_and(|age| age < AKS_WINDOW);
    young.then(|| Update { id: None, kind: Some(WRITE.to_owned()), began: Some(at), ended: Some(at), followed: true })
}

/// The newest event of a write of the cluster itself.
fn newest_write<'a>(facts: &'a Facts, cluster: &ArmId) -> Option<&'a ActivityEvent> {
    let of_it = |event: &&ActivityEvent| {
        is(Some(&event.operation_name.value), WRITE)
            && (event.resource_id.is_empty() || cluster.is_empty() || event.resource_id == *cluster)
    };
    facts.activity.iter().flatten().filter(of_it).max_by_key(|event| event.event_timestamp)
}

fn age(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(at)).ok()
}

fn is(state: Option<&str>, word: &str) -> bool {
    state.is_some_and(|state| state.eq_ignore_ascii_case(word))
}

/// Documented: changes of the authorized ranges take up to two minutes
/// (<https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>).
pub(super) const AKS_WINDOW: Duration = Duration::from_mins(2);
/// How the activity log calls a change of a cluster.
const WRITE: &str = "Microsoft.ContainerService/managedClusters/write";
/// Kinds of EKS updates that change who can reach the endpoint, or where it is.
const ENDPOINT_UPDATES: [&str; 3] = ["EndpointAccessUpdate", "VpcConfigUpdate", "ControlPlaneEgressUpdate"];
/// An EKS update that began longer ago has left every cache.
const RECENT: Duration = Duration::from_mins(30);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    const CLUSTER: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn facts(state: &str, events: &[(&str, &str, &str)], earlier: Option<&str>) -> Facts {
        let show = |ranges: &str| {
            json!({
                "id": CLUSTER, "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters",
                "properties": { "provisioningState": state, "apiServerAccessProfile": { "authorizedIPRanges": [ranges] } },
            })
        };
        let log: Vec<Value> = events
            .iter()
            .map(|(at, operation, status)| {
                json!({
                    "resourceId": CLUSTER, "eventTimestamp": at, "operationName": { "value": operation },
                    "status": { "value": status },
                })
            })
            .collect();
        let mut documents = vec![
            ("aks/show.json", show("20.0.0.0/8")),
            ("aks/activity-log.json", json!({ "value": log })),
            ("manifest.json", json!({ "createdAt": "2026-03-01T11:59:00Z" })),
        ];
        if let Some(ranges) = earlier {
            documents.push(("aks/earlier-show.json", show(ranges)));
        }
        let documents =
            documents.into_iter().map(|(name, value)| (Path::new(name).to_owned(), value.to_string().into_bytes()));
        facts::from_documents(Path::new("facts"), documents).unwrap()
    }

    #[test]
    fn a_cluster_that_is_written_is_under_way_whatever_the_log_lags_behind() {
        let began = "2026-03-01T11:58:30Z";
        let writing = under_way(&facts("Updating", &[(began, WRITE, "Started")], None), true).unwrap();
        assert_eq!((writing.began, writing.ended), (Some(began.parse().unwrap()), None));
        assert_eq!(under_way(&facts("Updating", &[], None), true).unwrap().began, None);
        assert_eq!(under_way(&facts("Succeeded", &[(began, WRITE, "Started")], None), true), None);
    }

    #[test]
    fn the_newest_write_counts_for_two_minutes() {
        let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
        let over =
            |events: &[(&str, &str, &str)], earlier| just_over(&facts("Succeeded", events, earlier), false, now());
        let events = [
            ("2026-03-01T11:59:10Z", WRITE, "Started"),
            ("2026-03-01T11:59:40Z", "Microsoft.ContainerService/managedClusters/write", "Succeeded"),
            (
                "2026-03-01T11:59:50Z",
                "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
                "Succeeded",
            ),
        ];
        assert_eq!(over(&events, None).unwrap().began, at("2026-03-01T11:59:40Z"));
        assert_eq!(over(&[("2026-03-01T11:57:59Z", WRITE, "Succeeded")], None), None);
        assert_eq!(over(&[("2026-03-01T11:59:40Z", WRITE, "Failed")], None), None);
        // Two snapshots differ; the second is a minute old.
        assert_eq!(over(&[], Some("30.0.0.0/8")).unwrap().began, at("2026-03-01T11:59:00Z"));
        assert_eq!(over(&[], Some("20.0.0.0/8")), None);
        // A clock ahead of ours.
        assert_eq!(over(&[("2026-03-01T12:00:30Z", WRITE, "Succeeded")], None).unwrap().began, Some(now()));
    }
}
