use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[resource_key("{a}")]
struct Task {
    a: u64,
    #[resource_key]
    b: u64,
}

fn main() {}
