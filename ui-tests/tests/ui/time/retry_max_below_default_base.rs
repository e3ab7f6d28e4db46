use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = exponential(max = "500ms"))]
struct Task {
    a: u64,
}

fn main() {}
