#!/usr/bin/env python3
"""Writes shapes.json: what the answers of the provider's API are called on the wire and in its command line's JSON.

    pip install botocore && python3 shapes.py > shapes.json

The command line prints what botocore parses, by the models that botocore ships. Only what the collector's operations
answer is kept, and nothing that the models mark as sensitive or that is named in SECRETS.

Layout, one entry a shape:
    "Shape": {"VpcSet-on-the-wire": ["VpcsInJson", "Shape of the member"], ...}    a structure
    "Shape": ["Shape of the items"]                                                a list
    "Shape": "integer" | "float" | "boolean" | "timestamp" | "map"                 a scalar that is not text
A name without an entry is text. A map (rest-json only) has text for values.
"""

import gzip
import json
import pathlib
import sys

import botocore

EC2 = """DescribeVpcs DescribeVpcAttribute DescribeDhcpOptions DescribeSubnets DescribeRouteTables DescribeNetworkAcls
DescribeSecurityGroups DescribeSecurityGroupRules DescribeNetworkInterfaces DescribeInstances DescribeNatGateways
DescribeInternetGateways DescribeEgressOnlyInternetGateways DescribeManagedPrefixLists GetManagedPrefixListEntries
DescribeVpcPeeringConnections DescribeTransitGateways DescribeTransitGatewayAttachments
DescribeTransitGatewayVpcAttachments DescribeTransitGatewayRouteTables SearchTransitGatewayRoutes DescribeVpnGateways
DescribeVpnConnections DescribeVpcEndpoints DescribeVpcBlockPublicAccessOptions""".split()
EKS = "DescribeCluster ListUpdates DescribeUpdate ListCertificateAuthorities DescribeCertificateAuthority".split()
SECRETS = {"CustomerGatewayConfiguration", "PreSharedKey", "UserData"}
SCALARS = {"integer": "integer", "long": "integer", "float": "float", "double": "float", "boolean": "boolean",
           "timestamp": "timestamp", "map": "map"}


def model(service, version):
    folder = pathlib.Path(botocore.__file__).parent / "data" / service / version
    for name, opener in (("service-2.json.gz", gzip.open), ("service-2.json", open)):
        if (folder / name).exists():
            with opener(folder / name, "rt", encoding="utf-8") as file:
                return json.load(file)
    sys.exit(f"botocore has no model of {service} {version}")


def table(service, version, operations):
    described = model(service, version)
    all_shapes, kept = described["shapes"], {}

    def keep(name):
        shape = all_shapes[name]
        if name in kept:
            return
        if shape["type"] == "structure":
            kept[name] = {}
            for member, reference in shape["members"].items():
                if member in SECRETS or all_shapes[reference["shape"]].get("sensitive"):
                    print(f"left out: {service} {name}.{member}", file=sys.stderr)
                    continue
                wire = reference.get("locationName", all_shapes[reference["shape"]].get("locationName", member))
                kept[name][wire] = [member, reference["shape"]]
                keep(reference["shape"])
        elif shape["type"] == "list":
            kept[name] = [shape["member"]["shape"]]
            keep(shape["member"]["shape"])
        elif shape["type"] == "map":
            if all_shapes[shape["value"]["shape"]]["type"] != "string":
                sys.exit(f"{service} {name}: a map of something else than text")
            kept[name] = "map"
        elif shape["type"] in SCALARS:
            kept[name] = SCALARS[shape["type"]]
        elif shape["type"] != "string":
            sys.exit(f"{service} {name}: {shape['type']} is not foreseen")

    outputs = {}
    for operation in operations:
        outputs[operation] = described["operations"][operation]["output"]["shape"]
        keep(outputs[operation])
    return {"operations": outputs, "shapes": dict(sorted(kept.items()))}


def main():
    tables = {"ec2": table("ec2", "2016-11-15", EC2), "eks": table("eks", "2017-11-01", EKS)}
    lines = ["{"]
    for index, (service, content) in enumerate(tables.items()):
        lines.append(f' "{service}": {{')
        lines.append('  "operations": ' + json.dumps(content["operations"]) + ",")
        lines.append('  "shapes": {')
        lines.append(",\n".join(f"   {json.dumps(name)}: {json.dumps(shape, separators=(',', ':'))}"
                                for name, shape in content["shapes"].items()))
        lines.append("  }\n }" + ("," if index + 1 < len(tables) else ""))
    lines.append("}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
