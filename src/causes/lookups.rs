//! What the causes of this machine, of DNS and the general ones ask of an observation, and the words they share.

use std::net::IpAddr;

use kubereach_probes::{
    AddressClass, Attempt, DnsObservation, DnsOutcome, DnsSource, HttpOutcome, Observation, Reachability, TcpOutcome,
    TlsOutcome,
};

use super::CellView;
pub(super) use crate::report::words::moment as moment_words;

/// The lookup that decides; `None` where the name was not resolved here (an address, or a proxy that resolves it).
pub(super) fn system<'a>(view: &CellView<'a>) -> Option<&'a DnsObservation> {
    view.observation.dns.first().filter(|lookup| lookup.resolver == SYSTEM)
}

/// The lookups at other resolvers, `system-dns` (what DNS says when the hosts file decided) among them.
pub(super) fn others<'a>(view: &CellView<'a>) -> impl Iterator<Item = &'a DnsObservation> {
    view.observation.dns.iter().filter(|lookup| lookup.resolver != SYSTEM)
}

/// The lookup of the resolver with this label.
pub(super) fn labelled<'a>(view: &CellView<'a>, label: &str) -> Option<&'a DnsObservation> {
    view.observation.dns.iter().find(|lookup| lookup.resolver == label)
}

/// Whether a lookup gave addresses.
pub(super) fn answered(lookup: &DnsObservation) -> bool {
    lookup.outcome == DnsOutcome::Answer && !lookup.addresses.is_empty()
}

/// Whether a lookup was decided by the hosts file.
pub(super) fn from_hosts_file(lookup: &DnsObservation) -> bool {
    matches!(lookup.source, DnsSource::HostsFile { .. })
}

/// Whether a server said so with authority.
pub(super) fn authoritative(lookup: &DnsObservation) -> bool {
    lookup.queries.iter().any(|query| query.authoritative == Some(true) && query.outcome == DnsOutcome::Answer)
}

/// What the resolver with this label said about a random sibling of the name.
pub(super) fn canary<'a>(view: &CellView<'a>, label: &str) -> Option<&'a DnsObservation> {
    view.observation.canaries.iter().find(|lookup| lookup.resolver == label)
}

/// The attempts that decide and were dialled.
pub(super) fn deciding<'a>(view: &CellView<'a>) -> impl Iterator<Item = &'a Attempt> + Clone {
    view.observation.attempts.iter().filter(|attempt| attempt.decides && attempt.skipped.is_none())
}

/// The deciding attempts that did not reach an API server.
pub(super) fn failed<'a>(view: &CellView<'a>) -> impl Iterator<Item = &'a Attempt> + Clone {
    deciding(view).filter(|attempt| attempt.observed != Reachability::Reachable)
}

/// Whether some deciding addresses answer and others do not.
pub(super) fn is_partial(view: &CellView<'_>) -> bool {
    deciding(view).any(|attempt| attempt.observed == Reachability::Reachable) && failed(view).next().is_some()
}

/// Whether at least one attempt decides, and no deciding attempt got an answer of any kind.
pub(super) fn all_silent(view: &CellView<'_>) -> bool {
    deciding(view).next().is_some() && deciding(view).all(|attempt| attempt.tcp.outcome == TcpOutcome::Timeout)
}

/// Whether any deciding attempt of an observation reached an API server.
pub(super) fn reaches(observation: &Observation) -> bool {
    observation.attempts.iter().any(|attempt| attempt.decides && attempt.observed == Reachability::Reachable)
}

/// Whether this address was dialled, as evidence or not, and reached an API server.
pub(super) fn address_reaches(view: &CellView<'_>, address: IpAddr) -> bool {
    let dialled = |attempt: &&Attempt| attempt.address == Some(address);
    view.observation.attempts.iter().filter(dialled).any(|attempt| attempt.observed == Reachability::Reachable)
}

/// Whether every deciding attempt is to an address of this class (and there is one).
pub(super) fn all_of_class(view: &CellView<'_>, class: AddressClass) -> bool {
    deciding(view).next().is_some() && deciding(view).all(|attempt| attempt.address_class == class)
}

/// A lookup in words: who was asked, and what came.
pub(super) fn lookup_words(lookup: &DnsObservation) -> String {
    let server = lookup.server.as_deref().map(|server| format!(" ({server})")).unwrap_or_default();
    let label = &lookup.resolver;
    if !answered(lookup) {
        return format!("Resolver {label}{server} said {} for {}", lookup.outcome.label(), lookup.name);
    }
    let ttl = lookup.ttl.map(|seconds| format!(", TTL {seconds} s")).unwrap_or_default();
    let class = lookup.address_class.label();
    format!("Resolver {label}{server} answered {} ({class}{ttl})", addresses_words(&lookup.addresses))
}

/// An attempt in words: the address, and the first stage that did not succeed, or the answer.
pub(super) fn attempt_words(attempt: &Attempt) -> String {
    let address = attempt.address.map_or_else(|| "through the proxy".to_owned(), |address| address.to_string());
    if let Some(reason) = &attempt.skipped {
        return format!("{address}: not dialled, {reason}");
    }
    let tcp = &attempt.tcp;
    if tcp.outcome != TcpOutcome::Connected {
        return format!("{address}: tcp {} after {}", tcp.outcome.label(), milliseconds_words(tcp.ms));
    }
    let tls = &attempt.tls;
    if tls.outcome != TlsOutcome::Verified {
        let detail = tls.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{address}: tcp connected, tls {}{detail}", tls.outcome.label());
    }
    let http = &attempt.http;
    let status = http.status.map(|status| format!(" {status}")).unwrap_or_default();
    if http.outcome == HttpOutcome::ApiServer {
        return format!("{address}: a Kubernetes API server answered{status}");
    }
    let detail = http.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{address}: tcp connected, tls verified, http {}{status}{detail}", http.outcome.label())
}

/// Addresses as a list, cut to eight.
pub(super) fn addresses_words(addresses: &[IpAddr]) -> String {
    let mut words = addresses.iter().take(LISTED).map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    if addresses.len() > LISTED {
        words.push_str(" and ");
        words.push_str(&(addresses.len() - LISTED).to_string());
        words.push_str(" more");
    }
    words
}

/// The addresses of attempts.
pub(super) fn addresses<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Vec<IpAddr> {
    attempts.filter_map(|attempt| attempt.address).collect()
}

/// A time in words: whole milliseconds, or seconds from one second on.
pub(super) fn milliseconds_words(ms: f64) -> String {
    if ms >= 1000.0 { format!("{:.1} s", ms / 1000.0) } else { format!("{ms:.0} ms") }
}

/// A word that the shell takes as it is, quoted where it must be.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._:/-@%+=,".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Label of the resolver that decides.
pub(super) const SYSTEM: &str = "system";
/// Label of the public resolvers.
pub(super) const PUBLIC: &str = "public";
/// Label of what DNS says when the hosts file decided.
pub(super) const SYSTEM_DNS: &str = "system-dns";

const LISTED: usize = 8;
