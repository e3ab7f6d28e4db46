//! What the programs that measure the peers share: the command line, the cases and the work.

mod cases;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
mod work;

use std::future::Future;

pub use options::{Options, folder};
pub use work::{Job, ran};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T = ()> = std::result::Result<T, Error>;

/// A queue to measure. A clone is a handle of the same one.
pub trait Peer: Clone + Send + Sync + 'static {
    /// What runs tasks.
    type Worker: Send;

    /// What it is called.
    const NAME: &str;
    /// The ways it can be set up, the defaults first.
    const VARIANTS: &[&str];

    /// A new, empty queue.
    fn open(options: &Options) -> impl Future<Output = Result<Self>> + Send;

    /// Stores one task: it must have been acknowledged when this returns.
    fn create(&self, job: Job) -> impl Future<Output = Result> + Send;

    /// Stores several in the way that the library has for that.
    fn create_all(&self, jobs: Vec<Job>) -> impl Future<Output = Result> + Send;

    /// Runs tasks, each of which calls [`ran`] and nothing else.
    fn start(&self, concurrency: usize) -> impl Future<Output = Result<Self::Worker>> + Send;

    /// How many tasks are not completed.
    fn unfinished(&self) -> impl Future<Output = Result<usize>> + Send;

    /// Ends the worker, however far it came.
    fn stop(&self, worker: Self::Worker) -> impl Future<Output = Result> + Send;
}

/// The whole program.
///
/// # Errors
///
/// What the command line lacks, and what the queue says.
pub fn main<P: Peer>() -> Result {
    let options = Options::from_arguments::<P>(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(cases::run::<P>(&options));
    // Some do not end their threads.
    runtime.shutdown_background();
    result
}
