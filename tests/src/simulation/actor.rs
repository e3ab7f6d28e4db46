//! What the handlers of a simulation do: what is written in the payload, and everything is written down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncetask::task::transition::Phase;
use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, OnceTask, Outcome, Retry, TaskId};

use super::broken::Broken;
use super::clock::Millis;
use super::history::{Scribe, What, Who};
use super::life::Life;
use super::tasks::{Careful, End, Grouped, Keyed, Plain, Script, Scripted, Tick};

/// What the handlers of all workers share: the world in which they act.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) scribe: Scribe,
    pub(crate) broken: Option<Broken>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    runs: HashMap<(TaskId, Phase), usize>,
}

impl Stage {
    pub(crate) fn new(scribe: Scribe, broken: Option<Broken>) -> Self {
        Self {
            scribe,
            broken,
            counts: Arc::default(),
        }
    }
}

/// The handlers of one life of a worker.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) stage: Stage,
    pub(crate) who: Who,
    pub(crate) life: Arc<Life>,
}

impl Actor {
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
            self.runs::<Plain>().config(config(4, 4, heartbeat * 3 / 2)),
            self.cleans_up(self.runs::<Careful>())
                .config(config(2, 5, heartbeat * 4)),
            self.cleans_up_keyed(self.runs::<Keyed>())
                .config(config(3, 6, heartbeat * 4)),
            self.runs_groups().config(config(2, 4, heartbeat * 4)),
            self.runs::<Tick>().config(config(2, 3, heartbeat * 3)),
        ]
    }

    fn runs<T: OnceTask + Scripted>(&self) -> Handler {
        let actor = self.clone();
        Handler::new(move |job: Attempt<T>, cx: Context| {
            let actor = actor.clone();
            async move { actor.play(job.id, job.task.script(), Phase::Run, &cx).await }
        })
    }

    fn cleans_up(&self, handler: Handler) -> Handler {
        let actor = self.clone();
        handler.on_cancel(move |job: Attempt<Careful>, cx: Context| {
            let actor = actor.clone();
            async move { actor.play(job.id, &job.task.script, Phase::Cleanup, &cx).await }
        })
    }

    fn cleans_up_keyed(&self, handler: Handler) -> Handler {
        let actor = self.clone();
        handler.on_cancel(move |job: Attempt<Keyed>, cx: Context| {
            let actor = actor.clone();
            async move { actor.play(job.id, &job.task.script, Phase::Cleanup, &cx).await }
        })
    }

    /// A group does what the script of its first task says, and each of its tasks ends as its own says.
    fn runs_groups(&self) -> Handler {
        let actor = self.clone();
        Handler::new(move |jobs: Vec<Attempt<Grouped>>, cx: Context| {
            let actor = actor.clone();
            async move {
                let ids: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
                let call = actor.begin(ids.clone(), Phase::Run, &jobs[0].task.script);
                if !call.act_out(&cx).await {
                    call.returns("an error for all");
                    return Err(HandlerError::from("told to stop"));
                }
                let ends: Vec<_> = jobs
                    .iter()
                    .map(|job| actor.end(&job.id, &job.task.script, Phase::Run))
                    .collect();
                call.returns("an outcome for each");
                Ok(ends.into_iter().map(Outcome::from).collect::<Vec<_>>())
            }
        })
    }

    async fn play(&self, id: TaskId, script: &Script, phase: Phase, cx: &Context) -> oncetask::Result<u32> {
        let call = self.begin(vec![id.clone()], phase, script);
        let end = if call.act_out(cx).await {
            self.end(&id, script, phase)
        } else {
            Err("told to stop".into())
        };
        call.returns(if end.is_ok() { "ok" } else { "an error" });
        end
    }

    fn begin(&self, ids: Vec<TaskId>, phase: Phase, script: &Script) -> Call {
        let number = {
            let mut counts = self
                .stage
                .counts
                .lock()
                .expect("nothing panics while it holds the lock");
            counts.calls += 1;
            counts.calls
        };
        let call = Call {
            number,
            actor: self.clone(),
            script: script.clone(),
            returned: AtomicBool::new(false),
        };
        call.note(What::Began {
            call: number,
            ids,
            phase,
        });
        call
    }

    /// How this run of the task ends.
    fn end(&self, id: &TaskId, script: &Script, phase: Phase) -> oncetask::Result<u32> {
        let run = {
            let mut counts = self
                .stage
                .counts
                .lock()
                .expect("nothing panics while it holds the lock");
            let runs = counts.runs.entry((id.clone(), phase)).or_default();
            *runs += 1;
            *runs - 1
        };
        let ends = match phase {
            Phase::Run => &script.ends,
            Phase::Cleanup => &script.cleanups,
        };
        match ends.get(run).copied().unwrap_or(End::Done) {
            End::Done => Ok(script.steps),
            End::Fail => Err("by its script".into()),
            End::Permanent => Err(HandlerError::permanent("by its script")),
            End::Snooze(delay) => Err(HandlerError::snooze(Duration::from_millis(delay))),
            End::RetryAfter(delay) => Err(HandlerError::retry_after(
                Duration::from_millis(delay),
                "by its script",
            )),
            End::Cancel => Err(HandlerError::cancel("by its script")),
            End::Panic => panic!("by its script"),
        }
    }
}

/// A call of a handler, until it returns or is dropped.
struct Call {
    number: u64,
    actor: Actor,
    script: Script,
    returned: AtomicBool,
}

impl Call {
    /// Acts as the script says. Returns whether it was not stopped.
    async fn act_out(&self, cx: &Context) -> bool {
        for step in 0..self.script.steps {
            tokio::time::sleep(Duration::from_millis(self.script.step)).await;
            if self.script.listens && cx.is_cancelled() {
                return false;
            }
            self.note(What::Acted { call: self.number });
            if self.script.tells {
                cx.progress(f64::from(step) / f64::from(self.script.steps), "");
            }
        }
        true
    }

    fn returns(&self, how: &'static str) {
        self.returned.store(true, Ordering::Relaxed);
        self.note(What::Returned {
            call: self.number,
            how,
        });
    }

    fn note(&self, what: What) {
        self.actor.stage.scribe.note(self.actor.who, what);
    }

    /// Goes on acting although it was dropped.
    fn haunt(&self) {
        let (actor, call, step) = (self.actor.clone(), self.number, self.script.step);
        let haunting = async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(step)).await;
                actor.stage.scribe.note(actor.who, What::Acted { call });
            }
        };
        tokio::spawn(self.actor.life.wrap(Box::pin(haunting)));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.returned.load(Ordering::Relaxed) {
            return;
        }
        self.note(What::Dropped { call: self.number });
        if self.actor.stage.broken == Some(Broken::HandlerNotDropped) && !self.actor.life.dead.is_cancelled()
        {
            self.haunt();
        }
    }
}
