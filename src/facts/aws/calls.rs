//! One call: the SDK signs, sends and retries it; the answer's own bytes are kept and become the document.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use aws_sdk_ec2::types::{Filter, VpcAttributeName};
use aws_smithy_runtime_api::client::{
    interceptors::{
        Intercept, OverriddenHooks,
        context::{AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut},
    },
    orchestrator::HttpResponse,
    result::SdkError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde_json::{Map, Value};

use super::{EksRequest, PullError, actions::Action, shapes, tidy};
use crate::{
    aws::{self, CallError, Choice, Session, SessionError, failure},
    redact::{Secrets, without_secrets},
};

/// The SDK's clients, with one set of credentials.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    ec2: aws_sdk_ec2::Client,
    eks: aws_sdk_eks::Client,
    cluster: Arc<str>,
    /// The region asked.
    pub(super) region: Arc<str>,
    /// Who is asked about the cluster, for messages.
    pub(super) endpoint: Arc<str>,
    /// How many bytes the answers of this pull have had so far.
    read: Arc<AtomicU64>,
    secrets: Secrets,
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

impl Clients {
    /// Reads configuration and credentials once, by the provider's own rules: environment, profile, role, instance.
    pub(super) async fn connect(request: &EksRequest) -> Result<Self, PullError> {
        let choice = Choice {
            region: request.region.clone(),
            profile: request.profile.clone(),
            endpoint_url: request.endpoint_url.clone(),
        };
        let Session { config, region, secrets } = aws::connect(&choice).await.map_err(|error| match error {
            SessionError::NoRegion => PullError::NoRegion,
            SessionError::NoCredentials(reason) => PullError::NoCredentials(reason),
        })?;
        let endpoint = config.endpoint_url().map_or_else(|| format!("the EKS endpoint of {region}"), without_secrets);
        Ok(Self {
            endpoint: endpoint.into(),
            read: Arc::default(),
            secrets,
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
            let page = shapes::document(call.action, &body).map_err(|error| CallError::Foreign(error.to_string()))?;
            let Value::Object(mut page) = page else {
                return Err(CallError::Foreign("the answer is no JSON object".to_owned()));
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
        let kept = Keep { body: Arc::default(), read: Arc::clone(&self.read) };
        let id = call.id.clone().unwrap_or_default();
        macro_rules! send {
            ($operation:expr) => {
                Box::pin($operation.customize().interceptor(kept.clone()).send())
                    .await
                    .map(drop)
                    .or_else(|error| failed(&error, &kept, &self.secrets))
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
        kept.take().ok_or_else(|| CallError::Foreign("the answer has no body".to_owned()))
    }
}

/// Keeps the bytes of the last answer: the SDK's own types would lose what they do not know.
#[derive(Clone, Debug)]
struct Keep {
    body: Arc<Mutex<Option<Vec<u8>>>>,
    /// Counts what the whole pull has read.
    read: Arc<AtomicU64>,
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
        OverriddenHooks::MODIFY_BEFORE_DESERIALIZATION | OverriddenHooks::READ_AFTER_DESERIALIZATION
    }

    /// Whatever its status, and whether or not its length is told: no answer is read beyond the bounds.
    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let length = context.response().headers().get("content-length").and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > LARGEST_BODY) {
            return Err(too_large().into());
        }
        let body = context.response_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Bounded { inner, left: LARGEST_BODY, read: Arc::clone(&self.read) });
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

/// A body that ends with an error where it becomes too large, alone or with the others of the pull.
struct Bounded {
    inner: SdkBody,
    /// Bytes that may still come.
    left: u64,
    /// Bytes that came in the whole pull.
    read: Arc<AtomicU64>,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let before = self.read.fetch_add(length, Ordering::Relaxed);
            if before.saturating_add(length) > LARGEST_PULL {
                let message = format!("the answers of this pull are larger than {} MiB", LARGEST_PULL >> 20);
                return Poll::Ready(Some(Err(message.into())));
            }
            let Some(left) = self.left.checked_sub(length) else {
                return Poll::Ready(Some(Err(too_large().into())));
            };
            self.left = left;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}

fn too_large() -> String {
    format!("the answer is larger than {} MiB", LARGEST_BODY >> 20)
}

/// What kind of failure it is. An answer that came well but that the SDK's own types could not hold is none.
fn failed<E>(error: &SdkError<E, HttpResponse>, kept: &Keep, secrets: &Secrets) -> Result<(), CallError>
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let has_body = || kept.body.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    match error {
        SdkError::ServiceError(service) if service.raw().status().is_success() => {
            if has_body() {
                Ok(())
            } else {
                Err(CallError::Foreign("an answer that cannot be read".to_owned()))
            }
        }
        SdkError::ConstructionFailure(_)
        | SdkError::DispatchFailure(_)
        | SdkError::TimeoutError(_)
        | SdkError::ServiceError(_) => Err(failure(error, secrets)),
        _ if has_body() => Ok(()),
        _ => Err(failure(error, secrets)),
    }
}

const MOST_PAGES: usize = 1_000;
/// The largest pages that the operations allow.
const LARGE_PAGE: i32 = 1_000;
const LARGE_PAGE_OF_EKS: i32 = 100;
const SMALL_PAGE: i32 = 100;
/// A page of a thousand instances has some five megabytes.
const LARGEST_BODY: u64 = 64 << 20;
/// A region with ten thousand instances has some hundred megabytes; answers that are tried again count again.
const LARGEST_PULL: u64 = 512 << 20;
