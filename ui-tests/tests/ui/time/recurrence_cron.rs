use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("0 2 * * *")]
struct Task;

fn main() {}
