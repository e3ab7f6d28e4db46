use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    a: u64,
    #[recurrence]
    b: oncetask::Recurrence,
    #[recurrence]
    c: oncetask::Recurrence,
}

fn main() {}
