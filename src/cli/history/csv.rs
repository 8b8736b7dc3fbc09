//! Comma-separated values (RFC 4180), with a header.

use std::io::Write;

use super::{
    Stop,
    rows::{self, Counts, Names, Row, Source, Times},
};
use crate::{
    cli::{arguments::HistoryOf, printer},
    watch::record::Standing,
};

/// Writes header and rows. That there are more is said on stderr.
pub(super) async fn write(output: &mut (impl Write + Send), source: &Source<'_>) -> Result<(), Stop> {
    let question = source.question;
    let mut writer = csv::Writer::from_writer(output);
    writer.write_record(header(question.of)).map_err(std::io::Error::from)?;
    let truncated =
        rows::each(source, &mut |row| writer.write_record(record(&row)).map_err(std::io::Error::from)).await?;
    writer.flush()?;
    if truncated {
        printer::complain(&super::text::more(question.limit));
    }
    Ok(())
}

/// Names of the columns.
fn header(of: HistoryOf) -> Vec<&'static str> {
    const NAMES: &[&str] = &["check", "cluster", "vantage", "target"];
    const COUNTS: &[&str] = &["availability", "matched", "mismatched", "inconclusive", "propagating", "offline"];
    const TIMES: &[&str] = &[
        "dnsMeanMs",
        "dnsLongestMs",
        "tcpMeanMs",
        "tcpLongestMs",
        "tlsMeanMs",
        "tlsLongestMs",
        "httpMeanMs",
        "httpLongestMs",
    ];
    match of {
        HistoryOf::Cells => [NAMES, &["now", "verdict", "code", "since", "lastRound"], COUNTS, TIMES].concat(),
        HistoryOf::Rounds => {
            [&["at"], NAMES, &["verdict", "observed", "offline", "dnsMs", "tcpMs", "tlsMs", "httpMs"]].concat()
        }
        HistoryOf::Hours | HistoryOf::Days => [&["begin"], NAMES, COUNTS, TIMES].concat(),
        HistoryOf::Events => {
            let rest = &["from", "fromCode", "to", "toCode", "summary", "changes"];
            [&["id", "at", "since", "kind"], NAMES, rest].concat()
        }
    }
}

fn record(row: &Row) -> Vec<String> {
    let mut fields = Vec::with_capacity(20);
    match row {
        Row::Cell(cell) => {
            names(&mut fields, &cell.names);
            fields.push(cell.now.label().to_owned());
            fields.push(cell.verdict.map(|verdict| verdict.label().to_owned()).unwrap_or_default());
            fields.push(cell.code.clone().unwrap_or_default());
            fields.extend([optional(cell.since), optional(cell.last_round)]);
            counts(&mut fields, &cell.counts);
            times(&mut fields, &cell.times);
        }
        Row::Round(round) => {
            fields.push(round.at.to_string());
            names(&mut fields, &round.names);
            fields.extend([round.verdict.label(), round.observed.label()].map(str::to_owned));
            fields.push(round.offline.to_string());
            fields.extend([round.dns_ms, round.tcp_ms, round.tls_ms, round.http_ms].map(optional));
        }
        Row::Span(span) => {
            fields.push(span.begin.to_string());
            names(&mut fields, &span.names);
            counts(&mut fields, &span.counts);
            times(&mut fields, &span.times);
        }
        Row::Event(event) => {
            fields.extend([event.id.to_string(), event.at.to_string(), event.since.to_string()]);
            fields.push(event.kind.label().to_owned());
            names(&mut fields, &event.names);
            standing(&mut fields, event.from.as_ref());
            standing(&mut fields, event.to.as_ref());
            fields.push(event.summary.clone());
            let changes: Vec<&str> = event.changes.iter().map(|change| change.text.as_str()).collect();
            fields.push(changes.join("; "));
        }
    }
    fields
}

fn names(fields: &mut Vec<String>, names: &Names) {
    fields.extend([names.check.clone(), names.cluster.clone(), names.vantage.clone().unwrap_or_default()]);
    fields.push(names.target.map(|target| target.label().to_owned()).unwrap_or_default());
}

fn standing(fields: &mut Vec<String>, standing: Option<&Standing>) {
    fields.push(standing.map(|standing| standing.verdict.label().to_owned()).unwrap_or_default());
    fields.push(standing.and_then(|standing| standing.code.clone()).unwrap_or_default());
}

fn counts(fields: &mut Vec<String>, counts: &Counts) {
    fields.push(optional(counts.availability));
    let Counts { matched, mismatched, inconclusive, propagating, offline, .. } = counts;
    fields.extend([matched, mismatched, inconclusive, propagating, offline].map(ToString::to_string));
}

fn times(fields: &mut Vec<String>, times: &Times) {
    let Times {
        dns_mean_ms,
        dns_longest_ms,
        tcp_mean_ms,
        tcp_longest_ms,
        tls_mean_ms,
        tls_longest_ms,
        http_mean_ms,
        http_longest_ms,
    } = *times;
    let all = [
        dns_mean_ms,
        dns_longest_ms,
        tcp_mean_ms,
        tcp_longest_ms,
        tls_mean_ms,
        tls_longest_ms,
        http_mean_ms,
        http_longest_ms,
    ];
    fields.extend(all.map(optional));
}

fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
