use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id(content)]
struct Task {
    #[id]
    a: u64,
}

fn main() {}
