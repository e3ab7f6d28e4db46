//! A worker's life: its futures are polled while it lasts.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::CancellationToken;

use super::clock::Millis;

/// A future of a worker.
pub(crate) type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to befall a worker when it was polled some more times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fall {
    Freeze(Millis),
    Kill,
}

/// After how many polls it befalls the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) polls: u32,
    /// Only polls count that began another future, which has not been polled then: the moments between two
    /// steps that are made one after the other.
    pub(crate) births: bool,
}

/// What somebody does when it has befallen the worker.
type Befallen = Box<dyn Fn(&Arc<Life>, Fall) + Send + Sync>;

/// One process: all its futures stop at once, and at an await.
pub(crate) struct Life {
    state: Mutex<State>,
    /// Ends when it is dead.
    pub(crate) dead: CancellationToken,
    befallen: Befallen,
}

#[derive(Default)]
struct State {
    frozen: bool,
    dead: bool,
    fall: Option<(When, Fall)>,
    born: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Life {
    pub(crate) fn begin(befallen: impl Fn(&Arc<Self>, Fall) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            dead: CancellationToken::new(),
            befallen: Box::new(befallen),
        })
    }

    /// The future as a part of this life.
    pub(crate) fn wrap(self: &Arc<Self>, future: Driven) -> Driven {
        let mut state = self.state();
        state.born += 1;
        Box::pin(Living {
            number: state.born,
            life: self.clone(),
            inner: Some(future),
        })
    }

    /// Orders what is to befall it after so many polls. What was ordered before and has not happened is forgotten.
    pub(crate) fn order(&self, when: When, fall: Fall) {
        self.state().fall = Some((when, fall));
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// Ends a freeze, and forgets what was ordered. The futures go on in an order of chance.
    pub(crate) fn thaw(&self) -> bool {
        let (was_frozen, mut wakers) = {
            let mut state = self.state();
            state.fall = None;
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
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// Counts a poll. Returns what befalls the worker at its end.
    fn polled(self: &Arc<Self>, born_before: u64) -> Option<Fall> {
        let fall = {
            let mut state = self.state();
            let (when, fall) = state.fall?;
            if when.births && state.born == born_before {
                return None;
            }
            let polls = when.polls.checked_sub(1);
            state.fall = polls.map(|polls| (When { polls, ..when }, fall));
            if polls.is_some() {
                return None;
            }
            fall
        };
        match fall {
            Fall::Freeze(_) => self.state().frozen = true,
            Fall::Kill => self.end(),
        }
        Some(fall)
    }

    /// Its process ends: nothing of it is polled again.
    pub(crate) fn end(&self) {
        let wakers = {
            let mut state = self.state();
            state.dead = true;
            std::mem::take(&mut state.wakers)
        };
        // Each is dropped at its next poll, which does nothing else.
        wakers.into_values().for_each(Waker::wake);
        self.dead.cancel();
    }
}

struct Living {
    number: u64,
    life: Arc<Life>,
    inner: Option<Driven>,
}

impl Future for Living {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let born_before = {
            let mut state = self.life.state();
            if state.dead {
                drop(state);
                self.inner = None;
                return Poll::Ready(());
            }
            state.wakers.insert(self.number, cx.waker().clone());
            if state.frozen {
                return Poll::Pending;
            }
            state.born
        };
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(());
        };
        let ended = inner.as_mut().poll(cx).is_ready();
        let life = self.life.clone();
        let fall = life.polled(born_before);
        if ended || matches!(fall, Some(Fall::Kill)) {
            self.inner = None;
        }
        if let Some(fall) = fall {
            (life.befallen)(&life, fall);
        }
        if self.inner.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // The waker may be the last owner of this task.
        let waker = self.life.state().wakers.remove(&self.number);
        drop(waker);
    }
}
