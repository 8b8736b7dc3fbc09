//! The agent as a whole: its pipe, its limits, and what somebody with orders to give might try.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures, and tests that are not run, are told")]

mod footprint;
mod limits;
mod pipe;
mod rebinding;
mod redirects;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kubereach_agent::{AllowList, Order, Outcome, PROTOCOL, ProbeOrder, Refusal, Reply};
use kubereach_probes::{Observation, Options, Target, Trust};
use tokio::{net::TcpListener, task::JoinSet};

/// An order to probe this, valid for a minute.
fn order(id: &str, host: &str, port: u16) -> Order {
    let now = Timestamp::now();
    Order {
        protocol: PROTOCOL,
        id: id.to_owned(),
        agent: "somebody".to_owned(),
        issued_at: now,
        expires_at: now + Duration::from_mins(1),
        probe: ProbeOrder::of(&Target::new(host, port, Trust::SystemRoots), &Options::plain(Duration::from_secs(1))),
    }
}

/// Loopback, and this port.
fn loopback(port: u16) -> AllowList {
    AllowList { ranges: vec!["127.0.0.0/8".parse().unwrap()], ports: vec![port], ..AllowList::default() }
}

fn observed(reply: &Reply) -> &Observation {
    match &reply.outcome {
        Outcome::Observed { observation } => observation,
        Outcome::Refused { reason, detail } => panic!("refused, {}: {detail}", reason.label()),
    }
}

fn refused(reply: &Reply) -> (Refusal, &str) {
    match &reply.outcome {
        Outcome::Refused { reason, detail } => (*reason, detail),
        Outcome::Observed { observation } => panic!("observed: {observation:?}"),
    }
}

/// Takes connections and says nothing.
struct Silent {
    address: SocketAddr,
    /// How many came.
    came: Arc<AtomicUsize>,
    /// The most that were open at the same time.
    most: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Silent {
    async fn start(address: impl Into<IpAddr>, port: u16) -> Self {
        let listener = TcpListener::bind((address.into(), port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (came, most, open) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        let counters = (Arc::clone(&came), Arc::clone(&most));
        tasks.spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (came, most) = &counters;
                came.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let open = Arc::clone(&open);
                held.spawn(async move {
                    // Reads until the peer has gone, and answers nothing.
                    let mut buffer = [0; 4096];
                    loop {
                        if stream.readable().await.is_err() {
                            break;
                        }
                        match stream.try_read(&mut buffer) {
                            Ok(0) => break,
                            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                            _ => {}
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, came, most, _tasks: tasks }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

/// Whether what a test needs is missing and may be: then it says so on stderr and ends.
fn goes_without(test: &str, what: &str) -> bool {
    assert!(std::env::var_os("KUBEREACH_LAB").is_none_or(|value| value != "required"), "{test} needs {what}");
    eprintln!("NOT RUN: {test}: {what} is missing (tests/run makes it)");
    true
}
