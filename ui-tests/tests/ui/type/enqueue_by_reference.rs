use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    a: u64,
}

async fn create(task: Task, client: oncetask::Client) {
    let _ = client.create(&task).await;
}

fn main() {}
