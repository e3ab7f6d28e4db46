//! What is wrong with a recurrence, and where.

use std::fmt;
use std::ops::Range;

/// The part of a recurrence that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// The rule.
    Rule,
    /// The name of the time zone.
    TimeZone,
    /// The start, `dtstart`.
    Start,
    /// One of the `exdates`: its index.
    Exdate(usize),
    /// One of the `rdates`: its index.
    Rdate(usize),
    /// What becomes of missed occurrences, `missed`.
    Missed,
}

/// A recurrence that cannot be followed: the reason, and the place of the mistake.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::Recurrence;
///
/// let error = Recurrence::new("FREQ=DAILY;BYHOUR=25").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "not a recurrence rule of RFC 5545: `25` is not a valid `BYHOUR`; expected numbers from 0 to 23, \
///      separated by commas (at 18..20 of `FREQ=DAILY;BYHOUR=25`)"
/// );
/// assert_eq!(error.span(), Some(18..20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurrenceError {
    argument: Argument,
    reason: String,
    text: String,
    span: Option<Range<usize>>,
}

impl RecurrenceError {
    /// The rule as a whole is wrong.
    pub(crate) fn of_rule(text: &str, reason: impl Into<String>) -> Self {
        Self::new(Argument::Rule, text, reason)
    }

    /// These bytes of the rule are no rule.
    pub(crate) fn in_rule(text: &str, span: Range<usize>, reason: impl fmt::Display) -> Self {
        let reason = format!("not a recurrence rule of RFC 5545: {reason}");
        Self {
            span: Some(span),
            ..Self::of_rule(text, reason)
        }
    }

    pub(crate) fn new(argument: Argument, text: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self {
            argument,
            reason: reason.into(),
            text: text.to_string(),
            span: None,
        }
    }

    /// Which part of the recurrence is wrong.
    #[must_use]
    pub fn argument(&self) -> Argument {
        self.argument
    }

    /// The reason alone, for whoever shows the place by other means.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The bytes of the rule that are wrong; `None` when no single part of it is.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }
}

impl fmt::Display for RecurrenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, text, .. } = self;
        match (self.argument, &self.span) {
            (Argument::Rule, Some(span)) => {
                write!(f, "{reason} (at {}..{} of `{text}`)", span.start, span.end)
            }
            (Argument::Rule, None) => write!(f, "{reason} (`{text}`)"),
            (Argument::TimeZone | Argument::Missed, _) => f.write_str(reason),
            (Argument::Start, _) => write!(f, "{reason} (`dtstart` is `{text}`)"),
            (Argument::Exdate(index), _) => write!(f, "{reason} (`exdates[{index}]` is `{text}`)"),
            (Argument::Rdate(index), _) => write!(f, "{reason} (`rdates[{index}]` is `{text}`)"),
        }
    }
}

impl std::error::Error for RecurrenceError {}
