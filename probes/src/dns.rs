//! One name, one resolver: both address families asked side by side, every question kept as evidence.
//!
//! Messages are hickory's, the exchange is our own: over connected sockets, so that a closed port is told from silence
//! and nobody but the server that was asked can answer.

#[cfg(test)]
pub(crate) mod fake;
mod message;
mod wire;

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::message::printable;
use self::{
    message::{MOST_ADDRESSES, MOST_CNAMES, Question, plain_name, read},
    wire::{Pace, Reply, Route, UDP, exchange},
};
use crate::{AddressClass, AddressClasses, DnsObservation, DnsOutcome, DnsQuery, DnsSource, SourceBinding};

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct DnsSettings<'a> {
    /// Bound of the whole lookup at one resolver, all its servers and both families together.
    pub timeout: Duration,
    /// Local end of the sockets. A resolver on loopback is asked over loopback all the same.
    pub source: &'a SourceBinding,
    /// Which addresses are private.
    pub classes: &'a AddressClasses,
}

/// Asks the servers of one resolver for the addresses of `host`.
///
/// The servers are asked in order; the next one when a server gives no message at all, and beside it when it stays
/// silent for about a second. The first message decides, whatever it says. Ends within `settings.timeout`.
pub async fn ask(label: &str, servers: &[SocketAddr], host: &str, settings: &DnsSettings<'_>) -> DnsObservation {
    let session = Session::start(label, settings, false);
    let lookup = Lookup { servers, decides: DnsOutcome::is_message, unanswered_wait: None };
    let resolved = session.resolve(&lookup, host).await;
    session.observe(resolved)
}

/// A name that cannot exist beside `host`: a random label under the same parent, the same for the same seed.
///
/// A resolver that answers it with addresses lies. The result is a valid name whenever `host` is one.
#[must_use]
pub fn canary_name(host: &str, seed: u64) -> String {
    let host = host.trim_end_matches('.');
    let label = format!("kubereach-{:016x}", scramble(seed));
    let mut parent = host.split_once('.').map_or("", |(_, parent)| parent);
    while label.len() + 1 + parent.len() > LONGEST_NAME {
        parent = parent.split_once('.').map_or("", |(_, parent)| parent);
    }
    if parent.is_empty() { label } else { format!("{label}.{parent}") }
}

/// One observation in the making: its clock, its deadline and the questions so far.
pub(crate) struct Session<'a> {
    label: &'a str,
    settings: &'a DnsSettings<'a>,
    started: Instant,
    deadline: Instant,
    tcp_only: bool,
    log: Mutex<Vec<LoggedQuery>>,
}

/// Whom to ask, and when to stop asking.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    /// The servers, in order.
    pub(crate) servers: &'a [SocketAddr],
    /// Whether such an outcome of one server ends the lookup, or the next one is asked.
    pub(crate) decides: fn(DnsOutcome) -> bool,
    /// How long an ordinary client waits for a silent server before it asks the next one; named in the detail.
    pub(crate) unanswered_wait: Option<Duration>,
}

/// What the servers said about one name.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The name as asked, without trailing dot.
    pub(crate) name: String,
    /// The server that decided.
    pub(crate) server: Option<SocketAddr>,
    /// What came of it.
    pub(crate) outcome: DnsOutcome,
    /// What a reader should know beyond the outcome, without repeats.
    pub(crate) notes: Vec<String>,
    addresses: Vec<IpAddr>,
    cnames: Vec<String>,
    ttl: Option<u32>,
}

impl Resolved {
    /// An outcome that no server was asked for.
    pub(crate) fn unasked(name: &str, outcome: DnsOutcome, note: String) -> Self {
        Self {
            name: name.trim_end_matches('.').to_owned(),
            server: None,
            outcome,
            notes: vec![note],
            addresses: Vec::new(),
            cnames: Vec::new(),
            ttl: None,
        }
    }
}

impl<'a> Session<'a> {
    /// Starts the clock. `tcp_only`: never ask over UDP.
    pub(crate) fn start(label: &'a str, settings: &'a DnsSettings<'a>, tcp_only: bool) -> Self {
        let started = Instant::now();
        let deadline = started + settings.timeout.min(LONGEST_TIMEOUT);
        Self { label, settings, started, deadline, tcp_only, log: Mutex::new(Vec::new()) }
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Asks the servers for one name as it is: no search domains.
    pub(crate) async fn resolve(&self, lookup: &Lookup<'_>, host: &str) -> Resolved {
        let name = match absolute_name(host) {
            Ok(name) => name,
            Err(reason) => {
                let note = format!("no valid name, so nobody was asked: {reason}");
                return Resolved::unasked(&printable(host), DnsOutcome::Nxdomain, note);
            }
        };
        if lookup.servers.is_empty() {
            return Resolved::unasked(&plain_name(&name), DnsOutcome::Unreachable, "no server to ask".into());
        }
        let race = self.race(lookup, &name).await;
        conclude(lookup, plain_name(&name), race)
    }

    /// The observation that `resolved` and the questions so far make; ends the clock.
    pub(crate) fn observe(self, resolved: Resolved) -> DnsObservation {
        let address_class = match resolved.outcome {
            DnsOutcome::Answer => self.settings.classes.of_all(&resolved.addresses),
            _ => AddressClass::None,
        };
        let now = Instant::now();
        let queries = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        DnsObservation {
            resolver: self.label.to_owned(),
            server: resolved.server.map(|server| server.to_string()),
            name: resolved.name,
            outcome: resolved.outcome,
            addresses: resolved.addresses,
            cnames: resolved.cnames,
            ttl: resolved.ttl,
            address_class,
            ms: milliseconds(now - self.started),
            source: DnsSource::Server,
            detail: joined(resolved.notes),
            queries: queries.into_iter().map(|logged| logged.finish(now)).collect(),
        }
    }

    /// Asks the servers in order, each one beside the last when that stays silent, until one decides.
    async fn race(&self, lookup: &Lookup<'_>, name: &Name) -> Race {
        let pace = Pace::within(self.settings.timeout);
        let heard: Vec<AtomicBool> = lookup.servers.iter().map(|_| AtomicBool::new(false)).collect();
        let mut servers = lookup.servers.iter().copied().zip(&heard);
        let mut running: Vec<Running<'_>> = Vec::new();
        let mut race = Race { decided: None, finished: Vec::new(), silent: Vec::new(), unasked: 0 };
        let mut newest_heard = &heard[0];
        let mut hedge_at = Instant::now();
        loop {
            let due = running.is_empty() || Instant::now() >= hedge_at && !newest_heard.load(Ordering::Relaxed);
            if due
                && !self.is_over()
                && let Some((server, heard)) = servers.next()
            {
                newest_heard = heard;
                hedge_at = Instant::now() + pace.hedge;
                running.push((server, Box::pin(self.ask_server(server, name, pace, lookup.decides, heard))));
                continue;
            }
            if running.is_empty() {
                break;
            }
            let more = servers.len() > 0 && Instant::now() < hedge_at;
            tokio::select! {
                answer = first_ready(&mut running) => {
                    if (lookup.decides)(answer.outcome) {
                        race.decided = Some(answer);
                        break;
                    }
                    race.finished.push(answer);
                    // It failed, so nothing is gained by waiting for silence.
                    hedge_at = Instant::now();
                    newest_heard = &NOTHING_HEARD;
                }
                () = sleep_until(hedge_at), if more => {}
            }
        }
        race.silent = running.iter().map(|(server, _)| *server).collect();
        race.unasked = servers.len();
        race
    }

    async fn ask_server(
        &self,
        server: SocketAddr,
        name: &Name,
        pace: Pace,
        decides: fn(DnsOutcome) -> bool,
        heard: &AtomicBool,
    ) -> ServerAnswer {
        let route =
            Route { server, source: self.settings.source, pace, deadline: self.deadline, tcp_only: self.tcp_only };
        let (ipv4, ipv6) = tokio::join!(
            self.ask_question(Question { name: name.clone(), record_type: RecordType::A }, route, decides, heard),
            self.ask_question(Question { name: name.clone(), record_type: RecordType::AAAA }, route, decides, heard),
        );
        combine(server, ipv4, ipv6)
    }

    async fn ask_question(
        &self,
        question: Question,
        route: Route<'_>,
        decides: fn(DnsOutcome) -> bool,
        heard: &AtomicBool,
    ) -> FamilyAnswer {
        let index = self.begin(&question, route.server);
        let exchanged = exchange(&question, route).await;
        let mut answer = FamilyAnswer {
            record_type: question.record_type.to_string(),
            outcome: DnsOutcome::Timeout,
            addresses: Vec::new(),
            cnames: Vec::new(),
            ttl: None,
            notes: Vec::new(),
        };
        let mut reading = None;
        let mut notes = Vec::new();
        match exchanged.reply {
            Reply::Message(message) => {
                let mut read = read(&message, &question);
                answer.outcome = read.outcome;
                answer.addresses = std::mem::take(&mut read.addresses);
                answer.cnames = std::mem::take(&mut read.cnames);
                answer.ttl = read.ttl;
                notes.append(&mut read.notes);
                reading = Some(read);
            }
            Reply::Malformed(reason) => {
                answer.outcome = DnsOutcome::Malformed;
                notes.push(reason);
            }
            Reply::Silent(seen) => notes.push(seen),
            Reply::Unreachable(words) => {
                answer.outcome = DnsOutcome::Unreachable;
                notes.push(words);
            }
        }
        notes.extend(exchanged.notes);
        answer.notes.extend(
            reading.iter().flat_map(|reading| &reading.extended_errors).map(|error| format!("extended error {error}")),
        );
        answer.notes.extend(notes.iter().cloned());
        if decides(answer.outcome) {
            heard.store(true, Ordering::Relaxed);
        }
        let mut log = self.log();
        if let Some(LoggedQuery { query, started, open }) = log.get_mut(index) {
            *open = false;
            exchanged.transport.clone_into(&mut query.transport);
            query.outcome = answer.outcome;
            query.ignored = exchanged.ignored;
            query.ms = milliseconds(started.elapsed());
            query.detail = joined(notes);
            if let Some(reading) = reading {
                query.rcode = Some(reading.rcode);
                query.authoritative = Some(reading.authoritative);
                query.recursion_available = Some(reading.recursion_available);
                query.extended_errors = reading.extended_errors;
            }
        }
        answer
    }

    /// Notes a question as sent and unanswered; returns its place in the log.
    fn begin(&self, question: &Question, server: SocketAddr) -> usize {
        let query = DnsQuery {
            server: server.to_string(),
            name: plain_name(&question.name),
            record_type: question.record_type.to_string(),
            transport: UDP.to_owned(),
            outcome: DnsOutcome::Timeout,
            rcode: None,
            authoritative: None,
            recursion_available: None,
            extended_errors: Vec::new(),
            ignored: 0,
            ms: 0.0,
            detail: None,
        };
        let mut log = self.log();
        log.push(LoggedQuery { query, started: Instant::now(), open: true });
        log.len() - 1
    }

    fn log(&self) -> MutexGuard<'_, Vec<LoggedQuery>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LoggedQuery {
    query: DnsQuery,
    started: Instant,
    open: bool,
}

impl LoggedQuery {
    fn finish(mut self, now: Instant) -> DnsQuery {
        if self.open {
            self.query.ms = milliseconds(now - self.started);
            self.query.detail = Some("no answer yet when the lookup was decided without it".into());
        }
        self.query
    }
}

/// The answer of one server for one family.
struct FamilyAnswer {
    record_type: String,
    outcome: DnsOutcome,
    addresses: Vec<IpAddr>,
    cnames: Vec<String>,
    ttl: Option<u32>,
    notes: Vec<String>,
}

/// The answer of one server, both families together.
struct ServerAnswer {
    server: SocketAddr,
    outcome: DnsOutcome,
    addresses: Vec<IpAddr>,
    cnames: Vec<String>,
    ttl: Option<u32>,
    notes: Vec<String>,
}

type Running<'f> = (SocketAddr, Pin<Box<dyn Future<Output = ServerAnswer> + Send + 'f>>);

struct Race {
    decided: Option<ServerAnswer>,
    /// Those that did not decide.
    finished: Vec<ServerAnswer>,
    /// Those that had given nothing when another one decided.
    silent: Vec<SocketAddr>,
    /// How many were not even asked.
    unasked: usize,
}

/// The first of the running lookups to end; it is taken out of the list.
async fn first_ready(running: &mut Vec<Running<'_>>) -> ServerAnswer {
    std::future::poll_fn(|context| {
        for index in 0..running.len() {
            if let Poll::Ready(answer) = running[index].1.as_mut().poll(context) {
                drop(running.remove(index));
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await
}

/// Any address is an answer; otherwise the outcome that says most decides.
fn combine(server: SocketAddr, ipv4: FamilyAnswer, ipv6: FamilyAnswer) -> ServerAnswer {
    let outcome = more_telling(ipv4.outcome, ipv6.outcome);
    let notes = family_notes(outcome, &ipv4, &ipv6);
    let relevant = |family: &FamilyAnswer| family.outcome == outcome;
    let ttl = [&ipv4, &ipv6].into_iter().filter(|family| relevant(family)).filter_map(|family| family.ttl).min();
    let mut cnames = ipv4.cnames;
    for name in ipv6.cnames {
        if !cnames.contains(&name) {
            cnames.push(name);
        }
    }
    cnames.truncate(MOST_CNAMES);
    // Both families keep their share when there are too many.
    let ipv4_share = MOST_ADDRESSES - ipv6.addresses.len().min(MOST_ADDRESSES / 2);
    let addresses = ipv4.addresses.into_iter().take(ipv4_share).chain(ipv6.addresses).take(MOST_ADDRESSES).collect();
    ServerAnswer { server, outcome, addresses, cnames, ttl, notes }
}

fn family_notes(outcome: DnsOutcome, ipv4: &FamilyAnswer, ipv6: &FamilyAnswer) -> Vec<String> {
    let unremarkable = |family: &FamilyAnswer| family.outcome == outcome || family.outcome == DnsOutcome::Nodata;
    if ipv4.notes == ipv6.notes && unremarkable(ipv4) && unremarkable(ipv6) {
        return ipv4.notes.clone();
    }
    let mut notes = Vec::new();
    for family in [ipv4, ipv6] {
        // A family without records is no failure beside one with.
        if !unremarkable(family) || !family.notes.is_empty() {
            let mut parts = Vec::new();
            if family.outcome != outcome {
                parts.push(family.outcome.label().to_owned());
            }
            parts.extend(family.notes.iter().cloned());
            notes.push(format!("{}: {}", family.record_type, parts.join(", ")));
        }
    }
    notes
}

fn conclude(lookup: &Lookup<'_>, name: String, race: Race) -> Resolved {
    let Race { decided, mut finished, silent, unasked } = race;
    let mut earlier = Vec::new();
    let deciding = decided.or_else(|| {
        let best = finished.iter().map(|answer| answer.outcome).reduce(more_telling).unwrap_or(DnsOutcome::Unreachable);
        let index = finished.iter().position(|answer| answer.outcome == best)?;
        if unasked > 0 {
            earlier.push(format!("{unasked} more servers were not asked: the time was up"));
        }
        Some(finished.remove(index))
    });
    let Some(deciding) = deciding else {
        return Resolved::unasked(&name, DnsOutcome::Timeout, "the time was up before a server was asked".into());
    };
    let unanswered = |server: SocketAddr| match lookup.unanswered_wait {
        Some(wait) if (lookup.decides)(deciding.outcome) => {
            format!("{server} gave no answer; kubectl waits {} s for it on each lookup", wait.as_secs())
        }
        _ => format!("{server} gave no answer"),
    };
    for failed in finished {
        if failed.outcome == DnsOutcome::Timeout {
            earlier.push(unanswered(failed.server));
        } else {
            let mut words = vec![failed.outcome.label().to_owned()];
            words.extend(failed.notes);
            earlier.push(format!("{}: {}", failed.server, words.join(", ")));
        }
    }
    earlier.extend(silent.into_iter().map(unanswered));
    let mut notes = deciding.notes;
    notes.extend(earlier);
    Resolved {
        name,
        server: Some(deciding.server),
        outcome: deciding.outcome,
        notes,
        addresses: deciding.addresses,
        cnames: deciding.cnames,
        ttl: deciding.ttl,
    }
}

/// The outcome that says more about the name, and then about the resolver.
pub(crate) fn more_telling(one: DnsOutcome, other: DnsOutcome) -> DnsOutcome {
    let rank = |outcome| match outcome {
        DnsOutcome::Answer => 0,
        DnsOutcome::Nxdomain => 1,
        DnsOutcome::Servfail => 2,
        DnsOutcome::Refused => 3,
        DnsOutcome::Malformed => 4,
        DnsOutcome::Timeout => 5,
        DnsOutcome::Unreachable => 6,
        DnsOutcome::Nodata => 7,
    };
    if rank(other) < rank(one) { other } else { one }
}

fn absolute_name(host: &str) -> Result<Name, String> {
    let relative = host.strip_suffix('.').unwrap_or(host);
    if relative.is_empty() || relative.split('.').any(str::is_empty) {
        return Err("it has an empty label".into());
    }
    let parsed = if relative.is_ascii() { Name::from_ascii(relative) } else { Name::from_utf8(relative) };
    let mut name = parsed.map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

/// Notes as one text, without repeats.
pub(crate) fn joined(notes: Vec<String>) -> Option<String> {
    let mut unique: Vec<String> = Vec::new();
    for note in notes {
        if !unique.contains(&note) {
            unique.push(note);
        }
    }
    (!unique.is_empty()).then(|| unique.join("; "))
}

/// Milliseconds with microsecond resolution.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

/// The finaliser of `SplitMix64`: neighbouring seeds give labels that have nothing in common.
const fn scramble(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

static NOTHING_HEARD: AtomicBool = AtomicBool::new(false);
const LONGEST_NAME: usize = 253;
/// Longer waits make no sense and would overflow the clock.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::proto::{
        op::ResponseCode,
        rr::{RData, rdata},
    };

    use super::{
        fake::{Act, Asked, FakeServer, closed_port, documented, record},
        *,
    };

    const HOST: &str = "api.example.test";
    type Script = fn(&Asked) -> Vec<Act>;

    async fn ask_within(milliseconds: u64, servers: &[SocketAddr], host: &str) -> DnsObservation {
        let settings = DnsSettings {
            timeout: Duration::from_millis(milliseconds),
            source: &SourceBinding::default(),
            classes: &AddressClasses::default(),
        };
        let started = Instant::now();
        let observation = ask("vpc", servers, host, &settings).await;
        assert!(started.elapsed() < Duration::from_millis(milliseconds + 400), "the deadline holds: {observation:?}");
        observation
    }

    async fn ask_one(server: &FakeServer) -> DnsObservation {
        ask_within(1_200, &[server.address], HOST).await
    }

    fn detail(observation: &DnsObservation) -> &str {
        observation.detail.as_deref().unwrap_or_default()
    }

    #[tokio::test]
    async fn an_answer_has_addresses_ttl_class_and_one_query_a_family() {
        let server = FakeServer::start(|asked| {
            let mut message = asked.addresses(&[Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1)]);
            if asked.record_type() == RecordType::AAAA {
                let address = "2001:db8::1".parse().unwrap();
                message.add_answer(record(asked.name(), RData::AAAA(rdata::AAAA(address))));
            }
            vec![asked.send(&message)]
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.outcome, DnsOutcome::Answer);
        let texts: Vec<String> = observation.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.1", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(observation.address_class, AddressClass::Mixed);
        assert_eq!((observation.resolver.as_str(), observation.name.as_str()), ("vpc", HOST));
        assert_eq!((observation.ttl, observation.detail), (Some(60), None));
        assert_eq!(observation.server, Some(server.address.to_string()));
        let types: Vec<&str> = observation.queries.iter().map(|query| query.record_type.as_str()).collect();
        assert_eq!(types, ["A", "AAAA"]);
        assert!(observation.queries.iter().all(|query| query.rcode.as_deref() == Some("NOERROR")
            && query.recursion_available == Some(true)
            && query.transport == "udp"));
    }

    #[tokio::test]
    async fn response_codes_become_outcomes() {
        for (code, outcome) in [
            (ResponseCode::NoError, DnsOutcome::Nodata),
            (ResponseCode::NXDomain, DnsOutcome::Nxdomain),
            (ResponseCode::ServFail, DnsOutcome::Servfail),
            (ResponseCode::Refused, DnsOutcome::Refused),
        ] {
            let server = FakeServer::failing(code).await;
            let observation = ask_one(&server).await;
            assert_eq!(observation.outcome, outcome);
            assert_eq!(observation.address_class, AddressClass::None);
            assert!(observation.ms < 500.0);
        }
    }

    #[tokio::test]
    async fn a_family_that_fails_is_named_beside_the_answer() {
        let server = FakeServer::start(|asked| {
            let message = match asked.record_type() {
                RecordType::AAAA => asked.extended_error(ResponseCode::ServFail, 22, "no upstream"),
                _ => asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]),
            };
            vec![asked.send(&message)]
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.outcome, DnsOutcome::Answer);
        assert_eq!(detail(&observation), "AAAA: servfail, extended error 22 No Reachable Authority: no upstream");
        assert_eq!(observation.queries[1].extended_errors, ["22 No Reachable Authority: no upstream"]);
    }

    #[tokio::test]
    async fn strangers_are_ignored_and_counted() {
        let server = FakeServer::start(|asked| {
            let right = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]);
            let mut wrong_id = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 66)]);
            wrong_id.metadata.id ^= 0x5555;
            let mut wrong_question = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 66)]);
            wrong_question.queries[0].name = Name::from_ascii("other.test.").unwrap();
            let from_elsewhere = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 67)]).to_vec().unwrap();
            vec![
                Act::SendFromElsewhere(from_elsewhere),
                asked.send(&wrong_id),
                asked.send(&wrong_question),
                Act::Send(vec![1, 2, 3]),
                Act::Wait(Duration::from_millis(50)),
                asked.send(&right),
            ]
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.outcome, DnsOutcome::Answer);
        assert_eq!(observation.addresses, [documented(1)]);
        assert_eq!(observation.queries[0].ignored, 3);
        assert!(detail(&observation).contains("3 messages ignored (another id)"), "{observation:?}");
    }

    #[tokio::test]
    async fn a_truncated_answer_is_asked_for_over_tcp() {
        let server = FakeServer::start(|asked| {
            let mut message = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]);
            if !asked.over_tcp {
                message.answers.clear();
                message.metadata.truncation = true;
            }
            vec![asked.send(&message)]
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.addresses, [documented(1)]);
        assert_eq!(observation.queries[0].transport, "tcp");
    }

    #[tokio::test]
    async fn a_truncated_answer_without_tcp_is_no_answer() {
        let server = FakeServer::start(|asked| {
            let mut message = asked.reply(ResponseCode::NoError);
            message.metadata.truncation = true;
            if asked.over_tcp { vec![Act::Close] } else { vec![asked.send(&message)] }
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.outcome, DnsOutcome::Unreachable);
        assert!(detail(&observation).starts_with("truncated over UDP, and over TCP: "), "{observation:?}");
    }

    #[tokio::test]
    async fn silence_over_both_transports_is_a_timeout_that_tcp_may_break() {
        let silent = FakeServer::silent().await;
        let observation = ask_one(&silent).await;
        assert_eq!(observation.outcome, DnsOutcome::Timeout);
        assert!(detail(&observation).contains("UDP") && detail(&observation).contains("TCP"), "{observation:?}");
        assert!(observation.ms >= 1_150.0);

        let tcp_only = FakeServer::start(|asked| {
            if asked.over_tcp { vec![asked.send(&asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]))] } else { Vec::new() }
        })
        .await;
        let observation = ask_one(&tcp_only).await;
        assert_eq!(observation.addresses, [documented(1)]);
        assert!(detail(&observation).contains("answered only over TCP"), "{observation:?}");
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again() {
        let seen = Mutex::new(std::collections::HashSet::new());
        let server = FakeServer::start(move |asked| {
            if asked.over_tcp || seen.lock().unwrap().insert(asked.record_type()) {
                return Vec::new();
            }
            vec![asked.send(&asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]))]
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.addresses, [documented(1)]);
        assert_eq!(observation.queries[0].transport, "udp");
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_at_once() {
        let observation = ask_within(3_000, &[closed_port()], HOST).await;
        assert_eq!(observation.outcome, DnsOutcome::Unreachable);
        assert_eq!(detail(&observation), "Connection refused");
        assert!(observation.ms < 100.0, "{observation:?}");
    }

    #[tokio::test]
    async fn a_source_address_of_the_other_family_is_unreachable_in_words() {
        let server = FakeServer::answering(1).await;
        let settings = DnsSettings {
            timeout: Duration::from_secs(1),
            source: &SourceBinding { address: Some("::1".parse().unwrap()), interface: None },
            classes: &AddressClasses::default(),
        };
        let observation = ask("vpc", &[server.address], HOST, &settings).await;
        assert_eq!(observation.outcome, DnsOutcome::Unreachable);
        assert!(detail(&observation).contains("::1 is of the other address family"), "{observation:?}");
    }

    #[tokio::test]
    async fn what_is_no_message_is_malformed() {
        let cname_loop = |asked: &Asked| {
            let mut message = asked.reply(ResponseCode::NoError);
            message.add_answer(record(asked.name(), RData::CNAME(rdata::CNAME(asked.name().clone()))));
            vec![asked.send(&message)]
        };
        let compression_loop = |asked: &Asked| {
            let mut bytes = asked.reply(ResponseCode::NoError).to_vec().unwrap();
            bytes[7] = 1;
            let here = u8::try_from(bytes.len()).unwrap();
            bytes.extend([0xc0, here, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            vec![Act::Send(bytes)]
        };
        let cut_in_the_middle = |asked: &Asked| {
            let mut bytes = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]).to_vec().unwrap();
            bytes[7] = 1;
            bytes.truncate(bytes.len() - 2);
            vec![Act::Send(bytes)]
        };
        let oversized_datagram = |asked: &Asked| {
            let mut bytes = asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]).to_vec().unwrap();
            bytes.resize(2_000, 0);
            vec![Act::Send(bytes)]
        };
        let sixty_four_kilobytes = |asked: &Asked| {
            let mut message = asked.reply(ResponseCode::NoError);
            message.metadata.truncation = !asked.over_tcp;
            let mut bytes = message.to_vec().unwrap();
            if asked.over_tcp {
                bytes.resize(65_535, 0);
            }
            vec![Act::Send(bytes)]
        };
        let half_over_tcp = |asked: &Asked| {
            let mut message = asked.reply(ResponseCode::NoError);
            message.metadata.truncation = true;
            if asked.over_tcp { vec![Act::Raw(vec![0, 200, 1, 2, 3]), Act::Close] } else { vec![asked.send(&message)] }
        };
        let scripts: [(Script, &str); 6] = [
            (cname_loop, "canonical names loop"),
            (compression_loop, ""),
            (cut_in_the_middle, ""),
            (oversized_datagram, "2000 bytes over UDP"),
            (sixty_four_kilobytes, "65535 bytes over TCP"),
            (half_over_tcp, "ended after 3 of 200 bytes"),
        ];
        for (script, words) in scripts {
            let server = FakeServer::start(script).await;
            let observation = ask_one(&server).await;
            assert_eq!(observation.outcome, DnsOutcome::Malformed, "{observation:?}");
            assert!(!detail(&observation).is_empty() && detail(&observation).contains(words), "{observation:?}");
            assert!(observation.ms < 1_000.0, "{observation:?}");
        }
    }

    #[tokio::test]
    async fn dripping_over_tcp_ends_at_the_deadline() {
        let server = FakeServer::start(|asked| {
            if asked.over_tcp {
                let drops = [0, 100].into_iter().chain([0; 98]);
                return drops.flat_map(|byte| [Act::Raw(vec![byte]), Act::Wait(Duration::from_millis(100))]).collect();
            }
            let mut message = asked.reply(ResponseCode::NoError);
            message.metadata.truncation = true;
            vec![asked.send(&message)]
        })
        .await;
        let observation = ask_within(700, &[server.address], HOST).await;
        assert_eq!(observation.outcome, DnsOutcome::Timeout);
        assert!(detail(&observation).contains("of 100 bytes over TCP"), "{observation:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_of_strangers_ends_at_the_deadline() {
        let server = FakeServer::start(|asked| {
            let mut wrong = asked.reply(ResponseCode::NoError);
            wrong.metadata.id ^= 1;
            // Encoded once: the machine is to be busy with receiving, not with the test's own work.
            let bytes = wrong.to_vec().unwrap();
            (0..2_000).map(|_| Act::Send(bytes.clone())).collect()
        })
        .await;
        let observation = ask_within(500, &[server.address], HOST).await;
        assert_eq!(observation.outcome, DnsOutcome::Timeout);
        assert!(observation.queries[0].ignored >= 2, "{observation:?}");
    }

    #[tokio::test]
    async fn a_server_from_before_edns_is_asked_without_it() {
        let server = FakeServer::start(|asked| match asked.message.edns {
            Some(_) => vec![asked.send(&asked.reply(ResponseCode::FormErr))],
            None => vec![asked.send(&asked.addresses(&[Ipv4Addr::new(192, 0, 2, 1)]))],
        })
        .await;
        let observation = ask_one(&server).await;
        assert_eq!(observation.addresses, [documented(1)]);
        assert_eq!(detail(&observation), "it answers only questions without EDNS");
    }

    #[tokio::test]
    async fn the_next_server_is_asked_when_one_gives_no_message() {
        let second = FakeServer::answering(2).await;
        let observation = ask_within(1_500, &[closed_port(), second.address], HOST).await;
        assert_eq!(observation.addresses, [documented(2)]);
        assert!(observation.ms < 300.0, "a refusal needs no wait: {observation:?}");
        assert!(detail(&observation).contains("Connection refused"), "{observation:?}");

        let silent = FakeServer::silent().await;
        let observation = ask_within(3_000, &[silent.address, second.address], HOST).await;
        assert_eq!(observation.addresses, [documented(2)]);
        assert_eq!(observation.server, Some(second.address.to_string()));
        assert_eq!(detail(&observation), format!("{} gave no answer", silent.address));
        assert!((900.0..1_800.0).contains(&observation.ms), "{observation:?}");
        assert_eq!(observation.queries.len(), 4);
        assert_eq!(observation.queries[0].outcome, DnsOutcome::Timeout);
    }

    #[tokio::test]
    async fn a_message_decides_whatever_it_says() {
        let first = FakeServer::failing(ResponseCode::ServFail).await;
        let second = FakeServer::answering(2).await;
        let observation = ask_within(1_500, &[first.address, second.address], HOST).await;
        assert_eq!(observation.outcome, DnsOutcome::Servfail);
        assert_eq!(observation.queries.len(), 2);
    }

    #[tokio::test]
    async fn nobody_is_asked_for_what_is_no_name() {
        let server = FakeServer::answering(1).await;
        for host in ["", "a..b", &"x".repeat(64), &"abc.".repeat(80)] {
            let observation = ask_within(500, &[server.address], host).await;
            assert_eq!(observation.outcome, DnsOutcome::Nxdomain, "{host}");
            assert!(observation.queries.is_empty());
        }
        let observation = ask_within(500, &[], HOST).await;
        assert_eq!(observation.outcome, DnsOutcome::Unreachable);
    }

    #[test]
    fn canaries_are_siblings_and_repeatable() {
        let canary = canary_name("abc.gr7.eu-west-1.eks.amazonaws.com", 1);
        assert!(canary.ends_with(".gr7.eu-west-1.eks.amazonaws.com") && canary.starts_with("kubereach-"), "{canary}");
        assert_eq!(canary, canary_name("abc.gr7.eu-west-1.eks.amazonaws.com.", 1));
        assert_ne!(canary, canary_name("abc.gr7.eu-west-1.eks.amazonaws.com", 2));
        assert!(!canary_name("localhost", 3).contains('.'));
        let long = format!("a.{}test", "bcdefgh.".repeat(31));
        assert!(absolute_name(&canary_name(&long, 4)).is_ok());
    }

    #[test]
    fn outcomes_have_an_order() {
        use DnsOutcome::{Answer, Malformed, Nodata, Nxdomain, Refused, Servfail, Timeout, Unreachable};
        let order = [Answer, Nxdomain, Servfail, Refused, Malformed, Timeout, Unreachable, Nodata];
        for (index, &one) in order.iter().enumerate() {
            for &other in &order[index..] {
                assert_eq!(more_telling(one, other), one);
                assert_eq!(more_telling(other, one), one);
            }
        }
    }
}
