use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id(with = |task| task.a)]
struct Task {
    a: u64,
}

fn main() {}
