use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(concurrency = SLOTS)]
struct Task {
    a: u64,
}

const SLOTS: usize = 3;

impl Task {
    async fn run(self) {}
}

fn main() {}
