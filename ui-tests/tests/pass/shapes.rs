//! Structs with unnamed fields, and without fields.

use oncetask::{Client, OnceTask};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, OnceTask)]
#[id("tuple:{0}:{1}")]
#[handler]
struct Tuple(u8, char);

impl Tuple {
    async fn run(self) {}
}

#[derive(Serialize, Deserialize, OnceTask)]
struct Marked(#[id] String, #[resource_key] Option<String>);

#[derive(Serialize, Deserialize, OnceTask)]
#[id("newtype:{0}")]
#[serde(transparent)]
struct Newtype(u64);

#[derive(Serialize, Deserialize, OnceTask)]
#[id("unit")]
struct Unit;

#[derive(Serialize, Deserialize, OnceTask)]
#[id("empty")]
struct Empty {}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("no values")]
struct NoValues();

#[test]
fn each_shape_has_an_id() {
    let ids = [
        Tuple(1, ':').id(),
        Marked("a".into(), None).id(),
        Newtype(3).id(),
        Unit.id(),
        Empty {}.id(),
        NoValues().id(),
    ];
    let texts: Vec<_> = ids.iter().map(oncetask::TaskId::as_str).collect();
    assert_eq!(
        texts,
        ["tuple:1::", "Marked:a", "newtype:3", "unit", "empty", "no values"]
    );
    assert_eq!(
        Marked("a".into(), Some("b".into()))
            .resource_key()
            .unwrap()
            .as_str(),
        "b"
    );
    _ = Client::in_memory;
}
