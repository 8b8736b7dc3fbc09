//! Reports for tests: one that holds every variant of every enum, one of an ordinary doctor's run, one full of hostile
//! text.

use std::net::IpAddr;

use kubereach_probes::{
    AddressClass, Attempt, Certificate, Connectivity, Control, DnsObservation, DnsOutcome, DnsQuery, DnsSource,
    EgressObservation, HttpOutcome, HttpRequest, HttpStage, IcmpEcho, IcmpError, LocalRoute, PathTrace,
    ProxyObservation, Repeats, TcpOutcome, TcpStage, TlsChecks, TlsOutcome, TlsStage, TlsVariant, TlsVariantKind,
    TraceHop, TunnelOutcome, TunnelStage, Validity,
};

use super::{
    Cell, Confidence, Finding, Hop, Intended, Matrix, Provider, REPORT_SCHEMA, Reachability, Report, Severity, Verdict,
    Via,
};

/// A report in which every variant of every enum stands at least once.
pub(crate) fn report() -> Report {
    let cells = [vec![tcp_cell(), tls_cell(), http_cell(), offline_cell(), converged_cell()], proxy_cells()].concat();
    Report { findings: findings(), ..whole(Verdict::Mismatch, cells) }
}

/// What `doctor` finds at an endpoint of which one address in three is silent.
pub(crate) fn doctor_report() -> Report {
    let mut silent = attempt("198.51.100.22", TcpOutcome::Timeout, TlsOutcome::Skipped, HttpOutcome::Skipped);
    silent.trace = Some(trace());
    silent.route = Some(route());
    let reached = |address| attempt(address, TcpOutcome::Connected, TlsOutcome::Verified, HttpOutcome::ApiServer);
    let mut partial = finding("example-partial-failure", Severity::Error, Confidence::Certain);
    partial.title = "Some addresses of the endpoint answer and others do not".to_owned();
    partial.cluster = Some("prod".to_owned());
    partial.vantage = Some("here".to_owned());
    partial.cells = vec!["prod/here".to_owned()];
    partial.evidence = vec![
        "prod should be reachable from here (kubectl is meant to work).".to_owned(),
        "1 of 3 addresses did not answer: 198.51.100.22 (public), tcp timeout after 3.0 s.".to_owned(),
        "198.51.100.20 and 198.51.100.21 answered 401.".to_owned(),
    ];
    let mut cell = cell("prod", "here", Verdict::Mismatch);
    cell.observed = Reachability::Reachable;
    cell.intended = Intended::Reachable;
    cell.via = Some(Via::Public);
    cell.dns = vec![
        dns("system", DnsOutcome::Answer, &["198.51.100.20", "198.51.100.21", "198.51.100.22"]),
        dns("public", DnsOutcome::Answer, &["198.51.100.20", "198.51.100.21", "198.51.100.22"]),
        dns("vpc", DnsOutcome::Timeout, &[]),
    ];
    cell.attempts = vec![reached("198.51.100.20"), reached("198.51.100.21"), silent];
    cell.findings = vec![partial.clone()];
    Report { findings: vec![partial], ..whole(Verdict::Mismatch, vec![cell]) }
}

/// The report of every variant, each free text in it replaced by text that tries to break out of every format.
pub(crate) fn hostile_report() -> Report {
    let mut value = serde_json::to_value(report()).unwrap();
    poison(&mut value, "");
    serde_json::from_value(value).unwrap()
}

fn poison(value: &mut serde_json::Value, key: &str) {
    match value {
        serde_json::Value::Object(object) => object.iter_mut().for_each(|(key, value)| poison(value, key)),
        serde_json::Value::Array(array) => array.iter_mut().for_each(|value| poison(value, key)),
        serde_json::Value::String(text) => {
            let typed = [
                "schema",
                "startedAt",
                "finishedAt",
                "verdict",
                "provider",
                "intended",
                "configured",
                "configuredNow",
                "target",
                "observed",
                "via",
                "outcome",
                "addresses",
                "egress",
                "asked",
                "class",
                "source",
                "address",
                "from",
                "notBefore",
                "notAfter",
                "validity",
                "kind",
                "date",
                "http1Outcome",
                "severity",
                "confidence",
            ];
            if key == "fix" {
                // The line breaks of a command are the cause's own.
                *text = HOSTILE.replace("\r\n", " ");
            } else if !typed.contains(&key) || key == "kind" && !is_variant_kind(text) {
                *text = HOSTILE.to_owned();
            }
        }
        _ => {}
    }
}

/// Tells a [`TlsVariantKind`] from the free text of a hop's `kind`.
fn is_variant_kind(text: &str) -> bool {
    serde_json::from_value::<TlsVariantKind>(text.into()).is_ok()
}

fn whole(verdict: Verdict, cells: Vec<Cell>) -> Report {
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        verdict,
        started_at: "2026-03-01T12:00:00Z".parse().unwrap(),
        finished_at: "2026-03-01T12:00:03.5Z".parse().unwrap(),
        matrix: Matrix::of(&cells),
        cells,
        findings: Vec::new(),
    }
}

fn cell(cluster: &str, vantage: &str, verdict: Verdict) -> Cell {
    Cell {
        cluster: cluster.to_owned(),
        vantage: vantage.to_owned(),
        target: super::CellTarget::Kubernetes,
        endpoint: Some("https://0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com:443".to_owned()),
        provider: Provider::Eks,
        intended: Intended::Reachable,
        configured: Reachability::Unknown,
        configured_now: None,
        observed: Reachability::Unreachable,
        verdict,
        via: None,
        dns: vec![dns("system", DnsOutcome::Answer, &["198.51.100.20"])],
        attempts: Vec::new(),
        proxy: None,
        egress: Vec::new(),
        left_out: Vec::new(),
        connectivity: None,
        path: Vec::new(),
        findings: Vec::new(),
        converged_after_ms: None,
        rounds: 1,
        summary: String::new(),
    }
}

/// Every outcome of DNS and TCP, every kind of evidence about a path.
fn tcp_cell() -> Cell {
    let mut cell = cell("prod", "laptop", Verdict::Mismatch);
    cell.configured = Reachability::Unreachable;
    cell.findings = findings().into_iter().take(2).collect();
    let outcomes = [
        DnsOutcome::Answer,
        DnsOutcome::Nodata,
        DnsOutcome::Nxdomain,
        DnsOutcome::Servfail,
        DnsOutcome::Refused,
        DnsOutcome::Timeout,
        DnsOutcome::Unreachable,
        DnsOutcome::Malformed,
    ];
    let labels = ["system", "vpc", "public", "a", "b", "c", "d", "e"];
    cell.dns = labels
        .into_iter()
        .zip(outcomes)
        .map(|(label, outcome)| {
            let addresses: &[&str] =
                if outcome == DnsOutcome::Answer { &["198.51.100.20", "10.20.1.10", "2001:db8::20"] } else { &[] };
            dns(label, outcome, addresses)
        })
        .collect();
    cell.dns[0].address_class = AddressClass::Mixed;
    cell.dns[0].cnames = vec!["prod.example.net".to_owned()];
    cell.dns[0].source =
        DnsSource::HostsFile { path: "/etc/hosts".to_owned(), line: 7, text: "198.51.100.20 prod".to_owned() };
    cell.dns[3].detail = Some("22 No Reachable Authority".to_owned());
    cell.dns[3].queries = vec![query()];
    let tcp = [
        TcpOutcome::Timeout,
        TcpOutcome::Refused,
        TcpOutcome::Reset,
        TcpOutcome::Unreachable,
        TcpOutcome::Prohibited,
        TcpOutcome::LocalError,
    ];
    cell.attempts = (20..)
        .zip(tcp)
        .map(|(last, outcome)| {
            attempt(&format!("198.51.100.{last}"), outcome, TlsOutcome::Skipped, HttpOutcome::Skipped)
        })
        .collect();
    cell.attempts[0].trace = Some(trace());
    cell.attempts[0].route = Some(route());
    cell.attempts[0].repeats = Some(Repeats { tried: 5, connected: 2, timed_out: 3 });
    cell.attempts[4].tcp.icmp = Some(IcmpError {
        kind: 3,
        code: 13,
        from: Some("192.0.2.1".parse().unwrap()),
        meaning: "administratively prohibited".to_owned(),
    });
    let mut private = attempt("10.20.1.10", TcpOutcome::Timeout, TlsOutcome::Skipped, HttpOutcome::Skipped);
    private.address_class = AddressClass::Private;
    private.decides = false;
    private.resolvers = vec!["vpc".to_owned()];
    let mut skipped = attempt("2001:db8::20", TcpOutcome::Unreachable, TlsOutcome::Skipped, HttpOutcome::Skipped);
    skipped.skipped = Some("no IPv6 route".to_owned());
    skipped.observed = Reachability::Unknown;
    cell.attempts.extend([private, skipped]);
    cell.path = [
        ("rtb-0abc", "route-table", "forward", "0.0.0.0/0 → igw-0abc"),
        ("acl-0abc", "network-acl", "allow", "100 tcp 443 0.0.0.0/0 allow"),
        ("sg-0abc", "security-group", "deny", "no ingress rule for tcp/443 from 10.9.0.0/16"),
        ("tgw-0abc", "transit-gateway", "unknown", "the facts hold no route table of it"),
    ]
    .into_iter()
    .map(|(component, kind, decision, rule)| Hop {
        component: component.to_owned(),
        kind: kind.to_owned(),
        decision: decision.to_owned(),
        rule: rule.to_owned(),
    })
    .collect();
    cell
}

/// Every outcome of a TLS handshake.
fn tls_cell() -> Cell {
    let mut cell = cell("prod", "office", Verdict::Mismatch);
    let outcomes = [
        TlsOutcome::Timeout,
        TlsOutcome::Reset,
        TlsOutcome::Closed,
        TlsOutcome::Alert,
        TlsOutcome::Untrusted,
        TlsOutcome::NameMismatch,
        TlsOutcome::Expired,
        TlsOutcome::NotYetValid,
        TlsOutcome::NotTls,
    ];
    cell.attempts = (30..)
        .zip(outcomes)
        .map(|(last, outcome)| {
            attempt(&format!("198.51.100.{last}"), TcpOutcome::Connected, outcome, HttpOutcome::Skipped)
        })
        .collect();
    let kinds = [TlsVariantKind::SmallSegments, TlsVariantKind::ClassicalKeyShares, TlsVariantKind::NoServerName];
    cell.attempts[0].tls.variants = kinds
        .into_iter()
        .map(|kind| TlsVariant { kind, outcome: TlsOutcome::Verified, ms: 14.2, detail: None })
        .collect();
    cell.attempts[3].tls.detail = Some("alert 40, handshake_failure".to_owned());
    cell.egress = vec![
        egress("stun://echo.example.com:3478", Some("203.0.113.9"), None),
        egress("https://echo.example.com/ip", Some("203.0.113.9"), None),
        egress("https://other.example.com/", None, Some("it redirects (http 302), which is not followed")),
    ];
    cell.left_out = vec!["echo server http://10.0.0.1/: 10.0.0.1 is in no permitted range".to_owned()];
    cell.attempts[8].tls.detail = Some("the peer's first bytes are \"SSH-2.0-OpenSSH\"".to_owned());
    cell
}

fn egress(server: &str, address: Option<&str>, detail: Option<&str>) -> EgressObservation {
    EgressObservation {
        server: server.to_owned(),
        asked: Some("192.0.2.99".parse().unwrap()),
        address: address.map(|address| address.parse().unwrap()),
        ms: 14.2,
        detail: detail.map(str::to_owned),
    }
}

/// So many vantages, each of which looks at so many clusters; every seventh and every eleventh are not well together.
pub(crate) fn many(vantages: usize, clusters: usize) -> Report {
    let pairs = (0..clusters).flat_map(|cluster| (0..vantages).map(move |vantage| (cluster, vantage)));
    let cells = pairs.map(|(cluster, vantage)| {
        let wrong = vantage % 7 == 1 && cluster % 11 == 1;
        let verdict = if wrong { Verdict::Mismatch } else { Verdict::Match };
        let mut cell = cell(&format!("cluster-{cluster}"), &format!("vantage-{vantage}"), verdict);
        cell.configured = Reachability::Reachable;
        if wrong {
            cell.findings = vec![finding("net-filtered-silently", Severity::Error, Confidence::Likely)];
        } else {
            cell.observed = Reachability::Reachable;
            cell.via = Some(Via::Public);
        }
        cell
    });
    whole(Verdict::Mismatch, cells.collect())
}

/// Every outcome of the HTTP stage.
fn http_cell() -> Cell {
    let mut cell = cell("staging", "wifi", Verdict::Propagating);
    cell.provider = Provider::Aks;
    cell.rounds = 4;
    cell.via = Some(Via::Mixed);
    let outcomes = [
        HttpOutcome::ApiServer,
        HttpOutcome::NotApiServer,
        HttpOutcome::Timeout,
        HttpOutcome::Reset,
        HttpOutcome::Error,
    ];
    cell.intended = Intended::Unreachable;
    cell.observed = Reachability::Reachable;
    cell.attempts = (40..)
        .zip(outcomes)
        .map(|(last, outcome)| {
            attempt(&format!("198.51.100.{last}"), TcpOutcome::Connected, TlsOutcome::Verified, outcome)
        })
        .collect();
    cell.attempts[1].http.status = Some(302);
    cell.attempts[1].http.server = Some("portal".to_owned());
    cell.attempts[1].http.location = Some("https://portal.example.com/login".to_owned());
    cell.attempts[2].http.http1_outcome = Some(HttpOutcome::ApiServer);
    cell
}

fn offline_cell() -> Cell {
    let mut cell = cell("staging", "train", Verdict::Inconclusive);
    cell.target = super::CellTarget::EksApi;
    cell.configured_now = Some(Reachability::Unreachable);
    cell.observed = Reachability::Unknown;
    cell.intended = Intended::Unspecified;
    cell.endpoint = None;
    cell.dns = vec![dns("system", DnsOutcome::Timeout, &[])];
    let control = |target: &str, answered, detail: &str| Control {
        target: target.to_owned(),
        answered,
        detail: detail.to_owned(),
    };
    cell.connectivity = Some(Connectivity {
        ipv4_route: false,
        ipv6_route: false,
        source: Some("192.0.2.7".parse().unwrap()),
        controls: vec![control("9.9.9.9:53", false, "timeout"), control("1.1.1.1:53", false, "timeout")],
        unasked: vec!["192.0.2.53:53".to_owned()],
        icmp: Some(IcmpEcho {
            address: "198.51.100.20".parse().unwrap(),
            outcome: "not-measured".to_owned(),
            ms: None,
        }),
    });
    cell
}

fn converged_cell() -> Cell {
    let mut cell = cell("lab", "bastion", Verdict::Match);
    cell.provider = Provider::Generic;
    cell.configured = Reachability::Reachable;
    cell.observed = Reachability::Reachable;
    cell.via = Some(Via::Private);
    cell.converged_after_ms = Some(8_200);
    cell.rounds = 5;
    cell.attempts = vec![attempt("10.20.1.10", TcpOutcome::Connected, TlsOutcome::Verified, HttpOutcome::ApiServer)];
    cell.attempts[0].address_class = AddressClass::Private;
    cell.dns[0].address_class = AddressClass::Private;
    cell.dns[0].addresses = vec!["10.20.1.10".parse().unwrap()];
    cell
}

/// A cell for every outcome of asking a proxy for a tunnel.
fn proxy_cells() -> Vec<Cell> {
    let outcomes = [
        (TunnelOutcome::Established, Some(200)),
        (TunnelOutcome::AuthenticationRequired, Some(407)),
        (TunnelOutcome::Denied, Some(403)),
        (TunnelOutcome::TargetUnreachable, Some(502)),
        (TunnelOutcome::Timeout, None),
        (TunnelOutcome::Closed, None),
        (TunnelOutcome::NotAProxy, Some(200)),
        (TunnelOutcome::Skipped, None),
    ];
    outcomes
        .into_iter()
        .map(|(outcome, status)| {
            let established = outcome == TunnelOutcome::Established;
            let verdict = if established { Verdict::Match } else { Verdict::Mismatch };
            let mut cell = cell("prod", &format!("proxy-{}", outcome.label()), verdict);
            cell.dns.clear();
            let tcp = if outcome == TunnelOutcome::Skipped { TcpOutcome::Refused } else { TcpOutcome::Connected };
            cell.proxy = Some(ProxyObservation {
                url: "https://proxy.example.com:3128".to_owned(),
                dns: Some(dns("system", DnsOutcome::Answer, &["192.0.2.9"])),
                address: Some("192.0.2.9".parse().unwrap()),
                tcp: tcp_stage(tcp),
                tls: (tcp == TcpOutcome::Connected).then(|| tls_stage(TlsOutcome::Verified)),
                tunnel: TunnelStage {
                    outcome,
                    status,
                    ms: 7.5,
                    detail: (outcome == TunnelOutcome::Denied).then(|| "policy: destination not allowed".to_owned()),
                },
            });
            if established {
                cell.observed = Reachability::Reachable;
                cell.via = Some(Via::Public);
                let mut through =
                    attempt("192.0.2.9", TcpOutcome::Connected, TlsOutcome::Verified, HttpOutcome::ApiServer);
                through.address = None;
                through.address_class = AddressClass::None;
                through.resolvers = vec![];
                cell.attempts = vec![through];
            }
            cell
        })
        .collect()
}

/// Their codes are not the catalogue's, so that snapshots do not move with its texts.
fn findings() -> Vec<Finding> {
    let mut first = finding("example-client-not-allowed", Severity::Error, Confidence::Certain);
    first.title = "The client's address is not in publicAccessCidrs".to_owned();
    first.cells = vec!["prod/laptop".to_owned(), "prod/office".to_owned()];
    first.evidence = vec![
        "laptop (198.51.100.7) should reach prod publicly (scenario line 24).".to_owned(),
        "2 of 2 addresses did not answer (tcp timeout, 3 s).".to_owned(),
        "publicAccessCidrs = 203.0.113.0/24 does not contain 198.51.100.7.".to_owned(),
    ];
    first.setting = Some("resourcesVpcConfig.publicAccessCidrs = 203.0.113.0/24".to_owned());
    first.fix = Some(
        "cur=$(aws eks describe-cluster --region eu-west-1 --name prod --query cluster.resourcesVpcConfig --output json)\n\
         aws eks update-cluster-config --region eu-west-1 --name prod --resources-vpc-config \"$(jq -c \\\n  \
         '{endpointPublicAccess,endpointPrivateAccess,publicAccessCidrs:(.publicAccessCidrs+[\"198.51.100.7/32\"]|unique)}' <<<\"$cur\")\""
            .to_owned(),
    );
    let mut second = finding("example-connect-timeout", Severity::Warning, Confidence::Likely);
    second.cluster = Some("prod".to_owned());
    second.vantage = Some("laptop".to_owned());
    let mut third = finding("example-open-to-world", Severity::Info, Confidence::Possible);
    third.cluster = Some("prod".to_owned());
    third.setting = None;
    third.fix = None;
    third.docs = None;
    let mut fourth = finding("example-allow-list-full", Severity::Error, Confidence::Certain);
    fourth.title = "The allow-list holds 40 of 40 entries".to_owned();
    fourth.cluster = Some("staging".to_owned());
    vec![first, second, third, fourth]
}

fn finding(code: &str, severity: Severity, confidence: Confidence) -> Finding {
    Finding {
        code: code.to_owned(),
        severity,
        confidence,
        title: format!("A finding of severity {}", severity.label()),
        cluster: None,
        vantage: None,
        cells: Vec::new(),
        evidence: vec!["Expected and seen, in a sentence.".to_owned()],
        setting: Some("network.setting = value".to_owned()),
        fix: Some("kubectl config view --minify".to_owned()),
        docs: Some("https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html".to_owned()),
    }
}

fn dns(resolver: &str, outcome: DnsOutcome, addresses: &[&str]) -> DnsObservation {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    DnsObservation {
        resolver: resolver.to_owned(),
        server: outcome.is_message().then(|| "127.0.0.53:53".to_owned()),
        name: "0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com".to_owned(),
        outcome,
        address_class: if addresses.is_empty() { AddressClass::None } else { AddressClass::Public },
        ttl: (!addresses.is_empty()).then_some(60),
        addresses,
        cnames: Vec::new(),
        ms: 3.1,
        source: DnsSource::Server,
        detail: None,
        queries: Vec::new(),
    }
}

fn query() -> DnsQuery {
    DnsQuery {
        server: "127.0.0.53:53".to_owned(),
        name: "prod.example.com".to_owned(),
        record_type: "A".to_owned(),
        transport: "udp".to_owned(),
        outcome: DnsOutcome::Servfail,
        rcode: Some("SERVFAIL".to_owned()),
        authoritative: Some(false),
        recursion_available: Some(true),
        extended_errors: vec!["22 No Reachable Authority".to_owned()],
        ignored: 0,
        ms: 3.0,
        detail: None,
    }
}

fn attempt(address: &str, tcp: TcpOutcome, tls: TlsOutcome, http: HttpOutcome) -> Attempt {
    let reached = http == HttpOutcome::ApiServer;
    Attempt {
        address: Some(address.parse().unwrap()),
        port: 443,
        address_class: AddressClass::Public,
        resolvers: vec!["system".to_owned(), "public".to_owned()],
        decides: true,
        skipped: None,
        tcp: tcp_stage(tcp),
        tls: tls_stage(tls),
        http: http_stage(http),
        observed: if reached { Reachability::Reachable } else { Reachability::Unreachable },
        route: None,
        trace: None,
        repeats: None,
        path_mtu: None,
    }
}

fn tcp_stage(outcome: TcpOutcome) -> TcpStage {
    let (ms, detail) = match outcome {
        TcpOutcome::Connected => (12.0, None),
        TcpOutcome::Timeout => (3_000.0, Some("no answer within 3 s")),
        TcpOutcome::Refused => (11.0, Some("connection refused")),
        TcpOutcome::Reset => (13.0, Some("connection reset by peer")),
        TcpOutcome::Unreachable => (0.2, Some("network is unreachable")),
        TcpOutcome::Prohibited => (8.0, None),
        TcpOutcome::LocalError => (0.0, Some("cannot assign requested address")),
    };
    TcpStage { outcome, ms, detail: detail.map(str::to_owned), source: None, icmp: None }
}

fn tls_stage(outcome: TlsOutcome) -> TlsStage {
    let completed = outcome.completed();
    TlsStage {
        outcome,
        ms: if outcome == TlsOutcome::Timeout { 3_000.0 } else { 9.0 },
        version: completed.then(|| "1.3".to_owned()),
        suite: completed.then(|| "TLS13_AES_256_GCM_SHA384".to_owned()),
        key_exchange: completed.then(|| "X25519MLKEM768".to_owned()),
        alpn: completed.then(|| "h2".to_owned()),
        server_name: completed.then(|| "0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com".to_owned()),
        chain: if completed { vec![certificate()] } else { vec![] },
        detail: None,
        checks: completed.then(|| TlsChecks {
            trust: "cluster-ca".to_owned(),
            trusted: outcome != TlsOutcome::Untrusted,
            trusted_by_system_roots: (outcome == TlsOutcome::Untrusted).then_some(true),
            trusted_by_other: None,
            name_matches: outcome != TlsOutcome::NameMismatch,
            validity: match outcome {
                TlsOutcome::Expired => Validity::Expired,
                TlsOutcome::NotYetValid => Validity::NotYetValid,
                _ => Validity::Valid,
            },
        }),
        variants: Vec::new(),
    }
}

fn certificate() -> Certificate {
    Certificate {
        subject: "CN=kube-apiserver".to_owned(),
        issuer: "CN=kubernetes".to_owned(),
        not_before: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        not_after: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        sha256: "00".repeat(32),
        names: vec!["kubernetes".to_owned(), "*.gr7.eu-west-1.eks.amazonaws.com".to_owned()],
    }
}

fn http_stage(outcome: HttpOutcome) -> HttpStage {
    let reached = outcome == HttpOutcome::ApiServer;
    HttpStage {
        outcome,
        status: reached.then_some(401),
        ms: if outcome == HttpOutcome::Timeout { 3_000.0 } else { 4.0 },
        version: reached.then(|| "v1.33.1".to_owned()),
        detail: reached.then(|| "a Kubernetes Status object".to_owned()),
        date: reached.then(|| "2026-03-01T12:00:00Z".parse().unwrap()),
        clock_ahead_seconds: reached.then_some(0),
        server: None,
        location: None,
        authenticated: false,
        http1_outcome: None,
        requests: if reached {
            vec![HttpRequest { path: "/livez".to_owned(), status: Some(401), ms: 4.0, body: "status".to_owned() }]
        } else {
            vec![]
        },
    }
}

fn route() -> LocalRoute {
    LocalRoute {
        source: Some("192.0.2.7".parse().unwrap()),
        interface: Some("wlan0".to_owned()),
        on_link: false,
        by_default_route: true,
        bridge: false,
        tunnel: false,
        neighbour_failed: false,
    }
}

fn trace() -> PathTrace {
    let hop = |ttl, address: &str, ms| TraceHop {
        ttl,
        address: address.parse().unwrap(),
        ms,
        said: "time exceeded".to_owned(),
    };
    PathTrace {
        hops: vec![hop(1, "192.0.2.1", 1.2), hop(4, "203.0.113.9", 12.6)],
        note: Some("nothing answered beyond hop 4".to_owned()),
    }
}

const HOSTILE: &str = "<script>alert(1)</script>\x1b[31m\u{9b}2J\r\nFORGED: fine ]]> | `x` [a](javascript:x) \
                       \" onerror=\" ' & \u{202e}gnp\0 ${IFS} @all #1 ```";

mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    /// Walks report and schema together, so that a new variant of any enum fails this test until it is drawn.
    #[test]
    fn every_variant_of_every_enum_is_in_the_report() {
        let schema = crate::report::json::schema();
        let report = serde_json::to_value(super::report()).unwrap();
        let mut seen = BTreeSet::new();
        walk(&schema, &schema, &report, "Report", &mut seen);
        let mut wanted = BTreeSet::new();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            wanted.extend(labels(definition).into_iter().map(|label| (name.clone(), label)));
        }
        assert!(wanted.len() > 60, "the schema no longer lists the variants: {wanted:?}");
        let missing: Vec<_> = wanted.difference(&seen).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// The variants that a definition lists: plain ones by their label, those with fields by their key.
    fn labels(definition: &Value) -> Vec<String> {
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let mut all = texts(&definition["enum"]);
        for choice in definition["oneOf"].as_array().into_iter().flatten() {
            all.extend(choice["const"].as_str().map(str::to_owned));
            all.extend(texts(&choice["enum"]));
            if choice["type"] == "object" {
                all.extend(texts(&choice["required"]));
            }
        }
        all
    }

    fn walk(root: &Value, schema: &Value, value: &Value, name: &str, seen: &mut BTreeSet<(String, String)>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            return walk(root, &root["$defs"][name], value, name, seen);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            if !value.is_null() {
                walk(root, choice, value, name, seen);
            }
        }
        let known = labels(schema);
        let label = match value {
            Value::String(text) => Some(text.clone()),
            Value::Object(object) if schema["oneOf"].is_array() => object.keys().next().cloned(),
            _ => None,
        };
        seen.extend(label.filter(|label| known.contains(label)).map(|label| (name.to_owned(), label)));
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(root, property, &value[key], name, seen);
        }
        for entry in value.as_array().into_iter().flatten() {
            walk(root, &schema["items"], entry, name, seen);
        }
    }
}
