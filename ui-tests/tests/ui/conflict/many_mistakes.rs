use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[task(kind = "send email", knid = "x")]
#[id("task:{usr}:{dya}")]
#[recurrence("FREQ=FORTNIGHTLY", tz = "Mars/Olympus")]
#[handler(retry = exponential(max_attempts = 0, bse = "1s"), lease = "15", concurrency = 0, on_cancel_retry = never)]
struct Task {
    user: u64,
    day: u8,
    #[run_at]
    at: chrono::DateTime<chrono::Utc>,
}

fn other(task: Task, client: oncetask::Client) {
    let _ = task.enqueue(&client);
}

fn main() {}
