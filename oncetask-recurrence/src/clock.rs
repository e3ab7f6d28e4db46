//! The mapping from local times to instants.
//!
//! An instant is represented by the local time in UTC, in seconds. The line of instants is divided into
//! segments of constant offset. Within a segment, local times and instants differ by that offset. The
//! policies map the local times that are skipped or repeated where two segments meet.
//!
//! In every zone of the database, two segments begin more than two days apart. Within [`REACH`] of an instant
//! there is therefore at most one clock change on either side.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};

use crate::local::civil::Second;
use crate::moment::second_to_instant;
use crate::policy::{Gap, Overlap};
use crate::zone::Zone;

/// The wall clock of a zone, with the policies for its changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    pub(crate) tz: Zone,
    pub(crate) gap: Gap,
    pub(crate) overlap: Overlap,
}

/// A duration in seconds that is longer than any offset from UTC and than any change of an offset.
pub(crate) const REACH: Second = 26 * 3600;

/// A span of instants with one offset, limited to [`REACH`] around the instant from which it was computed.
struct Segment {
    start: Second,
    end: Second,
    offset: Second,
    /// The offset just before `start`. If the limit is reached before the offset changes, this is `offset`.
    before: Second,
    /// True if the offset changes at `end`. Otherwise `end` is the limit.
    changes: bool,
}

impl WallClock {
    /// Returns the first instant after `after` to which a local time is mapped.
    ///
    /// `local` returns the first local time that is not before its argument.
    pub(crate) fn next(self, after: Second, local: impl Fn(Second) -> Option<Second>) -> Option<Second> {
        let mut from = after + 1;
        loop {
            let segment = self.segment(from);
            let shown = self.first_shown(&segment, from, &local);
            let first = shown
                .into_iter()
                .chain(self.first_shifted(&segment, from, &local))
                .min();
            match first {
                Some(first) if first < segment.end => return Some(first),
                _ if segment.changes => from = segment.end,
                // Another offset moves the occurrence by less than `REACH`, so the search continues just
                // before it.
                _ => from = segment.end.max(shown? - REACH),
            }
        }
    }

    /// Returns the first instant of the segment, or after it, at which the clock shows one of the local
    /// times.
    fn first_shown(
        self,
        segment: &Segment,
        from: Second,
        local: impl Fn(Second) -> Option<Second>,
    ) -> Option<Second> {
        let earliest = match self.overlap {
            Overlap::Both => from + segment.offset,
            // Earlier local times were already shown in the previous segment.
            Overlap::First => (from + segment.offset).max(segment.start + segment.before),
        };
        Some(local(earliest)? - segment.offset)
    }

    /// Returns the first instant of the segment to which a local time that was skipped at the segment's start is
    /// shifted.
    fn first_shifted(
        self,
        segment: &Segment,
        from: Second,
        local: impl Fn(Second) -> Option<Second>,
    ) -> Option<Second> {
        let skipped_until = segment.start + segment.offset;
        let earliest = from + segment.before;
        if self.gap == Gap::Skip || earliest >= skipped_until {
            return None;
        }
        let skipped = local(earliest).filter(|skipped| *skipped < skipped_until)?;
        Some(skipped - segment.before)
    }

    /// Returns the instants to which a local time is mapped: none, one or two, in order.
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

    /// Returns whether the clock never shows this local time.
    pub(crate) fn skips(self, local: Second) -> bool {
        matches!(self.local_offsets(local), MappedLocalTime::None)
    }

    /// Returns the offsets at which the clock shows this local time, in chronological order.
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
        let start = self.limit_of_offset(first, instant, offset);
        let end = self.limit_of_offset(last, instant, offset);
        Segment {
            start: start.unwrap_or(first),
            end: end.unwrap_or(last) + 1,
            offset,
            before: start.map_or(offset, |start| self.offset(start - 1)),
            changes: end.is_some(),
        }
    }

    /// Returns the instant nearest to `outside` that still has the given offset of `inside`; `None` if
    /// `outside` has the same offset.
    fn limit_of_offset(self, mut outside: Second, mut inside: Second, offset: Second) -> Option<Second> {
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
