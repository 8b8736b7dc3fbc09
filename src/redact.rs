//! Words of others that are shown: one bounded line, without our credentials.

use std::{
    collections::BTreeSet,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

/// The secret parts of our own credentials: they reach no message, whoever repeats them.
///
/// Clones share what they hold, because some secrets (a renewed token) are known only while a pull is under way.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secrets")
    }
}

impl<Text: Into<String>> FromIterator<Text> for Secrets {
    fn from_iter<Texts: IntoIterator<Item = Text>>(texts: Texts) -> Self {
        let secrets = Self::default();
        texts.into_iter().for_each(|text| secrets.add(text));
        secrets
    }
}

impl Secrets {
    /// Learns one more.
    pub(crate) fn add(&self, secret: impl Into<String>) {
        let secret = secret.into();
        // What is shorter protects nothing and is part of usual words.
        if secret.len() >= SHORTEST_SECRET {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(secret);
        }
    }

    /// Where the first of them begins.
    fn find_in(&self, text: &str) -> Option<usize> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().filter_map(|secret| text.find(secret.as_str())).min()
    }
}

/// An error and what caused it, of each the first line, without the types' inner state.
pub(crate) fn chain(error: &dyn Error, secrets: &Secrets) -> String {
    let first_line = |error: &dyn Error| error.to_string().trim().lines().next().unwrap_or_default().to_owned();
    let mut parts = vec![first_line(error)];
    let mut next = error.source();
    while let Some(error) = next {
        let text = first_line(error);
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
        if parts.len() > DEEPEST_CHAIN {
            break;
        }
    }
    one_line(&parts.join(": "), secrets)
}

/// The first line of a message, bounded, up to where it mentions a credential, and without what the provider makes up
/// anew for each call.
pub(crate) fn one_line(message: &str, secrets: &Secrets) -> String {
    let mut message = message.trim().lines().next().unwrap_or_default();
    for volatile in VOLATILE {
        message = message.split(volatile).next().unwrap_or_default();
    }
    // Lower case of ASCII keeps every position.
    let lower = message.to_ascii_lowercase();
    let words = CREDENTIAL_WORDS.iter().filter_map(|word| lower.find(word));
    let cut = words.chain(json_web_token(message)).chain(secrets.find_in(message)).min();
    let safe =
        cut.map_or(message, |cut| message[..cut].trim_end_matches([' ', ':', ',', '(', '"', '\'', '{', '?', '&']));
    let clean: String = safe.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let clean = clean.trim();
    match clean.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.to_owned(),
    }
}

/// One line that comes from elsewhere: printable, and no longer than a line.
pub(crate) fn clean(text: &str) -> String {
    one_line(text, &Secrets::default())
}

/// Where something begins that looks like the head of a JSON web token.
fn json_web_token(message: &str) -> Option<usize> {
    let begins = |index: usize| !message[..index].ends_with(|before: char| before.is_ascii_alphanumeric());
    message.match_indices("eyJ").map(|(index, _)| index).find(|index| begins(*index))
}

/// A URL without what may be secret in it: user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return "the endpoint URL".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What providers append to a message and make up anew each time; the rest of the line goes with it.
const VOLATILE: &[&str] = &[
    " Encoded authorization failure message:",
    " (Request ID:",
    ", Request ID:",
    " RequestID:",
    " Trace ID:",
    " Correlation ID:",
    " Timestamp:",
    " Tracking ID",
];

/// Where a request, or what holds credentials, begins to be repeated; in lower case.
const CREDENTIAL_WORDS: &[&str] = &[
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-credential",
    "x-identity-header",
    "authorization:",
    "authorization=",
    "authorization\"",
    "aws4-hmac-sha256",
    "bearer ",
    "credential=",
    "signature=",
    "secretaccesskey\"",
    "sessiontoken\"",
    "secret_access_key=",
    "session_token=",
    "access_token",
    "accesstoken",
    "refresh_token",
    "client_secret=",
    "client_secret\"",
    "client_assertion=",
    "client_assertion\"",
];
const SHORTEST_SECRET: usize = 8;
const LONGEST_MESSAGE: usize = 500;
const DEEPEST_CHAIN: usize = 8;

/// Refusals that repeat something secret, where `wJalrXUtnFEMI` and `IQoJb3JpZ2lu` are our own.
#[cfg(test)]
pub(crate) const REPEATING: &[&str] = &[
    "Refused x-amz-security-token:IQoJb3JpZ2lu",
    "Refused: X-Amz-Security-Token=IQoJb3JpZ2lu",
    "Refused (Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=IQoJb3JpZ2lu)",
    "Refused ?X-Amz-Signature=IQoJb3JpZ2lu",
    "Refused Credential=wJalrXUtnFEMI",
    "Refused IQoJb3JpZ2lu",
    "Refused wJalrXUtnFEMI and more",
    "Refused\nhost:x\nx-amz-security-token:IQoJb3JpZ2lu",
    "\r\nRefused\rwJalrXUtnFEMI",
    "Refused: Bearer abc",
    "Refused 'eyJhbGciOiJub25lIn0.e30.'",
    "Refused {\"access_token\": \"abc\"}",
    "Refused client_secret=abc",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_bounded_harmless_line() {
        let none = Secrets::default();
        assert_eq!(one_line("a\u{1b}[31m (Request ID: 1-2)\r\nb", &none), "a [31m");
        assert_eq!(one_line(&"é".repeat(2_000), &none).chars().count(), LONGEST_MESSAGE + 1);
        // A refusal speaks of authorization, and says of what.
        let refusal =
            "The client 'x' does not have authorization to perform action 'Microsoft.Network/natGateways/read'";
        assert_eq!(one_line(refusal, &none), refusal);
    }

    #[test]
    fn no_message_repeats_a_credential() {
        let secrets: Secrets = ["wJalrXUtnFEMI", "IQoJb3JpZ2lu", "short"].into_iter().collect();
        for told in REPEATING {
            assert_eq!(one_line(told, &secrets), "Refused", "{told}");
        }
        assert_eq!(one_line("the short keyJson", &secrets), "the short keyJson");
        let long = format!("{}IQoJb3JpZ2lu", "x".repeat(LONGEST_MESSAGE - 4));
        assert!(!one_line(&long, &secrets).contains("IQoJ"));
        assert!(!format!("{secrets:?}").contains("IQoJ"));
        let later = secrets.clone();
        later.add("renewed-token");
        assert_eq!(one_line("Refused renewed-token", &secrets), "Refused");
        let url = without_secrets("http://user:hunter2@localhost:4566/path?key=hunter2");
        assert_eq!(url, "http://localhost:4566");
    }
}
