//! Arithmetic progressions.

/// The greatest common divisor of two positive numbers.
pub(crate) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The least number of the form `origin + k * step` that is not below `least`.
pub(crate) fn align(least: i64, origin: i64, step: i64) -> i64 {
    least + (origin - least).rem_euclid(step)
}

/// The least `k` from 0 on for which `k * step` modulo `modulus` lies from `low` to `high`.
///
/// `0 <= low <= high < modulus` and `0 <= step < modulus`. The work is that of Euclid's algorithm.
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
    // No multiple of `step` lies there, so the modulus has to be taken off some times: as few as possible.
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
    fn the_first_multiple_is_the_one_found_by_trying() {
        for modulus in 1..28 {
            for step in 0..modulus {
                for low in 0..modulus {
                    for high in low..modulus {
                        let tried = (0..modulus).find(|k| (low..=high).contains(&(k * step % modulus)));
                        let found = first_multiple_within(step, modulus, low, high);
                        assert_eq!(found, tried, "{step} modulo {modulus} from {low} to {high}");
                    }
                }
            }
        }
    }

    #[test]
    fn aligned_numbers_are_the_next_of_a_progression() {
        assert_eq!([-1, 0, 1, 5, 6].map(|least| align(least, 12, 5)), [2, 2, 2, 7, 7]);
    }
}
