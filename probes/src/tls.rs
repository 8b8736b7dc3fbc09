//! One TLS handshake on a stream that is already connected: the chain and the verdict are recorded, the handshake goes on.
//!
//! The certificate is judged after the handshake, not during it, so that an untrusted peer's answer is still seen.
//! Whoever sends credentials must look at the outcome first.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{Certificate, ClusterCa, Credentials, TlsChecks, TlsOutcome, TlsStage, Trust, Validity};

/// What a `ClientHello` looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hello {
    /// As a current Go client's: a post-quantum key share first, so larger than one segment; h2 and http/1.1.
    #[default]
    Standard,
    /// Classical key shares only: it fits one segment.
    Classical,
    /// As standard, without the SNI extension.
    NoServerName,
    /// As standard, offering http/1.1 alone.
    Http1,
    /// The least that is a full handshake: classical key shares, http/1.1 alone, AES-128 first as Go has it; a chain that
    /// verified within the last minute is not verified again.
    Lean,
}

/// A handshake's stage and, when it completed, the stream to go on with.
pub type Handshake<S> = (TlsStage, Option<TlsStream<Watched<S>>>);

/// Shakes hands on `stream` within `timeout`, sending `server_name` as SNI, and judges the chain by `trust` at `now`.
///
/// `server_name` is a DNS name or an address literal (then no SNI is sent). With `identity` the client offers that
/// certificate; it is meant for a second connection, after a first one has verified the peer.
pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    server_name: &str,
    trust: &Trust,
    hello: Hello,
    identity: Option<&Credentials>,
    timeout: Duration,
) -> Handshake<S> {
    let started = Instant::now();
    let name = match ServerName::try_from(server_name.to_owned()) {
        Ok(name) => name,
        Err(error) => {
            let detail = format!("{server_name:?} cannot be sent as a server name: {error}");
            return (TlsStage { detail: Some(detail), ..TlsStage::skipped() }, None);
        }
    };
    let config = match identity {
        Some(Credentials::ClientCertificate(chain, key)) => match config_with_identity(hello, chain, key, trust) {
            Ok(config) => config,
            Err(detail) => return (TlsStage { detail: Some(detail), ..TlsStage::skipped() }, None),
        },
        _ => config(hello),
    };
    let first_bytes = FirstBytes::default();
    let watched = Watched { inner: stream, seen: first_bytes.shared() };
    let connecting = TlsConnector::from(config).connect(name.clone(), watched);
    let result = tokio::time::timeout(timeout, connecting).await;
    let mut stage =
        TlsStage { ms: milliseconds(started), server_name: Some(server_name.to_owned()), ..TlsStage::skipped() };
    match result {
        Err(_elapsed) => {
            stage.outcome = TlsOutcome::Timeout;
            stage.detail = Some(match first_bytes.count() {
                0 => "no byte came back".to_owned(),
                count => format!("{count} bytes came back, then nothing"),
            });
            (stage, None)
        }
        Ok(Err(error)) => {
            (stage.outcome, stage.detail) = classify(&error, &first_bytes.take());
            (stage, None)
        }
        Ok(Ok(stream)) => {
            let connection = stream.get_ref().1;
            stage.version = connection.protocol_version().map(|version| match version {
                rustls::ProtocolVersion::TLSv1_3 => "1.3".to_owned(),
                rustls::ProtocolVersion::TLSv1_2 => "1.2".to_owned(),
                other => format!("{other:?}"),
            });
            stage.suite =
                connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str().map(str::to_owned));
            stage.key_exchange =
                connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str().map(str::to_owned));
            stage.alpn = connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
            let chain = connection.peer_certificates().unwrap_or_default();
            let known = match trust {
                Trust::ClusterCa(ca) if hello == Hello::Lean => ca.verified.recall(chain, server_name),
                _ => None,
            };
            if let Some((checks, described)) = known {
                stage.outcome = TlsOutcome::Verified;
                stage.checks = Some(checks);
                stage.chain = described;
                return (stage, Some(stream));
            }
            let judgement = judge(chain, &name, trust, UnixTime::now());
            stage.outcome = judgement.outcome;
            stage.checks = judgement.checks;
            stage.detail = judgement.detail;
            stage.chain = chain.iter().take(MAXIMUM_CHAIN).map(describe).collect();
            if let (Trust::ClusterCa(ca), Hello::Lean, TlsOutcome::Verified, Some(checks)) =
                (trust, hello, stage.outcome, &stage.checks)
            {
                ca.verified.note(chain, server_name, checks, &stage.chain);
            }
            (stage, Some(stream))
        }
    }
}

impl TlsStage {
    /// The stage of an attempt that never came so far.
    #[must_use]
    pub const fn skipped() -> Self {
        Self {
            outcome: TlsOutcome::Skipped,
            ms: 0.0,
            version: None,
            suite: None,
            key_exchange: None,
            alpn: None,
            server_name: None,
            chain: Vec::new(),
            detail: None,
            checks: None,
            variants: Vec::new(),
        }
    }
}

/// A stream that remembers how many bytes came, and the first few of them: evidence when they are not TLS.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    seen: Arc<std::sync::Mutex<Seen>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if !new.is_empty()
            && let Ok(mut seen) = self.seen.lock()
        {
            let room = MAXIMUM_FIRST_BYTES.saturating_sub(seen.first.len());
            seen.first.extend_from_slice(&new[..new.len().min(room)]);
            seen.count += new.len() as u64;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    first: Vec<u8>,
}

#[derive(Default)]
struct FirstBytes(Arc<std::sync::Mutex<Seen>>);

impl FirstBytes {
    fn shared(&self) -> Arc<std::sync::Mutex<Seen>> {
        Arc::clone(&self.0)
    }

    fn count(&self) -> u64 {
        self.0.lock().map_or(0, |seen| seen.count)
    }

    fn take(&self) -> Vec<u8> {
        self.0.lock().map(|mut seen| std::mem::take(&mut seen.first)).unwrap_or_default()
    }
}

/// What a failed handshake was.
fn classify(error: &io::Error, first_bytes: &[u8]) -> (TlsOutcome, Option<String>) {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>()) {
        Some(RustlsError::AlertReceived(rustls::AlertDescription::CloseNotify)) => {
            (TlsOutcome::Closed, Some("the peer closed the session before it was set up".to_owned()))
        }
        Some(RustlsError::AlertReceived(alert)) => (TlsOutcome::Alert, Some(format!("alert {}", alert_name(*alert)))),
        Some(RustlsError::PeerIncompatible(reason)) => (
            TlsOutcome::Alert,
            Some(format!("no common ground: the peer offers {reason:?}; offered were TLS 1.2 and 1.3")),
        ),
        Some(RustlsError::InvalidCertificate(reason)) => {
            (TlsOutcome::Untrusted, Some(format!("the handshake's signature does not fit the certificate: {reason:?}")))
        }
        Some(_) if !first_bytes.is_empty() && !looks_like_tls(first_bytes) => {
            (TlsOutcome::NotTls, Some(format!("the first bytes are {}", printable(first_bytes))))
        }
        Some(other) => (TlsOutcome::NotTls, Some(other.to_string())),
        None => match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                (TlsOutcome::Reset, Some(error.to_string()))
            }
            io::ErrorKind::UnexpectedEof if !first_bytes.is_empty() && !looks_like_tls(first_bytes) => {
                (TlsOutcome::NotTls, Some(format!("the first bytes are {}", printable(first_bytes))))
            }
            io::ErrorKind::UnexpectedEof => (TlsOutcome::Closed, Some("the peer closed the connection".to_owned())),
            io::ErrorKind::TimedOut => (TlsOutcome::Timeout, Some(error.to_string())),
            _ => (TlsOutcome::Reset, Some(error.to_string())),
        },
    }
}

fn alert_name(alert: rustls::AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned)
}

fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=23)) && bytes.get(1).is_none_or(|major| *major == 3)
}

fn printable(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text: String = line.escape_ascii().to_string().chars().take(60).collect();
    format!("\"{}\"", text.trim_end_matches("\\r"))
}

struct Judgement {
    outcome: TlsOutcome,
    checks: Option<TlsChecks>,
    detail: Option<String>,
}

/// Chain, validity and name, each on its own.
fn judge(chain: &[CertificateDer<'_>], name: &ServerName<'_>, trust: &Trust, now: UnixTime) -> Judgement {
    let Some((leaf, intermediates)) = chain.split_first() else {
        let detail = "the peer presented no certificate".to_owned();
        return Judgement { outcome: TlsOutcome::Untrusted, checks: None, detail: Some(detail) };
    };
    let trusted_at = |time| match trust {
        Trust::ClusterCa(ca) => verify_by_cluster_ca(ca, leaf, intermediates, time),
        Trust::SystemRoots => verify_by_system_roots(leaf, intermediates, name, time),
    };
    // Validity aside, that of the authorities included.
    let leads_to_trust = |time| match trust {
        Trust::ClusterCa(ca) if verify_by_cluster_ca(ca, leaf, intermediates, time).is_err() => {
            verify_by_roots(&ca.roots, leaf, intermediates, time).is_ok()
        }
        _ => trusted_at(time).is_ok(),
    };
    let label = match trust {
        Trust::ClusterCa(_) => "cluster-ca",
        Trust::SystemRoots => "system-roots",
    };
    let parsed = ParsedCertificate::try_from(leaf);
    let name_error = match &parsed {
        Ok(parsed) => verify_server_name(parsed, name).err(),
        Err(error) => Some(error.clone()),
    };
    let chain_error = trusted_at(now).err();
    let checks = |trusted, validity, trusted_by_system_roots| {
        Some(TlsChecks {
            trust: label.to_owned(),
            trusted,
            trusted_by_system_roots,
            trusted_by_other: None,
            name_matches: name_error.is_none(),
            validity,
        })
    };
    let Some(error) = chain_error else {
        return match &name_error {
            None => {
                Judgement { outcome: TlsOutcome::Verified, checks: checks(true, Validity::Valid, None), detail: None }
            }
            Some(error) => Judgement {
                outcome: TlsOutcome::NameMismatch,
                checks: checks(true, Validity::Valid, None),
                detail: Some(error.to_string()),
            },
        };
    };
    let validity = validity(&error, chain, now);
    let by_system = match trust {
        Trust::SystemRoots => None,
        Trust::ClusterCa(_) => system_roots_trust(leaf, intermediates, name, common_time(chain)),
    };
    let trusted = validity != Validity::Valid && common_time(chain).is_some_and(leads_to_trust);
    let outcome = match (trusted, validity) {
        (true, Validity::Expired) => TlsOutcome::Expired,
        (true, Validity::NotYetValid) => TlsOutcome::NotYetValid,
        _ => TlsOutcome::Untrusted,
    };
    let by_other = match trust {
        Trust::ClusterCa(ca) if !trusted => common_time(chain).and_then(|time| {
            let vouches = |roots| verify_by_roots(roots, leaf, intermediates, time).is_ok();
            ca.others.iter().find(|other| vouches(&other.roots)).map(|other| other.label.clone())
        }),
        _ => None,
    };
    let checks = checks(trusted, validity, by_system).map(|checks| TlsChecks { trusted_by_other: by_other, ..checks });
    Judgement { outcome, checks, detail: Some(words(&error)) }
}

fn words(error: &RustlsError) -> String {
    match error {
        RustlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "certificate signed by unknown authority".to_owned()
        }
        RustlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("certificate expired at {}", moment(*not_after))
        }
        RustlsError::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!("certificate is not valid before {}", moment(*not_before))
        }
        RustlsError::InvalidCertificate(CertificateError::Expired) => {
            "an authority of the chain has expired".to_owned()
        }
        RustlsError::InvalidCertificate(CertificateError::NotValidYet) => {
            "an authority of the chain is not valid yet".to_owned()
        }
        RustlsError::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "the certificate is an authority's own, and not one of the trusted ones".to_owned()
        }
        RustlsError::InvalidCertificate(reason) => reason.to_string(),
        other => other.to_string(),
    }
}

fn moment(time: UnixTime) -> String {
    Timestamp::from_second(seconds(time)).ok().map_or_else(|| "an unreadable time".to_owned(), |time| time.to_string())
}

fn verify_by_cluster_ca(
    ca: &ClusterCa,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    time: UnixTime,
) -> Result<(), RustlsError> {
    // As Go does: a leaf that is itself listed as an authority is trusted.
    if ca.certificates.iter().any(|certificate| certificate.as_ref() == leaf.as_ref()) {
        return within_validity(leaf, time);
    }
    let seconds = seconds(time);
    let Some(valid) = ca.valid_at(seconds) else { return verify_by_roots(&ca.roots, leaf, intermediates, time) };
    // As Go does and webpki does not: an authority outside its own validity anchors nothing.
    let by_valid = verify_by_roots(&valid, leaf, intermediates, time);
    if by_valid.is_ok() || verify_by_roots(&ca.roots, leaf, intermediates, time).is_err() {
        return by_valid;
    }
    let over = ca.certificates.iter().filter_map(period).any(|(_, end)| end < seconds);
    Err(if over { CertificateError::Expired } else { CertificateError::NotValidYet }.into())
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn verify_by_roots(
    roots: &RootCertStore,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    time: UnixTime,
) -> Result<(), RustlsError> {
    let parsed = ParsedCertificate::try_from(leaf)?;
    let algorithms = provider(Hello::Standard).signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, time, algorithms.all)
}

fn within_validity(leaf: &CertificateDer<'_>, time: UnixTime) -> Result<(), RustlsError> {
    let now = seconds(time);
    match period(leaf) {
        Some((begin, _)) if now < begin => Err(CertificateError::NotValidYet.into()),
        Some((_, end)) if now > end => Err(CertificateError::Expired.into()),
        Some(_) => Ok(()),
        None => Err(CertificateError::BadEncoding.into()),
    }
}

/// The platform verifier checks the name as well; a name that does not fit is not its business here.
fn verify_by_system_roots(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    time: UnixTime,
) -> Result<(), RustlsError> {
    let verifier = system_verifier().ok_or_else(|| RustlsError::General("this system has no roots".to_owned()))?;
    match verifier.verify_server_cert(leaf, intermediates, name, &[], time) {
        Ok(_)
        | Err(RustlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        Err(error) => Err(error),
    }
}

fn system_roots_trust(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    time: Option<UnixTime>,
) -> Option<bool> {
    system_verifier()?;
    Some(verify_by_system_roots(leaf, intermediates, name, time?).is_ok())
}

fn system_verifier() -> Option<&'static rustls_platform_verifier::Verifier> {
    static VERIFIER: OnceLock<Option<rustls_platform_verifier::Verifier>> = OnceLock::new();
    VERIFIER.get_or_init(|| rustls_platform_verifier::Verifier::new(provider(Hello::Standard)).ok()).as_ref()
}

fn validity(error: &RustlsError, chain: &[CertificateDer<'_>], now: UnixTime) -> Validity {
    match error {
        RustlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Validity::Expired
        }
        RustlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Validity::NotYetValid,
        _ => {
            let now = seconds(now);
            chain.first().and_then(period).map_or(Validity::Valid, |(begin, end)| match now {
                now if now < begin => Validity::NotYetValid,
                now if now > end => Validity::Expired,
                _ => Validity::Valid,
            })
        }
    }
}

/// A moment at which every certificate of the chain is valid, else one at which the leaf is.
fn common_time(chain: &[CertificateDer<'_>]) -> Option<UnixTime> {
    let periods: Vec<_> = chain.iter().filter_map(period).collect();
    let begin = periods.iter().map(|(begin, _)| *begin).max()?;
    let end = periods.iter().map(|(_, end)| *end).min()?;
    let time = if begin <= end { begin.midpoint(end) } else { periods.first().map(|(a, b)| a.midpoint(*b))? };
    Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time).ok()?)))
}

/// Begin and end of a certificate's validity, in seconds since 1970.
pub(crate) fn period(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}

/// SHA-256 as hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a certificate says, for people and for comparison. An unreadable one keeps its fingerprint.
#[must_use]
pub fn describe(certificate: &CertificateDer<'_>) -> Certificate {
    let sha256 = sha256(certificate);
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        let unreadable = "(unreadable)".to_owned();
        return Certificate {
            subject: unreadable.clone(),
            issuer: unreadable,
            not_before: None,
            not_after: None,
            sha256,
            names: Vec::new(),
        };
    };
    let names = parsed.subject_alternative_name().ok().flatten().map_or_else(Vec::new, |extension| {
        extension.value.general_names.iter().filter_map(name_text).take(MAXIMUM_NAMES).collect()
    });
    Certificate {
        subject: bounded(&parsed.subject().to_string()),
        issuer: bounded(&parsed.issuer().to_string()),
        not_before: Timestamp::from_second(parsed.validity().not_before.timestamp()).ok(),
        not_after: Timestamp::from_second(parsed.validity().not_after.timestamp()).ok(),
        sha256,
        names,
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(bounded(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(MAXIMUM_NAME_CHARACTERS).collect()
}

fn config(hello: Hello) -> Arc<ClientConfig> {
    static CONFIGS: [OnceLock<Arc<ClientConfig>>; 5] = [const { OnceLock::new() }; 5];
    Arc::clone(
        CONFIGS[hello as usize].get_or_init(|| Arc::new(configure(builder(hello, None).with_no_client_auth(), hello))),
    )
}

/// With an identity the certificate of the peer is judged within the handshake: who one is, one tells only to the right one.
fn config_with_identity(hello: Hello, chain: &[u8], key: &[u8], trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the client certificate cannot be used: {error}");
    let chain =
        CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    // The error of a key is not printed: it could hold part of it.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable(&"its key is not PEM"))?;
    let config =
        builder(hello, Some(trust.clone())).with_client_auth_cert(chain, key).map_err(|error| unusable(&error))?;
    Ok(Arc::new(configure(config, hello)))
}

fn builder(
    hello: Hello,
    demanded: Option<Trust>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = provider(hello);
    let recorder = Recorder { algorithms: provider.signature_verification_algorithms, demanded };
    let builder = ClientConfig::builder_with_provider(provider);
    // Both versions are among the provider's by construction; the fallback cannot be reached.
    let builder = builder
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap_or_else(|_| ClientConfig::builder());
    builder.dangerous().with_custom_certificate_verifier(Arc::new(recorder))
}

fn configure(mut config: ClientConfig, hello: Hello) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_sni = hello != Hello::NoServerName;
    config.alpn_protocols = match hello {
        Hello::Http1 | Hello::Lean => vec![b"http/1.1".to_vec()],
        _ => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config
}

/// Explicit providers, so that feature unification cannot silently change what is sent.
fn provider(hello: Hello) -> Arc<CryptoProvider> {
    static STANDARD: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static CLASSICAL: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static LEAN: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    use rustls::crypto::aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider, kx_group};
    let groups = |groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>| {
        Arc::new(CryptoProvider { kx_groups: groups, ..default_provider() })
    };
    match hello {
        Hello::Classical => {
            CLASSICAL.get_or_init(|| groups(vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1]))
        }
        Hello::Lean => LEAN.get_or_init(|| {
            let classical = provider(Hello::Classical);
            let first = TLS13_AES_128_GCM_SHA256;
            let others = classical.cipher_suites.iter().copied().filter(|suite| suite.suite() != first.suite());
            let cipher_suites = std::iter::once(first).chain(others).collect();
            Arc::new(CryptoProvider { cipher_suites, ..CryptoProvider::clone(&classical) })
        }),
        _ => STANDARD.get_or_init(|| {
            groups(vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1])
        }),
    }
    .clone()
}

/// The chain that verified last, so that repeated probes of one target need not verify it each time.
#[derive(Debug, Default)]
pub(crate) struct Verified(std::sync::Mutex<Option<VerifiedChain>>);

#[derive(Debug)]
struct VerifiedChain {
    chain: Vec<CertificateDer<'static>>,
    server_name: String,
    at: Instant,
    checks: TlsChecks,
    described: Vec<Certificate>,
}

impl Verified {
    /// What was found of this very chain, byte for byte, for this name, not long ago.
    fn recall(&self, chain: &[CertificateDer<'_>], server_name: &str) -> Option<(TlsChecks, Vec<Certificate>)> {
        let known = self.0.lock().ok()?;
        let known = known.as_ref()?;
        let same = known.server_name == server_name && known.chain.as_slice() == chain;
        (same && known.at.elapsed() < VERIFIED_COUNTS_FOR).then(|| (known.checks.clone(), known.described.clone()))
    }

    fn note(&self, chain: &[CertificateDer<'_>], server_name: &str, checks: &TlsChecks, described: &[Certificate]) {
        if let Ok(mut known) = self.0.lock() {
            *known = Some(VerifiedChain {
                chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
                server_name: server_name.to_owned(),
                at: Instant::now(),
                checks: checks.clone(),
                described: described.to_vec(),
            });
        }
    }
}

/// Lets every certificate pass, so that what stands behind it is seen; [`judge`] decides afterwards. Where trust is
/// demanded it decides at once, before the client says who it is.
/// Signatures of the handshake itself are verified: the peer must hold the key of what it presents.
#[derive(Debug)]
struct Recorder {
    algorithms: WebPkiSupportedAlgorithms,
    demanded: Option<Trust>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let Some(trust) = &self.demanded else { return Ok(ServerCertVerified::assertion()) };
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf).chain(intermediates).cloned().collect();
        match judge(&chain, name, trust, now).outcome {
            TlsOutcome::Verified => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A certificate that expires is noticed after this long at the latest.
const VERIFIED_COUNTS_FOR: Duration = Duration::from_mins(1);
const MAXIMUM_CHAIN: usize = 10;
const MAXIMUM_NAMES: usize = 64;
const MAXIMUM_NAME_CHARACTERS: usize = 256;
const MAXIMUM_FIRST_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake with a server of a certificate of its own, which nobody trusts; somebody beside may know it.
    async fn with_a_stranger(identity: Option<&Credentials>, known: bool) -> (TlsStage, bool) {
        let stranger = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(stranger.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider(Hello::Standard))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![stranger.cert.der().clone()], key)
            .unwrap();
        let (ours, theirs) = tokio::io::duplex(16 << 10);
        let serving = tokio::spawn(async move {
            let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(theirs).await;
        });
        let trusted = rcgen::generate_simple_self_signed(["other.test".to_owned()]).unwrap();
        let others = [("nobody".to_owned(), "no PEM".to_owned()), ("present".to_owned(), stranger.cert.pem())];
        let others = others.into_iter().take(if known { 2 } else { 1 });
        let trust = Trust::ClusterCa(Arc::new(ClusterCa::from_pem(&trusted.cert.pem()).unwrap().beside(others)));
        let (stage, stream) =
            handshake(ours, "api.test", &trust, Hello::Standard, identity, Duration::from_secs(5)).await;
        serving.abort();
        (stage, stream.is_some())
    }

    #[tokio::test]
    async fn a_stranger_is_heard_but_not_told_who_we_are() {
        let (stage, goes_on) = with_a_stranger(None, false).await;
        assert_eq!((stage.outcome, goes_on), (TlsOutcome::Untrusted, true));
        let client = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let identity = Credentials::ClientCertificate(
            client.cert.pem().into_bytes(),
            client.signing_key.serialize_pem().into_bytes(),
        );
        let (stage, goes_on) = with_a_stranger(Some(&identity), true).await;
        assert_eq!((stage.outcome, goes_on), (TlsOutcome::Untrusted, false), "{stage:?}");
    }

    #[tokio::test]
    async fn who_else_vouches_for_a_chain_is_written_down_and_changes_nothing() {
        let (unknown, _) = with_a_stranger(None, false).await;
        assert_eq!(unknown.checks.unwrap().trusted_by_other, None);
        let (known, _) = with_a_stranger(None, true).await;
        assert_eq!(known.outcome, TlsOutcome::Untrusted);
        let checks = known.checks.unwrap();
        assert_eq!((checks.trusted, checks.trusted_by_other.as_deref()), (false, Some("present")));
    }
}
