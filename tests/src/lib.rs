//! What every store of oncetask must keep true, and the integration tests of the library.

pub mod chaos;
pub mod conformance;
pub mod emulator;
pub mod journal;
pub mod process;
pub mod proxy;
pub mod simulation;
pub mod wait;
