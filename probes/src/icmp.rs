//! ICMP echo: weak evidence only, because managed API servers and the firewalls before them ignore it.

use std::{
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

use crate::{
    IcmpEcho,
    tcp::{errno_of, meaning, milliseconds},
};

/// Sends one echo request to `address` and waits until `deadline` has passed for the reply.
///
/// A missing permission (`ping_group_range`, `CAP_NET_RAW`) is `not-measured`: it says nothing about the network. Without
/// the privilege for a raw socket the kernel keeps routers' errors to itself, so that such an address is a `timeout`.
pub async fn echo(address: IpAddr, deadline: Duration) -> IcmpEcho {
    let address = address.to_canonical();
    let start = Instant::now();
    let (outcome, ms) = match tokio::time::timeout(deadline, exchange(address, deadline)).await {
        Err(_) | Ok(Err(SurgeError::Timeout { .. })) => ("timeout".to_owned(), None),
        Ok(Ok((packet, rtt))) => match said(&packet) {
            None => ("reply".to_owned(), Some(milliseconds(rtt))),
            Some(words) => (words, None),
        },
        Ok(Err(SurgeError::IOError(error))) => (refused(&error), None),
        Ok(Err(_)) if start.elapsed() >= deadline => ("timeout".to_owned(), None),
        Ok(Err(_)) => (NOT_MEASURED.to_owned(), None),
    };
    IcmpEcho { address, outcome, ms }
}

async fn exchange(address: IpAddr, deadline: Duration) -> Result<(IcmpPacket, Duration), SurgeError> {
    let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
    let client = Client::new(&Config::builder().kind(kind).build())?;
    let mut pinger = client.pinger(address, PingIdentifier(identifier())).await;
    pinger.timeout(deadline).ping(PingSequence(1), &[0; 16]).await
}

/// Several probers on one host must not take each other's replies on raw sockets.
fn identifier() -> u16 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mixed = now.subsec_nanos() ^ std::process::id().rotate_left(16);
    u16::try_from((mixed ^ (mixed >> 16)) & 0xffff).unwrap_or_default()
}

/// What a packet says when it is not the reply; `None` for the reply.
fn said(packet: &IcmpPacket) -> Option<String> {
    let (version6, kind, code, from) = match packet {
        IcmpPacket::V4(packet) => {
            (false, packet.get_icmp_type().0, packet.get_icmp_code().0, IpAddr::from(packet.get_source()))
        }
        IcmpPacket::V6(packet) => {
            (true, packet.get_icmpv6_type().0, packet.get_icmpv6_code().0, IpAddr::from(packet.get_source()))
        }
    };
    let reply = if version6 { ECHO_REPLY_V6 } else { ECHO_REPLY_V4 };
    (kind != reply).then(|| format!("{}, said by {from}", meaning(version6, kind, code)))
}

/// What an error of this host's own means.
fn refused(error: &io::Error) -> String {
    match errno_of(error) {
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENETDOWN => "no route on this host".to_owned(),
        _ => NOT_MEASURED.to_owned(),
    }
}

const NOT_MEASURED: &str = "not-measured";
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REPLY_V6: u8 = 129;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_replies_or_is_not_measured() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let echo = echo(address.parse().unwrap(), Duration::from_millis(800)).await;
            match echo.outcome.as_str() {
                "reply" => assert!(echo.ms.is_some_and(|ms| ms < 800.0), "{echo:?}"),
                NOT_MEASURED | "no route on this host" => {
                    eprintln!("SKIPPED: ICMP is not permitted here ({echo:?})");
                }
                other => panic!("{address}: {other}"),
            }
        }
    }

    #[test]
    fn a_missing_permission_is_no_statement_about_the_network() {
        assert_eq!(refused(&io::Error::from(io::ErrorKind::PermissionDenied)), NOT_MEASURED);
        assert_eq!(refused(&io::Error::from_raw_os_error(Errno::EACCES as i32)), NOT_MEASURED);
        assert_eq!(refused(&io::Error::from_raw_os_error(Errno::ENETUNREACH as i32)), "no route on this host");
    }
}
