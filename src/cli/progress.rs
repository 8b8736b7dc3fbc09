//! Progress on stderr: a line that moves on a terminal, plain lines with `-v`, otherwise nothing.

use std::{
    io::{self, IsTerminal},
    sync::Mutex,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer;
use crate::{
    check::Event,
    report::words::{duration, visible},
};

/// Shows events on stderr. May be shared between tasks; what it showed on a terminal is wiped when it is dropped.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Bar { bar: ProgressBar, running: Mutex<Vec<String>> },
}

impl Progress {
    /// Progress over so many cells: lines when `verbose`, else a moving line if stderr is a terminal.
    #[must_use]
    pub fn new(cells: usize, verbose: bool) -> Self {
        let shown = if verbose {
            Shown::Lines
        } else if io::stderr().is_terminal() {
            Shown::Bar { bar: moving_line(cells), running: Mutex::default() }
        } else {
            Shown::Nothing
        };
        Self { shown }
    }

    /// Shows one event.
    pub fn on(&self, event: &Event) {
        match &self.shown {
            // What was left behind on another host is said to whoever runs this, however quietly.
            Shown::Bar { bar, .. } if matches!(event, Event::Note { .. }) => {
                bar.suspend(|| printer::complain(&(line(event) + "\n")));
            }
            Shown::Nothing if !matches!(event, Event::Note { .. }) => {}
            Shown::Nothing | Shown::Lines => printer::complain(&(line(event) + "\n")),
            Shown::Bar { bar, running } => {
                // A panic elsewhere while the list was held leaves it usable: it only says what to show.
                let mut running = running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                advance(bar, &mut running, event);
            }
        }
    }

    /// Shows a line of work that has no cells.
    pub fn say(&self, text: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => printer::complain(&(visible(text) + "\n")),
            Shown::Bar { bar, .. } => {
                bar.inc(1);
                bar.set_message(visible(text));
            }
        }
    }

    /// Wipes what moves, so that the report begins on a clean line.
    pub fn finish(&self) {
        if let Shown::Bar { bar, .. } = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An event as one harmless line.
#[must_use]
pub fn line(event: &Event) -> String {
    match event {
        Event::Configuration { cluster, text } => format!("{}: {}", visible(cluster), visible(text)),
        Event::Note { text } => visible(text),
        Event::CellStarted { cluster, vantage } => format!("{}: started", name(cluster, vantage)),
        Event::Stage { cluster, vantage, text } => format!("{}: {}", name(cluster, vantage), visible(text)),
        Event::CellDone { cluster, vantage, verdict, ms } => {
            format!("{}: {} after {}", name(cluster, vantage), verdict.label(), duration(*ms))
        }
        Event::Waiting { cluster, vantage, round, text, remaining } => {
            let left = duration(remaining.as_secs_f64() * 1_000.0);
            format!("{}: round {round}, waiting at most {left}: {}", name(cluster, vantage), visible(text))
        }
    }
}

fn name(cluster: &str, vantage: &str) -> String {
    format!("{} from {}", visible(cluster), visible(vantage))
}

fn moving_line(cells: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(u64::try_from(cells).ok(), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Shows the newest event of a cell that still runs; `running` holds the names of those.
fn advance(bar: &ProgressBar, running: &mut Vec<String>, event: &Event) {
    let (Event::CellStarted { cluster, vantage }
    | Event::Stage { cluster, vantage, .. }
    | Event::CellDone { cluster, vantage, .. }
    | Event::Waiting { cluster, vantage, .. }) = event
    else {
        bar.set_message(line(event));
        return;
    };
    let name = name(cluster, vantage);
    match event {
        Event::CellStarted { .. } => {
            if !running.contains(&name) {
                running.push(name);
            }
            bar.set_message(line(event));
        }
        Event::Configuration { .. } | Event::Note { .. } | Event::Stage { .. } | Event::Waiting { .. } => {
            bar.set_message(line(event));
        }
        Event::CellDone { .. } => {
            running.retain(|other| *other != name);
            bar.inc(1);
            bar.set_message(running.first().map(|other| format!("{other}: running")).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn pair() -> (String, String) {
        ("prod".to_owned(), "lap\x1btop".to_owned())
    }

    #[test]
    fn lines_are_harmless_and_complete() {
        let (cluster, vantage) = pair();
        let stage = Event::Stage { cluster, vantage, text: "tcp\r\nfine".to_owned() };
        assert_eq!(line(&stage), "prod from lap\\x1btop: tcp\\r\\nfine");
        let (cluster, vantage) = pair();
        let text = "2 of 3 rounds agree".to_owned();
        let waiting = Event::Waiting { cluster, vantage, round: 2, text, remaining: Duration::from_secs(90) };
        assert_eq!(line(&waiting), "prod from lap\\x1btop: round 2, waiting at most 90.0 s: 2 of 3 rounds agree");
        let (cluster, vantage) = pair();
        let done = Event::CellDone { cluster, vantage, verdict: Verdict::Match, ms: 31.0 };
        assert_eq!(line(&done), "prod from lap\\x1btop: match after 31 ms");
    }

    #[test]
    fn the_moving_line_counts_cells_and_names_one_that_runs() {
        let bar = ProgressBar::hidden();
        let mut running = Vec::new();
        let started = |vantage: &str| Event::CellStarted { cluster: "c".to_owned(), vantage: vantage.to_owned() };
        advance(&bar, &mut running, &started("a"));
        advance(&bar, &mut running, &started("b"));
        let done =
            Event::CellDone { cluster: "c".to_owned(), vantage: "a".to_owned(), verdict: Verdict::Mismatch, ms: 1.0 };
        advance(&bar, &mut running, &done);
        assert_eq!((bar.position(), bar.message().as_str()), (1, "c from b: running"));
    }
}
