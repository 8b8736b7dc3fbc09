//! What the log says of refusals: a line each, and no more than a log can bear.

use std::time::{Duration, Instant};

/// Refusals told since the minute began.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    began: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// The lines to write for a refusal, in words without an end.
    pub(super) fn lines(&mut self, refusal: String, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            if self.untold > 0 {
                lines.push(format!("{} more orders were refused", self.untold));
            }
            *self = Self { began: Some(now), told: 0, untold: 0 };
        }
        if self.told < MOST_A_MINUTE {
            self.told += 1;
            lines.push(refusal);
        } else {
            self.untold += 1;
        }
        lines
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const MOST_A_MINUTE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        let count =
            |refusals: &mut Refusals| (0..1000).map(|_| refusals.lines("no".to_owned(), begun).len()).sum::<usize>();
        assert_eq!(count(&mut refusals), MOST_A_MINUTE as usize);
        assert_eq!(refusals.lines("later".to_owned(), begun + MINUTE), ["980 more orders were refused", "later"]);
        assert_eq!(refusals.lines("later".to_owned(), begun + 2 * MINUTE), ["later"]);
    }
}
