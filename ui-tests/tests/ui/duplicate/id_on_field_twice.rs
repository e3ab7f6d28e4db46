use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
struct Task {
    #[id]
    #[id(hash)]
    a: u64,
}

fn main() {}
