//! The results that handlers return.

use std::collections::HashMap;

use oncetask::{Attempt, Handler, HandlerError, Status};
use serde::{Deserialize, Serialize};
use tests::harness::{Fixture, Work, attempts, work};
use tests::on_every_store;

on_every_store!(
    a_result_is_read_back_as_its_type,
    none_is_stored_as_no_result,
    a_too_large_result_fails_the_attempt,
    the_largest_result_is_stored,
    a_result_that_is_not_json_fails_the_task,
);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    number: u64,
    lines: Vec<(String, f64)>,
    note: Option<String>,
}

async fn a_result_is_read_back_as_its_type(fixture: Fixture) {
    let receipt = || Receipt {
        number: u64::MAX,
        lines: vec![("ü\u{0}\n\"".into(), 0.1)],
        note: None,
    };
    let handler = Handler::new(move |_: Work| async move { Ok::<_, HandlerError>(receipt()) });
    let _worker = fixture.work(handler).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.result().expect("a receipt"), Some(receipt()));
    task.result::<u32>().expect_err("a receipt is not a number");
}

async fn none_is_stored_as_no_result(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Ok::<Option<u32>, HandlerError>(None) });
    let _worker = fixture.work(handler).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.state.result, None);
    assert_eq!(task.result::<u32>().expect("no result"), None);
}

async fn a_too_large_result_fails_the_attempt(fixture: Fixture) {
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        let bytes = if attempt.attempt == 1 { 1024 * 1024 } else { 8 };
        Ok::<_, HandlerError>("x".repeat(bytes))
    });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
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

async fn the_largest_result_is_stored(fixture: Fixture) {
    let text = || "x".repeat(1024 * 1024 - 2);
    let handler = Handler::new(move |_: Work| async move { Ok::<_, HandlerError>(text()) });
    let _worker = fixture.work(handler.config(attempts(1))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert!(task.result::<String>().expect("text") == Some(text()));
}

async fn a_result_that_is_not_json_fails_the_task(fixture: Fixture) {
    let handler =
        Handler::new(|_: Work| async { Ok::<_, HandlerError>(HashMap::from([((1, 2), "a pair")])) });
    let _worker = fixture.work(handler.config(attempts(3))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Failed);
    assert_eq!(task.attempts(), 1);
    assert!(task.errors()[0].error.contains("JSON"), "{:?}", task.errors());
}
