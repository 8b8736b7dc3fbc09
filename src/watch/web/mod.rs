//! The web page, its JSON and `/metrics`: read-only, server-rendered.
//!
//! [`serve`] (connections and their bounds) → `guard` (who may ask what) → `routes` (reads what a page needs) → one
//! file a page, pure: what was read → HTML and JSON.

mod assets;
mod cell;
mod chart;
mod cluster;
mod events;
mod guard;
mod history;
mod layout;
pub mod links;
mod matrix;
mod routes;
mod shown;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

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
pub async fn serve(listener: TcpListener, sources: Sources, mut stop: watch::Receiver<bool>) {
    let router = routes::router(sources);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stopped(&mut stop) => break,
            next = next => next,
        };
        // An accept that fails is one connection's fault, or this process has no descriptors: either passes.
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, router, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    // What is still open then is cut: a reader that is slow cannot keep the watch from ending.
    let _ = timeout(FINISH, async { while connections.join_next().await.is_some() {} }).await;
}

/// One connection: as many requests as it likes, for a bounded time.
async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
    server.max_headers(MAX_HEADERS);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stopped(&mut stop) => {}
        () = sleep(CONNECTION_LASTS) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(FINISH, serving).await;
}

/// Resolves once `stop` is true, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Connections at a time; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 256;
/// For a request's head to come, and for the next one on a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is used before it is ended between requests.
const CONNECTION_LASTS: Duration = Duration::from_mins(2);
/// How long what is under way may take when a connection or the watch ends.
const FINISH: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADER_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
