//! Task types that several programs share, in a crate that renames the library.
#![allow(clippy::unused_async, reason = "handlers that do nothing are enough here")]

/// The library, re-exported for users of this crate.
pub use background as oncetask_by_another_path;

/// A task with a handler only if the feature `worker` is enabled.
#[derive(Debug, serde::Serialize, serde::Deserialize, background::OnceTask)]
#[task(crate = background)]
#[id("greet:{name}")]
#[cfg_attr(feature = "worker", handler(run = greet, retry = exponential(jitter = full), lease = "1m"))]
pub struct Greet {
    /// The name in the greeting.
    pub name: String,
}

#[cfg(feature = "worker")]
async fn greet(task: Greet) -> background::Result<usize> {
    Ok(task.name.len())
}

mod private {
    //! A task type that no other module can name. Workers discover it nevertheless.
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

/// Defines a task type in the calling crate, which does not have to depend on the library.
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
