//! Small observations for the tests of the causes.

use std::net::IpAddr;

use jiff::Timestamp;
use kubereach_probes::{
    AddressClass, AddressClasses, Attempt, DnsObservation, DnsOutcome, DnsSource, HttpOutcome, HttpStage, LocalRoute,
    Observation, ProxyObservation, Reachability, TcpOutcome, TcpStage, TlsOutcome, TlsStage, TunnelOutcome,
    TunnelStage,
};

use super::{CellView, Change, Circumstances, Round, diagnose};
use crate::{
    client::ClientEnvironment,
    report::{CellTarget, Finding, Intended, Provider, Severity, Verdict, Via},
};

/// A cell in the making: intended reachable, observed unreachable, a mismatch, until said otherwise.
pub(super) struct Scene {
    pub(super) host: &'static str,
    pub(super) vantage_kind: &'static str,
    pub(super) target: CellTarget,
    pub(super) provider: Provider,
    pub(super) intended: Intended,
    pub(super) intended_via: Option<Via>,
    pub(super) observed: Reachability,
    pub(super) via: Option<Via>,
    pub(super) verdict: Verdict,
    pub(super) observation: Observation,
    pub(super) declared_egress: Vec<ipnet::IpNet>,
    pub(super) other_path: Option<Observation>,
    pub(super) rounds: Vec<Round>,
    pub(super) client: Option<ClientEnvironment>,
    pub(super) change: Option<Change>,
    pub(super) circumstances: Circumstances<'static>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self {
            host: "api.prod.example.com",
            vantage_kind: "local",
            target: CellTarget::Kubernetes,
            provider: Provider::Generic,
            intended: Intended::Reachable,
            intended_via: None,
            observed: Reachability::Unreachable,
            via: None,
            verdict: Verdict::Mismatch,
            observation: Observation::default(),
            declared_egress: Vec::new(),
            other_path: None,
            rounds: Vec::new(),
            client: None,
            change: None,
            circumstances: Circumstances::default(),
        }
    }

    /// Adds lookups and attempts; what decides follows from the attempts.
    pub(super) fn saw(mut self, dns: Vec<DnsObservation>, attempts: Vec<Attempt>) -> Self {
        let reached = attempts.iter().filter(|attempt| attempt.decides).map(|attempt| attempt.observed);
        self.observed = if reached.into_iter().any(|observed| observed == Reachability::Reachable) {
            Reachability::Reachable
        } else {
            Reachability::Unreachable
        };
        self.observation = observation(dns, attempts);
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A declared change so many seconds ago, with a window of two minutes.
    pub(super) fn changed(mut self, seconds_ago: i64) -> Self {
        let at = Timestamp::from_second(NOW - seconds_ago).unwrap();
        self.change = Some(Change { at, window: std::time::Duration::from_mins(2), open: seconds_ago < 120 });
        self
    }

    pub(super) fn view(&self) -> CellView<'_> {
        CellView {
            cluster: "prod",
            vantage: "laptop",
            vantage_kind: self.vantage_kind,
            target: self.target,
            host: self.host,
            port: 443,
            provider: self.provider,
            known_addresses: &[],
            intended: self.intended,
            intended_via: self.intended_via,
            origin: "expect, line 24",
            configured: Reachability::Unknown,
            configuration: None,
            configuration_missing: None,
            observed: self.observed,
            via: self.via,
            verdict: self.verdict,
            observation: &self.observation,
            declared_egress: &self.declared_egress,
            other_path: self.other_path.as_ref(),
            rounds: &self.rounds,
            client: self.client.as_ref(),
            client_authorities: None,
            change: self.change,
            circumstances: self.circumstances,
            now: now(),
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        diagnose(&self.view())
    }

    pub(super) fn finding(&self, code: &str) -> Option<Finding> {
        self.findings().into_iter().find(|finding| finding.code == code)
    }

    /// The codes of the error findings, most probable first.
    pub(super) fn errors(&self) -> Vec<String> {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        self.findings().into_iter().filter(is_error).map(|finding| finding.code).collect()
    }
}

pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn observation(dns: Vec<DnsObservation>, attempts: Vec<Attempt>) -> Observation {
    Observation { dns, attempts, ..Observation::default() }
}

/// A lookup with addresses.
pub(super) fn answer(resolver: &str, addresses: &[&str]) -> DnsObservation {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| address(text)).collect();
    let address_class = AddressClasses::default().of_all(&addresses);
    DnsObservation { addresses, address_class, ttl: Some(60), ..no_answer(resolver, DnsOutcome::Answer) }
}

/// A lookup without addresses.
pub(super) fn no_answer(resolver: &str, outcome: DnsOutcome) -> DnsObservation {
    DnsObservation {
        resolver: resolver.to_owned(),
        server: Some("192.0.2.53:53".to_owned()),
        name: "api.prod.example.com".to_owned(),
        outcome,
        addresses: Vec::new(),
        cnames: Vec::new(),
        ttl: None,
        address_class: AddressClass::None,
        ms: 4.0,
        source: DnsSource::Server,
        detail: None,
        queries: Vec::new(),
    }
}

/// An attempt whose TCP stage came to this.
pub(super) fn attempt(to: &str, outcome: TcpOutcome, ms: f64) -> Attempt {
    let address = address(to);
    Attempt {
        address: Some(address),
        port: 443,
        address_class: AddressClasses::default().of(address),
        resolvers: vec!["system".to_owned()],
        decides: true,
        skipped: None,
        tcp: tcp(outcome, ms),
        tls: tls(TlsOutcome::Skipped),
        http: http(HttpOutcome::Skipped),
        observed: Reachability::Unreachable,
        route: None,
        trace: None,
        repeats: None,
        path_mtu: None,
    }
}

pub(super) fn silent(to: &str) -> Attempt {
    attempt(to, TcpOutcome::Timeout, 3000.0)
}

/// An attempt that reached an API server.
pub(super) fn reached(to: &str) -> Attempt {
    Attempt {
        tls: tls(TlsOutcome::Verified),
        http: HttpStage { status: Some(401), ..http(HttpOutcome::ApiServer) },
        observed: Reachability::Reachable,
        ..attempt(to, TcpOutcome::Connected, 12.0)
    }
}

/// An attempt that ended in the TLS stage (or, with `verified`, after it).
pub(super) fn shook(to: &str, outcome: TlsOutcome) -> Attempt {
    Attempt { tls: tls(outcome), ..attempt(to, TcpOutcome::Connected, 12.0) }
}

/// The same attempt as evidence only.
pub(super) fn beside(attempt: Attempt) -> Attempt {
    Attempt { decides: false, resolvers: vec!["public".to_owned()], ..attempt }
}

/// The same attempt by this route.
pub(super) fn routed(attempt: Attempt, change: impl FnOnce(&mut LocalRoute)) -> Attempt {
    let mut route = LocalRoute {
        source: None,
        interface: Some("eth0".to_owned()),
        on_link: false,
        by_default_route: false,
        bridge: false,
        tunnel: false,
        neighbour_failed: false,
    };
    change(&mut route);
    Attempt { route: Some(route), ..attempt }
}

/// A proxy that connected and then answered the request for a tunnel like this.
pub(super) fn proxy(outcome: TunnelOutcome, status: Option<u16>) -> ProxyObservation {
    ProxyObservation {
        url: "http://proxy.example.com:3128".to_owned(),
        dns: None,
        address: Some(address("192.0.2.80")),
        tcp: tcp(TcpOutcome::Connected, 2.0),
        tls: None,
        tunnel: TunnelStage { outcome, status, ms: 3.0, detail: None },
    }
}

pub(super) fn tcp(outcome: TcpOutcome, ms: f64) -> TcpStage {
    TcpStage { outcome, ms, detail: None, source: Some(address("192.0.2.7")), icmp: None }
}

pub(super) fn tls(outcome: TlsOutcome) -> TlsStage {
    TlsStage { outcome, ms: 9.0, ..TlsStage::skipped() }
}

pub(super) fn http(outcome: HttpOutcome) -> HttpStage {
    HttpStage { outcome, ms: 4.0, ..HttpStage::skipped() }
}
