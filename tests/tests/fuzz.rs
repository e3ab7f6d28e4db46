//! The fuzz targets on mutations of their seeds, for a few seconds. `fuzz/README.md` describes them.
//!
//! `FUZZ_INPUTS=1000000 cargo test --release -p tests --test fuzz` runs more inputs, and `FUZZ_SEED` chooses others.

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;

/// Texts that are inserted into the inputs. Each has a meaning in the syntax of one of the targets.
#[rustfmt::skip]
const WORDS: [&str; 40] = [
    "", "n", "i0", "i-1", "i4294967295", "i4294967296", "i9223372036854775807", "i-9223372036854775808", "rNaN", "r1e308",
    "t", "t{}", "tnull", "t{\"at\":9223372036854775807,\"attempt\":1,\"error\":\"\"}", "b\u{0}", "%", "/", "~", ":", "__", ".",
    "..", "DEFAULT", "memory:", "sqlite:", "firestore://", "FREQ=SECONDLY", ";INTERVAL=", ";BYSETPOS=-1", ";COUNT=1000000",
    ";UNTIL=99991231T235959Z", ";BYDAY=-53MO", "Europe/Paris", "9999-12-31T23:59:59", "-262143-01-01T00:00:00Z",
    "99999999999999999999", "1h", "ms", "ä", "\n",
];

/// Reads a number from an environment variable.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Returns the seeds of a target in the order of their file names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let files = folder.read_dir().expect("every target has seeds");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: &_| std::fs::read(path).expect("a seed can be read");
    paths.iter().map(read).collect()
}

/// Returns a random seed with up to five random edits.
fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).expect("there are seeds").clone();
    for _ in 0..rng.usize(0..6) {
        let from = rng.usize(0..=bytes.len());
        let to = (from + rng.usize(0..16)).min(bytes.len());
        let replacement = match rng.u8(0..6) {
            0 => Vec::new(),
            1 => vec![rng.u8(..)],
            2 => bytes[from..to].repeat(rng.usize(0..40)),
            3 => {
                let other = rng.choice(seeds).expect("there are seeds");
                let start = rng.usize(0..=other.len());
                other[start..].to_vec()
            }
            _ => rng.choice(WORDS).expect("there are words").as_bytes().to_vec(),
        };
        bytes.splice(from..to, replacement);
    }
    bytes
}

/// Runs a target on its seeds and on mutations of them, and fails if it panics.
fn fuzz(name: &str, target: fn(&[u8]), inputs: u64) {
    let seeds = seeds(name);
    let mut rng = Rng::with_seed(number("FUZZ_SEED", 1));
    for seed in &seeds {
        target(seed);
    }
    for _ in 0..number("FUZZ_INPUTS", inputs) {
        let input = mutate(&mut rng, &seeds);
        let ended = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(
            ended.is_ok(),
            "`{name}` panics with the input {:?}",
            String::from_utf8_lossy(&input)
        );
    }
}

#[test]
fn row_does_not_panic() {
    fuzz("row", targets::row, 5_000);
}

#[test]
fn document_does_not_panic() {
    fuzz("document", targets::document, 5_000);
}

#[test]
fn store_url_does_not_panic() {
    fuzz("store_url", targets::store_url, 20_000);
}

#[test]
fn id_does_not_panic() {
    fuzz("id", targets::id, 20_000);
}

#[test]
fn recurrence_does_not_panic() {
    fuzz("recurrence", targets::recurrence, 3_000);
}

#[test]
fn duration_does_not_panic() {
    fuzz("duration", targets::duration, 20_000);
}

#[test]
fn the_row_seeds_are_valid_tasks() {
    for seed in seeds("row") {
        let text = String::from_utf8(seed).expect("text");
        let task = targets::task(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let document = oncetask::store::__fuzz::document_of(&task, "DEFAULT");
        let read = oncetask::store::__fuzz::document(&document).expect("an encoded task can be decoded");
        assert_eq!(read.spec.payload.value(), task.spec.payload.value());
    }
}
