//! Programs to start from: each is a file of this folder, run with `cargo run --example NAME`.
