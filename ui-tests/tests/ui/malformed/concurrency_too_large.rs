use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(concurrency = 5000000000)]
struct Task {
    a: u64,
}

fn main() {}
