//! Writes whose replies are lost: each is repeated, and recognises that it was made.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use chrono::{TimeDelta, Utc};
use oncetask::store::{Action, FirestoreStore, Insert, Renewal, Renewed, Store as _};
use oncetask::task::transition::Change;

use crate::world::{Project, claim, complete, emulator, keyed, task, tasks};

crate::tests! {
    a_task_is_created_once,
    a_task_is_claimed_once,
    a_key_is_claimed_once,
    a_completion_is_accepted_once,
    a_claim_is_extended,
    a_change_is_made_once,
}

/// Between the store and the emulator: it passes on all that is said, until it is told to lose a reply.
struct Line {
    host: String,
    /// Which of the next replies is lost; 0 for none.
    loses: Arc<AtomicUsize>,
}

/// What is shorter is no reply but talk of the protocol.
const REPLY_BYTES: usize = 64;

impl Line {
    fn new(server: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let loses = Arc::new(AtomicUsize::new(0));
        let shared = loses.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).expect("the emulator answers");
                let copy = |stream: &TcpStream| stream.try_clone().expect("a second handle");
                let (from_client, to_server) = (copy(&client), copy(&server));
                thread::spawn(move || pass_on(from_client, to_server, &AtomicUsize::new(0)));
                let loses = shared.clone();
                thread::spawn(move || pass_on(server, client, &loses));
            }
        });
        Self { host, loses }
    }

    /// The next reply is lost, and the connection with it.
    fn lose_a_reply(&self) {
        self.lose_reply(1);
    }

    /// One of the next replies is lost, counted from one.
    fn lose_reply(&self, number: usize) {
        self.loses.store(number, SeqCst);
    }

    fn has_lost_it(&self) {
        let left = self.loses.load(SeqCst);
        assert_eq!(left, 0, "no reply was lost: the test proves nothing");
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, loses: &AtomicUsize) {
    let mut bytes = [0; 16 * 1024];
    // What was said since the last reply was complete.
    let mut said = 0;
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let left = loses.load(SeqCst);
        said += if left > 0 { length } else { 0 };
        if left == 1 {
            if said < REPLY_BYTES {
                continue;
            }
            loses.store(0, SeqCst);
            break;
        }
        if left > 1 && said >= REPLY_BYTES {
            said = 0;
            loses.store(left - 1, SeqCst);
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

async fn line() -> (Line, FirestoreStore) {
    let line = Line::new(emulator());
    let store = Project::on(&line.host).connect().await;
    (line, store)
}

async fn a_task_is_created_once() {
    let (line, store) = line().await;
    line.lose_a_reply();
    assert_eq!(
        store.create(vec![task("a", "K")]).await.expect("created"),
        [Insert::New]
    );
    line.has_lost_it();
    line.lose_a_reply();
    let inserts = store.create(tasks(30, "K")).await.expect("created");
    assert_eq!(inserts, vec![Insert::New; 30]);
    line.has_lost_it();
    let again = store.create(vec![task("a", "K")]).await.expect("answered");
    assert!(
        matches!(again[0], Insert::Existing(_)),
        "another one is another one"
    );
}

async fn a_task_is_claimed_once() {
    let (line, store) = line().await;
    store.create(tasks(20, "K")).await.expect("created");
    // The window is read, the reply to the writes that claim is lost.
    assert_eq!(claim(&store, "K", 1).await.len(), 1);
    line.lose_a_reply();
    let held = claim(&store, "K", 10).await;
    line.has_lost_it();
    assert_eq!(held.len(), 10);
    for held in held {
        let stored = store
            .get(vec![held.task.id().clone()])
            .await
            .expect("read")
            .remove(0);
        let stored = stored.expect("a task");
        assert_eq!((stored.attempts(), stored.errors().len()), (1, 0));
        assert_eq!(stored.state.lease, held.task.state.lease);
        let finished = store.finish(vec![complete(&held)], Utc::now()).await;
        assert_eq!(finished.expect("answered"), [Ok(())]);
    }
}

async fn a_key_is_claimed_once() {
    let (line, store) = line().await;
    let all = (0..3).map(|n| keyed(&format!("{n}"), "K", "k"));
    store.create(all.collect()).await.expect("created");
    // The first reply is what the queue holds, the second is about the claim.
    line.lose_reply(2);
    let held = claim(&store, "K", 5).await;
    line.has_lost_it();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].task.attempts(), 1);
    assert!(claim(&store, "K", 5).await.is_empty());
}

async fn a_completion_is_accepted_once() {
    let (line, store) = line().await;
    store.create(tasks(10, "K")).await.expect("created");
    let held = claim(&store, "K", 10).await;
    let (first, rest) = held.split_first().expect("ten");
    line.lose_a_reply();
    let finished = store.finish(vec![complete(first)], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
    line.has_lost_it();
    line.lose_a_reply();
    let finished = store
        .finish(rest.iter().map(complete).collect(), Utc::now())
        .await;
    assert_eq!(finished.expect("answered"), vec![Ok(()); 9]);
    line.has_lost_it();
    // Told twice it is refused: the worker knows the answer to the first.
    let again = store.finish(vec![complete(first)], Utc::now()).await;
    assert!(again.expect("answered")[0].is_err());
}

async fn a_claim_is_extended() {
    let (line, store) = line().await;
    store.create(vec![task("a", "K")]).await.expect("created");
    let held = claim(&store, "K", 1).await.remove(0);
    let renewal = |minutes| Renewal {
        id: "a".into(),
        token: complete(&held).token,
        until: Some(oncetask::task::whole_millis(
            Utc::now() + TimeDelta::minutes(minutes),
        )),
        progress: None,
    };
    line.lose_a_reply();
    let renewed = store.renew(vec![renewal(2)], Utc::now()).await;
    assert_eq!(renewed.expect("answered"), [Renewed::Held]);
    line.has_lost_it();
    let finished = store.finish(vec![complete(&held)], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
}

async fn a_change_is_made_once() {
    let (line, store) = line().await;
    store.create(vec![task("a", "K")]).await.expect("created");
    for action in [Action::Cancel, Action::Delete] {
        // The first reply is the document, the second is about the change.
        line.lose_reply(2);
        let changed = store.change(vec!["a".into()], action.clone(), Utc::now()).await;
        assert_eq!(changed.expect("answered"), [Change::Applied], "{action:?}");
        line.has_lost_it();
    }
    assert_eq!(store.get(vec!["a".into()]).await.expect("read"), [None]);
}
