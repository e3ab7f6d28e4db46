//! The measurements, and their order.

use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;

/// A queue in one variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) program: &'static str,
    /// The store of oncetask, or the variant of a peer.
    pub(crate) variant: &'static str,
    pub(crate) title: &'static str,
    pub(crate) survives: Survives,
}

/// The failure that an acknowledged create survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    PowerCut,
    Crash,
    Nothing,
}

impl Survives {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PowerCut => "power cut",
            Self::Crash => "crash",
            Self::Nothing => "nothing",
        }
    }
}

/// The program of oncetask's benches.
pub(crate) const OURS: &str = "oncetask";

const fn system(
    program: &'static str,
    variant: &'static str,
    title: &'static str,
    survives: Survives,
) -> System {
    System {
        program,
        variant,
        title,
        survives,
    }
}

pub(crate) const SYSTEMS: &[System] = &[
    system(
        OURS,
        "sqlite",
        "**oncetask**, SQLite FULL (default)",
        Survives::PowerCut,
    ),
    system("effectum", "defaults", "effectum", Survives::PowerCut),
    system(
        "effectum",
        "tuned",
        "effectum, fetching at half",
        Survives::PowerCut,
    ),
    system(
        "apalis-sqlite",
        "tuned",
        "apalis-sqlite, FULL, hook, batches of 100",
        Survives::PowerCut,
    ),
    system(
        "apalis-postgres",
        "defaults",
        "apalis-postgres",
        Survives::PowerCut,
    ),
    system(
        "apalis-postgres",
        "tuned",
        "apalis-postgres, LISTEN, batches of 100",
        Survives::PowerCut,
    ),
    system(
        "graphile-worker",
        "defaults",
        "graphile_worker",
        Survives::PowerCut,
    ),
    system(
        "graphile-worker",
        "tuned",
        "graphile_worker, local queue, batched completion",
        Survives::PowerCut,
    ),
    system(
        OURS,
        "sqlite-normal",
        "**oncetask**, SQLite NORMAL",
        Survives::Crash,
    ),
    system(
        "effectum",
        "wal",
        "effectum, on a WAL file, fetching at half",
        Survives::Crash,
    ),
    system("apalis-sqlite", "defaults", "apalis-sqlite", Survives::Crash),
    system(OURS, "memory", "**oncetask**, in memory", Survives::Nothing),
    system(
        "channel",
        "tokio",
        "a tokio channel: the limit",
        Survives::Nothing,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    Create(usize),
    CreateAll,
    Drain(usize),
    Latency,
}

pub(crate) const CASES: &[Case] = &[
    Case::Create(1),
    Case::Create(100),
    Case::CreateAll,
    Case::Drain(1),
    Case::Drain(10),
    Case::Drain(100),
    Case::Latency,
];

/// One run of one program.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) system: &'static System,
    pub(crate) case: Case,
}

/// Returns the measurements of a round, case by case, so that compared measurements run within a minute. Each
/// round begins with another system.
pub(crate) fn plan(round: usize, options: &Options) -> Vec<Measurement> {
    let first = round * SYSTEMS.len() / options.rounds.max(1);
    let order = || SYSTEMS.iter().cycle().skip(first).take(SYSTEMS.len());
    let mut measurements: Vec<_> = CASES
        .iter()
        .flat_map(|&case| order().map(move |system| Measurement { system, case }))
        // These take half a minute per task, so they run in the first round only.
        .filter(|measurement| round == 0 || !measurement.waits_for_heartbeats())
        .filter(|measurement| !measurement.equals_the_defaults())
        .collect();
    // The long ones are last, so that the end of the time budget omits no other measurement.
    measurements.sort_by_key(Measurement::waits_for_heartbeats);
    measurements
}

impl Measurement {
    /// Returns whether each task waits for the next heartbeat: apalis with its defaults polls only then.
    fn waits_for_heartbeats(&self) -> bool {
        self.case == Case::Latency
            && self.system.variant == "defaults"
            && self.system.program.starts_with("apalis")
    }

    /// Returns whether the variant has no effect on the case: effectum's setting affects only the worker.
    fn equals_the_defaults(&self) -> bool {
        let runs_worker = matches!(self.case, Case::Drain(_));
        self.system.program == "effectum" && self.system.variant == "tuned" && !runs_worker
    }

    /// Returns the name of the measurement for messages.
    pub(crate) fn name(&self) -> String {
        format!("{:?} {} {}", self.case, self.system.program, self.system.variant)
    }

    /// Returns the duration after which the program is killed.
    pub(crate) fn timeout(&self, options: &Options) -> Duration {
        self.limit(options) * 4 + Duration::from_mins(1)
    }

    /// Returns the time limit that a peer gets.
    fn limit(&self, options: &Options) -> Duration {
        if self.waits_for_heartbeats() {
            options.limit.max(Duration::from_secs(65))
        } else {
            options.limit
        }
    }

    /// Returns the program and its arguments.
    pub(crate) fn command(&self, options: &Options, server: &str) -> (PathBuf, Vec<String>) {
        let mut arguments = vec![self.case_name().to_owned(), "--tasks".to_owned()];
        arguments.push(match self.case {
            Case::Latency => (options.tasks / 100).to_string(),
            _ => options.tasks.to_string(),
        });
        if let Case::Create(concurrency) | Case::Drain(concurrency) = self.case {
            arguments.extend(["--concurrency".to_owned(), concurrency.to_string()]);
        }
        if self.system.program == OURS {
            arguments.extend(["--store".to_owned(), self.system.variant.to_owned()]);
            return (options.ours.clone(), arguments);
        }
        arguments.extend(["--variant".to_owned(), self.system.variant.to_owned()]);
        arguments.extend([
            "--seconds".to_owned(),
            self.limit(options).as_secs_f64().to_string(),
        ]);
        if ["apalis-postgres", "graphile-worker"].contains(&self.system.program) {
            arguments.extend(["--place".to_owned(), server.to_owned()]);
        }
        let program = match self.system.program {
            "effectum" => options.effectum.clone(),
            other => options.peers.join(other),
        };
        (program, arguments)
    }

    fn case_name(&self) -> &'static str {
        match self.case {
            Case::Create(_) => "create",
            Case::CreateAll => "create_all",
            Case::Drain(_) => "drain",
            Case::Latency => "latency",
        }
    }
}
