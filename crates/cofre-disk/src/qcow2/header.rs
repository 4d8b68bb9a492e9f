//! The header of a qcow2 image and its extensions, every field checked before it is used.

use crate::{
    big_endian::{u32_at, u64_at},
    block::BlockSource,
    error::{DiskError, ErrorKind},
    open::ImageFormat,
};

const MAGIC: &[u8; 4] = b"QFI\xfb";
/// Length of the header of version 2, and the least of version 3.
const V2_LENGTH: usize = 72;
const V3_LENGTH: usize = 104;
/// The fields that are read, with the compression type that came later.
const READ_LENGTH: usize = 105;

/// The largest disk that is accepted. It bounds how long walking the tables of a hostile image takes;
/// no platform has larger disks.
pub(super) const MAX_VIRTUAL_SIZE: u64 = 1 << 50;
/// The largest L1 table, QEMU's own limit.
const MAX_L1_BYTES: u64 = 32 << 20;
/// The longest name of a backing file, the format's own limit.
const MAX_NAME: usize = 1023;

const INCOMPATIBLE_DIRTY: u64 = 1 << 0;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// The file that holds what an image does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backing {
    pub(super) name: Vec<u8>,
    pub(super) format: ImageFormat,
}

/// What of a header is needed for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    /// As many entries as the disk needs; the table may have more.
    pub(super) l1_entries: u64,
    pub(super) compression: Compression,
    pub(super) backing: Option<Backing>,
}

impl Header {
    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Reads and checks the header of the image in `file`.
    pub(super) fn read(file: &dyn BlockSource) -> Result<Self, DiskError> {
        let reader = Reader { file, label: file.label() };
        reader.header()
    }
}

struct Reader<'a> {
    file: &'a dyn BlockSource,
    label: String,
}

impl Reader<'_> {
    fn malformed(&self, what: impl AsRef<str>) -> DiskError {
        DiskError::new(ErrorKind::Malformed, format!("qcow2 image {}: {}", self.label, what.as_ref()))
    }

    fn unsupported(&self, what: impl AsRef<str>) -> DiskError {
        DiskError::new(ErrorKind::Unsupported, format!("qcow2 image {}: {}", self.label, what.as_ref()))
    }

    fn header(&self) -> Result<Header, DiskError> {
        let available = usize::try_from(self.file.size()).unwrap_or(usize::MAX).min(READ_LENGTH);
        let mut bytes = [0; READ_LENGTH];
        self.file.read_exact_at(&mut bytes[..available], 0)?;
        if bytes[..4] != *MAGIC {
            return Err(self.malformed("it does not begin like one; is the format of the disk right?"));
        }
        let version = u32_at(&bytes, 4);
        let least = match version {
            2 => V2_LENGTH,
            3 => V3_LENGTH,
            _ => return Err(self.unsupported(format!("version {version} (2 and 3 are read)"))),
        };
        if available < least {
            return Err(self.malformed(format!("the header is cut after {available} bytes")));
        }
        let cluster_bits = u32_at(&bytes, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(self.malformed(format!("cluster_bits is {cluster_bits}, allowed are 9 to 21")));
        }
        match u32_at(&bytes, 32) {
            0 => {}
            method => {
                let advice = "decrypt it with `qemu-img convert` (encryption inside the guest is no problem)";
                return Err(self.unsupported(format!("encrypted by QEMU (method {method}); {advice}")));
            }
        }
        let (length, compression) =
            if version == 3 { self.version_3(&bytes, available)? } else { (V2_LENGTH, Compression::Deflate) };
        if length as u64 > 1 << cluster_bits {
            return Err(self.malformed(format!("a header of {length} bytes is longer than a cluster")));
        }
        let (size, l1_offset, l1_entries) = self.l1(&bytes, cluster_bits)?;
        let backing = self.backing(&bytes, length, cluster_bits)?;
        Ok(Header { version, cluster_bits, size, l1_offset, l1_entries, compression, backing })
    }

    /// The fields that version 3 added: the length of the header, and how clusters are compressed.
    fn version_3(
        &self,
        bytes: &[u8; READ_LENGTH],
        available: usize,
    ) -> Result<(usize, Compression), DiskError> {
        let features = u64_at(bytes, 72);
        if features & INCOMPATIBLE_CORRUPT != 0 {
            let advice = "repair a copy with `qemu-img check -r all`";
            return Err(self.unsupported(format!("QEMU marked it as corrupt; {advice}")));
        }
        if features & INCOMPATIBLE_DATA_FILE != 0 {
            return Err(self.unsupported("its data is in an external data file, which is not read"));
        }
        if features & INCOMPATIBLE_EXTENDED_L2 != 0 {
            return Err(self.unsupported("extended L2 entries (subclusters) are not read"));
        }
        // A dirty image was not closed cleanly. Its refcounts may be wrong, which only matters to those
        // who allocate; its mapping is right.
        let known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION;
        if features & !known != 0 {
            let unknown = features & !known;
            return Err(self.unsupported(format!("unknown incompatible features {unknown:#x}")));
        }
        let length = usize::try_from(u32_at(bytes, 100)).unwrap_or(usize::MAX);
        if length < V3_LENGTH {
            return Err(self.malformed(format!("header_length is {length}, at least 104 are needed")));
        }
        let kind = if length >= READ_LENGTH && available >= READ_LENGTH { bytes[104] } else { 0 };
        let compression = match kind {
            0 => Compression::Deflate,
            1 => Compression::Zstd,
            _ => return Err(self.unsupported(format!("unknown compression type {kind}"))),
        };
        if (kind != 0) != (features & INCOMPATIBLE_COMPRESSION != 0) {
            return Err(self.malformed("compression type and feature bit contradict each other"));
        }
        Ok((length, compression))
    }

    /// Size of the disk, and the place and length of the part of the L1 table that maps it.
    fn l1(&self, bytes: &[u8; READ_LENGTH], cluster_bits: u32) -> Result<(u64, u64, u64), DiskError> {
        let size = u64_at(bytes, 24);
        if size > MAX_VIRTUAL_SIZE {
            return Err(self.unsupported(format!("a disk of {size} bytes; the limit is {MAX_VIRTUAL_SIZE}")));
        }
        let stated = u64::from(u32_at(bytes, 36));
        if stated * 8 > MAX_L1_BYTES {
            return Err(self.malformed(format!("an L1 table of {stated} entries is too large")));
        }
        let needed = size.div_ceil(1 << (2 * cluster_bits - 3));
        if stated < needed {
            let what = format!("the L1 table has {stated} entries, a disk of {size} bytes needs {needed}");
            return Err(self.malformed(what));
        }
        let offset = u64_at(bytes, 40);
        let end = offset.checked_add(needed * 8);
        let inside = needed == 0 || (offset > 0 && end.is_some_and(|end| end <= self.file.size()));
        if !offset.is_multiple_of(1 << cluster_bits) || !inside {
            let what = format!(
                "an L1 table of {needed} entries at {offset} is not inside the file of {} bytes, or not at a \
                 cluster; is the file cut?",
                self.file.size()
            );
            return Err(self.malformed(what));
        }
        Ok((size, offset, needed))
    }

    fn backing(
        &self,
        bytes: &[u8; READ_LENGTH],
        header_length: usize,
        cluster_bits: u32,
    ) -> Result<Option<Backing>, DiskError> {
        let name_offset = u64_at(bytes, 8);
        if name_offset == 0 {
            return Ok(None);
        }
        let name_length = usize::try_from(u32_at(bytes, 16)).unwrap_or(usize::MAX);
        let first_cluster = self.file.size().min(1 << cluster_bits);
        let first_cluster = usize::try_from(first_cluster).unwrap_or(usize::MAX);
        let name_start = usize::try_from(name_offset).unwrap_or(usize::MAX);
        let name_end = name_start.checked_add(name_length).filter(|end| *end <= first_cluster);
        let name_end = name_end.filter(|_| name_start >= header_length && name_length <= MAX_NAME);
        let Some(name_end) = name_end else {
            let what = format!("a backing file name of {name_length} bytes at {name_offset} is out of place");
            return Err(self.malformed(what));
        };
        // Extensions stand between the header and the name; at most a cluster, 2 MiB.
        let mut region = vec![0; name_end - header_length];
        self.file.read_exact_at(&mut region, header_length as u64)?;
        let name = region.split_off(name_start - header_length);
        let format = self.backing_format(&region)?;
        self.check_name(&name)?;
        let shown = String::from_utf8_lossy(&name);
        let format = match format {
            Some(b"raw") => ImageFormat::Raw,
            Some(b"qcow2") => ImageFormat::Qcow2,
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                let what =
                    format!("the backing file {shown:?} has the format {other:?}; raw and qcow2 are read");
                return Err(self.unsupported(what));
            }
            None => {
                let what = format!(
                    "it does not say which format its backing file {shown:?} has, and guessing would \
                     trust bytes a guest can write; state it with `qemu-img rebase -u -b NAME -F FORMAT`"
                );
                return Err(self.unsupported(what));
            }
        };
        Ok(Some(Backing { name, format }))
    }

    /// Finds the backing format among the header's extensions.
    fn backing_format<'b>(&self, mut extensions: &'b [u8]) -> Result<Option<&'b [u8]>, DiskError> {
        while extensions.len() >= 8 {
            let kind = u32_at(extensions, 0);
            if kind == EXTENSION_END {
                break;
            }
            let length = usize::try_from(u32_at(extensions, 4)).unwrap_or(usize::MAX);
            let rest = &extensions[8..];
            let Some(data) = rest.get(..length) else {
                return Err(self.malformed(format!("the header extension {kind:#x} runs over its end")));
            };
            if kind == EXTENSION_BACKING_FORMAT {
                return Ok(Some(data));
            }
            // Each is padded to eight bytes, the last one perhaps not.
            extensions = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
        }
        Ok(None)
    }

    /// Refuses names that are no paths. QEMU takes anything with a colon before the first slash for a
    /// protocol and its address; so do we, to never mean another file than QEMU does.
    fn check_name(&self, name: &[u8]) -> Result<(), DiskError> {
        if name.is_empty() || name.contains(&0) {
            return Err(self.malformed("the name of the backing file is empty or has a zero byte in it"));
        }
        if name.iter().find(|byte| matches!(byte, b':' | b'/')) == Some(&b':') {
            let shown = String::from_utf8_lossy(name);
            let what = format!(
                "the backing file {shown:?} is named by a protocol, and only files are read; if it is a \
                 file, put `./` before its name with `qemu-img rebase -u`"
            );
            return Err(self.unsupported(what));
        }
        Ok(())
    }
}
