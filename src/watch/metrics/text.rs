//! The text of the exposition, for what is read off the board.

use std::{
    borrow::Cow,
    fmt::{Display, Write},
};

use jiff::Timestamp;

use super::catalogue::{Kind, Metric};

/// The samples of one metric.
#[derive(Debug)]
pub(super) struct Samples {
    metric: Metric,
    text: String,
}

impl Samples {
    /// None yet.
    pub(super) const fn of(metric: Metric) -> Self {
        Self { metric, text: String::new() }
    }

    /// One more. `labels` is what [`label_text`] wrote, or empty; `more` are labels whose values need no escape.
    pub(super) fn push(&mut self, labels: &str, more: &[(&str, &str)], value: impl Display) {
        let text = &mut self.text;
        text.push_str(self.metric.name);
        if !labels.is_empty() || !more.is_empty() {
            text.push('{');
            text.push_str(labels);
            for (index, (name, value)) in more.iter().enumerate() {
                if index > 0 || !labels.is_empty() {
                    text.push(',');
                }
                text.push_str(name);
                text.push_str("=\"");
                text.push_str(value);
                text.push('"');
            }
            text.push('}');
        }
        // Writing into a string cannot fail.
        let _ = writeln!(text, " {value}");
    }

    /// Appends them, with what they mean; nothing when there are none.
    pub(super) fn finish(&self, exposition: &mut String) {
        if self.text.is_empty() {
            return;
        }
        let (family, kind) = (self.metric.family(), self.metric.kind);
        // Writing into a string cannot fail.
        let _ = write!(exposition, "# HELP {family} {}.\n# TYPE {family} {}\n", self.metric.help, kind.label());
        exposition.push_str(&self.text);
    }
}

/// `check="prod",cluster="eu"`, with what is special escaped and what is long cut.
pub(super) fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(96);
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(&escaped(value));
        text.push('"');
    }
    text
}

/// A label's value, escaped and bounded.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in bounded(value).chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
    text
}

/// A label's value, bounded. One that is cut ends with a digest of the whole, so that two are never the same series.
pub(super) fn bounded(value: &str) -> Cow<'_, str> {
    let Some((end, _)) = value.char_indices().nth(LABEL_LIMIT) else { return Cow::Borrowed(value) };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    let mut text = format!("{}…", &value[..end]);
    for byte in &digest.as_ref()[..DIGEST_BYTES] {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Cow::Owned(text)
}

/// A time, as seconds since 1970 to the millisecond.
pub(super) fn seconds(at: Timestamp) -> Seconds {
    Seconds { milliseconds: at.as_millisecond() }
}

/// Prints as seconds.
pub(super) struct Seconds {
    milliseconds: i64,
}

impl Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.milliseconds < 0 { "-" } else { "" };
        let milliseconds = self.milliseconds.unsigned_abs();
        write!(formatter, "{sign}{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
    }
}

/// Microseconds, printed as seconds.
pub(super) struct Microseconds(pub(super) u32);

impl Display for Microseconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The older text format (0.0.4), which names a counter's family as its samples and knows no information.
pub(super) fn classic(exposition: &str, catalogue: &[Metric]) -> String {
    let mut text = String::with_capacity(exposition.len());
    for line in exposition.lines() {
        let words: Vec<&str> = if line.starts_with('#') { line.splitn(4, ' ').collect() } else { Vec::new() };
        match words.as_slice() {
            ["#", "EOF" | "UNIT", ..] => continue,
            ["#", what, family, rest] => {
                let metric = catalogue.iter().find(|metric| metric.family() == *family);
                let name = metric.map_or(*family, |metric| metric.name);
                let is_info = *what == "TYPE" && metric.is_some_and(|metric| metric.kind == Kind::Info);
                let rest = if is_info { Kind::Gauge.label() } else { rest };
                // Writing into a string cannot fail.
                let _ = write!(text, "# {what} {name} {rest}");
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

const LABEL_LIMIT: usize = 200;
const DIGEST_BYTES: usize = 6;
