//! A plan that is probed again and again for months: one round of one cell at a time, judged by what is configured then.
//!
//! A round whose outcome is that of the round before is not judged anew, and a cell that is known to be broken is not
//! investigated each time: findings say the same until something differs, or until they are old.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use jiff::Timestamp;
use kubereach_probes::{Attempt, Observation, Options, Run, SharedControls, Target, TcpOutcome};
use tokio::sync::watch;

use super::{
    Documents, Event, Events, Probed, Settings,
    configuration::{self, State},
    judge::{Evaluated, Frame, case},
    options, round, targets,
};
use crate::{
    causes,
    input::InputErrors,
    report::{Cell, Finding, Reachability, Verdict},
    scenario::{Plan, VantageKind},
    vantage::Transports,
    verdict::{self, Agreement},
};

/// A plan with everything that stays open between rounds.
pub struct Session {
    settings: Settings,
    transports: Transports,
    ground: RwLock<Arc<Ground>>,
    /// By cell.
    judged: Vec<Mutex<Option<Judged>>>,
    /// By vantage.
    places: Vec<Mutex<Place>>,
    stop: watch::Receiver<bool>,
    events: Option<Events>,
}

/// What rounds stand on; replaced as a whole when a configuration was read.
struct Ground {
    plan: Plan,
    /// By cluster.
    states: Vec<State>,
    /// By cluster: how often its configuration was found to be another one.
    revisions: Vec<u64>,
    /// By cluster: how often in a row it could not be read.
    failures: Vec<u32>,
    /// By cell.
    targets: Vec<Option<Arc<Target>>>,
}

/// The last judgement of a cell.
#[derive(Clone)]
struct Judged {
    cell: Arc<Cell>,
    id: i64,
    offline: bool,
    outcome: u64,
    revision: u64,
    at: Instant,
}

/// A vantage between rounds.
struct Place {
    /// Asks the target one thing, and nobody else.
    plain: Arc<Options>,
    /// The same, as cheaply as can be.
    lean: Arc<Options>,
    /// Looks for the cause when something is wrong; what it asked of controls and echo servers counts for a while.
    thorough: Arc<Options>,
    since: Instant,
    /// When anything was last heard there, from whomever.
    heard: Option<Instant>,
}

/// How closely a round looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closeness {
    /// What is known to be broken has been looked into: only whether it still is so.
    Plain,
    /// What was fine a moment ago: only whether it still is so.
    Lean,
    /// Everything.
    Thorough,
}

/// One finished round of a cell.
#[derive(Clone, Debug)]
pub struct Look {
    /// The judged cell; its times are those of the round that was judged.
    pub cell: Arc<Cell>,
    /// 63 bits of a hash over everything in it but times.
    pub id: i64,
    /// It was judged in this round.
    pub fresh: bool,
    /// The prober had no network, or may have had none: the round says nothing of the cell.
    pub offline: bool,
    /// How long the stages of this round took.
    pub times: Times,
}

/// How long the stages of a round took, milliseconds; absent where a stage did not happen. Of several addresses the
/// slowest counts that answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// The deciding resolver's answer.
    pub dns: Option<f64>,
    /// Connect.
    pub tcp: Option<f64>,
    /// Handshake.
    pub tls: Option<f64>,
    /// First answer.
    pub http: Option<f64>,
}

/// What reading a cluster's configuration again brought.
#[derive(Clone, Debug, Default)]
pub struct Refreshed {
    /// The provider's documents; empty where they could not be read, or where nothing says where they are.
    pub documents: Documents,
    /// Why they could not be read.
    pub failed: Option<String>,
    /// A change is under way, so that it is worth reading again soon.
    pub under_way: bool,
}

impl Session {
    /// Opens nothing yet and asks nobody: the configuration is not known before the first [`Self::refresh`].
    ///
    /// # Errors
    /// A cluster's certificate authorities cannot be used.
    pub fn new(
        plan: Plan,
        settings: Settings,
        stop: watch::Receiver<bool>,
        events: Option<Events>,
    ) -> Result<Self, InputErrors> {
        let states = vec![State::default(); plan.clusters.len()];
        let targets = targets(&plan, &states)?;
        let transports = Transports::new(plan.nats.as_ref());
        // A disagreement is told as it is seen: who waits for a change is told by the configuration when it is there.
        let settings = Settings { wait: Some(Duration::ZERO), ..settings };
        let place = |vantage| {
            let thorough = Arc::new(options(&plan, &settings, vantage));
            let plain = brief(&thorough);
            // Elsewhere, and in another network of this host, nothing is remembered between rounds.
            let here = matches!(vantage.kind, VantageKind::Local { netns: None, .. });
            let lean = Arc::new(Options { lean: here, ..plain.clone() });
            Mutex::new(Place { plain: Arc::new(plain), lean, thorough, since: Instant::now(), heard: None })
        };
        let places: Vec<Mutex<Place>> = plan.vantages.iter().map(place).collect();
        let judged = plan.cells.iter().map(|_| Mutex::new(None)).collect();
        let ground = Ground {
            revisions: vec![0; plan.clusters.len()],
            failures: vec![0; plan.clusters.len()],
            states,
            targets,
            plan,
        };
        let session =
            Self { settings, transports, ground: RwLock::new(Arc::new(ground)), judged, places, stop, events };
        session.announce();
        Ok(session)
    }

    /// Probes a cell once and judges it. Ends within about `timeout`, undecided where that is not enough.
    pub async fn round(&self, index: usize, timeout: Duration) -> Look {
        let ground = self.ground();
        let begun = Instant::now();
        let closeness = self.closeness(&ground, index);
        let mut observation = Box::pin(self.observe(&ground, index, timeout, closeness)).await;
        if closeness != Closeness::Thorough
            && !self.is_as_before(&ground, index, &observation)
            && !self.agrees(&ground, index, &observation)
        {
            // Something is different now: what it is takes a closer look.
            observation = Box::pin(self.observe(&ground, index, timeout, Closeness::Thorough)).await;
        }
        let times = times(&observation);
        self.note_heard(&ground, index, &observation);
        if is_offline(&verdict::read(&observation)) && self.is_heard_since(&ground, index, begun, timeout).await {
            // Whoever answers another cell there shows that the vantage has a network: it is this target that is silent.
            observation.connectivity = None;
        }
        let outcome = outcome(&observation);
        let revision = ground.revisions[ground.plan.cells[index].cluster];
        let mut remembered = lock(&self.judged[index]);
        if let Some(known) = remembered.as_ref()
            && (known.outcome, known.revision) == (outcome, revision)
            && known.at.elapsed() < longest_unchanged(&known.cell, closeness)
        {
            return Look { cell: Arc::clone(&known.cell), id: known.id, fresh: false, offline: known.offline, times };
        }
        let offline = is_offline(&verdict::read(&observation));
        let cell = Arc::new(self.judge(&ground, index, observation));
        let id = content_address(&cell, outcome);
        let at = Instant::now();
        *remembered = Some(Judged { cell: Arc::clone(&cell), id, offline, outcome, revision, at });
        Look { cell, id, fresh: true, offline, times }
    }

    /// Reads a cluster's configuration again. One that cannot be read any more counts for a few times more, and is not
    /// known after that.
    pub async fn refresh(&self, cluster: usize) -> Refreshed {
        let ground = self.ground();
        let before = &ground.states[cluster];
        let tell = |event: Event| {
            if let Some(events) = &self.events {
                // Nobody listening is no reason to stop.
                let _ = events.send(event);
            }
        };
        let mut described = ground.plan.clusters[cluster].clone();
        let (state, documents) = configuration::look(&described, before, &tell).await;
        let failed = state.missing.clone().filter(|_| state.facts.is_none());
        let under_way = state.update.as_ref().is_some_and(|update| update.ended.is_none());
        let mut next = self.ground.write().unwrap_or_else(PoisonError::into_inner);
        let ground = Arc::clone(&next);
        let failures = if failed.is_some() { ground.failures[cluster] + 1 } else { 0 };
        let mut ground = Ground::clone_of(&ground);
        ground.failures[cluster] = failures;
        if failed.is_none() || ground.states[cluster].facts.is_none() || failures >= FAILURES_OUTLIVED {
            let wrong = configuration::complete(&ground.plan.file, &mut described, &state).err();
            if wrong.is_none() {
                ground.plan.clusters[cluster] = described;
            }
            ground.states[cluster] = state;
            ground.revisions[cluster] += 1;
            if let Ok(targets) = targets(&ground.plan, &ground.states) {
                ground.targets = targets;
            }
        }
        *next = Arc::new(ground);
        drop(next);
        self.announce();
        Refreshed { documents, failed, under_way }
    }

    /// What a cluster's configuration shows by itself, beside what its cells say already.
    #[must_use]
    pub fn configuration_findings(&self, cluster: usize) -> Vec<Finding> {
        let ground = self.ground();
        let cells: Vec<Cell> = ground
            .plan
            .cells
            .iter()
            .zip(&self.judged)
            .filter(|(planned, _)| planned.cluster == cluster)
            .filter_map(|(_, judged)| Some(Cell::clone(&lock(judged).as_ref()?.cell)))
            .collect();
        let evaluated = Evaluated::of(&ground.states[cluster]);
        self.frame(&ground).configuration_findings(cluster, &evaluated, &cells, None)
    }

    /// The provider's configuration of a cluster can be read somewhere.
    #[must_use]
    pub fn has_configuration(&self, cluster: usize) -> bool {
        let cluster = &self.ground().plan.clusters[cluster];
        cluster.facts.is_some() || cluster.provider_block.is_some()
    }

    /// Ends every connection. Says what could not be removed from other hosts, a sentence each.
    pub async fn close(&self) -> Vec<String> {
        self.transports.close().await
    }

    fn ground(&self) -> Arc<Ground> {
        Arc::clone(&self.ground.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn frame<'a>(&'a self, ground: &'a Ground) -> Frame<'a> {
        Frame { plan: &ground.plan, settings: &self.settings, started_at: Timestamp::now() }
    }

    fn announce(&self) {
        let ground = self.ground();
        for (cell, target) in ground.plan.cells.iter().zip(&ground.targets) {
            if let Some(target) = target {
                let options = Arc::clone(&lock(&self.places[cell.vantage]).thorough);
                self.transports.announce(&ground.plan.vantages[cell.vantage], target, &options);
            }
        }
    }

    async fn observe(&self, ground: &Ground, index: usize, timeout: Duration, closeness: Closeness) -> Observation {
        let cell = &ground.plan.cells[index];
        let vantage = &ground.plan.vantages[cell.vantage];
        let Some(target) = &ground.targets[index] else { return Observation::default() };
        if matches!(vantage.kind, VantageKind::Model { .. }) {
            return Observation::default();
        }
        let options = self.options(cell.vantage, closeness);
        let (end, stop) = watch::channel(false);
        let run = Run { stop, events: None };
        let mut stopped = self.stop.clone();
        let mut observing = Box::pin(self.transports.observe(vantage, target, &options, &run));
        tokio::select! {
            observation = &mut observing => return observation,
            () = tokio::time::sleep(timeout) => {}
            // A sender that is gone will never stop us; then the time limit is what ends the round.
            Ok(_) = stopped.wait_for(|stop| *stop) => {}
        }
        // Nobody listening means that the round is over.
        let _ = end.send(true);
        observing.await
    }

    /// The options of a vantage; what it heard of controls and echo servers is asked again when it is old.
    fn options(&self, vantage: usize, closeness: Closeness) -> Arc<Options> {
        let mut place = lock(&self.places[vantage]);
        if place.since.elapsed() >= CONTROLS_COUNT_FOR {
            place.since = Instant::now();
            let thorough = Options { shared_controls: SharedControls::default(), ..Options::clone(&place.thorough) };
            let shared_controls = thorough.shared_controls.clone();
            let renewed =
                |options: &Options| Arc::new(Options { shared_controls: shared_controls.clone(), ..options.clone() });
            (place.plain, place.lean) = (renewed(&place.plain), renewed(&place.lean));
            place.thorough = Arc::new(thorough);
        }
        Arc::clone(match closeness {
            Closeness::Plain => &place.plain,
            Closeness::Lean => &place.lean,
            Closeness::Thorough => &place.thorough,
        })
    }

    /// How closely to look. What is known to be broken, and has been looked into not long ago, is left alone while
    /// something else is heard at the vantage: a prober that may have gone offline always looks.
    fn closeness(&self, ground: &Ground, index: usize) -> Closeness {
        let vantage = ground.plan.cells[index].vantage;
        let judged = lock(&self.judged[index]);
        let Some(known) = judged.as_ref() else { return Closeness::Thorough };
        if known.at.elapsed() >= longest_unchanged(&known.cell, Closeness::Plain) {
            return Closeness::Thorough;
        }
        if known.cell.observed == Reachability::Reachable && known.cell.verdict == Verdict::Match {
            return Closeness::Lean;
        }
        let heard = lock(&self.places[vantage]).heard.is_some_and(|heard| heard.elapsed() < HEARD_COUNTS_FOR);
        if heard { Closeness::Plain } else { Closeness::Thorough }
    }

    fn is_as_before(&self, ground: &Ground, index: usize, observation: &Observation) -> bool {
        let revision = ground.revisions[ground.plan.cells[index].cluster];
        let judged = lock(&self.judged[index]);
        judged.as_ref().is_some_and(|known| (known.outcome, known.revision) == (outcome(observation), revision))
    }

    fn agrees(&self, ground: &Ground, index: usize, observation: &Observation) -> bool {
        let meant = self.frame(ground).meant(index, observation);
        let seen = verdict::read(observation);
        seen.observed == Reachability::Reachable && verdict::agreement(&case(&meant, &seen, None)) == Agreement::Agrees
    }

    /// Whether anything was heard at the cell's vantage since then; where nothing was, a cell that was fine is asked.
    async fn is_heard_since(&self, ground: &Ground, index: usize, begun: Instant, timeout: Duration) -> bool {
        let vantage = ground.plan.cells[index].vantage;
        let heard = || lock(&self.places[vantage]).heard.is_some_and(|heard| heard >= begun);
        if heard() {
            return true;
        }
        let was_fine = |other: &usize| {
            let judged = self.judged[*other].try_lock();
            judged
                .is_ok_and(|judged| judged.as_ref().is_some_and(|known| known.cell.observed == Reachability::Reachable))
        };
        let mut others = (0..ground.plan.cells.len())
            .filter(|other| *other != index && ground.plan.cells[*other].vantage == vantage);
        let Some(other) = others.find(was_fine) else { return false };
        let observation = Box::pin(self.observe(ground, other, timeout, Closeness::Plain)).await;
        self.note_heard(ground, other, &observation);
        heard()
    }

    /// Any answer from anywhere shows that the vantage has a network.
    fn note_heard(&self, ground: &Ground, index: usize, observation: &Observation) {
        let answered = observation.attempts.iter().any(|attempt| attempt.observed == Reachability::Reachable);
        let control = observation.connectivity.iter().flat_map(|one| &one.controls).any(|control| control.answered);
        if answered || control {
            lock(&self.places[ground.plan.cells[index].vantage]).heard = Some(Instant::now());
        }
    }

    fn judge(&self, ground: &Ground, index: usize, observation: Observation) -> Cell {
        let planned = &ground.plan.cells[index];
        let state = &ground.states[planned.cluster];
        let evaluated = Evaluated::of(state);
        let frame = self.frame(ground);
        let meant = frame.meant(index, &observation);
        let seen = verdict::read(&observation);
        let prediction = frame.predicted(&evaluated, index, &observation);
        let agreement = verdict::agreement(&case(&meant, &seen, prediction.as_ref()));
        let now = Timestamp::now();
        let provider = ground.plan.clusters[planned.cluster].provider;
        let convergence = frame.convergence(provider, state.update.as_ref(), now);
        let next = convergence.last(&[(now, agreement)]);
        let rounds = vec![round(&observation, &seen, agreement, now)];
        let probed = Probed { observation, rounds, converged_after_ms: None, next };
        let mut cell = frame.judge(index, &evaluated, probed, None, None);
        if cell.verdict != Verdict::Match && cell.observed == Reachability::Unreachable {
            cell = self.compared(ground, index, cell);
        }
        cell
    }

    /// The cell with what the other vantages of its cluster see.
    fn compared(&self, ground: &Ground, index: usize, cell: Cell) -> Cell {
        let cluster = ground.plan.cells[index].cluster;
        let others = ground
            .plan
            .cells
            .iter()
            .enumerate()
            .filter(|(other, planned)| planned.cluster == cluster && *other != index);
        let others = others.filter_map(|(other, _)| {
            // A cell that is being judged at this moment is left out.
            let judged = self.judged[other].try_lock().ok()?;
            judged.as_ref().map(|judged| Cell::clone(&judged.cell))
        });
        let mut cells: Vec<Cell> = std::iter::once(cell.clone()).chain(others.take(MOST_COMPARED)).collect();
        causes::compare(&mut cells);
        cells.into_iter().next().unwrap_or(cell)
    }
}

impl Ground {
    fn clone_of(ground: &Self) -> Self {
        Self {
            plan: ground.plan.clone(),
            states: ground.states.clone(),
            revisions: ground.revisions.clone(),
            failures: ground.failures.clone(),
            targets: ground.targets.clone(),
        }
    }
}

/// The prober had no network, or may have had none.
const fn is_offline(seen: &verdict::Seen) -> bool {
    seen.offline || seen.perhaps_offline
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The options with one request only, the deciding one, and nobody asked why.
fn brief(options: &Options) -> Options {
    Options { requests: options.requests.iter().take(1).cloned().collect(), investigate: false, ..options.clone() }
}

/// For how long an unchanged outcome is not judged again. What depends on the clock (windows, validity) is seen by then.
fn longest_unchanged(cell: &Cell, closeness: Closeness) -> Duration {
    match cell.verdict {
        Verdict::Match if cell.observed == Reachability::Reachable => HEALTHY_COUNTS_FOR,
        Verdict::Propagating | Verdict::Inconclusive => UNDECIDED_COUNTS_FOR,
        // What was just looked into is judged by what was seen.
        Verdict::Match | Verdict::Mismatch if closeness == Closeness::Thorough => Duration::ZERO,
        Verdict::Match | Verdict::Mismatch => BROKEN_COUNTS_FOR,
    }
}

/// A hash over what decides an observation: outcomes, addresses, certificates, answers; nothing that an investigation
/// adds, no times, and no order of addresses. For comparison within this process only.
fn outcome(observation: &Observation) -> u64 {
    let mut hasher = DefaultHasher::new();
    let sorted = |addresses: &[IpAddr]| {
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        sorted
    };
    for answer in observation.dns.iter().filter(|answer| answer.resolver == "system") {
        (answer.outcome, sorted(&answer.addresses), &answer.cnames).hash(&mut hasher);
    }
    let mut attempts: Vec<_> = observation.attempts.iter().filter(|attempt| attempt.decides).collect();
    attempts.sort_by_key(|attempt| attempt.address);
    for attempt in attempts {
        (attempt.address, attempt.skipped.is_some(), attempt.tcp.outcome, attempt.tcp.source).hash(&mut hasher);
        (attempt.tls.outcome, attempt.http.outcome, attempt.http.status, &attempt.http.version).hash(&mut hasher);
        attempt.tls.chain.iter().for_each(|certificate| certificate.sha256.hash(&mut hasher));
    }
    if let Some(proxy) = &observation.proxy {
        (proxy.tcp.outcome, proxy.tunnel.outcome).hash(&mut hasher);
    }
    let mut egress: Vec<Option<IpAddr>> = observation.egress.iter().map(|one| one.address).collect();
    egress.sort_unstable();
    egress.dedup();
    // Why a vantage says nothing may name times, which differ each time.
    let error = observation.vantage_error.as_deref().map(|why| why.replace(|one: char| one.is_ascii_digit(), ""));
    (egress, observation.cut_short, error, sorted(&observation.undecided)).hash(&mut hasher);
    hasher.finish()
}

/// The same for every process of one version. Another version may number the same content differently, which costs a row.
fn content_address(cell: &Cell, outcome: u64) -> i64 {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut take = |text: &str| {
        context.update(text.as_bytes());
        context.update(&[0]);
    };
    take(&cell.cluster);
    take(&cell.vantage);
    for label in [cell.target.label(), cell.intended.label(), cell.configured.label(), cell.observed.label()] {
        take(label);
    }
    take(cell.verdict.label());
    take(&outcome.to_string());
    for finding in &cell.findings {
        take(&finding.code);
        take(finding.confidence.label());
        take(finding.fix.as_deref().unwrap_or_default());
    }
    for hop in &cell.path {
        take(&hop.component);
        take(&hop.decision);
        take(&hop.rule);
    }
    let digest = context.finish();
    let bytes: [u8; 8] = digest.as_ref().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(bytes) & i64::MAX
}

fn times(observation: &Observation) -> Times {
    let longest = |of: fn(&Attempt) -> Option<f64>| {
        let attempts = observation.attempts.iter().filter(|attempt| attempt.decides && attempt.skipped.is_none());
        attempts
            .filter_map(of)
            .fold(None, |longest: Option<f64>, ms| Some(longest.map_or(ms, |longest| longest.max(ms))))
    };
    let dns = observation.dns.first().filter(|answer| answer.is_heard() && answer.resolver == "system");
    Times {
        dns: dns.map(|answer| answer.ms),
        tcp: longest(|attempt| (attempt.tcp.outcome == TcpOutcome::Connected).then_some(attempt.tcp.ms)),
        tls: longest(|attempt| attempt.tls.outcome.completed().then_some(attempt.tls.ms)),
        http: longest(|attempt| attempt.http.status.map(|_| attempt.http.ms)),
    }
}

/// How long it counts that something was heard at a vantage.
const HEARD_COUNTS_FOR: Duration = Duration::from_secs(30);
/// How long the answers of controls and echo servers count.
const CONTROLS_COUNT_FOR: Duration = Duration::from_secs(20);
const HEALTHY_COUNTS_FOR: Duration = Duration::from_mins(1);
const UNDECIDED_COUNTS_FOR: Duration = Duration::from_secs(30);
const BROKEN_COUNTS_FOR: Duration = Duration::from_mins(5);
/// A configuration that could not be read so often in a row is not known any more.
const FAILURES_OUTLIVED: u32 = 3;
/// The vantages that a failing cell is compared with.
const MOST_COMPARED: usize = 64;
