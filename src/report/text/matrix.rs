//! Cluster × vantage: a grid where there is more than one of both, and the three truths with the verdict, a line a cell.

use super::{verdict_ink, verdict_mark};
use crate::report::{
    Cell, Reachability, Verdict, Via,
    matrix::{Grid, counts, first_error, letters},
    page::{Ink, Page, Span, span},
};

/// Draws the grid, where it fits and says more than a list, then a table of the cells, or two lines a cell where the page
/// is too narrow for one. What is as it should be stands in the grid only, and of many cells only in the counts.
pub(super) fn draw(page: &mut Page, cells: &[Cell], verbose: bool) {
    let many = cells.len() > MANY && !verbose;
    let drawn = Grid::of(cells).is_some_and(|grid| self::grid(page, &grid, many));
    let only_wrong = (many || drawn) && !verbose;
    let shown: Vec<&Cell> = cells.iter().filter(|cell| !only_wrong || cell.verdict != Verdict::Match).collect();
    let listed = &shown[..shown.len().min(if verbose { usize::MAX } else { MOST_LISTED })];
    if drawn && !listed.is_empty() {
        page.blank();
    }
    list(page, listed);
    if !only_wrong {
        return;
    }
    let left_out = cells.len() - listed.len();
    if left_out > 0 && many {
        if !listed.is_empty() {
            page.blank();
        }
        let words = format!(
            "{} of {} cells are not listed: {}",
            left_out,
            cells.len(),
            counts_left_out(cells, &shown, listed.len())
        );
        page.paragraph(3, 5, &[span(Ink::Dim, words)]);
    }
}

/// Those that match, and those beyond the bound.
fn counts_left_out(cells: &[Cell], shown: &[&Cell], listed: usize) -> String {
    let matching = cells.iter().filter(|cell| cell.verdict == Verdict::Match);
    let beyond = shown[listed..].iter().copied();
    counts(matching.chain(beyond))
}

/// Vantages by clusters, or the other way round where that is narrower; of many rows only those in which something is
/// wrong. `false` where neither fits.
fn grid(page: &mut Page, grid: &Grid<'_>, many: bool) -> bool {
    table(page, ("VANTAGE", &grid.vantages), &grid.subjects, many, |row, column| grid.cell(column, row))
        || table(page, ("CLUSTER", &grid.subjects), &grid.vantages, many, |row, column| grid.cell(row, column))
}

fn table<'a>(
    page: &mut Page,
    (head, rows): (&str, &[String]),
    columns: &[String],
    many: bool,
    cell: impl Fn(&str, &str) -> Option<(usize, &'a Cell)>,
) -> bool {
    let heading: Vec<&str> = std::iter::once(head).chain(columns.iter().map(String::as_str)).collect();
    if heading.len() > MOST_COLUMNS {
        return false;
    }
    let mut left_out = 0;
    let mut drawn: Vec<Vec<Span>> = Vec::new();
    for row in rows {
        let cells: Vec<Option<&Cell>> = columns.iter().map(|column| cell(row, column).map(|(_, cell)| cell)).collect();
        let wrong = cells.iter().flatten().any(|cell| cell.verdict != Verdict::Match);
        if many && (!wrong || drawn.len() >= MOST_ROWS) {
            left_out += 1;
            continue;
        }
        let cells = cells.into_iter().map(|cell| {
            cell.map_or_else(
                || span(Ink::Dim, ""),
                |cell| span(verdict_ink(cell.verdict), format!("{} {}", verdict_mark(cell.verdict), letters(cell))),
            )
        });
        drawn.push(std::iter::once(span(Ink::Strong, row)).chain(cells).collect());
    }
    if drawn.is_empty() || !page.table(0, &heading, &[], &drawn) {
        return false;
    }
    if left_out > 0 {
        let rest = if drawn.len() >= MOST_ROWS { "" } else { ", with nothing wrong in them" };
        page.paragraph(3, 5, &[span(Ink::Dim, format!("{left_out} of {} rows are not shown{rest}", rows.len()))]);
    }
    page.paragraph(0, 2, &[span(Ink::Dim, LEGEND)]);
    page.paragraph(0, 2, &[span(Ink::Dim, MARKS)]);
    true
}

fn list(page: &mut Page, cells: &[&Cell]) {
    if cells.is_empty() {
        return;
    }
    let heading = ["", "CLUSTER", "VANTAGE", "INTENDED", "CONFIGURED", "OBSERVED", "VIA", "VERDICT", "CAUSE"];
    let rows: Vec<Vec<Span>> = cells.iter().map(|cell| row(cell)).collect();
    let causes = cells.iter().any(|cell| first_error(cell).is_some());
    // The class of the addresses is the first thing to do without, then the cause: each cell's detail has both, too.
    let layouts: &[&[usize]] =
        if causes { &[&[], &[VIA], &[CAUSE], &[VIA, CAUSE]] } else { &[&[CAUSE], &[VIA, CAUSE]] };
    for without in layouts {
        let kept = |column: &usize| !without.contains(column);
        let heading: Vec<&str> = (0..heading.len()).filter(kept).map(|column| heading[column]).collect();
        let rows: Vec<Vec<Span>> =
            rows.iter().map(|row| (0..row.len()).filter(kept).map(|column| row[column].clone()).collect()).collect();
        if page.table(0, &heading, &[], &rows) {
            return;
        }
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
        let cause = first_error(cell).map(|code| format!(": {code}")).unwrap_or_default();
        page.paragraph(4, 4, &[span(Ink::Plain, format!("{}{cause}", truths(cell)))]);
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
        span(Ink::Plain, first_error(cell).unwrap_or_default()),
    ]
}

const LEGEND: &str = "Intended, configured, observed: r reachable, u unreachable, . unknown, - unsaid";
const MARKS: &str = "✓ match, ✗ mismatch, … propagating, ? inconclusive; empty: not asked for";
/// Column of the class of addresses.
const VIA: usize = 6;
/// Column of the cause.
const CAUSE: usize = 8;
/// From so many cells on, those that are as they should be are counted only.
const MANY: usize = 40;
const MOST_LISTED: usize = 200;
const MOST_ROWS: usize = 100;
const MOST_COLUMNS: usize = 60;
