//! What is run, and in which order.

use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;

/// Somebody's queue, set up in one way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) program: &'static str,
    /// The store of ours, or the variant of a peer.
    pub(crate) variant: &'static str,
    pub(crate) title: &'static str,
    /// What a create that was acknowledged survives.
    pub(crate) survives: Survives,
}

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
        "a channel of tokio: the limit",
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

/// Case by case, so that what is compared ran within a minute; each round begins with another system.
pub(crate) fn plan(round: usize, options: &Options) -> Vec<Measurement> {
    let first = round * SYSTEMS.len() / options.rounds.max(1);
    let order = || SYSTEMS.iter().cycle().skip(first).take(SYSTEMS.len());
    let mut measurements: Vec<_> = CASES
        .iter()
        .flat_map(|&case| order().map(move |system| Measurement { system, case }))
        // Half a minute for each task: once is enough.
        .filter(|measurement| round == 0 || !measurement.waits_for_heartbeats())
        .filter(|measurement| !measurement.is_told_already())
        .collect();
    // The long ones last, where the end of the time costs nobody else a figure.
    measurements.sort_by_key(Measurement::waits_for_heartbeats);
    measurements
}

impl Measurement {
    /// apalis as it is looks for new tasks when its heart beats.
    fn waits_for_heartbeats(&self) -> bool {
        self.case == Case::Latency
            && self.system.variant == "defaults"
            && self.system.program.starts_with("apalis")
    }

    /// effectum's setting is one of the worker.
    fn is_told_already(&self) -> bool {
        let of_worker = matches!(self.case, Case::Drain(_));
        self.system.program == "effectum" && self.system.variant == "tuned" && !of_worker
    }

    pub(crate) fn name(&self) -> String {
        format!("{:?} {} {}", self.case, self.system.program, self.system.variant)
    }

    /// How long the program may take in all.
    pub(crate) fn patience(&self, options: &Options) -> Duration {
        self.limit(options) * 4 + Duration::from_mins(1)
    }

    fn limit(&self, options: &Options) -> Duration {
        if self.waits_for_heartbeats() {
            options.limit.max(Duration::from_secs(65))
        } else {
            options.limit
        }
    }

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
