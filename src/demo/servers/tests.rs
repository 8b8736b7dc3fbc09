//! The servers, judged over loopback.

use std::{net::Ipv4Addr, time::Duration};

use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn authorities() -> BTreeMap<String, Arc<LabCa>> {
    BTreeMap::from([
        ("prod".to_owned(), Arc::new(LabCa::new("kubernetes").unwrap())),
        ("corp".to_owned(), Arc::new(LabCa::new("Corporate Inspection").unwrap())),
    ])
}

fn certificate() -> CertificateSpec {
    CertificateSpec { names: vec!["api.lab.test".to_owned()], ..CertificateSpec::default() }
}

/// One request over HTTP/1.1; the whole answer as text, or the TLS error.
async fn get(address: SocketAddr, trust: &LabCa, path: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trust.certificate().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(authority::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("api.lab.test").unwrap();
    let mut stream =
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: api.lab.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn ask(server: SocketAddr, name: &str, record_type: RecordType) -> Option<Message> {
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 2048];
    let length = tokio::time::timeout(Duration::from_millis(300), socket.recv(&mut buffer)).await.ok()?.unwrap();
    Message::from_vec(&buffer[..length]).ok()
}

#[tokio::test]
async fn an_api_server_answers_as_kubernetes_does() {
    let authorities = authorities();
    let mut server = ApiServer::new(vec![LOOPBACK], certificate());
    server.routes = vec![Route {
        path: "/readyz".to_owned(),
        status: 500,
        body: Body::Text("not ready".into()),
        ..Route::default()
    }];
    let running = serve(&authorities, &[ServerSpec::Api(server)]).await.unwrap();
    let address = running.addresses()[0];
    let prod = &authorities["prod"];
    let version = get(address, prod, "/version").await.unwrap();
    assert!(version.starts_with("HTTP/1.1 200") && version.contains("\"gitVersion\":\"v1.33.1\""), "{version}");
    assert!(get(address, prod, "/readyz").await.unwrap().starts_with("HTTP/1.1 500"));
    let forbidden = get(address, prod, "/api").await.unwrap();
    assert!(forbidden.starts_with("HTTP/1.1 403") && forbidden.contains("\"kind\":\"Status\""), "{forbidden}");
    assert!(get(address, &authorities["corp"], "/version").await.unwrap_err().contains("UnknownIssuer"));
}

#[tokio::test]
async fn an_authority_is_the_same_in_another_process() {
    let first = LabCa::new("kubernetes").unwrap();
    let spec = AuthoritySpec { key_pem: Some(first.key_pem()), ..AuthoritySpec::default() };
    let again = Arc::new(LabCa::from_spec(&spec).unwrap());
    let certificate = CertificateSpec { intermediate: true, ..certificate() };
    let server = ServerSpec::Api(ApiServer::new(vec![LOOPBACK], certificate));
    let running = serve(&BTreeMap::from([("prod".to_owned(), again)]), &[server]).await.unwrap();
    assert!(get(running.addresses()[0], &first, "/livez").await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn relays_pass_drop_and_resign() {
    let authorities = authorities();
    let api = serve(&authorities, &[ServerSpec::Api(ApiServer::new(vec![LOOPBACK], certificate()))]).await.unwrap();
    let relay = Relay {
        listen: vec![LOOPBACK],
        to: api.addresses()[0],
        deny_names: vec![".lab.test".to_owned()],
        denied: SniAction::Close,
        largest_hello: None,
        resign_with: None,
        alpn: Vec::new(),
    };
    let resigning = Relay { deny_names: Vec::new(), resign_with: Some("corp".to_owned()), ..relay.clone() };
    let passing = Relay { deny_names: vec!["lab.test".to_owned()], ..relay.clone() };
    let servers = [ServerSpec::Relay(relay), ServerSpec::Relay(resigning), ServerSpec::Relay(passing)];
    let relays = serve(&authorities, &servers).await.unwrap();
    let [closing, resigning, passing] = relays.addresses() else { panic!("three relays") };
    let (prod, corp) = (&authorities["prod"], &authorities["corp"]);
    assert!(get(*closing, prod, "/livez").await.unwrap_err().contains("eof"));
    assert!(get(*resigning, prod, "/livez").await.unwrap_err().contains("UnknownIssuer"));
    assert!(get(*resigning, corp, "/livez").await.unwrap().ends_with("ok"));
    assert!(get(*passing, prod, "/livez").await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn dns_answers_by_client_and_by_phase() {
    let answer = |text: &str| DnsAnswer::addresses(vec![text.parse().unwrap()]);
    let names = BTreeMap::from([
        ("API.lab.test.".to_owned(), vec![answer("10.20.0.10")]),
        (
            "later.lab.test".to_owned(),
            vec![
                DnsAnswer { reply: DnsReply::Nxdomain, until_questions: Some(1), ..DnsAnswer::default() },
                answer("10.20.0.11"),
            ],
        ),
        ("silent.lab.test".to_owned(), vec![DnsAnswer { reply: DnsReply::Silence, ..DnsAnswer::default() }]),
    ]);
    let elsewhere = DnsView { clients: vec!["192.0.2.0/24".parse().unwrap()], ..DnsView::default() };
    let here = DnsView { names, ..DnsView::default() };
    let server = DnsServer { listen: vec![LOOPBACK], views: vec![elsewhere, here] };
    let running = serve(&BTreeMap::new(), &[ServerSpec::Dns(server)]).await.unwrap();
    let address = running.addresses()[0];
    let message = ask(address, "api.lab.test.", RecordType::A).await.unwrap();
    assert_eq!(message.answers.len(), 1);
    assert_eq!(message.answers[0].data.ip_addr(), Some("10.20.0.10".parse().unwrap()));
    assert!(ask(address, "api.lab.test.", RecordType::AAAA).await.unwrap().answers.is_empty());
    let first = ask(address, "later.lab.test.", RecordType::A).await.unwrap();
    assert_eq!(first.metadata.response_code, hickory_resolver::proto::op::ResponseCode::NXDomain);
    assert_eq!(ask(address, "later.lab.test.", RecordType::A).await.unwrap().answers.len(), 1);
    assert!(ask(address, "silent.lab.test.", RecordType::A).await.is_none());
}

#[tokio::test]
async fn a_connect_proxy_refuses_or_opens_a_tunnel() {
    let authorities = authorities();
    let script = Script { listen: vec![LOOPBACK], steps: vec![Step::Send("SSH-2.0-lab\r\n".to_owned())] };
    let target = serve(&authorities, &[ServerSpec::Script(script)]).await.unwrap();
    let open = HttpProxy {
        listen: vec![LOOPBACK],
        hosts: BTreeMap::from([("api.lab.test".to_owned(), Ipv4Addr::LOCALHOST.into())]),
        ..HttpProxy::default()
    };
    let closed = HttpProxy { credentials: Some("user:secret".to_owned()), ..open.clone() };
    let proxies = serve(&authorities, &[ServerSpec::HttpProxy(open), ServerSpec::HttpProxy(closed)]).await.unwrap();
    let connect = async |proxy: SocketAddr| {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        let request = format!("CONNECT api.lab.test:{} HTTP/1.1\r\n\r\n", target.addresses()[0].port());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = connect(proxies.addresses()[0]).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("SSH-2.0-lab\r\n"), "{answer}");
    assert!(connect(proxies.addresses()[1]).await.starts_with("HTTP/1.1 407 "));
}
