//! What is intended where `expect` does not say: derived from a cluster's intent. Pure.

use ipnet::IpNet;
use kubereach_probes::{AddressClass, AddressClasses};

use super::{Access, Intent, VantageKind};
use crate::report::Intended;

/// What the intent implies for a vantage, and which part of it says so: `intent.publicAccess, line 12`.
///
/// The public path compares the egress address, the private path the vantage's own. `egress` are the addresses that it is
/// seen by, where they are declared or were observed. Otherwise a `model` address is both, and a local `sourceIp` is the
/// vantage's own address, and its egress address when it is public: translation would change a private one.
pub(crate) fn derive(
    intent: &Intent,
    vantage: &VantageKind,
    egress: &[IpNet],
    classes: &AddressClasses,
) -> (Intended, String) {
    let known = match vantage {
        VantageKind::Model { ip, instance: None } => *ip,
        VantageKind::Local { source_ip, .. } => *source_ip,
        _ => None,
    };
    let own: Vec<IpNet> = known.into_iter().map(|address| IpNet::from(address.to_canonical())).collect();
    let public = || own.iter().copied().filter(|own| classes.of(own.addr()) == AddressClass::Public).collect();
    let public: Vec<IpNet> = if egress.is_empty() { public() } else { egress.to_vec() };
    let paths = [(&intent.public_access, "publicAccess", public), (&intent.private_access, "privateAccess", own)];
    let mut undecided = None;
    let mut outside = None;
    for (access, name, addresses) in paths {
        let Some(access) = access else { continue };
        let origin = format!("intent.{name}, line {}", access.line);
        match admits(access, &addresses, name == "privateAccess", classes) {
            Some(true) => return (Intended::Reachable, origin),
            Some(false) => outside = outside.or(Some(origin)),
            None => undecided = undecided.or(Some(origin)),
        }
    }
    match (undecided, outside) {
        (Some(origin), _) => (Intended::Unspecified, origin),
        (None, Some(origin)) => (Intended::Unreachable, origin),
        (None, None) => (Intended::Unspecified, "intent".to_owned()),
    }
}

/// Whether a path lets these addresses in, whichever of them it sees; `None` when that depends on which, or when none is
/// known.
fn admits(access: &Access, addresses: &[IpNet], private_path: bool, classes: &AddressClasses) -> Option<bool> {
    if !access.enabled {
        return Some(false);
    }
    match &access.allow {
        None if private_path => {
            // Nobody on the internet comes by the private path, whoever is allowed.
            all_or_none(addresses, |address| Some(classes.of(address.addr()) == AddressClass::Private))
        }
        None => Some(true),
        Some(allow) if allow.is_empty() => Some(false),
        // Everybody who comes by IPv4, which is what a public endpoint has.
        Some(allow)
            if addresses.is_empty()
                && !private_path
                && allow.iter().any(|range| range.prefix_len() == 0 && range.addr().is_ipv4()) =>
        {
            Some(true)
        }
        Some(allow) => all_or_none(addresses, |address| {
            if allow.iter().any(|range| range.contains(address)) {
                return Some(true);
            }
            // A part of it is, or several entries may make it up together.
            allow.iter().all(|range| !address.contains(range)).then_some(false)
        }),
    }
}

/// What holds for every one of them; `None` where they differ, or where there is none.
fn all_or_none(addresses: &[IpNet], of: impl Fn(&IpNet) -> Option<bool>) -> Option<bool> {
    let (first, rest) = addresses.split_first()?;
    let first = of(first)?;
    rest.iter().all(|address| of(address) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::{super::AgentName, *};

    fn access(enabled: bool, allow: Option<&[&str]>, line: usize) -> Access {
        Access { enabled, allow: allow.map(|list| list.iter().map(|range| range.parse().unwrap()).collect()), line }
    }

    fn model(ip: &str) -> VantageKind {
        VantageKind::Model { ip: Some(ip.parse().unwrap()), instance: None }
    }

    fn local(ip: Option<&str>) -> VantageKind {
        VantageKind::Local { source_ip: ip.map(|ip| ip.parse().unwrap()), interface: None, netns: None }
    }

    #[test]
    fn intent_decides_where_the_address_is_known() {
        use Intended::{Reachable, Unreachable, Unspecified};
        let both = Intent {
            public_access: Some(access(true, Some(&["203.0.113.0/24", "2001:db8::/48"]), 7)),
            private_access: Some(access(true, Some(&["10.20.0.0/16"]), 8)),
        };
        let private_only = Intent {
            public_access: Some(access(false, None, 7)),
            private_access: Some(access(true, Some(&["10.20.0.0/16"]), 8)),
        };
        let everybody = Intent { public_access: Some(access(true, None, 7)), private_access: None };
        let ipv4 = Intent { public_access: Some(access(true, Some(&["0.0.0.0/0"]), 7)), private_access: None };
        let closed =
            Intent { public_access: Some(access(false, None, 7)), private_access: Some(access(false, None, 8)) };
        let private_open = Intent { public_access: None, private_access: Some(access(true, None, 8)) };
        for (intent, vantage, intended, origin) in [
            (&both, model("203.0.113.7"), Reachable, "intent.publicAccess, line 7"),
            (&both, model("2001:db8::7"), Reachable, "intent.publicAccess, line 7"),
            (&both, model("198.51.100.7"), Unreachable, "intent.publicAccess, line 7"),
            (&both, model("10.20.3.4"), Reachable, "intent.privateAccess, line 8"),
            (&both, model("10.9.0.1"), Unspecified, "intent.publicAccess, line 7"),
            (&both, local(Some("203.0.113.9")), Reachable, "intent.publicAccess, line 7"),
            (&both, local(Some("10.20.0.1")), Reachable, "intent.privateAccess, line 8"),
            (&both, local(Some("192.168.1.5")), Unspecified, "intent.publicAccess, line 7"),
            (&both, local(None), Unspecified, "intent.publicAccess, line 7"),
            (&private_only, model("203.0.113.7"), Unreachable, "intent.publicAccess, line 7"),
            (&private_only, local(Some("192.168.1.5")), Unreachable, "intent.publicAccess, line 7"),
            (&private_only, local(None), Unspecified, "intent.privateAccess, line 8"),
            (&everybody, local(None), Reachable, "intent.publicAccess, line 7"),
            (&ipv4, local(None), Reachable, "intent.publicAccess, line 7"),
            (&ipv4, local(Some("192.168.1.5")), Reachable, "intent.publicAccess, line 7"),
            (&closed, local(None), Unreachable, "intent.publicAccess, line 7"),
            (&private_open, model("198.51.100.7"), Unreachable, "intent.privateAccess, line 8"),
            (&private_open, model("10.0.0.1"), Reachable, "intent.privateAccess, line 8"),
            (
                &private_open,
                VantageKind::Agent(AgentName { name: "a".into(), key: None }),
                Unspecified,
                "intent.privateAccess, line 8",
            ),
            (&Intent::default(), local(None), Unspecified, "intent"),
        ] {
            let found = derive(intent, &vantage, &[], &AddressClasses::default());
            assert_eq!(found, (intended, origin.to_owned()), "{intent:?} {vantage:?}");
        }
    }

    #[test]
    fn a_model_by_instance_is_never_guessed() {
        let intent = Intent { public_access: Some(access(true, Some(&["203.0.113.0/24"]), 1)), private_access: None };
        let vantage = VantageKind::Model { ip: None, instance: Some("i-0123456789abcdef0".into()) };
        assert_eq!(derive(&intent, &vantage, &[], &AddressClasses::default()).0, Intended::Unspecified);
    }

    #[test]
    fn the_declared_egress_address_is_what_the_public_path_sees() {
        use Intended::{Reachable, Unreachable, Unspecified};
        let intent = Intent {
            public_access: Some(access(true, Some(&["203.0.113.0/24", "2001:db8::/48"]), 7)),
            private_access: Some(access(true, Some(&["10.20.0.0/16"]), 8)),
        };
        let public = Intent { private_access: None, ..intent.clone() };
        let agent = || VantageKind::Agent(AgentName { name: "a".into(), key: None });
        for (intent, vantage, egress, intended) in [
            (&public, local(None), &["203.0.113.7/32"][..], Reachable),
            (&public, agent(), &["203.0.113.7/32"], Reachable),
            (&public, agent(), &["203.0.113.0/25", "2001:db8::/64"], Reachable),
            (&public, agent(), &["198.51.100.7/32"], Unreachable),
            (&public, agent(), &["203.0.113.7/32", "198.51.100.7/32"], Unspecified),
            // A part of the range is allowed.
            (&public, agent(), &["203.0.112.0/23"], Unspecified),
            // Its own address says nothing where another is declared.
            (&public, local(Some("203.0.113.9")), &["198.51.100.7/32"], Unreachable),
            (&public, model("203.0.113.9"), &["198.51.100.7/32"], Unreachable),
            // The private path goes by its own.
            (&intent, local(Some("10.20.0.1")), &["198.51.100.7/32"], Reachable),
            (&intent, agent(), &["198.51.100.7/32"], Unspecified),
            (&intent, agent(), &["203.0.113.7/32"], Reachable),
        ] {
            let nets: Vec<IpNet> = egress.iter().map(|text| text.parse().unwrap()).collect();
            let found = derive(intent, &vantage, &nets, &AddressClasses::default()).0;
            assert_eq!(found, intended, "{vantage:?} {egress:?}");
        }
    }
}
