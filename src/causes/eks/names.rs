//! Causes of the answer: what keeps a client from the private addresses that the configuration means for it.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, DnsObservation, DnsOutcome, TcpOutcome};

use super::sight::{Sight, listed};
use crate::{
    causes::{
        CellView, ConfigurationView, Told,
        configuration::{network, words},
        evidence::{self, clean, shell},
        lookups::{self, answered, from_hosts_file, labelled, lookup_words, system},
    },
    model::{
        eks::{DnsObstacle, Place, control_plane_interfaces},
        trace::HopKind,
    },
    report::{Confidence, Reachability, Severity, Verdict, Via},
};

/// `vpc-dns-support-disabled`.
pub(super) fn support_disabled(view: &CellView<'_>) -> Option<Told> {
    let sight = in_the_vpc(view)?;
    let Some(DnsObstacle::SupportDisabled) = sight.prediction.answer.obstacle else { return None };
    let lookup = labelled(view, VPC).or_else(|| system(view)).filter(|lookup| !from_hosts_file(lookup));
    let confidence = match lookup {
        // Another resolver than the VPC's serves this host.
        _ if system(view).is_some_and(answered) => return None,
        Some(lookup) if !answered(lookup) => Confidence::Certain,
        Some(_) => return None,
        None => Confidence::Likely,
    };
    let told = seen(confidence, lookup, "enableDnsSupport is false: the VPC's own resolver answers for no name");
    Some(mended_by(told, &sight, network::dns_support_disabled))
}

/// `vpc-dns-hostnames-disabled`.
pub(super) fn hostnames_disabled(view: &CellView<'_>) -> Option<Told> {
    let sight = in_the_vpc(view)?;
    let Some(DnsObstacle::HostnamesDisabled) = sight.prediction.answer.obstacle else { return None };
    let lookup = own_answer(view)?;
    let confidence = if lookup.is_some_and(looks_from_outside) { Confidence::Certain } else { Confidence::Likely };
    let told = seen(
        confidence,
        lookup,
        "enableDnsHostnames is false, so the endpoint's private zone is not in effect and the VPC's resolver gives what everybody gets",
    );
    Some(mended_by(told, &sight, network::dns_hostnames_disabled))
}

/// `vpc-dhcp-options-lack-amazon-dns`.
pub(super) fn dhcp_options(view: &CellView<'_>) -> Option<Told> {
    let sight = in_the_vpc(view)?;
    let Some(DnsObstacle::OtherServers { options, servers }) = &sight.prediction.answer.obstacle else { return None };
    let lookup = own_answer(view)?;
    let inside = labelled(view, VPC).filter(|lookup| answered(lookup) && lookup.address_class == AddressClass::Private);
    let confidence = match (lookup, inside) {
        (Some(_), Some(_)) => Confidence::Certain,
        (Some(_), None) => Confidence::Likely,
        (None, _) => Confidence::Possible,
    };
    let told = seen(
        confidence,
        lookup,
        &format!(
            "the DHCP options {} name {} and not AmazonProvidedDNS",
            clean(options),
            words::listed(servers.iter())
        ),
    );
    let told = match inside {
        Some(inside) => told.and(lookup_words(inside)),
        None => told.and("if those servers forwarded the name to the VPC's resolver, hosts would get the private addresses; 169.254.169.253 asked from the same host decides"),
    };
    Some(mended_by(told, &sight, network::dhcp_lacks_amazon_dns))
}

/// `vpc-resolver-config-shadows-endpoint`.
pub(super) fn resolver_shadows(view: &CellView<'_>) -> Option<Told> {
    let sight = in_the_vpc(view)?;
    if sight.prediction.answer.obstacle.is_some() || !private_is_on(&sight) {
        return None;
    }
    let lookup = own_answer(view)?;
    let told = network::resolver_shadows(&sight.configuration()).into_iter().next();
    match (told, lookup) {
        (Some(told), Some(lookup)) => {
            let mut own = seen(Confidence::Certain, Some(lookup), told.evidence.first().map_or("", String::as_str));
            own.evidence.extend(told.evidence.iter().skip(1).cloned());
            own.setting = told.setting;
            own.fix = told.fix;
            Some(own)
        }
        (Some(told), None) => Some(Told { confidence: Some(Confidence::Likely), severity: None, ..told }),
        (None, Some(_)) => {
            let vpc = labelled(view, VPC).filter(|lookup| denies(lookup) || looks_from_outside(lookup))?;
            let resolver = &sight.configured.facts.resolver;
            if resolver.rules.is_some() && resolver.hosted_zones.is_some() {
                return None;
            }
            Some(
                Told::new(Confidence::Possible, lookup_words(vpc))
                    .and("the configuration says: private access is on and the VPC's DNS settings are right")
                    .and("the resolver rules and private zones of the VPC are not in the facts (route53resolver/list-resolver-rule-associations.json, route53/list-hosted-zones-by-vpc.json); one for a parent domain answers like this")
                    .and("rival: the endpoint's own zone is not in effect (`eks-private-zone-not-in-effect`)"),
            )
        }
        (None, None) => None,
    }
}

/// `eks-private-zone-not-in-effect`.
pub(super) fn zone_not_in_effect(view: &CellView<'_>) -> Option<Told> {
    let sight = in_the_vpc(view)?;
    let active = sight.cluster.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("ACTIVE"));
    let right =
        sight.prediction.answer.obstacle.is_none() && sight.prediction.answer.class == Some(AddressClass::Private);
    if !active || !right || !private_is_on(&sight) {
        return None;
    }
    let lookup = own_answer(view)?.filter(|lookup| looks_from_outside(lookup))?;
    if !network::resolver_shadows(&sight.configuration()).is_empty() {
        return None;
    }
    let vpc = labelled(view, VPC).filter(|lookup| answered(lookup));
    let told = seen(
        if vpc.is_some() { Confidence::Likely } else { Confidence::Possible },
        Some(lookup),
        "private access is on, the cluster is ACTIVE, and the VPC's DNS settings are right: a host there should get private addresses",
    );
    Some(match vpc {
        Some(vpc) if vpc.address_class == AddressClass::Private => told
            .and(lookup_words(vpc))
            .and("so the zone is in effect, and this host asks another resolver")
            .setting("the resolver of this host")
            .fix("# Let this host ask the VPC's own resolver:\nresolvectl dns <interface> 169.254.169.253"),
        Some(vpc) => told
            .and(lookup_words(vpc))
            .and("so the VPC's own resolver does not know the zone either; only AWS sees whether it is associated"),
        None => told.and(
            "what 169.254.169.253 says was not asked; if it gives private addresses, this host asks another resolver",
        ),
    })
}

/// Only a gateway of the facts shows that an address outside all VPCs is on a network that is connected.
const fn leads_on_premises(kind: HopKind) -> bool {
    matches!(kind, HopKind::VpnGateway | HopKind::VpnConnection | HopKind::TransitGateway)
}

/// `eks-connected-network-gets-public-answer`.
pub(super) fn connected_network(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let config = sight.config()?;
    if config.endpoint_public_access != Some(true) || config.endpoint_private_access != Some(true) {
        return None;
    }
    let network = match &sight.prediction.place {
        Place::OtherVpc { vpc } => clean(vpc),
        // An address outside that some route of the facts leads to.
        Place::OutsideAddress
            if sight.prediction.private.iter().any(|path| path.trace.hops().any(|hop| leads_on_premises(hop.kind))) =>
        {
            format!("the network of {}", listed(&sight.configured.standpoint.own))
        }
        _ => return None,
    };
    let lookup = system(view).filter(|lookup| !from_hosts_file(lookup));
    let meant = view.intended_via == Some(Via::Private);
    if view.verdict == Verdict::Match || lookup.is_some_and(|lookup| !looks_from_outside(lookup)) {
        return None;
    }
    let confidence = if lookup.is_some() { Confidence::Certain } else { Confidence::Likely };
    let told = seen(
        confidence,
        lookup,
        "public and private access are both on, and the endpoint's private zone covers the cluster's own VPC only",
    )
    .and(format!("{network} is connected to that VPC, and gets what everybody gets, by design"));
    let told = if meant { told } else { told.severity(Severity::Info) };
    let region = sight.region();
    let subnets: Vec<String> =
        config.subnet_ids.iter().take(2).map(|subnet| format!("SubnetId={}", shell(subnet))).collect();
    let groups = config.cluster_security_group_id.as_deref().map_or_else(|| "<sg>".to_owned(), shell);
    let domain = view.host.split_once('.').map_or(view.host, |(_, domain)| domain);
    Some(told.setting("endpointPublicAccess = true, endpointPrivateAccess = true").fix(format!(
        "# Let the other network ask the VPC's resolver: an inbound endpoint there, and {} forwarded to it.\n\
         aws route53resolver create-resolver-endpoint --region {region} --direction INBOUND --creator-request-id kubereach --security-group-ids {groups} --ip-addresses {}\n\
         # or make the cluster private-only, if nobody needs the public endpoint:\n{}",
        clean(domain),
        subnets.join(" "),
        sight.set_mode(Some(false), Some(true))
    )))
}

/// `dns-stale-answer`, where the facts know the addresses that there are.
pub(in crate::causes) fn outdated_private_answer(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let lookup =
        system(view).filter(|lookup| !from_hosts_file(lookup) && lookup.address_class == AddressClass::Private)?;
    let now: Vec<IpAddr> =
        control_plane_interfaces(sight.configured.facts).iter().filter_map(|one| one.private_ip_address).collect();
    let old: Vec<IpAddr> = lookup.addresses.iter().copied().filter(|address| !now.contains(address)).collect();
    let dialled = evidence::direct(view);
    let fails = |address: &IpAddr| {
        dialled.iter().any(|attempt| {
            attempt.address == Some(*address)
                && matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Unreachable | TcpOutcome::Refused)
        })
    };
    if now.is_empty() || old.is_empty() || !old.iter().all(fails) || !evidence::silence_counts(view) {
        return None;
    }
    // Addresses that another resolver gives as well may be new rather than old: then the facts are old.
    let elsewhere = || lookups::others(view).filter(|other| answered(other) && other.resolver != lookups::SYSTEM_DNS);
    let gives_it = |other: &DnsObservation| old.iter().any(|address| other.addresses.contains(address));
    let (confirmed, refuted) = (elsewhere().any(gives_it), elsewhere().any(|other| !gives_it(other)));
    let confidence = match (refuted, confirmed) {
        (true, _) => Confidence::Certain,
        (false, false) => Confidence::Likely,
        (false, true) => Confidence::Possible,
    };
    let told = Told::new(confidence, lookup_words(lookup))
        .and(format!(
            "{} answered nowhere: no API server is at {}",
            if old.len() == 1 { "it" } else { "they" },
            listed(&old)
        ))
        .and(format!("the configuration says: the control plane's interfaces have {}", listed(&now)));
    let told = match elsewhere().next() {
        Some(other) if refuted => told.and(lookup_words(other)),
        _ => told.and("rival: the interfaces were replaced since the facts were read (`net-endpoint-addresses-changed`); facts pulled again decide"),
    };
    Some(told.and("caches inside client processes are invisible to a probe"))
}

/// `net-endpoint-addresses-changed`, where the facts know the addresses that there were: every resolver gives new ones,
/// and they are silent where the configuration is open.
pub(in crate::causes) fn replaced_addresses(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let lookup =
        system(view).filter(|lookup| !from_hosts_file(lookup) && lookup.address_class == AddressClass::Private)?;
    let before: Vec<IpAddr> =
        control_plane_interfaces(sight.configured.facts).iter().filter_map(|one| one.private_ip_address).collect();
    let confirmed = lookups::others(view)
        .any(|other| answered(other) && lookup.addresses.iter().all(|address| other.addresses.contains(address)));
    let known = |address: &IpAddr| before.contains(address);
    // Either the facts are of the time before, or the scenario's list is.
    let listed_before = !view.known_addresses.is_empty()
        && view.configured == Reachability::Reachable
        && lookup.addresses.iter().all(|address| known(address) && !view.known_addresses.contains(address));
    let facts_before = confirmed && !lookup.addresses.iter().any(known);
    if before.is_empty() || !(facts_before || listed_before) {
        return None;
    }
    if !evidence::silence_counts(view) || !lookups::all_silent(view) || view.observation.proxy.is_some() {
        return None;
    }
    Some(
        Told::new(Confidence::Possible, lookup_words(lookup))
            .and(if facts_before {
                format!("the facts hold other interfaces of the control plane: {}", listed(&before))
            } else {
                format!(
                    "these are the control plane's interfaces of today; the scenario lists others: {}",
                    listed(view.known_addresses)
                )
            })
            .and("they were replaced since then; a firewall in between that allows only the old addresses fits")
            .and("rival: a group, route or ACL that the facts do not show yet; facts pulled again decide")
            .fix(words::ec2(
                &sight.configuration(),
                &format!(
                    "describe-network-interfaces --filters {} --query 'NetworkInterfaces[].PrivateIpAddress'",
                    shell(&format!("Name=description,Values={}", sight.cluster.interface_description()))
                ),
            )),
    )
}

/// A client in the cluster's own VPC.
fn in_the_vpc<'a>(view: &'a CellView<'a>) -> Option<Sight<'a>> {
    Sight::of(view).filter(|sight| sight.prediction.place == Place::ClusterVpc)
}

fn private_is_on(sight: &Sight<'_>) -> bool {
    sight.config().and_then(|config| config.endpoint_private_access) == Some(true)
}

/// What the deciding resolver said, if it was asked; `None` where it gave the private addresses, so that nothing keeps
/// them from the client.
#[expect(clippy::option_option, reason = "refuted, not asked, and asked are three things")]
fn own_answer<'a>(view: &CellView<'a>) -> Option<Option<&'a DnsObservation>> {
    match system(view) {
        None => Some(None),
        Some(lookup) if from_hosts_file(lookup) => None,
        Some(lookup) if looks_from_outside(lookup) || denies(lookup) => Some(Some(lookup)),
        Some(_) => None,
    }
}

fn looks_from_outside(lookup: &DnsObservation) -> bool {
    answered(lookup) && matches!(lookup.address_class, AddressClass::Public | AddressClass::Mixed)
}

fn denies(lookup: &DnsObservation) -> bool {
    matches!(lookup.outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata)
}

/// What the resolver said first, if it was asked, then what the configuration says.
fn seen(confidence: Confidence, lookup: Option<&DnsObservation>, says: &str) -> Told {
    let says = format!("the configuration says: {says}");
    match lookup {
        Some(lookup) => Told::new(confidence, lookup_words(lookup)).and(says),
        None => Told::new(confidence, says),
    }
}

/// Setting and command as the configuration's own finding has them.
fn mended_by(told: Told, sight: &Sight<'_>, ask: fn(&ConfigurationView<'_>) -> Vec<Told>) -> Told {
    match ask(&sight.configuration()).into_iter().next() {
        Some(own) => Told { setting: own.setting, fix: own.fix, ..told },
        None => told,
    }
}

const VPC: &str = "vpc";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::causes::{testing::*, testing_facts::*};

    fn hostnames(value: bool) -> Value {
        json!({ "ec2/describe-vpc-attribute-enableDnsHostnames-vpc-a.json": { "EnableDnsHostnames": { "Value": value } } })
    }

    /// A host in the VPC that is given public addresses and meant to use private ones.
    fn public_inside() -> Scene {
        Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![reached("198.51.100.20")]).with(|scene| {
            scene.intended_via = Some(Via::Private);
            scene.via = Some(Via::Public);
        })
    }

    fn private_inside() -> Scene {
        Scene::new().saw(vec![answer("system", &["10.20.1.10"])], vec![silent("10.20.1.10")])
    }

    #[test]
    fn the_attributes_of_the_vpc_decide_its_answer() {
        let code = "vpc-dns-hostnames-disabled";
        let off = Case::new(hostnames(false)).at("i-node");
        let finding = off.finding(&public_inside(), code).unwrap();
        assert_eq!((finding.severity, finding.confidence), (Severity::Error, Confidence::Certain));
        assert!(finding.fix.unwrap().contains("--enable-dns-hostnames"), "{code}");
        assert!(off.finding(&private_inside(), code).is_none(), "the zone is in effect");
        assert!(Case::new(hostnames(true)).at("i-node").finding(&public_inside(), code).is_none());
        assert!(Case::new(hostnames(false)).at("i-peer").finding(&public_inside(), code).is_none(), "another VPC");

        let code = "vpc-dns-support-disabled";
        let off = Case::new(json!({
            "ec2/describe-vpc-attribute-enableDnsSupport-vpc-a.json": { "EnableDnsSupport": { "Value": false } },
        }))
        .at("i-node");
        let dead = Scene::new().saw(vec![no_answer("system", DnsOutcome::Timeout)], vec![]);
        assert_eq!(off.finding(&dead, code).unwrap().confidence, Confidence::Certain);
        assert!(off.finding(&private_inside(), code).is_none());
        assert_eq!(off.finding(&unprobed(), code).unwrap().confidence, Confidence::Likely);
    }

    #[test]
    fn other_servers_of_the_dhcp_options_are_refuted_by_a_private_answer() {
        let code = "vpc-dhcp-options-lack-amazon-dns";
        let case = Case::new(json!({ "ec2/describe-dhcp-options.json": { "DhcpOptions": [{
            "DhcpOptionsId": "dopt-1",
            "DhcpConfigurations": [{ "Key": "domain-name-servers", "Values": [{ "Value": "10.20.9.9" }] }],
        }] } }))
        .at("i-node");
        assert_eq!(case.finding(&public_inside(), code).unwrap().confidence, Confidence::Likely);
        let both = public_inside().with(|scene| scene.observation.dns.push(answer("vpc", &["10.20.1.10"])));
        assert_eq!(case.finding(&both, code).unwrap().confidence, Confidence::Certain);
        assert!(case.finding(&private_inside(), code).is_none());
    }

    #[test]
    fn a_zone_that_is_not_in_effect_and_a_rule_that_shadows_it() {
        let case = Case::new(json!({})).at("i-node");
        let code = "eks-private-zone-not-in-effect";
        assert_eq!(case.finding(&public_inside(), code).unwrap().confidence, Confidence::Possible);
        let both = public_inside().with(|scene| scene.observation.dns.push(answer("vpc", &["10.20.1.10"])));
        let finding = case.finding(&both, code).unwrap();
        assert_eq!(finding.confidence, Confidence::Likely);
        assert!(finding.fix.unwrap().contains("169.254.169.253"));
        assert!(case.finding(&private_inside(), code).is_none());
        let shadowed = Case::new(json!({
            "route53resolver/list-resolver-rules.json": { "ResolverRules": [{
                "Id": "rslvr-rr-1", "DomainName": "example.com.", "RuleType": "FORWARD", "Status": "COMPLETE",
            }] },
            "route53resolver/list-resolver-rule-associations.json": { "ResolverRuleAssociations": [{
                "ResolverRuleId": "rslvr-rr-1", "VPCId": "vpc-a", "Status": "COMPLETE",
            }] },
        }))
        .at("i-node");
        let finding = shadowed.finding(&public_inside(), "vpc-resolver-config-shadows-endpoint").unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.fix.unwrap().contains("rslvr-rr-1"));
        assert!(shadowed.finding(&public_inside(), code).is_none());
    }

    #[test]
    fn a_connected_network_gets_public_addresses_by_design() {
        let code = "eks-connected-network-gets-public-answer";
        let case = Case::new(json!({})).at("i-peer");
        assert_eq!(case.finding(&public_inside(), code).unwrap().severity, Severity::Error);
        assert!(Case::new(json!({})).at("i-node").finding(&public_inside(), code).is_none());
        let matched = public_inside().with(|scene| scene.verdict = Verdict::Match);
        assert!(case.finding(&matched, code).is_none());
        let unlisted = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")]);
        assert_eq!(case.finding(&unlisted, code).unwrap().severity, Severity::Info);
    }

    #[test]
    fn a_private_address_that_no_interface_has_is_of_the_past() {
        let case = Case::new(json!({})).at("i-node");
        let old = |ttl| {
            let mut lookup = answer("system", &["10.20.1.99"]);
            lookup.ttl = Some(ttl);
            Scene::new().saw(vec![lookup], vec![silent("10.20.1.99")])
        };
        assert_eq!(case.finding(&old(3600), "dns-stale-answer").unwrap().confidence, Confidence::Likely);
        assert!(case.finding(&private_inside(), "dns-stale-answer").is_none());
        // Another resolver gives it as well: the facts are old.
        let both = old(3600).with(|scene| scene.observation.dns.push(answer("vpc", &["10.20.1.99"])));
        assert_eq!(case.finding(&both, "dns-stale-answer").unwrap().confidence, Confidence::Possible);
        assert!(case.finding(&both, "net-endpoint-addresses-changed").is_some());
        assert!(case.finding(&private_inside(), "net-endpoint-addresses-changed").is_none());
    }
}
