//! Rounds of several cells in one order, the newest first, however many cells there are.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::{SignedDuration, Timestamp};

use crate::watch::{
    record::Round,
    store::{Store, StoreError, StoredCell},
};

/// The rounds of some cells. A cell is asked for only once its turn may have come: its last round says when.
pub(super) struct Newest<'a> {
    store: &'a Store,
    from: Timestamp,
    cells: Vec<Pages<'a>>,
    /// By cell that may have rounds left: a time that none of them is after; the time of the next one where it is read.
    turns: BinaryHeap<(Timestamp, Reverse<usize>)>,
}

/// The rounds of one cell, a page at a time.
struct Pages<'a> {
    cell: &'a StoredCell,
    /// The next page ends before it.
    until: Timestamp,
    /// How many rounds the next page has at most.
    size: usize,
    /// What is read and not given yet, the newest last.
    rounds: Vec<Round>,
}

impl<'a> Newest<'a> {
    /// The rounds from a time on and before another. Of `wanted` rounds it is best in time and room.
    pub(super) fn new(
        store: &'a Store,
        cells: &'a [StoredCell],
        (from, until): (Timestamp, Timestamp),
        wanted: usize,
    ) -> Self {
        let size = (wanted / cells.len().max(1)).clamp(SMALLEST_PAGE, LARGEST_PAGE);
        let pages = |cell: &'a StoredCell| {
            // What is stored from now on is left out, so that the order holds.
            let last = cell.last.as_ref()?.at.saturating_add(SignedDuration::from_millis(1)).ok()?;
            Some(Pages { cell, until: until.min(last), size, rounds: Vec::new() })
        };
        let cells: Vec<Pages<'a>> = cells.iter().filter_map(pages).collect();
        let turns = cells.iter().enumerate().map(|(index, pages)| (pages.until, Reverse(index))).collect();
        Self { store, from, cells, turns }
    }

    /// The next round.
    pub(super) async fn next(&mut self) -> Result<Option<(&'a StoredCell, Round)>, StoreError> {
        while let Some((_, Reverse(index))) = self.turns.pop() {
            let Some(pages) = self.cells.get_mut(index) else { continue };
            if let Some(round) = pages.rounds.pop() {
                let next = pages.rounds.last().map_or(pages.until, |next| next.at);
                self.turns.push((next, Reverse(index)));
                return Ok(Some((pages.cell, round)));
            }
            pages.rounds = self.store.rounds(pages.cell.id, self.from, pages.until, pages.size).await?;
            pages.size = (pages.size * 2).min(LARGEST_PAGE);
            if let (Some(oldest), Some(newest)) = (pages.rounds.first(), pages.rounds.last()) {
                pages.until = oldest.at;
                self.turns.push((newest.at, Reverse(index)));
            }
        }
        Ok(None)
    }
}

const SMALLEST_PAGE: usize = 16;
const LARGEST_PAGE: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{CellTarget, Reachability, Verdict},
        watch::{
            config::Storage,
            record::{CellKey, DetailId, StageTimes},
            store::Batch,
        },
    };

    #[tokio::test]
    async fn the_newest_come_first_whichever_cell_they_are_of() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Storage::Sqlite { path: folder.path().join("history.db") }).await.unwrap();
        let key = |index: i64| CellKey {
            check: "main".to_owned(),
            cluster: format!("c{index}"),
            vantage: "office".to_owned(),
            target: CellTarget::Kubernetes,
        };
        let ids = store.register(&(0..5).map(key).collect::<Vec<_>>()).await.unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        // The first cell has rounds that are close together, the last one has none.
        let times = |cell: i64| (0..100).map(move |index| index * (cell + 1) + cell * 100);
        let rounds = (0..4_i64).zip(&ids).flat_map(|(cell, id)| {
            times(cell).map(move |second| Round {
                cell: *id,
                at: at(second),
                verdict: Verdict::Match,
                observed: Reachability::Reachable,
                offline: false,
                stages: StageTimes::default(),
                detail: DetailId(1),
            })
        });
        store.commit(&Batch { rounds: rounds.collect(), ..Batch::default() }).await.unwrap();
        let cells = store.cells().await.unwrap();
        for (from, until, wanted) in [(0, 10_000, 1), (0, 10_000, 10_000), (150, 420, 7), (10_000, 20_000, 5)] {
            let mut newest = Newest::new(&store, &cells, (at(from), at(until)), wanted);
            let mut found = Vec::new();
            while let Some((cell, round)) = newest.next().await.unwrap() {
                assert_eq!(cell.id, round.cell);
                found.push(round.at);
            }
            let mut expected: Vec<Timestamp> =
                (0..4).flat_map(times).filter(|second| (from..until).contains(second)).map(at).collect();
            expected.sort_unstable_by(|left, right| right.cmp(left));
            assert_eq!(found, expected, "from {from} until {until}, {wanted} wanted");
        }
    }
}
