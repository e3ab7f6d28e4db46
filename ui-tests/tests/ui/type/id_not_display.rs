use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{users}")]
struct Task {
    users: Vec<u64>,
}

fn main() {}
