"""A region on an AWS-compatible server: made through its API, and read back by the command line's own parser.

    world.py serve             runs such a server on a free port of loopback, prints its URL, ends with its stdin
    world.py seed URL          makes VPCs, gateways, peering, endpoints, instances and an EKS cluster called prod
    world.py read URL DIR      writes what boto3 gives for every action of a pull, as the folder's files
"""

import base64
import datetime
import json
import pathlib
import re
import sys

import boto3
from botocore.config import Config

REGION = "eu-west-1"


def serve():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


def client(service, url):
    return boto3.client(service, endpoint_url=url, region_name=REGION, aws_access_key_id="test",
                        aws_secret_access_key="test", config=Config(retries={"max_attempts": 1}))


def seed(url):
    ec2, eks, iam = client("ec2", url), client("eks", url), client("iam", url)

    def name(resource, text):
        ec2.create_tags(Resources=[resource], Tags=[{"Key": "Name", "Value": text}, {"Key": "a&b <c>", "Value": "é"}])

    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    office = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    name(vpc, "prod & more")
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.21.0.0/16")
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_attribute(VpcId=office, EnableDnsSupport={"Value": False})
    options = ec2.create_dhcp_options(DhcpConfigurations=[
        {"Key": "domain-name-servers", "Values": ["10.20.0.53", "10.20.0.9"]},
        {"Key": "domain-name", "Values": ["corp.example.com"]}])["DhcpOptions"]["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=office)

    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{i}.0/24",
                                 AvailabilityZone=f"{REGION}{'abc'[i]}")["Subnet"]["SubnetId"] for i in range(3)]
    far = ec2.create_subnet(VpcId=office, CidrBlock="10.30.0.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnets[0], MapPublicIpOnLaunch={"Value": True})

    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    ec2.create_egress_only_internet_gateway(VpcId=vpc)
    elastic = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=elastic)["NatGateway"]["NatGatewayId"]
    peering = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=office)["VpcPeeringConnection"]
    peering = peering["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)

    public = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    private = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=public, DestinationCidrBlock="0.0.0.0/0", GatewayId=internet)
    ec2.create_route(RouteTableId=private, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    ec2.create_route(RouteTableId=private, DestinationCidrBlock="10.30.0.0/16", VpcPeeringConnectionId=peering)
    ec2.associate_route_table(RouteTableId=public, SubnetId=subnets[0])
    ec2.associate_route_table(RouteTableId=private, SubnetId=subnets[1])

    network = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for number, egress, action, cidr in ((200, False, "allow", "10.0.0.0/8"), (100, False, "deny", "10.9.0.0/16"),
                                         (100, True, "allow", "0.0.0.0/0")):
        ec2.create_network_acl_entry(NetworkAclId=network, RuleNumber=number, Protocol="6", RuleAction=action,
                                     Egress=egress, CidrBlock=cidr, PortRange={"From": 443, "To": 443})

    nodes = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]
    plane = ec2.create_security_group(GroupName="plane", Description="control plane", VpcId=vpc)["GroupId"]
    lists = ec2.create_managed_prefix_list(PrefixListName="offices", MaxEntries=300, AddressFamily="IPv4", Entries=[
        {"Cidr": f"198.51.{i}.0/24", "Description": f"office {i}"} for i in range(120)])["PrefixList"]["PrefixListId"]
    ec2.create_managed_prefix_list(PrefixListName="none", MaxEntries=1, AddressFamily="IPv6")
    ec2.authorize_security_group_ingress(GroupId=plane, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
         "IpRanges": [{"CidrIp": "10.30.0.0/16", "Description": "office"}, {"CidrIp": "10.20.0.0/16"}],
         "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
         "UserIdGroupPairs": [{"GroupId": nodes, "Description": "nodes"}],
         "PrefixListIds": [{"PrefixListId": lists}]},
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": plane}]}])

    for i, subnet in enumerate(subnets[:2]):
        interface = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=f"10.20.{i}.10", Groups=[plane],
                                                 Description="Amazon EKS prod")["NetworkInterface"]
        name(interface["NetworkInterfaceId"], "control plane")
    images = ec2.describe_images()["Images"]
    ec2.run_instances(ImageId=images[0]["ImageId"], MinCount=2, MaxCount=2, InstanceType="t3.micro",
                      SubnetId=subnets[1], SecurityGroupIds=[nodes],
                      UserData=base64.b64encode(b"#!/bin/sh\necho hunter2").decode())
    ec2.run_instances(ImageId=images[0]["ImageId"], MinCount=1, MaxCount=1, SubnetId=far)

    transit = ec2.create_transit_gateway(Description="hub")["TransitGateway"]["TransitGatewayId"]
    attachments = [ec2.create_transit_gateway_vpc_attachment(TransitGatewayId=transit, VpcId=v, SubnetIds=[s])
                   ["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]
                   for v, s in ((vpc, subnets[2]), (office, far))]
    table = ec2.create_transit_gateway_route_table(TransitGatewayId=transit)
    table = table["TransitGatewayRouteTable"]["TransitGatewayRouteTableId"]
    ec2.create_transit_gateway_route(DestinationCidrBlock="10.20.0.0/16", TransitGatewayRouteTableId=table,
                                     TransitGatewayAttachmentId=attachments[0])
    ec2.create_transit_gateway_route(DestinationCidrBlock="192.0.2.0/24", TransitGatewayRouteTableId=table,
                                     Blackhole=True)
    ec2.associate_transit_gateway_route_table(TransitGatewayRouteTableId=table,
                                              TransitGatewayAttachmentId=attachments[1])

    gateway = ec2.create_vpn_gateway(Type="ipsec.1", AmazonSideAsn=65001)["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)
    customer = ec2.create_customer_gateway(Type="ipsec.1", PublicIp="203.0.113.9", BgpAsn=65010)
    customer = customer["CustomerGateway"]["CustomerGatewayId"]
    ec2.create_vpn_connection(Type="ipsec.1", CustomerGatewayId=customer, VpnGatewayId=gateway,
                              Options={"StaticRoutesOnly": True, "TunnelOptions": [{"PreSharedKey": "hunter2hunter2"}]})

    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[private])
    ec2.create_vpc_endpoint(VpcId=vpc, VpcEndpointType="Interface", ServiceName=f"com.amazonaws.{REGION}.eks",
                            SubnetIds=subnets[:2], SecurityGroupIds=[nodes], PrivateDnsEnabled=True)

    role = iam.create_role(RoleName="eks", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    eks.create_cluster(name="prod", roleArn=role, version="1.33", tags={"team": "core"}, resourcesVpcConfig={
        "subnetIds": subnets, "securityGroupIds": [plane], "endpointPublicAccess": True, "endpointPrivateAccess": True,
        "publicAccessCidrs": ["203.0.113.0/24", "198.51.100.0/24"]})


def read(url, folder):
    ec2, eks = client("ec2", url), client("eks", url)
    folder = pathlib.Path(folder)

    def stem(operation):
        return re.sub(r"(?<!^)([A-Z])", r"-\1", operation).lower()

    def keep(service, operation, suffix="", **parameters):
        api = ec2 if service == "ec2" else eks
        method = stem(operation).replace("-", "_")
        # With pages joined, the parser would leave out whether there are more routes.
        if api.can_paginate(method) and operation != "SearchTransitGatewayRoutes":
            document = api.get_paginator(method).paginate(**parameters).build_full_result()
        else:
            document = getattr(api, method)(**parameters)
        document.pop("ResponseMetadata", None)
        document.pop("NextToken", None)
        path = folder / service / f"{stem(operation)}{suffix}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, default=as_command_line, indent=4))
        return document

    keep("eks", "DescribeCluster", name="prod")
    vpcs = keep("ec2", "DescribeVpcs")["Vpcs"]
    for vpc in vpcs:
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            suffix = f"-{attribute}-{vpc['VpcId']}" if len(vpcs) > 1 else f"-{attribute}"
            keep("ec2", "DescribeVpcAttribute", suffix, VpcId=vpc["VpcId"], Attribute=attribute)
    for one in keep("ec2", "DescribeManagedPrefixLists")["PrefixLists"]:
        keep("ec2", "GetManagedPrefixListEntries", f"-{one['PrefixListId']}", PrefixListId=one["PrefixListId"])
    for one in keep("ec2", "DescribeTransitGatewayRouteTables")["TransitGatewayRouteTables"]:
        table = one["TransitGatewayRouteTableId"]
        keep("ec2", "SearchTransitGatewayRoutes", f"-{table}", TransitGatewayRouteTableId=table,
             Filters=[{"Name": "state", "Values": ["active", "blackhole"]}])
    for operation in ("DhcpOptions Subnets RouteTables NetworkAcls SecurityGroups SecurityGroupRules NetworkInterfaces "
                      "Instances NatGateways InternetGateways EgressOnlyInternetGateways VpcPeeringConnections "
                      "TransitGateways TransitGatewayAttachments TransitGatewayVpcAttachments VpnGateways "
                      "VpnConnections VpcEndpoints").split():
        keep("ec2", f"Describe{operation}")


def as_command_line(value):
    """Times as the command line's iso8601 format prints them, in UTC."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    raise TypeError(type(value))


if __name__ == "__main__":
    {"serve": serve, "seed": seed, "read": read}[sys.argv[1]](*sys.argv[2:])
