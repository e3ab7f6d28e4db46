//! The catching of panics in user code: a panic is the error of one task and of nothing else.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

/// A caught panic.
#[derive(Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
    /// The backtrace, if the hook saw the panic.
    pub(crate) backtrace: Option<Backtrace>,
}

thread_local! {
    /// True if this thread runs user code inside [`catch`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The location and the backtrace of the last panic, from the hook to [`catch`].
    static LAST_PANIC: RefCell<Option<(String, Backtrace)>> = const { RefCell::new(None) };
}

/// Installs a panic hook that keeps the location and the backtrace of a panic for [`catch`], because only a
/// hook can see them. The previous hook still handles every other panic.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if CATCHING.get() {
                let location = info.location().map_or_else(String::new, ToString::to_string);
                LAST_PANIC.set(Some((location, Backtrace::force_capture())));
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

/// A future whose output is the panic of the inner future, if it panics.
pub(crate) struct CatchPanic<F>(pub(crate) F);

impl<F: Future + Unpin> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch(|| Pin::new(&mut self.0).poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Calls user code and returns its panic as an error.
///
/// Unwind safety is asserted, because the library does not use the values of the call again after a panic.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    let nested = CATCHING.replace(true);
    // The user's code may have caught an earlier panic itself.
    LAST_PANIC.set(None);
    let called = panic::catch_unwind(AssertUnwindSafe(call));
    CATCHING.set(nested);
    called.map_err(|payload| caught(&*payload))
}

fn caught(payload: &(dyn Any + Send)) -> Panic {
    let message = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned());
    let (location, backtrace) = LAST_PANIC.take().unzip();
    Panic {
        message,
        location: location.unwrap_or_else(|| "an unknown location".to_owned()),
        backtrace,
    }
}
