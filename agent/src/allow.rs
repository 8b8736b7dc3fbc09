//! What an agent may probe: its own list, which no order can widen.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kubereach_probes::Permit;

/// Hosts, addresses, ports and resolvers that orders may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// Names or addresses that a target may have; every one when empty.
    pub hosts: Vec<HostPattern>,
    /// Ranges that may be dialled; every range when empty. Loopback only where a range within it is named.
    pub ranges: Vec<IpNet>,
    /// Ports that may be dialled.
    pub ports: Vec<u16>,
    /// Resolvers that an order may name; none when empty. The agent's host's own is always used.
    pub resolvers: Vec<ResolverPattern>,
}

impl Default for AllowList {
    /// Any host, any address but those that are never dialled, ports 443 and 6443, no resolver but the host's own.
    fn default() -> Self {
        Self { hosts: Vec::new(), ranges: Vec::new(), ports: DEFAULT_PORTS.to_vec(), resolvers: Vec::new() }
    }
}

impl AllowList {
    /// What the engine is bound to, whatever DNS says of a permitted name.
    #[must_use]
    pub fn permit(&self) -> Permit {
        Permit {
            ranges: self.ranges.clone(),
            never: never(),
            unless_named: vec![LOOPBACK_IPV4.into(), LOOPBACK_IPV6.into()],
            ports: self.ports.clone(),
        }
    }

    /// Why this host and port may not be probed, in words; `None` when they may, as far as can be told without DNS.
    #[must_use]
    pub fn refuses(&self, host: &str, port: u16) -> Option<String> {
        if !self.hosts.is_empty() && !self.hosts.iter().any(|pattern| pattern.matches(host)) {
            return Some(format!("the host {host} is not on this agent's allow list"));
        }
        if !self.ports.contains(&port) {
            return Some(format!("port {port} is not on this agent's allow list, which has {}", Ports(&self.ports)));
        }
        let address = host.parse::<IpAddr>().ok()?;
        self.permit().refuses(SocketAddr::new(address, port))
    }

    /// Why this resolver may not be asked, in words; `None` when it may.
    #[must_use]
    pub fn refuses_resolver(&self, server: SocketAddr) -> Option<String> {
        if !self.resolvers.iter().any(|pattern| pattern.matches(server)) {
            return Some(format!("the resolver {server} is not on this agent's allow list"));
        }
        // It is among the resolvers that are named; what is never dialled is no resolver either.
        let ranges = self.resolvers.iter().map(|pattern| pattern.range).collect();
        Permit { ranges, ports: Vec::new(), ..self.permit() }.refuses(server)
    }
}

/// `api.example.com`, `10.0.0.1`, or `*.example.com` for every name below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This address.
    Address(IpAddr),
    /// This name, in lower case.
    Name(String),
    /// Every name that ends in this, with its leading dot, in lower case.
    Below(String),
}

impl HostPattern {
    /// Whether a host of an order (without trailing dot) fits.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let lower = host.to_ascii_lowercase();
        match self {
            Self::Address(address) => host.parse::<IpAddr>().is_ok_and(|host| host == *address),
            Self::Name(name) => lower == *name,
            // At least one letter stands before the dot.
            Self::Below(suffix) => {
                lower.len() > suffix.len() && lower.ends_with(suffix.as_str()) && host.parse::<IpAddr>().is_err()
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Self::Address(address));
        }
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        check_name(name)
            .map_err(|reason| format!("{reason}; a name, an address or `*.` before a name was expected"))?;
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Name(name.to_owned()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name(name) => formatter.write_str(name),
            Self::Below(suffix) => write!(formatter, "*{suffix}"),
        }
    }
}

/// `10.0.0.2`, `10.0.0.0/24`, `10.0.0.2:5353`, `[2001:db8::/32]:5353`; port 53 unless one is given, `:*` for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolverPattern {
    /// Where it is.
    pub range: IpNet,
    /// Its port; every port when absent.
    pub port: Option<u16>,
}

impl ResolverPattern {
    /// Whether a resolver of an order fits.
    #[must_use]
    pub fn matches(&self, server: SocketAddr) -> bool {
        self.range.contains(&server.ip()) && self.port.is_none_or(|port| port == server.port())
    }
}

impl FromStr for ResolverPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(range) = parse_range(text) {
            return Ok(Self { range, port: Some(DNS_PORT) });
        }
        let (range, port) =
            text.rsplit_once(':').ok_or_else(|| parse_range(text).map_or_else(|why| why, |_| String::new()))?;
        let range = parse_range(range.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(range))?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port > 0).ok_or("the port is a number up to 65535, or `*`")?),
        };
        Ok(Self { range, port })
    }
}

/// An address, or a range in CIDR notation without host bits.
///
/// # Errors
/// In words.
pub fn parse_range(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let range: IpNet = text.parse().map_err(|_| "an address or a range like 10.0.0.0/8 was expected".to_owned())?;
    if range.trunc() != range {
        return Err(format!("it has host bits set: {} was expected", range.trunc()));
    }
    Ok(range)
}

/// Whether this is a host name as DNS and certificates have it: at most 253 letters, digits, hyphens and underscores in
/// labels of at most 63. What some resolvers take for an address (`127.1`, `0x7f000001`) is none.
///
/// # Errors
/// In words.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 253 {
        return Err(format!("a name has 1 to 253 letters, not {}", name.len()));
    }
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !name.split('.').all(label) {
        return Err("a name has labels of letters, digits and hyphens between its dots".to_owned());
    }
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let number = last.bytes().all(|letter| letter.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|letter| letter.is_ascii_hexdigit()));
    if number { Err("a name does not end in a number".to_owned()) } else { Ok(()) }
}

/// What is never dialled, whatever an allow list says: addresses that are valid on one link only, where the metadata
/// services of clouds are, and what is no host at all.
///
/// Sources: RFC 3927 and RFC 4291 (link-local), RFC 6890 (the registry of special addresses);
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html> (`fd00:ec2::254`),
/// <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>,
/// <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata> (`100.100.100.200`).
fn never() -> Vec<IpNet> {
    let ipv4 = |a, b, c, d, length| Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length).into();
    let ipv6 = |address: Ipv6Addr, length| Ipv6Net::new_assert(address, length).into();
    vec![
        ipv4(0, 0, 0, 0, 8),
        ipv4(169, 254, 0, 0, 16),
        ipv4(168, 63, 129, 16, 32),
        ipv4(100, 100, 100, 200, 32),
        ipv4(192, 0, 0, 192, 32),
        ipv4(224, 0, 0, 0, 4),
        ipv4(255, 255, 255, 255, 32),
        ipv6(Ipv6Addr::UNSPECIFIED, 128),
        ipv6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        ipv6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
        ipv6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
        ipv6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
        ipv6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    ]
}

struct Ports<'a>(&'a [u16]);

impl fmt::Display for Ports<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(u16::to_string).collect();
        formatter.write_str(&words.join(", "))
    }
}

/// Where API servers listen.
pub(crate) const DEFAULT_PORTS: [u16; 2] = [443, 6443];
const DNS_PORT: u16 = 53;
const LOOPBACK_IPV4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
const LOOPBACK_IPV6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[&str]) -> AllowList {
        AllowList { ranges: ranges.iter().map(|range| parse_range(range).unwrap()).collect(), ..AllowList::default() }
    }

    fn refused(ranges: &[&str], address: &str) -> bool {
        list(ranges).permit().refuses(SocketAddr::new(address.parse().unwrap(), 443)).is_some()
    }

    /// Every way to write where credentials are, and what is no host.
    const NEVER: &[&str] = &[
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.0",
        "169.254.255.255",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "fe80::1",
        "febf:ffff::1",
        "fec0::1",
        "fd00:ec2::254",
        "fd00:ec2::253",
        "fd20:ce::254",
        "ff02::1",
        // Mapped, compatible, translated by RFC 2765.
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::ffff:168.63.129.16",
        "::ffff:0.0.0.0",
        "::ffff:255.255.255.255",
        "::ffff:224.0.0.1",
        // NAT64: the well-known prefix, those of RFC 8215 at each length, a network's own.
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a83f:8110",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "64:ff9b:1::a9fe:a9fe",
        "2001:db8:64::a9fe:a9fe",
        "2001:db8:64::6464:64c8",
        // 6to4, Teredo (server; client, inverted), ISATAP.
        "2002:a9fe:a9fe::1",
        "2002:a83f:8110::",
        "2001:0:a9fe:a9fe::1",
        "2001:0:c000:201:0:0:5601:5601",
        "2001:db8::5efe:a9fe:a9fe",
        "2002:a9fe:a9fe::5efe:a00:1",
        "2001:db8::200:5efe:a9fe:a9fe",
    ];

    #[test]
    fn what_is_never_dialled_is_not_whatever_the_list_says() {
        let itself = |address: &str| vec![address.to_owned()];
        for address in NEVER {
            for ranges in [vec![], vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()], itself(address)] {
                let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
                assert!(refused(&ranges, address), "{address} with {ranges:?}");
            }
            assert!(list(&[]).refuses(address, 443).is_some(), "{address} as a host");
        }
    }

    #[test]
    fn loopback_is_dialled_only_where_it_is_named() {
        for address in
            ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"]
        {
            assert!(refused(&[], address), "{address}");
            assert!(refused(&["0.0.0.0/0", "::/0"], address), "{address}");
        }
        assert!(!refused(&["127.0.0.1"], "127.0.0.1"));
        assert!(!refused(&["127.0.0.1"], "::ffff:127.0.0.1"));
        assert!(!refused(&["::1"], "::1"));
        assert!(refused(&["0.0.0.0/0", "127.0.0.1"], "127.0.0.2"));
        assert!(refused(&["::/0", "::1"], "127.0.0.1"));
    }

    #[test]
    fn other_addresses_follow_the_ranges() {
        for address in ["10.0.0.1", "203.0.113.9", "2001:db8::9", "64:ff9b::a00:1", "2001:4860:4860::8888"] {
            assert!(!refused(&[], address), "{address}");
        }
        assert!(!refused(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!refused(&["10.0.0.0/8"], "64:ff9b::a00:1"));
        assert!(!refused(&["64:ff9b::/96"], "64:ff9b::a00:1"));
        assert!(refused(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(refused(&["10.0.0.0/8"], "2001:db8::1"));
        // A relay of 6to4 is not the host that its address names.
        assert!(refused(&["10.0.0.0/8"], "2002:a00:1::"));
    }

    #[test]
    fn a_host_is_permitted_as_written_and_below_a_star() {
        let allow = AllowList {
            hosts: ["*.eks.amazonaws.com", "API.example.com.", "192.0.2.7", "[2001:db8::7]"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            ..AllowList::default()
        };
        for host in ["a.eks.amazonaws.com", "A.b.EKS.amazonaws.com", "api.example.com", "192.0.2.7", "2001:db8:0::7"] {
            assert_eq!(allow.refuses(host, 443), None, "{host}");
        }
        for host in [
            "eks.amazonaws.com",
            ".eks.amazonaws.com",
            "aeks.amazonaws.com",
            "a.eks.amazonaws.com.evil.example",
            "b.api.example.com",
            "192.0.2.8",
            "1.2.3.4",
        ] {
            assert!(allow.refuses(host, 443).is_some(), "{host}");
        }
        assert!(allow.refuses("api.example.com", 22).unwrap().contains("443, 6443"));
        for pattern in ["", "*", "*.", "a b", "*.*.example", "exa*mple.com", "-a.example", "a..b", "127.1", "0x7f.0x1"]
        {
            assert!(pattern.parse::<HostPattern>().is_err(), "{pattern}");
        }
    }

    #[test]
    fn no_resolver_is_asked_that_is_not_named() {
        let with = |patterns: &[&str]| AllowList {
            resolvers: patterns.iter().map(|text| text.parse().unwrap()).collect(),
            ..AllowList::default()
        };
        let refused =
            |patterns: &[&str], server: &str| with(patterns).refuses_resolver(server.parse().unwrap()).is_some();
        assert!(refused(&[], "9.9.9.9:53"));
        assert!(!refused(&["9.9.9.9"], "9.9.9.9:53"));
        assert!(refused(&["9.9.9.9"], "9.9.9.9:443"));
        assert!(!refused(&["10.0.0.0/8:5353"], "10.1.2.3:5353"));
        assert!(!refused(&["10.0.0.0/8:*"], "10.1.2.3:1"));
        assert!(!refused(&["2001:db8::/32"], "[2001:db8::5]:53"));
        assert!(!refused(&["[2001:db8::5]:5353"], "[2001:db8::5]:5353"));
        assert!(refused(&["169.254.0.0/16:*"], "169.254.169.254:53"));
        assert!(refused(&["0.0.0.0/0:*"], "127.0.0.1:53"));
        assert!(!refused(&["127.0.0.0/8:*"], "127.0.0.1:53"));
        for pattern in ["", "dns.example", "10.0.0.1/8", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:", ":53"] {
            assert!(pattern.parse::<ResolverPattern>().is_err(), "{pattern}");
        }
    }
}
