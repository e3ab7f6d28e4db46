//! What is answered to those who create many tasks at once, some of which are there.

use super::{create, store, task};
use crate::store::sqlite::inserts::ROWS;
use crate::store::{Insert, Store};
use crate::task::Task;

fn numbered(number: usize) -> Task {
    let key = number.is_multiple_of(3).then_some("key");
    task(&format!("task-{number}"), "Mail", key)
}

#[tokio::test]
async fn of_many_tasks_those_that_were_there_are_answered_so() {
    let (_directory, store) = store().await;
    let there = [3, ROWS - 1, ROWS + 3];
    create(&store, there.map(numbered)).await;
    let mut tasks: Vec<_> = (0..3 * ROWS + 4).map(numbered).collect();
    // The same once more in one call.
    tasks[7] = numbered(6);
    for (place, insert) in store
        .create(tasks.clone())
        .await
        .expect("it is answered")
        .iter()
        .enumerate()
    {
        let known = place == 7 || there.contains(&place);
        let expected = if known {
            existing(&tasks[place])
        } else {
            Insert::New
        };
        assert_eq!(*insert, expected, "{place}");
    }
    let ids = tasks.iter().map(|task| task.id().clone()).collect();
    let stored = store.get(ids).await.expect("they are read");
    assert!(
        stored
            .iter()
            .zip(&tasks)
            .all(|(stored, task)| stored.as_ref() == Some(task))
    );
}

#[tokio::test]
async fn what_is_created_once_more_is_left_alone() {
    let (_directory, store) = store().await;
    let tasks: Vec<_> = (0..2 * ROWS).map(numbered).collect();
    for expected in [|_: &Task| Insert::New, existing] {
        let inserts = store.create(tasks.clone()).await.expect("it is answered");
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
