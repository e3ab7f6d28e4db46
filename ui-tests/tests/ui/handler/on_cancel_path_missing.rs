use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(on_cancel = undo)]
struct Task {
    a: u64,
}

impl Task {
    async fn run(self) {}
}

fn main() {}
