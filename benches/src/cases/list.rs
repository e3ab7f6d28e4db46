//! What a page of a list costs, however many tasks there are.

use std::time::Instant;

use chrono::Utc;
use oncetask::store::Query;
use oncetask::{Filter, OnceTask as _, Status};

use super::Result;
use super::create::fill;
use super::drain::run_all;
use crate::options::{Options, Place};
use crate::report::{Line, Usage};
use crate::work::Noop;

const PAGE: usize = 100;
const PAGES: usize = 50;

/// Pages of several filters; half of the tasks are done.
pub(crate) async fn list(options: &Options) -> Result {
    let place = Place::new(options)?;
    let client = place.client().await?;
    let half = options.tasks / 2;
    fill(&client, 0..half, 1000).await?;
    run_all(&client, 100, half).await?;
    fill(&client, half..options.tasks, 1000).await?;
    let filters = [
        ("all", Filter::new()),
        ("newest first", Filter::new().newest_first()),
        ("a kind", Filter::new().kind(Noop::KIND)),
        (
            "completed",
            Filter::new().kind(Noop::KIND).status(Status::Completed),
        ),
        ("pending", Filter::new().kind(Noop::KIND).status(Status::Pending)),
        (
            "failed, none",
            Filter::new().kind(Noop::KIND).status(Status::Failed),
        ),
    ];
    for (name, filter) in filters {
        let before = Usage::of_this_process();
        let mut times = Vec::new();
        let mut query = Some(Query {
            filter,
            after: None,
            limit: PAGE,
            now: Utc::now(),
        });
        while times.len() < PAGES
            && let Some(page_query) = query.take()
        {
            let began = Instant::now();
            let page = client.store().query(page_query.clone()).await?;
            times.push(began.elapsed());
            query = page.next.map(|after| Query {
                after: Some(after),
                ..page_query
            });
        }
        let mut line = Line::of(&options.store, "list", options.tasks)
            .times(times)
            .used(before, Usage::of_this_process());
        line.note = Some(name.to_owned());
        line.print()?;
    }
    Ok(())
}
