//! The conformance suite on the Firestore store.

use libtest_mimic::Trial;
use tests::conformance::cases;
use tests::harness::firestore::{Project, block_on};

/// Returns one test for each case. Each test has a project of its own.
pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    cases().into_iter().map(|case| {
        Trial::test(format!("conformance::{}", case.name()), move || {
            block_on(async move { case.run(Project::new()).await });
            Ok(())
        })
    })
}
