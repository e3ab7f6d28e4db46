//! Chaos runs: `cargo run --release -p tests --bin chaos -- --store sqlite|firestore --minutes M [--seed S]`.
//!
//! Prints a line for each episode and one for the run. Fails if a promise was broken.
//! `chaos worker STORE JOURNAL` is the worker process that a run starts, kills and freezes.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio, exit};
use std::time::Duration;

use tests::chaos::{self, Kind, Options};
use tracing_subscriber::filter::LevelFilter;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The environment variable that is set in a process with a mount namespace of its own.
const OWN_MOUNTS: &str = "ONCETASK_CHAOS_MOUNTS";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [worker, store, journal] if worker == "worker" => work(store, journal).map(|()| true),
        _ => options(&arguments).and_then(|options| run(&options)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn work(store: &str, journal: &str) -> Result {
    let level = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level.unwrap_or(LevelFilter::WARN))
        .with_writer(std::io::stderr)
        .init();
    exit_with_parent();
    chaos::worker(&store.parse()?, Path::new(journal)).await?;
    Ok(())
}

/// Exits when the parent process ends, so that an interrupted run leaves no worker behind.
fn exit_with_parent() {
    std::thread::spawn(|| {
        // The parent never writes to this input. It ends with the parent.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        exit(1);
    });
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        kind: Kind::Sqlite,
        length: Duration::from_mins(1),
        seed: u64::from(std::process::id()),
        per_second: None,
        program: std::env::current_exe()?,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("`{}` needs a value", pair[0]).into());
        };
        match name.as_str() {
            "--store" => options.kind = value.parse()?,
            "--minutes" => options.length = Duration::try_from_secs_f64(value.parse::<f64>()? * 60.0)?,
            "--seed" => options.seed = value.parse()?,
            "--per-second" => options.per_second = Some(value.parse::<u32>()?.clamp(1, 1000)),
            _ => {
                let known = "--store, --minutes, --seed and --per-second";
                return Err(format!("unknown option `{name}`: the options are {known}").into());
            }
        }
    }
    Ok(options)
}

#[tokio::main]
async fn run(options: &Options) -> Result<bool> {
    if options.kind == Kind::Sqlite && std::env::var_os(OWN_MOUNTS).is_none() {
        enter_mount_namespace()?;
    }
    let report = chaos::run(options).await?;
    print(&format!("{}, {:?}: {report}", options.kind, options.length));
    for violation in &report.violations {
        print(violation);
    }
    Ok(report.violations.is_empty())
}

/// Replaces this process with one that may mount a small disk, if the system allows it.
fn enter_mount_namespace() -> Result {
    for namespaces in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(namespaces).arg("--");
            command
        };
        let allowed = unshare().arg("true").stderr(Stdio::null()).status();
        if allowed.is_ok_and(|status| status.success()) {
            let program = std::env::current_exe()?;
            let arguments = std::env::args_os().skip(1);
            let error = unshare().arg(program).args(arguments).env(OWN_MOUNTS, "1").exec();
            return Err(error.into());
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of the program is its output")]
fn print(line: &str) {
    println!("{line}");
}
