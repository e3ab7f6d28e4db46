//! A set of the days of one period, with one bit for each day.

/// A set of days, counted from the first day of a period. The period is at most a year long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayBits([u64; 6]);

impl DayBits {
    pub(crate) fn insert(&mut self, day: u32) {
        self.0[(day / 64) as usize] |= 1 << (day % 64);
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Returns the first day of the set that is not before `day`.
    pub(crate) fn at_or_after(&self, day: u32) -> Option<u32> {
        let start = (day / 64) as usize;
        let rest_of_word = self.0.get(start)? & (u64::MAX << (day % 64));
        std::iter::once(rest_of_word)
            .chain(self.0[start + 1..].iter().copied())
            .zip(day / 64..)
            .find(|(word, _)| *word != 0)
            .map(|(word, index)| index * 64 + word.trailing_zeros())
    }

    /// Returns the day that has `rank` days of the set before it.
    pub(crate) fn nth(&self, mut rank: u32) -> Option<u32> {
        for (word, index) in self.0.iter().zip(0..) {
            if rank < word.count_ones() {
                return Some(index * 64 + select(*word, rank));
            }
            rank -= word.count_ones();
        }
        None
    }

    /// Returns the days of the set among the `length` days from `first` on, counted from `first`.
    pub(crate) fn slice(&self, first: u32, length: u32) -> Self {
        let mut part = Self::default();
        let mut day = self.at_or_after(first);
        while let Some(found) = day.filter(|day| *day < first + length) {
            part.insert(found - first);
            day = self.at_or_after(found + 1);
        }
        part
    }
}

/// Returns the index of the set bit that has `rank` set bits below it.
pub(crate) fn select(mut word: u64, rank: u32) -> u32 {
    for _ in 0..rank {
        word &= word.wrapping_sub(1);
    }
    word.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_ordered_across_its_words() {
        let members = [0, 63, 64, 127, 200, 365];
        let mut set = DayBits::default();
        for day in members {
            set.insert(day);
        }
        assert_eq!(set.len(), 6);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|rank| set.nth(rank)), members.map(Some));
        assert_eq!(set.nth(6), None);
        assert_eq!(
            [1, 64, 201, 366].map(|day| set.at_or_after(day)),
            [Some(63), Some(64), Some(365), None]
        );
        assert_eq!(set.at_or_after(400), None);
        let part = set.slice(63, 65);
        assert_eq!([0, 1, 2].map(|rank| part.nth(rank)), [Some(0), Some(1), Some(64)]);
        assert_eq!(part.len(), 3);
    }
}
