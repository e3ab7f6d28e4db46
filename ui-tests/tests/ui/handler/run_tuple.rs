use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(run = work)]
struct Task {
    a: u64,
}

async fn work((_task, _n): (Task, u8)) {}

fn main() {}
