//! The locations at which a task type can be defined.

use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

use crate::discovered;

#[test]
fn in_a_function() {
    #[derive(Serialize, Deserialize, OnceTask)]
    #[id("local:{n}")]
    #[handler]
    struct Local {
        n: u8,
    }

    impl Local {
        async fn run(self) {}
    }

    assert_eq!(Local { n: 1 }.id().as_str(), "local:1");
    assert!(discovered("Local").has_handler());
}

macro_rules! define {
    ($name:ident { $field:ident: $type:ty } $template:literal $run:path, $($other:ident)*) => {
        #[derive(Serialize, Deserialize, OnceTask)]
        #[id($template)]
        #[resource_key("fixed:{fixed}")]
        #[handler(run = $run, concurrency = 1)]
        struct $name {
            $field: $type,
            fixed: u8,
            $($other: u8,)*
            #[run_at]
            at: Option<std::time::SystemTime>,
        }
    };
}

define!(FromMacro { given: String } "macro:{given}:{fixed}:{other}" work, other);

async fn work(_: FromMacro) {}

#[test]
fn in_a_macro() {
    let task = FromMacro {
        given: "a".into(),
        fixed: 1,
        other: 2,
        at: None,
    };
    assert_eq!(task.id().as_str(), "macro:a:1:2");
    assert_eq!(task.resource_key().unwrap().as_str(), "fixed:1");
    assert_eq!(task.schedule(), oncetask::Schedule::Now);
}

macro_rules! marked {
    ($name:ident, $type:ty) => {
        #[derive(Serialize, Deserialize, OnceTask)]
        #[handler]
        struct $name {
            #[id]
            a: $type,
            #[id(hash)]
            b: $type,
            #[resource_key]
            c: Option<$type>,
            #[recurrence]
            every: Option<oncetask::Recurrence>,
        }

        impl $name {
            async fn run(self) {}
        }
    };
}

marked!(MarkedFromMacro, u8);

#[test]
fn in_a_macro_that_marks_fields() {
    let task = MarkedFromMacro {
        a: 1,
        b: 2,
        c: Some(3),
        every: None,
    };
    assert!(task.id().as_str().starts_with("MarkedFromMacro:1:"));
    assert_eq!(task.resource_key().unwrap().as_str(), "3");
}

contract::ping!(Ping);

#[test]
fn in_a_macro_of_a_crate_that_re_exports_the_library() {
    let task = Ping { host: "h".into() };
    assert_eq!(task.id().as_str(), "Ping:h");
    assert!(discovered("Ping").has_handler());
}

#[test]
fn in_a_crate_that_renames_the_library() {
    let task = contract::Greet { name: "a".into() };
    assert_eq!(task.id().as_str(), "greet:a");
    assert!(discovered("Greet").has_handler());
    assert!(discovered("hidden").has_handler());
    assert!(
        discovered("hidden")
            .location()
            .file
            .ends_with("contract/src/lib.rs")
    );
}

mod facade {
    pub(super) mod inner {
        pub(in super::super) use oncetask as renamed;
    }
}

#[derive(Serialize, Deserialize, OnceTask)]
#[task(crate = facade::inner::renamed)]
#[id("faced:{n}")]
#[handler(retry = fixed(delay = "1s"))]
struct Faced {
    n: u8,
}

impl Faced {
    async fn run(self) {}
}

#[test]
fn with_a_path_to_the_library() {
    assert_eq!(Faced { n: 1 }.id().as_str(), "faced:1");
}

#[derive(Serialize, Deserialize, OnceTask)]
#[cfg_attr(all(), task(kind = "conditional"))]
#[cfg_attr(any(), task(kind = "other"), handler)]
#[cfg_attr(all(), id("conditional:{n}"))]
struct Conditional {
    n: u8,
    #[cfg(any())]
    #[id]
    absent: u8,
}

#[test]
fn with_conditional_attributes() {
    assert_eq!(Conditional { n: 1 }.id().as_str(), "conditional:1");
    assert!(!discovered("conditional").has_handler());
}
