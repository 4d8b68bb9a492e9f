//! The planner: which chunks of a disk have to be read at all.
//!
//! It walks the disk piece by piece. What the list of changes leaves alone is the parent's; holes are
//! zeros; the rest goes to the workers in slices.

use std::sync::{Arc, Mutex, atomic::AtomicU32};

use cofre_disk::{Extent, ExtentKind};
use crossbeam_channel::Sender;

use super::{
    DiskInput,
    disk::{Job, Piece, SLICE, Slice, add, chunk_count, lock},
    parent::ParentDisk,
    sealer::Sealer,
};
use crate::{
    error::{RepoError, Result},
    id::BlobId,
    pack::BlobKind,
    point::PIECE_SIZE,
};

/// What the planner knows of a piece before it looks at its chunks.
struct PiecePlan {
    number: usize,
    offset: u64,
    length: u64,
    /// The parent's chunks of this piece.
    parent: Option<Vec<BlobId>>,
    /// Size of the parent's disk, 0 where there is none.
    parent_size: u64,
}

impl Job<'_> {
    pub(super) fn plan(
        &self,
        input: &DiskInput,
        mut parent: Option<&mut ParentDisk<'_>>,
        slices: &Sender<Slice>,
    ) -> Result<()> {
        // without a comparable parent the list says nothing, and everything is read
        let changed = match (&input.changed, &parent) {
            (Some(ranges), Some(parent)) => {
                Some(ranges.grow(parent.size(), self.size).rounded_to(self.chunk.non_zero()))
            }
            _ => None,
        };
        let mut sealer = self.stored.sealer()?;
        let mut extent: Option<Extent> = None;
        let mut offset = 0;
        let mut number = 0;
        while offset < self.size {
            self.stored.proceed()?;
            let length = PIECE_SIZE.min(self.size - offset);
            let is_changed = |start, length| changed.as_ref().is_none_or(|c| c.overlaps(start, length));
            let same_length =
                parent.as_ref().is_some_and(|p| PIECE_SIZE.min(p.size() - offset.min(p.size())) == length);
            let tree = parent.as_mut().and_then(|p| p.piece(offset));
            match tree {
                Some(tree) if same_length && !is_changed(offset, length) && !self.stored.damaged => {
                    lock(&self.pieces)[number] = tree;
                    add(&self.counters.known, length.div_ceil(self.chunk.bytes()));
                    self.stored.progress.advance(length, 0);
                }
                // the commonest piece of a large disk; the parent's chunks need not be read for it
                _ if changed.is_none() && self.hole_until(offset, &mut extent)? >= offset + length => {
                    let tree = self.zero_piece(length, &mut sealer)?;
                    lock(&self.pieces)[number] = tree;
                    add(&self.counters.hole, length);
                    add(&self.counters.known, length.div_ceil(self.chunk.bytes()));
                    self.stored.progress.advance(length, 0);
                }
                _ => {
                    let chunks = parent.as_mut().zip(tree).and_then(|(p, tree)| {
                        let theirs = PIECE_SIZE.min(p.size() - offset);
                        p.chunks(tree, chunk_count(theirs, self.chunk))
                    });
                    let parent_size = parent.as_ref().map_or(0, |p| p.size());
                    let plan = PiecePlan { number, offset, length, parent: chunks, parent_size };
                    self.plan_piece(plan, &is_changed, changed.is_some(), &mut extent, &mut sealer, slices)?;
                }
            }
            offset += length;
            number += 1;
        }
        sealer.flush()
    }

    fn plan_piece(
        &self,
        plan: PiecePlan,
        is_changed: &dyn Fn(u64, u64) -> bool,
        by_list: bool,
        extent: &mut Option<Extent>,
        sealer: &mut Sealer<'_>,
        slices: &Sender<Slice>,
    ) -> Result<()> {
        let (offset, length) = (plan.offset, plan.length);
        let count = chunk_count(length, self.chunk);
        // A chunk of the parent stands for ours only where it had the same length.
        let parent_id = |i: usize, start: u64, length: usize| {
            let theirs = self.chunk.bytes().min(plan.parent_size.saturating_sub(start));
            plan.parent.as_ref().and_then(|p| p.get(i)).filter(|_| theirs == length as u64).copied()
        };
        let mut ids = vec![BlobId([0; 32]); count];
        let mut parents = vec![BlobId([0; 32]); count];
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let per_slice = usize::try_from(SLICE / self.chunk.bytes()).unwrap_or(1).max(1);
        let mut start = offset;
        for i in 0..count {
            let length = self.chunk_length(start);
            let theirs = parent_id(i, start, length);
            let clean = theirs.filter(|&id| {
                by_list
                    && !is_changed(start, length as u64)
                    && (!self.stored.damaged || self.stored.has(BlobKind::Data, id))
            });
            if let Some(id) = clean {
                ids[i] = id;
                add(&self.counters.known, 1);
                self.stored.progress.advance(length as u64, 0);
            } else if self.hole_until(start, extent)? >= start + length as u64 {
                ids[i] = self.zero_chunk(length, sealer)?;
                add(&self.counters.hole, length as u64);
                add(&self.counters.known, 1);
                self.stored.progress.advance(length as u64, 0);
            } else {
                parents[i] = theirs.unwrap_or(BlobId([0; 32]));
                match runs.last_mut() {
                    Some((first, chunks)) if *first + *chunks == i && *chunks < per_slice => *chunks += 1,
                    _ => runs.push((i, 1)),
                }
            }
            start += length as u64;
        }
        let piece = Arc::new(Piece {
            number: plan.number,
            ids: Mutex::new(ids),
            parent: plan.parent.is_some().then_some(parents),
            offset,
            length,
            slices_left: AtomicU32::new(u32::try_from(runs.len()).unwrap_or(u32::MAX)),
        });
        if runs.is_empty() {
            return self.finish_piece(&piece, sealer);
        }
        for (first, chunks) in runs {
            let slice = Slice { piece: Arc::clone(&piece), first, chunks };
            // workers only go when they failed
            if slices.send(slice).is_err() {
                return self.stored.proceed();
            }
        }
        Ok(())
    }

    /// How far the hole at `offset` reaches; `offset` itself where there is none.
    fn hole_until(&self, offset: u64, extent: &mut Option<Extent>) -> Result<u64> {
        while extent.is_none_or(|e| e.end() <= offset || e.start > offset) {
            *extent = Some(self.source.extent_at(offset).map_err(RepoError::source_disk)?);
        }
        // two neighbouring holes count as one only where the format says so itself
        Ok(extent.filter(|e| e.kind == ExtentKind::Hole).map_or(offset, |e| e.end()))
    }
}
