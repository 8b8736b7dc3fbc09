//! Certificate authorities made on the spot, and the certificates they issue.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde::{Deserialize, Serialize};

use super::ServerError;

/// A certificate authority with its key.
pub struct LabCa {
    common_name: String,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl LabCa {
    /// A new authority, valid from yesterday for ten years.
    pub fn new(common_name: &str) -> Result<Self, ServerError> {
        Self::from_spec(&AuthoritySpec { common_name: common_name.to_owned(), ..AuthoritySpec::default() })
    }

    /// An authority as described. With a key given, every call makes the *same* authority (same name, same key), so
    /// that several processes can issue for it.
    pub fn from_spec(spec: &AuthoritySpec) -> Result<Self, ServerError> {
        let failed = |error: rcgen::Error| certificate_error(&spec.common_name, &error);
        let key = match &spec.key_pem {
            Some(pem) => KeyPair::from_pem(pem),
            None => KeyPair::generate(),
        }
        .map_err(failed)?;
        let params = authority_params(&spec.common_name, spec.valid_from_hours, spec.valid_until_hours);
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            common_name: spec.common_name.clone(),
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its private key, PEM: what [`AuthoritySpec::key_pem`] takes.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a server certificate with a new key. The chain is the leaf, then the intermediate when asked for;
    /// the authority itself is never part of it.
    pub fn issue(&self, spec: &CertificateSpec) -> Result<Identity, ServerError> {
        let subject = spec.common_name.as_deref().unwrap_or("kube-apiserver");
        let failed = |error: rcgen::Error| certificate_error(subject, &error);
        let names: Vec<String> =
            spec.names.iter().cloned().chain(spec.addresses.iter().map(ToString::to_string)).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, spec.valid_from_hours, spec.valid_until_hours);
        let key = KeyPair::generate().map_err(failed)?;
        let chain = if spec.intermediate {
            let name = format!("{} intermediate", self.common_name);
            let intermediate_params =
                authority_params(&name, AuthoritySpec::default().valid_from_hours, spec.valid_until_hours.max(1));
            let intermediate_key = KeyPair::generate().map_err(failed)?;
            let intermediate = intermediate_params.signed_by(&intermediate_key, &self.issuer).map_err(failed)?;
            let issuer = Issuer::new(intermediate_params, intermediate_key);
            let leaf = params.signed_by(&key, &issuer).map_err(failed)?;
            vec![leaf.der().clone(), intermediate.der().clone()]
        } else {
            vec![params.signed_by(&key, &self.issuer).map_err(failed)?.der().clone()]
        };
        Ok(Identity { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }
}

impl std::fmt::Debug for LabCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LabCa").field("common_name", &self.common_name).finish_non_exhaustive()
    }
}

/// How an authority is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct AuthoritySpec {
    /// Its name in the certificate.
    pub common_name: String,
    /// Begin of validity, hours from now.
    pub valid_from_hours: i64,
    /// End of validity, hours from now.
    pub valid_until_hours: i64,
    /// Its key (PKCS 8, PEM); a new one when absent.
    pub key_pem: Option<String>,
}

impl Default for AuthoritySpec {
    fn default() -> Self {
        Self {
            common_name: "kubernetes".to_owned(),
            valid_from_hours: -24,
            valid_until_hours: 24 * 3650,
            key_pem: None,
        }
    }
}

/// A server certificate to be issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct CertificateSpec {
    /// Which authority issues it.
    pub authority: String,
    /// Subject's common name; `kube-apiserver` when absent.
    pub common_name: Option<String>,
    /// DNS names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Begin of validity, hours from now.
    pub valid_from_hours: i64,
    /// End of validity, hours from now.
    pub valid_until_hours: i64,
    /// Issue it from an intermediate authority and present that too.
    pub intermediate: bool,
}

impl Default for CertificateSpec {
    fn default() -> Self {
        Self {
            authority: "prod".to_owned(),
            common_name: None,
            names: Vec::new(),
            addresses: Vec::new(),
            valid_from_hours: -1,
            valid_until_hours: 24 * 365,
            intermediate: false,
        }
    }
}

impl CertificateSpec {
    pub(super) fn issue(
        &self,
        authorities: &std::collections::BTreeMap<String, Arc<LabCa>>,
    ) -> Result<Identity, ServerError> {
        authorities
            .get(&self.authority)
            .ok_or_else(|| ServerError::UnknownAuthority(self.authority.clone()))?
            .issue(self)
    }
}

/// A certificate chain and the key of its leaf.
#[derive(Debug)]
pub struct Identity {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A rustls server configuration that presents this identity and asks for no client certificate.
    pub(super) fn into_config(
        self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[String],
    ) -> Result<Arc<ServerConfig>, ServerError> {
        let invalid = |error: rustls::Error| ServerError::Invalid(format!("TLS: {error}"));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(invalid)?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .map_err(invalid)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn authority_params(common_name: &str, from_hours: i64, until_hours: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, from_hours, until_hours);
    params
}

fn set_validity(params: &mut CertificateParams, from_hours: i64, until_hours: i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let after_epoch = |hours: i64| Duration::from_secs(now.saturating_add_signed(hours.saturating_mul(3600)));
    // rcgen's time type is of a crate that is not named here: it is reached by adding to its epoch.
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + after_epoch(from_hours);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + after_epoch(until_hours);
}

fn certificate_error(subject: &str, error: &rcgen::Error) -> ServerError {
    ServerError::Certificate { subject: subject.to_owned(), message: error.to_string() }
}
