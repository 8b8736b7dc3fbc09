//! What the provider is configured to allow: read once a cluster, shared by its cells, and read again while an update
//! is under way.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::Engine as _;
use ipnet::IpNet;
use jiff::Timestamp;
use kubereach_probes::{AddressClass, AddressClasses, Observation};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Event,
    changes::{just_over, under_way},
};
use crate::{
    causes::{PRESENT_AUTHORITY, Update},
    client::{host::recognise, parse_server_url},
    facts::{
        self, Facts,
        aks::ManagedCluster,
        planned::{self, PlannedChange},
    },
    input::{InputError, InputErrors},
    model::{EgressBy, Standpoint, eks, eks_api},
    report::Provider,
    scenario::{Cluster, ProviderBlock, Vantage, VantageKind},
};

/// One cluster's configuration, as it is known at the moment.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    state: Mutex<State>,
    /// Where it can be read again.
    source: Option<Source>,
}

/// What is known at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The facts, if there are any.
    pub(super) facts: Option<Arc<Facts>>,
    /// Why there are none: what was tried, and what would bring them. No final full stop.
    pub(super) missing: Option<String>,
    /// The update of the endpoint that is, or was until just now, under way.
    pub(super) update: Option<Update>,
    /// The facts are as they would be after a change that nobody has made yet.
    pub(super) planned: bool,
}

/// A live API.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Amazon's.
    #[cfg(feature = "aws")]
    Eks(facts::aws::EksRequest),
    /// Microsoft's.
    #[cfg(feature = "azure")]
    Aks(facts::arm::AksRequest),
}

impl Configuration {
    /// Reads the facts of a cluster: its folder, else the provider's API; nothing for clusters that name neither.
    /// `probes`: the endpoint is to be probed, too.
    ///
    /// # Errors
    /// The folder is no facts folder, or the provider says that there is no such cluster.
    pub(super) async fn read(
        file: &Path,
        cluster: &Cluster,
        probes: bool,
        tell: &(dyn Fn(Event) + Sync),
    ) -> Result<Self, InputErrors> {
        if let Some(folder) = &cluster.facts {
            let facts = facts::read(folder)?;
            return Ok(Self { state: Mutex::new(State::of(facts, &folder.display().to_string(), None)), source: None });
        }
        let Some(source) = Source::of(cluster, probes) else { return Ok(Self::default()) };
        let state = match source.pull(&cluster.name, tell).await {
            Ok((facts, _)) => State::of(facts, "", Some(Timestamp::now())),
            Err(PullFailure::NoSuchCluster(error)) => {
                return Err(error.in_file(file).at(cluster.line.max(1), 1).into());
            }
            Err(PullFailure::NotKnown(missing)) => State { missing: Some(missing), ..State::default() },
        };
        Ok(Self { state: Mutex::new(state), source: Some(source) })
    }

    /// The same, until the run is stopped: then the configuration is not known.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_until(
        stop: &watch::Receiver<bool>,
        file: &Path,
        cluster: &Cluster,
        probes: bool,
        tell: &(dyn Fn(Event) + Sync),
    ) -> Result<Self, InputErrors> {
        let mut stop = stop.clone();
        tokio::select! {
            read = Self::read(file, cluster, probes, tell) => read,
            // A sender that is gone will never stop us; then reading is all there is to wait for.
            Ok(_) = stop.wait_for(|stop| *stop) => {
                let missing = Some("the run ended before the provider's API had answered".to_owned());
                Ok(Self { state: Mutex::new(State { missing, ..State::default() }), source: None })
            }
        }
    }

    /// What is known now.
    pub(super) fn now(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration again while an update is under way, and once more when it has ended.
    pub(super) async fn follow(
        &self,
        cluster: &str,
        interval: Duration,
        mut stop: watch::Receiver<bool>,
        tell: &(dyn Fn(Event) + Sync),
    ) {
        let Some(source) = &self.source else { return };
        while let Some(update) = self.now().update.filter(|update| update.ended.is_none()) {
            tokio::select! {
                () = tokio::time::sleep(interval.max(SHORTEST_INTERVAL)) => {}
                Ok(_) = stop.wait_for(|stop| *stop) => return,
            }
            // What cannot be read this time may be the next: the window stays open until it can.
            let Ok((looked_at, _)) = source.pull_cluster(cluster, tell).await else { continue };
            if under_way(&looked_at, true).is_some() {
                continue;
            }
            if let Ok((facts, _)) = source.pull(cluster, tell).await {
                let mut state = State::of(facts, "", None);
                state.update = Some(Update { ended: Some(Timestamp::now()), ..update });
                *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            }
        }
    }

    /// Reads the configuration once more after a change had its time, so that cells are judged by what is configured
    /// then; what cannot be read leaves what was known.
    pub(super) async fn read_again(
        &self,
        cluster: &str,
        mut stop: watch::Receiver<bool>,
        tell: &(dyn Fn(Event) + Sync),
    ) {
        let Some(source) = &self.source else { return };
        tokio::select! {
            pulled = tokio::time::timeout(LONGEST_LATE_PULL, source.pull(cluster, tell)) => {
                let Ok(Ok((facts, _))) = pulled else { return };
                let before = self.now();
                let mut state = State::of(facts, "", None);
                // What was waited for has its time; what began since then is another change.
                state.update = state.update.filter(|update| update.ended.is_none()).or(before.update);
                *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            }
            Ok(_) = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Reads the configuration late, when something turned out to be wrong; in seconds or not at all.
    pub(super) async fn read_late(&self, cluster: &Cluster, tell: &(dyn Fn(Event) + Sync)) {
        if self.now().facts.is_some() {
            return;
        }
        let Some(source) = Source::of(cluster, true) else { return };
        let state = match tokio::time::timeout(LONGEST_LATE_PULL, source.pull(&cluster.name, tell)).await {
            Ok(Ok((facts, _))) => State::of(facts, "", None),
            Ok(Err(PullFailure::NotKnown(missing))) => State { missing: Some(missing), ..State::default() },
            Ok(Err(PullFailure::NoSuchCluster(error))) => State { missing: Some(error.message), ..State::default() },
            Err(_) => {
                let missing = format!("the provider's API took longer than {} s", LONGEST_LATE_PULL.as_secs());
                State { missing: Some(missing), ..State::default() }
            }
        };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl State {
    fn not_known(missing: Option<String>) -> Self {
        Self { missing, ..Self::default() }
    }

    fn of(facts: Facts, folder: &str, now: Option<Timestamp>) -> Self {
        if facts.is_empty() {
            let missing =
                format!("{folder} holds no file that says anything of the cluster; `kubereach facts pull` writes them");
            return Self { missing: Some(missing), ..Self::default() };
        }
        let update = under_way(&facts, now.is_some())
            .or_else(|| just_over(&facts, now.is_some(), now.unwrap_or_else(Timestamp::now)));
        Self { facts: Some(Arc::new(facts)), missing: None, update, planned: false }
    }

    /// As it would be after those of the changes that concern this cluster; `None` where none does.
    pub(super) fn planned(&self, changes: &[PlannedChange], cluster: &str, alone: bool) -> Option<Self> {
        let facts = self.facts.as_ref()?;
        let edits = planned::edits(changes, cluster, alone, facts);
        if edits.is_empty() {
            return None;
        }
        let edited = planned::edited(facts, eks::cluster_vpc(facts), &edits);
        Some(Self { facts: Some(Arc::new(edited)), planned: true, ..self.clone() })
    }
}

/// The provider's documents, by their path in a facts folder.
pub type Documents = Vec<(String, Value)>;

/// What is configured now, with the documents that say so where they were read anew; never fails, because what runs for
/// months outlives a provider that does not answer.
pub(super) async fn look(cluster: &Cluster, before: &State, tell: &(dyn Fn(Event) + Sync)) -> (State, Documents) {
    if let Some(folder) = &cluster.facts {
        let read = facts::documents(folder).and_then(|documents| {
            let parsed = documents
                .iter()
                .filter_map(|(path, bytes)| Some((path.to_str()?.to_owned(), serde_json::from_slice(bytes).ok()?)));
            let parsed = parsed.collect();
            Ok((facts::from_documents(folder, documents)?, parsed))
        });
        return match read {
            Ok((facts, documents)) => (State::of(facts, &folder.display().to_string(), None), documents),
            Err(InputErrors(errors)) => {
                (State::not_known(errors.first().map(|error| error.message.clone())), Vec::new())
            }
        };
    }
    let Some(source) = Source::of(cluster, true) else { return (State::default(), Vec::new()) };
    match tokio::time::timeout(LONGEST_PULL, source.pull(&cluster.name, tell)).await {
        Ok(Ok((facts, documents))) => {
            let mut state = State::of(facts, "", Some(Timestamp::now()));
            state.update = carried(before.update.as_ref(), state.update);
            (state, documents)
        }
        Ok(Err(PullFailure::NotKnown(missing))) => (State::not_known(Some(missing)), Vec::new()),
        Ok(Err(PullFailure::NoSuchCluster(error))) => (State::not_known(Some(error.message)), Vec::new()),
        Err(_) => {
            let missing = format!("the provider's API took longer than {} s", LONGEST_PULL.as_secs());
            (State::not_known(Some(missing)), Vec::new())
        }
    }
}

/// An update that was seen to end ended when that was first seen, however often it is read again.
fn carried(before: Option<&Update>, now: Option<Update>) -> Option<Update> {
    let now = now?;
    let same = before.filter(|before| before.id == now.id && before.kind == now.kind);
    match (same.and_then(|before| before.ended), now.ended) {
        (Some(earlier), Some(later)) => Some(Update { ended: Some(earlier.min(later)), ..now }),
        _ => Some(now),
    }
}

/// Why nothing was read.
enum PullFailure {
    /// The scenario names a cluster that is not there.
    NoSuchCluster(InputError),
    /// No credentials, no network: what depends on the configuration is unknown.
    NotKnown(String),
}

#[cfg(any(feature = "aws", feature = "azure"))]
impl PullFailure {
    fn not_known(error: &impl std::fmt::Display, help: Option<impl std::fmt::Display>) -> Self {
        let help = help.map(|help| format!(" ({help})")).unwrap_or_default();
        Self::NotKnown(format!("{error}{help}"))
    }
}

impl Source {
    /// Where a cluster's configuration can be read live. `probes`: chains are to be verified, so that the authority counts.
    #[cfg_attr(not(feature = "azure"), expect(unused_variables, reason = "only Azure tells it apart"))]
    fn of(cluster: &Cluster, probes: bool) -> Option<Self> {
        match cluster.provider_block.as_ref()? {
            #[cfg(feature = "aws")]
            ProviderBlock::Eks { name, region, profile, endpoint_url } => Some(Self::Eks(facts::aws::EksRequest {
                name: name.clone(),
                region: region.clone(),
                profile: profile.clone(),
                endpoint_url: endpoint_url.clone(),
            })),
            #[cfg(feature = "azure")]
            ProviderBlock::Aks { subscription, resource_group, name, endpoint_url } => {
                Some(Self::Aks(facts::arm::AksRequest {
                    subscription: Some(subscription.clone()),
                    resource_group: Some(resource_group.clone()),
                    name: Some(name.clone()),
                    endpoint_url: endpoint_url.clone(),
                    // Where the scenario names one, nobody's kubeconfig is asked for.
                    certificate_authority: probes && cluster.ca_pem.is_none(),
                    ..facts::arm::AksRequest::default()
                }))
            }
            #[cfg(feature = "azure")]
            ProviderBlock::AksByHost { host, endpoint_url } => Some(Self::Aks(facts::arm::AksRequest {
                host: Some(host.clone()),
                endpoint_url: endpoint_url.clone(),
                ..facts::arm::AksRequest::default()
            })),
            #[cfg(not(all(feature = "aws", feature = "azure")))]
            _ => None,
        }
    }

    async fn pull(&self, cluster: &str, tell: &(dyn Fn(Event) + Sync)) -> Result<(Facts, Documents), PullFailure> {
        match *self {
            #[cfg(feature = "aws")]
            Self::Eks(ref request) => {
                read_pulled(facts::aws::pull(request, told(cluster, tell)).await.map_err(of_aws)?)
            }
            #[cfg(feature = "azure")]
            Self::Aks(ref request) => {
                read_pulled(facts::arm::pull(request, told(cluster, tell)).await.map_err(of_arm)?)
            }
        }
    }

    /// The cluster and its updates only.
    async fn pull_cluster(
        &self,
        cluster: &str,
        tell: &(dyn Fn(Event) + Sync),
    ) -> Result<(Facts, Documents), PullFailure> {
        match *self {
            #[cfg(feature = "aws")]
            Self::Eks(ref request) => {
                read_pulled(facts::aws::pull_cluster(request, told(cluster, tell)).await.map_err(of_aws)?)
            }
            #[cfg(feature = "azure")]
            Self::Aks(ref request) => {
                read_pulled(facts::arm::pull_cluster(request, told(cluster, tell)).await.map_err(of_arm)?)
            }
        }
    }
}

#[cfg(any(feature = "aws", feature = "azure"))]
fn told<'a>(cluster: &'a str, tell: &'a (dyn Fn(Event) + Sync)) -> impl Fn(String) + 'a {
    move |text| tell(Event::Configuration { cluster: cluster.to_owned(), text })
}

#[cfg(feature = "aws")]
fn of_aws(error: facts::aws::PullError) -> PullFailure {
    use facts::aws::PullError;
    match error {
        PullError::NotFound { .. } | PullError::Name(_) => PullFailure::NoSuchCluster(error.into()),
        error => PullFailure::not_known(&error, error.help()),
    }
}

#[cfg(feature = "azure")]
fn of_arm(error: facts::arm::PullError) -> PullFailure {
    use facts::arm::PullError;
    match error {
        PullError::NotFound { .. } | PullError::Name { .. } | PullError::Endpoint(_) => {
            PullFailure::NoSuchCluster(error.into())
        }
        error => PullFailure::not_known(&error, error.help()),
    }
}

#[cfg(any(feature = "aws", feature = "azure"))]
fn read_pulled(pulled: facts::write::Pulled) -> Result<(Facts, Documents), PullFailure> {
    let origin = PathBuf::from("the provider's API");
    let documents =
        pulled.documents.iter().map(|(path, document)| (PathBuf::from(path), document.to_string().into_bytes()));
    let mut facts = facts::from_documents(&origin, documents)
        .map_err(|error| PullFailure::NotKnown(format!("the provider's API gave what cannot be read: {error}")))?;
    facts.manifest = Some(pulled.manifest);
    Ok((facts, pulled.documents.into_iter().collect()))
}

/// Fills in what only the provider knows: endpoint, authorities, who runs it.
///
/// # Errors
/// The provider's endpoint or authority cannot be used.
pub(super) fn complete(file: &Path, cluster: &mut Cluster, state: &State) -> Result<(), InputError> {
    if let Some(managed) = state.facts.as_ref().and_then(|facts| facts.managed_cluster.as_ref()) {
        complete_managed(file, cluster, managed)?;
        let data = state.facts.as_ref().and_then(|facts| facts.managed_authority.as_deref());
        if cluster.ca_pem.is_none() {
            cluster.ca_pem = data.and_then(authority_pem);
        }
        return Ok(());
    }
    let Some(described) = state.facts.as_ref().and_then(|facts| facts.cluster.as_ref()) else { return Ok(()) };
    let wrong = |what: &str, reason: String| {
        InputError::new(format!("the {what} of cluster {:?} in its facts cannot be used: {reason}", cluster.name))
            .in_file(file)
            .at(cluster.line.max(1), 1)
    };
    if cluster.endpoint.is_none()
        && let Some(url) = &described.endpoint
    {
        let endpoint = parse_server_url(url).map_err(|error| wrong("endpoint", error.message))?;
        cluster.endpoint = Some(endpoint);
    }
    if cluster.ca_pem.is_none()
        && let Some(data) = described.certificate_authority.as_ref().and_then(|authority| authority.data.as_deref())
        && !data.is_empty()
    {
        cluster.ca_pem = authority_pem(data);
    }
    cluster.provider = Provider::Eks;
    Ok(())
}

/// The endpoint of AKS: its description tells names only.
fn complete_managed(file: &Path, cluster: &mut Cluster, managed: &ManagedCluster) -> Result<(), InputError> {
    if cluster.endpoint.is_none()
        && let Some(host) = managed.server_name().filter(|host| !host.is_empty())
    {
        let endpoint = parse_server_url(&format!("https://{host}:443")).map_err(|error| {
            let name = &cluster.name;
            InputError::new(format!(
                "the API server's name of cluster {name:?} in its facts cannot be used: {}",
                error.message
            ))
            .in_file(file)
            .at(cluster.line.max(1), 1)
        })?;
        cluster.endpoint = Some(endpoint);
    }
    cluster.provider = Provider::Aks;
    Ok(())
}

/// The certificate authorities that the provider lists for the cluster, as (label, PEM text): all that a chain may lead
/// to besides what the client trusts.
pub(super) fn authorities(facts: &Facts) -> Vec<(String, String)> {
    let listed = facts.certificate_authorities.iter().flatten();
    let listed = listed.filter_map(|one| Some((one.id.clone()?, authority_pem(one.data.as_deref()?)?)));
    let today = facts.cluster.as_ref().and_then(|cluster| cluster.certificate_authority.as_ref()?.data.as_deref());
    let today = today.or(facts.managed_authority.as_deref());
    let today = today.and_then(authority_pem).map(|pem| (PRESENT_AUTHORITY.to_owned(), pem));
    listed.chain(today).collect()
}

/// PEM text from the provider's base64; `None` for what is no certificate, which then leaves the system's roots.
pub(super) fn authority_pem(data: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.contains("-----BEGIN CERTIFICATE-----").then_some(text)
}

/// The host of the management API: by the region of the facts, of the scenario, or of the endpoint's own name. Clusters
/// of others than Amazon have none.
pub(super) fn management_host(cluster: &Cluster, facts: Option<&Facts>) -> Option<String> {
    if cluster.provider == Provider::Aks {
        return None;
    }
    let region = facts
        .and_then(|facts| facts.cluster.as_ref())
        .and_then(|cluster| cluster.region().map(str::to_owned))
        .or_else(|| match &cluster.provider_block {
            Some(ProviderBlock::Eks { region, .. }) => region.clone(),
            _ => None,
        })
        .or_else(|| recognise(&cluster.endpoint.as_ref()?.host).region)?;
    Some(eks_api::management_host(&region))
}

/// Where a vantage is, as far as the scenario and the probes say, and by which addresses it is seen.
pub(super) fn standpoint(vantage: &Vantage, observation: &Observation, classes: &AddressClasses) -> Standpoint {
    let (egress, egress_by) = egress(vantage, observation, classes);
    Standpoint { egress, egress_by, ..place(vantage, observation) }
}

/// The public addresses that echo servers see, each with the first server that says so, in the order asked.
pub(super) fn observed_egress<'a>(observation: &'a Observation, classes: &AddressClasses) -> Vec<(IpAddr, &'a str)> {
    let mut seen: Vec<(IpAddr, &str)> = Vec::new();
    for one in &observation.egress {
        if let Some(address) = one.address.filter(|address| classes.of(*address) == AddressClass::Public)
            && seen.iter().all(|(known, _)| *known != address)
        {
            seen.push((address, &one.server));
        }
    }
    seen
}

/// The addresses that a vantage is seen by: as declared, narrowed to those that echo servers see of them; where nothing
/// is declared, as they see it.
fn egress(vantage: &Vantage, observation: &Observation, classes: &AddressClasses) -> (Vec<IpNet>, Option<EgressBy>) {
    let seen = observed_egress(observation, classes);
    let servers = |seen: &[(IpAddr, &str)]| {
        let mut servers: Vec<String> = seen.iter().map(|(_, server)| (*server).to_owned()).collect();
        servers.dedup();
        servers
    };
    let nets = |seen: &[(IpAddr, &str)]| seen.iter().map(|(address, _)| IpNet::from(*address)).collect::<Vec<_>>();
    let declared = &vantage.egress.declared;
    if declared.is_empty() {
        let by = (!seen.is_empty()).then(|| EgressBy::Observed { servers: servers(&seen) });
        return (nets(&seen), by);
    }
    let inside: Vec<(IpAddr, &str)> =
        seen.into_iter().filter(|(address, _)| declared.iter().any(|net| net.contains(address))).collect();
    let of_family = |net: &&IpNet| inside.iter().all(|(address, _)| address.is_ipv4() != net.addr().is_ipv4());
    let rest = declared.iter().filter(of_family).copied();
    let egress = nets(&inside).into_iter().chain(rest).collect();
    (egress, Some(EgressBy::Declared { seen_by: servers(&inside) }))
}

fn place(vantage: &Vantage, observation: &Observation) -> Standpoint {
    let answer = observation.dns.first().map(|answer| answer.address_class);
    let answer = answer.filter(|class| matches!(class, AddressClass::Public | AddressClass::Private));
    let declared = |own: Vec<_>| Standpoint { own, declared: true, answer, ..Standpoint::default() };
    match &vantage.kind {
        VantageKind::Model { ip, instance } => {
            Standpoint { instance: instance.clone(), ..declared(ip.iter().copied().collect()) }
        }
        VantageKind::Ssm(ssm) => Standpoint { instance: Some(ssm.instance.clone()), ..declared(Vec::new()) },
        VantageKind::Local { source_ip: Some(address), .. } => declared(vec![*address]),
        VantageKind::Local { .. } => {
            let mut own: Vec<_> = observation.attempts.iter().filter_map(|attempt| attempt.tcp.source).collect();
            own.sort_unstable();
            own.dedup();
            if own.is_empty() {
                // Nothing was dialled, as where the name is not known.
                own.extend(observation.connectivity.as_ref().and_then(|connectivity| connectivity.source));
            }
            Standpoint { own, answer, ..Standpoint::default() }
        }
        VantageKind::Proxy(_) | VantageKind::UnusableProxy { .. } => {
            Standpoint { behind_proxy: true, answer, ..Standpoint::default() }
        }
        VantageKind::Ssh(_) | VantageKind::Kubernetes(_) | VantageKind::Agent(_) => {
            Standpoint { answer, ..Standpoint::default() }
        }
    }
}

/// What runs for months waits longer than doctor, and not for ever.
const LONGEST_PULL: Duration = Duration::from_mins(1);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// Doctor answers in seconds.
const LONGEST_LATE_PULL: Duration = Duration::from_secs(10);
