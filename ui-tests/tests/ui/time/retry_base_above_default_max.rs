use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = exponential(base = "10m"))]
struct Task {
    a: u64,
}

fn main() {}
