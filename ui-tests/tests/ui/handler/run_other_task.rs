use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(run = work)]
struct Task {
    a: u64,
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("other:{a}")]
struct Other {
    a: u64,
}

async fn work(_task: Other) {}

fn main() {}
