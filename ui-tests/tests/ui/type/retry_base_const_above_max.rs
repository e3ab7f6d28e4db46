use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = exponential(base = BASE, max = "1m"))]
struct Task {
    a: u64,
}

const BASE: std::time::Duration = std::time::Duration::from_secs(90);

impl Task {
    async fn run(self) {}
}

fn main() {}
