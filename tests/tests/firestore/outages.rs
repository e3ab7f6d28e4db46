//! What becomes of a worker when Firestore does not answer. These tests have an emulator of their own.

use std::time::Duration;

use chrono::Utc;
use oncetask::store::{FirestoreStore, Store as _, Topic};
use oncetask::{Client, StoreErrorKind};
use tests::emulator::Emulator;
use tests::proxy::{ConnectionState, Proxy};

use crate::world::{PATIENCE, Project, claim, complete, rung, task, tasks, until};

crate::tests! {
    a_frozen_server_loses_nothing,
    a_server_that_comes_back_is_found,
    a_connection_that_has_gone_deaf_is_replaced,
    a_wait_whose_stream_has_gone_deaf_ends,
    no_emulator_says_how_to_start_one,
    a_database_is_named_as_it_must_be,
}

async fn own() -> (Emulator, Project) {
    let emulator = tokio::task::spawn_blocking(Emulator::start)
        .await
        .expect("no panic");
    let emulator = emulator.expect("an emulator");
    let project = Project::on(emulator.host());
    (emulator, project)
}

async fn impatient(project: &Project) -> FirestoreStore {
    // A fresh emulator is slow with its first answers.
    let patient = project.connect().await;
    patient.create(vec![task("warm", "Warm")]).await.expect("created");
    assert_eq!(claim(&patient, "Warm", 1).await.len(), 1);
    let options = project.options();
    let options = options.timeouts(Duration::from_secs(1), Duration::from_secs(3));
    options.open("DEFAULT").await.expect("the emulator answers")
}

async fn a_frozen_server_loses_nothing() {
    let (emulator, project) = own().await;
    let store = impatient(&project).await;
    store.create(tasks(20, "K")).await.expect("created");
    let held = claim(&store, "K", 10).await;
    emulator.signal("STOP");
    // Each request is given up in time, and says what is wrong.
    let error = store
        .create(vec![task("late", "K")])
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(
        error.message.contains("gcloud emulators firestore start"),
        "{error}"
    );
    let finishes = || held.iter().map(complete).collect();
    assert!(store.finish(finishes(), Utc::now()).await.is_err());
    emulator.signal("CONT");
    // The first attempts may be carried out late; they are recognised as our own.
    until("the completions are accepted", async || {
        match store.finish(finishes(), Utc::now()).await {
            Ok(finished) => {
                assert_eq!(finished, vec![Ok(()); 10]);
                true
            }
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                false
            }
        }
    })
    .await;
    let again = store
        .create(vec![task("late", "K")])
        .await
        .expect("it answers again");
    assert_eq!(again.len(), 1);
    for held in &held {
        let stored = store
            .get(vec![held.task.id().clone()])
            .await
            .expect("read")
            .remove(0);
        let stored = stored.expect("a task");
        assert!(stored.is_done());
        assert_eq!((stored.attempts(), stored.errors().len()), (1, 0));
    }
    let rest = claim(&store, "K", 100).await;
    assert!(rest.len() >= 10, "the others are claimed");
}

async fn a_server_that_comes_back_is_found() {
    let (emulator, project) = own().await;
    let store = impatient(&project).await;
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    until("it listens", async || store.is_listening()).await;
    let port = project
        .host
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    drop(emulator);
    until("it is gone", async || {
        let answer = store.get(vec!["a".into()]).await;
        answer.is_err_and(|error| error.is_transient())
    })
    .await;
    let emulator = tokio::task::spawn_blocking(move || Emulator::start_at(port)).await;
    let _emulator = emulator.expect("no panic").expect("an emulator");
    // The emulator has forgotten everything; the worker has not forgotten how to work.
    until("it listens again", async || store.is_listening()).await;
    let other = project.connect().await;
    other.create(vec![task("a", "K")]).await.expect("created");
    let mut held = Vec::new();
    while held.is_empty() {
        rung(&mut subscription).await;
        held = claim(&store, "K", 1).await;
    }
    let finished = store.finish(vec![complete(&held[0])], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
}

async fn a_connection_that_has_gone_deaf_is_replaced() {
    let patient = Project::new();
    patient
        .connect()
        .await
        .create(vec![task("warm", "Warm")])
        .await
        .expect("created");
    for state in [ConnectionState::LosesReplies, ConnectionState::LosesRequests] {
        let proxy = Proxy::start(patient.host.clone()).await.expect("a port");
        let options = Project::on(proxy.host()).options();
        let options = options
            .timeouts(Duration::from_secs(2), PATIENCE / 2)
            .listen(false);
        let store = options.open("DEFAULT").await.expect("the emulator answers");
        store.create(vec![task("before", "K")]).await.expect("created");
        assert!(proxy.disturb(state, &mut fastrand::Rng::new(), 1.0) > 0);
        // Nobody closes the connection: only its silence tells.
        store
            .create(vec![task("after", "K")])
            .await
            .expect("created, by another connection");
        assert_eq!(claim(&store, "K", 5).await.len(), 2, "{fate:?}");
    }
}

async fn a_wait_whose_stream_has_gone_deaf_ends() {
    let project = Project::new();
    let worker = project.connect().await;
    worker.create(vec![task("a", "K")]).await.expect("created");
    let proxy = Proxy::start(project.host.clone()).await.expect("a port");
    let through = Project {
        host: proxy.host().to_owned(),
        ..project
    };
    let options = through.options().timeouts(Duration::from_secs(2), PATIENCE / 2);
    let store = options.open("DEFAULT").await.expect("the emulator answers");
    let before = store.usage().reads;
    let client = Client::new(store.clone());
    let waiting = tokio::spawn(async move { client.wait(&"a".into()).await });
    // Who waits has read the task, and its stream has told of it.
    until("it listens", async || store.usage().reads >= before + 2).await;
    assert!(proxy.disturb(ConnectionState::LosesReplies, &mut fastrand::Rng::new(), 1.0) > 0);
    let held = claim(&worker, "K", 1).await;
    let finished = worker.finish(vec![complete(&held[0])], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
    let ended = tokio::time::timeout(PATIENCE, waiting).await;
    let ended = ended.expect("it is looked for").expect("no panic");
    assert!(ended.expect("completed").is_done());
}

async fn no_emulator_says_how_to_start_one() {
    // Port 1 is nobody's.
    let nobody = Project::on("127.0.0.1:1");
    let error = nobody
        .options()
        .open("DEFAULT")
        .await
        .expect_err("nobody is there");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("firestore://{}", nobody.id)),
        "{message}"
    );
    assert!(
        message.contains("gcloud emulators firestore start --host-port=127.0.0.1:1"),
        "{message}"
    );
}

async fn a_database_is_named_as_it_must_be() {
    let options = || FirestoreStore::options("p").emulator("127.0.0.1:1");
    for (options, expected) in [
        (FirestoreStore::options(""), "the project is missing"),
        (options().database("a/b"), "no `/`"),
        (options().collection(""), "a collection has a name"),
    ] {
        let error = options.open("DEFAULT").await.expect_err("it is wrong");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        assert!(error.message.contains(expected), "{error}");
    }
    let error = options().open("").await.expect_err("it is wrong");
    assert!(error.message.contains("the environment is empty"), "{error}");
}
