//! Invariants that hold after any sequence of events.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::Status;
use oncetask::task::transition::{self, Change, LeaseLost, MAX_ERROR_BYTES, MAX_ERRORS, Phase, Verdict};
use oncetask::task::{Ending, Json, LeaseToken, Progress, Task, TaskState, whole_millis};
use proptest::prelude::*;

use super::{at, claim, task};

/// An event, and its delay after the previous one in microseconds.
#[derive(Clone, Debug)]
struct Step {
    micros: i64,
    event: Event,
}

#[derive(Clone, Debug)]
enum Event {
    /// A worker claims the task if it is due.
    Claim,
    /// The worker with the active claim renews its lease by this number of microseconds, and stores progress.
    Renew {
        micros: i64,
    },
    /// The worker with the active claim ends it.
    Finish {
        outcome: Outcome,
        cleanup: bool,
    },
    /// Workers whose claims are lost write under their old tokens.
    StaleWrite {
        renews: bool,
    },
    Cancel,
    Reset,
}

/// A verdict whose instants are relative to the event, in microseconds.
#[derive(Clone, Debug)]
enum Outcome {
    Complete,
    Retry { micros: i64, error: String },
    Fail { error: String },
    Cancel { reason: String },
    Snooze { micros: i64 },
    Release,
    Defer { micros: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Half of the delays are shorter than a lease; most of the others are longer.
    let micros = prop_oneof![0..30_000_000_i64, 0..200_000_000_i64];
    let event = prop_oneof![
        6 => Just(Event::Claim),
        2 => (0..120_000_000_i64).prop_map(|micros| Event::Renew { micros }),
        6 => (outcome(), any::<bool>()).prop_map(|(outcome, cleanup)| Event::Finish { outcome, cleanup }),
        2 => any::<bool>().prop_map(|renews| Event::StaleWrite { renews }),
        1 => Just(Event::Cancel),
        1 => Just(Event::Reset),
    ];
    let step = (micros, event).prop_map(|(micros, event)| Step { micros, event });
    prop::collection::vec(step, 0..400)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let offset = || -5_000_000..60_000_000_i64;
    let error = || prop_oneof![40 => "[a-zü🦀]{0,20}", 1 => "[üx🦀]{2000,2500}"];
    prop_oneof![
        1 => Just(Outcome::Complete),
        12 => (offset(), error()).prop_map(|(micros, error)| Outcome::Retry { micros, error }),
        1 => error().prop_map(|error| Outcome::Fail { error }),
        1 => error().prop_map(|reason| Outcome::Cancel { reason }),
        2 => offset().prop_map(|micros| Outcome::Snooze { micros }),
        2 => Just(Outcome::Release),
        2 => offset().prop_map(|micros| Outcome::Defer { micros }),
    ]
}

/// A task, and a model of its state that is kept independently of it.
struct Model {
    task: Task,
    now: DateTime<Utc>,
    /// The active claim, and whether an orphaned attempt of the same phase preceded it.
    active: Option<(LeaseToken, bool)>,
    /// The tokens of lost claims.
    stale: Vec<LeaseToken>,
    /// The number of successes of the handler and of the cleanup handler.
    successes: [u32; 2],
    /// The errors in order: the phase, and the text; `None` for an orphaned attempt.
    errors: Vec<(Phase, Option<String>)>,
}

impl Model {
    fn new() -> Self {
        Self {
            task: task(),
            now: at(0),
            active: None,
            stale: Vec::new(),
            successes: [0, 0],
            errors: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        self.now += TimeDelta::microseconds(step.micros);
        let before = self.task.clone();
        match step.event {
            Event::Claim => self.claim(),
            Event::Renew { micros } => self.renew(micros),
            Event::Finish { outcome, cleanup } => self.finish(outcome, cleanup),
            Event::StaleWrite { renews } => self.stale_write(renews),
            Event::Cancel => self.cancel(),
            Event::Reset => self.reset(),
        }
        if before.is_done() && self.task.is_done() {
            assert_eq!(before, self.task, "a done task changed");
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
        let expected = self.active.is_some();
        let phase = self.phase();
        self.stale.extend(self.active.take().map(|(token, _)| token));
        let (token, orphaned) = claim(&mut self.task, self.now);
        assert_eq!(orphaned, expected);
        if orphaned {
            self.errors.push((phase, None));
        }
        let exhausted = orphaned && phase == self.phase();
        self.active = Some((token, exhausted));
    }

    /// Returns the phase of the active claim.
    fn phase(&self) -> Phase {
        let lease = self.task.state.lease.as_ref();
        lease.map_or(Phase::Run, |lease| lease.phase)
    }

    fn renew(&mut self, micros: i64) {
        let Some((token, _)) = self.active else { return };
        let (now, until) = (self.now, self.later(micros));
        let progress = Progress::new(0.5, "half", now);
        let is_active = self.task.state.due().is_some_and(|ends| ends > now);
        let renewed = transition::renew(&mut self.task.state, token, Some(until), Some(progress), now);
        assert_eq!(renewed.is_ok(), is_active, "a lease is renewed until it expires");
    }

    fn finish(&mut self, outcome: Outcome, cleanup: bool) {
        let Some((token, exhausted)) = self.active.take() else {
            return;
        };
        self.stale.push(token);
        let (phase, was_cancelled) = (self.phase(), self.task.state.cancelled_at.is_some());
        let (verdict, asked) = self.verdict(outcome, phase, exhausted);
        let finished = transition::finish(&mut self.task.state, token, verdict, cleanup, self.now);
        assert_eq!(finished, Ok(()));
        let applies = phase == Phase::Cleanup || !was_cancelled;
        if let Some(asked) = asked.filter(|_| applies) {
            assert!(
                self.task.state.wait_until >= asked,
                "the task is due earlier than asked"
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

    /// Returns the verdict, and the due time that it asks for. Records the outcome in the model.
    fn verdict(
        &mut self,
        outcome: Outcome,
        phase: Phase,
        exhausted: bool,
    ) -> (Verdict, Option<DateTime<Utc>>) {
        let later = |micros| self.now + TimeDelta::microseconds(micros);
        match outcome {
            Outcome::Complete => {
                self.successes[phase as usize] += 1;
                (Verdict::Complete(Some(Json::parse("1").expect("JSON"))), None)
            }
            Outcome::Retry { micros, error } => {
                let at = later(micros);
                self.errors.push((phase, Some(error.clone())));
                (Verdict::Retry { at, error }, Some(at))
            }
            // Attempts can only be exhausted by orphaned attempts.
            Outcome::Fail { .. } if exhausted => (Verdict::Exhausted, None),
            Outcome::Fail { error } => {
                self.errors.push((phase, Some(error.clone())));
                (Verdict::Fail { error }, None)
            }
            Outcome::Cancel { reason } => {
                self.errors.push((phase, Some(reason.clone())));
                (Verdict::Cancel { reason }, None)
            }
            Outcome::Snooze { micros } => (Verdict::Snooze { at: later(micros) }, Some(later(micros))),
            Outcome::Release => (Verdict::Release, None),
            Outcome::Defer { micros } => (Verdict::Defer { at: later(micros) }, Some(later(micros))),
        }
    }

    fn stale_write(&mut self, renews: bool) {
        let before = self.task.clone();
        for token in &self.stale {
            let state = &mut self.task.state;
            let refused = if renews {
                transition::renew(state, *token, Some(self.now), None, self.now)
            } else {
                transition::finish(state, *token, Verdict::Complete(None), false, self.now)
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
            self.active = None;
            self.successes = [0, 0];
            self.errors.clear();
        } else {
            assert_eq!((change, self.task.is_done()), (Change::NotDone, false));
        }
    }

    /// Checks the invariants.
    fn check(&self) {
        self.check_counts();
        self.check_instants();
        self.check_status();
    }

    /// Checks that the attempts of a phase are its successes, its errors and its running attempt.
    fn check_counts(&self) {
        let state = &self.task.state;
        for (phase, attempts) in [
            (Phase::Run, state.attempts),
            (Phase::Cleanup, state.cleanup_attempts),
        ] {
            let errors = self.errors.iter().filter(|(of, _)| *of == phase).count();
            let is_running = state.lease.as_ref().is_some_and(|lease| lease.phase == phase);
            let sum = self.successes[phase as usize] as usize + errors + usize::from(is_running);
            assert_eq!(attempts as usize, sum, "attempts and errors add up: {phase:?}");
        }
    }

    /// Checks that the first error and the last 99 are stored, each truncated at a character boundary.
    fn check_errors(&self) {
        let errors = self.task.errors();
        assert_eq!(errors.len(), self.errors.len().min(MAX_ERRORS));
        let newest = self.errors.iter().rev().take(MAX_ERRORS - 1).rev();
        let kept = self
            .errors
            .first()
            .into_iter()
            .chain(newest.skip(usize::from(self.errors.len() < MAX_ERRORS)));
        for (stored, (phase, error)) in errors.iter().zip(kept) {
            assert_eq!(stored.cleanup, *phase == Phase::Cleanup);
            assert!(stored.error.len() <= MAX_ERROR_BYTES);
            match error {
                Some(error) if error.len() <= MAX_ERROR_BYTES => assert_eq!(stored.error, *error),
                Some(error) => {
                    let kept = stored
                        .error
                        .strip_suffix(" [truncated]")
                        .expect("a truncated text ends with the mark");
                    assert!(error.starts_with(kept) && kept.len() > MAX_ERROR_BYTES - 16);
                }
                None => assert!(stored.error.contains("lease expired")),
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
                "a cancelled task failed without an error of its cleanup"
            ),
            (Some(_), status) => panic!("a cancelled task is {status}"),
        }
        if status == Status::Failed {
            assert!(!state.errors.is_empty(), "a failed task has no error");
        }
        if status == Status::Completed {
            assert_eq!(self.successes, [1, 0]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_after_any_events(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.check_errors();
    }

    #[test]
    fn due_times_are_rounded_up(micros in 0..i64::from(u32::MAX)) {
        let asked = at(0) + TimeDelta::microseconds(micros);
        let mut task = task();
        let (token, _) = claim(&mut task, at(0));
        let snooze = Verdict::Snooze { at: asked };
        transition::finish(&mut task.state, token, snooze, false, at(1)).expect("the claim is active");
        let late = task.state.wait_until - asked;
        prop_assert!(late >= TimeDelta::zero() && late < TimeDelta::milliseconds(1));
    }
}
