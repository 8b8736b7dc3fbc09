//! Words and commands that the causes of the configuration share. Names from the facts are made harmless for the
//! sentence or the shell that they enter.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{
    super::evidence::{clean, shell},
    ConfigurationView,
};

/// The provider's region and name of the cluster as shell words; `<region>` and `<cluster>` where they are not known.
pub(in crate::causes) fn region_and_name(view: &ConfigurationView<'_>) -> (String, String) {
    let region = view
        .eks()
        .and_then(|cluster| cluster.region())
        .or_else(|| view.facts.manifest.as_ref().and_then(|manifest| manifest.region.as_deref()));
    let name = view.eks().map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty());
    (region.map_or_else(|| "<region>".to_owned(), shell), name.map_or_else(|| "<cluster>".to_owned(), shell))
}

/// Fills in the placeholders whose values every cluster knows.
pub(in crate::causes) fn filled_in(view: &ConfigurationView<'_>, text: &str) -> String {
    let (region, name) = region_and_name(view);
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

/// `1 entry`, `3 entries`.
pub(in crate::causes) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", count, if count == 1 { one } else { many })
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
