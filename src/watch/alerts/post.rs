//! A POST, and what it means that it failed. No message names a URL: it may hold a secret.

use std::{
    error::Error,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, StatusCode, header::HeaderMap};

/// Why a delivery failed, in words without the receiver's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The receiver is not there, or not as it should be: nothing reaches it at the moment.
    Unavailable(String),
    /// It does not take this content; it may take other.
    Refused(String),
}

impl Failure {
    /// In words.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Unavailable(message) | Self::Refused(message) => message,
        }
    }
}

/// The client of all HTTP receivers, made at the first use.
#[derive(Debug, Default)]
pub(super) struct Post(Mutex<Option<Client>>);

impl Post {
    /// Posts JSON; ok when the answer is of class 2xx. Redirects are not followed, because what is sent is meant for this
    /// receiver only.
    pub(super) async fn json(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let request = self
            .client()?
            .post(url)
            .headers(headers)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .timeout(timeout);
        let mut response = request.send().await.map_err(|error| Failure::Unavailable(words(&error)))?;
        let status = response.status();
        // Read to its end a connection can be used again; one that says more than it should is closed.
        let mut left = ANSWER_LIMIT;
        while let Ok(Some(chunk)) = response.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        judged(status)
    }

    fn client(&self) -> Result<Client, Failure> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .referer(false)
            .build()
            .map_err(|_| Failure::Unavailable("no HTTP client can be made on this host".to_owned()))?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// What a status means.
fn judged(status: StatusCode) -> Result<(), Failure> {
    let code = status.as_u16();
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(Failure::Unavailable(format!("it answers {code}; redirects are not followed")))
    } else if matches!(code, 400 | 409 | 413 | 415 | 422) {
        Err(Failure::Refused(format!("it answers {code}")))
    } else {
        Err(Failure::Unavailable(format!("it answers {code}")))
    }
}

/// What went wrong, in words of our own: those of the libraries may hold names and URLs.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    if error.is_builder() {
        return "its URL cannot be used".to_owned();
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    for _ in 0..DEEPEST_CHAIN {
        let Some(error) = next else { break };
        if error.is::<rustls::Error>() {
            return TLS.to_owned();
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return TLS.to_owned();
            }
            // What has no number of the system is wrapped by a library.
            if error.raw_os_error().is_some() {
                return error.kind().to_string();
            }
        }
        next = error.source();
    }
    if error.is_connect() { "it cannot be connected to" } else { "the connection broke" }.to_owned()
}

const TLS: &str = "no verified TLS connection can be made with it";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Of an answer that nobody reads.
const ANSWER_LIMIT: usize = 64 * 1024;
const DEEPEST_CHAIN: usize = 16;
