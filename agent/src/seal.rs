//! Who said it: orders are signed by the controller's key, replies by the agent's, over what they answer.
//!
//! A signature is Ed25519 over a word that says what is signed, the digest of the order (for a reply), and the bytes of
//! the message as they travel. So an order is no reply, a reply to one order is none to another, and nothing is signed
//! that the other end would have to write again to check.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kubereach_probes::tls::sha256;
use nkeys::KeyPair;

/// Who signed a message, and the signature. Travels beside the message, never inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// The signer's public key: `U…`.
    pub key: String,
    /// Base64 of the 64 bytes.
    pub signature: String,
}

/// What tells one sealed order from every other: the digest of signature and bytes, as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderDigest(pub String);

impl OrderDigest {
    /// Of an order as it travelled, whether its signature is good or not.
    #[must_use]
    pub fn of(seal: &Seal, payload: &[u8]) -> Self {
        Self(sha256(&[seal.signature.as_bytes(), b"\n", payload].concat()))
    }
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// It bears no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Signed by a key that is not one of those expected.
    #[error("it is signed by another key")]
    OtherKey,
    /// The signature is not that key's over this message.
    #[error("its signature is not good")]
    Bad,
}

/// Seals an order.
#[must_use]
pub fn seal_order(key: &KeyPair, payload: &[u8]) -> Seal {
    seal(key, &order_text(payload))
}

/// Whether one of these keys signed this order.
///
/// # Errors
/// When none did.
pub fn check_order(seal: &Seal, payload: &[u8], trusted: &[String]) -> Result<(), SealError> {
    check(seal, &order_text(payload), trusted)
}

/// Seals a reply to the order of this digest.
#[must_use]
pub fn seal_reply(key: &KeyPair, order: &OrderDigest, payload: &[u8]) -> Seal {
    seal(key, &reply_text(order, payload))
}

/// Whether this key signed this reply, to the order of this digest.
///
/// # Errors
/// When it did not.
pub fn check_reply(seal: &Seal, order: &OrderDigest, payload: &[u8], key: &str) -> Result<(), SealError> {
    check(seal, &reply_text(order, payload), std::slice::from_ref(&key))
}

fn seal(key: &KeyPair, text: &[u8]) -> Seal {
    // Only a key without its seed cannot sign; what it leaves empty nobody accepts.
    let signature = key.sign(text).map(|signature| STANDARD.encode(signature)).unwrap_or_default();
    Seal { key: key.public_key(), signature }
}

fn check(seal: &Seal, text: &[u8], trusted: &[impl AsRef<str>]) -> Result<(), SealError> {
    if seal.key.is_empty() || seal.signature.is_empty() {
        return Err(SealError::Unsigned);
    }
    if !trusted.iter().any(|key| key.as_ref() == seal.key) {
        return Err(SealError::OtherKey);
    }
    let key = KeyPair::from_public_key(&seal.key).map_err(|_| SealError::OtherKey)?;
    let signature = STANDARD.decode(&seal.signature).map_err(|_| SealError::Bad)?;
    key.verify(text, &signature).map_err(|_| SealError::Bad)
}

fn order_text(payload: &[u8]) -> Vec<u8> {
    [b"kubereach order 1\n", payload].concat()
}

fn reply_text(order: &OrderDigest, payload: &[u8]) -> Vec<u8> {
    [b"kubereach reply 1\n", order.0.as_bytes(), b"\n", payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_expected_key_signed_is_believed() {
        let (controller, stranger) = (KeyPair::new_user(), KeyPair::new_user());
        let trusted = [controller.public_key()];
        let payload = b"{\"protocol\":1}";
        let good = seal_order(&controller, payload);
        assert_eq!(check_order(&good, payload, &trusted), Ok(()));
        assert_eq!(check_order(&good, b"{\"protocol\":2}", &trusted), Err(SealError::Bad));
        assert_eq!(check_order(&Seal::default(), payload, &trusted), Err(SealError::Unsigned));
        assert_eq!(check_order(&seal_order(&stranger, payload), payload, &trusted), Err(SealError::OtherKey));
        let lie = Seal { key: controller.public_key(), ..seal_order(&stranger, payload) };
        assert_eq!(check_order(&lie, payload, &trusted), Err(SealError::Bad));
        for signature in ["AAAA".to_owned(), "=".to_owned(), "A".repeat(1 << 20)] {
            let lie = Seal { key: controller.public_key(), signature };
            assert_eq!(check_order(&lie, payload, &trusted), Err(SealError::Bad));
        }
        // Nobody is trusted unless named, and a public key cannot sign.
        assert_eq!(check_order(&good, payload, &[]), Err(SealError::OtherKey));
        let public = KeyPair::from_public_key(&controller.public_key()).unwrap();
        assert_eq!(check_order(&seal_order(&public, payload), payload, &trusted), Err(SealError::Unsigned));
    }

    #[test]
    fn a_reply_is_to_one_order_and_no_order_is_a_reply() {
        let (controller, agent) = (KeyPair::new_user(), KeyPair::new_user());
        let orders = [b"one".as_slice(), b"two"].map(|order| OrderDigest::of(&seal_order(&controller, order), order));
        let payload = b"seen";
        let reply = seal_reply(&agent, &orders[0], payload);
        assert_eq!(check_reply(&reply, &orders[0], payload, &agent.public_key()), Ok(()));
        assert_eq!(check_reply(&reply, &orders[1], payload, &agent.public_key()), Err(SealError::Bad));
        assert_eq!(check_reply(&reply, &orders[0], payload, &controller.public_key()), Err(SealError::OtherKey));
        let order = seal_order(&agent, payload);
        assert_eq!(check_reply(&order, &orders[0], payload, &agent.public_key()), Err(SealError::Bad));
        // The same order under another signature is another one.
        assert_ne!(orders[0], OrderDigest::of(&Seal::default(), b"one"));
    }
}
