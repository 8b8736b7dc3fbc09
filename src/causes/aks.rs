//! Causes of Azure AKS and its virtual network. All need the provider's configuration.

pub(super) mod commands;
pub(super) mod names;
pub(super) mod paths;
pub(super) mod public;
mod sight;
#[cfg(test)]
mod tests;

use super::{
    BY_CONFIGURATION, Cause, Need,
    configuration::{aks, aks_zones, azure, limits, ranges},
    recipes::{aks_add, aks_reconcile, aks_set, azure_nsg_add, azure_zone_link},
    sources,
};
use crate::report::Severity;

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "aks-client-not-in-authorized-ip-ranges",
        title: "The client's egress address is not in the authorized IP ranges",
        signature: "DNS gives public addresses, the list of authorized IP ranges is not empty, and nothing answers: the address that AKS sees is in no range, and such packets are dropped without a reset. A refused connection refutes it. A list changed less than two minutes ago may not be in force yet, and the portal's resource view uses the browser's address, which is another vantage.",
        setting: RANGES,
        fix: aks_add!("<egress address>/32"),
        docs: sources::AKS_RANGES,
        kubectl: SILENT,
        decided_by: "the egress address of this path against the authorized IP ranges",
        predicate: Some(public::client_not_listed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-cluster-egress-not-in-authorized-ip-ranges",
        title: "The cluster's own egress address is not in the authorized IP ranges",
        signature: "The list is set, the API server is not VNet-integrated, and an outbound address of the cluster is not on it: of its load balancer, NAT gateway or firewall. Nodes go NotReady, new ones fail with exit 51. Only the creation of a cluster adds the address by itself. List egress addresses: the node subnet's range never arrives at a public endpoint.",
        setting: "apiServerAccessProfile.authorizedIPRanges; networkProfile.outboundType",
        fix: aks_add!("<egress address>/32"),
        docs: sources::AKS_RANGES,
        kubectl: &["k8sapiserverconnfail"],
        decided_by: "effectiveOutboundIPs, or the firewall's public address, against the list",
        predicate: Some(public::cluster_egress_not_listed),
        configuration: Some(ranges::egress_not_listed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-ranges-overwritten",
        title: "An update replaced the authorized IP ranges instead of adding to them",
        needs: &[Need::Facts],
        signature: "Entries of an earlier snapshot, or of the intent, vanished with one update while a new one appeared: the call replaces the whole list. Those who were on it before are cut off at once. Two snapshots decide.",
        setting: RANGES,
        fix: aks_set!("<earlier entries>,<new entry>"),
        docs: sources::AKS_RANGES,
        kubectl: SILENT,
        decided_by: "an earlier snapshot of the list",
        configuration: Some(ranges::overwritten),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-ranges-outbound-only",
        title: "The authorized IP ranges let in only the cluster itself",
        signature: "The list is exactly `0.0.0.0/32`, which stands for the Standard load balancer's outbound address: every other client is dropped silently, and nodes that leave by a NAT gateway or firewall as well. The value may not be combined with ranges. The list decides.",
        setting: RANGES,
        fix: aks_set!("<outbound ips>,<admin ranges>"),
        docs: sources::AKS_RANGES,
        kubectl: SILENT,
        decided_by: "the list itself",
        predicate: Some(public::outbound_only),
        configuration: Some(ranges::outbound_only),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-node-public-ip-not-authorized",
        title: "Nodes with public addresses of their own are not in the authorized IP ranges",
        needs: &[Need::Facts],
        signature: "A node pool gives each node a public address while the list is set, and the pool has no public IP prefix, or its prefix is not on the list. Those nodes reach the API server from addresses that nobody listed. The pool's prefix against the list decides.",
        setting: "agentPoolProfiles[].nodePublicIPPrefixID",
        fix: concat!("# Pools without a prefix must be created anew with one. Then:\n", aks_add!("<prefix>")),
        docs: sources::AKS_RANGES,
        kubectl: SILENT,
        decided_by: "the pool's public IP prefix against the list",
        configuration: Some(ranges::node_public_ip),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-range-not-network-address",
        title: "An authorized IP range has host bits set",
        needs: &[Need::Scenario],
        signature: "A range is written with an address inside it instead of its network address, such as `.93/29` for `.88/29`, and `az` refuses it. Writing `/24` behind one's own address falls into this, and would admit 256 addresses: `/32` is meant. A bare address is fine.",
        setting: RANGES,
        fix: aks_add!("<network>/<length>"),
        docs: sources::AKS_RANGES,
        decided_by: "the entry itself",
        configuration: Some(ranges::not_network_address),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-range-not-public-ipv4",
        title: "An authorized IP range is no public IPv4 range",
        needs: &[Need::Scenario, Need::Facts],
        signature: "An entry is private, shared, reserved for documentation or otherwise not global, or is IPv6: `az` refuses it. Stored by a template it can never match, because such a source does not arrive at a public endpoint. Stored entries are only warned about.",
        setting: RANGES,
        fix: aks_set!("<list with the public egress address instead>"),
        docs: sources::AKS_RANGES,
        decided_by: "the entry itself",
        configuration: Some(ranges::not_public_ipv4),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-ranges-over-limit",
        title: "More authorized IP ranges than AKS takes",
        needs: &[Need::Scenario],
        signature: "The list holds more than 200 entries, or more than 2,000 with API-server VNet integration. The finding prints the minimal equivalent list and whether it fits. If it does not, VNet integration raises the limit.",
        setting: RANGES,
        fix: aks_set!("<minimal list>"),
        docs: sources::AKS_RANGES,
        decided_by: "the number of entries of the minimal list",
        configuration: Some(limits::over_quota),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-ranges-on-private-cluster",
        title: "A private cluster takes no authorized IP ranges",
        needs: &[Need::Scenario],
        signature: "The plan gives a list of ranges to a private cluster, and AKS refuses that: the ranges govern the public endpoint, which a private cluster does not have. Restrict it with network security groups instead.",
        setting: "authorizedIPRanges and enablePrivateCluster",
        fix: "# Take authorizedIPRanges out of the plan.",
        docs: sources::AKS_RANGES,
        decided_by: "both fields of the plan",
        configuration: Some(ranges::on_private_cluster),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-authorized-ip-ranges-need-standard-lb",
        title: "Authorized IP ranges need the Standard load balancer",
        needs: &[Need::Scenario, Need::Facts],
        signature: "The list is used with the Basic load balancer, which `az` refuses when a cluster is created. Old clusters with both keep working. Whether one can be migrated, the sources disagree.",
        setting: "networkProfile.loadBalancerSku",
        fix: "az aks update -g <rg> -n <cluster> --load-balancer-sku standard   # if refused: create the cluster anew on Standard",
        docs: sources::AKS_RANGES,
        decided_by: "loadBalancerSku",
        configuration: Some(ranges::need_standard_balancer),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-service-tag-not-accepted",
        title: "AKS will not accept this service tag as an authorized range",
        needs: &[Need::Scenario],
        signature: "The list names more than one service tag, the preview feature is not registered, the API server is VNet-integrated, or the stock command line is used, which takes IPv4 CIDRs only. One tag may stand beside addresses.",
        setting: "feature EnableServiceTagAuthorizedIPPreview",
        fix: "az feature register --namespace Microsoft.ContainerService --name EnableServiceTagAuthorizedIPPreview   # and keep one tag",
        docs: sources::AKS_SERVICE_TAGS,
        decided_by: "the list, and the state of the feature",
        configuration: Some(ranges::service_tag_not_accepted),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-cluster-stopped",
        title: "The AKS cluster is stopped",
        signature: "The cluster's power state is `Stopped`, so that from every vantage nothing answers, or the connection is refused. An allow-list that lacks this vantage looks the same from here, and not from elsewhere. The power state decides.",
        setting: "powerState.code",
        fix: "az aks start -g <rg> -n <cluster>",
        docs: sources::AKS_START_STOP,
        kubectl: &["i/o timeout", "connection refused", "no such host"],
        decided_by: "`az aks show --query powerState`",
        predicate: Some(public::cluster_stopped),
        configuration: Some(aks::stopped),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-cluster-not-ready",
        title: "The AKS cluster is not ready",
        signature: "The provisioning state is `Failed`, or still `Creating` or `Updating` long after the change, and from all vantages alike the connection is refused or the answer is 5xx. A single vantage that fails has another cause. The provisioning state decides.",
        setting: "provisioningState",
        fix: aks_reconcile!(),
        docs: sources::AKS_CONN_FAIL,
        kubectl: &["connection refused", "service unavailable"],
        decided_by: "`az aks show --query provisioningState`",
        predicate: Some(public::cluster_not_ready),
        configuration: Some(aks::not_ready),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-public-network-access-disabled",
        title: "Public network access of the AKS cluster is off",
        signature: "Public reachability is intended, and `publicNetworkAccess` is `Disabled`, or the cluster became private after VNet integration. The public name then does not exist or leads to private addresses. The flag decides.",
        setting: "publicNetworkAccess",
        fix: "az aks update -g <rg> -n <cluster> --disable-private-cluster   # VNet-integrated clusters; preview",
        docs: sources::AKS_TEMPLATE,
        kubectl: SILENT,
        decided_by: "`az aks show --query publicNetworkAccess`",
        predicate: Some(public::public_network_access_disabled),
        configuration: Some(aks::public_access_disabled),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-private-zone-not-linked",
        title: "The private DNS zone is not linked to the client's network",
        signature: "The private name does not exist for a client that asks Azure DNS from its VNet, because the zone `privatelink.<region>.azmk8s.io` has no link to that VNet, or to the VNet of the custom DNS server. By default only the nodes' VNet is linked. A missing record, or another zone of the same name, gives the same answer. The zone's links decide.",
        setting: "virtualNetworkLinks of the zone",
        fix: azure_zone_link!(),
        docs: sources::AKS_PRIVATE,
        kubectl: NO_NAME,
        decided_by: "the zone's links against the VNet of the client or its DNS server",
        predicate: Some(names::zone_not_linked),
        configuration: Some(aks_zones::not_linked),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-private-zone-record-wrong",
        title: "The record in the private DNS zone is missing or wrong",
        signature: "The zone is linked, and its A record is missing, or is not the address of the private endpoint, as after a re-creation. Missing, the name does not exist; wrong, the private address stays silent. The record against the endpoint's network interface decides.",
        setting: "the A record in the zone",
        fix: aks_reconcile!(),
        docs: sources::AKS_START_STOP,
        kubectl: NO_NAME,
        decided_by: "the A record against the address of the private endpoint's interface",
        predicate: Some(names::record_wrong),
        configuration: Some(aks_zones::record_wrong),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-private-zone-shadowed",
        title: "Another private zone of the same name shadows the record",
        signature: "The VNet is linked to a second zone of the same name that lacks the record. Its denial is authoritative, and by default Azure does not fall back to public DNS. A missing link gives the same answer; the list of the VNet's links decides.",
        setting: "resolutionPolicy of the link",
        fix: "az network private-dns link vnet update -g <rg> -z <zone> -n <link> --resolution-policy NxDomainRedirect   # or unlink the stray zone",
        docs: sources::AZURE_DNS_FALLBACK,
        kubectl: NO_NAME,
        decided_by: "all zones of this name that are linked to the VNet",
        predicate: Some(names::zone_shadowed),
        configuration: Some(aks_zones::shadowed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-private-zone-settings-rejected",
        title: "AKS rejects the settings of the private DNS zone",
        needs: &[Need::Scenario, Need::Facts],
        signature: "`privateDNSZone` is `none` while the public FQDN is off, the zone has a wrong name, the identity lacks the roles Private DNS Zone Contributor and Network Contributor, or a link is refused because of overlapping namespaces. The cluster is not created or updated then. The error's code tells which.",
        setting: "privateDNSZone, role assignments, links",
        fix: concat!(
            "az role assignment create --assignee <identity> --role \"Private DNS Zone Contributor\" --scope <zone-id>   # or unlink the other zone\n",
            aks_reconcile!()
        ),
        docs: sources::AKS_PRIVATE,
        decided_by: "the error code of the operation",
        configuration: Some(aks_zones::settings_rejected),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-kubeconfig-uses-wrong-fqdn",
        title: "The kubeconfig uses a name of the cluster that does not lead there",
        needs: &[Need::Client, Need::Facts],
        signature: "The kubeconfig holds the public FQDN although it is disabled, so the name does not exist, or the portal's FQDN, which only the portal may use. A cluster that was deleted looks the same. The names in the cluster's description decide.",
        setting: "enablePrivateClusterPublicFQDN",
        fix: "az aks get-credentials -g <rg> -n <cluster> --overwrite-existing\n# or, to use the public name:\naz aks update -g <rg> -n <cluster> --enable-public-fqdn\naz aks get-credentials -g <rg> -n <cluster> --overwrite-existing --public-fqdn",
        docs: sources::AKS_PRIVATE,
        kubectl: NO_NAME,
        decided_by: "fqdn and privateFQDN in `az aks show` against the kubeconfig's server",
        predicate: Some(names::wrong_name),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "azure-custom-dns-not-forwarding",
        title: "The VNet's own DNS servers do not forward to Azure DNS",
        signature: "The VNet has DNS servers of its own, which deny the name or fail, while 168.63.129.16 in the linked VNet gives the private address. The forwarder is missing, or made for a subdomain only (the parent zone must be forwarded), or its VNet is not linked to the zone. Nodes then fail with exit 52.",
        setting: "the forwarder on the DNS server; dhcpOptions.dnsServers of the VNet",
        fix: concat!("# On the DNS server: forward <parent zone> to 168.63.129.16. Then:\n", aks_reconcile!()),
        docs: sources::AKS_DNS_FAIL,
        kubectl: &["no such host", "server misbehaving", "k8sapiserverdnslookupfail"],
        decided_by: "the same name asked of 168.63.129.16 from the DNS server's VNet",
        predicate: Some(names::custom_dns),
        configuration: Some(aks_zones::custom_servers),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-private-endpoint-not-usable",
        title: "The private endpoint of the API server cannot be used",
        signature: "The answer is private, and nothing answers there: the endpoint `kube-apiserver` is missing, or its connection is pending, rejected or disconnected. Peering, routes and network security groups look the same. The state of its connection decides.",
        setting: "privateLinkServiceConnectionState.status",
        fix: concat!(
            "az network private-endpoint list -g <node-rg> --query \"[?contains(name,'kube-apiserver')]\"\n",
            aks_reconcile!()
        ),
        docs: sources::AKS_CONN_FAIL,
        kubectl: SILENT,
        decided_by: "the connection state of the private endpoint",
        predicate: Some(paths::private_endpoint),
        configuration: Some(azure::private_endpoint_not_usable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-vnet-integration-restart-pending",
        title: "VNet integration waits for a restart of the cluster",
        signature: "`enableVnetIntegration` is newly true, and DNS is still old, or the new address stays silent: it takes effect only after the cluster was stopped and started by hand, which is an outage. The restart changes the address and not the name, so that rules with literal addresses need renewal.",
        setting: "apiServerAccessProfile.enableVnetIntegration",
        fix: "az aks stop -g <rg> -n <cluster>\naz aks start -g <rg> -n <cluster>   # then renew rules that name addresses",
        docs: sources::AKS_VNET_INTEGRATION,
        kubectl: SILENT,
        decided_by: "whether the cluster was restarted since the flag was set",
        predicate: Some(public::restart_pending),
        configuration: Some(aks::restart_pending),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-fixed-at-creation",
        title: "The plan changes what AKS takes only at creation",
        needs: &[Need::Scenario],
        signature: "The plan makes a public cluster private or a private one public, and its API server is not VNet-integrated; or it turns VNet integration off. AKS takes the first only when a cluster is created, and never the second. The cluster as it is today against the plan decides.",
        setting: "apiServerAccessProfile.enablePrivateCluster, enableVnetIntegration",
        fix: "az aks update -g <rg> -n <cluster> --enable-apiserver-vnet-integration --apiserver-subnet-id <subnet id>   # cannot be undone, needs a restart; or create the cluster anew",
        docs: sources::AKS_VNET_INTEGRATION,
        kubectl: &[],
        decided_by: "`az aks show` before the change against the plan",
        configuration: Some(aks::fixed_at_creation),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-apiserver-subnet-nsg-blocks",
        title: "The network security group of the API server's subnet blocks",
        signature: "The group on the API server's subnet denies tcp 443 or 4443 from the nodes' subnets, or 9988 from the load balancer. Nodes go NotReady, and the private address stays silent. The group's rules by priority decide.",
        setting: "network security group of apiServerAccessProfile.subnetId",
        fix: concat!(azure_nsg_add!("Inbound", "443 4443"), "   # and 9988 from AzureLoadBalancer"),
        docs: sources::AKS_VNET_INTEGRATION,
        kubectl: SILENT,
        decided_by: "the group's rules by ascending priority number",
        predicate: Some(paths::api_server_subnet),
        configuration: Some(azure::api_subnet_group_blocks),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-apiserver-subnet-invalid",
        title: "The API server's subnet does not meet the rules",
        needs: &[Need::Scenario, Need::Facts],
        signature: "The subnet is smaller than /28, is not delegated to `Microsoft.ContainerService/managedClusters`, is shared with other workloads, or has nearly no addresses left; each cluster takes at least nine. AKS refuses it, or a later operation fails. On a subnet in use it is only a warning.",
        setting: "apiServerAccessProfile.subnetId",
        fix: "az network vnet subnet create -g <rg> --vnet-name <vnet> -n <name> --delegations Microsoft.ContainerService/managedClusters --address-prefixes <cidr>",
        docs: sources::AKS_VNET_INTEGRATION,
        decided_by: "size, delegation and free addresses of the subnet",
        configuration: Some(azure::api_subnet_invalid),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "azure-nsg-denies-443",
        title: "A network security group denies the connection",
        signature: "The matching rule with the lowest priority number denies tcp/443 outbound from the client or node subnet, or inbound on the private endpoint's subnet, where groups count only if network policies for private endpoints are on. Rules with service tags cannot be evaluated without the tags' prefixes. The group's rules decide.",
        setting: "rule of the network security group",
        fix: azure_nsg_add!("<Outbound or Inbound>", "443"),
        docs: sources::AKS_CONN_FAIL,
        kubectl: SILENT,
        decided_by: "the rules of both sides' groups by ascending priority number",
        predicate: Some(paths::security_group),
        configuration: Some(azure::group_denies_443),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "azure-udr-diverts-endpoint",
        title: "A user-defined route diverts the endpoint's traffic",
        signature: "The client subnet's route table sends the address nowhere, or to an appliance that is dead, filters, or sees one direction only: the private endpoint's own /32 route beats wider user-defined routes, so replies may skip the appliance. Inside the appliance only its own logs can tell.",
        setting: "routes[].nextHopType",
        fix: "az network route-table route update -g <rg> --route-table-name <rt> -n <route> --next-hop-type <type>   # or network policies for routes on the endpoint's subnet",
        docs: sources::AZURE_PRIVATE_LINK_POLICY,
        kubectl: &["i/o timeout", "no route to host"],
        decided_by: "the effective routes of the client's network interface",
        predicate: Some(paths::user_route),
        configuration: Some(azure::route_diverts),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "azure-peering-does-not-carry-traffic",
        title: "The VNet peering does not carry the traffic",
        signature: "Client and endpoint are in different VNets, and there is no peering, it is not `Connected` (one-sided), access or forwarded traffic is not allowed, the gateway is not shared, or the path would need two hops: peering is not transitive. A network security group looks the same. The state and flags of the peering on both sides decide.",
        setting: "virtualNetworkPeerings[]",
        fix: "# On both sides:\naz network vnet peering create -g <rg> --vnet-name <vnet> -n <name> --remote-vnet <id> --allow-vnet-access true",
        docs: sources::AKS_PRIVATE_CONNECT,
        kubectl: SILENT,
        decided_by: "`az network vnet peering list` on both sides",
        predicate: Some(paths::peering),
        configuration: Some(azure::peering_unusable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "azure-firewall-lacks-endpoint-rule",
        title: "The egress firewall has no rule for the endpoint",
        signature: "From a subnet with forced tunnelling the connection times out, is refused, or is cut off during TLS for this name only, because the firewall has no application rule for `*.hcp.<region>.azmk8s.io` (private: `*.privatelink.<region>.azmk8s.io`). Without a name the handshake may pass. The firewall's rules decide.",
        setting: "application rule of the egress firewall",
        fix: "az network firewall application-rule create -g <rg> --firewall-name <firewall> --collection-name <collection> -n allow-k8s-api --protocols Https=443 --target-fqdns <host> --source-addresses <client cidr> --priority <number> --action Allow",
        docs: sources::AKS_EGRESS,
        kubectl: &["eof", "connection reset by peer", "i/o timeout"],
        decided_by: "a handshake with the same address without SNI, then the firewall's rules",
        predicate: Some(paths::firewall),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-http-proxy-config-ineffective",
        severity: Severity::Warning,
        title: "The cluster's HTTP proxy settings do not do what they seem to",
        needs: &[Need::Facts],
        signature: "`httpProxyConfig.noProxy` holds wildcards, which are not honoured, or the proxy's own certificate authority is expected to work for the API server, which is not supported. Nodes then reach the API server through the proxy, or fail.",
        setting: "httpProxyConfig",
        fix: "az aks update -g <rg> -n <cluster> --http-proxy-config <file.json>   # plain suffixes and the API server's FQDN in noProxy",
        docs: sources::AKS_HTTP_PROXY,
        decided_by: "the entries of noProxy",
        configuration: Some(aks::proxy_ineffective),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "aks-no-out-of-band-access",
        severity: Severity::Info,
        title: "A private cluster without any way in besides the network",
        needs: &[Need::Facts],
        signature: "The cluster is private, run command is disabled, and no vantage is inside its network. If the path breaks there is no way in to repair it. It works today.",
        setting: "apiServerAccessProfile.disableRunCommand",
        fix: "az aks update -g <rg> -n <cluster> --enable-run-command",
        docs: sources::AKS_ACCESS_PRIVATE,
        decided_by: "`disableRunCommand`",
        configuration: Some(aks::no_out_of_band_access),
        ..BY_CONFIGURATION
    },
];

const RANGES: &str = "apiServerAccessProfile.authorizedIPRanges";
const SILENT: &[&str] = &["i/o timeout", "context deadline exceeded", "connection timed out"];
const NO_NAME: &[&str] = &["no such host"];
