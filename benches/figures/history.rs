//! A year of history of a hundred cells: what it costs to write, how much room it takes, how fast it is read.

use std::{fs, path::Path, sync::Arc, time::Duration, time::Instant};

use jiff::Timestamp;
use kubereach::{
    report::{CellTarget, Reachability, Verdict},
    watch::{
        config::{Retention, Storage},
        record::{CellId, CellKey, Detail, DetailId, Round, StageTimes},
        store::{Batch, Span, Store},
    },
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use crate::{
    cost::Measured,
    figure::{Bound, Figure, Outcome},
    world::World,
};

/// Single rounds of two weeks, hours and days of a year, in a file; then the questions of the page.
pub(crate) fn year(world: &World) -> Outcome {
    let path = world.folder().join("history.db");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measured(&path))
}

async fn measured(path: &Path) -> Outcome {
    let storage = Storage::Sqlite { path: path.to_owned() };
    let store = Store::open(&storage).await?;
    let keys: Vec<CellKey> = (0..CELLS).map(key).collect();
    let cells = store.register(&keys).await?;
    let begin = Timestamp::from_second(BEGIN)?;
    let end = Timestamp::from_second(BEGIN + 365 * DAY)?;

    // A round an hour makes hours and days of the year; the rounds themselves go, as they would.
    for seconds in (0..351 * DAY).step_by(3_600) {
        store.commit(&batch(&cells, seconds)?).await?;
    }
    store.prune(&Retention::default(), end).await?;
    store.close().await;

    // The room of what follows, in a file of its own; a batch is what comes in a quarter of a second at 500 a second.
    let dense = path.with_extension("rounds");
    let rounds_only = Store::open(&Storage::Sqlite { path: dense.clone() }).await?;
    let numbered = rounds_only.register(&keys).await?;
    let (before, mut rounds) = (cpu()?, 0_u64);
    for seconds in (351 * DAY..365 * DAY).step_by(30) {
        let batch = batch(&numbered, seconds)?;
        rounds += batch.rounds.len() as u64;
        rounds_only.commit(&batch).await?;
    }
    let spent = cpu()?.saturating_sub(before);
    rounds_only.close().await;
    let bytes = fs::metadata(&dense)?.len() as f64 / rounds as f64;

    let store = Store::open_to_read(&storage).await?;
    let dense = Store::open_to_read(&Storage::Sqlite { path: dense }).await?;
    let one = &cells[..1];
    let mut figures = vec![
        figure(
            "CPU of a stored round (hour, day and preparation included)",
            spent.as_secs_f64() * 1e6 / rounds as f64,
            "µs",
            30.0,
        ),
        figure("bytes of a stored round (hour and day included)", bytes, "B", 60.0),
    ];
    for (name, cells, span) in [
        ("one cell's year by day", one, Span::Day),
        ("every cell's year by day", &[], Span::Day),
        ("one cell's year by hour", one, Span::Hour),
    ] {
        let started = Instant::now();
        let found = store.rollups(cells, span, begin, end).await?;
        let spent = started.elapsed();
        if found.len() < 351 {
            return Err(format!("{name}: only {} spans", found.len()).into());
        }
        figures.push(figure(name, spent.as_secs_f64() * 1e3, "ms", 300.0));
    }
    let started = Instant::now();
    let found = dense.rounds(numbered[CELLS / 2], Timestamp::from_second(BEGIN + 364 * DAY)?, end, usize::MAX).await?;
    let spent = started.elapsed();
    if found.len() != 2_880 {
        return Err(format!("{} rounds in 24 hours", found.len()).into());
    }
    figures.push(figure("one cell's last 24 hours", spent.as_secs_f64() * 1e3, "ms", 300.0));
    store.close().await;
    dense.close().await;
    Ok(Measured::Figures(figures))
}

fn key(index: usize) -> CellKey {
    CellKey {
        check: "fleet".to_owned(),
        cluster: format!("cluster-{index:03}"),
        vantage: "office".to_owned(),
        target: CellTarget::Kubernetes,
    }
}

fn batch(cells: &[CellId], seconds: i64) -> Result<Batch, Box<dyn std::error::Error>> {
    let at = (BEGIN + seconds) * 1_000;
    let round = |cell: &CellId| -> Result<Round, jiff::Error> {
        // Times as they are: each another one.
        let noise =
            |most: i64| u32::try_from((at / 1_000 * 7_919 + cell.0 * 104_729).rem_euclid(most)).unwrap_or_default();
        Ok(Round {
            cell: *cell,
            at: Timestamp::from_millisecond(at + cell.0 * 171)?,
            verdict: Verdict::Match,
            observed: Reachability::Reachable,
            offline: false,
            stages: StageTimes {
                dns: Some(400 + noise(3_001)),
                tcp: Some(9_000 + noise(20_011)),
                tls: Some(30_000 + noise(70_001)),
                http: Some(20_000 + noise(50_021)),
            },
            detail: DetailId(0x1234_5678_9abc_def0 + cell.0),
        })
    };
    let cell: Arc<kubereach::report::Cell> = Arc::new(serde_json::from_str(CELL)?);
    let details = cells.iter().map(|id| Detail { id: DetailId(0x1234_5678_9abc_def0 + id.0), cell: Arc::clone(&cell) });
    Ok(Batch {
        rounds: cells.iter().map(round).collect::<Result<_, _>>()?,
        details: details.collect(),
        ..Batch::default()
    })
}

/// Processor time of this process until now.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

fn figure(name: &str, value: f64, unit: &'static str, most: f64) -> Figure {
    Figure { name: format!("history of {CELLS} cells: {name}"), value, floor: None, unit, bound: Bound::AtMost(most) }
}

const CELLS: usize = 100;
const DAY: i64 = 86_400;
/// 2026-03-01.
const BEGIN: i64 = 1_772_323_200;
const CELL: &str = r#"{"cluster": "c", "vantage": "office", "endpoint": "https://api.test:443", "provider": "generic",
    "intended": "reachable", "configured": "unknown", "observed": "reachable", "verdict": "match", "via": null, "dns": [],
    "attempts": [], "path": [], "findings": [], "convergedAfterMs": null, "rounds": 1, "summary": "reachable"}"#;
