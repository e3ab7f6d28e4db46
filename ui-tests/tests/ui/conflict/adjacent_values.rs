use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{user}{day}")]
struct Task {
    user: u64,
    day: u8,
}

fn main() {}
