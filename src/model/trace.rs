//! One path through the configuration, hop by hop, there and back, with every blocker on it.

mod hop;

use std::{fmt, net::IpAddr, str::FromStr};

pub use hop::{Decision, Hop, HopKind, Reason};

use super::network::Network;

/// One end of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// `eni-…`: a network interface with its groups.
    Interface(String),
    /// `i-…`: an instance, by its primary network interface.
    Instance(String),
    /// `subnet-…`: any host there; its groups are not part of the question. As a source only.
    Subnet(String),
    /// An address in a VPC of the facts, on-premises, or on the internet.
    Address(IpAddr),
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let known = text.len() <= LONGEST_ID && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match text.split_once('-') {
            Some(("eni", _)) if known => Ok(Self::Interface(text.to_owned())),
            Some(("i", _)) if known => Ok(Self::Instance(text.to_owned())),
            Some(("subnet", _)) if known => Ok(Self::Subnet(text.to_owned())),
            _ => Err("expected an address, or the id of an instance (i-…), of a network interface (eni-…) or of a \
                      subnet (subnet-…)"
                .to_owned()),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(id) | Self::Instance(id) | Self::Subnet(id) => formatter.write_str(id),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

/// What a path comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request gets there and every reply gets back.
    Reachable,
    /// Something on the way or on the way back stops it.
    Blocked,
    /// Nothing known stops it, but something that decides is not in the facts, or only a part gets through.
    Unknown,
}

kubereach_probes::labels! { Outcome {
    Reachable => "reachable",
    Blocked => "blocked",
    Unknown => "unknown",
} }

/// A path, there and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What it comes to.
    pub outcome: Outcome,
    /// The way of the request, from the source on.
    pub forward: Vec<Hop>,
    /// The way of the replies, from the destination on. Security groups do not stand here: they are stateful.
    pub back: Vec<Hop>,
    /// The address that was dialled.
    pub destination: Option<IpAddr>,
    /// The addresses that the far side may see as the source, ascending: the source's own, or those that it is known
    /// by outside (public addresses, all addresses of a NAT gateway). Empty when they are not known, or when the
    /// source is a whole subnet and nothing translates.
    pub source_seen: Vec<IpAddr>,
    /// What else is to be known of this answer, a sentence each.
    pub notes: Vec<String>,
}

impl Trace {
    /// Every hop that stops the packet, there first.
    pub fn blockers(&self) -> impl Iterator<Item = &Hop> {
        self.hops().filter(|hop| hop.decision.blocks())
    }

    /// Every hop of which the facts do not say what it does.
    pub fn unknowns(&self) -> impl Iterator<Item = &Hop> {
        self.hops().filter(|hop| hop.decision == Decision::Unknown)
    }

    /// Every hop, there and back.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.forward.iter().chain(&self.back)
    }
}

/// A question that the facts cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The facts hold no such thing.
    #[error("the facts hold no {what} {id}{}", meant(near))]
    NotFound {
        /// `instance`, `network interface`, `subnet`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
        /// Ids that resemble it, the nearest first.
        near: Vec<String>,
    },
    /// A file is needed to find the point at all.
    #[error("{id} cannot be looked up: {file} is not in the facts")]
    NoFile {
        /// The id that was asked for.
        id: String,
        /// The file of the facts folder.
        file: &'static str,
    },
    /// Several VPCs hold this address.
    #[error("{address} is in several places: {}; name a network interface or a subnet instead", places.join(", "))]
    Ambiguous {
        /// The address.
        address: IpAddr,
        /// Where it is: `eni-… in vpc-…`, `subnet-… in vpc-…`.
        places: Vec<String>,
    },
    /// The two ends have no address family in common.
    #[error("{from} and {to} have no address family in common")]
    NoCommonFamily {
        /// One end.
        from: Point,
        /// The other.
        to: Point,
    },
    /// A subnet as destination.
    #[error("{0} is a subnet: name an address, a network interface or an instance as the destination")]
    SubnetAsDestination(String),
    /// Both ends are outside.
    #[error("neither {from} nor {to} is in a VPC of the facts")]
    NothingInside {
        /// One end.
        from: Point,
        /// The other.
        to: Point,
    },
}

/// The way of a TCP connection from one point to another and of its replies.
///
/// # Errors
/// A point that the facts do not hold, or that they hold several times.
pub fn trace(network: &Network<'_>, from: &Point, to: &Point, port: u16) -> Result<Trace, TraceError> {
    let _ = (network, from, to, port);
    Err(TraceError::NothingInside { from: from.clone(), to: to.clone() })
}

fn meant(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// Ids are at most 32 characters today.
const LONGEST_ID: usize = 64;
