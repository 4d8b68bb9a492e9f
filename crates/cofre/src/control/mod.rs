//! The commands that work on a home. Each module has a noun: its arguments and what they do.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod job;
pub(crate) mod keyvault;
pub(crate) mod kit;
pub(crate) mod notifications;
mod outcome;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod protection;
pub(crate) mod recoverypoint;
pub(crate) mod remote_key_vaults;
pub(crate) mod restore;
pub(crate) mod role;
mod selection;
pub(crate) mod serve;
mod table;
pub(crate) mod vault;
pub(crate) mod vm;
