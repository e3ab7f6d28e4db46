//! What the derive costs the compiler.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Result;
use crate::options::Options;
use crate::report::Line;

const TYPES: u32 = 100;
const TIMES: usize = 5;

/// Checks a crate of 100 task types with and without the derive; `p50_ms` is for the whole crate.
pub(crate) fn macros(options: &Options) -> Result {
    let folder = crate_folder()?;
    let mut without = Duration::ZERO;
    for (note, source) in [
        ("serde alone", source(serde_only)),
        ("+ an id", source(with_id)),
        ("+ a handler of two extractors", source(with_handler)),
        ("+ every attribute", source(with_everything)),
    ] {
        fs::write(folder.join("src/lib.rs"), source)?;
        fs::write(folder.join("src/changed.rs"), "")?;
        check(&folder)?;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            // Only this crate is checked again.
            fs::write(folder.join("src/changed.rs"), format!("// {:?}", Instant::now()))?;
            let began = Instant::now();
            check(&folder)?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let median = times[TIMES / 2];
        if without.is_zero() {
            without = median;
        }
        let mut line = Line::of(&options.store, "macros", TYPES as usize).times(times);
        let each = median.saturating_sub(without).as_secs_f64() * 1000.0 / f64::from(TYPES);
        line.store = String::new();
        line.note = Some(format!("{note}: {each:.2} ms a type more than serde alone"));
        line.print()?;
    }
    Ok(())
}

/// A crate beside the build, which uses this workspace's library.
fn crate_folder() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here
        .parent()
        .ok_or("the program has no folder")?
        .join("macros-bench");
    fs::create_dir_all(folder.join("src"))?;
    let library = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("no workspace")?;
    let manifest = format!(
        "[package]\nname = \"macros-bench\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         oncetask = {{ path = '{}' }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
        library.join("oncetask").display()
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The same versions as the workspace has.
    fs::copy(library.join("Cargo.lock"), folder.join("Cargo.lock"))?;
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

fn source(one: fn(u32) -> String) -> String {
    let mut source = "#![allow(dead_code, unused_imports)]\nmod changed;\nuse oncetask::*;\nuse serde::{Deserialize, Serialize};\n\
         #[derive(Clone)] struct Mailer;\n"
        .to_owned();
    for number in 0..TYPES {
        let _ = writeln!(source, "{}", one(number));
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
