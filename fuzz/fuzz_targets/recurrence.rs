#![no_main]

#[path = "../targets/mod.rs"]
#[allow(dead_code, reason = "each program fuzzes one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::recurrence(data));
