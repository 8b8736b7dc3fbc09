//! Who runs a cluster, told by the name of its endpoint. Lenient: new shards, regions and clouds must not be missed.

use std::net::IpAddr;

use crate::report::Provider;

/// What a host name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// Who runs the cluster; Google's and all others are [`Provider::Generic`].
    pub provider: Provider,
    /// Which kind of endpoint it is.
    pub kind: HostKind,
    /// Which cloud it stands in.
    pub cloud: Cloud,
    /// The region, as the name spells it.
    pub region: Option<String>,
    /// What that means for the answer: what may follow `<host> is`, without final full stop; nothing where the name
    /// says nothing.
    pub meaning: Option<&'static str>,
}

/// Kinds of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostKind {
    /// An EKS cluster; one name serves the public and the private endpoint.
    EksCluster,
    /// The EKS management API, which is not Kubernetes.
    EksManagementApi,
    /// An AKS cluster's public name.
    AksPublic,
    /// An AKS private cluster's name in a `privatelink` zone.
    AksPrivateLink,
    /// An AKS private cluster's name with API-server `VNet` integration.
    AksPrivate,
    /// The name that only the Azure portal uses.
    AksPortal,
    /// A GKE cluster by its DNS endpoint.
    Gke,
    /// A bare address: GKE's default, or anybody's.
    Address,
    /// Any other name.
    Other,
}

/// Clouds and their partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// Amazon's commercial partition.
    Aws,
    /// Amazon in China.
    AwsChina,
    /// Amazon's government partition.
    AwsGov,
    /// Azure's public cloud.
    Azure,
    /// Azure in China.
    AzureChina,
    /// Azure for the US government.
    AzureGov,
    /// Google Cloud.
    Google,
    /// Not told by the name.
    Unknown,
}

/// Recognises the host of an endpoint: a name (any case, with or without trailing dot) or an address.
#[must_use]
pub fn recognise(host: &str) -> HostIdentity {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return identity(HostKind::Address, Cloud::Unknown, None);
    }
    let labels: Vec<&str> = host.split('.').collect();
    recognise_amazon(&labels)
        .or_else(|| recognise_azure(&labels))
        .or_else(|| {
            ends_with(&labels, &["gke", "goog"]).then(|| {
                // gke-<hash>-<project number>.<region>.gke.goog
                let region = (labels.len() >= 4).then(|| labels[labels.len() - 3].to_owned());
                identity(HostKind::Gke, Cloud::Google, region)
            })
        })
        .unwrap_or_else(|| identity(HostKind::Other, Cloud::Unknown, None))
}

/// <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>: `<id>.<shard>.<region>.eks.amazonaws.com`,
/// `<id>.<shard>.eks-cluster.<region>.api.aws`, and their Chinese forms. The management API is `eks.<region>.…`.
fn recognise_amazon(labels: &[&str]) -> Option<HostIdentity> {
    let suffix = AMAZON_SUFFIXES.iter().find(|suffix| ends_with(labels, suffix))?;
    let labels = &labels[..labels.len() - suffix.len()];
    let china = suffix.last() == Some(&"cn");
    let region = labels.iter().rev().find(|label| looks_like_amazon_region(label)).map(|label| (*label).to_owned());
    let cloud = match &region {
        _ if china => Cloud::AwsChina,
        Some(region) if region.starts_with("cn-") => Cloud::AwsChina,
        Some(region) if region.contains("-gov-") => Cloud::AwsGov,
        _ => Cloud::Aws,
    };
    let service = labels.iter().position(|label| EKS_SERVICES.contains(label) || *label == "eks-cluster")?;
    let before = &labels[..service];
    let management = labels[service] != "eks-cluster"
        && (before.is_empty()
            || before.iter().all(|label| *label == "fips" || label.starts_with("vpce-"))
            || labels.contains(&"vpce"));
    Some(identity(if management { HostKind::EksManagementApi } else { HostKind::EksCluster }, cloud, region))
}

/// <https://learn.microsoft.com/azure/aks/private-clusters>: `<name>.hcp.<region>.azmk8s.io`,
/// `….privatelink.<region>.azmk8s.io`, `….private.<region>.azmk8s.io`, `….portal.hcp.<region>.azmk8s.io`; the
/// sovereign clouds have suffixes of their own.
fn recognise_azure(labels: &[&str]) -> Option<HostIdentity> {
    let (suffix, cloud) = AZURE_SUFFIXES.iter().find(|(suffix, _)| ends_with(labels, suffix))?;
    let labels = &labels[..labels.len() - suffix.len()];
    let (kind, marker) = labels.iter().enumerate().rev().find_map(|(index, label)| match *label {
        "hcp" if index > 0 && labels[index - 1] == "portal" => Some((HostKind::AksPortal, index)),
        "hcp" => Some((HostKind::AksPublic, index)),
        "privatelink" => Some((HostKind::AksPrivateLink, index)),
        "private" => Some((HostKind::AksPrivate, index)),
        _ => None,
    })?;
    let region = labels.get(marker + 1).map(|label| (*label).to_owned());
    Some(identity(kind, *cloud, region))
}

fn identity(kind: HostKind, cloud: Cloud, region: Option<String>) -> HostIdentity {
    let (provider, meaning) = match kind {
        HostKind::EksCluster => (
            Provider::Eks,
            "an Amazon EKS cluster: the same name answers with private addresses inside the VPC when private access is on, and with public ones elsewhere",
        ),
        HostKind::EksManagementApi => (
            Provider::Eks,
            "the Amazon EKS management API, not a cluster: `kubectl` cannot talk to it, and an interface endpoint for it opens no way to the Kubernetes API",
        ),
        HostKind::AksPublic => (
            Provider::Aks,
            "an Azure AKS cluster by its public name: it answers with a public address, or with the private one where a private cluster publishes its public name",
        ),
        HostKind::AksPrivateLink => (
            Provider::Aks,
            "an Azure AKS private cluster: the name exists only in a private DNS zone, so only networks linked to that zone can resolve it",
        ),
        HostKind::AksPrivate => (
            Provider::Aks,
            "an Azure AKS private cluster with API-server VNet integration: the name exists only in a private DNS zone, so only networks linked to that zone can resolve it",
        ),
        HostKind::AksPortal => (
            Provider::Aks,
            "the name of an Azure AKS cluster that only the Azure portal uses; a kubeconfig should hold the cluster's own",
        ),
        HostKind::Gke => {
            (Provider::Generic, "a Google GKE cluster by its DNS endpoint: access is governed by IAM, not by networks")
        }
        HostKind::Address => (
            Provider::Generic,
            "a bare address: DNS plays no part, and the name that a certificate should bear is not known",
        ),
        HostKind::Other => (Provider::Generic, ""),
    };
    HostIdentity { provider, kind, cloud, region, meaning: (!meaning.is_empty()).then_some(meaning) }
}

fn ends_with(labels: &[&str], suffix: &[&str]) -> bool {
    labels.len() > suffix.len() && labels.ends_with(suffix)
}

/// `eu-west-1`, `us-gov-east-1`, `us-iso-east-1`, `ap-southeast-10`.
fn looks_like_amazon_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return false };
    !middle.is_empty()
        && middle.len() <= 2
        && (2..=4).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && middle.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
        && !last.is_empty()
        && last.len() <= 2
        && last.bytes().all(|byte| byte.is_ascii_digit())
}

const EKS_SERVICES: &[&str] = &["eks", "eks-fips", "eks-auth", "eks-auth-fips"];

const AMAZON_SUFFIXES: &[&[&str]] = &[
    &["amazonaws", "com"],
    &["amazonaws", "com", "cn"],
    &["api", "aws"],
    &["api", "amazonwebservices", "com", "cn"],
    &["amazonaws", "eu"],
    &["api", "amazonwebservices", "eu"],
    &["c2s", "ic", "gov"],
    &["sc2s", "sgov", "gov"],
];

const AZURE_SUFFIXES: &[(&[&str], Cloud)] = &[
    (&["azmk8s", "io"], Cloud::Azure),
    (&["azmk8s", "us"], Cloud::AzureGov),
    (&["cx", "aks", "containerservice", "azure", "us"], Cloud::AzureGov),
    (&["cx", "prod", "service", "azk8s", "cn"], Cloud::AzureChina),
    (&["azmk8s", "cn"], Cloud::AzureChina),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised() {
        use {Cloud as C, HostKind as K};
        for (host, kind, cloud, region) in [
            ("0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com", K::EksCluster, C::Aws, Some("eu-west-1")),
            ("0123456789abcdef.sk1.us-east-1.eks.amazonaws.com.", K::EksCluster, C::Aws, Some("us-east-1")),
            ("0123.gr7.us-gov-west-1.eks.amazonaws.com", K::EksCluster, C::AwsGov, Some("us-gov-west-1")),
            ("0123.yl4.cn-north-1.eks.amazonaws.com.cn", K::EksCluster, C::AwsChina, Some("cn-north-1")),
            ("0123.eks.eu-west-1.amazonaws.com", K::EksCluster, C::Aws, Some("eu-west-1")),
            ("0123.gr7.eks-cluster.eu-west-1.api.aws", K::EksCluster, C::Aws, Some("eu-west-1")),
            (
                "0123.gr7.eks-cluster.cn-north-1.api.amazonwebservices.com.cn",
                K::EksCluster,
                C::AwsChina,
                Some("cn-north-1"),
            ),
            ("eks.eu-west-1.amazonaws.com", K::EksManagementApi, C::Aws, Some("eu-west-1")),
            ("fips.eks.us-east-1.amazonaws.com", K::EksManagementApi, C::Aws, Some("us-east-1")),
            ("eks.cn-north-1.amazonaws.com.cn", K::EksManagementApi, C::AwsChina, Some("cn-north-1")),
            ("eks.eu-west-1.api.aws", K::EksManagementApi, C::Aws, Some("eu-west-1")),
            ("eks-auth.eu-west-1.api.aws", K::EksManagementApi, C::Aws, Some("eu-west-1")),
            ("vpce-0a1b-2c3d.eks.eu-west-1.vpce.amazonaws.com", K::EksManagementApi, C::Aws, Some("eu-west-1")),
            ("prod-rg-1234-abcd.hcp.westeurope.azmk8s.io", K::AksPublic, C::Azure, Some("westeurope")),
            ("prod-1.guid.privatelink.westeurope.azmk8s.io", K::AksPrivateLink, C::Azure, Some("westeurope")),
            ("prod-1.guid.private.westeurope.azmk8s.io", K::AksPrivate, C::Azure, Some("westeurope")),
            ("prod-1.portal.hcp.westeurope.azmk8s.io", K::AksPortal, C::Azure, Some("westeurope")),
            ("p.hcp.chinaeast2.cx.prod.service.azk8s.cn", K::AksPublic, C::AzureChina, Some("chinaeast2")),
            (
                "p.x.privatelink.chinaeast2.cx.prod.service.azk8s.cn",
                K::AksPrivateLink,
                C::AzureChina,
                Some("chinaeast2"),
            ),
            ("p.hcp.usgovvirginia.cx.aks.containerservice.azure.us", K::AksPublic, C::AzureGov, Some("usgovvirginia")),
            ("p.hcp.usgovvirginia.azmk8s.us", K::AksPublic, C::AzureGov, Some("usgovvirginia")),
            ("gke-0123-45678.europe-west1.gke.goog", K::Gke, C::Google, Some("europe-west1")),
            ("34.90.1.2", K::Address, C::Unknown, None),
            ("2001:db8::1", K::Address, C::Unknown, None),
            ("eks.amazonaws.com.evil.example", K::Other, C::Unknown, None),
            ("neks.amazonaws.com", K::Other, C::Unknown, None),
            ("ec2.eu-west-1.amazonaws.com", K::Other, C::Unknown, None),
            ("azmk8s.io", K::Other, C::Unknown, None),
            ("localhost", K::Other, C::Unknown, None),
            ("", K::Other, C::Unknown, None),
        ] {
            let found = recognise(host);
            assert_eq!((found.kind, found.cloud, found.region.as_deref()), (kind, cloud, region), "{host}");
        }
    }

    #[test]
    fn the_provider_follows_the_kind() {
        assert_eq!(recognise("x.gr7.eu-west-1.eks.amazonaws.com").provider, Provider::Eks);
        assert_eq!(recognise("x.hcp.westeurope.azmk8s.io").provider, Provider::Aks);
        assert_eq!(recognise("x.europe-west1.gke.goog").provider, Provider::Generic);
    }
}
