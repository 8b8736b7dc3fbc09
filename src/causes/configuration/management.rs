//! The management API of EKS over an interface endpoint: a target of its own, which never counts as reachability of
//! the Kubernetes API.

use serde_json::Value;

use super::{
    super::{
        Told,
        evidence::{clean, shell},
    },
    ConfigurationView, is, nodes,
    words::{self, counted, listed, update_endpoint},
};
use crate::{
    facts::ec2::VpcEndpoint,
    report::{Confidence, Severity},
};

/// An interface endpoint of the EKS service stands in the VPC while private access is off: it is no private endpoint.
pub(in crate::causes) fn is_not_kubernetes(view: &ConfigurationView<'_>) -> Vec<Told> {
    let endpoints = endpoints(view);
    let Some(endpoint) = endpoints.first().filter(|_| view.private_access() == Some(false)) else {
        return Vec::new();
    };
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "{} is an interface endpoint of {}: it carries `aws eks …` calls and no kubectl.",
                clean(&endpoint.vpc_endpoint_id),
                clean(endpoint.service_name.as_deref().unwrap_or_default())
            ),
        )
        .and("`endpointPrivateAccess` is false, so that the Kubernetes API is reached over public addresses from this VPC, too.")
        .severity(Severity::Info)
        .setting("resourcesVpcConfig.endpointPrivateAccess = false")
        .fix(update_endpoint(view, None, Some(true), None)),
    ]
}

/// The interface endpoint is not available, or the nodes have neither one nor a way to the internet.
pub(in crate::causes) fn unavailable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let endpoints = endpoints(view);
    if endpoints.iter().any(|endpoint| is(endpoint.state.as_deref(), "available")) {
        return Vec::new();
    }
    let mut told = Vec::new();
    for endpoint in &endpoints {
        let Some(state) = endpoint.state.as_deref().filter(|state| !is_gone(state)) else { continue };
        told.push(
            Told::new(
                Confidence::Likely,
                format!(
                    "The interface endpoint {} of the EKS service is {}, not available: `aws eks` calls from the VPC do not get through it. kubectl does not use it.",
                    clean(&endpoint.vpc_endpoint_id),
                    clean(state)
                ),
            )
            .severity(Severity::Warning)
            .setting(format!("State of {} = {}", clean(&endpoint.vpc_endpoint_id), clean(state)))
            .fix(words::ec2(
                view,
                &format!("describe-vpc-endpoints --vpc-endpoint-ids {}", shell(&endpoint.vpc_endpoint_id)),
            )),
        );
    }
    if told.is_empty() && endpoints.is_empty() && view.facts.network.vpc_endpoints.is_some() {
        told.extend(absent(view));
    }
    told
}

/// The service's ordinary names do not lead to the interface endpoint.
pub(in crate::causes) fn private_dns_off(view: &ConfigurationView<'_>) -> Vec<Told> {
    let endpoints = available(view);
    let Some(endpoint) = endpoints.first() else { return Vec::new() };
    let Some(vpc) = view.vpc_id() else { return Vec::new() };
    let id = &endpoint.vpc_endpoint_id;
    let mut reasons = Vec::new();
    // One endpoint with private DNS is enough, and no second one of the VPC may have it.
    let off = endpoints.iter().all(|endpoint| endpoint.private_dns_enabled == Some(false));
    if off {
        reasons.push(format!("PrivateDnsEnabled of {} = false", clean(id)));
    }
    let (support, host_names) = view.dns_attributes(vpc);
    for (name, value) in [("enableDnsSupport", support), ("enableDnsHostnames", host_names)] {
        if value == Some(false) {
            reasons.push(format!("{name} of {} = false", clean(vpc)));
        }
    }
    if reasons.is_empty() {
        return Vec::new();
    }
    let fix = if off {
        words::ec2(view, &format!("modify-vpc-endpoint --vpc-endpoint-id {} --private-dns-enabled", shell(id)))
    } else {
        words::ec2(
            view,
            &format!("modify-vpc-attribute --vpc-id {} --enable-dns-hostnames '{{\"Value\":true}}'", shell(vpc)),
        )
    };
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "The interface endpoint {} of the EKS service is available, but the service's ordinary name leads to public addresses in the VPC: {}.",
                clean(id),
                listed(&reasons)
            ),
        )
        .and("It concerns `aws eks` only, never kubectl.")
        .severity(Severity::Warning)
        .setting(listed(&reasons))
        .fix(fix),
    ]
}

/// Private DNS of the interface endpoint may hide names beside the service's.
pub(in crate::causes) fn hides_sibling_names(view: &ConfigurationView<'_>) -> Vec<Told> {
    let endpoints = available(view);
    let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.private_dns_enabled == Some(true)) else {
        return Vec::new();
    };
    let (region, _) = words::region_and_name(view);
    vec![
        Told::new(
            Confidence::Possible,
            format!(
                "The interface endpoint {} has private DNS on: names beside the service's, such as oidc.eks.{region}.amazonaws.com, may not exist inside the VPC.",
                clean(&endpoint.vpc_endpoint_id)
            ),
        )
        .and("The cluster's own host is not concerned. The sibling name asked inside and outside the VPC decides.")
        .severity(Severity::Info)
        .setting(format!("PrivateDnsEnabled of {} = true", clean(&endpoint.vpc_endpoint_id)))
        .fix(format!(
            "# Only if a sibling name is needed inside and does not resolve there:\n{}",
            words::ec2(
                view,
                &format!("modify-vpc-endpoint --vpc-endpoint-id {} --no-private-dns-enabled", shell(&endpoint.vpc_endpoint_id))
            )
        )),
    ]
}

/// The policy of the interface endpoint does not let calls of the EKS service through.
pub(in crate::causes) fn policy_denies(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    for endpoint in available(view) {
        let Some(reason) = endpoint.policy_document.as_deref().and_then(denial) else { continue };
        told.push(
            Told::new(
                Confidence::Possible,
                format!(
                    "The policy of the interface endpoint {} {reason}: `aws eks` calls through it may be answered with 403.",
                    clean(&endpoint.vpc_endpoint_id)
                ),
            )
            .and("Conditions and principals are not evaluated, and a denial by IAM looks the same. The message of a 403 decides. It concerns `aws eks` only, never kubectl.")
            .severity(Severity::Warning)
            .setting(format!("PolicyDocument of {}", clean(&endpoint.vpc_endpoint_id)))
            .fix(words::ec2(
                view,
                &format!(
                    "modify-vpc-endpoint --vpc-endpoint-id {} --policy-document 'file://<policy.json>'",
                    shell(&endpoint.vpc_endpoint_id)
                ),
            )),
        );
    }
    told
}

/// Nodes without a way to the internet and without an interface endpoint.
fn absent(view: &ConfigurationView<'_>) -> Option<Told> {
    let egress = nodes::egress(view);
    let none: Vec<&String> = egress.unknown.iter().filter(|clause| clause.contains("has no default route")).collect();
    if none.is_empty() || none.len() < egress.subnets || !egress.known.is_empty() {
        return None;
    }
    let (region, _) = words::region_and_name(view);
    let subnets: Vec<String> = view.subnets().iter().map(|subnet| shell(&subnet.subnet_id)).collect();
    Some(
        Told::new(
            Confidence::Possible,
            format!(
                "The VPC has no interface endpoint of the EKS service, and nothing leads to the internet from {}: `aws eks` calls from there do not get through. kubectl does not need it.",
                counted(egress.subnets, "subnet of the nodes", "subnets of the nodes")
            ),
        )
        .severity(Severity::Info)
        .setting(format!("VpcEndpoints (no com.amazonaws.{region}.eks)"))
        .fix(words::ec2(
            view,
            &format!(
                "create-vpc-endpoint --vpc-id {} --vpc-endpoint-type Interface --service-name com.amazonaws.{region}.eks --subnet-ids {} --security-group-ids '<sg>' --private-dns-enabled",
                view.vpc_id().map_or_else(|| "'<vpc>'".to_owned(), shell),
                subnets.join(" ")
            ),
        )),
    )
}

/// The interface endpoints of the EKS service in the cluster's VPC.
fn endpoints<'a>(view: &ConfigurationView<'a>) -> Vec<&'a VpcEndpoint> {
    let vpc = view.vpc_id();
    view.facts
        .network
        .vpc_endpoints
        .iter()
        .flatten()
        .filter(|endpoint| vpc.is_some() && endpoint.vpc_id.as_deref() == vpc)
        .filter(|endpoint| {
            endpoint.vpc_endpoint_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("Interface"))
        })
        .filter(|endpoint| endpoint.service_name.as_deref().is_some_and(is_eks))
        .collect()
}

fn available<'a>(view: &ConfigurationView<'a>) -> Vec<&'a VpcEndpoint> {
    endpoints(view).into_iter().filter(|endpoint| is(endpoint.state.as_deref(), "available")).collect()
}

/// `com.amazonaws.<region>.eks`, `cn.com.amazonaws.<region>.eks`, `aws.api.<region>.eks`, and their FIPS forms.
fn is_eks(service: &str) -> bool {
    matches!(service.rsplit('.').next(), Some("eks" | "eks-fips"))
}

fn is_gone(state: &str) -> bool {
    ["deleted", "deleting"].iter().any(|word| state.eq_ignore_ascii_case(word))
}

/// Why a policy does not let `eks:` calls through; nothing when it does, or is not understood.
fn denial(document: &str) -> Option<&'static str> {
    let policy: Value = serde_json::from_str(document).ok()?;
    let statements = match policy.get("Statement")? {
        Value::Array(statements) => statements.clone(),
        statement @ Value::Object(_) => vec![statement.clone()],
        _ => return None,
    };
    let speaks = |statement: &Value, effect: &str| {
        let same =
            statement.get("Effect").and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case(effect));
        same && match (statement.get("Action"), statement.get("NotAction")) {
            (Some(actions), _) => texts(actions).iter().any(|action| is_eks_action(action)),
            // Everything but these; unless it names all of EKS, something of it is meant.
            (None, Some(excepted)) => !texts(excepted).iter().any(|action| action == "*" || action == "eks:*"),
            (None, None) => false,
        }
    };
    if statements.iter().any(|statement| speaks(statement, "Deny")) {
        return Some("denies actions of EKS");
    }
    (!statements.iter().any(|statement| speaks(statement, "Allow"))).then_some("allows no action of EKS")
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.to_ascii_lowercase()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect(),
        _ => Vec::new(),
    }
}

/// Whether an action's pattern can mean an action of EKS: `*`, `eks:*`, `e*:Describe*`.
fn is_eks_action(pattern: &str) -> bool {
    let service = pattern.split(':').next().unwrap_or_default();
    match service.split_once(['*', '?']) {
        Some((before, _)) => "eks".starts_with(before),
        None => service == "eks",
    }
}
