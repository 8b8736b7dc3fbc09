use proptest::prelude::*;

use super::*;

/// Sets of a toy space of 256 addresses at one end of a real one, as a bitmap and as a set.
#[derive(Clone, Debug)]
struct Toy {
    bits: Vec<bool>,
    /// The address of number 0.
    base: IpAddr,
}

impl Toy {
    fn address(&self, number: usize) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from_bits(base.to_bits() + u32::try_from(number).unwrap())),
            IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() + number as u128)),
        }
    }

    fn set(&self) -> AddressSet {
        AddressSet::from_addresses((0..256).filter(|number| self.bits[*number]).map(|number| self.address(number)))
    }

    fn combine(&self, other: &Self, both: impl Fn(bool, bool) -> bool) -> Self {
        let bits = (0..256).map(|number| both(self.bits[number], other.bits[number])).collect();
        Self { bits, base: self.base }
    }

    fn all(&self) -> AddressSet {
        AddressSet::from_range(self.address(0), self.address(255))
    }
}

fn bases() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(vec!["0.0.0.0", "255.255.255.0", "10.0.1.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00"])
        .prop_map(|text| text.parse().unwrap())
}

/// Runs of ones and zeros, so that long intervals are as likely as single addresses.
fn bitmap() -> impl Strategy<Value = Vec<bool>> {
    (any::<bool>(), prop::collection::vec(1_usize..60, 1..40)).prop_map(|(first, runs)| {
        let mut bits = Vec::new();
        for (index, run) in runs.into_iter().enumerate() {
            bits.extend(std::iter::repeat_n(first ^ (index % 2 == 1), run));
        }
        bits.resize(256, false);
        bits
    })
}

fn nets(base: IpAddr) -> impl Strategy<Value = Vec<IpNet>> {
    prop::collection::vec((any::<u8>(), 0_u8..=8), 0..12).prop_map(move |found| {
        found
            .into_iter()
            .map(|(number, bits)| match base {
                IpAddr::V4(base) => {
                    IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(base.to_bits() + u32::from(number)), 32 - bits).unwrap())
                }
                IpAddr::V6(base) => IpNet::V6(
                    Ipv6Net::new(Ipv6Addr::from_bits(base.to_bits() + u128::from(number)), 128 - bits).unwrap(),
                ),
            })
            .collect()
    })
}

/// The least number of aligned blocks that make up the bitmap, by halving.
fn fewest_blocks(bits: &[bool]) -> usize {
    if bits.iter().all(|bit| *bit) {
        return 1;
    }
    if bits.iter().all(|bit| !*bit) {
        return 0;
    }
    let (left, right) = bits.split_at(bits.len() / 2);
    fewest_blocks(left) + fewest_blocks(right)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_algebra_is_that_of_bitmaps(base in bases(), one in bitmap(), other in bitmap()) {
        let (one, other) = (Toy { bits: one, base }, Toy { bits: other, base });
        let (a, b) = (one.set(), other.set());
        prop_assert_eq!(a.union(&b), one.combine(&other, |x, y| x || y).set());
        prop_assert_eq!(a.intersection(&b), one.combine(&other, |x, y| x && y).set());
        prop_assert_eq!(a.difference(&b), one.combine(&other, |x, y| x && !y).set());
        prop_assert_eq!(a.complement().intersection(&one.all()), one.combine(&one, |x, _| !x).set());
        prop_assert_eq!(a.complement().complement(), a.clone());
        prop_assert!(a.complement().is_superset(&one.all().complement()));
        prop_assert_eq!(a.is_superset(&b), !one.combine(&other, |x, y| y && !x).bits.contains(&true));
        prop_assert_eq!(a.overlaps(&b), one.combine(&other, |x, y| x && y).bits.contains(&true));
        prop_assert_eq!(a.count(), one.bits.iter().filter(|bit| **bit).count() as u128);
        prop_assert_eq!(a.is_empty(), !one.bits.contains(&true));
        for number in 0..256 {
            prop_assert_eq!(a.contains(one.address(number)), one.bits[number]);
        }
    }

    #[test]
    fn covers_are_exact_and_smallest(base in bases(), bits in bitmap()) {
        let toy = Toy { bits, base };
        let cover = toy.set().cover();
        prop_assert_eq!(AddressSet::from_nets(&cover), toy.set());
        prop_assert_eq!(cover.len(), fewest_blocks(&toy.bits));
        prop_assert!(cover.iter().all(|net| *net == net.trunc()));
    }

    #[test]
    fn ranges_come_in_any_order_and_one_by_one(list in bases().prop_flat_map(nets), more in any::<u8>()) {
        let at_once = AddressSet::from_nets(&list);
        let mut one_by_one = AddressSet::empty();
        for net in &list {
            one_by_one.insert(*net);
        }
        prop_assert_eq!(&at_once, &one_by_one);
        let mut rotated = list.clone();
        rotated.rotate_left(usize::from(more) % list.len().max(1));
        prop_assert_eq!(AddressSet::from_nets(&rotated), at_once);
    }

    #[test]
    fn ports_follow_the_same_rules(one in bitmap(), low in any::<bool>()) {
        let base = if low { 0 } else { u16::MAX - 255 };
        let port = |number: usize| base + u16::try_from(number).unwrap();
        let mut set = PortSet::default();
        for number in (0..256).filter(|number| one[*number]) {
            set.insert(port(number)..=port(number));
        }
        for (number, bit) in one.iter().enumerate() {
            prop_assert_eq!(set.contains(port(number)), *bit);
            prop_assert_eq!(set.complement().contains(port(number)), !bit);
        }
        prop_assert_eq!(set.count() + set.complement().count(), 65_536);
    }
}

fn set(nets: &[&str]) -> AddressSet {
    nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect()
}

#[test]
fn the_ends_of_the_spaces_are_ordinary_addresses() {
    let halves = set(&["0.0.0.0/1", "128.0.0.0/1"]);
    assert!(halves.is_everything(Family::V4) && !halves.is_everything(Family::V6));
    assert_eq!(halves.cover(), [IpNet::V4("0.0.0.0/0".parse().unwrap())]);
    let all = set(&["::/1", "8000::/1"]);
    assert!(all.is_everything(Family::V6));
    assert_eq!(all.cover(), [IpNet::V6("::/0".parse().unwrap())]);
    assert_eq!(all.count(), u128::MAX);
    assert_eq!(AddressSet::everything().count(), u128::MAX);
    assert_eq!(AddressSet::everything().complement(), AddressSet::empty());
    assert_eq!(AddressSet::empty().complement(), AddressSet::everything());
    let ends = set(&["0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]);
    assert_eq!(ends.count(), 4);
    assert_eq!(ends.complement().count(), u128::MAX);
    assert_eq!(ends.complement().complement(), ends);
    assert_eq!(ends.cover().len(), 4);
    assert_eq!(ends.complement().cover().len(), 2 * 31 + 2 * 127);
}

#[test]
fn host_bits_and_mapped_addresses_do_not_confuse_it() {
    let sloppy = set(&["10.0.0.77/24"]);
    assert_eq!(sloppy, set(&["10.0.0.0/24"]));
    // An IPv4-mapped IPv6 address is an IPv6 address.
    assert!(!set(&["0.0.0.0/0"]).contains("::ffff:10.0.0.1".parse().unwrap()));
}

#[test]
fn it_reads_well_and_stays_short() {
    assert_eq!(AddressSet::empty().to_string(), "none");
    assert_eq!(
        set(&["10.0.0.0/9", "10.128.0.0/9", "192.0.2.1/32", "2001:db8::/32"]).to_string(),
        "10.0.0.0/8, 192.0.2.1, 2001:db8::/32"
    );
    let many: AddressSet =
        (0..100).map(|number| IpNet::V4(Ipv4Net::new(Ipv4Addr::new(10, 0, number * 2, 0), 24).unwrap())).collect();
    assert!(many.to_string().ends_with("10.0.14.0/24 and 92 more"), "{many}");
    assert_eq!(PortSet::from_intervals([(443, 443), (1024, 65_535)]).to_string(), "443, 1024-65535");
    assert_eq!(PortSet::of(RangeInclusive::new(2, 1)).to_string(), "none");
}

#[test]
fn two_thousand_ranges_are_covered() {
    let ranges = |offset: u32| -> AddressSet {
        (0..2_000_u32)
            .map(|number| IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits((number * 7 + offset) << 12), 24).unwrap()))
            .collect()
    };
    let (one, other) = (ranges(0), ranges(3));
    // How long it takes is a figure: `cargo bench --bench figures -- sets`.
    assert!(!one.difference(&other).is_empty());
    assert_eq!(one.cover().len(), 2_000);
}
