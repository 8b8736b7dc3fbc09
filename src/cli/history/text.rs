//! Tables for people, on a page of 80 columns or more.

use std::io::Write;

use jiff::Timestamp;

use super::{
    Stop,
    rows::{self, CellRow, Counts, EventRow, Names, Now, RoundRow, Row, Source, SpanRow},
};
use crate::{
    cli::arguments::HistoryOf,
    report::{
        CellTarget, Verdict,
        page::{Ink, Page, Paper, Span, span},
        words::{ago, moment, stamp},
    },
    watch::record::Standing,
};

/// Writes the rows, a piece at a time: a table is as wide as what is in it.
pub(super) async fn write(
    output: &mut (impl Write + Send),
    source: &Source<'_>,
    several_checks: bool,
    paper: Paper,
) -> Result<(), Stop> {
    let question = source.question;
    let sheet = Sheet { paper, now: question.now, several_checks, several_cells: source.cells.len() > 1 };
    let mut piece: Vec<Row> = Vec::new();
    let mut empty = true;
    let truncated = rows::each(source, &mut |row| {
        empty = false;
        let is_next = piece.last().is_some_and(|last| belongs_elsewhere(last, &row));
        if is_next || piece.len() >= ROWS_OF_A_TABLE {
            output.write_all(sheet.drawn(&piece).as_bytes())?;
            if is_next {
                output.write_all(b"\n")?;
            }
            piece.clear();
        }
        piece.push(row);
        Ok(())
    })
    .await?;
    output.write_all(sheet.drawn(&piece).as_bytes())?;
    if empty {
        let what = match question.of {
            HistoryOf::Cells => "no cell was ever watched",
            HistoryOf::Rounds => "no round",
            HistoryOf::Hours => "no hour",
            HistoryOf::Days => "no day",
            HistoryOf::Events => "no event",
        };
        let range = format!("{} to {}", moment(question.from), moment(question.until));
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

/// Spans are listed under their cell.
fn belongs_elsewhere(left: &Row, right: &Row) -> bool {
    match (left, right) {
        (Row::Span(left), Row::Span(right)) => left.names != right.names,
        _ => false,
    }
}

/// How pieces are drawn.
struct Sheet {
    paper: Paper,
    now: Timestamp,
    /// The history has cells of several checks: each is named with its own.
    several_checks: bool,
    several_cells: bool,
}

impl Sheet {
    fn drawn(&self, rows: &[Row]) -> String {
        let mut page = Page::new(self.paper);
        match rows.first() {
            None => {}
            Some(Row::Cell(_)) => {
                let cells: Vec<&CellRow> =
                    rows.iter().filter_map(|row| if let Row::Cell(cell) = row { Some(cell) } else { None }).collect();
                self.draw_cells(&mut page, &cells);
            }
            Some(Row::Round(first)) => {
                if !self.several_cells {
                    heading(&mut page, &first.names);
                }
                let rounds: Vec<&RoundRow> = rows
                    .iter()
                    .filter_map(|row| if let Row::Round(round) = row { Some(round) } else { None })
                    .collect();
                self.draw_rounds(&mut page, &rounds);
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
                        self.draw_event(&mut page, event);
                    }
                }
            }
        }
        page.finish()
    }

    fn draw_cells(&self, page: &mut Page, cells: &[&CellRow]) {
        let row = |cell: &&CellRow| -> Vec<Span> {
            let (now, ink) = now(cell);
            vec![
                span(Ink::Plain, cell.names.check.clone()),
                span(Ink::Plain, subject(&cell.names)),
                span(ink, now),
                span(Ink::Plain, cell.since.map(stamp).unwrap_or_default()),
                span(Ink::Plain, self.last(cell)),
                span(Ink::Plain, availability(&cell.counts)),
                span(Ink::Plain, judged(&cell.counts).to_string()),
                span(Ink::Plain, milliseconds(cell.times.tcp_mean_ms)),
                span(Ink::Plain, milliseconds(cell.times.tls_mean_ms)),
            ]
        };
        let table = Table {
            indent: 0,
            headings: &["CHECK", "CELL", "NOW", "SINCE (UTC)", "LAST", "AVAILABLE", "ROUNDS", "TCP ms", "TLS ms"],
            right: &["LAST", "AVAILABLE", "ROUNDS", "TCP ms", "TLS ms"],
            rows: cells.iter().map(row).collect(),
        };
        let first: &[&str] = if self.several_checks { &["TCP ms", "TLS ms"] } else { &["TCP ms", "TLS ms", "CHECK"] };
        if table.draw(page, &[first, &["ROUNDS"], &["SINCE (UTC)"]]) {
            return;
        }
        for cell in cells {
            let (now, ink) = now(cell);
            let since = cell.since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
            let available = availability(&cell.counts);
            let rest = format!(
                "{since}, last round {}, available {available} of {} rounds",
                self.last(cell),
                judged(&cell.counts)
            );
            let line = [
                span(Ink::Strong, self.named(&cell.names)),
                span(Ink::Plain, ": "),
                span(ink, now),
                span(Ink::Plain, rest),
            ];
            page.paragraph(0, 2, &line);
        }
    }

    fn draw_rounds(&self, page: &mut Page, rounds: &[&RoundRow]) {
        let row = |round: &&RoundRow| -> Vec<Span> {
            let (verdict, ink) =
                if round.offline { ("offline".to_owned(), Ink::Dim) } else { standing(Some(round.verdict), None) };
            let mut row = vec![
                span(Ink::Plain, stamp(round.at)),
                span(Ink::Plain, round.names.check.clone()),
                span(Ink::Plain, subject(&round.names)),
                span(ink, verdict),
                span(Ink::Plain, round.observed.label()),
            ];
            let times = [round.dns_ms, round.tcp_ms, round.tls_ms, round.http_ms];
            row.extend(times.map(|ms| span(Ink::Plain, milliseconds(ms))));
            row
        };
        let table = Table {
            indent: 2,
            headings: &["TIME (UTC)", "CHECK", "CELL", "VERDICT", "OBSERVED", "DNS ms", "TCP ms", "TLS ms", "HTTP ms"],
            right: &["DNS ms", "TCP ms", "TLS ms", "HTTP ms"],
            rows: rounds.iter().map(row).collect(),
        };
        let told: &[&str] = match (self.several_cells, self.several_checks) {
            (false, _) => &["CHECK", "CELL"],
            (true, false) => &["CHECK"],
            (true, true) => &[],
        };
        let (headings, rows) = table.without(told);
        let table = Table { headings: &headings, rows, ..table };
        if !table.draw(page, &[&["OBSERVED"], &["DNS ms", "HTTP ms"], &["TCP ms", "TLS ms"]]) {
            for row in &table.rows {
                in_words(page, &headings, row);
            }
        }
    }

    fn draw_event(&self, page: &mut Page, event: &EventRow) {
        let ink = match event.to.as_ref().map(|to| to.verdict) {
            Some(verdict) => ink_of(verdict),
            None => Ink::Plain,
        };
        let words = |standing: Option<&Standing>| {
            standing.map(|standing| self::standing(Some(standing.verdict), standing.code.as_deref()).0)
        };
        let mut line = vec![
            span(Ink::Dim, moment(event.at)),
            span(Ink::Plain, "  "),
            span(ink, event.kind.label()),
            span(Ink::Plain, "  "),
            span(Ink::Strong, self.named(&event.names)),
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
                &[span(Ink::Dim, format!("- {} ", moment(change.at))), span(Ink::Plain, change.text.clone())],
            );
        }
    }

    /// The cell, with its check where there are several.
    fn named(&self, names: &Names) -> String {
        let subject = subject(names);
        if self.several_checks { format!("{subject} in {}", names.check) } else { subject }
    }

    fn last(&self, cell: &CellRow) -> String {
        cell.last_round.map_or_else(|| "never".to_owned(), |last| format!("{} ago", ago(last, self.now)))
    }
}

fn draw_spans(page: &mut Page, spans: &[&SpanRow]) {
    let row = |one: &SpanRow, longest: bool| -> Vec<Span> {
        let Counts { matched, mismatched, inconclusive, propagating, offline, .. } = one.counts;
        let plain = |count: u32| span(Ink::Plain, count.to_string());
        let ink = if mismatched > 0 { Ink::Bad } else { Ink::Plain };
        let times = &one.times;
        let stages = [
            (times.dns_mean_ms, times.dns_longest_ms),
            (times.tcp_mean_ms, times.tcp_longest_ms),
            (times.tls_mean_ms, times.tls_longest_ms),
            (times.http_mean_ms, times.http_longest_ms),
        ];
        let mut row = vec![
            // An hour or a day begins with a minute.
            span(Ink::Plain, stamp(one.begin).chars().take(MINUTE_DIGITS).collect::<String>()),
            span(Ink::Plain, availability(&one.counts)),
            plain(matched),
            span(ink, mismatched.to_string()),
            plain(inconclusive.saturating_add(propagating)),
            plain(offline),
        ];
        row.extend(stages.map(|(mean, most)| {
            let mean = milliseconds(mean);
            let most = most.filter(|_| longest).map(|ms| format!("/{ms:.1}")).unwrap_or_default();
            span(Ink::Plain, mean + &most)
        }));
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
    let table = |longest| Table {
        indent: 2,
        headings: &headings,
        right: &headings[1..],
        rows: spans.iter().map(|one| row(one, longest)).collect(),
    };
    if table(true).draw(page, &[]) {
        page.line(2, &[span(Ink::Dim, "times: mean/longest")]);
        return;
    }
    let table = table(false);
    if !table.draw(page, &[&["DNS ms", "TCP ms", "TLS ms", "HTTP ms"]]) {
        for row in &table.rows {
            in_words(page, &headings, row);
        }
    }
}

/// A table that may lose columns where the page is narrow.
struct Table<'a> {
    indent: usize,
    headings: &'a [&'a str],
    /// The columns that end where their heading does.
    right: &'a [&'a str],
    rows: Vec<Vec<Span>>,
}

impl Table<'_> {
    /// Draws as many columns as fit: all; then all but the first of `less`; then without the second, too, and so on.
    /// False when the fewest are too wide still, and nothing is drawn.
    fn draw(&self, page: &mut Page, less: &[&[&str]]) -> bool {
        (0..=less.len()).any(|count| {
            let left_out = less[..count].concat();
            let (headings, rows) = self.without(&left_out);
            let right: Vec<usize> =
                (0..headings.len()).filter(|index| self.right.contains(&headings[*index])).collect();
            page.table(self.indent, &headings, &right, &rows)
        })
    }

    /// Headings and rows without some columns.
    fn without(&self, left_out: &[&str]) -> (Vec<&str>, Vec<Vec<Span>>) {
        let kept: Vec<bool> = self.headings.iter().map(|heading| !left_out.contains(heading)).collect();
        let keep = |index: usize| kept.get(index).copied().unwrap_or_default();
        let headings = self.headings.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, heading)| *heading);
        let row = |row: &Vec<Span>| {
            row.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, cell)| cell.clone()).collect()
        };
        (headings.collect(), self.rows.iter().map(row).collect())
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

/// What a cell is now, or was when it was last known.
fn now(cell: &CellRow) -> (String, Ink) {
    let (was, ink) = standing(cell.verdict, cell.code.as_deref());
    match cell.now {
        Now::Current => (was, ink),
        Now::Paused => (format!("paused, was {was}"), Ink::Warn),
        Now::Stale => (format!("stale, was {was}"), Ink::Warn),
        Now::NotWatched => ("not watched any more".to_owned(), Ink::Dim),
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

const ROWS_OF_A_TABLE: usize = 500;
/// Of `2026-11-22 15:00`.
const MINUTE_DIGITS: usize = 16;

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
