//! The limits and defaults that the library and its derive macro share. Not public API.
//!
//! They are in this crate because both the library and the macro depend on it.

use std::time::Duration;

/// The maximum length of a task id, in bytes.
pub const MAX_ID_BYTES: usize = 1500;

/// The maximum length of a resource key, in bytes.
pub const MAX_KEY_BYTES: usize = 1500;

/// The minimum lease of a handler.
pub const MIN_LEASE: Duration = Duration::from_secs(1);

/// The maximum lease of a handler.
pub const MAX_LEASE: Duration = Duration::from_hours(24);

/// The default number of attempts of a retry policy, the first one included.
pub const RETRY_ATTEMPTS: u32 = 3;

/// The default first delay of an exponential backoff.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// The default maximum delay of an exponential backoff.
pub const RETRY_MAX: Duration = Duration::from_mins(5);

/// The default factor between two delays of an exponential backoff.
pub const RETRY_FACTOR: f64 = 2.0;
