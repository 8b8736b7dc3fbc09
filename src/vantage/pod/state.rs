//! What a Job and its pod say of their progress. Pure.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStatus, Pod},
};

use crate::redact::clean;

/// How far a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its pod has ended, well or not: the log tells.
    Ended {
        /// The pod's name.
        pod: String,
    },
    /// It will not run, and why.
    Never(String),
    /// Not yet; what it waits for.
    Waiting(String),
}

/// Reads the progress off the Job and its pod, where there is one.
pub(super) fn progress(job: &Job, pod: Option<&Pod>) -> Progress {
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    if let Some(pod) = pod
        && matches!(phase(pod).as_str(), "Succeeded" | "Failed")
        && !matches!(reason(pod), Some("Evicted" | "Preempting" | "DeadlineExceeded" | "NodeLost" | "Shutdown"))
    {
        return Progress::Ended { pod: pod.metadata.name.clone().unwrap_or_default() };
    }
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if let Some(failed) = conditions.into_iter().find(|one| one.type_ == "Failed" && one.status == "True") {
        return Progress::Never(words(failed.reason.as_deref(), failed.message.as_deref()));
    }
    let Some(pod) = pod else { return Progress::Waiting("no pod was made for it".to_owned()) };
    if phase(pod) == "Failed" {
        let message = pod.status.as_ref().and_then(|status| status.message.as_deref());
        return Progress::Never(words(reason(pod), message));
    }
    if let Some((reason, message)) = containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some((waiting.reason.clone()?, waiting.message.clone()))
    }) {
        let text = words(Some(&reason), message.as_deref());
        return if HOPELESS.contains(&reason.as_str()) { Progress::Never(text) } else { Progress::Waiting(text) };
    }
    let unscheduled = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unscheduled = unscheduled.into_iter().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    Progress::Waiting(match unscheduled {
        Some(condition) => words(condition.reason.as_deref(), condition.message.as_deref()),
        None => format!("it is {}", phase(pod).to_lowercase()),
    })
}

fn reason(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.reason.as_deref()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

fn words(reason: Option<&str>, message: Option<&str>) -> String {
    let text = [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    if text.is_empty() { "no reason is given".to_owned() } else { clean(&text) }
}

/// What a container does not recover from within the time of a probe.
const HOPELESS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(job: &Value, pod: Option<Value>) -> Progress {
        let pod: Option<Pod> =
            pod.map(|status| serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap());
        let job: Job = serde_json::from_value(json!({ "metadata": {}, "status": job })).unwrap();
        progress(&job, pod.as_ref())
    }

    #[test]
    fn a_pod_that_cannot_run_is_told_from_one_that_does_not_run_yet() {
        let none = || json!({});
        let waiting = |reason: &str| {
            json!({ "phase": "Pending", "containerStatuses": [{
                "name": "agent", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": reason, "message": "why" } },
            }] })
        };
        let ended = Progress::Ended { pod: "p".to_owned() };
        assert_eq!(of(&none(), Some(json!({ "phase": "Succeeded" }))), ended);
        assert_eq!(of(&none(), Some(json!({ "phase": "Failed" }))), ended, "its log tells why");
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "disk" });
        assert_eq!(of(&none(), Some(evicted)), Progress::Never("Evicted: disk".to_owned()));
        assert_eq!(of(&none(), Some(waiting("ErrImagePull"))), Progress::Never("ErrImagePull: why".to_owned()));
        let painted = json!({ "phase": "Failed", "reason": "Evicted", "message": "\u{1b}[31mdisk\n\u{7}" });
        assert_eq!(of(&none(), Some(painted)), Progress::Never("Evicted:  [31mdisk".to_owned()));
        assert_eq!(
            of(&none(), Some(waiting("ContainerCreating"))),
            Progress::Waiting("ContainerCreating: why".to_owned())
        );
        let unscheduled = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" },
        ] });
        assert_eq!(of(&none(), Some(unscheduled)), Progress::Waiting("Unschedulable: 0/3 nodes".to_owned()));
        let failed = json!({ "conditions": [
            { "type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long" },
        ] });
        assert_eq!(of(&failed, None), Progress::Never("DeadlineExceeded: too long".to_owned()));
        assert_eq!(of(&failed, Some(json!({ "phase": "Succeeded" }))), ended, "what it wrote stands");
        assert_eq!(of(&none(), None), Progress::Waiting("no pod was made for it".to_owned()));
    }
}
