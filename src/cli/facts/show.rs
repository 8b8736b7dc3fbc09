//! `kubereach facts show`: a folder of facts on one page.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::{
    causes::{
        ConfigurationView, Strictness,
        configuration::summary::{AllowListSummary, Summary, summary},
    },
    cli::{
        arguments::{ExplainFormat, ShowArguments},
        printer,
    },
    facts,
    input::{InputError, InputErrors},
    report::{
        json,
        page::{Ink, Page, Paper, Span, span},
    },
};

pub(super) fn main(arguments: &ShowArguments) -> Result<ExitCode, InputErrors> {
    let facts = facts::read(&arguments.facts)?;
    let summary = summary(&ConfigurationView {
        cluster: "",
        facts: &facts,
        intent: None,
        vantages: &[],
        kubeconfig_ca: None,
        planned: false,
        strictness: Strictness::Lint,
        now: Timestamp::now(),
    });
    let text = match arguments.output {
        ExplainFormat::Text => page(&summary, printer::paper(arguments.color)),
        ExplainFormat::Json => json::to_document(&summary),
    };
    printer::print(&text).map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// The page for people; every list is bounded, and says how much more there is.
fn page(summary: &Summary, paper: Paper) -> String {
    let mut page = Page::new(paper);
    let name = summary.cluster.as_deref().unwrap_or("No cluster is described");
    let place = [summary.region.as_deref(), summary.account.as_deref()];
    let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
    page.paragraph(
        0,
        2,
        &[span(Ink::Strong, name), span(Ink::Dim, if place.is_empty() { place } else { format!("  {place}") })],
    );
    cluster(&mut page, summary);
    endpoint(&mut page, summary);
    vpc(&mut page, summary);
    subnets(&mut page, summary);
    let interfaces = summary.control_plane_interfaces.iter().map(|one| {
        let addresses = one.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        format!(
            "{}  {}  {}  {}",
            one.id,
            addresses.join(" "),
            one.subnet.as_deref().unwrap_or("?"),
            few(&one.groups, 4)
        )
    });
    section(&mut page, "CONTROL PLANE INTERFACES", interfaces.collect());
    let egress = summary.egress.iter().map(|one| {
        let listed = match one.listed {
            Some(true) => "let in by the public endpoint",
            Some(false) => "not let in by the public endpoint",
            None => "",
        };
        format!("{}  {}  {listed}", one.address, one.by)
    });
    let unknown = summary.egress_unknown.iter().map(|clause| format!("not known: {clause}"));
    section(&mut page, "EGRESS OF THE NODES", egress.chain(unknown).collect());
    let connected = summary.connected.iter().map(|one| {
        format!(
            "{}  {} to {}  {}  {}",
            one.kind,
            one.id,
            one.to,
            one.state.as_deref().unwrap_or("state not known"),
            few(&one.ranges, 4)
        )
    });
    section(&mut page, "CONNECTED NETWORKS", connected.collect());
    let endpoints = summary.interface_endpoints.iter().map(|one| {
        let dns = match one.private_dns {
            Some(true) => "private DNS on",
            Some(false) => "private DNS off",
            None => "private DNS not known",
        };
        format!("{}  {}  {}  {dns}", one.id, one.service.as_deref().unwrap_or("?"), one.state.as_deref().unwrap_or("?"))
    });
    section(&mut page, "INTERFACE ENDPOINTS", endpoints.collect());
    let missing = summary.missing.iter().map(|gap| format!("{} ({}): not known {}", gap.file, gap.action, gap.unknown));
    let refused = summary.denied.iter().map(|one| format!("{} was refused: {}", one.action, one.message));
    let failed = summary.failed.iter().map(|one| format!("{} failed: {}", one.action, one.message));
    section(&mut page, "NOT IN THE FACTS", missing.chain(refused).chain(failed).collect());
    page.finish()
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
        field(page, "", Some(allow_list(list)));
        if list.minimal.len() < list.entries.len() {
            field(page, "", Some(format!("shortest form: {} entries: {}", list.minimal.len(), few(&list.minimal, 8))));
        }
    } else if summary.public_access == Some(true) {
        field(page, "", Some("publicAccessCidrs is not known".to_owned()));
    }
    field(page, "private access", summary.private_access.map(on_off));
}

fn allow_list(list: &AllowListSummary) -> String {
    let open = match (list.ipv4_open, list.ipv6_open) {
        (true, true) => "everybody".to_owned(),
        (true, false) => "every IPv4 address".to_owned(),
        (false, true) => format!("every IPv6 address and {} IPv4 addresses", list.ipv4_addresses),
        (false, false) => format!("{} IPv4 addresses", list.ipv4_addresses),
    };
    match list.entries.len() {
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

/// A heading and a line an item, unless there is none.
fn section(page: &mut Page, title: &str, items: Vec<String>) {
    if items.is_empty() {
        return;
    }
    heading(page, title);
    let count = items.len();
    for item in items.into_iter().take(MOST_ROWS) {
        page.paragraph(2, 4, &[span(Ink::Plain, item.trim_end())]);
    }
    more(page, count);
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

/// `  status           ACTIVE`.
fn field(page: &mut Page, name: &str, value: Option<String>) {
    let label = format!("{name:<NAME_WIDTH$}");
    match value {
        // On a line of its own, so that it can be copied whole and stands below the others.
        Some(value) if value.len() <= SHORT || !value.contains(' ') => {
            page.line(2, &[span(Ink::Dim, format!("{label} ")), span(Ink::Plain, value)]);
        }
        Some(value) => page.paragraph(2, 2 + NAME_WIDTH + 1, &[span(Ink::Dim, label), span(Ink::Plain, value)]),
        None => page.line(2, &[span(Ink::Dim, format!("{label} not known"))]),
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
/// A value that fits beside its name on any terminal.
const SHORT: usize = 50;
const NAME_WIDTH: usize = 24;
