//! Random numbers that depend only on the seed and on their purpose, so that leaving out a part of a plan does
//! not change the numbers of the other parts.

use fastrand::Rng;

/// Returns a generator of random numbers for one purpose.
pub(crate) fn rng_for(seed: u64, purpose: &[u64]) -> Rng {
    let mixed = purpose
        .iter()
        .fold(mix(seed), |mixed, part| mix(mixed ^ mix(*part)));
    Rng::with_seed(mixed)
}

/// Applies the finaliser of splitmix64, after which neighbouring seeds have nothing in common.
fn mix(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Returns true with this probability, in thousandths.
pub(crate) fn happens(rng: &mut Rng, per_mille: u32) -> bool {
    rng.u32(..1000) < per_mille
}
