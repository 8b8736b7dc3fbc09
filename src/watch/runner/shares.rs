//! Which of the cells are this process's: with a shared database every share of them is leased by one process.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{Parts, turned};
use crate::watch::{config::Storage, schedule::later, store::StoreError};

/// Into how many shares the cells are divided.
pub const SHARES: u64 = 64;

/// The numbers of the shares that are this process's.
pub(super) type Mine = watch::Receiver<Arc<HashSet<u64>>>;

/// The share that a cell or cluster is in.
pub(super) const fn share_of(seed: u64) -> u64 {
    seed % SHARES
}

/// Keeps the shares of this process.
pub(super) struct Shares {
    sender: watch::Sender<Arc<HashSet<u64>>>,
    receiver: Mine,
    /// The database is shared.
    leased: bool,
}

impl Shares {
    /// Takes what is free at the start.
    pub(super) async fn new(storage: &Storage, parts: &Parts) -> Result<Self, StoreError> {
        let leased = matches!(storage, Storage::Postgres { .. });
        let (sender, receiver) = watch::channel(Arc::new(HashSet::new()));
        let shares = Self { sender, receiver, leased };
        if leased {
            shares.divide(parts).await?;
        } else {
            shares.sender.send_replace(Arc::new((0..SHARES).collect()));
        }
        Ok(shares)
    }

    /// The shares, as they change.
    pub(super) fn mine(&self) -> Mine {
        self.receiver.clone()
    }

    /// Renews leases, gives up what others are owed, takes what nobody has.
    ///
    /// Where the database does not answer, the shares stay: nobody else can take them then, and rounds that two processes
    /// ran are stored once. When it answers again, it says whose they are before the next round begins.
    pub(super) async fn keep(self, parts: Parts, mut stop: watch::Receiver<bool>) {
        if !self.leased {
            return;
        }
        let mut said = false;
        let mut renewed = Instant::now();
        loop {
            let next = later(parts.clock.now(), RENEW_EVERY);
            tokio::select! {
                () = parts.clock.sleep_until(next) => {}
                () = turned(&mut stop) => break,
            }
            if renewed.elapsed() > LEASE_LASTS && self.answers(&parts).await {
                // This process slept longer than its leases last: others may have taken them.
                self.sender.send_replace(Arc::default());
            }
            match self.divide(&parts).await {
                Ok(()) => {
                    renewed = Instant::now();
                    said = false;
                }
                Err(error) if !said => {
                    parts.say(format!("leases cannot be renewed, probing goes on as before: {error}"));
                    said = true;
                }
                Err(_) => {}
            }
        }
        let names: Vec<String> = self.receiver.borrow().iter().copied().map(name).collect();
        // What is not given back runs out.
        let _ = parts.store.release(&parts.process, &names).await;
    }

    async fn answers(&self, parts: &Parts) -> bool {
        parts.store.processes().await.is_ok()
    }

    async fn divide(&self, parts: &Parts) -> Result<(), StoreError> {
        // A name of its own makes the process known to the others, even while it has no share.
        let own = format!("process {}", parts.process);
        parts.store.lease(&parts.process, std::slice::from_ref(&own), LEASE_LASTS).await?;
        let processes = parts.store.processes().await?;
        let place = processes.iter().position(|process| *process == parts.process).unwrap_or(0);
        let fair = fair(place, processes.len().max(1));
        let mut held: Vec<u64> = self.receiver.borrow().iter().copied().collect();
        held.sort_unstable();
        let surplus = held.split_off(fair.min(held.len()));
        if !surplus.is_empty() {
            self.sender.send_replace(Arc::new(held.iter().copied().collect()));
            let names: Vec<String> = surplus.into_iter().map(name).collect();
            parts.store.release(&parts.process, &names).await?;
        }
        // First those that it has; then others, each process beginning at another end, until it has its part.
        let begin = place as u64 * SHARES / processes.len().max(1) as u64;
        let others = (0..SHARES).map(|number| (begin + number) % SHARES).filter(|number| !held.contains(number));
        let mut now: HashSet<u64> = HashSet::new();
        let mut wanted: Vec<u64> = held.iter().copied().chain(others).collect();
        while now.len() < fair && !wanted.is_empty() {
            let missing = (fair - now.len()).min(wanted.len());
            let asked: Vec<u64> = wanted.drain(..missing).collect();
            let names: Vec<String> = asked.iter().copied().map(name).collect();
            let got = parts.store.lease(&parts.process, &names, LEASE_LASTS).await?;
            now.extend(asked.into_iter().filter(|number| got.contains(&name(*number))));
        }
        if **self.receiver.borrow() != now {
            self.sender.send_replace(Arc::new(now));
        }
        Ok(())
    }
}

/// How many shares a process is to have, by its place among so many.
fn fair(place: usize, processes: usize) -> usize {
    let (all, place) = (usize::try_from(SHARES).unwrap_or(usize::MAX), place % processes);
    all / processes + usize::from(place < all % processes)
}

fn name(share: u64) -> String {
    format!("share {share:02}")
}

const RENEW_EVERY: Duration = Duration::from_secs(5);
const LEASE_LASTS: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_somebodys() {
        for processes in 1..=70 {
            let all: usize = (0..processes).map(|place| fair(place, processes)).sum();
            assert_eq!(u64::try_from(all), Ok(SHARES), "{processes}");
        }
    }
}
