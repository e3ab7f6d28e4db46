//! The handlers of a worker node. A handler follows the script in its payload and records every effect.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oncetask::task::transition::Phase;
use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, OnceTask, Outcome, Retry, TaskId};

use super::broken::Broken;
use super::clock::Millis;
use super::history::{EventKind, NodeId, Recorder};
use super::process::Process;
use super::tasks::{Careful, End, Grouped, Keyed, Plain, Script, Scripted, Tick};

/// The state that the handlers of all nodes share.
#[derive(Clone, Debug)]
pub(crate) struct SharedState {
    pub(crate) recorder: Recorder,
    pub(crate) broken: Option<Broken>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    attempts: HashMap<(TaskId, Phase), usize>,
}

impl SharedState {
    pub(crate) fn new(recorder: Recorder, broken: Option<Broken>) -> Self {
        Self {
            recorder,
            broken,
            counts: Arc::default(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no panic while locked")
    }
}

/// One process of a worker.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) process: Arc<Process>,
    pub(crate) shared: SharedState,
}

impl Node {
    pub(crate) fn handlers(&self, heartbeat: Millis) -> Vec<Handler> {
        let config = |concurrency, attempts, lease| {
            let retry = Retry::fixed(Duration::from_millis(heartbeat / 8)).max_attempts(attempts);
            HandlerConfig::DEFAULT
                .concurrency(concurrency)
                .retry(retry.full_jitter())
                .on_cancel_retry(retry)
                .lease(Duration::from_millis(lease))
                .max_group(3)
        };
        vec![
            self.handler::<Plain>().config(config(4, 4, heartbeat * 3 / 2)),
            self.with_careful_cleanup(self.handler::<Careful>())
                .config(config(2, 5, heartbeat * 4)),
            self.with_keyed_cleanup(self.handler::<Keyed>())
                .config(config(3, 6, heartbeat * 4)),
            self.grouped_handler().config(config(2, 4, heartbeat * 4)),
            self.handler::<Tick>().config(config(2, 3, heartbeat * 3)),
        ]
    }

    fn handler<T: OnceTask + Scripted>(&self) -> Handler {
        let node = self.clone();
        Handler::new(move |attempt: Attempt<T>, cx: Context| {
            let node = node.clone();
            async move {
                let script = attempt.task.script();
                node.run_script(attempt.id, script, Phase::Run, &cx).await
            }
        })
    }

    fn with_careful_cleanup(&self, handler: Handler) -> Handler {
        let node = self.clone();
        handler.on_cancel(move |attempt: Attempt<Careful>, cx: Context| {
            let node = node.clone();
            async move {
                let script = &attempt.task.script;
                node.run_script(attempt.id, script, Phase::Cleanup, &cx).await
            }
        })
    }

    fn with_keyed_cleanup(&self, handler: Handler) -> Handler {
        let node = self.clone();
        handler.on_cancel(move |attempt: Attempt<Keyed>, cx: Context| {
            let node = node.clone();
            async move {
                let script = &attempt.task.script;
                node.run_script(attempt.id, script, Phase::Cleanup, &cx).await
            }
        })
    }

    /// Returns the handler of groups. The effects of a group follow the script of its first task. Each task ends by
    /// its own script.
    fn grouped_handler(&self) -> Handler {
        let node = self.clone();
        Handler::new(move |attempts: Vec<Attempt<Grouped>>, cx: Context| {
            let node = node.clone();
            async move {
                let ids: Vec<_> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
                let call = node.start_call(ids.clone(), Phase::Run, &attempts[0].task.script);
                if !call.run_steps(&cx).await {
                    call.returns("an error for all");
                    return Err(HandlerError::from("signalled to stop"));
                }
                let ends: Vec<_> = attempts
                    .iter()
                    .map(|attempt| node.end(&attempt.id, &attempt.task.script, Phase::Run))
                    .collect();
                call.returns("an outcome for each");
                Ok(ends.into_iter().map(Outcome::from).collect::<Vec<_>>())
            }
        })
    }

    async fn run_script(
        &self,
        id: TaskId,
        script: &Script,
        phase: Phase,
        cx: &Context,
    ) -> oncetask::Result<u32> {
        let call = self.start_call(vec![id.clone()], phase, script);
        let end = if call.run_steps(cx).await {
            self.end(&id, script, phase)
        } else {
            Err("signalled to stop".into())
        };
        call.returns(if end.is_ok() { "ok" } else { "an error" });
        end
    }

    fn start_call(&self, ids: Vec<TaskId>, phase: Phase, script: &Script) -> Call {
        let number = {
            let mut counts = self.shared.counts();
            counts.calls += 1;
            counts.calls
        };
        let call = Call {
            number,
            node: self.clone(),
            script: script.clone(),
            returned: AtomicBool::new(false),
        };
        call.record(EventKind::CallStarted {
            call: number,
            ids,
            phase,
        });
        call
    }

    /// Counts an attempt of the task and returns its end according to the script.
    fn end(&self, id: &TaskId, script: &Script, phase: Phase) -> oncetask::Result<u32> {
        let attempt = {
            let mut counts = self.shared.counts();
            let attempts = counts.attempts.entry((id.clone(), phase)).or_default();
            *attempts += 1;
            *attempts - 1
        };
        let ends = match phase {
            Phase::Run => &script.ends,
            Phase::Cleanup => &script.cleanup_ends,
            _ => unreachable!("unknown phase {phase:?}"),
        };
        match ends.get(attempt).copied().unwrap_or(End::Done) {
            End::Done => Ok(script.steps),
            End::Fail => Err("scripted".into()),
            End::Permanent => Err(HandlerError::permanent("scripted")),
            End::Snooze(delay) => Err(HandlerError::snooze(Duration::from_millis(delay))),
            End::RetryAfter(delay) => Err(HandlerError::retry_after(
                Duration::from_millis(delay),
                "scripted",
            )),
            End::Cancel => Err(HandlerError::cancel("scripted")),
            End::Panic => panic!("scripted"),
        }
    }
}

/// A call of a handler, until it returns or is dropped.
struct Call {
    number: u64,
    node: Node,
    script: Script,
    returned: AtomicBool,
}

impl Call {
    /// Runs the steps of the script. Returns false if the handler stopped because it was signalled.
    async fn run_steps(&self, cx: &Context) -> bool {
        for step in 0..self.script.steps {
            tokio::time::sleep(Duration::from_millis(self.script.step)).await;
            if self.script.obeys_cancellation && cx.is_cancelled() {
                return false;
            }
            self.record(EventKind::Effect { call: self.number });
            if self.script.reports_progress {
                cx.progress(f64::from(step) / f64::from(self.script.steps), "");
            }
        }
        true
    }

    fn returns(&self, how: &'static str) {
        self.returned.store(true, Ordering::Relaxed);
        self.record(EventKind::CallReturned {
            call: self.number,
            how,
        });
    }

    fn record(&self, kind: EventKind) {
        self.node.shared.recorder.record(self.node.id, kind);
    }

    /// Continues to have effects although the call was dropped, as if the library had not stopped the handler.
    fn continue_after_drop(&self) {
        let (node, call, step) = (self.node.clone(), self.number, self.script.step);
        let effects = async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(step)).await;
                node.shared.recorder.record(node.id, EventKind::Effect { call });
            }
        };
        tokio::spawn(self.node.process.wrap(Box::pin(effects)));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.returned.load(Ordering::Relaxed) {
            return;
        }
        self.record(EventKind::CallDropped { call: self.number });
        if self.node.shared.broken == Some(Broken::HandlerNotDropped)
            && !self.node.process.terminated.is_cancelled()
        {
            self.continue_after_drop();
        }
    }
}
