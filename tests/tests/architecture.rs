//! `docs/architecture.md` names every module of the library, and no other one.
//!
//! The page has a heading with the path of each folder, and under it a table whose rows begin with the name of a
//! file or of a sub-folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/architecture.md";
const SOURCE: &str = "oncetask/src";

#[test]
fn the_page_names_every_module() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in a workspace");
    let page = fs::read_to_string(repository.join(PAGE)).expect("a readable page");
    let named = named(&page);
    let mut existing = BTreeSet::new();
    files(repository, &repository.join(SOURCE), &mut existing);
    let missing: Vec<_> = existing.difference(&named).collect();
    let gone: Vec<_> = named.difference(&existing).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "{PAGE} does not match the tree\n  add a row with one sentence for: {missing:#?}\n  remove the rows of: {gone:#?}"
    );
}

/// Returns the paths that the tables of the page name.
fn named(page: &str) -> BTreeSet<String> {
    let mut folder = None;
    let mut named = BTreeSet::new();
    for line in page.lines() {
        if line.starts_with('#') {
            folder = in_backquotes(line).filter(|path| path.starts_with(SOURCE));
        } else if let (Some(folder), Some(row)) = (folder, line.strip_prefix("| `"))
            && let Some((name, _)) = row.split_once('`')
        {
            named.insert(format!(
                "{}/{}",
                folder.trim_end_matches('/'),
                name.trim_end_matches('/')
            ));
        }
    }
    named
}

fn in_backquotes(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('`')?;
    rest.split_once('`').map(|(text, _)| text)
}

/// Collects the files and folders below a folder, except tests and the `mod.rs` of each folder.
fn files(repository: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the library") {
        let path = entry.expect("a readable folder").path();
        let name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        if name == "tests" || name == "tests.rs" || name == "mod.rs" {
            continue;
        }
        let relative = path.strip_prefix(repository).expect("a path of the repository");
        found.insert(relative.to_string_lossy().replace('\\', "/"));
        if path.is_dir() {
            files(repository, &path, found);
        }
    }
}
