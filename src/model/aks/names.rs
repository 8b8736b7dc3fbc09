//! What a resolver should answer: which zones a network sees, and what they say
//! (<https://learn.microsoft.com/azure/dns/private-dns-overview>, <https://learn.microsoft.com/azure/aks/private-clusters>).

use std::net::IpAddr;

use kubereach_probes::AddressClass;

use super::{
    Evaluation, ExpectedAnswer, Located, Missing, Mode, Place, VIRTUAL_NETWORKS, ZoneObstacle, listed,
    private_addresses,
};
use crate::{
    facts::azure::{ArmId, Kind, PrivateDnsRecordSet, PrivateDnsZoneLink},
    model::azure::PLATFORM,
};

/// Which of the cluster's names is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// `fqdn`.
    Public,
    /// `privateFQDN`.
    Private,
    /// `azurePortalFQDN`: for the portal.
    Portal,
    /// An address.
    Address(IpAddr),
    /// A public name of the cluster's kind that the cluster does not have.
    NoSuchPublic,
    /// None of these.
    Other,
}

/// What Azure's own resolver answers in a network.
enum Sight {
    /// A zone has the name.
    Recorded(ArmId, Vec<IpAddr>),
    /// A zone of a fitting name has no such record.
    Denied(ZoneObstacle),
    /// No zone of a fitting name is linked: public DNS is asked.
    Public,
    /// The facts do not say.
    Unknown(Missing),
}

impl<'f> Evaluation<'_, 'f> {
    pub(super) fn answer(&self, mode: Mode, located: &Located<'f>, missing: &mut Vec<Missing>) -> ExpectedAnswer {
        let name = self.name(mode);
        match name {
            Name::Address(address) => {
                return expected(self.classes.of(address), vec![address], "it is an address", None);
            }
            Name::Other => return unknown("this name is none of the cluster's".to_owned(), None),
            Name::Portal => {
                return unknown(
                    "azurePortalFQDN is for the portal: what it answers with is not documented".to_owned(),
                    None,
                );
            }
            Name::NoSuchPublic => {
                let because = "enablePrivateClusterPublicFQDN is false: the public name is not published";
                return expected(AddressClass::None, Vec::new(), because, Some(ZoneObstacle::NotPublished));
            }
            Name::Public | Name::Private => {}
        }
        let Some(network) = &located.network else { return self.outside(name, mode, &located.place) };
        let servers = self.servers_of(network);
        let Some(servers) = servers else {
            missing.push(Missing {
                what: format!("the DNS servers of {}", network.name()),
                decided_by: VIRTUAL_NETWORKS.to_owned(),
            });
            return unknown(format!("the facts do not hold {}", network.name()), None);
        };
        let own = servers.iter().any(|server| server.parse() == Ok(IpAddr::V4(PLATFORM)));
        if servers.is_empty() || own {
            let sight = self.sight(network);
            return self.seen(sight, name, mode, network, None, missing);
        }
        self.by_own_servers(name, mode, network, &servers, missing)
    }

    fn name(&self, mode: Mode) -> Name {
        let cluster = self.cluster;
        let is = |name: Option<&String>| {
            name.is_some_and(|name| !name.is_empty() && name.trim_end_matches('.').eq_ignore_ascii_case(self.host))
        };
        let private = matches!(mode, Mode::PrivateLink | Mode::PrivateWithVnetIntegration);
        if let Ok(address) = self.host.parse() {
            return Name::Address(address);
        }
        let unpublished = private && cluster.access().enable_private_cluster_public_fqdn == Some(false);
        if is(cluster.fqdn.as_ref()) && !is(cluster.private_fqdn.as_ref()) {
            return if unpublished { Name::NoSuchPublic } else { Name::Public };
        }
        if is(cluster.private_fqdn.as_ref()) {
            // Without a zone of its own there is only the public name, whatever it is called.
            let no_zone =
                cluster.access().private_dns_zone.as_deref().is_some_and(|zone| zone.eq_ignore_ascii_case("none"));
            return if no_zone { Name::Public } else { Name::Private };
        }
        if is(cluster.azure_portal_fqdn.as_ref()) {
            return Name::Portal;
        }
        if self.host.is_empty() {
            return if private && cluster.private_fqdn.is_some() { Name::Private } else { Name::Public };
        }
        // The label that AKS gave the cluster, under the domain of public names.
        let label = |name: Option<&String>| name.and_then(|name| name.split('.').next()).map(str::to_ascii_lowercase);
        let own_label = label(cluster.private_fqdn.as_ref());
        let public_domain = self.host.split('.').nth(1) == Some("hcp");
        if unpublished && public_domain && own_label.is_some() && own_label.as_deref() == self.host.split('.').next() {
            return Name::NoSuchPublic;
        }
        Name::Other
    }

    /// Whether what is dialled is known to be none of the cluster's names, nor one of its private addresses.
    pub(super) fn is_of_another(&self, mode: Mode) -> bool {
        match self.name(mode) {
            Name::Other => true,
            Name::Address(address) => {
                let known = self.all_private_addresses();
                let own = known.contains(&address) || self.recorded().contains(&address);
                !own && (!known.is_empty() || !self.network.is_in_a_network(address))
            }
            _ => false,
        }
    }

    /// The servers that a network hands out; `None` when the facts do not hold the network.
    fn servers_of(&self, network: &ArmId) -> Option<Vec<String>> {
        let known = self.facts.azure.virtual_networks.iter().flatten().find(|one| one.id == *network)?;
        Some(known.dhcp_options.dns_servers.to_vec())
    }

    /// At a standpoint that is in no network of the facts.
    fn outside(&self, name: Name, mode: Mode, place: &Place) -> ExpectedAnswer {
        match (name, place) {
            (Name::Public, _) => self.public_answer(mode),
            (_, Place::Internet) => expected(
                AddressClass::None,
                Vec::new(),
                "the name stands in a private zone only: public DNS does not have it",
                None,
            ),
            (_, Place::OutsideAddress) => unknown(
                "whether the resolver there forwards to a network that sees the private zone is not known".to_owned(),
                None,
            ),
            _ => unknown("where the client is, is not known".to_owned(), None),
        }
    }

    /// What public DNS answers for the public name.
    fn public_answer(&self, mode: Mode) -> ExpectedAnswer {
        if matches!(mode, Mode::PrivateLink | Mode::PrivateWithVnetIntegration) {
            let because = "the public name of a private cluster gives its private addresses everywhere";
            return expected(AddressClass::Private, private_addresses(self.facts, self.network), because, None);
        }
        let public = |one: &&IpAddr| self.classes.of(**one) == AddressClass::Public;
        let mut known: Vec<IpAddr> = self.endpoint_addresses.iter().filter(public).copied().collect();
        known.sort_unstable();
        known.dedup();
        expected(AddressClass::Public, known, "the cluster has a public endpoint: its name is in public DNS", None)
    }

    /// What the resolver of a network sees, as an answer. `server`: it is a server there that decides, not the client's
    /// own network.
    fn seen(
        &self,
        sight: Sight,
        name: Name,
        mode: Mode,
        network: &ArmId,
        server: Option<IpAddr>,
        missing: &mut Vec<Missing>,
    ) -> ExpectedAnswer {
        match sight {
            Sight::Recorded(zone, addresses) => self.recorded_answer(zone, addresses, network),
            Sight::Denied(obstacle) => {
                let because = obstacle_words(&obstacle);
                expected(AddressClass::None, Vec::new(), &because, Some(obstacle))
            }
            // A public name is only ever hidden by a zone that somebody made for it.
            Sight::Public | Sight::Unknown(_) if name == Name::Public => self.public_answer(mode),
            Sight::Public => match self.zone() {
                Some(zone) => {
                    let obstacle = ZoneObstacle::NotLinked { zone, network: network.clone(), server };
                    let because = obstacle_words(&obstacle);
                    expected(AddressClass::None, Vec::new(), &because, Some(obstacle))
                }
                None => {
                    let what = format!("the private zone of {}", self.host);
                    let because = format!("{what} is not in the facts");
                    missing.push(Missing { what, decided_by: ZONES.to_owned() });
                    unknown(because, None)
                }
            },
            Sight::Unknown(what) => {
                let because = format!("the facts do not hold {}", what.what);
                missing.push(what);
                unknown(because, None)
            }
        }
    }

    fn recorded_answer(&self, zone: ArmId, addresses: Vec<IpAddr>, network: &ArmId) -> ExpectedAnswer {
        let endpoint = self.all_private_addresses();
        let class = self.classes.of_all(&addresses);
        // Nothing is known to be wrong as long as the endpoint's addresses are not known.
        if !endpoint.is_empty() && !addresses.iter().any(|one| endpoint.contains(one)) && self.cluster.is_private() {
            let because =
                format!("{} says {}, but the API server has {}", zone.name(), listed(&addresses), listed(&endpoint));
            let obstacle = ZoneObstacle::RecordDiffers { zone, recorded: addresses.clone(), endpoint };
            return expected(class, addresses, &because, Some(obstacle));
        }
        expected(class, addresses, &format!("{} has the name and is linked to {}", zone.name(), network.name()), None)
    }

    /// The network names servers of its own.
    fn by_own_servers(
        &self,
        name: Name,
        mode: Mode,
        network: &ArmId,
        servers: &[String],
        missing: &mut Vec<Missing>,
    ) -> ExpectedAnswer {
        let shown = || servers.iter().take(MOST_SERVERS).cloned().collect::<Vec<String>>().join(", ");
        if name == Name::Public {
            // Every resolver of the internet's names knows it.
            return self.public_answer(mode);
        }
        // A server inside a network asks Azure's resolver there, if it asks any.
        for server in servers.iter().filter_map(|server| server.parse::<IpAddr>().ok()) {
            let Some(home) = self.network.network_holding(server) else { continue };
            match self.sight(home) {
                Sight::Recorded(..) => {}
                Sight::Public => {
                    if let Some(zone) = self.zone() {
                        let obstacle = ZoneObstacle::NotLinked { zone, network: home.clone(), server: Some(server) };
                        return unknown(obstacle_words(&obstacle), Some(obstacle));
                    }
                }
                Sight::Denied(obstacle) => return unknown(obstacle_words(&obstacle), Some(obstacle)),
                Sight::Unknown(what) => missing.push(what),
            }
        }
        let because =
            format!("{} names DNS servers of its own ({}), which may forward or not", network.name(), shown());
        let obstacle = ZoneObstacle::CustomServers { network: network.clone(), servers: servers.to_vec() };
        unknown(because, Some(obstacle))
    }

    /// What Azure's own resolver in a network answers for the host: the linked zone with the longest fitting name decides.
    fn sight(&self, network: &ArmId) -> Sight {
        let linked = self.links().filter(|link| link.virtual_network.as_ref().is_some_and(|one| one.id == *network));
        let fitting = linked.filter_map(|link| {
            let zone = link.id.parent()?;
            within(self.host, zone.name()).then_some((zone, link))
        });
        let Some((zone, link)) = fitting.max_by_key(|(zone, _)| zone.name().len()) else {
            return match self.lacks(Kind::PrivateDnsZoneLink) {
                // The link of the zone itself is what matters; of a zone that was not asked for there is none.
                Some(missing) => Sight::Unknown(missing),
                // Those of other zones were written, and none of its own: as likely nobody asked for them.
                None if self
                    .zone()
                    .is_some_and(|own| !self.links().any(|link| link.id.parent().as_ref() == Some(&own)))
                    && self.links().next().is_some() =>
                {
                    Sight::Unknown(Missing {
                        what: "which networks the cluster's own private zone is linked to".to_owned(),
                        decided_by: LINKS.to_owned(),
                    })
                }
                None => Sight::Public,
            };
        };
        if let Some(state) =
            link.virtual_network_link_state.as_deref().filter(|state| !state.eq_ignore_ascii_case("Completed"))
        {
            return Sight::Unknown(Missing {
                what: format!("whether the link of {} to {} is in effect: it is {state}", zone.name(), network.name()),
                decided_by: LINKS.to_owned(),
            });
        }
        let of_zone = |set: &&PrivateDnsRecordSet| set.id.parent().as_ref() == Some(&zone);
        let sets: Vec<&PrivateDnsRecordSet> =
            self.facts.azure.private_dns_records.iter().flatten().filter(of_zone).collect();
        let label = label_in(self.host, zone.name());
        let own = sets.iter().find(|set| name_in_zone(set).eq_ignore_ascii_case(label));
        let found = own.or_else(|| sets.iter().find(|set| is_wildcard_of(name_in_zone(set), label)));
        match found {
            Some(set) if !set.a_records.is_empty() => {
                let mut addresses: Vec<IpAddr> =
                    set.a_records.iter().filter_map(|record| record.ipv4_address).collect();
                addresses.sort_unstable();
                addresses.dedup();
                Sight::Recorded(zone, addresses)
            }
            Some(_) => Sight::Unknown(Missing {
                what: format!("where the record of {} in {} leads: it is no address", self.host, zone.name()),
                decided_by: "a probe from there".to_owned(),
            }),
            // Records of other zones were written, and none of the cluster's own: as likely nobody asked.
            None if sets.is_empty()
                && self.zone().is_some_and(|own| own == zone)
                && self.facts.azure.private_dns_records.iter().flatten().next().is_some() =>
            {
                Sight::Unknown(Missing {
                    what: format!("the records of {}", zone.name()),
                    decided_by: RECORDS.to_owned(),
                })
            }
            None => {
                if let Some(missing) = self.lacks(Kind::PrivateDnsRecordSet) {
                    return Sight::Unknown(missing);
                }
                // <https://learn.microsoft.com/azure/dns/private-dns-fallback>
                let falls_back = link
                    .resolution_policy
                    .as_deref()
                    .is_some_and(|policy| policy.eq_ignore_ascii_case("NxDomainRedirect"));
                if self.zone().is_some_and(|own| own == zone) {
                    return Sight::Denied(ZoneObstacle::RecordMissing { zone });
                }
                if falls_back && !self.is_private_name() {
                    return Sight::Public;
                }
                Sight::Denied(ZoneObstacle::Shadowed { zone, link: link.id.clone(), network: network.clone() })
            }
        }
    }

    fn is_private_name(&self) -> bool {
        self.cluster
            .private_fqdn
            .as_deref()
            .is_some_and(|name| name.trim_end_matches('.').eq_ignore_ascii_case(self.host))
    }

    fn links(&self) -> impl Iterator<Item = &'f PrivateDnsZoneLink> {
        self.facts.azure.private_dns_zone_links.iter().flatten()
    }

    /// The zone in which AKS writes the cluster's private name: the user's, or the one that it made beside the nodes.
    fn zone(&self) -> Option<ArmId> {
        let access = self.cluster.access();
        let written = access.private_dns_zone.as_deref().unwrap_or_default();
        if written.starts_with('/') {
            return Some(ArmId::new(written));
        }
        if written.eq_ignore_ascii_case("none") {
            return None;
        }
        let name = self.cluster.private_fqdn.as_deref().unwrap_or(self.host).trim_end_matches('.');
        let zones = self.facts.azure.private_dns_zones.iter().flatten().map(|zone| zone.id.clone());
        let linked = self.links().filter_map(|link| link.id.parent());
        let mut fitting: Vec<ArmId> = zones
            .chain(linked)
            .filter(|id| super::is_node_resource(self.facts, id) && within(name, id.name()))
            .collect();
        fitting.sort_by_key(|id| std::cmp::Reverse(id.name().len()));
        fitting.into_iter().next()
    }

    /// What the zone's record says, wherever the client is.
    pub(super) fn recorded(&self) -> Vec<IpAddr> {
        let Some(zone) = self.zone() else { return Vec::new() };
        let name = self.cluster.private_fqdn.as_deref().unwrap_or(self.host).trim_end_matches('.');
        let label = label_in(name, zone.name());
        let sets = self.facts.azure.private_dns_records.iter().flatten();
        let own =
            sets.filter(|set| set.id.parent().as_ref() == Some(&zone) && name_in_zone(set).eq_ignore_ascii_case(label));
        own.flat_map(|set| &set.a_records).filter_map(|record| record.ipv4_address).collect()
    }

    /// The API server's own private addresses, and those of further private endpoints that lead to it.
    fn all_private_addresses(&self) -> Vec<IpAddr> {
        let mut all = private_addresses(self.facts, self.network);
        if all.is_empty() {
            return all;
        }
        let endpoints = self.facts.azure.private_endpoints.iter().flatten();
        let further = endpoints.filter(|one| super::leads_here(self.facts, one));
        all.extend(further.flat_map(|one| self.network.addresses_of_endpoint(&one.id)));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What is missing before one may say that something of this kind is not there.
    fn lacks(&self, kind: Kind) -> Option<Missing> {
        let (what, decided_by) = match kind {
            Kind::PrivateDnsZoneLink => ("which networks the private zones are linked to", LINKS),
            Kind::PrivateDnsRecordSet => ("the records of the private zones", RECORDS),
            _ => ("the private zones", ZONES),
        };
        let missing = || Missing { what: what.to_owned(), decided_by: decided_by.to_owned() };
        (!self.facts.azure_lists(kind)).then(missing)
    }
}

/// What keeps the answer away, in words.
fn obstacle_words(obstacle: &ZoneObstacle) -> String {
    match obstacle {
        ZoneObstacle::NotLinked { zone, network, server: None } => {
            format!("the zone {} is not linked to {}", zone.name(), network.name())
        }
        ZoneObstacle::NotLinked { zone, network, server: Some(server) } => {
            format!(
                "the zone {} is not linked to {}, the network of the DNS server {server}",
                zone.name(),
                network.name()
            )
        }
        ZoneObstacle::Shadowed { zone, network, .. } => {
            format!("the zone {}, which is linked to {}, does not have the name", zone.name(), network.name())
        }
        ZoneObstacle::RecordMissing { zone } => format!("the zone {} has no record of the name", zone.name()),
        ZoneObstacle::RecordDiffers { zone, .. } => format!("the record in {} is another address", zone.name()),
        ZoneObstacle::CustomServers { network, .. } => format!("{} names DNS servers of its own", network.name()),
        ZoneObstacle::NotPublished => "the name is not published".to_owned(),
    }
}

fn expected(
    class: AddressClass,
    addresses: Vec<IpAddr>,
    because: &str,
    obstacle: Option<ZoneObstacle>,
) -> ExpectedAnswer {
    ExpectedAnswer { class: Some(class), addresses, because: because.to_owned(), obstacle }
}

const fn unknown(because: String, obstacle: Option<ZoneObstacle>) -> ExpectedAnswer {
    ExpectedAnswer { class: None, addresses: Vec::new(), because, obstacle }
}

/// Whether a name is a zone's or stands below it.
fn within(name: &str, zone: &str) -> bool {
    let zone = zone.trim_end_matches('.');
    let Some(place) = name.len().checked_sub(zone.len()) else { return false };
    let (Some(label), Some(end)) = (name.get(..place), name.get(place..)) else { return false };
    !zone.is_empty() && end.eq_ignore_ascii_case(zone) && (label.is_empty() || label.ends_with('.'))
}

/// The part of a name that stands before its zone; `@` for the zone itself.
fn label_in<'n>(name: &'n str, zone: &str) -> &'n str {
    let place = name.len().saturating_sub(zone.trim_end_matches('.').len());
    match name.get(..place).map(|label| label.trim_end_matches('.')) {
        Some("") | None => "@",
        Some(label) => label,
    }
}

/// `*` stands for every name below, `*.a` for those below `a`.
fn is_wildcard_of(record: &str, label: &str) -> bool {
    match record.strip_prefix('*') {
        Some("") => label != "@",
        Some(rest) => label.len() > rest.len() && label.to_ascii_lowercase().ends_with(&rest.to_ascii_lowercase()),
        None => false,
    }
}

/// The name of a record set within its zone.
fn name_in_zone(set: &PrivateDnsRecordSet) -> &str {
    if set.name.is_empty() { set.id.name() } else { &set.name }
}

const MOST_SERVERS: usize = 4;
const ZONES: &str = "network/private-dns-zones.json (Microsoft.Network/privateDnsZones/read)";
const LINKS: &str = "network/private-dns-zone-links.json (Microsoft.Network/privateDnsZones/virtualNetworkLinks/read)";
const RECORDS: &str = "network/private-dns-records.json (Microsoft.Network/privateDnsZones/ALL/read)";
