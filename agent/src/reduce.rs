//! Makes a reply fit: what is worth least goes first, and the observation says what went. No outcome ever goes.

use kubereach_probes::{Certificate, Observation};

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

/// What goes, in this order.
const STEPS: [(&str, fn(&mut Observation)); 10] = [
    ("traces", |observation| {
        for attempt in &mut observation.attempts {
            attempt.trace = None;
        }
    }),
    ("canaries", |observation| observation.canaries.clear()),
    ("the single questions of other resolvers", |observation| {
        for answer in observation.dns.iter_mut().skip(1) {
            answer.queries.clear();
        }
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
        for answer in &mut observation.dns {
            answer.queries.clear();
        }
    }),
];

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
