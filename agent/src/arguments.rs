//! The arguments of `kubereach-agent`, which are those of `kubereach agent`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use ipnet::IpNet;

use crate::{
    allow::{AllowList, DEFAULT_PORTS, HostPattern, ResolverPattern, parse_range},
    bus::BusArguments,
    keys::is_agent_name,
    once, stdio,
    worker::{Limits, Worker},
};

/// How the agent takes orders, and what it may do.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("way").args(["stdio", "once", "nats", "make_key"])))]
pub struct AgentArguments {
    /// Take orders as lines from stdin, and write each reply as a line to stdout
    #[arg(long)]
    pub stdio: bool,
    /// Take one order from the environment variable `KUBEREACH_ORDER`, print the reply as one line, and end
    #[arg(long)]
    pub once: bool,
    /// Longest reply with --once, in bytes; what is worth least is left out until it fits
    #[arg(long, value_name = "BYTES", default_value = "24000", value_parser = clap::value_parser!(u32).range(1000..=983_040), requires = "once")]
    pub reply_limit: u32,
    /// Take only orders for this name
    #[arg(long, value_name = "NAME", env = "KUBEREACH_AGENT_NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// What may be probed.
    #[command(flatten)]
    pub allow: AllowArguments,
    /// How much.
    #[command(flatten)]
    pub limits: LimitArguments,
    /// Orders over NATS.
    #[command(flatten)]
    pub bus: BusArguments,
}

/// What may be probed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What may be probed")]
pub struct AllowArguments {
    /// A host that may be probed: a name, an address, or `*.` before a name for all below it. Repeatable; without it every one
    #[arg(long, value_name = "PATTERN", env = "KUBEREACH_AGENT_ALLOW_HOST", value_delimiter = ',')]
    pub allow_host: Vec<HostPattern>,
    /// A range of addresses that may be dialled. Repeatable; without it every one
    ///
    /// Link-local addresses and the metadata services of clouds never are, whatever this says, and loopback only when a
    /// range within it is named here.
    #[arg(long, value_name = "CIDR", env = "KUBEREACH_AGENT_ALLOW_CIDR", value_delimiter = ',', value_parser = parse_range)]
    pub allow_cidr: Vec<IpNet>,
    /// A port that may be dialled. Repeatable; without it 443 and 6443
    #[arg(long, value_name = "PORT", env = "KUBEREACH_AGENT_ALLOW_PORT", value_delimiter = ',', value_parser = parse_port)]
    pub allow_port: Vec<u16>,
    /// A resolver that an order may name; port 53 unless one is given, `:*` for any. Repeatable; without it none
    #[arg(long, value_name = "CIDR[:PORT]", env = "KUBEREACH_AGENT_ALLOW_RESOLVER", value_delimiter = ',')]
    pub allow_resolver: Vec<ResolverPattern>,
}

impl AllowArguments {
    /// As the agent takes it.
    #[must_use]
    pub fn list(&self) -> AllowList {
        AllowList {
            hosts: self.allow_host.clone(),
            ranges: self.allow_cidr.clone(),
            ports: if self.allow_port.is_empty() { DEFAULT_PORTS.to_vec() } else { self.allow_port.clone() },
            resolvers: self.allow_resolver.clone(),
        }
    }
}

/// How much an agent does.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How much")]
pub struct LimitArguments {
    /// Orders a minute
    #[arg(long, value_name = "NUMBER", default_value = "1200", env = "KUBEREACH_AGENT_RATE", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Orders at the same time
    #[arg(long, value_name = "NUMBER", default_value = "64", env = "KUBEREACH_AGENT_CONCURRENCY", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: u16,
    /// Longest time for one order, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", env = "KUBEREACH_AGENT_DEADLINE", value_parser = clap::value_parser!(u16).range(1..=900))]
    pub deadline: u16,
}

impl LimitArguments {
    /// As the agent takes them.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            orders_per_minute: self.rate,
            concurrency: usize::from(self.concurrency),
            deadline: Duration::from_secs(self.deadline.into()),
            ..Limits::default()
        }
    }
}

/// Runs the agent as its arguments say. Without a way to take orders among them it is the servers of the variable
/// `KUBEREACH_AGENT_NATS` that it asks.
///
/// # Errors
/// In words, when it could not begin.
pub fn run(arguments: &AgentArguments) -> Result<ExitCode, String> {
    if let Some(file) = &arguments.bus.make_key {
        return crate::bus::make_key(file).map(|()| ExitCode::SUCCESS);
    }
    let mut bus = arguments.bus.clone();
    if !arguments.stdio && !arguments.once && bus.nats.is_empty() {
        bus.nats = crate::bus::servers_of_environment()?;
    }
    let worker = Arc::new(Worker::new(arguments.name.clone(), arguments.allow.list(), arguments.limits.limits()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("this machine gives no threads: {error}"))?;
    let result = runtime.block_on(async {
        if arguments.once {
            let order = std::env::var(once::VARIABLE)
                .map_err(|_| format!("the environment variable {} holds no order", once::VARIABLE))?;
            once::answer(&worker, &order, arguments.reply_limit as usize).await
        } else if arguments.stdio {
            stdio::serve(worker).await.map_err(|error| format!("the conversation broke: {error}"))
        } else {
            crate::bus::serve(&bus, worker).await
        }
    });
    // A read of stdin that nobody ends must not hold the process.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "a port from 1 to 65535 was expected".to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    if is_agent_name(text) {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 letters, digits, `-` and `_` were expected".to_owned())
    }
}
