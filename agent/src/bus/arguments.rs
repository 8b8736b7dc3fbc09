//! The arguments of an agent on NATS.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{Agent, Servers, Settings};
use crate::{Worker, check_server, is_public_key, keys};

/// Orders over NATS.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Orders over NATS")]
pub struct BusArguments {
    /// Take signed orders from this NATS server: `tls://host:port`. Repeatable
    #[arg(long, value_name = "URL", env = "KUBEREACH_AGENT_NATS", value_delimiter = ',', value_parser = parse_server, requires_all = ["name", "controller_key", "identity"])]
    pub nats: Vec<String>,
    /// PEM file with the servers' authorities; the system's roots without it
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_CA", requires = "nats")]
    pub ca: Option<PathBuf>,
    /// File with user credentials for NATS (JWT and seed)
    #[arg(
        long,
        value_name = "FILE",
        env = "KUBEREACH_AGENT_CREDENTIALS",
        requires = "nats",
        conflicts_with = "user_key"
    )]
    pub credentials: Option<PathBuf>,
    /// File with the seed of the user key that NATS knows this agent by
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_USER_KEY", requires = "nats")]
    pub user_key: Option<PathBuf>,
    /// PEM file with a client certificate for NATS
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_CERTIFICATE", requires_all = ["nats", "key"])]
    pub certificate: Option<PathBuf>,
    /// PEM file with the key of the client certificate
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_KEY", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Public key of a controller whose orders are carried out: `U…`. Repeatable
    #[arg(long, value_name = "KEY", env = "KUBEREACH_AGENT_CONTROLLER_KEY", value_delimiter = ',', value_parser = parse_key, requires = "nats")]
    pub controller_key: Vec<String>,
    /// File with the seed that replies are signed with; made when it is not there
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_IDENTITY", requires = "nats")]
    pub identity: Option<PathBuf>,
    /// Folder where orders are remembered, so that none is carried out twice, also after a restart
    #[arg(long, value_name = "DIR", env = "KUBEREACH_AGENT_STATE", requires = "nats")]
    pub state: Option<PathBuf>,
    /// Make a key: its seed in this new file, its public key on stdout
    #[arg(long, value_name = "FILE")]
    pub make_key: Option<PathBuf>,
}

/// Makes a key and prints its public half.
///
/// # Errors
/// In words, when the file is there already or cannot be written.
pub fn make_key(file: &Path) -> Result<(), String> {
    let key = keys::make(file).map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{}", key.public_key()).map_err(|error| format!("cannot write to stdout: {error}"))
}

/// Takes orders until the process is told to end.
///
/// # Errors
/// In words, when what it is given cannot be used.
pub async fn serve(arguments: &BusArguments, worker: Arc<Worker>) -> Result<(), String> {
    let file = arguments.identity.as_ref().ok_or("`--identity FILE` is missing")?;
    let key = keys::read_or_make(file).map_err(|error| error.to_string())?;
    let settings = Settings {
        name: worker.name().ok_or("`--name NAME` is missing")?.to_owned(),
        servers: Servers {
            urls: arguments.nats.clone(),
            ca: arguments.ca.clone(),
            credentials: arguments.credentials.clone(),
            user_key: arguments.user_key.clone(),
            certificate: arguments.certificate.clone().zip(arguments.key.clone()),
        },
        controllers: arguments.controller_key.clone(),
        state: arguments.state.clone(),
        slots: worker.limits().concurrency,
    };
    let tell = Arc::new(|text: String| {
        // Nowhere left to report that stderr is gone.
        let _ = writeln!(io::stderr(), "kubereach-agent: {text}");
    });
    let agent = Agent::new(settings, key, worker, tell).map_err(|error| error.to_string())?;
    let (stop, stopped) = watch::channel(false);
    let mut running = std::pin::pin!(agent.run(stopped));
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Err("this host gives no signals".to_owned());
    };
    tokio::select! {
        result = &mut running => return result.map_err(|error| error.to_string()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The receiver is in `running`.
    let _ = stop.send(true);
    running.await.map_err(|error| error.to_string())
}

fn parse_server(text: &str) -> Result<String, String> {
    check_server(text).map(|()| text.to_owned())
}

fn parse_key(text: &str) -> Result<String, String> {
    if is_public_key(text) {
        Ok(text.to_owned())
    } else {
        Err("a public key was expected: `U` and 55 more letters and digits".to_owned())
    }
}
