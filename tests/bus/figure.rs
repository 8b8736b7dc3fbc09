//! How much one server carries: many agents, many orders for each.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kubereach::vantage::bus::{Dispatcher, Ending, Ledger};
use kubereach_agent::keys;
use tokio::task::JoinSet;

use crate::{
    kill::start,
    world::{Echo, World, order, servers, start_agent},
};

/// Agents and orders for each of them.
fn size(text: &str) -> (usize, usize) {
    let (agents, orders) = text.split_once('x').expect("AGENTSxORDERS");
    (agents.parse().unwrap(), orders.parse().unwrap())
}

pub(crate) fn measure() {
    let text = std::env::var("KUBEREACH_FIGURE").unwrap_or_else(|_| "20x50".to_owned());
    let (agents, orders) = size(&text);
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..agents).map(|index| format!("agent-{index}")).collect();
    let world = World::new(folder.path(), &names);
    let mut carriers = start(&format!("agents:{text}"), &world, 0);
    let mut controller = start(&format!("figure:{text}"), &world, 0);
    let done = folder.path().join("figure.txt");
    let (mut agents_peak, mut controller_peak, mut server_peak) = (0, 0, 0);
    let begun = Instant::now();
    while !done.exists() {
        assert!(begun.elapsed() < Duration::from_mins(30), "the controller does not end");
        assert!(controller.try_wait().unwrap().is_none_or(|status| status.success()), "the controller failed");
        std::thread::sleep(Duration::from_millis(50));
        agents_peak = agents_peak.max(peak(carriers.id()));
        controller_peak = controller_peak.max(peak(controller.id()));
        server_peak = server_peak.max(peak(world.server_pid()));
    }
    controller.wait().unwrap();
    carriers.kill().unwrap();
    carriers.wait().unwrap();
    println!("{agents} agents x {orders} orders through one NATS server: {}", fs::read_to_string(&done).unwrap());
    println!(
        "peak resident: server {server_peak} MiB, controller {controller_peak} MiB, all agents in one process {agents_peak} MiB"
    );
}

/// All agents in one process; they answer at once.
pub(crate) async fn agents(folder: &Path, port: u16, _target: u16, text: &str) {
    let mut running = Vec::new();
    for index in 0..size(text).0 {
        running.push(start_agent(folder, port, &format!("agent-{index}"), 16, None, Arc::new(Echo::default())));
    }
    std::future::pending::<()>().await;
}

pub(crate) async fn controller(folder: &Path, port: u16, text: &str) {
    let (agents, orders) = size(text);
    let signing = folder.join("signing.nk");
    let connected = Dispatcher::connect(&servers(folder, port, "controller"), &signing, Ledger::in_memory()).await;
    let dispatcher = connected.unwrap();
    // One order first to each, so that its queue is there and it is connected.
    let keys: Vec<(String, String)> = (0..agents)
        .map(|index| {
            let name = format!("agent-{index}");
            let key = keys::read(&folder.join(format!("{name}.identity.nk"))).unwrap().public_key();
            (name, key)
        })
        .collect();
    round(&dispatcher, &keys, 1, "warm").await;
    let begun = Instant::now();
    let mut times = round(&dispatcher, &keys, orders, "o").await;
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |per_cent: usize| times[(times.len() - 1) * per_cent / 100].as_secs_f64() * 1000.0;
    let tally = dispatcher.ledger().tally();
    assert_eq!(tally.observed, (agents * (orders + 1)) as u64, "{tally:?}");
    let text = format!(
        "{:.0} orders/s, latency p50 {:.1} ms, p99 {:.1} ms, {seconds:.1} s in all",
        times.len() as f64 / seconds,
        at(50),
        at(99)
    );
    fs::write(folder.join("figure.new"), text).unwrap();
    fs::rename(folder.join("figure.new"), folder.join("figure.txt")).unwrap();
}

/// The times from the issue of each order to its end.
async fn round(dispatcher: &Arc<Dispatcher>, keys: &[(String, String)], orders: usize, word: &str) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    let keys = Arc::new(keys.to_vec());
    for index in 0..orders * keys.len() {
        let (dispatcher, keys, id) = (Arc::clone(dispatcher), Arc::clone(&keys), format!("{word}-{index}"));
        tasks.spawn(async move {
            let (name, key) = &keys[index % keys.len()];
            let begun = Mutex::new(Instant::now());
            let make = || {
                *begun.lock().unwrap() = Instant::now();
                order(name, &id, 600)
            };
            let ending = dispatcher.dispatch(name, key, make).await;
            assert!(matches!(ending, Ok(Ending::Replied(_))), "{ending:?}");
            begun.into_inner().unwrap().elapsed()
        });
    }
    let mut times = Vec::new();
    while let Some(time) = tasks.join_next().await {
        times.push(time.unwrap());
    }
    times
}

/// The most memory that a process had, in MiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or_default() / 1024
}
