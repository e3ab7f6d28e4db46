//! Programs to start from. Each is one file of this folder: `cargo run --example NAME`.
