//! The vantage point that takes work: it probes what its own allow list permits, and nothing else.
//!
//! An order comes in, an observation with evidence goes out; both are versioned, bounded JSON ([`order`]). The probes
//! themselves are those of `kubereach-probes`, as everywhere.

mod allow;
mod arguments;
mod inspect;
pub mod keys;
pub mod once;
pub mod order;
mod reduce;
pub mod stdio;
mod worker;

pub use allow::{AllowList, HostPattern, ResolverPattern, parse_range};
pub use arguments::{AgentArguments, AllowArguments, LimitArguments, run};
pub use keys::{is_agent_name, is_public_key};
pub use once::{pack_order, pack_reply, unpack_reply};
pub use order::{Hello, MessageError, Order, Outcome, PROTOCOL, ProbeOrder, Refusal, Reply};
pub use worker::{Limits, Worker};

/// Whether orders may travel over this server: by TLS, or on this host alone.
///
/// # Errors
/// In words.
pub fn check_server(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    if rest.contains('@') {
        return Err("credentials do not belong here".to_owned());
    }
    let host = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or("the bracket `[` is not closed")?.0,
        None => rest.split_once(':').map_or(rest, |(host, _)| host),
    };
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match scheme {
        "tls" => Ok(()),
        "nats" if here => Ok(()),
        "nats" => Err("orders and observations travel by TLS, `nats://` only on this host".to_owned()),
        _ => Err("only `tls://` is known".to_owned()),
    }
}
