//! The code that the peers' programs share: the command line, the cases and the work.

mod cases;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
mod work;

use std::future::Future;

pub use options::{Options, scratch_folder};
pub use work::{Job, record_run};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T = ()> = std::result::Result<T, Error>;

/// The end of the note of a measurement that reached its time limit.
pub const CUT_OFF_NOTE: &str = "before the time limit";

/// A queue to measure. A clone is a handle to the same queue.
pub trait Peer: Clone + Send + Sync + 'static {
    /// A running worker.
    type Worker: Send;

    /// The name of the peer.
    const NAME: &str;
    /// The ways to set the peer up; the first one is the default.
    const VARIANTS: &[&str];

    /// Creates an empty queue.
    fn open(options: &Options) -> impl Future<Output = Result<Self>> + Send;

    /// Creates one task, and returns when the peer has acknowledged it.
    fn create(&self, job: Job) -> impl Future<Output = Result> + Send;

    /// Creates several tasks with the peer's bulk operation.
    fn create_all(&self, jobs: Vec<Job>) -> impl Future<Output = Result> + Send;

    /// Starts a worker whose handler calls [`record_run`] and does nothing else.
    fn start(&self, concurrency: usize) -> impl Future<Output = Result<Self::Worker>> + Send;

    /// Counts the tasks that are not completed.
    fn unfinished(&self) -> impl Future<Output = Result<usize>> + Send;

    /// Stops the worker, even if tasks are waiting.
    fn stop(&self, worker: Self::Worker) -> impl Future<Output = Result> + Send;
}

/// Runs the case that the command line names.
///
/// # Errors
///
/// Returns an error if the command line is invalid, or if the peer reports one.
pub fn main<P: Peer>() -> Result {
    let options = Options::from_arguments::<P>(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(cases::run::<P>(&options));
    // Some peers never end their blocking threads, so do not wait for them.
    runtime.shutdown_background();
    result
}
