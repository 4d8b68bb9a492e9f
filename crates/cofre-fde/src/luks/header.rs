//! What both versions have in common, once parsed, and where parsing begins.

use super::{
    MAGIC, MAX_HEADER_END, MAX_KEY_BYTES, STRIPES, header1,
    header2::{self, HeaderCopies},
    keyslot::SlotRecord,
};
use crate::{
    error::{ErrorKind, FdeError},
    hash::HashAlgorithm,
    read_at::{ReadAt, read_part},
    sector::CipherSpec,
};

/// A parsed header.
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) uuid: String,
    pub(super) label: Option<String>,
    pub(super) subsystem: Option<String>,
    pub(super) copies: Option<HeaderCopies>,
    /// End of the metadata before the key areas, in bytes.
    pub(super) metadata_end: u64,
    pub(super) keyslots: Vec<SlotRecord>,
    pub(super) digests: Vec<KeyDigest>,
    pub(super) data: DataSegment,
    /// Why the data cannot be mapped, although the header is sound.
    pub(super) opaque: Option<String>,
}

/// Where the data are and how they are encrypted, as the header says it, not yet judged.
pub(super) struct DataSegment {
    pub(super) offset: u64,
    /// `None`: to the end of the device.
    pub(super) size: Option<u64>,
    pub(super) iv_tweak: u64,
    pub(super) cipher: String,
    pub(super) sector_size: u32,
    /// Bytes of the volume key; `None` when no keyslot of the segment is left to tell.
    pub(super) key_bytes: Option<u32>,
}

/// A salted digest of a volume key, PBKDF2 in both versions.
pub(super) struct KeyDigest {
    /// The keyslots whose key has this digest.
    pub(super) keyslots: Vec<u32>,
    /// Whether it is the digest of the data segment's key.
    pub(super) bound: bool,
    pub(super) hash: String,
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

impl KeyDigest {
    /// Shortest digest that is believed: a shorter one would match keys by chance.
    const MIN: usize = 20;
    const MAX: usize = 64;

    pub(super) fn checked(self, what: &str) -> Result<Self, FdeError> {
        if !(Self::MIN..=Self::MAX).contains(&self.digest.len()) {
            return Err(FdeError::damaged(format!(
                "{what} has {} bytes, 20 to 64 are legal",
                self.digest.len()
            )));
        }
        if self.iterations == 0 {
            return Err(FdeError::damaged(format!("{what} has 0 iterations")));
        }
        Ok(self)
    }

    pub(super) fn hash(&self) -> Result<HashAlgorithm, FdeError> {
        known_hash(&self.hash)
    }
}

/// The hash of this name, or a refusal by name.
pub(super) fn known_hash(name: &str) -> Result<HashAlgorithm, FdeError> {
    HashAlgorithm::from_name(name)
        .ok_or_else(|| FdeError::unsupported(format!("hash {}", crate::sector::printable(name))))
}

impl Header {
    /// End of the last key area in use, or of the metadata when there is none, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.keyslots.iter().map(SlotRecord::area_end).fold(self.metadata_end, u64::max)
    }

    /// Whether keyslot `number` holds the key of the data.
    pub(super) fn is_bound(&self, number: u32) -> bool {
        self.digests.iter().any(|digest| digest.bound && digest.keyslots.contains(&number))
    }

    /// The checks that both versions share.
    fn checked(mut self) -> Result<Self, FdeError> {
        self.check_areas()?;
        if self.opaque.is_none() {
            self.opaque = self.data.refusal();
        }
        Ok(self)
    }

    /// Key areas lie behind the metadata, within bounds, and apart from each other.
    fn check_areas(&self) -> Result<(), FdeError> {
        let used = self.keyslots.iter().filter(|slot| slot.area_size > 0);
        let mut areas: Vec<_> = used.map(|slot| (slot.area_offset, slot.area_end(), slot.number)).collect();
        areas.sort_unstable();
        let mut free_from = self.metadata_end;
        for (start, end, number) in areas {
            if start < free_from {
                return Err(FdeError::damaged(format!(
                    "the key area of keyslot {number} at byte {start} overlaps what lies before byte {free_from}"
                )));
            }
            if end > MAX_HEADER_END {
                return Err(FdeError::damaged(format!(
                    "the key area of keyslot {number} ends at byte {end}, behind any legal header"
                )));
            }
            free_from = free_from.max(end);
        }
        Ok(())
    }
}

impl DataSegment {
    /// Why this segment cannot be mapped, if so.
    fn refusal(&self) -> Option<String> {
        let judged = self.cipher.parse::<CipherSpec>().and_then(|spec| {
            crate::sector::checked_sector_size(u64::from(self.sector_size))?;
            self.key_bytes.map_or(Ok(()), |bytes| spec.check_key_bytes(bytes as usize))
        });
        judged.err().map(|error| error.to_string())
    }
}

/// Bytes of a key area that hold key material: all stripes, rounded up to whole 512-byte sectors.
pub(super) fn material_bytes(key_bytes: u32) -> u64 {
    (u64::from(key_bytes) * u64::from(STRIPES)).next_multiple_of(512)
}

pub(super) fn check_key_bytes(bytes: u64, what: &str) -> Result<u32, FdeError> {
    match u32::try_from(bytes) {
        Ok(bytes @ 1..=MAX_KEY_BYTES) => Ok(bytes),
        _ => Err(FdeError::damaged(format!("{what} has {bytes} bytes, 1 to {MAX_KEY_BYTES} are legal"))),
    }
}

/// Reads and checks the header at the start of `source`, of either version. A damaged primary
/// LUKS2 header is replaced by the secondary one.
pub(super) fn read(source: &dyn ReadAt) -> Result<Header, FdeError> {
    let mut start = [0; 8];
    if source.size() < start.len() as u64 {
        return Err(not_luks());
    }
    read_part(source, &mut start, 0, "the start of the header")?;
    let is_luks = start.starts_with(&MAGIC);
    let version = u16::from_be_bytes([start[6], start[7]]);
    match (is_luks, version) {
        (true, 1) => header1::read(source)?.checked(),
        (true, 2) => header2::read(source)?.checked(),
        (true, other) => header2::read_by_secondary(source, &format!("version {other} is unknown"))
            .ok_or_else(|| FdeError::unsupported(format!("LUKS version {other}: only 1 and 2 are known")))?
            .checked(),
        // Without a magic number the disk may simply have been formatted with something else, with
        // an old secondary header left in place: a known file system wins.
        (false, _) if has_other_signature(source)? => Err(not_luks()),
        (false, _) => header2::read_by_secondary(source, "no magic number").ok_or_else(not_luks)?.checked(),
    }
}

fn not_luks() -> FdeError {
    FdeError::new(
        ErrorKind::NotEncrypted,
        "no LUKS header: if the header is detached (a file of its own), give that file",
    )
}

/// Whether the source starts with a file system, a boot sector, a volume group or swap space.
fn has_other_signature(source: &dyn ReadAt) -> Result<bool, FdeError> {
    const SIGNATURES: [(usize, &[u8]); 6] = [
        (510, &[0x55, 0xaa]),  // boot sector, partition table, FAT, NTFS
        (1080, &[0x53, 0xef]), // ext2, ext3, ext4
        (0, b"XFSB"),          // XFS
        (512, b"LABELONE"),    // LVM physical volume
        (512, b"EFI PART"),    // GUID partition table
        (4086, b"SWAPSPACE2"), // swap
    ];
    let mut start = [0; 4096];
    if source.size() < start.len() as u64 {
        return Ok(false);
    }
    read_part(source, &mut start, 0, "the start of the disk")?;
    Ok(SIGNATURES.iter().any(|(offset, bytes)| start[*offset..].starts_with(bytes)))
}

/// A NUL-padded text field of a binary header: UTF-8, no control characters.
pub(super) fn text(field: &[u8], what: &str) -> Result<String, FdeError> {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    match std::str::from_utf8(&field[..length]) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(FdeError::damaged(format!("the {what} in the header is not text"))),
    }
}

pub(super) fn be32(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

pub(super) fn be64(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..].first_chunk().map_or(0, |word| u64::from_be_bytes(*word))
}
