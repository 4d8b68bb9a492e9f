//! Which parts of a disk changed since an earlier point: a list of byte ranges, usually what became of
//! a hypervisor's dirty bitmap.
//!
//! The file format is a JSON list of objects with exactly two members, both whole numbers in bytes:
//! `[{"start": 0, "length": 65536}, …]`. The list may be unsorted, ranges may touch and overlap, and a
//! range of length zero says nothing. Everything else (a range past the end of the disk, an unknown
//! member, a fraction, a negative number) is refused: a list that was misunderstood would lose data.

mod parse;

use std::{num::NonZeroU64, path::Path};

use crate::error::{DiskError, ErrorKind};

/// A run of bytes that changed. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRange {
    /// First byte.
    pub start: u64,
    /// First byte after the range.
    pub end: u64,
}

impl DirtyRange {
    /// Number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// The parts of a disk that changed: sorted, and with a clean byte between any two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyRanges {
    ranges: Vec<DirtyRange>,
    disk_size: u64,
}

impl DirtyRanges {
    /// Nothing changed on a disk of `disk_size` bytes.
    #[must_use]
    pub fn none(disk_size: u64) -> Self {
        Self { ranges: Vec::new(), disk_size }
    }

    /// Everything changed on a disk of `disk_size` bytes.
    #[must_use]
    pub fn all(disk_size: u64) -> Self {
        Self::none(0).grow(0, disk_size)
    }

    /// From pairs of start and length, in any order, overlapping or not.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when one of them is not wholly on the disk.
    pub fn from_ranges(
        ranges: impl IntoIterator<Item = (u64, u64)>,
        disk_size: u64,
    ) -> Result<Self, DiskError> {
        let mut collected = Vec::new();
        for (start, length) in ranges {
            parse::push(&mut collected, start, length, disk_size)
                .map_err(|message| DiskError::new(ErrorKind::Invalid, format!("dirty ranges: {message}")))?;
        }
        Ok(Self::merged(collected, disk_size))
    }

    /// Reads the list from JSON text; see the [module's](self) description of the format.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the text is not such a list, [`ErrorKind::Invalid`] when a range is
    /// not wholly on the disk. [`ErrorKind::Unsupported`] for texts over 256 MiB.
    pub fn parse(json: &[u8], disk_size: u64) -> Result<Self, DiskError> {
        let ranges = parse::slice(json, disk_size)?;
        Ok(Self::merged(ranges, disk_size))
    }

    /// Reads the list from a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and `NotFound`, `Denied`, `Unreadable`.
    pub fn read(path: impl AsRef<Path>, disk_size: u64) -> Result<Self, DiskError> {
        let ranges = parse::file(path.as_ref(), disk_size)?;
        Ok(Self::merged(ranges, disk_size))
    }

    fn merged(mut ranges: Vec<DirtyRange>, disk_size: u64) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Self { ranges, disk_size }
    }

    /// Size of the disk the ranges are about.
    #[must_use]
    pub fn disk_size(&self) -> u64 {
        self.disk_size
    }

    /// The ranges, by position.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DirtyRange> + DoubleEndedIterator + '_ {
        self.ranges.iter().copied()
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Did nothing change?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of bytes that changed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(DirtyRange::length).sum()
    }

    /// Did at least one of these bytes change? Bytes past the end of the disk did not.
    #[must_use]
    pub fn overlaps(&self, start: u64, length: u64) -> bool {
        length > 0 && self.last_before(start.saturating_add(length)).is_some_and(|range| range.end > start)
    }

    /// Did all of these bytes change? True for no bytes at all.
    #[must_use]
    pub fn contains(&self, start: u64, length: u64) -> bool {
        let Some(end) = start.checked_add(length) else { return false };
        length == 0 || self.last_before(end).is_some_and(|range| range.start <= start && end <= range.end)
    }

    /// The last range that begins before `position`.
    fn last_before(&self, position: u64) -> Option<&DirtyRange> {
        let after = self.ranges.partition_point(|range| range.start < position);
        self.ranges[..after].last()
    }

    /// The same ranges, widened to whole chunks of `chunk_size` bytes (the last chunk of the disk may be
    /// shorter).
    #[must_use]
    pub fn rounded_to(&self, chunk_size: NonZeroU64) -> Self {
        let widen = |range: &DirtyRange| DirtyRange {
            start: range.start - range.start % chunk_size,
            end: range.end.checked_next_multiple_of(chunk_size.get()).unwrap_or(u64::MAX).min(self.disk_size),
        };
        Self::merged(self.ranges.iter().map(widen).collect(), self.disk_size)
    }

    /// The same ranges on a disk of `new_size` bytes that had `old_size` at the earlier point: the bytes
    /// it did not have then count as changed, ranges past a new end are cut off.
    #[must_use]
    pub fn grow(&self, old_size: u64, new_size: u64) -> Self {
        let cut = |range: &DirtyRange| DirtyRange { end: range.end.min(new_size), ..*range };
        let mut ranges: Vec<_> = self.ranges.iter().filter(|range| range.start < new_size).map(cut).collect();
        if old_size < new_size {
            ranges.push(DirtyRange { start: old_size, end: new_size });
        }
        Self::merged(ranges, new_size)
    }
}

#[cfg(test)]
mod tests;
