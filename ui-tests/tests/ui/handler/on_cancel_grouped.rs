use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("{a}")]
#[handler(on_cancel)]
struct Task {
    a: u64,
}

impl Task {
    async fn run(self) {}
    async fn on_cancel(_tasks: Vec<Self>) {}
}

fn main() {}
