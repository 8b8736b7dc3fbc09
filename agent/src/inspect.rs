//! What an order may hold. Pure: an order, an allow list and a clock in; what may be done, or a refusal, out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubereach_probes::{EchoScheme, EchoServer, Options, Target};

use crate::{
    allow::{AllowList, check_name},
    order::{LONGEST_VALIDITY, Order, PROTOCOL, ProbeOrder, Refusal},
};

/// An order that may be carried out.
#[derive(Debug)]
pub(crate) struct Permitted {
    pub(crate) target: Target,
    pub(crate) options: Options,
    /// What of the order is not done, a sentence each.
    pub(crate) left_out: Vec<String>,
    /// How long anybody waits for it.
    pub(crate) remaining: Duration,
}

/// A refusal and its words.
pub(crate) type Refused = (Refusal, String);

/// Reads an order against the agent's name, its allow list and its clock.
///
/// # Errors
/// Why it is not carried out.
pub(crate) fn inspect(
    order: &Order,
    name: Option<&str>,
    allow: &AllowList,
    now: Timestamp,
) -> Result<Permitted, Refused> {
    if order.protocol != PROTOCOL {
        let detail = format!("the order is of version {}, and this agent speaks version {PROTOCOL}", order.protocol);
        return Err((Refusal::OtherVersion, detail));
    }
    let malformed = |detail: String| (Refusal::Malformed, detail);
    check_names(order).map_err(malformed)?;
    if let Some(name) = name
        && order.agent != name
    {
        return Err((Refusal::NotForThisAgent, format!("the order is for {}, and this agent is {name}", order.agent)));
    }
    let remaining = check_times(order, now)?;
    bounded(&order.probe).map_err(malformed)?;
    let mut left_out = Vec::new();
    let probe = trimmed(&order.probe, &mut left_out);
    let probe = within(probe, allow, &mut left_out).map_err(|detail| (Refusal::NotPermitted, detail))?;
    let (mut target, mut options) = probe.unpack(allow.permit()).map_err(malformed)?;
    // Names are compared without regard to case; what goes on the wire is one form of them.
    target.host.make_ascii_lowercase();
    clamp(&mut options, &mut left_out);
    Ok(Permitted { target, options, left_out, remaining })
}

/// Whether the names in a reply can be those of this order.
pub(crate) fn check_names(order: &Order) -> Result<(), String> {
    check_id(&order.id)?;
    if order.agent.len() > 255 || !order.agent.bytes().all(|letter| letter.is_ascii_graphic()) {
        return Err("`agent` is no name".to_owned());
    }
    Ok(())
}

/// Whether this can name an order.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        Ok(())
    } else {
        Err("an order's `id` has 1 to 64 letters, digits and hyphens".to_owned())
    }
}

fn check_times(order: &Order, now: Timestamp) -> Result<Duration, Refused> {
    let (issued, expires) = (order.issued_at, order.expires_at);
    let clocks =
        format!("the controller's clock said {issued:.0} when it issued the order, this agent's says {now:.0}");
    let longest = SignedDuration::try_from(LONGEST_VALIDITY).unwrap_or(SignedDuration::MAX);
    let refused = |words: String| Err((Refusal::Expired, format!("{words}; {clocks}")));
    if expires.duration_since(issued) > longest {
        return refused(format!(
            "the order is valid until {expires:.0}, longer than the {LONGEST_VALIDITY:?} of an order"
        ));
    }
    if expires <= now {
        return refused(format!("the order expired at {expires:.0}"));
    }
    if expires.duration_since(now) > longest {
        return refused(format!(
            "the order is valid until {expires:.0}, which lies further ahead than {LONGEST_VALIDITY:?}"
        ));
    }
    Ok(Duration::try_from(expires.duration_since(now)).unwrap_or_default())
}

/// Bounds of lists and texts, and what kubereach itself would never write.
fn bounded(probe: &ProbeOrder) -> Result<(), String> {
    check_host("host", &probe.host)?;
    if probe.port == 0 {
        return Err("`port` is a number from 1 to 65535".to_owned());
    }
    check_path(&probe.base_path).map_err(|reason| format!("`basePath`: {reason}"))?;
    if let Some(name) = &probe.server_name {
        check_host("serverName", name)?;
    }
    if let Some(request) = probe.requests.iter().find(|request| !REQUESTS.contains(&request.as_str())) {
        return Err(format!("the request {request:?} is none of {}", REQUESTS.join(", ")));
    }
    let authorities = probe.certificate_authorities.as_deref().into_iter();
    let texts = authorities.chain(probe.other_authorities.iter().map(|(_, pem)| pem.as_str()));
    if texts.map(str::len).sum::<usize>() > MAXIMUM_AUTHORITY_BYTES {
        return Err(format!("the certificate authorities have more than {MAXIMUM_AUTHORITY_BYTES} bytes"));
    }
    for (list, length, maximum) in [
        ("otherAuthorities", probe.other_authorities.len(), 64),
        ("knownAddresses", probe.known_addresses.len(), 64),
        // They decide: none of them can be left out.
        ("systemResolver", probe.system_resolver.as_ref().map_or(0, Vec::len), 64),
        ("private", probe.private.len(), 1024),
        ("public", probe.public.len(), 1024),
        ("requests", probe.requests.len(), REQUESTS.len()),
    ] {
        if length > maximum {
            return Err(format!("`{list}` has {length} entries, and at most {maximum} were expected"));
        }
    }
    let labels = probe.other_authorities.iter().map(|(label, _)| label);
    for label in labels.chain(probe.resolvers.iter().map(|resolver| &resolver.label)) {
        if label.len() > 255 || label.chars().any(char::is_control) {
            return Err("a label has at most 255 bytes and no control characters".to_owned());
        }
    }
    Ok(())
}

/// The order without what is beside what decides and more than this agent does, or not as kubereach would write it: that
/// is left out, and named.
fn trimmed(probe: &ProbeOrder, left_out: &mut Vec<String>) -> ProbeOrder {
    let mut probe = probe.clone();
    shorten("resolvers", &mut probe.resolvers, MAXIMUM_RESOLVERS, left_out);
    for resolver in &mut probe.resolvers {
        shorten(
            &format!("servers of the resolver {}", resolver.label),
            &mut resolver.servers,
            MAXIMUM_SERVERS,
            left_out,
        );
    }
    shorten("controls", &mut probe.controls, MAXIMUM_CONTROLS, left_out);
    shorten("echo servers", &mut probe.echo, MAXIMUM_ECHO_SERVERS, left_out);
    // What cannot be read is not repeated: it is named by its place in the order.
    let mut place = 0;
    probe.controls.retain(|control| {
        place += 1;
        let checked = check_host("host", &control.host);
        checked.map_err(|reason| left_out.push(format!("control {place}: {reason}"))).is_ok()
    });
    place = 0;
    probe.echo.retain(|echo| {
        place += 1;
        let checked = check_host("host", &echo.host).and_then(|()| check_echo_path(echo));
        checked.map_err(|reason| left_out.push(format!("echo server {place}: {reason}"))).is_ok()
    });
    probe
}

fn shorten<T>(what: &str, list: &mut Vec<T>, maximum: usize, left_out: &mut Vec<String>) {
    if list.len() > maximum {
        left_out.push(format!("{what}: of {} this agent asks the first {maximum}", list.len()));
        list.truncate(maximum);
    }
}

fn check_echo_path(echo: &EchoServer) -> Result<(), String> {
    let stun = matches!(echo.scheme, EchoScheme::Stun | EchoScheme::StunTcp);
    if stun && !echo.path.is_empty() {
        return Err("an echo server that speaks STUN has no path".to_owned());
    }
    if echo.path.contains('?') {
        return Err("this agent asks no echo server with a query in its URL".to_owned());
    }
    check_path(echo.path.trim_end_matches('/'))
}

fn check_host(field: &str, host: &str) -> Result<(), String> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    check_name(host).map_err(|reason| format!("`{field}`: {reason}"))
}

/// A path without a query and without a way up, escaped or not: what stands before it in a request stays before it.
fn check_path(path: &str) -> Result<(), String> {
    // What a URL's path may hold as it stands.
    let plain = |letter: u8| letter.is_ascii_graphic() && !b"?#\"<>\\`{}".contains(&letter);
    let whole = path.is_empty() || (path.starts_with('/') && !path.ends_with('/') && path.bytes().all(plain));
    let meant = unescaped(path);
    let harmless = !meant.iter().any(u8::is_ascii_control);
    let up = meant.split(|byte| b"/\\".contains(byte)).any(|segment| segment == b"." || segment == b"..");
    if whole && harmless && !up && path.len() <= 512 {
        Ok(())
    } else {
        Err("a path of at most 512 letters, digits and marks between slashes was expected, without `.`, `..` and a query"
            .to_owned())
    }
}

/// The bytes that a path stands for; an escape that is none stays as it is.
fn unescaped(path: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut rest = path.as_bytes();
    let mut meant = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, after @ ..] if *first == b'%' => digit(high).zip(digit(low)).map(|digits| (digits, after)),
            _ => None,
        };
        match escape {
            Some(((high, low), after)) => {
                meant.push(high * 16 + low);
                rest = after;
            }
            None => {
                meant.push(*first);
                rest = tail;
            }
        }
    }
    meant
}

/// What of the order the allow list has. What decides must all be permitted; the rest is left out, and named.
fn within(mut probe: ProbeOrder, allow: &AllowList, left_out: &mut Vec<String>) -> Result<ProbeOrder, String> {
    if let Some(reason) = allow.refuses(&probe.host, probe.port) {
        return Err(reason);
    }
    let permit = allow.permit();
    for address in &probe.known_addresses {
        if let Some(reason) = permit.refuses((*address, probe.port).into()) {
            return Err(format!("{reason} (an address that the order names)"));
        }
    }
    for server in probe.system_resolver.iter().flatten() {
        if let Some(reason) = allow.refuses_resolver(*server) {
            return Err(format!("{reason}, and the order makes it the one that decides"));
        }
    }
    for resolver in &mut probe.resolvers {
        let label = resolver.label.clone();
        resolver.servers.retain(|server| match allow.refuses_resolver(*server) {
            None => true,
            Some(reason) => {
                left_out.push(format!("resolver {label}: {reason}"));
                false
            }
        });
    }
    probe.resolvers.retain(|resolver| !resolver.servers.is_empty());
    probe.controls.retain(|control| match allow.refuses(&control.host, control.port) {
        None => true,
        Some(reason) => {
            left_out.push(format!("control {control}: {reason}"));
            false
        }
    });
    probe.echo.retain(|echo: &EchoServer| match allow.refuses(&echo.host, echo.port) {
        None => true,
        Some(reason) => {
            left_out.push(format!("echo server {}: {reason}", echo.redacted()));
            false
        }
    });
    Ok(probe)
}

fn clamp(options: &mut Options, left_out: &mut Vec<String>) {
    for (what, timeout) in
        [("stage of a connection", &mut options.connect_timeout), ("lookup", &mut options.dns_timeout)]
    {
        let wanted = *timeout;
        *timeout = wanted.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
        if wanted > LONGEST_TIMEOUT {
            left_out.push(format!("a {what} is given {LONGEST_TIMEOUT:?} by this agent, not {wanted:?}"));
        }
    }
}

/// The requests that kubereach makes; an order names them below its base path.
const REQUESTS: [&str; 4] = ["/version", "/livez", "/readyz", "/healthz"];
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15);
const MAXIMUM_AUTHORITY_BYTES: usize = 192 * 1024;
const MAXIMUM_RESOLVERS: usize = 16;
const MAXIMUM_SERVERS: usize = 8;
const MAXIMUM_CONTROLS: usize = 16;
const MAXIMUM_ECHO_SERVERS: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kubereach_probes::{Endpoint, Service};
    use proptest::prelude::*;

    use super::*;
    use crate::order::{self, ResolverOrder};

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn order() -> Order {
        Order {
            protocol: PROTOCOL,
            id: "order-1".to_owned(),
            agent: "ops@bastion.example.com".to_owned(),
            issued_at: now(),
            expires_at: now() + Duration::from_mins(1),
            probe: ProbeOrder {
                host: "api.example.com".to_owned(),
                port: 443,
                base_path: "/k8s/clusters/c-m-1".to_owned(),
                server_name: None,
                certificate_authorities: None,
                other_authorities: Vec::new(),
                known_addresses: Vec::new(),
                service: Service::Kubernetes,
                connect_timeout_ms: 3000,
                dns_timeout_ms: 3000,
                system_resolver: None,
                resolvers: Vec::new(),
                private: Vec::new(),
                public: Vec::new(),
                controls: Vec::new(),
                requests: vec!["/version".to_owned(), "/livez".to_owned(), "/readyz".to_owned()],
                investigate: true,
                echo: Vec::new(),
            },
        }
    }

    fn changed(change: impl FnOnce(&mut Order)) -> Result<Permitted, Refused> {
        let mut order = order();
        change(&mut order);
        inspect(&order, None, &AllowList::default(), now())
    }

    fn refusal(change: impl FnOnce(&mut Order)) -> Refusal {
        changed(change).expect_err("a refusal").0
    }

    #[test]
    fn an_order_as_kubereach_writes_it_is_permitted() {
        let permitted = changed(|_| {}).unwrap();
        assert_eq!((permitted.left_out.len(), permitted.remaining), (0, Duration::from_mins(1)));
        assert_eq!(permitted.options.permit, AllowList::default().permit());
        assert!(permitted.options.proxy.is_none() && permitted.options.credentials.is_none());
    }

    #[test]
    fn only_requests_that_kubereach_makes_are_made() {
        for request in ["/api/v1/secrets", "/version?x", "/version/", "version", "", "/../version", "/livez/ping"] {
            assert_eq!(
                refusal(|order| order.probe.requests = vec![request.to_owned()]),
                Refusal::Malformed,
                "{request}"
            );
        }
        for path in [
            "/api/v1/namespaces/default/pods/a/exec?command=sh&x=",
            "/a#",
            "/a/../b",
            "/./a",
            "/a/%2e%2e",
            "a",
            "/",
            "/a/",
            "/a/.%2E/b",
            "/a%2f..%2fb",
            "/a%5c..",
            "/a%0d%0aHost:evil",
            "/a\\..\\b",
            "/a b",
            "/a\r\nHost: evil",
            "/ä",
        ] {
            assert_eq!(refusal(|order| order.probe.base_path = path.to_owned()), Refusal::Malformed, "{path}");
        }
    }

    #[test]
    fn paths_that_a_scenario_may_hold_are_permitted() {
        for path in ["", "/k8s/%41b", "/k8s//b", "//k8s", "/a%20b", "/a:b@c;d=e,f", "/a%", "/a%zz", "/a|b^c", "/a...b", "/..."] {
            assert!(changed(|order| order.probe.base_path = path.to_owned()).is_ok(), "{path}");
        }
    }

    #[test]
    fn one_echo_server_or_control_too_many_is_left_out_alone() {
        let echo = |path: &str| EchoServer {
            scheme: EchoScheme::Https,
            host: "echo.example".to_owned(),
            port: 443,
            path: path.to_owned(),
        };
        let control = |host: &str| Endpoint { host: host.to_owned(), port: 443 };
        let server = SocketAddr::from(([9, 9, 9, 9], 53));
        let permitted = changed(|order| {
            order.probe.echo = vec![echo("/ip?token=SESAME"), echo("/a b"), echo("/a%20b/"), echo("/")];
            order.probe.controls = [vec![control("a b")], vec![control("a.example"); 16]].concat();
        })
        .unwrap();
        assert_eq!((permitted.options.echo.len(), permitted.options.controls.len()), (2, 15));
        let left_out = permitted.left_out.join("\n");
        for word in
            ["controls: of 17 this agent asks the first 16", "control 1: ", "echo server 1: ", "echo server 2: "]
        {
            assert!(left_out.contains(word), "{word} in {left_out}");
        }
        assert!(!left_out.contains("SESAME"));
        let many = changed(|order| order.probe.echo = vec![echo("/ip"); 9]).unwrap();
        assert_eq!((many.options.echo.len(), many.left_out.len()), (8, 1));
        let mut left_out = Vec::new();
        let mut probe = order().probe;
        probe.resolvers = vec![ResolverOrder { label: "r".to_owned(), servers: vec![server; 9], eager: true }; 17];
        let probe = trimmed(&probe, &mut left_out);
        assert_eq!((probe.resolvers.len(), probe.resolvers[0].servers.len(), left_out.len()), (16, 8, 17));
    }

    #[test]
    fn a_name_is_a_name() {
        for host in ["", "a..b", "a b", "a/b", "user@host", "host:22", "127.1", "2130706433", "0x7f000001", "-a", "a\n"]
        {
            assert_eq!(refusal(|order| order.probe.host = host.to_owned()), Refusal::Malformed, "{host}");
            assert_eq!(refusal(|order| order.probe.server_name = Some(host.to_owned())), Refusal::Malformed, "{host}");
        }
        for id in ["", "a b", "../../etc/passwd", "é", &"a".repeat(65)] {
            assert_eq!(refusal(|order| order.id = id.to_owned()), Refusal::Malformed, "{id}");
        }
        assert_eq!(refusal(|order| order.agent = "a\u{1b}[2J".to_owned()), Refusal::Malformed);
        assert_eq!(refusal(|order| order.probe.port = 0), Refusal::Malformed);
    }

    #[test]
    fn lists_are_bounded() {
        let server = SocketAddr::from(([9, 9, 9, 9], 53));
        let changes: [fn(&mut ProbeOrder, usize); 4] = [
            |probe, count| probe.known_addresses = vec![[10, 0, 0, 1].into(); count],
            |probe, count| probe.private = vec!["10.0.0.0/8".parse().unwrap(); count],
            |probe, count| probe.other_authorities = vec![("a".to_owned(), String::new()); count],
            |probe, count| probe.requests = vec!["/version".to_owned(); count],
        ];
        for change in changes {
            assert_eq!(refusal(|order| change(&mut order.probe, 2000)), Refusal::Malformed);
        }
        assert_eq!(refusal(|order| order.probe.system_resolver = Some(vec![server; 65])), Refusal::Malformed);
        let pem = "x".repeat(MAXIMUM_AUTHORITY_BYTES + 1);
        assert_eq!(refusal(|order| order.probe.certificate_authorities = Some(pem)), Refusal::Malformed);
        assert_eq!(
            refusal(|order| order.probe.certificate_authorities = Some("/etc/passwd".into())),
            Refusal::Malformed
        );
    }

    #[test]
    fn an_order_has_its_time() {
        for (issued, expires) in
            [(-120, -60), (-60, 0), (0, 15 * 60 + 1), (600, 600 + 15 * 60), (-1000, 10), (3600, 3700)]
        {
            let (reason, detail) = changed(|order| {
                order.issued_at = now() + SignedDuration::from_secs(issued);
                order.expires_at = now() + SignedDuration::from_secs(expires);
            })
            .expect_err("a refusal");
            assert_eq!(reason, Refusal::Expired, "{issued} {expires}");
            assert!(
                detail.contains("controller's clock") && detail.contains("this agent's says 2026-03-01"),
                "{detail}"
            );
        }
        // A clock that is a little ahead or behind does no harm.
        for (issued, expires) in [(-30, 30), (30, 90), (0, 15 * 60)] {
            let times = |order: &mut Order| {
                order.issued_at = now() + SignedDuration::from_secs(issued);
                order.expires_at = now() + SignedDuration::from_secs(expires);
            };
            assert!(changed(times).is_ok(), "{issued} {expires}");
        }
    }

    #[test]
    fn timeouts_are_clamped() {
        let permitted = changed(|order| {
            order.probe.connect_timeout_ms = u64::MAX;
            order.probe.dns_timeout_ms = 0;
        })
        .unwrap();
        assert_eq!(permitted.options.connect_timeout, LONGEST_TIMEOUT);
        assert_eq!(permitted.options.dns_timeout, SHORTEST_TIMEOUT);
        assert!(permitted.left_out[0].contains("given 15s"), "{:?}", permitted.left_out);
    }

    #[test]
    fn what_decides_is_refused_and_what_does_not_is_left_out() {
        let metadata = std::net::IpAddr::from([169, 254, 169, 254]);
        let resolver: SocketAddr = "10.0.0.2:53".parse().unwrap();
        for change in [
            (&|probe: &mut ProbeOrder| probe.host = metadata.to_string()) as &dyn Fn(&mut ProbeOrder),
            &|probe| probe.port = 22,
            &|probe| probe.known_addresses = vec![[10, 0, 0, 1].into(), metadata],
            &|probe| probe.system_resolver = Some(vec![resolver]),
            &|probe| probe.host = "::ffff:169.254.169.254".to_owned(),
            &|probe| probe.host = "127.0.0.1".to_owned(),
        ] {
            assert_eq!(refusal(|order| change(&mut order.probe)), Refusal::NotPermitted);
        }
        let permitted = changed(|order| {
            order.probe.resolvers =
                vec![ResolverOrder { label: "public".to_owned(), servers: vec![resolver], eager: true }];
            order.probe.controls = vec![
                Endpoint { host: "a.example".to_owned(), port: 443 },
                Endpoint { host: "a.example".to_owned(), port: 53 },
                Endpoint { host: metadata.to_string(), port: 443 },
            ];
            order.probe.echo = vec![EchoServer {
                scheme: EchoScheme::Http,
                host: metadata.to_string(),
                port: 443,
                path: "/latest".to_owned(),
            }];
        })
        .unwrap();
        assert_eq!((permitted.options.controls.len(), permitted.options.resolvers.len()), (1, 0));
        assert!(permitted.options.echo.is_empty());
        let left_out = permitted.left_out.join("\n");
        for word in ["resolver public", "control a.example:53", "control 169.254.169.254:443", "echo server http://169"]
        {
            assert!(left_out.contains(word), "{word} in {left_out}");
        }
    }

    #[test]
    fn an_agent_with_a_name_takes_its_own_orders_only() {
        let read = |name| inspect(&order(), name, &AllowList::default(), now()).map(drop).map_err(|(reason, _)| reason);
        assert_eq!(read(Some("other")), Err(Refusal::NotForThisAgent));
        assert_eq!(read(Some("ops@bastion.example.com")), Ok(()));
        assert_eq!(refusal(|order| order.protocol = PROTOCOL + 1), Refusal::OtherVersion);
    }

    /// What an order has no place for is not passed over.
    #[test]
    fn an_order_holds_nothing_else() {
        let whole = serde_json::to_value(order()).unwrap();
        for (place, key) in [("", "command"), ("/probe", "proxy"), ("/probe", "file"), ("/probe", "credentials")] {
            let mut order = whole.clone();
            order.pointer_mut(place).unwrap()[key] = "x".into();
            let error = order::read::<Order>(order.to_string().as_bytes(), 1 << 20).expect_err("an error");
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
        assert!(order::read::<Order>(whole.to_string().as_bytes(), 1 << 20).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = order::read::<Order>(&bytes, 1024);
            let _ = crate::worker::id_of(&bytes);
        }

        /// Whatever stands where a value stood: it is read, or it is refused, and what is let through is bounded.
        #[test]
        fn no_value_brings_the_inspection_down(
            at in 0_usize..24,
            text in "\\PC{0,80}|[a-z0-9.:/*-]{0,40}|(169\\.254|127\\.0|10\\.0|::ffff:)[0-9a-f.:]{0,12}",
            number in any::<i64>(),
            as_number in any::<bool>(),
        ) {
            let mut whole = serde_json::to_value(order()).unwrap();
            let keys: Vec<String> = whole["probe"].as_object().unwrap().keys().cloned().collect();
            let value = if as_number { serde_json::json!(number) } else { serde_json::json!(text) };
            let value = if whole["probe"][&keys[at % keys.len()]].is_array() { serde_json::json!([value]) } else { value };
            whole["probe"][&keys[at % keys.len()]] = value;
            let Ok(order) = order::read::<Order>(whole.to_string().as_bytes(), 1 << 20) else { return Ok(()) };
            let allow = AllowList::default();
            let Ok(permitted) = inspect(&order, None, &allow, now()) else { return Ok(()) };
            prop_assert!(allow.refuses(&permitted.target.host, permitted.target.port).is_none());
            prop_assert!(permitted.options.requests.iter().all(|path| REQUESTS.contains(&path.as_str())));
            prop_assert!(permitted.options.connect_timeout <= LONGEST_TIMEOUT);
            prop_assert!(permitted.options.dns_timeout <= LONGEST_TIMEOUT);
            prop_assert!(permitted.options.resolvers.is_empty());
            prop_assert!(permitted.target.known_addresses.iter().all(|one| allow.permit().refuses((*one, 443).into()).is_none()));
        }
    }
}
