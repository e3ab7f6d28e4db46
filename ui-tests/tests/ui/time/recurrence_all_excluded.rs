use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY;COUNT=1", dtstart = "2026-01-05T02:00:00", exdates = ["2026-01-05T02:00:00"])]
struct Task;

fn main() {}
