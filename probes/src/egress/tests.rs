use tokio::net::TcpListener;

use super::*;
use crate::{Permit, ProxyScheme, SystemResolver};

fn options() -> Options {
    Options {
        system: SystemResolver::Servers(Vec::new()),
        requests: Vec::new(),
        ..Options::plain(Duration::from_secs(2))
    }
}

fn server(scheme: EchoScheme, port: u16) -> EchoServer {
    let path = if matches!(scheme, EchoScheme::Http | EchoScheme::Https) { "/ip".to_owned() } else { String::new() };
    EchoServer { scheme, host: "127.0.0.1".to_owned(), port, path }
}

async fn asked(server: &EchoServer, options: &Options) -> Vec<Asked> {
    SharedEchoes::default().ask(server, Some(Family::V4), options).await
}

/// The addresses told, and the reasons for which none was.
async fn told(server: &EchoServer) -> (Vec<String>, String) {
    let mut addresses = Vec::new();
    let mut reasons = String::new();
    for one in asked(server, &options()).await {
        match one {
            Asked::Observed(observed) => {
                addresses.extend(observed.address.map(|address| address.to_string()));
                reasons.push_str(&observed.detail.unwrap_or_default());
            }
            Asked::LeftOut(reason) => reasons.push_str(&reason),
        }
    }
    (addresses, reasons)
}

/// An HTTP server that answers every connection with the next of these, over and over; `None` keeps silent.
async fn http(answers: Vec<Option<String>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for answer in answers.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            assert!(request.starts_with("get /ip http/1.1\r\n") && !request.contains("authorization"), "{request}");
            if let Some(answer) = answer {
                let _ = stream.write_all(answer.as_bytes()).await;
            } else {
                kept.push(stream);
            }
        }
    });
    port
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_an_http_server_says_is_read_in_every_usual_form() {
    for body in [
        "127.0.0.9",
        "127.0.0.9\n",
        "127.0.0.9:4711",
        "\"127.0.0.9\"",
        r#"{"ip":"127.0.0.9","country":"none"}"#,
        r#"{ "origin": "127.0.0.9" }"#,
        "fl=1\nip=127.0.0.9\nts=1\n",
        "::ffff:127.0.0.9",
    ] {
        let port = http(vec![Some(ok(body))]).await;
        assert_eq!(
            told(&server(EchoScheme::Http, port)).await,
            (vec!["127.0.0.9".to_owned()], String::new()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_server_that_lies_tells_no_address() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/ip\r\nContent-Length: 9\r\n\r\n127.0.0.9";
    for (answer, reason) in [
        (Some(ok("<html><body>127.0.0.9</body></html>")), "no address: markup, 35 bytes"),
        (Some(ok(&"1".repeat(100_000))), "longer than 8192 bytes"),
        (Some(ok("")), "empty"),
        (Some(ok(r#"{"origin":"127.0.0.9, 10.0.0.1"}"#)), "no single address: an object, 32 bytes"),
        (Some(ok(r#"{"ip":{"ip":"127.0.0.9"}}"#)), "no single address"),
        (Some(ok(&"[".repeat(5_000))), "no address: text, 5000 bytes"),
        (Some(ok("[\"sesame\"]")), "no address: JSON, 10 bytes"),
        (Some(ok("pässword=sesame")), "no address: no plain text, 16 bytes"),
        (Some(ok("0.0.0.0")), "no host's address"),
        (Some(ok("255.255.255.255")), "no host's address"),
        (Some(ok("239.1.2.3")), "no host's address"),
        (Some(ok("2001:db8::9")), "other family"),
        (Some(redirect.to_owned()), "redirects (http 302), which is not followed"),
        (Some("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n127.0.0.9".to_owned()), "http status 503"),
        (Some("SSH-2.0-OpenSSH_9.2\r\n".to_owned()), "http: "),
        (Some(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000))), "http: "),
        (Some("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n127.0.0.9".to_owned()), "http: "),
        (Some(String::new()), "http: "),
        (None, "no answer within 2s"),
    ] {
        let port = http(vec![answer.clone()]).await;
        let (addresses, said) = told(&server(EchoScheme::Http, port)).await;
        assert!(addresses.is_empty() && said.contains(reason), "{reason}: {addresses:?} {said}");
    }
}

#[test]
fn a_public_server_that_tells_a_private_address_is_not_believed() {
    let classes = AddressClasses::default();
    let judge = |seen: &str, asked: Option<&str>| {
        plausible(seen.parse().unwrap(), asked.map(|asked| asked.parse().unwrap()), &classes).is_ok()
    };
    assert!(judge("203.0.113.9", Some("198.51.100.1")));
    assert!(judge("2001:db8::9", Some("2001:db8::1")));
    assert!(!judge("10.0.0.9", Some("198.51.100.1")));
    assert!(judge("10.0.0.9", Some("10.0.0.1")), "a server inside the network sees it so");
    assert!(judge("203.0.113.9", Some("64:ff9b::c633:6401")), "a translator stands between");
    assert!(!judge("2001:db8::9", Some("198.51.100.1")));
    assert!(judge("203.0.113.9", None));
    assert!(!judge("ff02::1", None));
}

#[tokio::test]
async fn two_addresses_that_take_turns_are_both_kept() {
    let port = http(vec![Some(ok("127.0.0.8")), Some(ok("127.0.0.9"))]).await;
    let (mut addresses, _) = told(&server(EchoScheme::Http, port)).await;
    addresses.sort();
    assert_eq!(addresses, ["127.0.0.8", "127.0.0.9"]);
    let port = http(vec![Some(ok("127.0.0.8")), Some(ok("nothing"))]).await;
    assert_eq!(told(&server(EchoScheme::Http, port)).await, (vec!["127.0.0.8".to_owned()], String::new()));
}

#[tokio::test]
async fn a_server_is_asked_once_for_all_who_share_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(EchoScheme::Http, listener.local_addr().unwrap().port());
    let (options, echoes) =
        (Arc::new(Options { connect_timeout: Duration::from_millis(300), ..options() }), SharedEchoes::default());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (options, server, echoes) = (Arc::clone(&options), server.clone(), echoes.clone());
        asking.spawn(async move { echoes.ask(&server, Some(Family::V4), &options).await.len() });
    }
    while let Some(answers) = asking.join_next().await {
        assert_eq!(answers.unwrap(), 1);
    }
    let mut accepted = 0;
    while tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 2, "two connections, not eighty");
}

/// A STUN server that answers each request with what `answer` makes of it, in order.
async fn stun(answer: fn(&[u8]) -> Vec<Vec<u8>>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for message in answer(&buffer[..length]) {
                socket.send_to(&message, from).await.unwrap();
            }
        }
    });
    port
}

/// A success with these attributes, for the request's transaction.
fn success(request: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
    [&SUCCESS.to_be_bytes()[..], &length, &request[4..20], attributes].concat()
}

/// 127.0.0.9, port 4711, as section 14.2 writes it.
const MAPPED: [u8; 12] = [0, 0x20, 0, 8, 0, 1, 0x33, 0x75, 0x21 ^ 127, 0x12, 0xa4, 0x42 ^ 9];

#[tokio::test]
async fn stun_is_spoken_over_udp_and_tcp() {
    let port = stun(|request| {
        assert_eq!((&request[..4], request.len()), (&[0, 1, 0, 0][..], 20));
        // An attribute of odd length, padded, stands before it.
        vec![success(request, &[&[0x80, 0x22, 0, 3, b'a', b'b', b'c', 0][..], &MAPPED].concat())]
    })
    .await;
    assert_eq!(told(&server(EchoScheme::Stun, port)).await.0, ["127.0.0.9"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 20];
            stream.read_exact(&mut request).await.unwrap();
            for byte in success(&request, &MAPPED) {
                stream.write_all(&[byte]).await.unwrap();
            }
        }
    });
    assert_eq!(told(&server(EchoScheme::StunTcp, port)).await.0, ["127.0.0.9"]);
}

fn forged_then_true(request: &[u8]) -> Vec<Vec<u8>> {
    let mut forged = success(request, &[&MAPPED[..8], &[1, 2, 3, 4]].concat());
    forged[19] ^= 0xff;
    vec![forged, b"junk".to_vec(), success(request, &MAPPED)]
}

#[tokio::test]
async fn only_an_answer_to_the_very_request_counts() {
    let other = |request: &[u8]| {
        let mut message = success(request, &MAPPED);
        message[12] ^= 1;
        message
    };
    let port = stun(forged_then_true).await;
    assert_eq!(told(&server(EchoScheme::Stun, port)).await.0, ["127.0.0.9"]);
    let id = [7; 12];
    let request = binding_request(&id);
    assert!(binding_response(&other(&request), &id).is_none());
    assert!(binding_response(&request, &id).is_none(), "a request is no answer");
    assert!(binding_response(&success(&request, &MAPPED), &id).unwrap().is_ok());
    let answer = success(&request, &MAPPED);
    for cut in 0..answer.len() {
        assert!(binding_response(&answer[..cut], &id).is_none_or(|said| said.is_err()), "{cut}");
    }
    assert_eq!(binding_response(&success(&request, &[]), &id).unwrap(), Err("its answer names no address".to_owned()));
    let mut failure = success(&request, &[0, 9, 0, 4, 0, 0, 4, 0]);
    failure[1] = 0x11;
    assert_eq!(binding_response(&failure, &id).unwrap(), Err("STUN error 400".to_owned()));
    for length in [0xff, 0xfe] {
        let wrong = success(&request, &[0, 0x20, length, 8, 0, 1]);
        assert!(binding_response(&wrong, &id).unwrap().is_err());
    }
}

/// RFC 5769, sections 2.2 and 2.3: the transaction of both, and what the sample responses map to.
#[test]
fn the_samples_of_the_standard_are_read() {
    let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    let software = b"\x80\x22\x00\x0btest vector ";
    let v4 = b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    let v6 = b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
    for (attribute, address) in [(&v4[..], "192.0.2.1"), (&v6[..], "2001:db8:1234:5678:11:2233:4455:6677")] {
        let message = success(&binding_request(&id), &[software, attribute].concat());
        assert_eq!(binding_response(&message, &id).unwrap().unwrap().to_string(), address);
    }
}

#[tokio::test]
async fn a_silent_stun_server_costs_the_connect_timeout() {
    let port = stun(|_| Vec::new()).await;
    let begun = Instant::now();
    let options = Options { connect_timeout: Duration::from_millis(700), ..options() };
    let said = asked(&server(EchoScheme::Stun, port), &options).await;
    assert!(begun.elapsed() < Duration::from_millis(1500));
    let [Asked::Observed(observed)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((observed.address, observed.detail.as_deref()), (None, Some("no answer within 700ms")));
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(told(&server(EchoScheme::Stun, closed)).await.1.starts_with("udp: "));
}

#[tokio::test]
async fn what_may_not_be_dialled_is_left_out_and_gets_no_packet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(EchoScheme::Http, listener.local_addr().unwrap().port());
    let permit = Permit { never: vec!["127.0.0.0/8".parse().unwrap()], ..Permit::default() };
    let said = asked(&server, &Options { permit, ..options() }).await;
    let [Asked::LeftOut(reason)] = said.as_slice() else { panic!("{said:?}") };
    assert!(
        reason.contains("127.0.0.1 is in 127.0.0.0/8") && reason.starts_with("echo server http://127.0.0.1:"),
        "{reason}"
    );
    assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err());
}

#[tokio::test]
async fn stun_over_udp_is_not_sent_past_a_proxy() {
    let proxy = ProxyTarget {
        scheme: ProxyScheme::Http,
        host: "127.0.0.1".to_owned(),
        port: 9,
        credentials: None,
        authorities: None,
    };
    let said = asked(&server(EchoScheme::Stun, 9), &Options { proxy: Some(proxy), ..options() }).await;
    let [Asked::Observed(observed)] = said.as_slice() else { panic!("{said:?}") };
    assert!(observed.detail.as_ref().unwrap().contains("passes no proxy"));
}

#[test]
fn a_query_is_not_shown() {
    let server = EchoServer { path: "/json?token=secret".to_owned(), ..server(EchoScheme::Http, 80) };
    assert_eq!(label(&server), "http://127.0.0.1:80/json?…");
}

proptest::proptest! {
    #[test]
    fn any_body_will_do(body in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = address_in(&body);
    }

    #[test]
    fn any_message_will_do(message in proptest::collection::vec(proptest::num::u8::ANY, 0..200), kind in 0_usize..2) {
        let id = [7; 12];
        let _ = binding_response(&message, &id);
        let answer = success(&binding_request(&id), &message[..message.len() / 4 * 4]);
        let answer = [&[SUCCESS, FAILURE][kind].to_be_bytes()[..], &answer[2..]].concat();
        let _ = binding_response(&answer, &id);
    }
}

#[tokio::test]
async fn a_probe_asks_beside_its_attempts_for_each_family_that_it_dials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let port = http(vec![Some(ok("127.0.0.9"))]).await;
    let stalled = http(vec![None]).await;
    let only_six = EchoServer { host: "::1".to_owned(), ..server(EchoScheme::Http, port) };
    let options = Options {
        echo: vec![server(EchoScheme::Http, stalled), only_six, server(EchoScheme::Http, port)],
        connect_timeout: Duration::from_millis(500),
        ..options()
    };
    let target = crate::Target {
        known_addresses: vec![IpAddr::from([127, 0, 0, 1])],
        ..crate::Target::new("127.0.0.1", closed, Trust::SystemRoots)
    };
    let begun = Instant::now();
    let seen = crate::probe(&Arc::new(target), &Arc::new(options), &crate::Run::unattended()).await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let told: Vec<_> = seen.egress.iter().map(|one| (one.address, one.detail.as_deref())).collect();
    assert_eq!(told[0], (None, Some("no answer within 500ms")), "in the order of the list: {told:?}");
    assert!(told[1].1.unwrap().contains("has no IPv4 address"), "{told:?}");
    assert_eq!(told[2].0, Some(IpAddr::from([127, 0, 0, 9])), "{told:?}");
    assert!(told.len() == 3 && !seen.cut_short);
}
