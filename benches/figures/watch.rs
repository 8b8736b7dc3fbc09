//! Five thousand cells every ten seconds, beside prometheus-blackbox-exporter at the same rate against the same target.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    cost::Measured,
    figure::{Bound, Figure, Outcome},
    world::{self, HOST, World},
};

/// The figures of the whole watch.
pub(crate) fn measure(world: &World) -> Outcome {
    let Some(blackbox) = world::find_tool("prometheus-blackbox-exporter") else {
        return Ok(Measured::Skipped("needs prometheus-blackbox-exporter".to_owned()));
    };
    if let Some(reason) = world::too_few_descriptors(RATE * 10) {
        return Ok(Measured::Skipped(reason));
    }
    // The namespace of processes is the bench's own, and so must be what tells of them.
    world::run(Command::new("mount").args(["-t", "proc", "proc", "/proc"]))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ours = runtime.block_on(watch(world))?;
    let theirs = runtime.block_on(exporter(world, &blackbox))?;
    println!(
        "watch: {:.0} probes/s for {} s, {} not as intended, {} slots missed; memory {} MiB; exporter: {:.0} probes/s",
        ours.rate,
        MEASURED.as_secs(),
        ours.failed,
        ours.missed,
        ours.resident_mebibytes,
        theirs.rate,
    );
    let figure = |name: &str, value, unit, bound| Figure { name: name.to_owned(), value, floor: None, unit, bound };
    Ok(Measured::Figures(vec![
        Figure {
            floor: Some(("blackbox exporter".to_owned(), theirs.cpu_ms)),
            ..figure("watch, 5,000 cells every 10 s: CPU of a probe", ours.cpu_ms, "ms", Bound::RatioAndMore(0.25, 0.0))
        },
        figure("… scheduler lag, p99, upper edge of its bucket", ours.lag_p99_ms, "ms", Bound::AtMost(1_000.0)),
        figure("… /metrics of 5,000 cells", ours.metrics_ms, "ms", Bound::AtMost(100.0)),
        figure("… the page (1,000 cells), first byte", ours.page_ms, "ms", Bound::AtMost(200.0)),
    ]))
}

/// What running the watch came to.
struct Watched {
    cpu_ms: f64,
    rate: f64,
    failed: u64,
    missed: u64,
    lag_p99_ms: f64,
    metrics_ms: f64,
    page_ms: f64,
    resident_mebibytes: u64,
}

struct Exported {
    cpu_ms: f64,
    rate: f64,
}

async fn watch(world: &World) -> Result<Watched, Box<dyn Error>> {
    let folder = world.folder();
    fs::write(folder.join("cells.yaml"), scenario(&world.ca().display().to_string()))?;
    fs::write(
        folder.join("watch.yaml"),
        format!(
            "apiVersion: kubereach/v1\nwatch:\n  checks: [{{ scenario: cells.yaml, every: 10s, jitter: 0s, timeout: 5s }}]\n  \
             storage: {{ sqlite: ./watch.db }}\n  web: {{ listen: 127.0.0.1:{PAGE} }}\n"
        ),
    )?;
    let config = folder.join("watch.yaml").display().to_string();
    let mut command = world.kubereach(&["watch", &config]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(folder.join("watch.log"))?);
    let running = Ends(command.spawn()?);
    tokio::time::sleep(WARM_UP).await;
    let (begun, before, cpu) = (Instant::now(), Counted::of(&get("/metrics").await?.0), cpu_of(&running.0)?);
    tokio::time::sleep(MEASURED).await;
    let (elapsed, spent) = (begun.elapsed(), cpu_of(&running.0)?.saturating_sub(cpu));
    let after = Counted::of(&get("/metrics").await?.0);
    let probes = after.rounds - before.rounds;
    if probes == 0 {
        return Err(format!("nothing was probed: {}", fs::read_to_string(folder.join("watch.log"))?).into());
    }
    let mut metrics = Vec::new();
    let mut page = Vec::new();
    for _ in 0..REQUESTS {
        metrics.push(get("/metrics").await?.2);
        page.push(get("/").await?.1);
    }
    Ok(Watched {
        cpu_ms: spent.as_secs_f64() * 1_000.0 / probes as f64,
        rate: probes as f64 / elapsed.as_secs_f64(),
        failed: probes - (after.matched - before.matched),
        missed: after.missed - before.missed,
        lag_p99_ms: lag(&before, &after, 0.99) * 1_000.0,
        metrics_ms: middle(&mut metrics),
        page_ms: middle(&mut page),
        resident_mebibytes: resident_mebibytes(&running.0)?,
    })
}

async fn exporter(world: &World, program: &std::path::Path) -> Result<Exported, Box<dyn Error>> {
    let folder = world.folder();
    fs::write(
        folder.join("blackbox.yml"),
        format!(
            "modules:\n  api:\n    prober: http\n    timeout: 5s\n    http:\n      valid_status_codes: [200]\n      \
             preferred_ip_protocol: ip4\n      tls_config: {{ ca_file: {} }}\n",
            world.ca().display()
        ),
    )?;
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", folder.join("blackbox.yml").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{EXPORTER}")).arg("--log.level=error");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Ends(command.spawn()?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drive(Duration::from_secs(5)).await?;
    let (begun, cpu) = (Instant::now(), cpu_of(&running.0)?);
    let probes = drive(MEASURED).await?;
    let (elapsed, spent) = (begun.elapsed(), cpu_of(&running.0)?.saturating_sub(cpu));
    Ok(Exported { cpu_ms: spent.as_secs_f64() * 1_000.0 / probes as f64, rate: probes as f64 / elapsed.as_secs_f64() })
}

/// Asks the exporter for probes at the rate of the watch; how many it made.
async fn drive(lasts: Duration) -> Result<u64, Box<dyn Error>> {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(async move {
            let pace = Duration::from_secs(1) * WORKERS / RATE;
            tokio::time::sleep(pace * worker / WORKERS).await;
            drive_one(pace, lasts).await.map_err(|error| error.to_string())
        });
    }
    let mut probes = 0;
    while let Some(done) = workers.join_next().await {
        probes += done??;
    }
    Ok(probes)
}

async fn drive_one(pace: Duration, lasts: Duration) -> Result<u64, Box<dyn Error>> {
    let stream = TcpStream::connect(("127.0.0.1", EXPORTER)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(pace);
    let mut probes = 0;
    while begun.elapsed() < lasts {
        ticks.tick().await;
        let uri = format!("/probe?module=api&target=https://{HOST}/version");
        let request = Request::get(uri).header("host", "exporter").body(Empty::<Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        if !String::from_utf8_lossy(&body).contains("\nprobe_success 1") {
            return Err("the exporter's probe failed".into());
        }
        probes += 1;
    }
    Ok(probes)
}

/// The body, milliseconds to its head, and milliseconds to its end.
async fn get(path: &str) -> Result<(String, f64, f64), Box<dyn Error>> {
    let begun = Instant::now();
    let stream = TcpStream::connect(("127.0.0.1", PAGE)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let host = format!("127.0.0.1:{PAGE}");
    let response = sender.send_request(Request::get(path).header("host", host).body(Empty::<Bytes>::new())?).await?;
    let head = begun.elapsed().as_secs_f64() * 1_000.0;
    if response.status() != 200 {
        return Err(format!("{path}: HTTP {}", response.status()).into());
    }
    let body = response.into_body().collect().await?.to_bytes();
    Ok((String::from_utf8_lossy(&body).into_owned(), head, begun.elapsed().as_secs_f64() * 1_000.0))
}

/// What the watch's own metrics count.
struct Counted {
    rounds: u64,
    matched: u64,
    missed: u64,
    /// Upper edges in seconds, with the rounds up to each.
    lag: Vec<(f64, u64)>,
}

impl Counted {
    fn of(exposition: &str) -> Self {
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let sum = |prefix: &str, label: &str| {
            let lines = exposition.lines().filter(|line| line.starts_with(prefix) && line.contains(label));
            lines.map(value).sum()
        };
        let lag = exposition.lines().filter(|line| line.starts_with("kubereach_scheduler_lag_seconds_bucket"));
        let edge = |line: &str| {
            let text = line.split("le=\"").nth(1)?.split('"').next()?;
            Some((text.parse::<f64>().unwrap_or(f64::INFINITY), value(line)))
        };
        Self {
            rounds: sum("kubereach_rounds_total{", ""),
            matched: sum("kubereach_rounds_total{", "verdict=\"match\""),
            missed: sum("kubereach_missed_rounds_total{", ""),
            lag: lag.filter_map(edge).collect(),
        }
    }
}

/// The upper edge of the bucket that holds this share of the rounds between two scrapes.
fn lag(before: &Counted, after: &Counted, share: f64) -> f64 {
    let counts: Vec<(f64, u64)> =
        before.lag.iter().zip(&after.lag).map(|((edge, earlier), (_, later))| (*edge, later - earlier)).collect();
    let all = counts.last().map_or(0, |(_, count)| *count);
    let enough = |(_, count): &&(f64, u64)| *count as f64 >= share * all as f64;
    counts.iter().find(enough).map_or(f64::INFINITY, |(edge, _)| *edge)
}

/// User and system time so far.
fn cpu_of(child: &Child) -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // What follows the name, which may hold anything but its closing parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|field| fields.get(*field)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

fn resident_mebibytes(child: &Child) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().next().unwrap_or("0").parse::<u64>()? / 1_024)
}

fn scenario(ca: &str) -> String {
    let mut text = String::from("apiVersion: kubereach/v1\ncontrols: []\nclusters:\n");
    let vantages: Vec<String> = (0..VANTAGES).map(|number| format!("v{number}")).collect();
    // Writing to a string never fails.
    for number in 0..CELLS / VANTAGES {
        let _ = writeln!(text, "  c{number:03}: {{ endpoint: \"https://{HOST}\", ca: \"{ca}\" }}");
    }
    text.push_str("vantages:\n");
    for vantage in &vantages {
        let _ = writeln!(text, "  {vantage}: {{ local: {{}} }}");
    }
    text.push_str("expect:\n");
    for number in 0..CELLS / VANTAGES {
        let _ = writeln!(text, "  - {{ cluster: c{number:03}, from: [{}], reachable: true }}", vantages.join(", "));
    }
    text
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Ends with the bench.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CELLS: u32 = 5_000;
const VANTAGES: u32 = 10;
/// Probes a second.
const RATE: u32 = CELLS / 10;
const WORKERS: u32 = 50;
const WARM_UP: Duration = Duration::from_secs(25);
const MEASURED: Duration = Duration::from_mins(1);
const REQUESTS: usize = 11;
const PAGE: u16 = 8_480;
const EXPORTER: u16 = 9_115;
/// `getconf CLK_TCK` on every Linux that this runs on.
const TICKS_A_SECOND: u64 = 100;
