//! The use case that every command shares: plan → cells → report, with progress as events.

mod changes;
mod configuration;
mod judge;
mod session;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach_probes::{
    ClusterCa, Credentials, EgressObservation, Endpoint, NamedResolver, Observation, Options, Permit, ProbeEvent, Run,
    Service, SharedControls, SourceBinding, SystemResolver, Target, Trust,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

pub use self::{
    configuration::Documents,
    session::{Look, Refreshed, Session, Times},
};
use self::{
    configuration::{Configuration, State},
    judge::{Evaluated, Frame, case, judged},
};
use crate::{
    causes,
    client::ClientEnvironment,
    facts::{Facts, planned::PlannedChange},
    input::{InputError, InputErrors},
    report::{Cell, CellTarget, Finding, Intended, Matrix, Provider, REPORT_SCHEMA, Report, Severity, Verdict},
    scenario::{Cluster, Plan, PlannedCell, Vantage, VantageKind},
    vantage::Transports,
    verdict::{self, Agreement, Next, Seen},
};

/// How to run a plan, beyond what the plan says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bound of each connect, handshake and first answer.
    pub connect_timeout: Duration,
    /// Upper bound on waiting for propagation; zero means one round.
    pub wait: Option<Duration>,
    /// When the change that is being verified was made.
    pub changed_at: Option<Timestamp>,
    /// Resolvers of the command line; they replace those of the same label.
    pub resolvers: Vec<NamedResolver>,
    /// Resolvers asked only when something is wrong, unless the plan or the command line names one of that label.
    pub fallback_resolvers: Vec<NamedResolver>,
    /// Controls when the plan does not say.
    pub default_controls: Vec<Endpoint>,
    /// This host as a client, for doctor.
    pub client: Option<Arc<ClientEnvironment>>,
    /// Credentials to send over verified connections.
    pub credentials: Option<Credentials>,
    /// Look for the cause when something is wrong.
    pub investigate: bool,
    /// Send nothing to any cluster: evaluate the configuration only.
    pub predict: bool,
    /// What is to be evaluated as if it were configured already; for predictions only.
    pub planned: Vec<PlannedChange>,
    /// What would change as well and cannot be evaluated, in words: no prediction is then as intended for certain.
    pub planned_beyond: Option<String>,
    /// Read the provider's configuration live only when something turned out to be wrong.
    pub configuration_in_need: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            wait: None,
            changed_at: None,
            resolvers: Vec::new(),
            fallback_resolvers: Vec::new(),
            default_controls: Vec::new(),
            client: None,
            credentials: None,
            investigate: true,
            predict: false,
            planned: Vec::new(),
            planned_beyond: None,
            configuration_in_need: false,
        }
    }
}

/// Progress, as it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something of the provider's configuration was read.
    Configuration {
        /// Cluster.
        cluster: String,
        /// What, in words.
        text: String,
    },
    /// Something that a person should know and that is no part of any cell.
    Note {
        /// What, in words.
        text: String,
    },
    /// A cell's first round begins.
    CellStarted {
        /// Cluster.
        cluster: String,
        /// Vantage.
        vantage: String,
    },
    /// Something was seen.
    Stage {
        /// Cluster.
        cluster: String,
        /// Vantage.
        vantage: String,
        /// What, in words.
        text: String,
    },
    /// The next round is waited for.
    Waiting {
        /// Cluster.
        cluster: String,
        /// Vantage.
        vantage: String,
        /// Rounds so far.
        round: u32,
        /// What the last one came to.
        text: String,
        /// What is left of the window.
        remaining: Duration,
    },
    /// A cell is decided.
    CellDone {
        /// Cluster.
        cluster: String,
        /// Vantage.
        vantage: String,
        /// Verdict.
        verdict: Verdict,
        /// Milliseconds since its start.
        ms: f64,
    },
}

/// Where progress goes.
pub type Events = mpsc::UnboundedSender<Event>;

/// Runs the plan until every cell is decided or `stop` turns true, and reports what is known then.
///
/// # Errors
/// When a cluster's certificate authorities cannot be used.
pub async fn run(
    plan: &Plan,
    settings: &Settings,
    stop: watch::Receiver<bool>,
    events: Option<Events>,
) -> Result<Report, InputErrors> {
    let started_at = Timestamp::now();
    if settings.predict {
        return predict(plan, settings, started_at, &stop, events.as_ref()).await;
    }
    let mut plan = plan.clone();
    let configurations = configurations(&mut plan, settings, &stop, events.as_ref()).await?;
    let states: Vec<State> = configurations.iter().map(Configuration::now).collect();
    let targets = targets(&plan, &states)?;
    let transports = Transports::new(plan.nats.as_ref());
    let options: Vec<Arc<Options>> =
        plan.vantages.iter().map(|vantage| Arc::new(options(&plan, settings, vantage))).collect();
    for (cell, target) in plan.cells.iter().zip(&targets) {
        if let Some(target) = target {
            transports.announce(&plan.vantages[cell.vantage], target, &options[cell.vantage]);
        }
    }
    let context = Context {
        plan,
        settings: settings.clone(),
        configurations,
        targets,
        options,
        transports,
        started_at,
        stop,
        events,
    };
    let context = Arc::new(context);
    let followers = follow(&context);
    let descriptors = Arc::new(Semaphore::new(descriptors()));
    let others = OtherPaths::default();
    let mut tasks = JoinSet::new();
    for (index, _) in context.plan.cells.iter().enumerate() {
        let (context, descriptors) = (Arc::clone(&context), Arc::clone(&descriptors));
        tasks.spawn(async move {
            // The semaphore is never closed; without a permit the cell would only start earlier.
            let _permit = descriptors.acquire_many(context.descriptors_of(index)).await.ok();
            (index, Box::pin(probe_cell(&context, index)).await)
        });
    }
    let token_service = settings.client.as_ref().and_then(|client| client.exec.as_ref()?.token_service.clone());
    let reaching = token_service.map(|host| tokio::spawn(answers(host, settings.connect_timeout)));
    let mut probed: HashMap<usize, Probed> = HashMap::new();
    while let Some(result) = tasks.join_next().await {
        if let Ok((index, cell)) = result {
            probed.insert(index, cell);
        }
    }
    drop(followers);
    for left_behind in context.transports.close().await {
        context.tell(|| Event::Note { text: left_behind });
    }
    let mut client = settings.client.as_deref().cloned();
    if let (Some(reaching), Some(exec)) = (reaching, client.as_mut().and_then(|client| client.exec.as_mut())) {
        // It has been running beside the cells; a task that died leaves it unknown.
        exec.token_service_reachable = reaching.await.ok();
    }
    for (index, cell) in &probed {
        others.remember(&context, *index, &cell.observation);
    }
    read_in_need(&context, &probed).await;
    read_after_change(&context, &probed).await;
    let states: Vec<State> = context.configurations.iter().map(Configuration::now).collect();
    let evaluated: Vec<Evaluated<'_>> = states.iter().map(Evaluated::of).collect();
    let frame = context.frame();
    let mut cells: Vec<Cell> = (0..context.plan.cells.len())
        .map(|index| {
            let cell = probed.remove(&index).unwrap_or_else(Probed::lost);
            let other = others.other(&context, index);
            let evaluated = &evaluated[context.plan.cells[index].cluster];
            frame.judge(index, evaluated, cell, other.as_ref(), client.as_ref())
        })
        .collect();
    if settings.client.is_none() {
        // Doctor's two paths are one vantage's.
        causes::compare(&mut cells);
    }
    let configuration = (0..context.plan.clusters.len())
        .flat_map(|cluster| frame.configuration_findings(cluster, &evaluated[cluster], &cells, client.as_ref()))
        .collect();
    Ok(assemble(cells, configuration, started_at, settings.client.is_some()))
}

/// Evaluates the configuration only. Facts are read, evaluated and let go cluster by cluster, so that memory holds
/// those of one.
async fn predict(
    plan: &Plan,
    settings: &Settings,
    started_at: Timestamp,
    stop: &watch::Receiver<bool>,
    events: Option<&Events>,
) -> Result<Report, InputErrors> {
    let mut plan = plan.clone();
    let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(plan.cells.len());
    let mut configuration = Vec::new();
    let mut changed = false;
    let mut by_cluster: Vec<Vec<usize>> = vec![Vec::new(); plan.clusters.len()];
    for (index, cell) in plan.cells.iter().enumerate() {
        by_cluster[cell.cluster].push(index);
    }
    let tell = |event| {
        if let Some(events) = events {
            // Nobody listening is no reason to stop.
            let _ = events.send(event);
        }
    };
    for (cluster, indices) in by_cluster.iter().enumerate() {
        let read = Configuration::read_until(stop, &plan.file, &plan.clusters[cluster], false, &tell).await?;
        let state = read.now();
        let mut described = plan.clusters[cluster].clone();
        configuration::complete(&plan.file, &mut described, &state)?;
        plan.clusters[cluster] = described;
        let planned = state.planned(&settings.planned, &plan.clusters[cluster].name, plan.clusters.len() == 1);
        changed |= planned.is_some();
        let now = planned.is_some().then(|| Evaluated::of(&state));
        let evaluated = Evaluated::of(planned.as_ref().unwrap_or(&state));
        let frame = Frame { plan: &plan, settings, started_at };
        let judge = |index: &usize| {
            let mut cell = frame.judge(*index, &evaluated, Probed::nothing(), None, None);
            cell.configured_now = now.as_ref().map(|now| frame.configured(now, *index));
            cell
        };
        let own: Vec<Cell> = indices.iter().map(judge).collect();
        configuration.extend(frame.configuration_findings(cluster, &evaluated, &own, None));
        cells.extend(indices.iter().copied().zip(own));
    }
    if !settings.planned.is_empty() && !changed {
        let known: Vec<&str> = plan.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        return Err(InputError::new("the planned change concerns no cluster of the scenario whose facts are known")
            .help(format!("name the cluster as in `--set CLUSTER.SETTING=VALUE`; known clusters: {}", known.join(", ")))
            .into());
    }
    cells.sort_by_key(|(index, _)| *index);
    let cells = cells.into_iter().map(|(_, cell)| cell).collect();
    Ok(assemble(cells, configuration, started_at, false))
}

/// Reads every cluster's configuration, all at once, and completes the plan with it.
async fn configurations(
    plan: &mut Plan,
    settings: &Settings,
    stop: &watch::Receiver<bool>,
    events: Option<&Events>,
) -> Result<Vec<Configuration>, InputErrors> {
    let mut reading = JoinSet::new();
    for (index, cluster) in plan.clusters.iter().enumerate() {
        if settings.configuration_in_need && cluster.facts.is_none() {
            continue;
        }
        let (file, cluster, events, stop) = (plan.file.clone(), cluster.clone(), events.cloned(), stop.clone());
        reading.spawn(async move {
            let tell = move |event| {
                if let Some(events) = &events {
                    // Nobody listening is no reason to stop.
                    let _ = events.send(event);
                }
            };
            (index, Configuration::read_until(&stop, &file, &cluster, true, &tell).await)
        });
    }
    let mut configurations: Vec<Configuration> = plan.clusters.iter().map(|_| Configuration::default()).collect();
    let mut errors = Vec::new();
    while let Some(read) = reading.join_next().await {
        match read {
            Ok((index, Ok(configuration))) => configurations[index] = configuration,
            Ok((_, Err(InputErrors(more)))) => errors.extend(more),
            // A task that died leaves its cluster's configuration unknown.
            Err(_) => {}
        }
    }
    for (index, configuration) in configurations.iter().enumerate() {
        let mut cluster = plan.clusters[index].clone();
        match configuration::complete(&plan.file, &mut cluster, &configuration.now()) {
            Ok(()) => plan.clusters[index] = cluster,
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(configurations) } else { Err(InputErrors(errors)) }
}

/// Follows the updates that are under way, beside the cells; ends when the result is dropped.
fn follow(context: &Arc<Context>) -> JoinSet<()> {
    let mut followers = JoinSet::new();
    for (index, configuration) in context.configurations.iter().enumerate() {
        if configuration.now().update.is_none_or(|update| update.ended.is_some()) {
            continue;
        }
        let context = Arc::clone(context);
        followers.spawn(async move {
            let tell = |event| context.tell(|| event);
            let name = &context.plan.clusters[index].name;
            let interval = context.plan.propagation.interval;
            Box::pin(context.configurations[index].follow(name, interval, context.stop.clone(), &tell)).await;
        });
    }
    followers
}

/// Reads the configuration of the clusters that are not as they should be, where that was put off until now.
async fn read_in_need(context: &Context, probed: &HashMap<usize, Probed>) {
    if !context.settings.configuration_in_need {
        return;
    }
    for (index, cluster) in context.plan.clusters.iter().enumerate() {
        let is_wrong = probed.iter().any(|(cell, probed)| {
            let planned = context.frame().meant(*cell, &probed.observation);
            let seen = verdict::read(&probed.observation);
            planned.cluster == index && verdict::agreement(&case(&planned, &seen, None)) != Agreement::Agrees
        });
        if is_wrong && !*context.stop.borrow() {
            let tell = |event| context.tell(|| event);
            context.configurations[index].read_late(cluster, &tell).await;
        }
    }
}

/// Reads the configuration of AKS clusters again whose cells were probed through a change's window and still disagree.
///
/// EKS tells of its updates when they end, and is followed; a change of ranges ends with its window.
async fn read_after_change(context: &Context, probed: &HashMap<usize, Probed>) {
    for (index, cluster) in context.plan.clusters.iter().enumerate() {
        let state = context.configurations[index].now();
        let changed = context.settings.changed_at.is_some() || state.update.is_some();
        let waited = probed.iter().any(|(cell, probed)| {
            context.cell(*cell).0.cluster == index
                && probed.rounds.last().is_some_and(|last| !last.agrees)
                && probed.rounds.len() > 1
        });
        if cluster.provider == Provider::Aks && changed && waited && !*context.stop.borrow() {
            let tell = |event| context.tell(|| event);
            context.configurations[index].read_again(&cluster.name, context.stop.clone(), &tell).await;
        }
    }
}

/// Whether anything accepts connections at the host's port 443: the exec plugin's token service, so that a healthy
/// network is not blamed for it, nor the reverse.
async fn answers(host: String, timeout: Duration) -> bool {
    let connecting = async {
        for address in tokio::net::lookup_host((host.as_str(), 443)).await.into_iter().flatten().take(4) {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(timeout, connecting).await.unwrap_or(false)
}

struct Context {
    plan: Plan,
    settings: Settings,
    /// By cluster.
    configurations: Vec<Configuration>,
    /// By cell.
    targets: Vec<Option<Arc<Target>>>,
    /// By vantage.
    options: Vec<Arc<Options>>,
    transports: Transports,
    started_at: Timestamp,
    stop: watch::Receiver<bool>,
    events: Option<Events>,
}

impl Context {
    fn cell(&self, index: usize) -> (&PlannedCell, &Cluster, &Vantage) {
        let cell = &self.plan.cells[index];
        (cell, &self.plan.clusters[cell.cluster], &self.plan.vantages[cell.vantage])
    }

    /// How many descriptors a cell holds at a time, as a rule: a name's servers are asked for both families at once.
    fn descriptors_of(&self, index: usize) -> u32 {
        let target = self.targets[index].as_ref();
        if target.is_some_and(|target| target.host.parse::<IpAddr>().is_ok()) { 1 } else { 2 }
    }

    fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(events) = &self.events {
            // Nobody listening is no reason to stop.
            let _ = events.send(event());
        }
    }

    fn frame(&self) -> Frame<'_> {
        Frame { plan: &self.plan, settings: &self.settings, started_at: self.started_at }
    }
}

/// What probing a cell brought.
struct Probed {
    observation: Observation,
    rounds: Vec<causes::Round>,
    converged_after_ms: Option<u64>,
    next: Next,
}

impl Probed {
    /// A task that died brings this: nothing is known, and it says so.
    fn lost() -> Self {
        let vantage_error = Some("the probing task ended without a result".to_owned());
        Self {
            observation: Observation { vantage_error, ..Observation::default() },
            rounds: Vec::new(),
            converged_after_ms: None,
            next: Next::Judge,
        }
    }
}

/// Observations by (cluster, vantage) pair, so that a proxied cell can be compared with its direct twin.
#[derive(Default)]
struct OtherPaths(Mutex<HashMap<(usize, bool), Observation>>);

impl OtherPaths {
    fn remember(&self, context: &Context, index: usize, observation: &Observation) {
        let (cell, _, vantage) = context.cell(index);
        let key = (cell.cluster, matches!(vantage.kind, VantageKind::Proxy(_)));
        if context.settings.client.is_some()
            && let Ok(mut map) = self.0.lock()
        {
            map.insert(key, observation.clone());
        }
    }

    fn other(&self, context: &Context, index: usize) -> Option<Observation> {
        let (cell, _, vantage) = context.cell(index);
        let key = (cell.cluster, !matches!(vantage.kind, VantageKind::Proxy(_)));
        self.0.lock().ok()?.get(&key).cloned()
    }
}

async fn probe_cell(context: &Context, index: usize) -> Probed {
    let (cell, cluster, vantage) = context.cell(index);
    let begun = Instant::now();
    context.tell(|| Event::CellStarted { cluster: cluster.name.clone(), vantage: vantage.name.clone() });
    let Some(target) = &context.targets[index] else { return Probed::lost_endpoint() };
    let options = &context.options[cell.vantage];
    let run = Run { stop: context.stop.clone(), events: stage_events(context, cluster, vantage) };
    let mut rounds: Vec<causes::Round> = Vec::new();
    let mut agreements: Vec<(Timestamp, Agreement)> = Vec::new();
    let mut converging_since: Option<Timestamp> = None;
    let mut last_whole: Option<(Observation, Seen)> = None;
    let mut egress: Vec<EgressObservation> = Vec::new();
    loop {
        let round_began = Timestamp::now();
        let round_started = Instant::now();
        let mut observation = context.transports.observe(vantage, target, options, &run).await;
        remember_egress(&mut egress, &mut observation);
        let meant = context.frame().meant(index, &observation);
        let mut seen = verdict::read(&observation);
        let ended = Timestamp::now();
        let state = context.configurations[cell.cluster].now();
        let convergence = context.frame().convergence(cluster.provider, state.update.as_ref(), ended);
        let prediction = context.frame().predicted(&Evaluated::of(&state), index, &observation);
        let mut next = if let (true, Some(whole)) = (observation.cut_short, last_whole.take()) {
            // A round that was cut short says less than the whole one before it.
            (observation, seen) = whole;
            convergence.last(&agreements)
        } else {
            let agreement = verdict::agreement(&case(&meant, &seen, prediction.as_ref()));
            rounds.push(round(&observation, &seen, agreement, ended));
            if rounds.len() > MAXIMUM_ROUNDS_KEPT {
                rounds.remove(0);
            }
            agreements.push((ended, agreement));
            match agreement {
                Agreement::Agrees => converging_since = converging_since.or(Some(round_began)),
                Agreement::Disagrees | Agreement::Unknown => converging_since = None,
            }
            match *context.stop.borrow() {
                _ if observation.vantage_error.is_some() => Next::Judge,
                true => convergence.last(&agreements),
                false => convergence.next(&agreements),
            }
        };
        if next == Next::Again {
            context.tell(|| Event::Waiting {
                cluster: cluster.name.clone(),
                vantage: vantage.name.clone(),
                round: u32::try_from(agreements.len()).unwrap_or(u32::MAX),
                text: verdict::summary(&observation, &seen, cell.target),
                remaining: convergence.remaining(ended),
            });
            let pause = context.plan.propagation.interval.saturating_sub(round_started.elapsed());
            let mut stop = context.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A sender that is gone will never stop us; then the pause is the whole wait.
                Ok(_) = stop.wait_for(|stop| *stop) => next = convergence.last(&agreements),
            }
        }
        if next != Next::Again {
            let waited = agreements.len() > 1 || convergence.changed_at.is_some();
            let converged = converging_since.filter(|_| waited && next == Next::Judge);
            context.tell(|| Event::CellDone {
                cluster: cluster.name.clone(),
                vantage: vantage.name.clone(),
                verdict: verdict::decide(&judged(&meant, &seen, prediction.as_ref(), next)),
                ms: begun.elapsed().as_secs_f64() * 1000.0,
            });
            return Probed {
                observation,
                rounds,
                converged_after_ms: converged.map(|since| convergence.converged_after(since)),
                next,
            };
        }
        last_whole = Some((observation, seen));
    }
}

impl Probed {
    /// For a cell that is only predicted.
    fn nothing() -> Self {
        Self { observation: Observation::default(), ..Self::lost() }
    }

    fn lost_endpoint() -> Self {
        Self { observation: Observation::default(), ..Self::lost() }
    }
}

/// Keeps what earlier rounds saw of the egress address beside what this one does: several addresses are evidence.
fn remember_egress(known: &mut Vec<EgressObservation>, observation: &mut Observation) {
    let says = |one: &EgressObservation, other: &EgressObservation| {
        (&one.server, one.address) == (&other.server, other.address)
    };
    let earlier = known.iter().filter(|one| !observation.egress.iter().any(|other| says(one, other)));
    let earlier: Vec<EgressObservation> = earlier.cloned().collect();
    observation.egress.extend(earlier);
    let told = observation.egress.iter().filter(|one| one.address.is_some());
    *known = told.take(MAXIMUM_EGRESS_KEPT).cloned().collect();
}

fn round(observation: &Observation, seen: &Seen, agreement: Agreement, at: Timestamp) -> causes::Round {
    let mut addresses: Vec<_> = observation.dns.first().map(|answer| answer.addresses.clone()).unwrap_or_default();
    addresses.sort_unstable();
    let tcp = observation
        .attempts
        .iter()
        .filter(|attempt| attempt.decides && attempt.skipped.is_none())
        .filter_map(|attempt| Some((attempt.address?, attempt.tcp.outcome)))
        .collect();
    causes::Round { at, observed: seen.observed, agrees: agreement == Agreement::Agrees, addresses, tcp }
}

/// Probe events become lines of progress.
fn stage_events(context: &Context, cluster: &Cluster, vantage: &Vantage) -> Option<mpsc::UnboundedSender<ProbeEvent>> {
    let events = context.events.clone()?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (cluster, vantage) = (cluster.name.clone(), vantage.name.clone());
    tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            let text = stage_text(&event);
            if events.send(Event::Stage { cluster: cluster.clone(), vantage: vantage.clone(), text }).is_err() {
                break;
            }
        }
    });
    Some(sender)
}

fn stage_text(event: &ProbeEvent) -> String {
    match event {
        ProbeEvent::Resolved(answer) => {
            let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
            format!("dns {}: {} {}", answer.resolver, answer.outcome.label(), addresses.join(" "))
        }
        ProbeEvent::Attempted(attempt) => {
            let address = attempt.address.map_or_else(|| "through the proxy".to_owned(), |address| address.to_string());
            let stages = format!(
                "tcp {}, tls {}, http {}",
                attempt.tcp.outcome.label(),
                attempt.tls.outcome.label(),
                attempt.http.outcome.label()
            );
            format!("{address}: {stages}")
        }
        ProbeEvent::Investigating => "something is wrong; looking for the cause".to_owned(),
    }
}

/// What each cell probes, by cell; cells of the same cluster and target share it. `None` where nobody knows the host.
fn targets(plan: &Plan, states: &[State]) -> Result<Vec<Option<Arc<Target>>>, InputErrors> {
    let mut errors = Vec::new();
    let mut known: HashMap<(usize, CellTarget), Option<Arc<Target>>> = HashMap::new();
    let mut targets = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        let target = known.entry((cell.cluster, cell.target)).or_insert_with(|| {
            let cluster = &plan.clusters[cell.cluster];
            match cell.target {
                CellTarget::Kubernetes => match target(cluster, states[cell.cluster].facts.as_deref()) {
                    Ok(target) => target.map(Arc::new),
                    Err(error) => {
                        errors.push(InputError::new(error).in_file(plan.file.clone()).at(cluster.line, 1));
                        None
                    }
                },
                CellTarget::EksApi => {
                    let host = configuration::management_host(cluster, states[cell.cluster].facts.as_deref());
                    host.map(|host| Arc::new(management_target(host)))
                }
            }
        });
        targets.push(target.clone());
    }
    if errors.is_empty() { Ok(targets) } else { Err(InputErrors(errors)) }
}

/// The management API: a public name with a public certificate, whichever way leads there.
fn management_target(host: String) -> Target {
    Target {
        host,
        port: 443,
        base_path: String::new(),
        server_name: None,
        trust: Trust::SystemRoots,
        known_addresses: Vec::new(),
        service: Service::Https,
    }
}

fn target(cluster: &Cluster, facts: Option<&Facts>) -> Result<Option<Target>, String> {
    let Some(endpoint) = &cluster.endpoint else { return Ok(None) };
    let trust = match &cluster.ca_pem {
        Some(pem) => Trust::ClusterCa(Arc::new(
            ClusterCa::from_pem(pem)
                .map_err(|error| format!("the CA of cluster {:?}: {error}", cluster.name))?
                .beside(facts.map(configuration::authorities).unwrap_or_default()),
        )),
        None => Trust::SystemRoots,
    };
    Ok(Some(Target {
        host: endpoint.host.clone(),
        port: endpoint.port,
        base_path: endpoint.base_path.clone(),
        server_name: cluster.server_name.clone(),
        trust,
        known_addresses: cluster.addresses.clone(),
        service: Service::Kubernetes,
    }))
}

fn options(plan: &Plan, settings: &Settings, vantage: &Vantage) -> Options {
    // The nearest wins: command line, then vantage, then scenario, then what is asked only in need.
    let mut resolvers: Vec<NamedResolver> = Vec::new();
    let layers = [&settings.resolvers, &vantage.resolvers, &plan.resolvers, &settings.fallback_resolvers];
    for resolver in layers.into_iter().flatten() {
        if resolvers.iter().all(|known| known.label != resolver.label) {
            resolvers.push(resolver.clone());
        }
    }
    let system = match resolvers.iter().position(|resolver| resolver.label == "system") {
        Some(position) => SystemResolver::Servers(resolvers.remove(position).servers),
        None => SystemResolver::Host,
    };
    let controls = plan.controls.clone().unwrap_or_else(|| settings.default_controls.clone());
    let (source, proxy) = match &vantage.kind {
        VantageKind::Local { source_ip, interface, .. } => {
            (SourceBinding { address: *source_ip, interface: interface.clone() }, None)
        }
        VantageKind::Proxy(proxy) => (SourceBinding::default(), Some(proxy.clone())),
        _ => (SourceBinding::default(), None),
    };
    Options {
        connect_timeout: settings.connect_timeout,
        dns_timeout: settings.connect_timeout,
        system,
        resolvers,
        source,
        classes: plan.classes.clone(),
        proxy,
        controls,
        shared_controls: SharedControls::default(),
        credentials: settings.credentials.clone(),
        requests: ["/version", "/livez", "/readyz"].map(str::to_owned).to_vec(),
        investigate: settings.investigate,
        lean: false,
        echo: vantage.egress.echo.clone(),
        permit: Permit::default(),
    }
}

/// The report of cells that were judged one by one, with what the configurations show by themselves.
#[must_use]
pub fn report(cells: Vec<Cell>, configuration: Vec<Finding>, started_at: Timestamp) -> Report {
    assemble(cells, configuration, started_at, false)
}

/// Each finding once, in the order of the worst cell first; the report's verdict is that of its worst cell.
fn assemble(cells: Vec<Cell>, configuration: Vec<Finding>, started_at: Timestamp, doctor: bool) -> Report {
    // By what makes two findings one: thousands of cells may have a finding each.
    let mut places = HashMap::new();
    let mut merged: Vec<(Finding, Verdict)> = Vec::new();
    for cell in &cells {
        let place = format!("{}/{}", cell.subject(), cell.vantage);
        for finding in &cell.findings {
            let key = (&finding.code, &finding.fix, &finding.setting);
            let Some(index) = places.get(&key) else {
                places.insert(key, merged.len());
                merged.push((Finding { cells: vec![place.clone()], ..finding.clone() }, cell.verdict));
                continue;
            };
            let (known, worst) = &mut merged[*index];
            *worst = cell.verdict.max(*worst);
            known.cells.push(place.clone());
            known.severity = known.severity.min(finding.severity);
            known.confidence = known.confidence.min(finding.confidence);
            for sentence in &finding.evidence {
                if known.evidence.len() < MAXIMUM_EVIDENCE && !known.evidence.contains(sentence) {
                    known.evidence.push(sentence.clone());
                }
            }
            if known.cluster != finding.cluster {
                known.cluster = None;
            }
            if known.vantage != finding.vantage {
                known.vantage = None;
            }
        }
    }
    merged.extend(configuration.into_iter().map(|finding| (finding, Verdict::Match)));
    // What explains a mismatch stands before what kept another cell undecided, however sure that is.
    merged.sort_by_key(|(finding, worst)| (finding.severity, std::cmp::Reverse(*worst), finding.confidence));
    let findings: Vec<Finding> = merged.into_iter().map(|(finding, _)| finding).collect();
    // Doctor's second path, of which nothing is intended, never decides.
    let decides = |cell: &&Cell| !(doctor && cell.intended == Intended::Unspecified);
    let worst = cells.iter().filter(decides).map(|cell| cell.verdict).max().unwrap_or(Verdict::Inconclusive);
    // A configuration that is not the one that is meant is a mismatch, even where no cell shows it yet.
    let drifted = findings.iter().any(|finding| {
        finding.severity == Severity::Error && causes::is_drift(&finding.code) && finding.cells.is_empty()
    });
    let verdict = if drifted { Verdict::Mismatch } else { worst };
    let schema = REPORT_SCHEMA.to_owned();
    let matrix = Matrix::of(&cells);
    Report { schema, verdict, started_at, finished_at: Timestamp::now(), matrix, cells, findings }
}

/// How many descriptors the cells may hold at once: within this process's limit, less what evidence needs.
pub(crate) fn descriptors() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 256 };
    let wanted = hard.min(MAXIMUM_DESCRIPTORS);
    let limit = if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    let evidence = (limit / 4).min(EVIDENCE_DESCRIPTORS);
    usize::try_from(limit - evidence)
        .map_or(MAXIMUM_DESCRIPTORS_AT_ONCE, |left| left.clamp(16, MAXIMUM_DESCRIPTORS_AT_ONCE))
}

const MAXIMUM_EVIDENCE: usize = 12;
const MAXIMUM_ROUNDS_KEPT: usize = 1_000;
const MAXIMUM_EGRESS_KEPT: usize = 64;
const MAXIMUM_DESCRIPTORS: u64 = 65_536;
/// Traces, repeats and echoes run for a few dozen targets at a time.
const EVIDENCE_DESCRIPTORS: u64 = 4_096;
const MAXIMUM_DESCRIPTORS_AT_ONCE: usize = 32_768;

#[cfg(test)]
mod tests;
