//! Sends commands, waits for them, cancels them. The only module that names the service's SDK.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_ssm::{
    Client,
    types::{CommandInvocationStatus, InstanceInformationStringFilter, PingStatus, PlatformType},
};
use kubereach_agent::{MessageError, Reply, unpack_reply};
use kubereach_probes::{Observation, Options, Run, Target};
use tokio::sync::{OnceCell, Semaphore};

use super::{
    super::{allow, errand, unavailable},
    script,
    words::{self, Ended},
};
use crate::{
    aws::{self, CallError, Choice, SessionError, failure},
    redact::Secrets,
    scenario::SsmInstance,
};

/// The instances of a run, the sessions of their accounts, and what could not be cancelled.
#[derive(Default)]
pub(crate) struct Instances {
    sessions: Mutex<HashMap<Choice, Arc<Account>>>,
    at_once: Mutex<HashMap<SsmInstance, Arc<Semaphore>>>,
    left: Mutex<Vec<String>>,
}

/// A session, or why there is none; all who need it wait for one.
type Account = OnceCell<Result<Service, String>>;

/// The service in one region, with one set of credentials.
#[derive(Clone)]
struct Service {
    client: Client,
    region: Arc<str>,
    secrets: Secrets,
}

impl Instances {
    /// Probes from the instance. When `run` is stopped the command is cancelled.
    pub(crate) async fn observe(
        &self,
        place: &SsmInstance,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let mut stopped = std::pin::pin!(run.stopped());
        let cut_short = || Observation { cut_short: true, ..Observation::default() };
        let turn = {
            let mut at_once = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(COMMANDS_AT_ONCE));
            Arc::clone(at_once.entry(place.clone()).or_insert_with(new))
        };
        let beginning = async {
            // The semaphore is never closed.
            let permit = turn.acquire().await.ok();
            (permit, self.service(place).await)
        };
        let (_permit, service) = tokio::select! {
            biased;
            () = &mut stopped => return cut_short(),
            begun = beginning => begun,
        };
        let service = match service {
            Ok(service) => service,
            Err(reason) => return unavailable(reason),
        };
        let longest = errand::longest_probe(options);
        let order = errand::order("", target, options, DELIVERY + longest + CLOCKS_APART);
        let lines = script::script(place, &order, &allow::allowances(target, options));
        let size: usize = lines.iter().map(String::len).sum();
        if size > LARGEST_SCRIPT {
            return unavailable(format!(
                "the order has {size} bytes as a script, more than the {LARGEST_SCRIPT} that a command of Systems Manager holds: \
                 name fewer certificate authorities or resolvers"
            ));
        }
        let execution = longest + if place.download.is_some() { FETCHING } else { Duration::ZERO };
        // In a task of its own: a command whose sending was begun has an id, and is cancelled by it.
        let mut sending = tokio::spawn(send(service.clone(), place.instance.clone(), lines, execution));
        let lost = |_| Err("sending the command failed".to_owned());
        let sent = tokio::select! {
            biased;
            () = &mut stopped => {
                if let Ok(Ok(Ok(command))) = tokio::time::timeout(GOODBYE, sending).await {
                    self.cancel(&service, place, &command).await;
                }
                return cut_short();
            }
            sent = &mut sending => sent.unwrap_or_else(lost),
        };
        let command = match sent {
            Ok(command) => command,
            Err(reason) => return unavailable(reason),
        };
        let ended = tokio::select! {
            biased;
            () = &mut stopped => None,
            ended = wait(&service, &place.instance, &command, DELIVERY + execution + SLACK) => Some(ended),
        };
        match ended {
            None => {
                self.cancel(&service, place, &command).await;
                cut_short()
            }
            Some(Err(Unfinished { reason, under_way })) => {
                if under_way {
                    self.cancel(&service, place, &command).await;
                }
                unavailable(reason)
            }
            Some(Ok(ended)) => match reply(&ended) {
                Some(reply) => errand::observed(reply, &order, &place.instance),
                None => {
                    let mut reason = words::no_reply(&place.instance, &ended);
                    if matches!(ended.details.as_str(), "DeliveryTimedOut" | "Undeliverable") {
                        reason = format!("{reason}; {}", about(&service, &place.instance).await);
                    }
                    unavailable(reason)
                }
            },
        }
    }

    /// Says what could not be cancelled. Everything else has ended with its cell.
    pub(crate) fn close(&self) -> Vec<String> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn service(&self, place: &SsmInstance) -> Result<Service, String> {
        let choice = Choice {
            region: place.region.clone(),
            profile: place.profile.clone(),
            endpoint_url: place.endpoint_url.clone(),
        };
        let session = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sessions.entry(choice.clone()).or_default())
        };
        let connecting = session.get_or_init(|| async {
            match aws::connect(&choice).await {
                Ok(session) => Ok(Service {
                    client: Client::new(&session.config),
                    region: session.region,
                    secrets: session.secrets,
                }),
                Err(SessionError::NoRegion) => {
                    Err("no region is given or configured: name it by the vantage's `region`, or set AWS_REGION".to_owned())
                }
                Err(SessionError::NoCredentials(reason)) => Err(format!(
                    "no AWS credentials: {reason}; log in (aws sso login), name a `profile`, or set AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY"
                )),
            }
        });
        connecting.await.clone()
    }

    /// Ends a command that nobody waits for any longer.
    async fn cancel(&self, service: &Service, place: &SsmInstance, command: &str) {
        let cancelling = service.client.cancel_command().command_id(command).instance_ids(&place.instance).send();
        let reason = match tokio::time::timeout(GOODBYE, cancelling).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => told(&failure(&error, &service.secrets), "ssm:CancelCommand", &service.region),
            Err(_) => "no answer in time".to_owned(),
        };
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(format!(
            "the command {command} on {} could not be cancelled: {reason}; it ends by itself, or: aws ssm cancel-command \
             --region {} --command-id {command}",
            place.instance, service.region
        ));
    }
}

/// Sends the script; the command's id.
async fn send(service: Service, instance: String, lines: Vec<String>, execution: Duration) -> Result<String, String> {
    let sending = service
        .client
        .send_command()
        .document_name(DOCUMENT)
        .instance_ids(&instance)
        .comment("kubereach: one probe of an API server")
        .timeout_seconds(i32::try_from(DELIVERY.as_secs()).unwrap_or(i32::MAX))
        .parameters("commands", lines)
        .parameters("executionTimeout", vec![execution.as_secs().max(1).to_string()]);
    match Box::pin(sending.send()).await {
        Ok(sent) => sent
            .command()
            .and_then(|command| command.command_id())
            .map(str::to_owned)
            .ok_or_else(|| "Systems Manager took the command and gave no id".to_owned()),
        Err(error) => {
            let failed = failure(&error, &service.secrets);
            Err(match error.as_service_error() {
                Some(kind) if kind.is_invalid_instance_id() => about(&service, &instance).await,
                Some(kind) if kind.is_unsupported_platform_type() => words::not_linux(&instance),
                _ => told(&failed, "ssm:SendCommand", &service.region),
            })
        }
    }
}

/// What is wrong with an instance that takes no command.
async fn about(service: &Service, instance: &str) -> String {
    let filter = InstanceInformationStringFilter::builder().key("InstanceIds").values(instance).build();
    let Ok(filter) = filter else { return words::managed(instance, None) };
    let asking = service.client.describe_instance_information().filters(filter);
    match Box::pin(asking.send()).await {
        Ok(known) => {
            let known = known.instance_information_list().iter().find(|known| known.instance_id() == Some(instance));
            let words = known.map(|known| {
                let ping = known.ping_status().map_or("unknown", PingStatus::as_str);
                (ping, known.platform_type().map_or("unknown", PlatformType::as_str))
            });
            words::managed(instance, words)
        }
        Err(error) => format!(
            "{instance} takes no command, and why is not known: {}",
            told(&failure(&error, &service.secrets), "ssm:DescribeInstanceInformation", &service.region)
        ),
    }
}

/// Why a command was not waited for to its end.
struct Unfinished {
    reason: String,
    /// Whether it may still be running.
    under_way: bool,
}

/// Asks, ever more rarely, until the command has ended.
async fn wait(service: &Service, instance: &str, command: &str, longest: Duration) -> Result<Ended, Unfinished> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        let asking = service.client.get_command_invocation().command_id(command).instance_id(instance);
        match Box::pin(asking.send()).await {
            Ok(invocation) => {
                let status = invocation.status().map_or("", CommandInvocationStatus::as_str);
                if !matches!(status, "Pending" | "InProgress" | "Delayed" | "Cancelling" | "") {
                    let details = invocation.status_details().filter(|details| !details.is_empty()).unwrap_or(status);
                    return Ok(Ended {
                        details: details.replace(' ', ""),
                        response_code: invocation.response_code(),
                        output: invocation.standard_output_content().unwrap_or_default().to_owned(),
                        error: invocation.standard_error_content().unwrap_or_default().to_owned(),
                    });
                }
            }
            Err(error) => {
                // The command was just sent, and not every server of the service knows of it yet.
                let unknown = matches!(error.as_service_error(), Some(error) if error.is_invocation_does_not_exist());
                if !(unknown && begun.elapsed() < UNKNOWN) {
                    let failed = failure(&error, &service.secrets);
                    let reason = told(&failed, "ssm:GetCommandInvocation", &service.region);
                    return Err(Unfinished { reason, under_way: true });
                }
            }
        }
        if begun.elapsed() > longest {
            let reason = format!(
                "the command on {instance} has not ended after {} s, and was cancelled",
                begun.elapsed().as_secs()
            );
            return Err(Unfinished { reason, under_way: true });
        }
    }
}

/// The agent's reply, when there is one in the output.
fn reply(ended: &Ended) -> Option<Result<Reply, MessageError>> {
    ended.output.contains(kubereach_agent::once::MARKER).then(|| unpack_reply(&ended.output))
}

/// What went wrong with an action, and what to do about it.
fn told(error: &CallError, action: &str, region: &str) -> String {
    match error {
        CallError::Denied(words) => {
            format!("these AWS credentials may not use {action}: {words}; docs/ssm-policy.json holds what is needed")
        }
        CallError::Credentials(words) => {
            format!(
                "the AWS credentials are not accepted: {words}; renew them (aws sso login) and compare this machine's clock"
            )
        }
        CallError::Unreachable(words) => format!("Systems Manager of {region} cannot be reached: {words}"),
        CallError::Foreign(words) => format!("what answers for Systems Manager of {region} is no AWS API: {words}"),
        CallError::Other(words) if THROTTLED.iter().any(|code| words.starts_with(code)) => {
            format!("Systems Manager throttles this account, also after several tries of {action}: {words}")
        }
        CallError::Missing(words) | CallError::Other(words) => format!("{action} failed: {words}"),
    }
}

/// The document that runs a shell script, the provider's own.
const DOCUMENT: &str = "AWS-RunShellScript";
const THROTTLED: &[&str] = &["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"];
/// What an instance carries out at the same time by default.
const COMMANDS_AT_ONCE: usize = 5;
/// The shortest time that the service allows for a command to be taken.
const DELIVERY: Duration = Duration::from_secs(30);
const FETCHING: Duration = Duration::from_secs(90);
const CLOCKS_APART: Duration = Duration::from_mins(2);
const SLACK: Duration = Duration::from_secs(15);
const UNKNOWN: Duration = Duration::from_secs(15);
const GOODBYE: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(400);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Below the 64 KB of a document with its parameters.
const LARGEST_SCRIPT: usize = 60_000;
