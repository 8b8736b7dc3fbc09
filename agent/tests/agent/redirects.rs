//! A server that sends an agent elsewhere: it is shown, and not followed.

use std::sync::Arc;

use kubereach_agent::{Limits, Worker};
use kubereach_probes::{HttpOutcome, Reachability, Run, TlsOutcome};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{Silent, loopback, observed, order};

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    let elsewhere = Silent::start([127, 0, 0, 1], 0).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (authority, acceptor) = authority_and_acceptor();
    let location = format!("http://{}/latest/meta-data/", elsewhere.address);
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    // Both ports are permitted: it is not the allow list that keeps the agent from going there.
    let mut allow = loopback(port);
    allow.ports.push(elsewhere.address.port());
    let worker = Worker::new(None, allow, Limits::default());
    let mut order = order("o-1", "127.0.0.1", port);
    order.probe.certificate_authorities = Some(authority);
    order.probe.requests = ["/version", "/livez", "/readyz"].map(str::to_owned).to_vec();
    let reply = worker.carry_out(order, &Run::unattended()).await;
    let attempt = &observed(&reply).attempts[0];
    assert_eq!(attempt.tls.outcome, TlsOutcome::Verified, "{attempt:?}");
    assert_eq!(attempt.http.outcome, HttpOutcome::NotApiServer);
    assert_eq!(attempt.http.location.as_deref(), Some(location.as_str()));
    assert_eq!(attempt.observed, Reachability::Unreachable);
    assert_eq!(elsewhere.came(), 0);
}

fn authority_and_acceptor() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into())
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}
