use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(concurrency = SLOTS)]
struct Task {
    a: u64,
}

const SLOTS: u32 = 0;

impl Task {
    async fn run(self) {}
}

fn main() {}
