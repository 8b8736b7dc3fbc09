//! The resolver's configuration files: text in, plan out.

use std::{
    fs::{self, File},
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::dns::printable;

/// The configuration files as text; `None` is a file that does not exist or cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFiles {
    /// `resolv.conf`.
    pub resolv_conf: Option<String>,
    /// The hosts file.
    pub hosts: Option<String>,
    /// `nsswitch.conf`.
    pub nsswitch: Option<String>,
    /// This host's name.
    pub hostname: String,
    /// Which files could not be read, and why.
    pub notes: Vec<String>,
}

impl SystemFiles {
    /// Reads the files of this host, each up to a bound of 16 MiB.
    #[must_use]
    pub fn read() -> Self {
        let mut notes = Vec::new();
        let mut text = |path: &str| match bounded_text(Path::new(path)) {
            Ok(text) => text,
            Err(reason) => {
                notes.push(format!("{path}: {reason}"));
                None
            }
        };
        let (resolv_conf, hosts, nsswitch) = (text(RESOLV_CONF), text(HOSTS), text(NSSWITCH));
        let hostname = text(HOSTNAME).unwrap_or_default().trim().to_owned();
        Self { resolv_conf, hosts, nsswitch, hostname, notes }
    }
}

/// How this host looks up names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemConfiguration {
    /// Name servers, search domains and options.
    pub resolv: ResolvConf,
    /// Which sources are asked, in order.
    pub order: LookupOrder,
    /// The modules that `nsswitch.conf` lists for hosts, in order.
    pub modules: Vec<NssModule>,
    /// Path of the hosts file, for evidence.
    pub hosts_path: String,
    /// Text of the hosts file.
    pub hosts: String,
    /// This host's name.
    pub hostname: String,
    /// What could not be read or understood.
    pub notes: Vec<String>,
}

impl SystemConfiguration {
    /// Reads this host's configuration.
    #[must_use]
    pub fn read() -> Self {
        Self::parse(&SystemFiles::read(), |zone| nix::net::if_::if_nametoindex(zone).ok())
    }

    /// This host's configuration as it was read at most a second ago. It is that of the process: who gives threads files
    /// of their own reads by [`Self::read`].
    #[must_use]
    pub fn recent() -> Arc<Self> {
        static RECENT: Mutex<Option<(Instant, Arc<SystemConfiguration>)>> = Mutex::new(None);
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = recent.as_ref()
            && at.elapsed() < RECENT_COUNTS_FOR
        {
            return Arc::clone(known);
        }
        let read = Arc::new(Self::read());
        *recent = Some((Instant::now(), Arc::clone(&read)));
        read
    }

    /// Makes the configuration out of the files' text; `zone_index` gives the index of an interface by its name.
    #[must_use]
    pub fn parse(files: &SystemFiles, zone_index: impl Fn(&str) -> Option<u32>) -> Self {
        let resolv = parse_resolv_conf(files.resolv_conf.as_deref().unwrap_or_default(), &files.hostname, zone_index);
        let modules = parse_nsswitch(files.nsswitch.as_deref().unwrap_or_default());
        let mut notes = files.notes.clone();
        notes.extend(resolv.notes.iter().cloned());
        Self {
            order: LookupOrder::of(&modules),
            modules,
            resolv,
            hosts_path: HOSTS.to_owned(),
            hosts: files.hosts.clone().unwrap_or_default(),
            hostname: files.hostname.clone(),
            notes,
        }
    }

    /// What the hosts file says of `host`.
    #[must_use]
    pub fn hosts_entry(&self, host: &str) -> Option<HostsMatch> {
        parse_hosts(&self.hosts, host)
    }

    /// What a reader should know of this configuration when `host` is looked up: files that could not be read, and
    /// where programs that use the C library may see something else than kubectl.
    #[must_use]
    pub fn notes_for(&self, host: &str) -> Vec<String> {
        let mut notes = self.notes.clone();
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let local = host.rsplit('.').next() == Some("local");
        let asks_stub = self.resolv.nameservers.iter().any(|server| server.ip().is_loopback());
        for (index, module) in self.modules.iter().enumerate() {
            let name = module.name.as_str();
            let stops = module.stops_when_not_found && index + 1 < self.modules.len();
            match name {
                "files" if stops => {
                    notes.push("nsswitch.conf: programs of the C library ask nothing beyond the hosts file".into());
                }
                // Local containers have names of their own; no API server is among them.
                "files" | "dns" | "mymachines" => {}
                _ if name.starts_with("mdns") && local && stops => notes.push(format!(
                    "nsswitch.conf: {name} [NOTFOUND=return] keeps programs of the C library from asking DNS for \
                     .local names; kubectl asks DNS"
                )),
                _ if name.starts_with("mdns") && local => notes.push(format!(
                    "nsswitch.conf: programs of the C library ask {name} for .local names; kubectl asks DNS"
                )),
                _ if name.starts_with("mdns") => {}
                // The stub on loopback is the same resolver behind another door.
                "resolve" if asks_stub => {}
                "resolve" => notes.push(
                    "nsswitch.conf: programs of the C library ask systemd-resolved; kubectl asks the servers of \
                     resolv.conf"
                        .into(),
                ),
                "myhostname" => {
                    if host == "localhost" || host.ends_with(".localhost") || host == self.hostname.to_ascii_lowercase()
                    {
                        notes.push("nsswitch.conf: programs of the C library know this host's own name".into());
                    }
                }
                _ => notes.push(format!(
                    "nsswitch.conf: module {} is asked by programs of the C library, not by kubectl",
                    printable(name)
                )),
            }
        }
        notes.truncate(MOST_NOTES);
        notes
    }
}

/// Which sources are asked, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOrder {
    /// The hosts file, then DNS.
    FilesDns,
    /// DNS, then the hosts file.
    DnsFiles,
    /// The hosts file only.
    Files,
    /// DNS only.
    Dns,
}

impl LookupOrder {
    /// The order that Go without the C library makes of the modules: `files` and `dns` count; any other module counts
    /// as DNS where `dns` itself is not listed.
    #[must_use]
    pub fn of(modules: &[NssModule]) -> Self {
        let lists_dns = modules.iter().any(|module| module.name == "dns");
        let files = modules.iter().position(|module| module.name == "files");
        let dns = modules.iter().position(|module| match module.name.as_str() {
            "dns" => true,
            "files" => false,
            _ => !lists_dns,
        });
        match (files, dns) {
            (Some(files), Some(dns)) if dns < files => Self::DnsFiles,
            (Some(_), None) => Self::Files,
            (None, Some(_)) => Self::Dns,
            (Some(_), Some(_)) | (None, None) => Self::FilesDns,
        }
    }
}

/// A module of the `hosts:` line of `nsswitch.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NssModule {
    /// `files`, `dns`, `resolve`, `myhostname`, `mdns4_minimal` …
    pub name: String,
    /// Whether criteria such as `[NOTFOUND=return]` end the lookup when the module does not know the name.
    pub stops_when_not_found: bool,
}

/// Parses the `hosts:` line of `nsswitch.conf`; empty when there is none. Of several the last counts.
#[must_use]
pub fn parse_nsswitch(text: &str) -> Vec<NssModule> {
    let mut modules = Vec::new();
    for line in lines(text) {
        let line = line.split('#').next().unwrap_or_default();
        let Some((database, sources)) = line.split_once(':') else { continue };
        if !database.trim().eq_ignore_ascii_case("hosts") {
            continue;
        }
        modules.clear();
        let mut rest = sources.trim();
        while !rest.is_empty() && modules.len() < MOST_MODULES {
            if let Some(criteria) = rest.strip_prefix('[') {
                let (criteria, after) = criteria.split_once(']').unwrap_or((criteria, ""));
                if let Some(module) = modules.last_mut() {
                    apply_criteria(module, criteria);
                }
                rest = after.trim_start();
            } else {
                let end = rest.find(|character: char| character.is_whitespace() || character == '[');
                let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
                modules.push(NssModule { name: name.to_ascii_lowercase(), stops_when_not_found: false });
                rest = after.trim_start();
            }
        }
    }
    modules
}

fn apply_criteria(module: &mut NssModule, criteria: &str) {
    for criterion in criteria.split_whitespace() {
        let Some((status, action)) = criterion.split_once('=') else { continue };
        let covers = match status.strip_prefix('!') {
            Some(other) => !other.eq_ignore_ascii_case("notfound"),
            None => status.eq_ignore_ascii_case("notfound"),
        };
        if covers {
            module.stops_when_not_found = action.eq_ignore_ascii_case("return");
        }
    }
}

/// What the hosts file says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsMatch {
    /// The addresses of every line that names it, in order, without repeats, at most 64.
    pub addresses: Vec<IpAddr>,
    /// Number of the first such line, from 1.
    pub line: usize,
    /// That line, fit for a terminal.
    pub text: String,
    /// Numbers of the other lines, at most 16.
    pub other_lines: Vec<usize>,
    /// What was dropped.
    pub notes: Vec<String>,
}

/// Looks a name up in the text of a hosts file: upper and lower case are the same, aliases count, every line counts.
#[must_use]
pub fn parse_hosts(text: &str, host: &str) -> Option<HostsMatch> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut found: Option<HostsMatch> = None;
    for (index, line) in lines(text).enumerate() {
        let mut fields = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = fields.next() else { continue };
        if !fields.any(|name| name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(host)) {
            continue;
        }
        let (bare, zone) = address.split_once('%').map_or((address, None), |(bare, zone)| (bare, Some(zone)));
        let Ok(address) = bare.parse::<IpAddr>() else { continue };
        let entry = if let Some(entry) = &mut found {
            if entry.other_lines.len() < MOST_OTHER_LINES {
                entry.other_lines.push(index + 1);
            }
            entry
        } else {
            found.insert(HostsMatch {
                addresses: Vec::new(),
                line: index + 1,
                text: printable(line),
                other_lines: Vec::new(),
                notes: Vec::new(),
            })
        };
        if let Some(zone) = zone {
            entry.notes.push(format!("the zone {} of {address} is left out", printable(zone)));
            entry.notes.truncate(MOST_NOTES);
        }
        if !entry.addresses.contains(&address) && entry.addresses.len() < MOST_ADDRESSES {
            entry.addresses.push(address);
        }
    }
    found
}

/// The plan of a `resolv.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// Up to three servers, in order; 127.0.0.1 and `::1` where the file names none.
    pub nameservers: Vec<SocketAddr>,
    /// Search domains, in order, without trailing dot.
    pub search: Vec<String>,
    /// Names with at least so many dots are asked as they are first.
    pub ndots: usize,
    /// How long an ordinary client waits for each server.
    pub timeout: Duration,
    /// How often an ordinary client asks all servers.
    pub attempts: u32,
    /// Whether clients take the servers in turns.
    pub rotate: bool,
    /// Whether clients ask over TCP only.
    pub use_tcp: bool,
    /// What was not understood.
    pub notes: Vec<String>,
}

/// Parses a `resolv.conf` as Go does. `hostname` gives the search domain where the file has none; `zone_index` gives
/// the index of an interface by its name, for scoped addresses.
#[must_use]
pub fn parse_resolv_conf(text: &str, hostname: &str, zone_index: impl Fn(&str) -> Option<u32>) -> ResolvConf {
    let mut plan = ResolvConf {
        nameservers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: Duration::from_secs(5),
        attempts: 2,
        rotate: false,
        use_tcp: false,
        notes: Vec::new(),
    };
    let mut search: Option<Vec<String>> = None;
    for (index, line) in lines(text).enumerate() {
        if line.starts_with([';', '#']) {
            continue;
        }
        let mut fields = line.split_whitespace();
        let Some(keyword) = fields.next() else { continue };
        match keyword {
            "nameserver" => {
                let Some(address) = fields.next() else { continue };
                match name_server(address, &zone_index) {
                    Some(_) if plan.nameservers.len() >= MOST_SERVERS => {
                        plan.notes.push(format!("resolv.conf line {}: only three servers are used", index + 1));
                    }
                    Some(server) => plan.nameservers.push(server),
                    None => plan.notes.push(format!(
                        "resolv.conf line {}: {} is no address of a server",
                        index + 1,
                        printable(address)
                    )),
                }
            }
            "domain" => search = fields.next().map(|domain| vec![domain.to_owned()]).or(search),
            "search" => search = Some(fields.take(MOST_DOMAINS).map(str::to_owned).collect()),
            "options" => fields.for_each(|option| apply_option(&mut plan, option)),
            _ => {}
        }
    }
    if plan.rotate {
        plan.notes.push("resolv.conf: clients take the servers in turns (rotate)".into());
    }
    plan.notes.truncate(MOST_NOTES);
    let own_domain = || hostname.split_once('.').map(|(_, domain)| domain.to_owned()).into_iter().collect();
    plan.search = search
        .unwrap_or_else(own_domain)
        .into_iter()
        .map(|domain| domain.trim_end_matches('.').to_owned())
        .filter(|domain| !domain.is_empty())
        .collect();
    if plan.nameservers.is_empty() {
        plan.nameservers =
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT)), SocketAddr::from((Ipv6Addr::LOCALHOST, DNS_PORT))];
    }
    plan
}

fn name_server(text: &str, zone_index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let Some((address, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
    };
    let scope = zone.parse().ok().or_else(|| zone_index(zone))?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, scope)))
}

fn apply_option(plan: &mut ResolvConf, option: &str) {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    match option.split_once(':') {
        Some(("ndots", value)) => plan.ndots = usize::try_from(number(value).min(15)).unwrap_or(15),
        Some(("timeout", value)) => plan.timeout = Duration::from_secs(number(value).clamp(1, 30).into()),
        Some(("attempts", value)) => plan.attempts = number(value).clamp(1, 5),
        None if option == "rotate" => plan.rotate = true,
        None if matches!(option, "use-vc" | "usevc" | "tcp") => plan.use_tcp = true,
        _ => {}
    }
}

/// Lines without a byte order mark, and without the carriage return of other systems.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_prefix('\u{feff}').unwrap_or(text).lines()
}

/// A file's text, or `None` when it does not exist. Bytes that are no UTF-8 are replaced.
fn bounded_text(path: &Path) -> Result<Option<String>, String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !metadata.is_file() {
        return Err("not a regular file, left out".into());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

const RECENT_COUNTS_FOR: Duration = Duration::from_secs(1);
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const NSSWITCH: &str = "/etc/nsswitch.conf";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
const DNS_PORT: u16 = 53;
/// The C library and Go use no more.
const MOST_SERVERS: usize = 3;
const MOST_DOMAINS: usize = 32;
const MOST_MODULES: usize = 32;
const MOST_ADDRESSES: usize = 64;
const MOST_OTHER_LINES: usize = 16;
const MOST_NOTES: usize = 8;
/// Block lists in hosts files reach several megabytes (bytes).
const LARGEST_FILE: u64 = 16 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolv(text: &str) -> ResolvConf {
        parse_resolv_conf(text, "node.corp.test", |zone| (zone == "eth0").then_some(7))
    }

    fn servers(text: &str) -> Vec<String> {
        resolv(text).nameservers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn name_servers_are_the_first_three_that_are_addresses() {
        for (text, expected) in [
            ("", vec!["127.0.0.1:53", "[::1]:53"]),
            ("# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", vec!["127.0.0.1:53", "[::1]:53"]),
            ("nameserver 192.0.2.1\nnameserver\t2001:db8::1 trailing\n", vec!["192.0.2.1:53", "[2001:db8::1]:53"]),
            ("\u{feff}nameserver 192.0.2.1\r\nnameserver [2001:db8::1]\r\n", vec!["192.0.2.1:53", "[2001:db8::1]:53"]),
            ("nameserver fe80::1%eth0\nnameserver fe80::2%3", vec!["[fe80::1%7]:53", "[fe80::2%3]:53"]),
            ("nameserver fe80::1%gone\nnameserver nonsense\nnameserver 192.0.2.4", vec!["192.0.2.4:53"]),
            (
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4",
                vec!["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"],
            ),
        ] {
            assert_eq!(servers(text), expected, "{text:?}");
        }
        assert_eq!(resolv("nameserver x\x1b[2J").notes, ["resolv.conf line 1: x [2J is no address of a server"]);
    }

    #[test]
    fn search_domains_are_those_of_the_last_line_or_of_the_host() {
        for (text, expected) in [
            ("", vec!["corp.test"]),
            ("search a.test b.test.\n", vec!["a.test", "b.test"]),
            ("search a.test\ndomain d.test\n", vec!["d.test"]),
            ("domain d.test\nsearch a.test\n", vec!["a.test"]),
            ("search .\n", vec![]),
            ("search\n", vec![]),
        ] {
            assert_eq!(resolv(text).search, expected, "{text:?}");
        }
        assert!(parse_resolv_conf("", "node", |_| None).search.is_empty());
    }

    #[test]
    fn options_have_bounds() {
        let plan = resolv("options ndots:5 timeout:2 attempts:3 rotate edns0\noptions use-vc trust-ad");
        assert_eq!((plan.ndots, plan.timeout.as_secs(), plan.attempts), (5, 2, 3));
        assert!(plan.rotate && plan.use_tcp);
        let plan = resolv("options ndots:99 timeout:0 attempts:999999999999 ndots timeout:x");
        assert_eq!((plan.ndots, plan.timeout.as_secs(), plan.attempts), (15, 1, 1));
        let plan = resolv("");
        assert_eq!((plan.ndots, plan.timeout.as_secs(), plan.attempts, plan.use_tcp), (1, 5, 2, false));
    }

    #[test]
    fn hosts_files_are_read_line_by_line() {
        let text = "\u{feff}127.0.0.1\tlocalhost\r\n# 192.0.2.1 api.test\r\n192.0.2.2 first API.Test. #api2.test\r\n\
                    not-an-address api.test\r\n2001:db8::2   api.test\r\n192.0.2.2 api.test\r\nfe80::1%eth0 scoped\r\n";
        let found = parse_hosts(text, "api.TEST.").unwrap();
        assert_eq!(found.addresses, ["192.0.2.2".parse::<IpAddr>().unwrap(), "2001:db8::2".parse().unwrap()]);
        assert_eq!((found.line, found.text.as_str()), (3, "192.0.2.2 first API.Test. #api2.test"));
        assert_eq!(found.other_lines, [5, 6]);
        for absent in ["api2.test", "192.0.2.2", "api", "", "not-an-address"] {
            assert_eq!(parse_hosts(text, absent), None, "{absent}");
        }
        assert_eq!(parse_hosts(text, "scoped").unwrap().notes.len(), 1);
        let many = (0..5_000).fold(String::new(), |text, n| text + &format!("10.0.{}.{} api.test\n", n / 250, n % 250));
        let found = parse_hosts(&many, "api.test").unwrap();
        assert_eq!((found.addresses.len(), found.other_lines.len()), (64, 16));
    }

    #[test]
    fn nsswitch_orders_are_those_of_go() {
        for (text, order) in [
            ("", LookupOrder::FilesDns),
            ("passwd: files\n", LookupOrder::FilesDns),
            ("hosts: files dns", LookupOrder::FilesDns),
            ("hosts:\tdns files # comment", LookupOrder::DnsFiles),
            ("hosts: files", LookupOrder::Files),
            ("hosts: dns", LookupOrder::Dns),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns mymachines", LookupOrder::FilesDns),
            ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", LookupOrder::FilesDns),
            ("hosts: resolve files", LookupOrder::DnsFiles),
            ("hosts: files resolve", LookupOrder::FilesDns),
            ("hosts: sss", LookupOrder::Dns),
            ("hosts: files dns\nhosts: dns\n", LookupOrder::Dns),
        ] {
            assert_eq!(LookupOrder::of(&parse_nsswitch(text)), order, "{text:?}");
        }
        let modules = parse_nsswitch("hosts: files mdns4_minimal [NOTFOUND=return]resolve [!UNAVAIL=return] dns");
        let stops: Vec<(&str, bool)> =
            modules.iter().map(|module| (module.name.as_str(), module.stops_when_not_found)).collect();
        assert_eq!(stops, [("files", false), ("mdns4_minimal", true), ("resolve", true), ("dns", false)]);
    }

    #[test]
    fn where_the_c_library_differs_is_noted_only_where_it_matters() {
        let configuration = |nsswitch: &str, resolv_conf: &str| {
            let files = SystemFiles {
                nsswitch: Some(nsswitch.into()),
                resolv_conf: Some(resolv_conf.into()),
                hostname: "node".into(),
                ..SystemFiles::default()
            };
            SystemConfiguration::parse(&files, |_| None)
        };
        let usual = "hosts: files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns myhostname";
        let stub = configuration(usual, "nameserver 127.0.0.53");
        assert!(stub.notes_for("api.example.test").is_empty());
        assert!(stub.notes_for("api.local")[0].contains("mdns4_minimal [NOTFOUND=return]"));
        assert!(stub.notes_for("NODE")[0].contains("own name"));
        let beside_stub = configuration(usual, "nameserver 192.0.2.1");
        assert!(beside_stub.notes_for("api.example.test")[0].contains("systemd-resolved"));
        let unknown = configuration("hosts: files sss dns", "");
        assert_eq!(unknown.notes_for("api.example.test").len(), 1);
        let stops = configuration("hosts: files [NOTFOUND=return] dns", "");
        assert!(stops.notes_for("api.example.test")[0].contains("nothing beyond the hosts file"));
    }

    #[test]
    fn what_is_no_file_is_noted_or_absent() {
        assert_eq!(bounded_text(Path::new("/nonexistent/hosts")), Ok(None));
        assert!(bounded_text(Path::new("/dev")).unwrap_err().contains("not a regular file"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in "(hosts:|nameserver|search|options|[\\[\\]!=:#%. \\n\\r\\t]|\\PC){0,60}") {
            let plan = resolv(&text);
            prop_assert!((1..=3).contains(&plan.nameservers.len()));
            let _ = LookupOrder::of(&parse_nsswitch(&text));
            let _ = parse_hosts(&text, &text);
            let _ = crate::system::search_list(&text, &plan.search, plan.ndots);
        }
    }
}
