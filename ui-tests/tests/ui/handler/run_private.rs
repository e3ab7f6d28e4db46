use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(run = work::perform)]
struct Task {
    a: u64,
}

mod work {
    async fn perform(_task: super::Task) {}
}

fn main() {}
