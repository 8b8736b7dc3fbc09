//! The one list of what the collector may ask: every request is made through it, and the IAM policy is compared with it.

/// Declares the actions.
macro_rules! actions {
    ($($service:ident : $name:ident),+ $(,)?) => {
        /// An action of the provider's API. All of them only read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are the provider's own: its API reference describes them")]
        pub enum Action {
            $($name),+
        }

        impl Action {
            /// Every action that the collector ever asks.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The service's short name: `ec2` or `eks`.
            #[must_use]
            pub const fn service(self) -> &'static str {
                match self { $(Self::$name => stringify!($service)),+ }
            }

            /// The operation's name: `DescribeVpcs`.
            #[must_use]
            pub const fn operation(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

actions! {
    eks: DescribeCluster,
    eks: ListUpdates,
    eks: DescribeUpdate,
    eks: ListCertificateAuthorities,
    eks: DescribeCertificateAuthority,
    ec2: DescribeVpcs,
    ec2: DescribeVpcAttribute,
    ec2: DescribeManagedPrefixLists,
    ec2: GetManagedPrefixListEntries,
    ec2: DescribeTransitGatewayRouteTables,
    ec2: SearchTransitGatewayRoutes,
    ec2: DescribeDhcpOptions,
    ec2: DescribeSubnets,
    ec2: DescribeRouteTables,
    ec2: DescribeNetworkAcls,
    ec2: DescribeSecurityGroups,
    ec2: DescribeSecurityGroupRules,
    ec2: DescribeNetworkInterfaces,
    ec2: DescribeInstances,
    ec2: DescribeNatGateways,
    ec2: DescribeInternetGateways,
    ec2: DescribeEgressOnlyInternetGateways,
    ec2: DescribeVpcPeeringConnections,
    ec2: DescribeTransitGateways,
    ec2: DescribeTransitGatewayAttachments,
    ec2: DescribeTransitGatewayVpcAttachments,
    ec2: DescribeVpnGateways,
    ec2: DescribeVpnConnections,
    ec2: DescribeVpcEndpoints,
    ec2: DescribeVpcBlockPublicAccessOptions,
}

impl Action {
    /// As an IAM policy names it: `ec2:DescribeVpcs`.
    #[must_use]
    pub fn permission(self) -> String {
        format!("{}:{}", self.service(), self.operation())
    }

    /// Whether it needs an id that another action's answer gives.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(
            self,
            Self::DescribeUpdate
                | Self::DescribeCertificateAuthority
                | Self::DescribeVpcAttribute
                | Self::GetManagedPrefixListEntries
                | Self::SearchTransitGatewayRoutes
        )
    }

    /// Whether other actions wait for its answer.
    #[must_use]
    pub const fn leads(self) -> bool {
        matches!(
            self,
            Self::ListUpdates
                | Self::ListCertificateAuthorities
                | Self::DescribeVpcs
                | Self::DescribeManagedPrefixLists
                | Self::DescribeTransitGatewayRouteTables
        )
    }

    /// What is unknown without it, for people.
    #[must_use]
    pub const fn tells(self) -> &'static str {
        match self {
            Self::DescribeCluster => "the cluster: whether its endpoint is public, private and for whom",
            Self::ListUpdates | Self::DescribeUpdate => "whether a change of the cluster is still under way",
            Self::ListCertificateAuthorities | Self::DescribeCertificateAuthority => {
                "which certificate authorities the cluster has, and which of them signs"
            }
            Self::DescribeVpcs => "the VPCs and their address ranges",
            Self::DescribeVpcAttribute | Self::DescribeDhcpOptions => "which address a name has inside a VPC",
            Self::DescribeManagedPrefixLists | Self::GetManagedPrefixListEntries => {
                "the ranges of rules and routes that name a prefix list"
            }
            Self::DescribeSubnets => "which subnet an address is in",
            Self::DescribeRouteTables => "where packets go",
            Self::DescribeNetworkAcls => "what the network ACLs let through",
            Self::DescribeSecurityGroups => "what the security groups let through",
            Self::DescribeSecurityGroupRules => "the ids of the security groups' rules",
            Self::DescribeNetworkInterfaces => "the control plane's interfaces, and whose an address is",
            Self::DescribeInstances => "the instances",
            Self::DescribeNatGateways => "the address with which private subnets leave",
            Self::DescribeInternetGateways | Self::DescribeEgressOnlyInternetGateways => "paths to the internet",
            Self::DescribeVpcPeeringConnections => "paths between peered VPCs",
            Self::DescribeTransitGateways
            | Self::DescribeTransitGatewayAttachments
            | Self::DescribeTransitGatewayVpcAttachments
            | Self::DescribeTransitGatewayRouteTables
            | Self::SearchTransitGatewayRoutes => "paths through transit gateways",
            Self::DescribeVpnGateways | Self::DescribeVpnConnections => "paths to networks on premises",
            Self::DescribeVpcEndpoints => "interface endpoints, that of the EKS API among them",
            Self::DescribeVpcBlockPublicAccessOptions => "whether public access is blocked for whole VPCs",
        }
    }

    /// The action of a permission's name.
    #[must_use]
    pub fn by_permission(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.permission() == name)
    }

    /// The stem of the file that holds its answer: `ec2/describe-vpcs`, as the provider's command line names it.
    #[must_use]
    pub fn stem(self) -> String {
        let mut stem = format!("{}/", self.service());
        for (index, letter) in self.operation().char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                stem.push('-');
            }
            stem.push(letter.to_ascii_lowercase());
        }
        stem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_the_command_line_names_the_operations() {
        assert_eq!(Action::DescribeVpcs.stem(), "ec2/describe-vpcs");
        assert_eq!(Action::GetManagedPrefixListEntries.stem(), "ec2/get-managed-prefix-list-entries");
        assert_eq!(Action::ListUpdates.stem(), "eks/list-updates");
        assert_eq!(Action::by_permission("ec2:DescribeVpcs"), Some(Action::DescribeVpcs));
        assert_eq!(Action::by_permission("ec2:DeleteVpc"), None);
    }

    #[test]
    fn every_action_only_reads() {
        for action in Action::ALL {
            let name = action.operation();
            assert!(["Describe", "List", "Get", "Search"].iter().any(|verb| name.starts_with(verb)), "{name}");
        }
    }

    #[test]
    fn the_iam_policy_grants_exactly_the_actions_asked() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/eks-iam-policy.json");
        let policy: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut granted = Vec::new();
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            granted
                .extend(statement["Action"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        }
        let mut asked: Vec<String> = Action::ALL.iter().map(|action| action.permission()).collect();
        granted.sort();
        asked.sort();
        assert_eq!(granted, asked);
    }
}
