//! A folder of the providers' own JSON → facts. What a file is, is told by its content, not by its name.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Cidr, Facts, List, ec2, eks, resolver};
use crate::input::{self, InputError, InputErrors};

/// Reads every `*.json` file of the folder and of its subfolders (three levels, in the order of their names).
///
/// # Errors
/// The folder cannot be read, holds too much, or a file in it is no JSON or says something impossible: every file's
/// first error, with line and column.
pub fn read(folder: &Path) -> Result<Facts, InputErrors> {
    let mut files = Vec::new();
    list(folder, Path::new(""), LEVELS, &mut files)?;
    files.sort();
    let mut documents = Vec::with_capacity(files.len());
    let mut errors = Vec::new();
    let mut total = 0;
    for relative in files {
        match input::read_bytes(&folder.join(&relative), "facts file", MAXIMUM_FILE) {
            Ok(bytes) => {
                total += bytes.len();
                documents.push((relative, bytes));
            }
            Err(error) => errors.push(error),
        }
        if total > MAXIMUM_TOTAL {
            return Err(InputError::new(format!("the facts folder holds more than {} MiB", MAXIMUM_TOTAL >> 20))
                .in_file(folder)
                .help("keep one cluster's facts in a folder of their own")
                .into());
        }
    }
    if !errors.is_empty() {
        return Err(InputErrors::bounded(errors));
    }
    from_documents(folder, documents)
}

/// Facts from the documents of one folder: (path relative to it, JSON text). `origin` names the folder in messages.
///
/// # Errors
/// A document is no JSON or says something impossible, or two of them contradict each other.
pub fn from_documents(
    origin: &Path,
    documents: impl IntoIterator<Item = (PathBuf, Vec<u8>)>,
) -> Result<Facts, InputErrors> {
    let mut gathering = Gathering {
        facts: Facts { origin: origin.to_owned(), ..Facts::default() },
        update_order: Vec::new(),
        errors: Vec::new(),
    };
    for (relative, bytes) in documents {
        gathering.take(origin, &relative, &bytes);
    }
    gathering.finish()
}

fn list(folder: &Path, relative: &Path, levels: usize, files: &mut Vec<PathBuf>) -> Result<(), InputErrors> {
    let place = folder.join(relative);
    let failed = |error: std::io::Error| {
        InputErrors::from(
            InputError::new(format!("cannot read the facts folder: {error}"))
                .in_file(&place)
                .help("make it with `kubereach facts pull`, or by hand: docs/eks-facts.md names the files"),
        )
    };
    for entry in fs::read_dir(&place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = relative.join(entry.file_name());
        // A link is followed: `metadata` rather than the entry's own type.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() && levels > 1 {
            list(folder, &name, levels - 1, files)?;
        } else if metadata.is_file() && name.extension().is_some_and(|extension| extension == "json") {
            if files.len() >= MAXIMUM_FILES {
                return Err(InputError::new(format!("the facts folder holds more than {MAXIMUM_FILES} files"))
                    .in_file(folder)
                    .into());
            }
            files.push(name);
        }
    }
    Ok(())
}

/// The facts in the making.
struct Gathering {
    facts: Facts,
    update_order: Vec<String>,
    errors: Vec<InputError>,
}

impl Gathering {
    fn take(&mut self, origin: &Path, relative: &Path, bytes: &[u8]) {
        let file = origin.join(relative);
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if relative == Path::new("manifest.json") {
            match serde_json::from_slice(bytes) {
                Ok(manifest) => self.facts.manifest = Some(manifest),
                Err(error) => self.errors.push(wrong(&file, &error)),
            }
            return;
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let document: Document = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            // A list or a bare value is nothing of ours, as long as it is JSON.
            Err(_) if first != Some(&b'{') && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => {
                Document::default()
            }
            Err(error) => {
                self.errors.push(wrong(&file, &error));
                return;
            }
        };
        let id = |prefix: &str| id_in_name(relative, prefix);
        if !self.gather(document, &file, &id) {
            self.facts.unrecognised.push(relative.to_owned());
        }
    }

    /// Adds what the document says; false when that is nothing.
    fn gather(&mut self, document: Document, file: &Path, id: &dyn Fn(&str) -> Option<String>) -> bool {
        let Document {
            cluster,
            update,
            update_ids,
            certificate_authorities,
            certificate_authority,
            vpc_id,
            enable_dns_support,
            enable_dns_hostnames,
            entries,
            routes,
            additional_routes_available,
            vpc_block_public_access_options,
            reservations,
            vpcs,
            dhcp_options,
            subnets,
            route_tables,
            network_acls,
            security_groups,
            network_interfaces,
            nat_gateways,
            internet_gateways,
            egress_only_internet_gateways,
            prefix_lists,
            vpc_peering_connections,
            transit_gateways,
            transit_gateway_attachments,
            transit_gateway_vpc_attachments,
            transit_gateway_route_tables,
            vpn_gateways,
            vpn_connections,
            vpc_endpoints,
            resolver_rules,
            resolver_rule_associations,
            hosted_zone_summaries,
        } = document;
        let Self { facts, update_order, errors } = self;
        let mut known = false;
        if let Some(found) = cluster {
            known = true;
            match &facts.cluster {
                Some(other) if *other != found => errors.push(
                    InputError::new(format!(
                        "this folder already describes another cluster, or the same at another time: `{}`",
                        other.name.escape_debug()
                    ))
                    .in_file(file)
                    .help("one folder holds the facts of one cluster"),
                ),
                _ => facts.cluster = Some(found),
            }
        }
        if let Some(update) = update {
            known = true;
            if !facts.updates.contains(&update) {
                facts.updates.push(update);
            }
        }
        if let Some(ids) = update_ids {
            known = true;
            update_order.extend(ids.0);
        }
        if let Some(listed) = certificate_authorities {
            known = true;
            let all = facts.certificate_authorities.get_or_insert_default();
            for one in listed.0 {
                // The description of one says more than its line in the list.
                if !all.iter().any(|other| other.id == one.id) {
                    all.push(one);
                }
            }
        }
        if let Some(one) = certificate_authority {
            known = true;
            let all = facts.certificate_authorities.get_or_insert_default();
            all.retain(|other| other.id != one.id);
            all.push(one);
        }
        if enable_dns_support.is_some() || enable_dns_hostnames.is_some() {
            known = true;
            let vpc_id = vpc_id.filter(|id| !id.is_empty()).or_else(|| id("vpc-"));
            facts.network.vpc_attributes.push(ec2::VpcAttribute {
                vpc_id,
                enable_dns_support: enable_dns_support.and_then(|attribute| attribute.value),
                enable_dns_hostnames: enable_dns_hostnames.and_then(|attribute| attribute.value),
            });
        }
        if let Some(entries) = entries {
            known = true;
            match id("pl-") {
                Some(prefix_list_id) => facts.network.prefix_list_entries.push(ec2::PrefixListEntries {
                    prefix_list_id,
                    entries: entries.0.into_iter().filter_map(|entry| entry.cidr).collect(),
                }),
                None => errors.push(unnamed(file, "prefix-list entries", "get-managed-prefix-list-entries-pl-….json")),
            }
        }
        if let Some(routes) = routes {
            known = true;
            match id("tgw-rtb-") {
                Some(transit_gateway_route_table_id) => {
                    facts.network.transit_gateway_routes.push(ec2::TransitGatewayRoutes {
                        transit_gateway_route_table_id,
                        routes: routes.0,
                        more: additional_routes_available.unwrap_or(false),
                    });
                }
                None => errors.push(unnamed(
                    file,
                    "routes of a transit-gateway route table",
                    "search-transit-gateway-routes-tgw-rtb-….json",
                )),
            }
        }
        if let Some(options) = vpc_block_public_access_options {
            known = true;
            facts.network.block_public_access = Some(options);
        }
        if let Some(reservations) = reservations {
            known = true;
            let instances = reservations.0.into_iter().flat_map(|reservation| reservation.instances.0).collect();
            add(&mut facts.network.instances, Some(List(instances)), |one| &one.instance_id, file, errors);
        }
        let resolver = &mut facts.resolver;
        known |= extend(&mut resolver.rules, resolver_rules)
            | extend(&mut resolver.rule_associations, resolver_rule_associations)
            | extend(&mut resolver.hosted_zones, hosted_zone_summaries);
        let network = &mut facts.network;
        macro_rules! gather {
            ($($list:ident: $found:ident by $id:ident),* $(,)?) => {
                $( known |= add(&mut network.$list, $found, |one| &one.$id, file, errors); )*
            };
        }
        gather! {
            vpcs: vpcs by vpc_id,
            dhcp_options: dhcp_options by dhcp_options_id,
            subnets: subnets by subnet_id,
            route_tables: route_tables by route_table_id,
            network_acls: network_acls by network_acl_id,
            security_groups: security_groups by group_id,
            network_interfaces: network_interfaces by network_interface_id,
            nat_gateways: nat_gateways by nat_gateway_id,
            internet_gateways: internet_gateways by internet_gateway_id,
            egress_only_internet_gateways: egress_only_internet_gateways by egress_only_internet_gateway_id,
            prefix_lists: prefix_lists by prefix_list_id,
            peering_connections: vpc_peering_connections by vpc_peering_connection_id,
            transit_gateways: transit_gateways by transit_gateway_id,
            transit_gateway_attachments: transit_gateway_attachments by transit_gateway_attachment_id,
            transit_gateway_vpc_attachments: transit_gateway_vpc_attachments by transit_gateway_attachment_id,
            transit_gateway_route_tables: transit_gateway_route_tables by transit_gateway_route_table_id,
            vpn_gateways: vpn_gateways by vpn_gateway_id,
            vpn_connections: vpn_connections by vpn_connection_id,
            vpc_endpoints: vpc_endpoints by vpc_endpoint_id,
        }
        known
    }

    fn finish(mut self) -> Result<Facts, InputErrors> {
        if !self.errors.is_empty() {
            return Err(InputErrors::bounded(self.errors));
        }
        let place = |update: &eks::Update| {
            let id = update.id.as_ref()?;
            self.update_order.iter().position(|listed| listed == id)
        };
        // Newest first; those without a time in the order in which they are listed.
        self.facts.updates.sort_by(|one, other| {
            other
                .created_at
                .cmp(&one.created_at)
                .then_with(|| place(one).unwrap_or(usize::MAX).cmp(&place(other).unwrap_or(usize::MAX)))
        });
        Ok(self.facts)
    }
}

/// Adds a list's items, each id once. An id that says two things is an error.
fn add<T: PartialEq + Debug>(
    all: &mut Option<Vec<T>>,
    found: Option<List<T>>,
    id: impl Fn(&T) -> &String,
    file: &Path,
    errors: &mut Vec<InputError>,
) -> bool {
    let Some(found) = found else { return false };
    let all = all.get_or_insert_default();
    let mut known: BTreeMap<String, usize> =
        all.iter().enumerate().map(|(index, one)| (id(one).clone(), index)).collect();
    for one in found.0 {
        match known.get(id(&one)) {
            Some(index) if all[*index] == one => {}
            Some(_) => errors.push(
                InputError::new(format!("`{}` is described twice, and differently", id(&one).escape_debug()))
                    .in_file(file)
                    .help("keep the facts of one moment in a folder"),
            ),
            None => {
                known.insert(id(&one).clone(), all.len());
                all.push(one);
            }
        }
    }
    true
}

fn extend<T>(all: &mut Option<Vec<T>>, found: Option<List<T>>) -> bool {
    let Some(found) = found else { return false };
    all.get_or_insert_default().extend(found.0);
    true
}

fn wrong(file: &Path, error: &serde_json::Error) -> InputError {
    let text = error.to_string();
    // The position stands in front already.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let message = if error.is_data() {
        format!("this is not what the provider prints: {message}")
    } else {
        format!("this is not JSON: {message}")
    };
    InputError::new(message)
        .in_file(file)
        .at(error.line().max(1), error.column().max(1))
        .help("write it anew with `kubereach facts pull`, or with the provider's own command line and `--output json`")
}

fn unnamed(file: &Path, what: &str, name: &str) -> InputError {
    InputError::new(format!("these are {what}, but neither content nor file name says of which"))
        .in_file(file)
        .help(format!("name the file `{name}`"))
}

/// The id that a file name ends with: `get-managed-prefix-list-entries-pl-0abc.json` → `pl-0abc`.
fn id_in_name(file: &Path, prefix: &str) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let start = stem.rfind(prefix)?;
    let id = &stem[start..];
    (id.len() > prefix.len()).then(|| id.to_owned())
}

/// Every key that a document of the contract may have at its top; what it is, is told by those that are there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Document {
    #[serde(rename = "cluster")]
    cluster: Option<eks::Cluster>,
    #[serde(rename = "update")]
    update: Option<eks::Update>,
    #[serde(rename = "updateIds")]
    update_ids: Option<List<String>>,
    #[serde(rename = "certificateAuthorities")]
    certificate_authorities: Option<List<eks::CertificateAuthority>>,
    #[serde(rename = "certificateAuthority")]
    certificate_authority: Option<eks::CertificateAuthority>,
    vpc_id: Option<String>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
    entries: Option<List<PrefixListEntry>>,
    routes: Option<List<ec2::TransitGatewayRoute>>,
    additional_routes_available: Option<bool>,
    vpc_block_public_access_options: Option<ec2::BlockPublicAccess>,
    reservations: Option<List<Reservation>>,
    vpcs: Option<List<ec2::Vpc>>,
    dhcp_options: Option<List<ec2::DhcpOptions>>,
    subnets: Option<List<ec2::Subnet>>,
    route_tables: Option<List<ec2::RouteTable>>,
    network_acls: Option<List<ec2::NetworkAcl>>,
    security_groups: Option<List<ec2::SecurityGroup>>,
    network_interfaces: Option<List<ec2::NetworkInterface>>,
    nat_gateways: Option<List<ec2::NatGateway>>,
    internet_gateways: Option<List<ec2::InternetGateway>>,
    egress_only_internet_gateways: Option<List<ec2::EgressOnlyInternetGateway>>,
    prefix_lists: Option<List<ec2::PrefixList>>,
    vpc_peering_connections: Option<List<ec2::PeeringConnection>>,
    transit_gateways: Option<List<ec2::TransitGateway>>,
    transit_gateway_attachments: Option<List<ec2::TransitGatewayAttachment>>,
    transit_gateway_vpc_attachments: Option<List<ec2::TransitGatewayVpcAttachment>>,
    transit_gateway_route_tables: Option<List<ec2::TransitGatewayRouteTable>>,
    vpn_gateways: Option<List<ec2::VpnGateway>>,
    vpn_connections: Option<List<ec2::VpnConnection>>,
    vpc_endpoints: Option<List<ec2::VpcEndpoint>>,
    resolver_rules: Option<List<resolver::ResolverRule>>,
    resolver_rule_associations: Option<List<resolver::ResolverRuleAssociation>>,
    hosted_zone_summaries: Option<List<resolver::HostedZone>>,
}

/// `{"Value": …}` of a VPC attribute.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Flag {
    value: Option<bool>,
}

/// An entry of a prefix list.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PrefixListEntry {
    cidr: Option<Cidr>,
}

/// What `describe-instances` puts around instances.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Reservation {
    instances: List<ec2::Instance>,
}

/// The contract's folder has two levels.
const LEVELS: usize = 3;
const MAXIMUM_FILES: usize = 10_000;
const MAXIMUM_FILE: u64 = 64 << 20;
const MAXIMUM_TOTAL: usize = 512 << 20;
