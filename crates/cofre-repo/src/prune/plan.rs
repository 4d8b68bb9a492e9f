//! What a prune would do: a value before it is an action.
//!
//! Two limits bound it: afterwards at most 5 % of the stored bytes are unused, and moving what is
//! still needed out of half-empty packs costs at most as many bytes of reading and writing as twice
//! what is freed. Where they conflict, the second wins and the space waits.

use std::collections::HashSet;

use super::usage::UsedBlobs;
use crate::{
    id::PackId,
    index::{Index, PackState, table::PackInfo},
    pack::{BlobKind, PackedBlob},
};

/// A pack below this size is small: what a daily point leaves behind.
const SMALL: u64 = 16 * 1024 * 1024;
/// So many small packs of one kind are put together.
const SMALL_COUNT: usize = 8;

/// What is to be done with the packs.
#[derive(Debug, Default)]
pub struct PrunePlan {
    /// Packs nobody needs.
    pub remove: Vec<PackId>,
    /// Packs out of which the needed blobs are moved; then nobody needs them either.
    pub repack: Vec<RepackSource>,
    /// Packs that a mark names and a point needs after all.
    pub rescue: HashSet<PackId>,
    /// Damaged packs that hold the only copy of something a point needs. They go when all of it can be
    /// moved, and stay otherwise: part of the pack may come back from a copy.
    pub damaged: Vec<RepackSource>,
    /// Bytes that will be free.
    pub freed: u64,
    /// Bytes of needed blobs that are moved.
    pub moved: u64,
    /// Bytes that stay unused.
    pub unused: u64,
    /// Bytes that are needed.
    pub used: u64,
}

/// A pack and the blobs to be moved out of it.
#[derive(Debug)]
pub struct RepackSource {
    /// The pack.
    pub pack: PackId,
    /// What it holds.
    pub kind: BlobKind,
    /// Its length.
    pub size: u64,
    /// The blobs that are needed, in the order of their offsets.
    pub blobs: Vec<PackedBlob>,
}

#[derive(Default)]
struct Usage {
    used: u64,
    blobs: Vec<PackedBlob>,
}

fn source(pack: &PackInfo, mut usage: Usage) -> RepackSource {
    usage.blobs.sort_unstable_by_key(|b| b.offset);
    RepackSource { pack: pack.id, kind: pack.kind, size: pack.size, blobs: usage.blobs }
}

pub(crate) fn plan(index: &Index, used: &UsedBlobs) -> PrunePlan {
    let mut plan = PrunePlan::default();
    let mut usage: Vec<Usage> = index.packs().iter().map(|_| Usage::default()).collect();
    // Each needed blob is charged to one copy: a sound one if there is, then a marked one, then any.
    let rank = |state| match state {
        PackState::Sound => 0,
        PackState::Marked => 1,
        PackState::Damaged | PackState::Truncated => 2,
        PackState::Missing => 3,
    };
    for (position, copies) in index.copies() {
        if used.contains(position)
            && let Some(best) = copies.iter().min_by_key(|c| rank(index.pack(c).state))
        {
            let usage = &mut usage[best.pack as usize];
            usage.used += u64::from(best.blob.length);
            usage.blobs.push(best.blob);
        }
    }

    let mut candidates = Vec::new();
    for (pack, usage) in index.packs().iter().zip(usage) {
        plan.used += usage.used;
        match pack.state {
            PackState::Marked if usage.used > 0 => {
                plan.rescue.insert(pack.id);
            }
            PackState::Marked => {} // has its mark already
            PackState::Sound if usage.used == 0 => {
                plan.freed += pack.size;
                plan.remove.push(pack.id);
            }
            PackState::Sound => candidates.push((pack, usage)),
            _ if usage.used == 0 => plan.remove.push(pack.id),
            _ => plan.damaged.push(source(pack, usage)),
        }
    }
    choose_repacks(&mut plan, candidates);
    plan
}

fn choose_repacks(plan: &mut PrunePlan, mut candidates: Vec<(&PackInfo, Usage)>) {
    let waste = |(pack, usage): &(&PackInfo, Usage)| pack.size.saturating_sub(usage.used);
    plan.unused = candidates.iter().map(waste).sum();
    let small = |kind, (pack, _): &&(&PackInfo, Usage)| pack.kind == kind && pack.size < SMALL;
    let merge_data = candidates.iter().filter(|c| small(BlobKind::Data, c)).count() >= SMALL_COUNT;
    let merge_trees = candidates.iter().filter(|c| small(BlobKind::Tree, c)).count() >= SMALL_COUNT;
    // the emptiest first: most space for the least work
    candidates.sort_by_key(|c| {
        let (pack, usage) = c;
        (usage.used.saturating_mul(1 << 20) / pack.size.max(1), pack.id)
    });
    for candidate in candidates {
        let waste = waste(&candidate);
        let (pack, usage) = candidate;
        let is_small =
            pack.size < SMALL && if pack.kind == BlobKind::Data { merge_data } else { merge_trees };
        let too_much_waste = plan.unused > plan.used / 20;
        let affordable = plan.moved + usage.used <= plan.freed + waste;
        // the header and its sealing are no waste
        let worth_it = waste > pack.size / 50;
        if is_small || too_much_waste && affordable && worth_it {
            plan.unused -= waste;
            plan.freed += waste;
            plan.moved += usage.used;
            plan.repack.push(source(pack, usage));
        }
    }
}
