//! When a cell is due: pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::record::CellKey;

/// When the cells of a check set are due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Every so often. Cells are spread over the interval, each at its own fixed phase.
    Every {
        /// The interval, at least one second.
        interval: Duration,
        /// Each slot is moved by at most this much either way, by a value that follows from cell and slot.
        jitter: Duration,
    },
    /// At the times of a cron expression; cells are spread over `spread` after each.
    Cron {
        /// The expression.
        cron: Box<croner::Cron>,
        /// Where its hours are meant.
        zone: TimeZone,
        /// Over how long after each time the cells are spread.
        spread: Duration,
    },
}

impl Schedule {
    /// The first slot after `after`, of a cell whose [`seed`] this is. The same for every process. Slots are whole
    /// milliseconds; [`Timestamp::MAX`] where there is none.
    #[must_use]
    pub fn next(&self, seed: u64, after: Timestamp) -> Timestamp {
        match self {
            Self::Every { interval, jitter } => next_of_interval(*interval, *jitter, seed, after),
            Self::Cron { cron, zone, spread } => {
                let spread = milliseconds(*spread);
                let offset = if spread == 0 { 0 } else { remainder(seed, spread) };
                next_of_cron(cron, zone, SignedDuration::from_millis(offset), after)
            }
        }
    }

    /// How far apart slots are, as a rule: of a cron expression the median over its next times.
    #[must_use]
    pub fn interval(&self) -> Duration {
        match self {
            Self::Every { interval, .. } => *interval,
            Self::Cron { cron, zone, .. } => {
                let mut gaps = Vec::with_capacity(SAMPLED_GAPS);
                let mut time = Timestamp::UNIX_EPOCH;
                while gaps.len() < SAMPLED_GAPS {
                    let next = next_of_cron(cron, zone, SignedDuration::ZERO, time);
                    if next == Timestamp::MAX {
                        break;
                    }
                    gaps.push(next.duration_since(time).unsigned_abs());
                    time = next;
                }
                // The first gap began at no time of the expression.
                if gaps.len() > 1 {
                    gaps.remove(0);
                }
                gaps.sort_unstable();
                gaps.get(gaps.len() / 2).copied().unwrap_or(Duration::MAX)
            }
        }
    }
}

/// A number that tells cells apart, spread evenly over all values: the same in every process and version.
#[must_use]
pub fn seed(key: &CellKey) -> u64 {
    let CellKey { check, cluster, vantage, target } = key;
    let mut hash = FNV_OFFSET;
    for text in [check.as_str(), cluster, vantage, target.label()] {
        // No byte of UTF-8 is 0xff: names cannot run into each other.
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    mixed(hash)
}

/// Slot `k` is `phase + k · interval + jitter(seed, k)` since 1970, whoever asks and whenever.
fn next_of_interval(interval: Duration, jitter: Duration, seed: u64, after: Timestamp) -> Timestamp {
    let interval = milliseconds(interval).max(1);
    // At most just under half: slots keep their order, and no two are one.
    let jitter = milliseconds(jitter).min((interval - 1) / 2);
    let after = floor_to_milliseconds(after);
    let phase = remainder(seed, interval);
    let nearest = (after - phase).div_euclid(interval);
    // A slot that was moved forward may still be ahead of its successor's place.
    for index in nearest.saturating_sub(1)..=nearest.saturating_add(2) {
        let moved = if jitter == 0 {
            0
        } else {
            let random = mixed(seed ^ mixed(index.cast_unsigned()));
            remainder(random, 2 * jitter + 1) - jitter
        };
        let slot = index.saturating_mul(interval).saturating_add(phase).saturating_add(moved);
        if slot > after {
            return Timestamp::from_millisecond(slot).unwrap_or(Timestamp::MAX);
        }
    }
    Timestamp::MAX
}

/// The first time of the expression whose own slot, `offset` later, is after `after`.
fn next_of_cron(cron: &croner::Cron, zone: &TimeZone, offset: SignedDuration, after: Timestamp) -> Timestamp {
    let slot = || {
        let begin = after.checked_sub(offset).ok()?;
        // Times of expressions are whole seconds: one that is after this second is after all of it.
        let second = i64::try_from(begin.as_nanosecond().div_euclid(1_000_000_000)).ok()?;
        let second = Timestamp::from_second(second).ok()?.to_zoned(zone.clone());
        cron.find_next_occurrence(&second, false).ok()?.timestamp().checked_add(offset).ok()
    };
    slot().filter(|slot| *slot > after).unwrap_or(Timestamp::MAX)
}

/// Whole milliseconds since 1970, downwards.
fn floor_to_milliseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).unwrap_or(i64::MAX / 4)
}

/// Whole milliseconds of a duration.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// The remainder by a positive number.
fn remainder(value: u64, by: i64) -> i64 {
    i64::try_from(value % by.unsigned_abs()).unwrap_or_default()
}

/// Every bit of the input moves every bit of the output: the finaliser of `SplitMix64`
/// (<https://prng.di.unimi.it/splitmix64.c>).
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Enough to see over a day's end.
const SAMPLED_GAPS: usize = 24;
