//! One image file and its two levels of tables: where is a byte of the disk?
//!
//! The tables are read in pages and never as a whole, so that neither the size of a disk nor a header
//! decides how much memory an open image takes.

use std::sync::Arc;

use crate::{
    big_endian::u64_at,
    block::BlockSource,
    error::{DiskError, ErrorKind},
    qcow2::{cache::Cache, header::Header},
};

/// Entries of a page of a table, 64 KiB of them.
const PAGE_ENTRIES: u64 = 8192;

/// Bits of an entry of either table that hold the place in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// "Nobody else refers to it"; of no interest to readers.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// Pages of tables of all images of a chain, by image, place in its file and number of entries.
pub(super) type PageCache = Cache<(usize, u64, u64), u64>;

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, from there on.
    Data { at: u64 },
    /// Compressed in the file, one cluster.
    Compressed { at: u64, length: usize },
    /// Nowhere: they are zeros.
    Zero,
    /// Not in this image: they are what the backing file has, or zeros.
    Backing,
}

/// Bytes that follow each other on the disk, and in the file if they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) place: Place,
    pub(super) length: u64,
}

/// An image file of a chain.
pub(super) struct Layer {
    pub(super) file: Box<dyn BlockSource>,
    pub(super) header: Header,
    pub(super) number: usize,
}

impl Layer {
    pub(super) fn malformed(&self, offset: u64, what: &str) -> DiskError {
        let message = format!(
            "qcow2 image {}: byte {offset} of the disk: {what}; check it with `qemu-img check`",
            self.file.label()
        );
        DiskError::new(ErrorKind::Malformed, message).at(offset)
    }

    /// Where the byte at `offset` is, and how many bytes from there on, before `limit`, are there too.
    /// `limit` is above `offset` and not above the size of the disk.
    pub(super) fn run_at(&self, pages: &PageCache, offset: u64, limit: u64) -> Result<Run, DiskError> {
        let header = &self.header;
        let bits = header.cluster_bits;
        let cluster = offset >> bits;
        let l2_bits = bits - 3;
        let l1_index = cluster >> l2_bits;
        let run =
            |place, clusters_end: u64| Run { place, length: (clusters_end << bits).min(limit) - offset };

        let l1 = self.page(pages, header.l1_offset, header.l1_entries, l1_index, offset)?;
        let l2_offset = self.l2_offset(l1.first(), offset)?;
        if l2_offset == 0 {
            // An entry with bits that mean nothing ends the run as well, to be complained about.
            let of_interest = (((limit - 1) >> bits) >> l2_bits) - l1_index + 1;
            let missing =
                (1..).zip(l1.rest()).take_while(|(n, entry)| *n <= of_interest && **entry & !COPIED == 0);
            return Ok(run(Place::Backing, (l1_index + missing.count() as u64) << l2_bits));
        }

        let l2_index = cluster & ((1 << l2_bits) - 1);
        let l2 = self.page(pages, l2_offset, 1 << l2_bits, l2_index, offset)?;
        let first = self.place(l2.first(), offset)?;
        let mut end = cluster + 1;
        // An entry that cannot be understood ends the run; it is complained about when it is its turn.
        let mut rest = l2.rest()[1..].iter();
        while end << bits < limit
            && rest.next().is_some_and(|entry| self.continues(first, *entry, end - cluster))
        {
            end += 1;
        }
        let within = offset & (header.cluster_size() - 1);
        let place = match first {
            Place::Data { at } => Place::Data { at: at + within },
            other => other,
        };
        Ok(run(place, end))
    }

    /// Is the cluster of this entry, the `distance`-th after one at `first`, the continuation of it?
    fn continues(&self, first: Place, entry: u64, distance: u64) -> bool {
        match (first, self.place(entry, 0)) {
            (Place::Data { at }, Ok(Place::Data { at: next })) => {
                next.checked_sub(at) == Some(distance << self.header.cluster_bits)
            }
            (Place::Compressed { .. }, _) => false,
            (first, Ok(next)) => first == next,
            (_, Err(_)) => false,
        }
    }

    fn l2_offset(&self, entry: u64, offset: u64) -> Result<u64, DiskError> {
        if entry & !(OFFSET | COPIED) != 0 {
            return Err(self.malformed(offset, &format!("unknown bits in the L1 entry {entry:#x}")));
        }
        self.aligned(entry & OFFSET, offset, "the L2 table")
    }

    fn place(&self, entry: u64, offset: u64) -> Result<Place, DiskError> {
        if entry & COMPRESSED != 0 {
            // The lower bits are the place, to the byte; above it the number of further sectors, in as
            // many bits as a cluster needs.
            let sector_bits = self.header.cluster_bits - 8;
            let place_bits = 62 - sector_bits;
            let at = entry & ((1 << place_bits) - 1);
            let sectors = ((entry >> place_bits) & ((1 << sector_bits) - 1)) + 1;
            // At most two clusters.
            let length = usize::try_from(sectors * 512 - at % 512).unwrap_or(0);
            return Ok(Place::Compressed { at, length });
        }
        let zero = if self.header.version >= 3 { ZERO } else { 0 };
        if entry & !(OFFSET | COPIED | zero) != 0 {
            return Err(self.malformed(offset, &format!("unknown bits in the L2 entry {entry:#x}")));
        }
        let at = self.aligned(entry & OFFSET, offset, "its cluster")?;
        Ok(match at {
            _ if entry & zero != 0 => Place::Zero,
            0 => Place::Backing,
            at => Place::Data { at },
        })
    }

    fn aligned(&self, at: u64, offset: u64, what: &str) -> Result<u64, DiskError> {
        if at & (self.header.cluster_size() - 1) == 0 {
            return Ok(at);
        }
        Err(self.malformed(offset, &format!("{what} is at {at}, which is not the start of a cluster")))
    }

    /// The page of a table that has the entry `index`. The byte `offset` of the disk is why.
    fn page(
        &self,
        pages: &PageCache,
        table: u64,
        entries: u64,
        index: u64,
        offset: u64,
    ) -> Result<Page, DiskError> {
        let start = index - index % PAGE_ENTRIES;
        let count = PAGE_ENTRIES.min(entries - start);
        let at = table + start * 8;
        let read = || {
            if at + count * 8 > self.file.size() {
                let what = format!("its table is at {at}, behind the end of the file; the image is cut");
                return Err(self.malformed(offset, &what));
            }
            let mut bytes = vec![0; usize::try_from(count * 8).unwrap_or(0)];
            self.file.read_exact_at(&mut bytes, at).map_err(|e| e.at(offset))?;
            Ok(bytes.chunks_exact(8).map(|entry| u64_at(entry, 0)).collect())
        };
        let entries = pages.get_or((self.number, at, count), read)?;
        Ok(Page { entries, index: usize::try_from(index - start).unwrap_or(0) })
    }
}

/// A part of a table, and the entry in it that was asked for.
struct Page {
    entries: Arc<[u64]>,
    index: usize,
}

impl Page {
    fn first(&self) -> u64 {
        self.entries[self.index]
    }

    fn rest(&self) -> &[u64] {
        &self.entries[self.index..]
    }
}
