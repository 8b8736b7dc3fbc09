//! Causes: the TLS handshake, and the certificate that came.
//!
//! Two small tables decide here. [`handshake`] reads a handshake that did not complete beside the variants that were
//! tried after it; [`certificate_picture`] reads a certificate that does not fit. Each gives exactly one answer.

use jiff::Timestamp;
use kubereach_probes::{Attempt, Certificate, Reachability, TlsOutcome, TlsVariantKind, Validity};

use super::{
    Cause, CellView, Need, Told, aks,
    eks::authorities,
    evidence::{
        Clock, Seen, clean, clock, deciding, duration, endpoint, kubeconfig_cluster, listed, place, refresh_kubeconfig,
        seen, shell, silence_counts, told,
    },
};
use crate::report::{Confidence, Provider, Severity};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "tls-sni-filtered",
        severity: Severity::Error,
        title: "A filter cuts the TLS handshake because of the server name",
        needs: &[Need::Probe],
        signature: "TCP connects, but the handshake that names the endpoint (SNI) is reset, closed or left without \
            an answer, while a handshake without a name completes at the same address. An egress firewall that allows \
            by name does this. A load balancer that does not know the name looks alike. When all names fail alike, it \
            is tls-handshake-refused or tls-handshake-times-out; when small segments pass, net-mtu-black-hole.",
        setting: "the egress firewall's policy for server names",
        fix: "# Allow the server name <host> on the egress firewall.",
        docs: "https://learn.microsoft.com/azure/aks/outbound-rules-control-egress",
        kubectl: &["server: eof", "\": eof", "read: connection reset by peer", "tls handshake timeout"],
        decided_by: "Shake hands with the same address without a server name: a ServerHello means that the name \
            decides.",
        predicate: Some(sni_filtered),
        configuration: None,
    },
    Cause {
        code: "tls-large-client-hello-dropped",
        severity: Severity::Warning,
        title: "A box on the way cannot handle a large ClientHello (post-quantum key share)",
        needs: &[Need::Probe],
        signature: "A handshake with a post-quantum key share, whose ClientHello needs more than one packet, times \
            out or is reset; with classical key shares only it completes, and small segments do not help. Some \
            middleboxes read only the first packet of a ClientHello. Newer clients offer such key shares by default, \
            so an upgrade of kubectl makes it appear.",
        setting: "the TLS parser of the middlebox",
        fix: "# Repair or bypass the middlebox; meanwhile:\nGODEBUG=tlsmlkem=0 kubectl get --raw /livez",
        docs: "https://tldr.fail",
        kubectl: &["tls handshake timeout", "read: connection reset by peer"],
        decided_by: "Shake hands with classical key shares only, and with small segments: the first passes, the \
            second does not.",
        predicate: Some(large_client_hello_dropped),
        configuration: None,
    },
    Cause {
        code: "tls-inspected-by-proxy",
        severity: Severity::Error,
        title: "A TLS-inspecting proxy answers in place of the API server",
        needs: &[Need::Probe],
        signature: "The certificate names the endpoint, but not the cluster's CA signed it: its issuer is an \
            inspection product, or an authority that this host trusts for the rest of the internet. The proxy breaks \
            the connection open and signs its own certificate, usually copying the names, so the names prove nothing. \
            An own load balancer with a public certificate looks alike. An unrelated host that shows the same issuer \
            proves the inspection.",
        setting: "the TLS-inspection policy",
        fix: "# Exempt <host> from TLS inspection. To see the chain:\nopenssl s_client -connect <host>:443 -servername <host> -showcerts </dev/null",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverconnfail.md",
        kubectl: &["x509: certificate signed by unknown authority", "certificate is not trusted"],
        decided_by: "Look at the issuer that an unrelated host on the internet shows from this vantage: the same \
            issuer means inspection.",
        predicate: Some(inspected_by_proxy),
        configuration: None,
    },
    Cause {
        code: "tls-cluster-ca-stale",
        severity: Severity::Error,
        title: "The API server's certificate is not signed by the CA that is trusted here",
        needs: &[Need::Probe, Need::Facts],
        signature: "A Kubernetes API server answers (the certificate holds kubernetes.default.svc), but the configured \
            CA did not sign it. The cluster was created anew under the same name, its certificates were rotated, or no \
            CA is configured at all. Another cluster that answers at this address looks exactly the same; the \
            provider's configuration tells them apart.",
        setting: "`certificate-authority-data` of the cluster",
        fix: "aws eks update-kubeconfig --region <region> --name <cluster>   # EKS\naz aks get-credentials -g <rg> -n <cluster> --overwrite-existing   # AKS",
        docs: "https://learn.microsoft.com/azure/aks/certificate-rotation",
        kubectl: &[
            "x509: certificate signed by unknown authority",
            "possibly because of \"crypto/rsa: verification error\" while trying to verify candidate authority certificate \"kubernetes\"",
        ],
        decided_by: "Verify the chain with the CA that the provider's API gives for the cluster today: if it verifies, \
            the configured one is stale; if not, another cluster answers.",
        predicate: Some(cluster_ca_stale),
        configuration: None,
    },
    Cause {
        code: "tls-handshake-times-out",
        severity: Severity::Error,
        title: "TCP connects, but the TLS handshake never finishes",
        needs: &[Need::Probe],
        signature: "The connection stands, but no ServerHello comes, whatever the server name and the size of the \
            ClientHello. The peer's TLS process is stuck, a load balancer accepts connections and has nobody to hand \
            them to, or the path dies after the first packets. While the provider updates the endpoint this may \
            flicker. When a small handshake or another name passes, it is one of net-mtu-black-hole, \
            tls-large-client-hello-dropped and tls-sni-filtered.",
        setting: "the peer, or the box on the path that accepts its connections",
        fix: "# Probe from a second vantage, and check that the load balancer has healthy targets:\nopenssl s_client -connect <host>:<port> -servername <host> </dev/null",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html",
        kubectl: &["tls handshake timeout"],
        decided_by: "The same handshake from a second vantage: if it stalls there too, the peer or its load balancer \
            is stuck; if not, the path of this one.",
        predicate: Some(handshake_times_out),
        configuration: None,
    },
    Cause {
        code: "tls-certificate-not-yet-valid",
        severity: Severity::Error,
        title: "The API server's certificate is not valid yet",
        needs: &[Need::Probe],
        signature: "A certificate of the chain begins in the future although this host's clock agrees with the \
            server's: it was issued with a future start, or the signer's clock was off. When the clocks disagree, \
            the local one is the likelier culprit: client-clock-skew.",
        setting: "the serving certificate",
        fix: "# Renew the serving certificate on the control plane, or wait until <notBefore>.",
        docs: "https://learn.microsoft.com/azure/aks/certificate-rotation",
        kubectl: &["x509: certificate has expired or is not yet valid", " is before "],
        decided_by: "The `Date` of the answers of two hosts against this host's clock.",
        predicate: Some(certificate_not_yet_valid),
        configuration: None,
    },
    Cause {
        code: "tls-certificate-expired",
        severity: Severity::Error,
        title: "The API server's certificate has expired",
        needs: &[Need::Probe],
        signature: "A certificate of the chain is past its end, and this host's clock agrees with the server's. It is \
            the serving certificate, or the cluster's CA itself: then every certificate below it is worthless too \
            (AKS clusters made before May 2019 have a CA of two years). When the clocks disagree it is \
            client-clock-skew.",
        setting: "the serving certificate, or the cluster's CA",
        fix: "az aks rotate-certs -g <rg> -n <cluster>   # AKS; the API is down meanwhile\nsudo kubeadm certs renew apiserver   # on each control-plane node of a cluster of one's own",
        docs: "https://learn.microsoft.com/azure/aks/certificate-rotation",
        kubectl: &["x509: certificate has expired or is not yet valid", " is after "],
        decided_by: "The `Date` of the answers of two hosts against this host's clock.",
        predicate: Some(certificate_expired),
        configuration: None,
    },
    Cause {
        code: "tls-name-not-in-certificate",
        severity: Severity::Error,
        title: "The certificate is the cluster's, but not for the name that was asked",
        needs: &[Need::Probe, Need::Client],
        signature: "The chain verifies with the cluster's CA, but the name of the endpoint is not among the names of \
            the certificate. The server is reached by an address, an alias, a tunnel or an own load balancer that the \
            certificate does not know. Telling the client which name to expect mends it without touching the server.",
        setting: "`server` and `tls-server-name` of the cluster in the kubeconfig",
        fix: "kubectl config set-cluster <name> --tls-server-name=<name in the certificate>",
        docs: "https://kubernetes.io/docs/reference/kubectl/generated/kubectl_config/kubectl_config_set-cluster",
        kubectl: &[
            "x509: certificate is valid for",
            "x509: cannot validate certificate for",
            "doesn't contain any ip sans",
        ],
        decided_by: "Whether the chain verifies with the cluster's CA when the name is left aside.",
        predicate: Some(name_not_in_certificate),
        configuration: None,
    },
    Cause {
        code: "tls-answered-by-other-service",
        severity: Severity::Error,
        title: "Something else than this API server answers on the port",
        needs: &[Need::Probe],
        signature: "The certificate is neither trusted nor for a Kubernetes API server (an ingress controller's \
            default, a web site, an appliance), or what comes is no TLS at all (plain HTTP, an SSH banner). The \
            tunnel, port-forward, load balancer or DNS name leads elsewhere. A certificate that does name the endpoint \
            points to inspection instead.",
        setting: "the target of the port-forward, tunnel or load balancer, or the port in `server`",
        fix: "# Point it at <endpoint>:443.",
        docs: "https://github.com/eksctl-io/eksctl/issues/7812",
        kubectl: &[
            "http: server gave http response to https client",
            "first record does not look like a tls handshake",
            "x509: certificate is valid for ingress.local",
            "x509: certificate signed by unknown authority",
        ],
        decided_by: "The names of the certificate, or the first bytes that came: they tell who answers.",
        predicate: Some(answered_by_other_service),
        configuration: None,
    },
    Cause {
        code: "tls-handshake-refused",
        severity: Severity::Error,
        title: "The peer refuses the TLS handshake",
        needs: &[Need::Probe],
        signature: "The handshake ends in a fatal alert (protocol version, handshake failure …), or the connection is \
            closed or reset before a ServerHello, whatever the server name. The peer and the client share no version \
            or cipher, a load balancer has no healthy target, or a box accepts every TCP connection and drops it \
            again. When a handshake without the name passes, it is tls-sni-filtered.",
        setting: "health of the load balancer's targets; minimum TLS version and cipher suites",
        fix: "# Check that the load balancer has healthy targets. What the peer says:\nopenssl s_client -connect <host>:443 -servername <host> -tls1_2 </dev/null",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html",
        kubectl: &["remote error: tls:", "server: eof", "\": eof", "read: connection reset by peer"],
        decided_by: "Connect to an unused port of the same address: if that connects too, a box in between accepts \
            everything.",
        predicate: Some(handshake_refused),
        configuration: None,
    },
];

/// What a handshake that did not complete shows, beside the variants that were tried after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It stalled, and completes with small segments.
    SmallSegmentsPass,
    /// It completes with classical key shares only, and small segments do not help.
    ClassicalKeySharesPass,
    /// It completes without a server name.
    WithoutNamePasses,
    /// It stalled, and no single difference explains it.
    Stalls,
    /// The peer ended it, and no single difference explains it.
    Refused,
}

/// Reads a handshake that did not complete; `None` when it completed, was not made, or what came was not TLS.
pub(super) fn handshake(attempt: &Attempt) -> Option<Handshake> {
    let outcome = attempt.tls.outcome;
    if !matches!(outcome, TlsOutcome::Timeout | TlsOutcome::Reset | TlsOutcome::Closed | TlsOutcome::Alert) {
        return None;
    }
    let stalled = outcome == TlsOutcome::Timeout;
    let passes = |kind| variant_passes(attempt, kind) == Some(true);
    let small = passes(TlsVariantKind::SmallSegments);
    let classical = passes(TlsVariantKind::ClassicalKeyShares);
    let unnamed = passes(TlsVariantKind::NoServerName);
    Some(match (small, classical, unnamed) {
        // A peer that says why it refuses is believed, whatever else it accepts.
        _ if outcome == TlsOutcome::Alert => Handshake::Refused,
        // A ClientHello of full size got through without the name: size is not the matter. Small segments that pass as
        // well slip by a filter that reads only the first packet.
        (_, false, true) => Handshake::WithoutNamePasses,
        (true, _, false) if stalled => Handshake::SmallSegmentsPass,
        (_, true, false) | (false, true, true) => Handshake::ClassicalKeySharesPass,
        // Everything passes afterwards, or nothing does, or only small segments after a reset.
        _ if stalled => Handshake::Stalls,
        _ => Handshake::Refused,
    })
}

fn sni_filtered(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let cut = seen(&attempts, |attempt| {
        handshake(attempt) == Some(Handshake::WithoutNamePasses)
            && (attempt.tls.outcome != TlsOutcome::Timeout || silence_counts(view))
    })?;
    let attempt = cut.first();
    let name = server_name(view, attempt);
    Some(
        told(
            view,
            Confidence::Likely,
            format!(
                "{} ended the handshake that names {} (tls {}), and completed one without a name: {}",
                cut.count(),
                clean(name),
                attempt.tls.outcome.label(),
                cut.places(view)
            ),
        )
        .and("rival: the peer itself serves other names only (a load balancer that routes by name)")
        .fix(format!(
            "# On the egress firewall: allow the server name {} on port {}.",
            clean(name),
            attempt.port
        )),
    )
}

fn large_client_hello_dropped(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let dropped = seen(&attempts, |attempt| {
        handshake(attempt) == Some(Handshake::ClassicalKeySharesPass)
            && (attempt.tls.outcome != TlsOutcome::Timeout || silence_counts(view))
    })?;
    let attempt = dropped.first();
    let small_failed = variant_passes(attempt, TlsVariantKind::SmallSegments) == Some(false);
    let unnamed_failed = variant_passes(attempt, TlsVariantKind::NoServerName) == Some(false);
    let (confidence, beside) = if small_failed && unnamed_failed {
        (
            Confidence::Likely,
            "small segments and a handshake without a name fail as well: the size of the ClientHello decides",
        )
    } else {
        (
            Confidence::Possible,
            "rivals: a small MTU (small segments decide) or a filter for names (a handshake without one decides)",
        )
    };
    Some(
        told(
            view,
            confidence,
            format!(
                "{} ended a handshake with a post-quantum key share (tls {}), and completed one with classical key shares: {}",
                dropped.count(),
                attempt.tls.outcome.label(),
                dropped.places(view)
            ),
        )
        .and(beside)
        // A warning where kubectl gets through all the same; here it keeps it out.
        .severity(if view.observed == Reachability::Reachable { Severity::Warning } else { Severity::Error }),
    )
}

fn handshake_times_out(view: &CellView<'_>) -> Option<Told> {
    if !silence_counts(view) {
        return None;
    }
    let attempts = deciding(view);
    let stalled = seen(&attempts, |attempt| handshake(attempt) == Some(Handshake::Stalls))?;
    let attempt = stalled.first();
    let failed = variants(attempt, false);
    let passed = variants(attempt, true);
    let (confidence, beside) = if !passed.is_empty() {
        (Confidence::Possible, format!("later ones completed, so it is not constant: {}", passed.join(", ")))
    } else if failed.len() >= 2 {
        (Confidence::Likely, format!("these fail as well: {}", failed.join(", ")))
    } else {
        (
            Confidence::Possible,
            "what decides: the same handshake with small segments, with classical key shares, without a name"
                .to_owned(),
        )
    };
    Some(
        told(
            view,
            confidence,
            format!(
                "{} connected, but no ServerHello came in {}: {}",
                stalled.count(),
                duration(attempt.tls.ms),
                stalled.places(view)
            ),
        )
        .and(beside)
        .and(
            "rivals that one vantage cannot tell apart: a stuck TLS process, a load balancer without a healthy target, \
             a box that accepts TCP and forwards nothing, a path that dies after the first packets",
        ),
    )
}

fn handshake_refused(view: &CellView<'_>) -> Option<Told> {
    let attempts = deciding(view);
    let refused = seen(&attempts, |attempt| handshake(attempt) == Some(Handshake::Refused))?;
    let attempt = refused.first();
    let alert = attempt.tls.outcome == TlsOutcome::Alert;
    let detail = attempt.tls.detail.as_deref().map_or_else(String::new, |detail| format!(", \"{}\"", clean(detail)));
    let failed = variants(attempt, false);
    let passed = variants(attempt, true);
    let sure = alert || (failed.len() >= 2 && passed.is_empty());
    let confidence = if sure { Confidence::Likely } else { Confidence::Possible };
    let mut told = told(
        view,
        confidence,
        format!(
            "{} ended the handshake before a ServerHello (tls {} after {}{detail}): {}",
            refused.count(),
            attempt.tls.outcome.label(),
            duration(attempt.tls.ms),
            refused.places(view)
        ),
    );
    if !failed.is_empty() {
        told = told.and(format!("these fail as well: {}", failed.join(", ")));
    }
    if !passed.is_empty() {
        told = told.and(format!("these complete: {}", passed.join(", ")));
    }
    if alert && variant_passes(attempt, TlsVariantKind::NoServerName) == Some(true) {
        told = told.and(format!(
            "a handshake without a name completes: the peer does not serve {}",
            clean(server_name(view, attempt))
        ));
    }
    Some(
        told.and(
            "rivals: no TLS version or cipher in common, a load balancer without a healthy target, a box that accepts \
             every connection",
        )
        .fix(format!(
            "# Check that the load balancer has healthy targets. What the peer says:\n{}",
            openssl(view, attempt, "-tls1_2")
        )),
    )
}

/// Whom a certificate that does not fit points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Inspection,
    StaleCa,
    OtherService,
    OtherName,
}

/// What one certificate shows.
struct CertificatePicture {
    signer: Signer,
    confidence: Confidence,
    because: String,
}

/// Reads a certificate whose chain or name does not fit; `None` when both do, or none came.
///
/// An inspecting proxy may copy every name, so for an untrusted chain the issuer is asked first, then this host's own
/// roots, and the names last:
///
/// | trusted | issuer is a product | system roots trust it | Kubernetes name | endpoint's name | then |
/// |---|---|---|---|---|---|
/// | no | yes | – | – | – | inspection |
/// | no | no | yes | some of both | | inspection |
/// | no | no | yes | no | no | other service |
/// | no | no | no | yes | – | stale CA |
/// | no, CA configured | no | no | no | yes | inspection by an unknown authority; self-signed: other service |
/// | no, no CA configured | no | – | no | yes | stale (missing) CA |
/// | no | no | no | no | no | other service |
/// | by the cluster's CA | – | – | – | no | other name |
/// | by system roots | – | – | yes | no | other name |
/// | by system roots | – | – | no | no | other service |
fn certificate_picture(view: &CellView<'_>, attempt: &Attempt) -> Option<CertificatePicture> {
    if !attempt.tls.outcome.completed() {
        return None;
    }
    let leaf = attempt.tls.chain.first();
    let kubernetes = leaf.is_some_and(names_kubernetes);
    let checks = attempt.tls.checks.as_ref();
    let trusted = checks.map_or(attempt.tls.outcome != TlsOutcome::Untrusted, |checks| checks.trusted);
    let named = checks.map_or(attempt.tls.outcome != TlsOutcome::NameMismatch, |checks| checks.name_matches);
    let by_cluster_ca = checks.is_none_or(|checks| checks.trust == "cluster-ca");
    let picture = |signer, confidence, because: &str| {
        Some(CertificatePicture { signer, confidence, because: because.to_owned() })
    };
    if trusted {
        return match (named, by_cluster_ca, kubernetes) {
            (true, ..) => None,
            (false, true, true) => {
                picture(Signer::OtherName, Confidence::Certain, "the chain verifies with the cluster's CA")
            }
            (false, true, false) => picture(
                Signer::OtherName,
                Confidence::Likely,
                "the chain verifies with the cluster's CA; rival: another service that the same CA signed, such as a kubelet",
            ),
            (false, false, true) => picture(
                Signer::OtherName,
                Confidence::Likely,
                "the chain verifies with this host's system roots and names a Kubernetes API server",
            ),
            (false, false, false) => picture(
                Signer::OtherService,
                Confidence::Likely,
                "the certificate is a valid one for other names, none of them a Kubernetes API server's; rival: an alias of the endpoint",
            ),
        };
    }
    if let Some(product) = inspection_product(&attempt.tls.chain) {
        return picture(
            Signer::Inspection,
            Confidence::Likely,
            &format!("the issuer is named after an inspection product ({product})"),
        );
    }
    let by_system_roots = checks.and_then(|checks| checks.trusted_by_system_roots) == Some(true);
    if by_cluster_ca && by_system_roots {
        return match (kubernetes, named) {
            (false, false) => picture(
                Signer::OtherService,
                Confidence::Likely,
                "this host's system roots trust it, but it names neither the endpoint nor a Kubernetes API server",
            ),
            (true, _) => picture(
                Signer::Inspection,
                Confidence::Likely,
                "not the cluster's CA, but this host's system roots trust it, and no public authority signs a Kubernetes name",
            ),
            (false, true) if view.provider != Provider::Generic => picture(
                Signer::Inspection,
                Confidence::Likely,
                "not the cluster's CA, but this host's system roots trust it; the provider never serves its API so",
            ),
            (false, true) => picture(
                Signer::Inspection,
                Confidence::Possible,
                "not the cluster's CA, but this host's system roots trust it; rival: an own load balancer with a public certificate, and a configured CA that is not its",
            ),
        };
    }
    let self_signed =
        attempt.tls.chain.len() == 1 && leaf.is_some_and(|certificate| certificate.subject == certificate.issuer);
    match (by_cluster_ca, kubernetes, named) {
        (true, true, true) => picture(
            Signer::StaleCa,
            Confidence::Likely,
            "a Kubernetes API server of this name answers with another CA: created anew or rotated; rivals: another cluster answers at this address, or an inspecting proxy that copies names",
        ),
        (true, true, false) => picture(
            Signer::StaleCa,
            Confidence::Possible,
            "a Kubernetes API server answers with another CA and another name; rival: another cluster answers at this address (what decides: the CA that the provider gives for the cluster today)",
        ),
        (false, true, _) => picture(
            Signer::StaleCa,
            Confidence::Likely,
            "no CA is configured, so this host's system roots were asked, and a Kubernetes API server's certificate is signed by its own cluster's CA; rival: an inspecting proxy that copies names",
        ),
        (false, false, true) => picture(
            Signer::StaleCa,
            Confidence::Possible,
            "no CA is configured, so this host's system roots were asked, and a private authority signed the endpoint's name; rival: an inspecting proxy",
        ),
        (true, false, true) if !self_signed => picture(
            Signer::Inspection,
            Confidence::Possible,
            "an unknown authority signed the endpoint's name and no Kubernetes name; rivals: an own load balancer with a private certificate, or a CA that was exchanged (what decides: the issuer that an unrelated host shows)",
        ),
        (true, false, true) => picture(
            Signer::OtherService,
            Confidence::Possible,
            "the certificate is self-signed and holds no Kubernetes name; rival: an own load balancer in front of the API server",
        ),
        (_, false, false) => picture(
            Signer::OtherService,
            Confidence::Likely,
            "the certificate names neither the endpoint nor a Kubernetes API server",
        ),
    }
}

/// The attempts whose certificate points at this signer, and the picture of the first.
fn certificates<'a>(view: &CellView<'a>, signer: Signer) -> Option<(Seen<'a>, CertificatePicture)> {
    let attempts = deciding(view);
    let is_it = |attempt: &Attempt| certificate_picture(view, attempt).is_some_and(|picture| picture.signer == signer);
    let seen = seen(&attempts, is_it)?;
    let picture = certificate_picture(view, seen.first())?;
    Some((seen, picture))
}

fn certificate_told(view: &CellView<'_>, seen: &Seen<'_>, picture: &CertificatePicture) -> Told {
    let attempt = seen.first();
    let told =
        told(view, picture.confidence, format!("{} answered with {}", seen.count(), certificate_sentence(attempt)))
            .and(picture.because.clone())
            .and(format!("asked for the name {} at {}", clean(server_name(view, attempt)), seen.places(view)));
    let validity = attempt.tls.checks.as_ref().map(|checks| checks.validity);
    match validity {
        Some(Validity::Expired) if picture.signer != Signer::OtherName => told.and("it has expired as well"),
        Some(Validity::NotYetValid) if picture.signer != Signer::OtherName => told.and("it is not valid yet either"),
        _ => told,
    }
}

fn inspected_by_proxy(view: &CellView<'_>) -> Option<Told> {
    let (seen, picture) = certificates(view, Signer::Inspection)?;
    let attempt = seen.first();
    let host = clean(server_name(view, attempt));
    Some(certificate_told(view, &seen, &picture).setting(format!("the TLS-inspection policy for {host}")).fix(format!(
        "# Exempt {host} from TLS inspection. To see the chain:\n{}",
        openssl(view, attempt, "-showcerts")
    )))
}

fn cluster_ca_stale(view: &CellView<'_>) -> Option<Told> {
    if let Some(vouched) = authorities::vouched(view) {
        // One of several that EKS lists is told by `eks-ca-rotation-not-trusted`.
        return (!vouched.is_rotation).then(|| vouched.stale(view));
    }
    let (seen, picture) = certificates(view, Signer::StaleCa)?;
    let mut told = certificate_told(view, &seen, &picture).fix(refresh_kubeconfig(view));
    match authorities::client_trusts_the_present_one(view) {
        Some(true) => {
            told.confidence = Some(Confidence::Possible);
            told = told.and("the provider gives the very CA that is trusted here, so another cluster or a proxy that copies names answers at this address");
        }
        Some(false) => {
            told = told.and("the provider gives another CA for the cluster today than the one that is trusted here");
        }
        None => {}
    }
    // Azure does not give it to those who may only read.
    let not_told = view.client.is_none() && view.client_authorities.is_none() && view.provider == Provider::Aks;
    if let (true, Some(configured)) = (not_told, view.configuration) {
        return Some(
            told.and("the certificate authority of the cluster is not known: the scenario names none, and Azure Resource Manager gives it to those only who may list a user's kubeconfig")
                .setting(format!("clusters.{}.ca or .kubeconfig of the scenario", clean(view.cluster)))
                .fix(format!(
                    "# Then name it in the scenario beside `aks:`, as `kubeconfig: {{ path: ./kubeconfig }}`:\n{} --file ./kubeconfig",
                    aks::commands::kubeconfig(configured.facts, false)
                )),
        );
    }
    Some(match view.client {
        Some(client) if client.cluster.is_none() => told
            .setting("--ca: without it the system's roots are trusted")
            .fix(format!("kubereach doctor --server https://{} --ca <ca.pem>", endpoint(view))),
        Some(_) => told,
        None => told.setting(format!(
            "clusters.{}.ca of the scenario, `certificate-authority-data` of the kubeconfig",
            clean(view.cluster)
        )),
    })
}

fn answered_by_other_service(view: &CellView<'_>) -> Option<Told> {
    let leads =
        |told: Told| told.fix(format!("# Point the tunnel, port-forward or load balancer at {}.", endpoint(view)));
    if let Some((seen, picture)) = certificates(view, Signer::OtherService) {
        return Some(leads(certificate_told(view, &seen, &picture)));
    }
    let attempts = deciding(view);
    let other = seen(&attempts, |attempt| attempt.tls.outcome == TlsOutcome::NotTls)?;
    let attempt = other.first();
    let detail = attempt.tls.detail.as_deref().map_or_else(|| "no detail".to_owned(), clean);
    Some(leads(told(
        view,
        Confidence::Likely,
        format!(
            "{} answered the ClientHello with something that is not TLS ({detail}): {}",
            other.count(),
            other.places(view)
        ),
    )))
}

fn name_not_in_certificate(view: &CellView<'_>) -> Option<Told> {
    let (seen, picture) = certificates(view, Signer::OtherName)?;
    let attempt = seen.first();
    let names = attempt.tls.chain.first().map_or(&[][..], |leaf| &leaf.names);
    let name = names
        .iter()
        .filter(|name| is_host_name(name))
        .max_by_key(|name| (!is_kubernetes_name(name), name.contains('.')))
        .map_or_else(|| "<name in the certificate>".to_owned(), |name| shell(name));
    let told = certificate_told(view, &seen, &picture);
    Some(if view.client.is_some() {
        told.fix(format!("kubectl config set-cluster {} --tls-server-name={name}", kubeconfig_cluster(view)))
    } else {
        told.setting(format!(
            "clusters.{}.serverName of the scenario, `tls-server-name` of the kubeconfig",
            clean(view.cluster)
        ))
        .fix(format!("kubectl config set-cluster <name> --tls-server-name={name}"))
    })
}

fn certificate_expired(view: &CellView<'_>) -> Option<Told> {
    let (seen, sure) = out_of_period(view, Validity::Expired)?;
    let attempt = seen.first();
    let now = view.observation.started_at.unwrap_or(view.now);
    let past = |certificate: &Certificate| certificate.not_after.filter(|end| *end < now);
    let told = period_told(
        view,
        &seen,
        if sure { Confidence::Certain } else { Confidence::Likely },
        period_sentence(attempt, past, "expired on"),
        sure,
    );
    Some(match view.provider {
        Provider::Aks => told.fix(
            "az aks rotate-certs -g <rg> -n <cluster>   # the API is down meanwhile\naz aks get-credentials -g <rg> -n <cluster> --overwrite-existing",
        ),
        Provider::Eks => told.fix("# Open a support case: on EKS the provider renews the serving certificate itself."),
        Provider::Generic => told.fix("# On each control-plane node; then restart the API server:\nsudo kubeadm certs renew apiserver"),
    })
}

fn certificate_not_yet_valid(view: &CellView<'_>) -> Option<Told> {
    let (seen, sure) = out_of_period(view, Validity::NotYetValid)?;
    let attempt = seen.first();
    let now = view.observation.started_at.unwrap_or(view.now);
    let future = |certificate: &Certificate| certificate.not_before.filter(|begin| *begin > now);
    let told = period_told(
        view,
        &seen,
        if sure { Confidence::Likely } else { Confidence::Possible },
        period_sentence(attempt, future, "begins only on"),
        sure,
    );
    let begin = attempt.tls.chain.iter().filter_map(future).max();
    Some(match begin {
        Some(begin) => {
            told.fix(format!("# Renew the serving certificate on the control plane, or wait until {begin}."))
        }
        None => told,
    })
}

/// The attempts with a trusted chain outside its period, and whether the clocks were compared. Nothing when the local
/// clock is off: then the certificate may be fine.
fn out_of_period<'a>(view: &CellView<'a>, validity: Validity) -> Option<(Seen<'a>, bool)> {
    let sure = match clock(view.observation) {
        Clock::Off => return None,
        Clock::Agrees => true,
        Clock::Unknown => false,
    };
    let outcome = if validity == Validity::Expired { TlsOutcome::Expired } else { TlsOutcome::NotYetValid };
    let attempts = deciding(view);
    let seen = seen(&attempts, |attempt| match &attempt.tls.checks {
        Some(checks) => attempt.tls.outcome.completed() && checks.trusted && checks.validity == validity,
        None => attempt.tls.outcome == outcome,
    })?;
    Some((seen, sure))
}

fn period_told(view: &CellView<'_>, seen: &Seen<'_>, confidence: Confidence, sentence: String, sure: bool) -> Told {
    let told = told(view, confidence, sentence).and(format!("{} presented it: {}", seen.count(), seen.places(view)));
    if sure {
        told.and("this host's clock agrees with the Date of the server's answer (at most 300 s apart)")
    } else {
        told.and("no answer carried a Date, so this host's clock is not ruled out; rival: client-clock-skew")
    }
}

fn period_sentence(attempt: &Attempt, wrong: impl Fn(&Certificate) -> Option<Timestamp>, verb: &str) -> String {
    let found = attempt
        .tls
        .chain
        .iter()
        .enumerate()
        .find_map(|(index, certificate)| Some((index, certificate, wrong(certificate)?)));
    match found {
        Some((index, certificate, time)) => {
            let which = if index == 0 { "the serving certificate" } else { "a CA certificate of the chain" };
            format!("{which} \"{}\" {verb} {time}", clean(&certificate.subject))
        }
        None => format!("a certificate of the chain is outside its period (tls {})", attempt.tls.outcome.label()),
    }
}

/// `a certificate for "CN=…", issued by "CN=…", names: a, b`.
fn certificate_sentence(attempt: &Attempt) -> String {
    let Some(leaf) = attempt.tls.chain.first() else {
        return "a certificate that could not be read".to_owned();
    };
    let names = if leaf.names.is_empty() {
        "without names".to_owned()
    } else {
        format!("for {}", listed(leaf.names.iter().map(|name| clean(name))))
    };
    format!("a certificate {names} (subject \"{}\", issuer \"{}\")", clean(&leaf.subject), clean(&leaf.issuer))
}

fn names_kubernetes(leaf: &Certificate) -> bool {
    leaf.names.iter().any(|name| is_kubernetes_name(name))
}

fn is_kubernetes_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "kubernetes" || name == "kubernetes.default" || name.starts_with("kubernetes.default.svc")
}

/// Whether a name of a certificate can be given to `tls-server-name`: a host name without wildcard.
fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || ".-_".contains(character))
        && name.parse::<std::net::IpAddr>().is_err()
}

fn inspection_product(chain: &[Certificate]) -> Option<&'static str> {
    let words: Vec<String> = chain
        .iter()
        .flat_map(|certificate| [&certificate.issuer, &certificate.subject])
        .map(|name| name.to_lowercase())
        .collect();
    INSPECTION_PRODUCTS
        .iter()
        .find(|(fragment, _)| words.iter().any(|name| name.contains(fragment)))
        .map(|(_, product)| *product)
}

fn variant_passes(attempt: &Attempt, kind: TlsVariantKind) -> Option<bool> {
    let tried =
        |variant: &&kubereach_probes::TlsVariant| variant.kind == kind && variant.outcome != TlsOutcome::Skipped;
    attempt.tls.variants.iter().find(tried).map(|variant| variant.outcome.completed())
}

/// The variants that were tried and completed, or did not, in words.
fn variants(attempt: &Attempt, completed: bool) -> Vec<String> {
    attempt
        .tls
        .variants
        .iter()
        .filter(|variant| variant.outcome != TlsOutcome::Skipped && variant.outcome.completed() == completed)
        .map(|variant| {
            let what = match variant.kind {
                TlsVariantKind::SmallSegments => "small segments",
                TlsVariantKind::ClassicalKeyShares => "classical key shares",
                TlsVariantKind::NoServerName => "no server name",
            };
            format!("{what} ({})", variant.outcome.label())
        })
        .collect()
}

fn server_name<'a>(view: &CellView<'a>, attempt: &'a Attempt) -> &'a str {
    attempt.tls.server_name.as_deref().unwrap_or(view.host)
}

/// A complete command that shows the same handshake.
fn openssl(view: &CellView<'_>, attempt: &Attempt, option: &str) -> String {
    let connect = if view.observation.proxy.is_some() { endpoint(view) } else { place(view, attempt) };
    let name = server_name(view, attempt);
    let name = if name.is_empty() || name.parse::<std::net::IpAddr>().is_ok() {
        "-noservername".to_owned()
    } else {
        format!("-servername {}", shell(name))
    };
    format!("openssl s_client -connect {} {name} {option} </dev/null", shell(&connect))
}

/// Lower-case fragments of issuer and subject names of products that inspect TLS, and what to call them.
const INSPECTION_PRODUCTS: &[(&str, &str)] = &[
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("goskope", "Netskope"),
    ("palo alto", "Palo Alto Networks"),
    ("fortinet", "Fortinet"),
    ("fortigate", "Fortinet FortiGate"),
    ("blue coat", "Blue Coat"),
    ("bluecoat", "Blue Coat"),
    ("symantec web", "Symantec Web Security"),
    ("check point", "Check Point"),
    ("checkpoint", "Check Point"),
    ("sophos", "Sophos"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("mcafee", "McAfee"),
    ("skyhigh", "Skyhigh Security"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint Websense"),
    ("barracuda", "Barracuda"),
    ("watchguard", "WatchGuard"),
    ("fireware", "WatchGuard"),
    ("sonicwall", "SonicWall"),
    ("smoothwall", "Smoothwall"),
    ("lightspeed", "Lightspeed"),
    ("securly", "Securly"),
    ("iboss", "iboss"),
    ("menlo security", "Menlo Security"),
    ("cato networks", "Cato Networks"),
    ("gateway ca - cloudflare", "Cloudflare Gateway"),
    ("trend micro", "Trend Micro"),
    ("untangle", "Untangle"),
    ("squid", "Squid"),
    ("mitmproxy", "mitmproxy"),
    ("portswigger", "Burp Suite"),
    ("burp suite", "Burp Suite"),
    ("charles proxy", "Charles"),
    ("fiddler", "Fiddler"),
    ("proxyman", "Proxyman"),
    ("kaspersky", "Kaspersky"),
    ("eset ssl filter", "ESET"),
    ("bitdefender", "Bitdefender"),
    ("avast", "Avast"),
    ("avg web", "AVG"),
    ("adguard", "AdGuard"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::{
        net,
        testing_net::{Scene, certificate, checks, handshake as attempt_with, now, presented, variant},
    };
    use kubereach_probes::TlsChecks;

    const KUBERNETES: &[&str] = &["kubernetes", "kubernetes.default.svc", "api.example.com"];
    /// What it shows, names, issuer, checks, and the codes that sign.
    type Row<'a> = (&'a str, &'a [&'a str], &'a str, TlsChecks, &'a [&'a str]);

    const PRIVATE_CA: &str = "CN=kubernetes";

    fn untrusted() -> TlsChecks {
        TlsChecks { trusted: false, ..checks() }
    }

    fn codes(attempt: Attempt) -> Vec<&'static str> {
        Scene::new(vec![attempt]).codes(CAUSES)
    }

    #[test]
    fn every_certificate_points_at_exactly_one_signer() {
        let by_roots = TlsChecks { trusted_by_system_roots: Some(true), ..untrusted() };
        let no_ca = TlsChecks { trust: "system-roots".to_owned(), ..untrusted() };
        let no_ca_trusted = TlsChecks { trust: "system-roots".to_owned(), ..checks() };
        let elsewhere = |checks: &TlsChecks| TlsChecks { name_matches: false, ..checks.clone() };
        let own: &[&str] = &["api.example.com"];
        let other: &[&str] = &["ingress.local"];
        let other_cluster: &[&str] = &["kubernetes.default.svc", "other.example.com"];
        let table: &[Row] = &[
            ("right", KUBERNETES, PRIVATE_CA, checks(), &[]),
            (
                "product copies names",
                KUBERNETES,
                "CN=Zscaler Intermediate Root CA",
                untrusted(),
                &["tls-inspected-by-proxy"],
            ),
            ("product, own names", own, "O=Fortinet,CN=FG100", untrusted(), &["tls-inspected-by-proxy"]),
            ("product, no CA configured", KUBERNETES, "CN=mitmproxy", no_ca.clone(), &["tls-inspected-by-proxy"]),
            (
                "product trusted here, other names",
                other,
                "CN=goskope.com",
                elsewhere(&by_roots),
                &["tls-inspected-by-proxy"],
            ),
            ("corporate root copies names", KUBERNETES, "CN=Corp Root", by_roots.clone(), &["tls-inspected-by-proxy"]),
            (
                "corporate root, Kubernetes names only",
                other_cluster,
                "CN=Corp",
                elsewhere(&by_roots),
                &["tls-inspected-by-proxy"],
            ),
            ("public authority, endpoint's name", own, "CN=R11", by_roots.clone(), &["tls-inspected-by-proxy"]),
            ("public web site", other, "CN=R11", elsewhere(&by_roots), &["tls-answered-by-other-service"]),
            ("recreated", KUBERNETES, PRIVATE_CA, untrusted(), &["tls-cluster-ca-stale"]),
            ("other cluster", other_cluster, PRIVATE_CA, elsewhere(&untrusted()), &["tls-cluster-ca-stale"]),
            ("no CA configured", KUBERNETES, PRIVATE_CA, no_ca.clone(), &["tls-cluster-ca-stale"]),
            ("no CA configured, by address", KUBERNETES, PRIVATE_CA, elsewhere(&no_ca), &["tls-cluster-ca-stale"]),
            ("no CA configured, plain private server", own, "CN=Lab", no_ca.clone(), &["tls-cluster-ca-stale"]),
            ("unknown authority signs the name", own, "CN=Unknown", untrusted(), &["tls-inspected-by-proxy"]),
            ("self-signed for the name", own, "CN=server", untrusted(), &["tls-answered-by-other-service"]),
            ("ingress default", other, "CN=Fake", elsewhere(&untrusted()), &["tls-answered-by-other-service"]),
            (
                "ingress default, no CA configured",
                other,
                "CN=Fake",
                elsewhere(&no_ca),
                &["tls-answered-by-other-service"],
            ),
            ("by alias", KUBERNETES, PRIVATE_CA, elsewhere(&checks()), &["tls-name-not-in-certificate"]),
            ("kubelet of the cluster", other, PRIVATE_CA, elsewhere(&checks()), &["tls-name-not-in-certificate"]),
            (
                "public site, no CA configured",
                other,
                "CN=R11",
                elsewhere(&no_ca_trusted),
                &["tls-answered-by-other-service"],
            ),
            (
                "API behind a corporate root, by alias",
                other_cluster,
                "CN=Corp",
                elsewhere(&no_ca_trusted),
                &["tls-name-not-in-certificate"],
            ),
        ];
        for (picture, names, issuer, checks, expected) in table {
            assert_eq!(
                codes(presented(certificate("CN=server", issuer, names), checks.clone())),
                *expected,
                "{picture}"
            );
        }
    }

    #[test]
    fn a_missing_ca_is_said_and_its_rival_named() {
        let no_ca = TlsChecks { trust: "system-roots".to_owned(), ..untrusted() };
        let mut scene = Scene::new(vec![presented(certificate("CN=apiserver", PRIVATE_CA, KUBERNETES), no_ca)]);
        scene.provider = Provider::Eks;
        scene.host = "0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com".to_owned();
        let told = scene.told(CAUSES, "tls-cluster-ca-stale").unwrap();
        assert!(told.evidence.iter().any(|sentence| sentence.contains("no CA is configured")), "{told:?}");
        assert!(told.evidence.iter().any(|sentence| sentence.contains("rival")), "{told:?}");
        assert_eq!(told.fix.unwrap(), "aws eks update-kubeconfig --region eu-west-1 --name <cluster>");
    }

    #[test]
    fn hostile_certificate_text_never_reaches_a_command_or_a_terminal() {
        let hostile =
            certificate("CN=$(reboot)\u{1b}[2J", "CN=Zscaler`id`\r\n", &["$(reboot)", "-oops", "api.example.com"]);
        let mut other_name = checks();
        other_name.name_matches = false;
        for (checks, code) in [(untrusted(), "tls-inspected-by-proxy"), (other_name, "tls-name-not-in-certificate")] {
            let scene = Scene::new(vec![presented(hostile.clone(), checks)]);
            let told = scene.told(CAUSES, code).unwrap();
            let fix = told.fix.unwrap();
            assert!(!fix.contains("reboot") && !fix.contains("oops") && !fix.contains('`'), "{fix}");
            assert!(
                told.evidence.iter().all(|sentence| !sentence.chars().any(char::is_control)),
                "{:?}",
                told.evidence
            );
        }
    }

    #[test]
    fn an_address_gets_no_server_name_in_the_command() {
        let mut attempt = presented(certificate("CN=a", "CN=Zscaler", &["2001:db8::1"]), untrusted());
        attempt.address = Some("2001:db8::1".parse().unwrap());
        attempt.tls.server_name = Some("2001:db8::1".to_owned());
        let told = Scene::new(vec![attempt]).told(CAUSES, "tls-inspected-by-proxy").unwrap();
        let fix = told.fix.unwrap();
        assert!(
            fix.ends_with("openssl s_client -connect '[2001:db8::1]:443' -noservername -showcerts </dev/null"),
            "{fix}"
        );
    }

    #[test]
    fn stalled_handshakes_are_told_apart_by_their_variants() {
        use TlsOutcome::{Closed, Reset, Timeout, Untrusted, Verified};
        use TlsVariantKind::{ClassicalKeyShares, NoServerName, SmallSegments};
        let table: &[(TlsOutcome, [TlsOutcome; 3], &str)] = &[
            // main outcome, then small segments, classical key shares, no server name
            (Timeout, [Verified, Timeout, Timeout], "net-mtu-black-hole"),
            (Timeout, [Verified, Verified, Timeout], "net-mtu-black-hole"),
            (Timeout, [Untrusted, Verified, TlsOutcome::Skipped], "net-mtu-black-hole"),
            (Timeout, [Timeout, Verified, Timeout], "tls-large-client-hello-dropped"),
            (Reset, [Reset, Verified, Reset], "tls-large-client-hello-dropped"),
            (Timeout, [Timeout, Verified, Verified], "tls-large-client-hello-dropped"),
            (Reset, [Verified, Verified, Reset], "tls-large-client-hello-dropped"),
            (Timeout, [Timeout, Timeout, Verified], "tls-sni-filtered"),
            (Closed, [Closed, Closed, Untrusted], "tls-sni-filtered"),
            (Reset, [Verified, Reset, Verified], "tls-sni-filtered"),
            (Timeout, [Timeout, Timeout, Timeout], "tls-handshake-times-out"),
            (Timeout, [Verified, Verified, Verified], "tls-handshake-times-out"),
            (Timeout, [TlsOutcome::Skipped; 3], "tls-handshake-times-out"),
            (Closed, [Closed, Closed, Closed], "tls-handshake-refused"),
            (Reset, [TlsOutcome::Skipped; 3], "tls-handshake-refused"),
            (TlsOutcome::Alert, [TlsOutcome::Alert, TlsOutcome::Alert, Verified], "tls-handshake-refused"),
        ];
        for (main, [small, classical, unnamed], expected) in table {
            let attempt = attempt_with("198.51.100.20", *main);
            let attempt = variant(attempt, SmallSegments, *small);
            let attempt = variant(attempt, ClassicalKeyShares, *classical);
            let attempt = variant(attempt, NoServerName, *unnamed);
            let scene = Scene::new(vec![attempt]);
            let signed = [scene.codes(net::CAUSES), scene.codes(CAUSES)].concat();
            assert_eq!(signed, [*expected], "{main:?} {small:?} {classical:?} {unnamed:?}");
        }
    }

    #[test]
    fn a_stall_is_not_believed_when_the_run_was_cut_short() {
        let mut scene = Scene::new(vec![attempt_with("198.51.100.20", TlsOutcome::Timeout)]);
        scene.observation.cut_short = true;
        assert_eq!(scene.codes(CAUSES), [""; 0]);
        scene.observation.attempts[0].tls.outcome = TlsOutcome::Reset;
        assert_eq!(scene.codes(CAUSES), ["tls-handshake-refused"]);
    }

    #[test]
    fn a_plain_answer_is_another_service_and_its_banner_is_harmless() {
        let mut attempt = attempt_with("198.51.100.20", TlsOutcome::NotTls);
        attempt.tls.detail = Some("SSH-2.0-OpenSSH_9.9\r\n\u{1b}[31m".to_owned());
        let told = Scene::new(vec![attempt]).told(CAUSES, "tls-answered-by-other-service").unwrap();
        assert!(told.evidence[0].contains("SSH-2.0-OpenSSH_9.9"), "{told:?}");
        assert!(!told.evidence[0].contains('\u{1b}'), "{told:?}");
        assert_eq!(told.fix.unwrap(), "# Point the tunnel, port-forward or load balancer at api.example.com:443.");
    }

    fn out_of_period_scene(validity: Validity, ahead: Option<i64>) -> Scene {
        let mut leaf = certificate("CN=apiserver", PRIVATE_CA, KUBERNETES);
        if validity == Validity::Expired {
            leaf.not_after = Some("2026-04-30T00:00:00Z".parse().unwrap());
        } else {
            leaf.not_before = Some("2026-05-02T00:00:00Z".parse().unwrap());
        }
        let mut attempt = presented(leaf, TlsChecks { validity, ..checks() });
        attempt.http.date = ahead.map(|_| now());
        attempt.http.clock_ahead_seconds = ahead;
        Scene::new(vec![attempt])
    }

    #[test]
    fn an_expired_certificate_is_certain_only_when_the_clocks_agree() {
        let told = |ahead| out_of_period_scene(Validity::Expired, ahead).told(CAUSES, "tls-certificate-expired");
        let certain = told(Some(2)).unwrap();
        assert_eq!(certain.confidence, Some(Confidence::Certain));
        assert_eq!(certain.evidence[0], "the serving certificate \"CN=apiserver\" expired on 2026-04-30T00:00:00Z");
        let likely = told(None).unwrap();
        assert_eq!(likely.confidence, Some(Confidence::Likely));
        assert!(likely.evidence.iter().any(|sentence| sentence.contains("client-clock-skew")), "{likely:?}");
        assert!(told(Some(90_000)).is_none());
        assert!(told(Some(-301)).is_none());
    }

    #[test]
    fn a_certificate_of_the_future_is_never_certain() {
        let told =
            |ahead| out_of_period_scene(Validity::NotYetValid, ahead).told(CAUSES, "tls-certificate-not-yet-valid");
        let likely = told(Some(0)).unwrap();
        assert_eq!(likely.confidence, Some(Confidence::Likely));
        assert!(likely.fix.unwrap().ends_with("wait until 2026-05-02T00:00:00Z."));
        assert_eq!(told(None).unwrap().confidence, Some(Confidence::Possible));
        assert!(told(Some(-86_400)).is_none());
    }

    #[test]
    fn an_expired_certificate_of_somebody_else_is_somebody_elses() {
        let mut scene = out_of_period_scene(Validity::Expired, Some(0));
        let checks = scene.observation.attempts[0].tls.checks.as_mut().unwrap();
        checks.trusted = false;
        scene.observation.attempts[0].tls.outcome = TlsOutcome::Untrusted;
        assert_eq!(scene.codes(CAUSES), ["tls-cluster-ca-stale"]);
        let told = scene.told(CAUSES, "tls-cluster-ca-stale").unwrap();
        assert!(told.evidence.iter().any(|sentence| sentence == "it has expired as well"), "{told:?}");
    }

    #[test]
    fn a_name_of_the_certificate_is_proposed() {
        let mut other_name = checks();
        other_name.name_matches = false;
        let names = &["*.example.com", "kubernetes", "kubernetes.default.svc", "10.0.0.1", "api.internal.example.com"];
        let scene = Scene::new(vec![presented(certificate("CN=apiserver", PRIVATE_CA, names), other_name)]);
        let told = scene.told(CAUSES, "tls-name-not-in-certificate").unwrap();
        assert_eq!(told.confidence, Some(Confidence::Certain));
        assert_eq!(told.fix.unwrap(), "kubectl config set-cluster <name> --tls-server-name=api.internal.example.com");
    }

    #[test]
    fn interception_is_seen_behind_a_proxy_too_but_not_when_the_vantage_was_offline() {
        let attempt = presented(certificate("CN=a", "CN=Squid", KUBERNETES), untrusted());
        let mut scene = Scene::new(vec![attempt]).proxied();
        assert_eq!(scene.codes(CAUSES), ["tls-inspected-by-proxy"]);
        scene.offline = true;
        assert_eq!(scene.codes(CAUSES), [""; 0]);
    }
}
