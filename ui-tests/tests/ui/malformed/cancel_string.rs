use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(cancel = "undo")]
struct Task {
    a: u64,
}

fn main() {}
