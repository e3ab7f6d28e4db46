//! Golden files: the derive expands `expansions/*.rs` to `expansions/*.expanded.rs`.
//!
//! `EXPANSIONS=overwrite cargo test -p oncetask-macros` rewrites them. Review the diff.

use std::fs;
use std::path::{Path, PathBuf};

use crate::expand::derive;

/// Returns the paths of the inputs in alphabetical order.
fn inputs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("expansions");
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = files
        .filter(|path| !path.to_str().unwrap().ends_with(".expanded.rs"))
        .collect();
    inputs.sort();
    inputs
}

fn expanded(input: &Path) -> String {
    let source = fs::read_to_string(input).unwrap();
    let file = syn::parse2(derive(&syn::parse_str(&source).unwrap())).unwrap();
    prettyplease::unparse(&file)
}

#[test]
fn each_expansion_equals_its_golden_file() {
    let overwrite = std::env::var("EXPANSIONS").is_ok_and(|value| value == "overwrite");
    for input in inputs() {
        let golden = input.with_extension("expanded.rs");
        if overwrite {
            fs::write(&golden, expanded(&input)).unwrap();
        }
        let stored = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(expanded(&input), stored, "{}", golden.display());
    }
}

#[test]
fn a_task_with_every_attribute_expands_to_fewer_than_a_hundred_lines() {
    let mut longest = 0;
    for input in inputs() {
        let lines = expanded(&input).lines().count();
        assert!(lines < 100, "{}: {lines} lines", input.display());
        longest = longest.max(lines);
    }
    assert!(longest > 50, "no input uses every attribute");
}
