//! Proxies: HTTP CONNECT and SOCKS 5.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{CertificateSpec, LabCa, Running, ServerError};

/// An HTTP proxy that knows CONNECT only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpProxy {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Speak TLS with the client: an `https` proxy.
    #[serde(default)]
    pub certificate: Option<CertificateSpec>,
    /// Answer every CONNECT with this status instead of opening a tunnel.
    #[serde(default)]
    pub status: Option<u16>,
    /// Hosts that are answered with 403: exact names.
    #[serde(default)]
    pub deny: Vec<String>,
    /// `user:password` that a client must give, else 407.
    #[serde(default)]
    pub credentials: Option<String>,
    /// Milliseconds before the answer.
    #[serde(default)]
    pub delay_ms: u64,
    /// Addresses of names; others are asked of this host's resolver.
    #[serde(default)]
    pub hosts: BTreeMap<String, IpAddr>,
}

impl HttpProxy {
    pub(super) async fn start(
        &self,
        authorities: &BTreeMap<String, Arc<LabCa>>,
        running: &mut Running,
    ) -> Result<(), ServerError> {
        let acceptor = match &self.certificate {
            Some(spec) => {
                let config = spec.issue(authorities)?.into_config(rustls::ALL_VERSIONS, &["http/1.1".to_owned()])?;
                Some(TlsAcceptor::from(config))
            }
            None => None,
        };
        let proxy = Arc::new(self.clone());
        let handler = move |stream: TcpStream| {
            let (proxy, acceptor) = (Arc::clone(&proxy), acceptor.clone());
            async move {
                match acceptor {
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            proxy.tunnel(stream).await;
                        }
                    }
                    None => proxy.tunnel(stream).await,
                }
            }
        };
        running.accept(&self.listen, handler).await
    }

    async fn tunnel(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(head) = read_head(&mut client).await else { return };
        tokio::time::sleep(Duration::from_millis(self.delay_ms)).await;
        let mut lines = head.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
        let (host, port) = match target.rsplit_once(':') {
            Some((host, port)) => (host.trim_matches(['[', ']']), port.parse().unwrap_or(0)),
            None => (target, 0),
        };
        let authorised = self.credentials.as_ref().is_none_or(|credentials| {
            let wanted = format!("basic {}", BASE64_STANDARD.encode(credentials));
            lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
                name.eq_ignore_ascii_case("proxy-authorization") && value.trim().eq_ignore_ascii_case(&wanted)
            })
        });
        let refusal = if method != "CONNECT" {
            Some(405)
        } else if !authorised {
            Some(407)
        } else if self.deny.iter().any(|denied| denied == host) {
            Some(403)
        } else {
            self.status.filter(|status| *status != 200)
        };
        let upstream = match refusal {
            Some(status) => Err(status),
            None => connect(&self.hosts, host, port).await.map_err(|error| match error {
                ConnectError::Unknown => 503,
                ConnectError::Failed(_) => 502,
                ConnectError::Timeout => 504,
            }),
        };
        match upstream {
            Ok(mut upstream) => {
                if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                    let _ = copy_bidirectional(&mut client, &mut upstream).await;
                }
            }
            Err(status) => {
                let _ = client.write_all(refusal_text(status).as_bytes()).await;
                let _ = client.shutdown().await;
            }
        }
    }
}

/// A SOCKS 5 proxy that knows CONNECT only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Socks5 {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Answer every CONNECT with this reply code (RFC 1928 § 6) instead of opening a tunnel.
    #[serde(default)]
    pub reply: Option<u8>,
    /// `user:password` that a client must give.
    #[serde(default)]
    pub credentials: Option<String>,
    /// Addresses of names; others are asked of this host's resolver.
    #[serde(default)]
    pub hosts: BTreeMap<String, IpAddr>,
}

impl Socks5 {
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), ServerError> {
        let proxy = Arc::new(self.clone());
        let handler = move |stream| {
            let proxy = Arc::clone(&proxy);
            async move {
                // A client that breaks off is no event worth telling.
                let _ = proxy.tunnel(stream).await;
            }
        };
        running.accept(&self.listen, handler).await
    }

    async fn tunnel(&self, mut client: TcpStream) -> std::io::Result<()> {
        let [version, methods] = read_array(&mut client).await?;
        if version != SOCKS_VERSION {
            return Ok(());
        }
        let offered = read_vec(&mut client, methods).await?;
        let wanted = if self.credentials.is_some() { METHOD_PASSWORD } else { METHOD_NONE };
        if !offered.contains(&wanted) {
            return client.write_all(&[SOCKS_VERSION, METHOD_REFUSED]).await;
        }
        client.write_all(&[SOCKS_VERSION, wanted]).await?;
        if let Some(credentials) = &self.credentials {
            let [_, length] = read_array(&mut client).await?;
            let user = read_vec(&mut client, length).await?;
            let [length] = read_array(&mut client).await?;
            let password = read_vec(&mut client, length).await?;
            let given = format!("{}:{}", String::from_utf8_lossy(&user), String::from_utf8_lossy(&password));
            let good = given == *credentials;
            client.write_all(&[1, u8::from(!good)]).await?;
            if !good {
                return Ok(());
            }
        }
        let [_, command, _, kind] = read_array(&mut client).await?;
        let host = match kind {
            ADDRESS_V4 => Ipv4Addr::from(read_array::<4>(&mut client).await?).to_string(),
            ADDRESS_V6 => Ipv6Addr::from(read_array::<16>(&mut client).await?).to_string(),
            ADDRESS_NAME => {
                let [length] = read_array(&mut client).await?;
                String::from_utf8_lossy(&read_vec(&mut client, length).await?).into_owned()
            }
            _ => return reply(&mut client, 8).await,
        };
        let port = u16::from_be_bytes(read_array(&mut client).await?);
        if command != 1 {
            return reply(&mut client, 7).await;
        }
        if let Some(code) = self.reply.filter(|code| *code != 0) {
            return reply(&mut client, code).await;
        }
        match connect(&self.hosts, &host, port).await {
            Ok(mut upstream) => {
                reply(&mut client, 0).await?;
                copy_bidirectional(&mut client, &mut upstream).await.map(drop)
            }
            Err(ConnectError::Failed(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                reply(&mut client, 5).await
            }
            Err(ConnectError::Unknown | ConnectError::Failed(_) | ConnectError::Timeout) => reply(&mut client, 4).await,
        }
    }
}

enum ConnectError {
    Unknown,
    Failed(std::io::Error),
    Timeout,
}

async fn connect(hosts: &BTreeMap<String, IpAddr>, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let connecting = async {
        let address = match hosts.get(host) {
            Some(address) => SocketAddr::new(*address, port),
            None => tokio::net::lookup_host((host, port))
                .await
                .ok()
                .and_then(|mut addresses| addresses.next())
                .ok_or(ConnectError::Unknown)?,
        };
        TcpStream::connect(address).await.map_err(ConnectError::Failed)
    };
    tokio::time::timeout(CONNECT_LIMIT, connecting).await.unwrap_or(Err(ConnectError::Timeout))
}

/// Reads up to the empty line that ends a request's head; `None` when it is longer than [`LARGEST_HEAD`].
async fn read_head(client: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LARGEST_HEAD {
            return None;
        }
        // Byte by byte: what follows the head belongs to the tunnel.
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn refusal_text(status: u16) -> String {
    let (reason, extra) = match status {
        403 => ("Forbidden", ""),
        405 => ("Method Not Allowed", ""),
        407 => ("Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"lab\"\r\n"),
        502 => ("Bad Gateway", ""),
        503 => ("Service Unavailable", ""),
        504 => ("Gateway Timeout", ""),
        _ => ("Refused", ""),
    };
    let body = format!("the proxy says: {reason}\n");
    format!(
        "HTTP/1.1 {status} {reason}\r\n{extra}Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn reply(client: &mut TcpStream, code: u8) -> std::io::Result<()> {
    client.write_all(&[SOCKS_VERSION, code, 0, ADDRESS_V4, 0, 0, 0, 0, 0, 0]).await
}

async fn read_array<const LENGTH: usize>(client: &mut TcpStream) -> std::io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_vec(client: &mut TcpStream, length: u8) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const LARGEST_HEAD: usize = 16 * 1024;
const SOCKS_VERSION: u8 = 5;
const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_REFUSED: u8 = 0xff;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
