//! What every transport does before an order goes out and after its reply has come.

use std::time::Duration;

use jiff::Timestamp;
use kubereach_agent::{MessageError, Order, Outcome, PROTOCOL, ProbeOrder, Refusal, Reply, order::LONGEST_VALIDITY};
use kubereach_probes::{Observation, Options, Target};

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
        Outcome::Observed { observation } => *observation,
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

    #[test]
    fn what_is_not_an_observation_of_this_order_says_nothing_of_the_cluster() {
        let order = order("a", &target(), &options(), Duration::from_mins(1));
        let seen = Outcome::Observed { observation: Box::default() };
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
