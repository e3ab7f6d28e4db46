use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    a: u64,
    #[resource_key]
    users: Option<Vec<u64>>,
}

fn main() {}
