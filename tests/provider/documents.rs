//! A region as the provider describes it, with what the AWS-compatible server of the tests lacks: updates, certificate
//! authorities, the cluster's own security group and VPC, the control plane's interfaces, blocked public access.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The documents of a facts folder by their paths, lists in no particular order, secrets included.
pub(crate) fn region() -> BTreeMap<String, Value> {
    let interface = |index: u32| {
        json!({"NetworkInterfaceId": format!("eni-{index}"), "Description": "Amazon EKS prod", "Status": "in-use",
            "InterfaceType": "interface", "RequesterManaged": true, "VpcId": "vpc-1", "SubnetId": format!("subnet-{index}"),
            "PrivateIpAddress": format!("10.20.{index}.10"), "Groups": [{"GroupId": "sg-cluster", "GroupName": "eks"}],
            "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": format!("10.20.{index}.10")}],
            "Attachment": {"AttachTime": "2023-05-05T12:00:00+00:00", "DeviceIndex": 1, "Status": "attached"},
            "SourceDestCheck": true, "TagSet": [{"Key": "b", "Value": ""}, {"Key": "a", "Value": "x & y < z"}]})
    };
    let vpc =
        |id: &str, block: &str| json!({"VpcId": id, "CidrBlock": block, "State": "available", "IsDefault": false});
    let update = |id: &str, status: &str| {
        json!({"update": {"id": id, "status": status, "type": "EndpointAccessUpdate", "errors": [],
            "params": [{"type": "PublicAccessCidrs", "value": "[\"203.0.113.0/24\"]"}, {"type": "EndpointPublicAccess", "value": "true"}],
            "createdAt": "2023-05-05T12:00:00.123000+00:00"}})
    };
    let documents = [
        (
            "eks/describe-cluster",
            json!({"cluster": {"name": "prod", "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod", "status": "UPDATING",
                "createdAt": "2023-05-05T12:00:00+00:00", "endpoint": "https://x.gr7.eu-west-1.eks.amazonaws.com",
                "certificateAuthority": {"data": "LS0t"}, "tags": {"owner": "core"},
                "resourcesVpcConfig": {"vpcId": "vpc-1", "clusterSecurityGroupId": "sg-cluster",
                    "subnetIds": ["subnet-2", "subnet-1"], "securityGroupIds": [], "endpointPublicAccess": true,
                    "endpointPrivateAccess": true, "publicAccessCidrs": ["203.0.113.0/24", "198.51.100.0/24"]}}}),
        ),
        ("eks/list-updates", json!({"updateIds": ["u-9", "u-1", "u-5"]})),
        ("eks/describe-update-u-9", update("u-9", "InProgress")),
        ("eks/describe-update-u-1", update("u-1", "Successful")),
        ("eks/describe-update-u-5", update("u-5", "A_STATUS_OF_TOMORROW")),
        (
            "eks/list-certificate-authorities",
            json!({"certificateAuthorities": [{"id": "ca-2", "signingStatus": "NOT_USED"}, {"id": "ca-1", "signingStatus": "IN_USE"}]}),
        ),
        ("eks/describe-certificate-authority-ca-1", json!({"certificateAuthority": {"id": "ca-1", "data": "LS0t"}})),
        ("eks/describe-certificate-authority-ca-2", json!({"certificateAuthority": {"id": "ca-2", "data": "LS0t"}})),
        ("ec2/describe-vpcs", json!({"Vpcs": [vpc("vpc-2", "10.30.0.0/16"), vpc("vpc-1", "10.20.0.0/16")]})),
        (
            "ec2/describe-vpc-attribute-enableDnsSupport-vpc-1",
            json!({"VpcId": "vpc-1", "EnableDnsSupport": {"Value": true}}),
        ),
        (
            "ec2/describe-vpc-attribute-enableDnsSupport-vpc-2",
            json!({"VpcId": "vpc-2", "EnableDnsSupport": {"Value": true}}),
        ),
        (
            "ec2/describe-vpc-attribute-enableDnsHostnames-vpc-1",
            json!({"VpcId": "vpc-1", "EnableDnsHostnames": {"Value": true}}),
        ),
        (
            "ec2/describe-vpc-attribute-enableDnsHostnames-vpc-2",
            json!({"VpcId": "vpc-2", "EnableDnsHostnames": {"Value": false}}),
        ),
        (
            "ec2/describe-dhcp-options",
            json!({"DhcpOptions": [{"DhcpOptionsId": "dopt-1", "DhcpConfigurations": [{"Key": "domain-name-servers",
                "Values": [{"Value": "10.20.0.53"}, {"Value": "10.20.0.9"}]}]}]}),
        ),
        (
            "ec2/describe-subnets",
            json!({"Subnets": [{"SubnetId": "subnet-2", "VpcId": "vpc-1", "CidrBlock": "10.20.2.0/24", "AvailableIpAddressCount": 250},
                {"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.20.1.0/24", "AvailableIpAddressCount": 3},
                {"SubnetId": "subnet-3", "VpcId": "vpc-2", "CidrBlock": "10.30.1.0/24"}]}),
        ),
        (
            "ec2/describe-security-groups",
            json!({"SecurityGroups": [{"GroupId": "sg-cluster", "GroupName": "eks", "VpcId": "vpc-1", "IpPermissions": [
                {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-1"}],
                 "IpRanges": [{"CidrIp": "10.30.0.0/16"}, {"CidrIp": "10.20.0.0/16", "Description": "own"}],
                 "Ipv6Ranges": [], "UserIdGroupPairs": []},
                {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-cluster", "UserId": "123456789012"}]}]}]}),
        ),
        (
            "ec2/describe-network-acls",
            json!({"NetworkAcls": [{"NetworkAclId": "acl-1", "IsDefault": true, "Entries": [
                {"RuleNumber": 32767, "Egress": false, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "0.0.0.0/0"},
                {"RuleNumber": 100, "Egress": false, "Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}]}]}),
        ),
        (
            "ec2/describe-network-interfaces",
            json!({"NetworkInterfaces": [interface(2), interface(1), interface(3), interface(5), interface(4)]}),
        ),
        (
            "ec2/describe-managed-prefix-lists",
            json!({"PrefixLists": [{"PrefixListId": "pl-1", "State": "modify-complete", "MaxEntries": 9}]}),
        ),
        (
            "ec2/get-managed-prefix-list-entries-pl-1",
            json!({"Entries": [{"Cidr": "192.0.2.0/24", "Description": "b"}, {"Cidr": "192.0.2.0/25"}]}),
        ),
        (
            "ec2/describe-transit-gateway-route-tables",
            json!({"TransitGatewayRouteTables": [{"TransitGatewayRouteTableId": "tgw-rtb-1", "State": "available"}]}),
        ),
        (
            "ec2/search-transit-gateway-routes-tgw-rtb-1",
            json!({"AdditionalRoutesAvailable": false, "Routes": [{"DestinationCidrBlock": "10.0.0.0/8", "Type": "static", "State": "blackhole"}]}),
        ),
        (
            "ec2/describe-vpn-connections",
            json!({"VpnConnections": [{"VpnConnectionId": "vpn-1", "CustomerGatewayConfiguration": "<key>hunter2</key>",
                "Options": {"StaticRoutesOnly": true, "TunnelOptions": [{"OutsideIpAddress": "203.0.113.9", "PreSharedKey": "hunter2"},
                    {"OutsideIpAddress": "203.0.113.1", "PreSharedKey": "hunter2"}]}}]}),
        ),
        (
            "ec2/describe-vpc-block-public-access-options",
            json!({"VpcBlockPublicAccessOptions": {"AwsRegion": "eu-west-1", "InternetGatewayBlockMode": "off"}}),
        ),
    ];
    documents.into_iter().map(|(stem, document)| (format!("{stem}.json"), document)).collect()
}

/// The files of a pull of [`region`]: those of its documents, and one that says that nothing is there for the rest.
pub(crate) fn files() -> Vec<String> {
    let empty = [
        "describe-egress-only-internet-gateways",
        "describe-instances",
        "describe-internet-gateways",
        "describe-nat-gateways",
        "describe-route-tables",
        "describe-security-group-rules",
        "describe-transit-gateway-attachments",
        "describe-transit-gateway-vpc-attachments",
        "describe-transit-gateways",
        "describe-vpc-endpoints",
        "describe-vpc-peering-connections",
        "describe-vpn-gateways",
    ];
    let mut files: Vec<String> = empty.iter().map(|stem| format!("ec2/{stem}.json")).collect();
    files.extend(region().into_keys());
    files.sort();
    files
}
