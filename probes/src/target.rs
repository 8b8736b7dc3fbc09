//! What to probe, and how: plain values, all given by the caller.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use crate::{AddressClass, SharedControls, labels, tls};

/// An endpoint that speaks TLS and, behind it, the Kubernetes API.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address, without brackets or trailing dot.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path below which the API lives: empty, or `/k8s/clusters/c-1` without trailing slash.
    pub base_path: String,
    /// Name for SNI and for the certificate when it differs from `host`.
    pub server_name: Option<String>,
    /// What a chain must lead to.
    pub trust: Trust,
    /// Addresses known beforehand: dialled as evidence beside those that DNS gives.
    pub known_addresses: Vec<IpAddr>,
    /// What has to answer.
    pub service: Service,
}

impl Target {
    /// A Kubernetes API server at this host and port, of which nothing else is known.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, trust: Trust) -> Self {
        Self {
            host: host.into(),
            port,
            base_path: String::new(),
            server_name: None,
            trust,
            known_addresses: Vec::new(),
            service: Service::default(),
        }
    }
}

/// What has to answer over a verified connection for a target to be reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// A Kubernetes API server.
    #[default]
    Kubernetes,
    /// Anything that speaks HTTP: an API of the provider's.
    Https,
}

/// What a certificate chain must lead to.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The cluster's own certificate authorities.
    ClusterCa(Arc<ClusterCa>),
    /// The roots of this operating system.
    SystemRoots,
}

/// The certificate authorities of a cluster, ready to verify with.
#[derive(Debug)]
pub struct ClusterCa {
    pub(crate) roots: RootCertStore,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Begin and end of each one's validity, in seconds since 1970; `None` when it cannot be read.
    periods: Vec<Option<(i64, i64)>>,
    /// Authorities that are asked when these do not vouch for a chain, each under its label. They are evidence only.
    pub(crate) others: Vec<OtherAuthorities>,
    /// The chain that verified last.
    pub(crate) verified: tls::Verified,
}

/// Authorities that are asked when a cluster's own do not vouch for a chain.
#[derive(Debug)]
pub(crate) struct OtherAuthorities {
    pub(crate) label: String,
    pub(crate) roots: RootCertStore,
    pem: String,
}

impl ClusterCa {
    /// Reads PEM text with one or more certificates; anything else in it is passed over.
    ///
    /// # Errors
    /// In words, when there is no certificate, or one that cannot be a trust anchor.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("not PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("no `-----BEGIN CERTIFICATE-----` block in it".to_owned());
        }
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("certificate {} of {}: {error}", index + 1, certificates.len()))?;
        }
        let periods = certificates.iter().map(|certificate| tls::period(certificate)).collect();
        Ok(Self { roots, certificates, periods, others: Vec::new(), verified: tls::Verified::default() })
    }

    /// Authorities (PEM text by label) that are asked as well when a chain does not lead to these. That one of them
    /// vouches for it is written down and changes no outcome. What cannot be read is passed over.
    #[must_use]
    pub fn beside(mut self, others: impl IntoIterator<Item = (String, String)>) -> Self {
        let read = |(label, pem): (String, String)| {
            Some(OtherAuthorities { label, roots: Self::from_pem(&pem).ok()?.roots, pem })
        };
        self.others = others.into_iter().filter_map(read).collect();
        self
    }

    /// The certificates as PEM text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(|certificate| pem(certificate)).collect()
    }

    /// The authorities given to [`ClusterCa::beside`], by label.
    #[must_use]
    pub fn others_to_pem(&self) -> Vec<(String, String)> {
        self.others.iter().map(|other| (other.label.clone(), other.pem.clone())).collect()
    }

    /// The authorities that are valid at this time, in seconds since 1970, when that is not all of them.
    pub(crate) fn valid_at(&self, seconds: i64) -> Option<RootCertStore> {
        let valid = |period: &Option<(i64, i64)>| period.is_none_or(|(begin, end)| (begin..=end).contains(&seconds));
        if self.periods.iter().all(valid) {
            return None;
        }
        let mut store = RootCertStore::empty();
        let certificates = self.certificates.iter().zip(&self.periods).filter(|(_, period)| valid(period));
        // Each was accepted as an anchor before.
        store.add_parsable_certificates(certificates.map(|(certificate, _)| certificate.clone()));
        Some(store)
    }
}

/// One certificate as PEM text (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// How to probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bound of each connect, handshake and first answer.
    pub connect_timeout: Duration,
    /// Bound of a whole lookup at one resolver.
    pub dns_timeout: Duration,
    /// The resolver that decides: what kubectl would use here.
    pub system: SystemResolver,
    /// Other resolvers to ask, by label. Asked at once when `eager`, else only when something is wrong.
    pub resolvers: Vec<NamedResolver>,
    /// Local end of every socket.
    pub source: SourceBinding,
    /// Which addresses are private beside the registered ones, and which are public all the same.
    pub classes: AddressClasses,
    /// Proxy to go through.
    pub proxy: Option<ProxyTarget>,
    /// Control targets that show whether the prober itself is online; asked only when nothing of the target answers.
    pub controls: Vec<Endpoint>,
    /// What the controls answered to probes from the same place.
    pub shared_controls: SharedControls,
    /// Credentials, sent only over a verified connection.
    pub credentials: Option<Credentials>,
    /// Requests of the HTTP stage, by path below the base path, the deciding one first.
    pub requests: Vec<String>,
    /// Measure beyond the plain stages when one fails: other handshakes, traces, repeats, canaries, controls.
    pub investigate: bool,
    /// The least that is a full probe, for one of a target that was fine a moment ago: HTTP/1.1, classical key shares, a
    /// chain that verified within the last minute not verified again, this host's resolver configuration as it was a
    /// moment ago. What stops only larger handshakes or HTTP/2 is not seen by it.
    pub lean: bool,
    /// Who tells the address that this host is seen by.
    pub echo: Vec<EchoServer>,
    /// Where packets may go at all.
    pub permit: Permit,
}

impl Options {
    /// A bare probe: this host's own resolver and network, one request, nothing asked beside it, and this bound for each
    /// lookup and each stage.
    #[must_use]
    pub fn plain(timeout: Duration) -> Self {
        Self {
            connect_timeout: timeout,
            dns_timeout: timeout,
            system: SystemResolver::Host,
            resolvers: Vec::new(),
            source: SourceBinding::default(),
            classes: AddressClasses::default(),
            proxy: None,
            controls: Vec::new(),
            shared_controls: SharedControls::default(),
            credentials: None,
            requests: vec!["/version".to_owned()],
            investigate: false,
            lean: false,
            echo: Vec::new(),
            permit: Permit::default(),
        }
    }
}

/// Which addresses and ports may be dialled: an agent's own limits, whatever DNS says of a permitted name.
///
/// The default permits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Ranges that may be dialled; every range when empty.
    pub ranges: Vec<IpNet>,
    /// Ranges that may not, whatever `ranges` says.
    pub never: Vec<IpNet>,
    /// Ranges that may not unless one of `ranges` lies within them: `0.0.0.0/0` does not speak of `127.0.0.0/8`.
    pub unless_named: Vec<IpNet>,
    /// Ports that may be dialled; every port when empty.
    pub ports: Vec<u16>,
}

impl Permit {
    /// Why this peer may not be dialled, in words; `None` when it may.
    ///
    /// An IPv4 address in IPv6 clothes (mapped, translated, tunnelled) is the IPv4 address, too: it is refused when
    /// either is.
    #[must_use]
    pub fn refuses(&self, peer: SocketAddr) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let address = peer.ip();
        let guises = guises(address);
        let named = |guise: &IpAddr, range: &IpNet| {
            self.ranges.iter().any(|named| range.contains(named) && named.contains(guise))
        };
        for guise in &guises {
            let closed = self
                .never
                .iter()
                .find(|range| range.contains(guise))
                .or_else(|| self.unless_named.iter().find(|range| range.contains(guise) && !named(guise, range)));
            if let Some(range) = closed {
                let clothes = if *guise == address { String::new() } else { format!(" ({guise} in other clothes)") };
                return Some(format!("{address}{clothes} is in {range}, which is not dialled"));
            }
        }
        // A mapped or translated address is the IPv4 host itself; a tunnel's is not.
        let itself = [address, embedded_ipv4(address)];
        if !self.ranges.is_empty() && !self.ranges.iter().any(|range| itself.iter().any(|one| range.contains(one))) {
            return Some(format!("{address} is in no permitted range"));
        }
        if !self.ports.is_empty() && !self.ports.contains(&peer.port()) {
            return Some(format!("port {} is not a permitted one", peer.port()));
        }
        None
    }
}

/// The address, and the IPv4 addresses that a packet to it may end at.
///
/// IPv4-mapped and IPv4-compatible (RFC 4291), the prefixes of NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo's
/// server and client (RFC 4380) and ISATAP (RFC 5214).
fn guises(address: IpAddr) -> Vec<IpAddr> {
    let mut guises = vec![address];
    let IpAddr::V6(v6) = address else { return guises };
    let octets = v6.octets();
    let at = |indexes: [usize; 4]| IpAddr::from(indexes.map(|index| octets[index]));
    let last = at([12, 13, 14, 15]);
    let last_is_one = match octets {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => false,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
        // Translated addresses (RFC 2765), which few still know.
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [_, _, _, _, _, _, _, _, 0 | 2, 0, 0x5e, 0xfe, ..] => true,
        // A network's own NAT64 prefix cannot be told from any other; its last four octets can.
        _ => METADATA.contains(&last),
    };
    if last_is_one {
        guises.push(last);
    }
    // One address may wear several of these.
    match octets {
        // A prefix of 48, 56, 64 or 96 bits: the IPv4 address stands around octet 8, or last.
        [0, 0x64, 0xff, 0x9b, 0, 1, ..] => {
            guises.extend([at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last]);
        }
        [0x20, 0x02, ..] => guises.push(at([2, 3, 4, 5])),
        [0x20, 0x01, 0, 0, ..] => {
            guises.extend([at([4, 5, 6, 7]), IpAddr::from([12, 13, 14, 15].map(|index| !octets[index]))]);
        }
        _ => {}
    }
    guises
}

/// A server that tells who asks it by which address it sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EchoServer {
    /// What it speaks.
    pub scheme: EchoScheme,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path of the request, with the leading slash; empty with STUN.
    pub path: String,
}

impl EchoServer {
    /// Its URL, less a query, which may hold a secret.
    #[must_use]
    pub fn redacted(&self) -> String {
        let mut shown = self.clone();
        if let Some(query) = shown.path.find('?') {
            shown.path.truncate(query);
            shown.path.push_str("?…");
        }
        shown.to_string()
    }
}

impl std::fmt::Display for EchoServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoint = Endpoint { host: self.host.clone(), port: self.port };
        write!(formatter, "{}://{endpoint}{}", self.scheme.label(), self.path)
    }
}

/// What an echo server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EchoScheme {
    /// HTTP: the body is the address, as text or as the `ip` of a JSON object.
    Http,
    /// The same over TLS.
    Https,
    /// STUN over UDP (RFC 8489).
    Stun,
    /// STUN over TCP.
    StunTcp,
}

labels! { EchoScheme {
    Http => "http",
    Https => "https",
    Stun => "stun",
    StunTcp => "stun-tcp",
} }

/// A host (name or address) and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// A resolver known by a label of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResolver {
    /// `vpc`, `public` or any label.
    pub label: String,
    /// Its servers, asked in order until one gives a message.
    pub servers: Vec<SocketAddr>,
    /// Ask it in every round, not only when something is wrong.
    pub eager: bool,
}

/// The resolver that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemResolver {
    /// As this host is configured: nsswitch, hosts file, search domains, name servers.
    Host,
    /// These servers instead; no hosts file, no search domains.
    Servers(Vec<SocketAddr>),
}

/// The local end of a probe's sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceBinding {
    /// Source address; an attempt of the other family is a local error.
    pub address: Option<IpAddr>,
    /// Interface (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
}

/// A proxy to go through.
#[derive(Clone)]
pub struct ProxyTarget {
    /// What it speaks.
    pub scheme: ProxyScheme,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password; never printed.
    pub credentials: Option<(String, String)>,
    /// What the chain of an `https` proxy must lead to; the system's roots when absent.
    pub authorities: Option<Arc<ClusterCa>>,
}

impl ProxyTarget {
    /// The URL without credentials.
    #[must_use]
    pub fn redacted(&self) -> String {
        let endpoint = Endpoint { host: self.host.clone(), port: self.port };
        format!("{}://{endpoint}", self.scheme.label())
    }
}

impl std::fmt::Debug for ProxyTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// CONNECT over plain TCP.
    Http,
    /// CONNECT over TLS.
    Https,
    /// SOCKS 5, the name resolved here.
    Socks5,
    /// SOCKS 5, the name resolved by the proxy.
    Socks5h,
}

impl ProxyScheme {
    /// The URL's scheme.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    /// Whether the proxy resolves the target's name, so that no address of it is known here.
    #[must_use]
    pub const fn resolves_remotely(self) -> bool {
        !matches!(self, Self::Socks5)
    }
}

/// Credentials for the API server. Never printed.
#[derive(Clone)]
pub enum Credentials {
    /// A bearer token.
    Bearer(String),
    /// User name and password.
    Basic(String, String),
    /// A client certificate (PEM chain) and its key (PEM).
    ClientCertificate(Vec<u8>, Vec<u8>),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(credentials)")
    }
}

/// Ranges whose class the user declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressClasses {
    /// Private beside the registered ranges: the networks of the cluster.
    pub private: Vec<IpNet>,
    /// Public although registered as private.
    pub public: Vec<IpNet>,
}

impl AddressClasses {
    /// Class of one address: [`AddressClass::Public`] or [`AddressClass::Private`].
    ///
    /// Private are RFC 1918, RFC 6598, unique local, loopback, link-local and unspecified addresses, and the declared
    /// ranges; the longest declared prefix wins over the registry. An IPv4 address embedded by RFC 6052 or mapped into
    /// IPv6 has the class of the IPv4 address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> AddressClass {
        let address = embedded_ipv4(address);
        let longest =
            |ranges: &[IpNet]| ranges.iter().filter(|range| range.contains(&address)).map(IpNet::prefix_len).max();
        match (longest(&self.private), longest(&self.public)) {
            (Some(private), Some(public)) if public > private => AddressClass::Public,
            (Some(_), _) => AddressClass::Private,
            (None, None) if is_registered_private(address) => AddressClass::Private,
            (None, _) => AddressClass::Public,
        }
    }

    /// Class of a set of addresses.
    #[must_use]
    pub fn of_all<'a>(&self, addresses: impl IntoIterator<Item = &'a IpAddr>) -> AddressClass {
        addresses.into_iter().fold(AddressClass::None, |sum, address| match (sum, self.of(*address)) {
            (AddressClass::None, class) => class,
            (sum, class) if sum == class => sum,
            _ => AddressClass::Mixed,
        })
    }
}

/// Where clouds tell an instance its credentials.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

pub(crate) fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let octets = v6.octets();
    if octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] {
        return IpAddr::from([octets[12], octets[13], octets[14], octets[15]]);
    }
    address
}

fn is_registered_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_registries_and_the_declared_ranges() {
        let classes = AddressClasses {
            private: vec!["198.18.0.0/15".parse().unwrap()],
            public: vec!["127.20.0.0/16".parse().unwrap()],
        };
        let of = |text: &str| classes.of(text.parse().unwrap());
        for private in [
            "10.0.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "198.18.0.1",
            "fd00::1",
            "fe80::1",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert_eq!(of(private), AddressClass::Private, "{private}");
        }
        for public in ["9.9.9.9", "172.32.0.1", "100.128.0.1", "127.20.0.1", "2001:db8::1", "::ffff:9.9.9.9"] {
            assert_eq!(of(public), AddressClass::Public, "{public}");
        }
        assert_eq!(classes.of_all(&[]), AddressClass::None);
        assert_eq!(classes.of_all(&["9.9.9.9".parse().unwrap(), "10.0.0.1".parse().unwrap()]), AddressClass::Mixed);
    }
}
