//! A box on the path: passes TCP on, unless it does not like what it sees; or opens the TLS and re-signs it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{Acceptor, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{CertificateSpec, LabCa, Running, ServerError, authority::provider, reset, script::read_record};

/// A TCP relay that may look into the first TLS record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Relay {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Where it passes connections on to.
    pub to: SocketAddr,
    /// Names (or endings of names, with a leading dot) that may not be asked for.
    #[serde(default)]
    pub deny_names: Vec<String>,
    /// What happens to a connection that asks for a denied name.
    #[serde(default)]
    pub denied: SniAction,
    /// Goes silent when the first record is longer than this: a parser that looks at one segment only.
    #[serde(default)]
    pub largest_hello: Option<usize>,
    /// Terminates TLS with a certificate of this authority for the name asked, and speaks TLS onward.
    #[serde(default)]
    pub resign_with: Option<String>,
    /// Of the re-signing box: protocols that it agrees to by ALPN.
    #[serde(default = "both_protocols")]
    pub alpn: Vec<String>,
}

/// What a box does with what it does not like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SniAction {
    /// Resets the connection.
    #[default]
    Reset,
    /// Closes it in an orderly way.
    Close,
    /// Says nothing more.
    Drop,
}

impl Relay {
    pub(super) async fn start(
        &self,
        authorities: &BTreeMap<String, Arc<LabCa>>,
        running: &mut Running,
    ) -> Result<(), ServerError> {
        let relay = Arc::new(self.clone());
        let Some(authority) = &self.resign_with else {
            return running.accept(&self.listen, move |stream| pass_on(Arc::clone(&relay), stream)).await;
        };
        let authority = authorities.get(authority).ok_or_else(|| ServerError::UnknownAuthority(authority.clone()))?;
        let invalid = |error: rustls::Error| ServerError::Invalid(format!("TLS: {error}"));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resigner { authority: Arc::clone(authority), issued: Mutex::default() }));
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        running.accept(&self.listen, move |stream| intercept(Arc::clone(&relay), acceptor.clone(), stream)).await
    }
}

async fn pass_on(relay: Arc<Relay>, mut client: TcpStream) {
    let mut first = Vec::new();
    if relay.largest_hello.is_some() || !relay.deny_names.is_empty() {
        let Ok(record) = read_record(&mut client).await else { return };
        if relay.largest_hello.is_some_and(|largest| record.len() > largest) {
            return hold(client).await;
        }
        if server_name(&record).is_some_and(|name| relay.denies(&name)) {
            return match relay.denied {
                SniAction::Reset => reset(client),
                SniAction::Close => drop(client.shutdown().await),
                SniAction::Drop => hold(client).await,
            };
        }
        first = record;
    }
    let Ok(mut server) = TcpStream::connect(relay.to).await else { return reset(client) };
    if server.write_all(&first).await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

impl Relay {
    fn denies(&self, name: &str) -> bool {
        self.deny_names.iter().any(|denied| {
            if denied.starts_with('.') { name.ends_with(denied.as_str()) } else { name == denied.as_str() }
        })
    }
}

async fn hold(mut stream: TcpStream) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// The server name in a record that holds a whole client hello.
fn server_name(record: &[u8]) -> Option<String> {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &record[..]).ok()?;
    acceptor.accept().ok()??.client_hello().server_name().map(str::to_owned)
}

async fn intercept(relay: Arc<Relay>, acceptor: TlsAcceptor, client: TcpStream) {
    let Ok(mut client) = acceptor.accept(client).await else { return };
    let (_, session) = client.get_ref();
    let name = session.server_name().map_or_else(|| relay.to.ip().to_string(), str::to_owned);
    let Ok(name) = ServerName::try_from(name) else { return };
    let Ok(builder) = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions() else {
        return;
    };
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnything)).with_no_client_auth();
    config.alpn_protocols = session.alpn_protocol().map(<[u8]>::to_vec).into_iter().collect();
    let Ok(server) = TcpStream::connect(relay.to).await else { return };
    let Ok(mut server) = TlsConnector::from(Arc::new(config)).connect(name, server).await else { return };
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Issues a certificate for whatever name a client asks for, as inspecting proxies do.
#[derive(Debug)]
struct Resigner {
    authority: Arc<LabCa>,
    issued: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Resigner {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or("intercepted.invalid").to_owned();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = issued.get(&name) {
            return Some(Arc::clone(key));
        }
        let spec = CertificateSpec {
            common_name: Some(name.clone()),
            names: vec![name.clone()],
            ..CertificateSpec::default()
        };
        let identity = self.authority.issue(&spec).ok()?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&identity.key).ok()?;
        let certified = Arc::new(CertifiedKey::new(identity.chain, key));
        if issued.len() < MOST_NAMES {
            issued.insert(name, Arc::clone(&certified));
        }
        Some(certified)
    }
}

/// The box does not care whom it talks to: it is the thing that is wrong.
#[derive(Debug)]
struct AcceptAnything;

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn both_protocols() -> Vec<String> {
    vec!["h2".to_owned(), "http/1.1".to_owned()]
}

const MOST_NAMES: usize = 256;
