use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DALIY", tz = "Pariss", dtstart = "soon")]
struct Task;

fn main() {}
