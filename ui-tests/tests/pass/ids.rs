//! Every form of an id and of a resource key.

use std::collections::HashMap;

use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OnceTask)]
#[id("email:{to}:{subject:hash}|{path:raw}")]
#[resource_key("inbox {to}/{{}}")]
struct Email {
    to: String,
    subject: HashMap<String, u8>,
    path: String,
}

#[test]
fn a_template_is_the_whole_id() {
    let email = Email {
        to: "a:b/c%".into(),
        subject: HashMap::from([("x".into(), 1), ("y".into(), 2)]),
        path: "d/e:f".into(),
    };
    let id = email.id();
    let (start, end) = id.as_str().split_at("email:a%3Ab%2Fc%25:".len());
    assert_eq!(start, "email:a%3Ab%2Fc%25:");
    assert_eq!(end.len(), 32 + "|d/e:f".len());
    assert!(end.ends_with("|d/e:f"), "{id}");
    assert_eq!(email.resource_key().unwrap().as_str(), "inbox a:b/c%/{}");
}

#[derive(Serialize, Deserialize, OnceTask)]
#[task(kind = "fields.v1")]
struct Fields {
    #[id]
    a: String,
    unmarked: u8,
    #[id(hash)]
    b: Vec<u8>,
    #[id]
    c: char,
    #[resource_key]
    channel: Option<String>,
}

#[test]
fn marked_fields_follow_the_kind() {
    let fields = |channel: Option<&str>| Fields {
        a: "x:y".into(),
        unmarked: 1,
        b: vec![1],
        c: 'z',
        channel: channel.map(String::from),
    };
    let id = fields(None).id();
    assert!(id.as_str().starts_with("fields.v1:x%3Ay:"), "{id}");
    assert!(id.as_str().ends_with(":z"), "{id}");
    assert_eq!(fields(None).resource_key(), None);
    assert_eq!(fields(Some("c")).resource_key().unwrap().as_str(), "c");
    assert_eq!(fields(Some("")).resource_key(), None);
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id(content)]
#[resource_key(with = Content::owner)]
struct Content {
    a: u8,
    b: Option<String>,
}

impl Content {
    const fn owner(&self) -> u8 {
        self.a
    }
}

#[test]
fn a_digest_of_the_content_follows_the_kind() {
    let content = Content { a: 1, b: None };
    assert!(content.id().as_str().starts_with("Content:"));
    assert_eq!(content.id(), Content { a: 1, b: None }.id());
    assert_ne!(content.id(), Content { a: 2, b: None }.id());
    assert_eq!(content.resource_key().unwrap().as_str(), "1");
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id(with = name)]
struct With {
    a: u8,
}

fn name(task: &With) -> impl std::fmt::Display + use<> {
    format!("{}/{}", task.a, task.a)
}

#[test]
fn the_result_of_a_function_follows_the_kind() {
    assert_eq!(With { a: 7 }.id().as_str(), "With:7%2F7");
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("by hash: {key:hash}{rest}")]
struct HashFirst {
    #[resource_key(hash)]
    key: Vec<u8>,
    rest: String,
}

#[test]
fn a_digest_needs_no_separator() {
    let task = HashFirst {
        key: vec![1],
        rest: "a".into(),
    };
    assert_eq!(task.id().as_str().len(), "by hash: ".len() + 32 + 1);
    assert_eq!(task.resource_key().unwrap().as_str().len(), 32);
}
