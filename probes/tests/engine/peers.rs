//! The peers: a DNS server, TLS servers that behave or do not, and two proxies. Each has addresses of its own.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{RData, Record, RecordType, rdata},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
    time::Sleep,
};
use tokio_rustls::TlsAcceptor;

/// A loopback address that nobody else in this process uses.
pub(crate) fn new_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 200).unwrap();
    IpAddr::V4(Ipv4Addr::new(127, 20 + process, high, low))
}

/// A port that was free a moment ago.
pub(crate) fn new_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A DNS server that knows one name.
pub(crate) struct Dns {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Dns {
    /// Answers questions for `name` with these addresses; every other name does not exist.
    pub(crate) async fn start(name: &str, addresses: &[IpAddr]) -> Self {
        let socket = UdpSocket::bind((new_address(), 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let (name, addresses, counter) = (format!("{name}."), addresses.to_vec(), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
                counter.fetch_add(1, Ordering::SeqCst);
                let query = question.queries[0].clone();
                let mut reply = Message::response(question.metadata.id, OpCode::Query);
                reply.metadata.recursion_available = true;
                reply.add_queries(question.queries.iter().cloned());
                if query.name().to_ascii().eq_ignore_ascii_case(&name) {
                    reply.add_answers(addresses.iter().filter_map(|address| {
                        let data = match (address, query.query_type()) {
                            (IpAddr::V4(address), RecordType::A) => RData::A(rdata::A(*address)),
                            (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(rdata::AAAA(*address)),
                            _ => return None,
                        };
                        Some(Record::from_rdata(query.name().clone(), 60, data))
                    }));
                } else {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                drop(socket.send_to(&reply.to_vec().unwrap(), client).await);
            }
        });
        Self { address, asked, task }
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A certificate authority.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, valid from 2000 to 2099.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client's certificate and key, PEM.
    pub(crate) fn client(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let (certificate, key) = self.issue(name, (2020, 2090));
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn issue(&self, name: &str, years: (i32, i32)) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn acceptor(&self, certificate: &Certificate) -> TlsAcceptor {
        let (leaf, key) = self.issue(certificate.name, certificate.years);
        let chain = vec![leaf.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if certificate.asks_for_client {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(self.certificate.der().to_vec())).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = if certificate.http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        config.alpn_protocols.push(b"http/1.1".to_vec());
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a TLS server presents and speaks.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The one name it is for.
    pub(crate) name: &'static str,
    /// First of January of these years: its validity.
    pub(crate) years: (i32, i32),
    /// Agrees to HTTP/2.
    pub(crate) http2: bool,
    /// Asks the client for a certificate, and goes on without one.
    pub(crate) asks_for_client: bool,
}

impl Certificate {
    /// A good one.
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, years: (2020, 2090), http2: true, asks_for_client: false }
    }
}

/// What a peer does with a connection.
pub(crate) enum Conduct {
    /// Reads and says nothing.
    Silent,
    /// Closes it once something came.
    Close,
    /// Resets it once something came.
    Reset,
    /// Says this once something came, and closes.
    Says(Vec<u8>),
    /// Sends a TLS record header and then its bytes one at a time, one in 200 ms.
    Drip,
    /// Speaks TLS.
    Tls(TlsAcceptor, After),
}

/// What a TLS server does after the handshake.
#[derive(Clone)]
pub(crate) enum After {
    /// Speaks HTTP, and answers like this.
    Http(Answer),
    /// Sends these bytes and holds the connection.
    Raw(Arc<[u8]>),
    /// Closes the connection.
    Close,
}

/// How HTTP is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// As an API server does.
    Api,
    /// With a redirect.
    Redirect(String),
    /// With a text that does not end.
    Endless,
    /// With a text that drips and does not end.
    Drip,
}

impl Conduct {
    /// A healthy API server with this certificate.
    pub(crate) fn serve(authority: &Authority, certificate: &Certificate) -> Self {
        Self::Tls(authority.acceptor(certificate), After::Http(Answer::Api))
    }

    /// Sends everybody elsewhere.
    pub(crate) fn redirect(authority: &Authority, location: &str) -> Self {
        Self::answering(authority, Answer::Redirect(location.to_owned()))
    }

    /// Answers with a body that does not end.
    pub(crate) fn endless(authority: &Authority) -> Self {
        Self::answering(authority, Answer::Endless)
    }

    /// Answers with a body that comes byte by byte and does not end.
    pub(crate) fn drip(authority: &Authority) -> Self {
        Self::answering(authority, Answer::Drip)
    }

    /// Sends bytes instead of HTTP/1.1.
    pub(crate) fn raw(authority: &Authority, bytes: &[u8]) -> Self {
        Self::Tls(
            authority.acceptor(&Certificate { http2: false, ..Certificate::of(super::HOST) }),
            After::Raw(bytes.into()),
        )
    }

    /// Closes after the handshake.
    pub(crate) fn close(authority: &Authority) -> Self {
        Self::Tls(authority.acceptor(&Certificate { http2: false, ..Certificate::of(super::HOST) }), After::Close)
    }

    fn answering(authority: &Authority, answer: Answer) -> Self {
        Self::Tls(authority.acceptor(&Certificate::of(super::HOST)), After::Http(answer))
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its path.
    pub(crate) path: String,
    /// Its `Authorization` header; empty when there was none.
    pub(crate) authorization: String,
}

/// What a peer saw.
#[derive(Default)]
struct Seen {
    clients: Mutex<Vec<IpAddr>>,
    requests: Mutex<Vec<Asked>>,
    client_certificates: Mutex<Vec<bool>>,
}

/// A server on an address of its own.
pub(crate) struct Peer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Peer {
    /// A healthy API server for [`super::HOST`].
    pub(crate) async fn api(port: u16, authority: &Authority) -> Self {
        Self::start(port, Conduct::serve(authority, &Certificate::of(super::HOST))).await
    }

    /// A peer on this port of a new address.
    pub(crate) async fn start(port: u16, conduct: Conduct) -> Self {
        let listener = TcpListener::bind((new_address(), port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let (conduct, shared) = (Arc::new(conduct), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                shared.clients.lock().unwrap().push(client.ip());
                tokio::spawn(behave(stream, Arc::clone(&conduct), Arc::clone(&shared)));
            }
        });
        Self { address, seen, task }
    }

    /// Its address without the port.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.seen.clients.lock().unwrap().len()
    }

    /// Where they came from.
    pub(crate) fn clients(&self) -> Vec<IpAddr> {
        self.seen.clients.lock().unwrap().clone()
    }

    /// The requests that came.
    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Of each handshake that completed: whether the client showed a certificate.
    pub(crate) fn client_certificates(&self) -> Vec<bool> {
        self.seen.client_certificates.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn behave(mut stream: TcpStream, conduct: Arc<Conduct>, seen: Arc<Seen>) {
    let mut first = [0; 16 * 1024];
    match &*conduct {
        Conduct::Silent => {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
        Conduct::Close => {
            let _ = stream.read(&mut first).await;
        }
        Conduct::Reset => {
            let _ = stream.read(&mut first).await;
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Conduct::Says(bytes) => {
            let _ = stream.read(&mut first).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut first).await;
        }
        Conduct::Drip => {
            for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc".iter().chain(std::iter::repeat(&0)) {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Conduct::Tls(acceptor, after) => {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let session = stream.get_ref().1;
            seen.client_certificates.lock().unwrap().push(session.peer_certificates().is_some());
            let http2 = session.alpn_protocol() == Some(b"h2");
            match after {
                After::Http(answer) => {
                    let service = service_fn(move |request| respond(answer.clone(), Arc::clone(&seen), request));
                    let io = TokioIo::new(stream);
                    let _ = if http2 {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                    };
                }
                After::Raw(bytes) => {
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.flush().await;
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                }
                After::Close => {
                    let _ = stream.shutdown().await;
                }
            }
        }
    }
}

async fn respond(
    answer: Answer,
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let path = request.uri().path().to_owned();
    let version = path.ends_with("/version");
    seen.requests.lock().unwrap().push(Asked { path, authorization: authorization.unwrap_or_default() });
    let whole = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes())).boxed();
    Ok(match answer {
        Answer::Api if version => Response::new(whole(r#"{"major":"1","minor":"33","gitVersion":"v1.33.1"}"#)),
        Answer::Api => Response::new(whole("ok")),
        Answer::Redirect(location) => {
            Response::builder().status(302).header("location", location).body(whole("")).unwrap()
        }
        Answer::Endless => Response::new(WithoutEnd { pause: None }.boxed()),
        Answer::Drip => Response::new(WithoutEnd { pause: Some(Box::pin(tokio::time::sleep(Duration::ZERO))) }.boxed()),
    })
}

/// A body that does not end: as fast as it is read, or a byte in 200 ms.
struct WithoutEnd {
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for WithoutEnd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(pause) = &mut self.pause else {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))));
        };
        std::task::ready!(pause.as_mut().poll(context));
        pause.as_mut().reset(tokio::time::Instant::now() + Duration::from_millis(200));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

/// A proxy that leads every tunnel to one peer.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// An HTTP proxy; with `authorization` it wants that very `Proxy-Authorization` header.
    pub(crate) async fn connect(to: SocketAddr, authorization: Option<&'static str>) -> Self {
        Self::start(move |mut client, asked| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.ok()?);
            }
            let head = String::from_utf8(head).ok()?;
            if authorization.is_some_and(|wanted| !head.contains(wanted)) {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                return client.write_all(refusal).await.ok();
            }
            asked.lock().unwrap().push(head.split(' ').nth(1)?.to_owned());
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
            let mut server = TcpStream::connect(to).await.ok()?;
            copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
        })
        .await
    }

    /// A SOCKS 5 proxy without authentication.
    pub(crate) async fn socks(to: SocketAddr) -> Self {
        Self::start(move |mut client, asked| async move {
            let _version = client.read_u8().await.ok()?;
            let methods = client.read_u8().await.ok()?;
            client.read_exact(&mut vec![0; usize::from(methods)]).await.ok()?;
            client.write_all(&[5, 0]).await.ok()?;
            let mut request = [0; 4];
            client.read_exact(&mut request).await.ok()?;
            let host = if request[3] == 3 {
                let length = client.read_u8().await.ok()?;
                let mut name = vec![0; usize::from(length)];
                client.read_exact(&mut name).await.ok()?;
                String::from_utf8(name).ok()?
            } else {
                Ipv4Addr::from(client.read_u32().await.ok()?).to_string()
            };
            let port = client.read_u16().await.ok()?;
            asked.lock().unwrap().push(format!("{host}:{port}"));
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
            let mut server = TcpStream::connect(to).await.ok()?;
            copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
        })
        .await
    }

    async fn start<Handler, Handled>(handler: Handler) -> Self
    where
        Handler: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> Handled + Send + 'static,
        Handled: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((new_address(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handler(stream, Arc::clone(&shared)));
            }
        });
        Self { address, asked, task }
    }

    /// The targets asked for, as the client named them.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
