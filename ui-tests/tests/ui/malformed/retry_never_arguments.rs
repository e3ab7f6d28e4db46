use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = never(max_attempts = 3))]
struct Task {
    a: u64,
}

fn main() {}
