//! The duration of a query for one page of tasks.

use std::time::{Duration, Instant};

use chrono::Utc;
use oncetask::store::Query;
use oncetask::{Client, Filter, OnceTask as _, Status};

use super::Result;
use super::create::create_noops;
use super::drain::run_all;
use crate::options::Options;
use crate::report::{Line, ProcessUsage};
use crate::scratch_store::ScratchStore;
use crate::work::Noop;

const PAGE_SIZE: usize = 100;
/// The maximum number of pages that are measured for each filter.
const MAX_PAGES: usize = 50;

/// Measures the pages of several filters in a store in which half of the tasks are done.
pub(crate) async fn list(options: &Options) -> Result {
    let store = ScratchStore::new(options)?;
    let client = store.client().await?;
    let half = options.tasks / 2;
    create_noops(&client, 0..half).await?;
    run_all(&client, 100, half).await?;
    create_noops(&client, half..options.tasks).await?;
    let of_kind = || Filter::new().kind(Noop::KIND);
    let filters = [
        ("all", Filter::new()),
        ("newest first", Filter::new().newest_first()),
        ("a kind", of_kind()),
        ("completed", of_kind().status(Status::Completed)),
        ("pending", of_kind().status(Status::Pending)),
        ("failed, none", of_kind().status(Status::Failed)),
    ];
    for (name, filter) in filters {
        let before = ProcessUsage::of_this_process();
        let times = list_pages(&client, filter).await?;
        let mut line = Line::new(&options.store, "list", options.tasks)
            .percentiles(times)
            .process_usage(before, ProcessUsage::of_this_process());
        line.note = Some(name.to_owned());
        line.print()?;
    }
    Ok(())
}

/// Reads page after page of the tasks that match a filter, and returns the duration of each query.
async fn list_pages(client: &Client, filter: Filter) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut query = Query::new(filter, PAGE_SIZE, Utc::now());
    while times.len() < MAX_PAGES {
        let began = Instant::now();
        let page = client.store().query(query.clone()).await?;
        times.push(began.elapsed());
        if page.next.is_none() {
            break;
        }
        query = query.after(page.next);
    }
    Ok(times)
}
