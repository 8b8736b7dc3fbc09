//! The one way out: the report to stdout, words to stderr, and what the terminal can show.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
};

use super::arguments::ColorChoice;
use crate::report::page::Paper;

/// What stdout can show.
#[must_use]
pub fn paper(choice: ColorChoice) -> Paper {
    let environment = |name: &str| std::env::var_os(name);
    let is_terminal = io::stdout().is_terminal();
    let columns = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    Paper {
        width: width(environment, columns),
        color: use_color(choice, environment, is_terminal),
        unicode: use_unicode(environment),
    }
}

/// Prints to stdout and flushes. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    quiet_about_closed_pipes(write_all(&mut io::stdout().lock(), text))
}

/// Prints to stderr; a stderr that is gone is no reason to stop.
pub fn complain(text: &str) {
    // There is nowhere left to report that stderr is gone.
    drop(write_all(&mut io::stderr().lock(), text));
}

/// Whether to colour: the choice, then `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, the terminal and its `TERM`.
fn use_color(choice: ColorChoice, environment: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let is_zero = |name: &str| environment(name).is_some_and(|value| value == "0");
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if is_set("NO_COLOR") => false,
        ColorChoice::Auto if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") => true,
        ColorChoice::Auto => {
            is_terminal && !is_zero("CLICOLOR") && environment("TERM").is_none_or(|terminal| terminal != "dumb")
        }
    }
}

/// `COLUMNS`, else the terminal's, else 80; lines longer than 160 are hard to read.
fn width(environment: impl Fn(&str) -> Option<OsString>, terminal: Option<usize>) -> usize {
    let declared = environment("COLUMNS").and_then(|value| value.to_str()?.trim().parse::<usize>().ok());
    declared.filter(|columns| *columns > 0).or(terminal).unwrap_or(USUAL_WIDTH).clamp(NARROWEST, WIDEST)
}

/// Whether the locale's encoding is UTF-8: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set decides.
fn use_unicode(environment: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(environment).find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn write_all(output: &mut impl Write, text: &str) -> io::Result<()> {
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn quiet_about_closed_pipes(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

const USUAL_WIDTH: usize = 80;
const NARROWEST: usize = 50;
const WIDEST: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<OsString> {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    #[test]
    fn colour_follows_choice_environment_and_terminal() {
        use ColorChoice::{Always, Auto, Never};
        for (choice, pairs, is_terminal, expected) in [
            (Auto, &[][..], true, true),
            (Auto, &[], false, false),
            (Auto, &[("NO_COLOR", "1")], true, false),
            (Auto, &[("NO_COLOR", "")], true, true),
            (Auto, &[("CLICOLOR_FORCE", "1")], false, true),
            (Auto, &[("CLICOLOR_FORCE", "0")], false, false),
            (Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true, false),
            (Auto, &[("CLICOLOR", "0")], true, false),
            (Auto, &[("TERM", "dumb")], true, false),
            (Always, &[("NO_COLOR", "1")], false, true),
            (Never, &[("CLICOLOR_FORCE", "1")], true, false),
        ] {
            assert_eq!(use_color(choice, environment(pairs), is_terminal), expected, "{choice:?} {pairs:?}");
        }
    }

    #[test]
    fn width_follows_columns_then_the_terminal() {
        assert_eq!(width(environment(&[("COLUMNS", "60")]), Some(100)), 60);
        assert_eq!(width(environment(&[("COLUMNS", "wide")]), Some(100)), 100);
        assert_eq!(width(environment(&[("COLUMNS", "0")]), None), 80);
        assert_eq!(width(environment(&[("COLUMNS", "5")]), None), 50);
        assert_eq!(width(environment(&[]), Some(500)), 160);
    }

    #[test]
    fn unicode_follows_the_locale() {
        assert!(use_unicode(environment(&[("LANG", "en_GB.UTF-8")])));
        assert!(use_unicode(environment(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")])));
        assert!(!use_unicode(environment(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")])));
        assert!(!use_unicode(environment(&[])));
    }

    #[test]
    fn a_closed_pipe_is_no_error_but_a_full_disk_is() {
        assert!(quiet_about_closed_pipes(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(quiet_about_closed_pipes(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
