use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(run = |task: Task| async {})]
struct Task {
    a: u64,
}

fn main() {}
