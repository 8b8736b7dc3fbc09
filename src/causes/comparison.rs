//! Vantages of one cluster beside each other: where one of them fails, what the others see of the same target is
//! evidence. Pure, over the cells of a report; it adds sentences and weighs, and never names a cause of its own.
//!
//! Only what was dialled at the same address is compared stage by stage. Of other addresses no more is said than that
//! they are others. A loopback or link-local address is each vantage's own, and the same for no two of them; a private
//! one is the same host only within one network, which nobody here knows, so that it weighs nothing.

use std::{collections::BTreeMap, net::IpAddr};

use kubereach_probes::{AddressClass, Attempt, DnsOutcome, TcpOutcome};

use super::evidence::{clean, listed};
use crate::report::{Cell, CellTarget, Confidence, Reachability, Severity, Verdict, words};

/// Adds to the findings of every failing cell what the other vantages of its cluster see.
pub fn compare(cells: &mut [Cell]) {
    let mut groups: BTreeMap<(String, bool), Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        if cell.observed != Reachability::Unknown {
            groups.entry((cell.cluster.clone(), cell.target == CellTarget::Kubernetes)).or_default().push(index);
        }
    }
    for group in groups.into_values().filter(|group| group.len() > 1) {
        for &index in &group {
            let cell = &cells[index];
            if cell.verdict == Verdict::Match || cell.observed != Reachability::Unreachable {
                continue;
            }
            let mut places: Vec<usize> = group.iter().copied().take(MOST_COMPARED).collect();
            if !places.contains(&index) {
                places.push(index);
            }
            let all: Vec<&Cell> = places.into_iter().map(|place| &cells[place]).collect();
            let compared = beside(cell, &all);
            weigh(&mut cells[index], &compared);
        }
    }
}

/// What the others show of a failing cell.
#[derive(Debug, Default)]
struct Compared {
    sentences: Vec<String>,
    /// Another vantage connects to the very address that is silent here, and it is the same host for both.
    answers_others: bool,
    /// Another vantage reaches the cluster, by whichever address.
    serves_others: bool,
}

/// `all` are the vantages of the cluster in the report's order, this one included.
fn beside(cell: &Cell, all: &[&Cell]) -> Compared {
    let others: Vec<&Cell> = all.iter().copied().filter(|other| !std::ptr::eq(*other, cell)).collect();
    let others = others.as_slice();
    let mut compared = Compared {
        serves_others: others.iter().any(|other| {
            let own = |attempt: &Attempt| attempt.address.is_some_and(is_own);
            let reached = |attempt: &&Attempt| attempt.observed == Reachability::Reachable;
            let own_only = || dialled(other).into_iter().find(reached).is_some_and(own);
            other.observed == Reachability::Reachable && !own_only()
        }),
        ..Compared::default()
    };
    let vantage = clean(&cell.vantage);
    let failed = dialled(cell);
    if failed.is_empty() {
        compared.sentences.extend(unresolved(cell, others));
        return compared;
    }
    for attempt in failed.iter().filter(|attempt| attempt.observed != Reachability::Reachable).take(MOST_ADDRESSES) {
        let Some(address) = attempt.address else { continue };
        let further: Vec<&Cell> = others
            .iter()
            .copied()
            .filter(|other| at(other, address).is_some_and(|there| goes_further(there, attempt)))
            .collect();
        if further.is_empty() {
            continue;
        }
        let silent = attempt.tcp.outcome == TcpOutcome::Timeout;
        compared.answers_others |= silent && !is_of_a_network(attempt);
        let here = if silent { "it is silent".to_owned() } else { format!("it ends in {}", stop(attempt)) };
        let same_answer =
            if further.iter().all(|other| lookup_of(other) == lookup_of(cell)) && lookup_of(cell).is_some() {
                ", the same answer of DNS"
            } else {
                ""
            };
        compared.sentences.push(format!(
            "{address} answers from {}{same_answer}; from {vantage} {here} ({}): {}the difference is in {vantage}'s path, or in who is let in, not in the cluster",
            names(&further),
            stop(attempt),
            if is_of_a_network(attempt) { in_one_network(further.len() + 1) } else { "" },
        ));
    }
    if compared.sentences.is_empty() {
        compared.sentences.extend(alike(&failed, all, others));
    }
    compared.sentences.extend(by_other_addresses(cell, &failed, others));
    compared.sentences.extend(own_addresses(&failed, others));
    compared
}

/// Others reach something at an address that this vantage dialled too, and that is another host for each of them.
fn own_addresses(failed: &[&Attempt], others: &[&Cell]) -> Option<String> {
    let address = failed.iter().filter_map(|attempt| attempt.address).find(|address| is_own(*address))?;
    let reached = |attempt: &Attempt| attempt.address == Some(address) && attempt.observed == Reachability::Reachable;
    let reach: Vec<&Cell> = others.iter().copied().filter(|other| dialled(other).into_iter().any(reached)).collect();
    (!reach.is_empty()).then(|| {
        format!(
            "{address} is each vantage's own: what {} {} there is on another host, and says nothing of this one",
            names(&reach),
            if reach.len() == 1 { "reaches" } else { "reach" }
        )
    })
}

/// Whether the address means another host, or another link, wherever it is dialled.
fn is_own(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
    }
}

/// Whether the address is another host in another network.
fn is_of_a_network(attempt: &Attempt) -> bool {
    attempt.address_class != AddressClass::Public
}

/// Under which condition so many vantages that dial a private address dial the same host.
fn in_one_network(vantages: usize) -> &'static str {
    if vantages == 2 { "if both are in one network, " } else { "if all of them are in one network, " }
}

/// The cluster's name is answered elsewhere.
fn unresolved(cell: &Cell, others: &[&Cell]) -> Option<String> {
    let own = words::deciding_resolver(&cell.dns).filter(|lookup| lookup.outcome != DnsOutcome::Answer)?;
    let (other, lookup) = others.iter().find_map(|other| {
        let lookup = words::deciding_resolver(&other.dns)?;
        (lookup.outcome == DnsOutcome::Answer).then_some((other, lookup))
    })?;
    let server =
        |server: &Option<String>| server.as_deref().map(|server| format!(" ({})", clean(server))).unwrap_or_default();
    Some(format!(
        "{} gets {} for the name from its resolver{}, {} gets {} from its own{}: the resolvers differ",
        clean(&other.vantage),
        listed(lookup.addresses.iter().map(ToString::to_string)),
        server(&lookup.server),
        clean(&cell.vantage),
        own.outcome.label(),
        server(&own.server),
    ))
}

/// What every vantage fails at in the same way, of what this one dialled: all of it, or the addresses by name.
fn alike(failed: &[&Attempt], all: &[&Cell], others: &[&Cell]) -> Vec<String> {
    if others.is_empty() || others.iter().any(|other| other.observed != Reachability::Unreachable) {
        return Vec::new();
    }
    let everywhere = |attempt: &&&Attempt| {
        let Some(address) = attempt.address.filter(|_| attempt.observed != Reachability::Reachable) else {
            return false;
        };
        others.iter().all(|other| at(other, address).is_some_and(|there| stop(there) == stop(attempt)))
    };
    let same: Vec<&Attempt> = failed.iter().filter(everywhere).copied().collect();
    let mut by_stop: Vec<(String, Vec<&Attempt>)> = Vec::new();
    for attempt in same.iter().copied() {
        let stop = stop(attempt);
        match by_stop.iter_mut().find(|(known, _)| *known == stop) {
            Some((_, attempts)) => attempts.push(attempt),
            None => by_stop.push((stop, vec![attempt])),
        }
    }
    let known = |attempt: &Attempt| failed.iter().any(|own| own.address == attempt.address);
    let nothing_else = same.len() == failed.len() && others.iter().all(|other| dialled(other).into_iter().all(known));
    let is_whole = nothing_else && by_stop.len() == 1;
    let count = if all.len() == 2 { "both".to_owned() } else { format!("all {}", all.len()) };
    let shared = shared_egress(all);
    by_stop
        .into_iter()
        .map(|(stop, attempts)| {
            let what = match attempts.as_slice() {
                _ if is_whole => "it fails".to_owned(),
                [_] => format!("{} fails", addresses(attempts.iter().copied())),
                _ => format!("{} fail", addresses(attempts.iter().copied())),
            };
            let condition =
                if attempts.iter().any(|one| is_of_a_network(one)) { in_one_network(all.len()) } else { "" };
            let meaning = match shared {
                Some(address) => format!(
                    "but all of them leave by {address}: a list that does not hold it looks the same as a fault at the cluster's end"
                ),
                None => format!(
                    "{condition}the cluster's end, or what all of them share, rather than one vantage's own path"
                ),
            };
            format!("{what} alike from {count} vantages ({}: {stop}): {meaning}", names(all))
        })
        .collect()
}

/// Another vantage reaches the cluster, and not by the addresses that fail here.
fn by_other_addresses(cell: &Cell, failed: &[&Attempt], others: &[&Cell]) -> Vec<String> {
    let vantage = clean(&cell.vantage);
    let cluster = clean(&cell.subject());
    let here = class(failed.iter().copied());
    let own = addresses(failed.iter().copied());
    // What answers here, if only by refusing, is not blocked: something else may stand there.
    let blocked =
        failed.iter().all(|attempt| matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Prohibited));
    let mut sentences = Vec::new();
    let mut told = [false, false];
    for other in others.iter().filter(|other| other.observed == Reachability::Reachable) {
        let reached: Vec<&Attempt> =
            dialled(other).into_iter().filter(|attempt| attempt.observed == Reachability::Reachable).collect();
        if reached.is_empty() || reached.iter().any(|attempt| failed.iter().any(|own| own.address == attempt.address)) {
            continue;
        }
        let there = class(reached.iter().copied());
        let name = clean(&other.vantage);
        let differs = matches!(
            (here, there),
            (AddressClass::Public, AddressClass::Private) | (AddressClass::Private, AddressClass::Public)
        ) && blocked
            && !reached.iter().chain(failed).any(|attempt| attempt.address.is_some_and(is_own));
        if std::mem::replace(&mut told[usize::from(differs)], true) {
            continue;
        }
        let theirs = addresses(reached.iter().copied());
        sentences.push(if differs {
            format!(
                "{name} reaches {cluster} over {} addresses ({theirs}), {vantage} dialled {} ones ({own}): the API server is up, and the block is on the {} path",
                there.label(),
                here.label(),
                here.label(),
            )
        } else {
            format!(
                "{name} reaches {cluster} at {theirs}, {vantage} dialled {own}: different addresses, so their paths are not comparable"
            )
        });
    }
    sentences
}

/// Adds the sentences, and weighs the findings that they speak for or against.
fn weigh(cell: &mut Cell, compared: &Compared) {
    let mut weighed = false;
    for finding in cell.findings.iter_mut().filter(|finding| finding.severity == Severity::Error) {
        // What was seen from here, and by whom, stays the last word.
        let last = finding.evidence.last().is_some_and(|sentence| sentence.starts_with("Seen from "));
        let place = finding.evidence.len() - usize::from(last);
        finding.evidence.splice(place..place, compared.sentences.iter().map(|sentence| sentence_of(sentence)));
        let contradicted = finding.evidence.iter().any(|sentence| sentence.contains("onfiguration lets it in"));
        if compared.serves_others && OF_THE_CLUSTER_ITSELF.contains(&finding.code.as_str()) {
            // It serves others.
            weighed |= finding.confidence != Confidence::Possible;
            finding.confidence = Confidence::Possible;
        } else if compared.answers_others
            && finding.code == SILENCE
            && finding.confidence == Confidence::Possible
            && !contradicted
        {
            // A host that is down and a vantage without network are ruled out.
            finding.confidence = Confidence::Likely;
            weighed = true;
        }
    }
    if weighed {
        cell.findings.sort_by_key(|finding| {
            (finding.severity == Severity::Info, !finding.code.starts_with("propagation-"), finding.confidence)
        });
    }
}

/// The deciding attempts whose packets went to the endpoint itself.
fn dialled(cell: &Cell) -> Vec<&Attempt> {
    if cell.proxy.is_some() {
        return Vec::new();
    }
    let direct = |attempt: &&Attempt| attempt.decides && attempt.skipped.is_none() && attempt.address.is_some();
    cell.attempts.iter().filter(direct).collect()
}

/// What a vantage saw of an address, wherever it had it from; never of one that is each vantage's own.
fn at(cell: &Cell, address: IpAddr) -> Option<&Attempt> {
    if is_own(address) {
        return None;
    }
    dialled(cell).into_iter().find(|attempt| attempt.address == Some(address))
}

/// Whether an attempt came further than another.
fn goes_further(one: &Attempt, other: &Attempt) -> bool {
    let connected = |attempt: &Attempt| attempt.tcp.outcome == TcpOutcome::Connected;
    one.observed == Reachability::Reachable || (connected(one) && !connected(other))
}

fn stop(attempt: &Attempt) -> String {
    words::stopped_at(attempt).unwrap_or_else(|| words::http_outcome(attempt))
}

/// The addresses of the deciding answer, sorted.
fn lookup_of(cell: &Cell) -> Option<Vec<IpAddr>> {
    let mut addresses = words::deciding_resolver(&cell.dns)?.addresses.clone();
    addresses.sort_unstable();
    (!addresses.is_empty()).then_some(addresses)
}

fn class<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> AddressClass {
    let mut classes: Vec<AddressClass> = attempts.map(|attempt| attempt.address_class).collect();
    classes.dedup();
    match classes.as_slice() {
        [] => AddressClass::None,
        [class] => *class,
        _ => AddressClass::Mixed,
    }
}

fn addresses<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> String {
    listed(attempts.filter_map(|attempt| Some(attempt.address?.to_string())))
}

/// The one address that echo servers see all of them by.
fn shared_egress(cells: &[&Cell]) -> Option<IpAddr> {
    let mut seen = cells.iter().map(|cell| {
        let mut addresses: Vec<IpAddr> = cell.egress.iter().filter_map(|one| one.address).collect();
        addresses.dedup();
        addresses
    });
    let first = seen.next()?;
    let [address] = first.as_slice() else { return None };
    seen.all(|addresses| addresses == [*address]).then_some(*address)
}

/// `office, branch and ci`.
fn names(cells: &[&Cell]) -> String {
    let mut names: Vec<String> = cells.iter().map(|cell| clean(&cell.vantage)).collect();
    if names.len() > MOST_NAMED {
        let more = names.len() - MOST_NAMED;
        names.truncate(MOST_NAMED);
        return format!("{} and {more} more", names.join(", "));
    }
    match names.pop() {
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} and {last}", names.join(", ")),
        None => String::new(),
    }
}

/// With a full stop; a name or an address at its beginning keeps its case.
fn sentence_of(text: &str) -> String {
    match text.strip_prefix("it fails") {
        Some(rest) => format!("It fails{rest}."),
        None => format!("{text}."),
    }
}

const SILENCE: &str = "net-filtered-silently";
/// What would be so for every vantage.
const OF_THE_CLUSTER_ITSELF: &[&str] = &["aks-cluster-stopped", "aks-cluster-not-ready", "eks-cluster-not-healthy"];
/// Of one cluster.
const MOST_COMPARED: usize = 200;
const MOST_ADDRESSES: usize = 3;
const MOST_NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::report::{Finding, Intended, Provider};

    fn cell(vantage: &str, attempts: Vec<Attempt>) -> Cell {
        let scene = Scene::new().saw(
            vec![answer(
                "system",
                &attempts
                    .iter()
                    .map(|one| one.address.unwrap().to_string())
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )],
            attempts,
        );
        let reached = scene.observed == Reachability::Reachable;
        let scene = scene.with(|scene| scene.verdict = if reached { Verdict::Match } else { Verdict::Mismatch });
        let findings = scene.findings();
        let observation = scene.observation;
        Cell {
            cluster: "prod".to_owned(),
            vantage: vantage.to_owned(),
            target: CellTarget::Kubernetes,
            endpoint: None,
            provider: Provider::Generic,
            intended: Intended::Reachable,
            configured: Reachability::Unknown,
            configured_now: None,
            observed: scene.observed,
            verdict: scene.verdict,
            via: None,
            dns: observation.dns,
            attempts: observation.attempts,
            proxy: None,
            egress: Vec::new(),
            left_out: Vec::new(),
            connectivity: None,
            path: Vec::new(),
            findings,
            converged_after_ms: None,
            rounds: 1,
            summary: String::new(),
        }
    }

    fn silence(cell: &Cell) -> (&Finding, String) {
        let finding = cell.findings.iter().find(|finding| finding.code == SILENCE).unwrap();
        (finding, finding.evidence.join("\n"))
    }

    #[test]
    fn a_loopback_or_link_local_address_is_each_vantages_own() {
        for address in ["127.0.0.1", "::1", "169.254.7.7", "fe80::7"] {
            let mut cells = vec![
                cell("laptop", vec![reached(address)]),
                cell("far", vec![attempt(address, TcpOutcome::Refused, 0.1)]),
                cell("farther", vec![attempt(address, TcpOutcome::Refused, 0.1)]),
            ];
            compare(&mut cells);
            let said: Vec<&str> =
                cells[1].findings.iter().flat_map(|finding| &finding.evidence).map(String::as_str).collect();
            let said = said.join("\n");
            assert!(said.contains(&format!("{address} is each vantage's own: what laptop reaches there")), "{said}");
            assert!(!said.contains("not in the cluster") && !said.contains("alike"), "{said}");
        }
        let mut cells = vec![cell("office", vec![silent("127.0.0.1")]), cell("branch", vec![silent("127.0.0.1")])];
        compare(&mut cells);
        assert!(cells[0].findings.iter().flat_map(|one| &one.evidence).all(|said| !said.contains("alike")));
    }

    #[test]
    fn an_address_that_answers_elsewhere_is_up() {
        let mut cells = vec![
            cell("office", vec![reached("198.51.100.20")]),
            cell("branch", vec![silent("198.51.100.20")]),
            cell("ci", vec![reached("198.51.100.20")]),
        ];
        assert_eq!(silence(&cells[1]).0.confidence, Confidence::Possible);
        compare(&mut cells);
        let (finding, said) = silence(&cells[1]);
        assert!(said.contains("198.51.100.20 answers from office and ci, the same answer of DNS; from branch it is silent (tcp timeout)"), "{said}");
        assert!(finding.evidence.last().unwrap().starts_with("Seen from"), "{said}");
        assert_eq!(finding.confidence, Confidence::Likely);
        assert!(cells[0].findings.iter().all(|finding| !finding.evidence.join("").contains("branch")));
    }

    #[test]
    fn what_fails_alike_everywhere_is_no_vantages_fault() {
        let mut cells: Vec<Cell> =
            ["a", "b", "c"].map(|name| cell(name, vec![silent("198.51.100.20")])).into_iter().collect();
        compare(&mut cells);
        let (finding, said) = silence(&cells[2]);
        assert!(
            said.contains("It fails alike from all 3 vantages (a, b and c: tcp timeout): the cluster's end"),
            "{said}"
        );
        assert_eq!(finding.confidence, Confidence::Possible, "it is still only silence");
        // Two that fail otherwise are not alike.
        let mut cells = vec![
            cell("a", vec![silent("198.51.100.20")]),
            cell("b", vec![attempt("198.51.100.20", TcpOutcome::Refused, 20.0)]),
        ];
        compare(&mut cells);
        assert!(!silence(&cells[0]).1.contains("alike"));
    }

    fn all_said(cell: &Cell) -> String {
        cell.findings.iter().flat_map(|finding| &finding.evidence).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn only_the_addresses_that_fail_alike_are_said_to() {
        let (first, second) = ("198.51.100.1", "198.51.100.2");
        let not_tls = || shook(first, kubereach_probes::TlsOutcome::NotTls);
        let mut cells = vec![
            cell("one", vec![attempt(first, TcpOutcome::Refused, 1.0), silent(second)]),
            cell("two", vec![not_tls(), silent(second)]),
        ];
        compare(&mut cells);
        let said = all_said(&cells[1]);
        assert!(said.contains("198.51.100.2 fails alike from both vantages (one and two: tcp timeout)"), "{said}");
        assert!(!said.contains("It fails alike") && !said.contains("not-tls): the cluster"), "{said}");
        let said = all_said(&cells[0]);
        assert!(said.contains("198.51.100.1 answers from two") && !said.contains("t fails alike"), "{said}");
        // Each stop is that of its own addresses.
        let both = || vec![attempt(first, TcpOutcome::Refused, 1.0), silent(second)];
        let mut cells = vec![cell("one", both()), cell("two", both())];
        compare(&mut cells);
        let said = all_said(&cells[0]);
        assert!(said.contains("198.51.100.1 fails alike from both vantages (one and two: tcp refused)"), "{said}");
        assert!(said.contains("198.51.100.2 fails alike from both vantages (one and two: tcp timeout)"), "{said}");
    }

    #[test]
    fn a_private_address_is_one_host_only_in_one_network() {
        let mut cells = vec![cell("one", vec![reached("10.9.0.1")]), cell("two", vec![silent("10.9.0.1")])];
        let before = silence(&cells[1]).0.confidence;
        compare(&mut cells);
        let (finding, said) = silence(&cells[1]);
        assert!(said.contains("10.9.0.1 answers from one"), "{said}");
        assert!(said.contains("if both are in one network, the difference is in two's path"), "{said}");
        assert_eq!(finding.confidence, before, "nobody knows that they are");
        let mut cells = vec![cell("one", vec![silent("10.9.0.1")]), cell("two", vec![silent("10.9.0.1")])];
        compare(&mut cells);
        let said = silence(&cells[1]).1;
        assert!(said.contains("tcp timeout): if both are in one network, the cluster's end"), "{said}");
    }

    #[test]
    fn what_answers_on_the_public_path_does_not_block_it() {
        use kubereach_probes::TlsOutcome;
        for failed in [shook("198.51.100.20", TlsOutcome::NotTls), attempt("198.51.100.20", TcpOutcome::Refused, 20.0)]
        {
            let mut cells = vec![cell("bastion", vec![reached("10.0.0.5")]), cell("office", vec![failed])];
            compare(&mut cells);
            let said = all_said(&cells[1]);
            assert!(!said.contains("the block is on"), "{said}");
            assert!(
                said.contains("bastion reaches prod at 10.0.0.5, office dialled 198.51.100.20: different addresses"),
                "{said}"
            );
        }
        let failed = attempt("198.51.100.20", TcpOutcome::Prohibited, 20.0);
        let mut cells = vec![cell("bastion", vec![reached("10.0.0.5")]), cell("office", vec![failed])];
        compare(&mut cells);
        assert!(all_said(&cells[1]).contains("the block is on the public path"));
    }

    #[test]
    fn vantages_behind_one_address_are_one_source() {
        let egress = kubereach_probes::EgressObservation {
            server: "stun://echo.example.com:3478".to_owned(),
            asked: None,
            address: Some(address("203.0.113.9")),
            ms: 1.0,
            detail: None,
        };
        let mut cells: Vec<Cell> = ["a", "b"]
            .map(|name| Cell { egress: vec![egress.clone()], ..cell(name, vec![silent("198.51.100.20")]) })
            .into();
        compare(&mut cells);
        let said = silence(&cells[0]).1;
        assert!(said.contains("all of them leave by 203.0.113.9") && !said.contains("the cluster's end, or"), "{said}");
    }

    #[test]
    fn other_addresses_are_not_compared() {
        let mut cells =
            vec![cell("office", vec![reached("198.51.100.21")]), cell("branch", vec![silent("198.51.100.20")])];
        compare(&mut cells);
        let (finding, said) = silence(&cells[1]);
        assert!(said.contains("office reaches prod at 198.51.100.21, branch dialled 198.51.100.20: different addresses, so their paths are not comparable"), "{said}");
        assert_eq!(finding.confidence, Confidence::Possible);
        let mut cells = vec![cell("bastion", vec![reached("10.0.0.5")]), cell("office", vec![silent("198.51.100.20")])];
        compare(&mut cells);
        let said = silence(&cells[1]).1;
        assert!(said.contains("bastion reaches prod over private addresses (10.0.0.5), office dialled public ones (198.51.100.20): the API server is up, and the block is on the public path"), "{said}");
    }

    #[test]
    fn a_single_vantage_and_one_that_was_not_usable_are_compared_with_nobody() {
        let mut cells = vec![cell("office", vec![silent("198.51.100.20")])];
        let before = silence(&cells[0]).1;
        compare(&mut cells);
        assert_eq!(silence(&cells[0]).1, before);
        cells.push(Cell { observed: Reachability::Unknown, ..cell("gone", vec![silent("198.51.100.20")]) });
        compare(&mut cells);
        assert_eq!(silence(&cells[0]).1, before);
    }
}
