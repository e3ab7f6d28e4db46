use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{user}")]
struct Task {
    #[id]
    user: u64,
}

fn main() {}
