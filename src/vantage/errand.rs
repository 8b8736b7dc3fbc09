//! What every transport does before an order goes out and after its reply has come.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use jiff::Timestamp;
use kubereach_agent::{MessageError, Order, Outcome, PROTOCOL, ProbeOrder, Refusal, Reply, order::LONGEST_VALIDITY};
use kubereach_probes::{AddressClass, AddressClasses, Observation, Options, Target};

use super::unavailable;

/// A new order for the agent, valid for as long as somebody waits for its reply.
pub(super) fn order(agent: &str, target: &Target, options: &Options, validity: Duration) -> Order {
    let now = Timestamp::now();
    Order {
        protocol: PROTOCOL,
        id: id(),
        agent: agent.to_owned(),
        issued_at: now,
        // Far from the ends of time, where adding would fail.
        expires_at: now.checked_add(validity.min(LONGEST_VALIDITY)).unwrap_or(now),
        probe: ProbeOrder::of(target, options),
    }
}

/// What a reply says was seen, or in [`Observation::vantage_error`] why nothing was.
pub(super) fn observed(reply: Result<Reply, MessageError>, order: &Order, place: &str) -> Observation {
    let reply = match reply {
        Ok(reply) => reply,
        Err(MessageError::OtherVersion(theirs)) => return unavailable(other_version(place, theirs)),
        Err(error) => return unavailable(format!("the reply of {place} cannot be read: {error}")),
    };
    if reply.id != order.id {
        return unavailable(format!("the reply of {place} is to another order"));
    }
    match reply.outcome {
        Outcome::Observed { observation } => checked(*observation, &order.probe)
            .unwrap_or_else(|why| unavailable(format!("the reply of {place} cannot be believed: {why}"))),
        Outcome::Refused { reason: Refusal::NotPermitted, detail } => {
            unavailable(format!("the agent of {place} may not probe this: {detail} (its own allow list says so)"))
        }
        Outcome::Refused { reason, detail } => {
            let advice = match reason {
                Refusal::BadSignature => "; start the agent with `--controller-key` and the public key of `signingKey`",
                _ => "",
            };
            unavailable(format!("the agent of {place} refused ({}): {detail}{advice}", reason.label()))
        }
    }
}

/// What of an observation can be the answer to this order. What follows from the stages is worked out here, whatever the
/// reply says of it.
///
/// # Errors
/// Why it is no answer to it, in words.
fn checked(mut observation: Observation, probe: &ProbeOrder) -> Result<Observation, String> {
    // What cannot be written has no finite number somewhere.
    let written = serde_json::to_value(&observation).map_err(|_| "it has times that are no numbers".to_owned())?;
    if let Some(ms) = absurd_time(&written) {
        return Err(format!("something took {ms:e} ms in it, by its own account"));
    }
    if observation.vantage_error.is_some() {
        // Where nothing could be probed, nothing was seen.
        let Observation { vantage_error, left_out, started_at, ms, .. } = observation;
        return Ok(Observation { vantage_error, left_out, started_at, ms, ..Observation::default() });
    }
    let unfinished = observation.cut_short || !observation.undecided.is_empty();
    let literal = probe.host.parse::<IpAddr>().ok();
    let of_system = || observation.dns.iter().filter(|answer| answer.resolver == "system");
    let resolved = |address: IpAddr| of_system().any(|answer| answer.addresses.contains(&address));
    let told = |address: IpAddr| observation.dns.iter().any(|answer| answer.addresses.contains(&address));
    if observation.dns.is_empty() && observation.attempts.is_empty() && !unfinished {
        return Err("the observation is empty".to_owned());
    }
    if observation.proxy.is_some() {
        return Err("it went through a proxy, and no order names one".to_owned());
    }
    for attempt in &observation.attempts {
        let Some(address) = attempt.address else { return Err("an attempt names no address".to_owned()) };
        if attempt.port != probe.port {
            return Err(format!("it dialled port {}, and the order names port {}", attempt.port, probe.port));
        }
        let asked = match literal {
            Some(literal) => literal == address,
            None if attempt.decides => resolved(address),
            None => told(address) || probe.known_addresses.contains(&address),
        };
        if !asked {
            return Err(format!("it dialled {address}, which neither the order names nor its own lookups"));
        }
    }
    if !unfinished && !observation.attempts.iter().any(|attempt| attempt.decides) {
        if literal.is_some() || of_system().any(|answer| !answer.addresses.is_empty()) {
            return Err("it has addresses, and none of them was dialled".to_owned());
        }
        if of_system().next().is_none() {
            return Err("the lookup that decides is not in it".to_owned());
        }
    }
    let classes = AddressClasses { private: probe.private.clone(), public: probe.public.clone() };
    for attempt in &mut observation.attempts {
        attempt.observed = attempt.reachability(probe.service);
        attempt.address_class = attempt.address.map_or(AddressClass::None, |address| classes.of(address));
    }
    if let Some(connectivity) = &mut observation.connectivity {
        let wanted: BTreeSet<String> = probe.controls.iter().map(ToString::to_string).collect();
        let asked: BTreeSet<String> = connectivity.controls.iter().map(|control| control.target.clone()).collect();
        connectivity.unasked = wanted.difference(&asked).cloned().collect();
    }
    Ok(observation)
}

/// A time anywhere below, in milliseconds, that no probe can have taken.
fn absurd_time(value: &serde_json::Value) -> Option<f64> {
    use serde_json::Value::{Array, Object};
    match value {
        Array(values) => values.iter().find_map(absurd_time),
        Object(fields) => fields.iter().find_map(|(name, value)| {
            let ms = value.as_f64().filter(|ms| name == "ms" && !(0.0..=LONGEST_MS).contains(ms));
            ms.or_else(|| absurd_time(value))
        }),
        _ => None,
    }
}

/// That the agent there speaks another version, and which end is to be renewed.
pub(super) fn other_version(place: &str, theirs: u32) -> String {
    let (word, end) = if theirs < PROTOCOL { ("older", "there") } else { ("newer", "here") };
    format!(
        "the agent of {place} is {word}: it speaks version {theirs}, and this is version {PROTOCOL}; renew kubereach {end}"
    )
}

/// How long a probe may take at most: one lookup, three stages, what an investigation adds, and some slack.
pub(super) fn longest_probe(options: &Options) -> Duration {
    options.dns_timeout.saturating_mul(2) + options.connect_timeout.saturating_mul(4) + SLACK
}

/// 128 random bits as hexadecimal digits.
fn id() -> String {
    let mut bytes = [0_u8; 16];
    // Where the system has no randomness, TLS does not work either; the time keeps ids apart.
    if rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes).is_err() {
        bytes = Timestamp::now().as_nanosecond().to_be_bytes();
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// A day.
const LONGEST_MS: f64 = 86_400_000.0;
const SLACK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use kubereach_probes::{Credentials, Trust};

    use super::*;

    fn target() -> Target {
        Target::new("api.example", 443, Trust::SystemRoots)
    }

    fn options() -> Options {
        Options {
            credentials: Some(Credentials::Bearer("sesame".to_owned())),
            investigate: true,
            ..Options::plain(Duration::from_secs(3))
        }
    }

    fn reply(order: &Order, outcome: Outcome) -> Reply {
        let (id, agent) = (order.id.clone(), order.agent.clone());
        Reply { protocol: PROTOCOL, id, agent, finished_at: Timestamp::now(), outcome }
    }

    #[test]
    fn no_credential_travels_and_ids_differ() {
        let [one, other] = [(); 2].map(|()| order("a", &target(), &options(), Duration::from_mins(1)));
        assert_ne!(one.id, other.id);
        assert!(!String::from_utf8(kubereach_agent::order::write(&one)).unwrap().contains("sesame"));
        let never = order("a", &target(), &options(), Duration::MAX);
        assert_eq!(never.expires_at.duration_since(never.issued_at).unsigned_abs(), LONGEST_VALIDITY);
    }

    fn lookup(outcome: &str, addresses: &[&str]) -> Observation {
        let answer = serde_json::json!({"resolver": "system", "server": "10.0.0.2:53", "name": "api.example",
            "outcome": outcome, "addresses": addresses, "cnames": [], "ttl": 60, "class": "private", "ms": 1.0,
            "source": "server", "detail": null, "queries": []});
        serde_json::from_value(serde_json::json!({"dns": [answer]})).unwrap()
    }

    /// An attempt that claims to have reached the address.
    fn attempt(address: &str, port: u16, tcp: &str, tls: &str) -> kubereach_probes::Attempt {
        serde_json::from_value(serde_json::json!({"address": address, "port": port, "class": "public",
            "resolvers": ["system"], "decides": true, "skipped": null, "observed": "reachable",
            "tcp": {"outcome": tcp, "ms": 2.0, "detail": null, "source": null, "icmp": null},
            "tls": {"outcome": tls, "ms": 1.5, "version": "1.3", "suite": null, "keyExchange": null, "alpn": "h2",
                "serverName": "api.example", "detail": null, "checks": null, "variants": [], "chain": []},
            "http": {"outcome": "api-server", "status": 200, "ms": 4.0, "version": null, "detail": null, "date": null,
                "clockAheadSeconds": null, "server": null, "location": null, "authenticated": false,
                "http1Outcome": null, "requests": []},
            "route": null, "repeats": null, "pathMtu": null, "trace": null}))
        .unwrap()
    }

    #[test]
    fn a_reply_is_held_against_its_order() {
        let order = order("a", &target(), &options(), Duration::from_mins(1));
        let read = |observation: Observation| {
            let outcome = Outcome::Observed { observation: Box::new(observation) };
            observed(Ok(reply(&order, outcome)), &order, "bastion")
        };
        let seen = |attempt| Observation { attempts: vec![attempt], ..lookup("answer", &["10.0.0.1"]) };
        for (observation, word) in [
            (Observation::default(), "the observation is empty"),
            (lookup("answer", &["10.0.0.1"]), "none of them was dialled"),
            (seen(attempt("10.0.0.1", 1, "connected", "verified")), "dialled port 1, and the order names port 443"),
            (seen(attempt("198.51.100.1", 443, "connected", "verified")), "198.51.100.1, which neither"),
        ] {
            let error = read(observation).vantage_error.unwrap();
            assert!(error.contains(word), "{error}");
        }
        let broken = Observation {
            vantage_error: Some("no such interface".to_owned()),
            ..seen(attempt("10.0.0.1", 443, "connected", "verified"))
        };
        assert!(read(broken).attempts.is_empty());
        assert!(read(Observation { cut_short: true, ..Observation::default() }).vantage_error.is_none());
        // What it claims is worked out from its stages, and its class by what the order declares.
        for (tcp, tls, word) in [
            ("connected", "verified", "reachable"),
            ("timeout", "verified", "unreachable"),
            ("connected", "untrusted", "unreachable"),
        ] {
            let read = read(seen(attempt("10.0.0.1", 443, tcp, tls)));
            assert_eq!((read.attempts[0].observed.label(), read.vantage_error), (word, None), "{tcp} {tls}");
            assert_eq!(read.attempts[0].address_class.label(), "private");
        }
    }

    #[test]
    fn no_probe_takes_longer_than_a_day_or_less_than_no_time() {
        let order = order("a", &target(), &options(), Duration::from_mins(1));
        let seen = || Observation {
            attempts: vec![attempt("10.0.0.1", 443, "connected", "verified")],
            ..lookup("answer", &["10.0.0.1"])
        };
        let read = |change: fn(&mut Observation, f64), ms| {
            let mut observation = seen();
            change(&mut observation, ms);
            let outcome = Outcome::Observed { observation: Box::new(observation) };
            observed(Ok(reply(&order, outcome)), &order, "bastion").vantage_error
        };
        let places: [fn(&mut Observation, f64); 5] = [
            |observation, ms| observation.ms = ms,
            |observation, ms| observation.dns[0].ms = ms,
            |observation, ms| observation.attempts[0].tcp.ms = ms,
            |observation, ms| observation.attempts[0].http.ms = ms,
            |observation, ms| (observation.ms, observation.vantage_error) = (ms, Some("no route".to_owned())),
        ];
        for change in places {
            for ms in [1e300, -1.0, 86_400_001.0] {
                let error = read(change, ms).unwrap();
                assert!(error.contains("by its own account"), "{error}");
            }
            assert!(read(change, 86_400_000.0).is_none_or(|error| error == "no route"));
        }
    }

    #[test]
    fn a_control_that_was_not_asked_is_remembered() {
        let control = |host: &str| kubereach_probes::Endpoint { host: host.to_owned(), port: 53 };
        let options = Options { controls: vec![control("a.example"), control("b.example")], ..options() };
        let order = order("a", &target(), &options, Duration::from_mins(1));
        let connectivity = serde_json::json!({"ipv4Route": true, "ipv6Route": false, "icmp": null,
            "controls": [{"target": "b.example:53", "answered": false, "detail": "tcp timeout"}]});
        let connectivity = serde_json::from_value(connectivity).unwrap();
        let observation = Observation { connectivity: Some(connectivity), ..lookup("nxdomain", &[]) };
        let outcome = Outcome::Observed { observation: Box::new(observation) };
        let read = observed(Ok(reply(&order, outcome)), &order, "bastion");
        assert_eq!(read.connectivity.unwrap().unasked, ["a.example:53"]);
    }

    #[test]
    fn what_is_not_an_observation_of_this_order_says_nothing_of_the_cluster() {
        let order = order("a", &target(), &options(), Duration::from_mins(1));
        let seen = Outcome::Observed { observation: Box::new(lookup("nxdomain", &[])) };
        assert!(observed(Ok(reply(&order, seen.clone())), &order, "bastion").vantage_error.is_none());
        let stranger = Reply { id: "other".to_owned(), ..reply(&order, seen) };
        let refused = Outcome::Refused { reason: Refusal::NotPermitted, detail: "port 22".to_owned() };
        let unsigned = Outcome::Refused { reason: Refusal::BadSignature, detail: "signed by another key".to_owned() };
        for (reply, word) in [
            (Ok(stranger), "another order"),
            (Ok(reply(&order, refused)), "may not probe this: port 22"),
            (Ok(reply(&order, unsigned)), "start the agent with `--controller-key`"),
            (Err(MessageError::OtherVersion(0)), "older"),
            (Err(MessageError::OtherVersion(2)), "newer"),
            (Err(MessageError::Malformed("no JSON".to_owned())), "no JSON"),
        ] {
            let error = observed(reply, &order, "bastion").vantage_error.unwrap();
            assert!(error.contains(word) && error.contains("bastion"), "{error}");
        }
    }
}
