use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("{a}:task")]
struct Task {
    a: u64,
}

fn main() {}
