//! Backup repositories for disks, in restic's repository format (version 2).
//!
//! A *repository* holds *recovery points*. A recovery point is a restic snapshot whose tree describes
//! one or more disks cut into chunks of a fixed size; restic and rustic read it, and this crate reads
//! nothing that they could not. `docs/format.md` of the project states the format byte by byte, the
//! order of writes and the threat model; the module docs here say how it is done.
//!
//! | module | what it owns |
//! |---|---|
//! | [`storage`] | where objects lie: the storage trait and the local directory |
//! | [`secret`], [`config`] | opening: password, key files, configuration |
//! | [`repository`] | an open repository; [`Repository`] is the door to everything else |
//! | [`lock`], [`lease`] | who may do what when, and fencing |
//! | [`pack`], [`index`], [`tree`], [`snapshot`], [`point`] | what is stored |
//! | [`ingest`], [`restore`], [`check`], [`prune`] | what is done with it |
//!
//! The crate knows nothing of virtual machines, HTTP or SQL.

pub mod cancel;
pub mod check;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod error;
pub mod failpoint;
pub mod id;
pub mod index;
pub mod ingest;
pub mod keyfile;
pub mod lease;
pub mod lock;
pub mod pack;
pub mod point;
pub mod polynomial;
pub mod process;
pub mod progress;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod secret;
pub mod snapshot;
pub mod storage;
pub mod tree;
pub mod unpacked;
mod workers;

pub use cancel::Cancel;
pub use error::{ErrorKind, RepoError, Result};
pub use id::{BlobId, IndexId, KeyId, LockId, PackId, PointId, SnapshotId};

pub use repository::Repository;
pub use secret::RepositorySecret;
