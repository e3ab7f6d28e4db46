use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("task:{a}")]
#[handler]
struct Task {
    a: u64,
}

impl Task {
    async fn run(self, _pool: oncetask::State<std::rc::Rc<u8>>) {}
}

fn main() {}
