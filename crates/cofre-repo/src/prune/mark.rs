//! Marks: lists of packs that prune wants to delete.
//!
//! From the moment a mark is durable, new backups treat the blobs of its packs as absent. The packs
//! go later: after a grace period, when no lease older than the mark lives, and unless a point that
//! appeared since turns out to need them.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorKind, Result},
    id::{PackId, SnapshotId},
    repository::Repository,
    storage::{Kind, Object},
    unpacked,
};

/// A mark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// 1.
    pub version: u32,
    /// Epoch of the lease under which it was made: backups with a lower one do not know of it.
    pub epoch: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The packs.
    pub packs: Vec<PackId>,
    /// The snapshots that were looked at: none of them needs the packs.
    pub snapshots: Vec<SnapshotId>,
}

impl Mark {
    pub(crate) fn object(&self) -> Object {
        Object::mark(self.epoch)
    }

    pub(crate) fn store(&self, repository: &Repository) -> Result<()> {
        repository.storage().replace(&self.object(), &unpacked::seal(repository.key(), self, true)?)
    }
}

/// All marks that can be read. One that cannot be read deletes nothing, and is replaced in time.
pub(crate) fn load_all(repository: &Repository) -> Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for (object, _) in repository.storage().list(Kind::Mark)? {
        let Some(bytes) = repository.storage().read(&object, unpacked::LIMIT)? else { continue };
        match unpacked::open::<Mark>(repository.key(), &object.to_string(), bytes) {
            Ok(mark) if mark.object() == object => marks.push(mark),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Damaged => {}
            Err(e) => return Err(e),
        }
    }
    Ok(marks)
}

/// The packs of all marks.
pub(crate) fn marked_packs(repository: &Repository) -> Result<HashSet<PackId>> {
    Ok(load_all(repository)?.into_iter().flat_map(|m| m.packs).collect())
}
