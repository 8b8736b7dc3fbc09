//! What the configuration has watched, and so what is to be thought of what the history knows.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;

use super::rows::Now;
use crate::watch::{
    board,
    config::{CheckSet, WatchConfig},
    record::{CellKey, Round},
    schedule::{self, Schedule},
    store::{Store, StoreError, StoredCell},
};

/// The cells of a configuration and when they are due.
#[derive(Default)]
pub(super) struct Watched(Option<Known>);

struct Known {
    cells: HashSet<CellKey>,
    /// By check, with how far apart its rounds are.
    schedules: HashMap<String, (Schedule, Duration)>,
}

impl Watched {
    /// What a configuration has watched; nothing is known of that without one.
    pub(super) fn new(config: Option<&WatchConfig>) -> Self {
        Self(config.map(|config| {
            Known {
                cells: config.checks.iter().flat_map(CheckSet::keys).collect(),
                schedules: (config.checks.iter())
                    .map(|check| (check.name.clone(), (check.schedule.clone(), check.schedule.interval())))
                    .collect(),
            }
        }))
    }

    /// Whether a cell is watched; `None` where that is not known.
    pub(super) fn has(&self, key: &CellKey) -> Option<bool> {
        self.0.as_ref().map(|known| known.cells.contains(key))
    }

    /// What is to be thought of what is known of a cell.
    pub(super) async fn now(&self, store: &Store, cell: &StoredCell, now: Timestamp) -> Result<Now, StoreError> {
        if self.has(&cell.key) == Some(false) {
            return Ok(Now::NotWatched);
        }
        let is_late = match &cell.last {
            Some(last) => self.is_late(store, cell, last, now).await?,
            None => false,
        };
        Ok(match (is_late, cell.state.paused_since) {
            (true, _) => Now::Stale,
            (false, Some(_)) => Now::Paused,
            (false, None) => Now::Current,
        })
    }

    /// Whether the round after the last one should have come by now: by the schedule, or where that is not known, as
    /// rounds came of late.
    async fn is_late(
        &self,
        store: &Store,
        cell: &StoredCell,
        last: &Round,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let schedule = self.0.as_ref().and_then(|known| known.schedules.get(&cell.key.check));
        let (due, interval) = match schedule {
            Some((schedule, interval)) => (schedule.next(schedule::seed(&cell.key), last.at), *interval),
            None => {
                let rounds = store.rounds(cell.id, Timestamp::MIN, Timestamp::MAX, LATE_ROUNDS).await?;
                let spacing = spacing(&rounds);
                (last.at.saturating_add(spacing).unwrap_or(Timestamp::MAX), spacing)
            }
        };
        Ok(board::is_missed(due, interval, Duration::ZERO, now))
    }
}

/// How far apart rounds are, as a rule: the median. Nothing for fewer than two.
fn spacing(rounds: &[Round]) -> Duration {
    let mut gaps: Vec<Duration> =
        rounds.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).unsigned_abs()).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().unwrap_or_default()
}

/// Rounds that tell how far apart they are.
const LATE_ROUNDS: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{CellTarget, Reachability, Verdict},
        watch::{
            config::Storage,
            record::{CellState, DetailId, StageTimes},
            store::Batch,
        },
    };

    /// Without a schedule it goes by how rounds came.
    #[tokio::test]
    async fn what_no_round_followed_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Storage::Sqlite { path: folder.path().join("history.db") }).await.unwrap();
        let key = CellKey {
            check: "main".to_owned(),
            cluster: "prod".to_owned(),
            vantage: "office".to_owned(),
            target: CellTarget::Kubernetes,
        };
        let id = store.register(std::slice::from_ref(&key)).await.unwrap()[0];
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let round = |second| Round {
            cell: id,
            at: at(second),
            verdict: Verdict::Match,
            observed: Reachability::Reachable,
            offline: false,
            stages: StageTimes::default(),
            detail: DetailId(1),
        };
        let rounds: Vec<Round> = (0..30).map(|index| round(index * 100)).collect();
        store.commit(&Batch { rounds, ..Batch::default() }).await.unwrap();
        let cell = store.cells().await.unwrap().remove(0);
        let unknown = Watched::default();
        for (second, expected) in [(2_950, Now::Current), (3_300, Now::Current), (3_301, Now::Stale)] {
            assert_eq!(unknown.now(&store, &cell, at(second)).await.unwrap(), expected, "{second}");
        }
        let state = CellState { paused_since: Some(at(2_900)), ..CellState::default() };
        let paused = StoredCell { state, ..cell.clone() };
        assert_eq!(unknown.now(&store, &paused, at(3_000)).await.unwrap(), Now::Paused);
        assert_eq!(unknown.now(&store, &paused, at(9_000)).await.unwrap(), Now::Stale);
        let elsewhere = Watched(Some(Known { cells: HashSet::new(), schedules: HashMap::new() }));
        assert_eq!(elsewhere.now(&store, &cell, at(2_950)).await.unwrap(), Now::NotWatched);
    }
}
