use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    #[recurrence("FREQ=DAILY")]
    a: u8,
}

fn main() {}
