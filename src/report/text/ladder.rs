//! One cell, stage by stage: DNS → proxy → TCP → TLS → HTTP, every address on its own, with a waterfall of times.

use std::net::IpAddr;

use jiff::Timestamp;
use kubereach_probes::{
    AddressClass, Attempt, Certificate, Connectivity, DnsObservation, DnsOutcome, DnsSource, EgressObservation,
    HttpOutcome, HttpStage, LocalRoute, ProxyObservation, TcpOutcome, TcpStage, TlsOutcome, TlsStage, TlsVariantKind,
    TunnelOutcome, Validity,
};

use super::{answer_ink, matrix, verdict_ink, verdict_mark};
use crate::report::{
    Cell, Hop, Provider, Reachability,
    matrix::first_error,
    page::{Ink, Page, Span, columns, fit, span},
    words,
};

/// What stands above the stages of a cell.
#[derive(Clone, Copy)]
pub(super) struct Heading {
    /// The answer in one line, where the page does not already begin with it.
    pub(super) answer: bool,
    /// Verdict and truths: what one cell that is as it should be can do without.
    pub(super) verdict: bool,
    /// The code of the most probable cause, where many cells stand before the findings and a narrow table has no room.
    pub(super) cause: bool,
}

/// Draws one cell.
pub(super) fn draw(page: &mut Page, cell: &Cell, verbose: bool, above: Heading) {
    heading(page, cell, above);
    let waterfall = Waterfall::of(cell, page.width());
    dns(page, &cell.dns, waterfall, verbose);
    let mut start = dns_ms(cell);
    if let Some(proxy) = &cell.proxy {
        start += self::proxy(page, proxy, waterfall, start, verbose);
    }
    // Behind a proxy that made no tunnel there was nothing to see; its own stages say why.
    let no_tunnel = cell.proxy.as_ref().is_some_and(|proxy| proxy.tunnel.outcome != TunnelOutcome::Established);
    let seen = |attempt: &&Attempt| verbose || !(no_tunnel && attempt.tls.outcome == TlsOutcome::Skipped);
    // Who gave an address is worth a word only where several were asked.
    let several = cell.dns.len() > 1;
    for attempt in cell.attempts.iter().take(words::ADDRESS_LIMIT).filter(seen) {
        self::attempt(page, attempt, several, waterfall, start, verbose);
    }
    if cell.attempts.len() > words::ADDRESS_LIMIT {
        let more = cell.attempts.len() - words::ADDRESS_LIMIT;
        page.line(2, &[span(Ink::Dim, format!("{more} more addresses are in the JSON report"))]);
    }
    if let Some(connectivity) = &cell.connectivity {
        self::connectivity(page, connectivity);
    }
    egress(page, &cell.egress);
    for sentence in &cell.left_out {
        page.paragraph(2, 4, &[span(Ink::Warn, format!("not done: {sentence}"))]);
    }
    path(page, &cell.path);
}

/// Where a bar begins and how long it is: all bars of a cell share one scale, that of the longest address.
#[derive(Clone, Copy)]
struct Waterfall {
    outcome_width: usize,
    bar_width: usize,
    longest_ms: f64,
}

impl Waterfall {
    fn of(cell: &Cell, width: usize) -> Self {
        let labels = cell.attempts.iter().map(|attempt| columns(&words::http_outcome(attempt)));
        let tunnel = cell.proxy.iter().map(|proxy| columns(&tunnel_words(proxy)));
        let outcome_width = labels.chain(tunnel).chain([LONGEST_USUAL_OUTCOME]).max().unwrap_or_default();
        let taken = STAGE_INDENT + STAGE_WIDTH + outcome_width + TIME_WIDTH + 2;
        let bar_width = width.saturating_sub(taken).min(MAXIMUM_BAR);
        let before = dns_ms(cell) + cell.proxy.as_ref().map_or(0.0, proxy_ms);
        let longest = cell.attempts.iter().map(attempt_ms).fold(0.0, f64::max);
        Self { outcome_width, bar_width, longest_ms: before + longest }
    }

    fn bar(self, start_ms: f64, ms: f64) -> String {
        if self.bar_width < MINIMUM_BAR || self.longest_ms <= 0.0 || !ms.is_finite() || ms <= 0.0 {
            return String::new();
        }
        let end = self.cells(start_ms + ms).clamp(1, self.bar_width);
        let begin = self.cells(start_ms).min(end - 1);
        " ".repeat(begin) + &"█".repeat(end - begin)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bar's few columns")]
    fn cells(self, ms: f64) -> usize {
        (ms / self.longest_ms * self.bar_width as f64).round().clamp(0.0, self.bar_width as f64) as usize
    }

    /// One rung: stage, outcome, time, bar.
    fn row(self, page: &mut Page, stage: &str, outcome: &str, ink: Ink, start_ms: f64, ms: f64) {
        let time = if ink == Ink::Dim { String::new() } else { words::duration(ms) };
        let bar = if ink == Ink::Dim { String::new() } else { self.bar(start_ms, ms) };
        page.line(
            STAGE_INDENT,
            &[
                span(Ink::Plain, fit(stage, STAGE_WIDTH)),
                span(ink, fit(outcome, self.outcome_width)),
                span(Ink::Plain, format!("{time:>TIME_WIDTH$}  ")),
                span(ink, bar),
            ],
        );
    }
}

fn heading(page: &mut Page, cell: &Cell, above: Heading) {
    let provider = match cell.provider {
        Provider::Generic => String::new(),
        provider => format!(" ({})", provider.label()),
    };
    page.paragraph(
        0,
        2,
        &[
            span(verdict_ink(cell.verdict), verdict_mark(cell.verdict)),
            span(Ink::Strong, format!(" {} from {}", cell.subject(), cell.vantage)),
            span(Ink::Plain, provider),
        ],
    );
    // A line of its own, so that it can be copied whole.
    page.line(2, &[span(Ink::Plain, cell.endpoint.as_deref().unwrap_or("endpoint not known"))]);
    if above.answer {
        page.paragraph(2, 4, &[span(answer_ink(cell), words::answer(cell))]);
    }
    if !above.verdict {
        return;
    }
    page.paragraph(
        2,
        4,
        &[
            span(verdict_ink(cell.verdict), cell.verdict.label()),
            span(Ink::Dim, format!(": {}{}", matrix::truths(cell), rounds(cell))),
        ],
    );
    if let Some(code) = first_error(cell).filter(|_| above.cause) {
        page.line(2, &[span(Ink::Dim, "cause: "), span(Ink::Plain, code)]);
    }
}

/// By which addresses the vantage is seen, a line each with those who say so, then who told none.
fn egress(page: &mut Page, all: &[EgressObservation]) {
    let mut told: Vec<(IpAddr, Vec<&str>)> = Vec::new();
    for one in all {
        let Some(address) = one.address else { continue };
        match told.iter_mut().find(|(known, _)| *known == address) {
            Some((_, servers)) if servers.contains(&one.server.as_str()) => {}
            Some((_, servers)) => servers.push(&one.server),
            None => told.push((address, vec![&one.server])),
        }
    }
    for (address, servers) in told {
        page.paragraph(2, 4, &[span(Ink::Plain, format!("seen as {address} by {}", servers.join(", ")))]);
    }
    for one in all.iter().filter(|one| one.address.is_none()) {
        let detail = one.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        page.paragraph(2, 4, &[span(Ink::Dim, format!("{} tells no address{detail}", one.server))]);
    }
}

fn rounds(cell: &Cell) -> String {
    match (cell.converged_after_ms, cell.rounds) {
        (Some(ms), rounds) => format!(", converged after {} ({rounds} rounds)", words::duration(ms as f64)),
        (None, 0 | 1) => String::new(),
        (None, rounds) => format!(", {rounds} rounds"),
    }
}

fn dns(page: &mut Page, entries: &[DnsObservation], waterfall: Waterfall, verbose: bool) {
    let Some(deciding) = words::deciding_resolver(entries) else { return };
    waterfall.row(page, "DNS", deciding.outcome.label(), dns_ink(deciding.outcome), 0.0, deciding.ms);
    let heading = ["RESOLVER", "SERVER", "OUTCOME", "ADDRESSES", "CLASS", "TTL", "TIME"];
    let rows: Vec<Vec<Span>> = entries.iter().flat_map(resolver_rows).collect();
    if let ([only], false) = (entries, verbose) {
        // Nothing stands beside it to be compared with.
        resolver_line(page, only);
    } else if !page.table(STAGE_INDENT, &heading, &[5, 6], &rows) {
        for entry in entries {
            resolver_stacked(page, entry);
        }
    }
    for entry in entries {
        if verbose && !entry.cnames.is_empty() {
            note(page, &format!("{}: {} → {}", entry.resolver, entry.name, entry.cnames.join(" → ")));
        }
        if let DnsSource::HostsFile { path, line, text } = &entry.source {
            note(page, &format!("{}: from {path}, line {line}: {text}", entry.resolver));
        }
        if let Some(detail) = &entry.detail {
            note(page, &format!("{}: {detail}", entry.resolver));
        }
        for query in entry.queries.iter().filter(|_| verbose).take(words::ADDRESS_LIMIT) {
            let mut text = format!("{}: {} {} at {}", entry.resolver, query.record_type, query.name, query.server);
            push!(text, " ({}): {}", query.transport, query.outcome.label());
            for word in query.rcode.iter().chain(&query.extended_errors).chain(&query.detail) {
                push!(text, ", {word}");
            }
            note(page, &format!("{text}, {}", words::duration(query.ms)));
        }
    }
}

/// One row an address, so that resolvers can be compared side by side; the first also carries the rest.
fn resolver_rows(entry: &DnsObservation) -> Vec<Vec<Span>> {
    let first = vec![
        span(Ink::Strong, &entry.resolver),
        span(Ink::Plain, entry.server.as_deref().unwrap_or("-")),
        span(dns_ink(entry.outcome), entry.outcome.label()),
        span(Ink::Plain, entry.addresses.first().map_or("-".to_owned(), ToString::to_string)),
        span(Ink::Plain, class(entry.address_class).unwrap_or("-")),
        span(Ink::Plain, entry.ttl.map_or("-".to_owned(), |ttl| format!("{ttl} s"))),
        span(Ink::Plain, words::duration(entry.ms)),
    ];
    let further = entry.addresses.iter().skip(1).take(words::ADDRESS_LIMIT).map(|address| {
        let mut row = vec![span(Ink::Plain, ""); 7];
        row[3] = span(Ink::Plain, address.to_string());
        row
    });
    std::iter::once(first).chain(further).collect()
}

/// `system 192.0.2.53:53: 198.51.100.20, 198.51.100.21 (public, ttl 60 s)`.
fn resolver_line(page: &mut Page, entry: &DnsObservation) {
    let server = entry.server.as_deref().map(|server| format!(" {server}")).unwrap_or_default();
    let shown: Vec<String> = entry.addresses.iter().take(ADDRESSES_IN_A_LINE).map(ToString::to_string).collect();
    let mut text = if shown.is_empty() { format!("no address for {}", entry.name) } else { shown.join(", ") };
    if entry.addresses.len() > shown.len() {
        push!(text, " and {} more", entry.addresses.len() - shown.len());
    }
    let ttl = entry.ttl.map(|ttl| format!("ttl {ttl} s"));
    let about: Vec<String> = class(entry.address_class).map(str::to_owned).into_iter().chain(ttl).collect();
    if !about.is_empty() {
        push!(text, " ({})", about.join(", "));
    }
    note(page, &format!("{}{server}: {text}", entry.resolver));
}

fn resolver_stacked(page: &mut Page, entry: &DnsObservation) {
    let server = entry.server.as_deref().map(|server| format!(" {server}")).unwrap_or_default();
    let ttl = entry.ttl.map(|ttl| format!(", ttl {ttl} s")).unwrap_or_default();
    let class = class(entry.address_class).map(|class| format!(", {class}")).unwrap_or_default();
    page.paragraph(
        NOTE_INDENT,
        NOTE_INDENT + 2,
        &[
            span(Ink::Strong, &entry.resolver),
            span(Ink::Plain, format!("{server}: ")),
            span(dns_ink(entry.outcome), entry.outcome.label()),
            span(Ink::Plain, format!("{class}{ttl}, {}", words::duration(entry.ms))),
        ],
    );
    for address in entry.addresses.iter().take(words::ADDRESS_LIMIT) {
        page.line(NOTE_INDENT + 2, &[span(Ink::Plain, address.to_string())]);
    }
}

/// Draws the stages of a proxy; gives back how many milliseconds they took.
fn proxy(page: &mut Page, proxy: &ProxyObservation, waterfall: Waterfall, start: f64, verbose: bool) -> f64 {
    let ready = proxy.tunnel.outcome == TunnelOutcome::Established;
    let address = proxy.address.map(|address| format!(" at {address}")).unwrap_or_default();
    page.paragraph(2, 4, &[mark(ready), span(Ink::Strong, format!(" proxy {}", proxy.url)), span(Ink::Plain, address)]);
    let mut at = start;
    if let Some(dns) = &proxy.dns {
        waterfall.row(page, "DNS", dns.outcome.label(), dns_ink(dns.outcome), at, dns.ms);
        at += sane(dns.ms);
        let addresses: Vec<String> = dns.addresses.iter().take(8).map(ToString::to_string).collect();
        let seen = if addresses.is_empty() { dns.outcome.label().to_owned() } else { addresses.join(", ") };
        note(page, &format!("{}: {} → {seen}", dns.resolver, dns.name));
    }
    tcp(page, &proxy.tcp, None, waterfall, at, verbose);
    at += sane(proxy.tcp.ms);
    if let Some(stage) = &proxy.tls {
        tls(page, stage, waterfall, at, verbose);
        at += sane(stage.ms);
    }
    let tunnel = &proxy.tunnel;
    if verbose || tunnel.outcome != TunnelOutcome::Skipped {
        let ink = stage_ink(ready, tunnel.outcome == TunnelOutcome::Skipped);
        waterfall.row(page, "Tunnel", &tunnel_words(proxy), ink, at, tunnel.ms);
    }
    if let Some(detail) = &tunnel.detail {
        note(page, detail);
    }
    proxy_ms(proxy)
}

/// `denied 403`.
fn tunnel_words(proxy: &ProxyObservation) -> String {
    let status = proxy.tunnel.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status}", proxy.tunnel.outcome.label())
}

fn attempt(page: &mut Page, attempt: &Attempt, name_resolvers: bool, waterfall: Waterfall, start: f64, verbose: bool) {
    let mut about: Vec<String> = class(attempt.address_class).into_iter().map(str::to_owned).collect();
    if (name_resolvers || verbose) && !attempt.resolvers.is_empty() {
        about.push(format!("given by {}", attempt.resolvers.join(", ")));
    }
    if !attempt.decides {
        about.push("evidence only".to_owned());
    }
    if let Some(reason) = &attempt.skipped {
        about.push(format!("not dialled: {reason}"));
    }
    let head = match attempt.observed {
        _ if attempt.skipped.is_some() => span(Ink::Dim, "-"),
        Reachability::Unknown => span(Ink::Warn, "?"),
        observed => mark(observed == Reachability::Reachable),
    };
    page.paragraph(
        2,
        4,
        &[
            head,
            span(Ink::Strong, format!(" {}", words::attempt_name(attempt))),
            span(Ink::Dim, format!(" {}", about.join(", "))),
        ],
    );
    if attempt.skipped.is_some() && !verbose {
        return;
    }
    let mut at = start;
    tcp(page, &attempt.tcp, attempt.route.as_ref(), waterfall, at, verbose);
    tcp_evidence(page, attempt);
    at += sane(attempt.tcp.ms);
    tls(page, &attempt.tls, waterfall, at, verbose);
    at += sane(attempt.tls.ms);
    http(page, attempt, waterfall, at, verbose);
}

fn tcp(page: &mut Page, stage: &TcpStage, route: Option<&LocalRoute>, waterfall: Waterfall, start: f64, verbose: bool) {
    let connected = stage.outcome == TcpOutcome::Connected;
    waterfall.row(page, "TCP", stage.outcome.label(), stage_ink(connected, false), start, stage.ms);
    if let Some(detail) = &stage.detail {
        note(page, detail);
    }
    if let Some(icmp) = &stage.icmp {
        let from = icmp.from.map(|from| format!(" from {from}")).unwrap_or_default();
        note(page, &format!("ICMP{from}: {} (type {}, code {})", icmp.meaning, icmp.kind, icmp.code));
    }
    if let Some(route) = route.filter(|_| verbose || !connected) {
        note(page, &route_words(route, stage));
    }
}

fn route_words(route: &LocalRoute, stage: &TcpStage) -> String {
    let mut text = "route:".to_owned();
    if let Some(source) = stage.source.or(route.source) {
        push!(text, " from {source}");
    }
    if let Some(interface) = &route.interface {
        push!(text, " on {interface}");
    }
    for (applies, words) in [
        (route.on_link, ", directly connected"),
        (route.by_default_route, ", by the default route"),
        (route.bridge, ", a bridge or container network"),
        (route.tunnel, ", a tunnel"),
        (route.neighbour_failed, ", the next hop does not answer"),
    ] {
        if applies {
            text.push_str(words);
        }
    }
    text
}

fn tcp_evidence(page: &mut Page, attempt: &Attempt) {
    if let Some(repeats) = attempt.repeats {
        let (tried, connected, timed_out) = (repeats.tried, repeats.connected, repeats.timed_out);
        note(page, &format!("{tried} further connects: {connected} connected at once, {timed_out} got no answer"));
    }
    if let Some(mtu) = &attempt.path_mtu {
        let said = mtu.router.map_or_else(String::new, |router| format!(", says {router}"));
        note(page, &format!("path MTU: packets of {} bytes pass{said}", mtu.bytes));
    }
    let Some(trace) = &attempt.trace else { return };
    for hop in &trace.hops {
        note(page, &format!("trace {:>2}  {}  {}  {}", hop.ttl, hop.address, words::duration(hop.ms), hop.said));
    }
    if trace.hops.is_empty() && trace.note.is_none() {
        note(page, "trace: no hop answered");
    }
    if let Some(remark) = &trace.note {
        note(page, &format!("trace: {remark}"));
    }
}

fn tls(page: &mut Page, stage: &TlsStage, waterfall: Waterfall, start: f64, verbose: bool) {
    let (verified, skipped) = (stage.outcome == TlsOutcome::Verified, stage.outcome == TlsOutcome::Skipped);
    if skipped && !verbose {
        return;
    }
    waterfall.row(page, "TLS", stage.outcome.label(), stage_ink(verified, skipped), start, stage.ms);
    if let Some(detail) = &stage.detail {
        note(page, detail);
    }
    let shown = if verbose { stage.chain.len() } else { usize::from(!verified) };
    for certificate in stage.chain.iter().take(shown.min(CHAIN_LIMIT)) {
        note(page, &certificate_words(certificate));
    }
    if verbose && let Some(version) = &stage.version {
        let mut text = format!("TLS {version}");
        for (label, value) in [
            ("", &stage.suite),
            ("key exchange ", &stage.key_exchange),
            ("ALPN ", &stage.alpn),
            ("name ", &stage.server_name),
        ] {
            text.push_str(&value.as_ref().map(|value| format!(", {label}{value}")).unwrap_or_default());
        }
        note(page, &text);
    }
    if let Some(checks) = stage.checks.as_ref().filter(|_| verbose || !verified) {
        let system = match checks.trusted_by_system_roots {
            Some(true) => ", trusted by the system's roots",
            Some(false) => ", not trusted by the system's roots",
            None => "",
        };
        let trusted = if checks.trusted { "trusted" } else { "not trusted" };
        let name = if checks.name_matches { "name matches" } else { "name does not match" };
        let validity = match checks.validity {
            Validity::Valid => "inside its validity",
            Validity::Expired => "expired",
            Validity::NotYetValid => "not yet valid",
        };
        note(page, &format!("checks ({}): {trusted}{system}, {name}, {validity}", checks.trust));
    }
    for variant in &stage.variants {
        let kind = match variant.kind {
            TlsVariantKind::SmallSegments => "with segments of at most 1,200 bytes",
            TlsVariantKind::ClassicalKeyShares => "with a small ClientHello (classical key shares)",
            TlsVariantKind::NoServerName => "without a server name",
        };
        let detail = variant.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        note(page, &format!("{kind}: {} in {}{detail}", variant.outcome.label(), words::duration(variant.ms)));
    }
}

fn certificate_words(certificate: &Certificate) -> String {
    let time = |time: Option<Timestamp>| time.map_or("?".to_owned(), |time| time.to_string());
    let mut text = format!("certificate {}, issued by {}", certificate.subject, certificate.issuer);
    push!(text, ", valid {} to {}", time(certificate.not_before), time(certificate.not_after));
    if !certificate.names.is_empty() {
        let shown: Vec<&str> = certificate.names.iter().take(NAME_LIMIT).map(String::as_str).collect();
        push!(text, ", for {}", shown.join(", "));
    }
    if certificate.names.len() > NAME_LIMIT {
        push!(text, " and {} more names", certificate.names.len() - NAME_LIMIT);
    }
    text
}

fn http(page: &mut Page, attempt: &Attempt, waterfall: Waterfall, start: f64, verbose: bool) {
    let stage = &attempt.http;
    let (reached, skipped) = (stage.outcome == HttpOutcome::ApiServer, stage.outcome == HttpOutcome::Skipped);
    if skipped && !verbose {
        return;
    }
    let ink = stage_ink(reached, skipped);
    waterfall.row(page, "HTTP", &words::http_outcome(attempt), ink, start, stage.ms);
    http_notes(page, stage, reached, verbose);
}

fn http_notes(page: &mut Page, stage: &HttpStage, reached: bool, verbose: bool) {
    let version = stage.version.as_ref().map(|version| format!("version {version}"));
    let told: Vec<&str> = version.iter().chain(&stage.detail).map(String::as_str).collect();
    // Where all is well, the cell's answer says it already.
    if !told.is_empty() && (verbose || !reached || stage.status != Some(200)) {
        note(page, &told.join(", "));
    }
    if verbose || !reached {
        for (label, value) in [("server", &stage.server), ("redirect to", &stage.location)] {
            if let Some(value) = value {
                note(page, &format!("{label} {value}"));
            }
        }
    }
    if let Some(outcome) = stage.http1_outcome {
        note(page, &format!("over HTTP/1.1: {}", outcome.label()));
    }
    if let Some(seconds) = stage.clock_ahead_seconds.filter(|seconds| seconds.unsigned_abs() >= CLOCK_NOTE_SECONDS) {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        note(page, &format!("this clock is {} s {side} the server's", seconds.unsigned_abs()));
    }
    for request in stage.requests.iter().filter(|_| verbose) {
        let status = request.status.map_or("no answer".to_owned(), |status| status.to_string());
        note(page, &format!("GET {}: {status}, {}, {}", request.path, request.body, words::duration(request.ms)));
    }
}

fn connectivity(page: &mut Page, connectivity: &Connectivity) {
    let route = |there: bool| if there { "yes" } else { "no" };
    let text = format!(
        "this prober's network: IPv4 route {}, IPv6 route {}",
        route(connectivity.ipv4_route),
        route(connectivity.ipv6_route)
    );
    page.paragraph(2, 4, &[span(Ink::Plain, text)]);
    for control in &connectivity.controls {
        let spans =
            [mark(control.answered), span(Ink::Plain, format!(" control {}: {}", control.target, control.detail))];
        page.paragraph(4, 6, &spans);
    }
    if let Some(icmp) = &connectivity.icmp {
        let time = icmp.ms.map(|ms| format!(" in {}", words::duration(ms))).unwrap_or_default();
        page.paragraph(4, 6, &[span(Ink::Dim, format!("ICMP echo to {}: {}{time}", icmp.address, icmp.outcome))]);
    }
}

fn path(page: &mut Page, hops: &[Hop]) {
    if hops.is_empty() {
        return;
    }
    page.line(2, &[span(Ink::Plain, "path through the configuration:")]);
    for hop in hops {
        let ink = match hop.decision.as_str() {
            "deny" | "drop" => Ink::Bad,
            "unknown" => Ink::Warn,
            _ => Ink::Good,
        };
        page.paragraph(
            4,
            6,
            &[span(ink, &hop.decision), span(Ink::Plain, format!(" {} {}: {}", hop.kind, hop.component, hop.rule))],
        );
    }
}

fn note(page: &mut Page, text: &str) {
    page.paragraph(NOTE_INDENT, NOTE_INDENT + 2, &[span(Ink::Dim, text)]);
}

fn mark(good: bool) -> Span {
    if good { span(Ink::Good, "✓") } else { span(Ink::Bad, "✗") }
}

const fn stage_ink(good: bool, skipped: bool) -> Ink {
    match (good, skipped) {
        (true, _) => Ink::Good,
        (false, true) => Ink::Dim,
        (false, false) => Ink::Bad,
    }
}

const fn dns_ink(outcome: DnsOutcome) -> Ink {
    match outcome {
        DnsOutcome::Answer => Ink::Good,
        _ => Ink::Bad,
    }
}

/// Class of addresses in a word; `None` when there are none.
fn class(class: AddressClass) -> Option<&'static str> {
    (class != AddressClass::None).then(|| class.label())
}

fn dns_ms(cell: &Cell) -> f64 {
    words::deciding_resolver(&cell.dns).map_or(0.0, |dns| sane(dns.ms))
}

fn proxy_ms(proxy: &ProxyObservation) -> f64 {
    let before =
        proxy.dns.as_ref().map_or(0.0, |dns| sane(dns.ms)) + proxy.tls.as_ref().map_or(0.0, |tls| sane(tls.ms));
    before + sane(proxy.tcp.ms) + sane(proxy.tunnel.ms)
}

fn attempt_ms(attempt: &Attempt) -> f64 {
    sane(attempt.tcp.ms) + sane(attempt.tls.ms) + sane(attempt.http.ms)
}

/// A duration that may be added up: what is none counts as zero.
fn sane(ms: f64) -> f64 {
    if ms.is_finite() { ms.max(0.0) } else { 0.0 }
}

const STAGE_INDENT: usize = 4;
const STAGE_WIDTH: usize = 7;
const LONGEST_USUAL_OUTCOME: usize = 14;
const TIME_WIDTH: usize = 8;
const NOTE_INDENT: usize = STAGE_INDENT + STAGE_WIDTH;
const MINIMUM_BAR: usize = 8;
const MAXIMUM_BAR: usize = 48;
const ADDRESSES_IN_A_LINE: usize = 8;
const CHAIN_LIMIT: usize = 10;
const NAME_LIMIT: usize = 12;
const CLOCK_NOTE_SECONDS: u64 = 60;
