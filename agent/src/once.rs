//! One order in, one line out: for channels that carry a command and its bounded output.

use std::io::{Read, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use kubereach_probes::Run;

use crate::{
    order::{self, MAXIMUM_ORDER_BYTES, MAXIMUM_REPLY_BYTES, MessageError, Order, Reply},
    reduce,
    worker::Worker,
};

/// The environment variable that holds the order.
pub const VARIABLE: &str = "KUBEREACH_ORDER";

/// Stands before the reply, on a line of its own.
pub const MARKER: &str = "KUBEREACH-REPLY-1:";

/// Carries out the packed order, and prints the packed reply to stdout.
///
/// # Errors
/// When stdout is gone.
pub(crate) async fn answer(worker: &Worker, packed: &str, limit: usize) -> Result<(), String> {
    let reply = match unpack(packed.trim(), MAXIMUM_ORDER_BYTES) {
        Ok(order) => worker.answer(&order, &Run::unattended()).await,
        Err(error) => worker.refuse("", order::Refusal::Malformed, error.to_string()),
    };
    let line = pack_reply(reply, limit);
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to stdout: {error}"))
}

/// The order as the value of [`VARIABLE`]: its JSON, deflated (RFC 1950), in base64.
#[must_use]
pub fn pack_order(order: &Order) -> String {
    STANDARD.encode(deflate(&order::write(order)))
}

/// The reply as one line of at most `limit` bytes: [`MARKER`], then its JSON, deflated (RFC 1950), in base64.
///
/// What does not fit is left out, as [`kubereach_probes::Observation::left_out`] then says; outcomes never are.
#[must_use]
pub fn pack_reply(reply: Reply, limit: usize) -> String {
    let pack = |reply: &Reply| format!("{MARKER}{}", STANDARD.encode(deflate(&order::write(reply))));
    // The end of the line counts.
    let reply = reduce::to_fit(reply, |reply| pack(reply).len() < limit, limit);
    pack(&reply)
}

/// Finds the reply in what a command printed; the last one counts.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn unpack_reply(output: &str) -> Result<Reply, MessageError> {
    let packed = output
        .lines()
        .rev()
        .find_map(|line| line.trim_end().split_once(MARKER))
        .map(|(_, packed)| packed)
        .ok_or_else(|| MessageError::Malformed(format!("no line of it begins with {MARKER}")))?;
    order::read(&unpack(packed, MAXIMUM_REPLY_BYTES)?, MAXIMUM_REPLY_BYTES)
}

/// Base64 of JSON, or of deflated JSON, of at most `maximum` bytes.
fn unpack(packed: &str, maximum: usize) -> Result<Vec<u8>, MessageError> {
    let bytes = STANDARD
        .decode(packed)
        .map_err(|error| MessageError::Malformed(format!("it is not base64 (cut off, perhaps): {error}")))?;
    if bytes.first() == Some(&b'{') {
        return if bytes.len() > maximum { Err(MessageError::TooLong(bytes.len(), maximum)) } else { Ok(bytes) };
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(bytes.as_slice()).take(maximum as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| MessageError::Malformed(format!("it cannot be inflated: {error}")))?;
    if plain.len() > maximum { Err(MessageError::TooLong(plain.len(), maximum)) } else { Ok(plain) }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use kubereach_probes::Observation;

    use super::*;
    use crate::{
        order::{Outcome, PROTOCOL, Refusal},
        reduce::tests::large,
    };

    fn reply(observation: Observation) -> Reply {
        Reply {
            protocol: PROTOCOL,
            id: "order-1".to_owned(),
            agent: "a".to_owned(),
            finished_at: Timestamp::UNIX_EPOCH,
            outcome: Outcome::Observed { observation: Box::new(observation) },
        }
    }

    fn observation(reply: &Reply) -> &Observation {
        let Outcome::Observed { observation } = &reply.outcome else { panic!("{reply:?}") };
        observation
    }

    #[test]
    fn a_reply_is_found_in_what_a_command_prints() {
        let line = pack_reply(reply(large(2)), 24_000);
        for output in [line.clone(), format!("Last login: …\n{line}\n"), format!("motd{line}\r\nbye\n")] {
            assert_eq!(observation(&unpack_reply(&output).unwrap()).attempts.len(), 2);
        }
        for (output, word) in [
            (String::new(), "no line"),
            (format!("{line}.."), "base64"),
            (line[..line.len() - 9].to_owned(), ""),
            (format!("{MARKER}AAAA"), "inflated"),
            (format!("{MARKER}{}", STANDARD.encode(deflate(b"{}"))), "protocol"),
        ] {
            let error = unpack_reply(&output).expect_err("an error").to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_reply_keeps_within_its_limit_and_says_what_it_leaves_out() {
        for (addresses, limit) in
            [(1, 24_000), (1, 1_000), (8, 24_000), (8, 4_000), (64, 24_000), (64, 8_000), (64, 1_000)]
        {
            let line = pack_reply(reply(large(addresses)), limit);
            assert!(line.len() < limit, "{} of {limit}", line.len());
            let back = unpack_reply(&line).unwrap();
            let back = observation(&back);
            if let Some(error) = &back.vantage_error {
                assert!(
                    limit < 24_000 && back.attempts.is_empty() && error.contains("does not fit"),
                    "{limit} {error}"
                );
                continue;
            }
            let whole = large(addresses);
            let outcomes = |observation: &Observation| -> Vec<_> {
                let one = |a: &kubereach_probes::Attempt| {
                    (a.address, a.tcp.outcome, a.tls.outcome, a.http.outcome, a.observed, a.skipped.clone())
                };
                observation.attempts.iter().map(one).collect()
            };
            assert_eq!(outcomes(back), outcomes(&whole));
            assert_eq!(back.dns.len(), whole.dns.len());
            let complete = serde_json::to_value(back).unwrap() == serde_json::to_value(&whole).unwrap();
            assert_eq!(complete, back.left_out == whole.left_out, "{:?}", back.left_out);
        }
    }

    #[test]
    fn inflating_is_bounded() {
        let bomb = STANDARD.encode(deflate(&vec![b' '; 64 << 20]));
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb, 1000), Err(MessageError::TooLong(1001, 1000)));
        assert!(matches!(unpack_reply(&format!("{MARKER}{bomb}")), Err(MessageError::TooLong(..))));
        let plain = STANDARD.encode([b"{", vec![b' '; 2000].as_slice()].concat());
        assert_eq!(unpack(&plain, 1000), Err(MessageError::TooLong(2001, 1000)));
        assert!(matches!(unpack("eJw=", 1000), Err(MessageError::Malformed(_))));
    }

    #[test]
    fn a_refusal_always_fits() {
        let outcome = Outcome::Refused { reason: Refusal::Busy, detail: "x".repeat(600) };
        assert!(pack_reply(Reply { outcome, ..reply(Observation::default()) }, 1_000).len() < 1_000);
    }
}
