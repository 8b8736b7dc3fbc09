//! Where packets stop: a TCP trace to the port that stayed silent, and the path's MTU. Neither needs privileges.
//!
//! Every hop is one ordinary connect whose SYN has a small time to live; what routers say about it comes out of the
//! socket's error queue.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::socket::{getsockopt, sockopt},
};
use socket2::{SockAddr, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{sleep_until, timeout, timeout_at},
};

use crate::{
    PathTrace, SourceBinding, TcpOutcome, TraceHop,
    tcp::{errno_of, established, failure, milliseconds, open, queued_error, start_connect},
};

/// Traces the path to the port of `address` with TCP connects of rising time to live, all within `deadline`.
///
/// The distances are started one after another, so that a router that answers several of them stays below its kernel's
/// limit for ICMP errors, and no further ones once the destination or a refusing router has answered. A distance without
/// answer is simply missing from the hops. A trace that reaches an open port opens and closes one connection there.
pub async fn trace(address: SocketAddr, source: &SourceBinding, deadline: Duration) -> PathTrace {
    let start = tokio::time::Instant::now();
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let mut end = start + deadline;
    let pace = (deadline / PACE_SHARE).clamp(MINIMUM_PACE, MAXIMUM_PACE);
    let mut probes = JoinSet::new();
    let mut answers: Vec<(TraceHop, bool)> = Vec::new();
    let mut note = None;
    let mut next_ttl = 1;
    let mut next_start = start;
    // The nearest distance at which somebody answered for good.
    let mut final_ttl = MAXIMUM_TTL + 1;
    loop {
        if next_ttl < final_ttl && note.is_none() {
            tokio::select! {
                biased;
                () = sleep_until(next_start.min(end)) => {
                    if next_start >= end {
                        break;
                    }
                    match begin(address, source, next_ttl) {
                        Ok(stream) => { probes.spawn(hop(stream, next_ttl)); }
                        Err(words) => note = Some(words),
                    }
                    next_ttl += 1;
                    next_start += pace;
                    continue;
                }
                Some(answered) = probes.join_next(), if !probes.is_empty() => record(answered, &mut answers),
            }
        } else {
            // All distances short of the final one may still answer, but are not worth the whole deadline.
            match timeout_at(end, probes.join_next()).await {
                Ok(Some(answered)) => record(answered, &mut answers),
                Ok(None) | Err(_) => break,
            }
        }
        let nearest = answers.iter().filter(|(_, is_final)| *is_final).map(|(hop, _)| hop.ttl).min();
        if let Some(nearest) = nearest
            && nearest < final_ttl
        {
            final_ttl = nearest;
            end = end.min(tokio::time::Instant::now() + STRAGGLER_GRACE);
        }
        if (1..final_ttl).all(|ttl| answers.iter().any(|(hop, _)| hop.ttl == ttl)) && final_ttl <= MAXIMUM_TTL {
            break;
        }
    }
    let hops = in_order(answers, final_ttl);
    if hops.is_empty() && note.is_none() {
        note = Some(silence());
    }
    PathTrace { hops, note }
}

/// Largest packet, in bytes with IP header, that is known to pass to `address`, and the router that said so.
///
/// Sends a few datagrams that may not be fragmented to the port of `address`. `None` when nobody said anything about
/// them, which also is what a black hole looks like; without router when the destination itself answered a full-sized one,
/// or when this host remembers a smaller MTU from before.
pub async fn path_mtu(
    address: SocketAddr,
    source: &SourceBinding,
    deadline: Duration,
) -> Option<(u32, Option<IpAddr>)> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let mut learnt = None;
    // A deadline that ends a step in the middle still leaves what the steps before it learnt.
    let _ = timeout(deadline, shrink(address, source, &mut learnt)).await;
    learnt
}

/// Sends ever smaller datagrams, as the routers ask for, until one is not objected to.
async fn shrink(
    address: SocketAddr,
    source: &SourceBinding,
    learnt: &mut Option<(u32, Option<IpAddr>)>,
) -> Option<()> {
    let headers = if address.is_ipv4() { IPV4_UDP_HEADERS } else { IPV6_UDP_HEADERS };
    let smallest = if address.is_ipv4() { SMALLEST_IPV4_MTU } else { SMALLEST_IPV6_MTU };
    let socket = open(address.ip(), Type::DGRAM, source).ok()?;
    socket.connect(&SockAddr::from(address)).ok()?;
    let interface_mtu = outgoing_mtu(&socket);
    let mut size = cached_mtu(&socket, address.ip()).or(interface_mtu).unwrap_or(ETHERNET_MTU).min(LARGEST_PROBE);
    if let Some(interface_mtu) = interface_mtu
        && size < interface_mtu
    {
        *learnt = Some((size, None));
    }
    let socket = UdpSocket::from_std(socket.into()).ok()?;
    for _ in 0..MTU_STEPS {
        // The kernel sets "don't fragment" on what fits the MTU it knows, and would fragment what does not.
        let payload = vec![0_u8; usize::try_from(size.saturating_sub(headers)).ok()?];
        if socket.send(&payload).await.is_err() {
            // An error of a datagram before: read below.
        }
        let Ok(queued) = timeout(MTU_ANSWER, queued(&socket)).await else {
            // One may be lost or held back by the router's limit for ICMP errors.
            continue;
        };
        match queued.mtu {
            Some(mtu) if mtu < size && mtu >= smallest => {
                size = mtu;
                *learnt = Some((mtu, queued.icmp.from));
            }
            Some(_) => return Some(()),
            None => {
                // The destination itself got the whole datagram: nothing on the way is smaller.
                if learnt.is_none() && queued.icmp.from == Some(address.ip()) {
                    *learnt = Some((size, None));
                }
                return Some(());
            }
        }
    }
    Some(())
}

/// Waits for the next entry of the error queue.
async fn queued(socket: &UdpSocket) -> crate::tcp::QueuedError {
    loop {
        let taken = socket
            .async_io(Interest::ERROR, || {
                // The pending error would keep the socket from sending; the queue holds the same and more.
                let _ = socket.take_error();
                queued_error(socket).ok_or_else(|| std::io::ErrorKind::WouldBlock.into())
            })
            .await;
        if let Ok(entry) = taken {
            return entry;
        }
    }
}

/// The MTU that the kernel has learnt for this path; IPv4 only.
fn cached_mtu(socket: &Socket, address: IpAddr) -> Option<u32> {
    if address.is_ipv6() {
        return None;
    }
    u32::try_from(getsockopt(socket, sockopt::IpMtu).ok()?).ok().filter(|mtu| *mtu > 0)
}

/// MTU of the interface that carries the socket's own address.
fn outgoing_mtu(socket: &Socket) -> Option<u32> {
    let local = socket.local_addr().ok()?.as_socket()?.ip();
    let name = nix::ifaddrs::getifaddrs()
        .ok()?
        .find(|entry| crate::route::address_of(entry.address.as_ref()) == Some(local))?
        .interface_name;
    std::fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok()?.trim().parse().ok()
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

/// Waits for what comes back from one distance; the flag tells that no farther distance can answer otherwise.
async fn hop(stream: TcpStream, ttl: u8) -> Option<(TraceHop, bool)> {
    let start = Instant::now();
    let target = stream.peer_or_target();
    let result = established(&stream).await;
    let ms = milliseconds(start.elapsed());
    let _ = target;
    match result {
        Ok(()) => {
            let address = stream.peer_addr().ok()?.ip();
            Some((TraceHop { ttl, address, ms, said: "connected".to_owned() }, true))
        }
        Err(error) => {
            let queued = queued_error(&stream);
            let errno = errno_of(&error);
            match queued {
                Some(queued) => None,
                None => None,
            }
        }
    }
}
