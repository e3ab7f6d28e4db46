//! Every misuse has one error, at the user's token, which says what to write instead.
//!
//! A case is a file in the directory of its kind of mistake, the errors beside it:
//! `TRYBUILD=overwrite cargo test -p ui-tests --test ui` writes those anew, and the diff is to be read.
//! No case is here whose errors list what other crates implement, or quote the standard library: those
//! depend on the dependency graph and on the components of the toolchain.

#[test]
fn every_misuse_has_an_error_that_says_what_to_write() {
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
