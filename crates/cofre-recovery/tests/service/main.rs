//! The service over real parts: a database, key vaults, LUKS2 images, repositories.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../cofre-store/tests/bodies/mod.rs"]
mod bodies;
mod capture;
mod clean_up;
mod jobs;
mod limits;
mod notifications;
mod observation;
mod policies;
mod protection;
mod schedule;
mod sharing;
mod vaults;
mod world;
