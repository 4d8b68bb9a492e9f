//! Backup and restore of virtual machines: what the service does, with no HTTP and no SQL of its own.
//!
//! [`Recovery`] is the door. What it is made of comes in as [`service::Parts`]: the database, a driver
//! that reaches disks, key vaults behind [`key_source::KeySource`].

pub mod backup;
mod backup_warnings;
mod capture;
pub mod captured;
mod checks;
pub mod clean_up;
mod copies;
pub mod disk_key;
mod documents;
mod header;
pub mod item;
mod item_repository;
pub mod job;
pub mod key_source;
mod key_vault_router;
mod key_vaults;
pub mod keys_back;
pub mod kit_check;
mod machines;
pub mod notification;
pub mod observation;
pub mod outputs;
pub mod point_details;
pub mod points;
pub mod policy;
pub mod protection;
mod protection_changes;
pub mod reconcile;
mod remote_key_vaults;
mod removal;
pub mod restore;
mod restore_checks;
pub mod retention;
pub mod schedule;
pub mod service;
pub mod settings;
pub mod storage_account;
mod time_zone;
pub mod trust;
pub mod vault;
pub mod worker;

pub use documents::Page;
pub use key_vault_router::KeyVaultRouter;
pub use key_vaults::{LocalKeyVaults, key_vault_error, key_vault_id};
pub use remote_key_vaults::{RemoteKeyVaults, Service};
pub use service::{Caller, Parts, Recovery, new_guid};
