//! The model against a packet walker that was written without it: random small worlds, one packet after the other.
//!
//! The walker knows no sets, no hops and no reasons: it takes one packet with concrete addresses and ports and carries
//! it from place to place until it arrives or dies. The trace must say reachable exactly when the request and every
//! reply arrive, blocked exactly when the request or every reply dies, and with a file of the facts taken away it may
//! know less but nothing else.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    network::Network,
    trace::{Hop, Outcome, Point, Trace, TraceError, trace},
};
use crate::facts::{Cidr, List, ec2};

/// A generator of numbers that needs nothing.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(bound as usize)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

type Range = (u32, u8);
/// Destination or prefix list, target, propagated.
type RouteEntry = (Result<Range, usize>, To, bool);
/// Egress, ports (none: all protocols), peer.
type GroupRule = (bool, Option<(u16, u16)>, Peer);
/// Number, egress, allow, far side, ports (none: all protocols).
type AclEntry = (u32, bool, bool, Range, Option<(u16, u16)>);

fn holds(range: Range, address: u32) -> bool {
    range.1 == 0 || address >> (32 - range.1) == range.0 >> (32 - range.1)
}

#[derive(Clone, Debug)]
struct Vpc {
    range: Range,
    igw: Option<usize>,
}

#[derive(Clone, Debug)]
struct Subnet {
    vpc: usize,
    range: Range,
    zone: usize,
    table: Option<usize>,
    acl: Option<usize>,
}

#[derive(Clone, Debug)]
struct Nic {
    subnet: usize,
    address: u32,
    public: Option<u32>,
    groups: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Local,
    Igw(usize),
    Nat(usize),
    Tgw,
    Pcx(usize),
    Hole,
}

#[derive(Clone, Debug)]
struct Table {
    vpc: usize,
    main: bool,
    /// Destination or prefix list, target, propagated.
    routes: Vec<RouteEntry>,
}

#[derive(Clone, Debug)]
struct Acl {
    vpc: usize,
    main: bool,
    /// Number, egress, allow, range, ports; unsorted.
    entries: Vec<AclEntry>,
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    Range(Range),
    List(usize),
    Group(usize),
}

#[derive(Clone, Debug)]
struct Group {
    vpc: usize,
    /// Egress, ports (none: all protocols), peer.
    rules: Vec<GroupRule>,
}

#[derive(Clone, Debug)]
struct Peering {
    sides: (usize, usize),
    active: bool,
    same_region: bool,
}

#[derive(Clone, Debug)]
struct Nat {
    subnet: usize,
    address: u32,
    public: Option<u32>,
    available: bool,
}

#[derive(Clone, Debug)]
struct Attachment {
    vpc: usize,
    available: bool,
    subnets: Vec<usize>,
    table: Option<usize>,
}

#[derive(Clone, Debug)]
struct World {
    vpcs: Vec<Vpc>,
    subnets: Vec<Subnet>,
    nics: Vec<Nic>,
    tables: Vec<Table>,
    acls: Vec<Acl>,
    groups: Vec<Group>,
    lists: Vec<Vec<Range>>,
    peerings: Vec<Peering>,
    nats: Vec<Nat>,
    igws: Vec<Option<usize>>,
    attachments: Vec<Attachment>,
    /// Destination, attachment (none: a black hole), static.
    transit_tables: Vec<Vec<(Range, Option<usize>, bool)>>,
    referencing: bool,
    block: usize,
}

const OUTSIDE: u32 = 0x0808_0808;
const PORTS: [u16; 3] = [443, 22, 8443];
/// Both ends of the ephemeral range and of every range that an entry may have.
const EPHEMERAL: [u16; 6] = [1024, 8443, 29_999, 30_000, 32_768, 65_535];

impl World {
    fn random(random: &mut Random) -> Self {
        let count = 1 + random.below(3);
        let mut world = Self {
            vpcs: Vec::new(),
            subnets: Vec::new(),
            nics: Vec::new(),
            tables: Vec::new(),
            acls: Vec::new(),
            groups: Vec::new(),
            lists: Vec::new(),
            peerings: Vec::new(),
            nats: Vec::new(),
            igws: Vec::new(),
            attachments: Vec::new(),
            transit_tables: Vec::new(),
            referencing: random.percent(50),
            block: if random.percent(80) { 0 } else { 1 + random.below(2) },
        };
        for index in 0..count {
            let number = if index > 0 && random.percent(8) { 0 } else { index };
            let range = (0x0a00_0000 | (u32::try_from(number).unwrap() << 8), 24);
            let igw = random.percent(60).then_some(world.igws.len());
            if igw.is_some() {
                world.igws.push(random.percent(85).then_some(index));
            }
            world.vpcs.push(Vpc { range, igw });
        }
        let ranges: Vec<Range> = world.vpcs.iter().map(|vpc| vpc.range).collect();
        for _ in 0..2 {
            world.lists.push((0..=random.below(2)).map(|_| Self::any_range(random, &ranges)).collect());
        }
        for one in 0..count {
            for other in one + 1..count {
                if random.percent(60) {
                    world.peerings.push(Peering {
                        sides: (one, other),
                        active: random.percent(85),
                        same_region: random.percent(75),
                    });
                }
            }
        }
        for vpc in 0..count {
            world.furnish(random, vpc, &ranges);
        }
        for _ in 0..2 {
            let mut routes = Vec::new();
            for (index, attachment) in world.attachments.iter().enumerate() {
                if random.percent(85) {
                    routes.push((ranges[attachment.vpc], Some(index), random.percent(30)));
                }
            }
            if !world.attachments.is_empty() && random.percent(25) {
                let target = random.percent(70).then(|| random.below(world.attachments.len()));
                routes.push((Self::any_range(random, &ranges), target, true));
            }
            // Two routes for one range with the same rank are no configuration that the provider lets one make.
            let mut seen = Vec::new();
            routes.retain(|(range, ..)| {
                !seen.contains(range) && {
                    seen.push(*range);
                    true
                }
            });
            world.transit_tables.push(routes);
        }
        world
    }

    fn any_range(random: &mut Random, ranges: &[Range]) -> Range {
        let base = random.pick(ranges).0;
        match random.below(7) {
            0 => (0, 0),
            1 => (0x0a00_0000, 8),
            2 | 3 => (base, 24),
            4 => (base | (64 * random.small(4)), 26),
            5 => (base | random.small(256), 32),
            _ => (OUTSIDE & 0xffff_ff00, 24),
        }
    }

    fn furnish(&mut self, random: &mut Random, vpc: usize, ranges: &[Range]) {
        let base = self.vpcs[vpc].range.0;
        let first_group = self.groups.len();
        let group_count = 1 + random.below(2);
        for _ in 0..group_count {
            let mut rules = Vec::new();
            for egress in [false, true] {
                if egress && random.percent(50) {
                    rules.push((true, None, Peer::Range((0, 0))));
                }
                for _ in 0..random.below(4) {
                    let ports =
                        random.pick(&[None, Some((443, 443)), Some((443, 443)), Some((0, 65_535)), Some((22, 500))]);
                    let peer = match random.below(6) {
                        0 => Peer::List(random.below(self.lists.len())),
                        1 | 2 => Peer::Group(random.below(first_group + group_count)),
                        _ => Peer::Range(Self::any_range(random, ranges)),
                    };
                    rules.push((egress, ports, peer));
                }
            }
            self.groups.push(Group { vpc, rules });
        }
        let first_acl = self.acls.len();
        for index in 0..=random.below(2) {
            let mut entries = vec![(32_767, true, false, (0, 0), None), (32_767, false, false, (0, 0), None)];
            for egress in [false, true] {
                // Often everything passes, or replies only.
                if random.percent(75) {
                    entries.push((100, egress, true, (0, 0), None));
                } else if random.percent(60) {
                    entries.push((100, egress, true, (0, 0), Some((1024, 65_535))));
                }
                for number in 0..random.below(3) {
                    let number = u32::try_from(number).unwrap() * 2 + 99;
                    let ports = random.pick(&[
                        None,
                        Some((443, 443)),
                        Some((1024, 65_535)),
                        Some((1024, 29_999)),
                        Some((30_000, 65_535)),
                        Some((32_768, 65_535)),
                    ]);
                    entries.push((number, egress, random.percent(60), Self::any_range(random, ranges), ports));
                }
            }
            self.acls.push(Acl { vpc, main: index == 0, entries });
        }
        let first_subnet = self.subnets.len();
        for index in 0..2_u32 {
            let acl = (self.acls.len() > first_acl + 1 && random.percent(50)).then_some(first_acl + 1);
            let zone = if random.percent(60) { index as usize } else { 0 };
            let range = (base | (index * 64), 26);
            self.subnets.push(Subnet { vpc, range, zone, table: None, acl });
            for host in 0..=u32::from(random.percent(40)) {
                let public = random.percent(40).then(|| 0x3400_0000 | u32::try_from(self.nics.len()).unwrap());
                let mut groups = vec![first_group + random.below(group_count)];
                if random.percent(30) {
                    groups.push(first_group + random.below(group_count));
                    groups.dedup();
                }
                let subnet = first_subnet + index as usize;
                self.nics.push(Nic { subnet, address: base | (index * 64) | (4 + host), public, groups });
            }
        }
        let nat = random.percent(50).then(|| {
            let index = random.below(2);
            self.nats.push(Nat {
                subnet: first_subnet + index,
                address: base | (u32::try_from(index).unwrap() * 64 + 20),
                public: random.percent(75).then(|| 0x3600_0000 | u32::try_from(self.nats.len()).unwrap()),
                available: random.percent(85),
            });
            self.nats.len() - 1
        });
        let attached = random.percent(55);
        if attached {
            let mut subnets = vec![first_subnet];
            if self.subnets[first_subnet].zone != self.subnets[first_subnet + 1].zone && random.percent(75) {
                subnets.push(first_subnet + 1);
            }
            let table = random.percent(92).then(|| random.below(2));
            self.attachments.push(Attachment { vpc, available: random.percent(88), subnets, table });
        }
        for index in 0..=random.below(2) {
            let mut routes = vec![(Ok(self.vpcs[vpc].range), To::Local, false)];
            for (number, peering) in self.peerings.clone().iter().enumerate() {
                let other = match peering.sides {
                    (one, other) if one == vpc => other,
                    (other, one) if one == vpc => other,
                    _ => continue,
                };
                if random.percent(75) {
                    routes.push((Ok(ranges[other]), To::Pcx(number), false));
                } else if random.percent(20) {
                    routes.push((Ok((0x0a00_0000, 8)), To::Pcx(number), false));
                }
            }
            if attached && random.percent(80) {
                let range = random.pick(&[(0x0a00_0000, 8), (0, 0), (0x0a00_0000, 16)]);
                routes.push((Ok(range), To::Tgw, random.percent(20)));
            }
            if let (Some(nat), true) = (nat, random.percent(50)) {
                routes.push((Ok((0, 0)), To::Nat(nat), false));
            }
            if let (Some(igw), true) = (self.vpcs[vpc].igw, random.percent(70)) {
                routes.push((Ok((0, 0)), To::Igw(igw), false));
            }
            if random.percent(12) {
                routes.push((Ok(Self::any_range(random, ranges)), To::Hole, false));
            }
            if random.percent(15) {
                let target = routes.last().map_or(To::Hole, |route| route.1);
                if target != To::Local {
                    routes.push((Err(random.below(self.lists.len())), target, false));
                }
            }
            // A table holds each destination once; a propagated route may stand beside it, and so may a list's.
            let mut seen: Vec<(Result<Range, usize>, bool)> = Vec::new();
            routes.retain(|(range, _, propagated)| {
                let is_new = !seen.contains(&(*range, *propagated));
                seen.push((*range, *propagated));
                is_new
            });
            self.tables.push(Table { vpc, main: index == 0, routes });
            if index == 1 {
                let subnet = first_subnet + random.below(2);
                self.subnets[subnet].table = Some(self.tables.len() - 1);
            }
        }
    }
}

/// One packet.
#[derive(Clone, Copy, Debug)]
struct Packet {
    from: u32,
    to: u32,
    /// Destination port.
    port: u16,
    reply: bool,
}

/// Where a packet has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Nic(usize),
    Nat(usize),
    /// On the internet, with this source.
    Internet(u32),
    Dead,
}

/// What a packet has met.
#[derive(Clone, Debug, Default)]
struct Met {
    peered: Vec<bool>,
    transit: bool,
    wide: bool,
    nats: Vec<(usize, u32)>,
}

impl World {
    fn acl_lets(&self, subnet: usize, egress: bool, packet: &Packet) -> bool {
        let vpc = self.subnets[subnet].vpc;
        let own = self.subnets[subnet].acl;
        let index = own.unwrap_or_else(|| self.acls.iter().position(|acl| acl.vpc == vpc && acl.main).unwrap());
        let far = if egress { packet.to } else { packet.from };
        let mut entries = self.acls[index].entries.clone();
        entries.sort_by_key(|entry| entry.0);
        entries
            .iter()
            .filter(|entry| entry.1 == egress && holds(entry.3, far))
            .find(|entry| entry.4.is_none_or(|(first, last)| first <= packet.port && packet.port <= last))
            .is_some_and(|entry| entry.2)
    }

    fn target(&self, subnet: usize, to: u32) -> Option<To> {
        let vpc = self.subnets[subnet].vpc;
        let own = self.subnets[subnet].table;
        let index = own.unwrap_or_else(|| self.tables.iter().position(|one| one.vpc == vpc && one.main).unwrap());
        let mut found: Vec<((u8, u8), To)> = Vec::new();
        for (range, target, propagated) in &self.tables[index].routes {
            match range {
                Ok(range) if holds(*range, to) => found.push(((range.1, if *propagated { 0 } else { 2 }), *target)),
                Ok(_) => {}
                Err(list) => {
                    for range in self.lists[*list].iter().filter(|range| holds(**range, to)) {
                        found.push(((range.1, 1), *target));
                    }
                }
            }
        }
        found.iter().max_by_key(|(rank, _)| *rank).map(|(_, target)| *target)
    }

    /// Who has an address in a VPC.
    fn holder(&self, vpc: usize, address: u32) -> Option<(Fate, usize)> {
        let nic = self.nics.iter().position(|nic| nic.address == address && self.subnets[nic.subnet].vpc == vpc);
        let nat = self.nats.iter().position(|nat| nat.address == address && self.subnets[nat.subnet].vpc == vpc);
        nic.map(|nic| (Fate::Nic(nic), self.nics[nic].subnet))
            .or_else(|| nat.map(|nat| (Fate::Nat(nat), self.nats[nat].subnet)))
    }

    fn deliver(&self, vpc: usize, packet: &Packet) -> Fate {
        match self.holder(vpc, packet.to) {
            Some((fate, subnet)) if self.acl_lets(subnet, false, packet) => fate,
            _ => Fate::Dead,
        }
    }

    /// Carries a packet that leaves a host of a subnet, or that comes out of a gateway's interface there.
    fn send(&self, subnet: usize, mut packet: Packet, met: &mut Met, left: u8) -> Fate {
        let vpc = self.subnets[subnet].vpc;
        if left == 0 {
            return Fate::Dead;
        }
        if let Some((fate, there)) = self.holder(vpc, packet.to)
            && there == subnet
        {
            return fate;
        }
        if !self.acl_lets(subnet, true, &packet) {
            return Fate::Dead;
        }
        match self.target(subnet, packet.to) {
            None | Some(To::Hole) => Fate::Dead,
            Some(To::Local) => self.deliver(vpc, &packet),
            Some(To::Pcx(index)) => {
                let Peering { sides, active, same_region } = self.peerings[index];
                let other = if sides.0 == vpc { sides.1 } else { sides.0 };
                met.peered.push(same_region);
                if active { self.deliver(other, &packet) } else { Fate::Dead }
            }
            Some(To::Tgw) => {
                met.transit = true;
                let Some(from) = self.attachments.iter().find(|one| one.vpc == vpc && one.available) else {
                    return Fate::Dead;
                };
                let zone = self.subnets[subnet].zone;
                let Some(door) = from.subnets.iter().find(|one| self.subnets[**one].zone == zone) else {
                    return Fate::Dead;
                };
                if !self.acl_lets(*door, false, &packet) {
                    return Fate::Dead;
                }
                let Some(table) = from.table else { return Fate::Dead };
                let routes = self.transit_tables[table].iter().filter(|route| holds(route.0, packet.to));
                let Some((_, Some(next), _)) = routes.max_by_key(|route| (route.0.1, route.2)) else {
                    return Fate::Dead;
                };
                let next = &self.attachments[*next];
                if !next.available {
                    return Fate::Dead;
                }
                let same = next.subnets.iter().find(|one| self.subnets[**one].zone == zone);
                self.send(*same.unwrap_or(&next.subnets[0]), packet, met, left - 1)
            }
            Some(To::Nat(index)) => {
                let nat = &self.nats[index];
                let known = met.nats.iter().any(|(other, _)| *other == index);
                if packet.reply || !nat.available || known {
                    return Fate::Dead;
                }
                if nat.subnet != subnet && !self.acl_lets(nat.subnet, false, &packet) {
                    return Fate::Dead;
                }
                met.nats.push((index, packet.from));
                met.wide = true;
                packet.from = nat.address;
                self.send(nat.subnet, packet, met, left - 1)
            }
            Some(To::Igw(index)) => {
                met.wide = true;
                let is_private = holds((0x0a00_0000, 8), packet.to);
                let public = self.public(vpc, packet.from);
                match public {
                    Some(public) if self.igws[index] == Some(vpc) && !is_private => {
                        let by_nat = !met.nats.is_empty();
                        let blocked = self.block == 2 || (self.block == 1 && !by_nat);
                        if blocked && !packet.reply { Fate::Dead } else { Fate::Internet(public) }
                    }
                    _ => Fate::Dead,
                }
            }
        }
    }

    fn public(&self, vpc: usize, address: u32) -> Option<u32> {
        match self.holder(vpc, address)?.0 {
            Fate::Nic(nic) => self.nics[nic].public,
            Fate::Nat(nat) => self.nats[nat].public,
            Fate::Internet(_) | Fate::Dead => None,
        }
    }

    /// From the internet to a public address.
    fn come_in(&self, public: u32, packet: Packet) -> Fate {
        let nic = self.nics.iter().find(|nic| nic.public == Some(public)).map(|nic| (nic.subnet, nic.address));
        let nat = self.nats.iter().find(|nat| nat.public == Some(public)).map(|nat| (nat.subnet, nat.address));
        let Some((subnet, address)) = nic.or(nat) else { return Fate::Dead };
        let vpc = self.subnets[subnet].vpc;
        if !self.igws.contains(&Some(vpc)) || (!packet.reply && self.block != 0) {
            return Fate::Dead;
        }
        self.deliver(vpc, &Packet { to: address, ..packet })
    }

    fn groups_let(&self, nic: usize, egress: bool, far: u32, far_nic: Option<usize>, port: u16, met: &Met) -> bool {
        let own = self.subnets[self.nics[nic].subnet].vpc;
        self.nics[nic].groups.iter().flat_map(|group| &self.groups[*group].rules).any(|(out, ports, peer)| {
            *out == egress
                && ports.is_none_or(|(first, last)| first <= port && port <= last)
                && match peer {
                    Peer::Range(range) => holds(*range, far),
                    Peer::List(list) => self.lists[*list].iter().any(|range| holds(*range, far)),
                    Peer::Group(group) => far_nic.is_some_and(|far_nic| {
                        let vpc = self.subnets[self.nics[far_nic].subnet].vpc;
                        let carried = if met.wide {
                            false
                        } else if met.transit {
                            met.peered.is_empty() && self.referencing && !egress
                        } else if let [same_region] = met.peered[..] {
                            same_region
                        } else {
                            vpc == own
                        };
                        carried && self.nics[far_nic].groups.contains(group)
                    }),
                }
        })
    }

    /// Carries a request and its replies; how many of the replies arrive, of how many.
    fn connect(&self, from: End, to: End, port: u16) -> (usize, usize) {
        let none = (0, 1);
        let mut met = Met::default();
        let dialled = match to {
            End::Nic(nic) => self.nics[nic].address,
            End::Public(nic) => self.nics[nic].public.unwrap(),
            End::Outside => OUTSIDE,
        };
        // The request.
        let request = |source| Packet { from: source, to: dialled, port, reply: false };
        let mut over_internet = false;
        let (arrived, seen) = match from {
            End::Nic(nic) => {
                let Nic { subnet, address, .. } = self.nics[nic];
                let mut fate = self.send(subnet, request(address), &mut met, 12);
                let mut seen = met.nats.last().map_or(address, |(nat, _)| self.nats[*nat].address);
                if let Fate::Internet(public) = fate {
                    over_internet = true;
                    seen = public;
                    if let End::Public(_) = to {
                        fate = self.come_in(dialled, request(public));
                    }
                }
                let far = if let End::Nic(target) = to { Some(target) } else { None };
                if !self.groups_let(nic, true, dialled, far, port, &met) {
                    return none;
                }
                (fate, seen)
            }
            End::Outside => {
                met.wide = true;
                over_internet = true;
                (self.come_in(dialled, request(OUTSIDE)), OUTSIDE)
            }
            End::Public(_) => unreachable!("a source is an interface or outside"),
        };
        let target = match (to, arrived) {
            (End::Outside, Fate::Internet(_)) => None,
            (End::Nic(nic) | End::Public(nic), Fate::Nic(there)) if there == nic => Some(nic),
            _ => return none,
        };
        if let Some(target) = target {
            let far = if let (End::Nic(nic), End::Nic(_)) = (from, to) { Some(nic) } else { None };
            if !self.groups_let(target, false, seen, far, port, &met) {
                return none;
            }
        }
        // The replies, one for each port that each side of a translation may have chosen.
        let legs = met.nats.len() + 1;
        let mut choices: Vec<Vec<u16>> = vec![Vec::new()];
        for _ in 0..legs {
            choices = choices
                .iter()
                .flat_map(|choice| EPHEMERAL.map(|port| choice.iter().copied().chain([port]).collect()))
                .collect();
        }
        let arrive = choices
            .iter()
            .filter(|choice| self.reply(from, target, dialled, seen, &met, choice, over_internet))
            .count();
        (arrive, choices.len())
    }

    #[expect(clippy::too_many_arguments, reason = "a connection is so many things")]
    fn reply(
        &self,
        from: End,
        target: Option<usize>,
        dialled: u32,
        seen: u32,
        met: &Met,
        ports: &[u16],
        over_internet: bool,
    ) -> bool {
        let mut back = Met::default();
        let mut ports = ports.iter().rev();
        let mut packet = Packet { from: dialled, to: seen, port: *ports.next().unwrap(), reply: true };
        let mut fate = match target {
            Some(nic) => {
                packet.from = self.nics[nic].address;
                let left = self.send(self.nics[nic].subnet, packet, &mut back, 12);
                match (left, from) {
                    (Fate::Internet(public), End::Nic(_)) if over_internet => {
                        self.come_in(seen, Packet { from: public, ..packet })
                    }
                    (Fate::Internet(_), End::Outside) => return true,
                    (Fate::Internet(_), _) => Fate::Dead,
                    _ if over_internet => Fate::Dead,
                    (fate, _) => fate,
                }
            }
            None => self.come_in(seen, packet),
        };
        for (nat, before) in met.nats.iter().rev() {
            if fate != Fate::Nat(*nat) {
                return false;
            }
            let inner = Packet { from: dialled, to: *before, port: *ports.next().unwrap(), reply: true };
            fate = self.send(self.nats[*nat].subnet, inner, &mut back, 12);
        }
        matches!((from, fate), (End::Nic(nic), Fate::Nic(there)) if nic == there)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nic(usize),
    /// The public address of an interface.
    Public(usize),
    Outside,
}

impl World {
    fn point(&self, end: End) -> Point {
        match end {
            End::Nic(nic) => Point::Interface(format!("eni-{nic}")),
            End::Public(nic) => Point::Address(address(self.nics[nic].public.unwrap())),
            End::Outside => Point::Address(address(OUTSIDE)),
        }
    }

    /// The same world as the provider would print it.
    fn facts(&self) -> ec2::Network {
        let state = |good: bool, yes: &str, no: &str| Some(if good { yes } else { no }.to_owned());
        let subnet_id = |index: usize| format!("subnet-{index}");
        let interface = |(index, nic): (usize, &Nic)| ec2::NetworkInterface {
            network_interface_id: format!("eni-{index}"),
            subnet_id: Some(subnet_id(nic.subnet)),
            vpc_id: Some(format!("vpc-{}", self.subnets[nic.subnet].vpc)),
            interface_type: Some("interface".to_owned()),
            groups: nic.groups.iter().map(|group| reference(*group)).collect::<Vec<_>>().into(),
            private_ip_address: Some(address(nic.address)),
            association: nic.public.map(|public| ec2::PublicAssociation { public_ip: Some(address(public)) }),
            ..ec2::NetworkInterface::default()
        };
        ec2::Network {
            vpcs: Some(listed(&self.vpcs, |(index, vpc)| ec2::Vpc {
                vpc_id: format!("vpc-{index}"),
                cidr_block: Some(cidr(vpc.range)),
                ..ec2::Vpc::default()
            })),
            subnets: Some(listed(&self.subnets, |(index, subnet)| ec2::Subnet {
                subnet_id: subnet_id(index),
                vpc_id: format!("vpc-{}", subnet.vpc),
                cidr_block: Some(cidr(subnet.range)),
                availability_zone: Some(format!("zone-{}", subnet.zone)),
                ..ec2::Subnet::default()
            })),
            network_interfaces: Some(listed(&self.nics, interface)),
            route_tables: Some(listed(&self.tables, |(index, table)| ec2::RouteTable {
                route_table_id: format!("rtb-{index}"),
                vpc_id: format!("vpc-{}", table.vpc),
                associations: self
                    .subnets
                    .iter()
                    .enumerate()
                    .filter(|(_, subnet)| subnet.table == Some(index))
                    .map(|(subnet, _)| ec2::RouteTableAssociation {
                        subnet_id: Some(subnet_id(subnet)),
                        ..ec2::RouteTableAssociation::default()
                    })
                    .chain(table.main.then(|| ec2::RouteTableAssociation {
                        main: Some(true),
                        ..ec2::RouteTableAssociation::default()
                    }))
                    .collect::<Vec<_>>()
                    .into(),
                routes: Some(table.routes.iter().map(route).collect::<Vec<_>>().into()),
            })),
            network_acls: Some(listed(&self.acls, |(index, acl)| ec2::NetworkAcl {
                network_acl_id: format!("acl-{index}"),
                vpc_id: format!("vpc-{}", acl.vpc),
                is_default: Some(acl.main),
                associations: self
                    .subnets
                    .iter()
                    .enumerate()
                    .filter(|(_, subnet)| subnet.acl == Some(index))
                    .map(|(subnet, _)| ec2::NetworkAclAssociation { subnet_id: Some(subnet_id(subnet)) })
                    .collect::<Vec<_>>()
                    .into(),
                entries: Some(acl.entries.iter().map(entry).collect::<Vec<_>>().into()),
            })),
            security_groups: Some(listed(&self.groups, |(index, group)| ec2::SecurityGroup {
                group_id: format!("sg-{index}"),
                vpc_id: Some(format!("vpc-{}", group.vpc)),
                ip_permissions: Some(permissions(group, false)),
                ip_permissions_egress: Some(permissions(group, true)),
                ..ec2::SecurityGroup::default()
            })),
            prefix_lists: Some(listed(&self.lists, |(index, _)| ec2::PrefixList {
                prefix_list_id: format!("pl-{index}"),
                ..ec2::PrefixList::default()
            })),
            prefix_list_entries: listed(&self.lists, |(index, list)| ec2::PrefixListEntries {
                prefix_list_id: format!("pl-{index}"),
                entries: list.iter().map(|range| cidr(*range)).collect(),
            }),
            peering_connections: Some(listed(&self.peerings, |(index, peering)| {
                let side = |vpc: usize, region: &str| ec2::PeeringVpc {
                    vpc_id: Some(format!("vpc-{vpc}")),
                    cidr_block: Some(cidr(self.vpcs[vpc].range)),
                    region: Some(region.to_owned()),
                    ..ec2::PeeringVpc::default()
                };
                ec2::PeeringConnection {
                    vpc_peering_connection_id: format!("pcx-{index}"),
                    requester_vpc_info: Some(side(peering.sides.0, "here")),
                    accepter_vpc_info: Some(side(peering.sides.1, if peering.same_region { "here" } else { "there" })),
                    status: Some(ec2::PeeringStatus {
                        code: state(peering.active, "active", "pending-acceptance"),
                        message: None,
                    }),
                }
            })),
            nat_gateways: Some(listed(&self.nats, |(index, nat)| ec2::NatGateway {
                nat_gateway_id: format!("nat-{index}"),
                subnet_id: Some(subnet_id(nat.subnet)),
                vpc_id: Some(format!("vpc-{}", self.subnets[nat.subnet].vpc)),
                state: state(nat.available, "available", "failed"),
                connectivity_type: state(nat.public.is_some(), "public", "private"),
                nat_gateway_addresses: vec![ec2::NatGatewayAddress {
                    public_ip: nat.public.map(address),
                    private_ip: Some(address(nat.address)),
                    network_interface_id: None,
                }]
                .into(),
            })),
            internet_gateways: Some(listed(&self.igws, |(index, vpc)| ec2::InternetGateway {
                internet_gateway_id: format!("igw-{index}"),
                attachments: vpc
                    .iter()
                    .map(|vpc| ec2::GatewayAttachment {
                        vpc_id: Some(format!("vpc-{vpc}")),
                        state: Some("available".to_owned()),
                    })
                    .collect::<Vec<_>>()
                    .into(),
            })),
            transit_gateways: Some(vec![ec2::TransitGateway {
                transit_gateway_id: "tgw-0".to_owned(),
                state: Some("available".to_owned()),
                options: Some(ec2::TransitGatewayOptions {
                    security_group_referencing_support: state(self.referencing, "enable", "disable"),
                    ..ec2::TransitGatewayOptions::default()
                }),
                ..ec2::TransitGateway::default()
            }]),
            transit_gateway_attachments: Some(listed(&self.attachments, |(index, one)| {
                ec2::TransitGatewayAttachment {
                    transit_gateway_attachment_id: format!("tgw-attach-{index}"),
                    transit_gateway_id: Some("tgw-0".to_owned()),
                    resource_type: Some("vpc".to_owned()),
                    resource_id: Some(format!("vpc-{}", one.vpc)),
                    state: state(one.available, "available", "failed"),
                    association: one.table.map(|table| ec2::TransitGatewayAssociation {
                        transit_gateway_route_table_id: Some(format!("tgw-rtb-{table}")),
                        state: Some("associated".to_owned()),
                    }),
                }
            })),
            transit_gateway_vpc_attachments: Some(listed(&self.attachments, |(index, one)| {
                ec2::TransitGatewayVpcAttachment {
                    transit_gateway_attachment_id: format!("tgw-attach-{index}"),
                    transit_gateway_id: Some("tgw-0".to_owned()),
                    vpc_id: Some(format!("vpc-{}", one.vpc)),
                    state: state(one.available, "available", "failed"),
                    subnet_ids: one.subnets.iter().map(|subnet| subnet_id(*subnet)).collect::<Vec<_>>().into(),
                    options: None,
                }
            })),
            transit_gateway_routes: listed(&self.transit_tables, |(index, routes)| ec2::TransitGatewayRoutes {
                transit_gateway_route_table_id: format!("tgw-rtb-{index}"),
                routes: routes.iter().map(transit_route).collect(),
                more: false,
            }),
            block_public_access: Some(ec2::BlockPublicAccess {
                internet_gateway_block_mode: Some(
                    ["off", "block-ingress", "block-bidirectional"][self.block].to_owned(),
                ),
            }),
            ..ec2::Network::default()
        }
    }
}

fn listed<T, R>(all: &[T], make: impl Fn((usize, &T)) -> R) -> Vec<R> {
    all.iter().enumerate().map(make).collect()
}

fn address(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

fn cidr((bits, length): Range) -> Cidr {
    let net = IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(bits), length).unwrap());
    Cidr { text: net.to_string(), net: net.trunc() }
}

fn reference(group: usize) -> ec2::GroupReference {
    ec2::GroupReference { group_id: Some(format!("sg-{group}")), ..ec2::GroupReference::default() }
}

fn route((destination, target, propagated): &RouteEntry) -> ec2::Route {
    let mut route = ec2::Route {
        destination_cidr_block: destination.ok().map(cidr),
        destination_prefix_list_id: destination.err().map(|list| format!("pl-{list}")),
        state: Some(if *target == To::Hole { "blackhole" } else { "active" }.to_owned()),
        origin: Some(if *propagated { "EnableVgwRoutePropagation" } else { "CreateRoute" }.to_owned()),
        ..ec2::Route::default()
    };
    match target {
        To::Local => route.gateway_id = Some("local".to_owned()),
        To::Igw(index) => route.gateway_id = Some(format!("igw-{index}")),
        To::Nat(index) => route.nat_gateway_id = Some(format!("nat-{index}")),
        To::Tgw => route.transit_gateway_id = Some("tgw-0".to_owned()),
        To::Pcx(index) => route.vpc_peering_connection_id = Some(format!("pcx-{index}")),
        To::Hole => route.nat_gateway_id = Some("nat-gone".to_owned()),
    }
    route
}

fn entry((number, egress, allow, range, ports): &AclEntry) -> ec2::NetworkAclEntry {
    ec2::NetworkAclEntry {
        rule_number: Some(*number),
        protocol: Some(if ports.is_some() { "6" } else { "-1" }.to_owned()),
        rule_action: Some(if *allow { "allow" } else { "deny" }.to_owned()),
        egress: Some(*egress),
        cidr_block: Some(cidr(*range)),
        ipv6_cidr_block: None,
        port_range: ports.map(|(first, last)| ec2::PortRange { from: Some(first.into()), to: Some(last.into()) }),
    }
}

fn permissions(group: &Group, egress: bool) -> List<ec2::Permission> {
    let permission = |(_, ports, peer): &GroupRule| {
        let mut permission = ec2::Permission {
            ip_protocol: Some(if ports.is_some() { "tcp" } else { "-1" }.to_owned()),
            from_port: ports.map(|(first, _)| first.into()),
            to_port: ports.map(|(_, last)| last.into()),
            ..ec2::Permission::default()
        };
        match peer {
            Peer::Range(range) => {
                permission.ip_ranges = vec![ec2::IpRange { cidr_ip: Some(cidr(*range)), description: None }].into();
            }
            Peer::List(list) => {
                permission.prefix_list_ids =
                    vec![ec2::PrefixListReference { prefix_list_id: format!("pl-{list}") }].into();
            }
            Peer::Group(group) => permission.user_id_group_pairs = vec![reference(*group)].into(),
        }
        permission
    };
    group.rules.iter().filter(|rule| rule.0 == egress).map(permission).collect::<Vec<_>>().into()
}

fn transit_route((range, attachment, is_static): &(Range, Option<usize>, bool)) -> ec2::TransitGatewayRoute {
    let target = attachment.map(|index| ec2::TransitGatewayRouteAttachment {
        transit_gateway_attachment_id: Some(format!("tgw-attach-{index}")),
        resource_type: Some("vpc".to_owned()),
        resource_id: None,
    });
    ec2::TransitGatewayRoute {
        destination_cidr_block: Some(cidr(*range)),
        prefix_list_id: None,
        kind: Some(if *is_static { "static" } else { "propagated" }.to_owned()),
        state: Some(if attachment.is_some() { "active" } else { "blackhole" }.to_owned()),
        transit_gateway_attachments: target.into_iter().collect::<Vec<_>>().into(),
    }
}

/// Takes one file away.
fn forget(facts: &mut ec2::Network, which: usize) -> &'static str {
    match which {
        0 => {
            facts.route_tables = None;
            "route tables"
        }
        1 => {
            facts.network_acls = None;
            "network ACLs"
        }
        2 => {
            facts.security_groups = None;
            "security groups"
        }
        3 => {
            facts.prefix_list_entries.clear();
            "prefix-list entries"
        }
        4 => {
            facts.peering_connections = None;
            "peering connections"
        }
        5 => {
            facts.nat_gateways = None;
            "NAT gateways"
        }
        6 => {
            facts.internet_gateways = None;
            "internet gateways"
        }
        7 => {
            facts.transit_gateways = None;
            "transit gateways"
        }
        8 => {
            facts.transit_gateway_attachments = None;
            "attachments"
        }
        9 => {
            facts.transit_gateway_vpc_attachments = None;
            "VPC attachments"
        }
        10 => {
            facts.transit_gateway_routes.clear();
            "transit-gateway routes"
        }
        11 => {
            facts.block_public_access = None;
            "public access"
        }
        12 => {
            facts.vpcs = None;
            "VPCs"
        }
        _ => {
            facts.subnets = None;
            "subnets"
        }
    }
}

const FORGETTABLE: usize = 14;

fn outcome(arrive: (usize, usize)) -> Outcome {
    match arrive {
        (0, _) => Outcome::Blocked,
        (some, all) if some == all => Outcome::Reachable,
        _ => Outcome::Unknown,
    }
}

fn show(traced: &Result<Trace, TraceError>) -> String {
    match traced {
        Ok(traced) => {
            let words =
                |hop: &Hop| format!("  {} {} {}: {}", hop.decision.label(), hop.kind.label(), hop.component, hop.rule);
            format!("\n{}", traced.hops().map(words).collect::<Vec<_>>().join("\n"))
        }
        Err(error) => format!("\n  {error}"),
    }
}

#[test]
fn traces_say_what_packets_do() {
    let seed = std::env::var("KUBEREACH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut random = Random(seed);
    let (mut traces, mut told, mut kept) = (0, [0_usize; 3], 0);
    while traces < TRACES {
        let world = World::random(&mut random);
        let facts = world.facts();
        let network = Network::new(&facts);
        let mut less = facts.clone();
        let forgotten = forget(&mut less, random.below(FORGETTABLE));
        let fewer = Network::new(&less);
        // What is off in every Region until somebody turns it on is taken as off where no file speaks of it.
        let taken_as =
            World { block: if less.block_public_access.is_none() { 0 } else { world.block }, ..world.clone() };
        for _ in 0..CONNECTIONS {
            let any = |random: &mut Random| random.below(world.nics.len());
            let public = |nic: usize| world.nics[nic].public.is_some();
            let (one, other) = (any(&mut random), any(&mut random));
            let (from, to) = match random.below(10) {
                0 if public(other) => (End::Outside, End::Public(other)),
                1 | 3 => (End::Nic(one), End::Outside),
                2 if public(other) && one != other => (End::Nic(one), End::Public(other)),
                _ if one != other => (End::Nic(one), End::Nic(other)),
                _ => continue,
            };
            let port = random.pick(&PORTS);
            let wanted = outcome(world.connect(from, to, port));
            let traced = trace(&network, &world.point(from), &world.point(to), port);
            traces += 1;
            let said = traced.as_ref().ok().map(|traced| traced.outcome);
            assert!(
                said == Some(wanted),
                "{from:?} → {to:?} port {port}: packets say {wanted:?}, the trace {said:?}{}\n{world:#?}",
                show(&traced)
            );
            told[wanted as usize] += 1;
            let partial = trace(&fewer, &world.point(from), &world.point(to), port);
            traces += 1;
            // An address that can no longer be placed is an error, and that is fine.
            if let Ok(partial) = &partial {
                let wanted = outcome(taken_as.connect(from, to, port));
                kept += usize::from(partial.outcome == wanted);
                assert!(
                    partial.outcome == wanted || partial.outcome == Outcome::Unknown,
                    "{from:?} → {to:?} port {port} without {forgotten}: {wanted:?} became {:?}{}\n{world:#?}",
                    partial.outcome,
                    show(&Ok(partial.clone()))
                );
            }
        }
    }
    // A test that only ever meets one answer tests nothing.
    let [reachable, blocked, partly] = told;
    assert!(reachable > TRACES / 40 && blocked > TRACES / 10 && partly > TRACES / 400, "{told:?}");
    assert!(kept > TRACES / 8, "{kept}");
}

const SEED: u64 = 0x6b75_6265_7265_6163;
const TRACES: usize = 24_000;
const CONNECTIONS: usize = 12;
