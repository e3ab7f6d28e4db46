use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence(daily)]
struct Task;

fn main() {}
