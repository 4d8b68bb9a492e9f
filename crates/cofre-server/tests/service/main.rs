//! The service from outside: who may do what, and what becomes of everything that nobody should send.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod backup_roles;
mod backups;
mod bad_input;
mod data_plane;
mod login;
mod machines;
mod metrics;
mod permissions;
mod protection;
mod recovery_vaults;
mod resources;
mod sockets;
mod time;
mod tokens;
