//! A folder of the providers' own JSON → facts. What a file is, is told by its content, not by its name.

use std::{
    collections::{HashMap, HashSet, hash_map},
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IgnoredAny};

use super::{Cidr, Facts, List, aks, azure, ec2, eks, resolver};
use crate::input::{self, InputError, InputErrors};

/// Reads every `*.json` file of the folder and of its subfolders (three levels, in the order of their names).
///
/// # Errors
/// The folder cannot be read, holds too much, or a file in it is no JSON or says something impossible: every file's
/// first error, with line and column.
pub fn read(folder: &Path) -> Result<Facts, InputErrors> {
    from_documents(folder, documents(folder)?)
}

/// The documents of a folder, as [`from_documents`] takes them: (path relative to it, bytes), in the order of the paths.
///
/// # Errors
/// The folder or a file in it cannot be read, or it holds too much.
pub fn documents(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, InputErrors> {
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
    Ok(documents)
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
        attribute_files: Vec::new(),
        azure: azure::Found::default(),
        earlier: azure::Found::default(),
        book: Book::default(),
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
    /// The file of each of the VPC attributes, by its place in `book.files`.
    attribute_files: Vec<usize>,
    /// What Azure's documents say.
    azure: azure::Found,
    /// What they said before: files named `earlier-…`.
    earlier: azure::Found,
    book: Book,
    errors: Vec<InputError>,
}

/// What was said where.
#[derive(Default)]
struct Book {
    /// Relative to the folder; the last one is being read.
    files: Vec<PathBuf>,
    /// By kind and id: the place in the list of that kind, and the file.
    seen: HashMap<&'static str, HashMap<String, (usize, usize)>>,
}

impl Book {
    /// The place and file of what was said before of this id; else it is noted at `place`.
    fn note(&mut self, kind: &'static str, id: &str, place: usize) -> Option<(usize, &Path)> {
        let file = self.files.len().saturating_sub(1);
        match self.seen.entry(kind).or_default().entry(id.to_owned()) {
            hash_map::Entry::Occupied(known) => {
                let (place, file) = *known.get();
                Some((place, self.name(file)))
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert((place, file));
                None
            }
        }
    }

    fn file_of(&self, kind: &str, id: &str) -> &Path {
        self.seen.get(kind).and_then(|ids| ids.get(id)).map_or(Path::new(""), |(_, file)| self.name(*file))
    }

    fn name(&self, file: usize) -> &Path {
        self.files.get(file).map_or(Path::new(""), PathBuf::as_path)
    }
}

impl Gathering {
    fn take(&mut self, origin: &Path, relative: &Path, bytes: &[u8]) {
        let file = origin.join(relative);
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            // `az … list` prints lists at the top; read as fields in their order they would say anything else.
            self.take_azure(&file, relative, bytes);
            return;
        }
        if first != Some(&b'{') {
            match serde_json::from_slice::<IgnoredAny>(bytes) {
                Ok(_) => self.facts.unrecognised.push(relative.to_owned()),
                Err(error) => self.errors.push(wrong(&file, &error)),
            }
            return;
        }
        if relative == Path::new("manifest.json") {
            match serde_json::from_slice(bytes) {
                Ok(manifest) => self.facts.manifest = Some(manifest),
                Err(error) => self.errors.push(wrong(&file, &error)),
            }
            return;
        }
        let document: Document = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            Err(error) => {
                self.errors.push(wrong(&file, &error));
                return;
            }
        };
        if document.id.is_some() || document.value.is_some() || document.values.is_some() {
            self.take_azure(&file, relative, bytes);
            return;
        }
        let id = |prefix: &str| id_in_name(relative, prefix);
        let is_page = document.next_token.as_deref().is_some_and(|token| !token.is_empty());
        self.book.files.push(relative.to_owned());
        if self.gather(document, &file, &id) {
            if is_page {
                self.errors.push(
                    InputError::new("this is one page of several (`NextToken`), and what the others say is not known")
                        .in_file(&file)
                        .help("pull all of them: `kubereach facts pull`, or `aws …` without --no-paginate and --max-items"),
                );
            }
        } else {
            self.facts.unrecognised.push(relative.to_owned());
        }
    }

    /// Takes one of Azure's documents.
    fn take_azure(&mut self, file: &Path, relative: &Path, bytes: &[u8]) {
        let stem = relative.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let found = if stem.starts_with(EARLIER) { &mut self.earlier } else { &mut self.azure };
        match azure::read(found, file, relative, bytes) {
            Ok(true) => {}
            Ok(false) => self.facts.unrecognised.push(relative.to_owned()),
            Err(error) => self.errors.push(error),
        }
    }

    /// Adds what the document says; false when that is nothing.
    fn gather(&mut self, document: Document, file: &Path, id: &dyn Fn(&str) -> Option<String>) -> bool {
        let Document {
            next_token: _,
            id: _,
            value: _,
            values: _,
            cluster,
            update,
            update_ids,
            certificate_authorities,
            certificate_authority,
            certificate_authority_data,
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
        let Self { facts, update_order, attribute_files, book, errors, .. } = self;
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
            let mut known: HashSet<Option<String>> = all.iter().map(|other| other.id.clone()).collect();
            for one in listed.0 {
                // The description of one says more than its line in the list.
                if known.insert(one.id.clone()) {
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
        if let Some(data) = certificate_authority_data {
            known = true;
            facts.managed_authority = Some(data);
        }
        if enable_dns_support.is_some() || enable_dns_hostnames.is_some() {
            known = true;
            let vpc_id = vpc_id.filter(|id| !id.is_empty()).or_else(|| id("vpc-"));
            attribute_files.push(book.files.len().saturating_sub(1));
            facts.network.vpc_attributes.push(ec2::VpcAttribute {
                vpc_id,
                enable_dns_support: enable_dns_support.and_then(|attribute| attribute.value),
                enable_dns_hostnames: enable_dns_hostnames.and_then(|attribute| attribute.value),
            });
        }
        if let Some(entries) = entries {
            known = true;
            match id("pl-") {
                Some(prefix_list_id) => {
                    let all = &mut facts.network.prefix_list_entries;
                    let entries: Vec<Cidr> = entries.0.into_iter().filter_map(|entry| entry.cidr).collect();
                    let known = book.note("prefix_list_entries", &prefix_list_id, all.len());
                    match known.and_then(|(place, other)| Some((all.get(place)?, other))) {
                        Some((said, _)) if same_items(&said.entries, &entries) => {}
                        Some((_, other)) => {
                            errors.push(twice(&format!("`{}`", prefix_list_id.escape_debug()), file, other));
                        }
                        None => all.push(ec2::PrefixListEntries { prefix_list_id, entries }),
                    }
                }
                None => errors.push(unnamed(file, "prefix-list entries", "get-managed-prefix-list-entries-pl-….json")),
            }
        }
        if let Some(routes) = routes {
            known = true;
            match id("tgw-rtb-") {
                Some(transit_gateway_route_table_id) => {
                    let all = &mut facts.network.transit_gateway_routes;
                    let more = additional_routes_available.unwrap_or(false);
                    let known = book.note("transit_gateway_routes", &transit_gateway_route_table_id, all.len());
                    match known.and_then(|(place, other)| Some((all.get(place)?, other))) {
                        Some((said, _)) if said.more == more && same_items(&said.routes, &routes.0) => {}
                        Some((_, other)) => errors.push(twice(
                            &format!("`{}`", transit_gateway_route_table_id.escape_debug()),
                            file,
                            other,
                        )),
                        None => all.push(ec2::TransitGatewayRoutes {
                            transit_gateway_route_table_id,
                            routes: routes.0,
                            more,
                        }),
                    }
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
            match book.note("block_public_access", "", 0) {
                Some((_, other)) if facts.network.block_public_access.as_ref() != Some(&options) => {
                    errors.push(twice("VPC Block Public Access", file, other));
                }
                _ => facts.network.block_public_access = Some(options),
            }
        }
        if let Some(reservations) = reservations {
            known = true;
            let instances = reservations.0.into_iter().flat_map(|reservation| reservation.instances.0).collect();
            add(
                &mut facts.network.instances,
                Some(List(instances)),
                |one| &one.instance_id,
                "instances",
                book,
                file,
                errors,
            );
        }
        let resolver = &mut facts.resolver;
        known |= extend(&mut resolver.rules, resolver_rules)
            | extend(&mut resolver.rule_associations, resolver_rule_associations)
            | extend(&mut resolver.hosted_zones, hosted_zone_summaries);
        let network = &mut facts.network;
        macro_rules! gather {
            ($($list:ident: $found:ident by $id:ident),* $(,)?) => {
                $( known |= add(&mut network.$list, $found, |one| &one.$id, stringify!($list), book, file, errors); )*
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
        self.compare_attributes();
        self.compare_users();
        self.settle_azure();
        if !self.errors.is_empty() {
            return Err(InputErrors::bounded(self.errors));
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, id) in self.update_order.iter().enumerate() {
            places.entry(id).or_insert(place);
        }
        let place = |update: &eks::Update| places.get(update.id.as_deref()?).copied();
        // Newest first; those without a time in the order in which they are listed.
        self.facts.updates.sort_by(|one, other| {
            other
                .created_at
                .cmp(&one.created_at)
                .then_with(|| place(one).unwrap_or(usize::MAX).cmp(&place(other).unwrap_or(usize::MAX)))
        });
        Ok(self.facts)
    }

    /// One folder holds the facts of one cluster, whichever provider's.
    fn settle_azure(&mut self) {
        let Self { facts, azure, earlier, errors, .. } = self;
        let mut clusters = std::mem::take(&mut azure.managed_clusters).unwrap_or_default();
        if clusters.len() > 1 || (!clusters.is_empty() && facts.cluster.is_some()) {
            let mut names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            names.extend(facts.cluster.as_ref().map(|cluster| cluster.name.as_str()));
            let names: Vec<String> = names.iter().take(5).map(|name| format!("`{}`", name.escape_debug())).collect();
            errors.push(
                InputError::new(format!("this folder describes more than one cluster: {}", names.join(", ")))
                    .in_file(&facts.origin)
                    .help("one folder holds the facts of one cluster"),
            );
        }
        if let Some(cluster) = clusters.iter().find(|cluster| !cluster.is_described()) {
            // Settings that are off are left out: taken for it, this would be a cluster that is open to everybody.
            errors.push(
                InputError::new(format!(
                    "the cluster `{}` is named, but nothing is said of it",
                    cluster.name.escape_debug()
                ))
                .in_file(&facts.origin)
                .help("write it anew with `kubereach facts pull aks`, or with `az aks show -o json`, whole"),
            );
        }
        facts.managed_cluster = clusters.pop();
        let same = |one: &aks::ManagedCluster| facts.managed_cluster.as_ref().is_none_or(|other| other.id == one.id);
        facts.earlier = std::mem::take(&mut earlier.managed_clusters).unwrap_or_default().into_iter().find(same);
        facts.agent_pools = azure.agent_pools.take();
        facts.activity = azure.activity.take();
        if let Some(events) = &mut facts.activity {
            events.sort_by_key(|event| std::cmp::Reverse(event.event_timestamp));
        }
        facts.azure = std::mem::take(&mut azure.network);
        if let Some(manifest) = facts.manifest.as_ref().filter(|_| !facts.azure.listed.is_empty()) {
            let refused = manifest.denied.iter().chain(&manifest.failed);
            facts.azure.refused = refused.filter_map(|one| azure::Kind::of_action(&one.action)).collect();
        }
    }

    /// An attribute of a VPC has one value.
    fn compare_attributes(&mut self) {
        let Self { facts, attribute_files, book, errors, .. } = self;
        // Where there is one VPC only, an attribute that names none is of that one.
        let only = match facts.network.vpcs.as_deref() {
            Some([vpc]) => Some(vpc.vpc_id.as_str()),
            _ => None,
        };
        let mut said: HashMap<(&str, &str), (bool, usize)> = HashMap::new();
        for (one, file) in facts.network.vpc_attributes.iter().zip(attribute_files.iter().copied()) {
            let vpc = one.vpc_id.as_deref().or(only).unwrap_or_default();
            let values =
                [("EnableDnsSupport", one.enable_dns_support), ("EnableDnsHostnames", one.enable_dns_hostnames)];
            for (name, value) in values {
                let Some(value) = value else { continue };
                let (known, other) = *said.entry((vpc, name)).or_insert((value, file));
                if known != value {
                    let what = if vpc.is_empty() {
                        format!("`{name}` of the VPC")
                    } else {
                        format!("`{name}` of `{}`", vpc.escape_debug())
                    };
                    errors.push(twice(&what, &facts.origin.join(book.name(file)), book.name(other)));
                }
            }
        }
    }

    /// A subnet has one route table and one network ACL, and a VPC one main table and one default ACL.
    fn compare_users(&mut self) {
        let Self { facts, book, errors, .. } = self;
        let mut users: HashMap<(&'static str, &str), &str> = HashMap::new();
        let mut note = |what: &'static str, of, kind, id| {
            let other = *users.entry((what, of)).or_insert(id);
            if other != id {
                let what = format!("the {what} of `{}`", of.escape_debug());
                errors.push(twice(&what, &facts.origin.join(book.file_of(kind, id)), book.file_of(kind, other)));
            }
        };
        for table in facts.network.route_tables.iter().flatten() {
            let id = table.route_table_id.as_str();
            for association in &table.associations {
                let state = association.association_state.as_ref().and_then(|state| state.state.as_deref());
                if state.is_some_and(|state| !state.eq_ignore_ascii_case("associated")) {
                    continue;
                }
                if let Some(subnet) = association.subnet_id.as_deref() {
                    note("route table", subnet, "route_tables", id);
                }
                if association.main == Some(true) && !table.vpc_id.is_empty() {
                    note("main route table", &table.vpc_id, "route_tables", id);
                }
            }
        }
        for acl in facts.network.network_acls.iter().flatten() {
            let id = acl.network_acl_id.as_str();
            for subnet in acl.associations.iter().filter_map(|association| association.subnet_id.as_deref()) {
                note("network ACL", subnet, "network_acls", id);
            }
            if acl.is_default == Some(true) && !acl.vpc_id.is_empty() {
                note("default network ACL", &acl.vpc_id, "network_acls", id);
            }
        }
    }
}

/// Whether two lists have the same items, in whatever order.
fn same_items<T: Debug>(one: &[T], other: &[T]) -> bool {
    let sorted = |items: &[T]| {
        let mut texts: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
        texts.sort_unstable();
        texts
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

fn twice(what: &str, file: &Path, other: &Path) -> InputError {
    InputError::new(format!("{what} is described twice, and differently"))
        .in_file(file)
        .help(format!("the other description is in {}; keep the facts of one moment in a folder", other.display()))
}

/// Adds a list's items, each id once. An id that says two things is an error.
fn add<T: PartialEq + Debug>(
    all: &mut Option<Vec<T>>,
    found: Option<List<T>>,
    id: impl Fn(&T) -> &String,
    kind: &'static str,
    book: &mut Book,
    file: &Path,
    errors: &mut Vec<InputError>,
) -> bool {
    let Some(found) = found else { return false };
    let all = all.get_or_insert_default();
    for one in found.0 {
        match book.note(kind, id(&one), all.len()) {
            Some((place, _)) if all.get(place) == Some(&one) => {}
            Some((_, other)) => errors.push(twice(&format!("`{}`", id(&one).escape_debug()), file, other)),
            None => all.push(one),
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
    #[serde(alias = "nextToken")]
    next_token: Option<String>,
    /// A resource of Azure's.
    #[serde(rename = "id")]
    id: Option<IgnoredAny>,
    /// A list of them.
    #[serde(rename = "value")]
    value: Option<IgnoredAny>,
    /// A list of service tags.
    #[serde(rename = "values")]
    values: Option<IgnoredAny>,
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
    /// Of an AKS cluster, as a kubeconfig holds it.
    #[serde(rename = "certificateAuthorityData")]
    certificate_authority_data: Option<String>,
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

/// Files of an earlier moment begin so.
const EARLIER: &str = "earlier-";
/// The contract's folder has two levels.
const LEVELS: usize = 3;
const MAXIMUM_FILES: usize = 10_000;
const MAXIMUM_FILE: u64 = 64 << 20;
const MAXIMUM_TOTAL: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(documents: &[(&str, Value)]) -> Result<Facts, String> {
        let documents = documents.iter().map(|(name, value)| (PathBuf::from(name), value.to_string().into_bytes()));
        from_documents(Path::new("folder"), documents.collect::<Vec<_>>()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn one_page_of_several_is_refused() {
        for name in ["NextToken", "nextToken"] {
            let mut page = json!({"SecurityGroups": []});
            page[name] = json!("more");
            let error = read(&[("groups.json", page.clone())]).unwrap_err();
            assert!(error.contains("one page of several") && error.contains("groups.json"), "{error}");
            for none in [json!(""), Value::Null] {
                page[name] = none;
                assert!(read(&[("groups.json", page.clone())]).is_ok());
            }
        }
        let entries = json!({"Entries": [], "NextToken": "more"});
        assert!(read(&[("pl-1.json", entries)]).unwrap_err().contains("one page of several"));
        // What is none of ours may be what it likes.
        let other = read(&[("other.json", json!({"Others": [], "NextToken": "more"}))]).unwrap();
        assert_eq!(other.unrecognised, [PathBuf::from("other.json")]);
    }

    #[test]
    fn a_list_at_the_top_is_not_read_by_position() {
        for name in ["list.json", "manifest.json"] {
            let list = json!([null, {"name": "demo"}, {"id": "u-1"}]);
            let facts = read(&[(name, list)]).unwrap();
            assert!(facts.is_empty() && facts.manifest.is_none(), "{facts:?}");
            assert_eq!(facts.unrecognised, [PathBuf::from(name)]);
        }
        let broken = from_documents(Path::new("folder"), [(PathBuf::from("broken.json"), b"[1,".to_vec())]);
        let error = broken.unwrap_err().to_string();
        assert!(error.contains("broken.json") && error.contains("not JSON"), "{error}");
    }

    #[test]
    fn what_is_said_twice_must_be_the_same() {
        let table = |id: &str, association: Value| json!({"RouteTables": [{"RouteTableId": id, "VpcId": "vpc-1", "Associations": [association]}]});
        let acl = |id: &str, subnet: &str, default: bool| {
            json!({"NetworkAcls": [{"NetworkAclId": id, "VpcId": "vpc-1", "IsDefault": default,
                "Associations": [{"SubnetId": subnet}]}]})
        };
        let entries = |cidrs: &[&str]| {
            let entries: Vec<Value> = cidrs.iter().map(|cidr| json!({ "Cidr": cidr })).collect();
            json!({ "Entries": entries })
        };
        let routes = |state: &str| json!({"Routes": [{"DestinationCidrBlock": "10.0.0.0/8", "State": state}]});
        let attribute = |value: bool| json!({"VpcId": "vpc-1", "EnableDnsSupport": {"Value": value}});
        let mode = |mode: &str| json!({"VpcBlockPublicAccessOptions": {"InternetGatewayBlockMode": mode}});
        let subnet = json!({"SubnetId": "subnet-1"});
        let leaves = json!({"SubnetId": "subnet-1", "AssociationState": {"State": "disassociated"}});
        for (one, same, other, what) in [
            (attribute(true), attribute(true), attribute(false), "`EnableDnsSupport` of `vpc-1`"),
            (
                entries(&["10.0.0.0/8", "10.1.0.0/16"]),
                entries(&["10.1.0.0/16", "10.0.0.0/8"]),
                entries(&["10.0.0.0/8"]),
                "`pl-1-tgw-rtb-1`",
            ),
            (routes("active"), routes("active"), routes("blackhole"), "`tgw-rtb-1`"),
            (mode("off"), mode("off"), mode("block-ingress"), "VPC Block Public Access"),
            (
                table("rtb-1", subnet.clone()),
                table("rtb-2", leaves),
                table("rtb-2", subnet),
                "the route table of `subnet-1`",
            ),
            (
                table("rtb-1", json!({"Main": true})),
                table("rtb-2", json!({"Main": false})),
                table("rtb-2", json!({"Main": true})),
                "the main route table of `vpc-1`",
            ),
            (
                acl("acl-1", "subnet-1", true),
                acl("acl-2", "subnet-2", false),
                acl("acl-2", "subnet-1", false),
                "the network ACL of `subnet-1`",
            ),
        ] {
            let (first, second) = ("one/pl-1-tgw-rtb-1.json", "two/pl-1-tgw-rtb-1.json");
            assert!(read(&[(first, one.clone()), (second, same)]).is_ok(), "{what}");
            let error = read(&[(first, one), (second, other)]).unwrap_err();
            for word in [what, "is described twice, and differently", second] {
                assert!(error.contains(word), "{word}: {error}");
            }
        }
    }

    #[test]
    fn an_attribute_of_no_named_vpc_is_of_the_only_one() {
        let documents = |second: &str| {
            let vpcs = if second.is_empty() {
                json!([{"VpcId": "vpc-1"}])
            } else {
                json!([{"VpcId": "vpc-1"}, {"VpcId": second}])
            };
            read(&[
                ("a.json", json!({"EnableDnsSupport": {"Value": true}})),
                ("b.json", json!({"VpcId": "vpc-1", "EnableDnsSupport": {"Value": false}})),
                ("c.json", json!({ "Vpcs": vpcs })),
            ])
        };
        assert!(documents("").unwrap_err().contains("`EnableDnsSupport` of `vpc-1` is described twice"));
        assert!(documents("vpc-2").is_ok());
    }

    #[test]
    fn many_files_and_long_lists_are_read_in_linear_time() {
        let authorities: Vec<Value> = (0..40_000).map(|id| json!({"id": format!("ca-{id}")})).collect();
        let groups: Vec<Value> = (0..40_000).map(|id| json!({"GroupId": format!("sg-{id}")})).collect();
        let ids: Vec<String> = (0..40_000).map(|id| format!("u-{id}")).collect();
        let mut documents = vec![
            ("a.json".to_owned(), json!({"certificateAuthorities": authorities}).to_string()),
            ("b.json".to_owned(), json!({"SecurityGroups": groups}).to_string()),
            ("c.json".to_owned(), json!({"updateIds": ids}).to_string()),
        ];
        for id in 40_000..43_000 {
            let group = json!({"SecurityGroups": [{"GroupId": format!("sg-{id}")}]});
            documents.push((format!("d-{id}.json"), group.to_string()));
        }
        let begun = std::time::Instant::now();
        let documents = documents.into_iter().map(|(name, text)| (PathBuf::from(name), text.into_bytes()));
        let facts = from_documents(Path::new("folder"), documents).unwrap();
        assert_eq!(facts.network.security_groups.map(|all| all.len()), Some(43_000));
        assert_eq!(facts.certificate_authorities.map(|all| all.len()), Some(40_000));
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
