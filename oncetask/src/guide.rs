//! The chapters of the guide.

#[doc = include_str!("../docs/retries.md")]
pub mod retries {}

#[doc = include_str!("../docs/resource-keys.md")]
pub mod resource_keys {}

#[doc = include_str!("../docs/recurring.md")]
pub mod recurring {}

#[doc = include_str!("../docs/cancellation.md")]
pub mod cancellation {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[cfg(feature = "sqlite")]
#[doc = include_str!("../docs/sqlite.md")]
pub mod sqlite {}

#[cfg(feature = "firestore")]
#[doc = include_str!("../docs/firestore.md")]
pub mod firestore {}

#[doc = include_str!("../docs/reading-our-errors.md")]
pub mod errors {}
