//! The URL of an API server, as `endpoint`, `--server` and a kubeconfig's `server` carry it.

use std::net::IpAddr;

use kubereach_probes::Endpoint;
use url::{Host, Url};

/// Where an API server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEndpoint {
    /// Host name or address.
    pub host: String,
    /// Port, 443 unless given.
    pub port: u16,
    /// Path below which the API lives, empty or starting with `/`, without trailing slash.
    pub base_path: String,
}

impl std::fmt::Display for ClusterEndpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoint = Endpoint { host: self.host.clone(), port: self.port };
        write!(formatter, "https://{endpoint}{}", self.base_path)
    }
}

/// Why a URL cannot be that of an API server, and how to mend it. Neither repeats what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrlError {
    /// What is wrong. No final full stop.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// Reads `https://host[:port][/path]`. The host loses brackets and the trailing dot; the port defaults to 443; an
/// internationalised name becomes its ASCII form.
pub fn parse_server_url(text: &str) -> Result<ClusterEndpoint, ServerUrlError> {
    let text = text.trim();
    let wrong = |message: &str, help: &str| ServerUrlError {
        message: message.to_owned(),
        help: (!help.is_empty()).then(|| help.to_owned()),
    };
    let shape = "write it as `https://host` or `https://host:port`";
    if text.is_empty() {
        return Err(wrong("the URL is empty", shape));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong("the URL has no scheme, but `https://` was expected", shape));
    };
    if scheme.eq_ignore_ascii_case("http") {
        return Err(wrong("the URL is `http`, but an API server is reached by `https`", shape));
    }
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(wrong("the URL's scheme is not `https`", shape));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(wrong(
            "the URL carries user information",
            "remove what stands before `@`; kubereach sends no password in a URL",
        ));
    }
    let port_text = match authority.rsplit_once(':') {
        Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => Some(port),
        _ => None,
    };
    if let Some(port) = port_text {
        check_port(port).map_err(|message| wrong(&message, "a port is a number from 1 to 65535"))?;
    }
    let url = Url::parse(text).map_err(|error| wrong(&format!("the URL cannot be read: {error}"), shape))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the URL carries a query or a fragment", "remove what follows `?` or `#`"));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
        Some(Host::Ipv4(address)) => {
            if !authority.starts_with(&address.to_string()) {
                let help = format!("as written it would be read as {address}");
                return Err(wrong("the URL's host is neither a name nor a complete address", &help));
            }
            address.to_string()
        }
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    if host.is_empty() {
        return Err(wrong("the URL names no host", shape));
    }
    if host.len() > 253 || host.split('.').any(|label| label.is_empty() || label.len() > 63) && !host.contains(':') {
        return Err(wrong(
            "the URL's host is not a valid name",
            "a label is 1 to 63 characters long, a name at most 253",
        ));
    }
    let base_path = url.path().trim_end_matches('/').to_owned();
    Ok(ClusterEndpoint { host, port: url.port().unwrap_or(443), base_path })
}

/// A port from its text, or what is wrong with it.
pub(crate) fn check_port(text: &str) -> Result<u16, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number".to_owned());
    }
    match text.parse::<u16>() {
        Ok(0) => Err("port 0 cannot be connected to".to_owned()),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("port {} is greater than 65535", text.chars().take(20).collect::<String>())),
    }
}

/// Splits `host:port`, `host`, `[v6]:port`, `[v6]` or a bare IPv6 address.
pub(crate) fn split_host_port(text: &str) -> Result<(String, Option<u16>), String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address.to_string(), None));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, tail) = rest.split_once(']').ok_or("the bracket `[` is not closed")?;
        if !inside.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
            return Err("brackets hold an IPv6 address".to_owned());
        }
        match tail {
            "" => (inside, None),
            tail => (inside, Some(tail.strip_prefix(':').ok_or("only `:port` may follow `]`")?)),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address with a port needs brackets".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("the host is empty".to_owned());
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'))
        || host.len() > 253
    {
        return Err("the host is not a valid name".to_owned());
    }
    Ok((host.trim_end_matches('.').to_ascii_lowercase(), port.map(check_port).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers_are_read() {
        for (text, host, port, path) in [
            ("https://prod.example.com", "prod.example.com", 443, ""),
            ("https://Prod.Example.com.:6443/", "prod.example.com", 6443, ""),
            ("https://10.0.0.1:443", "10.0.0.1", 443, ""),
            ("https://[2001:db8::1]:6443", "2001:db8::1", 6443, ""),
            ("https://[2001:db8::1]", "2001:db8::1", 443, ""),
            ("https://rancher.example.com/k8s/clusters/c-1/", "rancher.example.com", 443, "/k8s/clusters/c-1"),
            ("HTTPS://b\u{fc}cher.example", "xn--bcher-kva.example", 443, ""),
        ] {
            let endpoint = ClusterEndpoint { host: host.into(), port, base_path: path.into() };
            assert_eq!(parse_server_url(text), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_says_why() {
        for (text, part) in [
            ("", "empty"),
            ("prod.example.com:443", "no scheme"),
            ("http://prod.example.com", "`http`"),
            ("ftp://prod.example.com", "not `https`"),
            ("https://user:hunter2@prod.example.com", "user information"),
            ("https://prod.example.com?x=1", "query"),
            ("https://prod.example.com#x", "fragment"),
            ("https://prod.example.com:0", "port 0"),
            ("https://prod.example.com:65536", "greater than 65535"),
            ("https://prod.example.com:x", "not a number"),
            ("https://", "empty host"),
            ("https://:443", "empty host"),
            ("https://10.1", "complete address"),
            ("https://a..b", "valid name"),
            ("https://a b", "cannot be read"),
        ] {
            let error = parse_server_url(text).unwrap_err();
            assert!(error.message.contains(part), "{text}: {}", error.message);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn hosts_and_ports_are_split() {
        assert_eq!(split_host_port("9.9.9.9"), Ok(("9.9.9.9".into(), None)));
        assert_eq!(split_host_port("9.9.9.9:5353"), Ok(("9.9.9.9".into(), Some(5353))));
        assert_eq!(split_host_port("2001:db8::1"), Ok(("2001:db8::1".into(), None)));
        assert_eq!(split_host_port("[2001:db8::1]:53"), Ok(("2001:db8::1".into(), Some(53))));
        assert_eq!(split_host_port("Control.example.com:443"), Ok(("control.example.com".into(), Some(443))));
        for bad in ["", ":53", "a:0", "a:70000", "[::1", "[x]:1", "[::1]x", "a b", "1:2:3:x"] {
            assert!(split_host_port(bad).is_err(), "{bad}");
        }
    }
}
