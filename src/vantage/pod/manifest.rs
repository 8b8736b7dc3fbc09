//! The Job that runs the agent once. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kubereach_agent::{Order, pack_order};
use serde_json::{Map, Value, json};

use crate::scenario::PodPlace;

/// A Job whose pod is as poor as a pod can be: no token, no root, no writable file system, no capability; it carries
/// out this order and may reach no other target.
pub(super) fn job(
    name: &str,
    place: &PodPlace,
    order: &Order,
    leave: impl IntoIterator<Item = String>,
    active_deadline: Duration,
) -> Job {
    let labels = json!({ "app.kubernetes.io/name": "kubereach-agent", "app.kubernetes.io/managed-by": "kubereach" });
    let selector: Map<String, Value> =
        place.node_selector.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": "agent",
            "image": place.image,
            "args": arguments(order, leave),
            "env": [{ "name": "KUBEREACH_ORDER", "value": pack_order(order) }],
            "resources": {
                "requests": { "cpu": "10m", "memory": "32Mi" },
                "limits": { "memory": "128Mi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
        }],
    });
    if let Some(account) = &place.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if !selector.is_empty() {
        pod["nodeSelector"] = Value::Object(selector);
    }
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": active_deadline.as_secs(),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": { "metadata": { "labels": labels }, "spec": pod },
        },
    });
    // Every field above is one of the type; a test reads them back.
    serde_json::from_value(job).unwrap_or_default()
}

/// Once, with leave for what the order names, and nothing beyond.
fn arguments(order: &Order, leave: impl IntoIterator<Item = String>) -> Vec<String> {
    let host = format!("--allow-host={}", order.probe.host);
    let names = order.probe.controls.iter().map(|control| &control.host);
    let names = names.chain(order.probe.echo.iter().map(|echo| &echo.host));
    let mut arguments = vec!["--once".to_owned(), format!("--reply-limit={LONGEST_REPLY}"), host];
    arguments.extend(names.map(|host| format!("--allow-host={host}")));
    arguments.extend(leave);
    arguments
}

/// The user `nobody` of most images; a static binary needs no entry for it.
const NOBODY: i64 = 65_534;
/// A Job that nobody deletes is removed this long after its end.
const KEPT_SECONDS: i32 = 60;
/// Well below what a log may hold.
const LONGEST_REPLY: usize = 512 * 1024;
