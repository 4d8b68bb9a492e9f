//! The two copies of a LUKS2 header (on-disk format, section 2): 4096 bytes, big-endian, then JSON,
//! under one checksum.

use serde::Serialize;

use super::{
    MAGIC, MAGIC_SECONDARY,
    header::{Header, be64, text},
    metadata::{self, Metadata},
};
use crate::{
    error::FdeError,
    hash::HashAlgorithm,
    read_at::{ReadAt, read_part},
    sector::printable,
};

/// Length of the binary part in bytes.
pub(super) const BINARY: usize = 4096;
/// The smallest copy, which cryptsetup makes too, in bytes.
pub(super) const SMALLEST: u64 = 0x4000;
/// The sizes of a copy that the specification allows, in bytes; the secondary copy stands at that
/// offset.
const SIZES: [u32; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Where the checksum stands in it.
pub(super) const CHECKSUM: std::ops::Range<usize> = 448..512;

/// Which copy of a LUKS2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HeaderCopy {
    /// At byte 0.
    Primary,
    /// Behind the primary one.
    Secondary,
}

/// What a copy of a LUKS2 header is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyState {
    /// Sound, and of the same or a newer sequence than the other.
    Valid,
    /// Sound, but older than the other: an update was interrupted. `cryptsetup` repairs it when it
    /// next opens the disk for writing.
    Stale,
    /// Not usable; the text says why. `cryptsetup repair` restores it from the other.
    Damaged(String),
}

/// The two copies of a LUKS2 header and which of them was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderCopies {
    /// The copy that everything else was read from.
    pub used: HeaderCopy,
    /// Its sequence number.
    pub sequence: u64,
    /// Length of one copy in bytes.
    pub size: u64,
    /// State of the primary copy.
    pub primary: CopyState,
    /// State of the secondary copy.
    pub secondary: CopyState,
}

/// One sound copy.
struct Copy {
    size: u32,
    sequence: u64,
    label: String,
    uuid: String,
    subsystem: String,
    metadata: Metadata,
}

/// Reads the header when the primary copy at least looks like one.
pub(super) fn read(source: &dyn ReadAt) -> Result<Header, FdeError> {
    match read_copy(source, 0) {
        Ok(primary) => Ok(choose(primary, source)),
        Err(damage) => read_by_secondary(source, &damage.to_string()).ok_or(damage),
    }
}

/// Looks for a secondary copy at every place where one may stand; `damage` is what is wrong with
/// the primary. What cannot be read is no copy.
pub(super) fn read_by_secondary(source: &dyn ReadAt, damage: &str) -> Option<Header> {
    let found = SIZES.iter().find_map(|offset| read_copy(source, u64::from(*offset)).ok());
    found.map(|copy| {
        let primary = CopyState::Damaged(damage.to_owned());
        header(copy, HeaderCopy::Secondary, primary, CopyState::Valid)
    })
}

/// The newer of the two copies; the primary when they are equal.
fn choose(primary: Copy, source: &dyn ReadAt) -> Header {
    match read_copy(source, u64::from(primary.size)) {
        Ok(secondary) if secondary.sequence > primary.sequence => {
            header(secondary, HeaderCopy::Secondary, CopyState::Stale, CopyState::Valid)
        }
        Ok(secondary) => {
            let stale = secondary.sequence < primary.sequence;
            let state = if stale { CopyState::Stale } else { CopyState::Valid };
            header(primary, HeaderCopy::Primary, CopyState::Valid, state)
        }
        Err(damage) => {
            header(primary, HeaderCopy::Primary, CopyState::Valid, CopyState::Damaged(damage.to_string()))
        }
    }
}

fn header(copy: Copy, used: HeaderCopy, primary: CopyState, secondary: CopyState) -> Header {
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let size = u64::from(copy.size);
    Header {
        version: 2,
        uuid: copy.uuid,
        label: filled(copy.label),
        subsystem: filled(copy.subsystem),
        copies: Some(HeaderCopies { used, sequence: copy.sequence, size, primary, secondary }),
        metadata_end: 2 * size,
        keyslots: copy.metadata.keyslots,
        digests: copy.metadata.digests,
        data: copy.metadata.data,
        opaque: copy.metadata.opaque,
    }
}

/// Reads the copy at `offset`: the primary at 0, a secondary elsewhere.
fn read_copy(source: &dyn ReadAt, offset: u64) -> Result<Copy, FdeError> {
    let (magic, what) = match offset {
        0 => (MAGIC, "the primary LUKS2 header"),
        _ => (MAGIC_SECONDARY, "the secondary LUKS2 header"),
    };
    let mut binary = [0; BINARY];
    read_part(source, &mut binary, offset, what)?;
    let damaged = |problem: &str| FdeError::damaged(format!("{what} at byte {offset} {problem}"));
    if !binary.starts_with(&magic) || binary[6..8] != [0, 2] {
        return Err(damaged("does not begin as one"));
    }
    let size = SIZES.into_iter().find(|size| u64::from(*size) == be64(&binary, 8));
    let size = size.filter(|size| offset == 0 || u64::from(*size) == offset);
    let size = size.ok_or_else(|| damaged(&format!("has an illegal size, {} bytes", be64(&binary, 8))))?;
    if be64(&binary, 256) != offset {
        return Err(damaged("was written for another place"));
    }

    let mut bytes = vec![0; size as usize];
    read_part(source, &mut bytes, offset, what)?;
    verify_checksum(&mut bytes).map_err(|problem| damaged(&problem))?;
    Ok(Copy {
        size,
        sequence: be64(&bytes, 16),
        label: text(&bytes[24..72], "label")?,
        uuid: text(&bytes[168..208], "UUID")?,
        subsystem: text(&bytes[208..256], "subsystem")?,
        metadata: metadata::parse(&bytes[BINARY..])?,
    })
}

/// Compares the checksum, which is computed with its own field zeroed.
fn verify_checksum(bytes: &mut [u8]) -> Result<(), String> {
    let name = text(&bytes[72..104], "checksum algorithm").unwrap_or_default();
    let hash = HashAlgorithm::from_name(&name)
        .ok_or_else(|| format!("has a checksum of the unknown type {:?}", printable(&name)))?;
    let stored = bytes[CHECKSUM][..hash.output_size()].to_vec();
    bytes[CHECKSUM].fill(0);
    let mut computed = vec![0; hash.output_size()];
    hash.digest_into(&[bytes], &mut computed);
    if stored == computed { Ok(()) } else { Err("does not match its checksum".to_owned()) }
}
