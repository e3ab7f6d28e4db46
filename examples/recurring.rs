//! Shows recurring tasks: one that runs every two seconds and ends by itself, and a weekly one across a clock change.
//!
//! `cargo run --example recurring`

use chrono::{DateTime, Utc};
use oncetask::schedule::{RecurrenceError, preview_after};
use oncetask::{Client, Context, Ending, Error, Filter, OnceTask, Recurrence};
use serde::{Deserialize, Serialize};

/// A task that runs every two seconds, three times. With `at_start` the worker creates the generator when it starts.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("heartbeat")]
#[recurrence("FREQ=SECONDLY;INTERVAL=2;COUNT=3", at_start)]
#[handler]
struct Heartbeat;

impl Heartbeat {
    async fn run(self, cx: Context) {
        println!(
            "  {}  {}",
            Utc::now().format("%H:%M:%S%.3f"),
            cx.id().map_or("", |id| id.as_str())
        );
    }
}

/// Prints the next five Mondays at nine, local time, in a time zone.
fn show_weekly(zone: &str, from: DateTime<Utc>) -> Result<(), RecurrenceError> {
    let weekly = Recurrence::new("FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0")?
        .tz(zone.parse()?)
        .anchored_at(from);
    println!("\n  Mondays at nine in {zone}:");
    for at in preview_after(&weekly, from, 5) {
        println!(
            "    {}   = {} UTC",
            at.format("%a %d %b %Y %H:%M %Z"),
            at.to_utc().format("%d %b %H:%M")
        );
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // New York puts its clocks back on 1 November 2026, Paris on 25 October.
    let from = "2026-10-12T12:00:00Z".parse()?;
    show_weekly("Europe/Paris", from)?;
    show_weekly("America/New_York", from)?;

    println!("\n  Every two seconds, three times:");
    let client = Client::in_memory();
    let worker = oncetask::builder().client(client.clone()).start().await?;
    // The generator is done when its rule has no occurrence left.
    client.wait(&Heartbeat.id()).await?;
    for occurrence in client.list(Filter::new().generator(Heartbeat.id())).all().await? {
        match client.wait(occurrence.id()).await {
            Ok(_)
            | Err(Error::Unsuccessful {
                how: Ending::Cancelled,
                ..
            }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    worker.shutdown().await;
    Ok(())
}
