use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[run_at(after = "5m")]
struct Task {
    a: u64,
}

fn main() {}
