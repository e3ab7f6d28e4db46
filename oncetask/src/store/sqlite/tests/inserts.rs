//! Creating many tasks in one call.

use super::{create, store, task};
use crate::store::sqlite::inserts::ROWS_PER_INSERT;
use crate::store::{Insert, Store};
use crate::task::Task;

fn numbered(number: usize) -> Task {
    let key = number.is_multiple_of(3).then_some("key");
    task(&format!("task-{number}"), "Mail", key)
}

#[tokio::test]
async fn creating_many_tasks_reports_those_that_exist() {
    let (_directory, store) = store().await;
    let existing_numbers = [3, ROWS_PER_INSERT - 1, ROWS_PER_INSERT + 3];
    create(&store, existing_numbers.map(numbered)).await;
    let mut tasks: Vec<_> = (0..3 * ROWS_PER_INSERT + 4).map(numbered).collect();
    // The same task twice in one call.
    tasks[7] = numbered(6);
    for (index, insert) in store
        .create(tasks.clone())
        .await
        .expect("the creation succeeds")
        .iter()
        .enumerate()
    {
        let known = index == 7 || existing_numbers.contains(&index);
        let expected = if known {
            existing(&tasks[index])
        } else {
            Insert::New
        };
        assert_eq!(*insert, expected, "{index}");
    }
    let ids = tasks.iter().map(|task| task.id().clone()).collect();
    let stored = store.get(ids).await.expect("the tasks are read");
    assert!(
        stored
            .iter()
            .zip(&tasks)
            .all(|(stored, task)| stored.as_ref() == Some(task))
    );
}

#[tokio::test]
async fn creating_existing_tasks_again_leaves_them_unchanged() {
    let (_directory, store) = store().await;
    let tasks: Vec<_> = (0..2 * ROWS_PER_INSERT).map(numbered).collect();
    for expected in [|_: &Task| Insert::New, existing] {
        let inserts = store.create(tasks.clone()).await.expect("the creation succeeds");
        assert!(
            inserts
                .iter()
                .zip(&tasks)
                .all(|(insert, task)| *insert == expected(task))
        );
    }
}

fn existing(task: &Task) -> Insert {
    Insert::Existing(Box::new(task.clone()))
}
