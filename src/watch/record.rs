//! What is remembered: the plain types that scheduler, history, page, metrics and alerts share.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::{Cell, CellTarget, Reachability, Verdict};

/// A cell, by its names: stable over restarts, databases and permalinks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellKey {
    /// Name of the check (by default the scenario file's stem).
    pub check: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the vantage.
    pub vantage: String,
    /// What is to be reached there.
    pub target: CellTarget,
}

/// A cluster of a check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKey {
    /// Name of the check.
    pub check: String,
    /// Name of the cluster.
    pub cluster: String,
}

impl CellKey {
    /// Its cluster.
    #[must_use]
    pub fn cluster_key(&self) -> ClusterKey {
        ClusterKey { check: self.check.clone(), cluster: self.cluster.clone() }
    }

    /// `prod/laptop`, or `prod (eks-api)/laptop`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}", self.target.of(&self.cluster), self.vantage)
    }
}

/// The database's number of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellId(pub i64);

/// The content address of a [`Detail`]: 63 bits of a hash over everything in it but times. A string of digits in JSON,
/// whose readers often take numbers above 2^53 for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DetailId(pub i64);

impl From<DetailId> for String {
    fn from(id: DetailId) -> Self {
        id.0.to_string()
    }
}

impl TryFrom<String> for DetailId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// How long the stages of a round took, microseconds; absent where a stage did not happen. Of several addresses the
/// slowest counts that answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageTimes {
    /// The deciding resolver's answer.
    pub dns: Option<u32>,
    /// Connect.
    pub tcp: Option<u32>,
    /// Handshake.
    pub tls: Option<u32>,
    /// First answer.
    pub http: Option<u32>,
}

/// A stage of a probe, as metrics and charts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Name resolution.
    Dns,
    /// Connect.
    Tcp,
    /// Handshake.
    Tls,
    /// Request.
    Http,
}

kubereach_probes::labels! { Stage {
    Dns => "dns",
    Tcp => "tcp",
    Tls => "tls",
    Http => "http",
} }

impl StageTimes {
    /// The time of one stage, microseconds.
    #[must_use]
    pub const fn of(&self, stage: Stage) -> Option<u32> {
        match stage {
            Stage::Dns => self.dns,
            Stage::Tcp => self.tcp,
            Stage::Tls => self.tls,
            Stage::Http => self.http,
        }
    }
}

/// One finished round of a cell: one row of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// Which cell.
    pub cell: CellId,
    /// The slot it was due at, to the millisecond: (cell, at) is unique whoever runs it.
    pub at: Timestamp,
    /// What it came to.
    pub verdict: Verdict,
    /// What was observed.
    pub observed: Reachability,
    /// The prober itself was offline: the round says nothing of the cell.
    pub offline: bool,
    /// How long the stages took.
    pub stages: StageTimes,
    /// Everything else.
    pub detail: DetailId,
}

/// The judged cell of a round. Rounds that differ in their times only share one.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its address.
    pub id: DetailId,
    /// The cell, as the report has it.
    pub cell: std::sync::Arc<Cell>,
}

/// What a cell is taken to be: a verdict, and what explains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The verdict.
    pub verdict: Verdict,
    /// Code of the first finding of severity `error` (of a cell that is inconclusive: of its first finding); null for a
    /// match.
    pub code: Option<String>,
}

/// What is remembered of a cell between rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CellState {
    /// What it is taken to be, once enough rounds agreed; null before.
    pub standing: Option<Standing>,
    /// The first of the rounds that agreed on it.
    pub since: Option<Timestamp>,
    /// What the last rounds say instead, and how often in a row.
    pub pending: Option<Pending>,
    /// The detail of the last round that was a match, with its time.
    pub last_good: Option<(DetailId, Timestamp)>,
    /// Since when the prober has been offline, which pauses judgement.
    pub paused_since: Option<Timestamp>,
    /// What was meant when it was judged: the intent and the endpoint. Judged for something else it is not judged.
    pub judged_for: Option<String>,
    /// The incident that is open: when it began. Null while the cell is a match or was never judged.
    pub incident: Option<Timestamp>,
}

/// A state that is not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What the rounds say.
    pub standing: Standing,
    /// How many said so in a row.
    pub rounds: u32,
    /// The first of them.
    pub since: Timestamp,
    /// The last of them, or the last round since then that said nothing.
    #[serde(default)]
    pub last: Timestamp,
}

/// What happened to a cell, or to a cluster's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A cell was judged for the first time, and is fine, or a change is on its way to it.
    First,
    /// It is not fine, and was fine before (or a change was on its way), or was never judged.
    Failed,
    /// An incident is over: it is fine.
    Recovered,
    /// It is something else, and neither failed nor recovered: still not fine, for another reason or with another
    /// verdict, or a change is on its way to it, or that change has arrived.
    Changed,
    /// A cluster's configuration at its provider changed.
    Configuration,
    /// The prober went offline: judgement pauses.
    Paused,
    /// It is back.
    Resumed,
}

kubereach_probes::labels! { EventKind {
    First => "first",
    Failed => "failed",
    Recovered => "recovered",
    Changed => "changed",
    Configuration => "configuration",
    Paused => "paused",
    Resumed => "resumed",
} }

/// One entry of the event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The database's number; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// When it was certain.
    pub at: Timestamp,
    /// When it began: the first of the agreeing rounds.
    pub since: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Check and cluster.
    pub cluster: ClusterKey,
    /// The cell; null for a change of configuration.
    pub cell: Option<CellKey>,
    /// What it was.
    pub from: Option<Standing>,
    /// What it is.
    pub to: Option<Standing>,
    /// What differs from the last good state, the most telling first.
    pub changes: Vec<Change>,
    /// The detail of the last good round.
    pub before: Option<DetailId>,
    /// The detail of the round that confirmed it.
    pub after: Option<DetailId>,
    /// One sentence for people, without a final full stop.
    pub summary: String,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Of what kind.
    pub kind: ChangeKind,
    /// When it was first seen to differ.
    pub at: Timestamp,
    /// What was, and what is, in one sentence: `publicAccessCidrs lost 203.0.113.0/24`.
    pub text: String,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The provider's configuration.
    Configuration,
    /// How the name resolves: outcome, class, canonical names.
    Dns,
    /// Which addresses there are.
    Addresses,
    /// The certificate that is presented.
    Certificate,
    /// How a stage ends.
    Outcome,
    /// By which address the vantage is seen.
    Egress,
}

/// A cluster's configuration as it was read: the provider's documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub cluster: ClusterKey,
    /// When it was first read so.
    pub at: Timestamp,
    /// A hash of it.
    pub hash: i64,
    /// JSON, compressed (zlib): an object of documents by their path in a facts folder.
    pub body: Vec<u8>,
}

/// What one span of time of one cell comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollup {
    /// Which cell.
    pub cell: CellId,
    /// Begin of the hour or day, UTC.
    pub begin: Timestamp,
    /// Rounds that matched.
    pub matched: u32,
    /// Rounds that did not.
    pub mismatched: u32,
    /// Rounds that could not be decided.
    pub inconclusive: u32,
    /// Rounds inside a propagation window.
    pub propagating: u32,
    /// Rounds while the prober was offline.
    pub offline: u32,
    /// By stage in the order of [`Stage::ALL`]: rounds that had it, sum and maximum of microseconds.
    pub stages: [StageSum; 4],
}

/// Times of one stage over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageSum {
    /// Rounds that had it.
    pub count: u32,
    /// Sum, microseconds.
    pub sum: u64,
    /// Longest, microseconds.
    pub longest: u32,
}

/// An alert for one receiver: one incident of one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The database's number; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// Name of the receiver.
    pub receiver: String,
    /// The cell.
    pub cell: CellId,
    /// Begin of the incident; with receiver and cell it is unique.
    pub starts_at: Timestamp,
    /// Its end; null while it lasts.
    pub ends_at: Option<Timestamp>,
    /// Labels, by name: what identifies it.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Annotations, by name: what explains it.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// How long after a delivery it is sent again while it lasts, seconds.
    pub repeat_seconds: u64,
    /// When it is to be sent next.
    pub next_at: Timestamp,
    /// Failed attempts since the last delivery.
    pub attempts: u32,
    /// It reached the receiver at least once.
    pub delivered: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JavaScript, `jq` and others read numbers as floating point: 2^53 + 1 would come out as 2^53.
    #[test]
    fn no_number_in_json_is_larger_than_every_reader_can_hold() {
        let id = DetailId((1 << 53) + 1);
        let round = Round {
            cell: CellId(1),
            at: Timestamp::UNIX_EPOCH,
            verdict: Verdict::Match,
            observed: Reachability::Reachable,
            offline: false,
            stages: StageTimes::default(),
            detail: id,
        };
        let json = serde_json::to_value(&round).unwrap();
        assert_eq!(json["detail"], "9007199254740993");
        assert_eq!(serde_json::from_value::<Round>(json).unwrap(), round);
        assert!(serde_json::from_value::<DetailId>("x".into()).is_err());
        let state = CellState { last_good: Some((id, Timestamp::UNIX_EPOCH)), ..CellState::default() };
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json["lastGood"][0], "9007199254740993");
    }
}
