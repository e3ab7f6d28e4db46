use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("user:{users}")]
struct Task {
    a: u64,
    users: Vec<u64>,
}

fn main() {}
