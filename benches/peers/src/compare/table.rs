//! The page that is written: from lines to medians, ranges and ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bench_report::Line;

use crate::Result;
use crate::machine::Machine;
use crate::options::Options;
use crate::plan::{CASES, Case, Measurement, OURS, SYSTEMS, System};
use crate::server::SETTINGS;

/// All that was measured: for each case and system, what each round brought.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(Case, usize), Vec<Outcome>>);

/// What a round brought.
type Outcome = (usize, std::result::Result<Line, String>);

/// One figure in all rounds.
struct Figures {
    by_round: Vec<(usize, f64)>,
    cut_off: bool,
}

impl Figures {
    fn median(&self) -> Option<f64> {
        median(self.by_round.iter().map(|&(_, figure)| figure).collect())
    }

    /// The median, and what it lies between.
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

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// With a comma at the thousands, or with as many places as say something.
fn number(figure: f64) -> String {
    if figure < 10.0 {
        return format!("{figure:.2}");
    }
    if figure < 100.0 {
        return format!("{figure:.1}");
    }
    let digits = format!("{figure:.0}");
    let mut number = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    number
}

impl Table {
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
            cut_off: lines()
                .any(|(_, line)| line.note.as_ref().is_some_and(|note| note.contains("time that"))),
        }
    }

    /// How many times as good ours is as a peer, each round for itself: what disturbed one disturbed the other.
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

    pub(crate) fn write(&self, options: &Options, machine: &Machine, rounds: usize) -> Result<String> {
        let mut page = String::new();
        head(&mut page, options, machine, rounds)?;
        self.ratios(&mut page)?;
        self.rates(
            &mut page,
            "## Creating, tasks a second",
            "From one caller, each task when the one before is acknowledged; from 100 callers, each so; and 1,000 tasks a call in the way \
             that the library has for it.",
            &[
                ("1 caller", Case::Create(1)),
                ("100 callers", Case::Create(100)),
                ("1,000 a call", Case::CreateAll),
            ],
        )?;
        self.rates(
            &mut page,
            "## Running what waits, tasks a second",
            "One process, a handler that does nothing; from the start of the worker until the last completion is stored.",
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
            "## In short\n\nHow many times as fast oncetask is as a peer whose acknowledged creates survive the same: the median of the rounds' \
             ratios. Below 1 the peer is faster. The goals were 1.5 times effectum and 15 times apalis-sqlite, creating from 100 callers.\n\n",
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
                .ok_or("there is one of ours for each")?;
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
            "## From create to start, milliseconds\n\nOne task at a time, from before the call that creates it to its handler, in one process, \
             concurrency 10.\n\n",
        );
        header(page, ["p50", "p99"].into_iter())?;
        for (index, system) in SYSTEMS.iter().enumerate() {
            let median = self.figures(Case::Latency, index, |line| line.p50_ms);
            let worst = self.figures(Case::Latency, index, |line| line.p99_ms);
            row(page, system, [median, worst].into_iter())?;
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

fn case_title(case: Case) -> String {
    match case {
        Case::Create(1) => "create, 1 caller".to_owned(),
        Case::Create(callers) => format!("create, {callers}"),
        Case::CreateAll => "bulk".to_owned(),
        Case::Drain(concurrency) => format!("run, {concurrency}"),
        Case::Latency => "start, p50".to_owned(),
    }
}

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

fn row(page: &mut String, system: &System, cells: impl Iterator<Item = Figures>) -> Result {
    write!(page, "| {} | {} |", system.survives.title(), system.title)?;
    for cell in cells {
        write!(page, " {} |", cell.cell())?;
    }
    page.push('\n');
    Ok(())
}

fn head(page: &mut String, options: &Options, machine: &Machine, rounds: usize) -> Result {
    let others: Vec<String> = machine
        .others
        .iter()
        .map(|part| format!("{:.0} %", part * 100.0))
        .collect();
    writeln!(
        page,
        "# Results\n\n\
         Written by `benches/compare.sh`, which runs oncetask and its peers in turns on one machine; each figure is the median of the \
         rounds, with the lowest and the highest beside it. Machines differ: the ratios are what counts.\n\n\
         | | |\n| --- | --- |\n\
         | when | {}, {} whole rounds of {} |\n\
         | oncetask | commit {} |\n\
         | machine | {}, {} cores, {} |\n\
         | disk | an append of 4 KiB and its `fdatasync`: {} ms |\n\
         | others on the machine | {} of the processor busy while nothing of this ran (before each round, and at the end) |\n\
         | tasks | {} a measurement (a tenth from one caller, a hundredth from create to start), payloads of about 100 bytes |\n\
         | \\* | a peer that was cut off after {} s; the rate is that of what was done by then |\n",
        machine.began,
        rounds,
        options.rounds,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.system,
        number(machine.sync.as_secs_f64() * 1e3),
        others.join(", "),
        number(f64::from(u32::try_from(options.tasks)?)),
        options.limit.as_secs_f64(),
    )?;
    Ok(())
}

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
        "## Once more\n\n```sh\nbenches/compare.sh --rounds {} --tasks {} --seconds {} --minutes {}\nbenches/compare.sh --quick   # a look\n```\n\n\
         PostgreSQL must be installed (`apt-get install postgresql`); it is started for the time of the comparison, on a port that is free, and stopped. \
         One measurement alone:\n\n```sh\n\
         cargo run --release -p benches -- create --store sqlite --concurrency 100 --tasks {}\n\
         cd benches/peers/effectum && cargo run --release -- create --variant defaults --concurrency 100 --tasks {}\n```",
        options.rounds,
        options.tasks,
        options.limit.as_secs_f64(),
        options.at_most.as_secs() / 60,
        options.tasks,
        options.tasks,
    )?;
    Ok(())
}

/// Of the peers, as their lock files hold them.
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
                .ok_or_else(|| format!("{name} is in no lock file"))?;
            let version = package.split('"').next().unwrap_or_default();
            versions.push(format!("{name} {version}"));
        }
    }
    Ok(versions.join(", "))
}
