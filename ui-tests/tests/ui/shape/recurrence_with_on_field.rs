use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    #[recurrence(with = Self::rule)]
    a: u64,
}

fn main() {}
