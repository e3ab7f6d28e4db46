use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("{a}")]
#[handler]
struct Task {
    a: u64,
}

impl Task {
    async fn run(_tasks: &[Self]) {}
}

fn main() {}
