//! Pure: one cell's truths side by side, and what they mean. Takes what was probed and what is configured; asks nobody.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;
use kubereach_probes::{AddressClasses, Observation, Reachability};

use super::{
    Probed, Settings,
    changes::AKS_WINDOW,
    configuration::{State, observed_egress, standpoint},
};
use crate::{
    causes::{
        self, CellView, Change, Circumstances, ConfigurationView, Configured, IntentByEgress, KnownVantage, Strictness,
        Update,
    },
    client::ClientEnvironment,
    facts::Facts,
    model::{Missing, Outlook, Standpoint, aks, azure, eks, eks_api, network::Network},
    report::{Cell, CellTarget, Finding, Intended, Provider, Severity, Verdict, Via},
    scenario::{Cluster, Plan, PlannedCell, Vantage, VantageKind, derive},
    verdict::{self, Case, Convergence, Next, Seen},
};

/// A cluster's configuration, indexed for evaluation.
pub(super) struct Evaluated<'a> {
    state: &'a State,
    known: Option<Known<'a>>,
}

/// The facts, and their networks indexed.
struct Known<'a> {
    facts: &'a Facts,
    network: Network<'a>,
    azure: azure::Network<'a>,
}

impl<'a> Evaluated<'a> {
    /// Indexes what is known at a moment.
    pub(super) fn of(state: &'a State) -> Self {
        let known = state.facts.as_deref().map(|facts| Known {
            facts,
            network: Network::new(&facts.network),
            azure: azure::Network::new(&facts.azure),
        });
        Self { state, known }
    }
}

/// What the configuration says of one cell.
pub(super) struct Predicted {
    standpoint: Standpoint,
    outlook: Option<Outlook>,
}

impl Predicted {
    /// What is configured.
    pub(super) fn configured(&self) -> Reachability {
        self.outlook.as_ref().map_or(Reachability::Unknown, Outlook::configured)
    }

    /// The class of address that is taken.
    pub(super) fn via(&self) -> Option<Via> {
        self.outlook.as_ref().and_then(Outlook::via)
    }

    /// Some of the private addresses are closed, and not others.
    fn is_partly_closed(&self) -> bool {
        self.outlook.as_ref().is_some_and(Outlook::is_partly_closed)
    }

    /// One line for people.
    fn summary(&self) -> String {
        let none = || "not predicted: the facts describe no cluster".to_owned();
        self.outlook.as_ref().map_or_else(none, Outlook::summary)
    }

    /// The first of what is not known.
    fn first_missing(&self) -> Option<&str> {
        self.outlook.as_ref()?.missing().first().map(|one| one.what.as_str())
    }

    /// What is not known, each with what would tell.
    fn missing(&self) -> Vec<String> {
        let missing: &[Missing] = self.outlook.as_ref().map_or(&[], Outlook::missing);
        missing.iter().map(|one| format!("{} (in {})", one.what, one.decided_by)).collect()
    }
}

/// What every cell is judged by.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) plan: &'a Plan,
    pub(super) settings: &'a Settings,
    pub(super) started_at: Timestamp,
}

impl Frame<'_> {
    /// How to wait for a change of this cluster, as things are now.
    pub(super) fn convergence(&self, provider: Provider, update: Option<&Update>, now: Timestamp) -> Convergence {
        let Self { plan, settings, started_at } = *self;
        let consecutive = plan.propagation.consecutive;
        if provider == Provider::Aks
            && let Some(update) = update
        {
            return self.convergence_of_aks(update, now);
        }
        if let Some(update) = update {
            let began = update.began.unwrap_or(started_at).min(started_at);
            let age = |until: Timestamp| Duration::try_from(until.duration_since(began)).unwrap_or_default();
            // While it is under way the window is open, and then for as long as names may be cached.
            let (window, longest) = match update.ended {
                Some(ended) => (age(ended) + EKS_DNS_TTL, None),
                None if update.followed => ((age(now) + EKS_DNS_TTL).max(EKS_LONGEST_UPDATE), None),
                // From a folder its end cannot be seen: one DNS TTL is all that is worth waiting.
                None => ((age(now) + EKS_DNS_TTL).max(EKS_LONGEST_UPDATE), Some(EKS_DNS_TTL)),
            };
            let wait = settings.wait.or(longest);
            return Convergence { changed_at: Some(began), started_at, window, wait, consecutive };
        }
        let default = match provider {
            Provider::Aks => AKS_WINDOW,
            Provider::Eks if settings.changed_at.is_some() => EKS_DNS_TTL,
            Provider::Eks | Provider::Generic => Duration::ZERO,
        };
        let window = plan.propagation.window.unwrap_or(default);
        let window = match settings.wait {
            // A wait for a cluster without a window of its own is the window.
            Some(wait) if window.is_zero() => wait,
            _ => window,
        };
        Convergence {
            // A change of tomorrow excuses nothing today; clocks may differ a little.
            changed_at: settings.changed_at.map(|at| at.min(started_at)),
            started_at,
            window,
            wait: settings.wait,
            consecutive,
        }
    }

    /// How to wait for a change of an AKS cluster that its facts tell of: two minutes after it, and for as long as it is
    /// under way. What is declared counts as the time of the change where it is younger.
    fn convergence_of_aks(&self, update: &Update, now: Timestamp) -> Convergence {
        let Self { plan, settings, started_at } = *self;
        // Doctor waits for nothing: it says that the window is open.
        let doctor = settings.client.is_some();
        let own = match plan.propagation.window {
            Some(window) if !doctor => window,
            _ => AKS_WINDOW,
        };
        let began = settings.changed_at.or(update.began).unwrap_or(started_at).min(started_at);
        let age = |until: Timestamp| Duration::try_from(until.duration_since(began)).unwrap_or_default();
        let last = update.ended.max(update.began).max(settings.changed_at).map(|at| age(at.min(now)));
        let window = match update.ended {
            _ if own.is_zero() => own,
            None if update.followed => (age(now) + own).min(AKS_LONGEST_UPDATE),
            // One whose end is known; or one of a folder, whose end cannot be seen: judged when the window is over.
            Some(_) | None => last.unwrap_or_default() + own,
        };
        Convergence {
            changed_at: Some(began),
            started_at,
            window,
            wait: if doctor { Some(Duration::ZERO) } else { settings.wait },
            consecutive: plan.propagation.consecutive,
        }
    }

    fn cell(&self, index: usize) -> (&PlannedCell, &Cluster, &Vantage) {
        let cell = &self.plan.cells[index];
        (cell, &self.plan.clusters[cell.cluster], &self.plan.vantages[cell.vantage])
    }

    /// The cell as it is meant: what is intended follows from the vantage's egress address where the scenario does not
    /// tell it and an echo server does.
    pub(super) fn meant(&self, index: usize, observation: &Observation) -> PlannedCell {
        let (planned, cluster, vantage) = self.cell(index);
        let mut meant = planned.clone();
        let undecided = planned.intended == Intended::Unspecified && planned.target.is_kubernetes();
        let (seen, dialled) = egress_of_the_path(observation, &self.plan.classes);
        if let (true, Some(intent), true, Some((address, server))) =
            (undecided, &cluster.intent, vantage.egress.declared.is_empty(), seen.first())
        {
            let egress: Vec<IpNet> = seen.iter().map(|(address, _)| IpNet::from(*address)).collect();
            let (intended, origin) = derive(intent, &vantage.kind, &egress, &self.plan.classes);
            // Where nothing was dialled, an address of whichever family must not make a failure out to be meant.
            if intended != Intended::Unspecified && (dialled || intended != Intended::Unreachable) {
                meant.intended = intended;
                meant.origin = format!("{origin}, for the egress address {address} observed by {server}");
            }
        }
        meant
    }

    /// Whether what is intended of a cell hangs on its vantage's egress address; with the part of the intent where that
    /// address is asked for and nobody told it.
    fn intent_by_egress(&self, index: usize, meant: &PlannedCell, observation: &Observation) -> (bool, Option<String>) {
        let (planned, cluster, vantage) = self.cell(index);
        if meant.intended != planned.intended {
            return (true, None);
        }
        let undecided = planned.intended == Intended::Unspecified && planned.target.is_kubernetes();
        let (seen, dialled) = egress_of_the_path(observation, &self.plan.classes);
        let asked = !observation.egress.is_empty() && (seen.is_empty() || !dialled);
        let (true, true, true, Some(intent)) = (undecided, asked, vantage.egress.declared.is_empty(), &cluster.intent)
        else {
            return (false, None);
        };
        let (intended, origin) = derive(intent, &vantage.kind, &[], &self.plan.classes);
        // An enabled path with a list is what an address would decide; an empty `intent` says nothing of anybody.
        let by_list = intent.public_access.as_ref().is_some_and(|access| access.enabled && access.allow.is_some());
        (false, (intended == Intended::Unspecified && by_list).then_some(origin))
    }

    /// What the configuration says of a cell; `None` without facts.
    pub(super) fn predicted(
        &self,
        evaluated: &Evaluated<'_>,
        index: usize,
        observation: &Observation,
    ) -> Option<Predicted> {
        let Known { facts, network, azure } = evaluated.known.as_ref()?;
        let (planned, cluster, vantage) = self.cell(index);
        let classes = &self.plan.classes;
        let standpoint = standpoint(vantage, observation, classes);
        let mut addresses = cluster.addresses.clone();
        addresses.extend(observation.attempts.iter().filter_map(|attempt| attempt.address));
        let outlook = match planned.target {
            CellTarget::Kubernetes if facts.managed_cluster.is_some() => {
                // What stands behind another port than the API server's is not known.
                let host = cluster.endpoint.as_ref().map_or_else(String::new, |endpoint| match endpoint.port {
                    443 => endpoint.host.clone(),
                    port => format!("{}:{port}", endpoint.host),
                });
                aks::predict(facts, azure, &standpoint, classes, &host, &addresses).map(Outlook::Aks)
            }
            CellTarget::Kubernetes => eks::predict(facts, network, &standpoint, classes, &addresses).map(Outlook::Eks),
            CellTarget::EksApi => eks_api::predict(facts, network, &standpoint, classes).map(Outlook::EksApi),
        };
        Some(Predicted { standpoint, outlook })
    }

    /// What is configured for a cell that nobody probed.
    pub(super) fn configured(&self, evaluated: &Evaluated<'_>, index: usize) -> Reachability {
        let predicted = self.predicted(evaluated, index, &Observation::default());
        predicted.as_ref().map_or(Reachability::Unknown, Predicted::configured)
    }

    /// Judges one cell after its last round, or without any when it is only predicted.
    pub(super) fn judge(
        &self,
        index: usize,
        evaluated: &Evaluated<'_>,
        probed: Probed,
        other: Option<&Observation>,
        client: Option<&ClientEnvironment>,
    ) -> Cell {
        let now = Timestamp::now();
        let (_, cluster, vantage) = self.cell(index);
        let Probed { mut observation, rounds, converged_after_ms, next } = probed;
        let planned = &self.meant(index, &observation);
        let endpoint = self.endpoint(planned, evaluated);
        let predicted = self.predicted(evaluated, index, &observation);
        let probes = !self.settings.predict && !matches!(vantage.kind, VantageKind::Model { .. });
        let mut seen = verdict::read(&observation);
        if endpoint.is_none() || !probes {
            seen.observed = Reachability::Unknown;
        }
        let contradiction = self
            .plan
            .contradictions
            .iter()
            .find(|one| (one.cluster, one.target, one.vantage) == (planned.cluster, planned.target, planned.vantage))
            .map(|one| one.message.as_str());
        let case = judged(planned, &seen, predicted.as_ref(), next);
        let decided = verdict::decide(&Case { contradicted: contradiction.is_some(), ..case });
        let (intent_observed, intent_unknown) = self.intent_by_egress(index, planned, &observation);
        // A place that was to be probed and told nothing is not fine because the configuration is; nor is one of which
        // something is intended that nobody could find out.
        let decided = match decided {
            Verdict::Match if intent_unknown.is_some() => Verdict::Inconclusive,
            Verdict::Match if probes && seen.observed == Reachability::Unknown => Verdict::Inconclusive,
            Verdict::Match if self.settings.planned_beyond.is_some() => Verdict::Inconclusive,
            decided => decided,
        };
        let unknown = seen.observed == Reachability::Unknown || decided == Verdict::Inconclusive;
        // A limit of the vantage's own is no end of the run.
        let ended_there = observation.ended_early.is_some();
        let interrupted = next == Next::Interrupted || (observation.cut_short && unknown && !ended_there);
        let configured = predicted.as_ref().map_or(Reachability::Unknown, Predicted::configured);
        let nothing_known = decided == Verdict::Inconclusive
            && configured == Reachability::Unknown
            && predicted.as_ref().is_none_or(|known| !known.missing().is_empty());
        let facts_missing = match () {
            () if probes && endpoint.is_none() => Some(missing(
                cluster.provider,
                evaluated,
                predicted.as_ref(),
                "the endpoint: only the provider's configuration names it",
            )),
            () if !probes && nothing_known => Some(missing(
                cluster.provider,
                evaluated,
                predicted.as_ref(),
                "what the provider is configured to allow",
            )),
            () if decided == Verdict::Inconclusive => self.settings.planned_beyond.clone(),
            () => None,
        };
        if facts_missing.is_some() || !probes {
            // That nothing was probed follows from it, and is no second reason.
            observation.vantage_error = None;
        }
        let update = evaluated.state.update.as_ref();
        let convergence = self.convergence(cluster.provider, update, now);
        let change = convergence.changed_at.map(|at| Change {
            at,
            window: convergence.window,
            open: next == Next::JudgeOpen || !convergence.remaining(now).is_zero(),
        });
        let (host, port) = endpoint.as_ref().map_or(("", 443), |(host, port)| (host.as_str(), *port));
        let view = CellView {
            cluster: &cluster.name,
            vantage: &vantage.name,
            vantage_kind: vantage.kind.label(),
            target: planned.target,
            host,
            port,
            provider: cluster.provider,
            known_addresses: &cluster.addresses,
            intended: planned.intended,
            intended_via: planned.via,
            origin: &planned.origin,
            configured,
            configuration: predicted.as_ref().zip(evaluated.known.as_ref()).map(|(predicted, known)| Configured {
                facts: known.facts,
                network: &known.network,
                azure: &known.azure,
                standpoint: &predicted.standpoint,
                outlook: predicted.outlook.as_ref(),
                update,
            }),
            configuration_missing: evaluated.state.missing.as_deref(),
            observed: seen.observed,
            via: seen.via,
            verdict: decided,
            observation: &observation,
            declared_egress: &vantage.egress.declared,
            other_path: other,
            rounds: &rounds,
            client,
            client_authorities: cluster.ca_pem.as_deref(),
            change,
            circumstances: Circumstances {
                interrupted,
                vantage_unavailable: observation.vantage_error.as_deref().filter(|_| facts_missing.is_none()),
                facts_missing: facts_missing.as_deref(),
                contradiction,
                unstable: next == Next::Unstable,
                offline: seen.offline,
                perhaps_offline: seen.perhaps_offline,
                intent_by_egress: match &intent_unknown {
                    Some(origin) => IntentByEgress::NotKnown(origin),
                    None if intent_observed => IntentByEgress::Observed,
                    None => IntentByEgress::No,
                },
            },
            now,
        };
        let findings = causes::diagnose(&view);
        let summary = match (&facts_missing, probes, &predicted) {
            (Some(_), ..) => predicted.as_ref().and_then(Predicted::first_missing).map_or_else(
                || "not decided: it needs the provider's configuration".to_owned(),
                |what| format!("not decided: not known is {what}"),
            ),
            (None, false, Some(predicted)) => predicted.summary(),
            _ => verdict::summary(&observation, &seen, planned.target),
        };
        let path = predicted.as_ref().and_then(|predicted| predicted.outlook.as_ref()).map(Outlook::hops);
        Cell {
            cluster: cluster.name.clone(),
            vantage: vantage.name.clone(),
            target: planned.target,
            endpoint: match planned.target {
                CellTarget::Kubernetes => cluster.endpoint.as_ref().map(ToString::to_string),
                CellTarget::EksApi => endpoint.map(|(host, port)| format!("https://{host}:{port}")),
            },
            provider: cluster.provider,
            intended: planned.intended,
            configured,
            configured_now: None,
            observed: seen.observed,
            verdict: decided,
            via: seen.via.or_else(|| if probes { None } else { predicted.as_ref().and_then(Predicted::via) }),
            path: path.into_iter().flatten().map(|hop| hop.report()).collect(),
            findings,
            converged_after_ms: converged_after_ms.filter(|_| decided == Verdict::Match),
            rounds: u32::try_from(rounds.len()).unwrap_or(u32::MAX),
            summary,
            dns: observation.dns,
            attempts: observation.attempts,
            proxy: observation.proxy,
            egress: observation.egress,
            left_out: observation.left_out,
            connectivity: observation.connectivity,
        }
    }

    /// Host and port of what is to be reached.
    fn endpoint(&self, planned: &PlannedCell, evaluated: &Evaluated<'_>) -> Option<(String, u16)> {
        let cluster = &self.plan.clusters[planned.cluster];
        match planned.target {
            CellTarget::Kubernetes => cluster.endpoint.as_ref().map(|endpoint| (endpoint.host.clone(), endpoint.port)),
            CellTarget::EksApi => {
                let facts = evaluated.known.as_ref().map(|known| known.facts);
                Some((super::configuration::management_host(cluster, facts)?, 443))
            }
        }
    }

    /// What the configuration of a cluster shows by itself, whoever looks at it.
    pub(super) fn configuration_findings(
        &self,
        cluster: usize,
        evaluated: &Evaluated<'_>,
        cells: &[Cell],
        client: Option<&ClientEnvironment>,
    ) -> Vec<Finding> {
        let Some(Known { facts, .. }) = &evaluated.known else { return Vec::new() };
        let cluster = &self.plan.clusters[cluster];
        let vantages: Vec<KnownVantage> = self.plan.vantages.iter().filter_map(known_vantage).collect();
        let mut findings = causes::lint(&ConfigurationView {
            cluster: &cluster.name,
            facts,
            intent: cluster.intent.as_ref(),
            vantages: &vantages,
            kubeconfig_ca: client.and(cluster.ca_pem.as_deref()),
            planned: evaluated.state.planned,
            strictness: Strictness::Verify,
            now: Timestamp::now(),
        });
        // What the cells say already, with what was seen from where, is not said again.
        let said = |code: &str| {
            cells
                .iter()
                .filter(|cell| cell.cluster == cluster.name)
                .flat_map(|cell| &cell.findings)
                .any(|one| one.code == code)
        };
        findings.retain(|finding| !said(&finding.code));
        let as_meant =
            cells.iter().filter(|cell| cell.cluster == cluster.name).all(|cell| cell.verdict == Verdict::Match);
        for finding in &mut findings {
            // It may hurt somebody whom nobody asked about; those who were asked about are fine.
            if as_meant && finding.severity == Severity::Error && !causes::is_drift(&finding.code) {
                finding.severity = Severity::Warning;
            }
        }
        findings
    }
}

/// The public addresses that echo servers see on paths of the families that were dialled, and whether any was: what is
/// said of another family is of a path that nobody takes. Of a target that was not dialled all are taken.
fn egress_of_the_path<'a>(observation: &'a Observation, classes: &AddressClasses) -> (Vec<(IpAddr, &'a str)>, bool) {
    let attempts = || observation.attempts.iter().filter(|attempt| attempt.skipped.is_none());
    let dialled = attempts().next().is_some();
    // Behind a proxy that resolves names the family is the proxy's choice.
    let family = |asked: IpAddr| {
        attempts().any(|attempt| attempt.address.is_none_or(|address| address.is_ipv4() == asked.is_ipv4()))
    };
    let of_the_path = |address: IpAddr| {
        let mut told = observation.egress.iter().filter(|one| one.address == Some(address));
        told.any(|one| one.asked.is_none_or(family))
    };
    let mut seen = observed_egress(observation, classes);
    seen.retain(|(address, _)| !dialled || of_the_path(*address));
    (seen, dialled)
}

/// What is not known, and what would decide it. No final full stop.
fn missing(provider: Provider, evaluated: &Evaluated<'_>, predicted: Option<&Predicted>, what: &str) -> String {
    if let Some(missing) = &evaluated.state.missing {
        return format!("{what}: {missing}");
    }
    let parts = predicted.map(Predicted::missing).unwrap_or_default();
    if !parts.is_empty() {
        return format!("{what}: {}", parts.join("; "));
    }
    let block = if provider == Provider::Aks { "aks:" } else { "eks:" };
    format!("{what}: name the cluster under `{block}`, or give `facts:` (made by `kubereach facts pull`)")
}

fn known_vantage(vantage: &Vantage) -> Option<KnownVantage> {
    let address = match &vantage.kind {
        VantageKind::Model { ip, .. } => *ip,
        VantageKind::Local { source_ip, .. } => *source_ip,
        _ => None,
    };
    let single = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
    let declared = vantage.egress.declared.iter().filter(single).map(IpNet::addr);
    let addresses: Vec<_> = address.into_iter().chain(declared).collect();
    (!addresses.is_empty()).then(|| KnownVantage { name: vantage.name.clone(), addresses })
}

/// The truths of a cell side by side.
pub(super) fn case<'a>(cell: &PlannedCell, seen: &'a Seen, prediction: Option<&Predicted>) -> Case<'a> {
    Case {
        intended: cell.intended,
        via: cell.via,
        configured: prediction.map_or(Reachability::Unknown, Predicted::configured),
        configured_via: prediction.and_then(Predicted::via),
        configured_partly: prediction.is_some_and(Predicted::is_partly_closed),
        seen,
        window_open: false,
        contradicted: false,
        undecided: false,
    }
}

/// The case after its last round.
pub(super) fn judged<'a>(cell: &PlannedCell, seen: &'a Seen, prediction: Option<&Predicted>, next: Next) -> Case<'a> {
    Case {
        window_open: next == Next::JudgeOpen,
        undecided: matches!(next, Next::Unstable | Next::Interrupted),
        ..case(cell, seen, prediction)
    }
}

/// How long resolvers keep an answer (<https://docs.aws.amazon.com/eks/latest/best-practices/control-plane.html>).
const EKS_DNS_TTL: Duration = Duration::from_mins(1);
/// Updates of the endpoint take minutes; one that is still said to be under way after this long is stuck.
const EKS_LONGEST_UPDATE: Duration = Duration::from_mins(45);
/// The same of AKS.
const AKS_LONGEST_UPDATE: Duration = Duration::from_mins(45);
