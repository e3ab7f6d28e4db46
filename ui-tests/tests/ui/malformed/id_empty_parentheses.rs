use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id()]
struct Task {
    a: u64,
}

fn main() {}
