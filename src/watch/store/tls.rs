//! Encryption of connections to PostgreSQL, as far as `sslmode` asks for it, in the sense that libpq gives to it.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    config::SslMode,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;

/// `sslmode` of a connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// None.
    Disable,
    /// Where the server offers it; whoever the server is.
    Prefer,
    /// Always; whoever the server is. With authorities given, as `verify-ca`.
    Require,
    /// Always, and an authority vouches for the server.
    VerifyCa,
    /// Always, and an authority vouches for the server under the name that was asked for.
    VerifyFull,
}

impl Encryption {
    /// Takes `sslmode` out of a connection string, because the client's own parser knows only some of its words.
    pub(super) fn split(url: &str) -> Result<(SecretString, Self), String> {
        let (head, options, separator) = match url.split_once('?') {
            Some((head, query)) if url.starts_with("postgres") => (format!("{head}?"), query.split('&').collect(), "&"),
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                (url.to_owned(), Vec::new(), "&")
            }
            _ => (String::new(), url.split(' ').collect::<Vec<_>>(), " "),
        };
        let (ours, others): (Vec<&str>, Vec<&str>) =
            options.into_iter().partition(|option| option.trim_start().starts_with("sslmode="));
        let mode = match ours.last().and_then(|option| option.split_once('=')).map(|(_, word)| word.trim()) {
            None | Some("prefer" | "allow") => Self::Prefer,
            Some("disable") => Self::Disable,
            Some("require") => Self::Require,
            Some("verify-ca") => Self::VerifyCa,
            Some("verify-full") => Self::VerifyFull,
            Some(_) => {
                return Err("sslmode of the PostgreSQL connection string is none of disable, prefer, require, \
                            verify-ca and verify-full"
                    .to_owned());
            }
        };
        Ok((SecretString::from(format!("{head}{}", others.join(separator))), mode))
    }

    /// The same for the client, which has no word for who must be on the other side.
    pub(super) const fn mode(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

/// Makes a handshake for each connection.
#[derive(Clone)]
pub(super) struct MakeTls {
    config: Arc<ClientConfig>,
}

impl MakeTls {
    /// Reads the authorities: those of `ca`, else the system's where the mode asks for any. The error is for people.
    pub(super) fn new(encryption: Encryption, ca: Option<&Path>) -> Result<Self, String> {
        let provider = Arc::new(default_provider());
        let checks = match (encryption, ca) {
            (Encryption::Disable | Encryption::Prefer, _) | (Encryption::Require, None) => Checks::Nothing,
            (Encryption::Require | Encryption::VerifyCa, _) => Checks::Chain(authorities(ca, &provider)?),
            (Encryption::VerifyFull, _) => Checks::ChainAndName(authorities(ca, &provider)?),
        };
        let verifier = Verifier { checks, algorithms: provider.signature_verification_algorithms };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }
}

impl MakeTlsConnect<Socket> for MakeTls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        // A socket in the file system has no name, and nothing to encrypt: the client does not come here for it.
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake { connector: TlsConnector::from(Arc::clone(&self.config)), name })
    }
}

/// One handshake.
pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(Box::new(self.connector.connect(self.name, stream).await?))) })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    /// A hash of the server's certificate (RFC 5929): a password is of no use to somebody in between who presents another.
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let binding = session.peer_certificates().and_then(<[_]>::first).and_then(|leaf| {
            let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
            let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
                // RSA and ECDSA with SHA-384, then with SHA-512.
                "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
                "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
                // The same with SHA-256, and with MD5 and SHA-1, which are replaced by it.
                "1.2.840.113549.1.1.11"
                | "1.2.840.10045.4.3.2"
                | "1.2.840.113549.1.1.4"
                | "1.2.840.113549.1.1.5"
                | "1.2.840.10045.4.1" => &digest::SHA256,
                _ => return None,
            };
            Some(digest::digest(algorithm, leaf).as_ref().to_vec())
        });
        binding.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

/// Judges the server's certificate as far as the mode asks for it.
#[derive(Debug)]
struct Verifier {
    checks: Checks,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Checks {
    Nothing,
    Chain(Arc<WebPkiServerVerifier>),
    ChainAndName(Arc<WebPkiServerVerifier>),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let judged =
            |authorities: &WebPkiServerVerifier| authorities.verify_server_cert(leaf, intermediates, name, ocsp, now);
        match &self.checks {
            Checks::Nothing => Ok(ServerCertVerified::assertion()),
            Checks::ChainAndName(authorities) => judged(authorities),
            // The name is judged last: whoever fails by it alone has passed everything else.
            Checks::Chain(authorities) => match judged(authorities) {
                Err(TlsError::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(ServerCertVerified::assertion()),
                result => result,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn authorities(ca: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let files: Vec<PathBuf> = match ca {
        Some(ca) => vec![ca.to_owned()],
        None => crate::input::variable("SSL_CERT_FILE")
            .map(PathBuf::from)
            .into_iter()
            .chain(SYSTEM_ROOTS.iter().map(PathBuf::from))
            .collect(),
    };
    let Some(file) = files.iter().find(|file| ca.is_some() || file.exists()) else {
        return Err(
            "the system's certificate authorities are in no place that is known; name a file as `ca`".to_owned()
        );
    };
    let cannot = |message: &str| format!("{}: {message}", file.display());
    let text = crate::input::read_text(file, "file of certificate authorities", LARGEST_BUNDLE)
        .map_err(|error| cannot(&error.message))?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(cannot("there is no certificate in it; PEM was expected"));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| cannot(&error.to_string()))
}

const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const LARGEST_BUNDLE: u64 = 4 * crate::input::MEBIBYTE;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_mode_is_taken_out_and_everything_else_stays() {
        use Encryption::{Disable, Prefer, Require, VerifyCa, VerifyFull};
        for (url, rest, mode) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", Prefer),
            ("postgres://u:p@h/d?sslmode=disable", "postgres://u:p@h/d?", Disable),
            ("postgresql://h/d?a=b&sslmode=verify-full&c=d", "postgresql://h/d?a=b&c=d", VerifyFull),
            ("postgres://h/d?sslmode=require&application_name=x", "postgres://h/d?application_name=x", Require),
            ("host=h sslmode=verify-ca user=u", "host=h user=u", VerifyCa),
        ] {
            let (left, found) = Encryption::split(url).unwrap();
            assert_eq!((left.expose_secret(), found), (rest, mode), "{url}");
        }
        let error = Encryption::split("postgres://u:hunter2@h/d?sslmode=strict").unwrap_err();
        assert!(error.contains("verify-full") && !error.contains("hunter2"), "{error}");
    }
}
