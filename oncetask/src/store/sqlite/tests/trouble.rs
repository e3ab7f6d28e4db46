//! Trouble passes: what it hit is told, nothing that was acknowledged is lost, and the store goes on.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{at, completions, create, request, store, task};
use crate::error::StoreErrorKind;
use crate::store::sqlite::file::Place;
use crate::store::sqlite::sync::Syncer;
use crate::store::sqlite::trouble::Trouble;
use crate::store::sqlite::writer::Op;
use crate::store::sqlite::{Reply, SqliteStore};
use crate::store::{Filter, Insert, Notifier, Store};
use crate::task::{Json, TaskId};

async fn count(store: &SqliteStore) -> u64 {
    store.count(Filter::new(), at(0)).await.expect("they are counted")
}

#[tokio::test]
async fn a_locked_file_is_an_error_that_passes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tasks.db");
    let options = SqliteStore::options(&file).lock_timeout(Duration::from_millis(30));
    let store = options.clone().open("TEST").await.expect("it is opened");
    create(&store, [task("before", "Mail", None)]).await;

    let other = Connection::open(&file).expect("another program");
    other.execute_batch("BEGIN IMMEDIATE").expect("it takes the lock");
    let error = store
        .create(vec![task("during", "Mail", None)])
        .await
        .expect_err("it is locked");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("locked by another program"), "{error}");
    assert!(error.to_string().contains("tasks.db"), "{error}");
    let claimed = store.claim(request(&["Mail"], 1, at(0))).await;
    assert!(claimed.expect_err("it is locked").is_transient());
    let nothing = store.claim(request(&["Other"], 1, at(0))).await;
    assert!(
        nothing
            .expect("nothing is due, which takes no lock")
            .claims
            .is_empty()
    );
    let error = options.open("TEST").await.expect_err("it is locked");
    assert!(error.message.contains("locked by another program"), "{error}");

    other.execute_batch("ROLLBACK").expect("it lets go");
    create(&store, [task("after", "Mail", None)]).await;
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_passes() {
    let (_directory, store) = store().await;
    create(&store, [task("before", "Mail", None)]).await;
    let room: i64 = limit(&store, 1).await;
    limit(&store, room + 20).await;

    let mut large = task("large", "Mail", None);
    large.spec.payload = Json::of(&"x".repeat(1 << 20)).expect("JSON");
    let error = store
        .create(vec![large.clone()])
        .await
        .expect_err("there is no room");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("the disk is full"), "{error}");
    create(&store, [task("small", "Mail", None)]).await;
    assert_eq!(count(&store).await, 2);

    limit(&store, 1 << 20).await;
    let inserts = store.create(vec![large]).await.expect("there is room");
    assert_eq!(inserts, [Insert::New]);
    assert_eq!(count(&store).await, 3);
}

/// Gives the writer no more than so many pages, or what the file has; returns how many.
async fn limit(store: &SqliteStore, pages: i64) -> i64 {
    let limit = store.submit(1, false, move |tx| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        Ok(tx.db.query_row(&sql, [], |row| row.get(0))?)
    });
    store.answer(limit).await.expect("the limit is set")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_goes_wrong_takes_none_of_its_batch_with_it() {
    let (_directory, store) = store().await;
    let (go, gate) = mpsc::channel::<()>();
    let gate: Reply<()> = store.submit(1, false, move |_| {
        let _ = gate.recv();
        Ok(())
    });
    let bad: Reply<()> = store.submit(1, true, |tx| {
        tx.db.execute_batch("DELETE FROM tasks")?;
        Err(Trouble::Corrupt("on purpose".to_owned()))
    });
    let names = ["a", "b"].map(|id| task(id, "New", Some("key")));
    let good = store.submit(1, true, move |tx| {
        let env = tx.names.new_env(tx.db, "TEST")?;
        crate::store::sqlite::changes::create(tx, env, &names)
    });
    drop(go);
    store.answer(gate).await.expect("it is done");
    let error = store.answer(bad).await.expect_err("it went wrong");
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert_eq!(
        store.answer(good).await.expect("it is done"),
        [Insert::New, Insert::New]
    );
    assert_eq!(count(&store).await, 2);
    let claimed = store
        .claim(request(&["New"], 9, at(0)))
        .await
        .expect("it is claimed");
    assert_eq!(claimed.claims.len(), 1, "one of the key");
    store.finish(completions(&claimed), at(0)).await.expect("it ends");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_stop_the_queue() {
    let (directory, store) = store().await;
    let keyed = ["c", "d"].map(|id| task(id, "Mail", Some("key")));
    create(
        &store,
        [task("a", "Mail", None), task("b", "Mail", None)]
            .into_iter()
            .chain(keyed),
    )
    .await;
    Connection::open(directory.path().join("tasks.db"))
        .and_then(|db| db.execute("UPDATE tasks SET errors = 'oops' WHERE id IN ('a', 'c')", []))
        .expect("somebody edits the file");

    let claimed = store
        .claim(request(&["Mail"], 9, at(0)))
        .await
        .expect("it is claimed");
    let ids: Vec<_> = claimed
        .claims
        .iter()
        .map(|claim| claim.tasks[0].task.id().as_str())
        .collect();
    assert_eq!(ids, ["b", "d"]);
    let error = store
        .get(vec![TaskId::new("a")])
        .await
        .expect_err("it cannot be read");
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(error.message.contains("`a`"), "{error}");
    store
        .finish(completions(&claimed), at(0))
        .await
        .expect("they end");
    let rest = store
        .claim(request(&["Mail"], 9, at(1)))
        .await
        .expect("nothing is left");
    assert!(rest.claims.is_empty());
    assert!(rest.next_due[0] > Some(at(1)), "they are put off");
}

#[tokio::test]
async fn after_a_failed_sync_a_checkpoint_stands_in() {
    let (_directory, store) = store().await;
    let place = store.shared.place.clone();
    let (committed, inbox) = mpsc::channel();
    let (unsyncable, _writer) = std::io::pipe().expect("a pipe");
    let syncer = Syncer {
        log: File::from(OwnedFd::from(unsyncable)),
        place: place.clone(),
        committed: inbox,
        instead: None,
    };
    let thread = std::thread::spawn(|| syncer.run());
    let mut answers = Vec::new();
    for _ in 0..2 {
        create(&store, [task("a", "Mail", None)]).await;
        let (reply, receiver) = oneshot::channel();
        let op: Op<()> = Op {
            act: Box::new(|_| Ok(())),
            look: None,
            weight: 1,
            durable: true,
            notifier: Arc::new(Notifier::default()),
            answer: Some(()),
            ended: Vec::new(),
            reply,
        };
        committed.send(vec![Box::new(op)]).expect("it works");
        answers.push(receiver.await.expect("it is answered"));
    }
    drop(committed);
    thread.join().expect("it ends when the writer has");
    let error = answers.remove(0).expect_err("a pipe cannot be synced");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("did not confirm"), "{error}");
    answers.remove(0).expect("the checkpoint is done");
    let (frames, copied) = log(&place);
    assert_eq!(frames, copied);
}

#[tokio::test]
async fn the_log_is_started_anew_under_constant_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = SqliteStore::options(directory.path().join("tasks.db"));
    options.checkpoint_from = 100;
    let store = options.open("TEST").await.expect("it is opened");
    let mut longest = 0;
    for round in 0.. {
        assert!(round < 10_000, "the log has {longest} pages and only grows");
        let mut large = task(&format!("task-{round}"), "Mail", None);
        large.spec.payload = Json::of(&"x".repeat(20_000)).expect("JSON");
        create(&store, [large]).await;
        let (pages, _) = log(&store.shared.place);
        if pages < longest {
            return;
        }
        longest = pages;
    }
}

/// How many frames the log has, and how many of them are in the database.
fn log(place: &Place) -> (i32, i32) {
    let db = place.connect().expect("it is opened");
    let mode = rusqlite::wal::CheckpointMode::NOOP;
    db.wal_checkpoint_v2(Some("main"), mode).expect("it is looked at")
}
