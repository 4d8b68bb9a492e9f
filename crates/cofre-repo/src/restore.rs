//! Bringing a disk back.
//!
//! The disk's trees are walked in windows; within a window chunks are sorted by where they lie, so
//! that packs are read in long runs. Workers read, authenticate, decompress, check the digest and
//! write, all at once. Holes and zero chunks are neither read nor written. What comes out has been
//! verified byte for byte against ids that the snapshot's own id covers.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use cofre_disk::BlockSink;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    cancel::Cancel,
    crypto::sha256,
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, PointId},
    index::{Index, Location},
    lease::Purpose,
    pack::{self, BlobKind},
    point::{DiskDigest, DiskDocument, offset_name},
    progress::Progress,
    repository::{BlobReader, Point, PointSelector, Repository, Session, open_disk},
    storage::Object,
    tree::Tree,
};

/// Chunks whose places are held in memory at once: 8 MiB of them.
const WINDOW: usize = 128 * 1024;
/// Longest read of a pack.
const RUN: u64 = 1024 * 1024;
/// Longest write, unless a chunk is longer.
const WRITE: usize = 1024 * 1024;
/// Bytes between two wanted chunks that are read and thrown away rather than cost a read of their own.
const GAP: u64 = 32 * 1024;

/// A disk that is about to be restored. Holds a lock and a lease, where they could be written.
pub struct RestorePlan<'a> {
    repository: &'a Repository,
    _session: Option<Session>,
    index: Index,
    /// The point.
    pub point: Point,
    /// The disk.
    pub disk: DiskDocument,
    groups: Tree,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct RestoreReport {
    /// The point.
    pub point: PointId,
    /// The disk.
    pub disk: String,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes that were written; the rest are holes.
    pub bytes_written: u64,
    /// Digest of the disk, which was verified.
    pub digest: DiskDigest,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
}

/// A chunk and the places it goes to.
struct Wanted {
    location: Location,
    /// First byte on the disk.
    target: u64,
    /// Bytes.
    length: u32,
}

/// Chunks of one pack that are read at once.
struct Run {
    pack: Object,
    start: u64,
    length: usize,
    chunks: Vec<Wanted>,
}

impl Repository {
    /// Finds the disk to be restored and holds the repository for it.
    ///
    /// # Errors
    /// [`ErrorKind::PointNotFound`], [`ErrorKind::PointAmbiguous`], [`ErrorKind::DiskNotFound`],
    /// [`ErrorKind::Damaged`], [`ErrorKind::Locked`], [`ErrorKind::Storage`].
    pub fn plan_restore(
        &self,
        selector: &PointSelector,
        name: Option<&str>,
        disk: &str,
        progress: &dyn Progress,
    ) -> Result<RestorePlan<'_>> {
        let session = Session::begin_reading(self, Purpose::Restore, progress)?;
        let index = self.load_index()?;
        let (points, unreadable) = self.points(&index)?;
        let point = match self.find_point(&points, selector, name) {
            Ok(point) => point.clone(),
            Err(e) if unreadable.is_empty() => return Err(e),
            Err(e) => {
                let what = format!("{} recovery points cannot be read", unreadable.len());
                return Err(RepoError::new(ErrorKind::Damaged, what).with_source(e));
            }
        };
        let entry = point.document.disk(disk).ok_or_else(|| {
            let names: Vec<_> = point.document.disks.iter().map(|d| d.name.as_str()).collect();
            RepoError::new(
                ErrorKind::DiskNotFound,
                format!("point {} has no disk {disk:?}", point.document.id.short()),
            )
            .recommend(format!("Its disks are: {}.", names.join(", ")))
        })?;
        let (document, groups) = {
            let mut reader = BlobReader::new(self, &index)?;
            open_disk(&mut reader, &point, entry)?
        };
        Ok(RestorePlan { repository: self, _session: session, index, point, disk: document, groups })
    }
}

impl RestorePlan<'_> {
    /// Writes the disk into `sink`, which reads as zeros where nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with the disk offset that could not be restored,
    /// [`ErrorKind::TargetUnwritable`], [`ErrorKind::StorageFull`], [`ErrorKind::Interrupted`].
    pub fn run(
        &self,
        sink: &dyn BlockSink,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<RestoreReport> {
        let started = Instant::now();
        progress.begin(&format!("disk {}", self.disk.name), self.disk.size);
        let workers = crate::workers::count();
        let (runs, runs_in) = bounded(2 * workers);
        let failure = Mutex::new(None);
        let written = AtomicU64::new(0);
        let worker = Worker { plan: self, sink, progress, written: &written };
        let pieces = thread::scope(|scope| {
            for _ in 0..workers {
                let runs = runs_in.clone();
                let (worker, failure) = (&worker, &failure);
                scope.spawn(move || {
                    if let Err(e) = worker.work(&runs) {
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                    }
                });
            }
            drop(runs_in);
            let pieces = self.walk(&runs, progress, cancel);
            drop(runs); // hangs up: the workers end
            pieces
        });
        // a worker's error is the cause, the walker's at most its echo
        if let Some(e) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(e);
        }
        let digest = DiskDigest::of_pieces(self.disk.size, self.disk.piece_size, &pieces?);
        if digest != self.disk.digest {
            return Err(RepoError::damaged(
                &format!("disk {} of point {}", self.disk.name, self.point.document.id.short()),
                "its trees do not match the digest in disk.json",
            ));
        }
        sink.finish().map_err(RepoError::target_disk)?;
        progress.end();
        Ok(RestoreReport {
            point: self.point.document.id,
            disk: self.disk.name.clone(),
            size: self.disk.size,
            bytes_written: written.into_inner(),
            digest,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn damaged(&self, what: impl AsRef<str>) -> RepoError {
        let disk = format!("disk {} of point {}", self.disk.name, self.point.document.id.short());
        RepoError::damaged(&disk, what)
    }

    /// Walks all pieces in order, sends what must be read, returns the piece trees.
    fn walk(&self, runs: &Sender<Run>, progress: &dyn Progress, cancel: &Cancel) -> Result<Vec<BlobId>> {
        let disk = &self.disk;
        let chunk = disk.chunk_size.bytes();
        let mut reader = BlobReader::new(self.repository, &self.index)?;
        let zero = BlobId(sha256(&vec![0; disk.chunk_size.length()]));
        let mut pieces = Vec::new();
        let mut window = Vec::new();
        // runs of pieces of zeros share one tree
        let mut last: Option<(BlobId, Vec<BlobId>)> = None;
        let mut group: Option<(u64, Tree)> = None;
        let mut offset = 0;
        while offset < disk.size {
            cancel.check()?;
            let at = offset / disk.group_size * disk.group_size;
            if group.as_ref().is_none_or(|(start, _)| *start != at) {
                let id = self.groups.directory(&offset_name(at));
                let id = id.ok_or_else(|| self.damaged(format!("lacks the group at byte {at}")))?;
                group = Some((at, reader.tree(id)?));
            }
            let name = offset_name(offset);
            let piece = group.as_ref().and_then(|(_, tree)| {
                let at = tree.nodes.binary_search_by(|n| n.name.as_str().cmp(&name)).ok()?;
                tree.nodes[at].subtree
            });
            let piece = piece.ok_or_else(|| self.damaged(format!("lacks the piece at byte {offset}")))?;
            pieces.push(piece);
            if last.as_ref().is_none_or(|(id, _)| *id != piece) {
                let tree = reader.tree(piece)?;
                let data = tree.nodes.into_iter().find(|n| n.name == "data").and_then(|n| n.content);
                let data = data.ok_or_else(|| self.damaged(format!("has no data at byte {offset}")))?;
                last = Some((piece, data));
            }
            let length = disk.piece_size.min(disk.size - offset);
            let ids = last.as_ref().map_or(&[][..], |(_, ids)| ids);
            if ids.len() as u64 != length.div_ceil(chunk) {
                return Err(self.damaged(format!("has the wrong number of chunks at byte {offset}")));
            }
            let mut target = offset;
            let mut skipped = 0;
            for &id in ids {
                let length = chunk.min(disk.size - target);
                if id == zero && length == chunk {
                    skipped += length;
                } else {
                    window.push(self.want(id, target, length)?);
                }
                target += length;
            }
            progress.advance(skipped, 0);
            offset += length;
            if window.len() >= WINDOW {
                self.send(&mut window, runs)?;
            }
        }
        self.send(&mut window, runs)?;
        Ok(pieces)
    }

    fn want(&self, id: BlobId, target: u64, length: u64) -> Result<Wanted> {
        let location = self
            .index
            .find(BlobKind::Data, id)
            .or_else(|| self.index.find_all(BlobKind::Data, id).into_iter().next());
        let location = location
            .ok_or_else(|| self.damaged(format!("the chunk at byte {target} ({}) is lost", id.short())))?;
        let length = u32::try_from(length).unwrap_or(u32::MAX); // at most 4 MiB
        if location.blob.plain_length() != length {
            return Err(self.damaged(format!("the chunk at byte {target} has the wrong length")));
        }
        Ok(Wanted { location, target, length })
    }

    /// Sends the window's chunks in runs, and empties it.
    fn send(&self, window: &mut Vec<Wanted>, runs: &Sender<Run>) -> Result<()> {
        window.sort_unstable_by_key(|w| (w.location.pack, w.location.blob.offset, w.target));
        let mut open: Option<Run> = None;
        let mut pack = None;
        // workers only go when they failed, and then their error is the one that counts
        let gone = |_| RepoError::new(ErrorKind::Interrupted, "a worker failed");
        for wanted in window.drain(..) {
            let start = u64::from(wanted.location.blob.offset);
            let end = start + u64::from(wanted.location.blob.length);
            if let Some(run) = &mut open {
                let reached = run.start + run.length as u64;
                if pack == Some(wanted.location.pack) && start <= reached + GAP && end - run.start <= RUN {
                    run.length = usize::try_from(end.max(reached) - run.start).unwrap_or(usize::MAX);
                    run.chunks.push(wanted);
                    continue;
                }
            }
            pack = Some(wanted.location.pack);
            let next = Run {
                pack: self.index.pack(&wanted.location).id.into(),
                start,
                length: wanted.location.blob.length as usize,
                chunks: vec![wanted],
            };
            if let Some(full) = open.replace(next) {
                runs.send(full).map_err(gone)?;
            }
        }
        open.map_or(Ok(()), |run| runs.send(run).map_err(gone))
    }
}

struct Worker<'a> {
    plan: &'a RestorePlan<'a>,
    sink: &'a dyn BlockSink,
    progress: &'a dyn Progress,
    written: &'a AtomicU64,
}

impl Worker<'_> {
    fn work(&self, runs: &Receiver<Run>) -> Result<()> {
        let repository = self.plan.repository;
        let mut reader = BlobReader::new(repository, &self.plan.index)?;
        let mut decompressor = zstd::bulk::Decompressor::new().map_err(|e| {
            RepoError::new(ErrorKind::Storage, "the decompressor cannot be set up").with_source(e)
        })?;
        let (mut stored, mut scratch) = (Vec::new(), Vec::new());
        let mut writer = Writer { worker: self, at: 0, bytes: Vec::with_capacity(WRITE) };
        for run in runs {
            stored.resize(run.length, 0);
            let readable = repository.storage().read_range(&run.pack, run.start, &mut stored).is_ok();
            // chunks that go to several places are neighbours, and opened once
            for same in run.chunks.chunk_by(|a, b| a.location == b.location) {
                let blob = &same[0].location.blob;
                let from = usize::try_from(u64::from(blob.offset) - run.start).unwrap_or(usize::MAX);
                let opened = if readable {
                    let sealed = &mut stored[from..from + blob.length as usize];
                    pack::open_blob(repository.key(), blob, sealed, &mut decompressor, &mut scratch).ok()
                } else {
                    None
                };
                let plain = match opened {
                    Some(plain) => plain,
                    // this copy is bad; another one may do
                    None => reader.read(BlobKind::Data, blob.id).map_err(|e| {
                        self.plan
                            .damaged(format!("the chunk at byte {} is lost", same[0].target))
                            .with_source(e)
                    })?,
                };
                for wanted in same {
                    writer.add(plain, wanted)?;
                }
            }
            writer.flush()?;
        }
        Ok(())
    }
}

/// Puts chunks that are neighbours on the disk together. Threads that write small pieces of one file
/// spend their time waiting for each other inside the kernel: a file has one lock.
struct Writer<'a> {
    worker: &'a Worker<'a>,
    /// Where `bytes` belong.
    at: u64,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn add(&mut self, plain: &[u8], wanted: &Wanted) -> Result<()> {
        let worker = self.worker;
        if plain.len() != wanted.length as usize {
            return Err(worker
                .plan
                .damaged(format!("the chunk at byte {} has the wrong length", wanted.target)));
        }
        worker.progress.advance(plain.len() as u64, 0);
        if plain.iter().all(|&b| b == 0) {
            return Ok(());
        }
        if self.at + self.bytes.len() as u64 != wanted.target || self.bytes.len() + plain.len() > WRITE {
            self.flush()?;
            self.at = wanted.target;
        }
        self.bytes.extend_from_slice(plain);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            self.worker.sink.write_all_at(&self.bytes, self.at).map_err(RepoError::target_disk)?;
            self.worker.written.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
            self.bytes.clear();
        }
        Ok(())
    }
}
