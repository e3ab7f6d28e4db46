use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(cancel)]
struct Task {
    a: u64,
}

impl Task {
    async fn run(self) {}
    async fn on_cancel(self) {}
}

fn main() {}
