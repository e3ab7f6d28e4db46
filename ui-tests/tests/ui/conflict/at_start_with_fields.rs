use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[recurrence("FREQ=DAILY", at_start)]
struct Task {
    a: u64,
}

fn main() {}
