//! The conformance suite for stores, the simulation, the chaos runs, and the harness of the integration tests.

pub mod chaos;
pub mod conformance;
pub mod emulator;
pub mod harness;
pub mod journal;
pub mod process;
pub mod proxy;
pub mod simulation;
