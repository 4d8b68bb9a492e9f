//! One disk: the planner cuts it into pieces and slices, workers turn slices into chunk ids, and the
//! last worker at a piece stores its tree.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use cofre_disk::{BlockSource, Extent, ExtentKind};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    DiskInput, DiskReport,
    parent::{Comparison, ParentDisk},
    pipeline::Stored,
    sealer::{Put, Sealer},
};
use crate::{
    config::ChunkSize,
    crypto::sha256,
    error::{ErrorKind, RepoError, Result},
    id::BlobId,
    pack::BlobKind,
    point::{DiskDigest, DiskDocument, GROUP_SIZE, PIECE_SIZE, Region, VERSION, offset_name},
    repository::Point,
    tree::TreeBuilder,
};

/// Bytes a worker reads at once: few system calls, and still in the second-level cache when hashed.
const SLICE: u64 = 1024 * 1024;

/// A disk whose trees are stored.
pub(crate) struct DiskMade {
    pub(crate) lun: u32,
    pub(crate) directory: String,
    pub(crate) tree: BlobId,
    pub(crate) report: DiskReport,
}

#[derive(Default)]
struct Counters {
    read: AtomicU64,
    hole: AtomicU64,
    new: AtomicU64,
    known: AtomicU64,
    stored: AtomicU64,
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece that is being worked at.
struct Piece {
    number: usize,
    /// One id a chunk; those of holes and unchanged chunks are there from the start.
    ids: Mutex<Vec<BlobId>>,
    /// The parent's ids, where it has the piece.
    parent: Option<Vec<BlobId>>,
    offset: u64,
    length: u64,
    slices_left: AtomicU32,
}

/// Neighbouring chunks of a piece that have to be read.
struct Slice {
    piece: Arc<Piece>,
    first: usize,
    chunks: usize,
}

struct Job<'a> {
    stored: &'a Stored<'a>,
    source: &'a dyn BlockSource,
    size: u64,
    chunk: ChunkSize,
    counters: Counters,
    /// The tree of every piece.
    pieces: Mutex<Vec<BlobId>>,
    /// The zero chunk of every length, once it is stored.
    zeros: Mutex<HashMap<usize, BlobId>>,
    /// The tree of a piece of zeros, by the length of the piece, once it is stored.
    zero_pieces: Mutex<HashMap<u64, BlobId>>,
}

/// Stores a disk.
pub(crate) fn ingest(
    stored: &Stored<'_>,
    lun: u32,
    input: &DiskInput,
    parent: Option<&Point>,
) -> Result<DiskMade> {
    let size = input.source.size();
    let chunk = stored.repository.config().chunk_size()?;
    stored.progress.begin(&format!("disk {}", input.name), size);
    let mut parent = match parent.map(|p| ParentDisk::open(stored, p, &input.name, chunk)).transpose()? {
        Some(Comparison::Same(disk)) => Some(disk),
        Some(Comparison::OtherChunkSize) => {
            stored.progress.warn(&format!(
                "disk {} of the parent point has chunks of another size: the whole disk is read",
                input.name
            ));
            None
        }
        Some(Comparison::Nothing) if input.changed.is_some() => {
            return Err(RepoError::new(
                ErrorKind::Invalid,
                format!(
                    "a list of changes is given for disk {}, but the parent has no such disk",
                    input.name
                ),
            )
            .recommend("Leave the list out: the first backup of a disk reads all of it."));
        }
        Some(Comparison::Nothing) | None => None,
    };
    let pieces = usize::try_from(size.div_ceil(PIECE_SIZE))
        .map_err(|_| RepoError::new(ErrorKind::Invalid, "the disk is too large for this machine"))?;
    let job = Job {
        stored,
        source: &*input.source,
        size,
        chunk,
        counters: Counters::default(),
        pieces: Mutex::new(vec![BlobId([0; 32]); pieces]),
        zeros: Mutex::default(),
        zero_pieces: Mutex::default(),
    };
    job.run(input, parent.as_mut())?;
    input.source.verify_unchanged().map_err(RepoError::source_disk)?;
    let made = job.finish(lun, input)?;
    stored.progress.end();
    Ok(made)
}

impl Job<'_> {
    fn chunk_length(&self, offset: u64) -> usize {
        // at most 4 MiB
        usize::try_from(self.chunk.bytes().min(self.size - offset)).unwrap_or(usize::MAX)
    }

    /// Runs the planner on this thread and workers beside it.
    fn run(&self, input: &DiskInput, parent: Option<&mut ParentDisk<'_>>) -> Result<()> {
        let workers = crate::workers::count();
        let (slices, slices_in) = bounded(2 * workers);
        thread::scope(|scope| {
            for _ in 0..workers {
                let slices = slices_in.clone();
                scope.spawn(move || {
                    if let Err(e) = self.work(&slices) {
                        self.stored.failure.raise(e);
                    }
                });
            }
            drop(slices_in);
            let planned = self.plan(input, parent, &slices);
            drop(slices); // hangs up: the workers end
            planned
        })?;
        self.stored.proceed()
    }

    fn plan(
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

    fn work(&self, slices: &Receiver<Slice>) -> Result<()> {
        let mut sealer = self.stored.sealer()?;
        let mut buffer = vec![0; usize::try_from(SLICE.max(self.chunk.bytes())).unwrap_or(usize::MAX)];
        for slice in slices {
            if self.stored.proceed().is_err() {
                break; // drains nothing: the planner sees the same and stops
            }
            self.work_slice(&slice, &mut buffer, &mut sealer)?;
        }
        sealer.flush()
    }

    fn work_slice(&self, slice: &Slice, buffer: &mut [u8], sealer: &mut Sealer<'_>) -> Result<()> {
        let piece = &slice.piece;
        let start = piece.offset + slice.first as u64 * self.chunk.bytes();
        let length = (slice.chunks as u64 * self.chunk.bytes()).min(piece.offset + piece.length - start);
        let bytes = &mut buffer[..usize::try_from(length).unwrap_or(usize::MAX)];
        self.source.read_exact_at(bytes, start).map_err(RepoError::source_disk)?;
        add(&self.counters.read, length);
        let mut ids = Vec::with_capacity(slice.chunks);
        let (mut known, mut new_bytes) = (0, 0);
        for (i, chunk) in bytes.chunks(self.chunk.length()).enumerate() {
            if is_zero(chunk) {
                ids.push(self.zero_chunk(chunk.len(), sealer)?);
                known += 1;
                continue;
            }
            let id = BlobId(sha256(chunk));
            ids.push(id);
            let unchanged = piece.parent.as_ref().is_some_and(|p| p[slice.first + i] == id);
            if unchanged && !self.stored.damaged {
                known += 1;
                continue;
            }
            match sealer.put(BlobKind::Data, id, chunk)? {
                Put::Known => known += 1,
                Put::New(stored) => {
                    add(&self.counters.new, 1);
                    add(&self.counters.stored, stored);
                    new_bytes += chunk.len() as u64;
                }
            }
        }
        add(&self.counters.known, known);
        self.stored.progress.advance(length, new_bytes);
        lock(&piece.ids)[slice.first..slice.first + slice.chunks].copy_from_slice(&ids);
        if piece.slices_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish_piece(piece, sealer)?;
        }
        Ok(())
    }

    fn finish_piece(&self, piece: &Piece, sealer: &mut Sealer<'_>) -> Result<()> {
        let tree = put_piece(piece.length, &lock(&piece.ids), sealer)?;
        lock(&self.pieces)[piece.number] = tree;
        Ok(())
    }

    /// The id of the zero chunk of this length, which is stored when it is first needed.
    fn zero_chunk(&self, length: usize, sealer: &mut Sealer<'_>) -> Result<BlobId> {
        let mut zeros = lock(&self.zeros);
        if let Some(&id) = zeros.get(&length) {
            return Ok(id);
        }
        let zero = vec![0; length];
        let id = BlobId(sha256(&zero));
        if let Put::New(stored) = sealer.put(BlobKind::Data, id, &zero)? {
            add(&self.counters.stored, stored);
        }
        zeros.insert(length, id);
        Ok(id)
    }

    fn zero_piece(&self, length: u64, sealer: &mut Sealer<'_>) -> Result<BlobId> {
        if let Some(&tree) = lock(&self.zero_pieces).get(&length) {
            return Ok(tree);
        }
        let count = chunk_count(length, self.chunk);
        let mut ids = vec![
            self.zero_chunk(
                self.chunk.length().min(usize::try_from(length).unwrap_or(usize::MAX)),
                sealer
            )?;
            count
        ];
        let tail = length - (count as u64 - 1) * self.chunk.bytes();
        ids[count - 1] = self.zero_chunk(usize::try_from(tail).unwrap_or(usize::MAX), sealer)?;
        let tree = put_piece(length, &ids, sealer)?;
        lock(&self.zero_pieces).insert(length, tree);
        Ok(tree)
    }

    /// Stores the group trees, `disk.json` and the disk's directory.
    fn finish(self, lun: u32, input: &DiskInput) -> Result<DiskMade> {
        let pieces = self.pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut sealer = self.stored.sealer()?;
        let mut groups = TreeBuilder::default();
        let per_group = usize::try_from(GROUP_SIZE / PIECE_SIZE).unwrap_or(1);
        for (number, pieces) in (0_u64..).zip(pieces.chunks(per_group)) {
            let mut group = TreeBuilder::default();
            for (i, &piece) in (0_u64..).zip(pieces) {
                group.directory(&offset_name(number * GROUP_SIZE + i * PIECE_SIZE), piece)?;
            }
            groups.directory(&offset_name(number * GROUP_SIZE), sealer.put_tree(group)?)?;
        }
        let groups = sealer.put_tree(groups)?;
        let document = DiskDocument {
            version: VERSION,
            requires: Vec::new(),
            lun,
            name: input.name.clone(),
            size: self.size,
            format: input.format.clone(),
            chunk_size: self.chunk,
            piece_size: PIECE_SIZE,
            group_size: GROUP_SIZE,
            regions: vec![Region { kind: "raw".to_owned(), offset: 0, length: self.size, grid_origin: 0 }],
            mapping: None,
            sealed_volume_key: None,
            dedup_domain: None,
            digest: DiskDigest::of_pieces(self.size, PIECE_SIZE, &pieces),
        };
        let json = document.encode()?;
        let blob = sealer.put_bytes(BlobKind::Data, &json)?;
        let mut directory = TreeBuilder::default();
        directory.file("disk.json", json.len() as u64, &[blob])?;
        directory.directory("extents", groups)?;
        let tree = sealer.put_tree(directory)?;
        sealer.flush()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(DiskMade {
            lun,
            directory: format!("{lun}-{}", input.name),
            tree,
            report: DiskReport {
                name: input.name.clone(),
                size: self.size,
                bytes_read: count(&self.counters.read),
                bytes_hole: count(&self.counters.hole),
                chunks_new: count(&self.counters.new),
                chunks_known: count(&self.counters.known),
                bytes_stored: count(&self.counters.stored),
            },
        })
    }
}

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

fn chunk_count(length: u64, chunk: ChunkSize) -> usize {
    // a piece has at most 4096 chunks
    usize::try_from(length.div_ceil(chunk.bytes())).unwrap_or(usize::MAX)
}

fn put_piece(length: u64, ids: &[BlobId], sealer: &mut Sealer<'_>) -> Result<BlobId> {
    let mut tree = TreeBuilder::default();
    tree.file("data", length, ids)?;
    sealer.put_tree(tree)
}

/// Whether all bytes are zero; looks at kilobytes at a time, so that the loop is made of vector
/// instructions and still ends early.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(1024).all(|block| block.iter().fold(0, |or, byte| or | byte) == 0)
}
