//! A year of history, written and read: the light form of the figure `history` of `benches/figures`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach::watch::{
    config::{Retention, Storage},
    record::CellId,
    store::{Span, Store},
};

use super::world::{at, batch, cells, round, run};

/// A year of a few cells: every question is answered, and a stored round is small.
pub(crate) fn light() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let begin = at(0);
    let end = at(365 * DAY);
    run(async {
        let store = Store::open(&Storage::Sqlite { path: path.clone() }).await.unwrap();
        let ids = cells(&store, CELLS).await;
        // A round every six hours for a year, then those of two days every 30 seconds.
        for seconds in (0..363 * DAY).step_by(6 * 3_600) {
            store.commit(&batch(ids.iter().map(|id| round(*id, at(seconds))).collect())).await.unwrap();
        }
        let retention = Retention { rounds: Duration::from_hours(48), ..Retention::default() };
        assert_eq!(store.prune(&retention, end).await.unwrap(), 363 * 4 * CELLS as u64);
        let before = size(&path);
        let started = Instant::now();
        for seconds in (363 * DAY..365 * DAY).step_by(30) {
            let rounds = ids.iter().map(|id| {
                // As spread as they are in life.
                let at = Timestamp::from_millisecond(at(seconds).as_millisecond() + id.0 * 171).unwrap();
                round(*id, at)
            });
            store.commit(&batch(rounds.collect())).await.unwrap();
        }
        let spent = started.elapsed();
        let count = 2 * 2_880 * CELLS as u64;
        store.close().await;
        let bytes = (size(&path) - before) as f64 / count as f64;
        println!(
            "a stored round: {bytes:.1} bytes, {:.0} µs in batches of {CELLS}, not optimised",
            spent.as_micros() as f64 / count as f64
        );
        assert!(bytes <= 75.0, "{bytes} bytes a stored round");

        let store = Store::open_to_read(&Storage::Sqlite { path: path.clone() }).await.unwrap();
        let one: &[CellId] = &ids[..1];
        for (name, cells, span, expected) in [
            ("one cell's year by day", one, Span::Day, 365),
            ("every cell's year by day", &[], Span::Day, 365 * CELLS),
            ("one cell's year by hour", one, Span::Hour, 363 * 4 + 48),
        ] {
            let started = Instant::now();
            let found = store.rollups(cells, span, begin, end).await.unwrap();
            assert_eq!(found.len(), expected, "{name}");
            let spent = started.elapsed();
            println!("{name}: {} ms", spent.as_millis());
            assert!(spent < MOST, "{name}: {spent:?}");
        }
        let started = Instant::now();
        let rounds = store.rounds(ids[3], at(364 * DAY), end, usize::MAX).await.unwrap();
        assert_eq!(rounds.len(), 2_880);
        assert!(started.elapsed() < MOST, "the last 24 hours of one cell: {:?}", started.elapsed());
        store.close().await;
    });
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len() + fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len())
}

const CELLS: usize = 10;
const DAY: i64 = 86_400;
const MOST: Duration = Duration::from_millis(300);
