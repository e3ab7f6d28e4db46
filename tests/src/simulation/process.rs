//! A simulated process: its futures are polled while it runs, and all stop together when it crashes or freezes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::CancellationToken;

use super::clock::Millis;

/// A future of a worker.
pub(crate) type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A fault of a whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProcessFault {
    /// No future is polled for this long.
    Freeze(Millis),
    /// No future is ever polled again.
    Crash,
}

/// The poll after which a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// The number of polls before it.
    pub(crate) polls: u32,
    /// True if only polls that spawn another future count. The fault then strikes before the spawned future is
    /// polled, that is, between two steps that follow each other immediately.
    pub(crate) spawning_only: bool,
}

/// Called when a fault has struck.
type OnFault = Box<dyn Fn(&Arc<Process>, ProcessFault) + Send + Sync>;

/// One process. Faults strike between two polls.
pub(crate) struct Process {
    state: Mutex<State>,
    /// Cancelled when the process has terminated.
    pub(crate) terminated: CancellationToken,
    on_fault: OnFault,
}

#[derive(Default)]
struct State {
    frozen: bool,
    terminated: bool,
    fault: Option<(Trigger, ProcessFault)>,
    /// The number of futures spawned so far.
    spawned: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Process {
    pub(crate) fn start(on_fault: impl Fn(&Arc<Self>, ProcessFault) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            terminated: CancellationToken::new(),
            on_fault: Box::new(on_fault),
        })
    }

    /// Returns the future as a part of this process.
    pub(crate) fn wrap(self: &Arc<Self>, future: BoxedFuture) -> BoxedFuture {
        let mut state = self.state();
        state.spawned += 1;
        Box::pin(ProcessFuture {
            number: state.spawned,
            process: self.clone(),
            inner: Some(future),
        })
    }

    /// Schedules a fault. It replaces a scheduled fault that has not struck yet.
    pub(crate) fn schedule(&self, trigger: Trigger, fault: ProcessFault) {
        self.state().fault = Some((trigger, fault));
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// Ends a freeze and drops the scheduled fault. Wakes the futures in random order. Returns whether the process
    /// was frozen.
    pub(crate) fn thaw(&self) -> bool {
        let (was_frozen, mut wakers) = {
            let mut state = self.state();
            state.fault = None;
            let was_frozen = std::mem::take(&mut state.frozen);
            (was_frozen, state.wakers.values().cloned().collect::<Vec<_>>())
        };
        if was_frozen {
            fastrand::shuffle(&mut wakers);
            wakers.into_iter().for_each(Waker::wake);
        }
        was_frozen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Counts a poll. Returns the fault that strikes after it.
    fn polled(self: &Arc<Self>, spawned_before: u64) -> Option<ProcessFault> {
        let fault = {
            let mut state = self.state();
            let (trigger, fault) = state.fault?;
            if trigger.spawning_only && state.spawned == spawned_before {
                return None;
            }
            let polls = trigger.polls.checked_sub(1);
            state.fault = polls.map(|polls| (Trigger { polls, ..trigger }, fault));
            if polls.is_some() {
                return None;
            }
            fault
        };
        match fault {
            ProcessFault::Freeze(_) => self.state().frozen = true,
            ProcessFault::Crash => self.terminate(),
        }
        Some(fault)
    }

    /// Ends the process: none of its futures is polled again.
    pub(crate) fn terminate(&self) {
        let wakers = {
            let mut state = self.state();
            state.terminated = true;
            std::mem::take(&mut state.wakers)
        };
        // The next poll of each future only drops it.
        wakers.into_values().for_each(Waker::wake);
        self.terminated.cancel();
    }
}

/// A future of a process.
struct ProcessFuture {
    number: u64,
    process: Arc<Process>,
    /// `None` once it has ended or the process has terminated.
    inner: Option<BoxedFuture>,
}

impl Future for ProcessFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spawned_before = {
            let mut state = self.process.state();
            if state.terminated {
                drop(state);
                self.inner = None;
                return Poll::Ready(());
            }
            state.wakers.insert(self.number, cx.waker().clone());
            if state.frozen {
                return Poll::Pending;
            }
            state.spawned
        };
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(());
        };
        let ended = inner.as_mut().poll(cx).is_ready();
        let process = self.process.clone();
        let fault = process.polled(spawned_before);
        if ended || matches!(fault, Some(ProcessFault::Crash)) {
            self.inner = None;
        }
        if let Some(fault) = fault {
            (process.on_fault)(&process, fault);
        }
        if self.inner.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for ProcessFuture {
    fn drop(&mut self) {
        // Dropped outside the lock: the waker may be the last owner of this task.
        let waker = self.process.state().wakers.remove(&self.number);
        drop(waker);
    }
}
