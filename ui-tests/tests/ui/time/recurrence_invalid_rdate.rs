use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY", dtstart = "2026-01-05T02:00:00", rdates = ["2026-13-01T00:00:00"])]
struct Task;

fn main() {}
