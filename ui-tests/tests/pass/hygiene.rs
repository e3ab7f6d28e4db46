//! Items of the user whose names the expansion uses or could use.
#![allow(dead_code, non_camel_case_types, reason = "only their names matter")]

use ::std::time::Duration;

#[derive(serde::Serialize, serde::Deserialize, oncetask::OnceTask)]
#[id("hygiene:{text}")]
#[resource_key("{until}")]
#[handler(run = delivery, on_cancel = needs, retry = HANDLER, lease = CHECKS, concurrency = KIND)]
struct Some {
    text: String,
    until: u8,
    krate: u8,
    self_: u8,
}

const HANDLER: oncetask::Retry = oncetask::Retry::never();
const CHECKS: Duration = Duration::from_secs(7);
const KIND: u32 = 2;

async fn delivery(_task: Some) {}
async fn needs(_task: Some) {}

mod core {}
mod std {}
mod oncetask_ {}
struct Result;
struct Option;
struct Vec;
struct Box;
struct u32_;
trait OnceTask {}
trait NoRun {}

#[derive(serde::Serialize, serde::Deserialize, oncetask::OnceTask)]
#[id("none")]
#[run_at(with = schedule)]
#[handler]
struct None;

fn schedule(_: &None) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

impl None {
    const KIND: u32 = 1;

    async fn run(self) {}

    fn id(&self) -> u8 {
        _ = self;
        1
    }

    fn schedule(&self) -> u8 {
        _ = self;
        2
    }
}

#[test]
fn the_expansion_does_not_shadow_items_of_the_user() {
    assert_eq!((None::KIND, None.id(), None.schedule()), (1, 1, 2));
    let id = oncetask::OnceTask::id(&None);
    assert_eq!(id.as_str(), "none");
}
