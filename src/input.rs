//! Bad input: one clear message that names file, line, column, what was expected and how to mend it.

mod duration;
mod reading;
pub(crate) mod schema;
mod tree;

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

pub use duration::parse_duration;
pub(crate) use duration::parse_long_duration;
pub(crate) use reading::{Fields, Names, Reading, in_order, known, names_of, read_root};
pub(crate) use tree::{Documents, Entry, Kind, Limits, Node, read_tree};

/// Everything that is wrong with one input, in the order of the text.
#[derive(Clone, Debug, thiserror::Error)]
pub struct InputErrors(pub Vec<InputError>);

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file, or null for the command line.
    pub file: Option<PathBuf>,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what was expected. No final full stop.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The line of text, for a snippet; never one that may hold a secret.
    pub text: Option<String>,
}

impl InputError {
    /// An error about the command line or the environment.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, position: None, message: message.into(), help: None, text: None }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Names line and column, from 1.
    #[must_use]
    pub const fn at(mut self, line: usize, column: usize) -> Self {
        self.position = Some((line, column));
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl InputErrors {
    /// Keeps the first hundred errors and says how many more there are.
    #[must_use]
    pub(crate) fn bounded(mut errors: Vec<InputError>) -> Self {
        if let Some(more) = errors.len().checked_sub(MOST_ERRORS).filter(|more| *more > 0) {
            errors.truncate(MOST_ERRORS);
            let mut rest = InputError::new(format!("{more} more errors are not shown"));
            rest.file = errors.first().and_then(|first| first.file.clone());
            errors.push(rest);
        }
        Self(errors)
    }
}

impl From<InputError> for InputErrors {
    fn from(error: InputError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for InputErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: ")?;
        match (&self.file, self.position) {
            (Some(file), Some((line, column))) => write!(formatter, "{}:{line}:{column}: ", file.display())?,
            (Some(file), None) => write!(formatter, "{}: ", file.display())?,
            (None, _) => {}
        }
        write!(formatter, "{}", self.message)?;
        if let (Some(text), Some((line, column))) = (&self.text, self.position) {
            let (text, column) = window(text, column);
            let gutter = line.to_string().len();
            write!(formatter, "\n {:gutter$} |\n {line} | {text}\n {:gutter$} | {:>column$}", "", "", "^")?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// A text with its file and lines, to point into.
pub(crate) struct Source<'a> {
    /// The file, as the user named it.
    pub(crate) file: &'a Path,
    lines: Vec<&'a str>,
    hides: fn(&str) -> bool,
}

impl<'a> Source<'a> {
    /// Splits the text into lines once.
    pub(crate) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, lines: text.lines().collect(), hides: may_hold_secret }
    }

    /// Shows no line that `also` is true for, either.
    pub(crate) fn hiding(mut self, also: fn(&str) -> bool) -> Self {
        self.hides = also;
        self
    }

    /// Whether this piece of the text must not be shown.
    pub(crate) fn hides(&self, text: &str) -> bool {
        may_hold_secret(text) || (self.hides)(text)
    }

    /// An error at this position, with its line as the snippet unless that line may hold a secret.
    pub(crate) fn error(&self, position: (usize, usize), message: impl Into<String>) -> InputError {
        let mut error = self.error_without_snippet(position, message);
        let text = position.0.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or_default();
        error.text = (!text.trim().is_empty() && !self.hides(text)).then(|| text.to_owned());
        error
    }

    /// An error at this position whose line must not be shown.
    pub(crate) fn error_without_snippet(
        &self,
        (line, column): (usize, usize),
        message: impl Into<String>,
    ) -> InputError {
        InputError::new(message).in_file(self.file).at(line, column)
    }
}

/// Reads a file of at most `limit` bytes as UTF-8, without its byte-order mark. `what` names it in messages: `scenario`.
pub(crate) fn read_text(path: &Path, what: &str, limit: u64) -> Result<String, InputError> {
    let bytes = read_bytes(path, what, limit)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => Err(not_utf8(path, what, &error)),
    }
}

/// Reads a file of at most `limit` bytes. Only regular files and descriptors that the caller already holds open
/// (`/dev/stdin`, `/dev/fd/3`) are read: opening anything else could wait forever.
pub(crate) fn read_bytes(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, InputError> {
    let failed = |error: &std::io::Error| {
        let error = InputError::new(format!("cannot read the {what}: {}", io_text(error))).in_file(path);
        if path.starts_with("~") {
            error.help("`~` is expanded by the shell only; write the path in full")
        } else {
            error
        }
    };
    let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
    let inherited = ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|prefix| path.starts_with(prefix));
    if metadata.is_dir() {
        return Err(InputError::new(format!("the {what} is a folder, but a file was expected")).in_file(path));
    }
    if !metadata.is_file() && !inherited {
        return Err(InputError::new(format!("the {what} is not a regular file")).in_file(path));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(|error| failed(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(InputError::new(format!("the {what} is larger than {} MiB", limit / MEBIBYTE)).in_file(path));
    }
    Ok(bytes)
}

/// Whether a line of text may carry credentials: something like `user:password@host`, a private key, or the seed of one.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    if text.contains("PRIVATE KEY") || text.split(|c: char| !c.is_ascii_alphanumeric()).any(looks_like_a_seed) {
        return true;
    }
    let Some(at) = text.rfind('@') else { return false };
    let before = &text[..at];
    before
        .match_indices(':')
        .any(|(index, _)| before[index + 1..].chars().next().is_some_and(|next| !next.is_whitespace()))
}

/// Whether a word has the form of a seed of NATS's keys, whole or cut off: `S`, the kind of key, then base 32.
pub(crate) fn looks_like_a_seed(word: &str) -> bool {
    let mut letters = word.trim().chars();
    let begins = letters.next() == Some('S') && letters.next().is_some_and(|kind| "UANCOX".contains(kind));
    begins && word.trim().len() >= SHORTEST_SEED && letters.all(|letter| matches!(letter, 'A'..='Z' | '2'..='7'))
}

/// A value for a message: in backticks, shortened, control characters escaped, and not at all if it may be a secret.
pub(crate) fn quoted(text: &str) -> String {
    if may_hold_secret(text) {
        return "this value".to_owned();
    }
    let mut shown: String = text.chars().take(MOST_QUOTED).flat_map(char::escape_debug).collect();
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(MOST_QUOTED).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `first`, `second` and `third`, for messages.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(quoted).collect();
    if let Some(more) = names.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        names.truncate(MOST_LISTED);
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The known name that a misspelt one probably means.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length > MOST_QUOTED {
        return None;
    }
    let allowed = (length / 3).clamp(1, 3);
    let wanted = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// An operating-system error in words, without its number.
pub(crate) fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

fn not_utf8(path: &Path, what: &str, error: &std::string::FromUtf8Error) -> InputError {
    let bytes = error.as_bytes();
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return InputError::new(format!("the {what} is UTF-16, but UTF-8 was expected"))
            .in_file(path)
            .help("save it as UTF-8");
    }
    let valid = &bytes[..error.utf8_error().valid_up_to()];
    let line = valid.split(|byte| *byte == b'\n').count();
    let begin = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
    let column = String::from_utf8_lossy(&valid[begin..]).chars().count() + 1;
    InputError::new(format!("the {what} is not UTF-8 text")).in_file(path).at(line, column).help("save it as UTF-8")
}

/// The part of a line around a column, safe to print, and the column inside it.
fn window(text: &str, column: usize) -> (String, usize) {
    let index = column.saturating_sub(1);
    let length = text.chars().count();
    let begin = if length <= WIDEST_SNIPPET { 0 } else { index.min(length).saturating_sub(WIDEST_SNIPPET / 2) };
    let mut shown = String::new();
    if begin > 0 {
        shown.push('…');
    }
    shown.extend(text.chars().skip(begin).take(WIDEST_SNIPPET).map(|character| match character {
        '\t' => ' ',
        // Control and direction characters could rewrite the terminal's line.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        plain => plain,
    }));
    if length > begin + WIDEST_SNIPPET {
        shown.push('…');
    }
    let inside = index.saturating_sub(begin) + usize::from(begin > 0) + 1;
    (shown, inside.min(WIDEST_SNIPPET + 2))
}

/// A variable of the environment. One that is not UTF-8 is there all the same: it must not be taken for unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Edit distance with neighbouring letters exchanged counted as one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > 3 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (row, from) in left.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let mut best =
                (rows[row][column] + usize::from(from != to)).min(rows[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && left[row - 1] == *to && right[column - 1] == *from {
                best = best.min(rows[row - 1][column - 1] + 1);
            }
            next.push(best);
        }
        rows.push(next);
    }
    rows[left.len()][right.len()]
}

/// Bytes of a mebibyte.
pub(crate) const MEBIBYTE: u64 = 1024 * 1024;
const MOST_ERRORS: usize = 100;
/// A whole one has 58.
const SHORTEST_SEED: usize = 24;
const MOST_QUOTED: usize = 80;
const MOST_LISTED: usize = 20;
const WIDEST_SNIPPET: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let known = ["endpoint", "kubeconfig", "addresses"];
        assert_eq!(closest("endpiont", known), Some("endpoint"));
        assert_eq!(closest("Adresses", known), Some("addresses"));
        assert_eq!(closest("kubeConfig", known), Some("kubeconfig"));
        assert_eq!(closest("region", known), None);
    }

    #[test]
    fn lines_with_credentials_are_never_shown() {
        for secret in [
            "url: http://user:hunter2@proxy:3128",
            "url: \"http://user:hun ter2@proxy\"",
            "url: user:hunter2@proxy",
            "ca: -----BEGIN RSA PRIVATE KEY-----",
        ] {
            assert!(may_hold_secret(secret), "{secret}");
            assert!(!quoted(secret).contains("hunter2"));
        }
        assert!(!may_hold_secret("bastion: { ssh: { host: ops@bastion.example.com } }"));
        assert!(!may_hold_secret("endpoint: https://prod.example.com:6443"));
    }

    #[test]
    fn long_and_hostile_lines_are_cut_and_cleaned() {
        let text = format!("{}\u{1b}[31mX{}", "a".repeat(500), "b".repeat(500));
        let (shown, column) = window(&text, 501);
        assert!(shown.chars().count() <= WIDEST_SNIPPET + 2);
        assert!(!shown.contains('\u{1b}'));
        assert_eq!(shown.chars().nth(column - 1), Some('\u{fffd}'));
    }

    #[test]
    fn files_that_are_no_text_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_text(&path, "scenario", MEBIBYTE)
        };
        assert_eq!(read(b"\xef\xbb\xbfa: 1").unwrap(), "a: 1");
        let error = read(b"a: 1\nb: \xff").unwrap_err();
        assert_eq!((error.message.as_str(), error.position), ("the scenario is not UTF-8 text", Some((2, 4))));
        assert!(read(b"\xff\xfea\0").unwrap_err().message.contains("UTF-16"));
        assert!(read(&vec![b' '; 1024 * 1024 + 1]).unwrap_err().message.contains("larger than 1 MiB"));
        assert!(read_text(folder.path(), "scenario", 1).unwrap_err().message.contains("folder"));
        assert!(read_text(Path::new("/dev/zero"), "scenario", 1).unwrap_err().message.contains("regular"));
        assert!(read_text(&folder.path().join("none"), "scenario", 1).unwrap_err().message.contains("no such file"));
    }
}
