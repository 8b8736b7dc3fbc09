//! What pulls from every provider share: limits, what becomes of refusals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::{sync::Semaphore, task::JoinSet};

use super::manifest::Refused;
use crate::input::variable;

/// Calls under way, a limited number of them at a time. Dropping it ends them.
pub(super) struct UnderWay<Done> {
    turn: Arc<Semaphore>,
    running: JoinSet<Done>,
}

impl<Done: Send + 'static> UnderWay<Done> {
    pub(super) fn at_most(count: usize) -> Self {
        Self { turn: Arc::new(Semaphore::new(count)), running: JoinSet::new() }
    }

    /// Makes a call as soon as its turn has come.
    pub(super) fn start(&mut self, call: impl Future<Output = Done> + Send + 'static) {
        let turn = Arc::clone(&self.turn);
        self.running.spawn(async move {
            // The semaphore is never closed; without a permit the call would only be less patient.
            let _permit = turn.acquire_owned().await;
            call.await
        });
    }

    /// What the next call brought; `None` when none is under way. A call that panicked panics here.
    pub(super) async fn next(&mut self) -> Option<Done> {
        loop {
            match self.running.join_next().await? {
                Ok(done) => return Some(done),
                Err(error) => {
                    // Nobody cancels single calls.
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
}

/// Each action once, with the first of its messages.
pub(super) fn refusals<Action>(
    by_action: BTreeMap<Action, BTreeSet<String>>,
    permission: impl Fn(Action) -> String,
) -> Vec<Refused> {
    let refused = |(action, messages): (Action, BTreeSet<String>)| Refused {
        action: permission(action),
        message: messages.into_iter().next().unwrap_or_default(),
    };
    let mut refusals: Vec<Refused> = by_action.into_iter().map(refused).collect();
    refusals.sort();
    refusals
}

/// Now, or what a reproducible build says it is: <https://reproducible-builds.org/specs/source-date-epoch/>.
pub(super) fn now() -> Timestamp {
    let fixed =
        variable("SOURCE_DATE_EPOCH").and_then(|seconds| Timestamp::from_second(seconds.trim().parse().ok()?).ok());
    let now = fixed.unwrap_or_else(Timestamp::now);
    // Whole seconds are plenty, and read better.
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
