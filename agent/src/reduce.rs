//! Makes a reply fit: what is worth least goes first, and the observation says what went. No outcome ever goes.

use kubereach_probes::{Certificate, DnsObservation, Observation, PathTrace};

use crate::order::{Outcome, Reply};

/// The reply, reduced step by step until it fits; when nothing helps, one that says so.
pub(crate) fn to_fit(mut reply: Reply, fits: impl Fn(&Reply) -> bool, limit: usize) -> Reply {
    if fits(&reply) {
        return reply;
    }
    let words = format!("left out so that the reply fits into {limit} bytes: ");
    let mut gone: Vec<&str> = Vec::new();
    for (what, step) in STEPS {
        let Outcome::Observed { observation } = &mut reply.outcome else { break };
        step(observation);
        if gone.is_empty() {
            observation.left_out.push(String::new());
        }
        gone.push(what);
        if let Some(last) = observation.left_out.last_mut() {
            *last = format!("{words}{}", gone.join(", "));
        }
        if fits(&reply) {
            return reply;
        }
    }
    if let Outcome::Observed { observation } = &mut reply.outcome {
        // Half of the outcomes would be read as the whole.
        let vantage_error = format!(
            "what this vantage saw of {} addresses does not fit into a reply of {limit} bytes",
            observation.attempts.len()
        );
        **observation = Observation {
            started_at: observation.started_at,
            ms: observation.ms,
            vantage_error: Some(vantage_error),
            ..Observation::default()
        };
    }
    reply
}

/// What goes, in words, and how.
type Step = (&'static str, fn(&mut Observation));

/// What goes, in this order.
const STEPS: [Step; 10] = [
    ("traces", |observation| {
        for attempt in &mut observation.attempts {
            keep_a_hop(&mut attempt.trace);
        }
    }),
    ("canaries", |observation| {
        observation.canaries.retain(DnsObservation::is_heard);
        observation.canaries.truncate(1);
        observation.canaries.iter_mut().for_each(keep_a_word);
    }),
    ("the single questions of other resolvers", |observation| {
        observation.dns.iter_mut().skip(1).for_each(keep_a_word);
    }),
    ("other handshakes", |observation| {
        for attempt in &mut observation.attempts {
            attempt.tls.variants.clear();
        }
    }),
    ("long texts of certificates", |observation| {
        for certificate in certificates(observation) {
            shorten(&mut certificate.subject);
            shorten(&mut certificate.issuer);
            certificate.names.truncate(8);
            certificate.names.iter_mut().for_each(shorten);
        }
    }),
    ("the single requests", |observation| {
        for attempt in &mut observation.attempts {
            attempt.http.requests.clear();
        }
    }),
    ("certificates beyond the first", |observation| {
        for attempt in &mut observation.attempts {
            attempt.tls.chain.truncate(1);
        }
    }),
    ("long details", |observation| {
        for answer in &mut observation.dns {
            answer.detail.iter_mut().for_each(shorten);
            for query in &mut answer.queries {
                query.detail.iter_mut().for_each(shorten);
                query.extended_errors.clear();
            }
        }
        for attempt in &mut observation.attempts {
            for detail in [&mut attempt.tcp.detail, &mut attempt.tls.detail, &mut attempt.http.detail] {
                detail.iter_mut().for_each(shorten);
            }
        }
        observation.left_out.iter_mut().for_each(shorten);
    }),
    ("routes, repeats, path sizes", |observation| {
        for attempt in &mut observation.attempts {
            attempt.route = None;
            attempt.repeats = None;
            attempt.path_mtu = None;
        }
    }),
    ("the single questions of the deciding resolver", |observation| {
        observation.dns.iter_mut().for_each(keep_a_word);
    }),
];

/// Of the questions goes what is not needed to see that a server answered at all: without it, the reader would take this
/// host for one that is offline.
fn keep_a_word(answer: &mut DnsObservation) {
    let heard = answer.queries.iter().position(|query| query.outcome.is_message());
    let one = heard.map(|index| answer.queries.swap_remove(index));
    answer.queries.clear();
    if !answer.is_heard() {
        answer.queries.extend(one);
    }
}

/// For the same reason one hop of a trace stays.
fn keep_a_hop(trace: &mut Option<PathTrace>) {
    if let Some(trace) = trace {
        trace.hops.truncate(1);
        trace.note = None;
    }
    if trace.as_ref().is_some_and(|trace| trace.hops.is_empty()) {
        *trace = None;
    }
}

fn certificates(observation: &mut Observation) -> impl Iterator<Item = &mut Certificate> {
    let proxy = observation.proxy.iter_mut().filter_map(|proxy| proxy.tls.as_mut());
    observation.attempts.iter_mut().map(|attempt| &mut attempt.tls).chain(proxy).flat_map(|tls| tls.chain.iter_mut())
}

fn shorten(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(SHORT) {
        text.truncate(at);
        text.push('…');
    }
}

const SHORT: usize = 80;

#[cfg(test)]
pub(crate) mod tests {
    use std::net::IpAddr;

    use super::*;

    /// An observation with much in every place, of as many addresses, and text that does not deflate well.
    pub(crate) fn large(addresses: u8) -> Observation {
        let mut noise = 1_u64;
        let mut text = |length: usize| -> String {
            let mut letter = || {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'a' + u8::try_from((noise >> 33) % 26).unwrap())
            };
            (0..length).map(|_| letter()).collect()
        };
        let stage = |detail: String| {
            let certificate = serde_json::json!({"subject": detail, "issuer": detail, "notBefore": null, "notAfter": null,
                "sha256": detail[..64], "names": vec![detail.clone(); 9]});
            let variant =
                serde_json::json!({"kind": "no-server-name", "outcome": "alert", "ms": 3.0, "detail": detail});
            serde_json::json!({"outcome": "untrusted", "ms": 1.5, "version": "1.3", "suite": null, "keyExchange": null,
                "alpn": "h2", "serverName": "api.example", "detail": detail, "checks": null, "variants": [variant],
                "chain": vec![certificate; 3]})
        };
        let attempts: Vec<_> = (0..addresses)
            .map(|last| {
                serde_json::json!({"address": IpAddr::from([10, 0, 0, last]), "port": 443, "class": "private",
                    "resolvers": ["system"], "decides": true, "skipped": null,
                    "tcp": {"outcome": "connected", "ms": 2.0, "detail": null, "source": null, "icmp": null},
                    "tls": stage(text(150)),
                    "http": {"outcome": "not-api-server", "status": 302, "ms": 4.0, "version": null, "detail": text(150),
                        "date": null, "clockAheadSeconds": null, "server": null, "location": null,
                        "authenticated": false, "http1Outcome": null,
                        "requests": [{"path": "/version", "status": 302, "ms": 4.0, "body": "html"}]},
                    "observed": "unreachable", "route": null, "repeats": null, "pathMtu": null,
                    "trace": {"hops": [], "note": text(200)}})
            })
            .collect();
        let dns: Vec<_> = ["system", "public"]
            .map(|resolver| {
                let query = serde_json::json!({"server": "10.0.0.2:53", "name": "api.example", "type": "A",
                    "transport": "udp", "outcome": "answer", "rcode": "NOERROR", "authoritative": false,
                    "recursionAvailable": true, "extendedErrors": [text(100)], "ignored": 0, "ms": 1.0,
                    "detail": text(200)});
                serde_json::json!({"resolver": resolver, "server": "10.0.0.2:53", "name": "api.example",
                    "outcome": "answer", "addresses": ["10.0.0.1"], "cnames": [], "ttl": 60, "class": "private",
                    "ms": 1.0, "source": "server", "detail": text(300), "queries": [query]})
            })
            .to_vec();
        serde_json::from_value(serde_json::json!({"dns": dns, "attempts": attempts})).unwrap()
    }

    #[test]
    fn what_shows_that_this_host_hears_somebody_stays() {
        let whole = large(2);
        let mut split = whole.clone();
        // One family timed out, the other has no record: the outcome alone tells nothing of the answer.
        split.dns[0].outcome = kubereach_probes::DnsOutcome::Timeout;
        split.dns[0].queries[0].outcome = kubereach_probes::DnsOutcome::Nodata;
        let hop = serde_json::json!({"ttl": 1, "address": "10.0.0.254", "ms": 1.0, "said": "time exceeded"});
        let trace = serde_json::json!({"hops": vec![hop; 9], "note": "long"});
        split.attempts[0].trace = serde_json::from_value(trace).unwrap();
        split.canaries = vec![whole.dns[0].clone(), split.dns[0].clone()];
        for (_, step) in STEPS {
            step(&mut split);
        }
        assert!(split.dns[0].is_heard() && split.dns[0].queries.len() == 1);
        assert!(split.dns[1].is_heard() && split.dns[1].queries.is_empty());
        assert_eq!(split.attempts[0].trace.as_ref().map(|trace| trace.hops.len()), Some(1));
        assert_eq!((split.canaries.len(), split.canaries[0].is_heard()), (1, true));
    }

    #[test]
    fn steps_go_in_their_order_and_never_further_than_needed() {
        let reply = |observation| Reply {
            protocol: crate::PROTOCOL,
            id: "a".to_owned(),
            agent: "a".to_owned(),
            finished_at: jiff::Timestamp::UNIX_EPOCH,
            outcome: Outcome::Observed { observation: Box::new(observation) },
        };
        let seen = |reply: &Reply| match &reply.outcome {
            Outcome::Observed { observation } => (**observation).clone(),
            Outcome::Refused { .. } => panic!("{reply:?}"),
        };
        let untraced = |reply: &Reply| seen(reply).attempts.iter().all(|attempt| attempt.trace.is_none());
        let first = seen(&to_fit(reply(large(3)), untraced, 9));
        assert_eq!(first.left_out, ["left out so that the reply fits into 9 bytes: traces"]);
        assert_eq!(first.attempts[0].tls.variants.len(), 1);
        let trace = PathTrace { hops: Vec::new(), note: None };
        assert!(large(3).attempts.iter().all(|attempt| attempt.trace.as_ref() != Some(&trace)));
        let none = seen(&to_fit(reply(large(3)), |_| false, 9));
        assert!(none.vantage_error.unwrap().contains("3 addresses"));
        let twice =
            |reply: &Reply| seen(reply).canaries.is_empty() && seen(reply).left_out.len() == 1 && untraced(reply);
        let again = seen(&to_fit(reply(large(3)), |reply| twice(reply) && seen(reply).dns[1].queries.is_empty(), 9));
        assert!(again.left_out[0].ends_with("traces, canaries, the single questions of other resolvers"));
    }
}
