//! Errors and outages: the affected calls fail, nothing that was acknowledged is lost, and later calls
//! succeed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::{at, completions, create, request, store, task};
use crate::error::StoreErrorKind;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::error::SqliteError;
use crate::store::sqlite::file::DatabaseFile;
use crate::store::sqlite::sync::Syncer;
use crate::store::sqlite::write_op::{ClosureOp, ReplyReceiver};
use crate::store::{Filter, Insert, Notifier, Store};
use crate::task::{Json, TaskId};

async fn count(store: &SqliteStore) -> u64 {
    store
        .count(Filter::new(), at(0))
        .await
        .expect("the tasks are counted")
}

#[tokio::test]
async fn a_locked_file_is_a_temporary_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("tasks.db");
    let options = SqliteStore::options(&file).lock_timeout(Duration::from_millis(30));
    let store = options.clone().open("TEST").await.expect("the file is opened");
    create(&store, [task("before", "Mail", None)]).await;

    let other = Connection::open(&file).expect("the file is opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock is taken");
    let error = store
        .create(vec![task("during", "Mail", None)])
        .await
        .expect_err("the file is locked");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("locked by another program"), "{error}");
    assert!(error.to_string().contains("tasks.db"), "{error}");
    let claimed = store.claim(request(&["Mail"], 1, at(0))).await;
    assert!(claimed.expect_err("the file is locked").is_transient());
    let nothing = store.claim(request(&["Other"], 1, at(0))).await;
    assert!(
        nothing
            .expect("a claim takes no lock if nothing is due")
            .claims
            .is_empty()
    );
    let error = options.open("TEST").await.expect_err("the file is locked");
    assert!(error.message.contains("locked by another program"), "{error}");

    other.execute_batch("ROLLBACK").expect("the lock is released");
    create(&store, [task("after", "Mail", None)]).await;
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_full_disk_is_a_temporary_error() {
    let (_directory, store) = store().await;
    create(&store, [task("before", "Mail", None)]).await;
    let pages: i64 = limit_pages(&store, 1).await;
    limit_pages(&store, pages + 20).await;

    let mut large = task("large", "Mail", None);
    large.spec.payload = Json::of(&"x".repeat(1 << 20)).expect("JSON");
    let error = store
        .create(vec![large.clone()])
        .await
        .expect_err("the disk is full");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("the disk is full"), "{error}");
    create(&store, [task("small", "Mail", None)]).await;
    assert_eq!(count(&store).await, 2);

    limit_pages(&store, 1 << 20).await;
    let inserts = store.create(vec![large]).await.expect("the disk has space");
    assert_eq!(inserts, [Insert::New]);
    assert_eq!(count(&store).await, 3);
}

/// Limits the length of the file to this number of pages, or to its current length. Returns the limit.
async fn limit_pages(store: &SqliteStore, pages: i64) -> i64 {
    let limit = store.submit(1, false, move |tx| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        Ok(tx.db.query_row(&sql, [], |row| row.get(0))?)
    });
    store.receive(limit).await.expect("the limit is set")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_operation_does_not_fail_the_others_of_its_batch() {
    let (_directory, store) = store().await;
    let (go, gate) = mpsc::channel::<()>();
    let gate: ReplyReceiver<()> = store.submit(1, false, move |_| {
        let _ = gate.recv();
        Ok(())
    });
    let bad: ReplyReceiver<()> = store.submit(1, true, |tx| {
        tx.db.execute_batch("DELETE FROM tasks")?;
        Err(SqliteError::Corrupt("on purpose".to_owned()))
    });
    let tasks = ["a", "b"].map(|id| task(id, "New", Some("key")));
    let good = store.submit(1, true, move |tx| {
        let env = tx.interner.intern_env(tx.db, "TEST")?;
        crate::store::sqlite::changes::create(tx, env, &tasks)
    });
    drop(go);
    store.receive(gate).await.expect("the operation succeeds");
    let error = store.receive(bad).await.expect_err("the operation fails");
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert_eq!(
        store.receive(good).await.expect("the operation succeeds"),
        [Insert::New, Insert::New]
    );
    assert_eq!(count(&store).await, 2);
    let claimed = store
        .claim(request(&["New"], 9, at(0)))
        .await
        .expect("the claim succeeds");
    assert_eq!(claimed.claims.len(), 1, "one claim of the key");
    store
        .finish(completions(&claimed), at(0))
        .await
        .expect("the claim ends");
}

#[tokio::test]
async fn a_damaged_row_does_not_stop_the_queue() {
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
        .expect("the file is edited");

    let claimed = store
        .claim(request(&["Mail"], 9, at(0)))
        .await
        .expect("the claim succeeds");
    let ids: Vec<_> = claimed
        .claims
        .iter()
        .map(|claim| claim.tasks[0].task.id().as_str())
        .collect();
    assert_eq!(ids, ["b", "d"]);
    let error = store
        .get(vec![TaskId::new("a")])
        .await
        .expect_err("the row is damaged");
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(error.message.contains("`a`"), "{error}");
    store
        .finish(completions(&claimed), at(0))
        .await
        .expect("the claims end");
    let rest = store
        .claim(request(&["Mail"], 9, at(1)))
        .await
        .expect("the claim succeeds");
    assert!(rest.claims.is_empty());
    assert!(rest.next_due[0] > Some(at(1)), "the damaged rows are deferred");
}

#[tokio::test]
async fn after_a_failed_fsync_checkpoints_replace_it() {
    let (_directory, store) = store().await;
    let file = store.shared.file.clone();
    let (sender, committed) = mpsc::channel();
    let (unsyncable, _writer) = std::io::pipe().expect("a pipe");
    let syncer = Syncer::new(File::from(OwnedFd::from(unsyncable)), file.clone(), committed);
    let thread = std::thread::spawn(|| syncer.run());
    let mut results = Vec::new();
    for _ in 0..2 {
        create(&store, [task("a", "Mail", None)]).await;
        let (mut op, reply) = ClosureOp::new(1, true, Arc::new(Notifier::default()), |_| Ok(()));
        op.result = Some(());
        sender.send(vec![Box::new(op)]).expect("the thread runs");
        results.push(reply.await.expect("the operation is settled"));
    }
    drop(sender);
    thread.join().expect("the thread ends after its sender");
    let error = results.remove(0).expect_err("a pipe cannot be synced");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("did not confirm"), "{error}");
    results.remove(0).expect("the checkpoint succeeds");
    let (frames, copied) = log_frames(&file);
    assert_eq!(frames, copied);
}

#[tokio::test]
async fn the_log_is_restarted_under_constant_load() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut options = SqliteStore::options(directory.path().join("tasks.db"));
    options.checkpoint_pages = 100;
    let store = options.open("TEST").await.expect("the file is opened");
    let mut longest = 0;
    for round in 0.. {
        assert!(
            round < 10_000,
            "the log has {longest} pages and was never restarted"
        );
        let mut large = task(&format!("task-{round}"), "Mail", None);
        large.spec.payload = Json::of(&"x".repeat(20_000)).expect("JSON");
        create(&store, [large]).await;
        let (pages, _) = log_frames(&store.shared.file);
        if pages < longest {
            return;
        }
        longest = pages;
    }
}

/// Returns the number of frames in the log, and the number of those that are copied to the database.
fn log_frames(file: &DatabaseFile) -> (i32, i32) {
    let db = file.connect().expect("the file is opened");
    let mode = rusqlite::wal::CheckpointMode::NOOP;
    db.wal_checkpoint_v2(Some("main"), mode)
        .expect("the log is inspected")
}
