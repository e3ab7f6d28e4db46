use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler]
struct Task {
    a: u64,
}

impl Task {
    fn run(self) {}
}

fn main() {}
