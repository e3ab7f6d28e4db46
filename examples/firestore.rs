//! Shows tasks in Firestore, and the number of reads and writes that they cost.
//!
//! On the emulator:
//!
//! ```text
//! gcloud emulators firestore start --host-port=127.0.0.1:8080
//! FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 cargo run -p examples --example firestore --features firestore
//! ```
//!
//! In a Google Cloud project, with credentials from `gcloud auth application-default login` and the indexes of
//! `oncetask/docs/firestore/firestore.indexes.json`:
//!
//! ```text
//! GOOGLE_CLOUD_PROJECT=my-project cargo run -p examples --example firestore --features firestore
//! ```
//!
//! Two processes that run at once share the work.

use std::time::Duration;

use oncetask::store::FirestoreStore;
use oncetask::{Client, Context, OnceTask};
use serde::{Deserialize, Serialize};

/// The number of pages of the site.
const PAGES: u32 = 40;

/// A page of a site, which the handler fetches. It is fetched once, however often the task is created.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("page:{site}:{number}")]
#[handler(concurrency = 8)]
struct Page {
    site: String,
    number: u32,
}

impl Page {
    async fn run(self, cx: Context) -> oncetask::Result<usize> {
        tokio::time::sleep(Duration::from_millis(50)).await; // the work
        if self.number % 10 == 3 && cx.attempt() == 1 {
            return Err("the site is busy".into()); // retried after a second
        }
        Ok(self.number as usize * 100)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `RUST_LOG=oncetask=debug` shows the log of the worker.
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt::init();
    }
    let project = std::env::var("GOOGLE_CLOUD_PROJECT").unwrap_or_else(|_| "demo-oncetask".to_owned());
    let store = FirestoreStore::open(project, "EXAMPLE").await?;
    let client = Client::new(store.clone());

    let pages = (0..PAGES).map(|number| Page {
        site: "example.com".to_owned(),
        number,
    });
    let ids: Vec<_> = (0..PAGES)
        .map(|number| format!("page:example.com:{number}"))
        .collect();
    let mut new = 0;
    for page in client.create_many(pages).await? {
        new += u32::from(page?.is_new);
    }
    println!("{new} of {PAGES} pages are new.");

    let before = store.usage();
    let worker = oncetask::builder().client(client.clone()).start().await?;
    for id in &ids {
        let page = client.wait(id).await?;
        let bytes: usize = page.result()?.unwrap_or_default();
        println!("{id}: {bytes} bytes, attempt {}", page.attempts());
    }
    worker.shutdown().await;

    let after = store.usage();
    println!(
        "\nFetching them took {} reads, {} writes and {} requests.",
        after.reads - before.reads,
        after.writes - before.writes,
        after.rpcs - before.rpcs
    );
    Ok(())
}
