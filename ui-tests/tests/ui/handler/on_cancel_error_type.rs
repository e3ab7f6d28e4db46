use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler(on_cancel)]
struct Task {
    a: u64,
}

struct Failure;

impl Task {
    async fn run(self) {}

    async fn on_cancel(self) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
