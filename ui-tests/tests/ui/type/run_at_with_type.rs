use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[run_at(with = Self::at)]
struct Task {
    a: u64,
}

impl Task {
    fn at(&self) -> u64 {
        self.a
    }
}

fn main() {}
