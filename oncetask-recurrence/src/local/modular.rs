//! Calculations with arithmetic progressions.

/// Returns the greatest common divisor of two positive numbers.
pub(crate) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns the least number of the form `origin + k * step` that is not below `least`.
pub(crate) fn align(least: i64, origin: i64, step: i64) -> i64 {
    least + (origin - least).rem_euclid(step)
}

/// Returns the least `k >= 0` for which `k * step` modulo `modulus` is from `low` to `high`.
///
/// Requires `0 <= low <= high < modulus` and `0 <= step < modulus`. The cost is that of Euclid's algorithm.
pub(crate) fn first_multiple_within(step: i64, modulus: i64, low: i64, high: i64) -> Option<i64> {
    if low == 0 {
        return Some(0);
    }
    if step == 0 {
        return None;
    }
    let k = ceiling(low, step);
    if k * step <= high {
        return Some(k);
    }
    // No multiple of `step` is from `low` to `high`. Find the least number of times that the modulus must be
    // subtracted.
    let (low_rest, high_rest) = ((-high).rem_euclid(step), (-low).rem_euclid(step));
    let wraps = first_multiple_within(modulus % step, step, low_rest, high_rest)?;
    Some(ceiling(low + modulus * wraps, step))
}

fn ceiling(a: i64, b: i64) -> i64 {
    (a + b - 1).div_euclid(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_multiple_is_the_one_that_a_search_finds() {
        for modulus in 1..28 {
            for step in 0..modulus {
                for low in 0..modulus {
                    for high in low..modulus {
                        let searched = (0..modulus).find(|k| (low..=high).contains(&(k * step % modulus)));
                        let found = first_multiple_within(step, modulus, low, high);
                        assert_eq!(found, searched, "{step} modulo {modulus} from {low} to {high}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_aligned_number_is_the_next_of_its_progression() {
        assert_eq!([-1, 0, 1, 5, 6].map(|least| align(least, 12, 5)), [2, 2, 2, 7, 7]);
    }
}
