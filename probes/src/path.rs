//! Where packets stop: a TCP trace to the port that stayed silent, and the path's MTU. Neither needs privileges.
//!
//! Every hop is one ordinary connect whose SYN has a small time to live; what routers say about it comes out of the
//! socket's error queue.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{getsockopt, setsockopt, sockopt},
};
use socket2::{SockAddr, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    PathTrace, SourceBinding, TcpOutcome, TraceHop, route,
    tcp::{QueuedError, errno_of, established, milliseconds, open, outcome_of, queued_error, start_connect},
};

/// Traces the path to the port of `address` with TCP connects of rising time to live, all within `deadline`.
///
/// The distances are started one after another, so that a router that answers several of them stays below its kernel's
/// limit for ICMP errors, and no further ones once the destination or a refusing router has answered. A distance
/// without answer is simply missing from the hops. A trace that reaches an open port opens and closes a connection.
pub async fn trace(address: SocketAddr, source: &SourceBinding, deadline: Duration) -> PathTrace {
    let address = canonical(address);
    let start = Instant::now();
    let mut end = start + deadline;
    let pace = (deadline / PACE_SHARE).clamp(MINIMUM_PACE, MAXIMUM_PACE);
    let mut probes = JoinSet::new();
    let mut started = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    let mut note = None;
    let (mut next_ttl, mut next_start) = (1, start);
    // The nearest distance at which somebody answered for good.
    let mut final_ttl = MAXIMUM_TTL + 1;
    loop {
        let starting = next_ttl < final_ttl && note.is_none() && next_start < end;
        if !starting && probes.is_empty() {
            break;
        }
        let answer = if starting {
            tokio::select! {
                biased;
                Some(answer) = probes.join_next(), if !probes.is_empty() => answer,
                () = sleep_until(next_start) => {
                    match begin(address, source, next_ttl) {
                        Ok(stream) => {
                            let handle = probes.spawn(hop(stream, address.ip(), next_ttl, Instant::now()));
                            started.push((next_ttl, handle));
                        }
                        Err(words) => note = Some(words),
                    }
                    next_ttl += 1;
                    next_start += pace;
                    continue;
                }
            }
        } else {
            match timeout_at(end, probes.join_next()).await {
                Ok(Some(answer)) => answer,
                Ok(None) | Err(_) => break,
            }
        };
        let Ok(Some(answer)) = answer else { continue };
        let (ttl, last) = (answer.hop.ttl, answer.last);
        answers.push(answer);
        if last && ttl < final_ttl {
            final_ttl = ttl;
            // Farther ones would only repeat themselves, and use up what the router is allowed to say.
            started.iter().filter(|(farther, _)| *farther > ttl).for_each(|(_, handle)| handle.abort());
            // Nearer distances may still answer, but a silent one is not worth the whole deadline; unless the one that
            // answered may be nearer than it seems, and was only kept from saying so: then wait for a repeated SYN.
            let gap = ttl > 1 && answers.iter().all(|answer| answer.hop.ttl != ttl - 1);
            end = end.min(Instant::now() + if gap { RETRANSMISSION } else { STRAGGLER_GRACE });
        }
        if (1..final_ttl).all(|ttl| answers.iter().any(|answer| answer.hop.ttl == ttl)) {
            break;
        }
    }
    let (hops, looping) = in_order(answers);
    if looping {
        note = Some("the same routers answer at several distances: a routing loop".to_owned());
    } else if hops.is_empty() && note.is_none() {
        note = Some(silence(std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().as_deref()));
    }
    PathTrace { hops, note }
}

/// Largest packet, in bytes with IP header, that is known to pass towards `address`, and the router that said so.
///
/// Sends a few datagrams that may not be fragmented to the port of `address`. `None` when nobody said anything about
/// them, which also is what a black hole looks like. There is no router when the destination itself answered a
/// full-sized one, or when this host remembers an MTU smaller than its interface's.
pub async fn path_mtu(
    address: SocketAddr,
    source: &SourceBinding,
    deadline: Duration,
) -> Option<(u32, Option<IpAddr>)> {
    let mut learnt = None;
    // A deadline that ends a step in the middle leaves what the steps before it learnt.
    let _ = timeout(deadline, shrink(canonical(address), source, &mut learnt)).await;
    learnt
}

/// Sends ever smaller datagrams, as the routers ask for, until one is not objected to.
async fn shrink(
    address: SocketAddr,
    source: &SourceBinding,
    learnt: &mut Option<(u32, Option<IpAddr>)>,
) -> io::Result<()> {
    let socket = open(address.ip(), Type::DGRAM, source).map_err(|error| io::Error::other(error.to_string()))?;
    let (headers, smallest) = if address.is_ipv4() {
        (IPV4_UDP_HEADERS, SMALLEST_IPV4_MTU)
    } else {
        // IPv6 has no such flag in the packet: this keeps this host from fragmenting and makes it tell the MTU it knows.
        let _ = setsockopt(&socket, sockopt::Ipv6DontFrag, &true);
        (IPV6_UDP_HEADERS, SMALLEST_IPV6_MTU)
    };
    socket.connect(&SockAddr::from(address))?;
    // IPv4 sets "don't fragment" on whatever fits the MTU that the kernel knows, and would fragment what does not.
    let mut size = remembered_mtu(&socket, address.ip()).unwrap_or(LARGEST_PROBE).min(LARGEST_PROBE);
    let interface_mtu =
        socket.local_addr()?.as_socket().and_then(|local| route::carrier_mtu(local.ip())).unwrap_or(size);
    if size < interface_mtu.min(LARGEST_PROBE) {
        *learnt = Some((size, None));
    }
    let socket = UdpSocket::from_std(socket.into())?;
    for _ in 0..MTU_STEPS {
        let payload = &PAYLOAD[..(size.saturating_sub(headers)) as usize];
        if let Err(error) = socket.send(payload).await
            && errno_of(&error) != Errno::EMSGSIZE
        {
            // That was the error of a datagram before, not of this one.
            let _ = socket.send(payload).await;
        }
        let Ok(queued) = timeout(MTU_ANSWER, next_queued(&socket)).await else {
            // The datagram may be lost, or the answer held back by a limit for ICMP errors.
            continue;
        };
        match (queued.mtu, queued.icmp) {
            (Some(mtu), icmp) if (smallest..size).contains(&mtu) => {
                size = mtu;
                match icmp {
                    Some(icmp) => *learnt = Some((mtu, icmp.from)),
                    None if mtu < interface_mtu => *learnt = Some((mtu, None)),
                    None => {}
                }
            }
            (None, Some(icmp)) if icmp.from == Some(address.ip()) => {
                // The destination got the whole datagram: nothing on the way is smaller.
                learnt.get_or_insert((size, None));
                return Ok(());
            }
            // An answer to a datagram before.
            (Some(_), _) => {}
            (None, _) => return Ok(()),
        }
    }
    Ok(())
}

/// Waits for the next entry of the error queue.
async fn next_queued(socket: &UdpSocket) -> QueuedError {
    loop {
        let taken = socket.async_io(Interest::ERROR, || {
            // A pending error would be given to the next send instead of sending; the queue holds the same and more.
            let _ = socket.take_error();
            queued_error(socket).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        if let Ok(entry) = taken.await {
            return entry;
        }
    }
}

/// The MTU that the kernel knows for the path of a connected IPv4 socket.
fn remembered_mtu(socket: &Socket, address: IpAddr) -> Option<u32> {
    if address.is_ipv6() {
        return None;
    }
    u32::try_from(getsockopt(socket, sockopt::IpMtu).ok()?).ok().filter(|mtu| *mtu >= SMALLEST_IPV4_MTU)
}

/// Starts one distance; `Err` with the words when this host cannot send at all.
fn begin(address: SocketAddr, source: &SourceBinding, ttl: u8) -> Result<TcpStream, String> {
    let socket = open(address.ip(), Type::STREAM, source).map_err(|error| format!("not measured: {error}"))?;
    let limited = match address {
        SocketAddr::V4(_) => socket.set_ttl_v4(ttl.into()),
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into()),
    };
    limited
        .and_then(|()| start_connect(&socket, address))
        .and_then(|()| TcpStream::from_std(socket.into()))
        .map_err(|error| format!("not measured: {} on this host", errno_of(&error).desc()))
}

/// What came back from one distance.
struct Answer {
    hop: TraceHop,
    /// No farther distance can get any other answer.
    last: bool,
}

/// Waits for what comes back from one distance; `None` when it says nothing about the path.
async fn hop(stream: TcpStream, target: IpAddr, ttl: u8, start: Instant) -> Option<Answer> {
    let result = established(&stream).await;
    let ms = milliseconds(start.elapsed());
    let (address, said, last) = match result {
        Ok(()) => (target, "connected".to_owned(), true),
        Err(error) => match queued_error(&stream).and_then(|queued| queued.icmp) {
            Some(icmp) => {
                let from = icmp.from?;
                // This host itself says so when its neighbour does not answer: nobody on the path did.
                if stream.local_addr().is_ok_and(|local| local.ip() == from) && from != target {
                    return None;
                }
                let last = icmp.meaning != crate::tcp::TIME_EXCEEDED;
                (from, icmp.meaning, last)
            }
            None => match outcome_of(errno_of(&error)) {
                TcpOutcome::Refused => (target, "refused".to_owned(), true),
                TcpOutcome::Reset => (target, "reset".to_owned(), true),
                _ => return None,
            },
        },
    };
    Some(Answer { hop: TraceHop { ttl, address, ms, said }, last })
}

/// The hops by distance, each address once and none behind a final answer; and whether packets go in circles.
fn in_order(mut answers: Vec<Answer>) -> (Vec<TraceHop>, bool) {
    answers.sort_by_key(|answer| answer.hop.ttl);
    let mut hops: Vec<TraceHop> = Vec::new();
    let mut repeats = 0;
    for Answer { hop, last } in answers {
        match hops.iter_mut().find(|known| known.address == hop.address) {
            // A router that lets nothing through answers once for the distance and once more for its rule.
            Some(known) if last => known.said = hop.said,
            Some(_) => repeats += 1,
            None => hops.push(hop),
        }
        if last {
            break;
        }
    }
    (hops, repeats >= LOOP_REPEATS)
}

/// Why there is no hop at all.
fn silence(kernel_release: Option<&str>) -> String {
    let version = kernel_release.and_then(|release| {
        let mut numbers = release.split(|character: char| !character.is_ascii_digit());
        Some((numbers.next()?.parse::<u32>().ok()?, numbers.next()?.parse::<u32>().ok()?))
    });
    match version {
        Some((major, minor)) if (major, minor) < FIRST_KERNEL => {
            format!("not measured: Linux {major}.{minor} does not tell programs about expired TCP packets")
        }
        _ => "no router on the way answered".to_owned(),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

const MAXIMUM_TTL: u8 = 24;
/// The distances are started within this share of the deadline: the farthest still has time to answer.
const PACE_SHARE: u32 = 48;
const MINIMUM_PACE: Duration = Duration::from_millis(5);
const MAXIMUM_PACE: Duration = Duration::from_millis(40);
const STRAGGLER_GRACE: Duration = Duration::from_millis(300);
/// The kernel repeats an unanswered SYN after a second.
const RETRANSMISSION: Duration = Duration::from_millis(1100);
const LOOP_REPEATS: usize = 3;
/// Since this kernel, `IP_RECVERR` reports expired SYNs to programs without privileges.
const FIRST_KERNEL: (u32, u32) = (5, 11);
const MTU_STEPS: usize = 6;
const MTU_ANSWER: Duration = Duration::from_millis(400);
const LARGEST_PROBE: u32 = 9001;
static PAYLOAD: [u8; LARGEST_PROBE as usize] = [0; LARGEST_PROBE as usize];
const SMALLEST_IPV4_MTU: u32 = 68;
const SMALLEST_IPV6_MTU: u32 = 1280;
const IPV4_UDP_HEADERS: u32 = 28;
const IPV6_UDP_HEADERS: u32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ttl: u8, address: &str, said: &str, last: bool) -> Answer {
        Answer { hop: TraceHop { ttl, address: address.parse().unwrap(), ms: 1.0, said: said.into() }, last }
    }

    fn lines(answers: Vec<Answer>) -> (Vec<String>, bool) {
        let (hops, looping) = in_order(answers);
        (hops.into_iter().map(|hop| format!("{} {} {}", hop.ttl, hop.address, hop.said)).collect(), looping)
    }

    #[test]
    fn hops_stand_by_distance_and_end_at_the_first_final_answer() {
        let (hops, looping) = lines(vec![
            answer(4, "10.0.0.9", "connected", true),
            answer(2, "10.0.0.2", "time exceeded", false),
            answer(3, "10.0.0.9", "connected", true),
            answer(1, "10.0.0.1", "time exceeded", false),
        ]);
        assert_eq!(hops, ["1 10.0.0.1 time exceeded", "2 10.0.0.2 time exceeded", "3 10.0.0.9 connected"]);
        assert!(!looping);
    }

    #[test]
    fn a_refusing_router_stands_once_with_its_last_word() {
        let (hops, _) = lines(vec![
            answer(1, "10.0.0.1", "time exceeded", false),
            answer(2, "10.0.0.1", "administratively prohibited", true),
            answer(3, "10.0.0.1", "administratively prohibited", true),
        ]);
        assert_eq!(hops, ["1 10.0.0.1 administratively prohibited"]);
    }

    #[test]
    fn packets_in_circles_are_noticed() {
        let routers = ["10.0.0.1", "10.0.0.2"];
        let (hops, looping) =
            lines((1..=8).map(|ttl| answer(ttl, routers[usize::from(ttl % 2)], "time exceeded", false)).collect());
        assert_eq!(hops.len(), 2);
        assert!(looping);
    }

    #[test]
    fn an_old_kernel_is_named_instead_of_the_network() {
        assert!(silence(Some("5.10.0-27-amd64")).starts_with("not measured: Linux 5.10"));
        for release in [Some("6.18.1"), Some("5.15.0"), Some("strange"), None] {
            assert_eq!(silence(release), "no router on the way answered");
        }
    }

    #[tokio::test]
    async fn a_trace_on_loopback_ends_at_the_first_hop() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open_port = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (address, said) in [(open_port, "connected"), (closed, "refused")] {
            let start = Instant::now();
            let trace = trace(address, &SourceBinding::default(), Duration::from_millis(1500)).await;
            assert!(start.elapsed() < Duration::from_millis(700));
            assert_eq!(trace.note, None);
            assert_eq!(trace.hops.len(), 1, "{trace:?}");
            assert_eq!((trace.hops[0].ttl, trace.hops[0].said.as_str()), (1, said));
        }
    }

    #[tokio::test]
    async fn a_host_that_cannot_send_says_so() {
        let source = SourceBinding { address: None, interface: Some("no-such-if0".into()) };
        let trace = trace(([127, 0, 0, 1], 1).into(), &source, Duration::from_millis(300)).await;
        assert!(trace.hops.is_empty());
        assert!(trace.note.is_some_and(|note| note.contains("no-such-if0")));
    }

    #[tokio::test]
    async fn a_destination_that_answers_large_datagrams_shows_the_mtu() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mtu = path_mtu(closed, &SourceBinding::default(), Duration::from_millis(900)).await;
        assert_eq!(mtu, Some((LARGEST_PROBE, None)));
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mtu = path_mtu(silent.local_addr().unwrap(), &SourceBinding::default(), Duration::from_millis(300)).await;
        assert_eq!(mtu, None);
    }
}
