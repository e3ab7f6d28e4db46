//! Dependencies between the modules of the library point one way.
//!
//! Each list names the modules of a folder from the bottom up. A module may use those modules of the list that
//! its entry names, and all of them stand above its entry. Code under `#[cfg(test)]` may use any module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The module of the folder itself. It stands above the modules in it, so none of them may use its items.
const ROOT: &str = "mod";

/// A module, and the modules that it may use.
type Layer = (&'static str, &'static [&'static str]);

/// The top modules of `oncetask/src`. `lib.rs` and the chapters of `guide` use no module in code.
#[rustfmt::skip]
const TOP: &[Layer] = &[
    ("schedule", &[]),
    ("panics", &[]),
    ("latch", &[]),
    ("spawn", &[]),
    ("task", &["schedule"]),
    ("clock", &["task"]),
    ("error", &["task"]),
    ("store", &["error", "schedule", "task"]),
    ("client", &["clock", "error", "schedule", "store", "task"]),
    ("lease", &["client", "latch", "spawn", "store", "task"]),
    ("handler", &["client", "lease", "panics", "store", "task"]),
    ("registry", &["client", "error", "handler"]),
    ("runtime", &["client", "error", "handler", "latch", "lease", "panics", "registry", "schedule", "spawn", "store", "task"]),
    ("guide", &[]),
];

/// The modules of `oncetask/src/store/sqlite`.
#[rustfmt::skip]
const SQLITE: &[Layer] = &[
    ("error", &[]),
    ("schema", &[]),
    ("statements", &[]),
    ("interner", &[]),
    ("notifiers", &[]),
    ("queue_order", &[]),
    ("codec", &["error"]),
    ("rows", &["codec", "error", "statements"]),
    ("scan", &["codec", "error", "interner"]),
    ("page", &["codec", "error", "rows", "scan"]),
    ("queries", &["error", "interner", "page", "rows", "scan"]),
    ("batch_sql", &["codec", "error", "rows", "statements"]),
    ("inserts", &["codec", "error", "rows", "statements"]),
    ("queue", &["codec", "error", "queue_order"]),
    ("keys", &["error", "queue_order"]),
    ("claim_cache", &["rows"]),
    ("tx", &["claim_cache", "error", "interner", "keys", "statements"]),
    ("changes", &["batch_sql", "codec", "error", "inserts", "rows", "tx"]),
    ("claims", &["batch_sql", "codec", "error", "interner", "queue", "rows", "tx"]),
    ("file", &["error", "schema"]),
    ("checkpoint", &["file"]),
    ("options", &["checkpoint"]),
    ("readers", &["error", "file"]),
    ("write_op", &["error", "tx"]),
    ("sync", &["error", "file", "write_op"]),
    ("watcher", &["error", "interner", "notifiers", "queue", "queue_order", "rows", "statements"]),
    ("writer", &["checkpoint", "claim_cache", "error", "file", "interner", "notifiers", "sync", "tx", "write_op"]),
    ("threads", &["checkpoint", "claim_cache", "error", "file", "interner", "notifiers", "options", "sync", "watcher", "write_op", "writer"]),
    ("fuzz", &["codec"]),
];

/// The modules of `oncetask/src/store/firestore`.
#[rustfmt::skip]
const FIRESTORE: &[Layer] = &[
    ("proto", &[]),
    ("codec", &["proto"]),
    ("claim_cache", &["codec"]),
    ("query", &["proto"]),
    ("retry", &["proto"]),
    ("connection", &["proto"]),
    ("usage", &[]),
    ("rpc", &["connection", "proto", "retry", "usage"]),
    ("settings", &[]),
    ("writer", &["proto", "retry", "rpc"]),
    ("documents", &["claim_cache", "codec", "proto", "query", "retry", "rpc", "settings", "writer"]),
    ("join_all", &[]),
    ("queries", &["codec", "proto", "query"]),
    ("runtime_thread", &[]),
    ("listen", &["codec", "documents", "proto", "queries", "query", "retry", "runtime_thread"]),
    ("claim", &["claim_cache", "codec", "documents", "join_all", "listen", "proto", "queries", "query", "retry", "settings", "writer"]),
    ("operations", &["claim", "documents", "listen"]),
    ("change", &["codec", "documents", "join_all", "operations", "proto", "queries", "query", "retry", "writer"]),
    ("create", &["codec", "operations", "proto", "retry", "writer"]),
    ("occurrences", &["codec", "operations", "proto", "retry", "writer"]),
    ("finish", &["codec", "documents", "join_all", "operations", "proto", "retry", "writer"]),
    ("read", &["codec", "operations", "proto", "queries", "query", "retry"]),
    ("renew", &["codec", "documents", "join_all", "operations", "retry", "writer"]),
    ("error", &["proto", "retry", "runtime_thread"]),
    ("options", &["retry", "settings"]),
    ("connect", &["documents", "error", "options", "proto", "rpc", "runtime_thread", "writer"]),
    ("indexes", &["codec", "queries", "query"]),
    ("fuzz", &["codec", "proto"]),
];

#[test]
fn the_top_modules_depend_one_way() {
    check("", TOP);
}

#[test]
fn the_modules_of_the_sqlite_store_depend_one_way() {
    check("store/sqlite", SQLITE);
}

#[test]
fn the_modules_of_the_firestore_store_depend_one_way() {
    check("store/firestore", FIRESTORE);
}

#[test]
fn a_use_of_a_module_is_found_in_every_form() {
    let source = "
        use crate::{error::Error, task::{Task, TaskId}};
        use super::sibling;
        fn f(_: &crate::clock::Clock) -> super::super::client::Client { self::inner::g() }
        mod inner { pub fn g() { super::super::uncle::h() } }
        #[cfg(test)] mod tests { use crate::runtime::Worker; }
    ";
    let mut uses = Uses::in_module("store::mine");
    uses.visit_file(&syn::parse_file(source).expect("valid source"));
    let paths: Vec<_> = uses.paths.iter().map(|path| path.join("::")).collect();
    for path in ["error::Error", "task::Task", "task::TaskId", "clock::Clock"] {
        assert!(paths.iter().any(|found| found == path), "{path} of {paths:?}");
    }
    for path in ["store::sibling", "client::Client", "store::uncle::h"] {
        assert!(paths.iter().any(|found| found == path), "{path} of {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.starts_with("runtime")), "{paths:?}");
}

/// Compares the arrows between the modules of a folder with its list.
fn check(folder: &str, layers: &[Layer]) {
    let arrows = arrows(folder);
    let mut problems = Vec::new();
    for (module, used) in &arrows {
        let Some(position) = layers.iter().position(|(name, _)| name == module) else {
            problems.push(format!(
                "`{module}` is not in the list: add it above the modules that use it"
            ));
            continue;
        };
        for (target, file) in used {
            let is_below = layers[..position].iter().any(|(name, _)| name == target);
            if !layers[position].1.contains(&target.as_str()) || !is_below {
                problems.push(format!(
                    "`{module}` uses `{target}` in {}: move the code to the layer that it belongs to; if the arrow is \
                     right, add `{target}` to the entry of `{module}`, which has to stand below that of `{target}`",
                    file.display()
                ));
            }
        }
    }
    for (module, allowed) in layers {
        match arrows.get(*module) {
            None => problems.push(format!(
                "`{module}` does not exist any more: remove it from the list"
            )),
            Some(used) => problems.extend(
                allowed
                    .iter()
                    .filter(|target| !used.contains_key(**target))
                    .map(|target| format!("`{module}` does not use `{target}` any more: remove the arrow")),
            ),
        }
    }
    assert!(
        problems.is_empty(),
        "the modules of oncetask/src/{folder} do not depend on each other as tests/tests/layers.rs says:\n  {}\n\
         the arrows in the source:\n{}",
        problems.join("\n  "),
        listing(&arrows)
    );
}

/// For each module of a folder, the other modules of the folder that it uses, with a file that does.
type Arrows = BTreeMap<String, BTreeMap<String, PathBuf>>;

fn arrows(folder: &str) -> Arrows {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oncetask/src");
    let prefix: Vec<_> = folder.split('/').filter(|name| !name.is_empty()).collect();
    let mut files = Vec::new();
    rust_files(&source.join(folder), &mut files);
    let parsed: Vec<_> = files
        .into_iter()
        .filter_map(|file| {
            let module = module_of(file.strip_prefix(&source).expect("a file of the folder"));
            let top = module.get(prefix.len())?.clone();
            let text = fs::read_to_string(&file).expect("a readable file");
            let mut uses = Uses::in_module(&module.join("::"));
            uses.visit_file(&syn::parse_file(&text).expect("valid source"));
            Some((top, uses.paths, file))
        })
        .filter(|(top, ..)| top != "tests")
        .collect();
    let modules: BTreeSet<_> = parsed.iter().map(|(top, ..)| top.clone()).collect();
    let mut arrows: Arrows = modules
        .iter()
        .map(|name| (name.clone(), BTreeMap::new()))
        .collect();
    for (top, paths, file) in parsed {
        let used = arrows.entry(top.clone()).or_default();
        let targets = paths
            .into_iter()
            .filter(|path| path.len() > prefix.len() && path.iter().zip(&prefix).all(|(a, b)| a == b))
            .map(|path| path[prefix.len()].clone())
            .map(|name| {
                if modules.contains(&name) {
                    name
                } else {
                    ROOT.to_owned()
                }
            })
            .filter(|target| *target != top);
        used.extend(targets.map(|target| (target, file.clone())));
    }
    arrows
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the library") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// Returns the path of the module in a file: `["store", "url"]` for `store/url.rs`, `[]` for `lib.rs`.
fn module_of(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let names = stem.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

/// Prints arrows in the form of the lists above.
fn listing(arrows: &Arrows) -> String {
    let lines = arrows.iter().map(|(module, used)| {
        let used: Vec<_> = used.keys().map(|name| format!("{name:?}")).collect();
        format!("    ({module:?}, &[{}]),", used.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The absolute paths that a module names, without the name of the crate.
struct Uses {
    module: Vec<String>,
    paths: Vec<Vec<String>>,
}

impl Uses {
    fn in_module(module: &str) -> Self {
        Self {
            module: module.split("::").map(ToOwned::to_owned).collect(),
            paths: Vec::new(),
        }
    }

    /// Records a path that begins with `crate`, `self` or `super`.
    fn record(&mut self, path: &[String]) {
        let mut rest = path.iter().peekable();
        let mut absolute = match rest.peek().map(|name| name.as_str()) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for name in rest {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => {
                    absolute.pop();
                }
                name => absolute.push(name.to_owned()),
            }
        }
        self.paths.push(absolute);
    }

    fn record_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.record_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.record(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.record(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.record(prefix),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.record_tree(prefix, tree);
                }
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl Visit<'_> for Uses {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        if is_test(&module.attrs) {
            return;
        }
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.record_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.record(&names);
        visit::visit_path(self, path);
    }
}
