//! Task types that several programs share, in a crate that calls the library by another name.
#![allow(clippy::unused_async, reason = "handlers that do nothing are enough here")]

/// The library, as users of this crate may name it.
pub use background as oncetask_by_another_path;

/// Greets somebody: a producer here, and a worker with the feature `worker`.
#[derive(Debug, serde::Serialize, serde::Deserialize, background::OnceTask)]
#[task(crate = background)]
#[id("greet:{name}")]
#[cfg_attr(feature = "worker", handler(run = greet, retry = exponential(jitter = full), lease = "1m"))]
pub struct Greet {
    /// Who is greeted.
    pub name: String,
}

#[cfg(feature = "worker")]
async fn greet(task: Greet) -> background::Result<usize> {
    Ok(task.name.len())
}

mod private {
    //! Nobody outside can name it; workers find it all the same.
    #[derive(serde::Serialize, serde::Deserialize, background::OnceTask)]
    #[task(kind = "hidden", crate = background)]
    #[id("hidden")]
    #[recurrence("FREQ=DAILY;BYHOUR=3", missed = skip, gap = shift, overlap = both, at_start)]
    #[handler]
    struct Hidden;

    impl Hidden {
        async fn run(self) {}
    }
}

/// Defines a task type in the crate that calls it, which need not depend on the library.
#[macro_export]
macro_rules! ping {
    ($name:ident) => {
        #[derive(
            $crate::__serde::Serialize,
            $crate::__serde::Deserialize,
            $crate::oncetask_by_another_path::OnceTask,
        )]
        #[serde(crate = "contract::__serde")]
        #[task(crate = $crate::oncetask_by_another_path)]
        #[handler]
        struct $name {
            #[id]
            host: String,
        }

        impl $name {
            async fn run(self) {}
        }
    };
}

#[doc(hidden)]
pub use serde as __serde;
