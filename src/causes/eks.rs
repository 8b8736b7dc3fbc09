//! Causes of Amazon EKS and its VPC.

pub(super) mod authorities;
pub(super) mod changes;
mod commands;
mod management;
pub(super) mod names;
pub(super) mod paths;
pub(super) mod public;
mod sight;

pub(super) use sight::configuration;

use super::{
    BY_CONFIGURATION, Cause, CellView, Need, Told, configuration,
    recipes::{
        eks_add, eks_drop, eks_mode, eks_wait, kubeconfig_renew, network_acl_add, route_add, security_group_add,
        vpc_endpoint_add,
    },
    sources,
};
use crate::report::{Confidence, Severity};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "eks-client-not-in-public-access-cidrs",
        title: "The client's egress address is not in the public access CIDRs",
        signature: "DNS gives public addresses, public access is on, and nothing answers: the address that EKS sees is in no entry of `publicAccessCidrs` of its family, and EKS drops such packets silently. A refused connection or an ICMP error refutes it, because then somebody answered; security groups never govern the public endpoint. A firewall on the way out looks the same. The egress address of this very path against the list decides.",
        setting: "resourcesVpcConfig.publicAccessCidrs",
        fix: concat!(eks_add!("<egress address>/32"), "\n", eks_wait!()),
        docs: sources::EKS_ENDPOINT,
        kubectl: SILENT,
        decided_by: "the egress address of this path against `publicAccessCidrs`",
        predicate: Some(public::client_not_listed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-node-egress-not-in-public-access-cidrs",
        title: "The nodes' egress address is not in the public access CIDRs",
        signature: "Private access is off, the list is restricted, and the NAT gateway or public address of a node or Fargate subnet is not on it. The nodes reach the API by the public endpoint and are dropped there: instances fail to join, Fargate pods stay pending. While private access works this does not apply. The NAT gateways of the node subnets against the list decide.",
        setting: "publicAccessCidrs, with endpointPrivateAccess=false",
        fix: concat!(
            eks_mode!("endpointPrivateAccess=true"),
            "\n# or, keeping private access off:\n",
            eks_add!("<nat address>/32")
        ),
        docs: sources::EKS_TROUBLESHOOTING,
        kubectl: SILENT,
        decided_by: "the NAT gateways of the node subnets against the list",
        configuration: Some(configuration::endpoint::node_egress_not_listed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-public-access-disabled",
        title: "Public access of the EKS endpoint is off",
        signature: "Public reachability is intended, and `endpointPublicAccess` is false. Public DNS then gives the private addresses, which lead nowhere from the internet. That answer by itself is normal for a private-only cluster; only the intent makes it a fault. Where nothing public is intended it is good to know.",
        setting: "resourcesVpcConfig.endpointPublicAccess",
        fix: concat!(
            "# Give the list in the same call, or the endpoint opens to all:\n",
            eks_mode!("endpointPublicAccess=true,publicAccessCidrs=<egress address>/32")
        ),
        docs: sources::EKS_ENDPOINT,
        kubectl: SILENT,
        decided_by: "`endpointPublicAccess` in `aws eks describe-cluster`",
        configuration: Some(configuration::endpoint::public_access_disabled),
        predicate: Some(public::public_access_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-private-access-disabled",
        title: "Private access of the EKS endpoint is off",
        signature: "The private path is intended, or the vantage is inside the VPC, and the name resolves to public addresses everywhere, because `endpointPrivateAccess` is false. If the flag is true and the answer is public all the same, the DNS settings of the VPC are to blame instead. The flag decides.",
        setting: "resourcesVpcConfig.endpointPrivateAccess",
        fix: eks_mode!("endpointPrivateAccess=true"),
        docs: sources::EKS_ENDPOINT,
        kubectl: SILENT,
        decided_by: "`endpointPrivateAccess` in `aws eks describe-cluster`",
        configuration: Some(configuration::endpoint::private_access_disabled),
        predicate: Some(public::private_access_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-public-dns-not-switched-to-private",
        title: "Public DNS does not know the private endpoint of an old cluster",
        signature: "The cluster is private-only, the resolver in the VPC gives private addresses, and public DNS has no record. On clusters of today public DNS gives the private addresses too; the public record of an old one never moved. A deleted cluster would be unknown inside as well.",
        setting: "the endpoint's state from before the change of behaviour",
        fix: concat!(
            "# Turn public access on once, restricted, wait, and turn it off again:\n",
            eks_mode!("endpointPublicAccess=true,endpointPrivateAccess=true,publicAccessCidrs=<egress address>/32"),
            "\n",
            eks_wait!(),
            "\n",
            eks_mode!("endpointPublicAccess=false,endpointPrivateAccess=true")
        ),
        docs: sources::EKS_ROADMAP_OLD_DNS,
        kubectl: NO_NAME,
        decided_by: "the same name asked of the VPC's resolver and of a public one",
        predicate: Some(public::public_dns_not_switched),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-cluster-not-healthy",
        title: "The EKS cluster is not healthy",
        signature: "The cluster is being created or deleted, has failed or is pending, or EKS lists health issues, such as a VPC, subnet or security group that was deleted. What the probe sees follows from that and differs from case to case. The status and the issues' codes decide.",
        setting: "cluster.status, cluster.health.issues[].code",
        fix: "aws eks describe-cluster --region <region> --name <cluster> --query 'cluster.[status,health]'   # then repair the resource that is named",
        docs: sources::EKS_API,
        kubectl: SILENT,
        decided_by: "status and health in `aws eks describe-cluster`",
        configuration: Some(configuration::endpoint::not_healthy),
        predicate: Some(public::cluster_not_healthy),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-update-failed",
        title: "The last update of the endpoint failed",
        needs: &[Need::Facts],
        signature: "The newest update of endpoint access, VPC configuration or control-plane egress ended as `Failed` or `Cancelled`. The configuration is not what was asked for, because the change never landed. The update's error code names the reason: no free address, a missing subnet or security group, a limit, a missing permission.",
        setting: "update.errors[]",
        fix: concat!("# Remove the cause that the error names, repeat the update, then:\n", eks_wait!()),
        docs: sources::EKS_API,
        decided_by: "`aws eks describe-update` of the newest update",
        configuration: Some(configuration::endpoint::update_failed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-public-cidr-not-accepted",
        title: "EKS will not accept this entry of the public access CIDRs",
        needs: &[Need::Scenario],
        signature: "A planned entry is private, shared, loopback, link-local or multicast, or is IPv6 on a cluster that takes IPv4 only. Requests from such addresses never arrive over the internet, and the API refuses the call. Documentation ranges and host bits are only warned about, because AWS's own examples use them.",
        setting: "resourcesVpcConfig.publicAccessCidrs",
        fix: concat!("# List the public egress address instead:\n", eks_add!("<egress address>/32")),
        docs: sources::EKS_ENDPOINT,
        decided_by: "the entry itself",
        configuration: Some(configuration::limits::cidr_not_accepted),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-public-cidrs-over-quota",
        title: "More public access CIDRs than EKS takes",
        needs: &[Need::Scenario],
        signature: "After joining what can be joined, the list still holds more than 40 entries, a quota that cannot be raised. The finding prints the minimal equivalent list and whether it fits. If it does not, sources have to share an egress or use the private endpoint.",
        setting: "resourcesVpcConfig.publicAccessCidrs (quota 40)",
        fix: eks_mode!("publicAccessCidrs=<minimal list>"),
        docs: sources::EKS_QUOTAS,
        decided_by: "the number of entries of the minimal list",
        configuration: Some(configuration::limits::over_quota),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-both-endpoints-disabled",
        title: "Both endpoints of the cluster would be off",
        needs: &[Need::Scenario],
        signature: "The plan or the intent turns off public and private access alike. Nobody could reach the API server then, the nodes included, and EKS refuses the call. At least one must stay on.",
        setting: "endpointPublicAccess, endpointPrivateAccess",
        fix: eks_mode!("endpointPublicAccess=false,endpointPrivateAccess=true"),
        docs: sources::EKSCTL_ENDPOINTS,
        decided_by: "the two flags of the plan",
        configuration: Some(configuration::endpoint::both_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-control-plane-egress-unrouted",
        severity: Severity::Warning,
        title: "The control plane has no way out to webhooks",
        needs: &[Need::Facts],
        signature: "The control plane's egress is routed by the customer, and the subnets of its network interfaces have no route for webhook or OIDC targets. Calls that need those fail with 5xx, while clients still reach the API server. It is never the reason for a connection that times out.",
        setting: "resourcesVpcConfig.controlPlaneEgressMode",
        fix: route_add!(
            "<table of the cluster subnets>",
            "<target cidr>",
            "<--nat-gateway-id or --transit-gateway-id> <id>"
        ),
        docs: sources::EKS_API,
        kubectl: &["failed calling webhook"],
        decided_by: "the route tables of the cluster subnets",
        configuration: Some(configuration::endpoint::control_plane_egress_unrouted),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-dns-support-disabled",
        title: "DNS support of the VPC is off",
        signature: "Inside the VPC its resolver gives no answer for any name, because `enableDnsSupport` is false. A firewall on port 53 or an overloaded resolver looks the same for a while. The attribute decides.",
        setting: "enableDnsSupport",
        fix: "aws ec2 modify-vpc-attribute --vpc-id <vpc> --enable-dns-support '{\"Value\":true}'",
        docs: sources::VPC_DNS,
        kubectl: &["server misbehaving", "i/o timeout"],
        decided_by: "`aws ec2 describe-vpc-attribute --attribute enableDnsSupport`",
        configuration: Some(configuration::network::dns_support_disabled),
        predicate: Some(names::support_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-dns-hostnames-disabled",
        title: "DNS host names of the VPC are off",
        signature: "Public and private access are both on, and yet the VPC's own resolver gives public addresses, because `enableDnsHostnames` is false, as it is by default in VPCs that one makes oneself. Clients inside then leave by NAT and come back from outside: reachable if the NAT address is listed, else silent. DHCP options or a resolver rule give the same answer; the attribute decides.",
        setting: "enableDnsHostnames",
        fix: "aws ec2 modify-vpc-attribute --vpc-id <vpc> --enable-dns-hostnames '{\"Value\":true}'",
        docs: sources::VPC_DNS,
        kubectl: SILENT,
        decided_by: "`aws ec2 describe-vpc-attribute --attribute enableDnsHostnames`",
        configuration: Some(configuration::network::dns_hostnames_disabled),
        predicate: Some(names::hostnames_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-dhcp-options-lack-amazon-dns",
        title: "The VPC's DHCP options name other DNS servers",
        signature: "The DHCP options of the VPC lack AmazonProvidedDNS, so hosts ask other servers, which give public addresses or none, while 169.254.169.253 gives the private ones. If those servers forward to the VPC's resolver, hosts get the private answer and this is refuted.",
        setting: "domain-name-servers of the DHCP options set",
        fix: "aws ec2 associate-dhcp-options --dhcp-options-id <dopt> --vpc-id <vpc>   # or forward the zone to the VPC's base address + 2",
        docs: sources::EKS_ENDPOINT,
        kubectl: NO_NAME,
        decided_by: "the same name asked of 169.254.169.253 from the same host",
        configuration: Some(configuration::network::dhcp_lacks_amazon_dns),
        predicate: Some(names::dhcp_options),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-private-zone-not-in-effect",
        title: "The private DNS zone of the endpoint is not in effect here",
        signature: "Private access is on, the cluster is active, DNS attributes and DHCP options are right, and a host in the VPC still gets public addresses. If 169.254.169.253 gives the private ones, this host asks another resolver. If it does not, the zone that EKS owns is not associated with the VPC, which only AWS can see, or a resolver rule shadows it.",
        setting: "the zone that EKS owns; it is invisible in Route 53",
        fix: "dig +short @169.254.169.253 <host>   # private: use this resolver; public: give AWS support both answers",
        docs: sources::EKS_ENDPOINT,
        kubectl: SILENT,
        decided_by: "the answer of 169.254.169.253",
        predicate: Some(names::zone_not_in_effect),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-connected-network-gets-public-answer",
        title: "A connected network gets the public addresses, by design",
        signature: "Public and private access are both on, the client is in a peered VPC, behind a transit gateway or on-premises, and gets public addresses: the private zone covers the cluster's own VPC only. It is reachable if the client's egress address is listed, and silent if not. A client inside the VPC with the same answer has another cause.",
        setting: "the endpoint's mode; a Resolver inbound endpoint",
        fix: "aws route53resolver create-resolver-endpoint --direction INBOUND --creator-request-id <id> --security-group-ids <sg> --ip-addresses SubnetId=<subnet>\n# then forward <region>.eks.amazonaws.com to it; or make the cluster private-only",
        docs: sources::EKS_DNS_FROM_NETWORKS,
        kubectl: SILENT,
        decided_by: "whether the source lies in the cluster's own VPC",
        predicate: Some(names::connected_network),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-resolver-config-shadows-endpoint",
        title: "A resolver rule or private zone shadows the endpoint's name",
        signature: "The VPC's resolver gives public addresses or denies the name although the attributes are right: a forwarding rule for a parent domain beats the private zone, or a private zone of your own for a parent domain lacks the record, and nothing falls through to the next. The lists of rule associations and of zones by VPC tell the two apart.",
        setting: "Resolver rule; association of a private hosted zone",
        fix: "aws route53resolver disassociate-resolver-rule --vpc-id <vpc> --resolver-rule-id <rule>   # or take the stray zone's association away",
        docs: sources::ROUTE53_PRIVATE_ZONES,
        kubectl: NO_NAME,
        decided_by: "`aws route53resolver list-resolver-rule-associations` and `aws route53 list-hosted-zones-by-vpc`",
        configuration: Some(configuration::network::resolver_shadows),
        predicate: Some(names::resolver_shadows),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-control-plane-sg-blocks-client",
        title: "No security group of the control plane lets the client in",
        signature: "The answer is an address of the cluster's own network interfaces, and nothing answers: no rule in all their security groups together allows tcp/443 from the client. A group as source matches interfaces of this VPC and of a peer in the same Region only, not traffic through an appliance or NAT. One rule that allows refutes it; a network ACL or a missing route looks the same.",
        setting: "clusterSecurityGroupId, securityGroupIds",
        fix: security_group_add!("<sg>", "<client cidr>"),
        docs: sources::EKS_SECURITY_GROUPS,
        kubectl: SILENT,
        decided_by: "the ingress rules of all groups of the cluster's interfaces",
        predicate: Some(paths::control_plane_groups),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-prefix-list-lacks-client",
        title: "The prefix list behind the security-group rule lacks the client",
        signature: "A rule for tcp/443 exists, but its source is a managed prefix list without an entry for the client. From the rule alone it looks allowed. Without the list's entries it is not known, and not denied.",
        setting: "PrefixListIds of the rule, and the managed prefix list",
        fix: "aws ec2 modify-managed-prefix-list --prefix-list-id <pl> --current-version <version> --add-entries Cidr=<cidr>",
        docs: sources::EC2_API,
        kubectl: SILENT,
        decided_by: "`aws ec2 get-managed-prefix-list-entries`",
        predicate: Some(paths::prefix_list),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-client-sg-blocks-egress",
        title: "The client's own security group does not let it out",
        signature: "No egress rule of the groups of the client's network interface allows tcp/443 to the endpoint's address. The default group allows everything; hardened ones often forget the API server. Rules at the cluster's side look the same from here.",
        setting: "IpPermissionsEgress of the client's groups",
        fix: "aws ec2 authorize-security-group-egress --group-id <client sg> --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=<endpoint cidr>}]'",
        docs: sources::VPC_EXPLANATIONS,
        kubectl: SILENT,
        decided_by: "the egress rules of the client's groups",
        predicate: Some(paths::client_groups),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-nacl-denies-request",
        title: "A network ACL denies the request",
        signature: "The first rule that matches, by ascending number, denies tcp/443 out of the client's subnet or into the subnet of the cluster's network interfaces. Network ACLs do not apply within one subnet. A security group looks the same from here; the entries decide.",
        setting: "entries of the network ACL",
        fix: network_acl_add!("From=443,To=443"),
        docs: sources::VPC_EXPLANATIONS,
        kubectl: SILENT,
        decided_by: "the entries of both subnets' network ACLs, in order",
        predicate: Some(paths::network_acl_request),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-nacl-denies-return",
        title: "A network ACL denies the replies",
        signature: "Network ACLs keep no state, so replies need rules of their own: out of the cluster's subnet and into the client's, to the client's ephemeral ports 1024 to 65535. If that range is open only in part, some connections work and others time out. The request itself arrives, which only the far side could see.",
        setting: "entries of the network ACL",
        fix: network_acl_add!("From=1024,To=65535"),
        docs: sources::VPC_NACL,
        kubectl: SILENT,
        decided_by: "the entries for the ephemeral ports, in both subnets",
        predicate: Some(paths::network_acl_return),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-no-route-to-cluster",
        title: "The client's subnet has no route to the cluster",
        signature: "The route table of the client's subnet, or the main table, has no route to the cluster's addresses, or the longest match is a black hole. Packets then follow the default route and are lost. The table decides.",
        setting: "route table of the client's subnet",
        fix: route_add!(
            "<client table>",
            "<cluster vpc cidr>",
            "<--transit-gateway-id or --vpc-peering-connection-id> <id>"
        ),
        docs: sources::EC2_API,
        kubectl: SILENT,
        decided_by: "the route table of the client's subnet",
        predicate: Some(paths::no_route),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-no-return-route",
        title: "The cluster's subnets have no route back to the client",
        signature: "Requests arrive and the replies are lost, because a route table of the subnets of the cluster's network interfaces has no route to the client, or a black hole. Each subnet counts: if one of several lacks the route, only its address fails. From the client it looks like any other silence.",
        setting: "route tables of the cluster's subnets",
        fix: route_add!(
            "<table of each cluster subnet>",
            "<client cidr>",
            "<--transit-gateway-id or --vpc-peering-connection-id> <id>"
        ),
        docs: sources::EKS_HYBRID,
        kubectl: SILENT,
        decided_by: "the route table of every cluster subnet",
        predicate: Some(paths::no_return_route),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-peering-does-not-carry-traffic",
        title: "The VPC peering does not carry the traffic",
        signature: "The route leads to a peering connection that is not active (pending, expired, rejected, deleted), or the path would need a second hop behind it: peering is not transitive. The route alone looks right. The connection's status decides.",
        setting: "VpcPeeringConnection.Status.Code",
        fix: "aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id <pcx>   # or a transit gateway, where a second hop is needed",
        docs: sources::VPC_PEERING,
        kubectl: SILENT,
        decided_by: "`aws ec2 describe-vpc-peering-connections`",
        configuration: Some(configuration::network::peering_unusable),
        predicate: Some(paths::peering),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-tgw-attachment-not-usable",
        title: "The transit-gateway attachment cannot be used",
        signature: "The attachment is not available, or it has no subnet in the availability zone of the client or of the cluster's network interface; then only that zone fails. With several addresses that shows as one bad among good ones. The attachment's state and subnets decide.",
        setting: "State and SubnetIds of the attachment",
        fix: "aws ec2 modify-transit-gateway-vpc-attachment --transit-gateway-attachment-id <id> --add-subnet-ids <subnet>",
        docs: sources::TGW_ATTACHMENTS,
        kubectl: SILENT,
        decided_by: "`aws ec2 describe-transit-gateway-vpc-attachments`",
        configuration: Some(configuration::network::attachment_unusable),
        predicate: Some(paths::attachment),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-tgw-route-missing",
        title: "The transit gateway has no route",
        signature: "The transit-gateway route table of the source's attachment has no active route to the destination, or a black hole, in either direction. The VPC's own tables look right. The routes of both associated tables decide.",
        setting: "transit-gateway route table, its associations and propagations",
        fix: "aws ec2 create-transit-gateway-route --transit-gateway-route-table-id <rtb> --destination-cidr-block <cidr> --transit-gateway-attachment-id <id>",
        docs: sources::EKS_HYBRID,
        kubectl: SILENT,
        decided_by: "`aws ec2 search-transit-gateway-routes` for both directions",
        predicate: Some(paths::transit_route),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-no-internet-egress",
        title: "The subnet has no way to the internet",
        signature: "The answer is public, and the client's subnet has no default route, its NAT gateway is not available or is a private one, the internet gateway is detached, or the host behind it has no public address. Block Public Access of the VPC does the same. Control targets on the internet fail too, which tells it from an allow-list.",
        setting: "route table, NAT gateway, internet gateway, public address",
        fix: concat!(
            route_add!("<client table>", "0.0.0.0/0", "--nat-gateway-id <nat>"),
            "\n# or reach the cluster privately:\n",
            eks_mode!("endpointPrivateAccess=true")
        ),
        docs: sources::EC2_API,
        kubectl: SILENT,
        decided_by: "a control target on the internet, then the subnet's default route",
        predicate: Some(paths::no_internet),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "vpc-cidr-overlaps-client-network",
        title: "The client's network overlaps the VPC",
        signature: "The client's range overlaps a CIDR of the VPC, so that replies stay inside the VPC, or two VPCs on one transit gateway overlap, so that the second is not propagated. Routes look right on both sides. The two lists of CIDRs decide.",
        setting: "CidrBlockAssociationSet",
        fix: "# Give one side another range, or translate the client's range (NAT) before it enters the VPC.\naws ec2 describe-vpcs --vpc-ids <vpc> --query 'Vpcs[].CidrBlockAssociationSet'",
        docs: sources::TGW_ATTACHMENTS,
        kubectl: SILENT,
        decided_by: "the client's range against all CIDRs of the VPC",
        configuration: Some(configuration::network::overlaps),
        predicate: Some(paths::overlap),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-cluster-subnet-short-of-addresses",
        severity: Severity::Warning,
        title: "A cluster subnet is short of addresses",
        needs: &[Need::Facts],
        signature: "A subnet of the cluster has fewer than six free addresses; sixteen are advised. Today's endpoint works, and the next update fails with `IpNotAvailable` or `InsufficientFreeAddresses`. The number of free addresses decides.",
        setting: "resourcesVpcConfig.subnetIds",
        fix: eks_mode!("subnetIds=<subnet 1>,<subnet 2>"),
        docs: sources::EKS_NETWORK,
        decided_by: "AvailableIpAddressCount of each cluster subnet",
        configuration: Some(configuration::network::short_of_addresses),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-is-not-kubernetes",
        title: "This is the management API of EKS, not the cluster",
        needs: &[Need::Client, Need::Scenario],
        signature: "The host is `eks.<region>.amazonaws.com`, `eks.<region>.api.aws` or an interface endpoint of that service. It carries `aws eks …` calls only: TLS works, and what answers is no Kubernetes API server. An interface endpoint for EKS does not make a cluster's endpoint private either. The host's name decides.",
        setting: "clusters[].cluster.server; endpointPrivateAccess",
        fix: concat!(
            kubeconfig_renew!(),
            "\n# to reach the cluster privately:\n",
            eks_mode!("endpointPrivateAccess=true")
        ),
        docs: sources::EKS_INTERFACE_ENDPOINTS,
        kubectl: &[
            "could not find the requested resource",
            "certificate is valid for eks",
            "couldn't get current server api group list",
        ],
        decided_by: "the host's name",
        predicate: Some(management_endpoint),
        configuration: Some(configuration::management::is_not_kubernetes),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-unavailable",
        title: "The management API of EKS has no usable interface endpoint here",
        signature: "`aws eks` times out from a subnet without internet path, because the VPC has no interface endpoint for the service, or its state is not available. kubectl may work all the same: it is another target. The list of endpoints decides.",
        setting: "VpcEndpoints[].State",
        fix: vpc_endpoint_add!("com.amazonaws.<region>.eks"),
        docs: sources::EKS_INTERFACE_ENDPOINTS,
        kubectl: &["could not connect to the endpoint url"],
        decided_by: "`aws ec2 describe-vpc-endpoints`",
        configuration: Some(configuration::management::unavailable),
        predicate: Some(management::unavailable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-private-dns-off",
        title: "The interface endpoint of the EKS service has no private DNS",
        signature: "The interface endpoint is available, and yet the VPC's resolver gives public addresses for the service's name: `PrivateDnsEnabled` is false, or a DNS attribute of the VPC is. Calls leave by the internet or fail. It concerns `aws eks` only, never kubectl.",
        setting: "PrivateDnsEnabled",
        fix: "aws ec2 modify-vpc-endpoint --vpc-endpoint-id <vpce> --private-dns-enabled",
        docs: sources::EKS_INTERFACE_ENDPOINTS,
        decided_by: "PrivateDnsEnabled of the endpoint, and both DNS attributes of the VPC",
        configuration: Some(configuration::management::private_dns_off),
        predicate: Some(management::private_dns_off),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-sg-blocks-client",
        title: "The security groups of the EKS interface endpoint do not let the client in",
        signature: "The service's name resolves to the private addresses of the interface endpoint, and nothing answers: its security groups allow no tcp/443 from the client. It concerns `aws eks` only, never kubectl. The rules decide.",
        setting: "Groups of the interface endpoint",
        fix: security_group_add!("<endpoint sg>", "<client cidr>"),
        docs: sources::EKS_INTERFACE_ENDPOINTS,
        decided_by: "the ingress rules of the interface endpoint's groups",
        predicate: Some(paths::endpoint_groups),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-policy-denies",
        title: "The policy of the EKS interface endpoint denies the call",
        signature: "TLS works, and the answer is 403 with a message that names the endpoint's policy. Without that message it cannot be told from a denial by IAM. It concerns `aws eks` only, never kubectl.",
        setting: "PolicyDocument",
        fix: "aws ec2 modify-vpc-endpoint --vpc-endpoint-id <vpce> --policy-document file://<policy.json>",
        docs: sources::EKS_INTERFACE_ENDPOINTS,
        kubectl: &["no vpc endpoint policy allows"],
        decided_by: "the message of the 403",
        configuration: Some(configuration::management::policy_denies),
        predicate: Some(management::policy_denies),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-management-endpoint-hides-sibling-names",
        title: "Private DNS of the EKS interface endpoint hides sibling names",
        signature: "With private DNS on, names beside the service's, such as `oidc.eks.<region>.amazonaws.com`, do not exist inside the VPC and answer outside, because the endpoint's zone covers their parent. The cluster's own host is fine. The same name asked outside decides.",
        setting: "PrivateDnsEnabled",
        fix: "aws ec2 modify-vpc-endpoint --vpc-endpoint-id <vpce> --no-private-dns-enabled   # or forward the sibling name to a public resolver",
        docs: sources::EKS_SIBLING_NAMES,
        kubectl: NO_NAME,
        decided_by: "the sibling name asked of a public resolver",
        configuration: Some(configuration::management::hides_sibling_names),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-ipv6-open-while-ipv4-restricted",
        severity: Severity::Warning,
        title: "One address family of the endpoint is open, the other restricted",
        needs: &[Need::Facts],
        signature: "The endpoint has both families, the list restricts IPv4, and its IPv6 part is `::/0`, or the reverse. Whoever has the open family gets in from anywhere. The list by family decides.",
        setting: "resourcesVpcConfig.publicAccessCidrs",
        fix: concat!("# Add the IPv6 sources in use first, then:\n", eks_drop!("::/0")),
        docs: sources::EKS_API,
        decided_by: "the list, family by family",
        configuration: Some(configuration::allow_lists::one_family_open),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-node-traffic-leaves-vpc",
        severity: Severity::Info,
        title: "The nodes reach the API server over the public endpoint",
        needs: &[Need::Facts],
        signature: "Private access is off, and the nodes are in the VPC. Their traffic to the API server leaves the VPC and hangs on the public allow-list, so a change of the list can cut off the nodes. It works today.",
        setting: "resourcesVpcConfig.endpointPrivateAccess",
        fix: eks_mode!("endpointPrivateAccess=true"),
        docs: sources::EKS_ENDPOINT,
        decided_by: "`endpointPrivateAccess`",
        configuration: Some(configuration::endpoint::node_traffic_leaves_vpc),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-cluster-sg-rules-insufficient",
        severity: Severity::Warning,
        title: "The cluster security group lacks rules that the cluster needs",
        needs: &[Need::Facts],
        signature: "The cluster security group lacks the ingress rule from itself, or its restricted egress misses tcp 443, tcp 10250 or DNS to itself. Nodes and control plane may stop to understand each other, at the latest when interfaces are replaced. EKS restores the rule from itself on the next update of the cluster.",
        setting: "clusterSecurityGroupId",
        fix: "aws ec2 authorize-security-group-ingress --group-id <sg> --ip-permissions 'IpProtocol=-1,UserIdGroupPairs=[{GroupId=<sg>}]'",
        docs: sources::EKS_SECURITY_GROUPS,
        decided_by: "the rules of the cluster security group",
        configuration: Some(configuration::network::group_rules_insufficient),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-network-config-invalid",
        title: "EKS will not accept this network configuration",
        needs: &[Need::Scenario],
        signature: "Subnets lie in fewer than two availability zones or in one that EKS excludes, there are more than four security groups of one's own, or remote networks are not private, too large, too many, or overlap. The API refuses the call. Hybrid nodes with public and private endpoint together are only warned about.",
        setting: "subnetIds, securityGroupIds, remoteNetworkConfig",
        fix: "# Correct the field that the evidence names in the plan.",
        docs: sources::EKS_NETWORK,
        decided_by: "the plan itself",
        configuration: Some(configuration::limits::network_invalid),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-ca-rotation-not-trusted",
        title: "The kubeconfig does not trust the cluster's new certificate authority",
        signature: "The certificate is untrusted, EKS lists two certificate authorities or a new active one, and the chain verifies with the one that the kubeconfig lacks. EKS may activate a successor by itself near the end of the old one. A cluster that was made anew under the same name, or an intercepting proxy, looks the same without the provider's list. That list decides.",
        setting: "certificateAuthority.active, signingStatus",
        fix: concat!(
            kubeconfig_renew!(),
            "\n# while rollbackAvailable is true, EKS can also go back:\naws eks activate-certificate-authority --cluster-name <cluster> --certificate-authority-id <old>"
        ),
        docs: sources::EKS_ACTIVATE_CA,
        kubectl: &["certificate signed by unknown authority"],
        decided_by: "the chain verified with every authority that EKS lists",
        predicate: Some(authorities::rotation_not_trusted),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "eks-ca-successor-not-in-kubeconfig",
        severity: Severity::Warning,
        title: "The kubeconfig lacks the cluster's next certificate authority",
        needs: &[Need::Client, Need::Facts],
        signature: "EKS lists a second certificate authority that is not yet in use or about to be, and the kubeconfig's bundle lacks it. All is fine today; from its activation on, every certificate will count as untrusted. EKS may activate it by itself near the end of the old one, at the date that the finding gives.",
        setting: "certificateAuthority, scheduledEvents.firstAutoActivation",
        fix: kubeconfig_renew!(),
        docs: sources::EKS_ACTIVATE_CA,
        decided_by: "the authorities that EKS lists against the kubeconfig's bundle",
        configuration: Some(configuration::endpoint::successor_not_trusted),
        ..BY_CONFIGURATION
    },
];

fn management_endpoint(view: &CellView<'_>) -> Option<Told> {
    let host = view.host.to_ascii_lowercase();
    is_management_host(&host).then(|| {
        Told::new(
            Confidence::Certain,
            format!("{} is the management API of EKS: it carries `aws eks …` calls and no kubectl.", view.host),
        )
        .and("The endpoint of a cluster has the form <id>.<shard>.<region>.eks.amazonaws.com.")
        .setting(format!("server = https://{}:{}", view.host, view.port))
    })
}

fn is_management_host(host: &str) -> bool {
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    match labels.as_slice() {
        ["eks" | "eks-fips", _, "amazonaws", "com"]
        | ["eks" | "eks-fips", _, "amazonaws", "com", "cn"]
        | ["eks" | "eks-fips", _, "api", "aws"]
        | ["fips", "eks", _, "amazonaws", "com"] => true,
        [first, .., "vpce", "amazonaws", "com"] | [first, .., "vpce", "amazonaws", "com", "cn"] => {
            first.starts_with("vpce-") && labels.contains(&"eks")
        }
        _ => false,
    }
}

const SILENT: &[&str] = &["i/o timeout", "context deadline exceeded", "connection timed out"];
const NO_NAME: &[&str] = &["no such host"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::testing::*;

    #[test]
    fn the_management_api_is_known_by_its_name() {
        for host in [
            "eks.eu-west-1.amazonaws.com",
            "EKS.eu-west-1.api.aws",
            "eks.cn-north-1.amazonaws.com.cn",
            "vpce-0abc-1def.eks.eu-west-1.vpce.amazonaws.com",
        ] {
            assert!(is_management_host(&host.to_ascii_lowercase()), "{host}");
        }
        for host in [
            "0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com",
            "0123.gr7.eu-west-1.eks.amazonaws.com.cn",
            "vpce-0abc.sts.eu-west-1.vpce.amazonaws.com",
            "eks.example.com",
            "",
        ] {
            assert!(!is_management_host(host), "{host}");
        }
        let mut page = shook("198.51.100.20", kubereach_probes::TlsOutcome::Verified);
        page.http = http(kubereach_probes::HttpOutcome::NotApiServer);
        let scene = Scene::new().saw(vec![], vec![page]).with(|scene| scene.host = "eks.eu-west-1.amazonaws.com");
        assert_eq!(scene.errors(), ["eks-management-endpoint-is-not-kubernetes"]);
    }
}
