use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
struct Task<T> {
    a: T,
}

// A type that cannot be a task causes one error, and no further error at each use.
async fn create(task: Task<u8>, client: oncetask::Client) {
    let _ = task.id();
    let _ = task.enqueue(&client).await;
}

fn main() {}
