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
