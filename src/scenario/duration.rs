//! Durations as people write them.

use std::time::Duration;

use crate::input::quoted;

/// Reads `500ms`, `3s`, `2m` or `1h30m`: whole numbers, each with its unit, the larger units first.
///
/// The error says what was expected, without a final full stop. At most a year, so that no sum with a clock overflows.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{} is not a duration; expected one like `500ms`, `3s`, `2m` or `1h30m`", quoted(text));
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
        let Some(rank) = UNITS.iter().position(|(name, _)| *name == unit).map(|index| UNITS.len() - index) else {
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
            .checked_mul(UNITS[UNITS.len() - rank].1)
            .and_then(|milliseconds| total.checked_add(milliseconds))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(|| format!("the duration {} is longer than a year", quoted(text)))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// The largest first, in milliseconds.
const UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
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
    fn anything_else_says_what_was_expected() {
        for text in ["", "s", "3", "3 s", "-3s", "3s2m", "3s3s", "1.5s", "3S", "3d", "½s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("3").unwrap_err().contains("`3s`"));
        assert!(parse_duration("9999999h").unwrap_err().contains("longer than a year"));
    }
}
