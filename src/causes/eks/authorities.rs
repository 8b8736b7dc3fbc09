//! Causes of certificate authorities: those that the provider lists beside those that the client trusts.

use kubereach_probes::{Attempt, TlsOutcome};

use super::sight;
use crate::{
    causes::{
        CellView, PRESENT_AUTHORITY, Told,
        configuration::words,
        evidence::{self, clean, refresh_kubeconfig, seen, shell},
    },
    client::pem,
    facts::eks::CertificateAuthority,
    report::Confidence,
};

/// A chain that an authority of the provider vouches for and none that the client trusts.
pub(in crate::causes) struct Vouched {
    sentence: String,
    /// Id of that authority, where EKS lists several.
    authority: Option<String>,
    /// EKS lists several, or another one than before is active.
    pub(in crate::causes) is_rotation: bool,
}

/// What the probes show of this cell's chains and the provider's authorities.
pub(in crate::causes) fn vouched(view: &CellView<'_>) -> Option<Vouched> {
    let configured = view.configuration?;
    let attempts = evidence::deciding(view);
    let other = |attempt: &Attempt| {
        let checks = attempt.tls.checks.as_ref()?;
        (attempt.tls.outcome == TlsOutcome::Untrusted).then(|| checks.trusted_by_other.clone())?
    };
    let seen = seen(&attempts, |attempt| other(attempt).is_some())?;
    let label = other(seen.first())?;
    let listed = configured.facts.certificate_authorities.iter().flatten().count();
    let authority = (label != PRESENT_AUTHORITY).then_some(label);
    let named = match &authority {
        Some(id) => format!("the certificate authority {} that EKS lists", clean(id)),
        None => "the CA that the provider gives for the cluster".to_owned(),
    };
    Some(Vouched {
        sentence: format!(
            "{} answered with a chain that does not verify with the CA that is trusted here, and verifies with {named}",
            seen.count()
        ),
        is_rotation: listed > 1,
        authority,
    })
}

impl Vouched {
    /// `tls-cluster-ca-stale`, for certain.
    pub(in crate::causes) fn stale(&self, view: &CellView<'_>) -> Told {
        evidence::told(view, Confidence::Certain, self.sentence.clone())
            .and("it is this cluster, made anew under its name or with another CA since the kubeconfig was written")
            .fix(refresh_kubeconfig(view))
    }
}

/// `eks-ca-rotation-not-trusted`.
pub(super) fn rotation_not_trusted(view: &CellView<'_>) -> Option<Told> {
    let vouched = vouched(view).filter(|vouched| vouched.is_rotation)?;
    let configured = view.configuration?;
    let listed: Vec<&CertificateAuthority> = configured.facts.certificate_authorities.iter().flatten().collect();
    let id_of = |one: &CertificateAuthority| one.id.as_deref().map(clean).unwrap_or_default();
    let states = listed.iter().map(|one| {
        format!(
            "{} ({})",
            id_of(one),
            one.signing_status.as_deref().map_or_else(|| "state not known".to_owned(), clean)
        )
    });
    let configuration = sight::configuration(view, &configured);
    let (region, name) = words::region_and_name(&configuration);
    let back = listed
        .iter()
        .find(|one| one.rollback_available == Some(true))
        .and_then(|_| listed.iter().find(|one| one.id != vouched.authority))
        .and_then(|one| one.id.as_deref());
    let back = back.map_or_else(String::new, |id| {
        format!("\n# or, while rollbackAvailable is true, back to the one before:\naws eks activate-certificate-authority --region {region} --cluster-name {name} --certificate-authority-id {}", shell(id))
    });
    Some(
        evidence::told(view, Confidence::Certain, vouched.sentence.clone())
            .and(format!(
                "EKS lists {}: {}",
                words::counted(listed.len(), "authority", "authorities"),
                evidence::listed(states)
            ))
            .fix(format!("aws eks update-kubeconfig --region {region} --name {name}{back}")),
    )
}

/// Whether the client's bundle holds the authority that the provider gives today; `None` where either is not known.
pub(in crate::causes) fn client_trusts_the_present_one(view: &CellView<'_>) -> Option<bool> {
    let own = pem::certificates_pem(view.client_authorities?.as_bytes()).ok()?;
    let present = view.configuration?.facts.cluster.as_ref()?.certificate_authority.as_ref()?.data.as_deref()?;
    let present = pem::base64_certificates_pem(present).ok()?;
    Some(own.contains(present.trim()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        causes::{PRESENT_AUTHORITY, testing::*, testing_facts::*},
        report::Confidence,
    };

    fn untrusted(by_other: Option<&str>) -> Scene {
        let mut attempt = shook("198.51.100.20", kubereach_probes::TlsOutcome::Untrusted);
        attempt.tls.chain = vec![crate::causes::testing_net::certificate(
            "CN=kube-apiserver",
            "CN=kubernetes",
            &["kubernetes.default.svc", "api.prod.example.com"],
        )];
        attempt.tls.checks = Some(kubereach_probes::TlsChecks {
            trusted: false,
            trusted_by_other: by_other.map(str::to_owned),
            ..crate::causes::testing_net::checks()
        });
        Scene::new()
            .saw(vec![answer("system", &["198.51.100.20"])], vec![attempt])
            .with(|scene| scene.provider = crate::report::Provider::Eks)
    }

    fn authorities(ids: &[&str]) -> Value {
        let listed: Vec<Value> =
            ids.iter().map(|id| json!({ "id": id, "signingStatus": "IN_USE", "rollbackAvailable": true })).collect();
        json!({ "eks/list-certificate-authorities.json": { "certificateAuthorities": listed } })
    }

    #[test]
    fn a_chain_that_the_providers_own_authority_vouches_for_is_certain() {
        let one = Case::new(json!({})).from("203.0.113.7");
        let scene = untrusted(Some(PRESENT_AUTHORITY));
        assert_eq!(one.errors(&scene), ["tls-cluster-ca-stale"]);
        let finding = one.finding(&scene, "tls-cluster-ca-stale").unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.fix.unwrap().contains("update-kubeconfig --region eu-west-1 --name prod"));
        // Nobody vouches for it: only likely, as without facts.
        assert_eq!(one.finding(&untrusted(None), "tls-cluster-ca-stale").unwrap().confidence, Confidence::Likely);
    }

    #[test]
    fn of_several_authorities_it_is_the_rotation() {
        let two = Case::new(authorities(&["ca-1", "ca-2"])).from("203.0.113.7");
        let scene = untrusted(Some("ca-2"));
        assert_eq!(two.errors(&scene), ["eks-ca-rotation-not-trusted"]);
        let finding = two.finding(&scene, "eks-ca-rotation-not-trusted").unwrap();
        assert!(finding.evidence.join("\n").contains("ca-2"));
        assert!(finding.fix.unwrap().contains("--certificate-authority-id ca-1"));
        assert!(two.finding(&untrusted(None), "eks-ca-rotation-not-trusted").is_none());
    }
}
