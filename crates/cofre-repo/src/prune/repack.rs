//! Moving needed blobs out of packs that are mostly empty, or small.

use super::plan::RepackSource;
use crate::{
    cancel::Cancel,
    error::{ErrorKind, RepoError, Result},
    index::{file, file::IndexPack},
    pack::{self, BlobKind, PackBuilder},
    progress::Progress,
    repository::Repository,
    storage::Object,
};

/// Longest read of a pack.
const RUN: u64 = 1024 * 1024;

/// Copies the blobs of `sources` as they are sealed, each after it was opened and verified, and writes
/// the indexes of the new packs. Durable on return.
pub(crate) fn run(
    repository: &Repository,
    sources: &[RepackSource],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<()> {
    let mut made: Vec<IndexPack> = Vec::new();
    for kind in [BlobKind::Data, BlobKind::Tree] {
        let mut open: Option<PackBuilder> = None;
        let mut commit = |builder: PackBuilder| -> Result<()> {
            made.push(IndexPack::from(&builder.finish(repository.key())?.commit()?));
            Ok(())
        };
        for source in sources.iter().filter(|s| s.kind == kind) {
            cancel.check()?;
            copy(repository, source, &mut |bytes, blobs| {
                if let Some(full) = open.take_if(|b| b.is_full(bytes.len(), blobs.len())) {
                    commit(full)?;
                }
                let builder = match &mut open {
                    Some(builder) => builder,
                    none => none.insert(PackBuilder::new(repository.storage(), kind)?),
                };
                builder.append(bytes, blobs)
            })?;
            progress.advance(source.size, 0);
        }
        if let Some(builder) = open {
            commit(builder)?;
        }
    }
    file::store(repository.storage(), repository.key(), made)?;
    Ok(())
}

/// Whether every blob of a damaged pack that is needed can still be moved out of it.
pub(crate) fn is_readable(repository: &Repository, source: &RepackSource) -> Result<bool> {
    match copy(repository, source, &mut |_, _| Ok(())) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::Damaged => Ok(false),
        Err(e) => Err(e),
    }
}

type Append<'a> = dyn FnMut(&[u8], &[(crate::BlobId, u32, u32)]) -> Result<()> + 'a;

fn copy(repository: &Repository, source: &RepackSource, append: &mut Append<'_>) -> Result<()> {
    let object = Object::from(source.pack);
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(|e| {
        RepoError::new(ErrorKind::Storage, "the decompressor cannot be set up").with_source(e)
    })?;
    let (mut stored, mut opened, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = source.blobs.as_slice();
    while let Some(first) = rest.first() {
        let mut end = u64::from(first.offset);
        let count = rest
            .iter()
            .take_while(|b| {
                let fits = u64::from(b.offset) == end
                    && (end == u64::from(first.offset) || end - u64::from(first.offset) < RUN);
                end += u64::from(b.length);
                fits
            })
            .count();
        let (run, later) = rest.split_at(count);
        rest = later;
        let length: usize = run.iter().map(|b| b.length as usize).sum();
        stored.resize(length, 0);
        repository.storage().read_range(&object, u64::from(first.offset), &mut stored)?;
        opened.clone_from(&stored);
        let mut at = 0;
        for blob in run {
            let sealed = &mut opened[at..at + blob.length as usize];
            pack::open_blob(repository.key(), blob, sealed, &mut decompressor, &mut scratch).map_err(
                |what| {
                    RepoError::damaged(&object.to_string(), format!("blob {} {what}", blob.id.short()))
                        .recommend(
                            "Run `cofre repo check --read-data`, which notes the damage, then prune again.",
                        )
                },
            )?;
            at += blob.length as usize;
        }
        let blobs: Vec<_> = run.iter().map(|b| (b.id, b.length, b.uncompressed)).collect();
        append(&stored, &blobs)?;
    }
    Ok(())
}
