//! Cluster × vantage: the three truths and the verdict, a line a cell.

use super::{verdict_ink, verdict_mark};
use crate::report::{
    Cell, Reachability, Via,
    page::{Ink, Page, Span, span},
};

/// Draws a table, or two lines a cell where the page is too narrow for one.
pub(super) fn draw(page: &mut Page, cells: &[Cell]) {
    let heading = ["", "CLUSTER", "VANTAGE", "INTENDED", "CONFIGURED", "OBSERVED", "VIA", "VERDICT"];
    let rows: Vec<Vec<Span>> = cells.iter().map(row).collect();
    if cells.is_empty() || page.table(0, &heading, &[], &rows) {
        return;
    }
    // The class of the addresses is the first thing to do without; each cell's detail has it, too.
    let without = |row: &Vec<Span>| -> Vec<Span> { [&row[..VIA], &row[VIA + 1..]].concat() };
    let narrow: Vec<&str> = [&heading[..VIA], &heading[VIA + 1..]].concat();
    if page.table(0, &narrow, &[], &rows.iter().map(without).collect::<Vec<_>>()) {
        return;
    }
    for cell in cells {
        let ink = verdict_ink(cell.verdict);
        page.paragraph(
            0,
            2,
            &[
                span(ink, verdict_mark(cell.verdict)),
                span(Ink::Strong, format!(" {} from {}: ", cell.subject(), cell.vantage)),
                span(ink, cell.verdict.label()),
            ],
        );
        page.paragraph(4, 4, &[span(Ink::Plain, truths(cell))]);
    }
}

/// `intended reachable, configured reachable, observed unreachable via public`; what is configured only where it is known.
pub(super) fn truths(cell: &Cell) -> String {
    let (intended, observed) = (cell.intended.label(), cell.observed.label());
    let via = cell.via.map(|via| format!(" via {}", via.label())).unwrap_or_default();
    let configured = match cell.configured {
        Reachability::Unknown => String::new(),
        configured => format!(", configured {}", configured.label()),
    };
    let configured = match cell.configured_now {
        Some(now) if now != cell.configured => format!("{configured} (today {})", now.label()),
        _ => configured,
    };
    // Where nothing was observed, the path is the one that the configuration leads to.
    if cell.observed == Reachability::Unknown && !configured.is_empty() {
        return format!("intended {intended}{configured}{via}, observed {observed}");
    }
    format!("intended {intended}{configured}, observed {observed}{via}")
}

fn row(cell: &Cell) -> Vec<Span> {
    let ink = verdict_ink(cell.verdict);
    vec![
        span(ink, verdict_mark(cell.verdict)),
        span(Ink::Strong, cell.subject()),
        span(Ink::Strong, &cell.vantage),
        span(Ink::Plain, cell.intended.label()),
        span(
            Ink::Plain,
            match cell.configured_now {
                Some(now) if now != cell.configured => format!("{} -> {}", now.label(), cell.configured.label()),
                _ => cell.configured.label().to_owned(),
            },
        ),
        span(Ink::Plain, cell.observed.label()),
        span(Ink::Plain, cell.via.map_or("", Via::label)),
        span(ink, cell.verdict.label()),
    ]
}

/// Column of the class of addresses.
const VIA: usize = 6;
