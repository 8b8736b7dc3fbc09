//! The EKS API's own JSON as plain types: what `aws eks describe-… --output json` prints.
//!
//! Shapes after the EKS API model (<https://docs.aws.amazon.com/eks/latest/APIReference/>). Every field may be missing;
//! states and modes are text, because a provider may add one any day.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Cidr, List, timestamp};

/// `describe-cluster`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// `arn:aws:eks:<region>:<account>:cluster/<name>`.
    pub arn: Option<String>,
    /// When it was created.
    #[serde(deserialize_with = "timestamp")]
    pub created_at: Option<Timestamp>,
    /// `https://<hash>.<…>.<region>.eks.amazonaws.com`.
    pub endpoint: Option<String>,
    /// Kubernetes version.
    pub version: Option<String>,
    /// `ACTIVE`, `CREATING`, `UPDATING`, `DELETING`, `FAILED`, `PENDING`.
    pub status: Option<String>,
    /// Endpoint access, subnets, groups.
    pub resources_vpc_config: Option<VpcConfig>,
    /// Service ranges and address family.
    pub kubernetes_network_config: Option<KubernetesNetworkConfig>,
    /// The certificate authority of today.
    pub certificate_authority: Option<Certificate>,
    /// Networks of hybrid nodes.
    pub remote_network_config: Option<RemoteNetworkConfig>,
    /// Health issues.
    pub health: Option<Health>,
}

/// Endpoint access of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcConfig {
    /// Subnets that the control plane's interfaces may be in.
    pub subnet_ids: List<String>,
    /// Groups of the control plane's interfaces that the user chose.
    pub security_group_ids: List<String>,
    /// The group that EKS made.
    pub cluster_security_group_id: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// The public endpoint is on.
    pub endpoint_public_access: Option<bool>,
    /// The private endpoint is on.
    pub endpoint_private_access: Option<bool>,
    /// Sources that the public endpoint lets in; empty means everybody, `None` that the facts do not say.
    pub public_access_cidrs: Option<List<Cidr>>,
    /// `AWS_MANAGED`, `CUSTOMER_ROUTED` (the control plane's own traffic takes the routes of the VPC), `CUSTOMER_ISOLATED`.
    pub control_plane_egress_mode: Option<String>,
}

/// Service ranges and address family.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesNetworkConfig {
    /// IPv4 range of services.
    pub service_ipv4_cidr: Option<Cidr>,
    /// IPv6 range of services.
    pub service_ipv6_cidr: Option<Cidr>,
    /// `ipv4` or `ipv6`.
    pub ip_family: Option<String>,
}

/// The certificate authority that a kubeconfig of today is given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// Base64 of PEM text.
    pub data: Option<String>,
    /// Which of the listed authorities signs.
    pub active: Option<ActiveAuthority>,
}

/// Which authority signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActiveAuthority {
    /// Its id.
    pub id: Option<String>,
    /// `EKS` or `CUSTOMER`.
    pub activated_by: Option<String>,
}

/// `list-certificate-authorities` (without `data`) and `describe-certificate-authority`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateAuthority {
    /// Its id.
    pub id: Option<String>,
    /// `NOT_USED`, `ACTIVATING`, `IN_USE`.
    pub signing_status: Option<String>,
    /// `IN_PROGRESS`, `COMPLETE`, `FAILED`, `DELETING`.
    pub distribution_status: Option<String>,
    /// What EKS will do by itself, and when.
    pub scheduled_events: Option<ScheduledEvents>,
    /// The one before may be activated again.
    pub rollback_available: Option<bool>,
    /// Base64 of PEM text.
    pub data: Option<String>,
}

/// What EKS will do by itself with a certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScheduledEvents {
    /// It becomes active then.
    #[serde(deserialize_with = "timestamp")]
    pub first_auto_activation: Option<Timestamp>,
}

/// Networks of hybrid nodes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteNetworkConfig {
    /// Where nodes are.
    pub remote_node_networks: List<RemoteNetwork>,
    /// Where their pods are.
    pub remote_pod_networks: List<RemoteNetwork>,
}

/// Ranges of a remote network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteNetwork {
    /// The ranges.
    pub cidrs: List<Cidr>,
}

/// Health of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Health {
    /// What EKS finds wrong.
    pub issues: List<HealthIssue>,
}

/// Something that EKS finds wrong with a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthIssue {
    /// `VpcNotFound`, `Ec2SubnetNotFound`, `ClusterUnreachable` …
    pub code: Option<String>,
    /// For people.
    pub message: Option<String>,
    /// What it concerns.
    pub resource_ids: List<String>,
}

/// `describe-update`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Update {
    /// Its id.
    pub id: Option<String>,
    /// `InProgress`, `Successful`, `Failed`, `Cancelled`.
    pub status: Option<String>,
    /// `EndpointAccessUpdate`, `VpcConfigUpdate`, `ControlPlaneEgressUpdate`, `VersionUpdate` …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What was asked for; values are JSON text.
    pub params: List<UpdateParam>,
    /// When it began.
    #[serde(deserialize_with = "timestamp")]
    pub created_at: Option<Timestamp>,
    /// Why it failed.
    pub errors: List<UpdateError>,
}

/// One thing that an update asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateParam {
    /// `PublicAccessCidrs`, `EndpointPublicAccess` …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The value, JSON text.
    pub value: Option<String>,
}

/// Why an update failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateError {
    /// `IpNotAvailable`, `SubnetNotFound` …
    pub error_code: Option<String>,
    /// For people.
    pub error_message: Option<String>,
    /// What it concerns.
    pub resource_ids: List<String>,
}

impl Cluster {
    /// The region, from the ARN, else from the endpoint's host.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        let from_arn = self.arn.as_deref().and_then(|arn| arn.split(':').nth(3)).filter(|region| !region.is_empty());
        from_arn.or_else(|| {
            let labels: Vec<&str> = self.endpoint.as_deref()?.trim_end_matches('/').split('.').collect();
            let place = labels.iter().position(|label| *label == "eks")?;
            // `….<region>.eks.amazonaws.com`, or `….eks.<region>.api.aws`.
            if labels.get(place + 1) == Some(&"amazonaws") {
                labels.get(place.checked_sub(1)?)
            } else {
                labels.get(place + 1)
            }
            .copied()
        })
    }

    /// The account, from the ARN.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.arn.as_deref()?.split(':').nth(4).filter(|account| !account.is_empty())
    }

    /// The description of the control plane's network interfaces in the VPC.
    #[must_use]
    pub fn interface_description(&self) -> String {
        format!("Amazon EKS {}", self.name)
    }
}
