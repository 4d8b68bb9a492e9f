//! The files that a restore of disks writes, seen from outside.

mod configuration;
mod encryption;
mod golden;
mod keys_back;
mod models;
mod template;
