//! The service over real parts: a database, key vaults, LUKS2 images, repositories.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod clean_up;
mod limits;
mod policies;
mod schedule;
mod vaults;
mod world;
