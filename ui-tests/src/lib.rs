//! Compile-fail and compile-pass tests of the derive: see `tests/`.
