//! Outages of Firestore: frozen and restarted servers, silent connections. Tests that stop a server have an emulator
//! of their own.

use std::time::Duration;

use chrono::Utc;
use oncetask::store::{FirestoreStore, Store as _, Topic};
use oncetask::{Client, StoreErrorKind};
use tests::emulator::Emulator;
use tests::harness::claims::{claim, complete, task, tasks};
use tests::harness::firestore::{Project, notified};
use tests::harness::wait::{TIMEOUT, until_async};
use tests::proxy::{ConnectionState, Proxy};

crate::tests! {
    a_frozen_server_loses_nothing,
    the_store_reconnects_to_a_restarted_server,
    a_silent_connection_is_replaced,
    a_wait_ends_although_its_stream_is_silent,
    a_missing_emulator_is_reported_with_its_start_command,
    invalid_names_are_refused,
}

/// Starts an emulator for one test.
async fn own_emulator() -> (Emulator, Project) {
    let emulator = tokio::task::spawn_blocking(Emulator::start)
        .await
        .expect("no panic");
    let emulator = emulator.expect("the emulator starts");
    let project = Project::on(emulator.host());
    (emulator, project)
}

/// Opens a store with short timeouts.
async fn with_short_timeouts(project: &Project) -> FirestoreStore {
    // The first answers of a new emulator take a long time.
    let store = project.connect().await;
    store
        .create(vec![task("warm", "Warm")])
        .await
        .expect("the store answers");
    assert_eq!(claim(&store, "Warm", 1).await.len(), 1);
    let options = project.options();
    let options = options.timeouts(Duration::from_secs(1), Duration::from_secs(3));
    options.open("DEFAULT").await.expect("the emulator answers")
}

async fn a_frozen_server_loses_nothing() {
    let (emulator, project) = own_emulator().await;
    let store = with_short_timeouts(&project).await;
    store.create(tasks(20, "K")).await.expect("the store answers");
    let claimed = claim(&store, "K", 10).await;
    emulator.signal("STOP");
    // On a loaded machine the threads of the emulator stop slightly later than the signal is sent.
    until_async("the emulator is frozen", async || {
        store.get(vec!["late".into()]).await.is_err()
    })
    .await;
    // Each request fails within its timeout.
    let error = store
        .create(vec![task("late", "K")])
        .await
        .expect_err("the server is frozen");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(
        error.message.contains("gcloud emulators firestore start"),
        "{error}"
    );
    let finishes = || claimed.iter().map(complete).collect();
    assert!(store.finish(finishes(), Utc::now()).await.is_err());
    emulator.signal("CONT");
    // The emulator may apply the first requests late. The repetitions recognise them.
    until_async("the completions are accepted", async || {
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
        .expect("the store answers again");
    assert_eq!(again.len(), 1);
    for claimed in &claimed {
        let stored = store
            .get(vec![claimed.task.id().clone()])
            .await
            .expect("the store answers")
            .remove(0);
        let stored = stored.expect("a task");
        assert!(stored.is_done());
        assert_eq!((stored.attempts(), stored.errors().len()), (1, 0));
    }
    let rest = claim(&store, "K", 100).await;
    assert!(rest.len() >= 10, "the others are claimed");
}

async fn the_store_reconnects_to_a_restarted_server() {
    let (emulator, project) = own_emulator().await;
    let store = with_short_timeouts(&project).await;
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    until_async("the store listens", async || store.is_listening()).await;
    let port = project
        .host
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("the address has a port");
    drop(emulator);
    until_async("requests fail", async || {
        let answer = store.get(vec!["a".into()]).await;
        answer.is_err_and(|error| error.is_transient())
    })
    .await;
    let emulator = tokio::task::spawn_blocking(move || Emulator::start_at(port)).await;
    let _emulator = emulator.expect("no panic").expect("the emulator starts");
    // The new emulator is empty. The store works with it without being opened again.
    until_async("the store listens again", async || store.is_listening()).await;
    let other = project.connect().await;
    other
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let mut claimed = Vec::new();
    while claimed.is_empty() {
        notified(&mut subscription).await;
        claimed = claim(&store, "K", 1).await;
    }
    let finished = store.finish(vec![complete(&claimed[0])], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
}

async fn a_silent_connection_is_replaced() {
    let warm = Project::new();
    warm.connect()
        .await
        .create(vec![task("warm", "Warm")])
        .await
        .expect("the store answers");
    for state in [ConnectionState::LosesReplies, ConnectionState::LosesRequests] {
        let proxy = Proxy::start(warm.host.clone()).await.expect("a free port");
        let options = Project::on(proxy.host()).options();
        let options = options
            .timeouts(Duration::from_secs(2), TIMEOUT / 2)
            .listen(false);
        let store = options.open("DEFAULT").await.expect("the emulator answers");
        store
            .create(vec![task("before", "K")])
            .await
            .expect("the store answers");
        assert!(proxy.disturb(state, &mut fastrand::Rng::new(), 1.0) > 0);
        // The connection is not closed. Only the missing replies reveal its failure.
        store
            .create(vec![task("after", "K")])
            .await
            .expect("the store answers through a new connection");
        assert_eq!(claim(&store, "K", 5).await.len(), 2, "{state:?}");
    }
}

async fn a_wait_ends_although_its_stream_is_silent() {
    let project = Project::new();
    let worker = project.connect().await;
    worker
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let proxy = Proxy::start(project.host.clone()).await.expect("a free port");
    let through = Project {
        host: proxy.host().to_owned(),
        ..project
    };
    let options = through.options().timeouts(Duration::from_secs(2), TIMEOUT / 2);
    let store = options.open("DEFAULT").await.expect("the emulator answers");
    let before = store.usage().reads;
    let client = Client::new(store.clone());
    let waiting = tokio::spawn(async move { client.wait("a").await });
    // The wait has read the task, and its listener has returned it.
    until_async("the store listens", async || store.usage().reads >= before + 2).await;
    assert!(proxy.disturb(ConnectionState::LosesReplies, &mut fastrand::Rng::new(), 1.0) > 0);
    let claimed = claim(&worker, "K", 1).await;
    let finished = worker.finish(vec![complete(&claimed[0])], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
    let ended = tokio::time::timeout(TIMEOUT, waiting).await;
    let ended = ended.expect("the wait ends").expect("no panic");
    assert!(ended.expect("the task completes").is_done());
}

async fn a_missing_emulator_is_reported_with_its_start_command() {
    // No server listens on port 1.
    let project = Project::on("127.0.0.1:1");
    let error = project
        .options()
        .open("DEFAULT")
        .await
        .expect_err("no server listens");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("firestore://{}", project.id)),
        "{message}"
    );
    assert!(
        message.contains("gcloud emulators firestore start --host-port=127.0.0.1:1"),
        "{message}"
    );
}

async fn invalid_names_are_refused() {
    let options = || FirestoreStore::options("p").emulator("127.0.0.1:1");
    for (options, expected) in [
        (FirestoreStore::options(""), "the project is missing"),
        (options().database("a/b"), "must not contain `/`"),
        (
            options().collection(""),
            "the name of a collection must not be empty",
        ),
    ] {
        let error = options.open("DEFAULT").await.expect_err("the name is invalid");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        assert!(error.message.contains(expected), "{error}");
    }
    let error = options().open("").await.expect_err("the name is invalid");
    assert!(
        error.message.contains("the environment must not be empty"),
        "{error}"
    );
}
