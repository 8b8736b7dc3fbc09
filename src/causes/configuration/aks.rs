//! The state and the switches of an AKS cluster.

use super::{
    super::{Told, evidence::clean},
    ConfigurationView, aks_zones,
    azure::reconcile,
    is, ranges,
    words::{self, aks_options, aks_update, line, listed},
};
use crate::{
    facts::aks::ManagedCluster,
    report::{Confidence, Severity},
    scenario::Access,
};

/// The cluster is stopped.
pub(in crate::causes) fn stopped(view: &ConfigurationView<'_>) -> Vec<Told> {
    let state = view.aks().and_then(|cluster| cluster.power_state.as_ref()).and_then(|state| state.code.as_deref());
    if !is(state, "Stopped") {
        return Vec::new();
    }
    vec![
        Told::new(Confidence::Certain, "`powerState` is Stopped: there is no API server, from wherever one asks.")
            .setting("powerState.code = Stopped")
            .fix(format!("az aks start {}", aks_options(view))),
    ]
}

/// The cluster has failed, or is being changed.
pub(in crate::causes) fn not_ready(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(state) = view.aks().and_then(|cluster| cluster.provisioning_state.as_deref()) else { return Vec::new() };
    if ["Succeeded", ""].iter().any(|word| state.eq_ignore_ascii_case(word)) {
        return Vec::new();
    }
    let setting = format!("provisioningState = {}", clean(state));
    let state_word = clean(state);
    if ["Failed", "Deleting"].iter().any(|word| state.eq_ignore_ascii_case(word)) {
        let told = Told::new(Confidence::Certain, format!("`provisioningState` is {state_word}."))
            .and("Clients fail alike from all places then; a single one that fails has another cause.")
            .setting(setting);
        return vec![if state.eq_ignore_ascii_case("Failed") {
            told.fix(reconcile(view))
        } else {
            told.fix("# The cluster is being deleted.")
        }];
    }
    if state.eq_ignore_ascii_case("Canceled") {
        return vec![
            Told::new(
                Confidence::Likely,
                "`provisioningState` is Canceled: the last change was broken off, and what it asked for may be in effect in part.",
            )
            .severity(Severity::Warning)
            .setting(setting)
            .fix(reconcile(view)),
        ];
    }
    // A change is under way. How long that may take is in no documentation; hours are too long.
    let read = view.facts.manifest.as_ref().and_then(|manifest| manifest.created_at);
    let began = view.facts.activity.iter().flatten().filter_map(|event| event.event_timestamp).max();
    let since = read.zip(began).map(|(read, began)| read.as_second() - began.as_second());
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "`provisioningState` is {state_word}: the values read here may belong to the time before or after the change."
        ),
    );
    if let Some(seconds) = since.filter(|seconds| *seconds > 0) {
        told = told.and(format!("The newest event of the activity log was {} minutes old then.", seconds / 60));
    }
    let long = since.is_some_and(|seconds| seconds > LONG_CHANGE_SECONDS);
    vec![told.severity(if long { Severity::Error } else { Severity::Warning }).setting(setting).fix(format!(
        "az aks show {} --query provisioningState   # until Succeeded, then read the facts anew",
        aks_options(view)
    ))]
}

/// There is no public endpoint, although one is intended or nobody has another way.
pub(in crate::causes) fn public_access_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|_| view.public_access() == Some(false)) else { return Vec::new() };
    let intended = view.intent.and_then(|intent| intent.public_access.as_ref()).filter(|access| access.enabled);
    let no_way = view.private_access() == Some(false);
    let private = cluster.is_private();
    let seen = if private { "`enablePrivateCluster` is true" } else { "`publicNetworkAccess` is Disabled" };
    let mut told = match intended {
        Some(access) => Told::new(
            Confidence::Likely,
            format!(
                "Expected: {} is reachable over a public address (intent.publicAccess{}).",
                clean(view.cluster),
                line(access.line)
            ),
        )
        .and(format!("Seen: {seen}, so there is no public endpoint.")),
        None if no_way => Told::new(Confidence::Likely, format!("{seen}, so there is no public endpoint.")),
        None => return Vec::new(),
    };
    if no_way {
        told = told
            .and("The cluster is neither private nor VNet-integrated, so there is no private address either: everybody loses the API server, the cluster's own nodes included.");
    }
    let fix = match intended {
        Some(access) => turn_public_on(view, cluster, access),
        None if view.planned => {
            "# Take it out of the plan, or make the API server private first (VNet integration; it cannot be undone and needs a restart).".to_owned()
        }
        None => public_network_access_on(cluster),
    };
    vec![told.setting(switches(cluster)).fix(fix)]
}

/// The plan changes what AKS takes only when it creates a cluster.
pub(in crate::causes) fn fixed_at_creation(view: &ConfigurationView<'_>) -> Vec<Told> {
    let (Some(cluster), Some(earlier)) = (view.aks(), view.facts.earlier.as_ref()) else { return Vec::new() };
    if !view.planned {
        return Vec::new();
    }
    let mut told = Vec::new();
    if cluster.is_private() != earlier.is_private() && !cluster.is_vnet_integrated() && !earlier.is_vnet_integrated() {
        let (word, change) = if cluster.is_private() { ("public", "true") } else { ("private", "false") };
        told.push(
            Told::new(
                Confidence::Certain,
                format!(
                    "The plan makes `enablePrivateCluster` {change}, and the cluster was created {word}, without API server VNet integration: only with that integration can the mode of an existing cluster change."
                ),
            )
            .and("`az aks update` refuses it; tools that make it so all the same delete the cluster and create it anew.")
            .setting(format!("enablePrivateCluster = {change}, enableVnetIntegration = false"))
            .fix(format!(
                "# Create the cluster anew, or integrate its API server into a subnet first (that cannot be undone and needs a restart):\n{}",
                aks_update(view, "--enable-apiserver-vnet-integration --apiserver-subnet-id '<subnet id>'")
            )),
        );
    }
    if earlier.is_vnet_integrated() && !cluster.is_vnet_integrated() {
        told.push(
            Told::new(
                Confidence::Certain,
                "The plan turns `enableVnetIntegration` off, which AKS does not do: it cannot be undone.",
            )
            .setting("apiServerAccessProfile.enableVnetIntegration = false")
            .fix("# Take it out of the plan, or create the cluster anew."),
        );
    }
    told
}

/// The commands that give a cluster a public endpoint with the intended list.
pub(super) fn turn_public_on(view: &ConfigurationView<'_>, cluster: &ManagedCluster, access: &Access) -> String {
    let nets = access.allow.clone().unwrap_or_default();
    // Whoever may come must be known first: without a list the endpoint would be open to all.
    if nets.is_empty() || nets.iter().any(|net| net.prefix_len() == 0) {
        return "# The intent names no sources. Add `allow: [<the egress addresses in use>]` to it first: without a list the public endpoint would open to all.".to_owned();
    }
    let list = ranges::set_to(view, &nets);
    if !cluster.is_private() {
        return format!("{list}\n{}", public_network_access_on(cluster));
    }
    if cluster.is_vnet_integrated() {
        return format!(
            "# A preview; the endpoint is open to all until the list is set:\n{}\n{list}",
            aks_update(view, "--disable-private-cluster")
        );
    }
    "# A private cluster without API server VNet integration stays private: create it anew, or integrate it first (that cannot be undone and needs a restart).".to_owned()
}

/// The command that lets the public endpoint be reached again.
fn public_network_access_on(cluster: &ManagedCluster) -> String {
    format!("az resource update --ids {} --set properties.publicNetworkAccess=Enabled", ranges::cluster_word(cluster))
}

/// VNet integration was turned on, and takes effect after a restart.
pub(in crate::causes) fn restart_pending(view: &ConfigurationView<'_>) -> Vec<Told> {
    let newly = view.facts.earlier.as_ref().is_some_and(|earlier| !earlier.is_vnet_integrated());
    if !newly || !view.aks().is_some_and(ManagedCluster::is_vnet_integrated) {
        return Vec::new();
    }
    let options = aks_options(view);
    let first = if view.planned {
        "The plan turns `enableVnetIntegration` on: it takes effect only after the cluster was stopped and started by hand, and cannot be turned off again."
    } else {
        "`enableVnetIntegration` is true and was false in the earlier snapshot: it takes effect only after the cluster was stopped and started by hand. Whether it was is in no facts."
    };
    vec![
        Told::new(if view.planned { Confidence::Certain } else { Confidence::Possible }, first)
            .and("The restart is an outage. It changes the API server's address and not its name, so that rules with literal addresses need renewal.")
            .severity(Severity::Warning)
            .setting("apiServerAccessProfile.enableVnetIntegration = true")
            .fix(format!("az aks stop {options}\naz aks start {options}   # then renew rules that name addresses")),
    ]
}

/// The nodes' proxy settings do not do what they seem to.
pub(in crate::causes) fn proxy_ineffective(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(proxy) = view.aks().and_then(|cluster| cluster.http_proxy_config.as_ref()) else { return Vec::new() };
    let wild: Vec<&str> = proxy.no_proxy.iter().map(String::as_str).filter(|entry| entry.contains('*')).collect();
    if wild.is_empty() {
        return Vec::new();
    }
    vec![
        Told::new(
            Confidence::Certain,
            format!(
                "{} of {} of `noProxy` hold a wildcard, which is not honoured: {}.",
                wild.len(),
                words::counted(proxy.no_proxy.len(), "entry", "entries"),
                listed(&wild)
            ),
        )
        .and("What they were meant for goes through the proxy.")
        .setting(format!("httpProxyConfig.noProxy = {}", listed(proxy.no_proxy.iter())))
        .fix(format!(
            "# In the file: plain suffixes (.example.com for *.example.com).\n{}",
            aks_update(view, "--http-proxy-config '<file.json>'")
        )),
    ]
}

/// A private cluster that nobody could mend from outside its network.
pub(in crate::causes) fn no_out_of_band_access(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_private()) else { return Vec::new() };
    let access = cluster.access();
    let inside = view
        .vantages
        .iter()
        .flat_map(|vantage| &vantage.addresses)
        .any(|address| !view.azure_networks_of(*address).is_empty());
    if access.disable_run_command != Some(true) || inside {
        return Vec::new();
    }
    vec![
        Told::new(
            Confidence::Certain,
            "The cluster is private, `disableRunCommand` is true, and no known vantage is inside its network: if the path breaks, there is no way in.",
        )
        .setting("apiServerAccessProfile.disableRunCommand = true")
        .fix(aks_update(view, "--enable-run-command")),
    ]
}

/// How the differing switches of an AKS cluster are brought to what is intended.
pub(super) fn mode_fix(
    view: &ConfigurationView<'_>,
    cluster: &ManagedCluster,
    public: Option<&Access>,
    private: Option<&Access>,
) -> String {
    let wants = |access: Option<&Access>, now: Option<bool>| access.map_or(now, |access| Some(access.enabled));
    let (now_public, now_private) = (view.public_access(), view.private_access());
    let (public_on, private_on) = (wants(public, now_public), wants(private, now_private));
    let integrated = cluster.is_vnet_integrated();
    match (public_on, private_on) {
        (Some(false), Some(false)) => {
            "# Somebody must reach the API server: let the public or the private path be on in the scenario.".to_owned()
        }
        (Some(true), _) if now_public == Some(false) => match public {
            Some(access) => turn_public_on(view, cluster, access),
            None => turn_public_on(view, cluster, &Access { enabled: true, allow: None, line: 0 }),
        },
        (Some(false), _) if integrated => format!(
            "# A preview; whoever comes over the internet is cut off:\n{}",
            aks_update(view, "--enable-private-cluster")
        ),
        (Some(false), _) => format!(
            "# Integrate the API server into a subnet first (that cannot be undone and needs a restart), or create a private cluster:\n{}\n{}",
            aks_update(view, "--enable-apiserver-vnet-integration --apiserver-subnet-id '<subnet id>'"),
            aks_update(view, "--enable-private-cluster")
        ),
        (_, Some(true)) => format!(
            "# It cannot be undone, and needs a restart of the cluster:\n{}",
            aks_update(view, "--enable-apiserver-vnet-integration --apiserver-subnet-id '<subnet id>'")
        ),
        _ => "# API server VNet integration cannot be turned off: change the scenario's intent, or create the cluster anew.".to_owned(),
    }
}

/// `enablePrivateCluster = true, publicNetworkAccess = Disabled, enableVnetIntegration = true`.
pub(super) fn switches(cluster: &ManagedCluster) -> String {
    let access = cluster.public_network_access.as_deref().map_or_else(|| "not set".to_owned(), clean);
    let mut text = format!(
        "enablePrivateCluster = {}, publicNetworkAccess = {access}, enableVnetIntegration = {}",
        cluster.is_private(),
        cluster.is_vnet_integrated()
    );
    if cluster.is_private() && aks_zones::has_public_name(Some(cluster)) {
        text.push_str(", enablePrivateClusterPublicFQDN = true");
    }
    text
}

/// Longer than any change of these settings should take.
const LONG_CHANGE_SECONDS: i64 = 3_600;
