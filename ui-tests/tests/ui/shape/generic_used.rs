use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
struct Task<T> {
    a: T,
}

// A type that cannot be a task gives one error, not one at each use.
async fn create(task: Task<u8>, client: oncetask::Client) {
    let _ = task.id();
    let _ = task.enqueue(&client).await;
}

fn main() {}
