use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(run = WORK)]
struct Task {
    a: u64,
}

const WORK: u8 = 1;

fn main() {}
