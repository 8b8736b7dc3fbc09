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
    /// Take signed orders from this NATS server: `tls://host:port`. Repeatable; needs `--name`, `--controller-key` and `--identity` [env: `KUBEREACH_AGENT_NATS`, where no other way is given]
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = parse_server)]
    pub nats: Vec<String>,
    /// PEM file with the servers' authorities; the system's roots without it
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_CA")]
    pub ca: Option<PathBuf>,
    /// File with user credentials for NATS (JWT and seed)
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
    /// File with the seed of the user key that NATS knows this agent by
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_USER_KEY")]
    pub user_key: Option<PathBuf>,
    /// PEM file with a client certificate for NATS
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_CERTIFICATE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// PEM file with the key of the client certificate
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_KEY", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Public key of a controller whose orders are carried out: `U…`. Repeatable
    #[arg(long, value_name = "KEY", env = "KUBEREACH_AGENT_CONTROLLER_KEY", value_delimiter = ',', value_parser = parse_key)]
    pub controller_key: Vec<String>,
    /// File with the seed that replies are signed with; made when it is not there
    #[arg(long, value_name = "FILE", env = "KUBEREACH_AGENT_IDENTITY")]
    pub identity: Option<PathBuf>,
    /// Folder where orders are remembered, so that none is carried out twice, also after a restart
    #[arg(long, value_name = "DIR", env = "KUBEREACH_AGENT_STATE")]
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

/// The servers of the variable `KUBEREACH_AGENT_NATS`. A variable is no way that somebody chose: another way, named on the
/// command line, goes before it, which the parser of arguments cannot tell.
///
/// # Errors
/// In words, when there are none or one is not well-formed.
pub(crate) fn servers_of_environment() -> Result<Vec<String>, String> {
    let value = std::env::var(SERVERS).unwrap_or_default();
    if value.trim().is_empty() {
        return Err(format!(
            "it is not said where orders come from: `--stdio`, `--once` or `--nats URL` (or the variable {SERVERS}); \
             `--make-key FILE` makes a key"
        ));
    }
    value.split(',').map(parse_server).collect::<Result<_, _>>().map_err(|error| format!("{SERVERS}: {error}"))
}

/// Takes orders until the process is told to end.
///
/// # Errors
/// In words, when what it is given cannot be used.
pub async fn serve(arguments: &BusArguments, worker: Arc<Worker>) -> Result<(), String> {
    let missing = |what: &str| format!("{what} is missing: orders over NATS need it");
    let name = worker.name().ok_or_else(|| missing("`--name NAME` (KUBEREACH_AGENT_NAME)"))?;
    if arguments.controller_key.is_empty() {
        return Err(missing("`--controller-key U…` (KUBEREACH_AGENT_CONTROLLER_KEY)"));
    }
    let file = arguments.identity.as_ref().ok_or_else(|| missing("`--identity FILE` (KUBEREACH_AGENT_IDENTITY)"))?;
    let key = keys::read_or_make(file).map_err(|error| error.to_string())?;
    let settings = Settings {
        name: name.to_owned(),
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
    let text = text.trim();
    check_server(text).map(|()| text.to_owned())
}

/// A file that holds a key ends with an end of line, and so does the variable that was filled from it.
fn parse_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    // The parser of arguments would repeat a seed in its complaint: it is refused later, unseen.
    if is_public_key(text) || text.starts_with('S') {
        Ok(text.to_owned())
    } else {
        Err("a public key was expected: `U` and 55 more letters and digits".to_owned())
    }
}

const SERVERS: &str = "KUBEREACH_AGENT_NATS";
