//! Lines of text for a terminal. Text enters as spans and is made harmless on the way in; the page alone adds line
//! breaks and colours, so nothing that came from the network can move the cursor or forge a line.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::words;

/// What a page is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Columns.
    pub width: usize,
    /// Whether to emit colour codes.
    pub color: bool,
    /// Whether characters beyond ASCII may be used; without, they are transliterated or written out.
    pub unicode: bool,
}

impl Default for Paper {
    fn default() -> Self {
        Self { width: 80, color: false, unicode: true }
    }
}

/// What a span means; colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Ordinary text.
    Plain,
    /// The thing to read first.
    Strong,
    /// Secondary.
    Dim,
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
    /// Somewhere between.
    Warn,
}

/// A piece of text of one ink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    text: String,
    ink: Ink,
}

/// A span; the text may come from anywhere.
pub fn span(ink: Ink, text: impl Into<String>) -> Span {
    Span { text: text.into(), ink }
}

impl Span {
    /// Columns of the text.
    #[must_use]
    pub fn width(&self) -> usize {
        self.text.width()
    }
}

/// Text under construction.
#[derive(Clone, Debug)]
pub struct Page {
    text: String,
    paper: Paper,
}

impl Page {
    /// An empty page. Fewer than 50 columns are treated as 50.
    #[must_use]
    pub fn new(paper: Paper) -> Self {
        Self { text: String::new(), paper: Paper { width: paper.width.max(MINIMUM_WIDTH), ..paper } }
    }

    /// Columns of the page.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.paper.width
    }

    /// One empty line, unless there is one already or the page is empty.
    pub fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// One line, never wrapped: for things that are laid out already or that must stay whole, like a URL.
    pub fn line(&mut self, indent: usize, spans: &[Span]) {
        let pieces = spans.iter().map(|span| (self.clean(&span.text), span.ink)).collect();
        self.put(indent, pieces);
    }

    /// Words, wrapped at the page's width; further lines are indented by `hang`. A word that is wider than the page is
    /// broken.
    pub fn paragraph(&mut self, indent: usize, hang: usize, spans: &[Span]) {
        let mut current: Vec<(String, Ink)> = Vec::new();
        let mut margin = indent;
        let mut used = indent;
        for word in self.words(spans) {
            let wide: usize = word.iter().map(|(text, _)| text.width()).sum();
            if used > margin && used + 1 + wide > self.paper.width {
                self.put(margin, std::mem::take(&mut current));
                (margin, used) = (hang, hang);
            }
            if used > margin {
                append(&mut current, " ", word.first().map_or(Ink::Plain, |(_, ink)| *ink));
                used += 1;
            }
            for (text, ink) in word {
                for piece in text.split_inclusive(|_: char| true) {
                    let columns = piece.width();
                    if used + columns > self.paper.width && used > margin {
                        self.put(margin, std::mem::take(&mut current));
                        (margin, used) = (hang, hang);
                    }
                    append(&mut current, piece, ink);
                    used += columns;
                }
            }
        }
        if !current.is_empty() {
            self.put(margin, current);
        }
    }

    /// A command to copy: its lines as they are, nothing added, nothing wrapped.
    pub fn command(&mut self, indent: usize, command: &str) {
        for line in words::command_lines(command) {
            let line = if self.paper.unicode { line } else { ascii(&line) };
            self.put(indent, vec![(line, Ink::Strong)]);
        }
    }

    /// A table with a heading, columns as wide as their content, `right` naming the right-aligned ones.
    ///
    /// Returns `false` and draws nothing when it does not fit; the caller then draws the rows some other way.
    #[must_use]
    pub fn table(&mut self, indent: usize, heading: &[&str], right: &[usize], rows: &[Vec<Span>]) -> bool {
        let heading: Vec<Span> = heading.iter().map(|text| span(Ink::Dim, *text)).collect();
        let cleaned: Vec<Vec<(String, Ink)>> = std::iter::once(&heading)
            .chain(rows)
            .map(|row| row.iter().map(|cell| (self.clean(&cell.text), cell.ink)).collect())
            .collect();
        let columns = heading.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| cleaned.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.width()).max())
            .map(Option::unwrap_or_default)
            .collect();
        if indent + widths.iter().sum::<usize>() + GAP * columns.saturating_sub(1) > self.paper.width {
            return false;
        }
        for row in cleaned {
            let mut pieces = Vec::with_capacity(columns * 2);
            for (column, (text, ink)) in row.into_iter().enumerate() {
                let padding = " ".repeat(widths[column].saturating_sub(text.width()));
                let gap = if column == 0 { String::new() } else { " ".repeat(GAP) };
                if right.contains(&column) {
                    pieces.extend([(gap + &padding, Ink::Plain), (text, ink)]);
                } else {
                    pieces.extend([(gap, Ink::Plain), (text, ink), (padding, Ink::Plain)]);
                }
            }
            self.put(indent, pieces);
        }
        true
    }

    /// Text as this page would show it: harmless, and in ASCII where the page is.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let clean = words::visible(text);
        if self.paper.unicode { clean } else { ascii(&clean) }
    }

    /// The text drawn so far.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn words(&self, spans: &[Span]) -> Vec<Vec<(String, Ink)>> {
        let mut all: Vec<Vec<(String, Ink)>> = vec![Vec::new()];
        for Span { text, ink } in spans {
            for (index, piece) in self.clean(text).split(' ').enumerate() {
                if index > 0 {
                    all.push(Vec::new());
                }
                if let (false, Some(word)) = (piece.is_empty(), all.last_mut()) {
                    word.push((piece.to_owned(), *ink));
                }
            }
        }
        all.retain(|word| !word.is_empty());
        all
    }

    /// Writes one line: no trailing blanks, colours closed before the line ends.
    fn put(&mut self, indent: usize, mut pieces: Vec<(String, Ink)>) {
        while let Some((text, _)) = pieces.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            pieces.pop();
        }
        if !pieces.is_empty() {
            self.text.extend(std::iter::repeat_n(' ', indent));
        }
        for (text, ink) in pieces.into_iter().filter(|(text, _)| !text.is_empty()) {
            let style = if self.paper.color { style(ink) } else { Style::new() };
            push!(self.text, "{style}{text}{style:#}");
        }
        self.text.push('\n');
    }
}

/// Columns that a text takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Cuts or pads to exactly so many columns.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide > columns {
            break;
        }
        fitted.push(character);
        used += wide;
    }
    fitted.extend(std::iter::repeat_n(' ', columns - used));
    fitted
}

fn append(line: &mut Vec<(String, Ink)>, text: &str, ink: Ink) {
    match line.last_mut() {
        Some((last, last_ink)) if *last_ink == ink => last.push_str(text),
        _ => line.push((text.to_owned(), ink)),
    }
}

const fn style(ink: Ink) -> Style {
    match ink {
        Ink::Plain => Style::new(),
        Ink::Strong => Style::new().bold(),
        Ink::Dim => Style::new().dimmed(),
        Ink::Good => AnsiColor::Green.on_default(),
        Ink::Bad => AnsiColor::Red.on_default().bold(),
        Ink::Warn => AnsiColor::Yellow.on_default(),
    }
}

/// ASCII with the same meaning; what has none is written out as its code point.
fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '✓' => plain.push('+'),
            '✗' | '×' => plain.push('x'),
            '█' | '▏' => plain.push('#'),
            '·' | '–' | '—' | '−' => plain.push('-'),
            '…' => plain.push_str("..."),
            '→' => plain.push_str("->"),
            '≤' => plain.push_str("<="),
            '≥' => plain.push_str(">="),
            '≠' => plain.push_str("!="),
            '≈' => plain.push('~'),
            '‘' | '’' => plain.push('\''),
            '“' | '”' => plain.push('"'),
            '\u{a0}' => plain.push(' '),
            _ if character.is_ascii() => plain.push(character),
            _ => push!(plain, "\\u{{{:x}}}", u32::from(character)),
        }
    }
    plain
}

const GAP: usize = 2;
const MINIMUM_WIDTH: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize, color: bool, unicode: bool) -> Page {
        Page::new(Paper { width, color, unicode })
    }

    #[test]
    fn paragraphs_wrap_hang_and_break_long_words() {
        let mut page = page(50, false, true);
        let word = "y".repeat(60);
        page.paragraph(2, 4, &[span(Ink::Plain, "one two "), span(Ink::Strong, "(bold"), span(Ink::Plain, ") three")]);
        page.paragraph(0, 2, &[span(Ink::Plain, format!("{} end {word}", "aaaa ".repeat(9)))]);
        let text = page.finish();
        assert!(text.starts_with("  one two (bold) three\n"), "{text}");
        assert!(text.lines().all(|line| columns(line) <= 50), "{text}");
        assert_eq!(text.matches('y').count(), 60);
    }

    #[test]
    fn colours_only_when_asked_and_never_from_the_text() {
        let mut plain = page(80, false, true);
        plain.line(0, &[span(Ink::Bad, "no\x1b[0m")]);
        assert_eq!(plain.finish(), "no\\x1b[0m\n");
        let mut coloured = page(80, true, true);
        coloured.line(0, &[span(Ink::Bad, "no\x1b[0m")]);
        assert_eq!(coloured.finish(), "\x1b[1m\x1b[31mno\\x1b[0m\x1b[0m\n");
    }

    #[test]
    fn tables_align_and_refuse_when_too_wide() {
        let rows = vec![
            vec![span(Ink::Plain, "東京"), span(Ink::Plain, "1")],
            vec![span(Ink::Plain, "a"), span(Ink::Plain, "10")],
        ];
        let mut narrow = page(50, false, true);
        assert!(narrow.table(1, &["NAME", "MS"], &[1], &rows));
        assert_eq!(narrow.finish(), " NAME  MS\n 東京   1\n a     10\n");
        let wide = vec![vec![span(Ink::Plain, "x".repeat(60)), span(Ink::Plain, "1")]];
        let mut refused = page(50, false, true);
        assert!(!refused.table(0, &["NAME", "MS"], &[], &wide));
        assert_eq!(refused.finish(), "");
    }

    #[test]
    fn ascii_pages_hold_only_ascii() {
        let mut page = page(80, false, false);
        page.line(0, &[span(Ink::Plain, "✓ → ü …")]);
        page.command(2, "echo 'é'");
        assert_eq!(page.finish(), "+ -> \\u{fc} ...\n  echo '\\u{e9}'\n");
    }
}
