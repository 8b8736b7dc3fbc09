//! What an order may hold. Pure: an order, an allow list and a clock in; what may be done, or a refusal, out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubereach_probes::{EchoScheme, EchoServer, Options, Target};

use crate::{
    allow::{AllowList, check_name},
    order::{LONGEST_VALIDITY, Order, PROTOCOL, ProbeOrder, Refusal},
};

/// An order that may be carried out.
#[derive(Debug)]
pub(crate) struct Permitted {
    pub(crate) target: Target,
    pub(crate) options: Options,
    /// What of the order is not done, a sentence each.
    pub(crate) left_out: Vec<String>,
    /// How long anybody waits for it.
    pub(crate) remaining: Duration,
}

/// A refusal and its words.
pub(crate) type Refused = (Refusal, String);

/// Reads an order against the agent's name, its allow list and its clock.
///
/// # Errors
/// Why it is not carried out.
pub(crate) fn inspect(
    order: &Order,
    name: Option<&str>,
    allow: &AllowList,
    now: Timestamp,
) -> Result<Permitted, Refused> {
    if order.protocol != PROTOCOL {
        let detail = format!("the order is of version {}, and this agent speaks version {PROTOCOL}", order.protocol);
        return Err((Refusal::OtherVersion, detail));
    }
    let malformed = |detail: String| (Refusal::Malformed, detail);
    check_id(&order.id).map_err(malformed)?;
    if order.agent.len() > 255 || !order.agent.bytes().all(|letter| letter.is_ascii_graphic()) {
        return Err(malformed("`agent` is no name".to_owned()));
    }
    if let Some(name) = name
        && order.agent != name
    {
        return Err((Refusal::NotForThisAgent, format!("the order is for {}, and this agent is {name}", order.agent)));
    }
    let remaining = check_times(order, now)?;
    let probe = bounded(&order.probe).map_err(malformed)?;
    let mut left_out = Vec::new();
    let probe = within(probe, allow, &mut left_out).map_err(|detail| (Refusal::NotPermitted, detail))?;
    let (mut target, mut options) = probe.unpack(allow.permit()).map_err(malformed)?;
    // Names are compared without regard to case; what goes on the wire is one form of them.
    target.host.make_ascii_lowercase();
    clamp(&mut options, &mut left_out);
    Ok(Permitted { target, options, left_out, remaining })
}

/// Whether this can name an order.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        Ok(())
    } else {
        Err("an order's `id` has 1 to 64 letters, digits and hyphens".to_owned())
    }
}

fn check_times(order: &Order, now: Timestamp) -> Result<Duration, Refused> {
    let (issued, expires) = (order.issued_at, order.expires_at);
    let clocks =
        format!("the controller's clock said {issued:.0} when it issued the order, this agent's says {now:.0}");
    let longest = SignedDuration::try_from(LONGEST_VALIDITY).unwrap_or(SignedDuration::MAX);
    let refused = |words: String| Err((Refusal::Expired, format!("{words}; {clocks}")));
    if expires.duration_since(issued) > longest {
        return refused(format!(
            "the order is valid until {expires:.0}, longer than the {LONGEST_VALIDITY:?} of an order"
        ));
    }
    if expires <= now {
        return refused(format!("the order expired at {expires:.0}"));
    }
    if expires.duration_since(now) > longest {
        return refused(format!(
            "the order is valid until {expires:.0}, which lies further ahead than {LONGEST_VALIDITY:?}"
        ));
    }
    Ok(Duration::try_from(expires.duration_since(now)).unwrap_or_default())
}

/// Bounds of lists and texts, and what kubereach itself would never write.
fn bounded(probe: &ProbeOrder) -> Result<&ProbeOrder, String> {
    check_host("host", &probe.host)?;
    if probe.port == 0 {
        return Err("`port` is a number from 1 to 65535".to_owned());
    }
    check_path("basePath", &probe.base_path)?;
    if let Some(name) = &probe.server_name {
        check_host("serverName", name)?;
    }
    if let Some(request) = probe.requests.iter().find(|request| !REQUESTS.contains(&request.as_str())) {
        return Err(format!("the request {request:?} is none of {}", REQUESTS.join(", ")));
    }
    let authorities = probe.certificate_authorities.as_deref().into_iter();
    let texts = authorities.chain(probe.other_authorities.iter().map(|(_, pem)| pem.as_str()));
    if texts.map(str::len).sum::<usize>() > MAXIMUM_AUTHORITY_BYTES {
        return Err(format!("the certificate authorities have more than {MAXIMUM_AUTHORITY_BYTES} bytes"));
    }
    let servers = |resolver: &crate::order::ResolverOrder| resolver.servers.len();
    for (list, length, maximum) in [
        ("otherAuthorities", probe.other_authorities.len(), 64),
        ("knownAddresses", probe.known_addresses.len(), 64),
        ("resolvers", probe.resolvers.len(), 16),
        ("servers", probe.resolvers.iter().map(servers).max().unwrap_or_default(), 8),
        ("systemResolver", probe.system_resolver.as_ref().map_or(0, Vec::len), 8),
        ("private", probe.private.len(), 1024),
        ("public", probe.public.len(), 1024),
        ("controls", probe.controls.len(), 16),
        ("requests", probe.requests.len(), REQUESTS.len()),
        ("echo", probe.echo.len(), 8),
    ] {
        if length > maximum {
            return Err(format!("`{list}` has {length} entries, and at most {maximum} were expected"));
        }
    }
    let labels = probe.other_authorities.iter().map(|(label, _)| label);
    for label in labels.chain(probe.resolvers.iter().map(|resolver| &resolver.label)) {
        if label.len() > 255 || label.chars().any(char::is_control) {
            return Err("a label has at most 255 bytes and no control characters".to_owned());
        }
    }
    for control in &probe.controls {
        check_host("controls", &control.host)?;
    }
    for echo in &probe.echo {
        check_host("echo", &echo.host)?;
        let stun = matches!(echo.scheme, EchoScheme::Stun | EchoScheme::StunTcp);
        if stun && !echo.path.is_empty() {
            return Err("an echo server that speaks STUN has no path".to_owned());
        }
        check_path("echo", echo.path.strip_suffix('/').unwrap_or(&echo.path))?;
    }
    Ok(probe)
}

fn check_host(field: &str, host: &str) -> Result<(), String> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    check_name(host).map_err(|reason| format!("`{field}`: {reason}"))
}

/// A path, without a query, without escapes, without a way up: what stands before it in a request stays before it.
fn check_path(field: &str, path: &str) -> Result<(), String> {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-._~".contains(&letter);
    let segment =
        |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain);
    let whole = path.is_empty() || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if whole && path.len() <= 512 {
        Ok(())
    } else {
        Err(format!("`{field}`: a path of letters, digits, `-`, `.`, `_` and `~` between slashes was expected"))
    }
}

/// What of the order the allow list has. What decides must all be permitted; the rest is left out, and named.
fn within(probe: &ProbeOrder, allow: &AllowList, left_out: &mut Vec<String>) -> Result<ProbeOrder, String> {
    if let Some(reason) = allow.refuses(&probe.host, probe.port) {
        return Err(reason);
    }
    let permit = allow.permit();
    for address in &probe.known_addresses {
        if let Some(reason) = permit.refuses((*address, probe.port).into()) {
            return Err(format!("{reason} (an address that the order names)"));
        }
    }
    for server in probe.system_resolver.iter().flatten() {
        if let Some(reason) = allow.refuses_resolver(*server) {
            return Err(format!("{reason}, and the order makes it the one that decides"));
        }
    }
    let mut probe = probe.clone();
    for resolver in &mut probe.resolvers {
        let label = resolver.label.clone();
        resolver.servers.retain(|server| match allow.refuses_resolver(*server) {
            None => true,
            Some(reason) => {
                left_out.push(format!("resolver {label}: {reason}"));
                false
            }
        });
    }
    probe.resolvers.retain(|resolver| !resolver.servers.is_empty());
    probe.controls.retain(|control| match allow.refuses(&control.host, control.port) {
        None => true,
        Some(reason) => {
            left_out.push(format!("control {control}: {reason}"));
            false
        }
    });
    probe.echo.retain(|echo: &EchoServer| match allow.refuses(&echo.host, echo.port) {
        None => true,
        Some(reason) => {
            left_out.push(format!("echo server {echo}: {reason}"));
            false
        }
    });
    Ok(probe)
}

fn clamp(options: &mut Options, left_out: &mut Vec<String>) {
    for (what, timeout) in
        [("stage of a connection", &mut options.connect_timeout), ("lookup", &mut options.dns_timeout)]
    {
        let wanted = *timeout;
        *timeout = wanted.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
        if wanted > LONGEST_TIMEOUT {
            left_out.push(format!("a {what} is given {LONGEST_TIMEOUT:?} by this agent, not {wanted:?}"));
        }
    }
}

/// The requests that kubereach makes; an order names them below its base path.
const REQUESTS: [&str; 4] = ["/version", "/livez", "/readyz", "/healthz"];
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15);
const MAXIMUM_AUTHORITY_BYTES: usize = 192 * 1024;
