use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[task(kind = "one", kind = "two")]
#[id("task:{a}")]
struct Task {
    a: u64,
}

fn main() {}
