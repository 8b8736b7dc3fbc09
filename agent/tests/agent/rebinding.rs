//! Names that lead to where credentials are, in a network of their own where every packet is counted.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kubereach_agent::{AllowList, Limits, Refusal, Worker};
use kubereach_probes::{EchoScheme, EchoServer, Endpoint, Reachability, Run};

use crate::{Silent, goes_without, observed, order, refused};

const INSIDE: &str = "KUBEREACH_TEST_INSIDE";
const NAME: &str = "rebinding::no_packet_reaches_where_credentials_are";

/// Addresses, a count of all that is sent to where nothing may be, and to the one that a tunnel would take there.
const NETWORK: &str = "
ip link set lo up
for address in 10.9.0.1 10.9.0.53 169.254.169.254 168.63.129.16 100.100.100.200; do ip address add $address/32 dev lo; done
for address in fd00:ec2::254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1; do ip address add $address/128 dev lo nodad; done
nft -f - <<'RULES'
table inet spy {
  chain output {
    type filter hook output priority 0;
    ip daddr { 169.254.0.0/16, 168.63.129.16, 100.100.100.200 } counter
    ip6 daddr { fd00:ec2::/32, 64:ff9b::/96, 2002::/16 } counter
  }
}
RULES
";

const ZONE: &str = "$TTL 0
@ SOA ns.lab.test. nobody.lab.test. 1 3600 600 86400 0
@ NS ns.lab.test.
ns A 10.9.0.53
aws A 169.254.169.254
azure A 168.63.129.16
alibaba A 100.100.100.200
aws6 AAAA fd00:ec2::254
mapped AAAA ::ffff:169.254.169.254
nat64 AAAA 64:ff9b::a9fe:a9fe
tunnel AAAA 2002:a9fe:a9fe::1
alias CNAME aws
all A 169.254.169.254
all A 168.63.129.16
all AAAA fd00:ec2::254
here A 127.0.0.1
mixed A 10.9.0.1
mixed A 169.254.169.254
good A 10.9.0.1
";

#[test]
fn no_packet_reaches_where_credentials_are() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    for tool in ["unshare", "ip", "nft", "named"] {
        if !found(tool) && goes_without(NAME, tool) {
            return;
        }
    }
    let enter = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount"]).env("PATH", path());
        command
    };
    let allowed = enter().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !allowed && goes_without(NAME, "the right to make namespaces") {
        return;
    }
    let output = enter()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("packets: 0, then"), "{text}");
}

fn inside() {
    let output = Command::new("sh").args(["-ec", NETWORK]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = tempfile::tempdir().unwrap();
    let _named = Named::start(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe_everything());
}

async fn probe_everything() {
    let mut services = Vec::new();
    for address in ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
        services.push(Silent::start(address.parse::<std::net::IpAddr>().unwrap(), 443).await);
    }
    let resolver: SocketAddr = "10.9.0.53:53".parse().unwrap();
    // The widest list that there is.
    let allow = AllowList {
        ranges: ["0.0.0.0/0", "::/0"].map(|range| range.parse().unwrap()).to_vec(),
        resolvers: vec!["10.9.0.53".parse().unwrap()],
        ports: vec![53, 80, 443],
        ..AllowList::default()
    };
    let worker = Worker::new(None, allow, Limits::default());
    let carry_out = async |host: &str| {
        let mut order = order(host.split('.').next().unwrap_or(host), host, 443);
        order.probe.system_resolver = Some(vec![resolver]);
        order.probe.investigate = true;
        order.probe.controls =
            ["aws", "nat64"].map(|name| Endpoint { host: format!("{name}.lab.test"), port: 443 }).to_vec();
        let echo = |scheme, host: &str| EchoServer { scheme, host: host.to_owned(), port: 80, path: String::new() };
        order.probe.echo = vec![
            echo(EchoScheme::Http, "aws.lab.test"),
            echo(EchoScheme::Stun, "aws.lab.test"),
            echo(EchoScheme::StunTcp, "aws6.lab.test"),
        ];
        worker.carry_out(order, &Run::unattended()).await
    };
    for name in ["aws", "azure", "alibaba", "aws6", "mapped", "nat64", "tunnel", "alias", "all", "here"] {
        let reply = carry_out(&format!("{name}.lab.test")).await;
        let (reason, detail) = refused(&reply);
        assert!(reason == Refusal::NotPermitted && detail.contains("resolves to nothing"), "{name}: {detail}");
    }
    // The good one is probed, and fails; of the other one nothing is known.
    let reply = carry_out("mixed.lab.test").await;
    let observation = observed(&reply);
    let metadata: std::net::IpAddr = "169.254.169.254".parse().unwrap();
    assert_eq!(observation.undecided, [metadata]);
    for attempt in &observation.attempts {
        let left_out = attempt.address == Some(metadata);
        assert_eq!(attempt.skipped.is_some(), left_out, "{attempt:?}");
        assert_eq!(attempt.observed == Reachability::Unknown, left_out, "{attempt:?}");
    }
    assert_eq!(observation.attempts.len(), 2);
    let reply = carry_out("good.lab.test").await;
    let observation = observed(&reply);
    assert!(observation.undecided.is_empty() && observation.attempts[0].observed == Reachability::Unreachable);
    // Controls that may not be asked are no sign of an agent that is offline.
    let left_out = observation.left_out.join("\n");
    assert!(left_out.contains("control aws.lab.test:443") && left_out.contains("control nat64"), "{left_out}");
    assert!(observation.connectivity.as_ref().unwrap().controls.is_empty());

    let counted = packets();
    assert_eq!(services.iter().map(Silent::came).sum::<usize>(), 0);
    // The count does count.
    for service in &services {
        tokio::net::TcpStream::connect(service.address).await.unwrap();
    }
    println!("packets: {counted}, then {}", packets());
    assert!(counted == 0 && packets() >= 2 * services.len() as u64);
}

/// What the rules counted.
fn packets() -> u64 {
    let output = Command::new("nft").args(["list", "table", "inet", "spy"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let counts: Vec<u64> =
        text.split("packets ").skip(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.len(), 2, "{text}");
    counts.iter().sum()
}

struct Named(Child);

impl Named {
    fn start(folder: &std::path::Path) -> Self {
        let folder_text = folder.display();
        let configuration = format!(
            "options {{ directory \"{folder_text}\"; pid-file none; session-keyfile none; listen-on {{ 10.9.0.53; }};\n\
             listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; }};\n\
             controls {{ }};\nzone \"lab.test\" {{ type master; file \"zone\"; }};\n"
        );
        fs::write(folder.join("named.conf"), configuration).unwrap();
        fs::write(folder.join("zone"), ZONE).unwrap();
        let child = Command::new("named")
            .arg("-g")
            .arg("-c")
            .arg(folder.join("named.conf"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let named = Self(child);
        let began = Instant::now();
        while !fs::read_to_string(folder.join("log")).unwrap_or_default().contains("all zones loaded") {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", fs::read_to_string(folder.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        named
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn found(tool: &str) -> bool {
    path().to_string_lossy().split(':').any(|folder| std::path::Path::new(folder).join(tool).exists())
}

/// Where servers are is not on everybody's path.
fn path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}
