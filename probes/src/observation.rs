//! The facts: what a probe saw on the wire, with its evidence and its timing.
//!
//! Nothing in this file is a judgement. Every outcome is an enum whose variants say *when* they arise, every duration
//! is in milliseconds, and everything serialises, because an observation may be made on another machine than the one
//! that judges it.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Service;

/// Gives an enum the `label()` of the contract: the stable word that its JSON form has, too.
#[macro_export]
macro_rules! labels {
    ($name:ident { $($variant:ident => $label:literal,)+ }) => {
        impl $name {
            /// The stable label of the contract.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }

            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

/// Everything one round of probing saw of one target from one place.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Observation {
    /// One entry a resolver that was asked, the deciding `system` resolver first.
    pub dns: Vec<DnsObservation>,
    /// One entry an address that was dialled (or one for the whole target when a proxy resolves the name).
    pub attempts: Vec<Attempt>,
    /// The proxy that stood in between, when the probe went through one.
    pub proxy: Option<ProxyObservation>,
    /// What the prober could say of its own network when the target did not answer; absent when it was not asked.
    pub connectivity: Option<Connectivity>,
    /// Answers to a random, non-existent sibling of the name: a resolver that answers this with addresses lies.
    pub canaries: Vec<DnsObservation>,
    /// When the round started, by the prober's own clock.
    pub started_at: Option<Timestamp>,
    /// Milliseconds from the start of the round to its end.
    pub ms: f64,
    /// `true` when an interruption (or a lost task) ended the round before every deciding stage was decided.
    pub cut_short: bool,
    /// Deciding addresses of which nothing is known: the round ended before they did, or they are more than are dialled.
    pub undecided: Vec<IpAddr>,
    /// By which address each echo server sees this host, in the order asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressObservation>,
    /// What the vantage was asked for and did not do, because its own limits forbid it: a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Which limit of the vantage's own ended the round before it was done, in words; absent when whoever asked did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// Why nothing could be probed at all (no such interface, no permission to enter the namespace …).
    pub vantage_error: Option<String>,
}

/// By which address an echo server sees this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressObservation {
    /// Who was asked: its URL.
    pub server: String,
    /// The address of it that was asked; null when a proxy resolved its name, or nothing did.
    pub asked: Option<IpAddr>,
    /// The address that it sees; null when it did not say.
    pub address: Option<IpAddr>,
    /// Milliseconds.
    pub ms: f64,
    /// Why there is no address, in words.
    pub detail: Option<String>,
}

/// How a resolver answered for one name: both address families taken together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsObservation {
    /// Label of the resolver: `system`, `vpc`, `public` or any label of the user's.
    pub resolver: String,
    /// `address:port` of the server that decided the outcome; the hosts file's path when that did; null when nothing did.
    pub server: Option<String>,
    /// The name that was asked in the end (search domains applied), without trailing dot.
    pub name: String,
    /// What came of it.
    pub outcome: DnsOutcome,
    /// The addresses of the answer, in the order given, without repeats.
    pub addresses: Vec<IpAddr>,
    /// The chain of canonical names, in order.
    pub cnames: Vec<String>,
    /// Smallest time to live of the records used, in seconds; of a negative answer, the SOA's.
    pub ttl: Option<u32>,
    /// Class of the addresses.
    #[serde(rename = "class")]
    pub address_class: AddressClass,
    /// Milliseconds from the first question to the deciding answer.
    pub ms: f64,
    /// Where the answer comes from.
    pub source: DnsSource,
    /// Anything a reader should know beyond the outcome (extended error text, ignored packets, a family that failed).
    pub detail: Option<String>,
    /// The single questions behind the outcome, in the order they were sent.
    pub queries: Vec<DnsQuery>,
}

impl DnsObservation {
    /// Whether a DNS server said something, whatever it was: then this host reaches somebody. What the hosts file says
    /// shows nothing of that.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let by_server = self.source == DnsSource::Server && self.server.is_some() && self.outcome.is_message();
        by_server || self.queries.iter().any(|query| query.outcome.is_message())
    }
}

/// One question to one server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsQuery {
    /// `address:port` of the server.
    pub server: String,
    /// The name as sent, without trailing dot.
    pub name: String,
    /// `A` or `AAAA`.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Transport of the deciding message: `udp` or `tcp`.
    pub transport: String,
    /// What came of it.
    pub outcome: DnsOutcome,
    /// Response code as a name (`NOERROR`, `NXDOMAIN`, …) when a message came.
    pub rcode: Option<String>,
    /// AA flag of the answer.
    pub authoritative: Option<bool>,
    /// RA flag of the answer.
    pub recursion_available: Option<bool>,
    /// Extended DNS errors (RFC 8914), as `code text`.
    pub extended_errors: Vec<String>,
    /// Messages that were ignored because their id or question did not fit.
    pub ignored: u32,
    /// Milliseconds.
    pub ms: f64,
    /// Error text or other evidence.
    pub detail: Option<String>,
}

/// Where the addresses of a [`DnsObservation`] come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsSource {
    /// A DNS server.
    Server,
    /// A line of the hosts file, which the system consults before DNS.
    #[serde(rename_all = "camelCase")]
    HostsFile {
        /// Path of the file.
        path: String,
        /// Line number, from 1.
        line: usize,
        /// The line itself.
        text: String,
    },
}

/// What came of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsOutcome {
    /// At least one address.
    Answer,
    /// The name exists, but has no address record.
    Nodata,
    /// The name does not exist.
    Nxdomain,
    /// The server could not find out.
    Servfail,
    /// The server will not serve this client or this zone.
    Refused,
    /// No message within the deadline, over UDP and TCP.
    Timeout,
    /// The network or the host said at once that nobody listens there.
    Unreachable,
    /// A message came that is no valid answer: oversized, looping, truncated in the middle.
    Malformed,
}

labels! { DnsOutcome {
    Answer => "answer",
    Nodata => "nodata",
    Nxdomain => "nxdomain",
    Servfail => "servfail",
    Refused => "refused",
    Timeout => "timeout",
    Unreachable => "unreachable",
    Malformed => "malformed",
} }

impl DnsOutcome {
    /// Whether a DNS server said something, whatever it was.
    #[must_use]
    pub const fn is_message(self) -> bool {
        !matches!(self, Self::Timeout | Self::Unreachable)
    }
}

/// Class of an address, or of a set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddressClass {
    /// Globally routed.
    Public,
    /// RFC 1918, RFC 6598, unique local, loopback, link-local, or inside a range declared private.
    Private,
    /// Some of each.
    Mixed,
    /// No address at all.
    #[default]
    None,
}

labels! { AddressClass {
    Public => "public",
    Private => "private",
    Mixed => "mixed",
    None => "none",
} }

/// One address dialled, stage by stage.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The address; null when a proxy resolves the name itself.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Class of the address.
    #[serde(rename = "class")]
    pub address_class: AddressClass,
    /// Labels of the resolvers that gave the address; `scenario` for addresses that the scenario lists.
    pub resolvers: Vec<String>,
    /// Whether this attempt decides `observed` (an address of the deciding resolver) or is evidence only.
    pub decides: bool,
    /// Why the address was not dialled (no route for its family): it does not count.
    pub skipped: Option<String>,
    /// The TCP stage.
    pub tcp: TcpStage,
    /// The TLS stage.
    pub tls: TlsStage,
    /// The HTTP stage.
    pub http: HttpStage,
    /// Reachable when a Kubernetes API server answered over a verified connection.
    pub observed: Reachability,
    /// How this host would send packets to the address.
    pub route: Option<LocalRoute>,
    /// Where packets stop, measured when TCP got no answer.
    pub trace: Option<PathTrace>,
    /// Further connects to the same address, made when the first ones looked lossy.
    pub repeats: Option<Repeats>,
    /// The largest packet known to pass, measured when a handshake stalled.
    pub path_mtu: Option<PathMtu>,
}

impl Attempt {
    /// What its stages come to: reachable when the service answered over a verified connection, unknown when nobody
    /// dialled.
    #[must_use]
    pub fn reachability(&self, service: Service) -> Reachability {
        if self.skipped.is_some() {
            return Reachability::Unknown;
        }
        let answered = match (service, self.http.outcome) {
            (_, HttpOutcome::ApiServer) | (Service::Https, HttpOutcome::NotApiServer) => true,
            (Service::Kubernetes | Service::Https, _) => false,
        };
        if self.tcp.outcome == TcpOutcome::Connected && self.tls.outcome == TlsOutcome::Verified && answered {
            Reachability::Reachable
        } else {
            Reachability::Unreachable
        }
    }
}

/// Whether something can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reachability {
    /// A Kubernetes API server answered over a verified connection.
    Reachable,
    /// It did not.
    Unreachable,
    /// Not known.
    #[default]
    Unknown,
}

labels! { Reachability {
    Reachable => "reachable",
    Unreachable => "unreachable",
    Unknown => "unknown",
} }

/// What connecting came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpStage {
    /// What came of it.
    pub outcome: TcpOutcome,
    /// Milliseconds to that outcome.
    pub ms: f64,
    /// The operating system's words, and the router that said so where one did.
    pub detail: Option<String>,
    /// The local address of the socket.
    pub source: Option<IpAddr>,
    /// The ICMP error that the kernel queued for this socket.
    pub icmp: Option<IcmpError>,
}

/// Outcomes of a TCP connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TcpOutcome {
    /// The three-way handshake completed.
    Connected,
    /// Nothing came back within the deadline.
    Timeout,
    /// A reset, or an ICMP port-unreachable.
    Refused,
    /// The connection was reset after it had been established.
    Reset,
    /// This host or a router knows no way there.
    Unreachable,
    /// A router or this host's own policy forbids it and says so.
    Prohibited,
    /// This host could not even try: no descriptor, no port, no permission, no such source address.
    LocalError,
}

labels! { TcpOutcome {
    Connected => "connected",
    Timeout => "timeout",
    Refused => "refused",
    Reset => "reset",
    Unreachable => "unreachable",
    Prohibited => "prohibited",
    LocalError => "local-error",
} }

/// An ICMP error, as the kernel's error queue reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IcmpError {
    /// ICMP or `ICMPv6` type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// ICMP or `ICMPv6` code.
    pub code: u8,
    /// The host or router that sent it.
    pub from: Option<IpAddr>,
    /// In words, e.g. `administratively prohibited`.
    pub meaning: String,
}

/// How this host sends packets to an address, read without sending any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRoute {
    /// Source address the kernel would use.
    pub source: Option<IpAddr>,
    /// Interface that carries the source address.
    pub interface: Option<String>,
    /// `true` when the address lies inside a directly connected prefix: no router will see the packet.
    pub on_link: bool,
    /// `true` when the only route that matches is the default route.
    pub by_default_route: bool,
    /// `true` when the interface is a software bridge or belongs to a container or virtual-machine network.
    pub bridge: bool,
    /// `true` when the interface is a tunnel (tun, wireguard, ppp, ipsec).
    pub tunnel: bool,
    /// `true` when the neighbour table says that the next hop does not answer.
    pub neighbour_failed: bool,
}

/// A TCP trace to the port that stayed silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathTrace {
    /// The hops that answered, by ascending distance.
    pub hops: Vec<TraceHop>,
    /// Why it could not be measured, or what limits it.
    pub note: Option<String>,
}

/// One hop of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceHop {
    /// Distance: the time to live that reached it.
    pub ttl: u8,
    /// The router or host.
    pub address: IpAddr,
    /// Milliseconds.
    pub ms: f64,
    /// What it said, in words: `time exceeded`, `administratively prohibited`, `connected`, `refused` …
    pub said: String,
}

/// Further connects to the same address, to tell loss from a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repeats {
    /// How many were made.
    pub tried: u32,
    /// How many connected at once (without a retransmission).
    pub connected: u32,
    /// How many got no answer in time.
    pub timed_out: u32,
}

/// The largest packet that is known to pass towards an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathMtu {
    /// Bytes, IP header included.
    pub bytes: u32,
    /// The router that said so; null when the destination itself answered, or this host remembers it.
    pub router: Option<IpAddr>,
}

/// What the TLS handshake came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsStage {
    /// What came of it.
    pub outcome: TlsOutcome,
    /// Milliseconds of the handshake.
    pub ms: f64,
    /// `1.2` or `1.3`.
    pub version: Option<String>,
    /// Cipher suite.
    pub suite: Option<String>,
    /// Key-exchange group.
    pub key_exchange: Option<String>,
    /// Protocol agreed by ALPN.
    pub alpn: Option<String>,
    /// The name sent as SNI and checked in the certificate.
    pub server_name: Option<String>,
    /// The chain as presented, the leaf first, recorded even when it does not verify.
    pub chain: Vec<Certificate>,
    /// The verdict in words, or the peer's alert, or its first bytes when it is not TLS.
    pub detail: Option<String>,
    /// The separate checks behind the outcome; absent when no certificate came.
    pub checks: Option<TlsChecks>,
    /// Other handshakes with the same address, made when the first one did not complete.
    pub variants: Vec<TlsVariant>,
}

/// Outcomes of a TLS handshake. When several checks fail, the first of: untrusted, not-yet-valid or expired, name-mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsOutcome {
    /// Chain, validity and name are right.
    Verified,
    /// The handshake did not finish within the deadline.
    Timeout,
    /// The connection was reset during the handshake.
    Reset,
    /// The peer closed the connection during the handshake.
    Closed,
    /// The peer sent a fatal alert.
    Alert,
    /// The chain leads to no trusted root.
    Untrusted,
    /// The chain is right, but the certificate is for other names.
    NameMismatch,
    /// A certificate of the chain is past its end.
    Expired,
    /// A certificate of the chain has not begun.
    NotYetValid,
    /// What came is not TLS.
    NotTls,
    /// The stage before it did not succeed.
    Skipped,
}

labels! { TlsOutcome {
    Verified => "verified",
    Timeout => "timeout",
    Reset => "reset",
    Closed => "closed",
    Alert => "alert",
    Untrusted => "untrusted",
    NameMismatch => "name-mismatch",
    Expired => "expired",
    NotYetValid => "not-yet-valid",
    NotTls => "not-tls",
    Skipped => "skipped",
} }

impl TlsOutcome {
    /// Whether the handshake itself completed (whatever the certificate is worth).
    #[must_use]
    pub const fn completed(self) -> bool {
        matches!(self, Self::Verified | Self::Untrusted | Self::NameMismatch | Self::Expired | Self::NotYetValid)
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Begin of validity.
    pub not_before: Option<Timestamp>,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub sha256: String,
    /// Subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
}

/// The separate questions about a presented chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsChecks {
    /// Which trust was asked for: `cluster-ca` or `system-roots`.
    pub trust: String,
    /// The chain leads to the trust asked for, validity and name aside.
    pub trusted: bool,
    /// The chain leads to the system's roots, validity aside; null when that was not asked or could not be told.
    pub trusted_by_system_roots: Option<bool>,
    /// Label of another authority, known beside those asked for, that vouches for the chain, validity aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_by_other: Option<String>,
    /// The certificate is for the expected name.
    pub name_matches: bool,
    /// The validity period holds the prober's present time.
    pub validity: Validity,
}

/// The clock against a certificate's period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// Inside.
    Valid,
    /// Past the end of a certificate of the chain.
    Expired,
    /// Before the beginning of a certificate of the chain.
    NotYetValid,
}

/// Another handshake with the same address, differing in one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsVariant {
    /// What differed.
    pub kind: TlsVariantKind,
    /// What came of it; [`TlsOutcome::Skipped`] when TCP did not connect.
    pub outcome: TlsOutcome,
    /// Milliseconds.
    pub ms: f64,
    /// Words.
    pub detail: Option<String>,
}

/// The one thing that differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsVariantKind {
    /// A maximum segment size of 1,200 bytes, so that no packet meets a small MTU.
    SmallSegments,
    /// Classical key shares only: the `ClientHello` fits one segment.
    ClassicalKeyShares,
    /// No SNI extension.
    NoServerName,
}

/// What the HTTP requests came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpStage {
    /// What came of it.
    pub outcome: HttpOutcome,
    /// Status code of the deciding answer.
    pub status: Option<u16>,
    /// Milliseconds to the first answer.
    pub ms: f64,
    /// The API server's version (`gitVersion`) when it told.
    pub version: Option<String>,
    /// What kind of answer it was, or the error.
    pub detail: Option<String>,
    /// The answer's `Date` header, as a time.
    pub date: Option<Timestamp>,
    /// Seconds by which the local clock was ahead of `date` when the answer came (negative: behind).
    pub clock_ahead_seconds: Option<i64>,
    /// `Server` header, cut to 80 characters.
    pub server: Option<String>,
    /// Target of a redirect, cut to 200 characters; it is never followed.
    pub location: Option<String>,
    /// Whether credentials were sent.
    pub authenticated: bool,
    /// Outcome over HTTP/1.1 on a fresh connection, asked when HTTP/2 gave no answer.
    pub http1_outcome: Option<HttpOutcome>,
    /// Every request made.
    pub requests: Vec<HttpRequest>,
}

/// Outcomes of the HTTP stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HttpOutcome {
    /// A Kubernetes API server answered.
    ApiServer,
    /// Something else answered.
    NotApiServer,
    /// No answer within the deadline.
    Timeout,
    /// The connection was reset or closed before an answer.
    Reset,
    /// The answer breaks the protocol.
    Error,
    /// The stage before it did not succeed.
    Skipped,
}

labels! { HttpOutcome {
    ApiServer => "api-server",
    NotApiServer => "not-api-server",
    Timeout => "timeout",
    Reset => "reset",
    Error => "error",
    Skipped => "skipped",
} }

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// Path asked.
    pub path: String,
    /// Status code, if an answer came.
    pub status: Option<u16>,
    /// Milliseconds to the answer's head.
    pub ms: f64,
    /// `status` (a Kubernetes Status object), `version` (a version object), `text`, `html`, `json`, `empty`, or an error.
    pub body: String,
}

/// The proxy in between, stage by stage.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyObservation {
    /// The proxy's URL without credentials.
    pub url: String,
    /// How the proxy's own name resolved; null when it is an address.
    pub dns: Option<DnsObservation>,
    /// The proxy's address that was used.
    pub address: Option<IpAddr>,
    /// Connecting to the proxy.
    pub tcp: TcpStage,
    /// Handshake with an `https` proxy.
    pub tls: Option<TlsStage>,
    /// Asking it for a tunnel.
    pub tunnel: TunnelStage,
}

/// Asking a proxy for a tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TunnelStage {
    /// What came of it.
    pub outcome: TunnelOutcome,
    /// HTTP status of a CONNECT.
    pub status: Option<u16>,
    /// Milliseconds.
    pub ms: f64,
    /// The proxy's words.
    pub detail: Option<String>,
}

/// Outcomes of asking a proxy for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelOutcome {
    /// The tunnel stands.
    Established,
    /// The proxy wants other credentials (407, SOCKS authentication failure).
    AuthenticationRequired,
    /// The proxy's policy forbids it (403 and other 4xx, SOCKS "not allowed").
    Denied,
    /// The proxy could not reach the target (502, 503, 504, SOCKS unreachable or refused).
    TargetUnreachable,
    /// No answer within the deadline.
    Timeout,
    /// The connection ended before an answer.
    Closed,
    /// The answer is not that of such a proxy.
    NotAProxy,
    /// The stage before it did not succeed.
    Skipped,
}

labels! { TunnelOutcome {
    Established => "established",
    AuthenticationRequired => "authentication-required",
    Denied => "denied",
    TargetUnreachable => "target-unreachable",
    Timeout => "timeout",
    Closed => "closed",
    NotAProxy => "not-a-proxy",
    Skipped => "skipped",
} }

/// The prober's own network.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connectivity {
    /// Whether this host has an IPv4 route beyond itself.
    pub ipv4_route: bool,
    /// Whether this host has an IPv6 route beyond itself.
    pub ipv6_route: bool,
    /// The address that this host's packets to its resolver carry, or to anywhere beyond where that is on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The control targets that were asked.
    pub controls: Vec<Control>,
    /// Control targets (`host:port`) that were wanted and not asked, because the vantage's own limits forbid it: whether
    /// they would answer is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
    /// ICMP echo to the first silent address: weak evidence only.
    pub icmp: Option<IcmpEcho>,
}

/// A control target: something that should answer whatever the state of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// `host:port`.
    pub target: String,
    /// Whether anything came back: a DNS answer, a TCP connection, a reset.
    pub answered: bool,
    /// What came.
    pub detail: String,
}

/// An ICMP echo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IcmpEcho {
    /// The address asked.
    pub address: IpAddr,
    /// `reply`, `timeout`, `not-measured` (no permission), or what a router said.
    pub outcome: String,
    /// Milliseconds of a reply.
    pub ms: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Serialize + Copy>(all: &[T], label: impl Fn(T) -> &'static str) {
        for one in all {
            assert_eq!(serde_json::to_value(one).unwrap(), label(*one));
        }
    }

    #[test]
    fn a_label_is_what_the_json_form_says() {
        same(DnsOutcome::ALL, DnsOutcome::label);
        same(AddressClass::ALL, AddressClass::label);
        same(Reachability::ALL, Reachability::label);
        same(TcpOutcome::ALL, TcpOutcome::label);
        same(TlsOutcome::ALL, TlsOutcome::label);
        same(HttpOutcome::ALL, HttpOutcome::label);
        same(TunnelOutcome::ALL, TunnelOutcome::label);
    }
}
