use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{1}")]
struct Task(u8);

fn main() {}
