//! The public items of the published crates are those of the lists in `tests/public-api`.
//!
//! A change of the public surface is visible as a change of these files. The check needs a nightly compiler, and
//! builds the dependencies with it, so it runs only if `ONCETASK_PUBLIC_API` is set:
//!
//! - `check` compares the crates with the lists;
//! - `update` writes the lists.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const VARIABLE: &str = "ONCETASK_PUBLIC_API";

#[test]
fn public_items_of_oncetask() {
    compare("oncetask");
}

#[test]
fn public_items_of_oncetask_recurrence() {
    compare("oncetask-recurrence");
}

fn compare(package: &str) {
    let update = match env::var(VARIABLE).as_deref() {
        Ok("update") => true,
        Ok("check") => false,
        _ => {
            return println!(
                "skipped: set {VARIABLE}=check to compare, or {VARIABLE}=update to write the list"
            );
        }
    };
    let Some(json) = rustdoc_json(package) else {
        return println!(
            "skipped: `cargo +nightly` is missing; `rustup toolchain install nightly` installs it"
        );
    };
    let items = match items(&json) {
        Ok(items) => items,
        Err(error) => return println!("skipped: {error}"),
    };
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("public-api/{package}.txt"));
    if update {
        return fs::write(&list, items).expect("a writable list");
    }
    let listed = fs::read_to_string(&list).unwrap_or_else(|error| {
        panic!(
            "{} cannot be read: {error}; run with {VARIABLE}=update to write it",
            list.display()
        )
    });
    let only_in = |one: &str, other: &str, mark: &str| {
        let other: Vec<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.flat_map(|line| [mark, line]).collect::<String>()
    };
    assert!(
        listed == items,
        "the public items of {package} are not those of {}:{}{}\nrun `{VARIABLE}=update cargo test -p tests --test \
         public_api`, and commit the list together with an entry in CHANGELOG.md",
        list.display(),
        only_in(&listed, &items, "\n  - "),
        only_in(&items, &listed, "\n  + "),
    );
}

/// Builds the JSON documentation of a package; `None` if there is no nightly compiler.
fn rustdoc_json(package: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in a workspace");
    let cargo = || {
        let mut command = Command::new("cargo");
        command.arg("+nightly").current_dir(workspace);
        // The compiler of this test must not reach the build.
        command
            .env_remove("RUSTC")
            .env_remove("RUSTDOC")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO");
        command
    };
    let version = cargo().arg("--version").output().ok()?;
    if !version.status.success() {
        return None;
    }
    let target = workspace.join("target/public-api");
    let built = cargo()
        .args([
            "rustdoc",
            "--quiet",
            "--lib",
            "--all-features",
            "--package",
            package,
            "--target-dir",
        ])
        .arg(&target)
        .args([
            "--",
            "-Z",
            "unstable-options",
            "--output-format",
            "json",
            "--cap-lints",
            "allow",
        ])
        .status()
        .expect("cargo starts");
    assert!(
        built.success(),
        "the JSON documentation of {package} cannot be built"
    );
    Some(target.join(format!("doc/{}.json", package.replace('-', "_"))))
}

/// Lists the public items, one a line. Fails if this version of the compiler writes another format.
fn items(json: &Path) -> Result<String, String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| format!("the documentation format of this nightly compiler is unknown: {error}"))?;
    Ok(api
        .items()
        .flat_map(|item| [item.to_string(), "\n".to_owned()])
        .collect())
}
