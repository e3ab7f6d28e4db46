//! Raw identifiers, and attributes of serde on the same fields.

use oncetask::OnceTask;
use serde::{Deserialize, Serialize};

use crate::discovered;

/// A type with attributes of the standard library in addition to ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, OnceTask)]
#[must_use = "a task that is not created does nothing"]
#[non_exhaustive]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[id("raw:{type}:{r#fn}")]
pub(crate) struct r#Yield {
    /// Documented.
    #[serde(rename = "kind")]
    pub r#type: u8,
    #[serde(default, alias = "function")]
    #[resource_key]
    pub(crate) r#fn: String,
}

#[test]
fn raw_identifiers_lose_their_prefix() {
    let task = r#Yield {
        r#type: 1,
        r#fn: "a".into(),
    };
    assert_eq!(<r#Yield as OnceTask>::KIND, "Yield");
    assert_eq!(task.id().as_str(), "raw:1:a");
    assert_eq!(task.resource_key().unwrap().as_str(), "a");
    assert_eq!(discovered("Yield").aliases(), [""; 0]);
}

#[derive(Serialize, Deserialize)]
struct Address {
    host: String,
    port: u16,
}

#[derive(Serialize, Deserialize, OnceTask)]
#[task(kind = "probe-2", alias = "Probe", alias = "probe_1")]
#[id(content)]
#[handler]
struct Probe {
    #[serde(flatten)]
    address: Address,
    #[serde(skip)]
    seen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Probe {
    async fn run(self) -> oncetask::Result<bool> {
        Ok(self.seen || self.note.is_some())
    }
}

#[test]
fn serde_decides_which_fields_are_stored() {
    let probe = |seen| Probe {
        address: Address {
            host: "h".into(),
            port: 1,
        },
        seen,
        note: None,
    };
    assert_eq!(probe(true).id(), probe(false).id());
    assert_eq!(
        serde_json::to_string(&probe(true)).unwrap(),
        r#"{"host":"h","port":1}"#
    );
    let found = discovered("probe-2");
    assert_eq!(found.aliases(), ["Probe", "probe_1"]);
    assert!(found.has_handler());
    assert_eq!(found.location().file, file!());
}
