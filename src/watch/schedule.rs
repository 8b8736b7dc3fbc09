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

/// `at`, so much later; the end of time at most.
#[must_use]
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::report::CellTarget;

    fn key(index: usize) -> CellKey {
        CellKey {
            check: "prod".to_owned(),
            cluster: format!("cluster-{}", index / 50),
            vantage: format!("vantage-{}", index % 50),
            target: CellTarget::Kubernetes,
        }
    }

    fn every(interval: u64, jitter: u64) -> Schedule {
        Schedule::Every { interval: Duration::from_millis(interval), jitter: Duration::from_millis(jitter) }
    }

    fn cron(expression: &str, zone: &str, spread: u64) -> Schedule {
        let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).unwrap() };
        let cron = Box::new(expression.parse::<croner::Cron>().unwrap());
        Schedule::Cron { cron, zone, spread: Duration::from_secs(spread) }
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// How unevenly values fall into buckets: Pearson's statistic, whose mean is the number of buckets less one.
    fn unevenness(values: impl Iterator<Item = i64>, span: i64, buckets: usize) -> f64 {
        let mut counts = vec![0_u32; buckets];
        for value in values {
            let bucket = usize::try_from(value).unwrap() * buckets / usize::try_from(span).unwrap();
            counts[bucket] += 1;
        }
        let expected = f64::from(counts.iter().sum::<u32>()) / f64::from(u32::try_from(buckets).unwrap());
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn seeds_are_the_same_in_every_version() {
        assert_eq!(seed(&key(0)), SEED_OF_THE_FIRST);
        let mut other = key(0);
        other.target = CellTarget::EksApi;
        assert_ne!(seed(&key(0)), seed(&other));
        let joined =
            |check: &str, cluster: &str| seed(&CellKey { check: check.into(), cluster: cluster.into(), ..key(0) });
        assert_ne!(joined("ab", "c"), joined("a", "bc"));
    }

    #[test]
    fn ten_thousand_cells_are_spread_evenly() {
        let seeds: BTreeSet<u64> = (0..10_000).map(|index| seed(&key(index))).collect();
        assert_eq!(seeds.len(), 10_000);
        let after = time("2026-11-22T14:00:00Z");
        for (interval, jitter) in [(10_000, 0), (30_000, 2_000), (30_000, 15_000), (60_007, 1)] {
            let schedule = every(interval, jitter);
            let span = i64::try_from(interval).unwrap();
            let end = after + schedule.interval();
            let slots = seeds.iter().flat_map(|seed| {
                let next = |slot: &Timestamp| Some(schedule.next(*seed, *slot)).filter(|slot| *slot <= end);
                std::iter::successors(next(&after), next).map(|slot| slot.as_millisecond() - after.as_millisecond() - 1)
            });
            // 99 degrees of freedom: more than 180 has a chance of one in a million.
            let found = unevenness(slots, span, 100);
            assert!(found < 180.0, "{interval}/{jitter}: {found}");
        }
        let spread = cron("0 8 * * *", "UTC", 60);
        let begin = time("2026-11-23T08:00:00Z").as_millisecond();
        let found =
            unevenness(seeds.iter().map(|seed| spread.next(*seed, after).as_millisecond() - begin), 60_000, 100);
        assert!(found < 180.0, "{found}");
    }

    #[test]
    fn a_year_brings_no_drift() {
        let (interval, jitter) = (300_000, 2_000);
        let (schedule, own) = (every(interval, jitter), seed(&key(7)));
        let (begin, end) = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
        let phase = i64::try_from(own % interval).unwrap();
        let mut slot = begin;
        let mut moved = BTreeSet::new();
        let mut count = 0;
        while slot < end {
            slot = schedule.next(own, slot);
            count += 1;
            let place = (slot.as_millisecond() - phase + 150_000).rem_euclid(300_000) - 150_000;
            assert!((-2_000..=2_000).contains(&place), "{slot}: {place}");
            moved.insert(place);
        }
        assert!((105_120..=105_122).contains(&count), "{count}");
        assert!(moved.len() > 3_900, "the jitter takes {} values", moved.len());
    }

    #[test]
    fn times_of_expressions_are_found_over_changes_of_the_clock() {
        let berlin = cron("30 2 * * *", "Europe/Berlin", 0);
        // The clock goes from 2:00 to 3:00: the time that is left out is made up for at the change's end.
        let spring = berlin.next(0, time("2026-03-28T12:00:00Z"));
        assert_eq!(spring, time("2026-03-29T01:00:00Z"));
        assert_eq!(berlin.next(0, spring), time("2026-03-30T00:30:00Z"));
        // The clock goes from 3:00 to 2:00: a time of day comes once.
        let autumn = berlin.next(0, time("2026-10-24T12:00:00Z"));
        assert_eq!(autumn, time("2026-10-25T00:30:00Z"));
        assert_eq!(berlin.next(0, autumn), time("2026-10-26T01:30:00Z"));
        let office = cron("*/5 8-18 * * MON-FRI", "Europe/Berlin", 0);
        assert_eq!(office.next(0, time("2026-11-20T17:55:00Z")), time("2026-11-23T07:00:00Z"));
        assert_eq!(office.interval(), Duration::from_mins(5));
        assert_eq!(cron("0 2 * * SUN", "UTC", 60).interval(), Duration::from_hours(168));
        assert_eq!(cron("0 0 30 2 *", "UTC", 0).next(0, time("2026-11-20T17:55:00Z")), Timestamp::MAX);
        assert_eq!(cron("0 0 30 2 *", "UTC", 0).interval(), Duration::MAX);
    }

    #[test]
    fn next_is_fast() {
        let schedule = every(30_000, 2_000);
        let mut slot = time("2026-01-01T00:00:00Z");
        let begin = std::time::Instant::now();
        for _ in 0..200_000 {
            slot = schedule.next(11, slot);
        }
        // Unoptimised; a release build takes a twentieth.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn slots_follow_each_other_whoever_asks(
            interval in 1_000_u64..200_000, jitter in 0_u64..200_000, seed in any::<u64>(),
            at in -1_000_000_000_000_i64..4_000_000_000_000, nanoseconds in 0_i32..1_000_000,
        ) {
            let schedule = every(interval, jitter);
            let after = Timestamp::from_millisecond(at).unwrap() + SignedDuration::new(0, nanoseconds);
            let first = schedule.next(seed, after);
            prop_assert!(first > after);
            // Another process, or the same one after its clock jumped, finds the same slots.
            let second = schedule.next(seed, first);
            prop_assert!(second > first);
            let middle = Timestamp::from_millisecond(i64::midpoint(first.as_millisecond(), second.as_millisecond())).unwrap();
            prop_assert_eq!(schedule.next(seed, middle), second);
            prop_assert_eq!(schedule.next(seed, Timestamp::from_millisecond(second.as_millisecond() - 1).unwrap()), second);
            let bound = i64::try_from(2 * interval).unwrap();
            prop_assert!(first.as_millisecond() - after.as_millisecond() <= bound);
        }

        #[test]
        fn times_of_expressions_follow_each_other_whoever_asks(
            expression in 0_usize..5, zone in 0_usize..3, spread in 0_u64..120, seed in any::<u64>(),
            hours in 0_i64..(24 * 700), milliseconds in 0_i64..3_600_000,
        ) {
            let expression = ["*/5 * * * *", "30 2 * * *", "0 2 * * SUN", "15 */6 1 * *", "*/20 * * * * *"][expression];
            let schedule = cron(expression, ["UTC", "Europe/Berlin", "America/New_York"][zone], spread);
            let after = Timestamp::from_millisecond(1_767_225_600_000 + hours * 3_600_000 + milliseconds).unwrap();
            let first = schedule.next(seed, after);
            prop_assert!(first > after && first < Timestamp::MAX);
            let second = schedule.next(seed, first);
            prop_assert!(second > first);
            let middle = Timestamp::from_millisecond(i64::midpoint(first.as_millisecond(), second.as_millisecond())).unwrap();
            prop_assert_eq!(schedule.next(seed, middle), second);
        }
    }

    const SEED_OF_THE_FIRST: u64 = 10_015_024_287_966_874_657;
}
