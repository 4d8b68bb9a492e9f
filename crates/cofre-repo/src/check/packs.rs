//! Reading every pack.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{BACK_UP_AGAIN, Finding, LostBlobs};
use crate::{
    cancel::Cancel,
    crypto::Sha256,
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, PackId},
    index::{Index, PackState, table::PackInfo},
    pack::{self, PackedBlob},
    progress::Progress,
    repository::Repository,
    storage::Object,
};

/// Bytes that are read at once.
const RUN: u64 = 1024 * 1024;

/// What reading the packs told.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) packs: u64,
    pub(super) bytes_read: u64,
    pub(super) findings: Vec<Finding>,
    /// Packs that are there, of the right length, and damaged inside.
    pub(super) damaged: HashSet<PackId>,
    /// Blobs in damaged or truncated packs that do not open.
    pub(super) lost: LostBlobs,
}

/// The result of one pack.
#[derive(Default)]
struct Verdict {
    bytes_read: u64,
    problem: Option<String>,
    lost: Vec<BlobId>,
}

pub(super) fn check(
    repository: &Repository,
    index: &Index,
    read_data: bool,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome> {
    let blobs = index.blobs_by_pack();
    let total = index.packs().iter().filter(|p| p.state != PackState::Missing).map(|p| p.size).sum();
    progress.begin("packs", total);
    let outcome = Mutex::new(Outcome::default());
    let failure = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let workers = crate::workers::count();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let work = || -> Result<()> {
                    let mut reader = PackReader::new(repository, progress, cancel)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(pack) = index.packs().get(number) else { return Ok(()) };
                        let verdict = reader.check(pack, &blobs[number], read_data)?;
                        record(&mut outcome.lock().unwrap_or_else(PoisonError::into_inner), pack, verdict);
                    }
                };
                if let Err(e) = work() {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            });
        }
    });
    if let Some(e) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(e);
    }
    progress.end();
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.findings.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(outcome)
}

fn record(outcome: &mut Outcome, pack: &PackInfo, verdict: Verdict) {
    outcome.packs += 1;
    outcome.bytes_read += verdict.bytes_read;
    let Some(problem) = verdict.problem else { return };
    let code = match pack.state {
        PackState::Missing => "PackMissing",
        PackState::Truncated => "PackTruncated",
        _ => {
            outcome.damaged.insert(pack.id);
            "PackDamaged"
        }
    };
    let lost = if pack.state == PackState::Missing { pack.blobs as usize } else { verdict.lost.len() };
    outcome.findings.push(Finding {
        code,
        object: Object::from(pack.id).to_string(),
        message: format!("{problem}; {lost} of its {} blobs are lost", pack.blobs),
        action: BACK_UP_AGAIN,
    });
    outcome.lost.extend(verdict.lost.into_iter().map(|b| (pack.id, b)));
}

struct PackReader<'a> {
    repository: &'a Repository,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    decompressor: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'a> PackReader<'a> {
    fn new(repository: &'a Repository, progress: &'a dyn Progress, cancel: &'a Cancel) -> Result<Self> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(|e| {
            RepoError::new(ErrorKind::Storage, "the decompressor cannot be set up").with_source(e)
        })?;
        Ok(Self { repository, progress, cancel, decompressor, stored: Vec::new(), scratch: Vec::new() })
    }

    fn check(&mut self, pack: &PackInfo, blobs: &[PackedBlob], read_data: bool) -> Result<Verdict> {
        match pack.state {
            PackState::Missing => {
                return Ok(Verdict { problem: Some("is missing".to_owned()), ..Verdict::default() });
            }
            PackState::Truncated => {
                let mut verdict = self.open_each(pack, blobs)?;
                verdict.problem = Some("has not the length that its index says".to_owned());
                return Ok(verdict);
            }
            _ => {}
        }
        let mut verdict = Verdict::default();
        match self.read_through(pack, blobs, read_data, &mut verdict) {
            Ok(()) if verdict.lost.is_empty() => {}
            Ok(()) => verdict.problem = Some("holds blobs that do not open".to_owned()),
            Err(e) if e.kind() == ErrorKind::Damaged => {
                let read = verdict.bytes_read;
                verdict = self.open_each(pack, blobs)?;
                verdict.bytes_read += read;
                verdict.problem = Some(problem(&e));
            }
            Err(e) => return Err(e),
        }
        Ok(verdict)
    }

    /// Reads the whole pack once, in order: digest, header, and with `read_data` every blob.
    fn read_through(
        &mut self,
        pack: &PackInfo,
        blobs: &[PackedBlob],
        read_data: bool,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let object = Object::from(pack.id);
        let bad = |what: &str| RepoError::damaged(&object.to_string(), what);
        let mut digest = Sha256::default();
        let mut at = 0_u64;
        let mut rest = blobs;
        while at < pack.size {
            self.cancel.check()?;
            // a run of whole blobs; behind the last one, the header
            let mut end = at;
            let count = rest
                .iter()
                .take_while(|b| {
                    let more = u64::from(b.offset) == end && end - at < RUN;
                    if more {
                        end += u64::from(b.length);
                    }
                    more
                })
                .count();
            if count == 0 {
                if !rest.is_empty() {
                    return Err(bad("has a gap between its blobs"));
                }
                end = pack.size.min(at + RUN);
            }
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            self.stored.resize(length, 0);
            self.repository.storage().read_range(&object, at, &mut self.stored)?;
            digest.update(&self.stored);
            verdict.bytes_read += length as u64;
            let (run, later) = rest.split_at(count);
            if read_data {
                for blob in run {
                    let from = usize::try_from(u64::from(blob.offset) - at).unwrap_or(usize::MAX);
                    let sealed = &mut self.stored[from..from + blob.length as usize];
                    let key = self.repository.key();
                    if pack::open_blob(key, blob, sealed, &mut self.decompressor, &mut self.scratch).is_err()
                    {
                        verdict.lost.push(blob.id);
                    }
                }
            }
            rest = later;
            at = end;
            self.progress.advance(length as u64, 0);
        }
        if digest.finish() != pack.id.0 {
            return Err(bad("its bytes do not match its name"));
        }
        let (_, listed) =
            pack::read_header(self.repository.storage(), self.repository.key(), pack.id, pack.size)?;
        if listed != blobs {
            return Err(bad("its header lists other blobs than the index"));
        }
        Ok(())
    }

    /// Opens every blob on its own, to tell which ones are lost.
    fn open_each(&mut self, pack: &PackInfo, blobs: &[PackedBlob]) -> Result<Verdict> {
        let object = Object::from(pack.id);
        let mut verdict = Verdict::default();
        for blob in blobs {
            self.cancel.check()?;
            self.stored.resize(blob.length as usize, 0);
            let storage = self.repository.storage();
            let readable = storage.read_range(&object, u64::from(blob.offset), &mut self.stored).is_ok();
            verdict.bytes_read += u64::from(blob.length);
            let opens = readable
                && pack::open_blob(
                    self.repository.key(),
                    blob,
                    &mut self.stored,
                    &mut self.decompressor,
                    &mut self.scratch,
                )
                .is_ok();
            if !opens {
                verdict.lost.push(blob.id);
            }
        }
        Ok(verdict)
    }
}

/// The message without the object's name, which the finding has anyway.
fn problem(error: &RepoError) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, what)| what.to_owned())
}
