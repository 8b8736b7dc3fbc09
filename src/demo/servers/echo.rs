//! An echo server: it tells who asks by which address it sees them, over HTTP and STUN.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::{CertificateSpec, LabCa, Running, ServerError};

/// A server that echoes addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Echo {
    /// Where it speaks HTTP.
    pub http: Vec<SocketAddr>,
    /// Speak TLS there.
    pub certificate: Option<CertificateSpec>,
    /// Where it speaks STUN, over UDP and TCP.
    pub stun: Vec<SocketAddr>,
    /// What it says instead of the truth.
    pub says: Option<IpAddr>,
    /// Answers STUN requests with another transaction id.
    pub forged: bool,
}

impl Echo {
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
        let says = self.says;
        let http = move |stream: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(peer) = stream.peer_addr() else { return };
                let address = says.unwrap_or_else(|| peer.ip().to_canonical());
                match acceptor {
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            over_http(stream, address).await;
                        }
                    }
                    None => over_http(stream, address).await,
                }
            }
        };
        running.accept(&self.http, http).await?;
        let echo = self.clone();
        let stun = move |mut stream: TcpStream| {
            let echo = echo.clone();
            async move {
                let mut request = [0; HEADER];
                if let (Ok(peer), Ok(_)) = (stream.peer_addr(), stream.read_exact(&mut request).await)
                    && let Some(answer) = echo.binding(&request, peer)
                {
                    let _ = stream.write_all(&answer).await;
                }
            }
        };
        running.accept(&self.stun, stun).await?;
        for &address in &self.stun {
            let socket = running.bind_udp(address).await?;
            running.tasks.spawn(over_udp(self.clone(), socket));
        }
        Ok(())
    }

    /// The answer to a binding request (RFC 8489, section 5 and 14.2); nothing to what is none.
    fn binding(&self, request: &[u8], peer: SocketAddr) -> Option<Vec<u8>> {
        let header: &[u8; HEADER] = request.first_chunk()?;
        if header[..2] != [0, 1] || header[4..8] != COOKIE {
            return None;
        }
        let mut key = [0; 16];
        key.copy_from_slice(&header[4..]);
        let address = self.says.unwrap_or_else(|| peer.ip().to_canonical());
        let (family, octets) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        let [port_high, port_low] = peer.port().to_be_bytes();
        let mut value = vec![0, family, port_high ^ COOKIE[0], port_low ^ COOKIE[1]];
        value.extend(octets.iter().zip(key).map(|(octet, key)| octet ^ key));
        let attribute = u8::try_from(value.len()).ok()?;
        let mut answer = vec![1, 1, 0, attribute + 4];
        answer.extend_from_slice(&header[4..]);
        if self.forged {
            answer[HEADER - 1] ^= 1;
        }
        answer.extend([0, 0x20, 0, attribute]);
        answer.append(&mut value);
        Some(answer)
    }
}

async fn over_udp(echo: Echo, socket: UdpSocket) {
    let mut buffer = [0; 1024];
    loop {
        // An ICMP error for an earlier answer does not concern the next request.
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = echo.binding(&buffer[..length], peer) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// Reads one request and answers with the address.
async fn over_http(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: IpAddr) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() > LONGEST_HEAD || stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let body = format!("{address}\n");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const LONGEST_HEAD: usize = 8 * 1024;
