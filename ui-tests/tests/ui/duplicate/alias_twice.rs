use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[task(alias = "Old", alias = "Older", alias = "Old")]
#[id("task:{a}")]
struct Task {
    a: u64,
}

fn main() {}
