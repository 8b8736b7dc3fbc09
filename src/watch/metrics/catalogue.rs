//! Every metric there is: what `/metrics` may show, and what `docs/metrics.md` lists.

/// A metric, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name; of a histogram, without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence without a final full stop.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows, until the process begins anew.
    Counter,
    /// Buckets, a sum and a count.
    Histogram,
    /// Always 1: its labels say it.
    Info,
}

impl Kind {
    /// As the exposition names it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Metric {
    /// The family's name in the newer text format, where the suffix belongs to the sample.
    pub(super) fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

macro_rules! catalogue {
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)+) => {
        $(pub(super) const $constant: Metric = metric($name, Kind::$kind, &[$($label),*], $help);)+

        /// All of them, in the order of the documentation.
        pub const CATALOGUE: &[Metric] = &[$($constant),+];
    };
}

catalogue! {
    CELL_VERDICT = "kubereach_cell_verdict", Gauge, ["check", "cluster", "vantage", "target", "verdict"],
        "1 for the confirmed verdict of the cell and 0 for the others; absent before the first is confirmed";
    CELL_OBSERVED = "kubereach_cell_observed", Gauge, ["check", "cluster", "vantage", "target", "observed"],
        "1 for what the last round observed: reachable, unreachable or unknown";
    CELL_INFO = "kubereach_cell_info", Info, ["check", "cluster", "vantage", "target", "provider", "intended"],
        "Who runs the cluster, and what should be";
    CELL_STATE_SINCE = "kubereach_cell_state_since_timestamp_seconds", Gauge, ["check", "cluster", "vantage", "target"],
        "The first of the rounds that agreed on the confirmed verdict";
    CELL_LAST_ROUND = "kubereach_cell_last_round_timestamp_seconds", Gauge, ["check", "cluster", "vantage", "target"],
        "When the last finished round was due";
    CELL_INTERVAL = "kubereach_cell_interval_seconds", Gauge, ["check", "cluster", "vantage", "target"],
        "How far apart the rounds of the cell are, as a rule";
    CELL_NEXT_DUE = "kubereach_cell_next_due_timestamp_seconds", Gauge, ["check", "cluster", "vantage", "target"],
        "When the cell's next round is due; a time in the past means that it is overdue";
    CELL_OFFLINE = "kubereach_cell_offline", Gauge, ["check", "cluster", "vantage", "target"],
        "1 while the prober is offline, which pauses judgement";
    CELL_MAINTENANCE = "kubereach_cell_maintenance", Gauge, ["check", "cluster", "vantage", "target"],
        "1 while a maintenance window is open";
    CELL_STAGE_DURATION = "kubereach_cell_stage_duration_seconds", Gauge,
        ["check", "cluster", "vantage", "target", "stage"],
        "How long a stage (dns, tcp, tls, http) of the last round took; absent where it did not happen";
    FINDING = "kubereach_finding", Gauge, ["check", "cluster", "vantage", "target", "code", "severity"],
        "1 for each finding of the last round";
    CERTIFICATE_NOT_AFTER = "kubereach_certificate_not_after_timestamp_seconds", Gauge,
        ["check", "cluster", "vantage", "target"],
        "End of validity of the presented certificate; of several addresses the earliest";
    DNS_CLASS = "kubereach_dns_class", Gauge, ["check", "cluster", "vantage", "target", "class"],
        "1 for the class of the deciding resolver's addresses: public, private, mixed or none";
    CELLS = "kubereach_cells", Gauge, [],
        "Cells that this process runs";
    CELLS_LEFT_OUT = "kubereach_cells_left_out", Gauge, [],
        "Cells that this process runs and that are not exported one by one, because there are too many";
    ROUNDS = "kubereach_rounds_total", Counter, ["check", "verdict"],
        "Finished rounds by what they came to, confirmed or not";
    OFFLINE_ROUNDS = "kubereach_offline_rounds_total", Counter, ["check"],
        "Rounds that say nothing because the prober was offline";
    MISSED = "kubereach_missed_rounds_total", Counter, ["check"],
        "Slots that were left out: the round before was still under way, or the slot was noticed too late";
    STAGE_DURATION = "kubereach_stage_duration_seconds", Histogram, ["check", "vantage", "stage"],
        "How long the stages of rounds took";
    ROUND_DURATION = "kubereach_round_duration_seconds", Histogram, ["check"],
        "How long whole rounds took";
    SCHEDULER_LAG = "kubereach_scheduler_lag_seconds", Histogram, [],
        "How much later than due rounds began";
    PROPAGATION = "kubereach_propagation_seconds", Histogram, ["check"],
        "How long changes took to reach a cell, where that is known";
    EVENTS = "kubereach_events_total", Counter, ["kind"],
        "Confirmed events";
    DELIVERIES = "kubereach_deliveries_total", Counter, ["receiver", "outcome"],
        "Attempts to tell a receiver, by outcome: delivered or failed";
    HISTORY_WRITE_DURATION = "kubereach_history_write_duration_seconds", Histogram, [],
        "How long writes to the history took";
    HISTORY_WRITE_ERRORS = "kubereach_history_write_errors_total", Counter, [],
        "Writes to the history that failed";
    HISTORY_ROUNDS = "kubereach_history_rounds_written_total", Counter, [],
        "Rounds that were written to the history";
    HISTORY_WRITABLE = "kubereach_history_writable", Gauge, [],
        "1 while the history can be written";
    HISTORY_UNWRITTEN = "kubereach_history_unwritten_rounds", Gauge, [],
        "Rounds that wait for being written";
    HISTORY_DROPPED = "kubereach_history_dropped_rounds_total", Counter, [],
        "Rounds that were given up because too many were waiting";
    RELOAD_SUCCESSFUL = "kubereach_config_last_reload_successful", Gauge, [],
        "1 if the configuration was taken the last time it was read";
    RELOAD_TIME = "kubereach_config_last_reload_success_timestamp_seconds", Gauge, [],
        "When the configuration was last taken";
    BUILD = "kubereach_build_info", Info, ["version"],
        "The version that runs";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [],
        "Processor time of this process";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, [],
        "Memory of this process that is resident";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [],
        "Address space of this process";
    PROCESS_FDS = "process_open_fds", Gauge, [],
        "File descriptors of this process that are open";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [],
        "File descriptors that this process may open";
    PROCESS_START = "process_start_time_seconds", Gauge, [],
        "When this process began";
}
