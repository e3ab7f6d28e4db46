use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler]
struct Task {
    a: u64,
}

impl Task {
    async fn run(_tasks: Vec<oncetask::Attempt<Self>>) {}
}

fn main() {}
