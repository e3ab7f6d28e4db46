use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(max_attempts = 5)]
struct Task {
    a: u64,
}

fn main() {}
