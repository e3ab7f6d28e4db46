//! The tokens of a rule's text: its parts, their names and values, and errors about them.

use std::fmt;
use std::ops::Range;

use crate::error::RecurrenceError;
use crate::suggest::did_you_mean;

/// An error about some bytes of a rule.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) reason: String,
}

impl Mistake {
    /// Converts to the public error, which contains the text of the rule.
    pub(super) fn into_error(self, text: &str) -> RecurrenceError {
        RecurrenceError::in_rule(text, self.span, self.reason)
    }
}

/// A piece of a rule's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(super) text: &'a str,
    /// The offset of the piece in the text of the rule, in bytes.
    pub(super) start: usize,
}

impl<'a> Token<'a> {
    pub(super) fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let token = Self { text, start };
            start += text.len() + separator.len_utf8();
            token
        })
    }

    fn range(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// Returns a mistake whose reason is the text followed by `reason`.
    pub(super) fn mistake(self, reason: impl fmt::Display) -> Mistake {
        Mistake {
            span: self.range(),
            reason: format!("{self} {reason}"),
        }
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

/// One `NAME=value` of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'static str,
    pub(super) value: Token<'a>,
    whole: Token<'a>,
}

const NAMES: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
    "WKST",
];

impl<'a> Part<'a> {
    /// Splits a token into a known name and a value. `earlier` are the parts before it.
    pub(super) fn parse(token: Token<'a>, earlier: &[Self]) -> Result<Self, Mistake> {
        let Some((name, value)) = token.text.split_once('=') else {
            return Err(token.mistake("is not of the form `NAME=value`"));
        };
        let value = Token {
            text: value,
            start: token.start + name.len() + 1,
        };
        let name = Token {
            text: name,
            start: token.start,
        };
        let known = NAMES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name.text))
            .ok_or_else(|| unknown_name(name))?;
        if earlier.iter().any(|part| part.name == known) {
            let name = Token { text: known, ..name };
            return Err(name.mistake("is given twice; separate values with commas"));
        }
        Ok(Self {
            name: known,
            value,
            whole: token,
        })
    }

    /// Returns a mistake about the whole part.
    pub(crate) fn mistake(&self, reason: impl Into<String>) -> Mistake {
        Mistake {
            span: self.whole.range(),
            reason: reason.into(),
        }
    }
}

fn unknown_name(name: Token<'_>) -> Mistake {
    let hint = match did_you_mean(name.text, NAMES) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("the rule parts are {}", NAMES.join(", ")),
    };
    name.mistake(format_args!("is not a rule part; {hint}"))
}
