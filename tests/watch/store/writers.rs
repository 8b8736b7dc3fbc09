//! One process that writes a file, and what several, or one at a clock that was set back, find to be written.

use std::fs;

use kubereach::watch::{
    config::Storage,
    record::{Round, StageTimes},
    store::{Span, Store, StoreError},
};

use super::{
    faults::{file, sqlite},
    world::{at, batch, cells, round, run},
};

/// By its own name, by a link, and after it was removed.
pub(super) fn it_has_one_writer() {
    let (folder, storage) = file();
    let path = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("history.db", path("link.db")).unwrap();
    let is_busy = |name: &str| match run(Store::open(&sqlite(&path(name)))) {
        Err(StoreError::Busy) => true,
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    };
    run(async {
        let store = Store::open(&storage).await.unwrap();
        let ids = cells(&store, 1).await;
        tokio::task::block_in_place(|| {
            assert!(std::thread::scope(|scope| {
                ["history.db", "link.db"]
                    .map(|name| scope.spawn(move || is_busy(name)))
                    .into_iter()
                    .all(|one| one.join().unwrap())
            }));
        });
        store.commit(&batch(vec![round(ids[0], at(1))])).await.unwrap();
        Store::open_to_read(&sqlite(&path("link.db"))).await.unwrap().close().await;
        // Somebody tidies up while it runs.
        for name in ["history.db", "history.db.lock", "history.db-wal", "history.db-shm"] {
            fs::remove_file(path(name)).unwrap();
        }
        tokio::task::block_in_place(|| {
            assert!(std::thread::scope(|scope| scope.spawn(|| is_busy("history.db")).join().unwrap()));
        });
        store.close().await;
    });
    assert!(!is_busy("link.db"));
}

/// A file has one process, which comes to a slot again only when its clock was set back.
pub(super) fn slot_with_other_times(storage: &Storage, stored: u32) {
    run(async {
        let store = Store::open(storage).await.unwrap();
        let id = cells(&store, 1).await[0];
        let slow = Round { stages: StageTimes::default(), ..round(id, at(1)) };
        for round in [round(id, at(1)), slow.clone(), slow] {
            store.commit(&batch(vec![round])).await.unwrap();
        }
        assert_eq!(store.rounds(id, at(0), at(9), 9).await.unwrap().len(), stored as usize);
        assert_eq!(store.rollups(&[id], Span::Day, at(0), at(9)).await.unwrap()[0].matched, stored);
        store.close().await;
    });
}
