use std::{fs, time::Duration};

use tokio::time::sleep;

use super::{
    delivering::{Answer, Hook, Request, World},
    *,
};
use crate::watch::alerts::deliver::Task;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_while_nobody_could_be_told_is_told_as_over_and_never_as_firing() {
    let hook = Hook::start(&[Answer::Status(503), Answer::Status(503), Answer::Status(503)]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    for number in 1..=2 {
        world.store(alert("hook", number, None));
    }
    hook.until(1).await;
    // While it is being tried again, one incident ends.
    world.store(alert("hook", 1, Some(at(30))));
    world.until(|stored| stored.iter().all(|alert| alert.cell == CellId(2) && alert.delivered)).await;
    world.end().await;
    let requests = hook.requests();
    let told = |request: &Request| -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["alerts"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect()
    };
    let arrived: Vec<Vec<String>> = requests[3..].iter().map(told).collect();
    assert_eq!(arrived, [["resolved", "firing"]], "what arrived is true");
    // What is changed is another delivery; what is tried again is the same one.
    assert_ne!(requests[0].header("idempotency-key"), requests[3].header("idempotency-key"));
    assert_eq!(requests[2].header("idempotency-key"), requests[3].header("idempotency-key"));
    assert_eq!(requests[2].body, requests[3].body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_history_is_told_once() {
    let hook = Hook::start(&[]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    sleep(Duration::from_millis(60)).await;
    // Everything fails, each thing in its own words.
    for _ in 0..2 {
        *world.outbox.failing.lock().unwrap() = vec![Task::Lease, Task::Look];
        sleep(Duration::from_millis(300)).await;
        world.outbox.failing.lock().unwrap().clear();
        sleep(Duration::from_millis(300)).await;
    }
    let notices = world.end().await;
    let waits = notices.iter().filter(|line| line.contains("alerts wait, the history does not answer")).count();
    assert_eq!(waits, 2, "one a line for each outage: {notices:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_of_many_lets_its_alerts_last_until_the_run_after_the_next() {
    let manager = Hook::start(&[]).await;
    let failing = Hook::start(&[Answer::Status(500)]).await;
    let kind = ReceiverKind::Alertmanager { urls: vec![format!("http://127.0.0.1:{}", manager.port)] };
    let mut config = config(vec![receiver("ops", kind), failing.receiver("hook")], vec![]);
    let scenario = "apiVersion: kubereach/v1\nclusters: { prod: { endpoint: https://prod.example.com } }\n\
        vantages: { office: { local: {} } }\nexpect: [{ cluster: prod, from: office, reachable: true }]\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prod.yaml"), scenario).unwrap();
    let watch = "apiVersion: kubereach/v1\nwatch: { checks: [{ scenario: prod.yaml, every: 30m }] }\n";
    fs::write(folder.path().join("watch.yaml"), watch).unwrap();
    config.checks = crate::watch::config::load(&folder.path().join("watch.yaml")).unwrap().checks;
    let mut lasting = alert("ops", 1, None);
    lasting.labels.insert("check".to_owned(), "prod".to_owned());
    let world = World::started(config, vec![lasting, alert("hook", 1, None)], true);
    let notices = world.end().await.join("\n");
    let body: serde_json::Value = serde_json::from_slice(&manager.requests()[0].body).unwrap();
    let end: Timestamp = body[0]["endsAt"].as_str().unwrap().parse().unwrap();
    let minutes = end.duration_since(Timestamp::now()).as_secs_f64() / 60.0;
    assert!((64.0..=65.0).contains(&minutes), "{minutes}");
    assert!(notices.contains("the next run tries again") && !notices.contains("until it works"), "{notices}");
}
