use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("{to}")]
struct Task {
    to: String,
}

fn main() {}
