use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("{a}")]
#[handler(max_group = 10)]
struct Task {
    a: u64,
}

impl Task {
    async fn run(self) {}
}

fn main() {}
