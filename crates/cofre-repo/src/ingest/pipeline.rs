//! The writing half: packers collect sealed blobs into packs, the committer makes packs durable and
//! writes the indexes that name them.
//!
//! Indexes are written at least every 256 MiB or 10 seconds, so that an interrupted backup loses
//! little; packs that got no index are adopted by the next backup.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::sealer::{Batch, Sealer};
use crate::{
    cancel::Cancel,
    error::{ErrorKind, RepoError, Result},
    failpoint,
    id::BlobId,
    index::{Index, PackState, file, file::IndexPack},
    pack::{BlobKind, FinishedPack, PackBuilder},
    progress::Progress,
    repository::Repository,
};

/// Stored bytes after which an index is written.
const FLUSH_BYTES: u64 = 256 * 1024 * 1024;
/// Time after which an index is written.
const FLUSH_TIME: Duration = Duration::from_secs(10);
/// Batches that wait for a packer, and packs that wait for the committer.
const BATCHES_WAITING: usize = 4;
const PACKS_WAITING: usize = 1;
/// Sets of ids that are being stored, each with a lock of its own.
const SHARDS: usize = 64;

/// The first error of any thread; it stops all of them.
#[derive(Default)]
pub(crate) struct Failure {
    raised: AtomicBool,
    first: Mutex<Option<RepoError>>,
}

impl Failure {
    pub(crate) fn raise(&self, error: RepoError) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        self.raised.store(true, Ordering::Release);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<RepoError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What all threads of one backup share.
pub(crate) struct Stored<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) index: &'a Index,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
    pub(crate) failure: &'a Failure,
    /// Whether the parent's chunks must be looked up before they are taken for stored.
    pub(crate) damaged: bool,
    pending: Vec<Mutex<HashSet<(BlobKind, BlobId)>>>,
    reused: &'a [AtomicBool],
    data: Sender<Batch>,
    trees: Sender<Batch>,
    spare: Receiver<Batch>,
}

impl<'a> Stored<'a> {
    /// Whether the caller has to store this blob: nobody has it, and nobody else is at it.
    pub(crate) fn claim(&self, kind: BlobKind, id: BlobId) -> bool {
        if self.has(kind, id) {
            return false;
        }
        let shard = &self.pending[usize::from(id.0[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, id))
    }

    /// Whether the repository has a sound copy of this blob; notes the pack it is in.
    pub(crate) fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        match self.index.find(kind, id) {
            Some(location) => {
                let reused = &self.reused[location.pack as usize];
                if !reused.load(Ordering::Relaxed) {
                    reused.store(true, Ordering::Relaxed);
                }
                true
            }
            None => false,
        }
    }

    pub(crate) fn sealer(&'a self) -> Result<Sealer<'a>> {
        Sealer::new(self)
    }

    pub(crate) fn sender(&self, kind: BlobKind) -> &Sender<Batch> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// An empty batch, with the memory of one that is done if there is one.
    pub(crate) fn spare_batch(&self) -> Batch {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Whether to go on: an error elsewhere and a cancellation say no.
    pub(crate) fn proceed(&self) -> Result<()> {
        if self.failure.is_raised() {
            // replaced by the first error at the end
            return Err(RepoError::new(ErrorKind::Interrupted, "another part of the backup failed"));
        }
        self.cancel.check()
    }
}

/// What a backup added and what it relies on.
pub(crate) struct Written {
    /// Bytes of all packs and indexes.
    pub(crate) bytes: u64,
    reused: Vec<AtomicBool>,
}

impl Written {
    /// Checks that every pack that was counted on is still there.
    pub(crate) fn verify_reused(&self, repository: &Repository, index: &Index) -> Result<()> {
        for (pack, reused) in index.packs().iter().zip(&self.reused) {
            if reused.load(Ordering::Relaxed)
                && pack.state == PackState::Sound
                && repository.storage().length(&pack.id.into())? != Some(pack.size)
            {
                return Err(RepoError::new(
                    ErrorKind::LeaseLost,
                    format!("pack {} went away while the backup relied on it", pack.id.short()),
                ));
            }
        }
        Ok(())
    }
}

pub(crate) struct Pipeline<'a> {
    repository: &'a Repository,
    index: &'a Index,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        index: &'a Index,
        progress: &'a dyn Progress,
        cancel: &'a Cancel,
    ) -> Self {
        Self { repository, index, progress, cancel }
    }

    /// Runs `body` while packs are written beside it. When it returns, everything it stored is durable
    /// and indexed. A cancelled backup keeps what it has stored; a failed one drops its open packs.
    pub(crate) fn run<T>(&self, body: impl FnOnce(&Stored<'_>) -> Result<T>) -> Result<(T, Written)> {
        let failure = Failure::default();
        let reused: Vec<_> = self.index.packs().iter().map(|_| AtomicBool::new(false)).collect();
        let (data, data_in) = bounded(BATCHES_WAITING);
        let (trees, trees_in) = bounded(BATCHES_WAITING);
        let (packs, packs_in) = bounded(PACKS_WAITING);
        let (done, spare) = bounded(4 * BATCHES_WAITING);
        let stored = Stored {
            repository: self.repository,
            index: self.index,
            progress: self.progress,
            cancel: self.cancel,
            failure: &failure,
            damaged: self.index.has_damage(),
            pending: (0..SHARDS).map(|_| Mutex::default()).collect(),
            reused: &reused,
            data,
            trees,
            spare,
        };
        let repository = self.repository;
        let (result, bytes) = thread::scope(|scope| {
            let failure = &failure;
            for (kind, batches) in [(BlobKind::Data, data_in), (BlobKind::Tree, trees_in)] {
                let (packs, done) = (packs.clone(), done.clone());
                scope.spawn(move || {
                    if let Err(e) = pack_batches(repository, kind, &batches, &packs, &done, failure) {
                        failure.raise(e);
                    }
                });
            }
            drop((packs, done));
            let committer = scope.spawn(move || {
                commit_packs(repository, &packs_in, failure).unwrap_or_else(|e| {
                    failure.raise(e);
                    0
                })
            });
            let result = body(&stored);
            if let Err(e) = &result
                && e.kind() != ErrorKind::Interrupted
            {
                failure.raise(RepoError::new(ErrorKind::Interrupted, "the backup failed"));
            }
            drop(stored); // hangs up: packers finish their packs, then the committer ends
            (result, committer.join().unwrap_or_default())
        });
        match (result, failure.take()) {
            // a thread's error is the cause, the body's at most its echo
            (_, Some(cause)) if cause.kind() != ErrorKind::Interrupted => Err(cause),
            (Ok(_), Some(cause)) => Err(cause),
            (Err(e), _) => Err(e),
            (Ok(value), None) => Ok((value, Written { bytes, reused })),
        }
    }
}

fn pack_batches(
    repository: &Repository,
    kind: BlobKind,
    batches: &Receiver<Batch>,
    packs: &Sender<FinishedPack>,
    done: &Sender<Batch>,
    failure: &Failure,
) -> Result<()> {
    let mut open: Option<PackBuilder> = None;
    let finish = |builder: PackBuilder| -> Result<()> {
        let pack = builder.finish(repository.key())?;
        failpoint::reached("ingest.pack-staged");
        // the committer only goes when it failed, and then its error is the one that counts
        let _ = packs.send(pack);
        Ok(())
    };
    for mut batch in batches {
        if failure.is_raised() {
            return Ok(());
        }
        if let Some(full) = open.take_if(|b| b.is_full(batch.bytes.len(), batch.blobs.len())) {
            finish(full)?;
        }
        let builder = match &mut open {
            Some(builder) => builder,
            none => none.insert(PackBuilder::new(repository.storage(), kind)?),
        };
        builder.append(&batch.bytes, &batch.blobs)?;
        batch.bytes.clear();
        batch.blobs.clear();
        let _ = done.try_send(batch);
    }
    match open {
        Some(builder) if !failure.is_raised() => finish(builder),
        _ => Ok(()),
    }
}

/// Returns the bytes of all packs and indexes it wrote.
fn commit_packs(repository: &Repository, packs: &Receiver<FinishedPack>, failure: &Failure) -> Result<u64> {
    let mut written = 0;
    let mut waiting: Vec<IndexPack> = Vec::new();
    let mut waiting_bytes = 0;
    let mut last = Instant::now();
    let flush = |waiting: &mut Vec<IndexPack>| -> Result<u64> {
        let mut bytes = 0;
        for id in file::store(repository.storage(), repository.key(), std::mem::take(waiting))? {
            bytes += repository.storage().length(&id.into())?.unwrap_or_default();
        }
        failpoint::reached("ingest.index-written");
        Ok(bytes)
    };
    loop {
        // what is durable gets its index in time, also when the next pack is long in coming
        let pack = match packs.recv_timeout(FLUSH_TIME.saturating_sub(last.elapsed())) {
            Ok(pack) => pack,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if !waiting.is_empty() {
                    written += flush(&mut waiting)?;
                    waiting_bytes = 0;
                }
                last = Instant::now();
                continue;
            }
        };
        if failure.is_raised() {
            continue; // dropping a pack discards it
        }
        let pack = pack.commit()?;
        failpoint::reached("ingest.pack-committed");
        written += pack.size;
        waiting_bytes += pack.size;
        waiting.push(IndexPack::from(&pack));
        if waiting_bytes >= FLUSH_BYTES || last.elapsed() >= FLUSH_TIME {
            written += flush(&mut waiting)?;
            waiting_bytes = 0;
            last = Instant::now();
        }
    }
    // Also after a failure: what is durable may as well be found.
    if !waiting.is_empty() {
        written += flush(&mut waiting)?;
    }
    Ok(written)
}
