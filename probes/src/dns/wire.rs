//! One question on the wire: connected sockets, retransmission, TCP beside a silent UDP.
//!
//! The sockets are connected, so the kernel drops packets from any other source and reports an ICMP error at once.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hickory_resolver::proto::op::Message;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    time::{Instant, sleep_until, timeout_at},
};

use super::message::{OFFERED_PAYLOAD, Packet, Question, Screened, refuses_edns, screen};
use crate::SourceBinding;

/// When to try what, all bounded by the deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two sends of the same UDP packet.
    pub(crate) retransmit: Duration,
    /// Silence of UDP after which TCP is asked as well.
    pub(crate) tcp_after: Duration,
    /// Silence of a server after which the next one is asked as well.
    pub(crate) hedge: Duration,
}

impl Pace {
    /// A pace that leaves room for every step within `timeout`.
    pub(crate) fn within(timeout: Duration) -> Self {
        Self {
            retransmit: RETRANSMIT.min(timeout / 4).max(SHORTEST_PAUSE),
            // After the first retransmission, so that one lost packet does not hand the decision to another server.
            hedge: HEDGE.min(timeout / 3).max(SHORTEST_PAUSE),
            tcp_after: TCP_AFTER.min(timeout / 5 * 2).max(SHORTEST_PAUSE),
        }
    }
}

/// Where and until when to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    /// The server.
    pub(crate) server: SocketAddr,
    /// Local end.
    pub(crate) source: &'a SourceBinding,
    /// Pauses.
    pub(crate) pace: Pace,
    /// The end of all attempts.
    pub(crate) deadline: Instant,
    /// Never ask over UDP (`options use-vc`).
    pub(crate) tcp_only: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A message that answers the question.
    Message(Box<Message>),
    /// A message that answers the question, but is none: why.
    Malformed(String),
    /// Nothing within the deadline: what was seen.
    Silent(String),
    /// The system, the network or the peer said no: in whose words.
    Unreachable(String),
}

/// One question, done.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// What came back.
    pub(crate) reply: Reply,
    /// Transport of the deciding message: `udp` or `tcp`.
    pub(crate) transport: &'static str,
    /// Messages that did not fit the question.
    pub(crate) ignored: u32,
    /// What a reader should know beyond the reply.
    pub(crate) notes: Vec<String>,
}

/// Asks one question of one server; ends at the deadline at the latest.
pub(crate) async fn exchange(question: &Question, route: Route<'_>) -> Exchanged {
    let mut first = exchange_once(question, route, true).await;
    if !matches!(&first.reply, Reply::Message(message) if refuses_edns(message)) {
        return first;
    }
    // RFC 6891 section 7: a server from before EDNS is asked again without it.
    let plain_route = Route { tcp_only: first.transport == TCP, ..route };
    let mut second = exchange_once(question, plain_route, false).await;
    if !matches!(second.reply, Reply::Message(_)) {
        return first;
    }
    second.ignored = second.ignored.saturating_add(first.ignored);
    second.notes.append(&mut first.notes);
    if !matches!(&second.reply, Reply::Message(message) if refuses_edns(message)) {
        second.notes.push("it answers only questions without EDNS".into());
    }
    second
}

async fn exchange_once(question: &Question, route: Route<'_>, with_edns: bool) -> Exchanged {
    let ignored = Ignored::default();
    let mut notes = Vec::new();
    let (reply, transport) = match question.encode(with_edns) {
        Ok(packet) => over_both(question, &packet, route, &ignored, &mut notes).await,
        Err(error) => (Reply::Unreachable(format!("the question cannot be encoded: {error}")), UDP),
    };
    if let Some(reason) = ignored.first.get() {
        let count = ignored.count();
        let messages = if count == 1 { "message" } else { "messages" };
        notes.push(format!("{count} {messages} ignored ({reason})"));
    }
    Exchanged { reply, transport, ignored: ignored.count(), notes }
}

async fn over_both(
    question: &Question,
    packet: &Packet,
    route: Route<'_>,
    ignored: &Ignored,
    notes: &mut Vec<String>,
) -> (Reply, &'static str) {
    if route.tcp_only {
        return (over_tcp(question, packet, route, ignored).await, TCP);
    }
    let started = Instant::now();
    let tcp_at = started + route.pace.tcp_after;
    let mut udp = std::pin::pin!(over_udp(question, packet, route, ignored));
    let mut tcp = std::pin::pin!(async {
        sleep_until(tcp_at).await;
        over_tcp(question, packet, route, ignored).await
    });
    let mut udp_failure: Option<Reply> = None;
    let mut tcp_failure: Option<String> = None;
    loop {
        tokio::select! {
            biased;
            end = &mut udp, if udp_failure.is_none() => match end {
                UdpEnd::Reply(reply @ (Reply::Message(_) | Reply::Malformed(_))) => return (reply, UDP),
                UdpEnd::Truncated => {
                    let reply = over_tcp(question, packet, route, ignored).await;
                    let (Reply::Silent(words) | Reply::Unreachable(words)) = &reply else {
                        notes.push("truncated over UDP, so asked over TCP".into());
                        return (reply, TCP);
                    };
                    let words = format!("truncated over UDP, and over TCP: {words}");
                    let reply = if matches!(reply, Reply::Silent(_)) {
                        Reply::Silent(words)
                    } else {
                        Reply::Unreachable(words)
                    };
                    return (reply, TCP);
                }
                // An error before TCP was tried is the network's own word: no reason to wait for anything.
                UdpEnd::Reply(reply) if tcp_failure.is_some() || Instant::now() < tcp_at => {
                    return (with_tcp_words(reply, tcp_failure.as_deref()), UDP);
                }
                UdpEnd::Reply(reply) => udp_failure = Some(reply),
            },
            reply = &mut tcp, if tcp_failure.is_none() => match reply {
                Reply::Message(_) | Reply::Malformed(_) => {
                    notes.push(match &udp_failure {
                        Some(Reply::Unreachable(words)) => format!("answered only over TCP; over UDP: {words}"),
                        _ => format!("answered only over TCP; UDP was silent for {} ms", started.elapsed().as_millis()),
                    });
                    return (reply, TCP);
                }
                Reply::Silent(words) | Reply::Unreachable(words) => {
                    if let Some(reply) = udp_failure.take() {
                        return (with_tcp_words(reply, Some(&words)), UDP);
                    }
                    tcp_failure = Some(words);
                }
            },
        }
    }
}

fn with_tcp_words(reply: Reply, tcp: Option<&str>) -> Reply {
    match (reply, tcp) {
        (Reply::Silent(words), Some(tcp)) => Reply::Silent(format!("{words}; over TCP: {tcp}")),
        (Reply::Unreachable(words), Some(tcp)) => Reply::Unreachable(format!("{words}; over TCP: {tcp}")),
        (reply, _) => reply,
    }
}

enum UdpEnd {
    Reply(Reply),
    Truncated,
}

async fn over_udp(question: &Question, packet: &Packet, route: Route<'_>, ignored: &Ignored) -> UdpEnd {
    match udp_until_end(question, packet, route, ignored).await {
        Ok(end) => end,
        Err(words) => UdpEnd::Reply(Reply::Unreachable(words)),
    }
}

async fn udp_until_end(
    question: &Question,
    packet: &Packet,
    route: Route<'_>,
    ignored: &Ignored,
) -> Result<UdpEnd, String> {
    let socket = udp_socket(route).map_err(|error| words(&error))?;
    let mut buffer = vec![0_u8; UDP_BUFFER];
    let mut sends = 0_u32;
    let mut resend_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= route.deadline {
            let packets = if sends == 1 { "packet" } else { "packets" };
            return Ok(UdpEnd::Reply(Reply::Silent(format!("no answer to {sends} UDP {packets}"))));
        }
        if now >= resend_at {
            socket.send(&packet.bytes).await.map_err(|error| words(&error))?;
            sends += 1;
            resend_at = now + route.pace.retransmit;
        }
        let Ok(received) = timeout_at(resend_at.min(route.deadline), socket.recv(&mut buffer)).await else { continue };
        let length = received.map_err(|error| words(&error))?;
        let bytes = buffer.get(..length).unwrap_or_default();
        let oversized = length > usize::from(OFFERED_PAYLOAD);
        match screen(bytes, packet.id, question) {
            Screened::Ignored(reason) => ignored.add(reason),
            Screened::Message(_) | Screened::Malformed(_) if oversized => {
                let least = if length == UDP_BUFFER { "at least " } else { "" };
                return Ok(UdpEnd::Reply(Reply::Malformed(format!(
                    "{least}{length} bytes over UDP, more than the {OFFERED_PAYLOAD} that were offered"
                ))));
            }
            Screened::Truncated => return Ok(UdpEnd::Truncated),
            Screened::Malformed(reason) => return Ok(UdpEnd::Reply(Reply::Malformed(reason))),
            Screened::Message(message) => return Ok(UdpEnd::Reply(Reply::Message(message))),
        }
    }
}

async fn over_tcp(question: &Question, packet: &Packet, route: Route<'_>, ignored: &Ignored) -> Reply {
    tcp_until_end(question, packet, route, ignored).await.unwrap_or_else(|end| end)
}

/// Both arms are a reply: the error arm only serves to leave early.
async fn tcp_until_end(
    question: &Question,
    packet: &Packet,
    route: Route<'_>,
    ignored: &Ignored,
) -> Result<Reply, Reply> {
    let failed = |error: io::Error| Reply::Unreachable(words(&error));
    let silent = |text: &str| Reply::Silent(text.to_owned());
    let socket = tcp_socket(route).map_err(failed)?;
    let mut stream = timeout_at(route.deadline, socket.connect(route.server))
        .await
        .map_err(|_| silent("no TCP connection"))?
        .map_err(failed)?;
    let length = u16::try_from(packet.bytes.len()).unwrap_or(u16::MAX);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&packet.bytes);
    timeout_at(route.deadline, stream.write_all(&framed))
        .await
        .map_err(|_| silent("TCP connected, but took no question"))?
        .map_err(failed)?;
    while Instant::now() < route.deadline {
        let mut prefix = [0_u8; 2];
        let filled = fill(&mut stream, &mut prefix, route.deadline).await;
        match filled {
            Filled::Whole => {}
            Filled::Late(0) => return Err(silent("TCP connected, but no answer")),
            Filled::Late(_) => return Err(silent("TCP connected, but only half a length prefix")),
            Filled::Ended(0, Some(error)) => return Err(failed(error)),
            Filled::Ended(0, None) => {
                return Err(Reply::Unreachable("the TCP connection was closed without an answer".into()));
            }
            Filled::Ended(..) => {
                return Err(Reply::Malformed("the TCP connection ended within the length prefix".into()));
            }
        }
        let length = usize::from(u16::from_be_bytes(prefix));
        if length > LARGEST_TCP_MESSAGE {
            return Err(Reply::Malformed(format!("{length} bytes over TCP, more than {LARGEST_TCP_MESSAGE}")));
        }
        let mut body = vec![0_u8; length];
        match fill(&mut stream, &mut body, route.deadline).await {
            Filled::Whole => {}
            Filled::Late(got) => return Err(silent(&format!("only {got} of {length} bytes over TCP"))),
            Filled::Ended(got, _) => {
                return Err(Reply::Malformed(format!("the TCP connection ended after {got} of {length} bytes")));
            }
        }
        match screen(&body, packet.id, question) {
            Screened::Ignored(reason) => ignored.add(reason),
            Screened::Truncated => return Ok(Reply::Malformed("truncated (TC) over TCP".into())),
            Screened::Malformed(reason) => return Ok(Reply::Malformed(reason)),
            Screened::Message(message) => return Ok(Reply::Message(message)),
        }
    }
    Err(silent("TCP connected, but no answer to this question"))
}

enum Filled {
    Whole,
    /// The deadline came after so many bytes.
    Late(usize),
    /// The stream ended after so many bytes, with an error or in order.
    Ended(usize, Option<io::Error>),
}

async fn fill(stream: &mut tokio::net::TcpStream, buffer: &mut [u8], deadline: Instant) -> Filled {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        if Instant::now() >= deadline {
            return Filled::Late(got);
        }
        match timeout_at(deadline, stream.read(rest)).await {
            Err(_) => return Filled::Late(got),
            Ok(Ok(0)) => return Filled::Ended(got, None),
            Ok(Ok(count)) => got += count,
            Ok(Err(error)) => return Filled::Ended(got, Some(error)),
        }
    }
    Filled::Whole
}

fn udp_socket(route: Route<'_>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(route.server), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    report_soft_errors(&socket, route.server);
    bind_source(&socket, route)?;
    socket.connect(&route.server.into())?;
    UdpSocket::from_std(socket.into())
}

fn tcp_socket(route: Route<'_>) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(route.server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    bind_source(&socket, route)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Without this the kernel keeps "host unreachable" and "net unreachable" from a UDP socket. Where the option is not
/// to be had, such an error is a silence: weaker evidence, but no false one.
fn report_soft_errors(socket: &Socket, server: SocketAddr) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let _weaker_evidence = match server {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
        };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (socket, server);
}

/// Binds the local end. A resolver on loopback (a stub such as systemd-resolved) is asked over loopback whatever the
/// probe is bound to, as the programs it serves do; a source address on loopback is kept.
fn bind_source(socket: &Socket, route: Route<'_>) -> io::Result<()> {
    let on_loopback = route.server.ip().is_loopback();
    if let Some(interface) = &route.source.interface
        && !on_loopback
    {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.bind_device(Some(interface.as_bytes()))?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("cannot bind to interface {interface} here")));
    }
    match route.source.address {
        Some(address) if on_loopback && !address.is_loopback() => Ok(()),
        Some(address) if address.is_ipv4() != route.server.is_ipv4() => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("source address {address} is of the other address family"),
        )),
        Some(address) => socket.bind(&local_end(address, route.server).into()),
        None => Ok(()),
    }
}

fn local_end(address: IpAddr, server: SocketAddr) -> SocketAddr {
    let mut local = SocketAddr::new(address, 0);
    if let (SocketAddr::V6(local), SocketAddr::V6(server)) = (&mut local, server) {
        local.set_scope_id(server.scope_id());
    }
    local
}

/// The operating system's words without Rust's suffix `(os error 111)`.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[derive(Default)]
struct Ignored {
    count: AtomicU32,
    first: OnceLock<&'static str>,
}

impl Ignored {
    fn add(&self, reason: &'static str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.first.get_or_init(|| reason);
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Transport of an answer over UDP.
pub(crate) const UDP: &str = "udp";
/// Transport of an answer over TCP.
pub(crate) const TCP: &str = "tcp";
const RETRANSMIT: Duration = Duration::from_millis(900);
const HEDGE: Duration = Duration::from_millis(1_100);
const TCP_AFTER: Duration = Duration::from_millis(1_200);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Larger than what is offered, so that an oversized answer is seen as such (bytes).
const UDP_BUFFER: usize = 4_096;
/// Largest message taken over TCP (bytes).
const LARGEST_TCP_MESSAGE: usize = 16 * 1_024;
