use oncetask::OnceTask;
use oncetask::Context as C;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler]
struct Task {
    a: u64,
}

impl Task {
    #[allow(clippy::too_many_arguments)]
    async fn run(self, _1: C, _2: C, _3: C, _4: C, _5: C, _6: C, _7: C, _8: C, _9: C) {}
}

fn main() {}
