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
