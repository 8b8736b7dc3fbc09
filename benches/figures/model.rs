//! What evaluating a configuration costs: sets, one cluster, its growth, and ten thousand clusters from disk.

use std::{
    error::Error,
    fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net};
use kubereach::{
    facts::{Facts, from_documents, read},
    model::{Standpoint, eks::predict, network::Network, set::AddressSet},
};
use kubereach_probes::AddressClasses;
use serde_json::{Value, json};

use crate::{
    cost::{Measured, peak_memory_mebibytes},
    figure::{Bound, Figure, Outcome, median, milliseconds},
    world::World,
};

/// Coverage, excess, missing and minimal lists of two thousand ranges against two thousand others.
pub(crate) fn sets(_: &World) -> Outcome {
    let ranges = |offset: u32| -> Result<Vec<IpNet>, Box<dyn Error>> {
        (0..RANGES)
            .map(|number| Ok(IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits((number * 7 + offset) << 11), 24)?)))
            .collect()
    };
    let (configured, intended) = (ranges(0)?, ranges(3)?);
    let wall = median_of(SET_ROUNDS, || {
        let (configured, intended) = (AddressSet::from_nets(&configured), AddressSet::from_nets(&intended));
        let (excess, missing) = (configured.difference(&intended).cover(), intended.difference(&configured).cover());
        black_box((excess, missing, configured.cover(), configured.is_superset(&intended)));
    });
    let (configured, intended) = (authorized(0)?, authorized(1)?);
    let like_real_ones = median_of(SET_ROUNDS, || {
        let (configured_set, intended_set) = (AddressSet::from_nets(&configured), AddressSet::from_nets(&intended));
        let (excess, missing) = (configured_set.difference(&intended_set), intended_set.difference(&configured_set));
        let minimal = configured_set.cover();
        let redundant = configured.len() - minimal.len();
        black_box((configured_set.is_superset(&intended_set), excess.cover(), missing.cover(), redundant, minimal));
    });
    Ok(Measured::Figures(vec![
        at_most("sets: 2,000 ranges against 2,000, all answers", milliseconds(wall), "ms", 1.0),
        at_most("… authorized ranges of AKS, nested and adjacent", milliseconds(like_real_ones), "ms", 1.0),
    ]))
}

/// Two thousand authorized ranges as people gather them, in the order in which they came: single addresses of offices
/// and pipelines, whole offices that hold some of these, halves of networks side by side, ranges of providers. A tenth of
/// them differs from one `edition` to another.
fn authorized(edition: u32) -> Result<Vec<IpNet>, Box<dyn Error>> {
    (0..RANGES)
        .map(|number| {
            // Scatters the numbers over the public space, the same each time.
            let edition = if number % 10 == 3 { edition } else { 0 };
            let place = (number / 4 + edition * 7_919).wrapping_mul(0x9e37_79b1);
            let network = 0x1400_0000 | ((place >> 8) & 0x07ff_ff00);
            let (address, length) = match number % 8 {
                // Two addresses of one office, the office, and a part of it.
                0 | 1 => (network | (place & 0x7f) | ((number & 1) << 7), 32),
                2 => (network, 24),
                3 => (network | 0x40, 27),
                // Two halves side by side, a single address, a provider's range.
                4 => (network, 25),
                5 => (network | 0x80, 25),
                6 => (network | 0x100 | (place & 0xff), 32),
                _ => (network & 0xffff_f000, 20),
            };
            Ok(IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(address), length)?).trunc())
        })
        .collect()
}

/// One cluster, its index included, for every vantage.
pub(crate) fn evaluation(_: &World) -> Outcome {
    let mut figures = Vec::new();
    for (groups, rules, vantages, bound) in
        [(10, 60, 20, Some(1.0)), (10, 100, 200, Some(50.0)), (10, 600, 20, None), (10, 6_000, 20, None)]
    {
        let facts = facts_of("prod", groups, rules, vantages)?;
        let standpoints = standpoints(vantages);
        let wall = median_of(EVALUATION_ROUNDS, || {
            black_box(evaluate(&facts, &standpoints));
        });
        let name = format!("one cluster: {groups} groups × {rules} rules, 6 subnets, {vantages} vantages");
        // Growth: ten times the rules may cost ten times as much and no more.
        let bound = bound.unwrap_or_else(|| rules as f64 / 60.0);
        figures.push(at_most(&name, milliseconds(wall), "ms", bound));
    }
    Ok(Measured::Figures(figures))
}

/// Ten thousand facts folders, one after the other on one thread, each evaluated for twenty vantages and let go.
pub(crate) fn folders(world: &World) -> Outcome {
    let root = world.folder().join("clusters");
    let documents = documents("NAME", 2, 10, VANTAGES);
    for index in 0..CLUSTERS {
        let name = format!("c{index:05}");
        let folder = root.join(&name);
        for (path, document) in &documents {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap_or(&folder))?;
            fs::write(&file, document.to_string().replace("NAME", &name))?;
        }
    }
    let standpoints = standpoints(VANTAGES);
    let before = peak_memory_mebibytes();
    let started = Instant::now();
    let mut decided = 0;
    for index in 0..CLUSTERS {
        let facts = read(&root.join(format!("c{index:05}"))).map_err(|error| error.to_string())?;
        decided += evaluate(&facts, &standpoints);
    }
    let wall = started.elapsed();
    if decided != CLUSTERS * VANTAGES {
        return Err(format!("only {decided} of {} cells were decided", CLUSTERS * VANTAGES).into());
    }
    let more = peak_memory_mebibytes() - before;
    Ok(Measured::Figures(vec![
        at_most("10,000 clusters × 20 vantages from disk, one thread", wall.as_secs_f64(), "s", 20.0),
        at_most("… peak memory beyond what the bench held before", more, "MiB", 16.0),
    ]))
}

/// How many standpoints the configuration decides.
fn evaluate(facts: &Facts, standpoints: &[Standpoint]) -> usize {
    let network = Network::new(&facts.network);
    let classes = AddressClasses::default();
    let known = |standpoint: &&Standpoint| {
        let prediction = predict(facts, &network, standpoint, &classes, &[]);
        prediction.is_some_and(|one| one.configured != kubereach_probes::Reachability::Unknown)
    };
    standpoints.iter().filter(known).count()
}

/// Instances in the VPC, and addresses on the internet, by turns.
fn standpoints(count: usize) -> Vec<Standpoint> {
    (0..count)
        .map(|index| {
            let public = IpAddr::V4(Ipv4Addr::from_bits(0x3400_0000 + u32::try_from(index).unwrap_or(0)));
            let (instance, own) =
                if index % 2 == 0 { (Some(format!("i-{index}")), vec![]) } else { (None, vec![public]) };
            Standpoint { instance, own, declared: true, ..Standpoint::default() }
        })
        .collect()
}

fn facts_of(name: &str, groups: usize, rules: usize, vantages: usize) -> Result<Facts, Box<dyn Error>> {
    let documents = documents(name, groups, rules, vantages)
        .into_iter()
        .map(|(path, document)| (path, document.to_string().into_bytes()));
    from_documents(Path::new("facts"), documents).map_err(|error| error.to_string().into())
}

/// A cluster with both endpoints on, in a VPC of six subnets; the last rule of the last group lets the VPC in.
fn documents(name: &str, groups: usize, rules: usize, instances: usize) -> Vec<(PathBuf, Value)> {
    let subnets: Vec<Value> = (0..6)
        .map(|index| json!({"SubnetId": format!("subnet-{index}"), "VpcId": "vpc-1", "CidrBlock": format!("10.20.{index}.0/24"), "AvailabilityZone": format!("eu-west-1{index}")}))
        .collect();
    let everything = json!([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    let security_groups: Vec<Value> = (0..groups)
        .map(|group| {
            let mut permissions: Vec<Value> = (1..rules)
                .map(|rule| {
                    let (high, low) = ((group * rules + rule) / 250 % 250, (group * rules + rule) % 250);
                    json!({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": format!("100.{high}.{low}.0/24")}]})
                })
                .collect();
            let own = if group + 1 == groups { "10.20.0.0/16" } else { "10.250.0.0/16" };
            permissions.push(json!({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": own}]}));
            json!({"GroupId": format!("sg-{group}"), "VpcId": "vpc-1", "IpPermissions": permissions, "IpPermissionsEgress": everything})
        })
        .collect();
    let all_groups: Vec<Value> = (0..groups).map(|group| json!({"GroupId": format!("sg-{group}")})).collect();
    let interface = |id: String,
                     subnet: usize,
                     host: usize,
                     description: String,
                     instance: Option<String>,
                     groups: &[Value]| {
        let address = format!("10.20.{subnet}.{host}");
        json!({"NetworkInterfaceId": id, "SubnetId": format!("subnet-{subnet}"), "VpcId": "vpc-1", "Description": description,
            "AvailabilityZone": format!("eu-west-1{subnet}"), "Groups": groups, "PrivateIpAddress": address,
            "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": true}],
            "Attachment": instance.map(|id| json!({"InstanceId": id, "DeviceIndex": 0, "Status": "attached"}))})
    };
    let mut interfaces: Vec<Value> = (0..4)
        .map(|index| interface(format!("eni-x{index}"), index, 10, format!("Amazon EKS {name}"), None, &all_groups))
        .collect();
    interfaces.extend((0..instances).map(|index| {
        interface(
            format!("eni-{index}"),
            index % 6,
            20 + index / 6,
            String::new(),
            Some(format!("i-{index}")),
            &all_groups[..1],
        )
    }));
    let machines: Vec<Value> = (0..instances)
        .map(|index| json!({"InstanceId": format!("i-{index}"), "VpcId": "vpc-1", "SubnetId": format!("subnet-{}", index % 6), "State": {"Name": "running"}}))
        .collect();
    let entries = |egress: bool| json!({"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": egress, "CidrBlock": "0.0.0.0/0"});
    let attribute = |name: &str| json!({"VpcId": "vpc-1", name: {"Value": true}});
    [
        ("eks/describe-cluster.json", json!({"cluster": {"name": name, "arn": format!("arn:aws:eks:eu-west-1:123456789012:cluster/{name}"),
            "status": "ACTIVE", "endpoint": format!("https://{name}.gr7.eu-west-1.eks.amazonaws.com"),
            "kubernetesNetworkConfig": {"ipFamily": "ipv4"},
            "resourcesVpcConfig": {"vpcId": "vpc-1", "subnetIds": ["subnet-0", "subnet-1"], "securityGroupIds": [],
                "clusterSecurityGroupId": "sg-0", "endpointPublicAccess": true, "endpointPrivateAccess": true,
                "publicAccessCidrs": ["52.0.0.0/28"]}}})),
        ("ec2/describe-vpcs.json", json!({"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.20.0.0/16", "DhcpOptionsId": "dopt-1"}]})),
        ("ec2/describe-vpc-attribute-enableDnsSupport.json", attribute("EnableDnsSupport")),
        ("ec2/describe-vpc-attribute-enableDnsHostnames.json", attribute("EnableDnsHostnames")),
        ("ec2/describe-dhcp-options.json", json!({"DhcpOptions": [{"DhcpOptionsId": "dopt-1", "DhcpConfigurations": [
            {"Key": "domain-name-servers", "Values": [{"Value": "AmazonProvidedDNS"}]}]}]})),
        ("ec2/describe-subnets.json", json!({"Subnets": subnets})),
        ("ec2/describe-route-tables.json", json!({"RouteTables": [{"RouteTableId": "rtb-1", "VpcId": "vpc-1",
            "Associations": [{"Main": true}], "Routes": [{"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local", "State": "active"}]}]})),
        ("ec2/describe-network-acls.json", json!({"NetworkAcls": [{"NetworkAclId": "acl-1", "VpcId": "vpc-1", "IsDefault": true,
            "Entries": [entries(true), entries(false)]}]})),
        ("ec2/describe-security-groups.json", json!({"SecurityGroups": security_groups})),
        ("ec2/describe-network-interfaces.json", json!({"NetworkInterfaces": interfaces})),
        ("ec2/describe-instances.json", json!({"Reservations": [{"Instances": machines}]})),
    ]
    .into_iter()
    .map(|(path, document)| (PathBuf::from(path), document))
    .collect()
}

fn median_of(rounds: usize, mut measured: impl FnMut()) -> Duration {
    let mut walls: Vec<Duration> = (0..rounds)
        .map(|_| {
            let started = Instant::now();
            measured();
            started.elapsed()
        })
        .collect();
    median(&mut walls)
}

fn at_most(name: &str, value: f64, unit: &'static str, most: f64) -> Figure {
    Figure { name: name.to_owned(), value, floor: None, unit, bound: Bound::AtMost(most) }
}

const RANGES: u32 = 2_000;
const SET_ROUNDS: usize = 200;
const EVALUATION_ROUNDS: usize = 30;
const CLUSTERS: usize = 10_000;
const VANTAGES: usize = 20;
