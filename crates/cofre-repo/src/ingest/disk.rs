//! One disk: workers turn the planner's slices into chunk ids, the last worker at a piece stores its
//! tree, and at the end come the trees above.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use cofre_disk::BlockSource;
use crossbeam_channel::{Receiver, bounded};

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
pub(super) const SLICE: u64 = 1024 * 1024;

/// A disk whose trees are stored.
pub(crate) struct DiskMade {
    pub(crate) lun: u32,
    pub(crate) directory: String,
    pub(crate) tree: BlobId,
    pub(crate) report: DiskReport,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) read: AtomicU64,
    pub(super) hole: AtomicU64,
    pub(super) new: AtomicU64,
    pub(super) known: AtomicU64,
    pub(super) stored: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece that is being worked at.
pub(super) struct Piece {
    pub(super) number: usize,
    /// One id a chunk; those of holes and unchanged chunks are there from the start.
    pub(super) ids: Mutex<Vec<BlobId>>,
    /// The parent's ids, where it has the piece.
    pub(super) parent: Option<Vec<BlobId>>,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) slices_left: AtomicU32,
}

/// Neighbouring chunks of a piece that have to be read.
pub(super) struct Slice {
    pub(super) piece: Arc<Piece>,
    pub(super) first: usize,
    pub(super) chunks: usize,
}

pub(super) struct Job<'a> {
    pub(super) stored: &'a Stored<'a>,
    pub(super) source: &'a dyn BlockSource,
    pub(super) size: u64,
    pub(super) chunk: ChunkSize,
    pub(super) counters: Counters,
    /// The tree of every piece.
    pub(super) pieces: Mutex<Vec<BlobId>>,
    /// The zero chunk of every length, once it is stored.
    pub(super) zeros: Mutex<HashMap<usize, BlobId>>,
    /// The tree of a piece of zeros, by the length of the piece, once it is stored.
    pub(super) zero_pieces: Mutex<HashMap<u64, BlobId>>,
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
    pub(super) fn chunk_length(&self, offset: u64) -> usize {
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

    pub(super) fn finish_piece(&self, piece: &Piece, sealer: &mut Sealer<'_>) -> Result<()> {
        let tree = put_piece(piece.length, &lock(&piece.ids), sealer)?;
        lock(&self.pieces)[piece.number] = tree;
        Ok(())
    }

    /// The id of the zero chunk of this length, which is stored when it is first needed.
    pub(super) fn zero_chunk(&self, length: usize, sealer: &mut Sealer<'_>) -> Result<BlobId> {
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

    pub(super) fn zero_piece(&self, length: u64, sealer: &mut Sealer<'_>) -> Result<BlobId> {
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
            encryption: input.encryption.clone(),
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

pub(super) fn chunk_count(length: u64, chunk: ChunkSize) -> usize {
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
