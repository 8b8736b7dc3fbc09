//! What the predictions of every provider share: what a public endpoint's list says of a client, and which of the paths
//! to an API server stands for all. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::trace::{Hop, Outcome, Trace};
use crate::report::{Reachability, Via};

/// What the public path says.
#[derive(Clone, Debug, PartialEq)]
pub enum PublicPath {
    /// There is none: public access is switched off, or the cluster was made private.
    Off,
    /// The facts do not say whether there is one, or for whom.
    NotKnown,
    /// Everybody is let in.
    Open,
    /// The address that the endpoint sees is listed.
    Listed {
        /// That address.
        egress: IpAddr,
        /// The entry that holds it.
        entry: String,
    },
    /// None of the addresses that the endpoint may see is listed.
    NotListed {
        /// Those addresses.
        egress: Vec<IpAddr>,
    },
    /// AKS: the list is `0.0.0.0/32`: only the cluster's own outbound address gets in, and this is none.
    OutboundOnly {
        /// The addresses that the endpoint may see.
        egress: Vec<IpAddr>,
    },
    /// Some of the addresses that the endpoint may see are listed: the NAT gateway decides from connection to connection.
    PartlyListed {
        /// Listed.
        listed: Vec<IpAddr>,
        /// Not listed.
        unlisted: Vec<IpAddr>,
    },
    /// AKS: no range holds the address, but a service tag might, and its ranges are not in the facts.
    TagNotKnown {
        /// The tag.
        tag: String,
        /// The addresses that the endpoint may see.
        egress: Vec<IpAddr>,
    },
    /// The list is restricted, and the address that the endpoint sees is not known.
    EgressNotKnown,
    /// The standpoint's own network does not let packets out to the internet, or not the replies back in.
    NoWayOut(Box<Trace>),
    /// Whether its network lets packets out is not known.
    WayOutNotKnown(Box<Trace>),
}

impl PublicPath {
    /// Whether it lets the standpoint in.
    #[must_use]
    pub const fn reachability(&self) -> Reachability {
        match self {
            Self::Open | Self::Listed { .. } => Reachability::Reachable,
            Self::Off | Self::NotListed { .. } | Self::OutboundOnly { .. } | Self::NoWayOut(_) => {
                Reachability::Unreachable
            }
            Self::NotKnown
            | Self::PartlyListed { .. }
            | Self::TagNotKnown { .. }
            | Self::EgressNotKnown
            | Self::WayOutNotKnown(_) => Reachability::Unknown,
        }
    }

    /// The addresses that are not listed, then those that are; `None` unless the list shuts some out.
    #[must_use]
    pub fn unlisted(&self) -> Option<(&[IpAddr], &[IpAddr])> {
        match self {
            Self::NotListed { egress } => Some((egress, &[])),
            Self::PartlyListed { listed, unlisted } => Some((unlisted, listed)),
            _ => None,
        }
    }

    /// The way through the standpoint's own network, where that decides.
    #[must_use]
    pub fn way_out(&self) -> Option<&Trace> {
        match self {
            Self::NoWayOut(way) | Self::WayOutNotKnown(way) => Some(way),
            _ => None,
        }
    }

    /// What it says, for people.
    pub(super) fn words(&self, provider: &Words) -> String {
        match self {
            Self::Off => provider.off.to_owned(),
            Self::NotKnown => "the facts do not say whom the public endpoint lets in".to_owned(),
            Self::Open => "the public endpoint lets everybody in".to_owned(),
            Self::Listed { egress, entry } => format!("the public endpoint lets {egress} in ({entry})"),
            Self::NotListed { egress } => format!("{} is in no {}", listed(egress), provider.entry),
            Self::OutboundOnly { egress } => {
                format!("only the cluster's own outbound address is let in (0.0.0.0/32), not {}", listed(egress))
            }
            Self::PartlyListed { listed: inside, unlisted } => format!(
                "{} of {} egress addresses are in {}, {} not",
                inside.len(),
                inside.len() + unlisted.len(),
                provider.list,
                listed(unlisted)
            ),
            Self::TagNotKnown { tag, egress } => {
                format!("whether the service tag {tag} holds {} is not in the facts", listed(egress))
            }
            Self::EgressNotKnown => "the address that the public endpoint sees is not known".to_owned(),
            Self::NoWayOut(way) => format!("no way to the internet: {}", way.first_rule()),
            Self::WayOutNotKnown(way) => format!("the way to the internet is not known: {}", way.first_rule()),
        }
    }
}

/// What a provider calls the parts of its public endpoint.
pub(super) struct Words {
    /// There is none, as a sentence.
    pub(super) off: &'static str,
    /// An entry of its list.
    pub(super) entry: &'static str,
    /// The list.
    pub(super) list: &'static str,
}

/// Addresses that stand for these ranges before a list of entries: a single address for itself; of a wider range those
/// at which an entry begins or has just ended, so that one of them is in the list exactly when some of the range is.
pub(super) fn representatives(ranges: &[IpNet], entries: impl Iterator<Item = IpNet>) -> Vec<IpAddr> {
    let entries: Vec<IpNet> = entries.collect();
    let mut addresses = Vec::new();
    for range in ranges {
        addresses.extend([range.network(), range.broadcast()]);
        if range.prefix_len() == range.max_prefix_len() {
            continue;
        }
        let edges = entries.iter().flat_map(|entry| [Some(entry.network()), after(entry.broadcast())]);
        addresses.extend(edges.flatten().filter(|edge| range.contains(edge)).take(MOST_EDGES));
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The next address.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Reachable when one address is; the others are told by a finding of their own.
pub(super) fn any<'a>(private: impl IntoIterator<Item = &'a Trace>) -> Reachability {
    let outcomes: Vec<Outcome> = private.into_iter().map(|trace| trace.outcome).collect();
    if outcomes.contains(&Outcome::Reachable) {
        Reachability::Reachable
    } else if outcomes.is_empty() || outcomes.contains(&Outcome::Unknown) {
        Reachability::Unknown
    } else {
        Reachability::Unreachable
    }
}

/// The hops that stand for the path that is taken: those of the first private path that is not open, else of the first;
/// or those of the way out to the public endpoint.
pub(super) fn hops<'a>(
    via: Option<Via>,
    public: &'a PublicPath,
    private: impl IntoIterator<Item = &'a Trace>,
) -> Vec<Hop> {
    let traces: Vec<&Trace> = private.into_iter().collect();
    let private = traces.iter().find(|trace| trace.outcome != Outcome::Reachable).or(traces.first()).copied();
    let taken = match via {
        Some(Via::Public) => public.way_out(),
        Some(Via::Private) => private,
        _ => private.or_else(|| public.way_out()),
    };
    taken.map(|trace| trace.hops().cloned().collect()).unwrap_or_default()
}

/// The first few addresses, and how many more there are.
pub(super) fn listed(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(MOST_LISTED).map(ToString::to_string).collect();
    let more = addresses.len().saturating_sub(MOST_LISTED);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Where an API server listens.
pub(super) const PORT: u16 = 443;
const MOST_LISTED: usize = 3;
/// Of one range. A list holds some hundred entries at most.
const MOST_EDGES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_represented_where_a_list_begins_and_ends_within_it() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let of = |ranges: &[&str], entries: &[&str]| {
            let all = representatives(&nets(ranges), nets(entries).into_iter());
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&["203.0.113.7/32"], &["0.0.0.0/0"]), ["203.0.113.7"]);
        assert_eq!(of(&["203.0.113.0/24"], &["198.51.100.0/24"]), ["203.0.113.0", "203.0.113.255"]);
        assert_eq!(
            of(&["203.0.113.0/24"], &["203.0.113.64/32"]),
            ["203.0.113.0", "203.0.113.64", "203.0.113.65", "203.0.113.255"]
        );
        assert_eq!(of(&["255.255.255.0/24"], &["255.255.255.255/32"]), ["255.255.255.0", "255.255.255.255"]);
        assert_eq!(of(&["2001:db8::/64", "203.0.113.7/32"], &[]).len(), 3);
    }
}
