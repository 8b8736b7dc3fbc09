//! A POST of JSON, signed.

use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{
    payload::Payload,
    post::{Failure, Post},
};
use crate::watch::words::hex;

/// Posts the payload.
pub(super) async fn send(
    post: &Post,
    url: &SecretString,
    secret: Option<&SecretString>,
    payload: &Payload,
    timeout: Duration,
) -> Result<(), Failure> {
    let body = payload.bytes();
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        // Both are hexadecimal and digits.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("idempotency-key", &payload.idempotency_key);
    if let Some(secret) = secret {
        put("x-kubereach-signature", &signature(secret, Timestamp::now().as_second(), &body));
    }
    post.json(url.expose_secret(), headers, body, timeout).await
}

/// `t=<seconds since 1970>,v1=<HMAC-SHA-256 of "<seconds>.<body>">`: the time is signed with the body, so that a
/// receiver can turn away what is old.
pub(super) fn signature(secret: &SecretString, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", hex(context.sign().as_ref()))
}
