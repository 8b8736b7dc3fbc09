//! Controls: other targets that show whether the prober itself is online.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use crate::{
    Control, Endpoint, Options, TcpOutcome,
    dns::DnsSettings,
    egress::SharedEchoes,
    system,
    tcp::{self, ConnectSettings},
};

/// What the controls answered, and what the echo servers said, for all probes that share it: ten thousand silent targets
/// ask each of them once.
///
/// Clones share. Probes from different places must not: what one of them reaches says nothing about the other.
#[derive(Clone, Debug, Default)]
pub struct SharedControls(Arc<Mutex<HashMap<Endpoint, Asked>>>, pub(crate) SharedEchoes);

/// A control, being asked or answered.
#[derive(Debug)]
struct Asked {
    since: Instant,
    answer: Arc<OnceCell<Result<Control, String>>>,
}

impl SharedControls {
    /// What the control answers, or has answered to somebody who asked at most [`FRESH`] ago; or why it is not asked.
    pub(crate) async fn ask(&self, control: &Endpoint, options: &Options) -> Result<Control, String> {
        let answer = {
            // A panic elsewhere while the map was held leaves it usable.
            let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            asked.retain(|_, one| one.since.elapsed() < FRESH);
            let new = || Asked { since: Instant::now(), answer: Arc::default() };
            Arc::clone(&asked.entry(control.clone()).or_insert_with(new).answer)
        };
        // Who asks may be stopped; then the next one that waits asks again.
        answer.get_or_init(|| ask(control, options)).await.clone()
    }
}

async fn ask(control: &Endpoint, options: &Options) -> Result<Control, String> {
    let target = control.to_string();
    let addresses = if let Ok(address) = control.host.parse() {
        vec![address]
    } else {
        let settings = DnsSettings { timeout: options.dns_timeout, source: &options.source, classes: &options.classes };
        let answers = system::ask_system(&options.system, &control.host, &settings).await;
        answers.into_iter().next().map(|answer| answer.addresses).unwrap_or_default()
    };
    let Some(address) = addresses.first() else {
        return Ok(Control { target, answered: false, detail: "its name does not resolve".to_owned() });
    };
    let peer = SocketAddr::new(*address, control.port);
    if let Some(reason) = options.permit.refuses(peer) {
        // That it was not asked is no sign of a prober that is offline.
        return Err(format!("control {target}: {reason}"));
    }
    let timeout = options.connect_timeout.min(TIMEOUT);
    let settings =
        ConnectSettings { timeout, source: &options.source, maximum_segment: None, permit: Some(&options.permit) };
    let (tcp, _stream) = tcp::connect(peer, settings).await;
    let answered = matches!(tcp.outcome, TcpOutcome::Connected | TcpOutcome::Refused | TcpOutcome::Reset);
    let detail = tcp.detail.map_or_else(String::new, |detail| format!(": {detail}"));
    Ok(Control { target, answered, detail: format!("tcp {}{detail}", tcp.outcome.label()) })
}

const TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than a pause between the rounds of a run that waits for a change.
const FRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, task::JoinSet};

    use super::*;
    use crate::SystemResolver;

    fn options() -> Options {
        Options {
            system: SystemResolver::Servers(Vec::new()),
            requests: Vec::new(),
            investigate: true,
            ..Options::plain(Duration::from_secs(1))
        }
    }

    #[tokio::test]
    async fn a_control_is_asked_once_for_all_who_share_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let (options, apart) = (Arc::new(options()), options());
        let mut asking = JoinSet::new();
        for _ in 0..50 {
            let (options, control) = (Arc::clone(&options), control.clone());
            asking.spawn(async move { options.shared_controls.ask(&control, &options).await });
        }
        let mut answers = 0;
        while let Some(answer) = asking.join_next().await {
            answers += usize::from(answer.unwrap().is_ok_and(|answer| answer.answered));
        }
        assert_eq!(answers, 50);
        assert!(apart.shared_controls.ask(&control, &apart).await.unwrap().answered);
        let mut accepted = 0;
        while tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, 2, "one for those who share, one for the other");
    }
}
