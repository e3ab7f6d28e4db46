use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[task(alias = "old name")]
#[id("task:{a}")]
struct Task {
    a: u64,
}

fn main() {}
