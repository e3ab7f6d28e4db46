use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id(with = Self::key)]
struct Task {
    a: u64,
}

impl Task {
    fn key(self) -> u64 {
        self.a
    }
}

fn main() {}
