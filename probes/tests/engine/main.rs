//! The engine against small real peers on loopback: what it dials, in which order it believes, what it never does.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod peers;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach_probes::{
    AddressClass, Attempt, ClusterCa, Credentials, DnsOutcome, Endpoint, HttpOutcome, NamedResolver, Observation,
    Options, ProbeEvent, ProxyScheme, ProxyTarget, Reachability, Run, SourceBinding, SystemResolver, Target,
    TcpOutcome, TlsOutcome, TlsVariantKind, Trust, TunnelOutcome, probe, route,
};
use peers::{Authority, Certificate, Conduct, Dns, Peer, Proxy, new_address, new_port};
use tokio::sync::{mpsc, watch};

const HOST: &str = "api.probes.test";

/// A target of this name and port that trusts `authority`.
fn target(host: &str, port: u16, authority: &Authority) -> Target {
    Target {
        server_name: Some(HOST.to_owned()),
        ..Target::new(host.to_owned(), port, Trust::ClusterCa(Arc::new(ClusterCa::from_pem(&authority.pem()).unwrap())))
    }
}

/// Short limits, no controls, nobody to ask but `system`.
fn options(system: &[SocketAddr]) -> Options {
    Options {
        system: SystemResolver::Servers(system.to_vec()),
        requests: ["/version", "/livez", "/readyz"].map(str::to_owned).to_vec(),
        investigate: true,
        ..Options::plain(LIMIT)
    }
}

async fn run(target: Target, options: Options) -> Observation {
    probe(&Arc::new(target), &Arc::new(options), &Run::unattended()).await
}

fn attempt(observation: &Observation, address: IpAddr) -> &Attempt {
    observation.attempts.iter().find(|attempt| attempt.address == Some(address)).unwrap()
}

#[tokio::test]
async fn every_address_is_dialled_on_its_own() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let healthy = Peer::api(port, &authority).await;
    let silent = Peer::start(port, Conduct::Silent).await;
    let closed = new_address();
    let dns = Dns::start(HOST, &[silent.ip(), closed, healthy.ip()]).await;
    let started = Instant::now();
    let observation = run(target(HOST, port, &authority), options(&[dns.address])).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(observation.attempts.len(), 3);
    let stages = |address| {
        let attempt = attempt(&observation, address);
        (attempt.tcp.outcome, attempt.tls.outcome, attempt.http.outcome, attempt.observed)
    };
    let good = (TcpOutcome::Connected, TlsOutcome::Verified, HttpOutcome::ApiServer, Reachability::Reachable);
    assert_eq!(stages(healthy.ip()), good);
    let refused = (TcpOutcome::Refused, TlsOutcome::Skipped, HttpOutcome::Skipped, Reachability::Unreachable);
    assert_eq!(stages(closed), refused);
    let stuck = (TcpOutcome::Connected, TlsOutcome::Timeout, HttpOutcome::Skipped, Reachability::Unreachable);
    assert_eq!(stages(silent.ip()), stuck);
    let addresses: Vec<_> = observation.attempts.iter().map(|attempt| attempt.address).collect();
    assert!(addresses.is_sorted(), "{addresses:?}");
    assert!(observation.attempts.iter().all(|attempt| attempt.decides && attempt.resolvers == ["system"]));
    assert!(observation.attempts.iter().all(|attempt| attempt.address_class == AddressClass::Private));
    assert!(!observation.cut_short && observation.vantage_error.is_none());
}

#[tokio::test]
async fn addresses_of_others_are_evidence_and_never_decide() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let healthy = Peer::api(port, &authority).await;
    let other = Peer::start(port, Conduct::Close).await;
    let (foreign, known) = (new_address(), new_address());
    let system = Dns::start(HOST, &[healthy.ip()]).await;
    let vpc = Dns::start(HOST, &[healthy.ip(), other.ip()]).await;
    let public = Dns::start(HOST, &[foreign]).await;
    let mut options = options(&[system.address]);
    options.resolvers = [("vpc", vpc.address), ("public", public.address)]
        .map(|(label, server)| NamedResolver { label: label.to_owned(), servers: vec![server], eager: true })
        .to_vec();
    let mut target = target(HOST, port, &authority);
    target.known_addresses = vec![known, healthy.ip()];
    let observation = run(target, options).await;
    let told: Vec<(IpAddr, bool, Vec<&str>)> = observation
        .attempts
        .iter()
        .map(|one| (one.address.unwrap(), one.decides, one.resolvers.iter().map(String::as_str).collect()))
        .collect();
    let mut rest =
        vec![(other.ip(), false, vec!["vpc"]), (foreign, false, vec!["public"]), (known, false, vec!["scenario"])];
    rest.sort();
    let mut expected = vec![(healthy.ip(), true, vec!["system", "vpc"])];
    expected.extend(rest);
    assert_eq!(told, expected);
    assert_eq!(attempt(&observation, other.ip()).tls.outcome, TlsOutcome::Closed);
    let resolvers: Vec<&str> = observation.dns.iter().map(|answer| answer.resolver.as_str()).collect();
    assert_eq!(resolvers, ["system", "vpc", "public"]);
    // What is only evidence starts no search for a cause, and no further handshake.
    assert!(observation.connectivity.is_none() && observation.canaries.is_empty());
    assert!(attempt(&observation, other.ip()).tls.variants.is_empty());
}

#[tokio::test]
async fn a_healthy_target_asks_nobody_else_and_a_sick_one_does() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let healthy = Peer::api(port, &authority).await;
    let control = Peer::start(new_port(), Conduct::Silent).await;
    let public = Dns::start(HOST, &[healthy.ip()]).await;
    let options = |system: &Dns| {
        let mut options = options(&[system.address]);
        let servers = vec![public.address];
        options.resolvers = vec![NamedResolver { label: "public".to_owned(), servers, eager: false }];
        options.controls = vec![Endpoint { host: control.address.ip().to_string(), port: control.address.port() }];
        options
    };
    let good = Dns::start(HOST, &[healthy.ip()]).await;
    let observation = run(target(HOST, port, &authority), options(&good)).await;
    assert_eq!(observation.attempts[0].observed, Reachability::Reachable);
    assert_eq!((public.asked(), control.connections()), (0, 0));
    assert_eq!(good.asked(), 2, "one question a family");
    assert_eq!(healthy.connections(), 1);
    assert!(observation.connectivity.is_none());

    let bad = Dns::start(HOST, &[new_address()]).await;
    let observation = run(target(HOST, port, &authority), options(&bad)).await;
    assert!(public.asked() > 0 && control.connections() == 1);
    let connectivity = observation.connectivity.as_ref().unwrap();
    assert!(connectivity.controls[0].answered, "{connectivity:?}");
    assert_eq!(observation.dns.iter().map(|answer| answer.resolver.as_str()).collect::<Vec<_>>(), ["system", "public"]);
    assert_eq!(observation.canaries[0].outcome, DnsOutcome::Nxdomain);
    // What a resolver gave that was asked only in need is dialled as evidence.
    assert!(!attempt(&observation, healthy.ip()).decides);

    let quiet = Options { investigate: false, ..options(&bad) };
    let (asked, connected) = (public.asked(), control.connections());
    let observation = run(target(HOST, port, &authority), quiet).await;
    assert_eq!(observation.attempts[0].tcp.outcome, TcpOutcome::Refused);
    assert_eq!((public.asked(), control.connections()), (asked, connected));
}

#[tokio::test]
async fn a_family_without_any_route_is_left_out_and_said_so() {
    let foreign: IpAddr = "2001:db8::1".parse().unwrap();
    if route::has_routes().1 || route::local_route(foreign, &SourceBinding::default()).is_some() {
        // Here the address would be dialled, and nothing of a test may leave this machine.
        return;
    }
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let healthy = Peer::api(port, &authority).await;
    let dns = Dns::start(HOST, &[healthy.ip(), foreign]).await;
    let observation = run(target(HOST, port, &authority), options(&[dns.address])).await;
    let left_out = attempt(&observation, foreign);
    assert!(left_out.skipped.as_deref().unwrap().contains("IPv6"), "{left_out:?}");
    assert_eq!(left_out.observed, Reachability::Unknown);
    assert_eq!(attempt(&observation, healthy.ip()).skipped, None);
    assert!(observation.connectivity.is_none(), "a family that is left out is no trouble");
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_was_finished() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let healthy = Peer::api(port, &authority).await;
    let silent = Peer::start(port, Conduct::Silent).await;
    let dns = Dns::start(HOST, &[healthy.ip(), silent.ip()]).await;
    let options = Options { connect_timeout: Duration::from_secs(30), ..options(&[dns.address]) };
    let (stop, stopped) = watch::channel(false);
    let (events, mut happened) = mpsc::unbounded_channel();
    let running = tokio::spawn(async move {
        let run = Run { stop: stopped, events: Some(events) };
        probe(&Arc::new(target(HOST, port, &authority)), &Arc::new(options), &run).await
    });
    let mut resolved = 0;
    loop {
        match happened.recv().await.unwrap() {
            ProbeEvent::Resolved(answer) => resolved += answer.addresses.len(),
            ProbeEvent::Attempted(attempt) => break assert_eq!(attempt.address, Some(healthy.ip())),
            ProbeEvent::Investigating => {}
        }
    }
    assert_eq!(resolved, 2);
    let stopped_at = Instant::now();
    stop.send(true).unwrap();
    let observation = running.await.unwrap();
    assert!(stopped_at.elapsed() < Duration::from_secs(1));
    assert!(observation.cut_short);
    assert_eq!(observation.dns[0].outcome, DnsOutcome::Answer);
    let finished: Vec<_> = observation.attempts.iter().filter_map(|attempt| attempt.address).collect();
    assert_eq!(finished, [healthy.ip()]);
    assert_eq!(observation.undecided, [silent.ip()]);

    // Stopped before it began: nothing is sent.
    let (asked, connected) = (dns.asked(), healthy.connections());
    let (_stop, stopped) = watch::channel(true);
    let other = Arc::new(target(HOST, port, &Authority::new("other")));
    let usual = Arc::new(self::options(&[dns.address]));
    let observation = probe(&other, &usual, &Run { stop: stopped, events: None }).await;
    assert!(observation.cut_short && observation.attempts.is_empty());
    assert_eq!((dns.asked(), healthy.connections()), (asked, connected));
}

#[tokio::test]
async fn a_name_without_an_address_dials_nothing() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    for (addresses, name, outcome) in
        [(&[][..], HOST, DnsOutcome::Nodata), (&[new_address()], "other.probes.test", DnsOutcome::Nxdomain)]
    {
        let dns = Dns::start(HOST, addresses).await;
        let observation = run(target(name, port, &authority), options(&[dns.address])).await;
        assert_eq!(observation.dns[0].outcome, outcome);
        assert!(observation.attempts.is_empty() && observation.connectivity.is_some());
    }
}

#[tokio::test]
async fn credentials_go_to_verified_peers_only() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let stranger = Authority::new("somebody else");
    for (credentials, expected) in [
        (Credentials::Bearer("hunter2".to_owned()), "Bearer hunter2"),
        // me:hunter2
        (Credentials::Basic("me".to_owned(), "hunter2".to_owned()), "Basic bWU6aHVudGVyMg=="),
    ] {
        for http2 in [true, false] {
            let certificate = Certificate { http2, ..Certificate::of(HOST) };
            let good = Peer::start(port, Conduct::serve(&authority, &certificate)).await;
            let options = Options { credentials: Some(credentials.clone()), ..options(&[]) };
            let observation = run(target(&good.ip().to_string(), port, &authority), options.clone()).await;
            assert!(observation.attempts[0].http.authenticated);
            let sent = good.requests();
            assert!(!sent.is_empty() && sent.iter().all(|request| request.authorization == expected), "{sent:?}");

            // Another authority, another name, past its time: the question is asked, the secret stays here.
            let untrusted = Conduct::serve(&stranger, &certificate);
            let misnamed = Conduct::serve(&authority, &Certificate { name: "other.test", ..certificate.clone() });
            let expired = Conduct::serve(&authority, &Certificate { years: (2001, 2002), ..certificate.clone() });
            for conduct in [untrusted, misnamed, expired] {
                let bad = Peer::start(port, conduct).await;
                let observation = run(target(&bad.ip().to_string(), port, &authority), options.clone()).await;
                assert_eq!(observation.attempts[0].observed, Reachability::Unreachable);
                assert!(!observation.attempts[0].http.authenticated);
                let sent = bad.requests();
                assert!(!sent.is_empty() && sent.iter().all(|request| request.authorization.is_empty()), "{sent:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_verified_peers_only() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let (chain, key) = authority.client("me");
    let options = Options { credentials: Some(Credentials::ClientCertificate(chain, key)), ..options(&[]) };
    let asks = Certificate { asks_for_client: true, ..Certificate::of(HOST) };
    let good = Peer::start(port, Conduct::serve(&authority, &asks)).await;
    let observation = run(target(&good.ip().to_string(), port, &authority), options.clone()).await;
    assert_eq!(observation.attempts[0].observed, Reachability::Reachable);
    assert!(observation.attempts[0].http.authenticated);
    assert_eq!(good.client_certificates(), [false, true], "verified first, then shown on a second connection");
    let bad = Peer::start(port, Conduct::serve(&authority, &Certificate { name: "other.test", ..asks })).await;
    let observation = run(target(&bad.ip().to_string(), port, &authority), options).await;
    assert!(!observation.attempts[0].http.authenticated);
    assert!(bad.client_certificates().iter().all(|shown| !shown), "{:?}", bad.client_certificates());
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    for (http2, alpn) in [(true, "h2"), (false, "http/1.1")] {
        let certificate = Certificate { http2, ..Certificate::of(HOST) };
        let peer = Peer::start(port, Conduct::serve(&authority, &certificate)).await;
        let observation = run(target(&peer.ip().to_string(), port, &authority), options(&[])).await;
        let attempt = &observation.attempts[0];
        assert_eq!(attempt.resolvers, ["literal"]);
        assert_eq!((attempt.observed, attempt.tls.alpn.as_deref()), (Reachability::Reachable, Some(alpn)));
        assert_eq!((attempt.http.status, attempt.http.version.as_deref()), (Some(200), Some("v1.33.1")));
        let paths: Vec<String> = peer.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/version", "/livez", "/readyz"]);
        assert!(peer.requests().iter().all(|request| request.authorization.is_empty()));
    }
}

#[tokio::test]
async fn the_base_path_is_kept() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let peer = Peer::api(port, &authority).await;
    let mut target = target(&peer.ip().to_string(), port, &authority);
    target.base_path = "/k8s/clusters/c-1".to_owned();
    let observation = run(target, options(&[])).await;
    assert_eq!(observation.attempts[0].http.requests.len(), 3);
    let paths: Vec<String> = peer.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/version", "/livez", "/readyz"].map(|path| format!("/k8s/clusters/c-1{path}")));
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let elsewhere = Peer::api(new_port(), &authority).await;
    let location = format!("https://{}/login", elsewhere.address);
    let peer = Peer::start(port, Conduct::redirect(&authority, &location)).await;
    let observation = run(target(&peer.ip().to_string(), port, &authority), options(&[])).await;
    let http = &observation.attempts[0].http;
    assert_eq!((http.outcome, http.status), (HttpOutcome::NotApiServer, Some(302)));
    assert_eq!(http.location.as_deref(), Some(location.as_str()));
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn whatever_a_peer_does_after_the_handshake_takes_a_bounded_time() {
    let authority = Authority::new("kubernetes");
    for (name, conduct, outcome) in [
        ("endless body", Conduct::endless(&authority), HttpOutcome::NotApiServer),
        ("body that drips", Conduct::drip(&authority), HttpOutcome::NotApiServer),
        ("garbage", Conduct::raw(&authority, b"\x00\xff\x13garbage\r\n\r\n"), HttpOutcome::Error),
        ("head without end", Conduct::raw(&authority, &vec![b'a'; 200_000]), HttpOutcome::Error),
        ("silence", Conduct::raw(&authority, b""), HttpOutcome::Timeout),
        ("end", Conduct::close(&authority), HttpOutcome::Reset),
    ] {
        let peer = Peer::start(new_port(), conduct).await;
        let started = Instant::now();
        let observation = run(target(&peer.ip().to_string(), peer.address.port(), &authority), options(&[])).await;
        let attempt = &observation.attempts[0];
        assert_eq!((attempt.tls.outcome, attempt.http.outcome), (TlsOutcome::Verified, outcome), "{name}: {attempt:?}");
        assert_eq!(attempt.observed, Reachability::Unreachable, "{name}");
        assert!(started.elapsed() < Duration::from_secs(4), "{name} took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn every_outcome_of_a_handshake_is_told_apart() {
    let (authority, stranger) = (Authority::new("kubernetes"), Authority::new("somebody else"));
    let of = Certificate::of(HOST);
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    for (conduct, outcome) in [
        (Conduct::serve(&authority, &of), TlsOutcome::Verified),
        (Conduct::serve(&stranger, &of), TlsOutcome::Untrusted),
        (Conduct::serve(&authority, &Certificate { name: "other.test", ..of.clone() }), TlsOutcome::NameMismatch),
        (Conduct::serve(&authority, &Certificate { years: (2001, 2002), ..of.clone() }), TlsOutcome::Expired),
        (Conduct::serve(&authority, &Certificate { years: (2090, 2091), ..of.clone() }), TlsOutcome::NotYetValid),
        // Several faults at once: the chain first, then time, then name.
        (
            Conduct::serve(&stranger, &Certificate { years: (2001, 2002), name: "other.test", ..of.clone() }),
            TlsOutcome::Untrusted,
        ),
        (
            Conduct::serve(&authority, &Certificate { years: (2001, 2002), name: "other.test", ..of }),
            TlsOutcome::Expired,
        ),
        (Conduct::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), TlsOutcome::NotTls),
        (Conduct::Says(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), TlsOutcome::NotTls),
        (Conduct::Says(alert.to_vec()), TlsOutcome::Alert),
        (Conduct::Close, TlsOutcome::Closed),
        (Conduct::Reset, TlsOutcome::Reset),
        (Conduct::Silent, TlsOutcome::Timeout),
        (Conduct::Drip, TlsOutcome::Timeout),
    ] {
        let peer = Peer::start(new_port(), conduct).await;
        let started = Instant::now();
        let observation = run(target(&peer.ip().to_string(), peer.address.port(), &authority), options(&[])).await;
        let tls = &observation.attempts[0].tls;
        assert_eq!(tls.outcome, outcome, "{tls:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "{outcome:?} took {:?}", started.elapsed());
        assert_eq!(tls.outcome.completed(), !tls.chain.is_empty(), "the chain is kept even when it does not verify");
        assert_eq!(tls.checks.is_some(), tls.outcome.completed());
        let kinds: Vec<TlsVariantKind> = tls.variants.iter().map(|variant| variant.kind).collect();
        let all = [TlsVariantKind::SmallSegments, TlsVariantKind::ClassicalKeyShares, TlsVariantKind::NoServerName];
        if tls.outcome.completed() {
            assert!(kinds.is_empty(), "{outcome:?}: {kinds:?}");
            assert_ne!(observation.attempts[0].http.outcome, HttpOutcome::Skipped, "{outcome:?}");
        } else {
            assert_eq!(kinds, all, "{outcome:?}");
            assert_eq!(observation.attempts[0].http.outcome, HttpOutcome::Skipped);
        }
    }
}

#[tokio::test]
async fn a_proxy_is_a_stage_of_its_own() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let peer = Peer::api(port, &authority).await;
    let dns = Dns::start(HOST, &[new_address()]).await;
    let through = |proxy: &Proxy, scheme, credentials: Option<(&str, &str)>| {
        let mut options = options(&[dns.address]);
        let proxy = proxy_target(scheme, proxy.address, credentials);
        options.proxy = Some(proxy);
        options
    };
    let connect = Proxy::connect(peer.address, Some("Basic bWU6aHVudGVyMg==")).await;
    let observation =
        run(target(HOST, port, &authority), through(&connect, ProxyScheme::Http, Some(("me", "hunter2")))).await;
    let proxy = observation.proxy.as_ref().unwrap();
    assert_eq!((proxy.tunnel.outcome, proxy.tunnel.status), (TunnelOutcome::Established, Some(200)));
    assert_eq!(proxy.url, format!("http://{}", connect.address));
    let attempt = &observation.attempts[0];
    assert_eq!((attempt.address, attempt.observed), (None, Reachability::Reachable));
    assert_eq!(dns.asked(), 0, "the proxy resolves the name");
    assert_eq!(connect.asked(), [format!("{HOST}:{port}")]);

    let observation = run(target(HOST, port, &authority), through(&connect, ProxyScheme::Http, None)).await;
    let proxy = observation.proxy.as_ref().unwrap();
    assert_eq!((proxy.tunnel.outcome, proxy.tunnel.status), (TunnelOutcome::AuthenticationRequired, Some(407)));
    assert_eq!(observation.attempts[0].tls.outcome, TlsOutcome::Skipped);
    assert_eq!(observation.attempts[0].observed, Reachability::Unreachable);

    let socks = Proxy::socks(peer.address).await;
    let observation = run(target(HOST, port, &authority), through(&socks, ProxyScheme::Socks5h, None)).await;
    assert_eq!(observation.proxy.as_ref().unwrap().tunnel.outcome, TunnelOutcome::Established);
    assert_eq!(observation.attempts[0].observed, Reachability::Reachable);
    assert_eq!(socks.asked(), [format!("{HOST}:{port}")]);

    // With socks5 the name is resolved here, and each address is asked for.
    let observation = run(target(HOST, port, &authority), through(&socks, ProxyScheme::Socks5, None)).await;
    assert_eq!(observation.attempts[0].observed, Reachability::Reachable);
    assert!(dns.asked() > 0 && observation.attempts[0].address.is_some());

    let nobody = SocketAddr::new(new_address(), new_port());
    let options = Options { proxy: Some(proxy_target(ProxyScheme::Http, nobody, None)), ..options(&[dns.address]) };
    let observation = run(target(HOST, port, &authority), options).await;
    let proxy = observation.proxy.unwrap();
    assert_eq!((proxy.tcp.outcome, proxy.tunnel.outcome), (TcpOutcome::Refused, TunnelOutcome::Skipped));
}

fn proxy_target(scheme: ProxyScheme, address: SocketAddr, credentials: Option<(&str, &str)>) -> ProxyTarget {
    let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
    ProxyTarget { scheme, host: address.ip().to_string(), port: address.port(), credentials, authorities: None }
}

#[tokio::test]
async fn many_silent_targets_take_no_longer_than_one() {
    let authority = Authority::new("kubernetes");
    let silent = Peer::start(new_port(), Conduct::Silent).await;
    let target = Arc::new(target(&silent.ip().to_string(), silent.address.port(), &authority));
    let options = Arc::new(Options { investigate: false, ..options(&[]) });
    let started = Instant::now();
    let mut probes = tokio::task::JoinSet::new();
    // Fewer than a listener's backlog may be: the peer accepts on this very thread.
    for _ in 0..100 {
        let (target, options) = (Arc::clone(&target), Arc::clone(&options));
        probes.spawn(async move { probe(&target, &options, &Run::unattended()).await });
    }
    while let Some(observation) = probes.join_next().await {
        let attempt = &observation.unwrap().attempts[0];
        assert_eq!(
            (attempt.tcp.outcome, attempt.tls.outcome),
            (TcpOutcome::Connected, TlsOutcome::Timeout),
            "{attempt:?}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_source_address_is_used() {
    let (authority, port) = (Authority::new("kubernetes"), new_port());
    let peer = Peer::api(port, &authority).await;
    let own = new_address();
    let source = SourceBinding { address: Some(own), interface: None };
    let observation = run(target(&peer.ip().to_string(), port, &authority), Options { source, ..options(&[]) }).await;
    assert_eq!(observation.attempts[0].observed, Reachability::Reachable);
    assert_eq!(observation.attempts[0].tcp.source, Some(own));
    assert_eq!(peer.clients(), [own]);
    assert_ne!(own, IpAddr::V4(Ipv4Addr::LOCALHOST));
}

const LIMIT: Duration = Duration::from_millis(700);
