//! The commands that work on a home. Each module has a noun: its arguments and what they do.

pub(crate) mod host;
pub(crate) mod init;
