//! What handlers return.

use std::collections::HashMap;

use oncetask::{Attempt, Handler, HandlerError, Status};
use serde::{Deserialize, Serialize};

use crate::on_every_store;
use crate::world::{Work, World, attempts, work};

on_every_store!(
    a_result_is_read_back_as_its_type,
    nothing_is_stored_of_nothing,
    too_large_a_result_fails_the_attempt,
    the_largest_result_is_kept,
    a_result_that_is_no_json_is_the_end,
);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    number: u64,
    lines: Vec<(String, f64)>,
    note: Option<String>,
}

async fn a_result_is_read_back_as_its_type(world: World) {
    let receipt = || Receipt {
        number: u64::MAX,
        lines: vec![("ü\u{0}\n\"".into(), 0.1)],
        note: None,
    };
    let handler = Handler::new(move |_: Work| async move { Ok::<_, HandlerError>(receipt()) });
    let _worker = world.work(handler).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.result().expect("a receipt"), Some(receipt()));
    task.result::<u32>().expect_err("it is no number");
}

async fn nothing_is_stored_of_nothing(world: World) {
    let handler = Handler::new(|_: Work| async { Ok::<Option<u32>, HandlerError>(None) });
    let _worker = world.work(handler).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.state.result, None);
    assert_eq!(task.result::<u32>().expect("nothing"), None);
}

async fn too_large_a_result_fails_the_attempt(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move {
        let bytes = if job.attempt == 1 { 1024 * 1024 } else { 8 };
        Ok::<_, HandlerError>("x".repeat(bytes))
    });
    let _worker = world.work(handler.config(attempts(2))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(
        task.result::<String>().expect("text").as_deref(),
        Some("xxxxxxxx")
    );
    let error = &task.errors()[0].error;
    assert!(
        error.contains("1048578 bytes") && error.contains("limit"),
        "{error}"
    );
}

async fn the_largest_result_is_kept(world: World) {
    let text = || "x".repeat(1024 * 1024 - 2);
    let handler = Handler::new(move |_: Work| async move { Ok::<_, HandlerError>(text()) });
    let _worker = world.work(handler.config(attempts(1))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert!(task.result::<String>().expect("text") == Some(text()));
}

async fn a_result_that_is_no_json_is_the_end(world: World) {
    let handler =
        Handler::new(|_: Work| async { Ok::<_, HandlerError>(HashMap::from([((1, 2), "a pair")])) });
    let _worker = world.work(handler.config(attempts(3))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Failed);
    assert_eq!(task.attempts(), 1);
    assert!(
        task.errors()[0].error.contains("cannot be written as JSON"),
        "{:?}",
        task.errors()
    );
}
