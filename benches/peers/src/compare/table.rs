//! The results page: medians, ranges and ratios of the measurements.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bench_report::Line;
use peers::CUT_OFF_NOTE;

use crate::Result;
use crate::machine::Machine;
use crate::options::Options;
use crate::plan::{CASES, Case, Measurement, OURS, SYSTEMS, System};
use crate::server::SETTINGS;

/// The outcomes of all measurements, by case and by index in [`SYSTEMS`].
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(Case, usize), Vec<Outcome>>);

/// The number of a round, and the measurement or the error.
type Outcome = (usize, std::result::Result<Line, String>);

/// One figure in all rounds.
struct Figures {
    /// The number of each round, and the figure.
    by_round: Vec<(usize, f64)>,
    /// True if a round reached the time limit.
    cut_off: bool,
}

impl Figures {
    fn median(&self) -> Option<f64> {
        median(self.by_round.iter().map(|&(_, figure)| figure).collect())
    }

    /// Returns the text of a table cell: the median, followed by the lowest and the highest figure.
    fn cell(&self) -> String {
        let Some(median) = self.median() else {
            return "–".to_owned();
        };
        let star = if self.cut_off { " \\*" } else { "" };
        let figures = || self.by_round.iter().map(|&(_, figure)| figure);
        let (low, high) = (figures().fold(f64::MAX, f64::min), figures().fold(0.0, f64::max));
        if self.by_round.len() < 2 {
            return format!("{}{star}", number(median));
        }
        format!(
            "{}{star} <sub>{}…{}</sub>",
            number(median),
            number(low),
            number(high)
        )
    }
}

/// Returns the upper median.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Formats a figure with three significant digits, and with commas between thousands.
fn number(figure: f64) -> String {
    if figure < 10.0 {
        return format!("{figure:.2}");
    }
    if figure < 100.0 {
        return format!("{figure:.1}");
    }
    let digits = format!("{figure:.0}");
    let mut number = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    number
}

impl Table {
    /// Adds the outcome of a measurement.
    pub(crate) fn add(
        &mut self,
        measurement: &Measurement,
        round: usize,
        outcome: std::result::Result<Line, String>,
    ) {
        let system = SYSTEMS.iter().position(|system| system == measurement.system);
        let key = (measurement.case, system.unwrap_or_default());
        self.0.entry(key).or_default().push((round, outcome));
    }

    /// Returns one figure of a system in all rounds.
    fn figures(&self, case: Case, system: usize, figure: impl Fn(&Line) -> Option<f64>) -> Figures {
        let outcomes = self.0.get(&(case, system)).map(Vec::as_slice).unwrap_or_default();
        let lines = || {
            outcomes
                .iter()
                .filter_map(|(round, outcome)| Some((*round, outcome.as_ref().ok()?)))
        };
        Figures {
            by_round: lines()
                .filter_map(|(round, line)| Some((round, figure(line)?)))
                .collect(),
            cut_off: lines().any(|(_, line)| {
                line.note
                    .as_ref()
                    .is_some_and(|note| note.ends_with(CUT_OFF_NOTE))
            }),
        }
    }

    /// Returns the speed of oncetask as a multiple of a peer's speed: the median of the rounds' ratios. Ratios are
    /// taken within a round, because a disturbance affects both systems of a round.
    fn ratio(&self, case: Case, ours: usize, peer: usize) -> Option<f64> {
        let latency = case == Case::Latency;
        let figure = |line: &Line| if latency { line.p50_ms } else { line.per_second };
        let theirs = self.figures(case, peer, figure).by_round;
        let ours = self.figures(case, ours, figure).by_round;
        let ratios = ours.iter().filter_map(|(round, our)| {
            let (_, their) = theirs.iter().find(|(theirs, _)| theirs == round)?;
            Some(if latency { their / our } else { our / their })
        });
        median(ratios.collect())
    }

    /// Returns the results page.
    pub(crate) fn write(&self, options: &Options, machine: &Machine, rounds: usize) -> Result<String> {
        let mut page = String::new();
        head(&mut page, options, machine, rounds)?;
        self.ratios(&mut page)?;
        self.rates(
            &mut page,
            "## Creating, tasks per second",
            "From one caller, which creates each task after the previous one is acknowledged; from 100 such callers; and with the library's \
             bulk operation, 1,000 tasks per call.",
            &[
                ("1 caller", Case::Create(1)),
                ("100 callers", Case::Create(100)),
                ("1,000 per call", Case::CreateAll),
            ],
        )?;
        self.rates(
            &mut page,
            "## Running waiting tasks, tasks per second",
            "In one process, with a handler that does nothing, from the start of the worker until the last completion is stored.",
            &[
                ("concurrency 1", Case::Drain(1)),
                ("10", Case::Drain(10)),
                ("100", Case::Drain(100)),
            ],
        )?;
        self.latency(&mut page)?;
        self.failures(&mut page)?;
        page.push_str(include_str!("fairness.md"));
        tail(&mut page, options, machine)?;
        Ok(page)
    }

    fn ratios(&self, page: &mut String) -> Result {
        page.push_str(
            "## Summary\n\nThe speed of oncetask as a multiple of the speed of each peer whose acknowledged creates survive the same failure: the median of the \
             rounds' ratios. Below 1, the peer is faster. The goals were 1.5 times effectum and 15 times apalis-sqlite, creating from 100 callers.\n\n",
        );
        page.push_str("| survives | peer |");
        for case in CASES {
            write!(page, " {} |", case_title(*case))?;
        }
        page.push_str("\n| --- | --- |");
        page.push_str(&" ---: |".repeat(CASES.len()));
        page.push('\n');
        for (peer, system) in SYSTEMS
            .iter()
            .enumerate()
            .filter(|(_, system)| system.program != OURS)
        {
            let ours = SYSTEMS
                .iter()
                .position(|ours| ours.program == OURS && ours.survives == system.survives)
                .ok_or("no store of oncetask survives the same failure")?;
            write!(page, "| {} | {} |", system.survives.title(), system.title)?;
            for &case in CASES {
                match self.ratio(case, ours, peer) {
                    Some(ratio) => write!(page, " {} |", number(ratio))?,
                    None => page.push_str(" – |"),
                }
            }
            page.push('\n');
        }
        page.push('\n');
        Ok(())
    }

    fn rates(&self, page: &mut String, title: &str, text: &str, columns: &[(&str, Case)]) -> Result {
        writeln!(page, "{title}\n\n{text}\n")?;
        header(page, columns.iter().map(|&(title, _)| title))?;
        for (index, system) in SYSTEMS.iter().enumerate() {
            row(
                page,
                system,
                columns
                    .iter()
                    .map(|&(_, case)| self.figures(case, index, |line| line.per_second)),
            )?;
        }
        page.push('\n');
        Ok(())
    }

    fn latency(&self, page: &mut String) -> Result {
        page.push_str(
            "## Latency from create to start, milliseconds\n\nOne task at a time, from just before the call that creates it until its handler \
             begins, in one process with concurrency 10.\n\n",
        );
        header(page, ["p50", "p99"].into_iter())?;
        for (index, system) in SYSTEMS.iter().enumerate() {
            let median = self.figures(Case::Latency, index, |line| line.p50_ms);
            let p99 = self.figures(Case::Latency, index, |line| line.p99_ms);
            row(page, system, [median, p99].into_iter())?;
        }
        page.push('\n');
        Ok(())
    }

    fn failures(&self, page: &mut String) -> Result {
        for ((case, system), outcomes) in &self.0 {
            for (round, error) in outcomes
                .iter()
                .filter_map(|(round, outcome)| Some((round, outcome.as_ref().err()?)))
            {
                let title = SYSTEMS.get(*system).map_or("", |system| system.title);
                writeln!(
                    page,
                    "Failed: {title}, {}, round {}: {error}.\n",
                    case_title(*case),
                    round + 1
                )?;
            }
        }
        Ok(())
    }
}

/// Returns the title of a case in the summary.
fn case_title(case: Case) -> String {
    match case {
        Case::Create(1) => "create, 1 caller".to_owned(),
        Case::Create(callers) => format!("create, {callers}"),
        Case::CreateAll => "bulk".to_owned(),
        Case::Drain(concurrency) => format!("run, {concurrency}"),
        Case::Latency => "start, p50".to_owned(),
    }
}

/// Writes the first two rows of a table.
fn header<'a>(page: &mut String, columns: impl Iterator<Item = &'a str>) -> Result {
    page.push_str("| survives | |");
    let mut count = 0;
    for title in columns {
        write!(page, " {title} |")?;
        count += 1;
    }
    writeln!(page, "\n| --- | --- |{}", " ---: |".repeat(count))?;
    Ok(())
}

/// Writes the row of a system.
fn row(page: &mut String, system: &System, cells: impl Iterator<Item = Figures>) -> Result {
    write!(page, "| {} | {} |", system.survives.title(), system.title)?;
    for cell in cells {
        write!(page, " {} |", cell.cell())?;
    }
    page.push('\n');
    Ok(())
}

/// Writes the title and the circumstances of the measurements.
fn head(page: &mut String, options: &Options, machine: &Machine, rounds: usize) -> Result {
    let other_load: Vec<String> = machine
        .other_load
        .iter()
        .map(|fraction| format!("{:.0} %", fraction * 100.0))
        .collect();
    writeln!(
        page,
        "# Results\n\n\
         Written by `benches/compare.sh`, which runs oncetask and its peers alternately on one machine. Each figure is the median of the \
         rounds, followed by the lowest and the highest. Machines differ, so compare the ratios.\n\n\
         | | |\n| --- | --- |\n\
         | date | {}, {} complete rounds of {} |\n\
         | oncetask | commit {} |\n\
         | machine | {}, {} cores, {} |\n\
         | disk | an append of 4 KiB and its `fdatasync`: {} ms |\n\
         | load of other programs | {} of the processor, measured before each round and at the end |\n\
         | tasks | {} per measurement (a tenth of them from one caller, a hundredth for the latency), payloads of about 100 bytes |\n\
         | \\* | a peer that was cut off after {} s; the rate counts the tasks that were done by then |\n",
        machine.began,
        rounds,
        options.rounds,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.system,
        number(machine.sync.as_secs_f64() * 1e3),
        other_load.join(", "),
        number(f64::from(u32::try_from(options.tasks)?)),
        options.limit.as_secs_f64(),
    )?;
    Ok(())
}

/// Writes the versions, the settings and the commands.
fn tail(page: &mut String, options: &Options, machine: &Machine) -> Result {
    let settings: Vec<String> = SETTINGS
        .iter()
        .map(|(name, value)| format!("`{name}={value}`"))
        .collect();
    writeln!(
        page,
        "## Versions\n\n{}, {}; {}.\n",
        machine.rustc,
        machine.postgres,
        versions()?
    )?;
    writeln!(page, "PostgreSQL on loopback, with {}.\n", settings.join(", "))?;
    writeln!(
        page,
        "## How to repeat the comparison\n\n```sh\nbenches/compare.sh --rounds {} --tasks {} --seconds {} --minutes {}\nbenches/compare.sh --quick   # fewer tasks, one round\n```\n\n\
         PostgreSQL must be installed (`apt-get install postgresql`). The script starts a server on a free port and stops it at the end. \
         To run a single measurement:\n\n```sh\n\
         cargo run --release -p benches -- create --store sqlite --concurrency 100 --tasks {}\n\
         cd benches/peers/effectum && cargo run --release -- create --variant defaults --concurrency 100 --tasks {}\n```",
        options.rounds,
        options.tasks,
        options.limit.as_secs_f64(),
        options.time_budget.as_secs() / 60,
        options.tasks,
        options.tasks,
    )?;
    Ok(())
}

/// Returns the versions of the peers in their lock files.
fn versions() -> Result<String> {
    const LOCKS: [(&str, &[&str]); 2] = [
        (
            include_str!("../../Cargo.lock"),
            &[
                "apalis",
                "apalis-sqlite",
                "apalis-postgres",
                "graphile_worker",
                "sqlx",
                "tokio",
            ],
        ),
        (
            include_str!("../../effectum/Cargo.lock"),
            &["effectum", "rusqlite"],
        ),
    ];
    let mut versions = Vec::new();
    for (lock, names) in LOCKS {
        for name in names {
            let (_, package) = lock
                .split_once(&format!("\nname = \"{name}\"\nversion = \""))
                .ok_or_else(|| format!("`{name}` is not in its lock file"))?;
            let version = package.split('"').next().unwrap_or_default();
            versions.push(format!("{name} {version}"));
        }
    }
    Ok(versions.join(", "))
}
