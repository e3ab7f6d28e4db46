//! The stored form: texts, without the fields that have their default values.

use std::fmt;

use chrono::NaiveDateTime;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check;
use crate::draft::Draft;
use crate::moment::LOCAL_FORMAT;
use crate::policy::{Gap, Missed, Overlap};
use crate::recurrence::{Parts, Recurrence};
use crate::zone::Zone;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    rule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tz: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dtstart: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exdates: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rdates: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    gap: Gap,
    #[serde(default, skip_serializing_if = "is_default")]
    overlap: Overlap,
    #[serde(default, skip_serializing_if = "is_default")]
    missed: Missed,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Serialises the recurrence as a map of `rule`, `tz`, `dtstart`, `exdates`, `rdates`, `gap`, `overlap` and
/// `missed`.
impl Serialize for Recurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Parts {
            text,
            rule: _,
            tz,
            start,
            exdates,
            rdates,
            gap,
            overlap,
            missed,
        } = self.parts();
        let stored = Stored {
            rule: text.clone(),
            tz: (*tz != Zone::UTC).then(|| tz.name().to_owned()),
            dtstart: start.as_ref().map(format_local),
            exdates: exdates.iter().map(ToString::to_string).collect(),
            rdates: rdates.iter().map(ToString::to_string).collect(),
            gap: *gap,
            overlap: *overlap,
            missed: *missed,
        };
        stored.serialize(serializer)
    }
}

fn format_local(local: &NaiveDateTime) -> String {
    local.format(LOCAL_FORMAT).to_string()
}

/// Deserialises a recurrence from the map that it is serialised as, or from the text of a rule.
///
/// The rule must have an occurrence in local time. A local time that the clocks skip is accepted, because a
/// zone may have changed its rules after the recurrence was stored.
impl<'de> Deserialize<'de> for Recurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StoredVisitor)
    }
}

struct StoredVisitor;

impl<'de> Visitor<'de> for StoredVisitor {
    type Value = Recurrence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a recurrence: a rule such as \"FREQ=DAILY\", or a map with a `rule`")
    }

    fn visit_str<E: Error>(self, rule: &str) -> Result<Recurrence, E> {
        Recurrence::new(rule).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Recurrence, A::Error> {
        let stored = Stored::deserialize(MapAccessDeserializer::new(map))?;
        let recurrence = stored
            .draft()
            .parse()
            .map_err(|errors| A::Error::custom(check::first_error(errors)))?;
        match recurrence.local_emptiness() {
            None => Ok(recurrence),
            Some(error) => Err(A::Error::custom(error)),
        }
    }
}

impl Stored {
    fn draft(&self) -> Draft<'_> {
        Draft {
            rule: &self.rule,
            tz: self.tz.as_deref(),
            dtstart: self.dtstart.as_deref(),
            exdates: self.exdates.iter().map(String::as_str).collect(),
            rdates: self.rdates.iter().map(String::as_str).collect(),
            gap: self.gap,
            overlap: self.overlap,
            missed: self.missed,
        }
    }
}
