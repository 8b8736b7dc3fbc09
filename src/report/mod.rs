//! The report: the one value that every output format is drawn from.

/// Appends formatted text to a `String`, without an intermediate one.
macro_rules! push {
    ($text:expr, $($arguments:tt)*) => {{
        // Writing into a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut $text, format_args!($($arguments)*));
    }};
}

pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod matrix;
pub mod page;
pub mod sarif;
pub mod text;
pub mod words;

#[cfg(test)]
pub(crate) mod every_variant;

use std::path::PathBuf;

use jiff::Timestamp;
pub use kubereach_probes::Reachability;
use kubereach_probes::labels;
use kubereach_probes::{Attempt, Connectivity, DnsObservation, EgressObservation, ProxyObservation};
pub use matrix::{Matrix, MatrixCell};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name and version of the JSON form.
pub const REPORT_SCHEMA: &str = "kubereach.report/v1";

/// How a report may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// For people.
    Text,
    /// The whole report as one JSON document.
    Json,
    /// `JUnit` XML: a test case a cell.
    Junit,
    /// SARIF 2.1.0: a result a finding.
    Sarif,
    /// GitHub-flavoured Markdown, for a pipeline's step summary.
    Markdown,
    /// One self-contained HTML file.
    Html,
}

impl Format {
    /// Every format, in the order of the help text.
    pub const ALL: [Self; 6] = [Self::Text, Self::Json, Self::Junit, Self::Sarif, Self::Markdown, Self::Html];

    /// The name on the command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Sarif => "sarif",
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }
}

/// What a renderer may know beyond the report.
#[derive(Clone, Debug, Default)]
pub struct RenderContext {
    /// How the text form is laid out.
    pub text: text::TextOptions,
    /// The scenario file, as the user named it; SARIF points at it.
    pub scenario: Option<PathBuf>,
    /// What is known of a finding's code beyond the finding; SARIF describes its rules with it.
    pub rules: Option<fn(&str) -> Option<RuleText>>,
}

/// What the catalogue says of a code, whatever the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// In one line.
    pub title: String,
    /// How bad it usually is.
    pub severity: Severity,
    /// The long form.
    pub help: String,
    /// Where it is documented; may be empty.
    pub docs: String,
}

/// Draws the report; the result ends with a newline. Everything that came from the network is made harmless for the
/// format: control characters visible, markup escaped, lengths bounded.
#[must_use]
pub fn render(format: Format, report: &Report, context: &RenderContext) -> String {
    match format {
        Format::Text => text::render(report, &context.text),
        Format::Json => json::render(report),
        Format::Junit => junit::render(report),
        Format::Sarif => sarif::render(report, context),
        Format::Markdown => markdown::render(report),
        Format::Html => html::render(report),
    }
}

/// What one run found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Always [`REPORT_SCHEMA`].
    pub schema: String,
    /// The worst verdict of the cells.
    pub verdict: Verdict,
    /// Begin of the run.
    pub started_at: Timestamp,
    /// End of the run.
    pub finished_at: Timestamp,
    /// The cells in brief, by cluster and vantage; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub matrix: Option<Matrix>,
    /// One entry a (cluster, vantage) pair, in the scenario's order.
    pub cells: Vec<Cell>,
    /// Each finding once, most probable first, with the cells it stands in.
    pub findings: Vec<Finding>,
}

/// One cluster seen from one vantage.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the vantage.
    pub vantage: String,
    /// What is to be reached there.
    #[serde(default)]
    pub target: CellTarget,
    /// `https://host:port`; null when not known.
    pub endpoint: Option<String>,
    /// Who runs the cluster.
    pub provider: Provider,
    /// What should be.
    pub intended: Intended,
    /// What the provider's configuration allows.
    pub configured: Reachability,
    /// What it allows today, where `configured` is that of a planned change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configured_now: Option<Reachability>,
    /// What happens.
    pub observed: Reachability,
    /// The three side by side.
    pub verdict: Verdict,
    /// Class of the addresses that answered; null when none did.
    pub via: Option<Via>,
    /// One entry a resolver.
    pub dns: Vec<DnsObservation>,
    /// One entry an address.
    pub attempts: Vec<Attempt>,
    /// The proxy in between.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proxy: Option<ProxyObservation>,
    /// By which address each echo server sees the vantage.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub egress: Vec<EgressObservation>,
    /// What the vantage was asked for and did not do, because its own limits forbid it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<String>,
    /// The prober's own network, when it was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connectivity: Option<Connectivity>,
    /// The path through the configuration, hop by hop; empty without facts.
    pub path: Vec<Hop>,
    /// What it means, most probable first.
    pub findings: Vec<Finding>,
    /// Milliseconds from the change (or the run's start) to the first of the agreeing rounds; null when nothing converged.
    pub converged_after_ms: Option<u64>,
    /// How many rounds were probed.
    pub rounds: u32,
    /// One line on what this cell shows, for people.
    pub summary: String,
}

impl Cell {
    /// What is looked at, for people: `prod`, or `prod (eks-api)`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.target.of(&self.cluster)
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CellTarget {
    /// The cluster's API server.
    #[default]
    Kubernetes,
    /// The EKS management API of the cluster's region: another host, another path, no Kubernetes.
    EksApi,
}

labels! { CellTarget {
    Kubernetes => "kubernetes",
    EksApi => "eks-api",
} }

impl CellTarget {
    /// Whether it is the cluster's own API server.
    #[must_use]
    pub const fn is_kubernetes(self) -> bool {
        matches!(self, Self::Kubernetes)
    }

    /// `prod`, or `prod (eks-api)`.
    #[must_use]
    pub fn of(self, cluster: &str) -> String {
        match self {
            Self::Kubernetes => cluster.to_owned(),
            Self::EksApi => format!("{cluster} ({})", self.label()),
        }
    }
}

/// What should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Intended {
    /// It should be reachable.
    Reachable,
    /// It should not be.
    Unreachable,
    /// Nobody said.
    Unspecified,
}

labels! { Intended {
    Reachable => "reachable",
    Unreachable => "unreachable",
    Unspecified => "unspecified",
} }

/// How the truths compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every known truth agrees.
    Match,
    /// They disagree, but a change is younger than the provider's window.
    Propagating,
    /// What is needed to decide could not be obtained.
    Inconclusive,
    /// They disagree.
    Mismatch,
}

labels! { Verdict {
    Match => "match",
    Propagating => "propagating",
    Inconclusive => "inconclusive",
    Mismatch => "mismatch",
} }

/// Class of the addresses that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Globally routed ones.
    Public,
    /// Private ones.
    Private,
    /// Some of each.
    Mixed,
}

labels! { Via {
    Public => "public",
    Private => "private",
    Mixed => "mixed",
} }

/// Who runs the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Amazon EKS.
    Eks,
    /// Azure AKS.
    Aks,
    /// Anybody else.
    Generic,
}

labels! { Provider {
    Eks => "eks",
    Aks => "aks",
    Generic => "generic",
} }

/// One hop of a path through the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Id of the object.
    pub component: String,
    /// `security-group`, `network-acl`, `route-table` …
    pub kind: String,
    /// `allow`, `deny`, `forward`, `drop` or `unknown`.
    pub decision: String,
    /// The rule that decided.
    pub rule: String,
}

/// One cause that fits, with its evidence and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable code.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// In one line.
    pub title: String,
    /// Name of the cluster; null where the finding spans several.
    pub cluster: Option<String>,
    /// Name of the vantage; null where the finding spans several.
    pub vantage: Option<String>,
    /// `cluster/vantage` of every cell it stands in (in the report's list only).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cells: Vec<String>,
    /// What was expected and seen, a sentence each, the deciding one first.
    pub evidence: Vec<String>,
    /// The one setting to change.
    pub setting: Option<String>,
    /// The command that changes it.
    pub fix: Option<String>,
    /// Where the rule is documented.
    pub docs: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It explains a failure.
    Error,
    /// It works, but not as it should, or not for long.
    Warning,
    /// Good to know.
    Info,
}

labels! { Severity {
    Error => "error",
    Warning => "warning",
    Info => "info",
} }

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The configuration and the probe agree, or the observation admits no other cause.
    Certain,
    /// One of the two, and the rivals are ruled out.
    Likely,
    /// Rivals remain; the evidence names them and the probe that would decide.
    Possible,
}

labels! { Confidence {
    Certain => "certain",
    Likely => "likely",
    Possible => "possible",
} }
