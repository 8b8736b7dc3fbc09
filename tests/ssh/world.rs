//! Four hosts around a router: a client without a route to the cluster, a jump host, a bastion, and the cluster.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use kubereach::demo::servers::{ApiServer, CertificateSpec, LabCa, Running, ServerSpec, serve};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::tool;

/// Everything of one case. It is the first process of its namespace: all ends with it.
pub(crate) struct World {
    pub(crate) authority: Arc<LabCa>,
    pub(crate) runtime: Runtime,
    folder: PathBuf,
    /// Where temporary files may be left behind.
    temporary: [&'static str; 2],
    _running: Running,
    /// The servers of the hosts, so that they can be ended.
    servers: Vec<Child>,
}

impl World {
    /// Hosts, links, keys, the API server, `sshd` on jump host and bastion; kubereach is in the bastion's `PATH`.
    pub(crate) fn build() -> Self {
        must(&format!("mount -t tmpfs -o mode=755 world /run && mkdir -p {WORK}/host-bin {WORK}/bin /run/sshd"));
        // The files are copied before anything is laid over their folders.
        fs::copy(env!("CARGO_BIN_EXE_kubereach"), format!("{WORK}/bin/kubereach")).unwrap();
        fs::copy(stand_in_file(), format!("{WORK}/bin/stand-in")).unwrap();
        must(&TOPOLOGY.replace("WORK", WORK).replace("LOGIN_HOME", &login_home().display().to_string()));
        for key in ["key", "other-key", "jump-host-key", "bastion-host-key", "new-host-key"] {
            must(&format!("ssh-keygen -q -t ed25519 -N '' -C {key} -f {WORK}/{key}"));
        }
        fs::copy(format!("{WORK}/key.pub"), format!("{WORK}/authorized_keys")).unwrap();
        must(&format!(
            "{{ printf '198.18.1.2,jump.test '; cat {WORK}/jump-host-key.pub; \
             printf '198.18.2.2,bastion.test '; cat {WORK}/bastion-host-key.pub; }} > {WORK}/known_hosts"
        ));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let authority = Arc::new(LabCa::new("kubernetes").unwrap());
        fs::write(format!("{WORK}/ca.pem"), authority.certificate_pem()).unwrap();
        let names = std::iter::once("api.test".to_owned()).chain((0..20).map(|index| format!("api{index}.test")));
        let certificate = CertificateSpec { names: names.collect(), ..CertificateSpec::default() };
        let server = ApiServer::new(vec!["10.20.0.10:443".parse().unwrap()], certificate);
        let authorities = BTreeMap::from([("prod".to_owned(), Arc::clone(&authority))]);
        let running = runtime.block_on(serve(&authorities, &[ServerSpec::Api(server)])).unwrap();
        let mut world = Self {
            authority,
            runtime,
            folder: PathBuf::from(WORK),
            temporary: ["/run/world/tmp", "/tmp"],
            _running: running,
            servers: Vec::new(),
        };
        world.write_client_configuration("");
        world.on_path("kubereach", &format!("#!/bin/sh\nexec {WORK}/bin/kubereach \"$@\"\n"));
        for host in ["jump", "bastion"] {
            world.start_sshd(host, host);
        }
        world
    }

    /// Starts `sshd` on a host with one of the host keys.
    pub(crate) fn start_sshd(&mut self, host: &str, key: &str) {
        let config = format!(
            "Port 22\nHostKey {WORK}/{key}-host-key\nAuthorizedKeysFile {WORK}/authorized_keys\nPermitRootLogin yes\n\
             UsePAM no\nStrictModes no\nPidFile none\nLogLevel VERBOSE\nMaxStartups 100\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nSetEnv PATH={WORK}/host-bin:/usr/bin:/bin\nAcceptEnv *\n"
        );
        fs::write(format!("{WORK}/{host}-sshd.conf"), config).unwrap();
        let sshd = find("sshd").unwrap();
        let line = format!("exec {} -D -e -f {WORK}/{host}-sshd.conf -E {WORK}/{host}.log", sshd.display());
        let child = on(host).args(["sh", "-c", &line]).stdin(Stdio::null()).spawn().unwrap();
        self.servers.push(child);
        let address = if host == "jump" { "198.18.1.2" } else { "198.18.2.2" };
        until(&format!("sshd of {host}"), || std::net::TcpStream::connect((address, 22)).is_ok());
    }

    /// Ends all `sshd` listeners; connections go on.
    pub(crate) fn stop_sshd(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        self.servers.clear();
    }

    /// The OpenSSH configuration of the scenario's user, with `more` before everything.
    pub(crate) fn write_client_configuration(&self, more: &str) {
        let config = format!(
            "{more}\nHost jumped\n HostName 198.18.2.2\n HostKeyAlias bastion.test\n ProxyJump jump.test\nHost *\n User root\n \
             IdentityFile {WORK}/key\n IdentitiesOnly yes\n UserKnownHostsFile {WORK}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        );
        fs::write(self.file("ssh_config"), config).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a program into the `PATH` of logins.
    pub(crate) fn on_path(&self, name: &str, text: &str) {
        let file = self.file("host-bin").join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes every agent from the `PATH` of logins.
    pub(crate) fn without_agent(&self) {
        for name in ["kubereach", "kubereach-agent"] {
            let _ = fs::remove_file(self.file("host-bin").join(name));
        }
    }

    /// A file that an agent can be sent from, static as it has to be.
    pub(crate) fn with_binary(&self) {
        fs::create_dir_all(self.file("binaries")).unwrap();
        let name = format!("kubereach-agent-linux-{}", std::env::consts::ARCH);
        fs::copy(self.file("bin/stand-in"), self.file("binaries").join(name)).unwrap();
    }

    /// The same with the agent that deploy/agent/build made, where it did.
    pub(crate) fn with_real_binary(&self) -> bool {
        let name = format!("kubereach-agent-linux-{}", std::env::consts::ARCH);
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../agent").join(&name);
        fs::copy(made, self.file("binaries").join(name)).is_ok()
    }

    /// Writes the scenario: the cluster, and clusters `c0` … besides, from `bastion`, a vantage of these keys.
    pub(crate) fn scenario(&self, ssh: &str, clusters: usize) -> PathBuf {
        // A resolver that refuses at once stands in for the public ones, which nobody reaches from here.
        let resolvers = "resolvers: { public: ['198.18.2.1:9'] }";
        let mut text = format!("apiVersion: kubereach/v1\ncontrols: []\n{resolvers}\nclusters:\n");
        let mut expect = String::new();
        for index in 0..clusters {
            let host = if index == 0 { "api.test".to_owned() } else { format!("api{index}.test") };
            writeln!(text, "  c{index}: {{ endpoint: 'https://{host}', ca: ca.pem }}").unwrap();
            writeln!(expect, "  - {{ cluster: c{index}, from: bastion, reachable: true, via: private }}").unwrap();
        }
        write!(text, "vantages:\n  bastion: {{ ssh: {{ config: ssh_config, {ssh} }} }}\nexpect:\n{expect}").unwrap();
        let file = self.file("scenario.yaml");
        fs::write(&file, text).unwrap();
        file
    }

    /// `kubereach verify` on the client, not yet started.
    pub(crate) fn command(&self) -> Command {
        self.command_on("client")
    }

    pub(crate) fn command_on(&self, host: &str) -> Command {
        let mut command = on(host);
        command.args(["env", "-i", &format!("PATH={}", tool_path()), "HOME=/nowhere", "TMPDIR=/run/world/tmp"]);
        command.arg("AWS_SECRET_ACCESS_KEY=sesame-of-the-environment");
        command.arg(format!("KUBEREACH_AGENT_BINARIES={WORK}/binaries"));
        command.arg(self.file("bin/kubereach"));
        command.args(["verify", "scenario.yaml", "--no-wait", "-o", "json"]);
        command.current_dir(WORK).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The report and the time that it took.
    pub(crate) fn verify(&self, ssh: &str) -> (Value, Duration) {
        self.scenario(ssh, 1);
        let begun = Instant::now();
        let output = self.command().output().unwrap();
        (report(&output), begun.elapsed())
    }

    /// Why nothing was probed.
    pub(crate) fn unavailable(&self, ssh: &str) -> String {
        let (report, _) = self.verify(ssh);
        let cell = &report["cells"][0];
        assert_eq!((&cell["observed"], &cell["verdict"]), (&"unknown".into(), &"inconclusive".into()), "{report:#}");
        let finding = &cell["findings"][0];
        assert_eq!(finding["code"], "inconclusive-vantage-unavailable", "{report:#}");
        nothing_probed(&report)
    }

    /// How many logins a host has seen.
    pub(crate) fn logins(&self, host: &str) -> usize {
        fs::read_to_string(self.file(&format!("{host}.log"))).unwrap().matches("Accepted publickey").count()
    }

    /// That no process of an agent, no file of one and no private folder is left, after at most some seconds.
    pub(crate) fn assert_nothing_left(&self) {
        until("every agent to end", || agents().is_empty());
        let left: Vec<_> = self.temporary.iter().flat_map(|folder| ours_in(folder)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Where the account that logs in is at home; in here an empty folder lies over it.
pub(crate) fn login_home() -> PathBuf {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let home = fields.find_map(|fields| (fields.get(2) == Some(&"0")).then(|| fields.get(5).map(PathBuf::from))?);
    home.unwrap()
}

/// Whether an agent runs on a host, however it came there.
pub(crate) fn serving() -> bool {
    agents().iter().any(|line| {
        let program = line.split(' ').next().unwrap_or_default();
        program == "/proc/self/fd/3" || program.ends_with("/bin/kubereach") || program.ends_with("/kubereach-agent")
    })
}

/// The sentence that says why nothing was probed.
pub(crate) fn nothing_probed(report: &Value) -> String {
    let evidence = report["cells"][0]["findings"][0]["evidence"].as_array().unwrap();
    let told = evidence.iter().filter_map(Value::as_str).find(|told| told.starts_with("Nothing was probed"));
    told.unwrap_or_else(|| panic!("{report:#}")).to_owned()
}

/// Command lines of agents that run.
pub(crate) fn agents() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains("--stdio").then_some(line)
    });
    processes.collect()
}

fn ours_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubereach")))
        .collect()
}

pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Waits, for at most some seconds.
pub(crate) fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(15), "waited in vain: {what}; agents: {:?}", agents());
        sleep(Duration::from_millis(20));
    }
}

/// Ends what serves the logins to the bastion, as the loss of the host would.
pub(crate) fn cut_logins() {
    let mut found = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        // `sshd: root@notty`, or a program of its own in later versions.
        if line.starts_with(b"sshd: root") || line.starts_with(b"sshd-session: root") {
            must(&format!("kill -KILL {}", entry.file_name().to_string_lossy()));
            found += 1;
        }
    }
    assert!(found > 0, "no login is served");
}

/// A command on a host.
pub(crate) fn on(host: &str) -> Command {
    let mut command = tool("ip");
    command.args(["netns", "exec", host]);
    command
}

/// A shell script that must succeed.
pub(crate) fn must(script: &str) {
    let output = tool("sh").args(["-ec", script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn tool_path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", std::env::var("PATH").unwrap_or_default())
}

fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&tool_path()).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// New network, mount and process namespaces, whose processes all die with the first one.
pub(crate) fn sandbox_command() -> Command {
    let mut command = tool("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

/// Whether this host lets us build hosts; otherwise why not.
pub(crate) fn usable() -> Result<(), String> {
    let missing: Vec<&str> = ["unshare", "ip", "mount", "ssh", "sshd", "ssh-keygen"]
        .into_iter()
        .filter(|tool| find(tool).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(format!("needs {}", missing.join(", ")));
    }
    // sshd separates its privileges by users that an unprivileged namespace does not have.
    let root = fs::metadata("/proc/self").is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0);
    let output = sandbox_command().args(["--", "sh", "-c", "mount -t tmpfs world /run && ip netns add probe"]).output();
    match output {
        Ok(output) if output.status.success() && root => Ok(()),
        Ok(_) if !root => Err("needs root".to_owned()),
        Ok(output) => Err(format!("no namespaces: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// Compiles the program that stands in for the static agent: it becomes the kubereach of this build, which is not
/// static. What is sent, checked, run and removed is a static file, and the real agent answers.
pub(crate) fn make_stand_in() {
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand_in.rs");
    fs::write(&source, STAND_IN.replace("WORK", WORK)).unwrap();
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "relocation-model=static", "-o"])
        .arg(stand_in_file())
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn stand_in_file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-in")
}

pub(crate) const WORK: &str = "/run/world";

const STAND_IN: &str = r#"
use std::os::unix::process::CommandExt;
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "--version") { return; }
    std::fs::write("WORK/stand-in-was-here", std::fs::read_link("/proc/self/exe").unwrap().to_str().unwrap()).unwrap();
    panic!("{}", std::process::Command::new("WORK/bin/kubereach").arg("agent").args(arguments).exec());
}
"#;

/// 198.18.3.0/24 swallows what is sent there. Names are in the hosts file, which every host shares.
const TOPOLOGY: &str = r"
mkdir -p WORK/tmp
mount -t tmpfs -o mode=1777 world /tmp
mount -t tmpfs -o mode=700 world LOGIN_HOME
{ echo '127.0.0.1 localhost'; echo '198.18.1.2 jump.test'; echo '198.18.2.2 bastion.test'; echo '10.20.0.10 api.test'
  echo '10.20.0.66 silent.test'
  for index in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do echo 10.20.0.10 api$index.test; done; } > WORK/hosts
mount --bind WORK/hosts /etc/hosts
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n' > WORK/nsswitch.conf
mount --bind WORK/nsswitch.conf /etc/nsswitch.conf
ip link set lo up
ip address add 10.20.0.10/32 dev lo
echo 1 > /proc/sys/net/ipv4/ip_forward
number=0
for host in client jump bastion; do
  ip netns add $host
  ip link add name $host type veth peer name eth0 netns $host
  ip link set $host up
  ip address add 198.18.$number.1/24 dev $host
  ip -n $host link set lo up
  ip -n $host link set eth0 up
  ip -n $host address add 198.18.$number.2/24 dev eth0
  number=$((number + 1))
done
ip -n client route add 198.18.0.0/16 via 198.18.0.1
ip -n jump route add default via 198.18.1.1
ip -n bastion route add default via 198.18.2.1
ip route add blackhole 198.18.3.0/24
ip route add blackhole 10.20.0.66/32
";
