//! The deletion, under the exclusive lock: indexes without the packs first, then the packs, then the
//! marks. Killed at any instant, the next prune goes on where this one stopped.

use std::collections::HashSet;

use super::{mark::Mark, usage};
use crate::{
    error::Result,
    failpoint,
    id::PackId,
    index::{Index, PackState, file, file::IndexPack},
    repository::{Repository, Session},
    storage::Object,
};

/// An index file with fewer blobs is small, and so many small ones are put together.
const SMALL_INDEX: usize = 10_000;
const SMALL_COUNT: usize = 8;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
}

/// Deletes the packs of `marks` but for those that a newer point needs. The caller holds the exclusive
/// lock and has checked that the marks are ripe.
pub(crate) fn sweep(repository: &Repository, session: &Session, marks: &[Mark]) -> Result<Swept> {
    let storage = repository.storage();
    let mut doomed: HashSet<PackId> = marks.iter().flat_map(|m| m.packs.iter().copied()).collect();
    let index = repository.load_index()?;
    rescue(repository, &index, marks, &mut doomed)?;

    failpoint::reached("prune.before-index");
    session.verify()?;
    rewrite_indexes(repository, &doomed)?;

    session.verify()?;
    let mut swept = Swept::default();
    for pack in &doomed {
        let object = Object::from(*pack);
        if let Some(size) = storage.length(&object)? {
            storage.delete(&[object])?;
            failpoint::reached("prune.pack-deleted");
            swept.packs += 1;
            swept.bytes += size;
        }
    }
    let records: Vec<_> = doomed.iter().map(|p| Object::damage(*p)).collect();
    storage.delete(&records)?;
    failpoint::reached("prune.before-unmark");
    storage.delete(&marks.iter().map(Mark::object).collect::<Vec<_>>())?;
    Ok(swept)
}

/// Takes out of `doomed` what points need that none of the marks has looked at.
fn rescue(
    repository: &Repository,
    index: &Index,
    marks: &[Mark],
    doomed: &mut HashSet<PackId>,
) -> Result<()> {
    let mut unseen = index.snapshots().to_vec();
    unseen.retain(|s| !marks.iter().all(|m| m.snapshots.contains(s)));
    if unseen.is_empty() {
        return Ok(());
    }
    let used = usage::collect(repository, index, &unseen)?;
    for (position, copies) in index.copies() {
        let safe = |c: &crate::index::Location| {
            let pack = index.pack(c);
            pack.state == PackState::Sound && !doomed.contains(&pack.id)
        };
        if used.contains(position) && !copies.iter().any(safe) {
            for copy in copies {
                doomed.remove(&index.pack(&copy).id);
            }
        }
    }
    Ok(())
}

/// Replaces index files that name doomed packs, name a pack that another file names too, or are small
/// and many. Every pack that stays is named by exactly one file afterwards.
fn rewrite_indexes(repository: &Repository, doomed: &HashSet<PackId>) -> Result<()> {
    let storage = repository.storage();
    let mut named = HashSet::new();
    let mut replaced = Vec::new();
    let mut kept: Vec<IndexPack> = Vec::new();
    let mut small = Vec::new();
    for id in file::list(storage)? {
        let Some(content) = file::load(storage, repository.key(), id)? else { continue };
        let all = content.packs.len();
        let blobs: usize = content.packs.iter().map(|p| p.blobs.len()).sum();
        let mut packs = content.packs;
        packs.retain(|p| !doomed.contains(&p.id) && !named.contains(&p.id));
        named.extend(packs.iter().map(|p| p.id));
        if packs.len() < all {
            replaced.push(Object::from(id));
            kept.append(&mut packs);
        } else if blobs < SMALL_INDEX {
            small.push((id, packs));
        }
    }
    if small.len() >= SMALL_COUNT {
        for (id, mut packs) in small {
            replaced.push(Object::from(id));
            kept.append(&mut packs);
        }
    }
    if replaced.is_empty() {
        return Ok(());
    }
    file::store(storage, repository.key(), kept)?;
    failpoint::reached("prune.index-written");
    storage.delete(&replaced)?;
    failpoint::reached("prune.old-index-deleted");
    Ok(())
}
