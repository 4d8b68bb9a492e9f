//! The files that a restore of disks writes, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod configuration;
mod encryption;
mod golden;
mod keys_back;
mod models;
mod template;
