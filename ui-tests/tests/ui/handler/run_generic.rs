use oncetask::OnceTask;
use oncetask::handler::FromContext;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("a")]
#[handler]
struct Task;

impl Task {
    async fn run<C: FromContext>(self, _cx: C) {}
}

fn main() {}
