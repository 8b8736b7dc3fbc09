//! What `-v` adds: a line a round.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::{
    check::{Event, Look, Refreshed, Session},
    cli::progress,
    report::Finding,
    watch::runner::Prober,
};

/// A session that says what each of its rounds came to.
pub(super) struct Talking {
    pub(super) session: Session,
    pub(super) notices: mpsc::UnboundedSender<String>,
}

impl Prober for Talking {
    fn round(&self, index: usize, timeout: Duration) -> BoxFuture<'_, Look> {
        Box::pin(async move {
            let begun = Instant::now();
            let look = self.session.round(index, timeout).await;
            let event = Event::CellDone {
                cluster: look.cell.target.of(&look.cell.cluster),
                vantage: look.cell.vantage.clone(),
                verdict: look.cell.verdict,
                ms: begun.elapsed().as_secs_f64() * 1_000.0,
            };
            // Nobody listening is no reason to stop.
            let _ = self.notices.send(progress::line(&event));
            look
        })
    }

    fn refresh(&self, cluster: usize) -> BoxFuture<'_, Refreshed> {
        Box::pin(self.session.refresh(cluster))
    }

    fn has_configuration(&self, cluster: usize) -> bool {
        self.session.has_configuration(cluster)
    }

    fn configuration_findings(&self, cluster: usize) -> Vec<Finding> {
        self.session.configuration_findings(cluster)
    }

    fn close(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.session.close())
    }
}
