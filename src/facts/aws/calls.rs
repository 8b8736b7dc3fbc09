//! One call: the SDK signs, sends and retries it; the answer's own bytes are kept and become the document.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ec2::{
    config::{AppName, ProvideCredentials, SharedCredentialsProvider},
    types::{Filter, VpcAttributeName},
};
use aws_smithy_runtime_api::client::{
    interceptors::{
        Intercept, OverriddenHooks,
        context::{AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef},
    },
    orchestrator::HttpResponse,
    result::SdkError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};
use serde_json::{Map, Value};

use super::{EksRequest, PullError, actions::Action, shapes, tidy};

/// The SDK's clients, with one set of credentials.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    ec2: aws_sdk_ec2::Client,
    eks: aws_sdk_eks::Client,
    cluster: Arc<str>,
    /// The region asked.
    pub(super) region: Arc<str>,
}

/// An action and what it is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) action: Action,
    /// The object asked about: a VPC, a prefix list, a route table, an update.
    pub(super) id: Option<String>,
    /// The VPC's attribute asked for.
    pub(super) attribute: Option<&'static str>,
}

impl Call {
    pub(super) const fn about(action: Action, id: Option<String>) -> Self {
        Self { action, id, attribute: None }
    }
}

/// Why a call gave no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The credentials do not allow it.
    Denied(String),
    /// The provider does not know the credentials, or no longer.
    Credentials(String),
    /// What was asked about does not exist.
    Missing(String),
    /// No answer came.
    Unreachable(String),
    /// Anything else.
    Other(String),
}

impl CallError {
    /// What happened, in one line.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Denied(message)
            | Self::Credentials(message)
            | Self::Missing(message)
            | Self::Unreachable(message)
            | Self::Other(message) => message,
        }
    }
}

impl Clients {
    /// Reads configuration and credentials once, by the provider's own rules: environment, profile, role, instance.
    pub(super) async fn connect(request: &EksRequest) -> Result<Self, PullError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_LIMIT)
            .operation_attempt_timeout(ATTEMPT_LIMIT)
            .operation_timeout(CALL_LIMIT)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(LONGEST_BACKOFF);
        let mut loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts).retry_config(retries);
        if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
            loader = loader.app_name(name);
        }
        if let Some(region) = &request.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &request.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &request.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let region: Arc<str> = config.region().ok_or(PullError::NoRegion)?.as_ref().into();
        let config = with_fixed_credentials(config).await?;
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            eks: aws_sdk_eks::Client::new(&config),
            cluster: request.name.as_str().into(),
            region,
        })
    }

    /// Asks for every page and gives the whole document.
    pub(super) async fn ask(&self, call: &Call) -> Result<Value, CallError> {
        let mut document = Map::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let body = self.page(call, token.clone()).await?;
            let page = shapes::document(call.action, &body).map_err(|error| CallError::Other(error.to_string()))?;
            let Value::Object(mut page) = page else {
                return Err(CallError::Other("the answer is no JSON object".to_owned()));
            };
            let next = tidy::take_token(&mut page);
            tidy::merge(&mut document, page);
            if next.is_none() {
                return Ok(tidy::sorted(Value::Object(document)));
            }
            if next == token {
                return Err(CallError::Other("the provider gave the same page token twice".to_owned()));
            }
            token = next;
        }
        Err(CallError::Other(format!("there are more than {MOST_PAGES} pages")))
    }

    /// One page, as the bytes that came.
    async fn page(&self, call: &Call, token: Option<String>) -> Result<Vec<u8>, CallError> {
        let kept = Keep::default();
        let id = call.id.clone().unwrap_or_default();
        macro_rules! send {
            ($operation:expr) => {
                Box::pin($operation.customize().interceptor(kept.clone()).send())
                    .await
                    .map(drop)
                    .or_else(|error| failed(&error, &kept))
            };
        }
        macro_rules! send_page {
            ($operation:expr, $size:expr) => {
                send!($operation.set_next_token(token).max_results($size))
            };
        }
        let (ec2, eks, cluster) = (&self.ec2, &self.eks, &*self.cluster);
        match call.action {
            Action::DescribeCluster => send!(eks.describe_cluster().name(cluster)),
            Action::ListUpdates => send_page!(eks.list_updates().name(cluster), LARGE_PAGE_OF_EKS),
            Action::DescribeUpdate => send!(eks.describe_update().name(cluster).update_id(id)),
            Action::ListCertificateAuthorities => {
                send_page!(eks.list_certificate_authorities().cluster_name(cluster), LARGE_PAGE_OF_EKS)
            }
            Action::DescribeCertificateAuthority => {
                send!(eks.describe_certificate_authority().cluster_name(cluster).certificate_authority_id(id))
            }
            Action::DescribeVpcs => send_page!(ec2.describe_vpcs(), LARGE_PAGE),
            Action::DescribeVpcAttribute => {
                let attribute = VpcAttributeName::from(call.attribute.unwrap_or_default());
                send!(ec2.describe_vpc_attribute().vpc_id(id).attribute(attribute))
            }
            Action::DescribeManagedPrefixLists => send_page!(ec2.describe_managed_prefix_lists(), SMALL_PAGE),
            Action::GetManagedPrefixListEntries => {
                send_page!(ec2.get_managed_prefix_list_entries().prefix_list_id(id), SMALL_PAGE)
            }
            Action::DescribeTransitGatewayRouteTables => {
                send_page!(ec2.describe_transit_gateway_route_tables(), LARGE_PAGE)
            }
            Action::SearchTransitGatewayRoutes => {
                let states = Filter::builder().name("state").values("active").values("blackhole").build();
                let search = ec2.search_transit_gateway_routes().transit_gateway_route_table_id(id).filters(states);
                // A thousand without saying so.
                send!(search.set_next_token(token))
            }
            Action::DescribeDhcpOptions => send_page!(ec2.describe_dhcp_options(), LARGE_PAGE),
            Action::DescribeSubnets => send_page!(ec2.describe_subnets(), LARGE_PAGE),
            Action::DescribeRouteTables => send_page!(ec2.describe_route_tables(), SMALL_PAGE),
            Action::DescribeNetworkAcls => send_page!(ec2.describe_network_acls(), LARGE_PAGE),
            Action::DescribeSecurityGroups => send_page!(ec2.describe_security_groups(), LARGE_PAGE),
            Action::DescribeSecurityGroupRules => send_page!(ec2.describe_security_group_rules(), LARGE_PAGE),
            Action::DescribeNetworkInterfaces => send_page!(ec2.describe_network_interfaces(), LARGE_PAGE),
            Action::DescribeInstances => send_page!(ec2.describe_instances(), LARGE_PAGE),
            Action::DescribeNatGateways => send_page!(ec2.describe_nat_gateways(), LARGE_PAGE),
            Action::DescribeInternetGateways => send_page!(ec2.describe_internet_gateways(), LARGE_PAGE),
            Action::DescribeEgressOnlyInternetGateways => {
                send_page!(ec2.describe_egress_only_internet_gateways(), SMALL_PAGE)
            }
            Action::DescribeVpcPeeringConnections => send_page!(ec2.describe_vpc_peering_connections(), LARGE_PAGE),
            Action::DescribeTransitGateways => send_page!(ec2.describe_transit_gateways(), LARGE_PAGE),
            Action::DescribeTransitGatewayAttachments => {
                send_page!(ec2.describe_transit_gateway_attachments(), LARGE_PAGE)
            }
            Action::DescribeTransitGatewayVpcAttachments => {
                send_page!(ec2.describe_transit_gateway_vpc_attachments(), LARGE_PAGE)
            }
            Action::DescribeVpnGateways => send!(ec2.describe_vpn_gateways()),
            Action::DescribeVpnConnections => send!(ec2.describe_vpn_connections()),
            Action::DescribeVpcEndpoints => send_page!(ec2.describe_vpc_endpoints(), LARGE_PAGE),
            Action::DescribeVpcBlockPublicAccessOptions => send!(ec2.describe_vpc_block_public_access_options()),
        }?;
        kept.take().ok_or_else(|| CallError::Other("the answer has no body".to_owned()))
    }
}

/// Keeps the bytes of the last answer: the SDK's own types would lose what they do not know.
#[derive(Clone, Debug, Default)]
struct Keep {
    body: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Keep {
    fn take(&self) -> Option<Vec<u8>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Keep {
    fn name(&self) -> &'static str {
        "Keep"
    }

    fn overridden_hooks(&self) -> OverriddenHooks {
        OverriddenHooks::READ_BEFORE_DESERIALIZATION | OverriddenHooks::READ_AFTER_DESERIALIZATION
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let length = context.response().headers().get("content-length").and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > LARGEST_BODY) {
            return Err(format!("the answer is larger than {} MiB", LARGEST_BODY >> 20).into());
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = context.response();
        let body = response.status().is_success().then(|| response.body().bytes().map(<[u8]>::to_vec)).flatten();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

/// Credentials that hold for the whole pull: found once, so that a missing set is told once and clearly.
async fn with_fixed_credentials(config: SdkConfig) -> Result<SdkConfig, PullError> {
    let none = || PullError::NoCredentials("no provider of credentials is configured".to_owned());
    let provider = config.credentials_provider().ok_or_else(none)?;
    let found = tokio::time::timeout(CREDENTIALS_LIMIT, provider.provide_credentials()).await;
    let found = found.map_err(|_| PullError::NoCredentials("the search for them took too long".to_owned()))?;
    let credentials = found.map_err(|error| PullError::NoCredentials(chain(&error)))?;
    Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
}

/// What kind of failure it is. An answer that came well but that the SDK's own types could not hold is none.
fn failed<E>(error: &SdkError<E, HttpResponse>, kept: &Keep) -> Result<(), CallError>
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            Err(CallError::Unreachable(chain(error)))
        }
        SdkError::ServiceError(service) => {
            Err(classify(error.code(), error.message(), service.raw().status().as_u16()))
        }
        _ if kept.body.lock().unwrap_or_else(PoisonError::into_inner).is_some() => Ok(()),
        _ => Err(CallError::Other(chain(error))),
    }
}

/// A service's error by its code: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
fn classify(code: Option<&str>, message: Option<&str>, status: u16) -> CallError {
    let code = code.unwrap_or_default();
    let words = match (code, message.filter(|message| !message.is_empty())) {
        ("", None) => format!("HTTP {status}"),
        ("", Some(message)) => format!("HTTP {status}: {message}"),
        (code, None) => format!("{code} (HTTP {status})"),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    let words = one_line(&words);
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => {
            CallError::Denied(words)
        }
        "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => CallError::Credentials(words),
        "ResourceNotFoundException" => CallError::Missing(words),
        "" if status == 403 => CallError::Denied(words),
        _ => CallError::Other(words),
    }
}

/// An error and what caused it, without the types' inner state.
fn chain(error: &dyn Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
        if parts.len() > DEEPEST_CHAIN {
            break;
        }
    }
    one_line(&parts.join(": "))
}

/// A message as one bounded line, without what the provider makes up anew for each call.
fn one_line(message: &str) -> String {
    let mut message = message;
    for volatile in [" Encoded authorization failure message:", " (Request ID:", ", Request ID:", " RequestID:"] {
        message = message.split(volatile).next().unwrap_or_default();
    }
    let clean: String = message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let clean = clean.trim();
    match clean.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.to_owned(),
    }
}

const CONNECT_LIMIT: Duration = Duration::from_millis(3_100);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_mins(2);
const CREDENTIALS_LIMIT: Duration = Duration::from_mins(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// The first try included.
const ATTEMPTS: u32 = 5;
const MOST_PAGES: usize = 1_000;
/// The largest pages that the operations allow.
const LARGE_PAGE: i32 = 1_000;
const LARGE_PAGE_OF_EKS: i32 = 100;
const SMALL_PAGE: i32 = 100;
/// A page of a thousand instances has some five megabytes.
const LARGEST_BODY: u64 = 64 << 20;
const LONGEST_MESSAGE: usize = 500;
const DEEPEST_CHAIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_their_codes() {
        let denied = classify(
            Some("UnauthorizedOperation"),
            Some("You are not authorized to perform this operation. Encoded authorization failure message: AbC123"),
            403,
        );
        let words = "UnauthorizedOperation: You are not authorized to perform this operation.";
        assert_eq!(denied, CallError::Denied(words.to_owned()));
        assert!(matches!(classify(Some("ExpiredTokenException"), None, 400), CallError::Credentials(_)));
        assert!(matches!(classify(Some("ResourceNotFoundException"), Some("x"), 404), CallError::Missing(_)));
        assert_eq!(classify(None, None, 404), CallError::Other("HTTP 404".to_owned()));
        assert_eq!(classify(None, None, 403), CallError::Denied("HTTP 403".to_owned()));
    }

    #[test]
    fn messages_are_one_bounded_harmless_line() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m (Request ID: 1-2)"), "a  b [31m");
        assert_eq!(one_line(&"é".repeat(2_000)).chars().count(), LONGEST_MESSAGE + 1);
    }
}
