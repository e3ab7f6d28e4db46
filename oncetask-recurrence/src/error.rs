//! The error of an invalid recurrence.

use std::fmt;
use std::ops::Range;

/// The part of a recurrence that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// The rule.
    Rule,
    /// The name of the time zone, `tz`.
    TimeZone,
    /// The start, `dtstart`.
    Start,
    /// The date with this index in `exdates`.
    Exdate(usize),
    /// The date with this index in `rdates`.
    Rdate(usize),
    /// The policy for missed occurrences, `missed`.
    Missed,
}

/// An invalid recurrence: the reason, and the part that is invalid.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::Recurrence;
///
/// let error = Recurrence::new("FREQ=DAILY;BYHOUR=25").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid RFC 5545 recurrence rule: `25` is not a valid `BYHOUR`; expected numbers from 0 to 23, \
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
    /// Returns an error about a rule as a whole.
    pub(crate) fn of_rule(text: &str, reason: impl Into<String>) -> Self {
        Self::new(Argument::Rule, text, reason)
    }

    /// Returns an error about these bytes of a rule.
    pub(crate) fn in_rule(text: &str, span: Range<usize>, reason: impl fmt::Display) -> Self {
        let reason = format!("invalid RFC 5545 recurrence rule: {reason}");
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

    /// Returns the part of the recurrence that is invalid.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::{Argument, Zone};
    ///
    /// let error = "Mars".parse::<Zone>().unwrap_err();
    /// assert_eq!(error.argument(), Argument::TimeZone);
    /// ```
    #[must_use]
    pub fn argument(&self) -> Argument {
        self.argument
    }

    /// Returns the reason without the invalid text, for a message that shows the text itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let error = Recurrence::new("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30").unwrap_err();
    /// assert_eq!(error.reason(), "this rule never occurs");
    /// ```
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the range of the invalid bytes of the rule, or `None` if the error is not about a single part of
    /// the rule.
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
