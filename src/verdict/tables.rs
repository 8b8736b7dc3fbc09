//! The contract's rules as tables: what an observation comes to, and how the truths compare.

use std::net::IpAddr;

use kubereach_probes::{
    Connectivity, Control, DnsObservation, DnsQuery, DnsSource, HttpStage, IcmpError, PathTrace, ProxyObservation,
    TcpStage, TlsStage, TraceHop, TunnelOutcome, TunnelStage,
};

use super::*;

fn attempt(address: &str, class: AddressClass, observed: Reachability) -> Attempt {
    let outcome = if observed == Reachability::Reachable { TcpOutcome::Connected } else { TcpOutcome::Timeout };
    Attempt {
        address: Some(address.parse().unwrap()),
        port: 443,
        address_class: class,
        resolvers: vec!["system".to_owned()],
        decides: true,
        skipped: None,
        tcp: tcp(outcome),
        tls: TlsStage::skipped(),
        http: HttpStage::skipped(),
        observed,
        route: None,
        trace: None,
        path_mtu: None,
        repeats: None,
    }
}

fn tcp(outcome: TcpOutcome) -> TcpStage {
    TcpStage { outcome, ms: 1.0, detail: None, source: Some("192.0.2.7".parse().unwrap()), icmp: None }
}

fn good(address: &str, class: AddressClass) -> Attempt {
    attempt(address, class, Reachability::Reachable)
}

fn bad(address: &str) -> Attempt {
    attempt(address, AddressClass::Public, Reachability::Unreachable)
}

fn answer(outcome: DnsOutcome) -> DnsObservation {
    let query = DnsQuery {
        server: "192.0.2.53:53".to_owned(),
        name: "api.example".to_owned(),
        record_type: "A".to_owned(),
        transport: "udp".to_owned(),
        outcome,
        rcode: None,
        authoritative: None,
        recursion_available: None,
        extended_errors: Vec::new(),
        ignored: 0,
        ms: 1.0,
        detail: None,
    };
    DnsObservation {
        resolver: "system".to_owned(),
        server: None,
        name: "api.example".to_owned(),
        outcome,
        addresses: Vec::new(),
        cnames: Vec::new(),
        ttl: None,
        address_class: AddressClass::None,
        ms: 1.0,
        source: DnsSource::Server,
        detail: None,
        queries: vec![query],
    }
}

fn of(attempts: Vec<Attempt>) -> Observation {
    Observation { attempts, ..Observation::default() }
}

#[test]
fn observed_is_reachable_when_at_least_one_deciding_address_is() {
    use AddressClass::{None as NoClass, Private, Public};
    use Reachability::{Reachable, Unknown, Unreachable};
    let evidence = |attempt: Attempt| Attempt { decides: false, resolvers: vec!["public".to_owned()], ..attempt };
    let skipped = |attempt: Attempt| Attempt { skipped: Some("no IPv6 route".to_owned()), ..attempt };
    let cut = |observation: Observation| Observation { cut_short: true, ..observation };
    let broken =
        |observation: Observation| Observation { vantage_error: Some("no such interface".to_owned()), ..observation };
    let (one, two, three) = ("198.51.100.1", "10.0.0.2", "198.51.100.3");
    for (name, observation, observed, via, dialled, answered) in vec![
        ("nothing was seen", of(vec![]), Unreachable, None, 0, 0),
        ("one good", of(vec![good(one, Public)]), Reachable, Some(Via::Public), 1, 1),
        ("one good private", of(vec![good(two, Private)]), Reachable, Some(Via::Private), 1, 1),
        ("both classes", of(vec![good(one, Public), good(two, Private)]), Reachable, Some(Via::Mixed), 2, 2),
        (
            "three of both",
            of(vec![good(two, Private), good(one, Public), good(three, Public)]),
            Reachable,
            Some(Via::Mixed),
            3,
            3,
        ),
        ("the class of those that answer", of(vec![bad(one), good(two, Private)]), Reachable, Some(Via::Private), 2, 1),
        ("one bad", of(vec![bad(one)]), Unreachable, None, 1, 0),
        ("only evidence is good", of(vec![bad(one), evidence(good(two, Private))]), Unreachable, None, 1, 0),
        ("only evidence is bad", of(vec![good(one, Public), evidence(bad(two))]), Reachable, Some(Via::Public), 1, 1),
        (
            "a family left out",
            of(vec![good(one, Public), skipped(bad("2001:db8::1"))]),
            Reachable,
            Some(Via::Public),
            1,
            1,
        ),
        ("through a proxy", of(vec![Attempt { address: None, ..good(one, NoClass) }]), Reachable, None, 1, 1),
        ("cut short, nothing good", cut(of(vec![bad(one)])), Unknown, None, 1, 0),
        ("cut short, nothing at all", cut(of(vec![])), Unknown, None, 0, 0),
        ("cut short, one good", cut(of(vec![good(one, Public)])), Reachable, Some(Via::Public), 1, 1),
        ("vantage unusable", broken(of(vec![])), Unknown, None, 0, 0),
        ("vantage unusable, and it says more", broken(of(vec![good(one, Public)])), Unknown, None, 0, 0),
    ] {
        let seen = read(&observation);
        let read = (seen.observed, seen.via, seen.dialled, seen.answered);
        assert_eq!(read, (observed, via, dialled, answered), "{name}");
        assert!(!seen.offline, "{name}");
        assert_eq!(seen.is_partial(), answered > 0 && answered < dialled, "{name}");
    }
}

/// An observation of a prober that looked at its own network.
fn looked(attempts: Vec<Attempt>, dns: Vec<DnsObservation>) -> Observation {
    let connectivity = Connectivity { ipv4_route: true, ..Connectivity::default() };
    Observation { attempts, dns, connectivity: Some(connectivity), ..Observation::default() }
}

fn control(answered: bool) -> Control {
    Control { target: "192.0.2.53:53".to_owned(), answered, detail: "tcp".to_owned() }
}

fn with_controls(mut observation: Observation, answers: &[bool]) -> Observation {
    observation.connectivity.as_mut().unwrap().controls = answers.iter().copied().map(control).collect();
    observation
}

fn without_routes(mut observation: Observation) -> Observation {
    let connectivity = observation.connectivity.as_mut().unwrap();
    (connectivity.ipv4_route, connectivity.ipv6_route) = (false, false);
    observation
}

#[test]
fn the_prober_is_offline_when_nothing_answers_it() {
    let address = "198.51.100.1";
    let silent = || answer(DnsOutcome::Timeout);
    let dead = || vec![bad(address)];
    for (name, observation) in [
        ("resolver silent, no control asked", looked(vec![], vec![silent()])),
        ("resolver's port closed", looked(vec![], vec![answer(DnsOutcome::Unreachable)])),
        ("resolver and controls silent", with_controls(looked(dead(), vec![silent()]), &[false, false])),
        ("an address, and controls silent", with_controls(looked(dead(), vec![]), &[false])),
        ("no route at all", without_routes(looked(dead(), vec![]))),
    ] {
        let seen = read(&observation);
        assert!(seen.offline && seen.observed == Reachability::Unknown, "{name}: {seen:?}");
    }
}

#[test]
fn anything_that_came_back_shows_that_the_prober_is_online() {
    let address = "198.51.100.1";
    let silent = || answer(DnsOutcome::Timeout);
    let with_tcp = |stage: TcpStage| Attempt { tcp: stage, ..bad(address) };
    let icmp = |from: &str| {
        let from = Some(from.parse::<IpAddr>().unwrap());
        let icmp = IcmpError { kind: 3, code: 13, from, meaning: "administratively prohibited".to_owned() };
        with_tcp(TcpStage { icmp: Some(icmp), ..tcp(TcpOutcome::Prohibited) })
    };
    let hop = TraceHop { ttl: 1, address: "192.0.2.1".parse().unwrap(), ms: 1.0, said: "time exceeded".to_owned() };
    let traced = Attempt { trace: Some(PathTrace { hops: vec![hop], note: None }), ..bad(address) };
    let evidence = Attempt { decides: false, ..with_tcp(tcp(TcpOutcome::Connected)) };
    let proxy = ProxyObservation {
        url: "http://192.0.2.9:3128".to_owned(),
        dns: None,
        address: None,
        tcp: tcp(TcpOutcome::Connected),
        tls: None,
        tunnel: TunnelStage { outcome: TunnelOutcome::TargetUnreachable, status: Some(504), ms: 1.0, detail: None },
    };
    let quiet = |attempts| with_controls(looked(attempts, vec![silent()]), &[false]);
    for (name, observation) in [
        ("a control", with_controls(looked(vec![bad(address)], vec![silent()]), &[false, true])),
        ("the resolver: no such name", looked(vec![], vec![answer(DnsOutcome::Nxdomain)])),
        ("the resolver: refused", looked(vec![], vec![answer(DnsOutcome::Refused)])),
        ("another resolver", looked(vec![], vec![silent(), answer(DnsOutcome::Answer)])),
        ("a reset of the target", quiet(vec![with_tcp(tcp(TcpOutcome::Refused))])),
        ("a connection that failed later", quiet(vec![with_tcp(tcp(TcpOutcome::Connected))])),
        ("a router's word", quiet(vec![icmp("192.0.2.1")])),
        ("a hop of a trace", quiet(vec![traced])),
        ("an address that is only evidence", quiet(vec![bad(address), evidence])),
        ("the proxy", Observation { proxy: Some(proxy), ..quiet(vec![bad(address)]) }),
        ("the canary", Observation { canaries: vec![answer(DnsOutcome::Nxdomain)], ..quiet(vec![bad(address)]) }),
        // Nobody was asked, so nobody was silent.
        ("an address, nobody else asked", looked(vec![bad(address)], vec![])),
        ("loopback without routes", without_routes(looked(vec![bad("127.0.0.1")], vec![]))),
    ] {
        let seen = read(&observation);
        assert!(!seen.offline && seen.observed == Reachability::Unreachable, "{name}: {seen:?}");
    }
    // This host's own word is none.
    let own = read(&quiet(vec![icmp("192.0.2.7")]));
    assert!(own.offline, "{own:?}");
    // A vantage in a closed network that reaches the target is never offline.
    let closed = with_controls(looked(vec![good(address, AddressClass::Private)], vec![silent()]), &[false]);
    assert_eq!(read(&without_routes(closed)).observed, Reachability::Reachable);
}

/// What a reply was cut down to never makes a prober offline, and a control that was not asked leaves it open.
#[test]
fn what_was_cut_or_not_asked_is_not_silence() {
    let cut =
        |outcome| DnsObservation { server: Some("192.0.2.53:53".to_owned()), queries: Vec::new(), ..answer(outcome) };
    let dead = || vec![bad("198.51.100.1")];
    for outcome in [DnsOutcome::Answer, DnsOutcome::Nxdomain, DnsOutcome::Servfail] {
        let seen = read(&with_controls(looked(dead(), vec![cut(outcome)]), &[false]));
        assert!(!seen.offline && seen.observed == Reachability::Unreachable, "{outcome:?} {seen:?}");
    }
    let seen = read(&looked(dead(), vec![cut(DnsOutcome::Timeout)]));
    assert!(seen.offline, "{seen:?}");
    let left_out = |mut observation: Observation| {
        observation.connectivity.as_mut().unwrap().unasked = vec!["192.0.2.1:53".to_owned()];
        read(&observation)
    };
    let seen = left_out(looked(dead(), vec![]));
    assert!(!seen.offline && seen.perhaps_offline && seen.observed == Reachability::Unknown, "{seen:?}");
    let heard = left_out(looked(dead(), vec![cut(DnsOutcome::Answer)]));
    assert!(!heard.perhaps_offline && heard.observed == Reachability::Unreachable, "{heard:?}");
    let answered = left_out(looked(vec![good("198.51.100.1", AddressClass::Public)], vec![]));
    assert_eq!(answered.observed, Reachability::Reachable);
}

#[test]
fn attempts_that_this_host_could_not_make_say_nothing_of_the_target() {
    let local = Attempt { tcp: tcp(TcpOutcome::LocalError), ..bad("198.51.100.1") };
    assert_eq!(read(&looked(vec![local], vec![])).observed, Reachability::Unknown);
}

fn seen(observed: Reachability) -> Seen {
    let attempts = match observed {
        Reachability::Reachable => vec![good("198.51.100.1", AddressClass::Public)],
        Reachability::Unreachable | Reachability::Unknown => vec![bad("198.51.100.1")],
    };
    read(&Observation { cut_short: observed == Reachability::Unknown, ..of(attempts) })
}

fn case(intended: Intended, configured: Reachability, seen: &Seen) -> Case<'_> {
    Case {
        intended,
        via: None,
        configured,
        configured_via: None,
        configured_partly: false,
        seen,
        window_open: false,
        contradicted: false,
        undecided: false,
    }
}

#[test]
fn every_combination_of_truths_has_its_verdict() {
    use Intended::{Reachable as ShouldBe, Unreachable as ShouldNot, Unspecified as NotSaid};
    use Reachability::{Reachable as Yes, Unknown as Open, Unreachable as No};
    use Verdict::{Inconclusive, Match, Mismatch};
    // intended; then configured × observed in the order yes, no, unknown.
    for (intended, verdicts) in [
        (ShouldBe, [[Match, Mismatch, Match], [Mismatch, Mismatch, Mismatch], [Match, Mismatch, Inconclusive]]),
        (ShouldNot, [[Mismatch, Mismatch, Mismatch], [Mismatch, Match, Match], [Mismatch, Match, Inconclusive]]),
        (NotSaid, [[Match, Mismatch, Match], [Mismatch, Match, Match], [Match, Match, Inconclusive]]),
    ] {
        for (configured, row) in [Yes, No, Open].into_iter().zip(verdicts) {
            for (observed, verdict) in [Yes, No, Open].into_iter().zip(row) {
                let seen = seen(observed);
                assert_eq!(seen.observed, observed);
                let case = case(intended, configured, &seen);
                let words = format!("intended {intended:?}, configured {configured:?}, observed {observed:?}");
                assert_eq!(decide(&case), verdict, "{words}");
                // A window that is open excuses a disagreement, and nothing else.
                let excused = if verdict == Mismatch { Verdict::Propagating } else { verdict };
                assert_eq!(decide(&Case { window_open: true, ..case }), excused, "{words}, window open");
                // Of what nobody knows, nobody can say that it disagrees.
                let nothing_known = configured == Open && observed == Open;
                let contradicted = if nothing_known { Inconclusive } else { Mismatch };
                assert_eq!(decide(&Case { contradicted: true, window_open: true, ..case }), contradicted, "{words}");
                assert_eq!(decide(&Case { undecided: true, ..case }), Inconclusive, "{words}");
                // A part that the configuration closes counts where nothing else is known of it.
                let partly = match verdict {
                    Match if intended == ShouldBe && observed == Open => Mismatch,
                    other => other,
                };
                assert_eq!(decide(&Case { configured_partly: true, ..case }), partly, "{words}, partly closed");
            }
        }
    }
}

#[test]
fn the_worst_verdict_is_the_greatest() {
    assert!(Verdict::Mismatch > Verdict::Inconclusive);
    assert!(Verdict::Inconclusive > Verdict::Propagating);
    assert!(Verdict::Propagating > Verdict::Match);
}

#[test]
fn the_path_counts_only_where_something_answers() {
    let (reached, silent) = (seen(Reachability::Reachable), seen(Reachability::Unreachable));
    let by = |intended, via, seen| agreement(&Case { via: Some(via), ..case(intended, Reachability::Unknown, seen) });
    assert_eq!(by(Intended::Reachable, Via::Public, &reached), Agreement::Agrees);
    assert_eq!(by(Intended::Reachable, Via::Private, &reached), Agreement::Disagrees);
    assert_eq!(by(Intended::Unreachable, Via::Private, &silent), Agreement::Agrees);
    let both = read(&of(vec![good("198.51.100.1", AddressClass::Public), good("10.0.0.1", AddressClass::Private)]));
    assert_eq!(by(Intended::Reachable, Via::Private, &both), Agreement::Disagrees);
}

#[test]
fn a_partial_outage_disagrees_where_it_should_be_reachable() {
    let partial = read(&of(vec![good("198.51.100.1", AddressClass::Public), bad("198.51.100.2")]));
    assert!(partial.is_partial());
    let verdict = |intended| decide(&case(intended, Reachability::Unknown, &partial));
    assert_eq!(verdict(Intended::Reachable), Verdict::Mismatch);
    assert_eq!(verdict(Intended::Unreachable), Verdict::Mismatch);
    assert_eq!(verdict(Intended::Unspecified), Verdict::Match);
}

#[test]
fn an_address_that_has_not_answered_yet_is_neither_good_nor_bad() {
    let rest = vec!["198.51.100.9".parse().unwrap()];
    let with_rest = |attempts| read(&Observation { undecided: rest.clone(), ..of(attempts) });
    let verdict = |intended, seen: &Seen| decide(&case(intended, Reachability::Unknown, seen));
    let good = with_rest(vec![good("198.51.100.1", AddressClass::Public)]);
    assert_eq!(good.observed, Reachability::Reachable);
    assert_eq!(verdict(Intended::Reachable, &good), Verdict::Inconclusive);
    assert_eq!(verdict(Intended::Unreachable, &good), Verdict::Mismatch);
    let bad = with_rest(vec![bad("198.51.100.1")]);
    assert_eq!(bad.observed, Reachability::Unknown);
    assert_eq!(verdict(Intended::Reachable, &bad), Verdict::Inconclusive);
    assert_eq!(verdict(Intended::Unreachable, &bad), Verdict::Inconclusive);
}

#[test]
fn the_time_to_converge_counts_from_the_change() {
    let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
    let from = |changed_at: Option<i64>| Convergence {
        changed_at: changed_at.map(at),
        started_at: at(0),
        window: Duration::from_mins(1),
        wait: None,
        consecutive: 3,
    };
    assert_eq!(from(None).converged_after(at(12)), 12_000);
    assert_eq!(from(Some(-30)).converged_after(at(12)), 42_000);
    assert_eq!(from(Some(30)).converged_after(at(12)), 0, "a change of tomorrow");
    assert_eq!(from(None).remaining(at(12)), Duration::from_secs(48));
    assert_eq!(from(Some(-30)).remaining(at(12)), Duration::from_secs(18));
    assert_eq!(from(Some(-90)).remaining(at(12)), Duration::ZERO);
}

#[test]
fn a_summary_says_what_it_came_to() {
    let summary_of = |observation: &Observation| summary(observation, &read(observation), CellTarget::Kubernetes);
    for (observation, words) in [
        (of(vec![]), "the name did not resolve: no answer"),
        (Observation { dns: vec![answer(DnsOutcome::Nxdomain)], ..of(vec![]) }, "the name did not resolve: nxdomain"),
        (of(vec![bad("198.51.100.1")]), "tcp timeout on 1 of 1 address"),
        (
            of(vec![bad("198.51.100.1"), Attempt { tcp: tcp(TcpOutcome::Refused), ..bad("198.51.100.2") }]),
            "tcp timeout on 1 of 2, tcp refused on 1 of 2 addresses",
        ),
        (of(vec![good("198.51.100.1", AddressClass::Public)]), "a Kubernetes API server answered"),
        (
            of(vec![good("198.51.100.1", AddressClass::Public), bad("198.51.100.2")]),
            "a Kubernetes API server answered (1 of 2 addresses)",
        ),
        (looked(vec![], vec![answer(DnsOutcome::Timeout)]), "this prober has no network of its own"),
        (Observation { cut_short: true, ..Observation::default() }, "not decided"),
        (
            Observation { vantage_error: Some("no interface wlan9".to_owned()), ..Observation::default() },
            "not probed: no interface wlan9",
        ),
    ] {
        assert_eq!(summary_of(&observation), words);
    }
}
