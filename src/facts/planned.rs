//! A configuration as it would be after a change: facts are plain values, so a change is an edit of them.

use std::{fmt, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Cidr, Facts, List,
    aks::{AuthorizedSource, ManagedCluster},
    azure::ArmId,
    ec2, eks,
};
use crate::input::{InputError, InputErrors, MEBIBYTE, read_bytes};

/// One change to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedChange {
    /// From `--set`.
    Setting(PlannedSetting),
    /// From a Terraform plan.
    Terraform(TerraformCluster),
}

/// `[CLUSTER.]SETTING=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSetting {
    /// Name of the cluster in the scenario; `None` where there is one cluster only.
    pub cluster: Option<String>,
    /// What becomes what.
    pub edit: Edit,
}

/// What becomes what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `endpointPublicAccess`.
    PublicAccess(bool),
    /// `endpointPrivateAccess`.
    PrivateAccess(bool),
    /// `publicAccessCidrs`: the whole list.
    PublicAccessCidrs(Vec<Cidr>),
    /// `securityGroupIds`: the whole list.
    SecurityGroups(Vec<String>),
    /// `subnetIds`: the whole list.
    Subnets(Vec<String>),
    /// `enableDnsSupport` of the cluster's VPC.
    DnsSupport(bool),
    /// `enableDnsHostnames` of the cluster's VPC.
    DnsHostnames(bool),
    /// `authorizedIPRanges` of an AKS cluster: the whole list.
    AuthorizedIpRanges(Vec<AuthorizedSource>),
    /// `enablePrivateCluster`.
    PrivateCluster(bool),
    /// `publicNetworkAccess`: `Enabled` or `Disabled`.
    PublicNetworkAccess(bool),
    /// `enableVnetIntegration`.
    VnetIntegration(bool),
    /// `subnetId`: of the API server.
    ApiServerSubnet(ArmId),
    /// `privateDNSZone`: `system`, `none`, or the id of a zone.
    PrivateDnsZone(String),
    /// `enablePrivateClusterPublicFQDN`.
    PublicFqdn(bool),
    /// `disableRunCommand`.
    RunCommandDisabled(bool),
}

impl Edit {
    /// Whether it is a setting of AKS; all others are of EKS.
    #[must_use]
    pub const fn is_of_aks(&self) -> bool {
        match self {
            Self::AuthorizedIpRanges(_)
            | Self::PrivateCluster(_)
            | Self::PublicNetworkAccess(_)
            | Self::VnetIntegration(_)
            | Self::ApiServerSubnet(_)
            | Self::PrivateDnsZone(_)
            | Self::PublicFqdn(_)
            | Self::RunCommandDisabled(_) => true,
            Self::PublicAccess(_)
            | Self::PrivateAccess(_)
            | Self::PublicAccessCidrs(_)
            | Self::SecurityGroups(_)
            | Self::Subnets(_)
            | Self::DnsSupport(_)
            | Self::DnsHostnames(_) => false,
        }
    }
}

impl PlannedSetting {
    /// Reads `prod.publicAccessCidrs=203.0.113.0/24,198.51.100.7/32`.
    ///
    /// # Errors
    /// What was expected, as one sentence without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected SETTING=VALUE or CLUSTER.SETTING=VALUE")?;
        let (cluster, setting) = match key.rsplit_once('.') {
            Some((cluster, setting)) => (Some(cluster.to_owned()), setting),
            None => (None, key),
        };
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{setting} is `true` or `false`")),
        };
        let list = || value.split(',').map(str::trim).filter(|item| !item.is_empty());
        let edit = match setting {
            "endpointPublicAccess" => Edit::PublicAccess(flag()?),
            "endpointPrivateAccess" => Edit::PrivateAccess(flag()?),
            "publicAccessCidrs" => Edit::PublicAccessCidrs(list().map(Cidr::parse).collect::<Result<_, _>>()?),
            "securityGroupIds" => Edit::SecurityGroups(list().map(str::to_owned).collect()),
            "subnetIds" => Edit::Subnets(list().map(str::to_owned).collect()),
            "enableDnsSupport" => Edit::DnsSupport(flag()?),
            "enableDnsHostnames" => Edit::DnsHostnames(flag()?),
            // Both of the provider's own spellings.
            "authorizedIPRanges" | "authorizedIpRanges" => {
                Edit::AuthorizedIpRanges(list().map(AuthorizedSource::parse).collect::<Result<_, _>>()?)
            }
            "enablePrivateCluster" => Edit::PrivateCluster(flag()?),
            "publicNetworkAccess" => Edit::PublicNetworkAccess(match value {
                "Enabled" => true,
                "Disabled" => false,
                _ => return Err(format!("{setting} is `Enabled` or `Disabled`")),
            }),
            "enableVnetIntegration" => Edit::VnetIntegration(flag()?),
            "subnetId" => Edit::ApiServerSubnet(subnet_id(setting, value)?),
            "privateDNSZone" | "privateDnsZone" => Edit::PrivateDnsZone(zone(setting, value)?),
            "enablePrivateClusterPublicFQDN" | "enablePrivateClusterPublicFqdn" => Edit::PublicFqdn(flag()?),
            "disableRunCommand" => Edit::RunCommandDisabled(flag()?),
            _ => {
                return Err(format!("{:?} is no setting that can be planned; known: {}", setting, SETTINGS.join(", ")));
            }
        };
        Ok(Self { cluster, edit })
    }
}

fn subnet_id(setting: &str, value: &str) -> Result<ArmId, String> {
    let id = ArmId::new(value.trim());
    match id.kind() {
        Some(kind) if kind == "microsoft.network/virtualnetworks/subnets" => Ok(id),
        _ => Err(format!(
            "{setting} is the id of a subnet: /subscriptions/…/providers/Microsoft.Network/virtualNetworks/…/subnets/…"
        )),
    }
}

/// `system`, `none`, or an id; whether a zone of that name is taken is for the findings to say.
fn zone(setting: &str, value: &str) -> Result<String, String> {
    let value = value.trim();
    let word = ["system", "none"].into_iter().find(|word| value.eq_ignore_ascii_case(word));
    let is_zone = || ArmId::new(value).kind().is_some_and(|kind| kind == "microsoft.network/privatednszones");
    match word {
        Some(word) => Ok(word.to_owned()),
        None if is_zone() => Ok(value.to_owned()),
        None => Err(format!(
            "{setting} is `system`, `none`, or the id of a zone: /subscriptions/…/providers/Microsoft.Network/privateDnsZones/…"
        )),
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicAccess(on) => write!(formatter, "endpointPublicAccess={on}"),
            Self::PrivateAccess(on) => write!(formatter, "endpointPrivateAccess={on}"),
            Self::PublicAccessCidrs(cidrs) => {
                let texts: Vec<&str> = cidrs.iter().map(|cidr| cidr.text.as_str()).collect();
                write!(formatter, "publicAccessCidrs={}", texts.join(","))
            }
            Self::SecurityGroups(ids) => write!(formatter, "securityGroupIds={}", ids.join(",")),
            Self::Subnets(ids) => write!(formatter, "subnetIds={}", ids.join(",")),
            Self::DnsSupport(on) => write!(formatter, "enableDnsSupport={on}"),
            Self::DnsHostnames(on) => write!(formatter, "enableDnsHostnames={on}"),
            Self::AuthorizedIpRanges(sources) => {
                let texts: Vec<&str> = sources.iter().map(AuthorizedSource::text).collect();
                write!(formatter, "authorizedIPRanges={}", texts.join(","))
            }
            Self::PrivateCluster(on) => write!(formatter, "enablePrivateCluster={on}"),
            Self::PublicNetworkAccess(on) => {
                write!(formatter, "publicNetworkAccess={}", if *on { "Enabled" } else { "Disabled" })
            }
            Self::VnetIntegration(on) => write!(formatter, "enableVnetIntegration={on}"),
            Self::ApiServerSubnet(id) => write!(formatter, "subnetId={}", id.as_str()),
            Self::PrivateDnsZone(zone) => write!(formatter, "privateDNSZone={zone}"),
            Self::PublicFqdn(on) => write!(formatter, "enablePrivateClusterPublicFQDN={on}"),
            Self::RunCommandDisabled(on) => write!(formatter, "disableRunCommand={on}"),
        }
    }
}

/// What a Terraform plan says that an `aws_eks_cluster` or `azurerm_kubernetes_cluster` will be. `None`: known only after it is applied, or not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerraformCluster {
    /// Its name.
    pub name: Option<String>,
    /// It is an `azurerm_kubernetes_cluster`.
    pub of_aks: bool,
    /// Where it stands in the plan: `aws_eks_cluster.prod`.
    pub address: String,
    /// What becomes what.
    pub edits: Vec<Edit>,
}

/// What a Terraform plan says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerraformChanges {
    /// Every EKS or AKS cluster that is created or changed.
    pub clusters: Vec<TerraformCluster>,
    /// Addresses of other network resources that it changes and that are not evaluated.
    pub not_evaluated: Vec<String>,
}

/// Reads `terraform show -json PLAN`: every EKS or AKS cluster that is created or changed, and what else it changes.
///
/// # Errors
/// The file cannot be read, is no such JSON, or holds no such cluster.
pub fn terraform(file: &Path) -> Result<TerraformChanges, InputErrors> {
    let bytes = read_bytes(file, "Terraform plan", 256 * MEBIBYTE)?;
    let document: TerraformPlan = serde_json::from_slice(&bytes).map_err(|error| {
        InputError::new(format!("this is no Terraform plan as JSON: {error}"))
            .in_file(file)
            .at(error.line().max(1), error.column().max(1))
            .help("write it with `terraform show -json plan.bin > plan.json`")
    })?;
    let mut clusters = Vec::new();
    let mut not_evaluated = Vec::new();
    for TerraformChange { address, kind, change } in &document.resource_changes {
        let changes = change.actions.iter().any(|action| !matches!(action.as_str(), "no-op" | "read"));
        let of_aks = kind == "azurerm_kubernetes_cluster";
        if of_aks || kind == "aws_eks_cluster" {
            match &change.after {
                Some(after) => {
                    let wrong = |reason: String| InputError::new(format!("{address}: {reason}")).in_file(file);
                    let (name, edits) =
                        if of_aks { change.aks_edits(after) } else { eks_edits(after) }.map_err(wrong)?;
                    clusters.push(TerraformCluster { name, of_aks, address: address.clone(), edits });
                    if change.leaves_open(of_aks) {
                        not_evaluated.push(format!("{address} (values that are known only after it is applied)"));
                    }
                }
                None if changes => not_evaluated.push(address.clone()),
                None => {}
            }
        } else if changes && NETWORK_RESOURCES.iter().any(|prefix| kind.starts_with(prefix)) {
            not_evaluated.push(address.clone());
        }
    }
    if clusters.is_empty() {
        return Err(InputError::new(
            "the plan holds no `aws_eks_cluster` or `azurerm_kubernetes_cluster` that exists afterwards",
        )
        .in_file(file)
        .help("only plans that create or change an EKS or AKS cluster change what is predicted")
        .into());
    }
    Ok(TerraformChanges { clusters, not_evaluated })
}

fn eks_edits(after: &Value) -> Result<(Option<String>, Vec<Edit>), String> {
    let after = TerraformEks::deserialize(after).map_err(|error| error.to_string())?;
    let mut edits = Vec::new();
    for config in after.vpc_config {
        edits.extend(config.endpoint_public_access.map(Edit::PublicAccess));
        edits.extend(config.endpoint_private_access.map(Edit::PrivateAccess));
        if let Some(cidrs) = &config.public_access_cidrs {
            let cidrs = cidrs.iter().map(|cidr| Cidr::parse(cidr)).collect::<Result<_, _>>()?;
            edits.push(Edit::PublicAccessCidrs(cidrs));
        }
        edits.extend(config.security_group_ids.map(Edit::SecurityGroups));
        edits.extend(config.subnet_ids.map(Edit::Subnets));
    }
    Ok((after.name, edits))
}

impl TerraformBeforeAndAfter {
    fn aks_edits(&self, after: &Value) -> Result<(Option<String>, Vec<Edit>), String> {
        let read = |value: &Value| TerraformAks::deserialize(value).map_err(|error| error.to_string());
        let (name, mut edits) = read(after)?.edits()?;
        let lists = |edits: &[Edit]| {
            edits.iter().any(|edit| matches!(edit, Edit::AuthorizedIpRanges(list) if !list.is_empty()))
        };
        let before = self.before.as_ref().filter(|value| !value.is_null()).map(read).transpose()?;
        let had = before.map(TerraformAks::edits).transpose()?.is_some_and(|(_, edits)| lists(&edits));
        // A list that is no longer there is taken away, unless it is known only later.
        if had && !lists(&edits) && !self.leaves_open(true) {
            edits.retain(|edit| !matches!(edit, Edit::AuthorizedIpRanges(_)));
            edits.push(Edit::AuthorizedIpRanges(Vec::new()));
        }
        Ok((name, edits))
    }
}

impl TerraformAks {
    fn edits(self) -> Result<(Option<String>, Vec<Edit>), String> {
        let mut edits = Vec::new();
        edits.extend(self.private_cluster_enabled.map(Edit::PrivateCluster));
        edits.extend(self.public_network_access_enabled.map(Edit::PublicNetworkAccess));
        edits.extend(self.private_dns_zone_id.filter(|zone| !zone.is_empty()).map(|zone| {
            // Terraform writes `System` and `None`.
            let word = ["system", "none"].into_iter().find(|word| zone.eq_ignore_ascii_case(word));
            Edit::PrivateDnsZone(word.map_or(zone, str::to_owned))
        }));
        edits.extend(self.private_cluster_public_fqdn_enabled.map(Edit::PublicFqdn));
        edits.extend(self.run_command_enabled.map(|on| Edit::RunCommandDisabled(!on)));
        let profiles = self.api_server_access_profile.unwrap_or_default();
        // Older versions of the provider have the list beside the block.
        let lists = profiles.iter().map(|profile| &profile.authorized_ip_ranges);
        for list in lists.chain([&self.api_server_authorized_ip_ranges]).flatten() {
            let sources = list.iter().map(|text| AuthorizedSource::parse(text)).collect::<Result<_, _>>()?;
            edits.push(Edit::AuthorizedIpRanges(sources));
        }
        for profile in profiles {
            edits.extend(profile.virtual_network_integration_enabled.map(Edit::VnetIntegration));
            edits.extend(profile.subnet_id.filter(|id| !id.is_empty()).map(|id| Edit::ApiServerSubnet(ArmId::new(id))));
        }
        Ok((self.name, edits))
    }
}

/// The edits of these changes that concern a cluster of a plan. `alone`: it is the only one.
#[must_use]
pub fn edits<'c>(changes: &'c [PlannedChange], name: &str, alone: bool, facts: &Facts) -> Vec<&'c Edit> {
    let aks = facts.managed_cluster.as_ref();
    let provider_name = facts
        .cluster
        .as_ref()
        .map(|cluster| cluster.name.as_str())
        .or_else(|| aks.map(|cluster| cluster.name.as_str()));
    // A setting of the other provider changes nothing here.
    let fits = |edit: &&Edit| edit.is_of_aks() == aks.is_some() || (aks.is_none() && facts.cluster.is_none());
    let concerned = |change: &&PlannedChange| match change {
        PlannedChange::Setting(setting) => setting.cluster.as_deref().map_or(alone, |cluster| cluster == name),
        PlannedChange::Terraform(cluster) => match cluster.name.as_deref() {
            Some(planned) => Some(planned) == provider_name,
            None => alone,
        },
    };
    changes
        .iter()
        .filter(concerned)
        .flat_map(|change| match change {
            PlannedChange::Setting(setting) => std::slice::from_ref(&setting.edit),
            PlannedChange::Terraform(cluster) => &cluster.edits,
        })
        .filter(fits)
        .collect()
}

/// The facts as they would be after the edits.
#[must_use]
pub fn edited(facts: &Facts, vpc: Option<&str>, edits: &[&Edit]) -> Facts {
    let mut facts = facts.clone();
    if edits.iter().any(|edit| edit.is_of_aks()) {
        // What it is today is what it was before the change.
        facts.earlier.clone_from(&facts.managed_cluster);
        let cluster = facts.managed_cluster.get_or_insert_default();
        for edit in edits {
            edit_aks(cluster, edit);
        }
        return facts;
    }
    for edit in edits {
        let config = facts.cluster.get_or_insert_default().resources_vpc_config.get_or_insert_default();
        match edit {
            Edit::PublicAccess(on) => config.endpoint_public_access = Some(*on),
            Edit::PrivateAccess(on) => config.endpoint_private_access = Some(*on),
            Edit::PublicAccessCidrs(cidrs) => config.public_access_cidrs = Some(List(cidrs.clone())),
            Edit::SecurityGroups(ids) => replace_groups(&mut facts, ids),
            Edit::Subnets(ids) => config.subnet_ids = List(ids.clone()),
            Edit::DnsSupport(on) => attribute(&mut facts.network, vpc).enable_dns_support = Some(*on),
            Edit::DnsHostnames(on) => attribute(&mut facts.network, vpc).enable_dns_hostnames = Some(*on),
            _ => {}
        }
    }
    facts
}

fn edit_aks(cluster: &mut ManagedCluster, edit: &Edit) {
    let access = cluster.api_server_access_profile.get_or_insert_default();
    match edit {
        Edit::AuthorizedIpRanges(sources) => access.authorized_ip_ranges = List(sources.clone()),
        Edit::PrivateCluster(on) => access.enable_private_cluster = Some(*on),
        Edit::PublicNetworkAccess(on) => {
            cluster.public_network_access = Some(if *on { "Enabled" } else { "Disabled" }.to_owned());
        }
        Edit::VnetIntegration(on) => access.enable_vnet_integration = Some(*on),
        Edit::ApiServerSubnet(id) => access.subnet_id = Some(id.clone()),
        Edit::PrivateDnsZone(zone) => access.private_dns_zone = Some(zone.clone()),
        Edit::PublicFqdn(on) => access.enable_private_cluster_public_fqdn = Some(*on),
        Edit::RunCommandDisabled(on) => access.disable_run_command = Some(*on),
        _ => {}
    }
}

/// The groups that the user chose are those of the control plane's interfaces, beside the one that EKS made.
fn replace_groups(facts: &mut Facts, ids: &[String]) {
    let Some(cluster) = &mut facts.cluster else { return };
    let description = cluster.interface_description();
    let config: &mut eks::VpcConfig = cluster.resources_vpc_config.get_or_insert_default();
    let before = std::mem::replace(&mut config.security_group_ids, List(ids.to_vec()));
    let interfaces = facts.network.network_interfaces.iter_mut().flatten();
    for interface in interfaces.filter(|one| one.description.as_deref() == Some(&description)) {
        let is_before = |group: &ec2::GroupReference| {
            group.group_id.as_ref().is_some_and(|id| before.contains(id) && !ids.contains(id))
        };
        interface.groups.0.retain(|group| !is_before(group));
        for id in ids {
            if !interface.groups.iter().any(|group| group.group_id.as_ref() == Some(id)) {
                interface.groups.0.push(ec2::GroupReference { group_id: Some(id.clone()), ..Default::default() });
            }
        }
    }
}

fn attribute<'n>(network: &'n mut ec2::Network, vpc: Option<&str>) -> &'n mut ec2::VpcAttribute {
    let attributes = &mut network.vpc_attributes;
    attributes.insert(0, ec2::VpcAttribute { vpc_id: vpc.map(str::to_owned), ..Default::default() });
    &mut attributes[0]
}

/// `terraform show -json`, as far as it matters
/// (<https://developer.hashicorp.com/terraform/internals/json-format>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformPlan {
    resource_changes: Vec<TerraformChange>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformChange {
    address: String,
    #[serde(rename = "type")]
    kind: String,
    change: TerraformBeforeAndAfter,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformBeforeAndAfter {
    actions: Vec<String>,
    /// As it is today, in the shape of `after`.
    before: Option<Value>,
    /// Of whatever kind of resource: only a cluster's is looked into.
    after: Option<Value>,
    /// In the shape of `after`: true where a value is known only after the plan is applied.
    after_unknown: Value,
}

impl TerraformBeforeAndAfter {
    /// Whether a setting that is evaluated is not known yet.
    fn leaves_open(&self, of_aks: bool) -> bool {
        let (block, inside, beside): (&str, &[&str], &[&str]) = if of_aks {
            ("api_server_access_profile", &TERRAFORM_AKS_PROFILE, &TERRAFORM_AKS)
        } else {
            ("vpc_config", &TERRAFORM_SETTINGS, &[])
        };
        let config = &self.after_unknown[block];
        let open = |one: &Value| inside.iter().any(|name| has_true(&one[*name]));
        if beside.iter().any(|name| has_true(&self.after_unknown[*name])) {
            return true;
        }
        *config == Value::Bool(true) || config.as_array().is_some_and(|all| all.iter().any(open))
    }
}

fn has_true(value: &Value) -> bool {
    *value == Value::Bool(true) || value.as_array().is_some_and(|all| all.iter().any(has_true))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformAks {
    name: Option<String>,
    private_cluster_enabled: Option<bool>,
    public_network_access_enabled: Option<bool>,
    private_dns_zone_id: Option<String>,
    private_cluster_public_fqdn_enabled: Option<bool>,
    run_command_enabled: Option<bool>,
    api_server_authorized_ip_ranges: Option<Vec<String>>,
    api_server_access_profile: Option<Vec<TerraformAksProfile>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformAksProfile {
    authorized_ip_ranges: Option<Vec<String>>,
    virtual_network_integration_enabled: Option<bool>,
    subnet_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformEks {
    name: Option<String>,
    vpc_config: Vec<TerraformVpcConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TerraformVpcConfig {
    endpoint_public_access: Option<bool>,
    endpoint_private_access: Option<bool>,
    public_access_cidrs: Option<Vec<String>>,
    security_group_ids: Option<Vec<String>>,
    subnet_ids: Option<Vec<String>>,
}

/// The settings of `vpc_config` that are evaluated.
const TERRAFORM_SETTINGS: [&str; 5] =
    ["endpoint_public_access", "endpoint_private_access", "public_access_cidrs", "security_group_ids", "subnet_ids"];
/// The same of `azurerm_kubernetes_cluster`, beside its block `api_server_access_profile` and inside it.
const TERRAFORM_AKS: [&str; 6] = [
    "private_cluster_enabled",
    "public_network_access_enabled",
    "private_dns_zone_id",
    "private_cluster_public_fqdn_enabled",
    "run_command_enabled",
    "api_server_authorized_ip_ranges",
];
const TERRAFORM_AKS_PROFILE: [&str; 3] = ["authorized_ip_ranges", "virtual_network_integration_enabled", "subnet_id"];
/// Kinds of resources that decide who reaches the cluster, beside the cluster itself.
const NETWORK_RESOURCES: [&str; 25] = [
    "aws_security_group",
    "aws_vpc",
    "aws_subnet",
    "aws_route",
    "aws_network_acl",
    "aws_default_",
    "aws_nat_gateway",
    "aws_internet_gateway",
    "aws_egress_only_internet_gateway",
    "aws_ec2_",
    "aws_eip",
    "aws_main_route_table_association",
    "azurerm_virtual_network",
    "azurerm_subnet",
    "azurerm_network_security_",
    "azurerm_route",
    "azurerm_nat_gateway",
    "azurerm_public_ip",
    "azurerm_private_dns_",
    "azurerm_private_endpoint",
    "azurerm_firewall",
    "azurerm_lb",
    "azurerm_vpn_",
    "azurerm_kubernetes_cluster_node_pool",
    "azurerm_network_interface",
];
const SETTINGS: [&str; 15] = [
    "endpointPublicAccess",
    "endpointPrivateAccess",
    "publicAccessCidrs",
    "securityGroupIds",
    "subnetIds",
    "enableDnsSupport",
    "enableDnsHostnames",
    "authorizedIPRanges",
    "enablePrivateCluster",
    "publicNetworkAccess",
    "enableVnetIntegration",
    "subnetId",
    "privateDNSZone",
    "enablePrivateClusterPublicFQDN",
    "disableRunCommand",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_and_without_the_cluster() {
        let cidrs = PlannedSetting::parse("prod.eu.publicAccessCidrs=203.0.113.0/24, 198.51.100.7").unwrap();
        assert_eq!(cidrs.cluster.as_deref(), Some("prod.eu"));
        assert_eq!(cidrs.edit.to_string(), "publicAccessCidrs=203.0.113.0/24,198.51.100.7");
        let network = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network";
        for right in [
            format!("subnetId={network}/virtualNetworks/v/subnets/api"),
            format!("privateDNSZone={network}/privateDnsZones/privatelink.westeurope.azmk8s.io"),
            "privateDNSZone=system".to_owned(),
        ] {
            assert_eq!(PlannedSetting::parse(&right).unwrap().edit.to_string(), right);
        }
        assert_eq!(PlannedSetting::parse("enableDnsSupport=false").unwrap().edit, Edit::DnsSupport(false));
        for wrong in [
            "",
            "prod",
            "prod.publicAccessCidrs=x",
            "endpointPublicAccess=yes",
            "prod.nonsense=1",
            "subnetId=foo",
            "subnetId=",
            "privateDNSZone=",
            "privateDNSZone=foo",
        ] {
            assert!(PlannedSetting::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_newest_attribute_wins_over_the_stored_one() {
        let mut facts = Facts::default();
        facts.network.vpc_attributes.push(ec2::VpcAttribute {
            vpc_id: Some("vpc-1".to_owned()),
            enable_dns_support: Some(true),
            enable_dns_hostnames: Some(true),
        });
        let edit = Edit::DnsHostnames(false);
        let edited = edited(&facts, Some("vpc-1"), &[&edit]);
        let first = edited.network.vpc_attributes.iter().find_map(|one| one.enable_dns_hostnames);
        assert_eq!(first, Some(false));
        assert_eq!(facts.network.vpc_attributes.len(), 1, "what is stored stays as it is");
    }

    #[test]
    fn groups_are_replaced_on_the_interfaces_of_the_control_plane_only() {
        let facts = r#"{"cluster": {"name": "prod", "resourcesVpcConfig": {"securityGroupIds": ["sg-own"]}},
            "NetworkInterfaces": [
                {"NetworkInterfaceId": "eni-1", "Description": "Amazon EKS prod",
                 "Groups": [{"GroupId": "sg-eks"}, {"GroupId": "sg-own"}]},
                {"NetworkInterfaceId": "eni-2", "Description": "a node", "Groups": [{"GroupId": "sg-own"}]}]}"#;
        let facts =
            crate::facts::from_documents(Path::new("f"), [("a.json".into(), facts.as_bytes().to_vec())]).unwrap();
        let edit = Edit::SecurityGroups(vec!["sg-new".to_owned()]);
        let edited = edited(&facts, None, &[&edit]);
        let groups = |index: usize| -> Vec<String> {
            let interfaces = edited.network.network_interfaces.as_ref().unwrap();
            interfaces[index].groups.iter().filter_map(|group| group.group_id.clone()).collect()
        };
        assert_eq!(groups(0), ["sg-eks", "sg-new"]);
        assert_eq!(groups(1), ["sg-own"]);
    }

    #[test]
    fn a_terraform_plan_gives_the_edits_of_its_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        let plan = r#"{"format_version": "1.2", "resource_changes": [
            {"address": "aws_vpc.a", "type": "aws_vpc", "change": {"after": {"name": 7}}},
            {"address": "aws_eks_cluster.gone", "type": "aws_eks_cluster", "change": {"actions": ["delete"], "after": null}},
            {"address": "aws_eks_cluster.prod", "type": "aws_eks_cluster", "change": {"actions": ["update"],
             "after_unknown": {"vpc_config": [{"subnet_ids": [false, true], "vpc_id": true}]},
             "after": {"name": "prod", "vpc_config": [{"endpoint_public_access": true,
                       "public_access_cidrs": ["203.0.113.0/24"]}]}}},
            {"address": "aws_security_group_rule.b", "type": "aws_security_group_rule", "change": {"actions": ["delete"]}},
            {"address": "aws_route.c", "type": "aws_route", "change": {"actions": ["no-op"]}}]}"#;
        std::fs::write(&file, plan).unwrap();
        let TerraformChanges { clusters, not_evaluated } = terraform(&file).unwrap();
        let later = "aws_eks_cluster.prod (values that are known only after it is applied)";
        assert_eq!(not_evaluated, ["aws_eks_cluster.gone", later, "aws_security_group_rule.b"]);
        assert_eq!(clusters.len(), 1);
        assert_eq!(clusters[0].name.as_deref(), Some("prod"));
        let texts: Vec<String> = clusters[0].edits.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["endpointPublicAccess=true", "publicAccessCidrs=203.0.113.0/24"]);
        let odd = r#"{"resource_changes": [{"type": "aws_eks_cluster", "change": {"after": {"vpc_config": 3}}}]}"#;
        for wrong in ["", "[]", "{}", "{\"resource_changes\": 3}", odd] {
            std::fs::write(&file, wrong).unwrap();
            assert!(terraform(&file).unwrap_err().to_string().contains("plan.json"), "{wrong}");
        }
    }

    #[test]
    fn settings_of_aks_change_its_cluster_and_no_other() {
        let sources = PlannedSetting::parse("prod.authorizedIPRanges=52.1.2.0/24,52.9.9.9,AzureDevOps").unwrap();
        assert_eq!(sources.edit.to_string(), "authorizedIPRanges=52.1.2.0/24,52.9.9.9,AzureDevOps");
        for wrong in ["authorizedIPRanges=1.2.3.4.5", "publicNetworkAccess=true", "enablePrivateCluster=yes"] {
            assert!(PlannedSetting::parse(wrong).is_err(), "{wrong}");
        }
        let mut facts = Facts { managed_cluster: Some(ManagedCluster::default()), ..Facts::default() };
        let changes: Vec<PlannedChange> = [
            sources,
            PlannedSetting::parse("prod.enablePrivateCluster=true").unwrap(),
            PlannedSetting::parse("prod.endpointPublicAccess=true").unwrap(),
        ]
        .map(PlannedChange::Setting)
        .to_vec();
        let ours = edits(&changes, "prod", true, &facts);
        assert_eq!(ours.len(), 2);
        let after = edited(&facts, None, &ours);
        assert!(after.managed_cluster.as_ref().unwrap().is_private() && after.cluster.is_none());
        assert_eq!(after.earlier, facts.managed_cluster);
        facts = Facts { cluster: Some(eks::Cluster::default()), ..Facts::default() };
        assert_eq!(edits(&changes, "prod", true, &facts).len(), 1);
    }

    #[test]
    fn a_terraform_plan_gives_the_edits_of_aks_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        let plan = r#"{"resource_changes": [
            {"address": "azurerm_kubernetes_cluster.prod", "type": "azurerm_kubernetes_cluster", "change": {
             "actions": ["update"], "after_unknown": {"api_server_access_profile": [{"authorized_ip_ranges": [true]}]},
             "after": {"name": "prod", "private_cluster_enabled": false, "public_network_access_enabled": true,
                       "private_dns_zone_id": null, "private_cluster_public_fqdn_enabled": true,
                       "api_server_access_profile": [{"authorized_ip_ranges": ["52.1.2.0/24"],
                                                      "virtual_network_integration_enabled": true}]}}},
            {"address": "azurerm_nat_gateway.a", "type": "azurerm_nat_gateway", "change": {"actions": ["create"]}}]}"#;
        std::fs::write(&file, plan).unwrap();
        let TerraformChanges { clusters, not_evaluated } = terraform(&file).unwrap();
        let texts: Vec<String> = clusters[0].edits.iter().map(ToString::to_string).collect();
        let expected = [
            "enablePrivateCluster=false",
            "publicNetworkAccess=Enabled",
            "enablePrivateClusterPublicFQDN=true",
            "authorizedIPRanges=52.1.2.0/24",
            "enableVnetIntegration=true",
        ];
        assert_eq!((clusters[0].of_aks, texts), (true, expected.map(str::to_owned).to_vec()));
        let later = "azurerm_kubernetes_cluster.prod (values that are known only after it is applied)";
        assert_eq!(not_evaluated, [later, "azurerm_nat_gateway.a"]);
        // A list that vanishes opens the cluster; one that never was stays as it is.
        for (before, opens) in [(r#"["52.1.2.0/24"]"#, true), ("[]", false), ("null", false)] {
            let plan = format!(
                r#"{{"resource_changes": [{{"type": "azurerm_kubernetes_cluster", "change": {{"actions": ["update"],
                "before": {{"name": "prod", "api_server_access_profile": [{{"authorized_ip_ranges": {before}}}]}},
                "after": {{"name": "prod", "api_server_access_profile": []}}}}}}]}}"#
            );
            std::fs::write(&file, plan).unwrap();
            let edits = terraform(&file).unwrap().clusters.remove(0).edits;
            assert_eq!(edits == [Edit::AuthorizedIpRanges(Vec::new())], opens, "{before}: {edits:?}");
        }
    }
}
