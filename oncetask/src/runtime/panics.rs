//! A handler's panic: an error of its task, and of nothing else.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

/// A panic: what it said, and where.
#[derive(Debug)]
pub(crate) struct Panic {
    pub(super) message: String,
    pub(super) location: String,
    pub(super) backtrace: Option<Backtrace>,
}

thread_local! {
    /// Whether this thread polls a handler.
    static POLLING: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw of the panic that is on its way to [`Caught`].
    static SEEN: RefCell<Option<(String, Backtrace)>> = const { RefCell::new(None) };
}

/// From now on panics of handlers are kept for their task's error and the log, with their location and a
/// backtrace, which only a hook can see. Other panics go where they went before.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if POLLING.get() {
                let location = info.location().map_or_else(String::new, ToString::to_string);
                SEEN.set(Some((location, Backtrace::force_capture())));
            } else {
                previous(info);
            }
        }));
    });
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked at {}: {}", self.location, self.message)
    }
}

/// A future whose panic is its output.
pub(super) struct Caught<F>(pub(super) F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch(|| Pin::new(&mut self.0).poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Calls what the user wrote. After a panic it is not called again, so nobody sees what it left half-done.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    let nested = POLLING.replace(true);
    // Of a panic that the user's code caught itself, say.
    SEEN.set(None);
    let called = panic::catch_unwind(AssertUnwindSafe(call));
    POLLING.set(nested);
    called.map_err(|payload| panic(&*payload))
}

fn panic(payload: &(dyn Any + Send)) -> Panic {
    let message = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned());
    let (location, backtrace) = SEEN.take().unzip();
    Panic {
        message,
        location: location.unwrap_or_else(|| "an unknown place".to_owned()),
        backtrace,
    }
}
