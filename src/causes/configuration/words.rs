//! Words and commands that the causes of the configuration share. Names from the facts are made harmless for the
//! sentence or the shell that they enter.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{
    super::evidence::{clean, shell},
    ConfigurationView,
};
use crate::facts::{aks::ManagedCluster, azure::ArmId};
pub(in crate::causes) use crate::report::words::counted;

/// The provider's region and name of the cluster as shell words; `<region>` and `<cluster>` where they are not known.
pub(in crate::causes) fn region_and_name(view: &ConfigurationView<'_>) -> (String, String) {
    let region = view
        .eks()
        .and_then(|cluster| cluster.region())
        .or_else(|| view.aks().and_then(|cluster| cluster.location.as_deref()))
        .or_else(|| view.facts.manifest.as_ref().and_then(|manifest| manifest.region.as_deref()));
    let name = view.eks().map(|cluster| cluster.name.as_str());
    let name = name.or_else(|| view.aks().map(|cluster| cluster.name.as_str())).filter(|name| !name.is_empty());
    (region.map_or_else(|| "<region>".to_owned(), shell), name.map_or_else(|| "<cluster>".to_owned(), shell))
}

/// Fills in the placeholders whose values every cluster knows.
pub(in crate::causes) fn filled_in(view: &ConfigurationView<'_>, text: &str) -> String {
    let (region, name) = region_and_name(view);
    // A resource group named alone may be that of a network.
    let text = match view.aks() {
        Some(_) => text.replace("-g <rg> -n <cluster>", &aks_options(view)),
        None => text.to_owned(),
    };
    let text = text.replace("<region>", &region).replace("<cluster>", &name);
    match view.vpc_id() {
        Some(vpc) => text.replace("<vpc>", &shell(vpc)),
        None => text,
    }
}

/// An `aws ec2 …` command for the cluster's region.
pub(in crate::causes) fn ec2(view: &ConfigurationView<'_>, rest: &str) -> String {
    format!("aws ec2 {rest} --region {}", region_and_name(view).0)
}

/// The command that changes the endpoint, and the one that waits for it. `cidrs` is the whole list, because the API
/// replaces it; `None` leaves it as it is. An empty list would mean everybody, so it is never written.
pub(in crate::causes) fn update_endpoint(
    view: &ConfigurationView<'_>,
    public: Option<bool>,
    private: Option<bool>,
    cidrs: Option<&[String]>,
) -> String {
    let mut config = Map::new();
    for (key, value) in [("endpointPublicAccess", public), ("endpointPrivateAccess", private)] {
        if let Some(value) = value {
            config.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(cidrs) = cidrs.filter(|cidrs| !cidrs.is_empty()) {
        config.insert("publicAccessCidrs".to_owned(), json!(cidrs));
    }
    let (region, name) = region_and_name(view);
    // Flags and ranges only: nothing in it needs quoting beyond the quotes around it.
    let config = Value::Object(config).to_string().replace('\'', "");
    format!(
        "id=$(aws eks update-cluster-config --region {region} --name {name} --resources-vpc-config '{config}' --query update.id --output text)\n\
         aws eks describe-update --region {region} --name {name} --update-id \"$id\" --query update.status   # until Successful; \"already at the desired configuration\" is success too"
    )
}

/// The options that name an AKS cluster: `-g rg -n cluster --subscription …`. What is not known is a quoted placeholder.
pub(in crate::causes) fn aks_options(view: &ConfigurationView<'_>) -> String {
    let cluster = view.aks();
    let known = |value: Option<&str>, placeholder: &str| {
        value.filter(|value| !value.is_empty()).map_or_else(|| format!("'{placeholder}'"), shell)
    };
    let group = known(cluster.and_then(ManagedCluster::resource_group), "<rg>");
    let name = known(cluster.map(|cluster| cluster.name.as_str()), "<cluster>");
    match subscription(view) {
        Some(subscription) => format!("-g {group} -n {name} --subscription {}", shell(subscription)),
        None => format!("-g {group} -n {name}"),
    }
}

/// The subscription of an AKS cluster.
pub(in crate::causes) fn subscription<'a>(view: &ConfigurationView<'a>) -> Option<&'a str> {
    let of_manifest = || view.facts.manifest.as_ref().and_then(|manifest| manifest.account.as_deref());
    view.aks().and_then(ManagedCluster::subscription).or_else(of_manifest).filter(|id| !id.is_empty())
}

/// `az aks update …` for the cluster.
pub(in crate::causes) fn aks_update(view: &ConfigurationView<'_>, rest: &str) -> String {
    format!("az aks update {} {rest}", aks_options(view)).trim_end().to_owned()
}

/// `-g rg --vnet-name vnet …`: the options that name a resource of Azure's network: its group, then its name after
/// `option`, then its subscription.
pub(in crate::causes) fn azure_options(id: &ArmId, option: &str, name: &str) -> String {
    let group = id.resource_group().map_or_else(|| "'<rg>'".to_owned(), shell);
    let subscription = id.subscription().map(|id| format!(" --subscription {}", shell(id))).unwrap_or_default();
    format!("-g {group} {option} {}{subscription}", shell(name))
}

/// `256 addresses`; what no longer says anything as a number becomes a power of two.
pub(super) fn addresses(count: u128) -> String {
    match count {
        1 => "1 address".to_owned(),
        2..10_000_000_000 => format!("{count} addresses"),
        0 => "no address".to_owned(),
        _ => {
            let exact = if count.is_power_of_two() || count == u128::MAX { "" } else { "more than " };
            let exponent = if count == u128::MAX { 128 } else { count.ilog2() };
            format!("{exact}2^{exponent} addresses")
        }
    }
}

/// A range for a sentence; one of a single address as that address.
pub(super) fn place(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// An ARM id as a shell word. It may be longer than what [`shell`] leaves whole.
pub(in crate::causes) fn id_word(id: &ArmId) -> String {
    id.as_str()
        .split('/')
        .map(|part| if part.is_empty() { String::new() } else { shell(part) })
        .collect::<Vec<_>>()
        .join("/")
}

/// At most eight ranges, then how many more there are.
pub(super) fn ranges(nets: &[IpNet]) -> String {
    listed(nets.iter().map(ToString::to_string))
}

/// At most eight items, each made harmless, then how many more there are.
pub(in crate::causes) fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| clean(item.as_ref())).collect();
    let shown = items.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `, scenario line 12`.
pub(super) fn line(line: usize) -> String {
    if line == 0 { String::new() } else { format!(", scenario line {line}") }
}

const MOST_LISTED: usize = 8;
