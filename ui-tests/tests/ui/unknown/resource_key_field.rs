use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("user:{usr}")]
struct Task {
    a: u64,
    user: u64,
}

fn main() {}
