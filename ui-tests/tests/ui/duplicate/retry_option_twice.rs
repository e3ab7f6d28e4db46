use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = exponential(base = "1s", base = "2s"))]
struct Task {
    a: u64,
}

fn main() {}
