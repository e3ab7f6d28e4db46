use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler]
struct Task {
    a: u64,
}

struct Pool;

impl Task {
    async fn run(self, _pool: std::sync::Arc<Pool>) {}
}

fn main() {}
