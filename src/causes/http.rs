//! Causes: the HTTP stage. Here the network is fine, which every finding says first.

use kubereach_probes::{Attempt, HttpOutcome, Reachability, TlsOutcome};

use super::{
    Cause, CellView, Need, Told,
    evidence::{
        clean, deciding, duration, eks_region_and_name, endpoint, kubeconfig_cluster, place, seen, silence_counts, told,
    },
};
use crate::report::{Confidence, Provider, Severity};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "http-reachable-without-identity",
        severity: Severity::Info,
        title: "The API server is reachable; it answered without knowing who asks",
        needs: &[Need::Probe],
        signature: "The connection verified and a Kubernetes API server answered 401 or 403; no credentials were \
            sent, so this is what a reachable API server says to strangers. Clusters that forbid anonymous requests \
            answer 401, others 403. The server's version may then stay unknown.",
        setting: "anonymous access of the API server",
        fix: "# Nothing to mend on the network. To ask with your own identity:\nkubereach doctor --auth",
        docs: "https://github.com/aws/eks-hybrid",
        kubectl: &["user \"system:anonymous\" cannot"],
        decided_by: "Nothing more is needed: the network is fine.",
        predicate: Some(reachable_without_identity),
        configuration: None,
    },
    Cause {
        code: "http-identity-not-permitted",
        severity: Severity::Error,
        title: "The API server is reachable, but does not accept this identity",
        needs: &[Need::Client, Need::Probe],
        signature: "Credentials were sent over a verified connection and the API server answered 401 or 403. 401 \
            means that it does not know the identity or that the token has expired: no access entry, another \
            cluster's credentials, a local clock that is off. 403 means that it knows the identity and a role is \
            missing. The network has no part in it.",
        setting: "access entries and role bindings of the cluster",
        fix: "kubectl auth whoami\naws eks list-access-entries --cluster-name <cluster>",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html",
        kubectl: &[
            "you must be logged in to the server",
            "the server has asked for the client to provide credentials",
            "error from server (forbidden)",
            "is forbidden: user",
        ],
        decided_by: "`kubectl auth whoami` tells which identity the server sees; 401 even there means that it sees none.",
        predicate: Some(identity_not_permitted),
        configuration: None,
    },
    Cause {
        code: "http-server-degraded",
        severity: Severity::Warning,
        title: "The API server is reachable, but struggles",
        needs: &[Need::Probe],
        signature: "A Kubernetes API server answers over a verified connection, but with 429, 500, 503 or 504, or it \
            is alive and not ready, or its first byte comes late although TCP and TLS were fast. It is overloaded, \
            starting, or its store is slow. The network is fine.",
        setting: "load of the control plane",
        fix: "# Try again later. To find the client that floods it:\nkubectl get --raw /metrics | grep apiserver_flowcontrol_rejected_requests_total",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/connectivity/tcp-timeouts-kubetctl-third-party-tools-connect-api-server.md",
        kubectl: &[
            "the server is currently unable to handle the request",
            "the server has received too many requests",
            "too many requests",
            "etcdserver: request timed out",
            "error from server (serviceunavailable)",
        ],
        decided_by: "`/readyz?verbose` names the check that fails.",
        predicate: Some(server_degraded),
        configuration: None,
    },
    Cause {
        code: "http-not-a-kubernetes-api",
        severity: Severity::Error,
        title: "What answers is not a Kubernetes API",
        needs: &[Need::Probe],
        signature: "The TLS connection verified, but the answer is a web page, a redirect, or JSON that no Kubernetes \
            API server sends: a captive portal, a load balancer's own page, a gateway with another path, or the \
            provider's management API (eks.<region>.amazonaws.com) in place of the cluster's endpoint. The host or \
            the path of `server` is wrong, or somebody answers in its place.",
        setting: "host and path of `server` in the kubeconfig",
        fix: "# Sign in to the portal, if it is one; else:\nkubectl config set-cluster <name> --server=https://<endpoint of the cluster>",
        docs: "https://github.com/aws/eks-hybrid",
        kubectl: &[
            "the server could not find the requested resource",
            "invalid character '<' looking for beginning of value",
            "couldn't get current server api group list",
        ],
        decided_by: "The status, the `Server` header and the redirect of the answer tell who answers.",
        predicate: Some(not_a_kubernetes_api),
        configuration: None,
    },
    Cause {
        code: "http-no-response-after-tls",
        severity: Severity::Error,
        title: "The TLS connection stands, but no answer comes",
        needs: &[Need::Probe],
        signature: "The handshake verified, then the request stays without an answer or the connection is reset. When \
            HTTP/1.1 works where HTTP/2 fails, a box on the path breaks HTTP/2 or its negotiation. Otherwise the \
            process behind the TLS-terminating hop is gone or overloaded.",
        setting: "the hop that terminates TLS",
        fix: "# Bypass that hop for <host>.",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/connectivity/tcp-timeouts-kubetctl-third-party-tools-connect-api-server.md",
        kubectl: &[
            "client.timeout exceeded while awaiting headers",
            "timeout awaiting response headers",
            "http2: client connection lost",
            "context deadline exceeded",
        ],
        decided_by: "The same request over HTTP/1.1: if it is answered, a box on the path breaks HTTP/2.",
        predicate: Some(no_response_after_tls),
        configuration: None,
    },
    Cause {
        code: "http-api-tunnel-down",
        severity: Severity::Error,
        title: "The API answers, but its tunnel to the nodes is down",
        needs: &[Need::Client],
        signature: "Listing objects works, but logs, exec, port-forward and webhooks fail with `error dialing backend`: \
            the control plane cannot reach the nodes. Ports 10250 or 443 between nodes and control plane are blocked, \
            the tunnel's own pods are down, or a box on the nodes' way out strips ALPN. A probe from outside cannot \
            see that tunnel.",
        setting: "ports 10250 and 443 between nodes and control plane; ALPN on the nodes' way out",
        fix: "# Allow the nodes' required egress rules, and exempt the API server's name from TLS inspection there.",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/connectivity/tunnel-connectivity-issues.md",
        kubectl: &["error dialing backend", "no agent available", "10250: i/o timeout"],
        decided_by: "`kubectl get nodes` from the same vantage: if it works while logs fail, the tunnel is down.",
        predicate: None,
        configuration: None,
    },
];

fn reachable_without_identity(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let answered = seen(&attempts, |attempt| {
        is_api_server(attempt) && !attempt.http.authenticated && matches!(attempt.http.status, Some(401 | 403))
    })?;
    Some(
        told(view, Confidence::Certain, reachable_sentence(view, answered.first())).and(
            "no credentials were sent; an answer of 401 or 403 to a stranger is what a reachable API server gives",
        ),
    )
}

fn identity_not_permitted(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let refused = seen(&attempts, |attempt| {
        is_api_server(attempt) && attempt.http.authenticated && matches!(attempt.http.status, Some(401 | 403))
    })?;
    let attempt = refused.first();
    let meaning = if attempt.http.status == Some(401) {
        "credentials were sent and are not accepted: unknown or expired identity, or another cluster's"
    } else {
        "credentials were sent and the identity is known, but lacks a role"
    };
    let told = told(view, Confidence::Certain, reachable_sentence(view, attempt)).and(meaning);
    Some(if view.provider == Provider::Eks {
        let (region, name) = eks_region_and_name(view);
        told.fix(format!("kubectl auth whoami\naws eks list-access-entries --region {region} --cluster-name {name}"))
    } else {
        told.fix("kubectl auth whoami")
    })
}

fn server_degraded(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let struggling = seen(&attempts, |attempt| degradation(attempt).is_some())?;
    let attempt = struggling.first();
    let (confidence, words) = degradation(attempt)?;
    Some(told(view, confidence, reachable_sentence(view, attempt)).and(words).and(format!(
        "seen at {}: {}",
        struggling.count(),
        struggling.places(view)
    )))
}

fn not_a_kubernetes_api(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let other = seen(&attempts, |attempt| {
        attempt.tls.outcome == TlsOutcome::Verified
            && (attempt.http.outcome == HttpOutcome::NotApiServer
                || (attempt.http.outcome == HttpOutcome::Error && !works_over_http1(attempt)))
    })?;
    let attempt = other.first();
    let http = &attempt.http;
    let seen = match http.status {
        Some(status) => format!(
            "{} verified and answered {status}, but not as a Kubernetes API: {}",
            other.count(),
            other.places(view)
        ),
        None => format!(
            "{} verified and answered with something that is not HTTP as Kubernetes speaks it: {}",
            other.count(),
            other.places(view)
        ),
    };
    let confidence = if http.outcome == HttpOutcome::NotApiServer { Confidence::Likely } else { Confidence::Possible };
    let mut told = told(view, confidence, seen);
    let particulars = [
        http.detail.as_deref().map(|detail| format!("the answer: {}", clean(detail))),
        http.location.as_deref().map(|location| {
            format!("it redirects to \"{}\", as a captive portal or a sign-in page does", clean(location))
        }),
        http.server.as_deref().map(|server| format!("it calls itself \"{}\"", clean(server))),
    ];
    told.evidence.extend(particulars.into_iter().flatten());
    Some(told.setting(format!("host and path of `server`, at present {}", endpoint(view))).fix(format!(
        "kubectl config set-cluster {} --server=https://<endpoint of the cluster>",
        kubeconfig_cluster(view)
    )))
}

fn no_response_after_tls(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let mute = seen(&attempts, |attempt| {
        attempt.tls.outcome == TlsOutcome::Verified
            && match attempt.http.outcome {
                HttpOutcome::Timeout => silence_counts(view),
                HttpOutcome::Reset => true,
                HttpOutcome::Error => works_over_http1(attempt),
                HttpOutcome::ApiServer | HttpOutcome::NotApiServer | HttpOutcome::Skipped => false,
            }
    })?;
    let attempt = mute.first();
    let protocol = attempt.tls.alpn.as_deref().map_or_else(String::new, |alpn| format!(" over {}", clean(alpn)));
    let by_http1 = works_over_http1(attempt);
    let told = told(
        view,
        if by_http1 { Confidence::Likely } else { Confidence::Possible },
        format!(
            "{} verified in {}, then the request{protocol} got no answer (http {} after {}): {}",
            mute.count(),
            duration(attempt.tls.ms),
            attempt.http.outcome.label(),
            duration(attempt.http.ms),
            mute.places(view)
        ),
    );
    let told = if by_http1 {
        told.and("the same request over HTTP/1.1 was answered: a box on the path breaks HTTP/2")
    } else {
        told.and("rivals: a TLS-terminating hop without a working backend, an overloaded API server, large packets lost on the way")
    };
    let told = if attempt.observed == Reachability::Reachable { told.severity(Severity::Warning) } else { told };
    Some(told.fix(format!("# On the hop that terminates TLS: let {} pass untouched.", endpoint(view))))
}

fn is_api_server(attempt: &Attempt) -> bool {
    attempt.tls.outcome == TlsOutcome::Verified && attempt.http.outcome == HttpOutcome::ApiServer
}

fn works_over_http1(attempt: &Attempt) -> bool {
    attempt.http.http1_outcome == Some(HttpOutcome::ApiServer)
}

/// `reachable: a Kubernetes API server (v1.33.1) answered 401 at 198.51.100.20:443 in 4.0 ms`.
fn reachable_sentence(view: &CellView<'_>, attempt: &Attempt) -> String {
    let version = attempt.http.version.as_deref().map_or_else(String::new, |version| format!(" ({})", clean(version)));
    let status = attempt.http.status.map_or_else(String::new, |status| format!(" {status}"));
    format!(
        "reachable: a Kubernetes API server{version} answered{status} at {} in {}",
        place(view, attempt),
        duration(attempt.http.ms)
    )
}

/// How an API server that answers shows that it struggles, the plainest sign first.
fn degradation(attempt: &Attempt) -> Option<(Confidence, String)> {
    if !is_api_server(attempt) {
        return None;
    }
    let http = &attempt.http;
    if let Some(status @ (429 | 500..=599)) = http.status {
        let meaning = if status == 429 { "it sheds load" } else { "it is overloaded, starting, or its store is slow" };
        return Some((Confidence::Certain, format!("it answered {status}: {meaning}")));
    }
    let failing = http
        .requests
        .iter()
        .find_map(|request| Some((request, request.status.filter(|status| matches!(status, 429 | 500..=599))?)));
    if let Some((request, status)) = failing {
        return Some((
            Confidence::Certain,
            format!("{} answered {status}: it is alive, but not ready", clean(&request.path)),
        ));
    }
    let before = attempt.tcp.ms + attempt.tls.ms;
    (http.ms >= LATE_ANSWER_MS && http.ms >= before * LATE_ANSWER_FACTOR).then(|| {
        let words = format!(
            "its first answer took {}, while connecting and the handshake took {}; rival: a slow hop that terminates TLS",
            duration(http.ms),
            duration(before)
        );
        (Confidence::Possible, words)
    })
}

/// An answer is late from here on, if connecting was much faster.
const LATE_ANSWER_MS: f64 = 1_500.0;
const LATE_ANSWER_FACTOR: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::testing_net::{Scene, answered, handshake, healthy};
    use kubereach_probes::HttpRequest;

    const NONE: [&str; 0] = [];

    fn request(path: &str, status: u16) -> HttpRequest {
        HttpRequest { path: path.to_owned(), status: Some(status), ms: 3.0, body: "text".to_owned() }
    }

    #[test]
    fn strangers_and_refused_identities_are_told_apart() {
        let mut scene = Scene::new(vec![healthy("198.51.100.20")]);
        assert_eq!(scene.codes(CAUSES), ["http-reachable-without-identity"]);
        let told = scene.told(CAUSES, "http-reachable-without-identity").unwrap();
        assert_eq!(told.evidence[0], "reachable: a Kubernetes API server answered 401 at 198.51.100.20:443 in 4.0 ms");
        scene.observation.attempts[0].http.authenticated = true;
        assert_eq!(scene.codes(CAUSES), ["http-identity-not-permitted"]);
        scene.observation.attempts[0].http.status = Some(200);
        assert_eq!(scene.codes(CAUSES), NONE);
    }

    #[test]
    fn a_refusal_by_something_else_is_no_identity_matter() {
        let scene = Scene::new(vec![answered("198.51.100.20", HttpOutcome::NotApiServer, Some(403))]);
        assert_eq!(scene.codes(CAUSES), ["http-not-a-kubernetes-api"]);
    }

    #[test]
    fn a_server_that_struggles_is_a_warning() {
        for status in [429, 500, 503, 504] {
            let scene = Scene::new(vec![answered("198.51.100.20", HttpOutcome::ApiServer, Some(status))]);
            assert_eq!(scene.codes(CAUSES), ["http-server-degraded"], "{status}");
        }
        let mut attempt = answered("198.51.100.20", HttpOutcome::ApiServer, Some(200));
        attempt.http.requests = vec![request("/livez", 200), request("/readyz", 500)];
        let told = Scene::new(vec![attempt]).told(CAUSES, "http-server-degraded").unwrap();
        assert!(told.evidence.contains(&"/readyz answered 500: it is alive, but not ready".to_owned()), "{told:?}");
    }

    #[test]
    fn a_late_answer_counts_only_when_the_path_is_fast() {
        let mut attempt = answered("198.51.100.20", HttpOutcome::ApiServer, Some(200));
        attempt.http.ms = 2_400.0;
        assert_eq!(Scene::new(vec![attempt.clone()]).codes(CAUSES), ["http-server-degraded"]);
        attempt.tcp.ms = 700.0;
        attempt.tls.ms = 900.0;
        assert_eq!(Scene::new(vec![attempt]).codes(CAUSES), NONE);
    }

    #[test]
    fn a_portal_is_not_a_kubernetes_api_and_its_words_are_harmless() {
        let mut attempt = answered("198.51.100.20", HttpOutcome::NotApiServer, Some(302));
        attempt.http.location = Some("https://portal.example.com/$(reboot)\u{1b}]0;x\u{7}".to_owned());
        let told = Scene::new(vec![attempt]).told(CAUSES, "http-not-a-kubernetes-api").unwrap();
        assert!(told.evidence.iter().any(|sentence| sentence.contains("https://portal.example.com/")), "{told:?}");
        assert!(told.evidence.iter().all(|sentence| !sentence.chars().any(char::is_control)), "{told:?}");
        assert!(!told.fix.unwrap().contains("reboot"));
    }

    #[test]
    fn over_an_unverified_connection_the_certificate_speaks_instead() {
        let mut attempt = handshake("198.51.100.20", TlsOutcome::Untrusted);
        attempt.http.outcome = HttpOutcome::NotApiServer;
        assert_eq!(Scene::new(vec![attempt.clone()]).codes(CAUSES), NONE);
        attempt.http.outcome = HttpOutcome::ApiServer;
        attempt.http.status = Some(503);
        assert_eq!(Scene::new(vec![attempt]).codes(CAUSES), NONE);
    }

    #[test]
    fn silence_after_the_handshake() {
        let mut scene = Scene::new(vec![answered("198.51.100.20", HttpOutcome::Timeout, None)]);
        assert_eq!(scene.codes(CAUSES), ["http-no-response-after-tls"]);
        assert_eq!(scene.told(CAUSES, "http-no-response-after-tls").unwrap().confidence, Some(Confidence::Possible));
        scene.observation.attempts[0].http.http1_outcome = Some(HttpOutcome::ApiServer);
        assert_eq!(scene.told(CAUSES, "http-no-response-after-tls").unwrap().confidence, Some(Confidence::Likely));
        scene.interrupted = true;
        assert_eq!(scene.codes(CAUSES), NONE);
        scene.observation.attempts[0].http.outcome = HttpOutcome::Reset;
        assert_eq!(scene.codes(CAUSES), ["http-no-response-after-tls"]);
    }

    #[test]
    fn a_broken_answer_is_the_middlebox_when_http1_works_and_no_kubernetes_otherwise() {
        let mut attempt = answered("198.51.100.20", HttpOutcome::Error, None);
        assert_eq!(Scene::new(vec![attempt.clone()]).codes(CAUSES), ["http-not-a-kubernetes-api"]);
        attempt.http.http1_outcome = Some(HttpOutcome::ApiServer);
        assert_eq!(Scene::new(vec![attempt]).codes(CAUSES), ["http-no-response-after-tls"]);
    }

    #[test]
    fn addresses_that_are_evidence_only_do_not_speak() {
        let mut attempt = answered("198.51.100.20", HttpOutcome::NotApiServer, Some(200));
        attempt.decides = false;
        assert_eq!(Scene::new(vec![attempt]).codes(CAUSES), NONE);
    }
}
