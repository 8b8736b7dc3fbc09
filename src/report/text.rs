//! The report for people, on a terminal of any width, with or without colour.

mod finding;
mod ladder;
mod matrix;

use super::{
    Cell, Reachability, Report, Verdict,
    page::{Ink, Page, Paper, span},
    words,
};

/// How the text form is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns; fewer than 50 are treated as 50.
    pub width: usize,
    /// Whether to emit colour codes.
    pub color: bool,
    /// Show what went well in detail, too.
    pub verbose: bool,
    /// For which command.
    pub mode: Mode,
    /// Whether characters beyond ASCII may be used.
    pub unicode: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { width: 80, color: false, verbose: false, mode: Mode::Verify, unicode: true }
    }
}

impl TextOptions {
    /// The page that these options describe.
    #[must_use]
    pub const fn paper(&self) -> Paper {
        Paper { width: self.width, color: self.color, unicode: self.unicode }
    }
}

/// Which command's reader is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One endpoint: the answer, every stage, the findings.
    Doctor,
    /// Many cells: the matrix, what does not match, the findings.
    Verify,
}

/// Draws the report as text that ends with a newline.
#[must_use]
pub fn render(report: &Report, options: &TextOptions) -> String {
    let mut page = Page::new(options.paper());
    match options.mode {
        Mode::Doctor => doctor(&mut page, report, options.verbose),
        Mode::Verify => verify(&mut page, report, options.verbose),
    }
    page.finish()
}

fn doctor(page: &mut Page, report: &Report, verbose: bool) {
    if let Some(cell) = report.cells.first() {
        page.paragraph(0, 2, &[span(answer_ink(cell), words::answer(cell))]);
    }
    for (index, cell) in report.cells.iter().enumerate() {
        page.blank();
        ladder::draw(
            page,
            cell,
            verbose,
            ladder::Heading { answer: index > 0, verdict: verbose || cell.verdict != Verdict::Match, cause: false },
        );
    }
    finding::draw(page, &words::findings_once(report), report.cells.len() > 1);
}

fn verify(page: &mut Page, report: &Report, verbose: bool) {
    page.paragraph(0, 2, &[span(verdict_ink(report.verdict), words::headline(report))]);
    page.blank();
    matrix::draw(page, &report.cells, verbose);
    let waited: Vec<String> = report.cells.iter().filter_map(words::converged).collect();
    if !waited.is_empty() {
        page.blank();
        for words in waited {
            page.paragraph(3, 5, &[span(Ink::Plain, words)]);
        }
    }
    for cell in &report.cells {
        if verbose || cell.verdict != Verdict::Match {
            page.blank();
            ladder::draw(page, cell, verbose, ladder::Heading { answer: true, verdict: true, cause: true });
        }
    }
    finding::draw(page, &words::findings_once(report), true);
}

/// Colour of a verdict.
const fn verdict_ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Match => Ink::Good,
        Verdict::Propagating | Verdict::Inconclusive => Ink::Warn,
        Verdict::Mismatch => Ink::Bad,
    }
}

/// Mark before a verdict, so that it can be told without colour.
const fn verdict_mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "✓",
        Verdict::Propagating => "…",
        Verdict::Inconclusive => "?",
        Verdict::Mismatch => "✗",
    }
}

/// Colour of a cell's answer: its verdict, except that a doctor's cell that nothing is intended for goes by what is seen.
const fn answer_ink(cell: &Cell) -> Ink {
    match (cell.verdict, cell.observed) {
        (Verdict::Mismatch, _) => Ink::Bad,
        (_, Reachability::Unknown) | (Verdict::Propagating | Verdict::Inconclusive, _) => Ink::Warn,
        (Verdict::Match, _) => Ink::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{every_variant, page::columns};

    fn options(width: usize, mode: Mode) -> TextOptions {
        TextOptions { width, mode, ..TextOptions::default() }
    }

    #[test]
    fn every_variant_reads_well_at_each_width() {
        let report = every_variant::report();
        for width in [60, 80, 120] {
            let text = render(&report, &TextOptions { verbose: true, ..options(width, Mode::Verify) });
            insta::assert_snapshot!(format!("verify_{width}"), text);
        }
    }

    #[test]
    fn a_grid_shows_more_than_one_of_both() {
        for width in [60, 80, 120] {
            let mut text = render(&every_variant::many(3, 3), &options(width, Mode::Verify));
            text.truncate(text.find("\n\nx ").or_else(|| text.find("\n\n✗ cluster")).unwrap());
            insta::assert_snapshot!(format!("grid_{width}"), text);
        }
    }

    #[test]
    fn of_many_cells_only_those_that_are_wrong_are_listed() {
        let report = every_variant::many(40, 30);
        let text = render(&report, &options(80, Mode::Verify));
        let overview = &text[..text.find("\n\n✗ cluster").unwrap()];
        assert!(overview.lines().count() < 60, "{overview}");
        assert!(overview.contains("1182 of 1200 cells are not listed: 1182 match"), "{overview}");
        assert!(!overview.contains("vantage-0 "), "{overview}");
        insta::assert_snapshot!("many", overview);
        let wide = render(&every_variant::many(40, 6), &options(120, Mode::Verify));
        insta::assert_snapshot!("many_grid", &wide[..wide.find("\n\n✗ cluster").unwrap()]);
        let verbose = render(&report, &TextOptions { verbose: true, ..options(80, Mode::Verify) });
        assert!(verbose.contains("vantage-0 "));
        let markdown = crate::report::markdown::render(&report);
        assert!(markdown.len() <= crate::report::markdown::SIZE_LIMIT, "{}", markdown.len());
        let html = crate::report::html::render(&every_variant::many(3, 3));
        assert!(html.contains(">cluster-2</th>") && html.contains("href=\"#cell-8\""));
    }

    #[test]
    fn doctor_leads_with_the_answer() {
        let report = every_variant::doctor_report();
        for width in [60, 80, 120] {
            let text = render(&report, &options(width, Mode::Doctor));
            assert!(text.starts_with("reachable: a Kubernetes API server answered 401"), "{text}");
            insta::assert_snapshot!(format!("doctor_{width}"), text);
        }
    }

    #[test]
    fn without_unicode_everything_is_ascii() {
        let report = every_variant::doctor_report();
        let text = render(&report, &TextOptions { unicode: false, ..options(80, Mode::Doctor) });
        assert!(text.is_ascii());
        insta::assert_snapshot!("doctor_ascii", text);
        let everything = render(
            &every_variant::report(),
            &TextOptions { unicode: false, verbose: true, ..options(80, Mode::Verify) },
        );
        assert!(everything.is_ascii());
    }

    #[test]
    fn colour_codes_come_only_when_asked() {
        let report = every_variant::doctor_report();
        assert!(!render(&report, &options(80, Mode::Doctor)).contains('\x1b'));
        let coloured = render(&report, &TextOptions { color: true, ..options(80, Mode::Doctor) });
        assert!(coloured.contains("\x1b["));
        insta::assert_snapshot!("doctor_colour", coloured.replace('\x1b', "␛"));
    }

    #[test]
    fn no_line_but_commands_and_links_is_wider_than_the_page() {
        for width in [50, 60, 80, 120] {
            for mode in [Mode::Doctor, Mode::Verify] {
                for report in [every_variant::report(), every_variant::doctor_report()] {
                    let text = render(&report, &TextOptions { verbose: true, ..options(width, mode) });
                    let mut command = false;
                    for line in text.lines() {
                        // A command stands below "Fix:", indented; the next line with a capital ends it.
                        command = line.trim() == "Fix:" || command && line.starts_with("     ");
                        let start = line.trim_start();
                        let link = ["Docs: ", "More: ", "https://"].iter().any(|begin| start.starts_with(begin));
                        assert!(command || link || columns(line) <= width, "{width} {}: {line}", columns(line));
                        assert!(line.trim_end() == line, "trailing blanks: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn commands_are_printed_whole_on_lines_of_their_own() {
        let report = every_variant::report();
        let text = render(&report, &options(60, Mode::Verify));
        for finding in words::findings_once(&report) {
            for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
                assert!(text.lines().any(|shown| shown.trim_start() == line.trim_start()), "{line}");
            }
        }
    }

    #[test]
    fn matches_take_one_line_unless_verbose() {
        let mut report = every_variant::report();
        report.cells.retain(|cell| cell.verdict == Verdict::Match);
        report.findings.clear();
        report.cells.iter_mut().for_each(|cell| cell.findings.clear());
        report.verdict = Verdict::Match;
        let told = render(&report, &options(120, Mode::Verify));
        assert!(told.contains("\n   lab from bastion: as intended after 8.2 s, 5 rounds\n"), "{told}");
        report.cells.iter_mut().for_each(|cell| cell.converged_after_ms = None);
        let text = render(&report, &options(120, Mode::Verify));
        assert_eq!(text.lines().count(), report.cells.len() + 3, "{text}");
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_is_visible() {
        let report = every_variant::hostile_report();
        for mode in [Mode::Doctor, Mode::Verify] {
            let text = render(&report, &TextOptions { verbose: true, ..options(80, mode) });
            for character in text.chars() {
                assert!(character == '\n' || !character.is_control() && !words::is_deceptive(character), "{text:?}");
            }
            assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{text}");
        }
    }

    #[test]
    fn many_addresses_are_bounded_and_counted() {
        let mut report = every_variant::doctor_report();
        let attempt = report.cells[0].attempts[0].clone();
        report.cells[0].attempts = vec![attempt; 4_000];
        let text = render(&report, &options(80, Mode::Doctor));
        assert!(text.contains("3872 more addresses"), "{text}");
        assert!(text.len() < 100_000);
    }
}
