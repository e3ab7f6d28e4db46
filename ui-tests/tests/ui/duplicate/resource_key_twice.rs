use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("{a}")]
#[resource_key("user:{a}")]
struct Task {
    a: u64,
}

fn main() {}
