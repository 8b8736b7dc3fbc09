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
    let storage = |name: &str| Storage::Sqlite { path: folder.path().join(name) };
    run(async {
        let store = Store::open(&storage("rounds.db")).await.unwrap();
        let ids = cells(&store, CELLS).await;
        let started = Instant::now();
        for seconds in (0..2 * DAY).step_by(30) {
            let rounds = ids.iter().map(|id| {
                // As spread as they are in life.
                round(*id, Timestamp::from_millisecond(at(seconds).as_millisecond() + id.0 * 171).unwrap())
            });
            store.commit(&batch(rounds.collect())).await.unwrap();
        }
        let (spent, count) = (started.elapsed(), 2 * 2_880 * CELLS as u64);
        let started = Instant::now();
        assert_eq!(store.rounds(ids[3], at(DAY), at(2 * DAY + 9), usize::MAX).await.unwrap().len(), 2_880);
        assert!(started.elapsed() < MOST, "the last 24 hours of one cell: {:?}", started.elapsed());
        store.close().await;
        let bytes = size(&folder.path().join("rounds.db")) as f64 / count as f64;
        let micros = spent.as_micros() as f64 / count as f64;
        println!("a stored round: {bytes:.1} bytes, {micros:.0} µs in batches of {CELLS}, not optimised");
        assert!(bytes <= 75.0, "{bytes} bytes a stored round");

        let store = Store::open(&storage("year.db")).await.unwrap();
        let ids = cells(&store, CELLS).await;
        for seconds in (0..365 * DAY).step_by(6 * 3_600) {
            store.commit(&batch(ids.iter().map(|id| round(*id, at(seconds))).collect())).await.unwrap();
        }
        let retention = Retention { rounds: Duration::from_hours(48), ..Retention::default() };
        assert_eq!(store.prune(&retention, at(365 * DAY)).await.unwrap(), 363 * 4 * CELLS as u64);
        store.close().await;
        let store = Store::open_to_read(&storage("year.db")).await.unwrap();
        let one: &[CellId] = &ids[..1];
        for (name, cells, span, expected) in [
            ("one cell's year by day", one, Span::Day, 365),
            ("every cell's year by day", &[], Span::Day, 365 * CELLS),
            ("one cell's year by hour", one, Span::Hour, 365 * 4),
        ] {
            let started = Instant::now();
            assert_eq!(store.rollups(cells, span, at(0), at(365 * DAY)).await.unwrap().len(), expected, "{name}");
            let spent = started.elapsed();
            println!("{name}: {} ms", spent.as_millis());
            assert!(spent < MOST, "{name}: {spent:?}");
        }
        store.close().await;
    });
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

const CELLS: usize = 10;
const DAY: i64 = 86_400;
const MOST: Duration = Duration::from_millis(300);
