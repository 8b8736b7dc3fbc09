//! A thousand orders under way, and every part killed in turn with `kill -9`: the agents, the controller, the server.

use std::{
    collections::HashMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kubereach::vantage::bus::{Dispatcher, Ending, Ledger, Tally};
use kubereach_agent::{Order, Outcome, Reply, bus::Carrier, keys};
use kubereach_probes::Run;
use tokio::task::JoinSet;

use crate::{
    figure,
    world::{World, order, seen, servers, start_agent},
};

/// Set in the processes that this executable starts of itself: what they are.
pub(crate) const ROLE: &str = "KUBEREACH_BUS_ROLE";
const FOLDER: &str = "KUBEREACH_BUS_FOLDER";
const PORT: &str = "KUBEREACH_BUS_PORT";
const TARGET: &str = "KUBEREACH_BUS_TARGET";
const ORDERS: usize = 1000;
const AGENTS: usize = 4;

/// What this process is started for.
pub(crate) fn play(role: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let number = |name: &str| std::env::var(name).unwrap().parse::<u16>().unwrap();
    let (port, target) = (number(PORT), number(TARGET));
    runtime.block_on(async {
        match role.split_once(':') {
            Some(("agent", name)) => {
                let state = Some(folder.join(format!("{name}.state")));
                let mut agent = start_agent(&folder, port, name, 8, state, Arc::new(Knock { target }));
                (&mut agent.task).await.unwrap();
            }
            Some(("agents", size)) => figure::agents(&folder, port, target, size).await,
            Some(("figure", size)) => figure::controller(&folder, port, size).await,
            _ => controller(&folder, port).await,
        }
    });
}

/// This executable once more, in another role.
pub(crate) fn start(role: &str, world: &World, target: u16) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env(FOLDER, &world.folder)
        .env(PORT, world.port.to_string())
        .env(TARGET, target.to_string())
        .spawn()
        .unwrap()
}

pub(crate) fn each_part_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..AGENTS).map(|index| format!("agent-{index}")).collect();
    let world = World::new(folder.path(), &names);
    let (target, knocks) = probed_server(Duration::from_millis(150));
    let mut agents: Vec<Child> = names.iter().map(|name| start(&format!("agent:{name}"), &world, target)).collect();
    let mut controller = start("controller", &world, target);
    let done = folder.path().join("tally.json");
    let begun = Instant::now();
    let kill = |child: &mut Child| {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let mut kills = 0;
    for round in 0..3 {
        std::thread::sleep(Duration::from_millis(900));
        let index = round % AGENTS;
        kill(&mut agents[index]);
        std::thread::sleep(Duration::from_millis(300));
        agents[index] = start(&format!("agent:{}", names[index]), &world, target);
        std::thread::sleep(Duration::from_millis(500));
        kill(&mut controller);
        std::thread::sleep(Duration::from_millis(300));
        controller = start("controller", &world, target);
        std::thread::sleep(Duration::from_millis(900));
        world.kill_server();
        std::thread::sleep(Duration::from_millis(500));
        world.start_server();
        kills += if done.exists() { 0 } else { 3 };
    }
    assert!(kills >= 6, "the orders ended before the parts were killed");
    while !done.exists() {
        assert!(begun.elapsed() < Duration::from_mins(4), "the controller does not end");
        std::thread::sleep(Duration::from_millis(200));
    }
    controller.wait().unwrap();
    for agent in &mut agents {
        kill(agent);
    }
    let tally: Tally = serde_json::from_slice(&fs::read(&done).unwrap()).unwrap();
    let knocks = knocks.lock().unwrap();
    let more_than_once = knocks.values().filter(|count| **count > 1).count();
    println!(
        "{ORDERS} orders, {kills} kills in {:.1} s: {tally:?}; probed {} times, {more_than_once} more than once",
        begun.elapsed().as_secs_f64(),
        knocks.values().sum::<usize>()
    );
    // What the controller says of itself, and what its ledger says to somebody else.
    let (ends, observed) = read_ledger(&folder.path().join("ledger.jsonl"));
    assert_eq!(ends.len(), ORDERS, "an order is lost");
    assert!(ends.values().all(|count| *count == 1), "an order ended more than once, or never");
    assert_eq!(observed.len() as u64, tally.observed);
    for id in &observed {
        assert!(knocks.contains_key(id), "{id} was never probed");
    }
    assert_eq!(tally.issued, ORDERS as u64);
    assert_eq!((tally.observed + tally.refused + tally.expired, tally.outstanding), (ORDERS as u64, 0));
    assert!(tally.observed >= ORDERS as u64 * 9 / 10, "most orders ended without a result");
}

/// How often each order ended, and those with an observation, read without the code that wrote it.
fn read_ledger(file: &Path) -> (HashMap<String, usize>, Vec<String>) {
    let (mut ends, mut observed) = (HashMap::new(), Vec::new());
    for line in fs::read_to_string(file).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(id) = line["issued"]["id"].as_str() {
            assert!(ends.insert(id.to_owned(), 0).is_none(), "{id} was issued twice");
        }
        if let Some(id) = line["ended"]["id"].as_str() {
            *ends.get_mut(id).expect("issued before it ended") += 1;
            if line["ended"]["end"] == "observed" {
                observed.push(id.to_owned());
            }
        }
    }
    (ends, observed)
}

async fn controller(folder: &Path, port: u16) {
    let ledger_file = folder.join("ledger.jsonl");
    let dispatcher = loop {
        // The server may be down, and the process before this one may still be going.
        if let Ok(ledger) = Ledger::open(&ledger_file) {
            let signing = folder.join("signing.nk");
            match Dispatcher::connect(&servers(folder, port, "controller"), &signing, ledger).await {
                Ok(dispatcher) => break dispatcher,
                Err(error) => println!("controller: {error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut tasks = JoinSet::new();
    for (_, ending) in dispatcher.resume() {
        tasks.spawn(async move {
            ending.await.unwrap();
        });
    }
    for index in 0..ORDERS {
        let (id, agent) = (format!("k-{index}"), format!("agent-{}", index % AGENTS));
        if dispatcher.ledger().knows(&id) {
            continue;
        }
        let key = keys::read(&folder.join(format!("{agent}.identity.nk"))).unwrap().public_key();
        let dispatcher = Arc::clone(&dispatcher);
        tasks.spawn(async move {
            loop {
                let issued = dispatcher.dispatch(&agent, &key, || order(&agent, &id, 120)).await;
                match issued {
                    Ok(Ending::Replied(reply)) => {
                        let refused = matches!(reply.outcome, Outcome::Refused { .. });
                        if refused {
                            println!("controller: {reply:?}");
                        }
                        return;
                    }
                    Ok(Ending::Expired(reason)) => return println!("controller: {id}: {reason}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let text = serde_json::to_vec(&dispatcher.ledger().tally()).unwrap();
    fs::write(folder.join("tally.new"), text).unwrap();
    fs::rename(folder.join("tally.new"), folder.join("tally.json")).unwrap();
}

/// Tells the probed server which order it carries out, and waits for its answer.
pub(crate) struct Knock {
    pub(crate) target: u16,
}

impl Carrier for Knock {
    fn carry_out<'a>(&'a self, order: Order, _: &'a Run) -> std::pin::Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.target)).await.unwrap();
            stream.write_all(format!("{}\n", order.id).as_bytes()).await.unwrap();
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await.unwrap();
            seen(&order)
        })
    }
}

type Knocks = Arc<Mutex<HashMap<String, usize>>>;

/// A server that counts who was there, and takes its time.
fn probed_server(delay: Duration) -> (u16, Knocks) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let knocks = Knocks::default();
    let counted = Arc::clone(&knocks);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || answer(stream, &counted, delay));
        }
    });
    (port, knocks)
}

fn answer(mut stream: TcpStream, knocks: &Knocks, delay: Duration) {
    let mut id = Vec::new();
    let mut byte = [0; 1];
    while matches!(stream.read(&mut byte), Ok(1)) && byte[0] != b'\n' {
        id.push(byte[0]);
    }
    if byte[0] == b'\n' {
        *knocks.lock().unwrap().entry(String::from_utf8(id).unwrap()).or_default() += 1;
        std::thread::sleep(delay);
        // A killed agent hears no answer.
        let _ = stream.write_all(b"ok");
    }
}
