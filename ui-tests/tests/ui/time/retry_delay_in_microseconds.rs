use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(retry = fixed(delay = "10us"))]
struct Task {
    a: u64,
}

fn main() {}
