//! The cost of the derive in compile time.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Result;
use crate::options::Options;
use crate::report::Line;

/// The number of task types in the measured crate.
const TYPES: u32 = 100;
/// The number of timed checks of each variant.
const CHECKS: usize = 5;

/// Measures `cargo check` of a crate of [`TYPES`] types, without the derive and with more and more of its
/// attributes. `p50_ms` is the duration for the whole crate.
pub(crate) fn macros(options: &Options) -> Result {
    let folder = create_crate()?;
    let mut baseline = Duration::ZERO;
    for (note, source) in [
        ("serde alone", source(serde_only)),
        ("+ an id", source(with_id)),
        ("+ a handler of two extractors", source(with_handler)),
        ("+ every attribute", source(with_everything)),
    ] {
        let times = time_checks(&folder, &source)?;
        let median = times[CHECKS / 2];
        if baseline.is_zero() {
            baseline = median;
        }
        let mut line = Line::new(&options.store, "macros", TYPES as usize).percentiles(times);
        let millis_per_type = median.saturating_sub(baseline).as_secs_f64() * 1000.0 / f64::from(TYPES);
        line.store = String::new();
        line.note = Some(format!(
            "{note}: {millis_per_type:.2} ms a type more than serde alone"
        ));
        line.print()?;
    }
    Ok(())
}

/// Checks the crate with this source several times. Returns the durations in ascending order.
fn time_checks(folder: &Path, source: &str) -> Result<Vec<Duration>> {
    fs::write(folder.join("src/lib.rs"), source)?;
    fs::write(folder.join("src/changed.rs"), "")?;
    check(folder)?;
    let mut times = Vec::new();
    for _ in 0..CHECKS {
        // A change makes cargo check this crate again, but not its dependencies.
        fs::write(folder.join("src/changed.rs"), format!("// {:?}", Instant::now()))?;
        let began = Instant::now();
        check(folder)?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Creates a crate that depends on this workspace's library, in the folder of this program.
fn create_crate() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program
        .parent()
        .ok_or("the program has no folder")?
        .join("macros-bench");
    fs::create_dir_all(folder.join("src"))?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the package is in no workspace")?;
    let manifest = format!(
        "[package]\nname = \"macros-bench\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         oncetask = {{ path = '{}' }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
        workspace.join("oncetask").display()
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The dependencies have the same versions as in the workspace.
    fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(folder)
}

fn check(folder: &Path) -> Result {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

/// Returns the source of a crate that contains [`TYPES`] types.
fn source(type_source: fn(u32) -> String) -> String {
    let mut source = "#![allow(dead_code, unused_imports)]\nmod changed;\nuse oncetask::*;\nuse serde::{Deserialize, Serialize};\n\
         #[derive(Clone)] struct Mailer;\n"
        .to_owned();
    for number in 0..TYPES {
        let _ = writeln!(source, "{}", type_source(number));
    }
    source
}

fn fields(number: u32) -> String {
    format!("struct Task{number} {{ to: String, subject: String, size: u64, urgent: bool }}")
}

fn serde_only(number: u32) -> String {
    format!("#[derive(Serialize, Deserialize)] {}", fields(number))
}

fn with_id(number: u32) -> String {
    format!(
        "#[derive(Serialize, Deserialize, OnceTask)] #[id(\"t{number}:{{to}}:{{subject:hash}}\")] {}",
        fields(number)
    )
}

fn with_handler(number: u32) -> String {
    format!(
        "#[derive(Serialize, Deserialize, OnceTask)] #[id(\"t{number}:{{to}}:{{subject:hash}}\")] #[handler] {}\n\
         impl Task{number} {{ async fn run(self, _: State<Mailer>, _: Context) -> oncetask::Result<u64> {{ Ok(self.size) }} }}",
        fields(number)
    )
}

fn with_everything(number: u32) -> String {
    format!(
        "#[derive(Serialize, Deserialize, OnceTask)] #[task(kind = \"k{number}\")]\n\
         #[id(\"t{number}:{{to}}:{{subject:hash}}\")] #[resource_key(\"user:{{to}}\")]\n\
         #[recurrence(\"FREQ=WEEKLY;BYDAY=MO;BYHOUR=9\", tz = \"Europe/Paris\", dtstart = \"2026-01-05T09:00:00\")]\n\
         #[handler(retry = exponential(max_attempts = 5, base = \"1s\", max = \"1m\"), lease = \"15m\", concurrency = 3, on_cancel)] {}\n\
         impl Task{number} {{\n\
             async fn run(self, _: State<Mailer>, _: Context) -> oncetask::Result<u64> {{ Ok(self.size) }}\n\
             async fn on_cancel(self) -> oncetask::Result {{ Ok(()) }}\n\
         }}",
        fields(number)
    )
}
