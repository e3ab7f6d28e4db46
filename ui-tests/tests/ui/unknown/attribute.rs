use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[ids("task:{a}")]
#[id("task:{a}")]
struct Task {
    a: u64,
}

fn main() {}
