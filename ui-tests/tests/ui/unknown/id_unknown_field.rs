use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{usr}")]
struct Task {
    user: u64,
}

fn main() {}
