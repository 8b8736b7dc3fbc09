//! TCP connect, classified from the operating system's error and from the kernel's ICMP error queue.
//!
//! The error number alone cannot tell a reset from an ICMP port-unreachable, nor an administrative prohibition from a
//! missing route; the error queue (`IP_RECVERR`) can, and it names the router that said so. No privilege is needed.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{io::Interest, net::TcpStream, time::timeout};

use crate::{IcmpError, Permit, SourceBinding, TcpOutcome, TcpStage};

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct ConnectSettings<'a> {
    /// Bound of the whole connect.
    pub timeout: Duration,
    /// Local end of the socket.
    pub source: &'a SourceBinding,
    /// Largest segment to announce and to send, in bytes (`TCP_MAXSEG`); the kernel's choice when absent.
    pub maximum_segment: Option<u32>,
    /// Where packets may go at all; anywhere when absent.
    pub permit: Option<&'a Permit>,
}

/// Connects once, and says what came of it with the evidence. The stream is there exactly when the outcome is
/// [`TcpOutcome::Connected`]; it has `TCP_NODELAY` set.
///
/// Never fails otherwise: whatever the host refuses (a descriptor, the source address) is an outcome too.
pub async fn connect(address: SocketAddr, settings: ConnectSettings<'_>) -> (TcpStage, Option<TcpStream>) {
    let start = Instant::now();
    // Whoever chose the address, DNS among them: every connection of the crate begins here.
    if let Some(reason) = settings.permit.and_then(|permit| permit.refuses(address)) {
        let detail = format!("not dialled: {reason}");
        return (finished(TcpStage::bare(TcpOutcome::LocalError, Some(detail)), start), None);
    }
    let stream = match begin(address, &settings) {
        Ok(stream) => stream,
        Err(stage) => return (finished(stage, start), None),
    };
    let source = stream.local_addr().ok().map(|local| local.ip());
    let stage = match timeout(settings.timeout, established(&stream)).await {
        Ok(Ok(())) => {
            let stage = TcpStage { source, ..TcpStage::bare(TcpOutcome::Connected, None) };
            return (finished(stage, start), Some(stream));
        }
        Ok(Err(error)) => failure(errno_of(&error), queued_icmp(&stream), source),
        // A router's word that the kernel took as passing still is evidence; it does not change the outcome.
        Err(_) => {
            let icmp = queued_icmp(&stream);
            let words = format!("no answer within {:?}", settings.timeout);
            TcpStage {
                source,
                detail: Some(said_by(words, icmp.as_ref(), source)),
                icmp,
                ..TcpStage::bare(TcpOutcome::Timeout, None)
            }
        }
    };
    (finished(stage, start), None)
}

/// An entry of a socket's error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedError {
    /// The ICMP error in it; absent when this host itself found a datagram too big.
    pub(crate) icmp: Option<IcmpError>,
    /// The MTU of the next hop, where the error tells one.
    pub(crate) mtu: Option<u32>,
}

/// Makes a non-blocking socket for `address` that queues ICMP errors, bound to `source`.
pub(crate) fn open(address: IpAddr, kind: Type, source: &SourceBinding) -> Result<Socket, OpenError> {
    if let Some(local) = source.address
        && local.is_ipv4() != address.is_ipv4()
    {
        return Err(OpenError { errno: Errno::EAFNOSUPPORT, doing: format!("binding {local} to reach {address}") });
    }
    let (domain, protocol) = match (address, kind) {
        (IpAddr::V4(_), Type::STREAM) => (Domain::IPV4, Protocol::TCP),
        (IpAddr::V6(_), Type::STREAM) => (Domain::IPV6, Protocol::TCP),
        (IpAddr::V4(_), _) => (Domain::IPV4, Protocol::UDP),
        (IpAddr::V6(_), _) => (Domain::IPV6, Protocol::UDP),
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))
        .map_err(|error| OpenError::new(&error, || "opening a socket".into()))?;
    // Without the queue the error number still decides; a kernel that lacks the option is no reason to give up.
    let _ = match address {
        IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    };
    if let Some(interface) = &source.interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(|error| OpenError::new(&error, || format!("binding to interface {interface}")))?;
    }
    if let Some(local) = source.address {
        if kind == Type::STREAM {
            // The port is chosen at connect, so that one port can serve many targets.
            let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
        }
        socket
            .bind(&SockAddr::from(SocketAddr::new(local, 0)))
            .map_err(|error| OpenError::new(&error, || format!("binding source address {local}")))?;
    }
    Ok(socket)
}

/// Whether sockets can be bound to `source` at all; nothing is sent.
///
/// # Errors
/// In words, when this host has no such address or interface, or does not let this process use it.
pub fn check_source(source: &SourceBinding) -> Result<(), String> {
    let family = source.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    open(family, Type::STREAM, source).map(drop).map_err(|error| error.to_string())
}

/// Why a socket could not be made.
#[derive(Debug)]
pub(crate) struct OpenError {
    errno: Errno,
    doing: String,
}

impl OpenError {
    fn new(error: &io::Error, doing: impl FnOnce() -> String) -> Self {
        Self { errno: errno_of(error), doing: doing() }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.doing, self.errno.desc())
    }
}

/// Starts the connect of a non-blocking socket; `Err` when the kernel refuses at once.
pub(crate) fn start_connect(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// Waits for the end of a connect that [`start_connect`] began.
pub(crate) async fn established(stream: &TcpStream) -> io::Result<()> {
    stream
        .async_io(Interest::WRITABLE, || {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            // An event without an error and without a peer is a queued error that did not end the connect.
            match stream.peer_addr() {
                Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
                other => other.map(drop),
            }
        })
        .await
}

/// Takes the first ICMP error out of a socket's error queue, or this host's own word about a datagram's size.
pub(crate) fn queued_error(socket: &impl AsRawFd) -> Option<QueuedError> {
    let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    // The queue may hold other entries before it; a handful of reads bounds a hostile flood.
    for _ in 0..QUEUE_READS {
        let mut payload = [0_u8; 64];
        let mut parts = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        for entry in message.cmsgs().ok()? {
            let (error, from) = match entry {
                ControlMessageOwned::Ipv4RecvErr(error, from) => {
                    (error, from.map(|from| IpAddr::V4(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)))))
                }
                ControlMessageOwned::Ipv6RecvErr(error, from) => {
                    (error, from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)).to_canonical()))
                }
                _ => continue,
            };
            let version6 = match error.ee_origin {
                libc::SO_EE_ORIGIN_ICMP => false,
                libc::SO_EE_ORIGIN_ICMP6 => true,
                libc::SO_EE_ORIGIN_LOCAL if i32::try_from(error.ee_errno) == Ok(libc::EMSGSIZE) => {
                    return Some(QueuedError { icmp: None, mtu: Some(error.ee_info).filter(|mtu| *mtu > 0) });
                }
                _ => continue,
            };
            let (kind, code) = (error.ee_type, error.ee_code);
            let from = from.filter(|from| !from.is_unspecified());
            return Some(QueuedError {
                icmp: Some(IcmpError { kind, code, from, meaning: meaning(version6, kind, code).into() }),
                mtu: is_too_big(version6, kind, code).then_some(error.ee_info).filter(|mtu| *mtu > 0),
            });
        }
    }
    None
}

/// What an ICMP error says, in words.
pub(crate) const fn meaning(version6: bool, kind: u8, code: u8) -> &'static str {
    match (version6, kind, code) {
        (false, 3, 0 | 6 | 11) => "network unreachable",
        (false, 3, 1 | 7 | 12) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) | (true, 2, _) => "packet too big",
        (false, 3, 9) => "network administratively prohibited",
        (false, 3, 10) => "host administratively prohibited",
        (false, 3, 13) | (true, 1, 1) => "administratively prohibited",
        (false, 11, _) | (true, 3, _) => TIME_EXCEEDED,
        (false, 12, _) | (true, 4, _) => "parameter problem",
        (true, 1, 0) => "no route",
        (true, 1, 2) => "beyond the scope of the source address",
        (true, 1, 3) => "address unreachable",
        (true, 1, 5) => "source address failed policy",
        (true, 1, 6) => "reject route",
        (false, 3, _) | (true, 1, _) => "destination unreachable",
        _ => "other ICMP error",
    }
}

/// Outcome and words of a connect that ended with an error.
pub(crate) fn failure(errno: Errno, icmp: Option<IcmpError>, source: Option<IpAddr>) -> TcpStage {
    let prohibited = icmp.as_ref().is_some_and(is_prohibition);
    let outcome = if prohibited { TcpOutcome::Prohibited } else { outcome_of(errno) };
    let mut words = errno.desc().to_owned();
    if errno == Errno::ENOPROTOOPT {
        words = "the host does not speak this protocol (ICMP protocol unreachable)".into();
    }
    TcpStage { outcome, ms: 0.0, detail: Some(said_by(words, icmp.as_ref(), source)), source, icmp }
}

impl TcpStage {
    fn bare(outcome: TcpOutcome, detail: Option<String>) -> Self {
        Self { outcome, ms: 0.0, detail, source: None, icmp: None }
    }
}

fn begin(address: SocketAddr, settings: &ConnectSettings<'_>) -> Result<TcpStream, TcpStage> {
    let local_error = |words: String| TcpStage::bare(TcpOutcome::LocalError, Some(words));
    // A mapped address travels as IPv4, and its ICMP errors come as IPv4's.
    let address = match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let socket = open(address.ip(), Type::STREAM, settings.source).map_err(|error| local_error(error.to_string()))?;
    // The stages above write small records and wait for the answer.
    let _ = socket.set_tcp_nodelay(true);
    if let Some(bytes) = settings.maximum_segment {
        socket.set_tcp_mss(bytes).map_err(|error| {
            local_error(OpenError::new(&error, || format!("limiting segments to {bytes}")).to_string())
        })?;
    }
    start_connect(&socket, address).map_err(|error| refused_here(errno_of(&error), address.ip()))?;
    TcpStream::from_std(socket.into()).map_err(|error| local_error(errno_of(&error).desc().to_owned()))
}

/// What an error of `connect` itself means: no packet has left this host.
fn refused_here(errno: Errno, address: IpAddr) -> TcpStage {
    let (outcome, hint) = match errno {
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN => {
            (TcpOutcome::Unreachable, format!("no route on this host to {address}"))
        }
        Errno::EACCES | Errno::EPERM => {
            (TcpOutcome::Prohibited, format!("this host's own routes or policy forbid {address}"))
        }
        Errno::ECONNREFUSED => (TcpOutcome::Refused, "refused at once by this host".to_owned()),
        Errno::EINVAL => (TcpOutcome::LocalError, format!("this host cannot send to {address}: a blackhole route?")),
        Errno::EADDRNOTAVAIL => (TcpOutcome::LocalError, "no usable source address or port".to_owned()),
        _ => (TcpOutcome::LocalError, "connect failed on this host".to_owned()),
    };
    TcpStage::bare(outcome, Some(format!("{}: {hint}", errno.desc())))
}

/// What an error that came from outside means, by itself.
pub(crate) const fn outcome_of(errno: Errno) -> TcpOutcome {
    match errno {
        Errno::ECONNREFUSED => TcpOutcome::Refused,
        Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => TcpOutcome::Reset,
        Errno::ETIMEDOUT => TcpOutcome::Timeout,
        Errno::EACCES | Errno::EPERM => TcpOutcome::Prohibited,
        Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::ENETDOWN
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::ENOPROTOOPT
        | Errno::EPROTO
        | Errno::EOPNOTSUPP
        | Errno::EMSGSIZE => TcpOutcome::Unreachable,
        _ => TcpOutcome::LocalError,
    }
}

fn is_prohibition(icmp: &IcmpError) -> bool {
    // Types 3 (ICMP) and 1 (ICMPv6) never meet: ICMPv6 has no unreachable of type 3, ICMP none of type 1.
    matches!((icmp.kind, icmp.code), (3, 9 | 10 | 13) | (1, 1 | 5 | 6))
}

const fn is_too_big(version6: bool, kind: u8, code: u8) -> bool {
    matches!((version6, kind, code), (false, 3, 4) | (true, 2, _))
}

fn said_by(words: String, icmp: Option<&IcmpError>, source: Option<IpAddr>) -> String {
    let Some(icmp) = icmp else { return words };
    match icmp.from {
        Some(from) if Some(from) == source => {
            // The kernel writes itself this error when the neighbour does not answer ARP or neighbour discovery.
            let why = if matches!((icmp.kind, icmp.code), (3 | 1, 1 | 3)) && icmp.meaning.ends_with("unreachable") {
                " (does the next hop answer?)"
            } else {
                ""
            };
            format!("{words}: {}, said by this host itself{why}", icmp.meaning)
        }
        Some(from) => format!("{words}: {}, said by {from}", icmp.meaning),
        None => format!("{words}: {}", icmp.meaning),
    }
}

fn queued_icmp(socket: &impl AsRawFd) -> Option<IcmpError> {
    queued_error(socket).and_then(|queued| queued.icmp)
}

fn finished(stage: TcpStage, start: Instant) -> TcpStage {
    TcpStage { ms: milliseconds(start.elapsed()), ..stage }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// What routers say about a packet whose time to live has run out.
pub(crate) const TIME_EXCEEDED: &str = "time exceeded";
const QUEUE_READS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn settings(source: &SourceBinding) -> ConnectSettings<'_> {
        ConnectSettings { timeout: Duration::from_millis(400), source, maximum_segment: None, permit: None }
    }

    async fn stage_of(address: SocketAddr, source: SourceBinding) -> TcpStage {
        let (stage, stream) = connect(address, settings(&source)).await;
        assert_eq!(stream.is_some(), stage.outcome == TcpOutcome::Connected);
        stage
    }

    /// A port nobody listens on, on an address nobody else uses.
    fn closed_port(host: &str) -> SocketAddr {
        TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_listener_connects_and_the_stream_is_usable() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for host in ["127.0.0.1", "::1"] {
            let Ok(listener) = tokio::net::TcpListener::bind((host, 0)).await else {
                eprintln!("SKIPPED: no {host} on this machine");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let source = SourceBinding::default();
            let (stage, stream) =
                connect(address, ConnectSettings { maximum_segment: Some(1200), ..settings(&source) }).await;
            assert_eq!(stage.outcome, TcpOutcome::Connected, "{stage:?}");
            assert_eq!(stage.source, Some(address.ip()));
            assert_eq!((stage.detail, stage.icmp), (None, None));
            assert!(stage.ms > 0.0 && stage.ms < 400.0);
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut stream = stream.unwrap();
            assert!(stream.nodelay().unwrap());
            stream.write_all(b"ping").await.unwrap();
            let mut four = [0; 4];
            peer.read_exact(&mut four).await.unwrap();
            assert_eq!(&four, b"ping");
        }
    }

    #[tokio::test]
    async fn a_mapped_address_is_dialled_as_ipv4() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), port);
        let source = SourceBinding { address: Some("127.0.0.9".parse().unwrap()), interface: None };
        let stage = stage_of(mapped, source).await;
        assert_eq!(stage.outcome, TcpOutcome::Connected, "{stage:?}");
        assert_eq!(stage.source, Some("127.0.0.9".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_closed_port_refuses_without_an_icmp_entry() {
        let stage = stage_of(closed_port("127.0.0.1"), SourceBinding::default()).await;
        assert_eq!(stage.outcome, TcpOutcome::Refused, "{stage:?}");
        assert_eq!(stage.detail.as_deref(), Some("Connection refused"));
        assert_eq!(stage.icmp, None);
    }

    #[tokio::test]
    async fn a_listener_with_a_full_backlog_times_out() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut held = Vec::new();
        let mut last = None;
        for _ in 0..4 {
            let source = SourceBinding::default();
            let (stage, stream) = connect(address, settings(&source)).await;
            held.push(stream);
            last = Some(stage);
        }
        let stage = last.unwrap();
        assert_eq!(stage.outcome, TcpOutcome::Timeout, "{stage:?}");
        assert_eq!(stage.detail.as_deref(), Some("no answer within 400ms"));
        assert!((400.0..1400.0).contains(&stage.ms), "{}", stage.ms);
    }

    #[tokio::test]
    async fn what_this_host_cannot_do_is_a_local_error_that_names_it() {
        let address = closed_port("127.0.0.1");
        let bound = |text: &str| SourceBinding { address: Some(text.parse().unwrap()), interface: None };
        for (source, words) in [
            (bound("192.0.2.7"), "192.0.2.7"),
            (bound("::1"), "binding ::1 to reach 127.0.0.1"),
            (SourceBinding { address: None, interface: Some("no-such-if0".into()) }, "no-such-if0"),
        ] {
            let stage = stage_of(address, source).await;
            assert_eq!(stage.outcome, TcpOutcome::LocalError, "{stage:?}");
            assert!(stage.detail.as_deref().is_some_and(|detail| detail.contains(words)), "{stage:?}");
        }
    }

    #[tokio::test]
    async fn an_absurd_segment_size_is_a_local_error() {
        let source = SourceBinding::default();
        let wanted = ConnectSettings { maximum_segment: Some(1), ..settings(&source) };
        let (stage, _) = connect(closed_port("127.0.0.1"), wanted).await;
        assert_eq!(stage.outcome, TcpOutcome::LocalError, "{stage:?}");
        assert!(stage.detail.is_some_and(|detail| detail.contains("limiting segments to 1")));
    }

    #[test]
    fn errors_and_icmp_entries_map_as_the_catalogue_says() {
        use Errno as E;
        use TcpOutcome as O;
        for (errno, icmp, outcome) in [
            (E::ECONNREFUSED, None, O::Refused),
            (E::ECONNREFUSED, Some((3, 3)), O::Refused),
            (E::ECONNREFUSED, Some((1, 4)), O::Refused),
            (E::EHOSTUNREACH, None, O::Unreachable),
            (E::EHOSTUNREACH, Some((3, 1)), O::Unreachable),
            (E::ENETUNREACH, Some((3, 9)), O::Prohibited),
            (E::EHOSTUNREACH, Some((3, 10)), O::Prohibited),
            (E::EHOSTUNREACH, Some((3, 13)), O::Prohibited),
            (E::ENETUNREACH, Some((3, 0)), O::Unreachable),
            (E::ENETUNREACH, None, O::Unreachable),
            (E::ENETUNREACH, Some((1, 0)), O::Unreachable),
            (E::EHOSTUNREACH, Some((1, 3)), O::Unreachable),
            (E::EHOSTUNREACH, Some((3, 0)), O::Unreachable),
            (E::EHOSTUNREACH, Some((11, 0)), O::Unreachable),
            (E::EACCES, Some((1, 1)), O::Prohibited),
            (E::EACCES, None, O::Prohibited),
            (E::ENOPROTOOPT, Some((3, 2)), O::Unreachable),
            (E::ECONNRESET, None, O::Reset),
            (E::ETIMEDOUT, None, O::Timeout),
            (E::EMFILE, None, O::LocalError),
        ] {
            let icmp_error = icmp.map(|(kind, code)| IcmpError {
                kind,
                code,
                from: Some("10.0.0.1".parse().unwrap()),
                meaning: meaning(kind == 1, kind, code).into(),
            });
            let stage = failure(errno, icmp_error, Some("10.0.0.9".parse().unwrap()));
            assert_eq!(stage.outcome, outcome, "{errno} {icmp:?}");
            let says_who = stage.detail.as_deref().is_some_and(|detail| detail.contains("said by 10.0.0.1"));
            assert_eq!(says_who, icmp.is_some(), "{:?}", stage.detail);
        }
    }

    #[test]
    fn what_the_kernel_refuses_at_once_is_told_apart() {
        let address = "10.0.0.1".parse().unwrap();
        for (errno, outcome, words) in [
            (Errno::ENETUNREACH, TcpOutcome::Unreachable, "no route on this host"),
            (Errno::EHOSTUNREACH, TcpOutcome::Unreachable, "no route on this host"),
            (Errno::EACCES, TcpOutcome::Prohibited, "own routes or policy"),
            (Errno::EINVAL, TcpOutcome::LocalError, "blackhole"),
            (Errno::EADDRNOTAVAIL, TcpOutcome::LocalError, "source address or port"),
            (Errno::EAFNOSUPPORT, TcpOutcome::LocalError, "Address family"),
            (Errno::EMFILE, TcpOutcome::LocalError, "Too many open files"),
        ] {
            let stage = refused_here(errno, address);
            assert_eq!(stage.outcome, outcome, "{errno}");
            assert!(stage.detail.as_deref().is_some_and(|detail| detail.contains(words)), "{:?}", stage.detail);
        }
    }

    #[test]
    fn the_connecting_future_stays_small() {
        let source = SourceBinding::default();
        let future = connect(([127, 0, 0, 1], 1).into(), settings(&source));
        assert!(size_of_val(&future) <= 1024, "{} bytes", size_of_val(&future));
    }
}
