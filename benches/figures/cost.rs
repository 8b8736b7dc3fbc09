//! What running something costs: wall time, processor time, peak memory.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kubereach_probes::{ClusterCa, Observation, Options, Reachability, Run, SystemResolver, Target, Trust};
use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::TimeValLike as _,
};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{figure::Figure, world::HOST};

/// What one of the measuring functions brings.
pub(crate) enum Measured {
    /// The numbers.
    Figures(Vec<Figure>),
    /// Not measured here, and why.
    Skipped(String),
}

/// What a process cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: i64,
    pub(crate) status: Option<i32>,
}

/// Wall time from start to end; `expected` is the exit status that it must have.
pub(crate) fn wall(mut command: Command, expected: Option<i32>) -> Result<Duration, Box<dyn Error>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let elapsed = started.elapsed();
    if expected.is_some() && status.code() != expected {
        return Err(format!("{command:?} ended with {status}").into());
    }
    Ok(elapsed)
}

/// Runs one of this bench's own modes and reads the [`Cost`] that it prints.
pub(crate) fn reported(mut command: Command) -> Result<Cost, Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).map_err(|_| format!("{command:?}: {}", text.trim()).into())
}

/// The most memory that this process has held so far, in MiB.
pub(crate) fn peak_memory_mebibytes() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.max_rss() as f64 / 1024.0)
}

/// A command that runs `command` and prints its [`Cost`]: the only child of its own, so that the peak is its alone.
pub(crate) fn measuring(command: &Command) -> Result<Command, Box<dyn Error>> {
    let mut measuring = Command::new(std::env::current_exe()?);
    measuring.env_clear().arg("measured").arg(command.get_program()).args(command.get_args());
    measuring.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(measuring)
}

pub(crate) fn run_measured(program: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    print(Cost { wall, cpu: cpu(&usage), peak_kib: usage.max_rss(), status: status.code() })
}

/// So many probes one after the other, through the library as `verify` uses it.
pub(crate) fn probe(ca: &Path, count: &str) -> Result<(), Box<dyn Error>> {
    let ca = ClusterCa::from_pem(&std::fs::read_to_string(ca)?)?;
    let target = Arc::new(Target {
        server_name: Some(HOST.to_owned()),
        ..Target::new(SERVER.ip().to_string(), SERVER.port(), Trust::ClusterCa(Arc::new(ca)))
    });
    let options = Arc::new(Options {
        system: SystemResolver::Servers(Vec::new()),
        requests: vec![PATH.to_owned()],
        ..Options::plain(Duration::from_secs(3))
    });
    repeat(count, async || {
        let observation = kubereach_probes::probe(&target, &options, &Run::unattended()).await;
        judge(&observation)
    })
}

fn judge(observation: &Observation) -> Result<(), Box<dyn Error>> {
    let attempt = observation.attempts.first().ok_or("nothing was tried")?;
    let agreed = (attempt.tls.version.as_deref(), attempt.tls.key_exchange.as_deref(), attempt.tls.alpn.as_deref());
    if attempt.observed != Reachability::Reachable || agreed != (Some("1.3"), Some("X25519MLKEM768"), Some("h2")) {
        return Err(format!("not the exchange that was meant: {attempt:?}").into());
    }
    Ok(())
}

/// The least that does the same exchange: connect, verify, shake hands, ask, read.
pub(crate) fn floor(ca: &Path, count: &str) -> Result<(), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A probe is a full handshake: what is compared must be one too.
    config.resumption = Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(HOST)?;
    let uri = format!("https://{HOST}{PATH}");
    repeat(count, async || {
        let stream = TcpStream::connect(SERVER).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(name.clone(), stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(&uri).header(header::USER_AGENT, "floor").body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 200 || body.is_empty() { Err(format!("HTTP {status}").into()) } else { Ok(()) }
    })
}

/// Runs `once` some times to warm up, then `count` times, and prints what those cost this process. The runtime is the
/// one that the program itself uses.
fn repeat(count: &str, once: impl AsyncFn() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let count: u32 = count.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for _ in 0..WARM_UP {
            once().await?;
        }
        let (started, before) = (Instant::now(), getrusage(UsageWho::RUSAGE_SELF)?);
        for _ in 0..count {
            once().await?;
        }
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        print(Cost {
            wall: started.elapsed(),
            cpu: cpu(&usage).saturating_sub(cpu(&before)),
            peak_kib: usage.max_rss(),
            status: None,
        })
    })
}

fn print(cost: Cost) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

fn cpu(usage: &Usage) -> Duration {
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or_default())
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 443);
const PATH: &str = "/version";
const WARM_UP: u32 = 50;
