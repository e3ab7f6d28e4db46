//! Histories that are wrong, each of which must be called so.
