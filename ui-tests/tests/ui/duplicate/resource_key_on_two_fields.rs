use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    #[resource_key]
    a: u64,
    #[resource_key]
    b: u64,
}

fn main() {}
