use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = exponential(max_attempts = ATTEMPTS))]
struct Task {
    a: u64,
}

const ATTEMPTS: u32 = 0;

impl Task {
    async fn run(self) {}
}

fn main() {}
