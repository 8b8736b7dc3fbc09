//! A NATS server as the guide configures it, and the keys of everybody around it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::Client;
use jiff::Timestamp;
use kubereach::vantage::bus::{Dispatcher, Ledger};
use kubereach_agent::{
    AllowList, Limits, Order, Outcome, PROTOCOL, ProbeOrder, Reply, Worker,
    bus::{Agent, Carrier, Servers, Settings, connect},
    keys,
    order::write,
    seal::{Seal, seal_order},
};
use kubereach_probes::{Observation, Options, Run, Target, Trust};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use tokio::{sync::watch, task::JoinHandle};

/// A folder with keys and certificates, and the server that they belong to.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    server: Mutex<Option<Child>>,
}

impl World {
    /// Makes the keys and starts the server, for agents of these names.
    pub(crate) fn new(folder: &Path, agents: &[String]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authority = rcgen::KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.join("ca.pem"), parameters.self_signed(&authority).unwrap().pem()).unwrap();
        let issuer = Issuer::new(parameters, authority);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.join("server.pem"), leaf.pem()).unwrap();
        fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
        for name in ["signing", "controller", "admin", "stranger"] {
            keys::make(&folder.join(format!("{name}.nk"))).unwrap();
        }
        let mut public = Vec::new();
        for name in agents {
            keys::make(&folder.join(format!("{name}.identity.nk"))).unwrap();
            let user = keys::make(&folder.join(format!("{name}.nk"))).unwrap();
            public.push((name.clone(), user.public_key()));
        }
        let world = Self { folder: folder.to_owned(), port, server: Mutex::new(None) };
        fs::write(folder.join("nats.conf"), world.configuration(&public)).unwrap();
        world.start_server();
        world
    }

    /// The configuration of the guide, with this world's keys, and one user more who may do everything.
    fn configuration(&self, agents: &[(String, String)]) -> String {
        let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/agents-over-nats.md")).unwrap();
        let text = guide.split("```nats\n").nth(1).unwrap().split("```").next().unwrap();
        let (before, rest) = text.split_once("    # one such block for each agent").unwrap();
        let (block, after) = rest.split_once("    # end of the agent's block\n").unwrap();
        let block = block.split_once('\n').unwrap().1;
        let mut users: String = agents
            .iter()
            .map(|(name, key)| block.replace("eu-west-1a", name).replace("USER_KEY_OF_AGENT", key))
            .collect();
        users.push_str("    { nkey: \"");
        users.push_str(&self.key("admin").public_key());
        users.push_str("\" }\n");
        let folder = self.folder.display().to_string();
        format!("{before}{users}{after}")
            .replace("port: 4222", &format!("host: 127.0.0.1\nport: {}", self.port))
            .replace("/var/lib/nats", &format!("{folder}/jetstream"))
            .replace("/etc/nats", &folder)
            .replace("USER_KEY_OF_CONTROLLER", &self.key("controller").public_key())
    }

    pub(crate) fn start_server(&self) {
        let log = fs::File::create(self.folder.join("nats.log")).unwrap();
        let mut command = Command::new(
            ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"]
                .iter()
                .find(|path| Path::new(path).exists())
                .unwrap_or(&"nats-server"),
        );
        command.arg("-c").arg(self.folder.join("nats.conf")).stdout(Stdio::null()).stderr(log);
        *self.server.lock().unwrap() = Some(command.spawn().expect("nats-server is installed"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.folder.join("nats.log")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(20), "nats-server does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub(crate) fn kill_server(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub(crate) fn server_pid(&self) -> u32 {
        self.server.lock().unwrap().as_ref().unwrap().id()
    }

    pub(crate) fn key(&self, name: &str) -> KeyPair {
        keys::read(&self.folder.join(format!("{name}.nk"))).unwrap()
    }

    pub(crate) fn identity(&self, agent: &str) -> KeyPair {
        self.key(&format!("{agent}.identity"))
    }

    pub(crate) fn servers(&self, user: &str) -> Servers {
        servers(&self.folder, self.port, user)
    }

    pub(crate) async fn client(&self, user: &str, inbox: &str) -> Client {
        connect(&self.servers(user), user, inbox).await.unwrap().client
    }

    pub(crate) async fn dispatcher(&self) -> Arc<Dispatcher> {
        let signing = self.folder.join("signing.nk");
        Dispatcher::connect(&self.servers("controller"), &signing, Ledger::in_memory()).await.unwrap()
    }

    pub(crate) fn agent(&self, name: &str, slots: usize, carrier: Arc<dyn Carrier>) -> Running {
        start_agent(&self.folder, self.port, name, slots, None, carrier)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_server();
    }
}

pub(crate) fn servers(folder: &Path, port: u16, user: &str) -> Servers {
    Servers {
        urls: vec![format!("tls://localhost:{port}")],
        ca: Some(folder.join("ca.pem")),
        user_key: Some(folder.join(format!("{user}.nk"))),
        ..Servers::default()
    }
}

/// An agent inside this process, ended when it is dropped.
pub(crate) struct Running {
    _stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// What its log says.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn start_agent(
    folder: &Path,
    port: u16,
    name: &str,
    slots: usize,
    state: Option<PathBuf>,
    carrier: Arc<dyn Carrier>,
) -> Running {
    let settings = Settings {
        name: name.to_owned(),
        servers: servers(folder, port, name),
        controllers: vec![keys::read(&folder.join("signing.nk")).unwrap().public_key()],
        state,
        slots,
    };
    let key = keys::read(&folder.join(format!("{name}.identity.nk"))).unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&log);
    let agent = Agent::new(settings, key, carrier, Arc::new(move |line| written.lock().unwrap().push(line))).unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move { agent.run(stopped).await.unwrap() });
    Running { _stop: stop, task, log }
}

/// Says that it saw something, and counts.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) carried: AtomicUsize,
}

impl Carrier for Echo {
    fn carry_out<'a>(&'a self, order: Order, _: &'a Run) -> std::pin::Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        self.carried.fetch_add(1, Ordering::SeqCst);
        let reply = seen(&order);
        Box::pin(std::future::ready(reply))
    }
}

pub(crate) fn worker(name: &str) -> Arc<Worker> {
    let allow = AllowList { ranges: vec!["127.0.0.1/32".parse().unwrap()], ports: vec![443], ..AllowList::default() };
    Arc::new(Worker::new(Some(name.to_owned()), allow, Limits::default()))
}

pub(crate) fn seen(order: &Order) -> Reply {
    let outcome = Outcome::Observed { observation: Box::new(Observation::default()) };
    Reply {
        protocol: PROTOCOL,
        id: order.id.clone(),
        agent: order.agent.clone(),
        finished_at: Timestamp::now(),
        outcome,
    }
}

/// An order to probe an address of this host, valid for so many seconds from now.
pub(crate) fn order(agent: &str, id: &str, seconds: i64) -> Order {
    let now = Timestamp::now();
    Order {
        protocol: PROTOCOL,
        id: id.to_owned(),
        agent: agent.to_owned(),
        issued_at: now,
        expires_at: now + jiff::SignedDuration::from_secs(seconds),
        probe: ProbeOrder::of(
            &Target::new("127.0.0.1", 443, Trust::SystemRoots),
            &Options::plain(Duration::from_secs(1)),
        ),
    }
}

/// An order as it travels, signed by this key.
pub(crate) fn sealed(key: &KeyPair, order: &Order) -> (Seal, Vec<u8>) {
    let payload = write(order);
    (seal_order(key, &payload), payload)
}
