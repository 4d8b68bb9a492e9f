//! Black-box tests: the real binary, real restic, real qemu-img, real signals.
//!
//! Tests that need a tool this machine lacks say so on standard error and pass.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod azure;
mod concurrency;
mod control;
mod damage;
mod errors;
mod formats;
mod images;
mod incremental;
mod inspect;
#[cfg(feature = "failpoints")]
mod kill;
mod limits;
mod prove;
mod round_trip;
mod server;
mod way_out;
mod world;
