//! The service from outside: who may do what, and what becomes of everything that nobody should send.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bad_input;
mod data_plane;
mod login;
mod metrics;
mod permissions;
mod resources;
mod sockets;
mod time;
mod tokens;
