//! The time that the watch goes by. Tests bring their own.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// A clock that can be waited for.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Completes when the time has come, or as long from now as it is to that time: a clock that is set forward wakes
    /// sleepers, and one that is set back does not make them sleep longer.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
}

/// This host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(wait) = until(Timestamp::now(), at) else { return };
            let begun = Instant::now();
            // In pieces, so that a clock that is set while we sleep is noticed.
            while let Some(left) = until(Timestamp::now(), at)
                && let Some(rest) = wait.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero())
            {
                tokio::time::sleep(left.min(rest).min(LONGEST_NAP)).await;
            }
        })
    }
}

/// How long it is from `now` to `at`; `None` when it is past.
#[must_use]
pub(super) fn until(now: Timestamp, at: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok().filter(|left| !left.is_zero())
}

const LONGEST_NAP: Duration = Duration::from_secs(1);
