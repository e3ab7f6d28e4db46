use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    #[task(kind = "x")]
    a: u64,
}

fn main() {}
