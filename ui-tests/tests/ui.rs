//! Compile-fail tests: each misuse has one error at the user's token, which says what to write instead.
//!
//! A case is a file that is named after its mistake, in the directory of its kind of mistake. The expected errors
//! are in the `.stderr` file with the same name. `TRYBUILD=overwrite cargo test -p ui-tests --test ui` rewrites
//! those files. Review the diff.
//!
//! No expected error lists implementations in other crates or quotes the standard library, because both depend on
//! the dependency graph and on the components of the toolchain.

#[test]
fn each_misuse_has_an_error_that_says_what_to_write() {
    let cases = trybuild::TestCases::new();
    for kind in [
        "unknown",
        "duplicate",
        "malformed",
        "conflict",
        "shape",
        "type",
        "handler",
        "time",
    ] {
        cases.compile_fail(format!("tests/ui/{kind}/*.rs"));
    }
}
