//! Where the providers document what the causes rest on: one constant a page.

use crate::report::Provider;

/// The page that says the same of this provider, where a cause of both names one of the other's.
pub(super) fn of_provider(page: &'static str, provider: Provider) -> &'static str {
    let pages = SAME_OF_BOTH.iter().copied();
    match provider {
        Provider::Eks => pages.clone().find(|(_, aks)| *aks == page).map_or(page, |(eks, _)| eks),
        Provider::Aks => pages.clone().find(|(eks, _)| *eks == page).map_or(page, |(_, aks)| aks),
        Provider::Generic => page,
    }
}

/// Pages of EKS and of AKS on the same matter.
const SAME_OF_BOTH: &[(&str, &str)] = &[
    (EKS_ENDPOINT, AKS_RANGES),
    (EKS_QUOTAS, AKS_RANGES),
    (EKS_TROUBLESHOOTING, AKS_CONN_FAIL),
    (EKS_NETWORK, AKS_PRIVATE),
    (EKS_API, AKS_TEMPLATE),
    (EKS_PRIVATE_ACCESS, AKS_PRIVATE_CONNECT),
    (VPC_EXPLANATIONS, AZURE_FLOW),
];

pub(super) const EKS_ENDPOINT: &str = "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html";
pub(super) const EKS_PRIVATE_ACCESS: &str =
    "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html#private-access";
pub(super) const EKS_NETWORK: &str = "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html";
pub(super) const EKS_SECURITY_GROUPS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html";
pub(super) const EKS_PRIVATE_CLUSTERS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html";
pub(super) const EKS_INTERFACE_ENDPOINTS: &str =
    "https://docs.aws.amazon.com/eks/latest/userguide/vpc-interface-endpoints.html";
pub(super) const EKS_TROUBLESHOOTING: &str = "https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html";
pub(super) const EKS_HYBRID: &str = "https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-networking.html";
pub(super) const EKS_QUOTAS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html";
pub(super) const EKS_API: &str =
    "https://github.com/boto/botocore/blob/develop/botocore/data/eks/2017-11-01/service-2.json";
pub(super) const EKS_ACTIVATE_CA: &str =
    "https://docs.aws.amazon.com/eks/latest/APIReference/API_ActivateCertificateAuthority.html";
pub(super) const EKS_CONTROL_PLANE: &str =
    "https://github.com/aws/aws-eks-best-practices/blob/master/latest/bpg/reliability/controlplane.adoc";
pub(super) const EKSCTL_ENDPOINTS: &str = "https://docs.aws.amazon.com/eks/latest/eksctl/vpc-cluster-access.html";
pub(super) const EKS_HYBRID_TOOL: &str = "https://github.com/aws/eks-hybrid";
pub(super) const EKS_DNS_FROM_NETWORKS: &str =
    "https://aws.amazon.com/blogs/compute/enabling-dns-resolution-for-amazon-eks-cluster-endpoints";
pub(super) const EKS_SIBLING_NAMES: &str = "https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2992";
pub(super) const EKS_ROADMAP_OLD_DNS: &str = "https://github.com/aws/containers-roadmap/issues/221";

pub(super) const VPC_DNS: &str = "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html";
pub(super) const ROUTE53_PRIVATE_ZONES: &str =
    "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-considerations.html";
pub(super) const VPC_PEERING: &str =
    "https://docs.aws.amazon.com/whitepapers/latest/aws-vpc-connectivity-options/vpc-peering.html";
pub(super) const TGW_ATTACHMENTS: &str = "https://docs.aws.amazon.com/vpc/latest/tgw/tgw-vpc-attachments.html";
pub(super) const EC2_API: &str =
    "https://github.com/boto/botocore/blob/develop/botocore/data/ec2/2016-11-15/service-2.json";
pub(super) const VPC_EXPLANATIONS: &str = "https://docs.aws.amazon.com/vpc/latest/reachability/explanation-codes.html";
pub(super) const VPC_NACL: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAclEntry.html";

pub(super) const AKS_RANGES: &str = "https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges";
pub(super) const AKS_SERVICE_TAGS: &str = "https://learn.microsoft.com/azure/aks/api-server-service-tags";
pub(super) const AKS_PRIVATE: &str = "https://learn.microsoft.com/azure/aks/private-clusters";
pub(super) const AKS_PRIVATE_CONNECT: &str = "https://learn.microsoft.com/azure/aks/private-cluster-connect";
pub(super) const AKS_VNET_INTEGRATION: &str = "https://learn.microsoft.com/azure/aks/api-server-vnet-integration";
pub(super) const AKS_EGRESS: &str = "https://learn.microsoft.com/azure/aks/outbound-rules-control-egress";
pub(super) const AKS_START_STOP: &str = "https://learn.microsoft.com/azure/aks/start-stop-cluster";
pub(super) const AKS_HTTP_PROXY: &str = "https://learn.microsoft.com/azure/aks/http-proxy";
pub(super) const AKS_CONN_FAIL: &str = "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverconnfail.md";
pub(super) const AKS_DNS_FAIL: &str = "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverdnslookupfail.md";
pub(super) const AKS_TEMPLATE: &str =
    "https://learn.microsoft.com/azure/templates/microsoft.containerservice/managedclusters";
pub(super) const AKS_ACCESS_PRIVATE: &str = "https://learn.microsoft.com/azure/aks/access-private-cluster";
pub(super) const AZURE_FLOW: &str =
    "https://learn.microsoft.com/azure/network-watcher/connection-troubleshoot-overview";
pub(super) const AZURE_DNS_FALLBACK: &str = "https://learn.microsoft.com/azure/dns/private-dns-fallback";
pub(super) const AZURE_PRIVATE_LINK_POLICY: &str =
    "https://learn.microsoft.com/azure/private-link/disable-private-endpoint-network-policy";

pub(super) const VANTAGES: &str = "https://github.com/kubereach/kubereach/blob/main/docs/vantages.md";
pub(super) const VANTAGES_SSH: &str = "https://github.com/kubereach/kubereach/blob/main/docs/vantages-ssh.md";
pub(super) const VANTAGES_SSM: &str = "https://github.com/kubereach/kubereach/blob/main/docs/vantages-ssm.md";
pub(super) const VANTAGES_KUBERNETES: &str =
    "https://github.com/kubereach/kubereach/blob/main/docs/vantages-kubernetes.md";
pub(super) const VANTAGES_AGENT: &str = "https://github.com/kubereach/kubereach/blob/main/docs/agents-over-nats.md";

pub(super) const KUBECTL_HELPERS: &str = "https://github.com/kubernetes/kubectl/blob/master/pkg/cmd/util/helpers.go";
pub(super) const KUBECTL_SET_CLUSTER: &str =
    "https://kubernetes.io/docs/reference/kubectl/generated/kubectl_config/kubectl_config_set-cluster";
pub(super) const KUBEADM_CERTIFICATES: &str =
    "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/";
pub(super) const EKSCTL_PROXY: &str = "https://github.com/eksctl-io/eksctl/issues/6189";
pub(super) const PROXY_VARIABLES: &str = "https://github.com/kelseyhightower/kubernetes-the-hard-way/issues/717";
pub(super) const REBIND_PROTECTION: &str = "https://github.com/trailofbits/algo/issues/1049";
pub(super) const WRONG_VIEW: &str = "https://github.com/terraform-aws-modules/terraform-aws-eks/issues/1064";
pub(super) const HALF_AN_OUTAGE: &str = "https://github.com/prometheus/blackbox_exporter/issues/1378";
