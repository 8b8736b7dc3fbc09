//! Small servers that behave, or misbehave, exactly as told: the peers of `kubereach demo` and of the lab.
//!
//! Each kind is a plain value ([`ServerSpec`], serialisable) that says on which addresses it listens and what it does
//! there. [`serve`] binds all addresses first and returns once every one of them accepts; the servers end when the
//! returned [`Running`] is dropped. Nothing here looks at anything but its own sockets.

mod api;
mod arm;
mod authority;
mod aws;
mod dns;
mod echo;
mod proxy;
mod recorded;
mod relay;
mod script;

use std::{collections::BTreeMap, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

pub use api::{Anonymous, ApiServer, Body, Conduct, Route};
pub use arm::{ArmApi, ArmConduct, ArmFault, ArmIdentity, ArmLater};
pub use authority::{AuthoritySpec, CertificateSpec, Identity, LabCa};
pub use aws::{AwsApi, AwsFault};
pub use dns::{DnsAnswer, DnsReply, DnsServer, DnsView};
pub use echo::Echo;
pub use proxy::{HttpProxy, Socks5};
pub use relay::{Relay, SniAction};
pub use script::{Script, Step};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

/// Starts every server of a list; returns when all of them listen.
///
/// `authorities` are the certificate authorities that the servers' certificates name.
pub async fn serve(authorities: &BTreeMap<String, Arc<LabCa>>, servers: &[ServerSpec]) -> Result<Running, ServerError> {
    let mut running = Running { addresses: Vec::new(), tasks: JoinSet::new() };
    for server in servers {
        match server {
            ServerSpec::Api(server) => server.start(authorities, &mut running).await?,
            ServerSpec::Dns(server) => server.start(&mut running).await?,
            ServerSpec::HttpProxy(server) => server.start(authorities, &mut running).await?,
            ServerSpec::Socks5(server) => server.start(&mut running).await?,
            ServerSpec::Relay(server) => server.start(authorities, &mut running).await?,
            ServerSpec::Script(server) => server.start(&mut running).await?,
            ServerSpec::Aws(server) => server.start(&mut running).await?,
            ServerSpec::Arm(server) => server.start(&mut running).await?,
            ServerSpec::Echo(server) => server.start(authorities, &mut running).await?,
        }
    }
    Ok(running)
}

/// One server: what it is, where it listens, how it behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ServerSpec {
    /// A TLS server that speaks enough of the Kubernetes API.
    Api(ApiServer),
    /// An authoritative DNS server over UDP and TCP.
    Dns(DnsServer),
    /// An HTTP CONNECT proxy.
    HttpProxy(HttpProxy),
    /// A SOCKS 5 proxy.
    Socks5(Socks5),
    /// A box on the path that passes TCP on, unless it does not like what it sees.
    Relay(Relay),
    /// A TCP peer that follows a script.
    Script(Script),
    /// An AWS-compatible API that answers from a facts folder.
    Aws(AwsApi),
    /// An Azure Resource Manager that answers from a facts folder.
    Arm(ArmApi),
    /// An HTTP and STUN server that tells who asks by which address it sees them.
    Echo(Echo),
}

/// Servers that run until this value is dropped.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Running {
    /// The addresses bound, in the order of the list; a port that was given as 0 is the real one here.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits for ever: the servers never end of their own accord.
    pub async fn wait(mut self) {
        while self.tasks.join_next().await.is_some() {}
        std::future::pending::<()>().await;
    }

    /// Binds a TCP listener on each address and runs `handler` once a connection, at most
    /// [`MAX_CONNECTIONS`] of them at a time a listener.
    async fn accept<Handler, Handled>(&mut self, listen: &[SocketAddr], handler: Handler) -> Result<(), ServerError>
    where
        Handler: Fn(TcpStream) -> Handled + Clone + Send + 'static,
        Handled: Future<Output = ()> + Send + 'static,
    {
        for &address in listen {
            let bind = |source| ServerError::Bind { transport: "tcp", address, source };
            let listener = TcpListener::bind(address).await.map_err(bind)?;
            self.addresses.push(listener.local_addr().map_err(bind)?);
            let handler = handler.clone();
            self.tasks.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                            Ok((stream, _)) => {
                                // Small writes (a drip of single bytes) must leave at once.
                                let _ = stream.set_nodelay(true);
                                connections.spawn(handler(stream));
                            }
                            // Out of descriptors, or the peer gave up: the listener itself is fine.
                            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                        },
                        Some(_) = connections.join_next() => {}
                    }
                }
            });
        }
        Ok(())
    }

    async fn bind_udp(&mut self, address: SocketAddr) -> Result<UdpSocket, ServerError> {
        let bind = |source| ServerError::Bind { transport: "udp", address, source };
        let socket = UdpSocket::bind(address).await.map_err(bind)?;
        self.addresses.push(socket.local_addr().map_err(bind)?);
        Ok(socket)
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {transport} {address}: {source}")]
    Bind {
        /// `tcp` or `udp`.
        transport: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// A certificate names an authority that is not in the list.
    #[error("no certificate authority is called {0:?}")]
    UnknownAuthority(String),
    /// A certificate could not be made.
    #[error("cannot make a certificate for {subject}: {message}")]
    Certificate {
        /// Whom it was for.
        subject: String,
        /// Why not.
        message: String,
    },
    /// A value in the description cannot be used.
    #[error("{0}")]
    Invalid(String),
}

/// Ends a connection with a reset instead of an orderly close.
fn reset(stream: TcpStream) {
    // Lingering for zero seconds makes close(2) send RST.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

const MAX_CONNECTIONS: usize = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
