//! What this host would answer kubectl: hosts file, search domains and name servers in the order it is configured for.
//!
//! kubectl as it is published resolves names in Go, not in the C library. So Go's reading of the configuration decides
//! (`net/conf.go`, `net/dnsclient_unix.go`), and where the C library would differ a note says so.

mod configuration;

use std::net::SocketAddr;

use tokio::time::Instant;

pub use self::configuration::{
    HostsMatch, LookupOrder, NssModule, ResolvConf, SystemConfiguration, SystemFiles, parse_hosts, parse_nsswitch,
    parse_resolv_conf,
};
use crate::{
    AddressClass, DnsObservation, DnsOutcome, DnsSource, SystemResolver,
    dns::{DnsSettings, Lookup, Resolved, Session, joined, milliseconds},
};

/// What this host would answer kubectl for `host`.
///
/// The first entry decides and has the label `system`. When the hosts file decided, a second entry `system-dns` says
/// what DNS would have said. Each entry is bounded by `settings.timeout`; files that cannot be read are noted in the
/// detail.
pub async fn ask_system(resolver: &SystemResolver, host: &str, settings: &DnsSettings<'_>) -> Vec<DnsObservation> {
    match resolver {
        SystemResolver::Host => ask_configured(&SystemConfiguration::read(), host, settings).await,
        SystemResolver::Servers(servers) => {
            let configuration = SystemConfiguration::with_servers(servers.clone());
            vec![ask_dns(SYSTEM, &configuration, host, settings).await]
        }
    }
}

/// [`ask_system`] for a host that is configured like this.
pub async fn ask_configured(
    configuration: &SystemConfiguration,
    host: &str,
    settings: &DnsSettings<'_>,
) -> Vec<DnsObservation> {
    let started = Instant::now();
    let notes = configuration.notes_for(host);
    let in_file = |source_notes: &[String]| {
        let found = configuration.hosts_entry(host)?;
        Some(from_hosts_file(configuration, host, found, settings, source_notes, started))
    };
    let with_notes = |mut observation: DnsObservation| {
        observation.detail = joined(observation.detail.into_iter().chain(notes.iter().cloned()).collect());
        observation
    };
    match configuration.order {
        LookupOrder::FilesDns => match in_file(&notes) {
            Some(entry) => vec![entry, ask_dns(SYSTEM_DNS, configuration, host, settings).await],
            None => vec![with_notes(ask_dns(SYSTEM, configuration, host, settings).await)],
        },
        LookupOrder::DnsFiles => {
            let mut dns = ask_dns(SYSTEM, configuration, host, settings).await;
            match in_file(&notes) {
                Some(entry) if dns.outcome != DnsOutcome::Answer => {
                    SYSTEM_DNS.clone_into(&mut dns.resolver);
                    vec![entry, dns]
                }
                _ => vec![with_notes(dns)],
            }
        }
        LookupOrder::Dns => vec![with_notes(ask_dns(SYSTEM, configuration, host, settings).await)],
        LookupOrder::Files => {
            if let Some(entry) = in_file(&notes) {
                return vec![entry, ask_dns(SYSTEM_DNS, configuration, host, settings).await];
            }
            let note = format!("not in {}, and nsswitch.conf names no other source", configuration.hosts_path);
            let nothing = Resolved::unasked(host, DnsOutcome::Nxdomain, note);
            vec![with_notes(Session::start(SYSTEM, settings, false).observe(nothing))]
        }
    }
}

/// The names to ask DNS for, in order: Go's `nameList`. All without trailing dot.
///
/// A name with at least `ndots` dots is asked as it is first and then with each search domain, any other name the other
/// way round; a name with a trailing dot only as it is. Names longer than DNS allows are left out.
#[must_use]
pub fn search_list(host: &str, search: &[String], ndots: usize) -> Vec<String> {
    if let Some(absolute) = host.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let suffixed = search.iter().map(|domain| format!("{host}.{domain}")).filter(|name| name.len() <= LONGEST_NAME);
    let as_is = std::iter::once(host.to_owned());
    if host.matches('.').count() >= ndots { as_is.chain(suffixed).collect() } else { suffixed.chain(as_is).collect() }
}

async fn ask_dns(
    label: &str,
    configuration: &SystemConfiguration,
    host: &str,
    settings: &DnsSettings<'_>,
) -> DnsObservation {
    let resolv = &configuration.resolv;
    let session = Session::start(label, settings, resolv.use_tcp);
    let lookup =
        Lookup { servers: &resolv.nameservers, decides: kubectl_is_content, unanswered_wait: Some(resolv.timeout) };
    let plain_host = host.trim_end_matches('.');
    let mut kept: Option<Resolved> = None;
    let mut earlier_notes: Vec<String> = Vec::new();
    for name in search_list(host, &resolv.search, resolv.ndots) {
        if kept.is_some() && session.is_over() {
            earlier_notes.push(format!("{name} was not asked: the time was up"));
            break;
        }
        let mut resolved = session.resolve(&lookup, &name).await;
        let through_search = !resolved.name.eq_ignore_ascii_case(plain_host);
        let outcome = resolved.outcome;
        if outcome == DnsOutcome::Answer {
            if through_search {
                resolved.notes.insert(0, format!("{} answered (search domain)", resolved.name));
            }
            kept = Some(resolved);
            break;
        }
        if through_search && outcome != DnsOutcome::Nxdomain && outcome != DnsOutcome::Nodata {
            earlier_notes.push(format!("{}: {}", resolved.name, outcome.label()));
        }
        // What the name itself gave is told before what it gave under a search domain, as Go does.
        if kept.is_none() || !through_search {
            kept = Some(resolved);
        }
        if !outcome.is_message() {
            // Servers that did not answer for one name will not for the next.
            break;
        }
    }
    let mut resolved =
        kept.unwrap_or_else(|| Resolved::unasked(host, DnsOutcome::Nxdomain, "the name is too long for DNS".into()));
    resolved.notes.append(&mut earlier_notes);
    session.observe(resolved)
}

/// Go and the C library go on to the next server unless one says that the name has addresses, none, or does not exist.
const fn kubectl_is_content(outcome: DnsOutcome) -> bool {
    matches!(outcome, DnsOutcome::Answer | DnsOutcome::Nodata | DnsOutcome::Nxdomain)
}

fn from_hosts_file(
    configuration: &SystemConfiguration,
    host: &str,
    found: HostsMatch,
    settings: &DnsSettings<'_>,
    notes: &[String],
    started: Instant,
) -> DnsObservation {
    let mut details = Vec::new();
    if !found.other_lines.is_empty() {
        let lines: Vec<String> = found.other_lines.iter().map(ToString::to_string).collect();
        details.push(format!("also on line {}", lines.join(", ")));
    }
    details.extend(found.notes);
    details.extend(notes.iter().cloned());
    DnsObservation {
        resolver: SYSTEM.to_owned(),
        server: Some(configuration.hosts_path.clone()),
        name: host.trim_end_matches('.').to_owned(),
        outcome: DnsOutcome::Answer,
        address_class: if found.addresses.is_empty() {
            AddressClass::None
        } else {
            settings.classes.of_all(&found.addresses)
        },
        addresses: found.addresses,
        cnames: Vec::new(),
        ttl: None,
        ms: milliseconds(started.elapsed()),
        source: DnsSource::HostsFile { path: configuration.hosts_path.clone(), line: found.line, text: found.text },
        detail: joined(details),
        queries: Vec::new(),
    }
}

impl SystemConfiguration {
    /// A configuration that asks these servers, with neither a hosts file nor search domains.
    fn with_servers(servers: Vec<SocketAddr>) -> Self {
        let mut configuration = Self::parse(&SystemFiles::default(), |_| None);
        configuration.resolv.nameservers = servers;
        configuration.resolv.search.clear();
        configuration.order = LookupOrder::Dns;
        configuration
    }
}

const SYSTEM: &str = "system";
const SYSTEM_DNS: &str = "system-dns";
const LONGEST_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_resolver::proto::op::ResponseCode;

    use super::*;
    use crate::{
        AddressClasses, SourceBinding,
        dns::fake::{FakeServer, closed_port, documented},
    };

    const HOST: &str = "api.example.test";

    fn configuration(resolv_conf: &str, hosts: &str, nsswitch: &str, servers: &[SocketAddr]) -> SystemConfiguration {
        let files = SystemFiles {
            resolv_conf: Some(resolv_conf.to_owned()),
            hosts: Some(hosts.to_owned()),
            nsswitch: Some(nsswitch.to_owned()),
            hostname: "node".into(),
            notes: Vec::new(),
        };
        let mut configuration = SystemConfiguration::parse(&files, |_| None);
        configuration.resolv.nameservers = servers.to_vec();
        configuration
    }

    async fn ask(configuration: &SystemConfiguration, host: &str) -> Vec<DnsObservation> {
        let settings = DnsSettings {
            timeout: Duration::from_millis(1_500),
            source: &SourceBinding::default(),
            classes: &AddressClasses::default(),
        };
        let started = Instant::now();
        let observations = ask_configured(configuration, host, &settings).await;
        assert!(started.elapsed() < Duration::from_secs(4));
        observations
    }

    fn detail(observation: &DnsObservation) -> &str {
        observation.detail.as_deref().unwrap_or_default()
    }

    #[test]
    fn search_lists_are_those_of_go() {
        let search = ["corp.test".to_owned(), "test".to_owned()];
        for (host, ndots, expected) in [
            ("api.prod.corp", 1, vec!["api.prod.corp", "api.prod.corp.corp.test", "api.prod.corp.test"]),
            ("api", 1, vec!["api.corp.test", "api.test", "api"]),
            ("api.prod", 5, vec!["api.prod.corp.test", "api.prod.test", "api.prod"]),
            ("api", 0, vec!["api", "api.corp.test", "api.test"]),
            ("api.", 1, vec!["api"]),
        ] {
            assert_eq!(search_list(host, &search, ndots), expected, "{host} ndots:{ndots}");
        }
        let long = "x.".repeat(123) + "com";
        assert_eq!(search_list(&long, &search, 1), [long.as_str()]);
        assert!(search_list("api", &[], 1) == ["api"]);
    }

    #[tokio::test]
    async fn the_hosts_file_decides_and_dns_is_told_beside_it() {
        let server = FakeServer::answering(7).await;
        let hosts = "127.0.0.1 localhost\n192.0.2.9 other API.example.test # moved\n2001:db8::9 api.example.test\n";
        let observations = ask(&configuration("", hosts, "hosts: files dns", &[server.address]), HOST).await;
        assert_eq!(observations.len(), 2);
        let [system, dns] = &observations[..] else { panic!("two entries") };
        assert_eq!((system.resolver.as_str(), system.server.as_deref()), ("system", Some("/etc/hosts")));
        assert_eq!(system.addresses, [documented(9), "2001:db8::9".parse().unwrap()]);
        assert_eq!(
            system.source,
            DnsSource::HostsFile {
                path: "/etc/hosts".into(),
                line: 2,
                text: "192.0.2.9 other API.example.test # moved".into()
            }
        );
        assert_eq!(detail(system), "also on line 3");
        assert_eq!((dns.resolver.as_str(), dns.outcome), ("system-dns", DnsOutcome::Answer));
        assert_eq!(dns.addresses, [documented(7)]);
    }

    #[tokio::test]
    async fn the_order_of_nsswitch_is_followed() {
        let server = FakeServer::answering(7).await;
        let hosts = "192.0.2.9 api.example.test";
        let dns_first = configuration("", hosts, "hosts: dns files", &[server.address]);
        let observations = ask(&dns_first, HOST).await;
        assert_eq!((observations.len(), &observations[0].addresses), (1, &vec![documented(7)]));

        let broken = FakeServer::failing(ResponseCode::NXDomain).await;
        let observations = ask(&configuration("", hosts, "hosts: dns files", &[broken.address]), HOST).await;
        assert_eq!(observations[0].addresses, [documented(9)]);
        assert_eq!(observations[1].outcome, DnsOutcome::Nxdomain);
        assert_eq!(observations[1].resolver, "system-dns");

        let only_dns = configuration("", hosts, "hosts: dns", &[server.address]);
        assert_eq!(ask(&only_dns, HOST).await[0].addresses, [documented(7)]);

        let only_files = configuration("", "", "hosts: files", &[server.address]);
        let observations = ask(&only_files, HOST).await;
        assert_eq!(observations[0].outcome, DnsOutcome::Nxdomain);
        assert!(observations[0].queries.is_empty() && detail(&observations[0]).contains("no other source"));
    }

    #[tokio::test]
    async fn search_domains_are_tried_until_one_answers() {
        let server = FakeServer::start(|asked| {
            let message = if asked.name().to_ascii() == "api.second.test." {
                asked.addresses(&[std::net::Ipv4Addr::new(192, 0, 2, 2)])
            } else {
                asked.reply(ResponseCode::NXDomain)
            };
            vec![asked.send(&message)]
        })
        .await;
        let configuration = configuration("search first.test second.test", "", "", &[server.address]);
        let observations = ask(&configuration, "api").await;
        assert_eq!(observations[0].name, "api.second.test");
        assert_eq!(observations[0].addresses, [documented(2)]);
        assert!(detail(&observations[0]).contains("search domain"));
        assert_eq!(observations[0].queries.len(), 4);

        let observations = ask(&configuration, HOST).await;
        assert_eq!((observations[0].outcome, observations[0].name.as_str()), (DnsOutcome::Nxdomain, HOST));
        let names = server.names.lock().unwrap();
        assert_eq!(names[4], "api.example.test.", "as it is first: {names:?}");
        assert!(names.contains(&"api.example.test.second.test.".to_owned()));
    }

    #[tokio::test]
    async fn a_server_that_fails_hands_on_and_is_named() {
        let failing = FakeServer::failing(ResponseCode::ServFail).await;
        let good = FakeServer::answering(3).await;
        let servers = [closed_port(), failing.address, good.address];
        let observations = ask(&configuration("", "", "", &servers), HOST).await;
        let system = &observations[0];
        assert_eq!((system.outcome, system.server.clone()), (DnsOutcome::Answer, Some(good.address.to_string())));
        assert!(detail(system).contains(&format!("{}: unreachable, Connection refused", servers[0])), "{system:?}");
        assert!(detail(system).contains(&format!("{}: servfail", servers[1])), "{system:?}");
        assert_eq!(system.queries.len(), 6);

        let silent = FakeServer::silent().await;
        let slow = configuration("options timeout:4", "", "", &[silent.address, good.address]);
        let observations = ask(&slow, HOST).await;
        assert_eq!(observations[0].addresses, [documented(3)]);
        let expected = format!("{} gave no answer; kubectl waits 4 s for it on each lookup", silent.address);
        assert_eq!(detail(&observations[0]), expected);
    }

    #[tokio::test]
    async fn a_missing_name_ends_the_search_for_servers() {
        let first = FakeServer::failing(ResponseCode::NXDomain).await;
        let second = FakeServer::answering(3).await;
        let observations = ask(&configuration("", "", "", &[first.address, second.address]), HOST).await;
        assert_eq!(observations[0].outcome, DnsOutcome::Nxdomain);
        assert!(second.names.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn silence_ends_within_the_timeout_whatever_the_search_list() {
        let silent = FakeServer::silent().await;
        let configuration =
            configuration("search a.test b.test c.test", "", "", &[silent.address, silent.address, silent.address]);
        let started = Instant::now();
        let observations = ask(&configuration, "api").await;
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(observations[0].outcome, DnsOutcome::Timeout);
    }

    #[tokio::test]
    async fn given_servers_replace_the_configuration() {
        let server = FakeServer::answering(5).await;
        let settings = DnsSettings {
            timeout: Duration::from_secs(1),
            source: &SourceBinding::default(),
            classes: &AddressClasses::default(),
        };
        let resolver = SystemResolver::Servers(vec![server.address]);
        let lookup: Box<dyn Future<Output = Vec<DnsObservation>> + Send> =
            Box::new(ask_system(&resolver, "localhost", &settings));
        let observations = Box::into_pin(lookup).await;
        assert_eq!((observations.len(), observations[0].resolver.as_str()), (1, "system"));
        assert_eq!(observations[0].addresses, [documented(5)]);
        assert_eq!(*server.names.lock().unwrap(), ["localhost.", "localhost."]);
    }

    #[tokio::test]
    async fn tcp_is_used_alone_when_the_options_say_so() {
        let server = FakeServer::answering(5).await;
        let observations = ask(&configuration("options use-vc", "", "", &[server.address]), HOST).await;
        assert!(observations[0].queries.iter().all(|query| query.transport == "tcp"), "{observations:?}");
        assert_eq!(observations[0].addresses, [documented(5)]);
    }
}
