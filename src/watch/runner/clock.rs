//! The time that the watch goes by. Tests bring their own.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// A clock that can be waited for.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Completes when the time has come, by whatever way it came: a clock that is set forward wakes sleepers, too.
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
            // In pieces, so that a clock that is set while we sleep is noticed.
            while let Some(left) = until(Timestamp::now(), at) {
                tokio::time::sleep(left.min(LONGEST_NAP)).await;
            }
        })
    }
}

/// How long it is from `now` to `at`; `None` when it is past.
#[must_use]
pub fn until(now: Timestamp, at: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// `at`, so much later.
#[must_use]
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

const LONGEST_NAP: Duration = Duration::from_secs(1);
