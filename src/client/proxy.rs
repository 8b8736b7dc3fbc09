//! What Go's HTTP client, and so kubectl, does about proxies.
//!
//! The rules are those of `golang.org/x/net/http/httpproxy` and of client-go's `proxy-url`: the latter wins and knows
//! no exceptions; otherwise `HTTPS_PROXY` (upper case first) unless `NO_PROXY` matches. An empty variable is no variable.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::{ProxyScheme, ProxyTarget};
use url::{Host, Url};

use super::{ProxyEnvironment, ProxySetting};

/// The proxy that kubectl uses for `https://host:port`, the one it leaves aside, and what is wrong with the settings.
///
/// Go hands the name to a `socks5` proxy unresolved, so such a setting comes back as [`ProxyScheme::Socks5h`].
pub fn proxy_for(
    host: &str,
    port: u16,
    kubeconfig_proxy: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> ProxyEnvironment {
    let mut found = ProxyEnvironment::default();
    let host = ascii_host(host);
    if let Some(text) = kubeconfig_proxy.filter(|text| !text.is_empty()) {
        let source = "proxy-url of the kubeconfig".to_owned();
        let target = kubeconfig_target(text, &mut found.problems);
        found.used = Some(ProxySetting { source, target });
        return found;
    }
    let variable = first_set(environment, &["HTTPS_PROXY", "https_proxy"]);
    let no_proxy = first_set(environment, &["NO_PROXY", "no_proxy"]);
    compare_cases(environment, "HTTPS_PROXY", "https_proxy", &mut found.problems);
    compare_cases(environment, "NO_PROXY", "no_proxy", &mut found.problems);
    let entries = no_proxy.as_ref().map(|(name, value)| read_no_proxy(name, value)).unwrap_or_default();
    let Some((name, value)) = variable else {
        report_unused(environment, &mut found);
        return found;
    };
    found.problems.extend(entries.problems);
    let target = environment_target(name, &value, &mut found.problems);
    let setting = ProxySetting { source: name.to_owned(), target };
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()) {
        found.notes.push("Go never uses a proxy for localhost and loopback addresses".to_owned());
        found.bypassed = Some(setting);
        return found;
    }
    if let Some(matcher) = entries.matchers.iter().find(|matcher| matcher.matches(&host, port)) {
        found.bypassed = Some(setting);
        found.no_proxy_entry = Some(matcher.text.clone());
    } else {
        let ranges: Vec<&str> = entries
            .matchers
            .iter()
            .filter(|matcher| matches!(matcher.rule, Rule::Range(_)))
            .map(|matcher| matcher.text.as_str())
            .collect();
        if !ranges.is_empty() && host.parse::<IpAddr>().is_err() {
            found.notes.push(format!(
                "the ranges in NO_PROXY ({}) match only endpoints given by address: Go does not resolve a name to compare it",
                ranges.join(", ")
            ));
        }
        found.used = Some(setting);
    }
    found
}

/// Reads the URL of a proxy: `http`, `https`, `socks5` or `socks5h`; `host:port` alone is taken as `http`, as Go does.
///
/// Ports default to 80, 443 and 1080. Credentials are split off and decoded. The error names neither them nor the URL.
pub fn parse_proxy_url(text: &str) -> Result<ProxyTarget, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the proxy's URL is empty".to_owned());
    }
    let with_scheme;
    let full = if text.contains("://") {
        text
    } else {
        with_scheme = format!("http://{text}");
        &with_scheme
    };
    let scheme_text = full.split("://").next().unwrap_or_default().to_ascii_lowercase();
    let scheme = match scheme_text.as_str() {
        "http" => ProxyScheme::Http,
        "https" => ProxyScheme::Https,
        "socks5" => ProxyScheme::Socks5,
        "socks5h" => ProxyScheme::Socks5h,
        other if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) && other.len() <= 16 => {
            return Err(format!("the proxy scheme `{other}` is not known; expected http, https, socks5 or socks5h"));
        }
        _ => return Err("the proxy scheme is not known; expected http, https, socks5 or socks5h".to_owned()),
    };
    let url = Url::parse(full).map_err(|error| format!("the proxy's URL cannot be read: {error}"))?;
    let host = match url.host() {
        // A scheme that the URL standard does not know leaves the host as it is.
        Some(Host::Domain(name)) => ascii_host(&decode(name)),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    if host.is_empty() {
        return Err("the proxy's URL names no host".to_owned());
    }
    if host.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err("the host in the proxy's URL is not a valid name".to_owned());
    }
    let port = match url.port_or_known_default() {
        Some(0) => return Err("the proxy's port is 0".to_owned()),
        Some(port) => port,
        None => 1080,
    };
    let credentials = (!url.username().is_empty() || url.password().is_some())
        .then(|| (decode(url.username()), decode(url.password().unwrap_or_default())));
    Ok(ProxyTarget { scheme, host, port, credentials, authorities: None })
}

/// A URL with a scheme of letters and a port, read as that of an HTTP proxy.
fn as_http_proxy(value: &str) -> Option<ProxyTarget> {
    let (scheme, rest) = value.trim().split_once("://")?;
    let named = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let url = Url::parse(&format!("http://{rest}")).ok()?;
    // Port 80 is the default of the scheme that we put in, so that the parser drops it.
    let has_port = url.port().is_some() || rest.split(['/', '?', '#']).next()?.ends_with(":80");
    (named && has_port).then(|| parse_proxy_url(&format!("http://{rest}")).ok())?
}

fn environment_target(name: &str, value: &str, problems: &mut Vec<String>) -> Option<ProxyTarget> {
    let mut target = match parse_proxy_url(value) {
        Ok(target) => target,
        Err(message) => {
            // Go takes any scheme that it does not know for an HTTP proxy, as long as the port is there.
            let Some(target) = as_http_proxy(value) else {
                problems.push(format!("{name}: {message}"));
                return None;
            };
            problems.push(format!("{name}: {message}; kubectl speaks HTTP to it all the same"));
            target
        }
    };
    if !value.contains("://") {
        problems.push(format!("{name} has no scheme; Go assumes `http://`, other programs may not"));
    }
    if value.trim() != value {
        problems.push(format!("{name} begins or ends with white space"));
    }
    match target.scheme {
        ProxyScheme::Socks5 => target.scheme = ProxyScheme::Socks5h,
        ProxyScheme::Socks5h => problems.push(format!(
            "{name} uses the scheme socks5h, which kubectl before 1.32 looks up as a host name (`lookup socks5h`); write socks5, whose names Go leaves to the proxy as well"
        )),
        ProxyScheme::Http | ProxyScheme::Https => {}
    }
    Some(target)
}

/// client-go is stricter about `proxy-url` than Go is about the environment.
fn kubeconfig_target(text: &str, problems: &mut Vec<String>) -> Option<ProxyTarget> {
    if !text.contains("://") {
        problems.push("proxy-url has no scheme; kubectl refuses it: expected http, https or socks5".to_owned());
        return None;
    }
    match parse_proxy_url(text) {
        Ok(mut target) => {
            match target.scheme {
                ProxyScheme::Socks5 => target.scheme = ProxyScheme::Socks5h,
                ProxyScheme::Socks5h => problems.push(
                    "proxy-url uses the scheme socks5h; kubectl documents http, https and socks5 only, and leaves the names to a socks5 proxy as well"
                        .to_owned(),
                ),
                ProxyScheme::Http | ProxyScheme::Https => {}
            }
            Some(target)
        }
        Err(message) => {
            problems.push(format!("proxy-url: {message}"));
            None
        }
    }
}

/// Variables that look as if they gave kubectl a proxy, but do not.
fn report_unused(environment: &dyn Fn(&str) -> Option<String>, found: &mut ProxyEnvironment) {
    if let Some((name, _)) = first_set(environment, &["ALL_PROXY", "all_proxy"]) {
        found.problems.push(format!(
            "{name} is set, but kubectl ignores it (curl does not); set HTTPS_PROXY if kubectl should use the proxy"
        ));
    }
    if let Some((name, _)) = first_set(environment, &["HTTP_PROXY", "http_proxy"]) {
        found.notes.push(format!("{name} is set, but it does not apply to an `https` endpoint; only HTTPS_PROXY does"));
    }
}

fn compare_cases(environment: &dyn Fn(&str) -> Option<String>, upper: &str, lower: &str, problems: &mut Vec<String>) {
    if let (Some(first), Some(second)) = (set(environment, upper), set(environment, lower))
        && first.trim() != second.trim()
    {
        problems.push(format!("{upper} and {lower} differ: kubectl uses {upper}, curl and others use {lower}"));
    }
}

fn set(environment: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    environment(name).filter(|value| !value.is_empty())
}

fn first_set<'a>(environment: &dyn Fn(&str) -> Option<String>, names: &[&'a str]) -> Option<(&'a str, String)> {
    names.iter().find_map(|name| set(environment, name).map(|value| (*name, value)))
}

#[derive(Default)]
struct NoProxy {
    matchers: Vec<Matcher>,
    problems: Vec<String>,
}

/// One entry of `NO_PROXY`.
struct Matcher {
    /// As the user wrote it.
    text: String,
    rule: Rule,
}

enum Rule {
    /// `*` anywhere in the list.
    Everything,
    /// A range; matches addresses only.
    Range(IpNet),
    /// An address, perhaps with a port.
    Address(IpAddr, Option<String>),
    /// A domain with a leading dot, perhaps with a port; `itself` when the name without the dot matches too.
    Domain { suffix: String, itself: bool, port: Option<String> },
}

impl Matcher {
    fn matches(&self, host: &str, port: u16) -> bool {
        let same_port = |wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| *wanted == port.to_string());
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        match &self.rule {
            Rule::Everything => true,
            Rule::Range(range) => address.is_some_and(|address| range.contains(&address)),
            Rule::Address(wanted, port) => address == Some(wanted.to_canonical()) && same_port(port),
            Rule::Domain { suffix, itself, port } => {
                (host.ends_with(suffix.as_str()) || (*itself && host == &suffix[1..])) && same_port(port)
            }
        }
    }
}

fn read_no_proxy(name: &str, value: &str) -> NoProxy {
    let mut list = NoProxy::default();
    for text in value.split(',') {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if text == "*" {
            list.matchers = vec![Matcher { text: text.to_owned(), rule: Rule::Everything }];
            break;
        }
        match read_entry(&text.to_lowercase()) {
            Entry::Rule(rule) => list.matchers.push(Matcher { text: text.to_owned(), rule }),
            Entry::Ignored => {}
        }
        if let Some(problem) = problem_of(text) {
            let shown = crate::input::quoted(text);
            list.problems.push(format!("the entry {shown} of {name} {problem}"));
        }
    }
    list
}

enum Entry {
    Rule(Rule),
    Ignored,
}

/// As Go reads an entry, however odd it is.
fn read_entry(text: &str) -> Entry {
    if let Some(range) = go_cidr(text) {
        return Entry::Rule(Rule::Range(range));
    }
    let (host, port) = match go_split_host_port(text) {
        Some(("", _)) => return Entry::Ignored,
        Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
        None => (text, None),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Entry::Rule(Rule::Address(address, port));
    }
    let host = if host.starts_with("*.") { &host[1..] } else { host };
    if host.is_empty() {
        return Entry::Ignored;
    }
    let itself = !host.starts_with('.');
    let suffix = if itself { format!(".{}", ascii_host(host)) } else { format!(".{}", ascii_host(&host[1..])) };
    Entry::Rule(Rule::Domain { suffix, itself, port })
}

/// What a person probably meant that Go does not do.
fn problem_of(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        return Some("has a scheme; an entry is a name, an address or a range, so it matches nothing");
    }
    if text.contains(char::is_whitespace) {
        return Some("contains white space: Go separates entries by commas only, so it matches nothing");
    }
    if let Some((address, _)) = text.split_once('/') {
        if go_cidr(text).is_some() {
            return None;
        }
        return Some(if address.parse::<IpAddr>().is_ok() {
            "is not a valid range, so it matches nothing"
        } else {
            "contains a slash, but is no range, so it matches nothing"
        });
    }
    if text.strip_prefix("*.").unwrap_or(text).contains('*') {
        return Some("has a wildcard that Go does not honour; only `*` alone and a leading `*.` are");
    }
    if text.ends_with('.') && text.len() > 1 {
        return Some("ends with a dot; Go compares names as they are written, so it matches nothing");
    }
    if text
        .trim_end_matches('.')
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        && text.parse::<IpAddr>().is_err()
        && text.contains('.')
    {
        return Some("is part of an address; write a range such as `10.0.0.0/8`");
    }
    None
}

/// Go's `ParseCIDR`: host bits are allowed and dropped.
fn go_cidr(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().map(|range| range.trunc())
}

/// Go's `SplitHostPort`; `None` where it gives an error.
fn go_split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        let port = tail.strip_prefix(':')?;
        return (!host.contains('[') && !port.contains([':', '[', ']'])).then_some((host, port));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

/// The ASCII form of a name, lower case; the text itself where there is none.
fn ascii_host(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let bare = text.trim_matches(['[', ']']);
    if bare.parse::<IpAddr>().is_ok() {
        return bare.to_owned();
    }
    if text.is_ascii() {
        return text;
    }
    match Host::parse(&text) {
        Ok(Host::Domain(name)) => name,
        _ => text,
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            decoded.push(byte);
            index += 3;
        } else {
            decoded.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, port: u16, variables: &[(&str, &str)]) -> ProxyEnvironment {
        let environment =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        proxy_for(host, port, None, &environment)
    }

    /// Rows of Go's own tables: `NO_PROXY`, host, port, whether the proxy is used.
    #[test]
    fn no_proxy_matches_as_in_go() {
        for (no_proxy, host, port, used) in [
            ("", "example.com", 443, true),
            ("", "localhost", 443, false),
            ("", "127.0.0.1", 443, false),
            ("", "127.0.0.2", 443, false),
            ("", "[::1]", 443, false),
            ("", "::1", 443, false),
            ("", "::ffff:127.0.0.1", 443, false),
            ("", "localhost.example.com", 443, true),
            ("*", "example.com", 443, false),
            ("foo, *, bar", "example.com", 443, false),
            ("example.com", "example.com", 443, false),
            ("example.com", "EXAMPLE.com", 443, false),
            ("EXAMPLE.COM", "example.com", 443, false),
            ("example.com", "www.example.com", 443, false),
            ("example.com", "notexample.com", 443, true),
            (".example.com", "example.com", 443, true),
            (".example.com", "www.example.com", 443, false),
            ("*.example.com", "example.com", 443, true),
            ("*.example.com", "www.example.com", 443, false),
            ("*.example.com:8443", "www.example.com", 443, true),
            ("a*.example.com", "abc.example.com", 443, true),
            ("example.com:443", "example.com", 443, false),
            ("example.com:6443", "example.com", 443, true),
            ("  example.com , x", "example.com", 443, false),
            ("x example.com", "example.com", 443, true),
            ("https://example.com", "example.com", 443, true),
            ("10.0.0.0/8", "10.1.2.3", 443, false),
            ("10.1.2.3/8", "10.9.9.9", 443, false),
            ("10.0.0.0/8", "11.1.2.3", 443, true),
            ("10.0.0.0/8", "ten.example.com", 443, true),
            ("10.0.0.0/33", "10.1.2.3", 443, true),
            ("192.168.1.1:443", "192.168.1.1", 443, false),
            ("192.168.1.1:80", "192.168.1.1", 443, true),
            ("[2001:db8::1]:443", "2001:db8::1", 443, false),
            ("2001:db8::1", "2001:db8::1", 443, false),
            ("2001:db8::/32", "2001:db8:1::1", 443, false),
            ("2001:db8::52:0:1", "2001:db8:0:0:0:52:0:1", 443, false),
            (":80", "example.com", 80, true),
            ("example.com.", "example.com", 443, true),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", 443, false),
            (".", "example.com", 443, true),
            ("*.", "example.com", 443, true),
        ] {
            let found = ask(host, port, &[("HTTPS_PROXY", "http://proxy.example:3128"), ("NO_PROXY", no_proxy)]);
            assert_eq!(found.used.is_some(), used, "NO_PROXY={no_proxy} {host}:{port}");
            assert_eq!(found.bypassed.is_some(), !used, "NO_PROXY={no_proxy} {host}:{port}");
        }
    }

    #[test]
    fn upper_case_comes_first_and_empty_is_unset() {
        let found = ask("a.example", 443, &[("HTTPS_PROXY", "http://one:1"), ("https_proxy", "http://two:2")]);
        assert_eq!(found.used.unwrap().target.unwrap().host, "one");
        assert!(found.problems.iter().any(|problem| problem.contains("differ")));
        let found = ask("a.example", 443, &[("HTTPS_PROXY", ""), ("https_proxy", "http://two:2")]);
        let used = found.used.unwrap();
        assert_eq!((used.source.as_str(), used.target.unwrap().host.as_str()), ("https_proxy", "two"));
        assert!(found.problems.is_empty());
        let found = ask("a.example", 443, &[("HTTP_PROXY", "http://one:1")]);
        assert!(found.used.is_none() && found.problems.is_empty() && found.notes.len() == 1);
        let found = ask("a.example", 443, &[("ALL_PROXY", "socks5://one:1")]);
        assert!(found.used.is_none() && found.problems[0].contains("ALL_PROXY"));
    }

    #[test]
    fn the_matching_entry_is_named() {
        let variables = [("https_proxy", "http://p:3128"), ("no_proxy", "foo.example, .Amazonaws.com,10.0.0.0/8")];
        let found = ask("x.gr7.eu-west-1.eks.amazonaws.com", 443, &variables);
        assert_eq!(found.no_proxy_entry.as_deref(), Some(".Amazonaws.com"));
        assert!(found.problems.is_empty());
        let found = ask("other.example", 443, &variables);
        assert!(found.notes[0].contains("10.0.0.0/8"));
    }

    #[test]
    fn what_go_does_not_honour_is_told() {
        for (entry, part) in [
            ("https://a.example", "scheme"),
            ("a.example b.example", "commas only"),
            ("10.0.0.0/99", "not a valid range"),
            ("a.example/x", "slash"),
            ("a.*.example", "wildcard"),
            ("10.*", "wildcard"),
            ("10.0.", "dot"),
            ("10.0", "part of an address"),
        ] {
            let found = ask("x.example", 443, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", entry)]);
            assert!(found.problems.iter().any(|problem| problem.contains(part)), "{entry}: {:?}", found.problems);
        }
        let good = "localhost,127.0.0.1,::1,[::1]:443,.svc,*.corp.example,corp.example:443,10.0.0.0/8,169.254.169.254";
        let found = ask("x.example", 443, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", good)]);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }

    #[test]
    fn kubeconfig_wins_and_knows_no_exceptions() {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://other:1".to_owned()),
            "NO_PROXY" => Some("*".to_owned()),
            _ => None,
        };
        let found = proxy_for("localhost", 443, Some("socks5://user:hunter2@p.example"), &environment);
        let used = found.used.unwrap();
        let target = used.target.unwrap();
        assert_eq!((target.scheme, target.host.as_str(), target.port), (ProxyScheme::Socks5h, "p.example", 1080));
        assert_eq!(target.credentials, Some(("user".into(), "hunter2".into())));
        for bad in ["p.example:3128", "ftp://user:hunter2@p.example", "http://"] {
            let found = proxy_for("a.example", 443, Some(bad), &environment);
            assert!(found.used.unwrap().target.is_none(), "{bad}");
            assert_eq!(found.problems.len(), 1);
            assert!(!found.problems[0].contains("hunter2"));
        }
    }

    #[test]
    fn proxy_urls_are_read() {
        for (text, scheme, host, port) in [
            ("http://p", ProxyScheme::Http, "p", 80),
            ("https://p", ProxyScheme::Https, "p", 443),
            ("https://p:8443", ProxyScheme::Https, "p", 8443),
            ("socks5://p", ProxyScheme::Socks5, "p", 1080),
            ("socks5h://P:9/", ProxyScheme::Socks5h, "p", 9),
            ("p:3128", ProxyScheme::Http, "p", 3128),
            ("p.example", ProxyScheme::Http, "p.example", 80),
            ("http://[2001:db8::1]:3128", ProxyScheme::Http, "2001:db8::1", 3128),
            ("socks5://[2001:db8::1]", ProxyScheme::Socks5, "2001:db8::1", 1080),
        ] {
            let target = parse_proxy_url(text).unwrap();
            assert_eq!((target.scheme, target.host.as_str(), target.port), (scheme, host, port), "{text}");
        }
        let target = parse_proxy_url("http://us%40er:p%3Aw%@p:1").unwrap();
        assert_eq!(target.credentials, Some(("us@er".into(), "p:w%".into())));
        for bad in ["", "http://", "gopher://user:hunter2@p", "http://user:hunter2@p:99999", "http://a b", "socks4://p"]
        {
            let message = parse_proxy_url(bad).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
