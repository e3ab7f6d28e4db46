use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}{b:hash}")]
struct Task {
    a: u64,
    b: Vec<u8>,
}

fn main() {}
