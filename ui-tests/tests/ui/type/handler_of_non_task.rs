use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
struct Task {
    a: u64,
}

async fn work(_number: u64) {}

fn build() {
    let _ = oncetask::Handler::new(work);
}

fn main() {}
