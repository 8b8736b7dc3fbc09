//! Certificates from PEM text, base64 or DER, checked before anything is probed.

use base64::{Engine, alphabet, engine};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificates of a PEM text, written anew: nothing else that stood there (keys, comments) is kept.
///
/// A block that is no certificate is left out as Go does; the error says why not one was left.
pub(crate) fn certificates_pem(bytes: &[u8]) -> Result<String, String> {
    let mut pem = String::new();
    let mut broken = None;
    for block in CertificateDer::pem_slice_iter(bytes) {
        match block {
            Ok(der) if X509Certificate::from_der(&der).is_ok() => push_pem(&mut pem, &der),
            Ok(_) => broken = Some("a PEM block that is labelled CERTIFICATE holds no certificate"),
            Err(_) => {
                broken = Some("a PEM block is damaged");
                break;
            }
        }
    }
    if !pem.is_empty() {
        return Ok(pem);
    }
    let reason = broken.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("PRIVATE KEY-----") {
            "it holds a private key, but no certificate"
        } else if text.contains("-----BEGIN") {
            "it holds PEM blocks, but no certificate"
        } else {
            "it holds no `-----BEGIN CERTIFICATE-----`"
        }
    });
    Err(reason.to_owned())
}

/// Base64 of PEM or DER certificates, as `certificate-authority-data` carries it.
pub(crate) fn base64_certificates_pem(text: &str) -> Result<String, String> {
    let bytes = decode_base64(text)?;
    if X509Certificate::from_der(&bytes).is_ok() {
        let mut pem = String::new();
        push_pem(&mut pem, &bytes);
        return Ok(pem);
    }
    certificates_pem(&bytes)
}

/// Standard base64; white space is skipped and padding may be missing.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let compact: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    LENIENT.decode(compact).map_err(|_| "it is not valid base64".to_owned())
}

/// A value that stands in the text itself and not in a file: PEM, or base64 of it. `None` when it looks like a path.
pub(crate) fn inline_pem(text: &str) -> Option<Result<String, String>> {
    if text.contains("-----BEGIN") {
        return Some(certificates_pem(text.as_bytes()));
    }
    let found = base64_certificates_pem(text);
    let compact_length = text.chars().filter(|character| !character.is_ascii_whitespace()).count();
    let looks_like_base64 = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=') || byte.is_ascii_whitespace());
    let long = compact_length > LONGEST_PATH_LIKE && looks_like_base64 || text.trim().contains('\n');
    (found.is_ok() || long).then_some(found)
}

/// End of the validity of the first certificate in a PEM text.
pub(crate) fn expiry(pem: &[u8]) -> Option<Timestamp> {
    let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn push_pem(pem: &mut String, der: &[u8]) {
    let text = engine::general_purpose::STANDARD.encode(der);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
}

const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// Longer text of base64 letters alone is data with a mistake, not a path.
const LONGEST_PATH_LIKE: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap()
    }

    #[test]
    fn certificates_come_in_many_clothes() {
        let made = certificate();
        let pem = made.cert.pem();
        let plain = certificates_pem(pem.as_bytes()).unwrap();
        let encoded = engine::general_purpose::STANDARD.encode(&pem);
        let der = engine::general_purpose::STANDARD.encode(made.cert.der());
        assert_eq!(base64_certificates_pem(&encoded).unwrap(), plain);
        assert_eq!(base64_certificates_pem(&der).unwrap(), plain);
        assert_eq!(inline_pem(&pem).unwrap().unwrap(), plain);
        assert_eq!(inline_pem(&encoded).unwrap().unwrap(), plain);
        assert!(inline_pem("./ca.pem").is_none());
        assert!(inline_pem("ca").is_none());
        assert!(expiry(plain.as_bytes()).is_some());
    }

    #[test]
    fn keys_are_left_out_and_never_told() {
        let made = certificate();
        let key = made.signing_key.serialize_pem();
        let both = format!("{key}{}", made.cert.pem());
        assert!(!certificates_pem(both.as_bytes()).unwrap().contains("PRIVATE"));
        assert_eq!(certificates_pem(key.as_bytes()).unwrap_err(), "it holds a private key, but no certificate");
    }

    #[test]
    fn broken_ones_say_why() {
        assert!(base64_certificates_pem("!!!").unwrap_err().contains("base64"));
        assert!(base64_certificates_pem("aGVsbG8=").unwrap_err().contains("BEGIN CERTIFICATE"));
        let empty = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert!(certificates_pem(empty.as_bytes()).unwrap_err().contains("holds no certificate"));
        assert!(inline_pem(&"A".repeat(400)).unwrap().is_err());
    }
}
