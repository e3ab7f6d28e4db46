//! The suite that every store passes.

use std::sync::Arc;

use libtest_mimic::Trial;
use oncetask::store::Store;
use tests::conformance::{Harness, Opening, cases};

use crate::world::{Project, block_on};

impl Harness for Project {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        Box::pin(async move {
            let store = self.options().env(env).connect().await;
            Arc::new(store.expect("the emulator answers")) as Arc<dyn Store>
        })
    }
}

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    cases().into_iter().map(|case| {
        Trial::test(format!("conformance::{}", case.name()), move || {
            block_on(async move { case.run(Project::new()).await });
            Ok(())
        })
    })
}
