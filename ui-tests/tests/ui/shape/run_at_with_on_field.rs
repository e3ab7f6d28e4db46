use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    #[run_at(with = Self::at)]
    a: u64,
}

fn main() {}
