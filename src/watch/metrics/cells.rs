//! What the board shows: cells, and how the watch is.

use jiff::Timestamp;

use super::{
    catalogue as metrics,
    text::{Microseconds, Samples, escaped, label_text, seconds},
};
use crate::{
    report::{Cell, Verdict, words::deciding_resolver},
    watch::{
        board::{Board, CellNow},
        record::Stage,
    },
};

/// Appends the cells that this process runs, at most `limit` of them, in the order of their names.
pub(super) fn write_cells(exposition: &mut String, board: &Board, limit: usize) {
    let cells = board.cells();
    let own: Vec<&CellNow> = cells.iter().map(AsRef::as_ref).filter(|cell| cell.own).collect();
    let mut samples = CellSamples::default();
    own.iter().take(limit).for_each(|cell| samples.push(cell));
    samples.finish(exposition);
    one(exposition, metrics::CELLS, own.len());
    one(exposition, metrics::CELLS_LEFT_OUT, own.len().saturating_sub(limit));
}

/// Appends how the watch itself is.
pub(super) fn write_health(exposition: &mut String, board: &Board) {
    let health = board.health();
    one(exposition, metrics::HISTORY_WRITABLE, u8::from(health.store.is_none()));
    one(exposition, metrics::HISTORY_UNWRITTEN, health.unwritten);
    one(exposition, metrics::HISTORY_DROPPED, health.dropped);
    one(exposition, metrics::RELOAD_SUCCESSFUL, u8::from(health.reload.is_none()));
    if let Some(at) = health.configured_at {
        one(exposition, metrics::RELOAD_TIME, seconds(at));
    }
    if let Some(at) = health.started_at {
        one(exposition, metrics::PROCESS_START, seconds(at));
    }
    let mut build = Samples::of(metrics::BUILD);
    build.push("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    build.finish(exposition);
}

/// Appends a metric without labels.
pub(super) fn one(exposition: &mut String, metric: metrics::Metric, value: impl std::fmt::Display) {
    let mut samples = Samples::of(metric);
    samples.push("", &[], value);
    samples.finish(exposition);
}

/// The samples of all cells, metric by metric, because the exposition wants each metric's together.
struct CellSamples {
    verdict: Samples,
    observed: Samples,
    info: Samples,
    since: Samples,
    last_round: Samples,
    interval: Samples,
    next_due: Samples,
    offline: Samples,
    maintenance: Samples,
    stages: Samples,
    findings: Samples,
    certificate: Samples,
    dns_class: Samples,
}

impl Default for CellSamples {
    fn default() -> Self {
        Self {
            verdict: Samples::of(metrics::CELL_VERDICT),
            observed: Samples::of(metrics::CELL_OBSERVED),
            info: Samples::of(metrics::CELL_INFO),
            since: Samples::of(metrics::CELL_STATE_SINCE),
            last_round: Samples::of(metrics::CELL_LAST_ROUND),
            interval: Samples::of(metrics::CELL_INTERVAL),
            next_due: Samples::of(metrics::CELL_NEXT_DUE),
            offline: Samples::of(metrics::CELL_OFFLINE),
            maintenance: Samples::of(metrics::CELL_MAINTENANCE),
            stages: Samples::of(metrics::CELL_STAGE_DURATION),
            findings: Samples::of(metrics::FINDING),
            certificate: Samples::of(metrics::CERTIFICATE_NOT_AFTER),
            dns_class: Samples::of(metrics::DNS_CLASS),
        }
    }
}

impl CellSamples {
    fn push(&mut self, cell: &CellNow) {
        let key = &cell.key;
        let labels = label_text(&[
            ("check", &key.check),
            ("cluster", &key.cluster),
            ("vantage", &key.vantage),
            ("target", key.target.label()),
        ]);
        if let Some(standing) = &cell.state.standing {
            for verdict in Verdict::ALL {
                self.verdict.push(&labels, &[("verdict", verdict.label())], u8::from(*verdict == standing.verdict));
            }
        }
        let about = [("provider", cell.provider.label()), ("intended", cell.intended.label())];
        self.info.push(&labels, &about, 1);
        if let Some(since) = cell.state.since {
            self.since.push(&labels, &[], seconds(since));
        }
        self.interval.push(&labels, &[], cell.interval.as_secs_f64());
        // The end of time stands for never.
        if let Some(due) = cell.due.filter(|due| *due < Timestamp::MAX) {
            self.next_due.push(&labels, &[], seconds(due));
        }
        self.offline.push(&labels, &[], u8::from(cell.state.paused_since.is_some()));
        self.maintenance.push(&labels, &[], u8::from(cell.maintenance));
        if let Some(round) = &cell.last {
            self.last_round.push(&labels, &[], seconds(round.at));
            self.observed.push(&labels, &[("observed", round.observed.label())], 1);
            for stage in Stage::ALL {
                if let Some(time) = round.stages.of(*stage) {
                    self.stages.push(&labels, &[("stage", stage.label())], Microseconds(time));
                }
            }
        }
        if let Some(detail) = cell.detail.as_deref() {
            self.push_detail(&labels, detail);
        }
    }

    fn push_detail(&mut self, labels: &str, detail: &Cell) {
        // A series must not come twice; a cell has a handful of findings at most.
        let findings = &detail.findings[..detail.findings.len().min(MOST_FINDINGS)];
        for (index, finding) in findings.iter().enumerate() {
            let same =
                |other: &&crate::report::Finding| other.code == finding.code && other.severity == finding.severity;
            if !findings[..index].iter().any(|other| same(&other)) {
                let about = [("code", escaped(&finding.code)), ("severity", finding.severity.label().to_owned())];
                self.findings.push(labels, &about.each_ref().map(|(name, value)| (*name, value.as_str())), 1);
            }
        }
        let leaves = detail.attempts.iter().filter_map(|attempt| attempt.tls.chain.first());
        if let Some(end) = leaves.filter_map(|certificate| certificate.not_after).min() {
            self.certificate.push(labels, &[], seconds(end));
        }
        if let Some(answer) = deciding_resolver(&detail.dns) {
            self.dns_class.push(labels, &[("class", answer.address_class.label())], 1);
        }
    }

    fn finish(&self, exposition: &mut String) {
        for samples in [
            &self.verdict,
            &self.observed,
            &self.info,
            &self.since,
            &self.last_round,
            &self.interval,
            &self.next_due,
            &self.offline,
            &self.maintenance,
            &self.stages,
            &self.findings,
            &self.certificate,
            &self.dns_class,
        ] {
            samples.finish(exposition);
        }
    }
}

const MOST_FINDINGS: usize = 32;
