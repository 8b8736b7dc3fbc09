//! Names and keys: NATS's own key format (Ed25519), the seed of which never leaves its file.

use nkeys::{KeyPair, KeyPairType};

/// Whether this can be an agent's name: 1 to 64 letters, digits, `-` and `_`, so that it is a word of a NATS subject.
#[must_use]
pub fn is_agent_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// Whether this is the public key of a user: `U` and 55 more letters, with its checksum.
#[must_use]
pub fn is_public_key(text: &str) -> bool {
    KeyPair::from_public_key(text).is_ok_and(|key| key.key_pair_type() == KeyPairType::User)
}
