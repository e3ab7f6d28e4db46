use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}%{b}")]
struct Task {
    a: u64,
    b: u64,
}

fn main() {}
