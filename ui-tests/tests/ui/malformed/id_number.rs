use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id(7)]
struct Task {
    a: u64,
}

fn main() {}
