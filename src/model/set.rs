//! Exact sets of addresses and ports: sorted disjoint intervals, so that every question has one answer.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of a range.
    #[must_use]
    pub const fn of_net(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

kubereach_probes::labels! { Family {
    V4 => "IPv4",
    V6 => "IPv6",
} }

/// What intervals are made of.
pub trait Number: Copy + Ord + fmt::Debug {
    /// The smallest of all.
    const LEAST: Self;
    /// The greatest of all.
    const GREATEST: Self;

    /// The one after it.
    fn next(self) -> Option<Self>;
    /// The one before it.
    fn previous(self) -> Option<Self>;
    /// As a wide number.
    fn wide(self) -> u128;
}

macro_rules! number {
    ($($number:ty),*) => {
        $(impl Number for $number {
            const LEAST: Self = <$number>::MIN;
            const GREATEST: Self = <$number>::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn wide(self) -> u128 {
                u128::from(self)
            }
        })*
    };
}

number!(u16, u32, u128);

/// A set of numbers as inclusive intervals: sorted, disjoint and never adjacent, so that equal sets are equal values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Intervals<N>(Vec<(N, N)>);

impl<N> Default for Intervals<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N: Number> fmt::Debug for Intervals<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.iter().map(|(from, to)| format!("{from:?}-{to:?}"))).finish()
    }
}

impl<N: Number> Intervals<N> {
    /// The set of all numbers.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![(N::LEAST, N::GREATEST)])
    }

    /// The set of one interval; empty when its ends are the wrong way round.
    #[must_use]
    pub fn of(range: RangeInclusive<N>) -> Self {
        let (from, to) = range.into_inner();
        if from <= to { Self(vec![(from, to)]) } else { Self::default() }
    }

    /// The union of intervals in any order, overlapping or not; those whose ends are the wrong way round hold nothing.
    #[must_use]
    pub fn from_intervals(intervals: impl IntoIterator<Item = (N, N)>) -> Self {
        let mut all: Vec<(N, N)> = intervals.into_iter().filter(|(from, to)| from <= to).collect();
        all.sort_unstable();
        Self(merged(all.into_iter()))
    }

    /// The intervals, ascending.
    #[must_use]
    pub fn intervals(&self) -> &[(N, N)] {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all numbers are in it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self.0[..], [(from, to)] if from == N::LEAST && to == N::GREATEST)
    }

    /// Whether this number is in it.
    #[must_use]
    pub fn contains(&self, number: N) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= number);
        after > 0 && number <= self.0[after - 1].1
    }

    /// Whether all of the other set is in this one.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        other.0.iter().all(|(from, to)| {
            let after = self.0.partition_point(|(start, _)| start <= from);
            after > 0 && *to <= self.0[after - 1].1
        })
    }

    /// Whether something is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// How many numbers are in it; 2¹²⁸ is told as one less.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.0.iter().fold(0_u128, |sum, (from, to)| sum.saturating_add((to.wide() - from.wide()).saturating_add(1)))
    }

    /// Adds an interval.
    pub fn insert(&mut self, range: RangeInclusive<N>) {
        let (mut from, mut to) = range.into_inner();
        if from > to {
            return;
        }
        // Those that overlap or touch the new one become part of it.
        let start = self.0.partition_point(|(_, end)| end.next().is_some_and(|next| next < from));
        let end = self.0.partition_point(|(begin, _)| begin.previous().is_none_or(|previous| previous <= to));
        if let Some((first, _)) = self.0.get(start).filter(|_| start < end) {
            from = from.min(*first);
            to = to.max(self.0[end - 1].1);
        }
        self.0.splice(start..end.max(start), [(from, to)]);
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        Self(merged(std::iter::from_fn(|| match (mine.peek(), theirs.peek()) {
            (Some(one), Some(another)) if one <= another => mine.next(),
            (_, Some(_)) => theirs.next(),
            (_, None) => mine.next(),
        })))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some((from, to)), Some((start, end))) = (mine.peek(), theirs.peek()) {
            let (first, last) = (*from.max(start), *to.min(end));
            if first <= last {
                both.push((first, last));
            }
            if to <= end {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Self(both)
    }

    /// What is not in it.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut free = Some(N::LEAST);
        for (from, to) in &self.0 {
            if let (Some(first), Some(last)) = (free, from.previous())
                && first <= last
            {
                gaps.push((first, last));
            }
            free = to.next();
        }
        gaps.extend(free.map(|first| (first, N::GREATEST)));
        Self(gaps)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }
}

/// Joins intervals that come sorted by their beginnings.
fn merged<N: Number>(sorted: impl Iterator<Item = (N, N)>) -> Vec<(N, N)> {
    let mut joined: Vec<(N, N)> = Vec::with_capacity(sorted.size_hint().0);
    for (from, to) in sorted {
        match joined.last_mut() {
            Some((_, end)) if end.next().is_none_or(|next| from <= next) => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A set of ports.
pub type PortSet = Intervals<u16>;

impl fmt::Display for PortSet {
    /// `443`, `1024-65535`, `22, 80-90 and 3 more`, `none`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        listed(formatter, self.0.iter(), |formatter, (from, to)| {
            if from == to { write!(formatter, "{from}") } else { write!(formatter, "{from}-{to}") }
        })
    }
}

/// A set of IPv4 and IPv6 addresses, exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

impl AddressSet {
    /// The set of no address.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The set of all addresses of both families.
    #[must_use]
    pub fn everything() -> Self {
        Self { v4: Intervals::everything(), v6: Intervals::everything() }
    }

    /// The union of ranges; host bits do not count.
    #[must_use]
    pub fn from_nets<'n>(nets: impl IntoIterator<Item = &'n IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push(ends_of_v4(*net)),
                IpNet::V6(net) => v6.push(ends_of_v6(*net)),
            }
        }
        Self { v4: Intervals::from_intervals(v4), v6: Intervals::from_intervals(v6) }
    }

    /// The set of single addresses.
    #[must_use]
    pub fn from_addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push((address.to_bits(), address.to_bits())),
                IpAddr::V6(address) => v6.push((address.to_bits(), address.to_bits())),
            }
        }
        Self { v4: Intervals::from_intervals(v4), v6: Intervals::from_intervals(v6) }
    }

    /// The set of the addresses from one to another, both included; empty when they are of two families.
    #[must_use]
    pub fn from_range(first: IpAddr, last: IpAddr) -> Self {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Self { v4: Intervals::of(first.to_bits()..=last.to_bits()), v6: Intervals::default() }
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Self { v4: Intervals::default(), v6: Intervals::of(first.to_bits()..=last.to_bits()) }
            }
            _ => Self::default(),
        }
    }

    /// Adds a range.
    pub fn insert(&mut self, net: IpNet) {
        match net {
            IpNet::V4(net) => {
                let (first, last) = ends_of_v4(net);
                self.v4.insert(first..=last);
            }
            IpNet::V6(net) => {
                let (first, last) = ends_of_v6(net);
                self.v6.insert(first..=last);
            }
        }
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: self.v4.difference(&other.v4), v6: self.v6.difference(&other.v6) }
    }

    /// What is not in it, of both families.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self { v4: self.v4.complement(), v6: self.v6.complement() }
    }

    /// Whether this address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// Whether all of the other set is in this one.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        self.v4.is_superset(&other.v4) && self.v6.is_superset(&other.v6)
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.v4.overlaps(&other.v4) || self.v6.overlaps(&other.v6)
    }

    /// Whether there is no address in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether every address of the family is in it, however it was written.
    #[must_use]
    pub fn is_everything(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.is_everything(),
            Family::V6 => self.v6.is_everything(),
        }
    }

    /// How many addresses are in it; more than 2¹²⁸ − 1 are told as that.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.v4.count().saturating_add(self.v6.count())
    }

    /// Its IPv4 part.
    #[must_use]
    pub fn ipv4(&self) -> Self {
        Self { v4: self.v4.clone(), v6: Intervals::default() }
    }

    /// Its IPv6 part.
    #[must_use]
    pub fn ipv6(&self) -> Self {
        Self { v4: Intervals::default(), v6: self.v6.clone() }
    }

    /// Its part of this family.
    #[must_use]
    pub fn family(&self, family: Family) -> Self {
        match family {
            Family::V4 => self.ipv4(),
            Family::V6 => self.ipv6(),
        }
    }

    /// The smallest list of ranges that is exactly this set, IPv4 first, ascending.
    #[must_use]
    pub fn cover(&self) -> Vec<IpNet> {
        self.ranges().collect()
    }

    /// The ranges of [`AddressSet::cover`] one by one.
    fn ranges(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.0.iter().flat_map(|(first, last)| {
            blocks(*first, *last, 32).filter_map(|(start, bits)| {
                // Prefix lengths are at most 32 by construction.
                let length = u8::try_from(bits).ok()?;
                Some(IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(u32::try_from(start).ok()?), length).ok()?))
            })
        });
        let v6 = self.v6.0.iter().flat_map(|(first, last)| {
            blocks(*first, *last, 128).filter_map(|(start, bits)| {
                let length = u8::try_from(bits).ok()?;
                Some(IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(start), length).ok()?))
            })
        });
        v4.chain(v6)
    }

    /// The first address in it, IPv4 before IPv6.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        let v4 = self.v4.0.first().map(|(first, _)| IpAddr::V4(Ipv4Addr::from_bits(*first)));
        v4.or_else(|| self.v6.0.first().map(|(first, _)| IpAddr::V6(Ipv6Addr::from_bits(*first))))
    }
}

impl fmt::Display for AddressSet {
    /// The minimal ranges, at most eight of them: `10.0.0.0/8, 2001:db8::/32 and 3 more`, or `none`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        listed(formatter, self.ranges(), |formatter, net| {
            // A range of one reads as the address that it is.
            if net.prefix_len() == net.max_prefix_len() {
                write!(formatter, "{}", net.addr())
            } else {
                write!(formatter, "{net}")
            }
        })
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let nets: Vec<IpNet> = nets.into_iter().collect();
        Self::from_nets(&nets)
    }
}

impl From<IpAddr> for AddressSet {
    fn from(address: IpAddr) -> Self {
        Self::from_addresses([address])
    }
}

impl From<IpNet> for AddressSet {
    fn from(net: IpNet) -> Self {
        Self::from_nets([&net])
    }
}

fn ends_of_v4(net: Ipv4Net) -> (u32, u32) {
    (net.network().to_bits(), net.broadcast().to_bits())
}

fn ends_of_v6(net: Ipv6Net) -> (u128, u128) {
    (net.network().to_bits(), net.broadcast().to_bits())
}

/// The aligned blocks of powers of two that make up an interval of numbers of `width` bits: (start, prefix length).
fn blocks<N: Number>(first: N, last: N, width: u32) -> impl Iterator<Item = (u128, u32)> {
    let mut next = Some(first.wide());
    let last = last.wide();
    std::iter::from_fn(move || {
        let start = next.filter(|start| *start <= last)?;
        let aligned = if start == 0 { width } else { start.trailing_zeros().min(width) };
        // The greatest power of two that is not more than what is left; all 2¹²⁸ at once do not fit a number.
        let fits = match (last - start).checked_add(1) {
            Some(left) => left.ilog2(),
            None => 128,
        };
        let bits = aligned.min(fits);
        next = if bits == 128 { None } else { start.checked_add(1 << bits) };
        Some((start, width - bits))
    })
}

fn listed<T>(
    formatter: &mut fmt::Formatter<'_>,
    mut items: impl Iterator<Item = T>,
    write_one: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for index in 0..MOST_WORDS {
        let Some(item) = items.next() else {
            return if index == 0 { write!(formatter, "none") } else { Ok(()) };
        };
        if index > 0 {
            write!(formatter, ", ")?;
        }
        write_one(formatter, item)?;
    }
    match items.count() {
        0 => Ok(()),
        more => write!(formatter, " and {more} more"),
    }
}

/// A message names so many ranges at most.
const MOST_WORDS: usize = 8;

#[cfg(test)]
#[path = "set/tests.rs"]
mod tests;
