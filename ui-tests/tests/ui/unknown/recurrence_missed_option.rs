use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY", missed = all(limit = 3))]
struct Task;

fn main() {}
