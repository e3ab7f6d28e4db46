use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("{lines:hash}")]
struct Task {
    lines: Vec<String>,
}

fn main() {}
