//! Writes whose replies are lost. The store repeats each write, and recognises that the first one was applied.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use chrono::{TimeDelta, Utc};
use oncetask::store::{Action, FirestoreStore, Insert, Renewed, Store as _};
use oncetask::task::transition::Change;
use tests::harness::claims::{claim, complete, extension, keyed_task, task, tasks};
use tests::harness::firestore::{Project, emulator};

crate::tests! {
    a_task_is_created_once,
    a_task_is_claimed_once,
    a_key_is_claimed_once,
    a_completion_is_accepted_once,
    a_lease_is_renewed_once,
    a_change_is_made_once,
}

/// A proxy between the store and the emulator that can lose a reply. With the reply it closes the connection.
struct LossyProxy {
    host: String,
    /// The number, from 1, of the reply among the next ones that is lost; 0 if none is.
    loses: Arc<AtomicUsize>,
}

/// The minimum size of a reply. Smaller messages are control frames of HTTP/2.
const REPLY_BYTES: usize = 64;

impl LossyProxy {
    fn new(server: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let loses = Arc::new(AtomicUsize::new(0));
        let shared = loses.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).expect("the emulator accepts connections");
                let copy = |stream: &TcpStream| stream.try_clone().expect("a second handle");
                let (from_client, to_server) = (copy(&client), copy(&server));
                thread::spawn(move || forward(from_client, to_server, &AtomicUsize::new(0)));
                let loses = shared.clone();
                thread::spawn(move || forward(server, client, &loses));
            }
        });
        Self { host, loses }
    }

    /// Loses the next reply.
    fn lose_next_reply(&self) {
        self.lose_reply(1);
    }

    /// Loses the reply with this number among the next ones, from 1.
    fn lose_reply(&self, number: usize) {
        self.loses.store(number, SeqCst);
    }

    fn assert_lost(&self) {
        let left = self.loses.load(SeqCst);
        assert_eq!(left, 0, "no reply was lost, so the test has no effect");
    }
}

/// Forwards one direction of a connection until it ends or a reply is lost.
fn forward(mut from: TcpStream, mut to: TcpStream, loses: &AtomicUsize) {
    let mut bytes = [0; 16 * 1024];
    // The number of bytes since the last reply.
    let mut received = 0;
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let left = loses.load(SeqCst);
        received += if left > 0 { length } else { 0 };
        if left == 1 {
            if received < REPLY_BYTES {
                continue;
            }
            loses.store(0, SeqCst);
            break;
        }
        if left > 1 && received >= REPLY_BYTES {
            received = 0;
            loses.store(left - 1, SeqCst);
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

async fn connect() -> (LossyProxy, FirestoreStore) {
    let proxy = LossyProxy::new(emulator());
    let store = Project::on(&proxy.host).connect().await;
    (proxy, store)
}

async fn a_task_is_created_once() {
    let (proxy, store) = connect().await;
    proxy.lose_next_reply();
    assert_eq!(
        store
            .create(vec![task("a", "K")])
            .await
            .expect("the store answers"),
        [Insert::New]
    );
    proxy.assert_lost();
    proxy.lose_next_reply();
    let inserts = store.create(tasks(30, "K")).await.expect("the store answers");
    assert_eq!(inserts, vec![Insert::New; 30]);
    proxy.assert_lost();
    let again = store
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    assert!(
        matches!(again[0], Insert::Existing(_)),
        "another create of the id is not a repetition"
    );
}

async fn a_task_is_claimed_once() {
    let (proxy, store) = connect().await;
    store.create(tasks(20, "K")).await.expect("the store answers");
    // The first claim reads the window. The lost reply is the one to the writes of the second claim.
    assert_eq!(claim(&store, "K", 1).await.len(), 1);
    proxy.lose_next_reply();
    let claimed = claim(&store, "K", 10).await;
    proxy.assert_lost();
    assert_eq!(claimed.len(), 10);
    for claimed in &claimed {
        let stored = store
            .get(vec![claimed.task.id().clone()])
            .await
            .expect("the store answers")
            .remove(0);
        let stored = stored.expect("a task");
        assert_eq!((stored.attempts(), stored.errors().len()), (1, 0));
        assert_eq!(stored.state.lease, claimed.task.state.lease);
        let finished = store.finish(vec![complete(claimed)], Utc::now()).await;
        assert_eq!(finished.expect("the store answers"), [Ok(())]);
    }
}

async fn a_key_is_claimed_once() {
    let (proxy, store) = connect().await;
    let all = (0..3).map(|n| keyed_task(&format!("{n}"), "K", "k"));
    store.create(all.collect()).await.expect("the store answers");
    // The first reply is the window of the queue, the second one is for the claim.
    proxy.lose_reply(2);
    let claimed = claim(&store, "K", 5).await;
    proxy.assert_lost();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].task.attempts(), 1);
    assert!(claim(&store, "K", 5).await.is_empty());
}

async fn a_completion_is_accepted_once() {
    let (proxy, store) = connect().await;
    store.create(tasks(10, "K")).await.expect("the store answers");
    let claimed = claim(&store, "K", 10).await;
    let (first, rest) = claimed.split_first().expect("ten claims");
    proxy.lose_next_reply();
    let finished = store.finish(vec![complete(first)], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
    proxy.assert_lost();
    proxy.lose_next_reply();
    let finished = store
        .finish(rest.iter().map(complete).collect(), Utc::now())
        .await;
    assert_eq!(finished.expect("the store answers"), vec![Ok(()); 9]);
    proxy.assert_lost();
    // A second call is not a repetition: the first one was answered. It is refused.
    let again = store.finish(vec![complete(first)], Utc::now()).await;
    assert!(again.expect("the store answers")[0].is_err());
}

async fn a_lease_is_renewed_once() {
    let (proxy, store) = connect().await;
    store
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let claimed = claim(&store, "K", 1).await.remove(0);
    let until = oncetask::task::whole_millis(Utc::now() + TimeDelta::minutes(2));
    proxy.lose_next_reply();
    let renewed = store.renew(vec![extension(&claimed, until)], Utc::now()).await;
    assert_eq!(renewed.expect("the store answers"), [Renewed::Held]);
    proxy.assert_lost();
    let finished = store.finish(vec![complete(&claimed)], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
}

async fn a_change_is_made_once() {
    let (proxy, store) = connect().await;
    store
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    for action in [Action::Cancel, Action::Delete] {
        // The first reply is the document, the second one is for the change.
        proxy.lose_reply(2);
        let changed = store.change(vec!["a".into()], action.clone(), Utc::now()).await;
        assert_eq!(
            changed.expect("the store answers"),
            [Change::Applied],
            "{action:?}"
        );
        proxy.assert_lost();
    }
    assert_eq!(
        store.get(vec!["a".into()]).await.expect("the store answers"),
        [None]
    );
}
