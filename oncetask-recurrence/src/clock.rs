//! From local times to instants, on the clocks of a time zone.
//!
//! An instant is counted as the local time that clocks in UTC show. The line of instants falls into segments
//! of one offset each. Within a segment local times and instants go in step; what the clocks do where two
//! segments meet is settled here, by the policies.
//!
//! In no zone of the database do two segments begin within two days of each other, so from any instant at
//! most one change of the clocks is in reach on either side.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::local::civil::Second;
use crate::moment::second_to_instant;
use crate::policy::{Gap, Overlap};

/// The clocks of a zone, and what to do when they change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) tz: Tz,
    pub(crate) gap: Gap,
    pub(crate) overlap: Overlap,
}

/// More than clocks differ from UTC, and more than they are ever put forward or back.
pub(crate) const REACH: Second = 26 * 3600;

/// A time span of one offset, as far as one can see from an instant in it.
struct Segment {
    start: Second,
    end: Second,
    offset: Second,
    /// The offset just before `start`; the same when the view ends there.
    before: Second,
    /// Whether the clocks change at `end`, rather than the view ending there.
    changes: bool,
}

impl Clock {
    /// The first instant after this one to which a local time is mapped.
    ///
    /// `local` tells the first local time that is not before a given one.
    pub(crate) fn next(self, after: Second, local: impl Fn(Second) -> Option<Second>) -> Option<Second> {
        let mut from = after + 1;
        loop {
            let segment = self.segment(from);
            let found = self.shown(&segment, from, &local);
            let first = found
                .into_iter()
                .chain(self.shifted(&segment, from, &local))
                .min();
            match first {
                Some(first) if first < segment.end => return Some(first),
                _ if segment.changes => from = segment.end,
                // Nothing comes before the clocks are within reach of it.
                _ => from = segment.end.max(found? - REACH),
            }
        }
    }

    /// The first instant of the segment, or beyond, at which its clocks show one of the local times.
    fn shown(
        self,
        segment: &Segment,
        from: Second,
        local: impl Fn(Second) -> Option<Second>,
    ) -> Option<Second> {
        let least = match self.overlap {
            Overlap::Both => from + segment.offset,
            // The clocks have shown all of this in the segment before.
            Overlap::First => (from + segment.offset).max(segment.start + segment.before),
        };
        Some(local(least)? - segment.offset)
    }

    /// The first instant of the segment that stands for a local time skipped at its start.
    fn shifted(
        self,
        segment: &Segment,
        from: Second,
        local: impl Fn(Second) -> Option<Second>,
    ) -> Option<Second> {
        let skipped_until = segment.start + segment.offset;
        let least = from + segment.before;
        if self.gap == Gap::Skip || least >= skipped_until {
            return None;
        }
        let skipped = local(least).filter(|skipped| *skipped < skipped_until)?;
        Some(skipped - segment.before)
    }

    /// The instants for which this local time stands: none, one or two, in order.
    pub(crate) fn instants(self, local: Second) -> impl Iterator<Item = Second> + use<> {
        let offsets = match (self.local_offsets(local), self.overlap, self.gap) {
            (MappedLocalTime::Single(offset), ..) => [Some(offset), None],
            (MappedLocalTime::Ambiguous(first, _), Overlap::First, _) => [Some(first), None],
            (MappedLocalTime::Ambiguous(first, second), Overlap::Both, _) => [Some(first), Some(second)],
            (MappedLocalTime::None, _, Gap::Skip) => [None, None],
            (MappedLocalTime::None, _, Gap::Shift) => [Some(self.offset(local - REACH)), None],
        };
        offsets.into_iter().flatten().map(move |offset| local - offset)
    }

    /// Whether the clocks never show this local time.
    pub(crate) fn skips(self, local: Second) -> bool {
        matches!(self.local_offsets(local), MappedLocalTime::None)
    }

    fn local_offsets(self, local: Second) -> MappedLocalTime<Second> {
        let offsets = self
            .tz
            .offset_from_local_datetime(&naive(local))
            .map(|offset| seconds_east(&offset));
        match offsets {
            // The greater offset is in force first.
            MappedLocalTime::Ambiguous(a, b) => MappedLocalTime::Ambiguous(a.max(b), a.min(b)),
            other => other,
        }
    }

    fn offset(self, instant: Second) -> Second {
        seconds_east(&self.tz.offset_from_utc_datetime(&naive(instant)))
    }

    fn segment(self, instant: Second) -> Segment {
        let offset = self.offset(instant);
        let (first, last) = (instant - REACH, instant + REACH);
        let start = self.change(first, instant, offset);
        let end = self.change(last, instant, offset);
        Segment {
            start: start.unwrap_or(first),
            end: end.unwrap_or(last) + 1,
            offset,
            before: start.map_or(offset, |start| self.offset(start - 1)),
            changes: end.is_some(),
        }
    }

    /// The instant nearest to `outside` that has this offset, as `inside` does; none if `outside` has it too.
    fn change(self, mut outside: Second, mut inside: Second, offset: Second) -> Option<Second> {
        if self.offset(outside) == offset {
            return None;
        }
        while (inside - outside).abs() > 1 {
            let middle = inside.midpoint(outside);
            if self.offset(middle) == offset {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        Some(inside)
    }
}

fn seconds_east(offset: &impl Offset) -> Second {
    offset.fix().local_minus_utc().into()
}

fn naive(second: Second) -> NaiveDateTime {
    second_to_instant(second)
        .unwrap_or(DateTime::UNIX_EPOCH)
        .naive_utc()
}
