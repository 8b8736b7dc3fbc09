//! Commands that several causes print: complete, quote-safe, and reading before writing where the API replaces.

/// Adds one entry to EKS `publicAccessCidrs`.
macro_rules! eks_add {
    ($cidr:literal) => {
        concat!(
            "# The call replaces the list, so read it first. Stop if it holds 0.0.0.0/0 (nothing would change) or would exceed 40 entries.\n",
            "cur=$(aws eks describe-cluster --region <region> --name <cluster> --query cluster.resourcesVpcConfig --output json)\n",
            r#"aws eks update-cluster-config --region <region> --name <cluster> --resources-vpc-config "$(jq -c '{endpointPublicAccess,endpointPrivateAccess,publicAccessCidrs:(.publicAccessCidrs+[""#,
            $cidr,
            r#""]|unique)}' <<<"$cur")""#
        )
    };
}

/// Removes one entry from EKS `publicAccessCidrs`.
macro_rules! eks_drop {
    ($cidr:literal) => {
        concat!(
            "# The call replaces the list, so read it first. Stop if nothing would remain: an empty list means open to all.\n",
            "cur=$(aws eks describe-cluster --region <region> --name <cluster> --query cluster.resourcesVpcConfig --output json)\n",
            r#"aws eks update-cluster-config --region <region> --name <cluster> --resources-vpc-config "$(jq -c '{endpointPublicAccess,endpointPrivateAccess,publicAccessCidrs:(.publicAccessCidrs-[""#,
            $cidr,
            r#""])}' <<<"$cur")""#
        )
    };
}

/// Changes the endpoint's settings of an EKS cluster.
macro_rules! eks_mode {
    ($flags:literal) => {
        concat!(
            "# If public access stays on, repeat the present publicAccessCidrs in the same call.\n",
            "aws eks update-cluster-config --region <region> --name <cluster> --resources-vpc-config ",
            $flags
        )
    };
}

/// Waits for an EKS update.
macro_rules! eks_wait {
    () => {
        "aws eks describe-update --region <region> --name <cluster> --update-id <id> --query update.status   # until Successful; \"already at the desired configuration\" is success too"
    };
}

/// Adds one entry to the authorized IP ranges of AKS.
macro_rules! aks_add {
    ($cidr:literal) => {
        concat!(
            "# The call replaces the list, so read it first. Stop if $cur is empty (open: a first range cuts off everybody else, nodes included)\n",
            "# or 0.0.0.0/32 (may not be combined: set the cluster's outbound addresses plus yours instead).\n",
            "cur=$(az aks show -g <rg> -n <cluster> --query \"join(',', apiServerAccessProfile.authorizedIpRanges || \\`[]\\`)\" -o tsv)\n",
            "az aks update -g <rg> -n <cluster> --api-server-authorized-ip-ranges \"$cur,",
            $cidr,
            "\""
        )
    };
}

/// Sets the authorized IP ranges of AKS.
macro_rules! aks_set {
    ($list:literal) => {
        concat!(
            "# The call replaces the list: name every source, the cluster's own outbound addresses included.\n",
            "az aks update -g <rg> -n <cluster> --api-server-authorized-ip-ranges \"",
            $list,
            "\""
        )
    };
}

/// Lets AKS bring the cluster to its declared state.
macro_rules! aks_reconcile {
    () => {
        "az aks update -g <rg> -n <cluster>   # asks whether to reconcile; answer y"
    };
}

/// Writes the kubeconfig anew.
macro_rules! kubeconfig_renew {
    () => {
        "aws eks update-kubeconfig --region <region> --name <cluster>   # EKS\naz aks get-credentials -g <rg> -n <cluster> --overwrite-existing   # AKS"
    };
}

/// Lets a source into a security group.
macro_rules! security_group_add {
    ($group:literal, $cidr:literal) => {
        concat!(
            "aws ec2 authorize-security-group-ingress --group-id ",
            $group,
            " --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=",
            $cidr,
            "}]'   # IPv6: Ipv6Ranges=[{CidrIpv6=…}]"
        )
    };
}

/// Adds an entry to a network ACL.
macro_rules! network_acl_add {
    ($ports:literal) => {
        concat!(
            "aws ec2 create-network-acl-entry --network-acl-id <acl> --rule-number <below the deny> --protocol tcp --port-range ",
            $ports,
            " --cidr-block <cidr> --rule-action allow <--ingress or --egress>"
        )
    };
}

/// Adds a route to a VPC route table.
macro_rules! route_add {
    ($table:literal, $cidr:literal, $target:literal) => {
        concat!("aws ec2 create-route --route-table-id ", $table, " --destination-cidr-block ", $cidr, " ", $target)
    };
}

/// Adds a rule to a network security group of Azure.
macro_rules! azure_nsg_add {
    ($direction:literal, $ports:literal) => {
        concat!(
            "az network nsg rule create -g <rg> --nsg-name <nsg> -n allow-k8s-api --priority <below the deny> --direction ",
            $direction,
            " --access Allow --protocol Tcp --source-address-prefixes <src> --destination-address-prefixes <dst> --destination-port-ranges ",
            $ports
        )
    };
}

/// Creates an interface endpoint.
macro_rules! vpc_endpoint_add {
    ($service:literal) => {
        concat!(
            "aws ec2 create-vpc-endpoint --vpc-id <vpc> --vpc-endpoint-type Interface --service-name ",
            $service,
            " --subnet-ids <subnets> --security-group-ids <sg> --private-dns-enabled"
        )
    };
}

/// Links a private DNS zone of Azure to a virtual network.
macro_rules! azure_zone_link {
    () => {
        "az network private-dns link vnet create -g <zone-rg> -z <zone> -n <link> --virtual-network <vnet-id> --registration-enabled false"
    };
}

pub(super) use {
    aks_add, aks_reconcile, aks_set, azure_nsg_add, azure_zone_link, eks_add, eks_drop, eks_mode, eks_wait,
    kubeconfig_renew, network_acl_add, route_add, security_group_add, vpc_endpoint_add,
};
