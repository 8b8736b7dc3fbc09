//! The endpoint's switches, the state of the cluster and of its updates, its nodes' way to the endpoint, its
//! certificate authorities.

use std::net::IpAddr;

use super::{
    super::{Told, evidence::clean},
    ConfigurationView, aks,
    allow_lists::{PublicList, update_list},
    is, nodes,
    words::{self, counted, line, listed, update_endpoint},
};
use crate::{
    client::pem,
    facts::eks::{Cluster, Update},
    report::{Confidence, Severity},
    scenario::Access,
};

/// Public access is off: an error where it is intended, else good to know.
pub(in crate::causes) fn public_access_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    if view.public_access() != Some(false) {
        return Vec::new();
    }
    let setting = "resourcesVpcConfig.endpointPublicAccess = false";
    match view.intent.and_then(|intent| intent.public_access.as_ref()).filter(|access| access.enabled) {
        Some(access) => {
            let list = allowed(access);
            let told = Told::new(
                Confidence::Likely,
                format!(
                    "Expected: {} is reachable over public addresses (intent.publicAccess{}).",
                    clean(view.cluster),
                    line(access.line)
                ),
            )
            .and("Seen: `endpointPublicAccess` is false; public DNS then gives the private addresses, which lead nowhere from the internet.")
            .setting(setting);
            // Without a list the endpoint would open to all, so none is turned on here without one.
            vec![match list {
                Some(list) => told.fix(update_endpoint(view, Some(true), view.private_access(), Some(&list))),
                None => told,
            }]
        }
        None => vec![
            Told::new(
                Confidence::Certain,
                "`endpointPublicAccess` is false: the API server is reachable over its private addresses only, which public DNS gives, too.",
            )
            .severity(Severity::Info)
            .setting(setting)
            .fix("# Nothing to do where no public access is wanted."),
        ],
    }
}

/// Private access is off although it is intended.
pub(in crate::causes) fn private_access_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    let intended = view.intent.and_then(|intent| intent.private_access.as_ref()).filter(|access| access.enabled);
    let Some(access) = intended.filter(|_| view.private_access() == Some(false)) else { return Vec::new() };
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "Expected: {} is reachable over private addresses (intent.privateAccess{}).",
                clean(view.cluster),
                line(access.line)
            ),
        )
        .and("Seen: `endpointPrivateAccess` is false, so that the name resolves to public addresses inside the VPC, too.")
        .setting("resourcesVpcConfig.endpointPrivateAccess = false")
        .fix(private_access_on(view)),
    ]
}

/// The status or the health issues of the cluster.
pub(in crate::causes) fn not_healthy(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.eks() else { return Vec::new() };
    let status = cluster.status.as_deref().unwrap_or_default();
    let issues = cluster.health.as_ref().map_or(&[][..], |health| &health.issues);
    let bad = ["CREATING", "DELETING", "FAILED", "PENDING"].iter().any(|word| status.eq_ignore_ascii_case(word));
    if !bad && issues.is_empty() {
        return Vec::new();
    }
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "The status of the cluster is {}, and EKS lists {}.",
            if status.is_empty() { "not known".to_owned() } else { clean(status) },
            counted(issues.len(), "health issue", "health issues")
        ),
    );
    for issue in issues.iter().take(MOST_ISSUES) {
        let code = issue.code.as_deref().unwrap_or("an issue without a code");
        let message = issue.message.as_deref().map(|message| format!(": {}", clean(message))).unwrap_or_default();
        let resources = if issue.resource_ids.is_empty() {
            String::new()
        } else {
            format!(" ({})", listed(issue.resource_ids.iter()))
        };
        told = told.and(format!("{}{resources}{message}", clean(code)));
    }
    vec![told.setting(format!("cluster.status = {}", clean(status)))]
}

/// The newest update of the endpoint did not land.
pub(in crate::causes) fn update_failed(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(update) = newest_update(view) else { return Vec::new() };
    let status = update.status.as_deref();
    if !is(status, "Failed") && !is(status, "Cancelled") {
        return Vec::new();
    }
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "The newest {} ({}{}) ended as {}: what it asked for is not in effect.",
            clean(update.kind.as_deref().unwrap_or("update")),
            clean(update.id.as_deref().unwrap_or("without an id")),
            update.created_at.map(|time| format!(", {time}")).unwrap_or_default(),
            clean(status.unwrap_or_default())
        ),
    );
    if !update.params.is_empty() {
        let asked = update.params.iter().map(|param| {
            format!("{} = {}", param.kind.as_deref().unwrap_or("?"), param.value.as_deref().unwrap_or("?"))
        });
        told = told.and(format!("It asked for {}.", listed(asked)));
    }
    for error in update.errors.iter().take(MOST_ISSUES) {
        let resources = if error.resource_ids.is_empty() {
            String::new()
        } else {
            format!(" ({})", listed(error.resource_ids.iter()))
        };
        told = told.and(format!(
            "{}{resources}: {}",
            clean(error.error_code.as_deref().unwrap_or("Unknown")),
            clean(error.error_message.as_deref().unwrap_or("no message"))
        ));
    }
    let codes = listed(update.errors.iter().filter_map(|error| error.error_code.as_deref()));
    let codes = if codes.is_empty() { String::new() } else { format!(", errors = {codes}") };
    let (region, name) = words::region_and_name(view);
    vec![told.setting(format!("update.status = {}{codes}", clean(status.unwrap_or_default()))).fix(format!(
        "# Remove the cause that the error names and repeat the update. The newest updates:\naws eks list-updates --region {region} --name {name}"
    ))]
}

/// Neither endpoint is on, in the configuration or in the intent.
pub(in crate::causes) fn both_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    let setting = "endpointPublicAccess = false, endpointPrivateAccess = false";
    if view.public_access() == Some(false) && view.private_access() == Some(false) {
        told.push(
            Told::new(
                Confidence::Certain,
                "Public and private access are both off: nobody could reach the API server, the nodes included, and EKS refuses such a change.",
            )
            .setting(format!("resourcesVpcConfig: {setting}"))
            .fix(update_endpoint(view, None, Some(true), None)),
        );
    }
    if let Some((public, private)) = view.intent.and_then(|intent| {
        let (public, private) = (intent.public_access.as_ref()?, intent.private_access.as_ref()?);
        (!public.enabled && !private.enabled).then_some((public, private))
    }) {
        told.push(
            Told::new(
                Confidence::Certain,
                format!(
                    "The intent turns off public access (line {}) and private access (line {}): EKS refuses that, because nobody could reach the API server then.",
                    public.line, private.line
                ),
            )
            .setting("intent.publicAccess.enabled, intent.privateAccess.enabled")
            .fix("# Let at least one endpoint be on in the scenario: privateAccess: { enabled: true }"),
        );
    }
    told
}

/// The switches differ from the intent.
pub(in crate::causes) fn mode_differs(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(intent) = view.intent else { return Vec::new() };
    let mut differences = Vec::new();
    let mut wanted = (view.public_access(), view.private_access());
    let (public_key, private_key) = if view.aks().is_some() {
        ("the public endpoint", "a private address of the API server")
    } else {
        ("`endpointPublicAccess`", "`endpointPrivateAccess`")
    };
    for (word, key, access, configured, wanted) in [
        ("public", public_key, &intent.public_access, view.public_access(), &mut wanted.0),
        ("private", private_key, &intent.private_access, view.private_access(), &mut wanted.1),
    ] {
        let (Some(access), Some(configured)) = (access, configured) else { continue };
        // That an AKS cluster lacks the intended public endpoint is told by a code of its own.
        if view.aks().is_some() && word == "public" && access.enabled && !configured {
            continue;
        }
        if access.enabled != configured {
            *wanted = Some(access.enabled);
            let seen = match (view.aks(), configured) {
                (None, _) => format!("{key} is {configured}"),
                (Some(_), true) => format!("there is {key}"),
                (Some(_), false) => format!("there is no {}", key.trim_start_matches("the ").trim_start_matches("a ")),
            };
            differences.push(format!(
                "Expected: {word} access is {} (intent.{word}Access{}). Seen: {seen}.",
                if access.enabled { "on" } else { "off" },
                line(access.line)
            ));
        }
    }
    if differences.is_empty() {
        return Vec::new();
    }
    let mut told = Told { confidence: Some(Confidence::Certain), evidence: differences, ..Told::default() };
    if let Some(cluster) = view.aks() {
        let (public, private) = (intent.public_access.as_ref(), intent.private_access.as_ref());
        let fix = aks::mode_fix(view, cluster, public, private);
        return vec![told.setting(aks::switches(cluster)).fix(fix)];
    }
    if wanted == (Some(false), Some(false)) {
        told = told.and("Both endpoints would be off then, which EKS refuses.").fix(
            "# The intent and the other endpoint's present setting cannot be had together: one endpoint must stay on.",
        );
    } else {
        let turns_public_on = wanted.0 == Some(true) && view.public_access() != Some(true);
        let list = intent.public_access.as_ref().filter(|_| turns_public_on).and_then(allowed);
        if wanted.1 == Some(false) && view.private_access() == Some(true) {
            told = told.and(cut_off_by_private_off(view));
        }
        told = told.fix(if turns_public_on && list.is_none() {
            "# The intent names no sources. Add `allow: [<the egress addresses in use>]` to it first: without a list the public endpoint would open to all.".to_owned()
        } else {
            update_endpoint(view, wanted.0, wanted.1, list.as_deref())
        });
    }
    vec![told.setting(format!(
        "resourcesVpcConfig: endpointPublicAccess = {}, endpointPrivateAccess = {}",
        flag(view.public_access()),
        flag(view.private_access())
    ))]
}

/// The control plane's own traffic takes the routes of the VPC, and there is none.
pub(in crate::causes) fn control_plane_egress_unrouted(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mode = view.config().and_then(|config| config.control_plane_egress_mode.as_deref());
    if !is(mode, "CUSTOMER_ROUTED") {
        return Vec::new();
    }
    let subnets = view.control_plane_subnets();
    let total = subnets.len();
    let mut without = Vec::new();
    let mut tables = Vec::new();
    for subnet in subnets {
        let Some(table) = view.route_table(subnet) else { continue };
        // A table whose routes are left out says nothing.
        let Some(routes) = &table.routes else { continue };
        let routed = routes.iter().any(|route| nodes::is_default(route) && !is(route.state.as_deref(), "blackhole"));
        if !routed {
            without.push(format!("{} ({})", subnet.subnet_id, table.route_table_id));
            if !tables.contains(&table.route_table_id) {
                tables.push(table.route_table_id.clone());
            }
        }
    }
    if without.is_empty() {
        return Vec::new();
    }
    let fix: Vec<String> = tables
        .iter()
        .map(|table| {
            words::ec2(
                view,
                &format!(
                    "create-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id '<nat>'",
                    super::super::evidence::shell(table)
                ),
            )
        })
        .collect();
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "{} of {} of the control plane have no default route: {}. Calls of the API server to webhooks and OIDC issuers outside the VPC fail from there.",
                without.len(),
                counted(total, "subnet", "subnets"),
                listed(&without)
            ),
        )
        .and("Clients still reach the API server. The mode cannot be changed back.")
        .setting("resourcesVpcConfig.controlPlaneEgressMode = CUSTOMER_ROUTED")
        .fix(fix.join("\n")),
    ]
}

/// Nodes reach the API server over the public endpoint.
pub(in crate::causes) fn node_traffic_leaves_vpc(view: &ConfigurationView<'_>) -> Vec<Told> {
    if view.private_access() != Some(false) || view.public_access() != Some(true) {
        return Vec::new();
    }
    let nodes = nodes::instances(view).len();
    let subnets = view.config().map_or(0, |config| config.subnet_ids.len());
    if nodes == 0 && subnets == 0 {
        return Vec::new();
    }
    let who = if nodes > 0 {
        format!("{} in the VPC", counted(nodes, "running node", "running nodes"))
    } else {
        format!("the nodes in the {} of the cluster", counted(subnets, "subnet", "subnets"))
    };
    vec![
        Told::new(
            Confidence::Certain,
            format!(
                "`endpointPrivateAccess` is false: the traffic of {who} to the API server leaves the VPC and depends on `publicAccessCidrs`."
            ),
        )
        .setting("resourcesVpcConfig.endpointPrivateAccess = false")
        .fix(private_access_on(view)),
    ]
}

/// The nodes' egress addresses are not on the list that they depend on.
pub(in crate::causes) fn node_egress_not_listed(view: &ConfigurationView<'_>) -> Vec<Told> {
    if view.private_access() != Some(false) || view.public_access() != Some(true) {
        return Vec::new();
    }
    let Some(list) = PublicList::of(view).filter(|list| !list.is_open_ipv4()) else { return Vec::new() };
    let egress = nodes::egress(view);
    let missing: Vec<&(IpAddr, String)> =
        egress.known.iter().filter(|(address, _)| !list.set.contains(*address)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let named = missing.iter().map(|(address, origin)| format!("{address} ({origin})"));
    let mut told = Told::new(
        if egress.from_instances { Confidence::Likely } else { Confidence::Possible },
        format!(
            "{} of {} by which nodes reach the public endpoint are not in `publicAccessCidrs`: {}.",
            missing.len(),
            counted(egress.known.len(), "address", "addresses"),
            listed(named)
        ),
    )
    .and(format!(
        "`endpointPrivateAccess` is false, so the nodes in {} have no other way, and EKS drops their packets silently.",
        counted(egress.subnets, "subnet", "subnets")
    ));
    if !egress.from_instances {
        told = told.and("No running instance in the facts carries the cluster's tags, so the cluster's own subnets stand for those of the nodes; where the nodes really are would decide.");
    }
    if !egress.unknown.is_empty() {
        told = told.and(format!("Not known: {}.", listed(&egress.unknown)));
    }
    let mut whole = list.texts();
    for (address, _) in &missing {
        let host = if address.is_ipv4() { 32 } else { 128 };
        whole.push(format!("{address}/{host}"));
    }
    let fix = format!(
        "# Private access lets no address of the internet in, and keeps the list as it is:\n{}\n# Or list the nodes' addresses ({} more; the API replaces the list, so it is whole):\n{}",
        update_endpoint(view, None, Some(true), None),
        words::addresses(u128::try_from(missing.len()).unwrap_or(u128::MAX)),
        update_list(view, &whole)
    );
    vec![told.setting(list.setting()).fix(fix)]
}

/// An update is on its way.
pub(in crate::causes) fn update_in_progress(view: &ConfigurationView<'_>) -> Vec<Told> {
    let status = view.eks().and_then(|cluster| cluster.status.as_deref());
    let running = newest_update(view).filter(|update| is(update.status.as_deref(), "InProgress"));
    if !is(status, "UPDATING") && running.is_none() {
        return Vec::new();
    }
    let mut told = match running {
        Some(update) => Told::new(
            Confidence::Certain,
            format!(
                "The {} {}{} is InProgress: the values read here may belong to the time before or after it.",
                clean(update.kind.as_deref().unwrap_or("update")),
                clean(update.id.as_deref().unwrap_or("without an id")),
                update.created_at.map(|time| format!(", begun {time},")).unwrap_or_default()
            ),
        ),
        None => Told::new(
            Confidence::Certain,
            "The status of the cluster is UPDATING: the values read here may belong to the time before or after the update.",
        ),
    };
    if let Some(at) = view.facts.manifest.as_ref().and_then(|manifest| manifest.created_at) {
        told = told.and(format!("The facts were read at {at}; read them again after it."));
    }
    let (region, name) = words::region_and_name(view);
    let id = running.and_then(|update| update.id.as_deref()).map(super::super::evidence::shell);
    let fix = match id {
        Some(id) => format!(
            "aws eks describe-update --region {region} --name {name} --update-id {id} --query update.status   # until Successful; then one DNS time to live, 60 s"
        ),
        None => format!("aws eks wait cluster-active --region {region} --name {name}"),
    };
    let status = running.map_or("cluster.status = UPDATING", |_| "update.status = InProgress");
    vec![told.severity(Severity::Warning).setting(status).fix(fix)]
}

/// EKS lists a successor of the certificate authority that the kubeconfig does not trust.
pub(in crate::causes) fn successor_not_trusted(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(bundle) = view.kubeconfig_ca.and_then(|text| pem::certificates_pem(text.as_bytes()).ok()) else {
        return Vec::new();
    };
    let (region, name) = words::region_and_name(view);
    let mut told = Vec::new();
    for authority in view.facts.certificate_authorities.iter().flatten() {
        let state = authority.signing_status.as_deref();
        if !is(state, "NOT_USED") && !is(state, "ACTIVATING") {
            continue;
        }
        let Some(certificates) = authority.data.as_deref().and_then(|data| pem::base64_certificates_pem(data).ok())
        else {
            continue;
        };
        if bundle.contains(certificates.trim()) {
            continue;
        }
        let id = clean(authority.id.as_deref().unwrap_or("without an id"));
        let date = authority.scheduled_events.as_ref().and_then(|events| events.first_auto_activation);
        let when = date.map_or_else(
            || "EKS gives no date for its activation".to_owned(),
            |date| format!("EKS activates it by itself on {date}"),
        );
        told.push(
            Told::new(
                Confidence::Certain,
                format!(
                    "EKS lists the certificate authority {id} ({}), and the kubeconfig's bundle does not hold it; {when}. From then on every certificate of the cluster counts as untrusted here.",
                    clean(state.unwrap_or_default())
                ),
            )
            .setting(match date {
                Some(date) => format!("scheduledEvents.firstAutoActivation = {date}"),
                None => format!("signingStatus = {}", clean(state.unwrap_or_default())),
            })
            .fix(format!("aws eks update-kubeconfig --region {region} --name {name}")),
        );
    }
    told
}

/// The newest update of those that concern the endpoint or its network.
pub(super) fn newest_update<'a>(view: &ConfigurationView<'a>) -> Option<&'a Update> {
    view.facts.updates.iter().find(|update| {
        update
            .kind
            .as_deref()
            .is_some_and(|kind| ["EndpointAccessUpdate", "VpcConfigUpdate", "ControlPlaneEgressUpdate"].contains(&kind))
    })
}

/// Whether the endpoint takes IPv6, which only clusters of the IPv6 family made after October 2024 do
/// (<https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>); `None` when the facts do not say.
pub(super) fn takes_ipv6(cluster: &Cluster) -> Option<bool> {
    let host = cluster.endpoint.as_deref().unwrap_or_default().trim_end_matches('/').to_ascii_lowercase();
    // The host of a dual-stack endpoint ends in `.api.aws`, in China in `.api.amazonwebservices.com.cn`.
    if host.ends_with(".api.aws") || host.ends_with(".api.amazonwebservices.com.cn") {
        return Some(true);
    }
    match cluster.kubernetes_network_config.as_ref().and_then(|network| network.ip_family.as_deref()) {
        Some("ipv4") => Some(false),
        Some("ipv6") if !host.is_empty() => Some(false),
        Some("ipv6") => cluster.created_at.map(|time| time.as_second() >= NOVEMBER_2024),
        _ => None,
    }
}

/// The command that turns private access on and leaves the rest as it is.
pub(super) fn private_access_on(view: &ConfigurationView<'_>) -> String {
    update_endpoint(view, None, Some(true), None)
}

/// The intended sources as texts, minimal; `None` when the intent names none, or everybody.
fn allowed(access: &Access) -> Option<Vec<String>> {
    let set = crate::model::set::AddressSet::from_nets(access.allow.as_ref()?);
    let list: Vec<String> = set.cover().iter().map(ToString::to_string).collect();
    let open = list.iter().any(|entry| entry.ends_with("/0"));
    (!list.is_empty() && !open).then_some(list)
}

/// Who loses the private path.
fn cut_off_by_private_off(view: &ConfigurationView<'_>) -> String {
    let nodes = nodes::instances(view).len();
    let nodes =
        if nodes == 0 { String::new() } else { format!("{}, ", counted(nodes, "running node", "running nodes")) };
    format!(
        "Turning private access off cuts off {nodes}everything in the VPC whose egress address is not in `publicAccessCidrs`."
    )
}

fn flag(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "true",
        Some(false) => "false",
        None => "not known",
    }
}

const MOST_ISSUES: usize = 8;
/// 2024-11-01T00:00:00Z.
const NOVEMBER_2024: i64 = 1_730_419_200;
