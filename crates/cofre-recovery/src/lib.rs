//! Backup and restore of virtual machines: what the service does, with no HTTP and no SQL of its own.

pub mod captured;
pub mod outputs;
pub mod trust;
