//! Chance that follows from the seed and from what it is drawn for, so that leaving out a part of a plan
//! leaves the luck of the others as it was.

use fastrand::Rng;

/// A source of numbers for one purpose.
pub(crate) fn dice(seed: u64, purpose: &[u64]) -> Rng {
    let mixed = purpose
        .iter()
        .fold(mix(seed), |mixed, part| mix(mixed ^ mix(*part)));
    Rng::with_seed(mixed)
}

/// The finaliser of splitmix64: neighbouring seeds have nothing in common afterwards.
fn mix(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Whether something happens that does so in so many of a thousand cases.
pub(crate) fn happens(rng: &mut Rng, per_mille: u32) -> bool {
    rng.u32(..1000) < per_mille
}
