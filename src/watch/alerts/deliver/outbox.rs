//! Where alerts wait for being sent: the history.

use std::{future::Future, time::Duration};

use jiff::Timestamp;

use crate::watch::{
    record::Alert,
    store::{Store, StoreError},
};

/// Where alerts wait.
pub(in crate::watch::alerts) trait Outbox: Send + Sync + 'static {
    /// Those that are due, by receiver and begin.
    fn due(&self, now: Timestamp, limit: usize) -> impl Future<Output = Result<Vec<Alert>, StoreError>> + Send;
    /// Every alert of a receiver that is not done with, as it is by now.
    fn known(&self, receiver: &str) -> impl Future<Output = Result<Vec<Alert>, StoreError>> + Send;
    /// Writes down how deliveries ended.
    fn sent(&self, alerts: &[Alert]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Whether this process is the one that sends.
    fn lease(&self, lasts: Duration) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// Lets another one send.
    fn release(&self) -> impl Future<Output = ()> + Send;
}

/// The history, under the name of this process.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) process: String,
}

impl Outbox for Shared {
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.store.alerts_due(now, limit).await
    }

    async fn known(&self, receiver: &str) -> Result<Vec<Alert>, StoreError> {
        let mut alerts = self.store.alerts().await?;
        alerts.retain(|alert| alert.receiver == receiver);
        Ok(alerts)
    }

    async fn sent(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        self.store.alerts_sent(alerts).await
    }

    async fn lease(&self, lasts: Duration) -> Result<bool, StoreError> {
        let held = self.store.lease(&self.process, &[LEASE.to_owned()], lasts).await?;
        Ok(held.iter().any(|name| name == LEASE))
    }

    async fn release(&self) {
        // It runs out by itself.
        let _ = self.store.release(&self.process, &[LEASE.to_owned()]).await;
    }
}

/// The lease of the one process that sends.
const LEASE: &str = "alerts";
