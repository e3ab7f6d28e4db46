//! Filters and the order of lists.

use oncetask::store::Filter;
use oncetask::task::transition::Verdict;
use oncetask::{Status, Task};

use super::list_cases;
use super::support::{Backend, KIND, StoreHandle, at, task, tasks};

list_cases!("query":
    an_empty_store_has_no_tasks,
    an_empty_filter_matches_every_task,
    the_oldest_task_comes_first,
    the_newest_task_comes_first_on_request,
    by_kind,
    by_status,
    a_task_with_an_expired_lease_is_pending,
    by_resource_key,
    by_generator,
    by_creation,
    by_end,
    by_kind_and_status,
    by_kind_and_resource_key,
    listed_tasks_are_the_stored_tasks,
);

async fn an_empty_store_has_no_tasks(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.list(Filter::new(), at(0)).await, [] as [&str; 0]);
}

async fn an_empty_filter_matches_every_task(backend: Backend) {
    let store = backend.open().await;
    create_one_of_each_status(&store).await;
    let mut listed = store.list(Filter::new(), at(NOW)).await;
    let mut all: Vec<_> = Status::ALL.iter().map(ToString::to_string).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
}

async fn the_oldest_task_comes_first(backend: Backend) {
    let store = backend.open().await;
    create_out_of_order(&store).await;
    assert_eq!(
        store.list(Filter::new(), at(9)).await,
        ["first", "second", "third"]
    );
}

async fn the_newest_task_comes_first_on_request(backend: Backend) {
    let store = backend.open().await;
    create_out_of_order(&store).await;
    let filter = Filter::new().newest_first();
    assert_eq!(store.list(filter, at(9)).await, ["third", "second", "first"]);
}

async fn create_out_of_order(store: &StoreHandle) {
    let drafts = [
        task("second").created(at(2)),
        task("third").created(at(3)).due(at(0)),
        task("first").created(at(1)).due(at(9)),
    ];
    store.create(drafts).await;
}

async fn by_kind(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a"),
            task("b").kind("Other"),
            task("c").kind("work"),
            task("d").kind("Works"),
        ])
        .await;
    assert_eq!(store.list(Filter::new().kind(KIND), at(9)).await, ["a"]);
    assert_eq!(store.list(Filter::new().kind("Other"), at(9)).await, ["b"]);
    assert_eq!(
        store.list(Filter::new().kind("None"), at(9)).await,
        [] as [&str; 0]
    );
}

async fn by_status(backend: Backend) {
    let store = backend.open().await;
    create_one_of_each_status(&store).await;
    for status in Status::ALL {
        let listed = store.list(Filter::new().status(status), at(NOW)).await;
        assert_eq!(listed, [status.to_string()], "with the status {status}");
        let count = store.count(Filter::new().status(status), at(NOW)).await;
        assert_eq!(count, 1, "with the status {status}");
    }
}

/// The instant, in seconds, at which the tasks of [`create_one_of_each_status`] have their statuses.
const NOW: i64 = 20;

/// Creates seven tasks, one in each status. The id of each is its status.
async fn create_one_of_each_status(store: &StoreHandle) {
    let verdicts = [
        (Status::Completed, Some(Verdict::Complete(None))),
        (Status::Failed, Some(Verdict::Fail { error: "no".into() })),
        (Status::Cancelled, Some(Verdict::Cancel { reason: "no".into() })),
        (Status::Leased, None),
    ];
    for ((status, verdict), created) in verdicts.into_iter().zip(1..) {
        let claimed = store
            .create_and_claim(task(status.to_string()).created(at(created)), at(10))
            .await;
        if let Some(verdict) = verdict {
            assert_eq!(store.finish(&claimed, verdict, at(11)).await, Ok(()));
        }
    }
    let drafts = [
        task(Status::CancellationPending.to_string()).created(at(5)),
        task(Status::Pending.to_string()).created(at(6)).due(at(NOW)),
        task(Status::Waiting.to_string()).created(at(7)).due(at(NOW + 1)),
    ];
    store.create(drafts).await;
    store
        .cancel(&Status::CancellationPending.to_string(), at(12))
        .await;
}

async fn a_task_with_an_expired_lease_is_pending(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    let (leased, pending) = (
        Filter::new().status(Status::Leased),
        Filter::new().status(Status::Pending),
    );
    assert_eq!(store.list(leased.clone(), at(59)).await, ["a"]);
    assert_eq!(store.list(pending.clone(), at(59)).await, [] as [&str; 0]);
    assert_eq!(store.list(leased, at(60)).await, [] as [&str; 0]);
    assert_eq!(store.list(pending, at(60)).await, ["a"]);
}

async fn by_resource_key(backend: Backend) {
    let store = backend.open().await;
    let drafts = [
        task("a").key("k"),
        task("b"),
        task("c").key("K"),
        task("d").key("k").kind("Other").created(at(1)),
    ];
    store.create(drafts).await;
    let filter = |key: &str| Filter::new().resource_key(key);
    assert_eq!(store.list(filter("k"), at(9)).await, ["a", "d"]);
    assert_eq!(store.list(filter("K"), at(9)).await, ["c"]);
    assert_eq!(store.list(filter("other"), at(9)).await, [] as [&str; 0]);
}

async fn by_generator(backend: Backend) {
    let store = backend.open().await;
    let drafts = [
        task("daily").recurring("FREQ=DAILY"),
        task("one").occurrence_of("daily", at(1)).created(at(1)),
        task("two").occurrence_of("daily", at(2)).created(at(2)),
        task("else").occurrence_of("hourly", at(1)),
        task("plain"),
    ];
    store.create(drafts).await;
    assert_eq!(
        store.list(Filter::new().generator("daily"), at(9)).await,
        ["one", "two"]
    );
    assert_eq!(
        store.list(Filter::new().generator("one"), at(9)).await,
        [] as [&str; 0]
    );
}

async fn by_creation(backend: Backend) {
    let store = backend.open().await;
    let drafts = [1, 2, 3, 4].map(|n| task(n.to_string()).created(at(n)));
    store.create(drafts).await;
    let filter = |from: Option<i64>, before: Option<i64>| Filter::new().created(from.map(at), before.map(at));
    assert_eq!(store.list(filter(Some(2), Some(4)), at(9)).await, ["2", "3"]);
    assert_eq!(store.list(filter(Some(3), None), at(9)).await, ["3", "4"]);
    assert_eq!(store.list(filter(None, Some(2)), at(9)).await, ["1"]);
    assert_eq!(store.list(filter(Some(4), Some(4)), at(9)).await, [] as [&str; 0]);
}

async fn by_end(backend: Backend) {
    let store = backend.open().await;
    for n in [1, 2, 3] {
        store
            .create_and_complete(task(n.to_string()).created(at(n)), at(n))
            .await;
    }
    store.create([task("open")]).await;
    let filter = |from: Option<i64>, before: Option<i64>| Filter::new().done(from.map(at), before.map(at));
    assert_eq!(store.list(filter(Some(2), None), at(9)).await, ["2", "3"]);
    assert_eq!(store.list(filter(None, Some(3)), at(9)).await, ["1", "2"]);
    assert_eq!(store.list(filter(Some(2), Some(3)), at(9)).await, ["2"]);
}

async fn by_kind_and_status(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("done"), at(1)).await;
    store
        .create([
            task("due"),
            task("later").due(at(99)),
            task("other").kind("Other"),
        ])
        .await;
    let filter = |status| Filter::new().kind(KIND).status(status);
    assert_eq!(store.list(filter(Status::Pending), at(9)).await, ["due"]);
    assert_eq!(store.list(filter(Status::Waiting), at(9)).await, ["later"]);
    assert_eq!(store.list(filter(Status::Completed), at(9)).await, ["done"]);
}

async fn by_kind_and_resource_key(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a").key("k"),
            task("b").key("k").kind("Other"),
            task("c").key("l"),
        ])
        .await;
    let filter = Filter::new().kind(KIND).resource_key("k");
    assert_eq!(store.list(filter, at(9)).await, ["a"]);
}

async fn listed_tasks_are_the_stored_tasks(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b"])).await;
    let claimed = store.claim_one(at(1)).await;
    let retry = Verdict::Retry {
        at: at(30),
        error: "again".into(),
    };
    assert_eq!(store.finish(&claimed, retry, at(2)).await, Ok(()));
    let query = oncetask::store::Query::new(Filter::new(), 10, at(3));
    let listed = store.page(query).await.tasks;
    let stored: Vec<Task> = store.get(["a", "b"]).await.into_iter().flatten().collect();
    assert_eq!(listed, stored);
}
