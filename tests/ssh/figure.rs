//! The figure: what the way costs, in round trips, beyond the probe itself.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, mpsc},
    thread::sleep,
    time::{Duration, Instant},
};

use kubereach::{
    scenario::{Egress, SshHost, Vantage, VantageKind},
    vantage::Transports,
};
use kubereach_probes::{ClusterCa, Credentials, Observation, Options, Run, Target, Trust};

use crate::{
    cases::Case,
    tool,
    world::{WORK, World},
};

pub(crate) const CASES: &[(&str, Case)] =
    &[("the_way_costs_at_most_four_round_trips", the_way_costs_at_most_four_round_trips)];

/// A server 80 ms away: OpenSSH's own set-up by itself, then the first probe and later ones over the kept connection.
fn the_way_costs_at_most_four_round_trips(world: &mut World) {
    relay("198.18.2.1:2222".parse().unwrap(), "198.18.2.2:22".parse().unwrap());
    world.write_client_configuration("HostKeyAlias bastion.test");
    let plain = (0..3).map(|_| bare_login()).min().unwrap();
    let runtime = &world.runtime;
    let (vantage, target, options) = (vantage(world), Arc::new(target(world)), Arc::new(options(None)));
    let run = Run::unattended();
    let mut firsts = Vec::new();
    let mut laters = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..3 {
        let transports = Transports::new(None);
        let mut beyond = Vec::new();
        for _ in 0..4 {
            let one = Instant::now();
            let observation = runtime.block_on(transports.observe(&vantage, &target, &options, &run));
            assert!(observation.vantage_error.is_none(), "{observation:?}");
            assert!(observation.attempts.iter().any(|attempt| attempt.decides), "{observation:?}");
            beyond.push(one.elapsed().saturating_sub(Duration::from_secs_f64(observation.ms / 1000.0)));
        }
        let closing = Instant::now();
        assert!(runtime.block_on(transports.close()).is_empty());
        ends.push(closing.elapsed());
        firsts.push(beyond[0]);
        laters.extend_from_slice(&beyond[1..]);
    }
    let trips = |time: Duration| time.as_secs_f64() / ROUND_TRIP.as_secs_f64();
    let (first, later) = (firsts.iter().min().unwrap(), laters.iter().max().unwrap());
    let added = first.saturating_sub(plain);
    println!(
        "ssh, 80 ms away: `ssh host true` takes {:.1} round trips; the first probe takes {:.1} beyond the probe itself ({:.1} \
         added), each later one at most {:.1}, the end {:.1}",
        trips(plain),
        trips(*first),
        trips(added),
        trips(*later),
        trips(*ends.iter().min().unwrap())
    );
    assert!(trips(added) <= 4.0, "the first probe adds {:.1} round trips to what OpenSSH itself needs", trips(added));
    assert!(trips(*later) <= 4.0, "a probe over the kept connection takes {:.1} round trips", trips(*later));
    // A whole run, its end included, beside the same run on the bastion itself: two processes that begin are in it, so
    // that it is told and not bounded.
    let whole = |host: &str| {
        let begun = Instant::now();
        let output = world.command_on(host).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        begun.elapsed()
    };
    world.scenario("host: 198.18.2.1, port: 2222", 1);
    let from_afar = (0..3).map(|_| whole("client")).min().unwrap();
    let file = world.scenario("host: 198.18.2.1, port: 2222", 1);
    let text = std::fs::read_to_string(&file).unwrap();
    let ssh = text.lines().find(|line| line.contains("ssh: {")).unwrap();
    std::fs::write(&file, text.replace(ssh, "  bastion: { local: {} }")).unwrap();
    let on_the_spot = (0..3).map(|_| whole("bastion")).min().unwrap();
    let added = from_afar.saturating_sub(on_the_spot).saturating_sub(plain);
    println!(
        "ssh, 80 ms away: a whole run of one cell takes {:.1} round trips, {:.1} on the bastion itself: {:.1} added to both",
        trips(from_afar),
        trips(on_the_spot),
        trips(added)
    );
}

/// Probes with credentials that must stay here.
pub(crate) fn probe_with_credentials(world: &World, token: &str) -> Observation {
    let transports = Transports::new(None);
    let mut vantage = vantage(world);
    if let VantageKind::Ssh(host) = &mut vantage.kind {
        (host.host, host.port) = ("bastion.test".to_owned(), None);
    }
    let options = Arc::new(options(Some(Credentials::Bearer(token.to_owned()))));
    let (target, run) = (Arc::new(target(world)), Run::unattended());
    let observation = world.runtime.block_on(transports.observe(&vantage, &target, &options, &run));
    assert!(world.runtime.block_on(transports.close()).is_empty());
    observation
}

fn bare_login() -> Duration {
    let begun = Instant::now();
    let status = tool("ssh")
        .args([
            "-T",
            "-F",
            &format!("{WORK}/ssh_config"),
            "-o",
            "BatchMode=yes",
            "-p",
            "2222",
            "--",
            "198.18.2.1",
            "true",
        ])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    begun.elapsed()
}

fn vantage(world: &World) -> Vantage {
    let config: PathBuf = world.file("ssh_config");
    let host = SshHost { host: "198.18.2.1".to_owned(), port: Some(2222), config: Some(config), agent: None };
    Vantage {
        name: "bastion".to_owned(),
        kind: VantageKind::Ssh(host),
        resolvers: Vec::new(),
        egress: Egress::default(),
        line: 1,
    }
}

fn target(world: &World) -> Target {
    Target::new(
        "api.test",
        443,
        Trust::ClusterCa(Arc::new(ClusterCa::from_pem(world.authority.certificate_pem()).unwrap())),
    )
}

fn options(credentials: Option<Credentials>) -> Options {
    Options { credentials, ..Options::plain(Duration::from_secs(3)) }
}

/// Passes every connection on, each byte as much later as the way is long. The handshake of TCP is not delayed, neither
/// for the bare login nor for ours.
fn relay(listen: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(listen).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            for (from, to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                one_way(from, to);
            }
        }
    });
}

fn one_way(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            // The end travels as long as everything else.
            let length = from.read(&mut buffer).unwrap_or(0);
            if sender.send((Instant::now() + ROUND_TRIP / 2, buffer[..length].to_vec())).is_err() || length == 0 {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (at, bytes) in receiver {
            sleep(at.saturating_duration_since(Instant::now()));
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

const ROUND_TRIP: Duration = Duration::from_millis(80);
