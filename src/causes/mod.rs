//! The catalogue of causes: one list, one file a family. `explain`, `docs/causes.md` and the tests are made from it.
//!
//! A cause is data plus a pure predicate over a [`CellView`], or over a [`ConfigurationView`], or both. It signs with
//! evidence or stays silent; it never guesses. [`diagnose`] asks each cause about a probed cell, [`lint`] about a
//! cluster's configuration; both rank those that signed.

mod aks;
mod client;
mod comparison;
pub mod configuration;
mod dns;
mod egress;
mod eks;
mod elsewhere;
mod evidence;
mod generic;
mod http;
mod lookups;
mod net;
pub mod page;
mod public;
mod recipes;
mod shown;
mod sources;
pub mod symptoms;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_facts;
#[cfg(test)]
mod testing_net;
mod tls;

use std::{collections::BTreeSet, time::Duration};

pub use comparison::compare;
pub use configuration::{ConfigurationView, KnownVantage, Strictness, lint};
use ipnet::IpNet;
use jiff::Timestamp;
use kubereach_probes::{AddressClass, Observation};

use crate::{
    client::ClientEnvironment,
    facts::Facts,
    model::{
        Outlook, Standpoint, aks as aks_model, azure, eks as eks_model, eks_api::ManagementPrediction, network::Network,
    },
    report::{CellTarget, Confidence, Finding, Intended, Provider, Reachability, Severity, Verdict, Via},
};

/// A cause that kubereach can name.
#[derive(Clone, Copy)]
pub struct Cause {
    /// Stable code of the catalogue.
    pub code: &'static str,
    /// Severity unless the predicate says otherwise.
    pub severity: Severity,
    /// In one line, without cluster names.
    pub title: &'static str,
    /// What must be known to tell it.
    pub needs: &'static [Need],
    /// The long form: what is seen, why it happens, what else looks like it and what tells them apart.
    pub signature: &'static str,
    /// The setting to look at.
    pub setting: &'static str,
    /// The command that mends it; `<…>` is for the reader to fill in.
    pub fix: &'static str,
    /// Where the rule is documented.
    pub docs: &'static str,
    /// Lower-case fragments of what kubectl prints when this is the cause.
    pub kubectl: &'static [&'static str],
    /// The one next probe or fact that tells it from its rivals.
    pub decided_by: &'static str,
    /// Signs when it fits a probed cell; `None` for causes that only a configuration shows.
    pub predicate: Option<fn(&CellView<'_>) -> Option<Told>>,
    /// Signs, once for each thing that is wrong, when it fits a cluster's configuration; no packet is sent for it.
    pub configuration: Option<fn(&ConfigurationView<'_>) -> Vec<Told>>,
}

/// What a cause needs to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A live probe.
    Probe,
    /// The provider's configuration.
    Facts,
    /// Kubeconfig, environment or local routing.
    Client,
    /// The scenario.
    Scenario,
}

/// Everything that a predicate may look at: one cell after its last round.
#[derive(Clone, Copy)]
pub struct CellView<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Name of the vantage.
    pub vantage: &'a str,
    /// The vantage's kind, as the scenario's key: `local`, `proxy`, `model` …
    pub vantage_kind: &'a str,
    /// What is to be reached.
    pub target: CellTarget,
    /// Host of the endpoint; empty when not known.
    pub host: &'a str,
    /// Port of the endpoint.
    pub port: u16,
    /// Who runs the cluster.
    pub provider: Provider,
    /// Addresses that the scenario lists for the cluster.
    pub known_addresses: &'a [std::net::IpAddr],
    /// What should be.
    pub intended: Intended,
    /// Which class of address should answer.
    pub intended_via: Option<Via>,
    /// Who says so.
    pub origin: &'a str,
    /// What the provider's configuration allows.
    pub configured: Reachability,
    /// The configuration and what it means here, where it is known.
    pub configuration: Option<Configured<'a>>,
    /// Why the configuration is not known, where somebody tried to read it.
    pub configuration_missing: Option<&'a str>,
    /// What happens.
    pub observed: Reachability,
    /// Class of the addresses that answered.
    pub via: Option<Via>,
    /// How the truths compare.
    pub verdict: Verdict,
    /// What the last round saw.
    pub observation: &'a Observation,
    /// The addresses that the scenario declares that the vantage is seen by.
    pub declared_egress: &'a [IpNet],
    /// What the other path saw (directly when the cell is proxied, proxied when it is direct), where both were probed.
    pub other_path: Option<&'a Observation>,
    /// The rounds before, and the last.
    pub rounds: &'a [Round],
    /// This host as a client; for doctor only.
    pub client: Option<&'a ClientEnvironment>,
    /// PEM text of the authorities that the client trusts for this cluster; `None` for the system's roots.
    pub client_authorities: Option<&'a str>,
    /// The declared change, when there is one.
    pub change: Option<Change>,
    /// What the run knows beyond the probes.
    pub circumstances: Circumstances<'a>,
    /// The clock.
    pub now: Timestamp,
}

impl CellView<'_> {
    /// The class of address that the configuration leads to.
    fn predicted_via(&self) -> Option<Via> {
        self.configuration?.outlook?.via()
    }

    /// Whether the configuration that is known is Azure's.
    fn provider_is_azure(&self) -> bool {
        self.configuration.is_some_and(|configured| configured.aks().is_some())
    }

    /// What the configuration says, as a clause: `unreachable: 198.51.100.7 is in no entry of publicAccessCidrs`.
    fn configuration_says(&self) -> Option<String> {
        let summary = self.configuration?.outlook?.summary();
        Some(summary.strip_prefix("predicted ").map_or(summary.clone(), str::to_owned))
    }

    /// Whether configuration and probe contradict each other.
    fn is_contradicted(&self) -> bool {
        let known = |truth| truth != Reachability::Unknown;
        known(self.configured) && known(self.observed) && self.configured != self.observed
    }
}

/// The configuration as one cell sees it.
#[derive(Clone, Copy)]
pub struct Configured<'a> {
    /// All that is known of it.
    pub facts: &'a Facts,
    /// Its network, indexed.
    pub network: &'a Network<'a>,
    /// Where the client is in it.
    pub standpoint: &'a Standpoint,
    /// The same of Azure.
    pub azure: &'a azure::Network<'a>,
    /// What it means for what is to be reached; `None` when the facts describe no cluster.
    pub outlook: Option<&'a Outlook>,
    /// The update that is, or was until just now, under way.
    pub update: Option<&'a Update>,
}

impl<'a> Configured<'a> {
    /// What it means for the API server of an EKS cluster.
    fn eks(&self) -> Option<&'a eks_model::Prediction> {
        match self.outlook? {
            Outlook::Eks(prediction) => Some(prediction),
            Outlook::EksApi(_) | Outlook::Aks(_) => None,
        }
    }

    /// The class of answer that DNS should give where the client is; `None` where that is not known.
    fn expected_answer(&self) -> Option<AddressClass> {
        match self.outlook? {
            Outlook::Eks(prediction) => prediction.answer.class,
            Outlook::Aks(prediction) => prediction.answer.class,
            Outlook::EksApi(_) => None,
        }
    }

    /// Whether the client stands in a network that the facts describe.
    fn stands_in_a_network(&self) -> bool {
        use aks_model::Place as InAzure;
        use eks_model::Place as InAws;
        match self.outlook {
            Some(Outlook::Eks(one)) => matches!(one.place, InAws::ClusterVpc | InAws::OtherVpc { .. }),
            Some(Outlook::Aks(one)) => {
                matches!(one.place, InAzure::ClusterNetwork { .. } | InAzure::OtherNetwork { .. })
            }
            Some(Outlook::EksApi(_)) | None => false,
        }
    }

    /// What it means for the EKS management API.
    fn management(&self) -> Option<&'a ManagementPrediction> {
        match self.outlook? {
            Outlook::EksApi(prediction) => Some(prediction),
            Outlook::Eks(_) | Outlook::Aks(_) => None,
        }
    }

    /// What it means for the API server of an AKS cluster.
    fn aks(&self) -> Option<&'a aks_model::Prediction> {
        match self.outlook? {
            Outlook::Aks(prediction) => Some(prediction),
            Outlook::Eks(_) | Outlook::EksApi(_) => None,
        }
    }
}

/// An update of the endpoint that is, or was until just now, under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its id.
    pub id: Option<String>,
    /// `EndpointAccessUpdate` …
    pub kind: Option<String>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it was seen to have ended; `None` while it is under way.
    pub ended: Option<Timestamp>,
    /// Its state is asked for again and again; otherwise its end cannot be seen.
    pub followed: bool,
}

/// What one round came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// When it ended.
    pub at: Timestamp,
    /// What it observed.
    pub observed: Reachability,
    /// Whether it agreed with what is intended.
    pub agrees: bool,
    /// The addresses that DNS gave, sorted.
    pub addresses: Vec<std::net::IpAddr>,
    /// TCP outcome by address.
    pub tcp: Vec<(std::net::IpAddr, kubereach_probes::TcpOutcome)>,
}

/// A declared change and the time it may take to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was made.
    pub at: Timestamp,
    /// How long it may take.
    pub window: Duration,
    /// Whether the window is still open at `now`.
    pub open: bool,
}

/// What the run knows beyond the probes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// The run was interrupted or ran out of time before the cell was decided.
    pub interrupted: bool,
    /// Why the vantage could not be used.
    pub vantage_unavailable: Option<&'a str>,
    /// What could not be known without provider configuration, and where it would come from.
    pub facts_missing: Option<&'a str>,
    /// Where the scenario contradicts itself about this cell, with the line.
    pub contradiction: Option<&'a str>,
    /// The rounds alternated to the end.
    pub unstable: bool,
    /// The prober is offline.
    pub offline: bool,
    /// Nothing was heard from anywhere, and a control target that would tell whether the prober is online was not asked.
    pub perhaps_offline: bool,
    /// What is intended follows from the egress address.
    pub intent_by_egress: IntentByEgress<'a>,
}

/// Whether what is intended of a cell hangs on the address that its vantage is seen by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntentByEgress<'a> {
    /// The scenario says what is intended, or says nothing of it.
    #[default]
    No,
    /// It follows from what echo servers say.
    Observed,
    /// It would follow, but those that were asked told no address. Which part of the intent it is.
    NotKnown(&'a str),
}

/// A cause that signed.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How sure; `Possible` names the rivals in the evidence.
    pub confidence: Option<Confidence>,
    /// Severity when it differs from the cause's.
    pub severity: Option<Severity>,
    /// What was expected and seen, a sentence each, the deciding one first.
    pub evidence: Vec<String>,
    /// The setting with its present value, when it can be said more exactly than by the cause.
    pub setting: Option<String>,
    /// The command with everything filled in that is known.
    pub fix: Option<String>,
    /// A page that tells more of this very case than the cause's.
    pub docs: Option<&'static str>,
}

impl Told {
    /// A cause that signs with this confidence and this first sentence of evidence.
    #[must_use]
    pub fn new(confidence: Confidence, evidence: impl Into<String>) -> Self {
        Self { confidence: Some(confidence), evidence: vec![evidence.into()], ..Self::default() }
    }

    /// Adds a sentence of evidence.
    #[must_use]
    pub fn and(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// Gives the complete command.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Gives the setting with its present value.
    #[must_use]
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.setting = Some(setting.into());
        self
    }

    /// Names the page that tells more of this very case.
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = Some(docs);
        self
    }

    /// Changes the severity.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }
}

/// Every cause, family by family, in the catalogue's order.
pub fn all() -> impl Iterator<Item = &'static Cause> {
    [client::CAUSES, dns::CAUSES, net::CAUSES, tls::CAUSES, http::CAUSES, generic::CAUSES, eks::CAUSES, aks::CAUSES]
        .into_iter()
        .flatten()
}

/// The cause with this code.
#[must_use]
pub fn by_code(code: &str) -> Option<&'static Cause> {
    all().find(|cause| cause.code == code)
}

/// The codes that the configuration alone can tell.
pub fn configuration_codes() -> impl Iterator<Item = &'static str> {
    all().filter(|cause| cause.configuration.is_some()).map(|cause| cause.code)
}

/// The codes that a probed cell can tell.
pub fn told_codes() -> impl Iterator<Item = &'static str> {
    all().filter(|cause| cause.predicate.is_some()).map(|cause| cause.code)
}

/// Whether the code says that the configuration is not the one that the scenario means.
#[must_use]
pub fn is_drift(code: &str) -> bool {
    DRIFT.contains(&code)
}

/// Asks every cause once; those that fit, most probable first.
///
/// Three rules stand above the single causes. What may be an error in this cell is decided in one place
/// (`severity_here`), so that a cell that matches shows none. A specific cause silences the general ones that its
/// evidence contains (`SILENCES`). And a cell that does not match always gets an error finding: `unexplained`, with
/// the raw evidence, when nothing else is one.
#[must_use]
pub fn diagnose(view: &CellView<'_>) -> Vec<Finding> {
    let mut signed: Vec<Signed> = all()
        .enumerate()
        .filter(|(_, cause)| cause.code != UNEXPLAINED && concerns(cause.code, view.target))
        .filter_map(|(place, cause)| {
            let told = cause.predicate?(view)?;
            let own = told.severity.unwrap_or(cause.severity);
            let severity = severity_here(view, cause.code, own)?;
            Some(Signed { place, cause, told, own, severity })
        })
        .collect();
    silence(view, &mut signed);
    if view.verdict != Verdict::Match
        && !signed.iter().any(|signed| signed.severity == Severity::Error)
        && let Some((code, told)) = last_resort(view)
        && let Some((place, cause)) = all().enumerate().find(|(_, cause)| cause.code == code)
    {
        signed.push(Signed { place, cause, told, own: Severity::Error, severity: Severity::Error });
    }
    let window_open = view.change.is_some_and(|change| change.open);
    signed.sort_by_key(|signed| signed.rank(window_open));
    signed.into_iter().map(|signed| signed.finding(view)).collect()
}

/// What is said where no cause is an error: the reason for which the configuration cannot tell, else the raw evidence.
fn last_resort(view: &CellView<'_>) -> Option<(&'static str, Told)> {
    let not_known = || Some((NOT_EVALUABLE, generic::configured_not_known(view)?));
    let raw = || Some((UNEXPLAINED, (by_code(UNEXPLAINED)?.predicate?)(view)?));
    not_known().or_else(raw)
}

/// A cause that signed, and how bad that is in this cell.
struct Signed {
    place: usize,
    cause: &'static Cause,
    told: Told,
    /// What it says of itself.
    own: Severity,
    /// What it is here.
    severity: Severity,
}

impl Signed {
    fn confidence(&self) -> Confidence {
        self.told.confidence.unwrap_or(Confidence::Likely)
    }

    /// Smaller is more probable. What is only good to know never stands before what explains; a change that may still
    /// be on its way outranks what it may excuse; then the surer, the worse, the one that rests on fewer unknowns, and
    /// the one nearer to the client.
    fn rank(&self, window_open: bool) -> (bool, bool, Confidence, Severity, bool, bool, usize) {
        let excuses = window_open && self.cause.code.starts_with("propagation-");
        let unknowns = self.cause.needs.contains(&Need::Facts) && self.confidence() != Confidence::Certain;
        // It says that there is something to explain; what explains it stands before it.
        let symptom = self.cause.code == OTHER_PATH;
        (self.severity == Severity::Info, !excuses, self.confidence(), self.severity, symptom, unknowns, self.place)
    }

    fn finding(self, view: &CellView<'_>) -> Finding {
        let Self { cause, mut told, own, severity, .. } = self;
        // Whether it is one at all rests on what an echo server says, which may stand on another path.
        if RESTS_ON_THE_INTENT.contains(&cause.code) && view.circumstances.intent_by_egress == IntentByEgress::Observed
        {
            told.confidence = told.confidence.max(Some(Confidence::Likely));
            told.evidence.push(ECHO_DECIDES.to_owned());
        }
        // What was expected stands first in every error, said once and alike.
        told.evidence.retain(|clause| !clause.starts_with("expected: ") && !clause.trim().is_empty());
        told.evidence.iter_mut().for_each(|clause| *clause = sentence(clause, view));
        if own == Severity::Error {
            told.evidence.splice(0..0, expectation(view));
            told.evidence.extend(standpoint(view));
        }
        let finding = told.signed(&Signing {
            cause,
            severity,
            cluster: view.cluster,
            vantage: Some(view.vantage),
            provider: view.provider,
            fill_in: &|text| filled_in(text, view),
        });
        // Why a vantage cannot be used is told by the host that tried.
        let finding = if elsewhere::is_another_host(view.vantage_kind) && cause.code != UNAVAILABLE {
            elsewhere::named(finding, view.vantage)
        } else {
            finding
        };
        // What keeps out whom it is meant to keep out needs no mending: its command would open the door.
        let as_meant = view.verdict == Verdict::Match && view.intended == Intended::Unreachable;
        match (as_meant && own == Severity::Error, finding) {
            (true, finding) => Finding { fix: None, ..finding },
            (false, finding) => finding,
        }
    }
}

/// Under what a cause signs.
struct Signing<'a> {
    cause: &'static Cause,
    severity: Severity,
    cluster: &'a str,
    vantage: Option<&'a str>,
    provider: Provider,
    /// Fills in the placeholders of the cause's general texts.
    fill_in: &'a dyn Fn(&str) -> String,
}

impl Told {
    /// The finding; what was not said more exactly is said by the cause.
    fn signed(self, signing: &Signing<'_>) -> Finding {
        let &Signing { cause, severity, cluster, vantage, provider, fill_in } = signing;
        let general = match provider {
            Provider::Aks => cause.fix.replace(PULL_EKS, PULL_AKS),
            Provider::Eks | Provider::Generic => cause.fix.to_owned(),
        };
        Finding {
            code: cause.code.to_owned(),
            severity,
            confidence: self.confidence.unwrap_or(Confidence::Likely),
            title: cause.title.to_owned(),
            cluster: Some(cluster.to_owned()),
            vantage: vantage.map(str::to_owned),
            cells: Vec::new(),
            evidence: self.evidence,
            setting: self.setting.or_else(|| Some(fill_in(cause.setting))),
            fix: self.fix.or_else(|| Some(fill_in(&general))),
            docs: Some(self.docs.map_or_else(
                || sources::of_provider(cause.docs, own_provider(cause.code).unwrap_or(provider)).to_owned(),
                str::to_owned,
            )),
        }
    }
}

/// The provider that a cause belongs to by its code; `None` where both have it.
fn own_provider(code: &str) -> Option<Provider> {
    match code.split_once('-')?.0 {
        "eks" | "vpc" => Some(Provider::Eks),
        "aks" | "azure" => Some(Provider::Aks),
        _ => None,
    }
}

/// Whether a cause may speak of this target: what is wrong with the management API never explains a cluster's own API
/// server, nor the reverse.
fn concerns(code: &str, target: CellTarget) -> bool {
    match target {
        CellTarget::Kubernetes => !OF_THE_MANAGEMENT_API.contains(&code),
        CellTarget::EksApi => !OF_THE_CLUSTER.contains(&code),
    }
}

/// What a finding of this severity is in this cell: an error only where something is wrong that it may explain.
///
/// `None` drops it: a cell that is as it should be has nothing to explain, and a cell of which nothing is known is
/// explained by what kept it unknown.
fn severity_here(view: &CellView<'_>, code: &str, own: Severity) -> Option<Severity> {
    if own != Severity::Error || STANDS_ALWAYS.contains(&code) {
        return Some(own);
    }
    let undecided = code.starts_with("inconclusive-") || code.starts_with("propagation-");
    // Where nothing was seen, the configuration stands for it.
    let (shown, via) = match view.observed {
        Reachability::Unknown => (view.configured, view.predicted_via()),
        observed => (observed, view.via),
    };
    if view.verdict == Verdict::Match {
        // Met although unreachable (or nothing was intended): what blocks it is good to know.
        return (shown == Reachability::Unreachable && !undecided).then_some(Severity::Info);
    }
    if undecided {
        return Some(Severity::Error);
    }
    match (view.intended, shown) {
        (_, Reachability::Unknown) => None,
        (Intended::Unreachable, _) if code == REACHABLE => Some(Severity::Error),
        (Intended::Unreachable, Reachability::Reachable) => None,
        (Intended::Unreachable, Reachability::Unreachable) => Some(Severity::Info),
        (_, Reachability::Unreachable) => Some(Severity::Error),
        (_, Reachability::Reachable) => {
            let by_other_path = view.intended_via.is_some() && view.intended_via != via;
            let explains_path =
                EXPLAINS_PATH.contains(&code) || ["client-", "dns-"].iter().any(|family| code.starts_with(family));
            let alternates = view.circumstances.unstable && (code == INTERMITTENT || code == EGRESS);
            // It is let in as somebody else.
            let otherwise = view.is_contradicted() && code == EGRESS;
            let partial = match view.observed {
                Reachability::Unknown => {
                    view.configuration.and_then(|known| known.outlook).is_some_and(Outlook::is_partly_closed)
                }
                _ => lookups::is_partial(view),
            };
            (partial || (by_other_path && explains_path) || alternates || otherwise).then_some(Severity::Error)
        }
    }
}

/// Drops what a more specific cause contains. A guess silences nothing; nor does a rule that closes one address of
/// several, where the configuration lets the others in and they fail as well.
fn silence(view: &CellView<'_>, signed: &mut Vec<Signed>) {
    let contradicted = view.configured == Reachability::Reachable && view.observed == Reachability::Unreachable;
    let silenced: Vec<&str> = SILENCES
        .iter()
        .chain(CLOSED.iter().filter(|_| !contradicted))
        .filter(|(specific, _)| {
            signed.iter().any(|signed| signed.cause.code == *specific && signed.confidence() != Confidence::Possible)
        })
        .flat_map(|(_, general)| general.iter().copied())
        .collect();
    signed.retain(|signed| !silenced.contains(&signed.cause.code));
}

/// What was expected, and who says so.
fn expectation(view: &CellView<'_>) -> Option<String> {
    let CellView { vantage, origin, .. } = view;
    let cluster = view.target.of(view.cluster);
    let origin = match *origin {
        "" => String::new(),
        DOCTOR => ", by the path that kubectl takes".to_owned(),
        origin => format!(" ({origin})"),
    };
    let path = view.intended_via.map(|via| format!(" over {} addresses", via.label())).unwrap_or_default();
    match (view.intended, view.observed) {
        (Intended::Reachable, _) => Some(format!("{cluster} should be reachable from {vantage}{path}{origin}.")),
        (Intended::Unreachable, Reachability::Unreachable) => {
            Some(format!("{cluster} should not be reachable from {vantage}{origin}, and is not."))
        }
        (Intended::Unreachable, _) => Some(format!("{cluster} should not be reachable from {vantage}{origin}.")),
        (Intended::Unspecified, _) => None,
    }
}

/// From where it was seen: source addresses, resolver, proxy.
fn standpoint(view: &CellView<'_>) -> Option<String> {
    let mut parts = Vec::new();
    let sources: BTreeSet<_> =
        view.observation.attempts.iter().filter_map(|attempt| attempt.tcp.source).take(SOURCES_NAMED).collect();
    if !sources.is_empty() {
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        parts.push(format!("source address {}", sources.join(", ")));
    }
    if let Some(server) = lookups::system(view).and_then(|lookup| lookup.server.as_deref()) {
        parts.push(format!("resolver {server}"));
    }
    if let Some(proxy) = &view.observation.proxy {
        parts.push(format!("proxy {}", proxy.url));
    }
    parts.extend(egress::seen_words(view));
    (!parts.is_empty()).then(|| format!("Seen from {}: {}.", view.vantage, parts.join(", ")))
}

/// A clause as a sentence: with a capital, unless it begins with a name or an address, and a full stop.
fn sentence(clause: &str, view: &CellView<'_>) -> String {
    let clause = clause.trim();
    let word = clause.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ':', ';']);
    let named = word == view.cluster || word == view.vantage || word == "kubectl";
    let plain = !named && word.chars().all(|character| character.is_ascii_lowercase());
    let mut text = String::with_capacity(clause.len() + 1);
    let mut characters = clause.chars();
    if let Some(first) = characters.next() {
        text.push(if plain { first.to_ascii_uppercase() } else { first });
    }
    text.push_str(characters.as_str());
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// Fills in the placeholders whose values every cell knows.
fn filled_in(text: &str, view: &CellView<'_>) -> String {
    let text = text.replace("<port>", &view.port.to_string());
    let text = match &view.configuration {
        Some(configured) if configured.facts.managed_cluster.is_some() => {
            aks::commands::filled_in(configured.facts, &text)
        }
        Some(configured) => {
            let configuration = eks::configuration(view, configured);
            configuration::words::filled_in(&configuration, &text)
        }
        None => text,
    };
    if view.host.is_empty() { text } else { text.replace("<host>", &lookups::shell_word(view.host)) }
}

/// What most causes share, for their entries to start from: an error that needs probe and configuration.
const BY_CONFIGURATION: Cause = Cause {
    code: "",
    severity: Severity::Error,
    title: "",
    needs: &[Need::Probe, Need::Facts],
    signature: "",
    setting: "",
    fix: "",
    docs: "",
    kubectl: &[],
    decided_by: "",
    predicate: None,
    configuration: None,
};

/// The label under which the probe asks the authority that `describe-cluster` gives.
pub const PRESENT_AUTHORITY: &str = "certificateAuthority.data";

const UNEXPLAINED: &str = "unexplained";
const NOT_EVALUABLE: &str = "inconclusive-rule-not-evaluable";
/// Who intends, where doctor does: see `cli::doctor`.
const DOCTOR: &str = "doctor";
const REACHABLE: &str = "net-reachable-though-not-intended";
const UNAVAILABLE: &str = "inconclusive-vantage-unavailable";
const OTHER_PATH: &str = "net-path-not-as-intended";
const INTERMITTENT: &str = "net-intermittent-timeout";
const EGRESS: &str = "net-egress-address-not-as-declared";
const SOURCES_NAMED: usize = 16;

/// What is only wrong because of what is intended: it can be no surer than that.
const RESTS_ON_THE_INTENT: &[&str] = &[REACHABLE, "net-unreachable-for-another-reason", UNEXPLAINED];
const ECHO_DECIDES: &str = "what is intended follows from an address that only an echo server told, and the API server may see another; declaring it makes it sure";

/// Errors that stand whatever was seen on the wire: they are not about the network.
const STANDS_ALWAYS: &[&str] = &[
    "client-certificate-expired",
    "client-exec-plugin-unavailable",
    "http-identity-not-permitted",
    "net-scenario-contradicts-itself",
];

/// What is only about the management API of EKS.
const OF_THE_MANAGEMENT_API: &[&str] = &[
    "eks-management-endpoint-unavailable",
    "eks-management-endpoint-private-dns-off",
    "eks-management-endpoint-sg-blocks-client",
    "eks-management-endpoint-policy-denies",
    "eks-management-endpoint-hides-sibling-names",
];

/// What is only about a cluster's own API server.
const OF_THE_CLUSTER: &[&str] = &[
    "client-kubeconfig-unusable",
    "client-kubeconfig-server-not-this-cluster",
    "client-kubeconfig-skips-tls-verification",
    "client-exec-plugin-unavailable",
    "client-certificate-expired",
    "eks-client-not-in-public-access-cidrs",
    "eks-public-access-disabled",
    "eks-private-access-disabled",
    "eks-public-dns-not-switched-to-private",
    "eks-cluster-not-healthy",
    "eks-private-zone-not-in-effect",
    "eks-connected-network-gets-public-answer",
    "eks-control-plane-sg-blocks-client",
    "eks-management-endpoint-is-not-kubernetes",
    "eks-ca-rotation-not-trusted",
    "tls-cluster-ca-stale",
    "http-not-a-kubernetes-api",
    "http-reachable-without-identity",
    "http-identity-not-permitted",
    "http-api-tunnel-down",
    "propagation-eks-update-in-progress",
    "propagation-eks-vpc-cidr",
];

/// What explains that a cluster is reached, but by the other path than intended.
const EXPLAINS_PATH: &[&str] = &[
    OTHER_PATH,
    "aks-public-network-access-disabled",
    "aks-private-zone-not-linked",
    "aks-private-zone-shadowed",
    "azure-custom-dns-not-forwarding",
    "eks-public-access-disabled",
    "eks-private-access-disabled",
    "eks-private-zone-not-in-effect",
    "eks-connected-network-gets-public-answer",
    "eks-management-endpoint-unavailable",
    "eks-management-endpoint-private-dns-off",
    "vpc-dns-support-disabled",
    "vpc-dns-hostnames-disabled",
    "vpc-dhcp-options-lack-amazon-dns",
    "vpc-resolver-config-shadows-endpoint",
    "eks-management-endpoint-private-dns-off",
];

/// What the configuration closes, and the general words for it.
const CLOSED: &[(&str, &[&str])] = &[
    ("aks-cluster-stopped", PATH),
    ("aks-cluster-stopped", &["net-port-closed", "dns-name-does-not-exist"]),
    ("aks-cluster-not-ready", &["net-filtered-silently", "net-port-closed"]),
    ("aks-client-not-in-authorized-ip-ranges", &["net-filtered-silently", "inconclusive-egress-address-unknown"]),
    ("aks-cluster-egress-not-in-authorized-ip-ranges", &["net-filtered-silently"]),
    ("aks-authorized-ip-ranges-outbound-only", &["net-filtered-silently"]),
    ("aks-public-network-access-disabled", PATH),
    ("aks-private-zone-record-wrong", PATH),
    ("aks-private-endpoint-not-usable", PATH),
    ("aks-vnet-integration-restart-pending", PATH),
    ("aks-apiserver-subnet-nsg-blocks", PATH),
    ("azure-nsg-denies-443", PATH),
    ("azure-udr-diverts-endpoint", PATH),
    ("azure-peering-does-not-carry-traffic", PATH),
    ("azure-firewall-lacks-endpoint-rule", PATH),
    ("eks-cluster-not-healthy", &["net-filtered-silently"]),
    ("eks-client-not-in-public-access-cidrs", &["net-filtered-silently", "inconclusive-egress-address-unknown"]),
    ("eks-public-access-disabled", PATH),
    ("vpc-no-internet-egress", PATH),
    ("eks-control-plane-sg-blocks-client", PATH),
    ("eks-management-endpoint-sg-blocks-client", PATH),
    ("eks-management-endpoint-unavailable", PATH),
    ("vpc-prefix-list-lacks-client", PATH),
    ("vpc-client-sg-blocks-egress", PATH),
    ("vpc-nacl-denies-request", PATH),
    ("vpc-nacl-denies-return", PATH),
    ("vpc-no-route-to-cluster", PATH),
    ("vpc-no-return-route", PATH),
    ("vpc-peering-does-not-carry-traffic", PATH),
    ("vpc-tgw-attachment-not-usable", PATH),
    ("vpc-tgw-route-missing", PATH),
    ("vpc-cidr-overlaps-client-network", PATH),
    ("client-not-on-connected-network", &["net-filtered-silently", "net-no-route-to-address"]),
];

/// The specific cause, and the general ones that only repeat part of its evidence.
const SILENCES: &[(&str, &[&str])] = &[
    ("client-proxy-not-bypassed", &["client-proxy-fails", "http-not-a-kubernetes-api", "tls-inspected-by-proxy"]),
    ("client-proxy-not-bypassed", BEHIND_A_PROXY),
    ("client-proxy-fails", BEHIND_A_PROXY),
    ("client-proxy-bypassed-but-needed", PATH),
    ("client-proxy-bypassed-but-needed", NAME),
    ("client-clock-skew", &["tls-certificate-expired", "tls-certificate-not-yet-valid"]),
    ("client-hosts-file-overrides-dns", NAME),
    ("client-hosts-file-overrides-dns", &["net-filtered-silently", "net-endpoint-addresses-changed"]),
    ("client-local-route-captures-endpoint", PATH),
    ("client-no-path-for-address-family", PATH),
    ("dns-private-answer-filtered", &["dns-resolver-returns-error", "dns-wrong-view-for-vantage"]),
    ("dns-private-answer-filtered", &["dns-name-does-not-exist", "dns-stale-answer"]),
    ("dns-wrong-view-for-vantage", &["dns-stale-answer", "dns-resolver-returns-error", "dns-name-does-not-exist"]),
    ("dns-answer-rewritten", &["dns-stale-answer", "dns-wrong-view-for-vantage", "net-filtered-silently"]),
    ("dns-answer-rewritten", &["net-port-closed", "tls-answered-by-other-service", "client-not-on-connected-network"]),
    ("propagation-dns-ttl", &["dns-stale-answer", "propagation-window-open"]),
    ("propagation-aks-authorized-ip-ranges", &["propagation-window-open"]),
    ("dns-stale-answer", &["net-filtered-silently", "net-endpoint-addresses-changed"]),
    ("aks-private-zone-not-linked", NAME),
    ("aks-private-zone-record-wrong", NAME),
    ("aks-private-zone-shadowed", NAME),
    ("azure-custom-dns-not-forwarding", NAME),
    ("aks-kubeconfig-uses-wrong-fqdn", NAME),
    ("azure-firewall-lacks-endpoint-rule", &["tls-sni-filtered", "tls-handshake-refused", "tls-handshake-times-out"]),
    ("eks-public-dns-not-switched-to-private", NAME),
    ("vpc-dns-support-disabled", NAME),
    ("vpc-dns-hostnames-disabled", NAME),
    ("vpc-dhcp-options-lack-amazon-dns", NAME),
    ("vpc-resolver-config-shadows-endpoint", NAME),
    ("eks-private-zone-not-in-effect", NAME),
    ("eks-ca-rotation-not-trusted", &["tls-cluster-ca-stale"]),
    ("propagation-eks-update-in-progress", &["propagation-window-open"]),
    ("client-kubeconfig-server-not-this-cluster", &["dns-name-does-not-exist", "tls-cluster-ca-stale"]),
    (
        "eks-management-endpoint-is-not-kubernetes",
        &[
            "http-not-a-kubernetes-api",
            "tls-answered-by-other-service",
            "tls-inspected-by-proxy",
            "tls-cluster-ca-stale",
        ],
    ),
    ("net-rejected-by-filter", &["net-filtered-silently", "net-port-closed", "net-no-route-to-address"]),
    ("net-no-route-to-address", &["net-filtered-silently"]),
    ("net-intermittent-timeout", &["net-filtered-silently", "inconclusive-results-unstable"]),
    ("partial-address-failure", &["inconclusive-results-unstable"]),
    ("net-egress-address-not-as-declared", &["net-filtered-silently"]),
    ("net-endpoint-addresses-changed", &["net-filtered-silently"]),
    ("net-mtu-black-hole", &["tls-handshake-times-out", "tls-large-client-hello-dropped"]),
    ("tls-sni-filtered", &["tls-handshake-times-out", "tls-handshake-refused"]),
    ("tls-large-client-hello-dropped", &["tls-handshake-times-out"]),
    ("tls-inspected-by-proxy", &["tls-cluster-ca-stale", "tls-answered-by-other-service"]),
    ("tls-cluster-ca-stale", &["tls-answered-by-other-service"]),
    (
        "inconclusive-vantage-unavailable",
        &["inconclusive-facts-missing", "inconclusive-prober-offline", "inconclusive-run-interrupted"],
    ),
    ("inconclusive-prober-offline", &["inconclusive-results-unstable", "inconclusive-run-interrupted"]),
];

/// What a failing proxy makes the rest look like.
const BEHIND_A_PROXY: &[&str] = &[
    "net-filtered-silently",
    "net-port-closed",
    "net-rejected-by-filter",
    "net-no-route-to-address",
    "tls-handshake-refused",
    "tls-handshake-times-out",
    "tls-answered-by-other-service",
    "http-no-response-after-tls",
];

/// The general words for packets that do not arrive.
const PATH: &[&str] = &["net-filtered-silently", "net-no-route-to-address", "client-not-on-connected-network"];

/// The general words for a name that is not known as it should be.
const NAME: &[&str] = &[
    "dns-name-does-not-exist",
    "dns-resolver-unreachable",
    "dns-resolver-returns-error",
    "dns-wrong-view-for-vantage",
    "dns-stale-answer",
];

/// The configuration is not the one that the scenario means: an error whatever the probes see.
const DRIFT: &[&str] =
    &["net-allow-list-exceeds-intent", "net-allow-list-lacks-intended-source", "net-endpoint-mode-differs-from-intent"];

/// How general fixes pull the facts, and what that is for AKS.
const PULL_EKS: &str = "facts pull eks --name <cluster> --region <region>";
const PULL_AKS: &str = "facts pull aks --resource-group <rg> --name <cluster>";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kubereach_probes::{DnsOutcome, TcpOutcome};

    use super::{testing::*, *};

    #[test]
    fn codes_are_unique_and_the_catalogue_is_complete() {
        let mut codes = BTreeSet::new();
        for cause in all() {
            assert!(codes.insert(cause.code), "{} twice", cause.code);
            let kebab =
                |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
            assert!(cause.code.chars().all(kebab) && !cause.code.contains("--"), "{}", cause.code);
            assert_eq!(by_code(cause.code).map(|cause| cause.title), Some(cause.title));
        }
        let missing: Vec<&str> = CATALOGUE.split_whitespace().filter(|code| !codes.contains(code)).collect();
        assert!(missing.is_empty(), "not in the list: {missing:?}");
        let told: BTreeSet<&str> = told_codes().collect();
        let silent: Vec<&str> = TOLD.split_whitespace().filter(|code| !told.contains(code)).collect();
        assert!(silent.is_empty(), "without a predicate: {silent:?}");
        for code in OF_THE_CLUSTER.iter().chain(OF_THE_MANAGEMENT_API).chain(EXPLAINS_PATH) {
            assert!(codes.contains(code), "{code} is not in the list");
        }
        for (specific, general) in SILENCES.iter().chain(CLOSED) {
            for code in general.iter().chain([specific]) {
                assert!(codes.contains(code), "{code} of the table of silences is not in the list");
            }
        }
    }

    #[test]
    fn every_cause_says_everything() {
        for cause in all() {
            let Cause { code, title, needs, signature, setting, fix, docs, decided_by, .. } = cause;
            for (field, text) in [("title", title), ("setting", setting), ("fix", fix), ("decided_by", decided_by)] {
                assert!(!text.trim().is_empty(), "{code}: {field}");
            }
            assert!(!needs.is_empty(), "{code}: needs");
            assert!(!title.ends_with('.'), "{code}: a title is no sentence");
            assert!(signature.len() > 80 && signature.ends_with('.'), "{code}: signature");
            assert!(docs.starts_with("https://"), "{code}: docs");
            for fragment in cause.kubectl {
                assert_eq!(*fragment, fragment.to_lowercase(), "{code}: kubectl");
            }
        }
    }

    #[test]
    fn no_fix_opens_a_list_to_all() {
        for cause in all() {
            for line in cause.fix.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let open = line.contains("0.0.0.0/0") || line.contains("::/0");
                // A default route is no allow-list, and taking the open entry out is what is wanted.
                let harmless = line.contains("create-route") || line.contains("(.publicAccessCidrs-[");
                assert!(!open || harmless, "{}: {line}", cause.code);
            }
        }
    }

    #[test]
    fn a_healthy_cell_shows_no_error() {
        let scene = Scene::new()
            .saw(
                vec![answer("system", &["198.51.100.20", "198.51.100.21"])],
                vec![reached("198.51.100.20"), reached("198.51.100.21")],
            )
            .with(|scene| scene.verdict = Verdict::Match);
        assert!(scene.errors().is_empty(), "{:?}", scene.errors());
    }

    #[test]
    fn a_cell_that_does_not_match_always_has_an_error() {
        let outcomes = [
            TcpOutcome::Timeout,
            TcpOutcome::Refused,
            TcpOutcome::Reset,
            TcpOutcome::Unreachable,
            TcpOutcome::Prohibited,
            TcpOutcome::LocalError,
        ];
        for intended in [Intended::Reachable, Intended::Unspecified] {
            for outcome in outcomes {
                for to in ["10.0.1.5", "198.51.100.20", "2001:db8::1"] {
                    let scene = Scene::new()
                        .saw(vec![answer("system", &[to])], vec![attempt(to, outcome, 40.0)])
                        .with(|scene| scene.intended = intended);
                    let errors = scene.errors();
                    assert!(!errors.is_empty(), "{outcome:?} {to}");
                    assert!(errors.len() == 1 || !errors.contains(&UNEXPLAINED.to_owned()), "{errors:?}");
                }
            }
        }
        for outcome in [DnsOutcome::Nodata, DnsOutcome::Nxdomain, DnsOutcome::Servfail, DnsOutcome::Timeout] {
            assert!(!Scene::new().saw(vec![no_answer("system", outcome)], vec![]).errors().is_empty(), "{outcome:?}");
        }
        assert!(!Scene::new().errors().is_empty());
    }

    #[test]
    fn evidence_says_what_was_expected_first_and_from_where_last() {
        let scene = Scene::new().saw(
            vec![no_answer("system", DnsOutcome::Servfail), answer("public", &["198.51.100.20"])],
            vec![beside(reached("198.51.100.20"))],
        );
        let finding = scene.finding("dns-resolver-returns-error").unwrap();
        assert_eq!(finding.evidence.first().unwrap(), "prod should be reachable from laptop (expect, line 24).");
        let last = finding.evidence.last().unwrap();
        assert_eq!(last, "Seen from laptop: source address 192.0.2.7, resolver 192.0.2.53:53.");
        assert!(finding.fix.unwrap().contains("api.prod.example.com"));
    }

    #[test]
    fn the_surer_cause_stands_first_and_info_last() {
        let mut skipped = attempt("2001:db8::20", TcpOutcome::Unreachable, 0.0);
        skipped.skipped = Some("no route for IPv6".into());
        let attempts = vec![reached("198.51.100.20"), silent("198.51.100.21"), skipped];
        let findings = Scene::new().saw(vec![], attempts).findings();
        assert_eq!(findings.first().unwrap().code, "partial-address-failure");
        assert_eq!(findings.last().unwrap().severity, Severity::Info);
    }

    /// Every code of the catalogue but those of providers that are not read yet.
    const CATALOGUE: &str = "
        client-kubeconfig-unusable client-kubeconfig-server-not-this-cluster
        client-kubeconfig-skips-tls-verification client-exec-plugin-unavailable client-proxy-not-bypassed
        client-proxy-bypassed-but-needed client-proxy-fails client-proxy-settings-invalid client-clock-skew
        client-hosts-file-overrides-dns client-local-route-captures-endpoint client-not-on-connected-network
        client-no-path-for-address-family dns-name-does-not-exist dns-resolver-unreachable
        dns-resolver-returns-error dns-private-answer-filtered dns-wrong-view-for-vantage dns-stale-answer
        dns-answer-rewritten eks-client-not-in-public-access-cidrs eks-node-egress-not-in-public-access-cidrs
        eks-public-access-disabled eks-private-access-disabled eks-public-dns-not-switched-to-private
        eks-cluster-not-healthy eks-update-failed eks-public-cidr-not-accepted eks-public-cidrs-over-quota
        eks-both-endpoints-disabled eks-control-plane-egress-unrouted vpc-dns-support-disabled
        vpc-dns-hostnames-disabled vpc-dhcp-options-lack-amazon-dns eks-private-zone-not-in-effect
        eks-connected-network-gets-public-answer vpc-resolver-config-shadows-endpoint
        eks-control-plane-sg-blocks-client vpc-prefix-list-lacks-client vpc-client-sg-blocks-egress
        vpc-nacl-denies-request vpc-nacl-denies-return vpc-no-route-to-cluster vpc-no-return-route
        vpc-peering-does-not-carry-traffic vpc-tgw-attachment-not-usable vpc-tgw-route-missing
        vpc-no-internet-egress vpc-cidr-overlaps-client-network eks-cluster-subnet-short-of-addresses
        eks-management-endpoint-is-not-kubernetes eks-management-endpoint-unavailable
        eks-management-endpoint-private-dns-off eks-management-endpoint-sg-blocks-client
        eks-management-endpoint-policy-denies eks-management-endpoint-hides-sibling-names
        aks-client-not-in-authorized-ip-ranges aks-cluster-egress-not-in-authorized-ip-ranges
        aks-authorized-ip-ranges-overwritten aks-authorized-ip-ranges-outbound-only
        aks-node-public-ip-not-authorized aks-authorized-ip-range-not-network-address
        aks-authorized-ip-range-not-public-ipv4 aks-authorized-ip-ranges-over-limit
        aks-authorized-ip-ranges-on-private-cluster aks-authorized-ip-ranges-need-standard-lb
        aks-service-tag-not-accepted aks-cluster-stopped aks-cluster-not-ready aks-public-network-access-disabled
        aks-private-zone-not-linked aks-private-zone-record-wrong aks-private-zone-shadowed
        aks-private-zone-settings-rejected aks-kubeconfig-uses-wrong-fqdn azure-custom-dns-not-forwarding
        aks-private-endpoint-not-usable aks-vnet-integration-restart-pending aks-apiserver-subnet-nsg-blocks
        aks-apiserver-subnet-invalid aks-fixed-at-creation azure-nsg-denies-443 azure-udr-diverts-endpoint
        azure-peering-does-not-carry-traffic azure-firewall-lacks-endpoint-rule aks-http-proxy-config-ineffective
        net-filtered-silently net-port-closed net-rejected-by-filter net-no-route-to-address
        net-egress-address-not-as-declared net-endpoint-addresses-changed net-intermittent-timeout
        net-idle-connection-reset net-mtu-black-hole tls-sni-filtered tls-large-client-hello-dropped
        tls-inspected-by-proxy tls-cluster-ca-stale eks-ca-rotation-not-trusted tls-handshake-times-out
        tls-certificate-not-yet-valid tls-certificate-expired tls-name-not-in-certificate
        tls-answered-by-other-service tls-handshake-refused http-reachable-without-identity
        http-identity-not-permitted http-server-degraded http-not-a-kubernetes-api http-no-response-after-tls
        http-api-tunnel-down propagation-aks-authorized-ip-ranges propagation-eks-update-in-progress
        propagation-dns-ttl propagation-eks-vpc-cidr inconclusive-vantage-unavailable inconclusive-prober-offline
        inconclusive-facts-missing inconclusive-egress-address-unknown inconclusive-rule-not-evaluable
        inconclusive-results-unstable inconclusive-run-interrupted partial-address-failure
        net-reachable-though-not-intended net-path-not-as-intended net-unreachable-for-another-reason unexplained
        net-allow-list-open-to-internet net-allow-list-nearly-open net-allow-list-redundant-entries
        net-allow-list-near-limit net-allow-list-documentation-range net-allow-list-exceeds-intent
        net-allow-list-lacks-intended-source net-endpoint-mode-differs-from-intent net-scenario-contradicts-itself
        eks-ipv6-open-while-ipv4-restricted eks-node-traffic-leaves-vpc eks-cluster-sg-rules-insufficient
        eks-network-config-invalid eks-ca-successor-not-in-kubeconfig aks-no-out-of-band-access
        propagation-window-open client-certificate-expired
    ";

    /// Those that a probe, the client's settings or the scenario alone can tell.
    const TOLD: &str = "
        client-kubeconfig-skips-tls-verification client-exec-plugin-unavailable client-proxy-not-bypassed
        client-proxy-bypassed-but-needed client-proxy-fails client-proxy-settings-invalid client-clock-skew
        client-hosts-file-overrides-dns client-local-route-captures-endpoint client-not-on-connected-network
        client-no-path-for-address-family
        dns-name-does-not-exist dns-resolver-unreachable dns-resolver-returns-error dns-private-answer-filtered
        dns-wrong-view-for-vantage dns-stale-answer dns-answer-rewritten
        net-filtered-silently net-port-closed net-rejected-by-filter net-no-route-to-address
        net-egress-address-not-as-declared net-intermittent-timeout net-mtu-black-hole
        tls-sni-filtered tls-large-client-hello-dropped tls-inspected-by-proxy tls-handshake-times-out
        tls-certificate-not-yet-valid tls-certificate-expired tls-name-not-in-certificate
        tls-answered-by-other-service tls-handshake-refused
        http-reachable-without-identity http-identity-not-permitted http-server-degraded http-not-a-kubernetes-api
        http-no-response-after-tls
        eks-management-endpoint-is-not-kubernetes
        propagation-dns-ttl propagation-aks-authorized-ip-ranges propagation-window-open
        inconclusive-vantage-unavailable inconclusive-prober-offline inconclusive-facts-missing
        inconclusive-results-unstable inconclusive-run-interrupted
        partial-address-failure net-reachable-though-not-intended net-path-not-as-intended
        net-unreachable-for-another-reason net-scenario-contradicts-itself unexplained
    ";
}
