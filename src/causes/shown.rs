//! What the probes show of a path that the configuration says is closed, and how both are put into words: shared by the
//! causes of every provider.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, AddressClasses, Attempt, TcpOutcome};

use super::{
    CellView, Told,
    evidence::{self, Seen, clean, host_prefix, seen},
    net,
};
use crate::report::{Confidence, Via};

/// What the probes show of a path that the configuration says is closed.
pub(super) enum Shown<'a> {
    /// Nothing was sent that way.
    Nothing,
    /// Nothing answered.
    Silence(Seen<'a>),
    /// Something answered, so that nothing on the way drops silently.
    Answer,
}

/// What lets a client in that should not get in.
pub(super) struct LetsIn {
    /// The entry or rule, as a sentence without its full stop.
    pub(super) rule: String,
    /// The setting with its present value.
    pub(super) setting: String,
    /// The command that takes it away.
    pub(super) fix: String,
}

/// Whether the cell goes by addresses of this class: those that were dialled, else those that the configuration leads to,
/// else those that are meant.
pub(super) fn takes(view: &CellView<'_>, class: AddressClass) -> bool {
    let attempts = evidence::deciding(view);
    if !attempts.is_empty() {
        return attempts.iter().any(|attempt| attempt.address_class == class);
    }
    let via = if class == AddressClass::Public { Via::Public } else { Via::Private };
    view.predicted_via().or(view.intended_via).is_none_or(|taken| taken == via)
}

/// What the probes show of the addresses of this class; `None` where the cell does not go by them.
pub(super) fn shown_of_class<'a>(view: &CellView<'a>, class: AddressClass, lost: Lost) -> Option<Shown<'a>> {
    takes(view, class).then(|| {
        let attempts = evidence::direct(view).into_iter().filter(|attempt| attempt.address_class == class);
        shown(view, &attempts.collect::<Vec<_>>(), lost)
    })
}

/// How packets are lost where the configuration closes a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Without a word.
    Dropped,
    /// For want of a route: a router of one's own network may say so.
    Unrouted,
}

/// What these attempts show.
pub(super) fn shown<'a>(view: &CellView<'a>, attempts: &[&'a Attempt], lost: Lost) -> Shown<'a> {
    if !evidence::silence_counts(view) {
        return Shown::Nothing;
    }
    let is_lost = |attempt: &Attempt| {
        net::is_swallowed(attempt) || (lost == Lost::Unrouted && attempt.tcp.outcome == TcpOutcome::Unreachable)
    };
    match seen(attempts, is_lost) {
        _ if attempts.is_empty() => Shown::Nothing,
        Some(seen) if seen.attempts.len() == seen.of => Shown::Silence(seen),
        _ => Shown::Answer,
    }
}

/// What was seen first, then what the configuration says.
pub(super) fn told(view: &CellView<'_>, confidence: Confidence, shown: &Shown<'_>, says: impl Into<String>) -> Told {
    let says = says.into();
    match shown {
        Shown::Silence(seen) => {
            let first = seen.first();
            let outcome = first.tcp.outcome.label();
            let words = format!(
                "{} did not answer (tcp {outcome}, {}): {}, from {}",
                seen.count(),
                seen.longest_connect(),
                seen.places(view),
                evidence::from_where(view, first)
            );
            let told = evidence::told(view, confidence, words).and(format!("the configuration says: {says}"));
            if confidence == Confidence::Certain { told.and("configuration and probe agree") } else { told }
        }
        Shown::Nothing | Shown::Answer if view.observation.attempts.is_empty() => {
            let words = format!("nothing was dialled from {}; the configuration says: {says}", clean(view.vantage));
            evidence::told(view, confidence, words).and("a probe from there would make it certain")
        }
        Shown::Nothing | Shown::Answer => evidence::told(view, confidence, format!("the configuration says: {says}")),
    }
}

/// Why a client's own addresses are not what the public endpoint sees of it, as a sentence.
pub(super) fn not_what_is_seen(own: &[IpAddr]) -> String {
    let classes = AddressClasses::default();
    let private: Vec<IpAddr> =
        own.iter().copied().filter(|address| classes.of(*address) == AddressClass::Private).collect();
    if !private.is_empty() {
        return format!(
            "its own address {} is private: what lets it out to the internet sends another",
            listed(&private)
        );
    }
    if own.iter().all(IpAddr::is_ipv6) {
        return format!(
            "only its IPv6 address {} is known, and the endpoint has IPv4 addresses: by which one it comes there, its own or a translator's, is not known",
            listed(own)
        );
    }
    format!("whether {} is translated on the way is not known", listed(own))
}

/// The range that is this address alone.
pub(super) fn single(address: IpAddr) -> String {
    format!("{address}/{}", host_prefix(address))
}

/// Addresses in words, at most four.
pub(super) fn listed(addresses: &[IpAddr]) -> String {
    evidence::listed(addresses.iter().map(ToString::to_string))
}
