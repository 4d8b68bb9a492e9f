//! Reading through a chain of images.

use std::sync::Arc;

use crate::{
    block::{BlockSource, Extent, ExtentKind},
    error::DiskError,
    qcow2::{
        cache::Cache,
        compressed::expand,
        tables::{Layer, PageCache, Place},
    },
};

/// Memory for pages of tables, of all images of a chain together: enough for the tables of 128 GiB of
/// scattered data in clusters of 64 KiB, and a walk from start to end needs a few pages only.
const TABLE_CACHE: usize = 16 << 20;
/// Memory for expanded clusters: readers that ask for less than a cluster come back for the rest of it.
const CLUSTER_CACHE: usize = 16 << 20;
/// Runs that are put together into one extent at most; bounds the work of one call.
const MAX_RUNS: usize = 4096;

/// Images, the one that is read first, each the backing file of the one before; below them perhaps a
/// raw image.
pub(super) struct Chain {
    layers: Vec<Layer>,
    base: Option<Box<dyn BlockSource>>,
    pages: PageCache,
    /// Expanded clusters, by image and number.
    clusters: Cache<(usize, u64), u8>,
}

impl Chain {
    pub(super) fn new(layers: Vec<Layer>, base: Option<Box<dyn BlockSource>>) -> Self {
        Self { layers, base, pages: Cache::new(TABLE_CACHE), clusters: Cache::new(CLUSTER_CACHE) }
    }

    /// All files of the chain.
    pub(super) fn files(&self) -> impl Iterator<Item = &dyn BlockSource> {
        self.layers.iter().map(|layer| &*layer.file).chain(self.base.as_deref())
    }

    /// Size of the disk as the image of that level has it.
    pub(super) fn size(&self, level: usize) -> u64 {
        match self.layers.get(level) {
            Some(layer) => layer.header.size,
            None => self.base.as_ref().map_or(0, |base| base.size()),
        }
    }

    /// Fills `buffer`, which is inside the disk of that level.
    pub(super) fn read(&self, level: usize, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let Some(layer) = self.layers.get(level) else {
            return match &self.base {
                Some(base) => base.read_exact_at(buffer, offset),
                None => {
                    buffer.fill(0);
                    Ok(())
                }
            };
        };
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let run = layer.run_at(&self.pages, at, at + rest.len() as u64)?;
            // Not longer than the rest, which is in memory.
            let (part, after) = rest.split_at_mut(usize::try_from(run.length).unwrap_or(0));
            match run.place {
                Place::Zero => part.fill(0),
                Place::Data { at: place } => layer.read_data(part, place, at)?,
                Place::Compressed { at: place, length } => {
                    self.read_compressed(layer, part, at, place, length)?;
                }
                Place::Backing => {
                    // A backing file may be shorter; behind its end everything is zero.
                    let there = self.size(level + 1).saturating_sub(at);
                    let there = usize::try_from(there).unwrap_or(usize::MAX).min(part.len());
                    let (below, behind) = part.split_at_mut(there);
                    if !below.is_empty() {
                        self.read(level + 1, below, at)?;
                    }
                    behind.fill(0);
                }
            }
            at += run.length;
            rest = after;
        }
        Ok(())
    }

    fn read_compressed(
        &self,
        layer: &Layer,
        part: &mut [u8],
        offset: u64,
        place: u64,
        length: usize,
    ) -> Result<(), DiskError> {
        let cluster_size = layer.header.cluster_size();
        if part.len() as u64 == cluster_size {
            return layer.expand(part, offset, place, length);
        }
        let make = || {
            let mut cluster = vec![0; usize::try_from(cluster_size).unwrap_or(0)];
            layer.expand(&mut cluster, offset, place, length)?;
            Ok(Arc::from(cluster))
        };
        let number = offset / cluster_size;
        let cluster = self.clusters.get_or((layer.number, number), make)?;
        let start = usize::try_from(offset % cluster_size).unwrap_or(0);
        part.copy_from_slice(&cluster[start..start + part.len()]);
        Ok(())
    }

    /// The extent at `offset`, as far as it is cheap to tell.
    pub(super) fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        let size = self.size(0);
        let (mut end, kind) = self.step(0, offset, size)?;
        for _ in 0..MAX_RUNS {
            if end >= size {
                break;
            }
            // Trouble further on is not the trouble of this extent.
            match self.step(0, end, size) {
                Ok((further, next)) if next == kind => end = further,
                _ => break,
            }
        }
        Ok(Extent { start: offset, length: end - offset, kind })
    }

    /// What `offset` is, and where the run of it that one look at each level shows ends, before `limit`.
    /// Only the uppermost level joins runs: joining at each level would look at the same entries again
    /// and again.
    fn step(&self, level: usize, offset: u64, limit: u64) -> Result<(u64, ExtentKind), DiskError> {
        let size = self.size(level);
        if offset >= size {
            return Ok((limit, ExtentKind::Hole));
        }
        let limit = limit.min(size);
        let Some(layer) = self.layers.get(level) else {
            // Without a base the size is zero.
            let Some(base) = &self.base else { return Ok((limit, ExtentKind::Hole)) };
            let extent = base.extent_at(offset)?;
            return Ok((extent.end().min(limit), extent.kind));
        };
        let run = layer.run_at(&self.pages, offset, limit)?;
        let end = offset + run.length;
        match run.place {
            Place::Data { .. } | Place::Compressed { .. } => Ok((end, ExtentKind::Data)),
            Place::Zero => Ok((end, ExtentKind::Hole)),
            Place::Backing => self.step(level + 1, offset, end),
        }
    }
}

impl Layer {
    /// Reads bytes that are in the file as they are.
    fn read_data(&self, part: &mut [u8], place: u64, offset: u64) -> Result<(), DiskError> {
        if place + part.len() as u64 > self.file.size() {
            let there = self.file.size().saturating_sub(place);
            let what = format!(
                "the file ends at {}, before the cluster at {place} does; the image is cut",
                self.file.size()
            );
            return Err(self.malformed(offset + there, &what));
        }
        self.file.read_exact_at(part, place).map_err(|e| {
            // The error counts in the file; the caller counts on the disk.
            let at = e.offset().and_then(|at| at.checked_sub(place)).unwrap_or(0);
            e.at(offset + at)
        })
    }

    /// Expands the compressed cluster at `place` into `cluster`.
    fn expand(&self, cluster: &mut [u8], offset: u64, place: u64, length: usize) -> Result<(), DiskError> {
        // The length is counted in sectors, of which the last one may be cut by the end of the file.
        let there = self.file.size().saturating_sub(place);
        let length = usize::try_from(there).unwrap_or(usize::MAX).min(length);
        let mut compressed = vec![0; length];
        if length > 0 {
            self.file.read_exact_at(&mut compressed, place).map_err(|e| e.at(offset))?;
        }
        expand(self.header.compression, &compressed, cluster).map_err(|what| {
            self.malformed(offset, &format!("the compressed cluster at {place} cannot be expanded: {what}"))
        })
    }
}
