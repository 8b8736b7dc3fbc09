//! Causes of the EKS management API, a target of its own.

use kubereach_probes::{AddressClass, Attempt};

use super::sight::{self, Lost, Shown, shown, told};
use crate::{
    causes::{
        CellView, Told,
        configuration::words,
        evidence::{self, clean, shell},
        lookups::{answered, lookup_words, system},
    },
    model::{
        eks::{DnsObstacle, Place},
        trace::Outcome,
    },
    report::{Confidence, Severity, Via},
};

/// `eks-management-endpoint-unavailable`.
pub(super) fn unavailable(view: &CellView<'_>) -> Option<Told> {
    let configured = view.configuration?;
    let prediction = configured.management()?;
    let vpc = prediction.vpc.as_deref().filter(|_| prediction.endpoints_known)?;
    let usable = prediction.endpoint.as_ref().is_some_and(crate::model::eks_api::Endpoint::is_available);
    let way_out = prediction.way_out.as_ref().is_some_and(|way| way.outcome != Outcome::Blocked);
    let meant = view.intended_via == Some(Via::Private);
    if usable || (way_out && !meant) {
        return None;
    }
    let attempts = evidence::direct(view);
    let shown = shown(view, &attempts, Lost::Unrouted);
    if matches!(shown, Shown::Answer) && !meant {
        return None;
    }
    let confidence = match shown {
        Shown::Silence(_) => Confidence::Certain,
        _ => Confidence::Likely,
    };
    let (says, setting) = match &prediction.endpoint {
        Some(endpoint) => {
            let state = clean(endpoint.state.as_deref().unwrap_or("not known"));
            let id = clean(&endpoint.id);
            (format!("the interface endpoint {id} of the EKS service is {state}"), format!("State of {id} = {state}"))
        }
        None => {
            let vpc = clean(vpc);
            (format!("{vpc} has no interface endpoint of the EKS service"), format!("interface endpoints of {vpc}"))
        }
    };
    let mut finding = told(view, confidence, &shown, says);
    if !way_out {
        finding = finding.and("and its subnet has no way to the internet, by which the public API would be reached");
    }
    let configuration = sight::configuration(view, &configured);
    let fix = match &prediction.endpoint {
        Some(endpoint) => words::ec2(
            &configuration,
            &format!(
                "describe-vpc-endpoints --vpc-endpoint-ids {}   # bring it to `available`, or make another",
                shell(&endpoint.id)
            ),
        ),
        None => {
            let (region, _) = words::region_and_name(&configuration);
            words::ec2(
                &configuration,
                &format!(
                    "create-vpc-endpoint --vpc-id {} --vpc-endpoint-type Interface --service-name com.amazonaws.{region}.eks --subnet-ids {} --security-group-ids <sg> --private-dns-enabled",
                    shell(vpc),
                    client_subnet(view).map_or_else(|| "<subnets>".to_owned(), |subnet| shell(&subnet))
                ),
            )
        }
    };
    Some(finding.and(KUBECTL).setting(setting).fix(fix))
}

/// `eks-management-endpoint-private-dns-off`.
pub(super) fn private_dns_off(view: &CellView<'_>) -> Option<Told> {
    let configured = view.configuration?;
    let prediction = configured.management()?;
    let endpoint = prediction.endpoint.as_ref().filter(|endpoint| endpoint.is_available())?;
    let vpc = prediction.vpc.as_deref()?;
    let (reason, change) = match (&prediction.obstacle, endpoint.private_dns) {
        (_, Some(false)) => (
            format!("PrivateDnsEnabled of {} = false", clean(&endpoint.id)),
            format!("modify-vpc-endpoint --vpc-endpoint-id {} --private-dns-enabled", shell(&endpoint.id)),
        ),
        (Some(DnsObstacle::SupportDisabled), _) => (
            format!("enableDnsSupport of {} = false", clean(vpc)),
            format!("modify-vpc-attribute --vpc-id {} --enable-dns-support '{{\"Value\":true}}'", shell(vpc)),
        ),
        (Some(DnsObstacle::HostnamesDisabled), _) => (
            format!("enableDnsHostnames of {} = false", clean(vpc)),
            format!("modify-vpc-attribute --vpc-id {} --enable-dns-hostnames '{{\"Value\":true}}'", shell(vpc)),
        ),
        _ => return None,
    };
    let lookup = system(view);
    if lookup.is_some_and(|lookup| answered(lookup) && lookup.address_class == AddressClass::Private) {
        return None;
    }
    let says = format!(
        "the interface endpoint {} is available, but the service's name does not lead to it: {reason}",
        clean(&endpoint.id)
    );
    let told = match lookup {
        Some(lookup) => {
            Told::new(Confidence::Certain, lookup_words(lookup)).and(format!("the configuration says: {says}"))
        }
        None => Told::new(Confidence::Likely, format!("the configuration says: {says}")),
    };
    let configuration = sight::configuration(view, &configured);
    Some(told.and(KUBECTL).setting(reason).fix(words::ec2(&configuration, &change)))
}

/// `eks-management-endpoint-policy-denies`. Whether a call is allowed is no matter of reachability: a warning.
pub(super) fn policy_denies(view: &CellView<'_>) -> Option<Told> {
    let says = |attempt: &Attempt| {
        let message = attempt.http.detail.as_deref().unwrap_or_default().to_ascii_lowercase();
        attempt.http.status == Some(403) && message.contains("vpc endpoint policy")
    };
    let attempts = evidence::deciding(view);
    let seen = evidence::seen(&attempts, says)?;
    let message = seen.first().http.detail.as_deref().map(clean).unwrap_or_default();
    let told = Told::new(
        Confidence::Certain,
        format!("{} answered 403, and the message names the endpoint's policy: {message}", seen.count()),
    )
    .and("the network is fine")
    .and(KUBECTL)
    .severity(Severity::Warning);
    let configured = view.configuration;
    let endpoint = configured.and_then(|configured| configured.management()?.endpoint.as_ref());
    Some(match (endpoint, configured) {
        (Some(endpoint), Some(configured)) => {
            told.setting(format!("PolicyDocument of {}", clean(&endpoint.id))).fix(words::ec2(
                &sight::configuration(view, &configured),
                &format!(
                    "modify-vpc-endpoint --vpc-endpoint-id {} --policy-document file://<policy.json>",
                    shell(&endpoint.id)
                ),
            ))
        }
        _ => told,
    })
}

/// The subnet of the client, where the facts know it.
fn client_subnet(view: &CellView<'_>) -> Option<String> {
    let configured = view.configuration?;
    let standpoint = configured.standpoint;
    if configured.management()?.place == Place::Unknown {
        return None;
    }
    let of_instance = standpoint.instance.as_deref().and_then(|id| configured.network.instance(id)?.subnet_id.clone());
    of_instance.or_else(|| {
        let subnets = configured.facts.network.subnets.iter().flatten();
        let holds = |subnet: &&crate::facts::ec2::Subnet| {
            standpoint.own.iter().any(|own| subnet.cidr_block.as_ref().is_some_and(|cidr| cidr.net.contains(own)))
        };
        subnets.into_iter().find(holds).map(|subnet| subnet.subnet_id.clone())
    })
}

const KUBECTL: &str = "it concerns `aws eks` only, never kubectl";
