//! What differs between a cell's last good state and now, and between two snapshots of a configuration: pure.

mod settings;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{Timestamp, tz::TimeZone};
use kubereach_probes::{AddressClass, Attempt, Certificate, DnsObservation, DnsOutcome, TunnelOutcome};
pub use settings::configured;
pub use snapshot::{carried_over, snapshot};

use super::record::{Change, ChangeKind};
use crate::report::{Cell, words};

/// What differs in what was observed, the most telling first: how names resolve, which addresses there are, the
/// certificate, how each stage ends, the egress address. Times and the order of addresses are no difference.
#[must_use]
pub fn observed(before: &Cell, after: &Cell, at: Timestamp) -> Vec<Change> {
    let mut told = Vec::new();
    model(before, after, &mut told);
    names(before, after, &mut told);
    certificates(before, after, &mut told);
    stages(before, after, &mut told);
    egress(before, after, &mut told);
    bounded(told, at)
}

/// At most as many as anybody reads, with a note of how many there are beyond.
fn bounded(mut told: Vec<(ChangeKind, String)>, at: Timestamp) -> Vec<Change> {
    if let Some(more) = told.len().checked_sub(MOST_CHANGES).filter(|more| *more > 0) {
        let kind = told[MOST_CHANGES].0;
        told.truncate(MOST_CHANGES);
        told.push((kind, format!("and {more} more")));
    }
    told.into_iter().map(|(kind, text)| Change { kind, at, text: words::visible(&text) }).collect()
}

/// What the evaluated configuration says of the path.
fn model(before: &Cell, after: &Cell, told: &mut Vec<(ChangeKind, String)>) {
    if before.configured == after.configured {
        return;
    }
    let mut text =
        format!("the configuration says {} instead of {}", after.configured.label(), before.configured.label());
    if let Some(hop) = after.path.iter().find(|hop| matches!(hop.decision.as_str(), "deny" | "drop")) {
        text = format!("{text}: {}, {}", hop.component, hop.rule);
    }
    told.push((ChangeKind::Configuration, text));
}

/// How the name resolves, resolver by resolver; the deciding one comes first.
fn names(before: &Cell, after: &Cell, told: &mut Vec<(ChangeKind, String)>) {
    let decides = words::deciding_resolver(&after.dns).map(|dns| dns.resolver.as_str());
    let mut resolvers: Vec<&DnsObservation> = after.dns.iter().collect();
    resolvers.sort_by_key(|dns| Some(dns.resolver.as_str()) != decides);
    for current in resolvers {
        let Some(then) = before.dns.iter().find(|dns| dns.resolver == current.resolver) else { continue };
        let by = if decides == Some(current.resolver.as_str()) {
            String::new()
        } else {
            format!(" by the resolver {}", current.resolver)
        };
        let name = &current.name;
        match (then.outcome, current.outcome) {
            (DnsOutcome::Answer, DnsOutcome::Answer) => answers(then, current, &by, told),
            (DnsOutcome::Answer, outcome) => {
                let had = listed(&set(&then.addresses));
                told.push((
                    ChangeKind::Dns,
                    format!("{name} resolves{by} no longer: {} instead of {had}", outcome.label()),
                ));
            }
            (outcome, DnsOutcome::Answer) => {
                let has = resolved(current);
                told.push((ChangeKind::Dns, format!("{name} resolves{by} to {has} instead of {}", outcome.label())));
            }
            (old, new) if old != new => {
                told.push((
                    ChangeKind::Dns,
                    format!("{name} does not resolve{by}: {} instead of {}", new.label(), old.label()),
                ));
            }
            _ => {}
        }
    }
}

/// Two answers of one resolver.
fn answers(then: &DnsObservation, now: &DnsObservation, by: &str, told: &mut Vec<(ChangeKind, String)>) {
    let (old, new) = (set(&then.addresses), set(&now.addresses));
    let name = &now.name;
    if then.address_class != now.address_class {
        told.push((ChangeKind::Dns, format!("{name} resolves{by} to {} instead of {}", resolved(now), resolved(then))));
    } else if old != new {
        let text = if old.is_disjoint(&new) {
            format!("{name} resolves{by} to {} instead of {}", listed(&new), listed(&old))
        } else {
            format!("{name} resolves{by} to other addresses: {}", lost_and_gained(&old, &new))
        };
        told.push((ChangeKind::Addresses, text));
    }
    if then.cnames != now.cnames {
        let chain = |names: &[String]| match names {
            [] => "no other name".to_owned(),
            names => names.join(" → "),
        };
        told.push((
            ChangeKind::Dns,
            format!("{name} stands{by} for {} instead of {}", chain(&now.cnames), chain(&then.cnames)),
        ));
    }
}

/// `10.0.1.5 (private)`.
fn resolved(dns: &DnsObservation) -> String {
    match dns.address_class {
        AddressClass::None => listed(&set(&dns.addresses)),
        class => format!("{} ({})", listed(&set(&dns.addresses)), class.label()),
    }
}

/// The certificates that the addresses present, each once.
fn certificates(before: &Cell, after: &Cell, told: &mut Vec<(ChangeKind, String)>) {
    let (old, new) = (leaves(before), leaves(after));
    // An address that presents none any more is told of as an outcome.
    if old.is_empty() || new.is_empty() {
        return;
    }
    let only = |some: &BTreeMap<&str, &Certificate>, other: &BTreeMap<&str, &Certificate>| -> Vec<String> {
        some.iter().filter(|(digest, _)| !other.contains_key(*digest)).map(|(_, leaf)| certificate(leaf)).collect()
    };
    let (lost, gained) = (only(&old, &new), only(&new, &old));
    let text = match (lost.as_slice(), gained.as_slice()) {
        ([], []) => return,
        (lost, []) => format!("the certificate {} is presented no longer", lost.join(", ")),
        ([], gained) => format!("another certificate is presented, too: {}", gained.join(", ")),
        (lost, gained) => format!("the certificate {} was replaced by {}", lost.join(", "), gained.join(", ")),
    };
    told.push((ChangeKind::Certificate, text));
}

/// The first certificate of each chain, by its digest.
fn leaves(cell: &Cell) -> BTreeMap<&str, &Certificate> {
    let chains = cell.attempts.iter().filter(|attempt| attempt.decides).map(|attempt| &attempt.tls.chain);
    chains.filter_map(|chain| chain.first()).map(|leaf| (leaf.sha256.as_str(), leaf)).take(MOST_LISTED).collect()
}

/// `sha256 ab12cd34ef56… (issuer CN=kubernetes, valid until 2027-11-22)`.
fn certificate(leaf: &Certificate) -> String {
    let digest: String = leaf.sha256.chars().take(SHOWN_DIGEST).collect();
    let issuer: String = leaf.issuer.chars().take(SHOWN_ISSUER).collect();
    let until = match leaf.not_after {
        Some(time) => format!(", valid until {}", time.to_zoned(TimeZone::UTC).date()),
        None => String::new(),
    };
    format!("sha256 {digest}… (issuer {issuer}{until})")
}

/// How the stages end, address by address: the first stage that differs, because the others follow from it.
fn stages(before: &Cell, after: &Cell, told: &mut Vec<(ChangeKind, String)>) {
    if let (Some(then), Some(now)) = (&before.proxy, &after.proxy) {
        let differs = if then.tcp.outcome != now.tcp.outcome {
            Some(("tcp to the proxy", now.tcp.outcome.label(), then.tcp.outcome.label()))
        } else if then.tunnel.outcome != now.tunnel.outcome {
            let skipped = now.tunnel.outcome == TunnelOutcome::Skipped;
            (!skipped).then(|| ("the proxy's tunnel", now.tunnel.outcome.label(), then.tunnel.outcome.label()))
        } else {
            None
        };
        if let Some((what, new, old)) = differs {
            told.push((ChangeKind::Outcome, format!("{what}: {new} instead of {old}")));
        }
    }
    let mut attempts: Vec<&Attempt> = after.attempts.iter().collect();
    attempts.sort_by_key(|attempt| (!attempt.decides, attempt.address));
    for current in attempts {
        let then =
            before.attempts.iter().find(|attempt| (attempt.address, attempt.port) == (current.address, current.port));
        let text = match then {
            Some(then) => differing_stage(then, current),
            None if current.decides && current.skipped.is_none() => words::stopped_at(current)
                .map(|stopped| format!("{}, which is new: {stopped}", words::attempt_name(current))),
            None => None,
        };
        told.extend(text.map(|text| (ChangeKind::Outcome, text)));
    }
    let versions = |cell: &Cell| -> BTreeSet<String> {
        cell.attempts.iter().filter_map(|attempt| attempt.http.version.clone()).collect()
    };
    let (old, new) = (versions(before), versions(after));
    if !old.is_empty() && !new.is_empty() && old != new {
        told.push((ChangeKind::Outcome, format!("the API server is {} instead of {}", listed(&new), listed(&old))));
    }
}

fn differing_stage(then: &Attempt, now: &Attempt) -> Option<String> {
    let to = match now.address {
        Some(address) => address.to_string(),
        None => "the target".to_owned(),
    };
    match (&then.skipped, &now.skipped) {
        (None, Some(reason)) => return Some(format!("{to} is not dialled: {reason}")),
        (Some(_), None) => return Some(format!("{to} is dialled again: tcp {}", now.tcp.outcome.label())),
        (Some(_), Some(_)) => return None,
        (None, None) => {}
    }
    let instead = |stage: &str, new: &str, old: &str| Some(format!("{stage} to {to}: {new} instead of {old}"));
    if then.tcp.outcome != now.tcp.outcome {
        return instead("tcp", now.tcp.outcome.label(), then.tcp.outcome.label());
    }
    if then.tls.outcome != now.tls.outcome {
        return instead("tls", now.tls.outcome.label(), then.tls.outcome.label());
    }
    if then.http.outcome != now.http.outcome {
        return instead("http", now.http.outcome.label(), then.http.outcome.label());
    }
    match (then.http.status, now.http.status) {
        (Some(old), Some(new)) if old != new => instead("http", &new.to_string(), &old.to_string()),
        _ => None,
    }
}

/// By which addresses the vantage is seen.
fn egress(before: &Cell, after: &Cell, told: &mut Vec<(ChangeKind, String)>) {
    let seen = |cell: &Cell| -> BTreeSet<IpAddr> { cell.egress.iter().filter_map(|echo| echo.address).collect() };
    let (old, new) = (seen(before), seen(after));
    // Where no server answers nothing is known.
    if !old.is_empty() && !new.is_empty() && old != new {
        let text = format!("the vantage is seen by {} instead of {}", listed(&new), listed(&old));
        told.push((ChangeKind::Egress, text));
    }
}

fn set(addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// `lost 203.0.113.9 and gained 203.0.113.10`.
fn lost_and_gained<T: Ord + ToString + Clone>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> String {
    let lost: BTreeSet<T> = old.difference(new).cloned().collect();
    let gained: BTreeSet<T> = new.difference(old).cloned().collect();
    match (lost.is_empty(), gained.is_empty()) {
        (false, true) => format!("lost {}", listed(&lost)),
        (true, false) => format!("gained {}", listed(&gained)),
        _ => format!("lost {} and gained {}", listed(&lost), listed(&gained)),
    }
}

/// `a, b and c`; of many the first, and how many more there are.
fn listed<T: ToString>(values: &BTreeSet<T>) -> String {
    let mut shown: Vec<String> = values.iter().take(MOST_LISTED).map(ToString::to_string).collect();
    if values.len() > MOST_LISTED {
        shown.push(format!("{} more", values.len() - MOST_LISTED));
    }
    match shown.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

const MOST_CHANGES: usize = 50;
const MOST_LISTED: usize = 8;
const SHOWN_DIGEST: usize = 12;
const SHOWN_ISSUER: usize = 100;
