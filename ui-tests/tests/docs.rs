//! The chapter on errors quotes the errors as they are.

use std::fs;
use std::path::Path;

#[test]
fn every_quoted_error_is_one_that_the_compiler_gives() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let chapter = include_str!("../../oncetask/docs/reading-our-errors.md");
    let mut quoted = 0;
    for block in chapter.split("<!-- ").skip(1) {
        let (case, block) = block
            .split_once(" -->\n```text\n")
            .expect("a case, and then a quotation");
        let (quotation, _) = block.split_once("```").expect("an end of the quotation");
        let errors = fs::read_to_string(tests.join(case).with_extension("stderr")).unwrap();
        // In order: what stands between two quoted lines may be left out.
        let mut lines = errors.lines();
        for line in quotation.lines() {
            assert!(
                lines.any(|given| given == line),
                "{case}: not there, or not in this order: {line}"
            );
        }
        quoted += 1;
    }
    assert_eq!(
        quoted,
        chapter.matches("```text").count(),
        "a quotation without its case"
    );
    assert!(quoted > 8, "only {quoted} quotations");
}
