//! By which address others see a vantage, beside what is declared and configured of it: shared by the causes of every
//! public endpoint.
//!
//! What an echo server says is evidence with a limit: it may stand on another path than the API server. Nothing here is
//! therefore ever certain.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    CellView, Configured, Told, aks, eks,
    evidence::{clean, listed, speaks_of_the_cluster},
    lookups,
    shown::{Lost, Shown, shown_of_class},
};
use crate::{
    model::{EgressBy, Outlook, PublicPath, aks as aks_model, eks as eks_model, set::AddressSet},
    report::{Confidence, Severity},
};

/// `net-egress-address-not-as-declared`.
pub(super) fn not_as_declared(view: &CellView<'_>) -> Option<Told> {
    if !speaks_of_the_cluster(view) {
        return None;
    }
    let seen = seen(view);
    let wrong: Vec<&Sighting<'_>> = seen
        .iter()
        .filter(|one| {
            expected(view, one.address).is_some_and(|(nets, _)| !nets.iter().any(|net| net.contains(&one.address)))
        })
        .collect();
    match wrong.first() {
        Some(first) => Some(another(view, &wrong, first)),
        None => several(view, &seen),
    }
}

/// `egress address 203.0.113.9 (observed by https://echo.example.com/ip)`, for the last sentence of every finding.
pub(super) fn seen_words(view: &CellView<'_>) -> Option<String> {
    let seen = seen(view);
    let first = seen.first()?;
    let addresses = listed(seen.iter().map(|one| one.address.to_string()));
    let noun = if seen.len() == 1 { "address" } else { "addresses" };
    Some(format!("egress {noun} {addresses} (observed by {})", first.who()))
}

/// By which address the far side may see this vantage, or that nobody could tell, as a sentence; `None` where nobody was
/// asked and nothing is declared.
pub(super) fn sentence(view: &CellView<'_>) -> Option<String> {
    let vantage = clean(view.vantage);
    let seen = seen(view);
    match seen.first() {
        Some(first) => {
            let addresses = listed(seen.iter().map(|one| one.address.to_string()));
            Some(format!(
                "{vantage} is seen as {addresses} (observed by {}): that is what an allow-list must hold",
                first.who()
            ))
        }
        None if !view.declared_egress.is_empty() => {
            let declared = listed(view.declared_egress.iter().map(ToString::to_string));
            Some(format!("{vantage} should be seen as {declared}, as the scenario declares; nobody was asked"))
                .filter(|_| view.observation.egress.is_empty())
                .or_else(|| failures(view).into_iter().next())
        }
        None => failures(view).into_iter().next(),
    }
}

/// Why echo servers told no address, a sentence each.
pub(super) fn failures(view: &CellView<'_>) -> Vec<String> {
    let silent = view.observation.egress.iter().filter(|one| one.address.is_none());
    silent
        .take(MOST_FAILURES)
        .map(|one| {
            let why = one.detail.as_deref().map(|why| format!(" ({})", clean(why))).unwrap_or_default();
            format!("the echo server {} was asked and told no address{why}", clean(&one.server))
        })
        .collect()
}

/// What a list has to hold for this vantage to be let in: the addresses that are seen of the families of those that it
/// lacks, else those that it lacks, as they are declared.
pub(super) fn to_admit(view: &CellView<'_>, unlisted: &[IpAddr]) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = Vec::new();
    let seen = seen(view);
    for address in unlisted {
        let family = |other: &IpAddr| other.is_ipv4() == address.is_ipv4();
        let of_family: Vec<IpAddr> = seen.iter().map(|one| one.address).filter(family).collect();
        let declared = view.declared_egress.iter().find(|net| net.contains(address));
        match (of_family.as_slice(), declared) {
            ([], Some(declared)) => nets.push(*declared),
            ([], None) => nets.push(IpNet::from(*address)),
            // Where NAT is modelled and one of several addresses lacks, that one is what lacks.
            (seen, _) if seen.contains(address) => nets.push(IpNet::from(*address)),
            (seen, _) => {
                nets.extend(seen.iter().filter(|one| admits(view, **one) != Some(true)).map(|one| IpNet::from(*one)));
            }
        }
    }
    nets.sort_unstable();
    nets.dedup();
    if nets.is_empty() { unlisted.iter().map(|address| IpNet::from(*address)).collect() } else { nets }
}

/// Adds who says by which address the vantage is seen, to a cause that rests on it; what only an echo server says makes
/// nothing certain.
pub(super) fn says_who(view: &CellView<'_>, configured: &Configured<'_>, unlisted: &[IpAddr], mut told: Told) -> Told {
    let vantage = clean(view.vantage);
    let stands_on = |one: &IpNet| unlisted.iter().any(|address| one.contains(address));
    // In a network of the facts its NAT is what says so.
    let rests = configured.standpoint.egress.iter().any(stands_on) && !configured.stands_in_a_network();
    match &configured.standpoint.egress_by {
        Some(EgressBy::Observed { servers }) if rests => {
            told = told.and(format!("that {vantage} is seen so was observed by {}", servers_listed(servers)));
            told.confidence = told.confidence.max(Some(Confidence::Likely));
        }
        Some(EgressBy::Declared { seen_by }) if rests => {
            told = told.and(if seen_by.is_empty() {
                format!("that {vantage} is seen so is what vantages.{vantage}.egress.addresses declares")
            } else {
                format!("that {vantage} is seen so is declared, and observed by {}", servers_listed(seen_by))
            });
        }
        _ => {}
    }
    let strangers: Vec<Sighting<'_>> = seen(view)
        .into_iter()
        .filter(|one| {
            expected(view, one.address).is_some_and(|(nets, _)| !nets.iter().any(|net| net.contains(&one.address)))
        })
        .collect();
    if let Some(first) = strangers.first() {
        let addresses = listed(strangers.iter().map(|one| one.address.to_string()));
        told = told.and(format!(
            "yet {} {vantage} as {addresses}: that is what the list must hold (net-egress-address-not-as-declared)",
            first.who_sees()
        ));
        told.confidence = told.confidence.max(Some(Confidence::Likely));
    }
    told
}

/// A public address that echo servers see.
struct Sighting<'a> {
    address: IpAddr,
    servers: Vec<&'a str>,
}

impl Sighting<'_> {
    fn who(&self) -> String {
        listed(self.servers.iter().map(|server| clean(server)))
    }

    /// `stun://192.0.2.53:3478 sees`, `http://…, stun://… see`.
    fn who_sees(&self) -> String {
        format!("{} {}", self.who(), if self.servers.len() == 1 { "sees" } else { "see" })
    }
}

/// The public addresses that echo servers see, in the order told.
fn seen<'a>(view: &CellView<'a>) -> Vec<Sighting<'a>> {
    let classes = AddressClasses::default();
    let mut seen: Vec<Sighting<'a>> = Vec::new();
    for one in &view.observation.egress {
        let Some(address) = one.address.filter(|address| classes.of(*address) == AddressClass::Public) else {
            continue;
        };
        match seen.iter_mut().find(|known| known.address == address) {
            Some(known) if known.servers.contains(&one.server.as_str()) => {}
            Some(known) => known.servers.push(&one.server),
            None => seen.push(Sighting { address, servers: vec![&one.server] }),
        }
    }
    seen
}

/// What an address of this family is compared with, and who says that it should be so; `None` where nobody does.
fn expected(view: &CellView<'_>, address: IpAddr) -> Option<(Vec<IpNet>, String)> {
    let family = |net: &IpNet| net.addr().is_ipv4() == address.is_ipv4();
    let declared: Vec<IpNet> = view.declared_egress.iter().copied().filter(family).collect();
    if !declared.is_empty() {
        return Some((declared, format!("vantages.{}.egress.addresses declares", clean(view.vantage))));
    }
    let configured = view.configuration.filter(Configured::stands_in_a_network)?;
    let modelled: Vec<IpNet> = modelled(configured.outlook?).into_iter().map(IpNet::from).filter(family).collect();
    (!modelled.is_empty()).then(|| (modelled, "the provider's configuration shows".to_owned()))
}

/// The addresses that the network of the facts sends its hosts' packets with.
fn modelled(outlook: &Outlook) -> Vec<IpAddr> {
    let public = match outlook {
        Outlook::Eks(prediction) => &prediction.public,
        Outlook::Aks(prediction) => &prediction.public,
        Outlook::EksApi(_) => return Vec::new(),
    };
    match public {
        PublicPath::Listed { egress, .. } => vec![*egress],
        PublicPath::NotListed { egress }
        | PublicPath::OutboundOnly { egress }
        | PublicPath::TagNotKnown { egress, .. } => egress.clone(),
        PublicPath::PartlyListed { listed, unlisted } => [listed.as_slice(), unlisted].concat(),
        _ => Vec::new(),
    }
}

/// What the public list of the configuration holds; `None` where that is not known.
fn admitted(view: &CellView<'_>) -> Option<AddressSet> {
    let facts = view.configuration?.facts;
    match (&facts.managed_cluster, &facts.cluster) {
        (Some(cluster), _) => Some(aks_model::admitted(cluster)),
        (None, Some(cluster)) => eks_model::admitted(cluster),
        (None, None) => None,
    }
}

/// Whether the public list of the configuration holds the address; `None` where that is not known.
fn admits(view: &CellView<'_>, address: IpAddr) -> Option<bool> {
    Some(admitted(view)?.contains(address))
}

/// The vantage is seen as somebody else than it should be.
fn another(view: &CellView<'_>, wrong: &[&Sighting<'_>], first: &Sighting<'_>) -> Told {
    let vantage = clean(view.vantage);
    let (nets, says) = expected(view, first.address).unwrap_or_default();
    let should = listed(nets.iter().map(ToString::to_string));
    let is = listed(wrong.iter().map(|one| one.address.to_string()));
    // Of a wider range the vantage may have any address: held in part says nothing of it.
    let expected_set = AddressSet::from_nets(&nets);
    let list = admitted(view);
    let listed_as_declared = list.as_ref().is_some_and(|list| list.is_superset(&expected_set));
    let shut_out = wrong.iter().all(|one| admits(view, one.address) == Some(false));
    let root = listed_as_declared && shut_out;
    let mut told = Told::new(
        if root { Confidence::Likely } else { Confidence::Possible },
        format!("{} {vantage} as {is}, and {says} {should}", first.who_sees()),
    );
    if root {
        told = told.and(format!("the list of the public endpoint holds {should}, and not {is}"));
    } else if list.is_some_and(|list| !list.overlaps(&expected_set)) {
        let other = wrong.iter().find(|one| admits(view, one.address) == Some(true));
        told.evidence.extend(
            other.map(|one| format!("the list of the public endpoint holds {}, and not {should}", one.address)),
        );
    }
    told = told
        .and("rival: the echo server is on another path than the API server, which then sees another address still")
        .setting(format!("vantages.{vantage}.egress.addresses = {should}"));
    let seen: Vec<IpNet> = wrong.iter().map(|one| IpNet::from(one.address)).collect();
    let pin = format!("# Pin what {vantage} leaves by to {should} (a static NAT address)");
    let fix = match admit(view, &seen) {
        Some(command) if shut_out => format!("{pin}, or let in what is seen:\n{command}"),
        _ => format!(
            "{pin}, or declare what is seen:\n# vantages: {{ {vantage}: {{ egress: {{ addresses: [{}] }} }} }}",
            listed(seen.iter().map(ToString::to_string))
        ),
    };
    told = told.fix(fix);
    if explains(view) { told } else { told.severity(Severity::Warning) }
}

/// Several addresses take turns, and nobody says that they should.
fn several(view: &CellView<'_>, seen: &[Sighting<'_>]) -> Option<Told> {
    let first = seen.iter().find(|one| {
        let family = |other: &&Sighting<'_>| other.address.is_ipv4() == one.address.is_ipv4();
        expected(view, one.address).is_none() && seen.iter().filter(family).count() > 1
    })?;
    let vantage = clean(view.vantage);
    let family: Vec<&Sighting<'_>> =
        seen.iter().filter(|one| one.address.is_ipv4() == first.address.is_ipv4()).collect();
    let addresses = listed(family.iter().map(|one| one.address.to_string()));
    let mut servers: Vec<&str> = family.iter().flat_map(|one| one.servers.iter().copied()).collect();
    servers.sort_unstable();
    servers.dedup();
    let told = Told::new(
        Confidence::Possible,
        format!("{vantage} is seen as {addresses}, by {}", listed(servers.iter().map(|server| clean(server)))),
    )
    .and("connections leave by several addresses in turn: a list must hold all of them")
    .and("rival: the servers are on different paths")
    .setting(format!("vantages.{vantage}.egress.addresses"))
    .fix(format!(
        "# Pin what {vantage} leaves by to one static NAT address, or list all of them:\n# vantages: {{ {vantage}: {{ egress: {{ addresses: [{}] }} }} }}",
        family.iter().map(|one| IpNet::from(one.address).to_string()).collect::<Vec<_>>().join(", ")
    ));
    Some(if explains(view) { told } else { told.severity(Severity::Info) })
}

/// Whether what is wrong in this cell may follow from the address: the public path is silent, in part or in turns, or does
/// not do what the configuration says.
fn explains(view: &CellView<'_>) -> bool {
    let Some(shown) = shown_of_class(view, AddressClass::Public, Lost::Dropped) else { return false };
    matches!(shown, Shown::Silence(_))
        || view.is_contradicted()
        || view.circumstances.unstable
        || (matches!(shown, Shown::Answer) && lookups::is_partial(view))
}

/// The command that lets these addresses in.
fn admit(view: &CellView<'_>, addresses: &[IpNet]) -> Option<String> {
    eks::public::admit(view, addresses).or_else(|| aks::public::admit(view, addresses))
}

fn servers_listed(servers: &[String]) -> String {
    listed(servers.iter().map(|server| clean(server)))
}

const MOST_FAILURES: usize = 3;

#[cfg(test)]
mod tests {
    use kubereach_probes::EgressObservation;
    use serde_json::json;

    use super::{
        super::{testing::*, testing_facts::Case},
        *,
    };
    use crate::report::{Reachability, Verdict};

    const CODE: &str = "net-egress-address-not-as-declared";

    fn says(server: &str, address: Option<&str>) -> EgressObservation {
        EgressObservation {
            server: server.to_owned(),
            asked: None,
            address: address.map(super::super::testing::address),
            ms: 1.0,
            detail: address.is_none().then(|| "tcp refused".to_owned()),
        }
    }

    /// A vantage that declares these, and is seen as those; the public endpoint is silent, or answers.
    fn scene(declared: &[&str], seen: &[&str], answers: bool) -> Scene {
        let attempt = if answers { reached("198.51.100.20") } else { silent("198.51.100.20") };
        Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![attempt]).with(|scene| {
            scene.declared_egress = declared.iter().map(|net| net.parse().unwrap()).collect();
            scene.observation.egress = seen.iter().map(|one| says("stun://192.0.2.1:3478", Some(one))).collect();
            if answers {
                scene.verdict = Verdict::Match;
            }
        })
    }

    #[test]
    fn the_declared_address_is_listed_and_the_one_that_is_seen_is_not() {
        for (case, host) in
            [(Case::new(json!({})), "api.prod.example.com"), (Case::aks(json!({})), "api.prod.example.com")]
        {
            let case = case.from("192.168.7.7").seen_as(&["203.0.113.7/32"], true);
            let scene = scene(&["203.0.113.7/32"], &["192.0.2.7"], false).with(|scene| scene.host = host);
            let finding = case.finding(&scene, CODE).unwrap();
            assert_eq!(finding.confidence, Confidence::Likely);
            let said = finding.evidence.join("\n");
            assert!(said.contains("stun://192.0.2.1:3478 sees laptop as 192.0.2.7"), "{said}");
            assert!(said.contains("holds 203.0.113.7/32, and not 192.0.2.7"), "{said}");
            assert!(said.contains("egress address 192.0.2.7 (observed by stun://192.0.2.1:3478)"), "{said}");
            assert!(finding.fix.unwrap().contains("192.0.2.7/32"));
            assert_eq!(case.errors(&scene), [CODE]);
        }
    }

    #[test]
    fn without_facts_it_is_one_reading_of_several() {
        let scene = scene(&["203.0.113.7/32"], &["192.0.2.7"], false);
        assert_eq!(scene.finding(CODE).unwrap().confidence, Confidence::Possible);
        let errors = scene.errors();
        assert!(
            errors.contains(&"net-filtered-silently".to_owned()) && errors.contains(&CODE.to_owned()),
            "{errors:?}"
        );
        let said = scene.finding("net-filtered-silently").unwrap().evidence.join("\n");
        assert!(said.contains("laptop is seen as 192.0.2.7 (observed by stun://192.0.2.1:3478)"), "{said}");
    }

    #[test]
    fn what_is_seen_as_declared_is_no_cause() {
        for (declared, seen) in [
            (&["203.0.113.0/24"][..], &["203.0.113.7"][..]),
            (&["203.0.113.0/24"], &["203.0.113.7", "203.0.113.8"]),
            // The other family is another path.
            (&["203.0.113.7/32"], &["2001:db8::7"]),
            (&["203.0.113.7/32"], &[]),
            (&[], &["203.0.113.7"]),
            // Not seen from the internet.
            (&["203.0.113.7/32"], &["10.0.0.7"]),
        ] {
            assert!(scene(declared, seen, false).finding(CODE).is_none(), "{declared:?} {seen:?}");
        }
        let mut liar = scene(&["203.0.113.7/32"], &[], false);
        liar.observation.egress = vec![says("http://192.0.2.1/", None)];
        assert!(liar.finding(CODE).is_none());
        let said = liar.finding("net-filtered-silently").unwrap().evidence.join("\n");
        assert!(said.contains("http://192.0.2.1/ was asked and told no address (tcp refused)"), "{said}");
    }

    #[test]
    fn where_it_works_all_the_same_it_is_a_warning() {
        let finding = scene(&["203.0.113.7/32"], &["192.0.2.7"], true).finding(CODE).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        let finding = scene(&[], &["192.0.2.7", "192.0.2.8"], true).finding(CODE).unwrap();
        assert_eq!(finding.severity, Severity::Info);
    }

    #[test]
    fn several_addresses_in_turn_are_named() {
        let case = Case::new(json!({})).from("192.168.7.7").seen_as(&["203.0.113.7/32", "192.0.2.7/32"], false);
        let scene = scene(&[], &["203.0.113.7", "192.0.2.7"], false);
        let finding = case.finding(&scene, CODE).unwrap();
        assert_eq!((finding.severity, finding.confidence), (Severity::Error, Confidence::Possible));
        let list = case.finding(&scene, "eks-client-not-in-public-access-cidrs").unwrap();
        assert!(list.fix.unwrap().contains(r#"["203.0.113.0/24","192.0.2.7/32"]"#));
    }

    #[test]
    fn let_in_as_somebody_else_is_explained() {
        let case = Case::new(json!({})).from("192.168.7.7").seen_as(&["192.0.2.7/32"], true);
        let scene = scene(&["192.0.2.7/32"], &["203.0.113.7"], true).with(|scene| scene.verdict = Verdict::Mismatch);
        assert_eq!(case.errors(&scene), [CODE]);
        let said = case.finding(&scene, CODE).unwrap().evidence.join("\n");
        assert!(said.contains("holds 203.0.113.7, and not 192.0.2.7/32"), "{said}");
    }

    #[test]
    fn what_an_echo_server_alone_says_makes_nothing_certain() {
        let scene = scene(&[], &["192.0.2.7"], false);
        for (declared, confidence) in [(false, Confidence::Likely), (true, Confidence::Certain)] {
            let case = Case::new(json!({})).from("192.168.7.7").seen_as(&["192.0.2.7/32"], declared);
            let finding = case.finding(&scene, "eks-client-not-in-public-access-cidrs").unwrap();
            assert_eq!(finding.confidence, confidence);
        }
        // A range that is half listed is neither.
        let case = Case::new(json!({})).from("192.168.7.7").seen_as(&["203.0.112.0/23"], true);
        let configured = case.look(&scene, |view| view.configured);
        assert_eq!(configured, Reachability::Unknown);
    }

    #[test]
    fn a_declared_range_that_is_listed_in_part_is_not_listed() {
        let scene = scene(&["11.5.0.0/24"], &["11.77.0.9"], false);
        for (cidrs, confidence) in [
            (json!(["11.5.0.0/26", "11.5.0.192/26"]), Confidence::Possible),
            (json!(["11.5.0.0/25", "11.5.0.128/25"]), Confidence::Likely),
        ] {
            let config = json!({ "resourcesVpcConfig": { "publicAccessCidrs": cidrs } });
            let case = Case::new(json!({ "eks/describe-cluster.json": { "cluster": config } }));
            let case = case.from("192.168.7.7").seen_as(&["11.5.0.0/24"], true);
            let finding = case.finding(&scene, CODE).unwrap();
            assert_eq!(finding.confidence, confidence, "{finding:?}");
            let said = finding.evidence.join("\n");
            assert_eq!(said.contains("holds 11.5.0.0/24"), confidence == Confidence::Likely, "{said}");
        }
    }

    #[test]
    fn the_list_must_hold_what_is_seen() {
        let case = Case::new(json!({})).from("192.168.7.7").seen_as(&["192.0.2.7/32"], true);
        let scene = scene(&["192.0.2.7/32"], &["192.0.2.99"], false);
        let finding = case.finding(&scene, "eks-client-not-in-public-access-cidrs").unwrap();
        assert_eq!(finding.confidence, Confidence::Likely);
        assert!(finding.fix.as_ref().unwrap().contains(r#"["203.0.113.0/24","192.0.2.99/32"]"#), "{finding:?}");
    }
}
