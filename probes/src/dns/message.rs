//! DNS messages, pure: bytes in, facts out. No sockets, no clock.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use hickory_resolver::proto::{
    ProtoError,
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
    serialize::binary::{BinDecodable, BinDecoder},
};

use crate::DnsOutcome;

/// One question: a fully qualified name and `A` or `AAAA`.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The name, fully qualified.
    pub(crate) name: Name,
    /// The record type.
    pub(crate) record_type: RecordType,
}

/// A question as bytes, and the id that its answer must carry.
pub(crate) struct Packet {
    /// Random identifier.
    pub(crate) id: u16,
    /// The message as it goes on the wire, without the length prefix of TCP.
    pub(crate) bytes: Vec<u8>,
}

impl Question {
    /// Encodes the question under a new random id, with or without EDNS (payload size [`OFFERED_PAYLOAD`]).
    pub(crate) fn encode(&self, with_edns: bool) -> Result<Packet, ProtoError> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.record_type));
        if with_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(OFFERED_PAYLOAD).set_version(0);
            message.set_edns(edns);
        }
        Ok(Packet { id: message.metadata.id, bytes: message.to_vec()? })
    }
}

/// What a packet is to a question.
#[derive(Debug)]
pub(crate) enum Screened {
    /// Not an answer to it: why.
    Ignored(&'static str),
    /// An answer whose TC flag asks for TCP.
    Truncated,
    /// An answer to it that is no valid message: why.
    Malformed(String),
    /// An answer.
    Message(Box<Message>),
}

/// Decides whether `bytes` answer `question` as asked under `id`, and decodes them if so.
///
/// The header and the question are read on their own first, so that a stray packet is never taken for a broken answer
/// and a truncated one need not be whole.
pub(crate) fn screen(bytes: &[u8], id: u16, question: &Question) -> Screened {
    let Some(header) = bytes.first_chunk::<HEADER_LENGTH>() else {
        return Screened::Ignored("shorter than a header");
    };
    if u16::from_be_bytes([header[0], header[1]]) != id {
        return Screened::Ignored("another id");
    }
    if header[2] & 0b1000_0000 == 0 || header[2] & 0b0111_1000 != u8::from(OpCode::Query) << 3 {
        return Screened::Ignored("not a response to a query");
    }
    match u16::from_be_bytes([header[4], header[5]]) {
        // Some servers send nothing but the header with an error code.
        0 if !matches!(header[3] & 0x0f, RCODE_NO_ERROR | RCODE_NXDOMAIN) => {}
        0 => return Screened::Ignored("no question"),
        1 => match question_of(bytes) {
            Err(error) => return Screened::Malformed(format!("its question does not parse: {error}")),
            Ok(asked)
                if asked.query_type != question.record_type
                    || asked.query_class != DNSClass::IN
                    || !asked.name.eq_ignore_root(&question.name) =>
            {
                return Screened::Ignored("another question");
            }
            Ok(_) => {}
        },
        count => return Screened::Malformed(format!("{count} questions in an answer")),
    }
    if header[2] & 0b0000_0010 != 0 {
        return Screened::Truncated;
    }
    match Message::from_vec(bytes) {
        Ok(message) => Screened::Message(Box::new(message)),
        Err(error) => Screened::Malformed(error.to_string()),
    }
}

fn question_of(bytes: &[u8]) -> Result<Query, String> {
    let mut decoder = BinDecoder::new(bytes);
    decoder.read_slice(HEADER_LENGTH).map_err(|error| error.to_string())?;
    Query::read(&mut decoder).map_err(|error| error.to_string())
}

/// Whether a message may only mean that the server does not know EDNS.
pub(crate) fn refuses_edns(message: &Message) -> bool {
    match message.metadata.response_code {
        ResponseCode::FormErr | ResponseCode::NotImp => message.edns.is_none(),
        code => code == ResponseCode::BADVERS,
    }
}

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What came of the question.
    pub(crate) outcome: DnsOutcome,
    /// Addresses at the end of the chain, in order, without repeats, at most [`MOST_ADDRESSES`].
    pub(crate) addresses: Vec<IpAddr>,
    /// The chain of canonical names, at most [`MOST_CNAMES`].
    pub(crate) cnames: Vec<String>,
    /// Smallest time to live of the records used, in seconds.
    pub(crate) ttl: Option<u32>,
    /// Response code by its name in the registry.
    pub(crate) rcode: String,
    /// AA flag.
    pub(crate) authoritative: bool,
    /// RA flag.
    pub(crate) recursion_available: bool,
    /// Extended DNS errors as `code text`.
    pub(crate) extended_errors: Vec<String>,
    /// What a reader should know beyond the outcome.
    pub(crate) notes: Vec<String>,
}

/// Reads the answer to `question` out of a message: the chain that starts at the question, nothing else.
pub(crate) fn read(message: &Message, question: &Question) -> Reading {
    let code = message.metadata.response_code;
    let mut reading = Reading {
        outcome: DnsOutcome::Nodata,
        addresses: Vec::new(),
        cnames: Vec::new(),
        ttl: None,
        rcode: rcode_name(code),
        authoritative: message.metadata.authoritative,
        recursion_available: message.metadata.recursion_available,
        extended_errors: extended_errors(message),
        notes: Vec::new(),
    };
    let end = match follow(message, question, &mut reading) {
        Ok(end) => end,
        Err(reason) => {
            reading.outcome = DnsOutcome::Malformed;
            reading.notes.push(reason);
            return reading;
        }
    };
    reading.outcome = match code {
        ResponseCode::NoError if !reading.addresses.is_empty() => DnsOutcome::Answer,
        ResponseCode::NoError if is_referral(message) => {
            reading.notes.push("it only refers to other name servers (no recursion)".into());
            DnsOutcome::Servfail
        }
        ResponseCode::NoError => DnsOutcome::Nodata,
        ResponseCode::NXDomain => DnsOutcome::Nxdomain,
        ResponseCode::Refused => DnsOutcome::Refused,
        ResponseCode::ServFail => DnsOutcome::Servfail,
        // The contract has no outcome of their own for these: the server could not find out.
        _ => {
            reading.notes.push(format!("response code {}", reading.rcode));
            DnsOutcome::Servfail
        }
    };
    if reading.outcome != DnsOutcome::Answer {
        if !reading.addresses.is_empty() {
            reading.notes.push(format!("{} addresses beside {} were dropped", reading.addresses.len(), reading.rcode));
            reading.addresses.clear();
        }
        reading.ttl = match reading.outcome {
            DnsOutcome::Nodata | DnsOutcome::Nxdomain => negative_ttl(message, &end),
            _ => None,
        };
    }
    reading
}

/// Follows the chain of canonical names, fills addresses, names and time to live; returns the name it ends at.
fn follow(message: &Message, question: &Question, reading: &mut Reading) -> Result<Name, String> {
    let mut records: HashMap<Name, Vec<(&RData, u32)>> = HashMap::new();
    for record in message.answers.iter().filter(|record| record.dns_class == DNSClass::IN) {
        let mut owner = record.name.clone();
        owner.set_fqdn(true);
        records.entry(owner).or_default().push((&record.data, usable_ttl(record.ttl)));
    }
    let mut current = question.name.clone();
    current.set_fqdn(true);
    let mut seen = HashSet::from([current.clone()]);
    let mut chain = 0_usize;
    loop {
        let here = records.get(&current).map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<(IpAddr, u32)> = here
            .iter()
            .filter_map(|(data, ttl)| match (data, question.record_type) {
                (RData::A(address), RecordType::A) => Some((IpAddr::V4(address.0), *ttl)),
                (RData::AAAA(address), RecordType::AAAA) => Some((IpAddr::V6(address.0), *ttl)),
                _ => None,
            })
            .collect();
        if !addresses.is_empty() {
            let mut known = HashSet::new();
            for (address, ttl) in addresses {
                shorten(&mut reading.ttl, ttl);
                if known.insert(address) && known.len() <= MOST_ADDRESSES {
                    reading.addresses.push(address);
                }
            }
            if known.len() > MOST_ADDRESSES {
                reading.notes.push(format!("{} addresses, the first {MOST_ADDRESSES} are kept", known.len()));
            }
            break;
        }
        let Some((target, ttl)) = here.iter().find_map(|(data, ttl)| match data {
            RData::CNAME(target) => Some((&target.0, *ttl)),
            _ => None,
        }) else {
            break;
        };
        shorten(&mut reading.ttl, ttl);
        chain += 1;
        if chain <= MOST_CNAMES {
            reading.cnames.push(plain_name(target));
        }
        current = target.clone();
        current.set_fqdn(true);
        if !seen.insert(current.clone()) {
            return Err(format!("canonical names loop at {}", plain_name(&current)));
        }
    }
    if chain > MOST_CNAMES {
        reading.notes.push(format!("{chain} canonical names, the first {MOST_CNAMES} are kept"));
    }
    Ok(current)
}

fn is_referral(message: &Message) -> bool {
    let has = |record_type| message.authorities.iter().any(|record| record.record_type() == record_type);
    !message.metadata.authoritative
        && !message.metadata.recursion_available
        && message.answers.is_empty()
        && has(RecordType::NS)
        && !has(RecordType::SOA)
}

/// RFC 2308 section 5: the smaller of the SOA record's own time to live and its MINIMUM field.
fn negative_ttl(message: &Message, name: &Name) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) if record.name.zone_of(name) => Some(usable_ttl(record.ttl).min(usable_ttl(soa.minimum))),
        _ => None,
    })
}

/// RFC 2181 section 8: a time to live with the highest bit set counts as zero.
const fn usable_ttl(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl }
}

fn shorten(ttl: &mut Option<u32>, other: u32) {
    *ttl = Some(ttl.map_or(other, |ttl| ttl.min(other)));
}

/// A name in ASCII without the trailing dot; unprintable bytes are escaped.
pub(crate) fn plain_name(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(stripped) if !stripped.is_empty() => stripped.to_owned(),
        _ => text,
    }
}

/// Text from the network, fit for a terminal: no control characters, at most [`LONGEST_TEXT`] characters.
pub(crate) fn printable(text: &str) -> String {
    let mut clean: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(LONGEST_TEXT).collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        clean.push('…');
    }
    clean.trim().to_owned()
}

fn extended_errors(message: &Message) -> Vec<String> {
    let Some(edns) = &message.edns else { return Vec::new() };
    edns.options()
        .get_all(EdnsCode::Unknown(EXTENDED_ERROR_OPTION))
        .into_iter()
        .filter_map(|option| match option {
            EdnsOption::Unknown(_, data) => {
                let (code, text) = data.split_first_chunk::<2>()?;
                Some(extended_error(u16::from_be_bytes(*code), text))
            }
            _ => None,
        })
        .take(MOST_EXTENDED_ERRORS)
        .collect()
}

fn extended_error(code: u16, text: &[u8]) -> String {
    let name = EXTENDED_ERROR_NAMES.get(usize::from(code)).copied().unwrap_or("Unassigned");
    let text = printable(&String::from_utf8_lossy(text));
    if text.is_empty() { format!("{code} {name}") } else { format!("{code} {name}: {text}") }
}

fn rcode_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        other => return format!("RCODE{}", u16::from(other)),
    }
    .to_owned()
}

/// Payload size that every question offers over UDP (bytes): larger answers come over TCP.
pub(crate) const OFFERED_PAYLOAD: u16 = 1232;
/// Addresses kept of one answer.
/// More than are dialled, so that an answer with more of them is not taken for a complete one.
pub(crate) const MOST_ADDRESSES: usize = 128;
/// Canonical names kept of one answer.
pub(crate) const MOST_CNAMES: usize = 16;
const MOST_EXTENDED_ERRORS: usize = 8;
const LONGEST_TEXT: usize = 200;
const HEADER_LENGTH: usize = 12;
const RCODE_NO_ERROR: u8 = 0;
const RCODE_NXDOMAIN: u8 = 3;
const EXTENDED_ERROR_OPTION: u16 = 15;
/// Names by code: RFC 8914 section 4 and the IANA registry "Extended DNS Error Codes".
const EXTENDED_ERROR_NAMES: [&str; 31] = [
    "Other Error",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable to conform to policy",
    "Synthesized",
    "Invalid Query Type",
];

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::{
        op::MessageType,
        rr::{Record, rdata},
    };
    use proptest::prelude::*;

    use super::*;

    fn question(record_type: RecordType) -> Question {
        Question { name: Name::from_ascii("api.example.test.").unwrap(), record_type }
    }

    fn message(code: ResponseCode) -> Message {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(question(RecordType::A).name, RecordType::A));
        message
    }

    fn record(owner: &str, ttl: u32, data: RData) -> Record {
        Record::from_rdata(Name::from_ascii(owner).unwrap(), ttl, data)
    }

    fn cname(target: &str) -> RData {
        RData::CNAME(rdata::CNAME(Name::from_ascii(target).unwrap()))
    }

    fn soa(minimum: u32) -> RData {
        let name = Name::from_ascii("ns.test.").unwrap();
        RData::SOA(rdata::SOA::new(name.clone(), name, 1, 2, 3, 4, minimum))
    }

    fn a(last: u8) -> RData {
        RData::A(rdata::A::new(192, 0, 2, last))
    }

    #[test]
    fn only_the_chain_that_starts_at_the_question_is_followed() {
        let mut answer = message(ResponseCode::NoError);
        answer.add_answers([
            record("LB.example.test.", 20, a(1)),
            record("lb.example.test.", 30, a(1)),
            record("lb.example.test.", 40, a(2)),
            record("stranger.test.", 1, a(66)),
            record("API.example.test.", 300, cname("lb.example.test.")),
        ]);
        let reading = read(&answer, &question(RecordType::A));
        assert_eq!(reading.outcome, DnsOutcome::Answer);
        assert_eq!(reading.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap(), "192.0.2.2".parse().unwrap()]);
        assert_eq!(reading.cnames, ["lb.example.test"]);
        assert_eq!(reading.ttl, Some(20));
    }

    #[test]
    fn a_loop_of_canonical_names_is_malformed() {
        let mut answer = message(ResponseCode::NoError);
        answer.add_answers([
            record("api.example.test.", 1, cname("b.test.")),
            record("b.test.", 1, cname("API.example.test.")),
        ]);
        let reading = read(&answer, &question(RecordType::A));
        assert_eq!(reading.outcome, DnsOutcome::Malformed);
        assert!(reading.notes[0].contains("loop"), "{reading:?}");
    }

    #[test]
    fn long_answers_are_cut_and_say_so() {
        let mut answer = message(ResponseCode::NoError);
        answer.add_answer(record("api.example.test.", 9, cname("n0.test.")));
        answer.add_answers((0..29).map(|n| record(&format!("n{n}.test."), 9, cname(&format!("n{}.test.", n + 1)))));
        answer.add_answers((1..=200).map(|last| record("n29.test.", 9, a(last))));
        let reading = read(&answer, &question(RecordType::A));
        assert_eq!((reading.addresses.len(), reading.cnames.len()), (MOST_ADDRESSES, 16));
        assert_eq!(
            reading.notes,
            ["200 addresses, the first 128 are kept", "30 canonical names, the first 16 are kept"]
        );
    }

    #[test]
    fn response_codes_have_their_outcomes() {
        for (code, outcome) in [
            (ResponseCode::NoError, DnsOutcome::Nodata),
            (ResponseCode::NXDomain, DnsOutcome::Nxdomain),
            (ResponseCode::ServFail, DnsOutcome::Servfail),
            (ResponseCode::Refused, DnsOutcome::Refused),
            (ResponseCode::NotImp, DnsOutcome::Servfail),
            (ResponseCode::Unknown(3841), DnsOutcome::Servfail),
        ] {
            assert_eq!(read(&message(code), &question(RecordType::A)).outcome, outcome, "{code:?}");
        }
    }

    #[test]
    fn negative_ttl_is_the_smaller_of_the_two_and_of_the_right_zone() {
        for (own, minimum, zone, ttl) in [
            (900, 60, "example.test.", Some(60)),
            (30, 60, "example.test.", Some(30)),
            (30, 60, "other.test.", None),
            (u32::MAX, 60, "test.", Some(0)),
        ] {
            let mut answer = message(ResponseCode::NXDomain);
            answer.add_authority(record(zone, own, soa(minimum)));
            assert_eq!(read(&answer, &question(RecordType::A)).ttl, ttl);
        }
    }

    #[test]
    fn a_referral_is_no_answer() {
        let mut answer = message(ResponseCode::NoError);
        answer.add_authority(record("test.", 9, RData::NS(rdata::NS(Name::from_ascii("ns.test.").unwrap()))));
        assert_eq!(read(&answer, &question(RecordType::A)).outcome, DnsOutcome::Servfail);
    }

    #[test]
    fn extended_errors_carry_the_name_of_their_code_and_no_control_characters() {
        assert_eq!(extended_error(15, b"by policy\x1b[31m\n"), "15 Blocked: by policy [31m");
        assert_eq!(extended_error(23, b""), "23 Network Error");
        assert_eq!(extended_error(4000, b"\xff"), "4000 Unassigned: \u{fffd}");
        assert!(extended_error(0, &[b'x'; 5000]).len() < 250);
    }

    #[test]
    fn strangers_are_ignored_and_broken_answers_are_malformed() {
        let mut answer = message(ResponseCode::NoError);
        answer.add_answer(record("api.example.test.", 20, a(1)));
        let bytes = answer.to_vec().unwrap();
        let asked = question(RecordType::A);
        assert!(matches!(screen(&bytes, 7, &asked), Screened::Message(_)));
        assert!(matches!(screen(&bytes, 8, &asked), Screened::Ignored("another id")));
        assert!(matches!(screen(&bytes, 7, &question(RecordType::AAAA)), Screened::Ignored("another question")));
        let mut own = bytes.clone();
        own[2] &= 0x7f;
        assert!(matches!(screen(&own, 7, &asked), Screened::Ignored("not a response to a query")));
        assert!(matches!(screen(&bytes[..bytes.len() - 3], 7, &asked), Screened::Malformed(_)));
        assert!(matches!(screen(&bytes[..20], 7, &asked), Screened::Malformed(_)));
        let mut truncated = bytes.clone();
        truncated[2] |= 0b10;
        assert!(matches!(screen(&truncated[..bytes.len() - 3], 7, &asked), Screened::Truncated));
        let mut bare_refusal = bytes[..12].to_vec();
        bare_refusal[3] = 5;
        bare_refusal[4..12].fill(0);
        assert!(matches!(screen(&bare_refusal, 7, &asked), Screened::Message(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_screened_and_read_without_panic(tail in proptest::collection::vec(any::<u8>(), 0..600), flips in proptest::collection::vec((0_usize..200, any::<u8>()), 0..6)) {
            let asked = question(RecordType::A);
            let mut valid = message(ResponseCode::NoError);
            valid.add_answers([record("api.example.test.", 5, cname("b.test.")), record("b.test.", 5, a(1))]);
            valid.add_authority(record("test.", 5, soa(3)));
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, 15, b'x']));
            valid.set_edns(edns);
            let mut flipped = valid.to_vec().unwrap();
            for (at, value) in flips {
                let length = flipped.len();
                flipped[at % length] = value;
            }
            let mut after_question = message(ResponseCode::NoError).to_vec().unwrap();
            after_question[6..12].fill(1);
            after_question.extend_from_slice(&tail);
            for bytes in [tail, flipped, after_question] {
                if let Screened::Message(message) = screen(&bytes, 7, &asked) {
                    let reading = read(&message, &asked);
                    prop_assert!(reading.addresses.len() <= MOST_ADDRESSES && reading.cnames.len() <= MOST_CNAMES);
                }
            }
        }
    }
}
