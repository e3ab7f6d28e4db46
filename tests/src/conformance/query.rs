use oncetask::store::Filter;
use oncetask::task::transition::Verdict;
use oncetask::{Status, Task};

use super::rules;
use super::scene::{KIND, Queue, Scene, at, task, tasks};

rules!("query":
    an_empty_store_has_no_tasks,
    no_filter_lets_every_task_through,
    the_oldest_are_first,
    the_newest_are_first_if_asked,
    a_kind,
    each_status,
    a_lease_that_has_ended_is_pending,
    a_resource_key,
    the_occurrences_of_a_generator,
    a_range_of_creation,
    a_range_of_endings,
    a_kind_and_a_status,
    a_kind_and_a_resource_key,
    what_is_listed_is_what_is_stored,
);

async fn an_empty_store_has_no_tasks(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.list(Filter::new(), at(0)).await, [] as [&str; 0]);
}

async fn no_filter_lets_every_task_through(scene: Scene) {
    let queue = scene.queue().await;
    create_one_of_each_status(&queue).await;
    let mut listed = queue.list(Filter::new(), at(NOW)).await;
    let mut all: Vec<_> = Status::ALL.iter().map(ToString::to_string).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
}

async fn the_oldest_are_first(scene: Scene) {
    let queue = scene.queue().await;
    create_out_of_order(&queue).await;
    assert_eq!(
        queue.list(Filter::new(), at(9)).await,
        ["first", "second", "third"]
    );
}

async fn the_newest_are_first_if_asked(scene: Scene) {
    let queue = scene.queue().await;
    create_out_of_order(&queue).await;
    let filter = Filter::new().newest_first();
    assert_eq!(queue.list(filter, at(9)).await, ["third", "second", "first"]);
}

async fn create_out_of_order(queue: &Queue) {
    let drafts = [
        task("second").created(at(2)),
        task("third").created(at(3)).due(at(0)),
        task("first").created(at(1)).due(at(9)),
    ];
    queue.create(drafts).await;
}

async fn a_kind(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a"),
            task("b").kind("Other"),
            task("c").kind("work"),
            task("d").kind("Works"),
        ])
        .await;
    assert_eq!(queue.list(Filter::new().kind(KIND), at(9)).await, ["a"]);
    assert_eq!(queue.list(Filter::new().kind("Other"), at(9)).await, ["b"]);
    assert_eq!(
        queue.list(Filter::new().kind("None"), at(9)).await,
        [] as [&str; 0]
    );
}

async fn each_status(scene: Scene) {
    let queue = scene.queue().await;
    create_one_of_each_status(&queue).await;
    for status in Status::ALL {
        let listed = queue.list(Filter::new().status(status), at(NOW)).await;
        assert_eq!(listed, [status.to_string()], "with the status {status}");
        let count = queue.count(Filter::new().status(status), at(NOW)).await;
        assert_eq!(count, 1, "with the status {status}");
    }
}

/// The instant at which [`create_one_of_each_status`] has what it says.
const NOW: i64 = 20;

/// Seven tasks, each named after the status that it has.
async fn create_one_of_each_status(queue: &Queue) {
    let verdicts = [
        (Status::Completed, Some(Verdict::Complete(None))),
        (Status::Failed, Some(Verdict::Fail { error: "no".into() })),
        (Status::Cancelled, Some(Verdict::Cancel { reason: "no".into() })),
        (Status::Leased, None),
    ];
    for ((status, verdict), created) in verdicts.into_iter().zip(1..) {
        let held = queue
            .start(task(status.to_string()).created(at(created)), at(10))
            .await;
        if let Some(verdict) = verdict {
            assert_eq!(queue.finish(&held, verdict, at(11)).await, Ok(()));
        }
    }
    let drafts = [
        task(Status::CancellationPending.to_string()).created(at(5)),
        task(Status::Pending.to_string()).created(at(6)).due(at(NOW)),
        task(Status::Waiting.to_string()).created(at(7)).due(at(NOW + 1)),
    ];
    queue.create(drafts).await;
    queue
        .cancel(&Status::CancellationPending.to_string(), at(12))
        .await;
}

async fn a_lease_that_has_ended_is_pending(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let (leased, pending) = (
        Filter::new().status(Status::Leased),
        Filter::new().status(Status::Pending),
    );
    assert_eq!(queue.list(leased.clone(), at(59)).await, ["a"]);
    assert_eq!(queue.list(pending.clone(), at(59)).await, [] as [&str; 0]);
    assert_eq!(queue.list(leased, at(60)).await, [] as [&str; 0]);
    assert_eq!(queue.list(pending, at(60)).await, ["a"]);
}

async fn a_resource_key(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [
        task("a").key("k"),
        task("b"),
        task("c").key("K"),
        task("d").key("k").kind("Other").created(at(1)),
    ];
    queue.create(drafts).await;
    let filter = |key: &str| Filter::new().resource_key(key);
    assert_eq!(queue.list(filter("k"), at(9)).await, ["a", "d"]);
    assert_eq!(queue.list(filter("K"), at(9)).await, ["c"]);
    assert_eq!(queue.list(filter("other"), at(9)).await, [] as [&str; 0]);
}

async fn the_occurrences_of_a_generator(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [
        task("daily").recurring("FREQ=DAILY"),
        task("one").occurrence_of("daily", at(1)).created(at(1)),
        task("two").occurrence_of("daily", at(2)).created(at(2)),
        task("else").occurrence_of("hourly", at(1)),
        task("plain"),
    ];
    queue.create(drafts).await;
    assert_eq!(
        queue.list(Filter::new().generator("daily"), at(9)).await,
        ["one", "two"]
    );
    assert_eq!(
        queue.list(Filter::new().generator("one"), at(9)).await,
        [] as [&str; 0]
    );
}

async fn a_range_of_creation(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [1, 2, 3, 4].map(|n| task(n.to_string()).created(at(n)));
    queue.create(drafts).await;
    let filter = |from: Option<i64>, before: Option<i64>| Filter::new().created(from.map(at), before.map(at));
    assert_eq!(queue.list(filter(Some(2), Some(4)), at(9)).await, ["2", "3"]);
    assert_eq!(queue.list(filter(Some(3), None), at(9)).await, ["3", "4"]);
    assert_eq!(queue.list(filter(None, Some(2)), at(9)).await, ["1"]);
    assert_eq!(queue.list(filter(Some(4), Some(4)), at(9)).await, [] as [&str; 0]);
}

async fn a_range_of_endings(scene: Scene) {
    let queue = scene.queue().await;
    for n in [1, 2, 3] {
        queue.complete(task(n.to_string()).created(at(n)), at(n)).await;
    }
    queue.create([task("open")]).await;
    let filter = |from: Option<i64>, before: Option<i64>| Filter::new().done(from.map(at), before.map(at));
    assert_eq!(queue.list(filter(Some(2), None), at(9)).await, ["2", "3"]);
    assert_eq!(queue.list(filter(None, Some(3)), at(9)).await, ["1", "2"]);
    assert_eq!(queue.list(filter(Some(2), Some(3)), at(9)).await, ["2"]);
}

async fn a_kind_and_a_status(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("done"), at(1)).await;
    queue
        .create([
            task("due"),
            task("later").due(at(99)),
            task("other").kind("Other"),
        ])
        .await;
    let filter = |status| Filter::new().kind(KIND).status(status);
    assert_eq!(queue.list(filter(Status::Pending), at(9)).await, ["due"]);
    assert_eq!(queue.list(filter(Status::Waiting), at(9)).await, ["later"]);
    assert_eq!(queue.list(filter(Status::Completed), at(9)).await, ["done"]);
}

async fn a_kind_and_a_resource_key(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a").key("k"),
            task("b").key("k").kind("Other"),
            task("c").key("l"),
        ])
        .await;
    let filter = Filter::new().kind(KIND).resource_key("k");
    assert_eq!(queue.list(filter, at(9)).await, ["a"]);
}

async fn what_is_listed_is_what_is_stored(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b"])).await;
    let held = queue.take(at(1)).await;
    let retry = Verdict::Retry {
        at: at(30),
        error: "again".into(),
    };
    assert_eq!(queue.finish(&held, retry, at(2)).await, Ok(()));
    let query = oncetask::store::Query::new(Filter::new(), 10, at(3));
    let listed = queue.page(query).await.tasks;
    let stored: Vec<Task> = queue.get(["a", "b"]).await.into_iter().flatten().collect();
    assert_eq!(listed, stored);
}
