//! Durations as people write them.

use std::time::Duration;

use super::quoted;

/// Reads `500ms`, `3s`, `2m` or `1h30m`: whole numbers, each with its unit, the larger units first.
///
/// The error says what was expected, without a final full stop. At most a year, so that no sum with a clock overflows.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, UNITS, "`500ms`, `3s`, `2m` or `1h30m`", (LONGEST, "a year"))
}

/// The same with days, for what is kept long: `14d`, `1d12h`. At most ten years.
pub(crate) fn parse_long_duration(text: &str) -> Result<Duration, String> {
    parse(text, LONG_UNITS, "`14d`, `12h` or `1d12h`", (10 * LONGEST, "ten years"))
}

fn parse(
    text: &str,
    units: &[(&str, u64)],
    examples: &str,
    (longest, longest_words): (u64, &str),
) -> Result<Duration, String> {
    let expected = || format!("{} is not a duration; expected one like {examples}", quoted(text));
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(expected());
    }
    let mut total: u64 = 0;
    let mut largest = usize::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|character: char| character.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let Some(rank) = units.iter().position(|(name, _)| *name == unit).map(|index| units.len() - index) else {
            if unit.is_empty() && tail.is_empty() && !number.is_empty() {
                return Err(format!("the duration {} lacks a unit; write `{number}s` for seconds", quoted(text)));
            }
            return Err(expected());
        };
        if rank >= largest {
            return Err(expected());
        }
        largest = rank;
        let count: u64 = number.parse().map_err(|_| expected())?;
        total = count
            .checked_mul(units[units.len() - rank].1)
            .and_then(|milliseconds| total.checked_add(milliseconds))
            .filter(|total| *total <= longest)
            .ok_or_else(|| format!("the duration {} is longer than {longest_words}", quoted(text)))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// The largest first, in milliseconds.
const LONG_UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const UNITS: &[(&str, u64)] = LONG_UNITS.split_at(1).1;
const LONGEST: u64 = 365 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_contract_are_read() {
        for (text, milliseconds) in
            [("500ms", 500), ("3s", 3000), ("2m", 120_000), ("1h30m", 5_400_000), ("1m5s250ms", 65_250), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn days_are_for_what_is_kept_long() {
        let day = Duration::from_hours(24);
        for (text, duration) in
            [("14d", 14 * day), ("400d", 400 * day), ("1d12h", day + day / 2), ("0s", Duration::ZERO)]
        {
            assert_eq!(parse_long_duration(text), Ok(duration), "{text}");
        }
        for text in ["", "d", "14", "12h1d", "14w", "99999999999999999999d"] {
            assert!(parse_long_duration(text).is_err(), "{text}");
        }
        assert!(parse_long_duration("9999d").unwrap_err().contains("longer than ten years"));
    }

    #[test]
    fn anything_else_says_what_was_expected() {
        for text in ["", "s", "3", "3 s", "-3s", "3s2m", "3s3s", "1.5s", "3S", "3d", "½s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("3").unwrap_err().contains("`3s`"));
        assert!(parse_duration("9999999h").unwrap_err().contains("longer than a year"));
    }
}
