//! Snapshot files: the one object whose appearance makes a recovery point visible.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    crypto::SealingKey,
    error::Result,
    id::{BlobId, SnapshotId},
    storage::{Kind, Storage},
    unpacked,
};

/// The tag that tells cofre's snapshots from others.
pub const TAG: &str = "cofre";

/// A snapshot as restic has it; fields that cofre does not need are ignored when read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The instant of the guest's snapshot.
    pub time: Timestamp,
    /// The root tree.
    pub tree: BlobId,
    /// One path: the resource id of the virtual machine.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Name of the virtual machine.
    #[serde(default)]
    pub hostname: String,
    /// Always `cofre` in snapshots of ours.
    #[serde(default)]
    pub username: String,
    /// `cofre`, the point's id, its consistency, then the user's own.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Name and version of the program that wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
}

impl Snapshot {
    /// Whether this is a recovery point (and not a snapshot that restic or rustic made).
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.tags.iter().any(|t| t == TAG)
    }
}

/// Ids of all snapshot files.
///
/// # Errors
/// As [`Storage::list`].
pub fn list(storage: &dyn Storage) -> Result<Vec<SnapshotId>> {
    Ok(storage.list(Kind::Snapshot)?.iter().filter_map(|(object, _)| object.name().parse().ok()).collect())
}

/// Loads a snapshot. `None`: it is gone.
///
/// # Errors
/// [`crate::ErrorKind::Damaged`], [`crate::ErrorKind::Storage`].
pub fn load(storage: &dyn Storage, key: &SealingKey, id: SnapshotId) -> Result<Option<Snapshot>> {
    unpacked::load(storage, key, &id.into(), id.0)
}
