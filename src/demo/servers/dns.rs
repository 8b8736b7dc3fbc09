//! An authoritative DNS server whose answers depend on who asks, where, and when; and which can lie.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_resolver::proto::{
    op::{Edns, Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA, opt::EdnsOption},
    },
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::{Running, ServerError};

/// A DNS server. A name that no view knows does not exist.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DnsServer {
    /// Where it listens, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// What it says; the first view that fits the question's source and destination is used.
    pub views: Vec<DnsView>,
}

/// What some clients are told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct DnsView {
    /// Sources that it is for; everybody when empty.
    pub clients: Vec<IpNet>,
    /// Addresses of this server that it is for; all when empty. Only of use when the server listens on addresses
    /// rather than on the unspecified one.
    pub servers: Vec<IpAddr>,
    /// Answers by name (`*` for every other name): one after the other, the last one stays.
    pub names: BTreeMap<String, Vec<DnsAnswer>>,
}

/// One phase of a name's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct DnsAnswer {
    /// The kind of reply.
    pub reply: DnsReply,
    /// Addresses, of both families.
    pub addresses: Vec<IpAddr>,
    /// Canonical names on the way to the addresses, in order.
    pub cnames: Vec<String>,
    /// Time to live, also of a negative answer, in seconds.
    pub ttl: u32,
    /// Extended DNS error (RFC 8914): code and text.
    pub extended_error: Option<(u16, String)>,
    /// The phase ends this many seconds after the server's start.
    pub until_seconds: Option<f64>,
    /// The phase ends after this many questions for the name, of whatever type.
    pub until_questions: Option<u32>,
}

impl Default for DnsAnswer {
    fn default() -> Self {
        Self {
            reply: DnsReply::Answer,
            addresses: Vec::new(),
            cnames: Vec::new(),
            ttl: 60,
            extended_error: None,
            until_seconds: None,
            until_questions: None,
        }
    }
}

impl DnsAnswer {
    /// These addresses, for 60 seconds.
    #[must_use]
    pub fn addresses(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..Self::default() }
    }
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsReply {
    /// With the addresses of the family asked for; without any, the name exists but has no such record.
    #[default]
    Answer,
    /// The name does not exist.
    Nxdomain,
    /// The server could not find out.
    Servfail,
    /// The server will not say.
    Refused,
    /// Not at all.
    Silence,
    /// Cut in the middle of a record.
    Malformed,
    /// With a name that points at itself.
    Looping,
    /// Over UDP truncated, over TCP 65,535 bytes long.
    Oversized,
    /// First with another id and other addresses (192.0.2.66 and `2001:db8::66`), then rightly.
    WrongIdFirst,
    /// First from another port and with other addresses, then rightly.
    WrongSourceFirst,
    /// Over UDP truncated, over TCP rightly.
    Truncated,
}

impl DnsServer {
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), ServerError> {
        let service = Arc::new(Service::new(&self.views));
        for &listen in &self.listen {
            let mut tried = 0;
            let (socket, address) = loop {
                let socket = running.bind_udp(listen).await?;
                let bind = |source| ServerError::Bind { transport: "udp", address: listen, source };
                let address = socket.local_addr().map_err(bind)?;
                let service = Arc::clone(&service);
                // The same port over TCP, also where the caller left the choice to the system.
                let accepting =
                    running.accept(&[address], move |stream| serve_tcp(Arc::clone(&service), stream, address)).await;
                running.addresses.pop();
                match accepting {
                    Ok(()) => break (socket, address),
                    // What is free for UDP may be taken for TCP: the system chooses once more.
                    Err(_) if listen.port() == 0 && tried < MOST_TRIES => tried += 1,
                    Err(error) => return Err(error),
                }
            };
            running.tasks.spawn(serve_udp(Arc::clone(&service), socket, address));
        }
        Ok(())
    }
}

const MOST_TRIES: u32 = 50;

struct Service {
    started: Instant,
    views: Vec<(DnsView, BTreeMap<String, AtomicU32>)>,
}

impl Service {
    fn new(views: &[DnsView]) -> Self {
        let prepare = |view: &DnsView| {
            let names: BTreeMap<String, Vec<DnsAnswer>> =
                view.names.iter().map(|(name, answers)| (canonical(name), answers.clone())).collect();
            let asked = names.keys().map(|name| (name.clone(), AtomicU32::new(0))).collect();
            (DnsView { names, ..view.clone() }, asked)
        };
        Self { started: Instant::now(), views: views.iter().map(prepare).collect() }
    }

    /// The packets that answer a question, in order.
    fn packets(&self, packet: &[u8], client: IpAddr, server: IpAddr, over_tcp: bool) -> Vec<Packet> {
        let Ok(question) = Message::from_vec(packet) else { return Vec::new() };
        if question.metadata.message_type != MessageType::Query {
            return Vec::new();
        }
        let Some(query) = question.queries.first() else { return Vec::new() };
        let answer = self.answer(&canonical(&query.name().to_ascii()), client, server);
        let reply = |addresses: &[IpAddr]| encode(&build(&question, &answer, addresses));
        let truncated = || {
            let mut message = build(&question, &answer, &[]);
            message.metadata.truncation = true;
            message.metadata.response_code = ResponseCode::NoError;
            encode(&message)
        };
        let right = Packet::right(reply(&answer.addresses));
        match answer.reply {
            DnsReply::Answer | DnsReply::Nxdomain | DnsReply::Servfail | DnsReply::Refused => vec![right],
            DnsReply::Silence => Vec::new(),
            DnsReply::Malformed | DnsReply::Looping => {
                // Header and question are right; the one answer is a name that points at itself, or half a record.
                let mut message = Message::response(question.metadata.id, question.metadata.op_code);
                message.queries.clone_from(&question.queries);
                let mut bytes = encode(&message);
                let [high, low] = u16::try_from(bytes.len()).unwrap_or(12).to_be_bytes();
                bytes[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
                if answer.reply == DnsReply::Looping {
                    bytes.extend([0xc0 | high, low, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 10]);
                } else {
                    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0]);
                }
                vec![Packet::right(bytes)]
            }
            DnsReply::Oversized if over_tcp => {
                let mut bytes = right.bytes;
                bytes.resize(usize::from(u16::MAX), b'x');
                vec![Packet::right(bytes)]
            }
            DnsReply::Truncated if over_tcp => vec![right],
            DnsReply::Oversized | DnsReply::Truncated => vec![Packet::right(truncated())],
            DnsReply::WrongIdFirst => {
                let mut wrong = reply(&MISLEADING);
                if let Some(byte) = wrong.get_mut(1) {
                    *byte ^= 0x55;
                }
                vec![Packet::right(wrong), right]
            }
            DnsReply::WrongSourceFirst => {
                vec![Packet { bytes: reply(&MISLEADING), from_another_port: true }, right]
            }
        }
    }

    fn answer(&self, name: &str, client: IpAddr, server: IpAddr) -> DnsAnswer {
        let nothing = DnsAnswer { reply: DnsReply::Nxdomain, ..DnsAnswer::default() };
        let view = self.views.iter().find(|(view, _)| {
            (view.clients.is_empty() || view.clients.iter().any(|range| range.contains(&client)))
                && (view.servers.is_empty() || view.servers.contains(&server))
        });
        let Some((view, asked)) = view else { return nothing };
        let key = if view.names.contains_key(name) { name } else { "*" };
        let (Some(answers), Some(asked)) = (view.names.get(key), asked.get(key)) else { return nothing };
        let asked = asked.fetch_add(1, Ordering::Relaxed);
        let elapsed = self.started.elapsed();
        let current = answers.iter().find(|answer| {
            answer.until_seconds.is_none_or(|seconds| elapsed < Duration::from_secs_f64(seconds.max(0.0)))
                && answer.until_questions.is_none_or(|questions| asked < questions)
        });
        current.or(answers.last()).cloned().unwrap_or(nothing)
    }
}

struct Packet {
    bytes: Vec<u8>,
    from_another_port: bool,
}

impl Packet {
    const fn right(bytes: Vec<u8>) -> Self {
        Self { bytes, from_another_port: false }
    }
}

async fn serve_udp(service: Arc<Service>, socket: UdpSocket, server: SocketAddr) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            // An ICMP error for an earlier answer: the next datagram is not affected.
            continue;
        };
        for packet in service.packets(&buffer[..length], client.ip(), server.ip(), false) {
            if packet.from_another_port {
                if let Ok(other) = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).await {
                    let _ = other.send_to(&packet.bytes, client).await;
                }
            } else {
                let _ = socket.send_to(&packet.bytes, client).await;
            }
        }
    }
}

async fn serve_tcp(service: Arc<Service>, mut stream: TcpStream, server: SocketAddr) {
    let Ok(client) = stream.peer_addr() else { return };
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        for packet in service.packets(&question, client.ip(), server.ip(), true) {
            let Ok(length) = u16::try_from(packet.bytes.len()) else { return };
            if stream.write_u16(length).await.is_err() || stream.write_all(&packet.bytes).await.is_err() {
                return;
            }
        }
    }
}

fn build(question: &Message, answer: &DnsAnswer, addresses: &[IpAddr]) -> Message {
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.recursion_desired = question.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.authoritative = true;
    message.metadata.response_code = match answer.reply {
        DnsReply::Nxdomain => ResponseCode::NXDomain,
        DnsReply::Servfail => ResponseCode::ServFail,
        DnsReply::Refused => ResponseCode::Refused,
        _ => ResponseCode::NoError,
    };
    message.queries.clone_from(&question.queries);
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        if let Some((code, text)) = &answer.extended_error {
            let data = [&code.to_be_bytes()[..], text.as_bytes()].concat();
            edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
        }
        message.edns = Some(edns);
    }
    let Some(query) = question.queries.first() else { return message };
    if matches!(answer.reply, DnsReply::Servfail | DnsReply::Refused) {
        return message;
    }
    if answer.reply != DnsReply::Nxdomain {
        let mut owner = query.name().clone();
        for alias in &answer.cnames {
            let Ok(target) = Name::from_ascii(format!("{}.", alias.trim_end_matches('.'))) else { continue };
            message.answers.push(Record::from_rdata(owner, answer.ttl, RData::CNAME(CNAME(target.clone()))));
            owner = target;
        }
        let data = addresses.iter().filter_map(|address| match (address, query.query_type()) {
            (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(*v4))),
            (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(*v6))),
            _ => None,
        });
        message.answers.extend(data.map(|data| Record::from_rdata(owner.clone(), answer.ttl, data)));
    }
    if message.answers.is_empty() {
        let zone = query.name().base_name();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 3600, 600, 86400, answer.ttl);
        message.authorities.push(Record::from_rdata(zone, answer.ttl, RData::SOA(soa)));
    }
    message
}

fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

const EXTENDED_ERROR: u16 = 15;
const MISLEADING: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66)),
];
