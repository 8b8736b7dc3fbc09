//! Builders for the tests of the network, TLS and HTTP causes: one cell with its observation, changed field by field.

use std::net::IpAddr;

use jiff::Timestamp;
use kubereach_probes::{
    AddressClass, Attempt, Certificate, Connectivity, Control, HttpOutcome, HttpStage, IcmpError, LocalRoute,
    Observation, PathTrace, ProxyObservation, Reachability, TcpOutcome, TcpStage, TlsChecks, TlsOutcome, TlsStage,
    TlsVariant, TlsVariantKind, TraceHop, TunnelOutcome, TunnelStage, Validity,
};

use super::{Cause, CellView, Change, Circumstances, Round, Told};
use crate::report::{CellTarget, Intended, Provider, Verdict, Via};

/// One cell, owned.
pub(super) struct Scene {
    pub(super) cluster: String,
    pub(super) host: String,
    pub(super) provider: Provider,
    pub(super) known_addresses: Vec<IpAddr>,
    pub(super) observation: Observation,
    pub(super) rounds: Vec<Round>,
    pub(super) change: Option<Change>,
    pub(super) offline: bool,
    pub(super) interrupted: bool,
    pub(super) vantage_unavailable: Option<String>,
}

impl Scene {
    /// `laptop` should reach `prod` publicly; these attempts were made and a control target answered.
    pub(super) fn new(attempts: Vec<Attempt>) -> Self {
        let connectivity = Connectivity {
            ipv4_route: true,
            ipv6_route: true,
            source: None,
            controls: vec![Control { target: "9.9.9.9:53".to_owned(), answered: true, detail: "answer".to_owned() }],
            unasked: Vec::new(),
            icmp: None,
        };
        Self {
            cluster: "prod".to_owned(),
            host: "api.example.com".to_owned(),
            provider: Provider::Generic,
            known_addresses: Vec::new(),
            observation: Observation { attempts, connectivity: Some(connectivity), ..Observation::default() },
            rounds: Vec::new(),
            change: None,
            offline: false,
            interrupted: false,
            vantage_unavailable: None,
        }
    }

    /// The same through a proxy whose tunnel stands.
    pub(super) fn proxied(mut self) -> Self {
        self.observation.proxy = Some(ProxyObservation {
            url: "http://proxy.example.com:3128".to_owned(),
            dns: None,
            address: None,
            tcp: tcp(TcpOutcome::Connected, 1.0),
            tls: None,
            tunnel: TunnelStage { outcome: TunnelOutcome::Established, status: Some(200), ms: 2.0, detail: None },
        });
        self
    }

    /// What the predicates see.
    pub(super) fn view(&self) -> CellView<'_> {
        let reachable = self.observation.attempts.iter().any(|attempt| attempt.observed == Reachability::Reachable);
        CellView {
            cluster: &self.cluster,
            vantage: "laptop",
            vantage_kind: "local",
            target: CellTarget::Kubernetes,
            host: &self.host,
            port: 443,
            provider: self.provider,
            known_addresses: &self.known_addresses,
            intended: Intended::Reachable,
            intended_via: Some(Via::Public),
            origin: "expect, line 24",
            configured: Reachability::Unknown,
            configuration: None,
            configuration_missing: None,
            observed: if reachable { Reachability::Reachable } else { Reachability::Unreachable },
            via: None,
            verdict: if reachable { Verdict::Match } else { Verdict::Mismatch },
            observation: &self.observation,
            declared_egress: &[],
            other_path: None,
            rounds: &self.rounds,
            client: None,
            client_authorities: None,
            change: self.change,
            circumstances: Circumstances {
                interrupted: self.interrupted,
                vantage_unavailable: self.vantage_unavailable.as_deref(),
                offline: self.offline,
                ..Circumstances::default()
            },
            now: now(),
        }
    }

    /// The codes of `causes` that sign.
    pub(super) fn codes(&self, causes: &[Cause]) -> Vec<&'static str> {
        causes
            .iter()
            .filter(|cause| cause.predicate.is_some_and(|predicate| predicate(&self.view()).is_some()))
            .map(|cause| cause.code)
            .collect()
    }

    /// What one cause says.
    pub(super) fn told(&self, causes: &[Cause], code: &str) -> Option<Told> {
        let cause = causes.iter().find(|cause| cause.code == code).unwrap();
        cause.predicate.unwrap()(&self.view())
    }
}

/// The clock of all tests.
pub(super) fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// An attempt whose TCP stage ended so; the stages behind it are skipped.
pub(super) fn attempt(address: &str, outcome: TcpOutcome, ms: f64) -> Attempt {
    let address: IpAddr = address.parse().unwrap();
    Attempt {
        address: Some(address),
        port: 443,
        address_class: AddressClass::Public,
        resolvers: vec!["system".to_owned()],
        decides: true,
        skipped: None,
        tcp: tcp(outcome, ms),
        tls: tls(TlsOutcome::Skipped),
        http: http(HttpOutcome::Skipped, None),
        observed: Reachability::Unreachable,
        route: None,
        trace: None,
        repeats: None,
        path_mtu: None,
    }
}

/// An attempt without any answer for 3 s.
pub(super) fn silent(address: &str) -> Attempt {
    attempt(address, TcpOutcome::Timeout, 3000.0)
}

/// An attempt that connected and whose handshake ended so.
pub(super) fn handshake(address: &str, outcome: TlsOutcome) -> Attempt {
    Attempt { tls: tls(outcome), ..attempt(address, TcpOutcome::Connected, 12.0) }
}

/// An attempt over a verified connection with this HTTP answer.
pub(super) fn answered(address: &str, outcome: HttpOutcome, status: Option<u16>) -> Attempt {
    let observed = if outcome == HttpOutcome::ApiServer { Reachability::Reachable } else { Reachability::Unreachable };
    Attempt { http: http(outcome, status), observed, ..handshake(address, TlsOutcome::Verified) }
}

/// A healthy attempt: the API server answered 401.
pub(super) fn healthy(address: &str) -> Attempt {
    answered(address, HttpOutcome::ApiServer, Some(401))
}

/// The attempt with a handshake of another kind beside it.
pub(super) fn variant(mut attempt: Attempt, kind: TlsVariantKind, outcome: TlsOutcome) -> Attempt {
    attempt.tls.variants.push(TlsVariant { kind, outcome, ms: 20.0, detail: None });
    attempt
}

/// The attempt with a queued ICMP error.
pub(super) fn icmp(mut attempt: Attempt, kind: u8, code: u8, from: &str, meaning: &str) -> Attempt {
    attempt.tcp.icmp = Some(IcmpError { kind, code, from: Some(from.parse().unwrap()), meaning: meaning.to_owned() });
    attempt
}

/// The attempt with a trace of these hops.
pub(super) fn traced(mut attempt: Attempt, hops: &[(u8, &str, &str)]) -> Attempt {
    let hops = hops
        .iter()
        .map(|(ttl, address, said)| TraceHop {
            ttl: *ttl,
            address: address.parse().unwrap(),
            ms: 1.0,
            said: (*said).to_owned(),
        })
        .collect();
    attempt.trace = Some(PathTrace { hops, note: None });
    attempt
}

/// A route over the default gateway whose next hop answers.
pub(super) fn route() -> LocalRoute {
    LocalRoute {
        source: Some("192.0.2.7".parse().unwrap()),
        interface: Some("eth0".to_owned()),
        on_link: false,
        by_default_route: true,
        bridge: false,
        tunnel: false,
        neighbour_failed: false,
    }
}

/// A certificate with this subject, issuer and names, valid for a year around [`now`].
pub(super) fn certificate(subject: &str, issuer: &str, names: &[&str]) -> Certificate {
    Certificate {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        not_before: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        not_after: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        sha256: "00".repeat(32),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Checks that all pass against the cluster's CA.
pub(super) fn checks() -> TlsChecks {
    TlsChecks {
        trust: "cluster-ca".to_owned(),
        trusted: true,
        trusted_by_system_roots: Some(false),
        trusted_by_other: None,
        name_matches: true,
        validity: Validity::Valid,
    }
}

/// An attempt that got this certificate and these checks; the outcome follows from the checks.
pub(super) fn presented(certificate: Certificate, checks: TlsChecks) -> Attempt {
    let outcome = match (&checks, checks.validity) {
        (TlsChecks { trusted: false, .. }, _) => TlsOutcome::Untrusted,
        (_, Validity::Expired) => TlsOutcome::Expired,
        (_, Validity::NotYetValid) => TlsOutcome::NotYetValid,
        (TlsChecks { name_matches: false, .. }, _) => TlsOutcome::NameMismatch,
        _ => TlsOutcome::Verified,
    };
    let mut attempt = handshake("198.51.100.20", outcome);
    attempt.tls.chain = vec![certificate];
    attempt.tls.checks = Some(checks);
    attempt
}

fn tcp(outcome: TcpOutcome, ms: f64) -> TcpStage {
    TcpStage { outcome, ms, detail: None, source: Some("192.0.2.7".parse().unwrap()), icmp: None }
}

fn tls(outcome: TlsOutcome) -> TlsStage {
    let server_name = Some("api.example.com".to_owned());
    TlsStage { outcome, ms: 9.0, server_name, ..TlsStage::skipped() }
}

fn http(outcome: HttpOutcome, status: Option<u16>) -> HttpStage {
    HttpStage { outcome, status, ms: 4.0, ..HttpStage::skipped() }
}
