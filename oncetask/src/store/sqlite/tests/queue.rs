//! The indexes of the queue, which make claims cheap.

use rusqlite::Connection;

use super::{at, completions, create, request, store, task};
use crate::store::Store;

#[tokio::test]
async fn done_tasks_are_in_no_index_of_the_queue() {
    let (directory, store) = store().await;
    let keyed = (0..20).map(|n| task(&format!("k{n}"), "Mail", Some(&format!("key-{n}"))));
    let keyless = (0..20).map(|n| task(&format!("f{n}"), "Mail", None));
    create(&store, keyed.chain(keyless)).await;
    let claimed = store
        .claim(request(&["Mail"], 100, at(0)))
        .await
        .expect("the tasks are claimed");
    assert_eq!(claimed.claims.len(), 40);
    store
        .finish(completions(&claimed), at(1))
        .await
        .expect("the claims end");
    let db = Connection::open(directory.path().join("tasks.db")).expect("the file is opened");
    for sql in [
        "SELECT count(*) FROM keys",
        "SELECT count(*) FROM tasks INDEXED BY queue WHERE due IS NOT NULL AND held_key IS NULL",
        "SELECT count(*) FROM tasks INDEXED BY generators WHERE due IS NOT NULL AND recurrence IS NOT NULL",
        "SELECT count(*) FROM tasks INDEXED BY members WHERE ending = 0 AND held_key IS NOT NULL",
        "SELECT count(*) FROM tasks INDEXED BY leased WHERE lease_until IS NOT NULL",
    ] {
        let rows: i64 = db
            .query_row(sql, [], |row| row.get(0))
            .expect("the rows are counted");
        assert_eq!(rows, 0, "{sql}");
    }
}

#[tokio::test]
async fn a_claim_of_another_kind_or_with_max_claims_zero_takes_nothing() {
    let (_directory, store) = store().await;
    create(&store, [task("a", "Mail", None)]).await;
    let other = store
        .claim(request(&["Other"], 5, at(0)))
        .await
        .expect("the claim succeeds");
    assert_eq!((other.claims.len(), other.next_due), (0, vec![None]));
    let none = store
        .claim(request(&["Mail"], 0, at(0)))
        .await
        .expect("the claim succeeds");
    assert_eq!((none.claims.len(), none.next_due), (0, vec![Some(at(0))]));
}
