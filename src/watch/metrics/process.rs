//! What the system says of this process; nothing where it has no `/proc`.

use std::fs;

use super::{catalogue as metrics, cells::one};

/// Appends processor time, memory and file descriptors.
pub(super) fn write_process(exposition: &mut String) {
    if let Some(ticks) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| processor_ticks(&stat)) {
        let hundredths = ticks * (100 / TICKS_PER_SECOND);
        one(exposition, metrics::PROCESS_CPU, format_args!("{}.{:02}", hundredths / 100, hundredths % 100));
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kilobytes) = number_after(&status, "VmRSS:") {
            one(exposition, metrics::PROCESS_MEMORY, kilobytes * 1024);
        }
        if let Some(kilobytes) = number_after(&status, "VmSize:") {
            one(exposition, metrics::PROCESS_VIRTUAL, kilobytes * 1024);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The one that lists them is none of them.
        one(exposition, metrics::PROCESS_FDS, open.count().saturating_sub(1));
    }
    let limits = fs::read_to_string("/proc/self/limits").ok();
    if let Some(most) = limits.and_then(|limits| number_after(&limits, "Max open files")) {
        one(exposition, metrics::PROCESS_MAX_FDS, most);
    }
}

/// User and system time of `/proc/self/stat`. The program's name is in parentheses and may hold anything.
fn processor_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// The number behind a name, in a text with one name a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// `USER_HZ`, which is 100 on every architecture that this runs on.
const TICKS_PER_SECOND: u64 = 100;
