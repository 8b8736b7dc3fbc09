//! Facts of an EKS cluster, live: the provider's answers as the documents of a facts folder.
//!
//! The only module that names the provider's SDK. What it gives is exactly what the provider's command line prints
//! (`aws … --output json`), whole, but for secrets, which are left out, and for the order of lists, which is made the
//! same in every pull.

mod actions;
mod calls;
mod shapes;
mod tidy;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use actions::Action;
use calls::{Call, Clients};
use serde_json::Value;

use super::{
    live::{UnderWay, now, refusals},
    manifest::Manifest,
    write::{Pulled, file_name_part},
};
use crate::{aws::CallError, input::InputError};

/// Which cluster's facts, and with whose credentials. What is not given comes from the environment and the profile, by
/// the provider's own rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EksRequest {
    /// The cluster's name.
    pub name: String,
    /// Its region.
    pub region: Option<String>,
    /// The profile of the shared configuration.
    pub profile: Option<String>,
    /// Any API that is compatible with the provider's, instead of the region's own endpoints.
    pub endpoint_url: Option<String>,
}

/// Why there are no facts at all. A single action that is denied or fails is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The name cannot be a cluster's.
    #[error("{0:?} is no name of an EKS cluster: 1 to 100 letters, digits, hyphens and underscores were expected")]
    Name(String),
    /// Neither given nor configured.
    #[error("no region is given or configured")]
    NoRegion,
    /// None found, in the order of the provider's chain.
    #[error("no AWS credentials: {0}")]
    NoCredentials(String),
    /// The provider does not accept them.
    #[error("the AWS credentials are not accepted: {0}")]
    Credentials(String),
    /// There is no such cluster.
    #[error("there is no EKS cluster {name:?} in {region}: {message}")]
    NotFound {
        /// The name asked for.
        name: String,
        /// The region asked.
        region: String,
        /// The provider's words.
        message: String,
    },
    /// No answer from the API.
    #[error("the AWS API of {region} cannot be reached: {message}")]
    Unreachable {
        /// The region asked.
        region: String,
        /// What happened.
        message: String,
    },
    /// Somebody answers, but not as the provider's API does: a portal, a proxy, a redirect.
    #[error("what answers at {endpoint} is no AWS API: {message}")]
    NotAws {
        /// Who was asked, without secrets.
        endpoint: String,
        /// What came.
        message: String,
    },
    /// The API could not describe the cluster, and did not say that it must not.
    #[error("the AWS API of {region} does not describe the cluster: {message}")]
    Failed {
        /// The region asked.
        region: String,
        /// The provider's words.
        message: String,
    },
    /// It took longer than ten minutes.
    #[error("the AWS API took longer than {} minutes", PULL_LIMIT.as_secs() / 60)]
    TooLong,
}

impl PullError {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Name(_) | Self::TooLong => return None,
            Self::NoRegion => "give --region, or set AWS_REGION".to_owned(),
            Self::NoCredentials(_) => {
                "log in (aws sso login), give --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; \
                 aws sts get-caller-identity shows who you are"
                    .to_owned()
            }
            Self::Credentials(_) => {
                "renew them (aws sso login) and compare this machine's clock; aws sts get-caller-identity tries them"
                    .to_owned()
            }
            Self::NotFound { region, .. } => format!("aws eks list-clusters --region {region} lists those there are"),
            Self::Failed { .. } => "try again later; status.aws.amazon.com tells of the provider's own faults".to_owned(),
            Self::NotAws { .. } => {
                "look at --endpoint-url, AWS_ENDPOINT_URL and the proxy settings, and whether this network wants a login"
                    .to_owned()
            }
            Self::Unreachable { .. } => {
                "look at the region's name, --endpoint-url, AWS_ENDPOINT_URL and the proxy settings".to_owned()
            }
        })
    }
}

impl From<PullError> for InputError {
    fn from(error: PullError) -> Self {
        Self { help: error.help(), ..Self::new(error.to_string()) }
    }
}

/// Reads the configuration of a cluster and of the region's whole network: a vantage may be in any VPC.
///
/// Calls that wait for nothing run at the same time, those that need another's answer as soon as it is there.
/// `progress` gets one line an action. Dropping the future ends every call.
pub async fn pull(request: &EksRequest, progress: impl Fn(String)) -> Result<Pulled, PullError> {
    pull_those(request, progress, |_| true).await
}

/// Reads the cluster and its updates only: what changes while an update is under way.
pub async fn pull_cluster(request: &EksRequest, progress: impl Fn(String)) -> Result<Pulled, PullError> {
    pull_those(request, progress, |action| action.service() == "eks").await
}

async fn pull_those(
    request: &EksRequest,
    progress: impl Fn(String),
    wanted: fn(Action) -> bool,
) -> Result<Pulled, PullError> {
    let begins_well = request.name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !begins_well || request.name.len() > LONGEST_NAME || !request.name.chars().all(allowed) {
        return Err(PullError::Name(request.name.chars().take(LONGEST_NAME).collect()));
    }
    let clients = Clients::connect(request).await?;
    let collector = Collector {
        clients,
        name: &request.name,
        progress: &progress,
        running: UnderWay::at_most(MOST_AT_A_TIME),
        waiting: BTreeMap::new(),
        several_vpcs: false,
        documents: BTreeMap::new(),
        denied: BTreeMap::new(),
        failed: BTreeMap::new(),
        unreachable: BTreeSet::new(),
        answered: false,
    };
    tokio::time::timeout(PULL_LIMIT, collector.run(wanted)).await.map_err(|_| PullError::TooLong)?
}

struct Collector<'a, Progress> {
    clients: Clients,
    name: &'a str,
    progress: &'a Progress,
    running: UnderWay<(Call, Result<Value, CallError>)>,
    /// How many calls of each action are not done.
    waiting: BTreeMap<Action, usize>,
    several_vpcs: bool,
    documents: BTreeMap<String, Value>,
    denied: BTreeMap<Action, BTreeSet<String>>,
    failed: BTreeMap<Action, BTreeSet<String>>,
    unreachable: BTreeSet<String>,
    /// Whether any call was answered, be it with a refusal.
    answered: bool,
}

impl<Progress: Fn(String)> Collector<'_, Progress> {
    async fn run(mut self, wanted: fn(Action) -> bool) -> Result<Pulled, PullError> {
        let begin = Action::ALL.iter().filter(|action| !action.waits() && wanted(**action));
        let (first, others): (Vec<Action>, Vec<Action>) = begin.partition(|action| action.leads());
        for action in first {
            self.start(Call::about(action, None));
        }
        // What others wait for is on its way before the rest takes the processor.
        tokio::time::sleep(HEAD_START).await;
        for action in others {
            self.start(Call::about(action, None));
        }
        while let Some((call, result)) = self.running.next().await {
            let action = call.action;
            match result {
                Ok(document) => self.keep(&call, document),
                Err(error) => self.refuse(action, &error)?,
            }
            let left = self.waiting.entry(action).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                (self.progress)(self.line(action));
            }
        }
        if !self.answered {
            let message = self.unreachable.into_iter().next().unwrap_or_default();
            return Err(PullError::Unreachable { region: self.clients.region.to_string(), message });
        }
        Ok(self.finish())
    }

    fn start(&mut self, call: Call) {
        *self.waiting.entry(call.action).or_default() += 1;
        let clients = self.clients.clone();
        self.running.start(async move {
            let result = clients.ask(&call).await;
            (call, result)
        });
    }

    fn keep(&mut self, call: &Call, document: Value) {
        self.answered = true;
        for next in self.follow_ups(call, &document) {
            self.start(next);
        }
        if call.action == Action::SearchTransitGatewayRoutes && document["AdditionalRoutesAvailable"] == true {
            let message = "the provider gave only a part of the routes of some tables";
            self.failed.entry(call.action).or_default().insert(message.to_owned());
        }
        let mut path = call.action.stem();
        for part in call.attribute.into_iter().chain(self.names_id(call).then_some(call.id.as_deref()).flatten()) {
            path.push('-');
            path.push_str(part);
        }
        self.documents.insert(path + ".json", document);
    }

    /// Whether the file's name holds the id: where the content does not, and only when there are several.
    fn names_id(&self, call: &Call) -> bool {
        call.action != Action::DescribeVpcAttribute || self.several_vpcs
    }

    /// What can be asked now that this answer is there.
    fn follow_ups(&mut self, call: &Call, document: &Value) -> Vec<Call> {
        match call.action {
            Action::DescribeVpcs => {
                let vpcs = ids(&document["Vpcs"], "VpcId");
                self.several_vpcs = vpcs.len() > 1;
                let ask = |attribute| {
                    vpcs.iter().map(move |vpc| Call {
                        attribute: Some(attribute),
                        ..Call::about(Action::DescribeVpcAttribute, Some(vpc.clone()))
                    })
                };
                ask("enableDnsSupport").chain(ask("enableDnsHostnames")).collect()
            }
            Action::DescribeManagedPrefixLists => {
                let there = living(&document["PrefixLists"], |state| !state.starts_with("delete"));
                about(Action::GetManagedPrefixListEntries, ids(&there, "PrefixListId"))
            }
            Action::DescribeTransitGatewayRouteTables => {
                let there = living(&document["TransitGatewayRouteTables"], |state| !state.starts_with("delet"));
                about(Action::SearchTransitGatewayRoutes, ids(&there, "TransitGatewayRouteTableId"))
            }
            Action::ListCertificateAuthorities => {
                about(Action::DescribeCertificateAuthority, ids(&document["certificateAuthorities"], "id"))
            }
            Action::ListUpdates => {
                let updates = document["updateIds"].as_array().map(Vec::as_slice).unwrap_or_default();
                about(Action::DescribeUpdate, newest(updates.iter().filter_map(Value::as_str).filter(file_name_part)))
            }
            _ => Vec::new(),
        }
    }

    /// Notes a refusal; some leave nothing to go on with.
    fn refuse(&mut self, action: Action, error: &CallError) -> Result<(), PullError> {
        let region = || self.clients.region.to_string();
        let message = error.message().to_owned();
        if action == Action::DescribeCluster {
            match error {
                CallError::Missing(_) => {
                    return Err(PullError::NotFound { name: self.name.to_owned(), region: region(), message });
                }
                CallError::Credentials(_) => return Err(PullError::Credentials(message)),
                CallError::Unreachable(_) => return Err(PullError::Unreachable { region: region(), message }),
                CallError::Foreign(_) => {
                    return Err(PullError::NotAws { endpoint: self.clients.endpoint.to_string(), message });
                }
                CallError::Other(_) => return Err(PullError::Failed { region: region(), message }),
                CallError::Denied(_) => {}
            }
        }
        if matches!(error, CallError::Unreachable(_)) {
            self.unreachable.insert(message.clone());
        } else {
            self.answered = true;
        }
        let list = if matches!(error, CallError::Denied(_)) { &mut self.denied } else { &mut self.failed };
        list.entry(action).or_default().insert(message);
        Ok(())
    }

    /// What became of an action, in one line.
    fn line(&self, action: Action) -> String {
        let name = action.permission();
        if let Some(message) = self.denied.get(&action).and_then(BTreeSet::first) {
            return format!("{name}: not allowed: {message}");
        }
        if let Some(message) = self.failed.get(&action).and_then(BTreeSet::first) {
            return format!("{name}: failed: {message}");
        }
        let stem = action.stem();
        let documents = self.documents.iter().filter(|(path, _)| {
            path.strip_prefix(&stem).is_some_and(|rest| rest.starts_with(['.', '-']) && !is_other_stem(path, action))
        });
        let (mut files, mut items) = (0, 0);
        for (_, document) in documents {
            files += 1;
            items += document
                .as_object()
                .map_or(0, |fields| fields.values().filter_map(Value::as_array).map(Vec::len).sum::<usize>());
        }
        match files {
            1 if items > 0 => format!("{name}: {items} found"),
            1 => format!("{name}: read"),
            _ => format!("{name}: {files} read"),
        }
    }

    fn finish(self) -> Pulled {
        let account = self.documents.get(&(Action::DescribeCluster.stem() + ".json")).and_then(|document| {
            // arn:aws:eks:eu-west-1:123456789012:cluster/prod
            let account = document["cluster"]["arn"].as_str()?.split(':').nth(4)?;
            (!account.is_empty()).then(|| account.to_owned())
        });
        let manifest = Manifest {
            created_at: Some(now()),
            provider: Some("eks".to_owned()),
            cluster: Some(self.name.to_owned()),
            account,
            region: Some(self.clients.region.to_string()),
            denied: refusals(self.denied, Action::permission),
            failed: refusals(self.failed, Action::permission),
            files: self.documents.keys().cloned().collect(),
        };
        Pulled { documents: self.documents, manifest }
    }
}

/// Whether the file belongs to an action whose name begins with this one's.
fn is_other_stem(path: &str, action: Action) -> bool {
    let own = action.stem();
    Action::ALL.iter().any(|other| {
        let stem = other.stem();
        stem.len() > own.len() && stem.starts_with(&own) && path.starts_with(&stem)
    })
}

/// The ids of a list's items, each once, those that can stand in a file's name.
fn ids(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: BTreeSet<&str> = items.iter().filter_map(|item| item[key].as_str()).filter(file_name_part).collect();
    ids.into_iter().map(str::to_owned).collect()
}

/// The items whose state is as wanted; one without a state is.
fn living(list: &Value, wanted: impl Fn(&str) -> bool) -> Value {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter(|item| item["State"].as_str().is_none_or(&wanted)).cloned().collect()
}

/// The ids at both ends of the list: the provider does not say which end is the newest.
fn newest<'a>(updates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let all: Vec<&str> = updates.collect();
    let end = all.len().saturating_sub(UPDATES_AT_AN_END).max(UPDATES_AT_AN_END.min(all.len()));
    let ends = all.iter().take(UPDATES_AT_AN_END).chain(all.iter().skip(end));
    ends.map(|id| (*id).to_owned()).collect()
}

fn about(action: Action, ids: Vec<String>) -> Vec<Call> {
    ids.into_iter().map(|id| Call::about(action, Some(id))).collect()
}

/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>
const LONGEST_NAME: usize = 100;
/// Below the provider's burst for reading calls, and enough for all that wait for nothing at once.
const MOST_AT_A_TIME: usize = 48;
const HEAD_START: Duration = Duration::from_millis(20);
const UPDATES_AT_AN_END: usize = 10;
const PULL_LIMIT: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_taken_from_both_ends_and_none_twice() {
        let ids: Vec<String> = (0..50).map(|index| index.to_string()).collect();
        let taken = |count: usize| newest(ids.iter().take(count).map(String::as_str));
        assert_eq!(taken(0).len(), 0);
        assert_eq!(taken(7), ids[..7]);
        assert_eq!(taken(15), ids[..15]);
        assert_eq!(taken(20), ids[..20]);
        assert_eq!(taken(50), [&ids[..10], &ids[40..]].concat());
    }

    #[test]
    fn ids_that_no_file_can_be_named_after_are_not_asked_about() {
        let list = serde_json::json!([{"VpcId": "vpc-1"}, {"VpcId": "../x"}, {"VpcId": ""}, {}, {"VpcId": "vpc-1"}]);
        assert_eq!(ids(&list, "VpcId"), ["vpc-1"]);
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_refused_before_anything_is_asked() {
        for name in ["", "-a", "a/b", "../x", "é", &"a".repeat(101)] {
            let request = EksRequest { name: (*name).to_owned(), ..EksRequest::default() };
            assert!(matches!(pull(&request, drop).await, Err(PullError::Name(_))), "{name}");
        }
    }
}
