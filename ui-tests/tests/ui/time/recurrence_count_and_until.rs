use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY;COUNT=3;UNTIL=20300101T000000Z")]
struct Task;

fn main() {}
