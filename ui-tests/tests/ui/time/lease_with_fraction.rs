use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(lease = "1.5h")]
struct Task {
    a: u64,
}

fn main() {}
