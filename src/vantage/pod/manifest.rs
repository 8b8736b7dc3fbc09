//! The Job that runs the agent once. Pure.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::api::batch::v1::Job;
use kubereach_agent::{Order, pack_order};
use serde_json::{Map, Value, json};

use crate::scenario::PodPlace;

/// A Job whose pod is as poor as a pod can be: no token, no root, no writable file system, no capability; it carries
/// out this order and may reach no other target.
pub(super) fn job(name: &str, place: &PodPlace, order: &Order, active_deadline: Duration) -> Job {
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
            "args": arguments(order),
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

/// The agent's own limits: this target and what else the scenario names, nothing beyond.
pub(super) fn arguments(order: &Order) -> Vec<String> {
    let probe = &order.probe;
    let mut arguments = vec!["--once".to_owned(), "--reply-limit".to_owned(), LONGEST_REPLY.to_string()];
    let mut allow = |option: &str, value: String| {
        let pair = [format!("--allow-{option}"), value];
        if !arguments.windows(2).any(|known| *known == pair) {
            arguments.extend(pair);
        }
    };
    let endpoints = probe.controls.iter().map(|control| (&control.host, control.port));
    let echo = probe.echo.iter().map(|echo| (&echo.host, echo.port));
    for (host, port) in std::iter::once((&probe.host, probe.port)).chain(endpoints).chain(echo) {
        allow("host", host.clone());
        allow("port", port.to_string());
    }
    let resolvers = probe.resolvers.iter().flat_map(|resolver| &resolver.servers);
    for server in resolvers.chain(probe.system_resolver.iter().flatten()) {
        allow("resolver", server.to_string());
    }
    // An address of the pod itself is reached only where it is named; then every range has to be.
    if probe.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        for range in ["127.0.0.0/8", "::1/128", "0.0.0.0/0", "::/0"] {
            allow("cidr", range.to_owned());
        }
    }
    arguments
}

/// The user `nobody` of most images; a static binary needs no entry for it.
const NOBODY: i64 = 65_534;
/// A Job that nobody deletes is removed this long after its end.
const KEPT_SECONDS: i32 = 60;
/// Well below what a log may hold.
const LONGEST_REPLY: usize = 512 * 1024;
