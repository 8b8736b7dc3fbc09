//! Charts as SVG: the history strip and the times of stages. Pure.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use maud::{Markup, html};

use super::{
    history::{Range, Spans, availability, rounds_counted, worst},
    shown::Shown,
};
use crate::{
    report::words,
    watch::record::{Rollup, Stage, StageSum},
};

/// One bar a span: its colour is the worst verdict, its height the share of the rounds that came to it.
pub(super) fn strip(spans: &Spans, range: Range) -> Markup {
    let count = spans.iter().count();
    let total = spans.total();
    let share = availability(&total).map_or_else(String::new, |share| format!("; {} matched", percent(share)));
    let told = format!("History of {}: {}{share}", range.words(), rounds_counted(&total));
    let bad: Vec<(Timestamp, &Rollup)> = spans.iter().filter(|(_, sum)| is_bad(sum)).collect();
    html! {
        figure.strip {
            figcaption { (told) }
            svg role="img" aria-label=(told) viewBox=(format!("0 0 {} 30", count * 10)) preserveAspectRatio="none" {
                @for (index, (begin, sum)) in spans.iter().enumerate() {
                    @if let Some((shown, share)) = worst(sum) {
                        (bar(index, shown, share, &format!("{}: {}", words::stamp(begin), rounds_counted(sum))))
                    }
                }
            }
            p.ends { span { (edge(spans.from(), range)) } span { (edge(spans.until(), range)) " UTC" } }
            @if !bad.is_empty() {
                details {
                    summary { "Spans that were not fine, as a table (" (bad.len()) ")" }
                    div.scroll role="group" aria-label="Spans that were not fine" tabindex="0" {
                        table {
                            caption { "Each span is " (width(spans.width())) " long" }
                            thead { tr { th scope="col" { "from (UTC)" } th scope="col" { "worst" } th scope="col" { "rounds" } } }
                            tbody {
                                @for (begin, sum) in bad.iter().rev().take(TABLE_ROWS) {
                                    tr {
                                        td { (words::stamp(*begin)) }
                                        td { @if let Some((shown, _)) = worst(sum) { (word(shown)) } }
                                        td { (rounds_counted(sum)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The times of a stage; nothing when it never happened.
pub(super) fn stage(stage: Stage, spans: &Spans, range: Range) -> Markup {
    let index = Stage::ALL.iter().position(|one| *one == stage).unwrap_or_default();
    let sums: Vec<(Timestamp, StageSum)> =
        spans.iter().map(|(begin, sum)| (begin, sum.stages.get(index).copied().unwrap_or_default())).collect();
    let all: StageSum = spans.total().stages.get(index).copied().unwrap_or_default();
    if all.count == 0 {
        return html! {};
    }
    let name = name(stage);
    let told = format!(
        "{name} over {}: mean {}, longest {}",
        range.words(),
        micros(mean(&all)),
        micros(f64::from(all.longest))
    );
    let top = nice(f64::from(all.longest));
    let step = WIDE / sums.len() as f64;
    let x = |index: usize| LEFT + (index as f64 + 0.5) * step;
    let y = |value: f64| TOP + HIGH * (1.0 - (value / top).min(1.0));
    let line = |value: &dyn Fn(&StageSum) -> f64| {
        let mut path = String::new();
        let mut drawing = false;
        for (index, (_, sum)) in sums.iter().enumerate() {
            if sum.count == 0 {
                drawing = false;
                continue;
            }
            // Writing into a string cannot fail.
            let command = if drawing { 'L' } else { 'M' };
            let _ =
                std::fmt::Write::write_fmt(&mut path, format_args!("{command}{:.1} {:.1}", x(index), y(value(sum))));
            drawing = true;
        }
        path
    };
    html! {
        figure data-chart=(stage.label()) {
            figcaption { b { (name) } ": mean " (micros(mean(&all))) ", longest " (micros(f64::from(all.longest))) }
            svg role="img" aria-label=(told) viewBox="0 0 360 120" {
                @for part in [0.0, 0.5, 1.0] {
                    path.axis d=(format!("M{LEFT} {0:.1}H{1}", y(top * part), LEFT + WIDE)) {}
                    text x=(LEFT - 4.0) y=(format!("{:.1}", y(top * part) + 3.0)) text-anchor="end" { (micros(top * part)) }
                }
                text x=(LEFT) y="117" { (edge(spans.from(), range)) }
                text x=(LEFT + WIDE) y="117" text-anchor="end" { (edge(spans.until(), range)) " UTC" }
                path.longest d=(line(&|sum| f64::from(sum.longest))) {}
                path.mean d=(line(&mean)) {}
                @for (index, (begin, sum)) in sums.iter().enumerate().filter(|(_, (_, sum))| sum.count > 0) {
                    circle.dot cx=(format!("{:.1}", x(index))) cy=(format!("{:.1}", y(mean(sum)))) r="1.3" {}
                    rect.hit x=(format!("{:.2}", LEFT + index as f64 * step)) y=(TOP) width=(format!("{step:.2}")) height=(HIGH) {
                        title { (words::stamp(*begin)) " UTC: mean " (micros(mean(sum))) ", longest " (micros(f64::from(sum.longest))) }
                    }
                }
            }
        }
    }
}

/// The means of every stage as a table: the same as the charts, to be read.
pub(super) fn stages_table(spans: &Spans) -> Markup {
    let rows: Vec<(Timestamp, &Rollup)> =
        spans.iter().filter(|(_, sum)| sum.stages.iter().any(|stage| stage.count > 0)).collect();
    html! {
        details {
            summary { "Times of the stages, as a table" }
            div.scroll role="group" aria-label="Times of the stages" tabindex="0" {
                table {
                    caption { "Mean and longest of each span of " (width(spans.width())) ", the newest first" }
                    thead {
                        tr {
                            th scope="col" { "from (UTC)" }
                            @for stage in Stage::ALL { th scope="col" { (name(*stage)) } }
                        }
                    }
                    tbody {
                        @for (begin, sum) in rows.iter().rev().take(TABLE_ROWS) {
                            tr {
                                td { (words::stamp(*begin)) }
                                @for stage in &sum.stages {
                                    td {
                                        @if stage.count == 0 { "–" } @else {
                                            (micros(mean(stage))) ", " (micros(f64::from(stage.longest)))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A stage for people.
pub(super) const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Dns => "Name resolution",
        Stage::Tcp => "Connect",
        Stage::Tls => "TLS handshake",
        Stage::Http => "First answer",
    }
}

/// What a cell is shown as, with its mark.
pub(super) fn word(shown: Shown) -> Markup {
    html! { span class=(shown.label()) { (shown.mark()) " " (shown.word()) } }
}

/// A bar that is fine is low, any other at least half as high again: colour is not all that tells them apart.
fn bar(index: usize, shown: Shown, share: f64, told: &str) -> Markup {
    let (class, high) = match shown {
        Shown::Match => ("good", 12.0),
        Shown::Mismatch | Shown::Stale => ("bad", 18.0 + 12.0 * share),
        Shown::Inconclusive | Shown::Propagating => ("warn", 18.0 + 12.0 * share),
        Shown::Paused | Shown::NotJudged => ("off", 6.0),
    };
    html! {
        rect class=(class) x=(index * 10 + 1) y=(format!("{:.1}", 30.0 - high)) width="8" height=(format!("{high:.1}")) {
            title { (told) }
        }
    }
}

fn is_bad(sum: &Rollup) -> bool {
    worst(sum).is_some_and(|(shown, _)| shown != Shown::Match) || sum.offline > 0
}

fn mean(sum: &StageSum) -> f64 {
    sum.sum as f64 / f64::from(sum.count.max(1))
}

fn micros(value: f64) -> String {
    if value <= 0.0 { "0".to_owned() } else { words::duration(value / 1_000.0) }
}

/// `99.95 %`; never rounded up to all of it.
pub(super) fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0).floor() / 100.0;
    format!("{hundredths} %")
}

/// The next of 1, 2, 5, 10 … from a value on, microseconds.
fn nice(value: f64) -> f64 {
    let mut unit = 100.0;
    while unit < value {
        for factor in [2.0, 5.0, 10.0] {
            if unit * factor >= value {
                return unit * factor;
            }
        }
        unit *= 10.0;
    }
    unit
}

fn edge(at: Timestamp, range: Range) -> String {
    let form = match range {
        Range::Hour => "%H:%M",
        Range::Day => "%m-%d %H:%M",
        Range::Week | Range::Month => "%m-%d",
        Range::Year => "%Y-%m-%d",
    };
    at.to_zoned(TimeZone::UTC).strftime(form).to_string()
}

fn width(wide: SignedDuration) -> String {
    match wide.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds => format!("{} min", seconds / 60),
    }
}

/// Rows of the tables that stand for charts.
const TABLE_ROWS: usize = 100;
/// Where the drawing area of a chart begins, and how large it is, in the units of its view box.
const LEFT: f64 = 52.0;
const WIDE: f64 = 300.0;
const TOP: f64 = 8.0;
const HIGH: f64 = 92.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_values() {
        let tops: Vec<f64> = [0.0, 100.0, 101.0, 350.0, 999.0, 1_001.0, 4_999_999.0].into_iter().map(nice).collect();
        assert_eq!(tops, [100.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000_000.0]);
    }

    #[test]
    fn shares_are_never_rounded_up_to_all() {
        assert_eq!([0.0, 0.5, 0.999_99, 1.0].map(percent), ["0 %", "50 %", "99.99 %", "100 %"]);
    }
}
