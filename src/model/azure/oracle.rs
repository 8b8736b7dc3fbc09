//! The model against a packet walker that was written without it: random small networks, one packet after the other.
//!
//! The walker knows no sets, no hops and no reasons: it takes one packet with concrete addresses and carries it from
//! place to place until it arrives, dies, or is in the hands of an appliance. The trace must say reachable exactly when
//! the request and the reply arrive, blocked exactly when one of them dies, and with a file of the facts taken away it
//! may know less but nothing else. What the service tag `VirtualNetwork` holds is not known where user-defined routes
//! may widen it: there the walker goes twice, and the trace may say unknown.

use std::cell::Cell;

use serde_json::{Value, json};

use super::{
    Network,
    testing::{Documents, SUBSCRIPTION, id, reference},
    trace,
};
use crate::{
    facts::Facts,
    model::{
        oracle::Random,
        trace::{Outcome, Point, Trace},
    },
};

type Range = (u32, u8);

fn holds(range: Range, address: u32) -> bool {
    range.1 == 0 || address >> (32 - range.1) == range.0 >> (32 - range.1)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Prefix {
    Any,
    Range(Range),
    VirtualNetwork,
    Internet,
    LoadBalancer,
    /// A service whose ranges the facts hold.
    Service,
    Group(usize),
}

#[derive(Clone, Debug)]
struct Rule {
    inbound: bool,
    allow: bool,
    priority: u32,
    tcp: bool,
    source: Prefix,
    destination: Prefix,
    ports: (u16, u16),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hop {
    Nowhere,
    Local,
    Internet,
    Appliance(usize),
}

#[derive(Clone, Debug)]
struct Subnet {
    network: usize,
    range: Range,
    group: Option<usize>,
    table: Option<usize>,
    policies: &'static str,
    nat: bool,
    private: bool,
}

#[derive(Clone, Debug)]
struct Host {
    subnet: usize,
    address: u32,
    group: Option<usize>,
    asg: Option<usize>,
    endpoint: bool,
    forwards: bool,
    public: bool,
}

/// One side of a peering.
#[derive(Clone, Copy, Debug)]
struct Side {
    from: usize,
    to: usize,
    connected: bool,
    access: bool,
}

#[derive(Clone, Debug, Default)]
struct World {
    networks: Vec<Range>,
    subnets: Vec<Subnet>,
    hosts: Vec<Host>,
    groups: Vec<Vec<Rule>>,
    tables: Vec<Vec<(Range, Hop)>>,
    sides: Vec<Side>,
}

const OUTSIDE: u32 = 0x0808_0808;
const SERVICE: Range = (0x0808_0000, 16);
const PORTS: [u16; 3] = [443, 22, 8443];

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap()
}

impl World {
    fn random(random: &mut Random) -> Self {
        let mut world = Self::default();
        let count = 1 + random.below(3);
        for network in 0..count {
            world.networks.push((0x0a00_0000 | (number(network) << 8), 24));
        }
        for from in 0..count {
            for to in from + 1..count {
                if random.percent(75) {
                    let connected = random.percent(85);
                    for (from, to) in [(from, to), (to, from)] {
                        if connected || random.percent(60) {
                            world.sides.push(Side { from, to, connected, access: random.percent(85) });
                        }
                    }
                }
            }
        }
        for place in 0..count * 2 {
            let (network, half) = (place / 2, number(place % 2));
            let range = (world.networks[network].0 | (half * 64), 26);
            let policies = random.pick(&["Disabled", "Enabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"]);
            world.subnets.push(Subnet {
                network,
                range,
                group: None,
                table: None,
                policies,
                nat: random.percent(25),
                private: random.percent(25),
            });
            for host in 0..=number(random.below(2)) {
                world.hosts.push(Host {
                    subnet: place,
                    address: range.0 | (4 + host),
                    group: None,
                    asg: random.percent(40).then(|| random.below(2)),
                    endpoint: host == 1 && random.percent(60),
                    forwards: random.percent(50),
                    public: random.percent(20),
                });
            }
        }
        for place in 0..world.subnets.len() {
            if random.percent(50) {
                let rules = world.rules(random);
                world.groups.push(rules);
                world.subnets[place].group = Some(world.groups.len() - 1);
            }
            if random.percent(40) {
                let table = world.routes(random);
                world.tables.push(table);
                world.subnets[place].table = Some(world.tables.len() - 1);
            }
        }
        for place in 0..world.hosts.len() {
            if random.percent(25) && !world.hosts[place].endpoint {
                let rules = world.rules(random);
                world.groups.push(rules);
                world.hosts[place].group = Some(world.groups.len() - 1);
            }
        }
        world
    }

    fn any_range(&self, random: &mut Random) -> Range {
        let network = self.networks[random.below(self.networks.len())];
        match random.below(7) {
            0 => (0, 0),
            1 => (0x0a00_0000, 8),
            2 | 3 => network,
            4 => (network.0 | (64 * number(random.below(3))), 26),
            5 => (self.hosts[random.below(self.hosts.len())].address, 32),
            _ => (OUTSIDE & 0xffff_ff00, 24),
        }
    }

    fn rules(&self, random: &mut Random) -> Vec<Rule> {
        let mut rules = Vec::new();
        for place in 0..random.below(6) {
            let prefix = |random: &mut Random| match random.below(10) {
                0 | 1 => Prefix::Any,
                2 => Prefix::VirtualNetwork,
                3 => Prefix::Internet,
                4 => random.pick(&[Prefix::LoadBalancer, Prefix::Service]),
                5 => Prefix::Group(random.below(2)),
                _ => Prefix::Range(self.any_range(random)),
            };
            let (source, destination) = (prefix(random), prefix(random));
            rules.push(Rule {
                inbound: random.percent(50),
                allow: random.percent(55),
                // In the order of neither the file nor the names.
                priority: 100 + (number(place) * 37) % 61,
                tcp: random.percent(85),
                source,
                destination,
                ports: random.pick(&[(0, 65_535), (443, 443), (400, 500), (22, 22)]),
            });
        }
        rules
    }

    fn routes(&self, random: &mut Random) -> Vec<(Range, Hop)> {
        let mut routes: Vec<(Range, Hop)> = Vec::new();
        for _ in 0..=random.below(3) {
            let range = self.any_range(random);
            let hop = match random.below(6) {
                0 | 1 => Hop::Nowhere,
                2 => Hop::Local,
                3 => Hop::Internet,
                _ => Hop::Appliance(random.below(self.hosts.len())),
            };
            let known = |(other, _): &(Range, Hop)| *other == range;
            let endpoint = matches!(hop, Hop::Appliance(host) if self.hosts[host].endpoint);
            if !routes.iter().any(known) && !endpoint {
                routes.push((range, hop));
            }
        }
        routes
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Dies,
    /// It is in the hands of an appliance that forwards.
    Taken,
}

struct Walker<'w> {
    world: &'w World,
    /// User-defined routes widen the service tag.
    wide: bool,
    /// It has made a difference whether they do.
    asked: Cell<bool>,
}

impl Walker<'_> {
    fn in_virtual_network(&self, subnet: usize, address: u32) -> bool {
        let home = self.world.subnets[subnet].network;
        if holds(self.world.networks[home], address) || address == 0xa83f_8110 {
            return true;
        }
        let peers = self.world.sides.iter().filter(|side| side.from == home && side.connected && side.access);
        if peers.into_iter().any(|side| holds(self.world.networks[side.to], address)) {
            return true;
        }
        let table = self.world.subnets[subnet].table.map(|table| &self.world.tables[table]);
        let widened = table.is_some_and(|table| table.iter().any(|(range, _)| holds(*range, address)));
        if widened {
            self.asked.set(true);
        }
        widened && self.wide
    }

    fn matches(&self, prefix: Prefix, subnet: usize, address: u32, asg: Option<usize>) -> bool {
        match prefix {
            Prefix::Any => true,
            Prefix::Range(range) => holds(range, address),
            Prefix::VirtualNetwork => self.in_virtual_network(subnet, address),
            Prefix::Internet => address == OUTSIDE,
            Prefix::LoadBalancer => false,
            Prefix::Service => holds(SERVICE, address),
            Prefix::Group(group) => asg == Some(group),
        }
    }

    fn group_passes(
        &self,
        group: Option<usize>,
        subnet: usize,
        inbound: bool,
        (source, source_asg): (u32, Option<usize>),
        (destination, destination_asg): (u32, Option<usize>),
        port: u16,
    ) -> bool {
        let Some(group) = group else { return true };
        let mut rules: Vec<&Rule> = self.world.groups[group].iter().filter(|rule| rule.inbound == inbound).collect();
        rules.sort_by_key(|rule| rule.priority);
        for rule in rules {
            if rule.tcp
                && rule.ports.0 <= port
                && port <= rule.ports.1
                && self.matches(rule.source, subnet, source, source_asg)
                && self.matches(rule.destination, subnet, destination, destination_asg)
            {
                return rule.allow;
            }
        }
        let both = self.in_virtual_network(subnet, source) && self.in_virtual_network(subnet, destination);
        both || (!inbound && destination == OUTSIDE)
    }

    /// Where a packet from a subnet goes next: the rule of the longest prefix.
    fn next(&self, subnet: usize, destination: u32) -> Option<Hop> {
        let world = self.world;
        let home = world.subnets[subnet].network;
        let table: &[(Range, Hop)] = world.subnets[subnet].table.map_or(&[], |table| &world.tables[table]);
        let user = table.iter().filter(|(range, _)| holds(*range, destination)).max_by_key(|(range, _)| range.1);
        let peered = |side: &&Side| side.from == home && side.connected;
        // The provider's routes: (length, hop); `None` is another network by its peering.
        let mut system: (u8, Option<Hop>) = (0, Some(Hop::Internet));
        if holds((0x0a00_0000, 8), destination) {
            system = (8, Some(Hop::Nowhere));
        }
        if holds(world.networks[home], destination) {
            system = (24, Some(Hop::Local));
        }
        for side in world.sides.iter().filter(peered) {
            if holds(world.networks[side.to], destination) {
                system = (24, None);
            }
        }
        for host in world.hosts.iter().filter(|host| host.endpoint && host.address == destination) {
            let there = world.subnets[host.subnet].network;
            let near = there == home || world.sides.iter().filter(peered).any(|side| side.to == there);
            let covers = matches!(world.subnets[host.subnet].policies, "Enabled" | "RouteTableEnabled");
            let overruled = covers && table.iter().any(|(range, _)| range.1 >= 24 && holds(*range, destination));
            if near && !overruled {
                system = (32, if there == home { Some(Hop::Local) } else { None });
            }
        }
        match user {
            Some((range, hop)) if range.1 >= system.0 => Some(*hop),
            _ => system.1,
        }
    }

    /// From one host to another, without what guards them.
    fn carried(&self, from: &Host, to: &Host) -> Fate {
        let home = self.world.subnets[from.subnet].network;
        let there = self.world.subnets[to.subnet].network;
        match self.next(from.subnet, to.address) {
            Some(Hop::Local) if home == there => Fate::Arrives,
            Some(Hop::Appliance(host)) if self.world.hosts[host].forwards => Fate::Taken,
            Some(_) => Fate::Dies,
            None => Fate::Arrives,
        }
    }

    fn leaves(&self, from: &Host, destination: u32, asg: Option<usize>, port: u16) -> bool {
        let ends = ((from.address, from.asg), (destination, asg));
        self.group_passes(from.group, from.subnet, false, ends.0, ends.1, port)
            && self.group_passes(self.world.subnets[from.subnet].group, from.subnet, false, ends.0, ends.1, port)
    }

    fn enters(&self, from: &Host, to: &Host, port: u16) -> bool {
        let subnet = &self.world.subnets[to.subnet];
        if to.endpoint && !matches!(subnet.policies, "Enabled" | "NetworkSecurityGroupEnabled") {
            return true;
        }
        let ends = ((from.address, from.asg), (to.address, to.asg));
        self.group_passes(subnet.group, to.subnet, true, ends.0, ends.1, port)
            && self.group_passes(to.group, to.subnet, true, ends.0, ends.1, port)
    }

    /// A network that keeps a peer out of the service tag keeps its packets out, unless a rule lets them through.
    fn access(&self, from: &Host, to: &Host) -> bool {
        let (home, there) = (self.world.subnets[from.subnet].network, self.world.subnets[to.subnet].network);
        let closed = |here: usize, other: usize| {
            self.world.sides.iter().any(|side| side.from == here && side.to == other && !side.access)
        };
        let has_group = |host: &Host, inbound: bool| {
            let subnet = &self.world.subnets[host.subnet];
            let exempt =
                inbound && host.endpoint && !matches!(subnet.policies, "Enabled" | "NetworkSecurityGroupEnabled");
            !exempt && (subnet.group.is_some() || host.group.is_some())
        };
        home == there
            || ((!closed(home, there) || has_group(from, false)) && (!closed(there, home) || has_group(to, true)))
    }

    fn request(&self, from: &Host, to: &Host, port: u16) -> Fate {
        if !self.leaves(from, to.address, to.asg, port) {
            return Fate::Dies;
        }
        match self.carried(from, to) {
            Fate::Arrives if self.access(from, to) && self.enters(from, to, port) => Fate::Arrives,
            Fate::Arrives => Fate::Dies,
            other => other,
        }
    }

    fn connection(&self, from: &Host, to: &Host, port: u16) -> Fate {
        match self.request(from, to, port) {
            Fate::Arrives if to.endpoint => Fate::Arrives,
            Fate::Arrives => self.carried(to, from),
            other => other,
        }
    }

    fn to_the_internet(&self, from: &Host, port: u16) -> Fate {
        if !self.leaves(from, OUTSIDE, None, port) {
            return Fate::Dies;
        }
        let subnet = &self.world.subnets[from.subnet];
        match self.next(from.subnet, OUTSIDE) {
            Some(Hop::Internet) if subnet.nat || from.public || !subnet.private => Fate::Arrives,
            Some(Hop::Appliance(host)) if self.world.hosts[host].forwards => Fate::Taken,
            _ => Fate::Dies,
        }
    }
}

fn text(address: u32) -> String {
    std::net::Ipv4Addr::from_bits(address).to_string()
}

fn range_text(range: Range) -> String {
    format!("{}/{}", text(range.0), range.1)
}

/// The world as the provider writes it.
fn documents(world: &World) -> Documents {
    let vnet = |network: usize| id("rg", &format!("virtualNetworks/n{network}"));
    let subnet_id = |place: usize| format!("{}/subnets/s{place}", vnet(world.subnets[place].network));
    let group_id = |group: usize| id("rg", &format!("networkSecurityGroups/g{group}"));
    let host_id = |place: usize| id("rg", &format!("networkInterfaces/h{place}"));
    let networks: Vec<Value> = (0..world.networks.len())
        .map(|network| {
            let peerings: Vec<Value> = world
                .sides
                .iter()
                .filter(|side| side.from == network)
                .map(|side| {
                    json!({"id": format!("{}/virtualNetworkPeerings/p{}", vnet(network), side.to), "name": format!("p{}", side.to),
                        "properties": {"remoteVirtualNetwork": {"id": vnet(side.to)}, "allowVirtualNetworkAccess": side.access,
                            "peeringState": if side.connected { "Connected" } else { "Initiated" }}})
                })
                .collect();
            let subnets: Vec<Value> = (0..world.subnets.len())
                .filter(|place| world.subnets[*place].network == network)
                .map(|place| {
                    let subnet = &world.subnets[place];
                    let mut value = json!({"addressPrefix": range_text(subnet.range), "privateEndpointNetworkPolicies": subnet.policies,
                        "defaultOutboundAccess": !subnet.private});
                    if let Some(group) = subnet.group {
                        value["networkSecurityGroup"] = reference(group_id(group));
                    }
                    if let Some(table) = subnet.table {
                        value["routeTable"] = reference(id("rg", &format!("routeTables/t{table}")));
                    }
                    if subnet.nat {
                        value["natGateway"] = reference(id("rg", "natGateways/nat"));
                    }
                    let endpoints = world.hosts.iter().enumerate().filter(|(_, host)| host.endpoint && host.subnet == place);
                    let endpoints: Vec<Value> =
                        endpoints.map(|(host, _)| reference(id("rg", &format!("privateEndpoints/e{host}")))).collect();
                    value["privateEndpoints"] = json!(endpoints);
                    json!({"id": subnet_id(place), "name": format!("s{place}"), "properties": value})
                })
                .collect();
            json!({"id": vnet(network), "name": format!("n{network}"), "type": "Microsoft.Network/virtualNetworks",
                "properties": {"addressSpace": {"addressPrefixes": [range_text(world.networks[network])]},
                    "subnets": subnets, "virtualNetworkPeerings": peerings}})
        })
        .collect();
    let interfaces: Vec<Value> = world
        .hosts
        .iter()
        .enumerate()
        .map(|(place, host)| {
            let mut configuration =
                json!({"privateIPAddress": text(host.address), "subnet": {"id": subnet_id(host.subnet)}});
            if let Some(asg) = host.asg {
                configuration["applicationSecurityGroups"] =
                    json!([{"id": id("rg", &format!("applicationSecurityGroups/a{asg}"))}]);
            }
            if host.public {
                configuration["publicIPAddress"] = reference(id("rg", &format!("publicIPAddresses/h{place}")));
            }
            let mut value =
                json!({"ipConfigurations": [{"properties": configuration}], "enableIPForwarding": host.forwards});
            if host.endpoint {
                value["privateEndpoint"] = reference(id("rg", &format!("privateEndpoints/e{place}")));
            } else {
                value["virtualMachine"] = reference(format!(
                    "{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm{place}"
                ));
            }
            if let Some(group) = host.group {
                value["networkSecurityGroup"] = reference(group_id(group));
            }
            json!({"id": host_id(place), "name": format!("h{place}"), "properties": value})
        })
        .collect();
    let endpoints: Vec<Value> = world
        .hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| host.endpoint)
        .map(|(place, host)| {
            json!({"id": id("rg", &format!("privateEndpoints/e{place}")), "name": format!("e{place}"), "properties": {
                "subnet": {"id": subnet_id(host.subnet)}, "networkInterfaces": [{"id": host_id(place)}]}})
        })
        .collect();
    let groups: Vec<Value> = world
        .groups
        .iter()
        .enumerate()
        .map(|(place, rules)| {
            let rules: Vec<Value> = rules.iter().enumerate().map(|(place, rule)| rule_value(place, rule)).collect();
            json!({"id": group_id(place), "name": format!("g{place}"), "properties": {"securityRules": rules}})
        })
        .collect();
    let tables: Vec<Value> = world
        .tables
        .iter()
        .enumerate()
        .map(|(place, routes)| {
            let routes: Vec<Value> = routes
                .iter()
                .enumerate()
                .map(|(place, (range, hop))| {
                    let (kind, address) = match hop {
                        Hop::Nowhere => ("None", None),
                        Hop::Local => ("VnetLocal", None),
                        Hop::Internet => ("Internet", None),
                        Hop::Appliance(host) => ("VirtualAppliance", Some(text(world.hosts[*host].address))),
                    };
                    json!({"name": format!("r{place}"), "properties": {"addressPrefix": range_text(*range),
                        "nextHopType": kind, "nextHopIpAddress": address}})
                })
                .collect();
            json!({"id": id("rg", &format!("routeTables/t{place}")), "name": format!("t{place}"), "properties": {"routes": routes}})
        })
        .collect();
    let public: Vec<Value> = (0..world.hosts.len())
        .map(|place| {
            json!({"id": id("rg", &format!("publicIPAddresses/h{place}")), "name": format!("h{place}"),
                "properties": {"ipAddress": format!("52.0.0.{}", place + 1)}})
        })
        .collect();
    let mut documents = Documents::default();
    documents.set("network/virtual-networks.json", json!({"value": networks}));
    documents.set("network/network-interfaces.json", json!({"value": interfaces}));
    documents.set("network/private-endpoints.json", json!({"value": endpoints}));
    documents.set("network/network-security-groups.json", json!({"value": groups}));
    documents.set("network/route-tables.json", json!({"value": tables}));
    documents.set("network/public-ip-addresses.json", json!({"value": public}));
    documents.set(
        "network/service-tags.json",
        json!({"name": "Public", "type": "Microsoft.Network/serviceTags",
        "values": [{"name": "Service", "id": "Service", "properties": {"addressPrefixes": [range_text(SERVICE)]}}]}),
    );
    documents
}

fn rule_value(place: usize, rule: &Rule) -> Value {
    let mut value = json!({"direction": if rule.inbound { "Inbound" } else { "Outbound" },
        "access": if rule.allow { "Allow" } else { "Deny" }, "priority": rule.priority,
        "protocol": if rule.tcp { "Tcp" } else { "Udp" }, "sourcePortRange": "*"});
    value["destinationPortRange"] = match rule.ports {
        (0, 65_535) => json!("*"),
        (from, to) if from == to => json!(from.to_string()),
        (from, to) => json!(format!("{from}-{to}")),
    };
    for (side, prefix) in [("source", rule.source), ("destination", rule.destination)] {
        let (key, written) = match prefix {
            Prefix::Any => ("AddressPrefix", json!("*")),
            Prefix::Range(range) if range.1 == 32 => ("AddressPrefixes", json!([text(range.0), "192.0.2.1"])),
            Prefix::Range(range) => ("AddressPrefix", json!(range_text(range))),
            Prefix::VirtualNetwork => ("AddressPrefix", json!("VirtualNetwork")),
            Prefix::Internet => ("AddressPrefix", json!("Internet")),
            Prefix::LoadBalancer => ("AddressPrefix", json!("AzureLoadBalancer")),
            Prefix::Service => ("AddressPrefix", json!("Service")),
            Prefix::Group(asg) => {
                ("ApplicationSecurityGroups", json!([{"id": id("rg", &format!("applicationSecurityGroups/a{asg}"))}]))
            }
        };
        value[format!("{side}{key}")] = written;
    }
    json!({"name": format!("rule{place}"), "properties": value})
}

fn point(address: u32) -> Point {
    Point::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(address)))
}

/// What the walker says: one fate, or none where it is not known what a service tag holds.
fn expected(world: &World, ask: impl Fn(&Walker<'_>) -> Fate) -> (Option<Fate>, bool) {
    let walkers = [false, true].map(|wide| Walker { world, wide, asked: Cell::new(false) });
    let fates = [ask(&walkers[0]), ask(&walkers[1])];
    let doubt = walkers.iter().any(|walker| walker.asked.get());
    ((fates[0] == fates[1]).then_some(fates[0]), doubt)
}

fn check(world: &World, facts: &Facts, answer: &Trace, (fate, doubt): (Option<Fate>, bool), question: &str) -> Outcome {
    let wanted = match fate {
        Some(Fate::Arrives) => Outcome::Reachable,
        Some(Fate::Dies) => Outcome::Blocked,
        Some(Fate::Taken) | None => Outcome::Unknown,
    };
    let less = doubt && answer.outcome == Outcome::Unknown;
    assert!(
        answer.outcome == wanted || less,
        "{question}: {fate:?}, {answer:#?}\n{world:#?}\n{:#?}",
        facts.azure.route_tables
    );
    answer.outcome
}

#[test]
fn traces_agree_with_packets() {
    let (mut traces, mut counts, mut doubts) = (0_u32, [0_u32; 3], 0_u32);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let world = World::random(&mut random);
        let documents = documents(&world);
        let facts = documents.facts();
        let network = Network::new(&facts.azure);
        let lacking: Vec<(&str, Facts)> = LACKING
            .iter()
            .filter(|_| seed % 4 == 0)
            .map(|path| (*path, documents.clone().without(path).facts()))
            .collect();
        let lacking: Vec<(&str, Network<'_>)> =
            lacking.iter().map(|(path, facts)| (*path, Network::new(&facts.azure))).collect();
        for (place, from) in world.hosts.iter().enumerate().filter(|(_, host)| !host.endpoint) {
            for to in world.hosts.iter().map(Some).chain([None]) {
                if to.is_some_and(|to| to.address == from.address) {
                    continue;
                }
                let port = random.pick(&PORTS);
                let target = point(to.map_or(OUTSIDE, |to| to.address));
                let answer = trace(&network, &point(from.address), &target, port).unwrap();
                let wanted = expected(&world, |walker| match to {
                    Some(to) => walker.connection(from, to, port),
                    None => walker.to_the_internet(from, port),
                });
                let question = format!("seed {seed}, {} to {target}:{port}", text(from.address));
                let outcome = check(&world, &facts, &answer, wanted, &question);
                counts[outcome as usize] += 1;
                doubts += u32::from(wanted.1 && outcome == Outcome::Unknown && wanted.0.is_some());
                traces += 1;
                let by_name = trace(&network, &format!("vm{place}").parse().unwrap(), &target, port).unwrap();
                assert_eq!(by_name, answer, "{question}");
                for (path, lacking) in &lacking {
                    let less = trace(lacking, &point(from.address), &target, port).unwrap();
                    let known_less = less.outcome == answer.outcome || less.outcome == Outcome::Unknown;
                    assert!(known_less, "{question} without {path}: {less:#?}, with it {answer:#?}\n{world:#?}");
                }
            }
        }
    }
    // The worlds are no good if they do not ask both questions often.
    assert!(traces > 5_000 && counts.iter().all(|count| *count > traces / 50), "{traces} traces: {counts:?}");
    assert!(doubts < traces / 10, "{doubts} of {traces}");
}

const SEEDS: u64 = 250;
const LACKING: [&str; 6] = [
    "network/network-interfaces.json",
    "network/private-endpoints.json",
    "network/network-security-groups.json",
    "network/route-tables.json",
    "network/public-ip-addresses.json",
    "network/service-tags.json",
];
