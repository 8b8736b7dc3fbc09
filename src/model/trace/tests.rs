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
    for wrong in ["", "web", "eni 1", "sg-1", "10.0.0.0/8", &format!("eni-{}", "a".repeat(100))] {
        assert!(wrong.parse::<Point>().is_err(), "{wrong}");
    }
    let facts = changed(|_| {});
    let error = |from: &str, to: &str| ask(&facts, from, to, 443).unwrap_err().to_string();
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
