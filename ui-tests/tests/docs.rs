//! Checks the errors that the guide quotes.

use std::fs;
use std::path::Path;

#[test]
fn each_quoted_error_is_an_error_of_its_case() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let chapter = include_str!("../../oncetask/docs/reading-our-errors.md");
    let mut quoted = 0;
    for block in chapter.split("<!-- ").skip(1) {
        let (case, block) = block
            .split_once(" -->\n```text\n")
            .expect("a quotation after the name of its case");
        let (quotation, _) = block.split_once("```").expect("an end of the quotation");
        let errors = fs::read_to_string(tests.join(case).with_extension("stderr")).unwrap();
        // The quotation may leave out lines, but keeps their order.
        let mut lines = errors.lines();
        for line in quotation.lines() {
            assert!(
                lines.any(|given| given == line),
                "{case}: this line is missing, or in another order: {line}"
            );
        }
        quoted += 1;
    }
    assert_eq!(
        quoted,
        chapter.matches("```text").count(),
        "a quotation has no case"
    );
    assert!(quoted > 8, "only {quoted} quotations");
}
