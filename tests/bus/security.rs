//! Each promise of the guide, with a test that tries to break it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{HeaderMap, Subscriber, jetstream};
use futures_util::StreamExt as _;
use kubereach::{
    scenario::{AgentName, NatsServers, Vantage, VantageKind},
    vantage::{Transports, bus::Ending},
};
use kubereach_agent::{
    Order, Outcome, Refusal, Reply,
    bus::{LinkError, ORDERS, Servers, connect, headers, observation_subject, order_subject, seal_of},
    order::{MAXIMUM_REPLY_BYTES, write},
    seal::{OrderDigest, Seal, seal_order, seal_reply},
};
use kubereach_probes::{Observation, Options, Run, Target, Trust};
use nkeys::KeyPair;

use crate::world::{Echo, World, order, sealed, seen, worker};

pub(crate) const CASES: &[(&str, fn())] = &[
    ("a_stranger_and_a_wrong_certificate_are_refused", strangers),
    ("an_agent_can_act_for_no_other", other_agents),
    ("forged_observations_are_rejected_and_late_ones_late", forged),
    ("an_agent_of_another_version_is_told_so", other_version),
    ("orders_that_are_not_the_controllers_are_refused", bad_orders),
    ("an_order_outside_of_the_allow_list_is_refused", not_permitted),
    ("a_vantage_says_what_is_missing", vantages),
];

fn within(agents: &[&str], case: impl AsyncFnOnce(&World)) {
    let folder = tempfile::tempdir().unwrap();
    let agents: Vec<String> = agents.iter().map(|name| (*name).to_owned()).collect();
    let world = World::new(folder.path(), &agents);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case(&world));
    runtime.shutdown_background();
}

fn strangers() {
    within(&["one"], async |world| {
        let error = connect(&world.servers("stranger"), "x", "_INBOX.x").await.err();
        assert!(matches!(error, Some(LinkError::Refused(..))), "{error:?}");
        let nobody = Servers { user_key: None, ..world.servers("one") };
        let error = connect(&nobody, "x", "_INBOX.x").await.err();
        assert!(matches!(error, Some(LinkError::Refused(..))), "{error:?}");
        let other_ca = Servers { ca: None, ..world.servers("one") };
        let error = connect(&other_ca, "x", "_INBOX.x").await.err();
        assert!(matches!(error, Some(LinkError::Tls(..))), "{error:?}");
        // TLS is asked for and must be had: a server without it gets no credentials.
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = plain.local_addr().unwrap().port();
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = plain.accept().unwrap();
            let info = r#"INFO {"server_id":"x","version":"2.9.10","go":"","host":"","port":1,"headers":true,"max_payload":1000000,"proto":1,"nonce":"x","auth_required":true}"#;
            stream.write_all(format!("{info}\r\n").as_bytes()).unwrap();
            let mut bytes = [0; 64];
            let count = stream.read(&mut bytes).unwrap_or(0);
            assert!(!String::from_utf8_lossy(&bytes[..count]).contains("CONNECT"));
            let _ = stream.write_all(b"-ERR 'no'\r\n");
        });
        let downgraded = Servers { urls: vec![format!("tls://localhost:{port}")], ..world.servers("one") };
        assert!(connect(&downgraded, "x", "_INBOX.x").await.is_err());
    });
}

fn other_agents() {
    within(&["one", "two"], async |world| {
        let dispatcher = world.dispatcher().await;
        let waiting = {
            let dispatcher = Arc::clone(&dispatcher);
            let key = world.identity("two").public_key();
            tokio::spawn(async move { dispatcher.dispatch("two", &key, || order("two", "for-two", 3)).await })
        };
        let admin = world.client("admin", "_INBOX.admin").await;
        let mut all = admin.subscribe("kubereach.>").await.unwrap();
        let rogue = world.client("one", "_INBOX.kubereach-agent.one").await;
        let stream = jetstream::new(rogue.clone());
        for subject in [observation_subject("two"), order_subject("one"), order_subject("two")] {
            let stored = stream.publish(subject.clone(), "{\"id\":\"for-two\"}".into()).await.unwrap();
            let stored = tokio::time::timeout(Duration::from_millis(700), stored).await;
            assert!(!matches!(stored, Ok(Ok(_))), "{subject} was stored");
        }
        rogue.publish("kubereach.presence.two", "{}".into()).await.unwrap();
        rogue.publish("$JS.API.STREAM.DELETE.KUBEREACH_ORDERS", "".into()).await.unwrap();
        for subject in ["kubereach.>", "_INBOX.>", "_INBOX.kubereach-agent.two.>", "$JS.>"] {
            let mut spying = rogue.subscribe(subject).await.unwrap();
            admin.publish("kubereach.presence.two", "x".into()).await.unwrap();
            let heard = tokio::time::timeout(Duration::from_millis(200), spying.next()).await;
            assert!(!matches!(heard, Ok(Some(_))), "{subject} was heard");
        }
        // It asks for the other's orders, and gets none.
        let mut inbox = rogue.subscribe("_INBOX.kubereach-agent.one.x").await.unwrap();
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.two");
        rogue.publish_with_reply(next, "_INBOX.kubereach-agent.one.x", "{\"batch\":1}".into()).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(500), inbox.next()).await;
        assert!(!matches!(heard, Ok(Some(message)) if message.status.is_none()), "the order of another");
        let Ok(Ok(Ending::Expired(_))) = waiting.await else { panic!("somebody answered") };
        while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(200), all.next()).await {
            let own = message.payload.as_ref() == b"x" || message.subject.as_str() == "kubereach.orders.two";
            assert!(own, "{} went through", message.subject);
        }
        assert_eq!(dispatcher.ledger().tally().expired, 1);
    });
}

fn forged() {
    within(&["three", "two"], async |world| {
        let dispatcher = world.dispatcher().await;
        let key = world.identity("three");
        let (ours, public) = (Arc::clone(&dispatcher), key.public_key());
        let waiting = tokio::spawn(async move { ours.dispatch("three", &public, || order("three", "a", 4)).await });
        let client = world.client("three", "_INBOX.kubereach-agent.three").await;
        let (got, digest) = pull(&client, "three").await;
        let reply = seen(&got);
        let payload = write(&reply);
        let stream = jetstream::new(client);
        let other = OrderDigest::of(&Seal::default(), b"another order");
        let stranger = KeyPair::new_user();
        let lie = Seal { key: key.public_key(), ..seal_reply(&stranger, &digest, &payload) };
        let long = [payload.as_slice(), &b" ".repeat(MAXIMUM_REPLY_BYTES)].concat();
        let elsewhere = write(&Reply { agent: "two".to_owned(), ..reply.clone() });
        let torn = b"{\"id\":\"a\",\"protocol\":1".to_vec();
        let no_reply = b"{\"id\":\"a\",\"protocol\":1}".to_vec();
        for (index, (seal, payload)) in [
            (Seal::default(), payload.clone()),
            (seal_reply(&stranger, &digest, &payload), payload.clone()),
            (lie, payload.clone()),
            (seal_reply(&key, &other, &payload), payload.clone()),
            (seal_order(&key, &payload), payload.clone()),
            (seal_reply(&key, &digest, &long), long),
            (seal_reply(&key, &digest, &elsewhere), elsewhere),
            (seal_reply(&key, &digest, &torn), torn),
            (seal_reply(&key, &digest, &no_reply), no_reply),
        ]
        .into_iter()
        .enumerate()
        {
            let headers = headers(&seal, &format!("forged-{index}"));
            let stored = stream.publish_with_headers(observation_subject("three"), headers, payload.into()).await;
            stored.unwrap().await.unwrap();
        }
        // The right reply from the wrong place.
        let two = jetstream::new(world.client("two", "_INBOX.kubereach-agent.two").await);
        let good = seal_reply(&key, &digest, &payload);
        let stored =
            two.publish_with_headers(observation_subject("two"), headers(&good, "two"), payload.clone().into());
        stored.await.unwrap().await.unwrap();
        let Ok(Ending::Expired(text)) = waiting.await.unwrap() else { panic!("a forgery was believed") };
        for word in ["1 unsigned", "1 other-key", "3 bad-signature", "1 too-long", "2 other-agent", "1 unreadable"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        // The true one, too late.
        let stored = stream.publish_with_headers(observation_subject("three"), headers(&good, "a"), payload.into());
        stored.await.unwrap().await.unwrap();
        until(|| dispatcher.ledger().tally().late == 1).await;
        let tally = dispatcher.ledger().tally();
        assert_eq!((tally.issued, tally.observed, tally.expired, tally.outstanding), (1, 0, 1, 0));
        let left = dispatcher.close().await.join("\n");
        assert!(left.contains("3 (bad-signature)"), "{left}");
        assert!(left.contains("1 reply came after its order had expired, and was not counted"), "{left}");
    });
}

fn other_version() {
    within(&["five"], async |world| {
        let dispatcher = world.dispatcher().await;
        let key = world.identity("five");
        let public = key.public_key();
        let waiting =
            tokio::spawn(async move { dispatcher.dispatch("five", &public, || order("five", "a", 10)).await });
        let client = world.client("five", "_INBOX.kubereach-agent.five").await;
        let (_, digest) = pull(&client, "five").await;
        let payload = b"{\"protocol\":2,\"id\":\"a\",\"shape\":\"of the future\"}".to_vec();
        let seal = seal_reply(&key, &digest, &payload);
        let stream = jetstream::new(client);
        let stored =
            stream.publish_with_headers(observation_subject("five"), headers(&seal, "a"), payload.into()).await;
        stored.unwrap().await.unwrap();
        let Ok(Ending::Replied(reply)) = waiting.await.unwrap() else { panic!("it was not told") };
        let Outcome::Refused { reason, detail } = reply.outcome else { panic!("it was misread") };
        assert_eq!(reason, Refusal::OtherVersion);
        assert!(detail.contains("version 2"), "{detail}");
    });
}

fn bad_orders() {
    within(&["four"], async |world| {
        let dispatcher = world.dispatcher().await;
        let echo = Arc::new(Echo::default());
        let agent = world.agent("four", 4, Arc::clone(&echo) as _);
        let admin = world.client("admin", "_INBOX.admin").await;
        let mut replies = admin.subscribe("kubereach.observations.four").await.unwrap();
        let key = world.identity("four").public_key();
        let first = dispatcher.dispatch("four", &key, || order("four", "good", 20)).await;
        assert!(matches!(first, Ok(Ending::Replied(_))), "{first:?}");
        assert_eq!(outcome(&mut replies).await, ("good".to_owned(), None));
        let controller = jetstream::new(world.client("controller", "_INBOX.kubereach-controller").await);
        let signing = world.key("signing");
        let put = async |name: &str, (seal, payload): (Seal, Vec<u8>), version: &str| {
            let mut headers: HeaderMap = headers(&seal, name);
            headers.insert(kubereach_agent::bus::PROTOCOL_HEADER, version);
            let stored = controller.publish_with_headers(order_subject("four"), headers, payload.into()).await;
            stored.unwrap().await.unwrap();
        };
        let mut expect = async |id: &str, reason: Refusal| {
            assert_eq!(outcome(&mut replies).await, (id.to_owned(), Some(reason)));
        };
        let fresh = |id: &str| order("four", id, 20);
        put("1", (Seal::default(), write(&fresh("unsigned"))), "1").await;
        expect("unsigned", Refusal::BadSignature).await;
        put("2", sealed(&KeyPair::new_user(), &fresh("stranger")), "1").await;
        expect("stranger", Refusal::BadSignature).await;
        let (seal, _) = sealed(&signing, &fresh("tampered"));
        put("3", (seal, write(&order("four", "tampered", 21))), "1").await;
        expect("tampered", Refusal::BadSignature).await;
        // A reply that the controller signed is no order.
        let payload = write(&fresh("crossed"));
        let digest = OrderDigest::of(&Seal::default(), b"");
        put("4", (seal_reply(&signing, &digest, &payload), payload), "1").await;
        expect("crossed", Refusal::BadSignature).await;
        put("5", sealed(&signing, &fresh("newer")), "2").await;
        expect("newer", Refusal::OtherVersion).await;
        put("6", sealed(&signing, &Order { protocol: 0, ..fresh("older") }), "1").await;
        expect("older", Refusal::OtherVersion).await;
        put("7", sealed(&signing, &Order { agent: "five".to_owned(), ..fresh("elsewhere") }), "1").await;
        expect("elsewhere", Refusal::NotForThisAgent).await;
        put("8", sealed(&signing, &order("four", "far", 3600)), "1").await;
        expect("far", Refusal::Expired).await;
        let before = order("four", "before", 100);
        let earlier = before.issued_at - jiff::SignedDuration::from_secs(60);
        put("9", sealed(&signing, &Order { issued_at: earlier, ..before }), "1").await;
        expect("before", Refusal::Expired).await;
        let mut text = write(&fresh("command"));
        text.truncate(text.len() - 1);
        let text = [text.as_slice(), b",\"command\":\"id\"}"].concat();
        put("10", (seal_order(&signing, &text), text), "1").await;
        expect("command", Refusal::Malformed).await;
        assert_eq!(echo.carried.load(Ordering::SeqCst), 1, "something else was carried out");
        // The same order, bytes and signature, as another message.
        let again = sealed(&signing, &fresh("twice"));
        put("11", again.clone(), "1").await;
        assert_eq!(outcome(&mut replies).await, ("twice".to_owned(), None));
        put("12", again, "1").await;
        // Its stored reply goes out once more, to which the server says that it has it; then the refusal.
        let mut last = outcome(&mut replies).await;
        if last.1.is_none() {
            last = outcome(&mut replies).await;
        }
        assert_eq!(last, ("twice".to_owned(), Some(Refusal::Replayed)));
        assert_eq!(echo.carried.load(Ordering::SeqCst), 2);
        let log = agent.log();
        for line in ["order unsigned refused (bad-signature), signed by nobody", "order twice refused (replayed)"] {
            assert!(log.contains(line), "{line}: {log}");
        }
        // A worker refuses by its own clock what has expired.
        drop(agent);
        let _agent = world.agent("four", 4, worker("four"));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        put("13", sealed(&signing, &order("four", "expired", -1)), "1").await;
        let mut got = outcome(&mut replies).await;
        while got.0 != "expired" {
            got = outcome(&mut replies).await;
        }
        assert_eq!(got.1, Some(Refusal::Expired));
    });
}

fn not_permitted() {
    within(&["six"], async |world| {
        let dispatcher = world.dispatcher().await;
        let agent = world.agent("six", 4, worker("six"));
        let key = world.identity("six").public_key();
        let mut elsewhere = order("six", "metadata", 60);
        "169.254.169.254".clone_into(&mut elsewhere.probe.host);
        let ending = dispatcher.dispatch("six", &key, || elsewhere).await;
        let Ok(Ending::Replied(reply)) = ending else { panic!("{ending:?}") };
        let refused = matches!(reply.outcome, Outcome::Refused { reason: Refusal::NotPermitted, .. });
        assert!(refused, "{reply:?}");
        let signer = world.key("signing").public_key();
        let line = format!("order metadata refused (not-permitted), signed by {signer}: ");
        assert!(agent.log().contains(&line), "{}", agent.log());
        until(|| agent.log().lines().any(|line| line == "taking orders")).await;
        let tally = dispatcher.ledger().tally();
        assert_eq!((tally.refused, tally.observed), (1, 0));
    });
}

fn vantages() {
    within(&["seven"], async |world| {
        let here = |servers: Option<&NatsServers>| Transports::new(servers);
        let nats = NatsServers {
            servers: vec![format!("tls://localhost:{}", world.port)],
            ca: Some(world.folder.join("ca.pem")),
            credentials: None,
            user_key: Some(world.folder.join("controller.nk")),
            certificate: None,
            signing_key: world.folder.join("signing.nk"),
            line: 1,
        };
        let key = Some(world.identity("seven").public_key());
        let says = async |servers: Option<&NatsServers>, key: Option<String>, word: &str| {
            let transports = here(servers);
            let observation = Box::pin(observe(&transports, key)).await;
            transports.close().await;
            let error = observation.vantage_error.unwrap_or_default();
            assert!(error.contains(word), "{word}: {error}");
        };
        Box::pin(says(None, key.clone(), "has no `nats`")).await;
        Box::pin(says(Some(&nats), None, "has no `key`")).await;
        let away = NatsServers { servers: vec!["tls://localhost:1".to_owned()], ..nats.clone() };
        Box::pin(says(Some(&away), key.clone(), "no NATS server answers")).await;
        let stranger = NatsServers { user_key: Some(world.folder.join("stranger.nk")), ..nats.clone() };
        Box::pin(says(Some(&stranger), key.clone(), "look at its `users`")).await;
        let nobody = NatsServers { user_key: None, ..nats.clone() };
        Box::pin(says(Some(&nobody), key.clone(), "no credentials were given")).await;
        let other_ca = NatsServers { ca: None, ..nats.clone() };
        Box::pin(says(Some(&other_ca), key.clone(), "by `nats.ca`")).await;
        let lost = NatsServers { signing_key: world.folder.join("lost.nk"), ..nats.clone() };
        Box::pin(says(Some(&lost), key.clone(), "lost.nk")).await;
        let agent_user = NatsServers { user_key: Some(world.folder.join("seven.nk")), ..nats.clone() };
        Box::pin(says(Some(&agent_user), key.clone(), "does not give")).await;
        Box::pin(says(Some(&nats), key.clone(), "is it running, under the name `seven`")).await;
        // An agent that never said that it is there is not waited for until the order expires.
        let begun = std::time::Instant::now();
        let public = world.identity("seven").public_key();
        let ending = world.dispatcher().await.dispatch("seven", &public, || order("seven", "early", 60)).await;
        assert!(matches!(ending, Ok(Ending::Expired(_))), "{ending:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        let agent = world.agent("seven", 4, worker("seven"));
        let transports = here(Some(&nats));
        let observation = observe(&transports, key.clone()).await;
        assert_eq!(observation.vantage_error, None);
        assert_eq!(observation.attempts.len(), 1, "{observation:?}");
        // Whose clients are gone cannot answer; what is known of them is said, and the run's end ends the waiting.
        drop(agent);
        let gone = observe(&transports, key.clone()).await.vantage_error.unwrap();
        assert!(gone.contains("last heard of"), "{gone}");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let run = Run { stop: stopped, events: None };
        let fresh = here(Some(&nats));
        let begun = std::time::Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.send(true).unwrap();
            tokio::time::sleep(Duration::from_mins(1)).await;
        });
        let (vantage, target, options) = what(key);
        assert!(fresh.observe(&vantage, &target, &options, &run).await.cut_short);
        assert!(begun.elapsed() < Duration::from_secs(3));
        let wrong = observe(&transports, Some(KeyPair::new_user().public_key())).await.vantage_error.unwrap();
        assert!(wrong.contains("does not answer") || wrong.contains("did not answer"), "{wrong}");
        assert!(wrong.contains("says that its key is"), "{wrong}");
    });
}

async fn observe(transports: &Transports, key: Option<String>) -> Observation {
    let (vantage, target, options) = what(key);
    transports.observe(&vantage, &target, &options, &Run::unattended()).await
}

fn what(key: Option<String>) -> (Vantage, Arc<Target>, Arc<Options>) {
    let kind = VantageKind::Agent(AgentName { name: "seven".to_owned(), key });
    let vantage = Vantage {
        name: "remote".to_owned(),
        kind,
        resolvers: Vec::new(),
        egress: kubereach::scenario::Egress::default(),
        line: 1,
    };
    let target = Target::new("127.0.0.1", 443, Trust::SystemRoots);
    let options = Options::plain(Duration::from_millis(200));
    (vantage, Arc::new(target), Arc::new(options))
}

/// Takes the next order from an agent's queue by hand.
async fn pull(client: &async_nats::Client, agent: &str) -> (Order, OrderDigest) {
    let inbox = format!("_INBOX.kubereach-agent.{agent}.pull");
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    loop {
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{agent}");
        client.publish_with_reply(next, inbox.clone(), "{\"batch\":1,\"expires\":1000000000}".into()).await.unwrap();
        let message = messages.next().await.unwrap();
        if message.status.is_none() {
            let digest = OrderDigest::of(&seal_of(message.headers.as_ref()), &message.payload);
            return (serde_json::from_slice(&message.payload).unwrap(), digest);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The next reply on the subject: its id, and why it is a refusal, if it is.
async fn outcome(replies: &mut Subscriber) -> (String, Option<Refusal>) {
    let message = tokio::time::timeout(Duration::from_secs(10), replies.next()).await.expect("a reply").unwrap();
    let reply: Reply = serde_json::from_slice(&message.payload).unwrap();
    match reply.outcome {
        Outcome::Observed { .. } => (reply.id, None),
        Outcome::Refused { reason, .. } => (reply.id, Some(reason)),
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never was");
}
