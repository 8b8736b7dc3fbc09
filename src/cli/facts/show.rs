//! `kubereach facts show`: a folder of facts on one page.

mod aks;

use std::process::ExitCode;

use jiff::Timestamp;

use crate::{
    causes::{
        ConfigurationView, Strictness,
        configuration::{
            aks_summary,
            summary::{AllowListSummary, GapsSummary, Summary, summary},
        },
    },
    cli::{
        arguments::{ExplainFormat, ShowArguments},
        printer,
    },
    facts,
    input::{InputError, InputErrors},
    report::{
        Provider, json,
        page::{Ink, Page, Paper, Span, span},
    },
};

pub(super) fn main(arguments: &ShowArguments) -> Result<ExitCode, InputErrors> {
    let facts = facts::read(&arguments.facts)?;
    let view = ConfigurationView {
        cluster: "",
        facts: &facts,
        intent: None,
        vantages: &[],
        kubeconfig_ca: None,
        planned: false,
        strictness: Strictness::Lint,
        now: Timestamp::now(),
    };
    let of_aks = view.provider() == Provider::Aks;
    let text = match arguments.output {
        ExplainFormat::Text if of_aks => aks::page(&aks_summary::summary(&view), printer::paper(arguments.color)),
        ExplainFormat::Text => page(&summary(&view), printer::paper(arguments.color)),
        ExplainFormat::Json if of_aks => json::to_document(&aks_summary::summary(&view)),
        ExplainFormat::Json => json::to_document(&summary(&view)),
    };
    printer::print(&text).map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// The page for people; every list is bounded, and says how much more there is.
fn page(summary: &Summary, paper: Paper) -> String {
    let mut page = Page::new(paper);
    title(&mut page, summary.cluster.as_deref(), &[summary.region.as_deref(), summary.account.as_deref()]);
    cluster(&mut page, summary);
    endpoint(&mut page, summary);
    vpc(&mut page, summary);
    subnets(&mut page, summary);
    let or_unknown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "?".to_owned());
    let interfaces = summary.control_plane_interfaces.iter().map(|one| {
        let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        vec![one.id.clone(), few(&addresses, 2), or_unknown(one.subnet.as_ref()), few(&one.groups, 4)]
    });
    section(&mut page, "CONTROL PLANE INTERFACES", &interfaces.collect::<Vec<_>>());
    let known =
        summary.egress.iter().map(|one| vec![one.address.to_string(), one.by.clone(), let_in(one.listed).to_owned()]);
    egress(&mut page, known, &summary.egress_unknown);
    let connected = summary.connected.iter().map(|one| {
        let state = one.state.clone().unwrap_or_else(|| "state not known".to_owned());
        vec![one.kind.to_owned(), one.id.clone(), one.to.clone(), state, few(&one.ranges, 4)]
    });
    section(&mut page, "CONNECTED NETWORKS", &connected.collect::<Vec<_>>());
    let endpoints = summary.interface_endpoints.iter().map(|one| {
        let dns = match one.private_dns {
            Some(true) => "private DNS on",
            Some(false) => "private DNS off",
            None => "private DNS not known",
        };
        vec![one.id.clone(), or_unknown(one.service.as_ref()), or_unknown(one.state.as_ref()), dns.to_owned()]
    });
    section(&mut page, "INTERFACE ENDPOINTS", &endpoints.collect::<Vec<_>>());
    not_in_the_facts(&mut page, &summary.gaps);
    page.finish()
}

/// The cluster and where it is.
fn title(page: &mut Page, name: Option<&str>, place: &[Option<&str>]) {
    let name = name.unwrap_or("No cluster is described");
    let place = place.iter().copied().flatten().collect::<Vec<_>>().join(", ");
    page.paragraph(
        0,
        2,
        &[span(Ink::Strong, name), span(Ink::Dim, if place.is_empty() { place } else { format!("  {place}") })],
    );
}

/// What the internet sees of the nodes: a row each, then what is not known of it.
fn egress(page: &mut Page, known: impl Iterator<Item = Vec<String>>, unknown: &[String]) {
    let unknown = unknown.iter().map(|clause| vec![format!("not known: {clause}")]);
    section(page, "EGRESS OF THE NODES", &known.chain(unknown).collect::<Vec<_>>());
}

const fn let_in(listed: Option<bool>) -> &'static str {
    match listed {
        Some(true) => "let in by the public endpoint",
        Some(false) => "not let in by the public endpoint",
        None => "",
    }
}

fn not_in_the_facts(page: &mut Page, gaps: &GapsSummary) {
    let missing =
        gaps.missing.iter().map(|gap| vec![format!("{}, by {}: it would say {}", gap.file, gap.action, gap.unknown)]);
    let refused = gaps.denied.iter().map(|one| vec![format!("{} was refused: {}", one.action, one.message)]);
    let failed = gaps.failed.iter().map(|one| vec![format!("{} failed: {}", one.action, one.message)]);
    section(page, "NOT IN THE FACTS", &missing.chain(refused).chain(failed).collect::<Vec<_>>());
}

fn cluster(page: &mut Page, summary: &Summary) {
    let health = if summary.health_issues.is_empty() {
        String::new()
    } else {
        format!(", health issues: {}", few(&summary.health_issues, 4))
    };
    let status = summary.status.as_ref().map(|status| format!("{status}{health}"));
    field(page, "status", status);
    field(page, "version", summary.version.clone());
    field(page, "endpoint", summary.endpoint.clone());
    if summary.newest_update.is_some() {
        field(page, "newest update", summary.newest_update.clone());
    }
    field(page, "facts read", summary.read_at.map(|time| time.to_string()));
}

fn endpoint(page: &mut Page, summary: &Summary) {
    heading(page, "WHO IS LET IN");
    field(page, "public access", summary.public_access.map(on_off));
    if let Some(list) = &summary.allow_list {
        allow_lists(page, list);
    } else if summary.public_access == Some(true) {
        field(page, "", Some("publicAccessCidrs is not known".to_owned()));
    }
    field(page, "private access", summary.private_access.map(on_off));
}

fn allow_lists(page: &mut Page, list: &AllowListSummary) {
    field(page, "", Some(allow_list(list)));
    if list.minimal.len() < list.entries.len() {
        field(page, "", Some(format!("shortest form: {} entries: {}", list.minimal.len(), few(&list.minimal, 8))));
    }
    if !list.service_tags.is_empty() {
        field(page, "", Some(format!("and the service tag {}", few(&list.service_tags, 4))));
    }
}

fn allow_list(list: &AllowListSummary) -> String {
    let open = match (list.ipv4_open, list.ipv6_open) {
        (true, true) => "everybody".to_owned(),
        (true, false) => "every IPv4 address".to_owned(),
        (false, true) => format!("every IPv6 address and {} IPv4 addresses", list.ipv4_addresses),
        (false, false) => format!("{} IPv4 addresses", list.ipv4_addresses),
    };
    match list.entries.len() {
        0 if !list.service_tags.is_empty() => format!("no range, {open}"),
        0 => format!("no entry, which means {open}"),
        count => format!("{count} of {} entries, {open}: {}", list.quota, few(&list.entries, 8)),
    }
}

fn vpc(page: &mut Page, summary: &Summary) {
    let Some(vpc) = &summary.vpc else { return };
    heading(page, "VPC");
    field(page, &vpc.id, Some(if vpc.ranges.is_empty() { "ranges not known".to_owned() } else { few(&vpc.ranges, 8) }));
    field(page, "DNS support", vpc.enable_dns_support.map(on_off));
    field(page, "DNS host names", vpc.enable_dns_hostnames.map(on_off));
    let servers = vpc.domain_name_servers.as_ref();
    field(
        page,
        "DHCP DNS",
        servers.map(|servers| if servers.is_empty() { "none".to_owned() } else { few(servers, 4) }),
    );
}

fn subnets(page: &mut Page, summary: &Summary) {
    if summary.subnets.is_empty() {
        return;
    }
    heading(page, "CLUSTER SUBNETS");
    let known = |value: Option<String>| span(Ink::Plain, value.unwrap_or_else(|| "?".to_owned()));
    let rows: Vec<Vec<Span>> = summary
        .subnets
        .iter()
        .take(MOST_ROWS)
        .map(|subnet| {
            vec![
                span(Ink::Plain, &subnet.id),
                known(subnet.zone.clone()),
                known(subnet.range.clone()),
                known(subnet.free_addresses.map(|free| free.to_string())),
                span(Ink::Plain, subnet.default_route.as_deref().unwrap_or("none known")),
            ]
        })
        .collect();
    if !page.table(2, &["SUBNET", "ZONE", "RANGE", "FREE", "DEFAULT ROUTE"], &[3], &rows) {
        for subnet in summary.subnets.iter().take(MOST_ROWS) {
            let range = subnet.range.as_deref().unwrap_or("?");
            page.paragraph(2, 4, &[span(Ink::Plain, format!("{} {range}", subnet.id))]);
        }
    }
    more(page, summary.subnets.len());
}

/// A heading and a row an item, in columns where they fit, unless there is none.
fn section(page: &mut Page, title: &str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    heading(page, title);
    let shown = &rows[..rows.len().min(MOST_ROWS)];
    let columns = shown.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            // A row of a single text is no row of the table.
            let cells = shown.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    for row in shown {
        let Some((last, before)) = row.split_last() else { continue };
        let before: Vec<(String, Ink)> =
            before.iter().zip(&widths).map(|(cell, width)| (format!("{cell:<width$}  "), Ink::Plain)).collect();
        put(page, &before, false, span(Ink::Plain, last));
    }
    more(page, rows.len());
}

fn more(page: &mut Page, count: usize) {
    if count > MOST_ROWS {
        page.line(2, &[span(Ink::Dim, format!("and {} more (-o json has them all)", count - MOST_ROWS))]);
    }
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    page.line(0, &[span(Ink::Strong, title)]);
}

/// `  status           ACTIVE`; a value that does not fit stands below its name.
fn field(page: &mut Page, name: &str, value: Option<String>) {
    let label = format!("{name:<NAME_WIDTH$} ");
    let whole = value.as_ref().is_some_and(|value| !value.contains(' '));
    let value = value.map_or_else(|| span(Ink::Dim, "not known"), |value| span(Ink::Plain, value));
    put(page, &[(label, Ink::Dim)], whole, value);
}

/// One line where it fits; else the heading parts on a line of their own, and the value wrapped below.
fn put(page: &mut Page, before: &[(String, Ink)], whole: bool, value: Span) {
    let used: usize = before.iter().map(|(text, _)| text.chars().count()).sum();
    let mut spans: Vec<Span> = before.iter().map(|(text, ink)| span(*ink, text)).collect();
    // What has no place to break stays whole, so that it can be copied.
    if 2 + used + value.width() <= page.width() || whole {
        spans.push(value);
        page.line(2, &spans);
    } else {
        if before.iter().any(|(text, _)| !text.trim().is_empty()) {
            page.line(2, &spans);
        }
        page.paragraph(4, 4, &[value]);
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// At most so many items, then how many more there are.
fn few(items: &[String], most: usize) -> String {
    let shown = items.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

const MOST_ROWS: usize = 8;
const NAME_WIDTH: usize = 24;
