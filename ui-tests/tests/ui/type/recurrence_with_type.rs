use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[recurrence(with = Self::rule)]
struct Task {
    a: u64,
}

impl Task {
    fn rule(&self) -> &'static str {
        "FREQ=DAILY"
    }
}

fn main() {}
