//! Tables for people, on a page of 80 columns or more.

use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Question, Stop,
    rows::{self, CellRow, Counts, EventRow, Names, RoundRow, Row, SpanRow},
};
use crate::{
    cli::arguments::HistoryOf,
    report::{
        CellTarget, Verdict,
        page::{Ink, Page, Paper, Span, span},
    },
    watch::{
        record::Standing,
        store::{Store, StoredCell},
    },
};

/// Writes the rows, a piece at a time: a table is as wide as what is in it.
pub(super) async fn write(
    output: &mut (impl Write + Send),
    store: &Store,
    cells: &[StoredCell],
    question: &Question,
    paper: Paper,
) -> Result<(), Stop> {
    let mut piece: Vec<Row> = Vec::new();
    let mut empty = true;
    let truncated = rows::each(store, cells, question, &mut |row| {
        empty = false;
        let is_next = piece.last().is_some_and(|last| belongs_elsewhere(last, &row));
        if is_next || piece.len() >= ROWS_OF_A_TABLE {
            output.write_all(drawn(&piece, paper).as_bytes())?;
            if is_next {
                output.write_all(b"\n")?;
            }
            piece.clear();
        }
        piece.push(row);
        Ok(())
    })
    .await?;
    output.write_all(drawn(&piece, paper).as_bytes())?;
    if empty {
        let what = match question.of {
            HistoryOf::Cells => "no cell was ever watched",
            HistoryOf::Rounds => "no round",
            HistoryOf::Hours => "no hour",
            HistoryOf::Days => "no day",
            HistoryOf::Events => "no event",
        };
        let range = format!("{} to {}", time(question.from), time(question.until));
        let mut page = Page::new(paper);
        let text = if question.of == HistoryOf::Cells { what.to_owned() } else { format!("{what} from {range}") };
        page.paragraph(0, 2, &[span(Ink::Plain, text)]);
        output.write_all(page.finish().as_bytes())?;
    }
    if truncated {
        output.write_all(format!("\n{}", more(question.limit)).as_bytes())?;
    }
    Ok(())
}

/// That the list is longer.
pub(super) fn more(limit: usize) -> String {
    format!("there are more than {limit}; a larger --limit or narrower filters show the others\n")
}

/// Rounds and spans are listed under their cell.
fn belongs_elsewhere(left: &Row, right: &Row) -> bool {
    match (left, right) {
        (Row::Round(left), Row::Round(right)) => left.names != right.names,
        (Row::Span(left), Row::Span(right)) => left.names != right.names,
        _ => false,
    }
}

fn drawn(rows: &[Row], paper: Paper) -> String {
    let mut page = Page::new(paper);
    match rows.first() {
        None => {}
        Some(Row::Cell(_)) => {
            let cells: Vec<&CellRow> =
                rows.iter().filter_map(|row| if let Row::Cell(cell) = row { Some(cell) } else { None }).collect();
            draw_cells(&mut page, &cells);
        }
        Some(Row::Round(first)) => {
            heading(&mut page, &first.names);
            let rounds: Vec<&RoundRow> =
                rows.iter().filter_map(|row| if let Row::Round(round) = row { Some(round) } else { None }).collect();
            draw_rounds(&mut page, &rounds);
        }
        Some(Row::Span(first)) => {
            heading(&mut page, &first.names);
            let spans: Vec<&SpanRow> =
                rows.iter().filter_map(|row| if let Row::Span(span) = row { Some(span) } else { None }).collect();
            draw_spans(&mut page, &spans);
        }
        Some(Row::Event(_)) => {
            for row in rows {
                if let Row::Event(event) = row {
                    draw_event(&mut page, event);
                }
            }
        }
    }
    page.finish()
}

fn draw_cells(page: &mut Page, cells: &[&CellRow]) {
    let wide = |cell: &&CellRow| -> Vec<Span> {
        let mut row = vec![span(Ink::Plain, cell.names.check.clone())];
        row.extend(narrow_cell(cell));
        row.push(span(Ink::Plain, milliseconds(cell.times.tcp_mean_ms)));
        row.push(span(Ink::Plain, milliseconds(cell.times.tls_mean_ms)));
        row
    };
    let headings = ["CHECK", "CELL", "NOW", "SINCE (UTC)", "AVAILABLE", "ROUNDS", "TCP ms", "TLS ms"];
    let rows: Vec<Vec<Span>> = cells.iter().map(wide).collect();
    if page.table(0, &headings, &[4, 5, 6, 7], &rows) {
        return;
    }
    let rows: Vec<Vec<Span>> = cells.iter().map(|cell| narrow_cell(cell)).collect();
    if page.table(0, &headings[1..6], &[3, 4], &rows) {
        return;
    }
    for cell in cells {
        let (now, ink) = standing(cell.verdict, cell.code.as_deref());
        let since = cell.since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
        let available = availability(&cell.counts);
        page.paragraph(
            0,
            2,
            &[
                span(Ink::Strong, subject(&cell.names)),
                span(Ink::Plain, ": "),
                span(ink, now),
                span(Ink::Plain, format!("{since}, available {available} of {} rounds", judged(&cell.counts))),
            ],
        );
    }
}

fn narrow_cell(cell: &CellRow) -> Vec<Span> {
    let (now, ink) = standing(cell.verdict, cell.code.as_deref());
    vec![
        span(Ink::Plain, subject(&cell.names)),
        span(ink, now),
        span(Ink::Plain, cell.since.map(time).unwrap_or_default()),
        span(Ink::Plain, availability(&cell.counts)),
        span(Ink::Plain, judged(&cell.counts).to_string()),
    ]
}

fn draw_rounds(page: &mut Page, rounds: &[&RoundRow]) {
    let row = |round: &RoundRow, observed: bool| -> Vec<Span> {
        let (verdict, ink) =
            if round.offline { ("offline".to_owned(), Ink::Dim) } else { standing(Some(round.verdict), None) };
        let mut row = vec![span(Ink::Plain, time(round.at)), span(ink, verdict)];
        if observed {
            row.push(span(Ink::Plain, round.observed.label()));
        }
        let times = [round.dns_ms, round.tcp_ms, round.tls_ms, round.http_ms];
        row.extend(times.map(|ms| span(Ink::Plain, milliseconds(ms))));
        row
    };
    let all: Vec<Vec<Span>> = rounds.iter().map(|round| row(round, true)).collect();
    let headings = ["TIME (UTC)", "VERDICT", "OBSERVED", "DNS ms", "TCP ms", "TLS ms", "HTTP ms"];
    if page.table(2, &headings, &[3, 4, 5, 6], &all) {
        return;
    }
    let fewer: Vec<Vec<Span>> = rounds.iter().map(|round| row(round, false)).collect();
    let headings = ["TIME (UTC)", "VERDICT", "DNS ms", "TCP ms", "TLS ms", "HTTP ms"];
    if !page.table(2, &headings, &[2, 3, 4, 5], &fewer) {
        for row in &fewer {
            in_words(page, &headings, row);
        }
    }
}

fn draw_spans(page: &mut Page, spans: &[&SpanRow]) {
    let row = |one: &&SpanRow| -> Vec<Span> {
        let Counts { matched, mismatched, inconclusive, propagating, offline, .. } = one.counts;
        let plain = |count: u32| span(Ink::Plain, count.to_string());
        let ink = if mismatched > 0 { Ink::Bad } else { Ink::Plain };
        let times = &one.times;
        let means = [times.dns_mean_ms, times.tcp_mean_ms, times.tls_mean_ms, times.http_mean_ms];
        let mut row = vec![
            span(Ink::Plain, time(one.begin)),
            span(Ink::Plain, availability(&one.counts)),
            plain(matched),
            span(ink, mismatched.to_string()),
            plain(inconclusive.saturating_add(propagating)),
            plain(offline),
        ];
        row.extend(means.map(|ms| span(Ink::Plain, milliseconds(ms))));
        row
    };
    let headings = [
        "BEGIN (UTC)",
        "AVAILABLE",
        "MATCH",
        "MISMATCH",
        "UNDECIDED",
        "OFFLINE",
        "DNS ms",
        "TCP ms",
        "TLS ms",
        "HTTP ms",
    ];
    let rows: Vec<Vec<Span>> = spans.iter().map(row).collect();
    for columns in [headings.len(), NARROW_COLUMNS] {
        let rows: Vec<Vec<Span>> = rows.iter().map(|row| row[..columns].to_vec()).collect();
        if page.table(2, &headings[..columns], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &rows) {
            return;
        }
    }
    for row in &rows {
        in_words(page, &headings, row);
    }
}

fn draw_event(page: &mut Page, event: &EventRow) {
    let ink = match event.to.as_ref().map(|to| to.verdict) {
        Some(verdict) => ink_of(verdict),
        None => Ink::Plain,
    };
    let words = |standing: Option<&Standing>| {
        standing.map(|standing| self::standing(Some(standing.verdict), standing.code.as_deref()).0)
    };
    let mut line = vec![
        span(Ink::Dim, time(event.at)),
        span(Ink::Plain, "  "),
        span(ink, event.kind.label()),
        span(Ink::Plain, "  "),
        span(Ink::Strong, subject(&event.names)),
    ];
    match (words(event.from.as_ref()), words(event.to.as_ref())) {
        (Some(from), Some(to)) => line.push(span(Ink::Plain, format!("  {from} → {to}"))),
        (None, Some(to)) => line.push(span(Ink::Plain, format!("  {to}"))),
        _ => {}
    }
    page.paragraph(0, 2, &line);
    page.paragraph(2, 2, &[span(Ink::Plain, event.summary.clone())]);
    for change in &event.changes {
        page.paragraph(
            2,
            4,
            &[span(Ink::Dim, format!("- {} ", time(change.at))), span(Ink::Plain, change.text.clone())],
        );
    }
}

/// A row that is too wide for its table.
fn in_words(page: &mut Page, headings: &[&str], row: &[Span]) {
    let mut line = Vec::new();
    for (heading, value) in headings.iter().zip(row) {
        line.push(span(Ink::Dim, format!(" {heading} ")));
        line.push(value.clone());
    }
    page.paragraph(2, 4, &line);
}

fn heading(page: &mut Page, names: &Names) {
    page.line(0, &[span(Ink::Strong, subject(names)), span(Ink::Dim, format!("  {}", names.check))]);
}

/// `prod/office`, `prod (eks-api)/office`, or `prod` alone.
fn subject(names: &Names) -> String {
    let cluster = names.target.unwrap_or(CellTarget::Kubernetes).of(&names.cluster);
    match &names.vantage {
        Some(vantage) => format!("{cluster}/{vantage}"),
        None => cluster,
    }
}

fn standing(verdict: Option<Verdict>, code: Option<&str>) -> (String, Ink) {
    match (verdict, code) {
        (None, _) => ("not judged yet".to_owned(), Ink::Dim),
        (Some(verdict), None) => (verdict.label().to_owned(), ink_of(verdict)),
        (Some(verdict), Some(code)) => (format!("{} ({code})", verdict.label()), ink_of(verdict)),
    }
}

const fn ink_of(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Match => Ink::Good,
        Verdict::Mismatch => Ink::Bad,
        Verdict::Inconclusive | Verdict::Propagating => Ink::Warn,
    }
}

/// Cut, not rounded: 100 % is said of nothing less.
fn availability(counts: &Counts) -> String {
    match counts.availability {
        None => "-".to_owned(),
        Some(part) => format!("{:.2} %", (part * 10_000.0).floor() / 100.0),
    }
}

fn judged(counts: &Counts) -> u64 {
    [counts.matched, counts.mismatched, counts.inconclusive, counts.propagating].into_iter().map(u64::from).sum()
}

fn milliseconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"))
}

fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

const ROWS_OF_A_TABLE: usize = 500;
const NARROW_COLUMNS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_always_is_not_always() {
        let counts = |matched| Counts {
            availability: Some(f64::from(matched) / 1_000_000.0),
            matched,
            mismatched: 1_000_000 - matched,
            inconclusive: 0,
            propagating: 0,
            offline: 0,
        };
        assert_eq!(availability(&counts(1_000_000)), "100.00 %");
        assert_eq!(availability(&counts(999_999)), "99.99 %");
        assert_eq!(availability(&Counts { availability: None, ..counts(0) }), "-");
    }
}
