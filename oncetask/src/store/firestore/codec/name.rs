//! The names of documents.
//!
//! The name of a document is its task's id, percent-encoded where Firestore forbids a character: `a/b` would name a
//! sub-collection. In an environment other than the default one the name begins with `ENV~`, so that two environments
//! never share a name. For the same reason `~` is encoded. `%` is encoded so that two ids never share a name.
//!
//! A name that would be too long is truncated, and ends with `~~` and a digest of the whole name.
//!
//! With shared ids the names are those of the Go library: the id in every environment, encoded only where Firestore
//! forbids it. Then two ids or two environments may share a name. The document's own `id` and `env` show that, and it
//! is an error.

use sha2::{Digest, Sha256};

use crate::store::DEFAULT_ENV;
use crate::task::TaskId;

/// The maximum length of a name in bytes.
const MAX_BYTES: usize = 1500;

/// The names of the documents of one environment.
#[derive(Clone, Debug)]
pub(in crate::store::firestore) struct Names {
    prefix: String,
    encoded: &'static [char],
}

impl Names {
    pub(in crate::store::firestore) fn new(env: &str, shared_ids: bool) -> Self {
        const OURS: &[char] = &['%', '/', '~'];
        const SHARED: &[char] = &['/'];
        if shared_ids {
            return Self {
                prefix: String::new(),
                encoded: SHARED,
            };
        }
        let prefix = if env == DEFAULT_ENV {
            String::new()
        } else {
            format!("{}~", encode(env, OURS))
        };
        Self {
            prefix,
            encoded: OURS,
        }
    }

    /// Returns the last part of the name of a task's document.
    ///
    /// # Errors
    ///
    /// Returns the reason if the id cannot be part of a name.
    pub(in crate::store::firestore) fn of(&self, id: &TaskId) -> Result<String, String> {
        let name = format!("{}{}", self.prefix, encode(id.as_str(), self.encoded));
        let name = match name.as_str() {
            "" => return Err("its id is empty".to_owned()),
            "." => "%2E".to_owned(),
            ".." => "%2E%2E".to_owned(),
            reserved if reserved.len() >= 4 && reserved.starts_with("__") && reserved.ends_with("__") => {
                format!("%5F{}", &reserved[1..])
            }
            _ => name,
        };
        Ok(if name.len() > MAX_BYTES {
            truncate(&name)
        } else {
            name
        })
    }
}

fn truncate(name: &str) -> String {
    let hash = Sha256::digest(name);
    let (high, _) = hash.split_at(16);
    let digest = format!(
        "~~{:032x}",
        u128::from_be_bytes(high.try_into().expect("16 bytes"))
    );
    let end = name.floor_char_boundary(MAX_BYTES - digest.len());
    name[..end].to_owned() + &digest
}

fn encode(text: &str, encoded: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '/' | '~' if encoded.contains(&c) => out.push_str(match c {
                '%' => "%25",
                '/' => "%2F",
                _ => "%7E",
            }),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(env: &str, shared: bool, id: &str) -> String {
        Names::new(env, shared).of(&TaskId::new(id)).expect("a name")
    }

    #[test]
    fn a_valid_id_is_the_name_in_the_default_environment() {
        assert_eq!(name("DEFAULT", false, "email:ünï 1"), "email:ünï 1");
        assert_eq!(name("STAGING", false, "email:1"), "STAGING~email:1");
        assert_eq!(name("STAGING", true, "email:1"), "email:1");
    }

    #[test]
    fn forbidden_characters_are_encoded() {
        for (id, expected) in [
            ("a/b/c", "a%2Fb%2Fc"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("__x__", "%5F_x__"),
            ("____", "%5F___"),
            ("__x", "__x"),
            ("a%2Fb", "a%252Fb"),
            ("A~b", "A%7Eb"),
        ] {
            assert_eq!(name("DEFAULT", false, id), expected);
        }
        assert_eq!(name("A/B~", false, "."), "A%2FB%7E~.");
    }

    #[test]
    fn a_name_that_is_too_long_is_truncated_and_stays_unique() {
        let long = |last: &str| name("STAGING", false, &("ü/".repeat(498) + last));
        let (a, b) = (long("a"), long("b"));
        assert!(a.len() <= MAX_BYTES && b.len() <= MAX_BYTES);
        assert_ne!(a, b);
        assert_eq!(a, long("a"));
    }
}
