use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = fixed(delay = "400d"))]
struct Task {
    a: u64,
}

fn main() {}
