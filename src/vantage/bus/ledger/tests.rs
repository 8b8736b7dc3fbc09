//! Orders end once.

use kubereach_agent::{PROTOCOL, Refusal};
use kubereach_probes::Observation;

use super::*;

fn order(id: &str) -> Issued {
    Issued {
        id: id.to_owned(),
        agent: "a".to_owned(),
        key: "U".to_owned(),
        expires_at: Timestamp::UNIX_EPOCH,
        after: 3,
        digest: "d".to_owned(),
        payload: "{}".to_owned(),
    }
}

fn reply(id: &str, outcome: Outcome) -> Reply {
    Reply { protocol: PROTOCOL, id: id.to_owned(), agent: "a".to_owned(), finished_at: Timestamp::now(), outcome }
}

fn seen(id: &str) -> Reply {
    reply(id, Outcome::Observed { observation: Box::new(Observation::default()) })
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_and_still_counted() {
    let ledger = Ledger::in_memory();
    let mut endings = Vec::new();
    for id in ["1", "2", "3"] {
        endings.push(ledger.issue(order(id)).await.unwrap());
    }
    ledger.replied("1", seen("1")).await.unwrap();
    ledger.expire("2");
    ledger.lock().forget(Instant::now() + REMEMBERED / 2);
    assert_eq!(ledger.replied("2", seen("2")).await, Some(Taken::Late));
    ledger.lock().forget(Instant::now() + REMEMBERED + Duration::from_secs(1));
    assert!(!ledger.knows("1") && !ledger.knows("2") && ledger.knows("3"));
    assert!(ledger.lock().ended.is_empty());
    assert_eq!(ledger.replied("1", seen("1")).await, None);
    let tally = ledger.tally();
    assert_eq!((tally.issued, tally.observed, tally.expired, tally.outstanding), (3, 1, 1, 1));
}

#[tokio::test]
async fn every_order_ends_once_and_what_comes_late_is_late() {
    let ledger = Ledger::in_memory();
    let mut endings = Vec::new();
    for id in ["1", "2", "3", "4"] {
        endings.push(ledger.issue(order(id)).await.unwrap());
    }
    assert!(ledger.issue(order("1")).await.is_err(), "an id is used once");
    assert_eq!(ledger.replied("1", seen("1")).await, Some(Taken::First));
    assert_eq!(ledger.replied("1", seen("1")).await, Some(Taken::Again));
    let refused = Outcome::Refused { reason: Refusal::Busy, detail: String::new() };
    assert_eq!(ledger.replied("2", reply("2", refused)).await, Some(Taken::First));
    ledger.reject(Some("3"), "bad-signature");
    assert_eq!(ledger.expire("3"), BTreeMap::from([("bad-signature".to_owned(), 1)]));
    ledger.expire("3");
    assert_eq!(ledger.replied("3", seen("3")).await, Some(Taken::Late));
    // Ended is ended: it expires no more.
    ledger.expire("1");
    assert_eq!(ledger.replied("stranger", seen("stranger")).await, None);
    let tally = ledger.tally();
    assert_eq!((tally.issued, tally.observed, tally.refused, tally.expired), (4, 1, 1, 1));
    assert_eq!((tally.outstanding, tally.late, tally.repeated), (1, 1, 1));
    assert!(matches!(endings.remove(0).await, Ok(Ending::Replied(_))));
}

#[tokio::test]
async fn a_ledger_on_disk_is_taken_up_where_it_was_left_torn_line_and_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    let ledger = Ledger::open(&file).unwrap();
    assert!(Ledger::open(&file).is_err(), "two controllers with one ledger");
    for id in ["1", "2", "3"] {
        ledger.issue(order(id)).await.unwrap();
    }
    ledger.replied("1", seen("1")).await;
    ledger.expire("2");
    ledger.replied("2", seen("2")).await;
    drop(ledger);
    let reopened = || async {
        // The thread that writes lets go of the file soon after.
        for _ in 0..100 {
            if let Ok(ledger) = Ledger::open(&file) {
                return ledger;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ledger::open(&file).unwrap()
    };
    drop(reopened().await);
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"ended\":{\"id\":\"3\",").unwrap();
    let ledger = reopened().await;
    let expected = Tally { issued: 3, observed: 1, expired: 1, outstanding: 1, late: 1, ..Tally::default() };
    assert_eq!(ledger.tally(), expected);
    assert_eq!(ledger.outstanding(), [order("3")]);
    let ending = ledger.take_up("3").unwrap();
    assert!(ledger.take_up("1").is_none() && ledger.knows("1"));
    ledger.replied("3", seen("3")).await;
    assert!(matches!(ending.await, Ok(Ending::Replied(_))));
    drop(ledger);
    let ledger = reopened().await;
    assert_eq!((ledger.tally().observed, ledger.tally().outstanding), (2, 0));
    drop(ledger);
    for _ in 0..100 {
        if compact(&file, Timestamp::now()).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(reopened().await.tally(), Tally::default());
}
