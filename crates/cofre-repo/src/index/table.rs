//! The table of all blobs in memory: 48 bytes a blob, sorted by id.
//!
//! A blob may be in several packs (after an interrupted prune, or when a damaged chunk was stored
//! again). A pack has a state: blobs of packs that are not [`PackState::Sound`] do not count as
//! stored, so that a backup stores them again, but a restore may still try them.

use std::collections::{HashMap, HashSet};

use crate::{
    crypto::SealingKey,
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, IndexId, PackId, SnapshotId},
    index::file::{self, IndexPack},
    pack::{BlobKind, PackedBlob, expected_size},
    snapshot,
    storage::{Kind, Storage},
    tree,
};

/// Largest chunk or tree an index may announce: what is larger is damage, not a reason to allocate.
const MAX_PLAIN: u32 = tree::LIMIT;

/// What is known of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackState {
    /// There, of the right length, and nobody has found fault with it.
    Sound,
    /// Named by an index, but not there.
    Missing,
    /// Of another length than its blobs need.
    Truncated,
    /// A check found flipped bits in it.
    Damaged,
    /// Prune has marked it for deletion.
    Marked,
}

/// A pack named by an index.
#[derive(Clone, Debug)]
pub struct PackInfo {
    /// Its name.
    pub id: PackId,
    /// What it holds.
    pub kind: BlobKind,
    /// Its state.
    pub state: PackState,
    /// The length its blobs need.
    pub size: u64,
    /// How many blobs it has.
    pub blobs: u32,
    /// The index file that names it.
    pub index: IndexId,
}

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Number of the pack in [`Index::packs`].
    pub pack: u32,
    /// The blob inside it.
    pub blob: PackedBlob,
}

#[derive(Clone, Copy)]
struct Entry {
    id: BlobId,
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

/// All blobs of a repository.
#[derive(Default)]
pub struct Index {
    entries: Vec<Entry>,
    packs: Vec<PackInfo>,
    files: Vec<IndexId>,
    /// Index files that could not be read, and why.
    unreadable: Vec<(IndexId, RepoError)>,
    /// Packs that no index names, with their lengths.
    orphans: Vec<(PackId, u64)>,
    /// The snapshots that were there before anything else was read.
    snapshots: Vec<SnapshotId>,
}

impl Index {
    /// Reads all index files and compares them with the packs there are. Index files that are damaged
    /// do not fail the load: they are listed in [`unreadable`](Self::unreadable).
    ///
    /// # Errors
    /// [`ErrorKind::Storage`].
    pub fn load(storage: &dyn Storage, key: &SealingKey) -> Result<Self> {
        loop {
            if let Some(index) = Self::try_load(storage, key)? {
                return Ok(index);
            }
        }
    }

    /// `None`: index files were merged meanwhile, and some were gone before they could be read.
    fn try_load(storage: &dyn Storage, key: &SealingKey) -> Result<Option<Self>> {
        // The opposite of the order of writes: a snapshot that is seen finds its indexes, and an index
        // its packs, unless they are lost.
        let mut index = Self { snapshots: snapshot::list(storage)?, ..Self::default() };
        let mut seen = HashMap::new();
        for id in file::list(storage)? {
            match file::load(storage, key, id) {
                Ok(Some(content)) => {
                    index.files.push(id);
                    for pack in content.packs {
                        index.add(pack, id, &mut seen)?;
                    }
                }
                Ok(None) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Damaged => index.unreadable.push((id, e)),
                Err(e) => return Err(e),
            }
        }
        index.entries.shrink_to_fit();
        index.sort();
        index.compare_with_packs(storage, &seen)?;
        Ok(Some(index))
    }

    /// Sorts by id, kind and pack: a chunk and a tree can have the same bytes, and so the same id, and
    /// are two blobs all the same.
    fn sort(&mut self) {
        let packs = &self.packs;
        let kind = |e: &Entry| packs[e.pack as usize].kind;
        self.entries.sort_unstable_by(|a, b| {
            a.id.cmp(&b.id).then_with(|| kind(a).cmp(&kind(b))).then_with(|| a.pack.cmp(&b.pack))
        });
    }

    fn add(&mut self, pack: IndexPack, index: IndexId, seen: &mut HashMap<PackId, u32>) -> Result<()> {
        let Some(first) = pack.blobs.first() else { return Ok(()) };
        if seen.contains_key(&pack.id) {
            return Ok(()); // an interrupted merge of index files: both say the same
        }
        let name = |what: &str| RepoError::damaged(&format!("index {}", index.short()), what);
        let number = u32::try_from(self.packs.len()).map_err(|_| name("names too many packs"))?;
        let mut sane = true;
        for blob in &pack.blobs {
            sane &= blob.kind == first.kind && blob.packed().plain_length() <= MAX_PLAIN;
            self.entries.push(Entry {
                id: blob.id,
                pack: number,
                offset: blob.offset,
                length: blob.length,
                uncompressed: blob.uncompressed_length,
            });
        }
        let packed: Vec<_> = pack.blobs.iter().map(file::IndexBlob::packed).collect();
        seen.insert(pack.id, number);
        self.packs.push(PackInfo {
            id: pack.id,
            kind: first.kind,
            state: if sane { PackState::Sound } else { PackState::Damaged },
            size: expected_size(packed.iter()),
            blobs: u32::try_from(pack.blobs.len()).map_err(|_| name("names too many blobs"))?,
            index,
        });
        Ok(())
    }

    fn compare_with_packs(&mut self, storage: &dyn Storage, seen: &HashMap<PackId, u32>) -> Result<()> {
        let mut there = vec![None; self.packs.len()];
        for (object, size) in storage.list(Kind::Pack)? {
            let Ok(id) = object.name().parse::<PackId>() else { continue };
            match seen.get(&id) {
                Some(&number) => there[number as usize] = Some(size),
                None => self.orphans.push((id, size)),
            }
        }
        for (pack, size) in self.packs.iter_mut().zip(there) {
            match size {
                None => pack.state = PackState::Missing,
                Some(size) if size != pack.size => pack.state = PackState::Truncated,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Puts packs into a state; packs that are already lost stay so.
    pub fn set_state(&mut self, packs: &HashSet<PackId>, state: PackState) {
        if packs.is_empty() {
            return;
        }
        for pack in self.packs.iter_mut().filter(|p| packs.contains(&p.id)) {
            if matches!(pack.state, PackState::Sound | PackState::Marked) {
                pack.state = state;
            }
        }
    }

    /// Adds packs that were found without an index and verified.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when there are more than four thousand million packs.
    pub fn adopt(&mut self, packs: Vec<IndexPack>, index: IndexId) -> Result<()> {
        let mut seen = HashMap::new();
        let adopted: HashSet<_> = packs.iter().map(|p| p.id).collect();
        for pack in packs {
            self.add(pack, index, &mut seen)?;
        }
        self.orphans.retain(|(id, _)| !adopted.contains(id));
        self.files.push(index);
        self.sort();
        Ok(())
    }

    /// Where the entries of a blob begin, or would begin.
    fn start(&self, kind: BlobKind, id: BlobId) -> usize {
        self.entries.partition_point(|e| (e.id, self.kind(e)) < (id, kind))
    }

    fn kind(&self, entry: &Entry) -> BlobKind {
        self.packs[entry.pack as usize].kind
    }

    fn range(&self, kind: BlobKind, id: BlobId) -> &[Entry] {
        let start = self.start(kind, id);
        let same = |e: &&Entry| e.id == id && self.kind(e) == kind;
        let length = self.entries[start..].iter().take_while(same).count();
        &self.entries[start..start + length]
    }

    fn location(&self, entry: &Entry) -> Location {
        Location {
            pack: entry.pack,
            blob: PackedBlob {
                id: entry.id,
                offset: entry.offset,
                length: entry.length,
                uncompressed: entry.uncompressed,
            },
        }
    }

    /// A sound copy of a blob.
    #[must_use]
    pub fn find(&self, kind: BlobKind, id: BlobId) -> Option<Location> {
        let entry =
            self.range(kind, id).iter().find(|e| self.packs[e.pack as usize].state == PackState::Sound)?;
        Some(self.location(entry))
    }

    /// Every copy of a blob that might be read: sound ones first, then those in packs that are marked,
    /// truncated or damaged (a pack's damage rarely hits all of its blobs).
    #[must_use]
    pub fn find_all(&self, kind: BlobKind, id: BlobId) -> Vec<Location> {
        let rank = |e: &&Entry| match self.packs[e.pack as usize].state {
            PackState::Sound => 0,
            PackState::Marked => 1,
            PackState::Damaged => 2,
            PackState::Truncated => 3,
            PackState::Missing => 4,
        };
        let mut found: Vec<_> = self.range(kind, id).iter().filter(|e| rank(e) < 4).collect();
        found.sort_by_key(rank);
        found.into_iter().map(|e| self.location(e)).collect()
    }

    /// The number of the first entry of a blob: what sets of blobs are indexed by.
    #[must_use]
    pub fn position(&self, kind: BlobKind, id: BlobId) -> Option<usize> {
        let start = self.start(kind, id);
        self.entries.get(start).is_some_and(|e| e.id == id && self.kind(e) == kind).then_some(start)
    }

    /// All copies of every blob, one slice a blob, with the [`position`](Self::position) of each.
    pub(crate) fn copies(&self) -> impl Iterator<Item = (usize, Vec<Location>)> + '_ {
        let mut position = 0;
        self.entries.chunk_by(|a, b| a.id == b.id && self.kind(a) == self.kind(b)).map(move |same| {
            let at = position;
            position += same.len();
            (at, same.iter().map(|e| self.location(e)).collect())
        })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The snapshots there were before the indexes were read: all that these indexes are complete for.
    #[must_use]
    pub fn snapshots(&self) -> &[SnapshotId] {
        &self.snapshots
    }

    /// All packs that indexes name.
    #[must_use]
    pub fn packs(&self) -> &[PackInfo] {
        &self.packs
    }

    /// The pack a location is in.
    #[must_use]
    pub fn pack(&self, location: &Location) -> &PackInfo {
        &self.packs[location.pack as usize]
    }

    /// The index files that were read.
    #[must_use]
    pub fn files(&self) -> &[IndexId] {
        &self.files
    }

    /// Index files that could not be read, and why.
    #[must_use]
    pub fn unreadable(&self) -> &[(IndexId, RepoError)] {
        &self.unreadable
    }

    /// Packs that no index names, with their lengths.
    #[must_use]
    pub fn orphans(&self) -> &[(PackId, u64)] {
        &self.orphans
    }

    /// Whether any pack is lost or damaged: then nothing may be taken for stored unseen.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        !self.unreadable.is_empty()
            || self.packs.iter().any(|p| !matches!(p.state, PackState::Sound | PackState::Marked))
    }

    /// Every entry, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        self.entries.iter().map(|e| self.location(e))
    }

    /// The blobs of every pack, in the order of their offsets: one list a pack.
    #[must_use]
    pub fn blobs_by_pack(&self) -> Vec<Vec<PackedBlob>> {
        let mut lists: Vec<Vec<PackedBlob>> =
            self.packs.iter().map(|p| Vec::with_capacity(p.blobs as usize)).collect();
        for location in self.iter() {
            lists[location.pack as usize].push(location.blob);
        }
        for list in &mut lists {
            list.sort_unstable_by_key(|b| b.offset);
        }
        lists
    }
}
