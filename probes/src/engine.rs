//! Name → addresses → attempts: the probers in order, every address on its own.
//!
//! A healthy target costs one lookup, one connection an address and one HTTP exchange. Everything beyond that (other
//! resolvers, controls, canaries, traces, other handshakes) starts only when something is wrong, and runs in the shadow
//! of the stage that is stuck, so that a full diagnosis takes little longer than the first timeout.

use std::{
    collections::BTreeSet,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use crate::{
    AddressClass, Attempt, Connectivity, Control, Credentials, DnsObservation, DnsOutcome, DnsSource, Endpoint,
    HttpOutcome, HttpStage, IcmpEcho, NamedResolver, Observation, Options, PathMtu, PathTrace, ProxyObservation,
    ProxyTarget, Reachability, Repeats, SourceBinding, SystemResolver, Target, TcpOutcome, TcpStage, TlsOutcome,
    TlsStage, TlsVariant, TlsVariantKind, TunnelOutcome,
    dns::{self, DnsSettings},
    egress::{self, Asked, Family},
    http::{self, Exchange},
    icmp, path, proxy, route,
    system::{self, SystemConfiguration},
    tcp::{self, ConnectSettings},
    tls::{self, Hello},
};

/// What a running probe tells, as it happens.
#[derive(Clone, Debug)]
pub enum ProbeEvent {
    /// A resolver has answered, or not.
    Resolved(Box<DnsObservation>),
    /// An address has been tried through all stages.
    Attempted(Box<Attempt>),
    /// Something is wrong: the search for the cause has begun.
    Investigating,
}

/// How a probe is watched and stopped.
#[derive(Clone)]
pub struct Run {
    /// Turns `true` when the probe shall end with what it knows.
    pub stop: watch::Receiver<bool>,
    /// Where events go; dropped receivers are no error.
    pub events: Option<mpsc::UnboundedSender<ProbeEvent>>,
}

impl Run {
    /// A run that nobody watches and nobody stops.
    #[must_use]
    pub fn unattended() -> Self {
        static NEVER: LazyLock<(watch::Sender<bool>, watch::Receiver<bool>)> = LazyLock::new(|| watch::channel(false));
        Self { stop: NEVER.1.clone(), events: None }
    }

    /// Completes when the run is to stop.
    pub async fn stopped(&self) {
        // A sender that is gone will never stop us.
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn tell(&self, event: impl FnOnce() -> ProbeEvent) {
        if let Some(events) = &self.events {
            // Nobody listening is no reason to stop probing.
            let _ = events.send(event());
        }
    }
}

/// Probes the target once.
///
/// Every stage is bounded by [`Options::connect_timeout`] or [`Options::dns_timeout`], so that the whole takes at most
/// about one lookup and three stages. When `run.stop` turns true it returns at once with the stages decided so far and
/// [`Observation::cut_short`] set.
pub async fn probe(target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    let started = Instant::now();
    let started_at = Timestamp::now();
    if options.source != SourceBinding::default()
        && let Err(reason) = tcp::check_source(&options.source)
    {
        // Nothing can be sent from there: that the target does not answer says nothing about it.
        let vantage_error = Some(format!("this host cannot probe from there: {reason}"));
        return Observation { started_at: Some(started_at), vantage_error, ..Observation::default() };
    }
    let mut round = Round {
        target: Arc::clone(target),
        options: Arc::clone(options),
        run: run.clone(),
        observation: Observation { started_at: Some(started_at), ..Observation::default() },
        tasks: JoinSet::new(),
        dialled: BTreeSet::new(),
        echoed: BTreeSet::new(),
        owed: BTreeSet::new(),
        begun: false,
        in_trouble: false,
        pending: Pending::default(),
    };
    tokio::select! {
        biased;
        () = run.stopped() => {}
        () = round.work() => {}
    }
    round.tasks.abort_all();
    let mut observation = round.observation;
    // Evidence that is still out leaves what decides decided.
    observation.cut_short = !round.begun || round.pending.deciding > 0;
    observation.undecided = round.owed.into_iter().collect();
    sort(&mut observation, options);
    observation.ms = milliseconds(started);
    observation
}

/// What a task of the round brings home.
enum Done {
    System(Vec<DnsObservation>),
    Resolver {
        observation: DnsObservation,
        eager: bool,
    },
    Canary(DnsObservation),
    Attempt(Box<Attempt>),
    Proxied {
        proxy: Box<ProxyObservation>,
        attempt: Box<Attempt>,
    },
    /// Or why it is not asked.
    Control(Result<Control, String>),
    Echo(Option<IcmpEcho>),
    /// What an echo server said.
    Egress(Vec<Asked>),
    /// Time has passed without a decision.
    Slow,
}

/// How many tasks of each kind are still out.
#[derive(Default)]
struct Pending {
    /// The deciding lookup and attempts.
    deciding: usize,
    /// What the user asked for beside them: other resolvers and the addresses that only they gave.
    beside: usize,
    /// What only an investigation asks.
    evidence: usize,
}

struct Round {
    target: Arc<Target>,
    options: Arc<Options>,
    run: Run,
    observation: Observation,
    tasks: JoinSet<Done>,
    dialled: BTreeSet<IpAddr>,
    /// The families for which the echo servers were asked.
    echoed: BTreeSet<Option<Family>>,
    /// Deciding addresses whose attempt has not come home.
    owed: BTreeSet<IpAddr>,
    /// Stopped before, the round has asked nobody anything.
    begun: bool,
    in_trouble: bool,
    pending: Pending,
}

impl Round {
    async fn work(&mut self) {
        self.begin();
        while let Some(done) = self.tasks.join_next().await {
            // A task that panicked or was cancelled brings nothing; its absence shows as an undecided stage.
            if let Ok(done) = done {
                self.take(done);
            }
            if self.is_complete() {
                break;
            }
        }
    }

    fn begin(&mut self) {
        self.begun = true;
        let through_remote_proxy = self.options.proxy.as_ref().is_some_and(|proxy| proxy.scheme.resolves_remotely());
        if let Ok(address) = self.target.host.parse::<IpAddr>() {
            if through_remote_proxy {
                self.dial_through_proxy(Some(address), Vec::new(), true);
            } else {
                self.dial(&[address], "literal", true);
            }
        } else if through_remote_proxy {
            self.dial_through_proxy(None, Vec::new(), true);
        } else {
            let (target, options) = (Arc::clone(&self.target), Arc::clone(&self.options));
            self.pending.deciding += 1;
            self.tasks.spawn(async move {
                let settings = dns_settings(&options);
                Done::System(match &options.system {
                    SystemResolver::Host if options.lean => {
                        system::ask_configured(&SystemConfiguration::recent(), &target.host, &settings).await
                    }
                    resolver => system::ask_system(resolver, &target.host, &settings).await,
                })
            });
            self.ask_resolvers(true);
        }
        if self.options.investigate {
            self.tasks.spawn(async {
                tokio::time::sleep(PATIENCE).await;
                Done::Slow
            });
        }
    }

    fn is_complete(&self) -> bool {
        let main = self.pending.deciding == 0 && self.pending.beside == 0;
        // A healthy target owes nobody an investigation; a sick one waits for its evidence.
        main && (self.pending.evidence == 0 || !self.in_trouble)
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::System(observations) => {
                self.pending.deciding -= 1;
                let deciding = observations.first().cloned();
                for observation in &observations {
                    self.run.tell(|| ProbeEvent::Resolved(Box::new(observation.clone())));
                }
                self.observation.dns.extend(observations);
                if let Some(deciding) = deciding {
                    if deciding.outcome != DnsOutcome::Answer {
                        self.trouble();
                    }
                    self.dial(&deciding.addresses, &deciding.resolver, true);
                }
                for other in self.observation.dns.clone().iter().filter(|one| one.resolver != SYSTEM) {
                    self.dial(&other.addresses, &other.resolver, false);
                }
                let known = self.target.known_addresses.clone();
                self.dial(&known, "scenario", false);
                if self.echoed.is_empty() {
                    self.ask_echoes(None);
                }
            }
            Done::Resolver { observation, eager } => {
                if eager {
                    self.pending.beside -= 1;
                } else {
                    self.pending.evidence -= 1;
                }
                self.run.tell(|| ProbeEvent::Resolved(Box::new(observation.clone())));
                let (addresses, label) = (observation.addresses.clone(), observation.resolver.clone());
                self.observation.dns.push(observation);
                // The deciding resolver goes first; what it has not given by now is evidence.
                if self.observation.dns.iter().any(|one| one.resolver == SYSTEM) {
                    self.dial(&addresses, &label, false);
                }
            }
            Done::Canary(observation) => {
                self.pending.evidence -= 1;
                self.observation.canaries.push(observation);
            }
            Done::Attempt(attempt) => {
                self.settle(&attempt);
                self.run.tell(|| ProbeEvent::Attempted(attempt.clone()));
                if attempt.decides && attempt.observed != Reachability::Reachable {
                    self.trouble();
                }
                self.observation.attempts.push(*attempt);
            }
            Done::Proxied { proxy, attempt } => {
                self.settle(&attempt);
                self.run.tell(|| ProbeEvent::Attempted(attempt.clone()));
                if attempt.decides && attempt.observed != Reachability::Reachable {
                    self.trouble();
                }
                // Of several tunnels the one that failed is the one to look at.
                let opened = |known: &ProxyObservation| known.tunnel.outcome == TunnelOutcome::Established;
                if attempt.decides && self.observation.proxy.as_ref().is_none_or(opened) {
                    self.observation.proxy = Some(*proxy);
                }
                self.observation.attempts.push(*attempt);
            }
            Done::Control(control) => {
                self.pending.evidence -= 1;
                match control {
                    Ok(control) => self.connectivity().controls.push(control),
                    Err(reason) => self.observation.left_out.push(reason),
                }
            }
            Done::Echo(echo) => {
                self.pending.evidence -= 1;
                self.connectivity().icmp = echo;
            }
            Done::Egress(asked) => {
                self.pending.beside -= 1;
                for one in asked {
                    match one {
                        Asked::Observed(observed) => self.observation.egress.push(observed),
                        Asked::LeftOut(reason) if self.observation.left_out.contains(&reason) => {}
                        Asked::LeftOut(reason) => self.observation.left_out.push(reason),
                    }
                }
            }
            Done::Slow => {
                if self.pending.deciding > 0 {
                    self.trouble();
                }
            }
        }
    }

    /// An attempt has come home.
    fn settle(&mut self, attempt: &Attempt) {
        if attempt.decides {
            self.pending.deciding -= 1;
        } else {
            self.pending.beside -= 1;
        }
        if let Some(address) = &attempt.address {
            self.owed.remove(address);
        }
    }

    fn connectivity(&mut self) -> &mut Connectivity {
        let resolver = || {
            let server = self.observation.dns.first()?.server.as_deref()?.parse::<SocketAddr>().ok()?;
            Some(server.ip())
        };
        let fresh = self.observation.connectivity.is_none().then(|| {
            let (ipv4_route, ipv6_route) = route::has_routes();
            let source = route::source_towards(resolver(), &self.options.source);
            Connectivity { ipv4_route, ipv6_route, source, ..Connectivity::default() }
        });
        self.observation.connectivity.get_or_insert_with(|| fresh.unwrap_or_default())
    }

    /// Something is wrong: begin to look for the cause, once.
    fn trouble(&mut self) {
        if self.in_trouble || !self.options.investigate {
            return;
        }
        self.in_trouble = true;
        self.run.tell(|| ProbeEvent::Investigating);
        self.connectivity();
        if self.target.host.parse::<IpAddr>().is_err() && self.options.proxy.is_none() {
            self.ask_resolvers(false);
            self.ask_canaries();
        }
        for control in self.options.controls.clone() {
            let options = Arc::clone(&self.options);
            self.pending.evidence += 1;
            self.tasks.spawn(async move { Done::Control(options.shared_controls.ask(&control, &options).await) });
        }
        if let Some(address) = self.dialled.first().copied().filter(|_| self.options.proxy.is_none()) {
            let timeout = self.options.connect_timeout.min(ECHO_TIMEOUT);
            self.pending.evidence += 1;
            self.tasks.spawn(async move { Done::Echo(echo(address, timeout).await) });
        }
    }

    /// Asks the echo servers by which address they see this host, once for each family that is dialled.
    fn ask_echoes(&mut self, family: Option<Family>) {
        if !self.echoed.insert(family) {
            return;
        }
        for server in self.options.echo.iter().take(MAXIMUM_ECHO_SERVERS).cloned() {
            let options = Arc::clone(&self.options);
            self.pending.beside += 1;
            self.tasks.spawn(async move {
                Done::Egress(Box::pin(options.shared_controls.1.ask(&server, family, &options)).await)
            });
        }
    }

    fn ask_resolvers(&mut self, eager: bool) {
        for resolver in self.options.resolvers.iter().filter(|resolver| resolver.eager == eager).cloned() {
            let (target, options) = (Arc::clone(&self.target), Arc::clone(&self.options));
            if eager {
                self.pending.beside += 1;
            } else {
                self.pending.evidence += 1;
            }
            self.tasks.spawn(async move {
                let NamedResolver { label, servers, eager } = resolver;
                let observation = dns::ask(&label, &servers, &target.host, &dns_settings(&options)).await;
                Done::Resolver { observation, eager }
            });
        }
    }

    /// A random sibling of the name, from the deciding resolver: a resolver that knows it lies.
    fn ask_canaries(&mut self) {
        let seed = self.observation.started_at.map_or(0, |time| time.as_microsecond().unsigned_abs());
        let name = dns::canary_name(&self.target.host, seed);
        let options = Arc::clone(&self.options);
        self.pending.evidence += 1;
        self.tasks.spawn(async move {
            let answers = system::ask_system(&options.system, &name, &dns_settings(&options)).await;
            Done::Canary(answers.into_iter().next().unwrap_or_else(|| silent(&name)))
        });
    }

    /// Dials those of the addresses that have not been dialled yet, and credits the resolver for the others.
    fn dial(&mut self, addresses: &[IpAddr], label: &str, decides: bool) {
        let options = Arc::clone(&self.options);
        let addresses: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| match self.forbidden(*address) {
                None => true,
                Some(reason) => {
                    self.leave_out(*address, label, decides, &reason);
                    false
                }
            })
            .collect();
        // Only where both families are there can one of them be left out; asking the kernel is not for free.
        let both = addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6);
        let reaches = |ipv6: bool| {
            let family = |address: &&IpAddr| address.is_ipv6() == ipv6;
            !both || addresses.iter().filter(family).any(|one| route::local_route(*one, &options.source).is_some())
        };
        let (ipv4, ipv6) = (reaches(false), reaches(true));
        let left_out = |address: &IpAddr| (ipv4 || ipv6) && !(if address.is_ipv4() { ipv4 } else { ipv6 });
        if decides {
            // What is not dialled is not known, and must not be taken for well.
            self.owed.extend(addresses.iter().skip(MAXIMUM_DIALLED).filter(|address| !left_out(address)));
        }
        for address in addresses.iter().take(MAXIMUM_DIALLED) {
            if !self.dialled.insert(*address) {
                continue;
            }
            if left_out(address) {
                self.observation.attempts.push(self.skipped(*address, label, decides));
                continue;
            }
            self.ask_echoes(Some(Family::of(address)));
            let (target, options) = (Arc::clone(&self.target), Arc::clone(&options));
            let (address, label) = (*address, label.to_owned());
            if options.proxy.is_some() {
                self.dial_through_proxy(Some(address), vec![label], decides);
                continue;
            }
            if decides {
                self.pending.deciding += 1;
                self.owed.insert(address);
            } else {
                self.pending.beside += 1;
            }
            self.tasks.spawn(async move {
                Done::Attempt(Box::new(attempt(&target, &options, address, label, decides).await))
            });
        }
    }

    /// Why the target may not be dialled there.
    fn forbidden(&self, address: IpAddr) -> Option<String> {
        self.options.permit.refuses(SocketAddr::new(address, self.target.port))
    }

    /// Whatever DNS says, nothing is sent to an address that this prober may not dial: nothing is known of it.
    fn leave_out(&mut self, address: IpAddr, label: &str, decides: bool, reason: &str) {
        if decides {
            self.owed.insert(address);
        }
        if self.observation.attempts.len() > MAXIMUM_LISTED
            || self.observation.attempts.iter().any(|attempt| attempt.address == Some(address))
        {
            return;
        }
        let attempt = blank(Some(address), &self.target, &self.options, vec![label.to_owned()], decides);
        self.observation.attempts.push(Attempt { skipped: Some(format!("this vantage may not: {reason}")), ..attempt });
    }

    fn skipped(&self, address: IpAddr, label: &str, decides: bool) -> Attempt {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        Attempt {
            skipped: Some(format!("this vantage has no {family} route there")),
            ..blank(Some(address), &self.target, &self.options, vec![label.to_owned()], decides)
        }
    }

    fn dial_through_proxy(&mut self, address: Option<IpAddr>, labels: Vec<String>, decides: bool) {
        let Some(proxy) = self.options.proxy.clone() else { return };
        if proxy.scheme.resolves_remotely() {
            // The proxy chooses the family.
            self.ask_echoes(None);
        }
        let (target, options) = (Arc::clone(&self.target), Arc::clone(&self.options));
        if decides {
            self.pending.deciding += 1;
            self.owed.extend(address);
        } else {
            self.pending.beside += 1;
        }
        self.tasks.spawn(async move {
            let blank = blank(address, &target, &options, labels, decides);
            let (proxy, attempt) = Box::pin(proxied_attempt(&target, &options, &proxy, blank)).await;
            Done::Proxied { proxy: Box::new(proxy), attempt: Box::new(attempt) }
        });
    }
}

/// One address through all stages, with the evidence that a stuck stage calls for.
async fn attempt(target: &Target, options: &Options, address: IpAddr, label: String, decides: bool) -> Attempt {
    let mut attempt = blank(Some(address), target, options, vec![label], decides);
    let peer = SocketAddr::new(address, target.port);
    let settings = connect_settings(options);
    let (tcp, evidence) = in_the_shadow(
        tcp::connect(peer, settings),
        PATIENCE,
        (options.investigate && decides).then_some(|| Box::pin(why_silent(peer, options))),
    )
    .await;
    let (tcp, stream) = tcp;
    attempt.tcp = tcp;
    if let Some((trace, repeats)) = evidence {
        attempt.trace = trace;
        attempt.repeats = repeats;
    }
    if options.investigate && attempt.tcp.outcome != TcpOutcome::Connected {
        attempt.route = route::local_route(address, &options.source);
    }
    let Some(stream) = stream else {
        attempt.observed = Reachability::Unreachable;
        return attempt;
    };
    // What follows is large and rare among silent targets: it lives on the heap, so that ten thousand attempts stay small.
    let (tls, http, path_mtu) = Box::pin(secure(target, options, Some((peer, decides)), stream)).await;
    attempt.path_mtu = path_mtu;
    attempt.tls = tls;
    attempt.http = http;
    attempt.observed = attempt.reachability(target.service);
    attempt
}

/// TLS and HTTP on a connected stream, with other handshakes and the path's MTU beside it when it does not complete.
/// `peer` is known when further connections can be made to the same address directly, with whether it decides.
async fn secure<S>(
    target: &Target,
    options: &Options,
    peer: Option<(SocketAddr, bool)>,
    stream: S,
) -> (TlsStage, HttpStage, Option<PathMtu>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let name = target.server_name.as_deref().unwrap_or(&target.host);
    let hello = if options.lean { Hello::Lean } else { Hello::Standard };
    let shaking = tls::handshake(stream, name, &target.trust, hello, None, options.connect_timeout);
    let direct = peer.map(|(peer, _)| peer);
    let peer = peer.filter(|(_, decides)| options.investigate && *decides).map(|(peer, _)| peer);
    let why_stalled = peer.map(|peer| {
        move || {
            Box::pin(async move {
                tokio::join!(
                    other_handshakes(target, options, peer),
                    path::path_mtu(peer, &options.source, VARIANT_TIMEOUT)
                )
            })
        }
    });
    let ((mut stage, stream), evidence) = in_the_shadow(shaking, PATIENCE, why_stalled).await;
    let Some(stream) = stream else {
        let (variants, path_mtu) = match (evidence, peer) {
            (Some(evidence), _) => evidence,
            // It ended at once: compare now.
            (None, Some(peer)) if stage.outcome != TlsOutcome::Skipped => {
                (other_handshakes(target, options, peer).await, None)
            }
            (None, _) => (Vec::new(), None),
        };
        stage.variants = variants;
        let path_mtu = path_mtu.map(|(bytes, router)| PathMtu { bytes, router });
        return (stage, HttpStage::skipped(), path_mtu);
    };
    // Credentials go only to a peer that verified; a client certificate needs a connection of its own.
    let credentials = options.credentials.as_ref().filter(|_| stage.outcome == TlsOutcome::Verified);
    let mut http2 = stage.alpn.as_deref() == Some("h2");
    if let (Some(identity @ Credentials::ClientCertificate(..)), Some(peer)) = (credentials, direct) {
        let settings = connect_settings(options);
        if let (_, Some(again)) = tcp::connect(peer, settings).await {
            let (second, again) =
                tls::handshake(again, name, &target.trust, Hello::Standard, Some(identity), options.connect_timeout)
                    .await;
            if let (TlsOutcome::Verified, Some(again)) = (second.outcome, again) {
                http2 = second.alpn.as_deref() == Some("h2");
                let http = ask(target, options, again, http2, credentials).await;
                return (stage, http, None);
            }
        }
    }
    // A client certificate that was not offered in the handshake is not sent at all.
    let credentials = credentials.filter(|credentials| !matches!(credentials, Credentials::ClientCertificate(..)));
    let mut http = ask(target, options, stream, http2, credentials).await;
    let unanswered = matches!(http.outcome, HttpOutcome::Timeout | HttpOutcome::Reset | HttpOutcome::Error);
    if let (true, true, Some(peer)) = (unanswered, http2, peer) {
        http.http1_outcome = Some(over_http1(target, options, peer).await);
    }
    (stage, http, None)
}

async fn ask<S>(
    target: &Target,
    options: &Options,
    stream: S,
    http2: bool,
    credentials: Option<&Credentials>,
) -> HttpStage
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let authority = match target.port {
        443 if target.host.contains(':') => format!("[{}]", target.host),
        443 => target.host.clone(),
        port => Endpoint { host: target.host.clone(), port }.to_string(),
    };
    let exchange = Exchange {
        authority: &authority,
        base_path: &target.base_path,
        paths: &options.requests,
        credentials,
        http2,
        timeout: options.connect_timeout,
    };
    http::exchange(stream, exchange).await
}

async fn over_http1(target: &Target, options: &Options, peer: SocketAddr) -> HttpOutcome {
    let settings = connect_settings(options);
    let (_, Some(stream)) = tcp::connect(peer, settings).await else { return HttpOutcome::Skipped };
    let name = target.server_name.as_deref().unwrap_or(&target.host);
    let (_, stream) = tls::handshake(stream, name, &target.trust, Hello::Http1, None, options.connect_timeout).await;
    match stream {
        Some(stream) => ask(target, options, stream, false, None).await.outcome,
        None => HttpOutcome::Skipped,
    }
}

/// The same handshake with one thing changed, three times at once.
async fn other_handshakes(target: &Target, options: &Options, peer: SocketAddr) -> Vec<TlsVariant> {
    let name = target.server_name.as_deref().unwrap_or(&target.host);
    let one = async |kind: TlsVariantKind| {
        let (hello, maximum_segment) = match kind {
            TlsVariantKind::SmallSegments => (Hello::Standard, Some(SMALL_SEGMENT)),
            TlsVariantKind::ClassicalKeyShares => (Hello::Classical, None),
            TlsVariantKind::NoServerName => (Hello::NoServerName, None),
        };
        let settings = ConnectSettings { maximum_segment, ..connect_settings(options) };
        let started = Instant::now();
        let (tcp, stream) = tcp::connect(peer, settings).await;
        let Some(stream) = stream else {
            let detail = Some(format!("tcp {}", tcp.outcome.label()));
            return TlsVariant { kind, outcome: TlsOutcome::Skipped, ms: milliseconds(started), detail };
        };
        let (stage, _stream) = tls::handshake(stream, name, &target.trust, hello, None, VARIANT_TIMEOUT).await;
        TlsVariant { kind, outcome: stage.outcome, ms: milliseconds(started), detail: stage.detail }
    };
    let (small, classical, nameless) = tokio::join!(
        one(TlsVariantKind::SmallSegments),
        one(TlsVariantKind::ClassicalKeyShares),
        one(TlsVariantKind::NoServerName)
    );
    vec![small, classical, nameless]
}

/// Where do packets stop, and is it always so? A few at a time in the whole process.
async fn why_silent(peer: SocketAddr, options: &Options) -> (Option<PathTrace>, Option<Repeats>) {
    static INVESTIGATORS: Semaphore = Semaphore::const_new(MAXIMUM_INVESTIGATORS);
    let Ok(_permit) = INVESTIGATORS.try_acquire() else { return (None, None) };
    let (trace, repeats) = tokio::join!(path::trace(peer, &options.source, TRACE_TIMEOUT), repeat(peer, options));
    (Some(trace), Some(repeats))
}

/// Weak evidence: a few at a time in the whole process, so that it takes no descriptor from what matters.
async fn echo(address: IpAddr, timeout: Duration) -> Option<IcmpEcho> {
    static ECHOES: Semaphore = Semaphore::const_new(MAXIMUM_INVESTIGATORS);
    let _permit = ECHOES.try_acquire().ok()?;
    Some(icmp::echo(address, timeout).await)
}

async fn repeat(peer: SocketAddr, options: &Options) -> Repeats {
    let mut tasks = JoinSet::new();
    for _ in 0..REPEATS {
        let (source, permit) = (options.source.clone(), options.permit.clone());
        tasks.spawn(async move {
            // Shorter than the kernel's first retransmission: each is one packet's luck.
            let settings = ConnectSettings {
                timeout: REPEAT_TIMEOUT,
                source: &source,
                maximum_segment: None,
                permit: Some(&permit),
            };
            tcp::connect(peer, settings).await.0.outcome
        });
        tokio::time::sleep(REPEAT_PACE).await;
    }
    let mut repeats = Repeats { tried: REPEATS, connected: 0, timed_out: 0 };
    while let Some(outcome) = tasks.join_next().await {
        match outcome {
            Ok(TcpOutcome::Connected) => repeats.connected += 1,
            Ok(TcpOutcome::Timeout) => repeats.timed_out += 1,
            _ => {}
        }
    }
    repeats
}

/// The tunnel, then TLS and HTTP through it.
async fn proxied_attempt(
    target: &Target,
    options: &Options,
    proxy: &ProxyTarget,
    mut attempt: Attempt,
) -> (ProxyObservation, Attempt) {
    let (dns, addresses) = if let Ok(address) = proxy.host.parse::<IpAddr>() {
        (None, vec![address])
    } else {
        let answer = system::ask_system(&options.system, &proxy.host, &dns_settings(options)).await;
        let answer = answer.into_iter().next();
        let addresses = answer.as_ref().map(|answer| answer.addresses.clone()).unwrap_or_default();
        (answer, addresses)
    };
    let host = attempt.address.map_or_else(|| target.host.clone(), |address| address.to_string());
    let settings = connect_settings(options);
    let (observation, stream) = proxy::tunnel(proxy, dns, &addresses, &host, target.port, settings).await;
    // The connection that is measured is the one to the proxy.
    attempt.tcp = observation.tcp.clone();
    attempt.observed = Reachability::Unreachable;
    if let Some(stream) = stream {
        let (tls, http, _) = secure(target, options, None, stream).await;
        attempt.tls = tls;
        attempt.http = http;
        attempt.observed = attempt.reachability(target.service);
    }
    (observation, attempt)
}

/// Runs `main`; when it has not ended after `patience`, `shadow` begins beside it and is waited for.
async fn in_the_shadow<M, S>(
    main: M,
    patience: Duration,
    shadow: Option<impl FnOnce() -> Pin<Box<S>>>,
) -> (M::Output, Option<S::Output>)
where
    M: Future,
    S: Future,
{
    let mut main = std::pin::pin!(main);
    let Some(shadow) = shadow else { return (main.await, None) };
    match tokio::time::timeout(patience, &mut main).await {
        Ok(output) => (output, None),
        Err(_elapsed) => {
            let (output, evidence) = tokio::join!(main, shadow());
            (output, Some(evidence))
        }
    }
}

fn blank(
    address: Option<IpAddr>,
    target: &Target,
    options: &Options,
    resolvers: Vec<String>,
    decides: bool,
) -> Attempt {
    Attempt {
        address,
        port: target.port,
        address_class: address.map_or(AddressClass::None, |address| options.classes.of(address)),
        resolvers,
        decides,
        skipped: None,
        tcp: TcpStage { outcome: TcpOutcome::LocalError, ms: 0.0, detail: None, source: None, icmp: None },
        tls: TlsStage::skipped(),
        http: HttpStage::skipped(),
        observed: Reachability::Unknown,
        route: None,
        trace: None,
        repeats: None,
        path_mtu: None,
    }
}

fn silent(name: &str) -> DnsObservation {
    DnsObservation {
        resolver: SYSTEM.to_owned(),
        server: None,
        name: name.to_owned(),
        outcome: DnsOutcome::Timeout,
        addresses: Vec::new(),
        cnames: Vec::new(),
        ttl: None,
        address_class: AddressClass::None,
        ms: 0.0,
        source: DnsSource::Server,
        detail: None,
        queries: Vec::new(),
    }
}

fn connect_settings(options: &Options) -> ConnectSettings<'_> {
    ConnectSettings {
        timeout: options.connect_timeout,
        source: &options.source,
        maximum_segment: None,
        permit: Some(&options.permit),
    }
}

fn dns_settings(options: &Options) -> DnsSettings<'_> {
    DnsSettings { timeout: options.dns_timeout, source: &options.source, classes: &options.classes }
}

/// The order of the contract: the deciding resolver first, then the user's order; deciding attempts first, by address.
fn sort(observation: &mut Observation, options: &Options) {
    let rank = |label: &str| match label {
        SYSTEM => 0,
        "system-dns" => 1,
        _ => 2 + options.resolvers.iter().position(|resolver| resolver.label == label).unwrap_or(usize::MAX - 2),
    };
    observation.dns.sort_by_key(|one| rank(&one.resolver));
    for attempt in &mut observation.attempts {
        let Some(address) = attempt.address else { continue };
        for answer in observation.dns.iter().filter(|answer| answer.addresses.contains(&address)) {
            if !attempt.resolvers.contains(&answer.resolver) {
                attempt.resolvers.push(answer.resolver.clone());
            }
        }
        attempt.resolvers.sort_by_key(|label| rank(label));
    }
    observation.attempts.sort_by_key(|attempt| (!attempt.decides, attempt.address));
    let servers: Vec<String> = options.echo.iter().map(egress::label).collect();
    let order = |one: &crate::EgressObservation| servers.iter().position(|server| *server == one.server);
    observation.egress.sort_by_key(|one| (order(one), one.asked.map(|asked| Family::of(&asked)), one.address));
    if let Some(connectivity) = &mut observation.connectivity {
        connectivity.controls.sort_by(|one, other| one.target.cmp(&other.target));
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Label of the deciding resolver.
const SYSTEM: &str = "system";
/// How long a stage may take before the search for the cause begins beside it.
const PATIENCE: Duration = Duration::from_secs(1);
const VARIANT_TIMEOUT: Duration = Duration::from_millis(1800);
const TRACE_TIMEOUT: Duration = Duration::from_millis(1800);
const ECHO_TIMEOUT: Duration = Duration::from_secs(1);
const REPEAT_TIMEOUT: Duration = Duration::from_millis(900);
const REPEAT_PACE: Duration = Duration::from_millis(50);
const REPEATS: u32 = 8;
const SMALL_SEGMENT: u32 = 1_100;
const MAXIMUM_DIALLED: usize = 64;
const MAXIMUM_ECHO_SERVERS: usize = 8;
/// Attempts beyond which an address that may not be dialled is not listed.
const MAXIMUM_LISTED: usize = 256;
const MAXIMUM_INVESTIGATORS: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::proto::op::ResponseCode;

    use super::*;
    use crate::{ProxyScheme, Trust, dns::fake::FakeServer};

    fn target(port: u16) -> Arc<Target> {
        Arc::new(Target {
            known_addresses: vec![IpAddr::from([127, 0, 0, 1])],
            ..Target::new("api.lab.test", port, Trust::SystemRoots)
        })
    }

    fn options(resolver: SocketAddr) -> Options {
        Options { system: SystemResolver::Servers(vec![resolver]), ..Options::plain(Duration::from_secs(2)) }
    }

    /// A port on which nothing listens, on any loopback address.
    async fn closed_port() -> u16 {
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn addresses_beyond_the_limit_are_named_as_undecided() {
        let addresses: Vec<Ipv4Addr> = (1..=70).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect();
        let server = FakeServer::start(move |asked| vec![asked.send(&asked.addresses(&addresses))]).await;
        let observation =
            probe(&target(closed_port().await), &Arc::new(options(server.address)), &Run::unattended()).await;
        let deciding = observation.attempts.iter().filter(|attempt| attempt.decides).count();
        assert_eq!((deciding, observation.undecided.len()), (MAXIMUM_DIALLED, 70 - MAXIMUM_DIALLED));
    }

    #[tokio::test]
    async fn what_may_not_be_dialled_is_not_and_nothing_is_known_of_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let given = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
        let server = FakeServer::start(move |asked| vec![asked.send(&asked.addresses(&given))]).await;
        let permit = crate::Permit { ranges: vec!["127.0.0.3/32".parse().unwrap()], ..crate::Permit::default() };
        let controls = vec![Endpoint { host: "127.0.0.2".into(), port }];
        let mut options = Options {
            permit,
            controls,
            investigate: true,
            connect_timeout: Duration::from_secs(2),
            ..options(server.address)
        };
        let target = Target { known_addresses: Vec::new(), ..Target::clone(&target(port)) };
        let observation = probe(&Arc::new(target.clone()), &Arc::new(options.clone()), &Run::unattended()).await;
        assert_eq!(observation.undecided, [IpAddr::from(given[0])]);
        let [left_out, dialled] = observation.attempts.as_slice() else { panic!("{observation:?}") };
        assert!(left_out.decides && left_out.skipped.as_ref().unwrap().contains("127.0.0.2 is in no permitted range"));
        assert_eq!((left_out.observed, dialled.observed), (Reachability::Unknown, Reachability::Unreachable));
        assert_eq!((dialled.address, &dialled.skipped), (Some(given[1].into()), &None));
        assert!(observation.connectivity.unwrap().controls.is_empty());
        assert!(observation.left_out[0].contains("control 127.0.0.2"), "{:?}", observation.left_out);
        // Behind everything else that chooses an address, the connect itself looks.
        let (stage, stream) = tcp::connect((given[0], port).into(), connect_settings(&options)).await;
        assert!(stream.is_none() && stage.outcome == TcpOutcome::LocalError, "{stage:?}");
        let silence = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(silence.is_err(), "{silence:?}");
        options.permit = crate::Permit::default();
        let observation = probe(&Arc::new(target), &Arc::new(options), &Run::unattended()).await;
        assert!(observation.undecided.is_empty() && listener.accept().await.is_ok());
    }

    #[tokio::test]
    async fn an_address_that_only_the_scenario_knows_decides_nothing_behind_a_proxy_either() {
        let server = FakeServer::failing(ResponseCode::NXDomain).await;
        let proxy = ProxyTarget {
            scheme: ProxyScheme::Socks5,
            host: "127.0.0.1".into(),
            port: closed_port().await,
            credentials: None,
            authorities: None,
        };
        let options = Options { proxy: Some(proxy), ..options(server.address) };
        let observation = probe(&target(443), &Arc::new(options), &Run::unattended()).await;
        assert_eq!(observation.attempts.len(), 1);
        assert!(!observation.attempts[0].decides && observation.proxy.is_none(), "{observation:?}");
    }

    #[tokio::test]
    async fn a_source_that_this_host_lacks_is_the_vantages_fault() {
        for source in [
            SourceBinding { address: Some(IpAddr::from([192, 0, 2, 99])), interface: None },
            SourceBinding { address: None, interface: Some("kubereach-none".into()) },
        ] {
            let options = Options { source, ..options(SocketAddr::from(([127, 0, 0, 1], 9))) };
            let observation = probe(&target(443), &Arc::new(options), &Run::unattended()).await;
            assert!(observation.vantage_error.is_some() && observation.attempts.is_empty(), "{observation:?}");
        }
    }
}
