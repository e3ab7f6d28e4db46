//! Runs oncetask's benches and those of the peers alternately, and writes the results. `../../compare.sh`
//! builds the programs and starts this one.

mod machine;
mod options;
mod plan;
mod server;
mod stop;
mod table;

use std::time::Instant;

use machine::Machine;
use options::Options;
use plan::{Measurement, plan};
use server::Server;
use table::Table;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    stop::listen()?;
    let server = Server::start()?;
    let mut machine = Machine::describe(&server)?;
    let mut table = Table::default();
    let end = Instant::now() + options.time_budget;
    let mut rounds = 0;
    for round in 0..options.rounds {
        machine.measure_other_load();
        if !run_round(round, &options, &server, &mut table, end) {
            break;
        }
        rounds += 1;
    }
    if stop::requested() {
        return Err("stopped by a signal; nothing was written".into());
    }
    machine.measure_other_load();
    let text = table.write(&options, &machine, rounds)?;
    std::fs::write(&options.out, text)?;
    eprintln!("wrote {}", options.out.display());
    Ok(())
}

/// Runs every measurement once. Returns false if the time budget or a signal ended the round early.
fn run_round(round: usize, options: &Options, server: &Server, table: &mut Table, end: Instant) -> bool {
    let measurements = plan(round, options);
    let count = measurements.len();
    for (number, measurement) in measurements.into_iter().enumerate() {
        if stop::requested() {
            return false;
        }
        if Instant::now() > end {
            eprintln!(
                "time budget used up after {number} of {count} measurements of round {}",
                round + 1
            );
            return false;
        }
        let outcome = measure(&measurement, options, server);
        match &outcome {
            Ok(line) => eprintln!(
                "round {} {number}/{count} {}",
                round + 1,
                summary(&measurement, line)
            ),
            Err(error) => eprintln!(
                "round {} {number}/{count} {}: {error}",
                round + 1,
                measurement.name()
            ),
        }
        table.add(&measurement, round, outcome.map_err(|error| error.to_string()));
    }
    true
}

fn measure(measurement: &Measurement, options: &Options, server: &Server) -> Result<bench_report::Line> {
    let (program, arguments) = measurement.command(options, server.url());
    let output = machine::output(&program, &arguments, measurement.timeout(options))?;
    let line = output.lines().next().ok_or("the program printed nothing")?;
    Ok(serde_json::from_str(line)?)
}

fn summary(measurement: &Measurement, line: &bench_report::Line) -> String {
    let figure = match (line.per_second, line.p50_ms, line.p99_ms) {
        (Some(rate), ..) => format!("{rate:.0}/s"),
        (None, Some(p50), Some(p99)) => format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
        _ => "no figure".to_owned(),
    };
    let note = line.note.as_deref().unwrap_or_default();
    format!("{}: {figure} {note}", measurement.name())
}
