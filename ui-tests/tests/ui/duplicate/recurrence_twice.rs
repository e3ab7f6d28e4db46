use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY")]
#[recurrence("FREQ=WEEKLY")]
struct Task;

fn main() {}
