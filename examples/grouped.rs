//! Shows a grouped handler: all pending notices of a user are sent as one digest.
//!
//! `cargo run --example grouped`

use oncetask::{Attempt, Client, OnceTask, Outcome, TaskId};
use serde::{Deserialize, Serialize};

/// A notice for a user. The handler takes a `Vec`: the pending notices of one user, ordered by due time.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("notice:{user}:{number}")]
#[resource_key("user:{user}")]
#[handler(run = send_digest, max_group = 5, concurrency = 2)]
struct Notice {
    user: String,
    number: u32,
    text: String,
}

/// Returns one outcome for each notice, in order. A notice that cannot be sent does not delay the others.
async fn send_digest(notices: Vec<Attempt<Notice>>) -> oncetask::Result<Vec<Outcome>> {
    let user = &notices[0].user;
    println!("  one mail to {user} with {} notices:", notices.len());
    let outcome = |notice: &Attempt<Notice>| {
        println!(
            "    {}. {} (attempt {})",
            notice.number, notice.text, notice.attempt
        );
        if notice.number == 3 && notice.attempt == 1 {
            Outcome::error("its picture is missing")
        } else {
            Outcome::done("sent")
        }
    };
    Ok(notices.iter().map(outcome).collect())
}

#[tokio::main]
async fn main() -> Result<(), oncetask::Error> {
    let client = Client::in_memory();
    let notice = |user: &str, number| Notice {
        user: user.to_owned(),
        number,
        text: format!("event {number}"),
    };
    let mut notices: Vec<_> = (1..=7).map(|number| notice("ada", number)).collect();
    notices.extend((1..=2).map(|number| notice("bob", number)));
    let ids: Vec<TaskId> = notices.iter().map(OnceTask::id).collect();
    for created in client.create_many(notices).await? {
        created?;
    }

    let worker = oncetask::builder().client(client.clone()).start().await?;
    for id in &ids {
        client.wait(id).await?;
    }
    worker.shutdown().await;
    println!("\n  {} notices, all done.", ids.len());
    Ok(())
}
