//! Which blobs the snapshots need.

use std::collections::HashSet;

use crate::{
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, SnapshotId},
    index::Index,
    pack::BlobKind,
    repository::{BlobReader, Repository},
    snapshot,
};

/// A set of blobs of an index, one bit each.
pub(crate) struct UsedBlobs {
    bits: Vec<u64>,
}

impl UsedBlobs {
    /// A blob that is in no index is lost already; nothing can be kept for it.
    fn insert(&mut self, index: &Index, kind: BlobKind, id: BlobId) {
        if let Some(at) = index.position(kind, id) {
            self.bits[at / 64] |= 1 << (at % 64);
        }
    }

    /// Whether the blob whose first entry is at `position` is needed.
    pub(crate) fn contains(&self, position: usize) -> bool {
        self.bits[position / 64] & (1 << (position % 64)) != 0
    }
}

/// Walks every unique tree of the given snapshots once. What cannot be read ends the walk: nothing may
/// be deleted while it is not known what is needed.
pub(crate) fn collect(repository: &Repository, index: &Index, snapshots: &[SnapshotId]) -> Result<UsedBlobs> {
    let mut used = UsedBlobs { bits: vec![0; index.len().div_ceil(64)] };
    let mut seen = HashSet::new();
    let mut reader = BlobReader::new(repository, index)?;
    for &id in snapshots {
        let unreadable = |e: RepoError| {
            if e.kind() != ErrorKind::Damaged {
                return e;
            }
            RepoError::new(
                ErrorKind::Damaged,
                format!("snapshot {} cannot be read in full, so nothing is deleted", id.short()),
            )
            .with_source(e)
            .recommend(
                "Run `cofre repo check`; back up again from the source, or forget the damaged points, then prune.",
            )
        };
        let Some(snapshot) =
            snapshot::load(repository.storage(), repository.key(), id).map_err(unreadable)?
        else {
            continue; // forgotten since it was listed
        };
        let mut trees = vec![snapshot.tree];
        while let Some(tree) = trees.pop() {
            if !seen.insert(tree) {
                continue;
            }
            used.insert(index, BlobKind::Tree, tree);
            for node in reader.tree(tree).map_err(unreadable)?.nodes {
                trees.extend(node.subtree);
                for blob in node.content.into_iter().flatten() {
                    used.insert(index, BlobKind::Data, blob);
                }
            }
        }
    }
    Ok(used)
}
