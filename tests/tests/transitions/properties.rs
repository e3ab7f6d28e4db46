//! Whatever happens to a task in whatever order, these stay true.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::Status;
use oncetask::task::transition::{self, Change, LeaseLost, MAX_ERROR_BYTES, MAX_ERRORS, Phase, Verdict};
use oncetask::task::{Ending, Json, LeaseToken, Progress, Task, TaskState, whole_millis};
use proptest::prelude::*;

use super::{at, claim, task};

/// One thing that happens, so many microseconds after the one before.
#[derive(Clone, Debug)]
struct Event {
    micros: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A worker looks for work.
    Claim,
    /// The worker that holds the task extends its lease and tells its progress.
    Renew {
        micros: i64,
    },
    /// The worker that holds the task ends its claim.
    Finish {
        say: Say,
        cleanup: bool,
    },
    /// A worker that held the task once comes back.
    Ghost {
        renews: bool,
    },
    Cancel,
    Reset,
}

/// A verdict whose instants are so many microseconds ahead.
#[derive(Clone, Debug)]
enum Say {
    Complete,
    Retry { micros: i64, error: String },
    Fail { error: String },
    Cancel { reason: String },
    Snooze { micros: i64 },
    Release,
    Defer { micros: i64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Half of the gaps are shorter than a lease, half are longer.
    let micros = prop_oneof![0..30_000_000_i64, 0..200_000_000_i64];
    let what = prop_oneof![
        6 => Just(What::Claim),
        2 => (0..120_000_000_i64).prop_map(|micros| What::Renew { micros }),
        6 => (say(), any::<bool>()).prop_map(|(say, cleanup)| What::Finish { say, cleanup }),
        2 => any::<bool>().prop_map(|renews| What::Ghost { renews }),
        1 => Just(What::Cancel),
        1 => Just(What::Reset),
    ];
    let event = (micros, what).prop_map(|(micros, what)| Event { micros, what });
    prop::collection::vec(event, 0..400)
}

fn say() -> impl Strategy<Value = Say> {
    let ahead = || -5_000_000..60_000_000_i64;
    let error = || prop_oneof![40 => "[a-zü🦀]{0,20}", 1 => "[üx🦀]{2000,2500}"];
    prop_oneof![
        1 => Just(Say::Complete),
        12 => (ahead(), error()).prop_map(|(micros, error)| Say::Retry { micros, error }),
        1 => error().prop_map(|error| Say::Fail { error }),
        1 => error().prop_map(|reason| Say::Cancel { reason }),
        2 => ahead().prop_map(|micros| Say::Snooze { micros }),
        2 => Just(Say::Release),
        2 => ahead().prop_map(|micros| Say::Defer { micros }),
    ]
}

/// A task, and what an honest book-keeper knows of it.
struct Story {
    task: Task,
    now: DateTime<Utc>,
    /// The claim that is held, and whether an attempt of the same handler fell silent before it.
    held: Option<(LeaseToken, bool)>,
    ghosts: Vec<LeaseToken>,
    /// Calls of the handler and of the cleanup handler that ended well.
    successes: [u32; 2],
    /// What went wrong, in order: the phase, and the error if a handler said it.
    errors: Vec<(Phase, Option<String>)>,
}

impl Story {
    fn begin() -> Self {
        Self {
            task: task(),
            now: at(0),
            held: None,
            ghosts: Vec::new(),
            successes: [0, 0],
            errors: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        self.now += TimeDelta::microseconds(event.micros);
        let before = self.task.clone();
        match event.what {
            What::Claim => self.claim(),
            What::Renew { micros } => self.renew(micros),
            What::Finish { say, cleanup } => self.finish(say, cleanup),
            What::Ghost { renews } => self.ghost(renews),
            What::Cancel => self.cancel(),
            What::Reset => self.reset(),
        }
        if before.is_done() && self.task.is_done() {
            assert_eq!(before, self.task, "what has ended stays as it is");
        }
        self.check();
    }

    fn later(&self, micros: i64) -> DateTime<Utc> {
        self.now + TimeDelta::microseconds(micros)
    }

    fn claim(&mut self) {
        if !transition::is_due(&self.task.state, self.now) {
            return;
        }
        let expected = self.held.is_some();
        let phase = self.phase();
        self.ghosts.extend(self.held.take().map(|(token, _)| token));
        let (token, silent) = claim(&mut self.task, self.now);
        assert_eq!(orphaned, expected);
        if silent {
            self.errors.push((phase, None));
        }
        let exhausted = silent && phase == self.phase();
        self.held = Some((token, exhausted));
    }

    /// What the claim that is held is for.
    fn phase(&self) -> Phase {
        let lease = self.task.state.lease.as_ref();
        lease.map_or(Phase::Run, |lease| lease.phase)
    }

    fn renew(&mut self, micros: i64) {
        let Some((token, _)) = self.held else { return };
        let (now, until) = (self.now, self.later(micros));
        let progress = Progress {
            fraction: 0.5,
            message: "half".into(),
            at: now,
        };
        let alive = self.task.state.due().is_some_and(|ends| ends > now);
        let renewed = transition::renew(&mut self.task.state, token, Some(until), Some(progress), now);
        assert_eq!(renewed.is_ok(), alive, "a lease is extended until it has ended");
    }

    fn finish(&mut self, say: Say, cleanup: bool) {
        let Some((token, exhausted)) = self.held.take() else {
            return;
        };
        self.ghosts.push(token);
        let (phase, was_cancelled) = (self.phase(), self.task.state.cancelled_at.is_some());
        let (verdict, asked) = self.verdict(say, phase, exhausted);
        let finished = transition::finish(&mut self.task.state, token, verdict, cleanup, self.now);
        assert_eq!(finished, Ok(()));
        let goes_on = phase == Phase::Cleanup || !was_cancelled;
        if let Some(asked) = asked.filter(|_| goes_on) {
            assert!(
                self.task.state.wait_until >= asked,
                "nothing runs earlier than asked"
            );
        }
        if was_cancelled && phase == Phase::Run {
            assert_eq!(
                self.task.is_done(),
                !cleanup,
                "the cleanup handler runs if there is one"
            );
        }
    }

    /// What the worker says, written into the book, and the instant it asks for.
    fn verdict(&mut self, say: Say, phase: Phase, exhausted: bool) -> (Verdict, Option<DateTime<Utc>>) {
        let later = |micros| self.now + TimeDelta::microseconds(micros);
        match say {
            Say::Complete => {
                self.successes[phase as usize] += 1;
                (Verdict::Complete(Some(Json::parse("1").expect("JSON"))), None)
            }
            Say::Retry { micros, error } => {
                let at = later(micros);
                self.errors.push((phase, Some(error.clone())));
                (Verdict::Retry { at, error }, Some(at))
            }
            // Only silence uses attempts up without a word.
            Say::Fail { .. } if exhausted => (Verdict::Exhausted, None),
            Say::Fail { error } => {
                self.errors.push((phase, Some(error.clone())));
                (Verdict::Fail { error }, None)
            }
            Say::Cancel { reason } => {
                self.errors.push((phase, Some(reason.clone())));
                (Verdict::Cancel { reason }, None)
            }
            Say::Snooze { micros } => (Verdict::Snooze { at: later(micros) }, Some(later(micros))),
            Say::Release => (Verdict::Release, None),
            Say::Defer { micros } => (Verdict::Defer { at: later(micros) }, Some(later(micros))),
        }
    }

    fn ghost(&mut self, renews: bool) {
        let before = self.task.clone();
        for ghost in &self.ghosts {
            let state = &mut self.task.state;
            let refused = if renews {
                transition::renew(state, *ghost, Some(self.now), None, self.now)
            } else {
                transition::finish(state, *ghost, Verdict::Complete(None), false, self.now)
            };
            assert_eq!(refused, Err(LeaseLost));
        }
        assert_eq!(self.task, before, "a refused write changes nothing");
    }

    fn cancel(&mut self) {
        let before = self.task.clone();
        let expected = match before.state.done.map(|done| done.how) {
            Some(Ending::Completed | Ending::Failed) => Change::AlreadyDone,
            _ if before.state.cancelled_at.is_some() => Change::AlreadyCancelled,
            _ => Change::Applied,
        };
        assert_eq!(transition::cancel(&mut self.task, self.now), expected);
        if expected != Change::Applied {
            assert_eq!(self.task, before);
        }
    }

    fn reset(&mut self) {
        let change = transition::reset(&mut self.task, self.now);
        if change == Change::Applied {
            assert_eq!(self.task.state, TaskState::waiting_until(whole_millis(self.now)));
            self.held = None;
            self.successes = [0, 0];
            self.errors.clear();
        } else {
            assert_eq!((change, self.task.is_done()), (Change::NotDone, false));
        }
    }

    /// What is true at every moment.
    fn check(&self) {
        self.check_ledger();
        self.check_instants();
        self.check_status();
    }

    /// Attempts are successes, errors, and the one that is under way.
    fn check_ledger(&self) {
        let state = &self.task.state;
        for (phase, attempts) in [
            (Phase::Run, state.attempts),
            (Phase::Cleanup, state.cleanup_attempts),
        ] {
            let errors = self.errors.iter().filter(|(of, _)| *of == phase).count();
            let under_way = state.lease.as_ref().is_some_and(|lease| lease.phase == phase);
            let sum = self.successes[phase as usize] as usize + errors + usize::from(under_way);
            assert_eq!(attempts as usize, sum, "attempts and errors add up: {phase:?}");
        }
    }

    /// The first error and the last 99, each cut at a character.
    fn check_errors(&self) {
        let errors = self.task.errors();
        assert_eq!(errors.len(), self.errors.len().min(MAX_ERRORS));
        let newest = self.errors.iter().rev().take(MAX_ERRORS - 1).rev();
        let kept = self
            .errors
            .first()
            .into_iter()
            .chain(newest.skip(usize::from(self.errors.len() < MAX_ERRORS)));
        for (stored, (phase, said)) in errors.iter().zip(kept) {
            assert_eq!(stored.cleanup, *phase == Phase::Cleanup);
            assert!(stored.error.len() <= MAX_ERROR_BYTES);
            match said {
                Some(said) if said.len() <= MAX_ERROR_BYTES => assert_eq!(stored.error, *said),
                Some(said) => {
                    let kept = stored
                        .error
                        .strip_suffix(" [truncated]")
                        .expect("a truncated text ends with the mark");
                    assert!(said.starts_with(kept) && kept.len() > MAX_ERROR_BYTES - 16);
                }
                None => assert!(stored.error.contains("without a word")),
            }
        }
    }

    fn check_instants(&self) {
        let state = &self.task.state;
        let instants = [Some(state.wait_until), state.cancelled_at, state.due()]
            .into_iter()
            .chain([state.done.map(|done| done.at)])
            .chain([state.progress.as_ref().map(|progress| progress.at)])
            .chain(state.errors.iter().map(|error| Some(error.at)));
        for instant in instants.flatten() {
            assert_eq!(instant, whole_millis(instant));
        }
    }

    fn check_status(&self) {
        let state = &self.task.state;
        let status = self.task.status(self.now);
        assert_eq!(status.is_done(), state.done.is_some());
        assert_eq!(state.due().is_none(), state.done.is_some());
        if status.is_done() {
            assert_eq!(state.lease, None);
        }
        if status == Status::Pending {
            assert!(transition::is_due(state, self.now));
        }
        match (state.cancelled_at, status) {
            (None, status) => assert_ne!(status, Status::CancellationPending),
            (Some(_), Status::CancellationPending | Status::Cancelled) => {}
            (Some(_), Status::Failed) => assert!(
                self.errors.iter().any(|(phase, _)| *phase == Phase::Cleanup),
                "only its cleanup fails a cancelled task"
            ),
            (Some(_), status) => panic!("a cancelled task is {status}"),
        }
        if status == Status::Failed {
            assert!(!state.errors.is_empty(), "a failed task says why");
        }
        if status == Status::Completed {
            assert_eq!(self.successes, [1, 0]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_life_adds_up(events in events()) {
        let mut story = Story::begin();
        for event in events {
            story.tell(event);
        }
        story.check_errors();
    }

    #[test]
    fn instants_are_rounded_so_that_nothing_runs_early(micros in 0..i64::from(u32::MAX)) {
        let asked = at(0) + TimeDelta::microseconds(micros);
        let mut task = task();
        let (token, _) = claim(&mut task, at(0));
        let snooze = Verdict::Snooze { at: asked };
        transition::finish(&mut task.state, token, snooze, false, at(1)).expect("it is held");
        let late = task.state.wait_until - asked;
        prop_assert!(late >= TimeDelta::zero() && late < TimeDelta::milliseconds(1));
    }
}
