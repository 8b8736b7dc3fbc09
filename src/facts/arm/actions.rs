//! The one list of what the collector may ask: every request is made through it, and the role is compared with it.

/// Declares the actions: the name, the permission as role definitions spell it, the pinned version of the API, the file
/// that holds the answers (none for what only leads to others).
macro_rules! actions {
    ($($name:ident: $permission:literal, $version:literal, $file:expr;)+) => {
        /// An action of Azure Resource Manager. All of them only read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are the provider's own: its API reference describes them")]
        pub enum Action {
            $($name),+
        }

        impl Action {
            /// Every action that the collector ever asks.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As a role definition names it: `Microsoft.Network/virtualNetworks/read`.
            #[must_use]
            pub fn permission(self) -> String {
                match self { $(Self::$name => $permission.to_owned()),+ }
            }

            /// The version of the API that is asked for, always the same:
            /// <https://learn.microsoft.com/rest/api/azure/>.
            #[must_use]
            pub const fn api_version(self) -> &'static str {
                match self { $(Self::$name => $version),+ }
            }

            /// The file of the facts folder that holds the answers: `network/virtual-networks.json`.
            #[must_use]
            pub const fn file(self) -> Option<&'static str> {
                match self { $(Self::$name => $file),+ }
            }
        }
    };
}

actions! {
    Subscriptions: "Microsoft.Resources/subscriptions/read", "2022-12-01", None;
    ManagedClusters: "Microsoft.ContainerService/managedClusters/read", "2025-05-01", Some("aks/show.json");
    AgentPools: "Microsoft.ContainerService/managedClusters/agentPools/read", "2025-05-01", Some("aks/agent-pools.json");
    ActivityLog: "Microsoft.Insights/eventtypes/values/read", "2015-04-01", Some("aks/activity-log.json");
    VirtualNetworks: "Microsoft.Network/virtualNetworks/read", "2024-05-01", Some("network/virtual-networks.json");
    NetworkSecurityGroups: "Microsoft.Network/networkSecurityGroups/read", "2024-05-01",
        Some("network/network-security-groups.json");
    RouteTables: "Microsoft.Network/routeTables/read", "2024-05-01", Some("network/route-tables.json");
    PublicIpAddresses: "Microsoft.Network/publicIPAddresses/read", "2024-05-01",
        Some("network/public-ip-addresses.json");
    PublicIpPrefixes: "Microsoft.Network/publicIPPrefixes/read", "2024-05-01", Some("network/public-ip-prefixes.json");
    LoadBalancers: "Microsoft.Network/loadBalancers/read", "2024-05-01", Some("network/load-balancers.json");
    NatGateways: "Microsoft.Network/natGateways/read", "2024-05-01", Some("network/nat-gateways.json");
    PrivateEndpoints: "Microsoft.Network/privateEndpoints/read", "2024-05-01", Some("network/private-endpoints.json");
    NetworkInterfaces: "Microsoft.Network/networkInterfaces/read", "2024-05-01",
        Some("network/network-interfaces.json");
    AzureFirewalls: "Microsoft.Network/azureFirewalls/read", "2024-05-01", Some("network/azure-firewalls.json");
    VirtualNetworkGateways: "Microsoft.Network/virtualNetworkGateways/read", "2024-05-01",
        Some("network/virtual-network-gateways.json");
    ServiceTags: "Microsoft.Network/locations/serviceTags/read", "2024-05-01", Some("network/service-tags.json");
    PrivateDnsZones: "Microsoft.Network/privateDnsZones/read", "2024-06-01", Some("network/private-dns-zones.json");
    PrivateDnsZoneLinks: "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read", "2024-06-01",
        Some("network/private-dns-zone-links.json");
    PrivateDnsRecords: "Microsoft.Network/privateDnsZones/ALL/read", "2024-06-01",
        Some("network/private-dns-records.json");
    ScaleSets: "Microsoft.Compute/virtualMachineScaleSets/read", "2024-07-01", None;
    ScaleSetInterfaces: "Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read", "2018-10-01",
        Some("network/network-interfaces.json");
    UserCredential: "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action", "2025-05-01",
        Some("aks/certificate-authority.json");
    EffectiveRouteTable: "Microsoft.Network/networkInterfaces/effectiveRouteTable/action", "2024-05-01", None;
    EffectiveNetworkSecurityGroups: "Microsoft.Network/networkInterfaces/effectiveNetworkSecurityGroups/action",
        "2024-05-01", None;
}

impl Action {
    /// Whether it is asked only where somebody wants it (`--effective-routes`, `--certificate-authority`): it reads, but
    /// not with `…/read`, and the role of those that only read does not hold it.
    #[must_use]
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::UserCredential | Self::EffectiveRouteTable | Self::EffectiveNetworkSecurityGroups)
    }

    /// Whether a pull of the cluster alone asks it.
    #[must_use]
    pub const fn about_the_cluster(self) -> bool {
        matches!(self, Self::Subscriptions | Self::ManagedClusters | Self::ActivityLog)
    }

    /// The namespace and the type of the resources it lists in a subscription: `Microsoft.Network/virtualNetworks`.
    pub(super) fn listed_type(self) -> Option<String> {
        let listed = matches!(
            self,
            Self::ManagedClusters
                | Self::VirtualNetworks
                | Self::NetworkSecurityGroups
                | Self::RouteTables
                | Self::PublicIpAddresses
                | Self::PublicIpPrefixes
                | Self::LoadBalancers
                | Self::NatGateways
                | Self::PrivateEndpoints
                | Self::NetworkInterfaces
                | Self::AzureFirewalls
                | Self::PrivateDnsZones
                | Self::ScaleSets
        );
        listed.then(|| self.resource_type())
    }

    /// The namespace and the type of its resources.
    pub(super) fn resource_type(self) -> String {
        let permission = self.permission();
        permission.rsplit_once('/').map_or_else(|| permission.clone(), |(kind, _)| kind.to_owned())
    }

    /// What is unknown without it, for people.
    #[must_use]
    pub const fn tells(self) -> &'static str {
        match self {
            Self::Subscriptions => "which subscription is meant where none is given",
            Self::ManagedClusters => "the cluster: whether its endpoint is public or private, and for whom",
            Self::AgentPools => "the node pools as they are now",
            Self::ActivityLog => "when the cluster was changed last",
            Self::VirtualNetworks => "the virtual networks, their subnets, peerings and DNS servers",
            Self::NetworkSecurityGroups => "what the network security groups let through",
            Self::RouteTables => "where packets go",
            Self::PublicIpAddresses | Self::PublicIpPrefixes => "the addresses with which the cluster leaves",
            Self::LoadBalancers => "the load balancers' outbound addresses, and that of the API server",
            Self::NatGateways => "the addresses with which subnets leave by a NAT gateway",
            Self::PrivateEndpoints => "the private endpoints, the API server's among them, and their state",
            Self::NetworkInterfaces => "whose an address is",
            Self::AzureFirewalls => "the firewalls on the way",
            Self::VirtualNetworkGateways => "paths to networks on premises",
            Self::ServiceTags => "the ranges of rules that name a service tag",
            Self::PrivateDnsZones | Self::PrivateDnsZoneLinks | Self::PrivateDnsRecords => {
                "which address the API server's name has inside a virtual network"
            }
            Self::ScaleSets | Self::ScaleSetInterfaces => "the nodes' interfaces",
            Self::UserCredential => "the certificate authority of the API server",
            Self::EffectiveRouteTable => "the routes that a virtual machine really has",
            Self::EffectiveNetworkSecurityGroups => "the rules that a virtual machine really has",
        }
    }

    /// The action of a permission's name.
    #[must_use]
    pub fn by_permission(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.permission().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_action_only_reads() {
        for action in Action::ALL {
            let verb = action.permission().rsplit('/').next().unwrap_or_default().to_owned();
            assert_eq!(verb, if action.is_extra() { "action" } else { "read" }, "{action:?}");
        }
        assert_eq!(Action::by_permission("Microsoft.Network/virtualnetworks/READ"), Some(Action::VirtualNetworks));
        assert_eq!(Action::by_permission("Microsoft.Network/virtualNetworks/write"), None);
        assert_eq!(Action::VirtualNetworks.listed_type().as_deref(), Some("Microsoft.Network/virtualNetworks"));
        assert_eq!(Action::ServiceTags.listed_type(), None);
    }

    #[test]
    fn versions_of_the_api_are_stable_ones() {
        for action in Action::ALL {
            assert!(action.api_version().parse::<jiff::civil::Date>().is_ok(), "{action:?}");
        }
    }

    #[test]
    fn the_role_grants_exactly_the_actions_asked() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aks-role.json");
        let role: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut granted: Vec<&str> =
            role["Actions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let mut asked: Vec<String> =
            Action::ALL.iter().filter(|action| !action.is_extra()).map(|action| action.permission()).collect();
        granted.sort_unstable();
        asked.sort();
        assert_eq!(granted, asked);
        for other in ["NotActions", "DataActions", "NotDataActions"] {
            assert_eq!(role[other], serde_json::json!([]));
        }
    }
}
