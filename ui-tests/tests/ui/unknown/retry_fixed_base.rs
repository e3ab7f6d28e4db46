use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = fixed(delay = "1s", base = "1s"))]
struct Task {
    a: u64,
}

fn main() {}
