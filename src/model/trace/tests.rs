use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::facts::{self, Facts};

fn data(folder: &str) -> Facts {
    facts::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/aws").join(folder)).unwrap()
}

fn ask(facts: &Facts, from: &str, to: &str, port: u16) -> Result<Trace, TraceError> {
    trace(&Network::new(&facts.network), &from.parse().unwrap(), &to.parse().unwrap(), port)
}

/// `outcome; blocker; blocker; ? unknown`.
fn told(facts: &Facts, from: &str, to: &str, port: u16) -> String {
    let traced = ask(facts, from, to, port).unwrap();
    let mut words = vec![traced.outcome.label().to_owned()];
    words.extend(traced.blockers().map(|hop| format!("{}: {}", hop.component, hop.rule)));
    words.extend(traced.unknowns().map(|hop| format!("? {}: {}", hop.component, hop.rule)));
    words.join("; ")
}

#[test]
fn peered_vpcs_of_a_real_account() {
    let facts = data("vpc-peering");
    assert_eq!(told(&facts, "i-0b14080af811fda3d", "10.10.10.157", 22), "reachable");
    assert_eq!(told(&facts, "192.168.2.229", "eni-0f0708220e812876c", 22), "reachable");
    assert_eq!(
        told(&facts, "i-0b14080af811fda3d", "10.10.10.157", 443),
        "blocked; sg-09606ce9642cac154: no ingress rule for tcp/443 from 192.168.1.106"
    );
    // The gateway of the default route is gone.
    assert!(told(&facts, "i-0b14080af811fda3d", "8.8.8.8", 443).contains("rtb-017c36290c9baf017: 0.0.0.0/0 → igw-"));
    // Both VPCs use 192.168.0.0/16, so that each keeps packets for the other to itself.
    let overlap = ask(&facts, "eni-0024c0af5aa1387e5", "eni-06347554b65539ff3", 22).unwrap();
    let reasons: Vec<_> = overlap.blockers().filter_map(|hop| hop.reason.clone()).collect();
    let kept =
        |vpc: &str, reply| Reason::OverlapsClient { vpc: vpc.to_owned(), cidr: "192.168.0.0/16".to_owned(), reply };
    assert_eq!(reasons, [kept("vpc-00a31ce9d0c06675c", false), kept("vpc-09095dbf2886404ee", true)]);
}

#[test]
fn public_and_private_subnets_of_a_real_account() {
    let facts = data("public-private-subnet");
    assert_eq!(told(&facts, "eni-09da8cad43844dc1f", "10.0.1.204", 22), "reachable");
    assert_eq!(told(&facts, "subnet-0cf7a93fbd779f3a3", "10.0.1.204", 22), "reachable");
    let inward = ask(&facts, "8.8.8.8", "13.58.55.60", 22).unwrap();
    assert_eq!(inward.outcome, Outcome::Reachable);
    assert!(inward.notes.iter().any(|note| note.contains("taken as off")), "{:?}", inward.notes);
    let out = ask(&facts, "eni-09da8cad43844dc1f", "8.8.8.8", 443).unwrap();
    assert_eq!(out.source_seen, ["13.58.55.60".parse::<IpAddr>().unwrap()]);
    // The private subnet's default route leads to a VPN connection whose tunnels are down.
    let private = told(&facts, "eni-07c1506e49d784fe0", "192.168.7.7", 443);
    assert!(private.starts_with("blocked; vpn-05044757278685fd3: every tunnel is down"), "{private}");
    let inward = told(&facts, "8.8.8.8", "eni-07c1506e49d784fe0", 22);
    assert!(inward.contains("10.0.1.204 cannot be reached from the internet"), "{inward}");
}

/// Two subnets of one VPC, one interface in each; everything is open.
fn base() -> Value {
    let group = |id: &str| {
        json!({"GroupId": id, "VpcId": "vpc-1",
            "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
            "IpPermissionsEgress": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]})
    };
    let interface = |id: &str, subnet: &str, address: &str, v6: &str, group: &str| {
        json!({"NetworkInterfaceId": id, "SubnetId": subnet, "VpcId": "vpc-1", "InterfaceType": "interface",
            "PrivateIpAddress": address, "Ipv6Addresses": [{"Ipv6Address": v6}], "Groups": [{"GroupId": group}]})
    };
    json!({
        "Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16",
            "Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8::/56"}]}],
        "Subnets": [
            {"SubnetId": "subnet-a", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "z-a"},
            {"SubnetId": "subnet-b", "VpcId": "vpc-1", "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "z-b"}],
        "RouteTables": [{"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Associations": [{"Main": true}], "Routes": [
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
            {"DestinationIpv6CidrBlock": "2001:db8::/56", "GatewayId": "local", "State": "active"},
            {"DestinationCidrBlock": "10.9.0.0/16", "GatewayId": "vgw-1", "State": "active", "Origin": "EnableVgwRoutePropagation"},
            {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1", "State": "active"}]}],
        "NetworkAcls": [{"NetworkAclId": "acl-1", "VpcId": "vpc-1", "IsDefault": true, "Entries": [
            {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": false, "CidrBlock": "0.0.0.0/0"},
            {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": true, "CidrBlock": "0.0.0.0/0"},
            {"RuleNumber": 101, "Protocol": "-1", "RuleAction": "allow", "Egress": false, "Ipv6CidrBlock": "::/0"},
            {"RuleNumber": 101, "Protocol": "-1", "RuleAction": "allow", "Egress": true, "Ipv6CidrBlock": "::/0"}]}],
        "SecurityGroups": [group("sg-a"), group("sg-b")],
        "NetworkInterfaces": [
            interface("eni-a", "subnet-a", "10.0.0.5", "2001:db8::5", "sg-a"),
            interface("eni-b", "subnet-b", "10.0.1.5", "2001:db8:0:1::5", "sg-b")],
        "VpnGateways": [{"VpnGatewayId": "vgw-1", "VpcAttachments": [{"VpcId": "vpc-1", "State": "attached"}]}],
        "VpnConnections": [{"VpnConnectionId": "vpn-1", "VpnGatewayId": "vgw-1", "State": "available",
            "VgwTelemetry": [{"Status": "UP"}, {"Status": "DOWN"}]}],
        "EgressOnlyInternetGateways": [{"EgressOnlyInternetGatewayId": "eigw-1",
            "Attachments": [{"VpcId": "vpc-1", "State": "attached"}]}],
        "InternetGateways": [],
        "VpcBlockPublicAccessOptions": {"InternetGatewayBlockMode": "off"},
    })
}

fn facts_of(value: &Value) -> Facts {
    let documents = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (PathBuf::from(format!("{key}.json")), json!({ key: value }).to_string().into_bytes()));
    facts::from_documents(Path::new("test"), documents.collect::<Vec<_>>()).unwrap()
}

fn changed(change: impl Fn(&mut Value)) -> Facts {
    let mut value = base();
    change(&mut value);
    facts_of(&value)
}

#[test]
fn a_healthy_network_carries_everything() {
    let facts = changed(|_| {});
    for (from, to) in [
        ("eni-a", "eni-b"),
        ("10.0.0.5", "10.0.1.5"),
        ("2001:db8::5", "2001:db8:0:1::5"),
        ("10.9.0.7", "eni-b"),
        ("eni-a", "10.9.0.7"),
        ("eni-a", "2001:db8:ffff::1"),
        ("subnet-a", "eni-b"),
    ] {
        assert_eq!(told(&facts, from, to, 443), "reachable", "{from} → {to}");
    }
}

#[test]
fn replies_need_every_ephemeral_port() {
    let acl = |egress: bool, first: u16, last: u16| {
        changed(move |facts| {
            let entries = facts["NetworkAcls"][0]["Entries"].as_array_mut().unwrap();
            entries.push(json!({"RuleNumber": 50, "Protocol": "6", "RuleAction": "deny", "Egress": egress,
                "CidrBlock": "0.0.0.0/0", "PortRange": {"From": first, "To": last}}));
        })
    };
    let part = told(&acl(true, 1024, 32_767), "eni-a", "eni-b", 443);
    assert_eq!(
        part,
        "unknown; ? acl-1: entry 50 egress deny tcp 1024-32767 to 0.0.0.0/0; open to 10.0.0.5 are only ports 32768-65535"
    );
    assert!(told(&acl(true, 1024, 65_535), "eni-a", "eni-b", 443).starts_with("blocked; acl-1: entry 50 egress deny"));
    assert!(told(&acl(false, 443, 443), "eni-a", "eni-b", 443).starts_with("blocked; acl-1: entry 50 ingress deny"));
    // Two parts that leave nothing to each other.
    let both = changed(|facts| {
        let entries = facts["NetworkAcls"][0]["Entries"].as_array_mut().unwrap();
        for (egress, first, last) in [(true, 1024, 30_000), (false, 30_001, 65_535)] {
            entries.push(json!({"RuleNumber": 50, "Protocol": "tcp", "RuleAction": "deny", "Egress": egress,
                "CidrBlock": "0.0.0.0/0", "PortRange": {"From": first, "To": last}}));
        }
    });
    let both = ask(&both, "eni-a", "eni-b", 443).unwrap();
    assert_eq!(both.outcome, Outcome::Blocked);
    let Some(Reason::AclEntry { acl, rule_number: Some(50), reply: true, egress: false, .. }) =
        both.blockers().next().and_then(|hop| hop.reason.clone())
    else {
        panic!("{both:#?}")
    };
    assert_eq!(acl, "acl-1");
}

#[test]
fn a_part_of_a_subnet_is_named() {
    let facts = changed(|facts| {
        facts["SecurityGroups"][1]["IpPermissions"] =
            json!([{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/25"}]}]);
    });
    let said = told(&facts, "subnet-a", "eni-b", 443);
    assert!(said.starts_with("unknown; ? sg-b: only 10.0.0.0/25 of 10.0.0.0/24 is allowed"), "{said}");
    assert_eq!(told(&facts, "eni-a", "eni-b", 443), "reachable");
    let both = changed(|facts| {
        facts["SecurityGroups"][1]["IpPermissions"] = json!([{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "IpRanges": [{"CidrIp": "10.0.0.0/25"}, {"CidrIp": "10.0.0.128/25"}]}]);
    });
    assert_eq!(told(&both, "subnet-a", "eni-b", 443), "reachable");
}

#[test]
fn a_prefix_list_is_read_or_named_as_missing() {
    let listed = |entries: Option<&str>| {
        let mut value = base();
        value["SecurityGroups"][1]["IpPermissions"] = json!([{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "PrefixListIds": [{"PrefixListId": "pl-1"}]}]);
        value["PrefixLists"] = json!([{"PrefixListId": "pl-1", "Version": 7}]);
        let mut facts = facts_of(&value);
        facts.network.prefix_list_entries = entries
            .map(|text| facts::ec2::PrefixListEntries {
                prefix_list_id: "pl-1".to_owned(),
                entries: vec![facts::Cidr::parse(text).unwrap()],
            })
            .into_iter()
            .collect();
        facts
    };
    assert_eq!(told(&listed(Some("10.0.0.0/24")), "eni-a", "eni-b", 443), "reachable");
    let lacking = ask(&listed(Some("10.9.0.0/16")), "eni-a", "eni-b", 443).unwrap();
    let reason = lacking.blockers().next().and_then(|hop| hop.reason.clone());
    assert!(
        matches!(&reason, Some(Reason::PrefixListLacks { prefix_list, version: Some(7), .. }) if prefix_list == "pl-1"),
        "{reason:?}"
    );
    let missing = told(&listed(None), "eni-a", "eni-b", 443);
    assert!(missing.starts_with("unknown; ? sg-b: ingress rule 1: tcp/443 from pl-1"), "{missing}");
}

#[test]
fn gateways_to_other_networks() {
    let down = changed(|facts| {
        facts["VpnConnections"][0]["VgwTelemetry"] = json!([{"Status": "DOWN"}, {"Status": "DOWN"}]);
    });
    assert!(told(&down, "10.9.0.7", "eni-b", 443).starts_with("blocked; vpn-1: every tunnel is down"));
    let unseen = changed(|facts| facts["VpnConnections"] = json!([]));
    assert!(told(&unseen, "eni-a", "10.9.0.7", 443).contains("the Direct Connect or VPN connection behind vgw-1"));
    // A network that has no route back.
    let no_route = told(&changed(|_| {}), "10.8.0.7", "eni-b", 443);
    assert!(no_route.contains("rtb-1: no route to 10.8.0.7"), "{no_route}");
    // IPv6 leaves by a gateway that lets nobody in.
    let inward = told(&changed(|_| {}), "2001:db8:ffff::1", "eni-b", 443);
    assert!(inward.starts_with("blocked; vpc-1: no internet gateway is attached to vpc-1"), "{inward}");
    let blocked = changed(|facts| {
        facts["VpcBlockPublicAccessOptions"]["InternetGatewayBlockMode"] = json!("block-bidirectional");
    });
    assert!(told(&blocked, "eni-a", "2001:db8:ffff::1", 443).contains("block-bidirectional"));
}

#[test]
fn an_absent_file_matters_only_to_what_needs_it() {
    for (file, needed) in [
        ("NetworkAcls", true),
        ("RouteTables", true),
        ("SecurityGroups", true),
        ("VpnGateways", false),
        ("VpnConnections", false),
        ("EgressOnlyInternetGateways", false),
        ("InternetGateways", false),
        ("VpcBlockPublicAccessOptions", false),
        ("Vpcs", false),
        ("Subnets", false),
    ] {
        let facts = changed(|facts| {
            facts.as_object_mut().unwrap().remove(file);
        });
        let traced = ask(&facts, "eni-a", "eni-b", 443).unwrap();
        let wanted = if needed { Outcome::Unknown } else { Outcome::Reachable };
        assert_eq!(traced.outcome, wanted, "{file}: {traced:#?}");
        assert!(traced.unknowns().all(|hop| matches!(hop.reason, Some(Reason::Missing { .. }))), "{file}");
    }
}

#[test]
fn points_are_read_and_missing_ones_named() {
    assert_eq!("10.0.0.1".parse(), Ok(Point::Address("10.0.0.1".parse().unwrap())));
    assert_eq!("eni-1".parse(), Ok(Point::Interface("eni-1".to_owned())));
    for (name, id) in [("web", "WEB"), ("aks-vmss_0", "aks-vmss_0"), ("/Subscriptions/s/x", "/subscriptions/S/x/")] {
        assert_eq!(name.parse(), Ok(Point::Resource(ArmId::new(id))));
    }
    for wrong in ["", "10.0.0.300", "eni 1", "-web", "/x/y", "10.0.0.0/8", &format!("eni-{}", "a".repeat(100))] {
        assert!(wrong.parse::<Point>().is_err(), "{wrong}");
    }
    let facts = changed(|_| {});
    let error = |from: &str, to: &str| ask(&facts, from, to, 443).unwrap_err().to_string();
    assert!(error("web", "eni-b").starts_with("web names nothing in these facts"));
    assert_eq!(error("eni-a", "eni-bb"), "the facts hold no network interface eni-bb; did you mean eni-b?");
    assert!(error("i-1", "eni-b").contains("ec2/describe-instances.json is not in the facts"));
    assert!(error("eni-a", "subnet-b").contains("as the destination"));
    assert!(error("192.0.2.1", "192.0.2.2").contains("neither"));
    assert!(error("10.0.0.5", "2001:db8::5").contains("no address family"));
}

#[test]
fn hostile_routes_end() {
    // A NAT gateway behind itself, and one that is not there.
    let facts = changed(|facts| {
        let routes = facts["RouteTables"][0]["Routes"].as_array_mut().unwrap();
        routes.push(json!({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}));
        facts["NatGateways"] = json!([{"NatGatewayId": "nat-1", "SubnetId": "subnet-b", "VpcId": "vpc-1",
            "State": "available", "NatGatewayAddresses": [{"PrivateIp": "10.0.1.9", "PublicIp": "192.0.2.9"}]}]);
    });
    assert!(told(&facts, "eni-a", "198.51.100.1", 443).contains("nat-1: the routes lead in a circle"));
    let empty =
        facts_of(&json!({"NetworkInterfaces": [{"NetworkInterfaceId": "eni-a", "PrivateIpAddress": "10.0.0.5"}]}));
    assert_eq!(ask(&empty, "eni-a", "198.51.100.1", 443).unwrap().outcome, Outcome::Unknown);
}

#[test]
fn an_acl_entry_that_is_not_understood_is_no_way_through() {
    for (what, entry) in [
        (
            "it names no protocol",
            json!({"RuleNumber": 50, "RuleAction": "deny", "Egress": false, "CidrBlock": "0.0.0.0/0"}),
        ),
        (
            "its protocol is not one that is known",
            json!({"RuleNumber": 50, "Protocol": "six", "RuleAction": "deny", "Egress": false, "CidrBlock": "0.0.0.0/0"}),
        ),
        (
            "it has no number",
            json!({"Protocol": "6", "RuleAction": "deny", "Egress": false, "CidrBlock": "10.0.0.0/8"}),
        ),
        ("it names no range", json!({"RuleNumber": 50, "Protocol": "6", "RuleAction": "deny", "Egress": false})),
        (
            "its first port is behind its last",
            json!({"RuleNumber": 50, "Protocol": "6", "RuleAction": "deny", "Egress": false, "CidrBlock": "0.0.0.0/0",
                "PortRange": {"From": 500, "To": 400}}),
        ),
        (
            "its action is neither allow nor deny",
            json!({"RuleNumber": 50, "Protocol": "6", "RuleAction": "dance", "Egress": false, "CidrBlock": "0.0.0.0/0"}),
        ),
    ] {
        let with = |number: u64| {
            changed(|value| {
                let mut entry = entry.clone();
                if entry.get("RuleNumber").is_some() {
                    entry["RuleNumber"] = json!(number);
                }
                value["NetworkAcls"][0]["Entries"].as_array_mut().unwrap().push(entry);
            })
        };
        let words = told(&with(50), "eni-a", "10.0.1.5", 443);
        assert!(words.starts_with("unknown; ? acl-1: entry ") && words.contains(what), "{words}");
        // What was decided before it stands.
        let later = told(&with(200), "eni-a", "10.0.1.5", 443);
        assert_eq!(later == "reachable", what != "it has no number", "{later}");
    }
    // Another protocol is understood, and so is a range that does not hold the far side.
    let other = changed(|value| {
        let entries = value["NetworkAcls"][0]["Entries"].as_array_mut().unwrap();
        entries.push(
            json!({"RuleNumber": 1, "Protocol": "17", "RuleAction": "deny", "Egress": false, "CidrBlock": "0.0.0.0/0"}),
        );
        entries.push(json!({"RuleNumber": 2, "RuleAction": "deny", "Egress": false, "CidrBlock": "192.0.2.0/24"}));
    });
    assert_eq!(told(&other, "eni-a", "10.0.1.5", 443), "reachable");
}

#[test]
fn lists_that_are_left_out_are_not_empty() {
    for (list, field, component) in [
        ("SecurityGroups", "IpPermissions", "sg-b"),
        ("SecurityGroups", "IpPermissionsEgress", "sg-a"),
        ("NetworkAcls", "Entries", "acl-1"),
        ("RouteTables", "Routes", "rtb-1"),
    ] {
        for null in [false, true] {
            let facts = changed(|value| {
                for one in value[list].as_array_mut().unwrap() {
                    one.as_object_mut().unwrap().remove(field);
                    if null {
                        one[field] = Value::Null;
                    }
                }
            });
            let words = told(&facts, "eni-a", "10.0.1.5", 443);
            let wanted = format!("? {component}: `{field}` of {component} is not in the facts");
            assert!(words.starts_with("unknown; ") && words.contains(&wanted), "{words}");
        }
        let empty = changed(|value| {
            for one in value[list].as_array_mut().unwrap() {
                one[field] = json!([]);
            }
        });
        assert!(told(&empty, "eni-a", "10.0.1.5", 443).starts_with("blocked"), "{field}");
    }
    let nameless = changed(|value| {
        value["SecurityGroups"][1]["IpPermissions"][0].as_object_mut().unwrap().remove("IpProtocol");
    });
    let words = told(&nameless, "eni-a", "10.0.1.5", 443);
    assert_eq!(words, "unknown; ? sg-b: ingress rule 1 of sg-b is not understood: it names no protocol");
}

/// Two VPCs, joined by a peering connection or a transit gateway.
fn two_vpcs(through: &Value) -> Value {
    let mut value = base();
    let push = |value: &mut Value, list: &str, one: Value| value[list].as_array_mut().unwrap().push(one);
    push(&mut value, "Vpcs", json!({"VpcId": "vpc-2", "CidrBlock": "10.2.0.0/16"}));
    push(
        &mut value,
        "Subnets",
        json!({"SubnetId": "subnet-c", "VpcId": "vpc-2", "CidrBlock": "10.2.0.0/24", "AvailabilityZone": "z-a"}),
    );
    let mut acl = value["NetworkAcls"][0].clone();
    (acl["NetworkAclId"], acl["VpcId"]) = (json!("acl-2"), json!("vpc-2"));
    push(&mut value, "NetworkAcls", acl);
    let route = |destination: &str| {
        let mut route = through.clone();
        route["DestinationCidrBlock"] = json!(destination);
        route
    };
    value["RouteTables"][0]["Routes"].as_array_mut().unwrap().push(route("10.2.0.0/16"));
    let local = json!({"DestinationCidrBlock": "10.2.0.0/16", "GatewayId": "local"});
    push(
        &mut value,
        "RouteTables",
        json!({"RouteTableId": "rtb-2", "VpcId": "vpc-2", "Associations": [{"Main": true}],
        "Routes": [local, route("10.0.0.0/16")]}),
    );
    let mut group = value["SecurityGroups"][0].clone();
    (group["GroupId"], group["VpcId"]) = (json!("sg-c"), json!("vpc-2"));
    push(&mut value, "SecurityGroups", group);
    push(
        &mut value,
        "NetworkInterfaces",
        json!({"NetworkInterfaceId": "eni-c", "SubnetId": "subnet-c", "VpcId": "vpc-2",
        "PrivateIpAddress": "10.2.0.5", "Groups": [{"GroupId": "sg-c"}]}),
    );
    value
}

fn peered(status: &str) -> Value {
    let mut value = two_vpcs(&json!({"VpcPeeringConnectionId": "pcx-1"}));
    value["VpcPeeringConnections"] = json!([{"VpcPeeringConnectionId": "pcx-1", "Status": {"Code": status},
        "RequesterVpcInfo": {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"},
        "AccepterVpcInfo": {"VpcId": "vpc-2", "CidrBlock": "10.2.0.0/16"}}]);
    value
}

fn behind_transit_gateway() -> Value {
    let mut value = two_vpcs(&json!({"TransitGatewayId": "tgw-1"}));
    value["TransitGateways"] = json!([{"TransitGatewayId": "tgw-1", "State": "available"}]);
    let attachment = |id: &str, vpc: &str, subnet: &str| {
        json!({"TransitGatewayAttachmentId": id, "TransitGatewayId": "tgw-1", "VpcId": vpc, "State": "available",
            "SubnetIds": [subnet]})
    };
    value["TransitGatewayVpcAttachments"] =
        json!([attachment("tgw-attach-1", "vpc-1", "subnet-a"), attachment("tgw-attach-2", "vpc-2", "subnet-c")]);
    let described = |id: &str, vpc: &str| {
        json!({"TransitGatewayAttachmentId": id, "TransitGatewayId": "tgw-1", "ResourceType": "vpc", "ResourceId": vpc,
            "State": "available", "Association": {"TransitGatewayRouteTableId": "tgw-rtb-1", "State": "associated"}})
    };
    value["TransitGatewayAttachments"] =
        json!([described("tgw-attach-1", "vpc-1"), described("tgw-attach-2", "vpc-2")]);
    value
}

fn with_transit_routes(value: &Value, routes: &Value) -> Facts {
    let mut documents: Vec<(PathBuf, Vec<u8>)> = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (PathBuf::from(format!("{key}.json")), json!({ key: value }).to_string().into_bytes()))
        .collect();
    let file = PathBuf::from("search-transit-gateway-routes-tgw-rtb-1.json");
    documents.push((file, json!({ "Routes": routes }).to_string().into_bytes()));
    facts::from_documents(Path::new("test"), documents).unwrap()
}

#[test]
fn routes_of_a_transit_gateway_forward_only_while_they_are_active() {
    let route = |destination: &str, attachment: &str, state: &str| {
        json!({"DestinationCidrBlock": destination, "Type": "static", "State": state,
            "TransitGatewayAttachments": [{"TransitGatewayAttachmentId": attachment, "ResourceType": "vpc"}]})
    };
    let told_of = |state: &str| {
        let routes =
            json!([route("10.2.0.0/16", "tgw-attach-2", state), route("10.0.0.0/16", "tgw-attach-1", "active")]);
        told(&with_transit_routes(&behind_transit_gateway(), &routes), "eni-a", "10.2.0.5", 443)
    };
    assert_eq!(told_of("active"), "reachable");
    assert!(told_of("blackhole").contains("tgw-rtb-1: 10.2.0.0/16 is a black hole"));
    for state in ["pending", "deleting", "deleted"] {
        assert!(told_of(state).starts_with("blocked; tgw-rtb-1: no route to 10.2.0.5"), "{}", told_of(state));
    }
    let weird = told_of("weird");
    assert!(weird.starts_with("unknown; ? tgw-rtb-1: what state `weird` of the route 10.2.0.0/16"), "{weird}");
}

#[test]
fn a_state_that_nobody_documents_blocks_nothing_for_certain() {
    let peering = |code: &str| told(&facts_of(&peered(code)), "eni-a", "10.2.0.5", 443);
    assert_eq!(peering("active"), "reachable");
    assert!(peering("expired").starts_with("blocked; pcx-1: expired, not active"));
    assert!(peering("weird").starts_with("unknown; ? pcx-1: what state `weird` of pcx-1 means is not known"));
    let attachment = |state: &str| {
        let mut value = behind_transit_gateway();
        value["TransitGatewayVpcAttachments"][0]["State"] = json!(state);
        told(&facts_of(&value), "eni-a", "10.2.0.5", 443)
    };
    assert!(attachment("failed").starts_with("blocked; tgw-attach-1: failed, not available"));
    assert!(attachment("weird").starts_with("unknown; ? tgw-attach-1: what state `weird`"), "{}", attachment("weird"));
    let nat = |state: &str| {
        let facts = changed(|value| {
            let routes = value["RouteTables"][0]["Routes"].as_array_mut().unwrap();
            routes.push(json!({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}));
            value["NatGateways"] = json!([{"NatGatewayId": "nat-1", "VpcId": "vpc-1", "SubnetId": "subnet-b",
                "State": state, "NatGatewayAddresses": [{"PrivateIp": "10.0.1.9", "PublicIp": "203.0.113.9"}]}]);
        });
        told(&facts, "eni-a", "198.51.100.7", 443)
    };
    assert!(nat("failed").contains("; nat-1: failed, not available"), "{}", nat("failed"));
    assert!(nat("weird").contains("? nat-1: what state `weird` of nat-1 means is not known"), "{}", nat("weird"));
}

#[test]
fn a_group_behind_another_or_a_dead_peering_connection_allows_nothing() {
    let with = |pair: Value| {
        let mut value = peered("active");
        value["SecurityGroups"][2]["IpPermissions"] = json!([{"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]);
        told(&facts_of(&value), "eni-a", "10.2.0.5", 443)
    };
    let pair =
        |id: &str, status: &str| json!({"GroupId": "sg-a", "VpcPeeringConnectionId": id, "PeeringStatus": status});
    assert_eq!(with(pair("pcx-1", "active")), "reachable");
    assert_eq!(with(json!({"GroupId": "sg-a"})), "reachable");
    assert!(with(pair("pcx-2", "active")).starts_with("blocked; sg-c: no ingress rule"));
    assert!(with(pair("pcx-1", "deleted")).starts_with("blocked; sg-c: no ingress rule"));
}

#[test]
fn many_holders_of_one_address_are_indexed_in_linear_time() {
    let interface = |id: usize| facts::ec2::NetworkInterface {
        network_interface_id: format!("eni-{id}"),
        private_ip_address: "10.0.0.5".parse().ok(),
        ..facts::ec2::NetworkInterface::default()
    };
    let facts = facts::ec2::Network {
        network_interfaces: Some((0..100_000).map(interface).collect()),
        ..facts::ec2::Network::default()
    };
    let begun = std::time::Instant::now();
    let network = Network::new(&facts);
    assert_eq!(network.holders("10.0.0.5".parse().unwrap()).len(), 100_000);
    // Every pair of them would be five thousand million comparisons.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}
