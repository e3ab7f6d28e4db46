use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task<T> {
    a: T,
}

fn main() {}
