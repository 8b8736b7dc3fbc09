//! Pure: the truths side by side under one clock, and what they come to.

use std::time::Duration;

use jiff::Timestamp;
use kubereach_probes::{
    AddressClass, Attempt, DnsObservation, DnsOutcome, HttpOutcome, Observation, Reachability, TcpOutcome, TlsOutcome,
};

use crate::report::{CellTarget, Intended, Verdict, Via};

/// What one observation comes to, before it is compared with anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Reachable when at least one deciding address is; unknown when the prober could not tell.
    pub observed: Reachability,
    /// Class of the deciding addresses that answered.
    pub via: Option<Via>,
    /// How many deciding addresses were dialled.
    pub dialled: usize,
    /// How many of them answered as an API server over a verified connection.
    pub answered: usize,
    /// How many deciding addresses nothing is known of: the round ended before they did, or they are too many.
    pub undecided: usize,
    /// The prober itself has no network.
    pub offline: bool,
    /// Whether it has one is not known: nothing was heard from anywhere, and a control target was not asked.
    pub perhaps_offline: bool,
}

impl Seen {
    /// At least one dialled address failed while another answered.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.answered > 0 && self.answered < self.dialled
    }
}

/// Reads an observation by the contract's rules.
#[must_use]
pub fn read(observation: &Observation) -> Seen {
    if observation.vantage_error.is_some() {
        // Whatever else it holds: where nothing could be probed, nothing was seen.
        return Seen {
            observed: Reachability::Unknown,
            via: None,
            dialled: 0,
            answered: 0,
            undecided: 0,
            offline: false,
            perhaps_offline: false,
        };
    }
    let dialled: Vec<&Attempt> =
        observation.attempts.iter().filter(|attempt| attempt.decides && attempt.skipped.is_none()).collect();
    let answered: Vec<&&Attempt> =
        dialled.iter().filter(|attempt| attempt.observed == Reachability::Reachable).collect();
    let via = answered.iter().fold(None, |via, attempt| match (via, attempt.address_class) {
        (None, AddressClass::Public) => Some(Via::Public),
        (None, AddressClass::Private) => Some(Via::Private),
        (Some(Via::Public), AddressClass::Private) | (Some(Via::Private), AddressClass::Public) => Some(Via::Mixed),
        (via, _) => via,
    });
    let network = if answered.is_empty() { network(observation, &dialled) } else { Network::There };
    let offline = network == Network::Missing;
    let perhaps_offline = network == Network::NotKnown;
    // Attempts that this host could not even make say nothing about the target.
    let none_made = !dialled.is_empty() && dialled.iter().all(|attempt| attempt.tcp.outcome == TcpOutcome::LocalError);
    let none_made = none_made && observation.proxy.is_none();
    let remaining = observation.undecided.len();
    let cut_short = observation.cut_short || remaining > 0;
    let undecided = cut_short || offline || perhaps_offline || none_made;
    let observed = match (answered.is_empty(), undecided) {
        (false, _) => Reachability::Reachable,
        (true, true) => Reachability::Unknown,
        (true, false) => Reachability::Unreachable,
    };
    Seen {
        observed,
        via,
        dialled: dialled.len(),
        answered: answered.len(),
        undecided: remaining,
        offline,
        perhaps_offline,
    }
}

/// Whether the prober itself has a network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    There,
    Missing,
    NotKnown,
}

/// The prober is offline when it has no route, or when nothing that should answer does: neither its own resolver, nor
/// another, nor any control. Anything that came back from anywhere refutes it. Where nobody but the target was asked, it
/// counts as online, unless a control that would tell was wanted and left out.
fn network(observation: &Observation, dialled: &[&Attempt]) -> Network {
    let Some(connectivity) = &observation.connectivity else { return Network::There };
    let came_back = |attempt: &Attempt| {
        matches!(attempt.tcp.outcome, TcpOutcome::Connected | TcpOutcome::Refused | TcpOutcome::Reset)
            || attempt
                .tcp
                .icmp
                .as_ref()
                .is_some_and(|icmp| icmp.from.is_some_and(|from| Some(from) != attempt.tcp.source))
            || attempt.trace.as_ref().is_some_and(|trace| !trace.hops.is_empty())
    };
    let proxy_answered = observation.proxy.as_ref().is_some_and(|proxy| proxy.tcp.outcome == TcpOutcome::Connected);
    let heard = observation.attempts.iter().any(came_back)
        || proxy_answered
        || connectivity.controls.iter().any(|control| control.answered)
        || observation
            .dns
            .iter()
            .chain(&observation.canaries)
            .chain(observation.proxy.iter().filter_map(|proxy| proxy.dns.as_ref()))
            .any(DnsObservation::is_heard);
    if heard {
        return Network::There;
    }
    let no_route = !connectivity.ipv4_route && !connectivity.ipv6_route;
    // A reply may have been cut to fit: that nobody answered in time stands for the questions.
    let asked = |answer: &DnsObservation| !answer.queries.is_empty() || answer.outcome == DnsOutcome::Timeout;
    let resolver_asked = observation.dns.iter().any(asked);
    let somebody_asked = resolver_asked || !connectivity.controls.is_empty();
    let reaches_loopback = dialled.iter().any(|attempt| attempt.address.is_some_and(|address| address.is_loopback()));
    if (no_route && !reaches_loopback) || somebody_asked {
        Network::Missing
    } else if connectivity.unasked.is_empty() {
        Network::There
    } else {
        Network::NotKnown
    }
}

/// Everything that decides a cell.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What should be.
    pub intended: Intended,
    /// Which class of address should answer.
    pub via: Option<Via>,
    /// What the configuration allows.
    pub configured: Reachability,
    /// The class of address that the configuration leads to.
    pub configured_via: Option<Via>,
    /// The configuration closes some of the private addresses, and not others.
    pub configured_partly: bool,
    /// What happened.
    pub seen: &'a Seen,
    /// A change is younger than its window.
    pub window_open: bool,
    /// The scenario contradicts itself about this cell.
    pub contradicted: bool,
    /// The rounds never agreed with each other, or the run ended before they could.
    pub undecided: bool,
}

/// The verdict of a cell, by the contract's table.
#[must_use]
pub fn decide(case: &Case<'_>) -> Verdict {
    // What is expected of it cannot all be met, so what is known of it disagrees with one of both; of what is not
    // known, nobody can say that.
    let known = |truth| truth != Reachability::Unknown;
    if case.contradicted && (known(case.configured) || known(case.seen.observed)) {
        return Verdict::Mismatch;
    }
    if case.undecided {
        return Verdict::Inconclusive;
    }
    match agreement(case) {
        Agreement::Agrees => Verdict::Match,
        Agreement::Disagrees if case.window_open => Verdict::Propagating,
        Agreement::Disagrees => Verdict::Mismatch,
        Agreement::Unknown => Verdict::Inconclusive,
    }
}

/// How the known truths compare with what is intended, or with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// All of them agree.
    Agrees,
    /// One of them does not.
    Disagrees,
    /// None is known.
    Unknown,
}

/// Compares the truths without looking at the clock.
#[must_use]
pub fn agreement(case: &Case<'_>) -> Agreement {
    let observed = case.seen.observed;
    let known: Vec<Reachability> =
        [case.configured, observed].into_iter().filter(|truth| *truth != Reachability::Unknown).collect();
    if known.is_empty() {
        return Agreement::Unknown;
    }
    if known.len() == 2 && known[0] != known[1] {
        return Agreement::Disagrees;
    }
    let wanted = match case.intended {
        Intended::Reachable => Reachability::Reachable,
        Intended::Unreachable => Reachability::Unreachable,
        Intended::Unspecified => return Agreement::Agrees,
    };
    if known.iter().any(|truth| *truth != wanted) {
        return Agreement::Disagrees;
    }
    // Where nothing was probed, the configuration says by which path it would be.
    let differs = match observed {
        Reachability::Reachable => case.via != case.seen.via,
        _ => case.configured_via.is_some() && case.via != case.configured_via,
    };
    let other_path = wanted == Reachability::Reachable && case.via.is_some() && differs;
    // What was probed is known better than by the configuration.
    let partly = case.seen.is_partial() || (observed == Reachability::Unknown && case.configured_partly);
    let partial = case.intended == Intended::Reachable && partly;
    if other_path || partial {
        return Agreement::Disagrees;
    }
    // One good address says nothing of those that have not answered yet.
    let incomplete = case.intended == Intended::Reachable && case.seen.undecided > 0;
    if incomplete { Agreement::Unknown } else { Agreement::Agrees }
}

/// The rounds so far, and whether to go on.
#[derive(Clone, Debug)]
pub struct Convergence {
    /// When the change was made, if that is known.
    pub changed_at: Option<Timestamp>,
    /// When the run began.
    pub started_at: Timestamp,
    /// How long a change may take; zero when nothing is to be waited for.
    pub window: Duration,
    /// Upper bound on waiting, from the run's start; zero for one round only.
    pub wait: Option<Duration>,
    /// How many agreeing rounds in a row are believed.
    pub consecutive: u32,
}

/// What to do after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Probe again.
    Again,
    /// Judge; the window is still open, so that a disagreement (or an agreement seen too seldom) is propagation.
    JudgeOpen,
    /// Judge for good.
    Judge,
    /// The results alternate to the end.
    Unstable,
    /// The run was ended while more rounds were needed.
    Interrupted,
}

impl Convergence {
    /// As [`Self::next`], when the run is being ended: there is no further round.
    #[must_use]
    pub fn last(&self, rounds: &[(Timestamp, Agreement)]) -> Next {
        match self.next(rounds) {
            // Propagating is the word for a wait that has ended, not for one that was ended.
            Next::Again => Next::Interrupted,
            next => next,
        }
    }

    /// Decides from the end and the agreement of each round so far, the last one last.
    #[must_use]
    pub fn next(&self, rounds: &[(Timestamp, Agreement)]) -> Next {
        let Some(&(now, last)) = rounds.last() else { return Next::Again };
        let waits = !self.window.is_zero() && self.wait != Some(Duration::ZERO);
        let window_ends = later(self.changed_at.unwrap_or(self.started_at), self.window);
        let window_open = !self.window.is_zero() && now < window_ends;
        // Agreement at first sight needs no repetition unless a change is on its way.
        let at_first_sight = rounds.len() == 1 && !(self.changed_at.is_some() && window_open);
        let equal = rounds.iter().rev().take_while(|(_, round)| *round == last).count();
        let settled = equal >= self.consecutive as usize;
        if last == Agreement::Agrees && (!waits || at_first_sight || settled) {
            return Next::Judge;
        }
        let open = if window_open && self.declared() { Next::JudgeOpen } else { Next::Judge };
        if !waits {
            return open;
        }
        let may_wait = self.wait.is_none_or(|wait| now < later(self.started_at, wait));
        if may_wait && window_open {
            return Next::Again;
        }
        if settled {
            return open;
        }
        // The window is over (or the waiting is) and the last rounds differ: a few more decide, if there is time.
        let extra = rounds.iter().filter(|(at, _)| *at >= window_ends).count();
        let flips = rounds.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        if may_wait && extra < 3 * self.consecutive as usize {
            Next::Again
        } else if window_open && self.declared() {
            Next::JudgeOpen
        } else if flips > 1 || last == Agreement::Agrees {
            Next::Unstable
        } else {
            Next::Judge
        }
    }

    /// What is left of the window.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let ends = later(self.changed_at.unwrap_or(self.started_at), self.window);
        Duration::try_from(ends.duration_since(now)).unwrap_or_default()
    }

    /// A change is known or declared, or the wait was cut shorter than the window.
    fn declared(&self) -> bool {
        self.changed_at.is_some() || self.wait.is_some_and(|wait| !wait.is_zero() && wait < self.window)
    }

    /// Milliseconds from the change (or the run's start) to the first of the agreeing rounds, which began at `at`.
    #[must_use]
    pub fn converged_after(&self, at: Timestamp) -> u64 {
        let from = self.changed_at.unwrap_or(self.started_at);
        u64::try_from(at.as_millisecond() - from.as_millisecond()).unwrap_or(0)
    }
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// One line for people on what an observation shows.
#[must_use]
pub fn summary(observation: &Observation, seen: &Seen, target: CellTarget) -> String {
    let count = |what: &str| match seen.dialled {
        total if seen.undecided > 0 => {
            format!("{what} ({} of {total} addresses, {} undecided)", seen.answered, seen.undecided)
        }
        1 => what.to_owned(),
        total => format!("{what} ({} of {total} addresses)", seen.answered),
    };
    if let Some(error) = &observation.vantage_error {
        return format!("not probed: {error}");
    }
    match seen.observed {
        Reachability::Reachable => {
            let best = observation.attempts.iter().find(|attempt| attempt.observed == Reachability::Reachable);
            let (status, version) =
                best.map_or((None, None), |attempt| (attempt.http.status, attempt.http.version.clone()));
            let status = status.map_or_else(String::new, |status| format!(" {status}"));
            let version = version.map_or_else(String::new, |version| format!(" ({version})"));
            let who = match target {
                CellTarget::Kubernetes => "a Kubernetes API server",
                CellTarget::EksApi => "the EKS API",
            };
            count(&format!("{who} answered{status}{version}"))
        }
        Reachability::Unknown if seen.offline => "this prober has no network of its own".to_owned(),
        Reachability::Unknown if seen.perhaps_offline => {
            "nothing answered, and whether this prober has a network of its own is not known".to_owned()
        }
        Reachability::Unknown => "not decided".to_owned(),
        Reachability::Unreachable => why_not(observation, seen),
    }
}

fn why_not(observation: &Observation, seen: &Seen) -> String {
    if let Some(proxy) = &observation.proxy
        && proxy.tunnel.outcome != kubereach_probes::TunnelOutcome::Established
    {
        return match proxy.tcp.outcome {
            TcpOutcome::Connected => format!("the proxy opened no tunnel: {}", proxy.tunnel.outcome.label()),
            outcome => format!("the proxy was not reached: tcp {}", outcome.label()),
        };
    }
    if seen.dialled == 0 {
        let outcome = observation.dns.first().map_or("no answer", |answer| match answer.outcome {
            DnsOutcome::Answer => "no address that could be dialled",
            other => other.label(),
        });
        return format!("the name did not resolve: {outcome}");
    }
    let mut outcomes: Vec<(String, usize)> = Vec::new();
    for attempt in observation.attempts.iter().filter(|attempt| attempt.decides && attempt.skipped.is_none()) {
        let words = stage_words(attempt);
        match outcomes.iter_mut().find(|(known, _)| *known == words) {
            Some((_, count)) => *count += 1,
            None => outcomes.push((words, 1)),
        }
    }
    let parts: Vec<String> =
        outcomes.into_iter().map(|(words, count)| format!("{words} on {count} of {}", seen.dialled)).collect();
    format!("{} address{}", parts.join(", "), if seen.dialled == 1 { "" } else { "es" })
}

fn stage_words(attempt: &Attempt) -> String {
    match (attempt.tcp.outcome, attempt.tls.outcome, attempt.http.outcome) {
        (tcp, _, _) if tcp != TcpOutcome::Connected => format!("tcp {}", tcp.label()),
        (_, tls, _) if tls != TlsOutcome::Verified => format!("tls {}", tls.label()),
        (_, _, http) if http != HttpOutcome::ApiServer => format!("http {}", http.label()),
        _ => "api-server".to_owned(),
    }
}

#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn convergence() -> Convergence {
        Convergence { changed_at: None, started_at: at(0), window: Duration::from_mins(1), wait: None, consecutive: 3 }
    }

    fn rounds(pattern: &str, every: i64) -> Vec<(Timestamp, Agreement)> {
        let agreement = |letter| if letter == '+' { Agreement::Agrees } else { Agreement::Disagrees };
        (0..).zip(pattern.chars()).map(|(index, letter)| (at(index * every), agreement(letter))).collect()
    }

    #[test]
    fn what_was_not_dialled_is_not_taken_for_well() {
        let unknown = Observation { undecided: vec!["192.0.2.1".parse().unwrap()], ..Observation::default() };
        let seen = read(&unknown);
        assert_eq!((seen.observed, seen.undecided), (Reachability::Unknown, 1));
        let seen = Seen { observed: Reachability::Reachable, dialled: 1, answered: 1, ..seen };
        for (intended, expected) in
            [(Intended::Reachable, Agreement::Unknown), (Intended::Unreachable, Agreement::Disagrees)]
        {
            let case = Case {
                intended,
                via: None,
                configured_via: None,
                configured: Reachability::Unknown,
                configured_partly: false,
                seen: &seen,
                window_open: false,
                contradicted: false,
                undecided: false,
            };
            assert_eq!(agreement(&case), expected);
        }
    }

    #[test]
    fn agreement_at_first_sight_is_believed_unless_a_change_was_declared() {
        assert_eq!(convergence().next(&rounds("+", 5)), Next::Judge);
        let declared = Convergence { changed_at: Some(at(-10)), ..convergence() };
        assert_eq!(declared.next(&rounds("+", 5)), Next::Again);
        assert_eq!(declared.next(&rounds("+++", 5)), Next::Judge);
        let long_ago = Convergence { changed_at: Some(at(-100)), ..convergence() };
        assert_eq!(long_ago.next(&rounds("+", 5)), Next::Judge);
    }

    #[test]
    fn a_disagreement_is_watched_until_the_window_ends() {
        assert_eq!(convergence().next(&rounds("-", 5)), Next::Again);
        assert_eq!(convergence().next(&rounds("-----------", 5)), Next::Again);
        assert_eq!(convergence().next(&rounds("-------------", 5)), Next::Judge);
        assert_eq!(convergence().next(&rounds("--++", 5)), Next::Again);
        assert_eq!(convergence().next(&rounds("--+++", 5)), Next::Judge);
    }

    #[test]
    fn flapping_is_told_from_converging() {
        assert_eq!(convergence().next(&rounds("-+-+-+-+-+-+-", 5)), Next::Again);
        assert_eq!(convergence().next(&rounds("-+-+-+-+-+-+-+-+-+-+-+-+-+", 5)), Next::Unstable);
        assert_eq!(convergence().next(&rounds("-+-+-+-+-+-+-+---", 5)), Next::Judge);
    }

    #[test]
    fn a_run_that_is_ended_says_that_it_was_not_done() {
        assert_eq!(convergence().last(&rounds("-", 5)), Next::Interrupted);
        assert_eq!(convergence().last(&rounds("-+", 5)), Next::Interrupted);
        assert_eq!(convergence().last(&rounds("+", 5)), Next::Judge);
        let declared = Convergence { changed_at: Some(at(-10)), ..convergence() };
        assert_eq!(declared.last(&rounds("-", 5)), Next::Interrupted);
        assert_eq!(declared.last(&rounds("+", 5)), Next::Interrupted);
    }

    #[test]
    fn without_waiting_one_round_decides() {
        let no_wait = Convergence { wait: Some(Duration::ZERO), ..convergence() };
        assert_eq!(no_wait.next(&rounds("-", 5)), Next::Judge);
        assert_eq!(no_wait.next(&rounds("+", 5)), Next::Judge);
        let declared = Convergence { changed_at: Some(at(-10)), ..no_wait };
        assert_eq!(declared.next(&rounds("-", 5)), Next::JudgeOpen);
        assert_eq!(declared.next(&rounds("+", 5)), Next::Judge);
        let no_window = Convergence { window: Duration::ZERO, ..convergence() };
        assert_eq!(no_window.next(&rounds("-", 5)), Next::Judge);
    }

    #[test]
    fn a_wait_shorter_than_the_window_ends_as_propagating() {
        let short = Convergence { wait: Some(Duration::from_secs(10)), ..convergence() };
        assert_eq!(short.next(&rounds("-", 5)), Next::Again);
        assert_eq!(short.next(&rounds("---", 5)), Next::JudgeOpen);
        assert_eq!(short.next(&rounds("--+", 5)), Next::JudgeOpen);
    }
}
