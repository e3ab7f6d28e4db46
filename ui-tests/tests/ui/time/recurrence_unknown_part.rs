use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY;BYHOURS=2")]
struct Task;

fn main() {}
