//! Bounds hold whatever an order says.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach_agent::{Limits, Refusal, Worker};
use kubereach_probes::{Reachability, Run};
use tokio::{sync::watch, task::JoinSet};

use crate::{Silent, loopback, observed, order, refused};

#[tokio::test]
async fn beyond_its_rate_an_agent_is_busy() {
    let worker = Worker::new(None, loopback(443), Limits { orders_per_minute: 3, ..Limits::default() });
    for number in 0..5 {
        let reply = worker.carry_out(order(&format!("o-{number}"), "127.0.0.1", 443), &Run::unattended()).await;
        assert_eq!(reply.id, format!("o-{number}"));
        match number {
            0..3 => assert_eq!(observed(&reply).attempts.len(), 1),
            _ => {
                let (reason, detail) = refused(&reply);
                assert!(reason == Refusal::Busy && detail.contains("3 orders a minute"), "{detail}");
            }
        }
    }
    // What is refused for another reason takes nothing from the rate.
    let worker = Worker::new(None, loopback(443), Limits { orders_per_minute: 1, ..Limits::default() });
    for _ in 0..5 {
        let reply = worker.carry_out(order("o", "127.0.0.1", 22), &Run::unattended()).await;
        assert_eq!(refused(&reply).0, Refusal::NotPermitted);
    }
    observed(&worker.carry_out(order("o", "127.0.0.1", 443), &Run::unattended()).await);
}

#[tokio::test]
async fn no_more_orders_at_once_than_its_hands() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let limits = Limits { concurrency: 2, waiting: 3, ..Limits::default() };
    let worker = Arc::new(Worker::new(None, loopback(port), limits));
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let worker = Arc::clone(&worker);
        let mut order = order(&format!("o-{number}"), "127.0.0.1", port);
        order.probe.connect_timeout_ms = 200;
        tasks.spawn(async move { worker.carry_out(order, &Run::unattended()).await });
    }
    let replies = tasks.join_all().await;
    let busy = replies.iter().filter(|reply| matches!(reply.outcome, kubereach_agent::Outcome::Refused { .. }));
    let busy: Vec<_> = busy.map(refused).collect();
    assert_eq!(busy.len(), 3, "{busy:?}");
    assert!(busy.iter().all(|(reason, detail)| *reason == Refusal::Busy && detail.contains("2 orders at hand")));
    assert_eq!((silent.came(), silent.most.load(std::sync::atomic::Ordering::SeqCst)), (5, 2));
}

#[tokio::test]
async fn an_order_that_expires_while_it_waits_is_not_carried_out() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let worker = Arc::new(Worker::new(None, loopback(port), Limits { concurrency: 1, ..Limits::default() }));
    let first = {
        let worker = Arc::clone(&worker);
        let order = order("first", "127.0.0.1", port);
        tokio::spawn(async move { worker.carry_out(order, &Run::unattended()).await })
    };
    while silent.came() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut second = order("second", "127.0.0.1", port);
    second.expires_at = second.issued_at + Duration::from_millis(200);
    let reply = worker.carry_out(second, &Run::unattended()).await;
    assert_eq!(refused(&reply).0, Refusal::Busy);
    observed(&first.await.unwrap());
    assert_eq!(silent.came(), 1);
}

#[tokio::test]
async fn its_deadline_ends_an_order() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
    let worker = Worker::new(None, loopback(port), limits);
    let mut order = order("slow", "127.0.0.1", port);
    order.probe.connect_timeout_ms = 3_600_000;
    let began = Instant::now();
    let reply = worker.carry_out(order, &Run::unattended()).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let observation = observed(&reply);
    assert!(observation.cut_short && observation.undecided == [silent.address.ip()], "{observation:?}");
    assert!(observation.attempts.iter().all(|attempt| attempt.observed == Reachability::Unknown));
    let left_out = observation.left_out.join("; ");
    assert!(left_out.contains("300ms") && left_out.contains("given 15s"), "{left_out}");
    let ended = observation.ended_early.as_deref().unwrap();
    assert!(ended.contains("gave the order 300ms (its `--deadline`)"), "{ended}");
}

#[tokio::test]
async fn an_echo_server_is_asked_once_for_many_orders() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let worker = Arc::new(Worker::new(None, loopback(port), Limits::default()));
    let mut tasks = JoinSet::new();
    for number in 0..6 {
        let worker = Arc::clone(&worker);
        let mut order = order(&format!("o-{number}"), "127.0.0.1", port);
        order.probe.investigate = false;
        // Another bound is another question.
        order.probe.connect_timeout_ms = if number < 5 { 300 } else { 400 };
        let (scheme, host) = (kubereach_probes::EchoScheme::Http, "127.0.0.1".to_owned());
        order.probe.echo = vec![kubereach_probes::EchoServer { scheme, host, port, path: "/ip".to_owned() }];
        tasks.spawn(async move { worker.carry_out(order, &Run::unattended()).await });
    }
    for reply in tasks.join_all().await {
        assert_eq!(observed(&reply).egress.len(), 1);
    }
    // One connection an order, and two for each time that the echo server is asked.
    assert_eq!(silent.came(), 6 + 2 * 2);
}

#[tokio::test]
async fn who_stops_an_agent_waits_for_nothing() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let worker = Worker::new(None, loopback(port), Limits::default());
    let mut order = order("slow", "127.0.0.1", port);
    order.probe.connect_timeout_ms = 15_000;
    let (stop, stopped) = watch::channel(false);
    let run = Run { stop: stopped, events: None };
    let began = Instant::now();
    let (reply, ()) = tokio::join!(worker.carry_out(order, &run), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send(true).unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(2) && observed(&reply).cut_short);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_id() {
    let worker =
        Worker::new(Some("eu-1".to_owned()), loopback(443), Limits { order_bytes: 3_000, ..Limits::default() });
    let answer = async |message: &[u8]| worker.answer(message, &Run::unattended()).await;
    let text = |order: &kubereach_agent::Order| String::from_utf8(kubereach_agent::order::write(order)).unwrap();
    let good = text(&order("o-1", "127.0.0.1", 443));
    for (message, id, reason) in [
        (good.clone(), "o-1", Refusal::NotForThisAgent),
        (good.replace("\"protocol\":1", "\"protocol\":7"), "o-1", Refusal::OtherVersion),
        (good.replace("\"port\":443", "\"port\":443,\"run\":\"id\""), "o-1", Refusal::Malformed),
        (good.replace("o-1", "../../etc"), "", Refusal::Malformed),
        (good.replace("127.0.0.1", &"a".repeat(4_000)), "o-1", Refusal::Malformed),
        ("[".repeat(2_000), "", Refusal::Malformed),
        ("{}".to_owned(), "", Refusal::Malformed),
        ("\u{0}".to_owned(), "", Refusal::Malformed),
    ] {
        let reply = answer(message.as_bytes()).await;
        assert_eq!(
            (reply.id.as_str(), refused(&reply).0, reply.agent.as_str()),
            (id, reason, "eu-1"),
            "{message:.200}"
        );
        assert!(refused(&reply).1.len() < 2_000 && !refused(&reply).1.contains('\n'));
    }
}
