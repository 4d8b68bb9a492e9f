//! What a LUKS header says without any key.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    header::{self, Header},
    header2::HeaderCopies,
    keyslot::Keyslot,
};
use crate::{
    error::FdeError,
    hex,
    read_at::{ReadAt, check_part, read_part},
};

/// A LUKS header, described. Sizes and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LuksInfo {
    /// 1 or 2.
    pub version: u16,
    /// UUID of the volume, as text.
    pub uuid: String,
    /// Label (LUKS2).
    pub label: Option<String>,
    /// Second label (LUKS2).
    pub subsystem: Option<String>,
    /// Cipher of the data, `aes-xts-plain64`; also one this crate does not map.
    pub cipher: String,
    /// Length of the volume key; `None` when no keyslot is left to tell (LUKS2).
    pub key_bits: Option<u32>,
    /// Sector size of the data.
    pub sector_size: u32,
    /// First byte of the data on the data device. 0 means that the header is detached.
    pub data_offset: u64,
    /// Length of the data; `None`: to the end of the device.
    pub data_size: Option<u64>,
    /// The keyslots in use.
    pub keyslots: Vec<Keyslot>,
    /// The two copies of the header (LUKS2).
    pub copies: Option<HeaderCopies>,
    /// Bytes from the start of the source to keep verbatim: everything that stands before the data,
    /// or the whole source when the header is detached. Holds all that a later unlock needs.
    pub header_length: u64,
    /// SHA-256 over the header up to the end of the last key area in use. Changes with every change
    /// of a keyslot.
    pub header_sha256: String,
    /// SHA-256 over the digests of the data's volume key. Only a change of *this* means another
    /// key: adding, removing and changing keyslots leaves it, so does a conversion between LUKS1 and
    /// LUKS2. `None` when the header binds no key to the data.
    pub volume_key_digest: Option<String>,
    /// Why the data can only be kept as they are, byte for byte; `None` when they can be mapped.
    pub opaque: Option<String>,
}

/// Reads a LUKS header at the start of `source`: a disk, a partition, or a detached header file.
///
/// # Errors
/// [`NotEncrypted`](crate::ErrorKind::NotEncrypted) without a LUKS header,
/// [`Damaged`](crate::ErrorKind::Damaged) when it contradicts itself (LUKS2: both copies),
/// [`Truncated`](crate::ErrorKind::Truncated) when the source ends before the last key area,
/// [`Unsupported`](crate::ErrorKind::Unsupported) for other versions, [`Io`](crate::ErrorKind::Io).
pub fn inspect(source: &dyn ReadAt) -> Result<LuksInfo, FdeError> {
    let header = header::read(source)?;
    let header_sha256 = header_sha256(source, header.end())?;
    let volume_key_digest = volume_key_digest(&header);
    let keyslots = header.keyslots.iter().map(|slot| slot.describe(header.is_bound(slot.number))).collect();
    let header_length = match header.data.offset {
        0 => source.size(),
        offset => offset.min(source.size()),
    };
    Ok(LuksInfo {
        version: header.version,
        uuid: header.uuid,
        label: header.label,
        subsystem: header.subsystem,
        cipher: header.data.cipher,
        key_bits: header.data.key_bytes.map(|bytes| bytes * 8),
        sector_size: header.data.sector_size,
        data_offset: header.data.offset,
        data_size: header.data.size,
        keyslots,
        copies: header.copies,
        header_length,
        header_sha256,
        volume_key_digest,
        opaque: header.opaque,
    })
}

fn header_sha256(source: &dyn ReadAt, end: u64) -> Result<String, FdeError> {
    const PIECE: usize = 64 << 10;
    const WHAT: &str = "the header with its key areas";
    check_part(source, 0, end, WHAT)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while offset < end {
        let length = usize::try_from(end - offset).map_or(PIECE, |rest| rest.min(PIECE));
        read_part(source, &mut buffer[..length], offset, WHAT)?;
        hasher.update(&buffer[..length]);
        offset += length as u64;
    }
    Ok(hex::encode(&hasher.finalize()))
}

/// The digests bound to the data, in an order and form that depends on nothing else in the header.
fn volume_key_digest(header: &Header) -> Option<String> {
    let encoded = header.digests.iter().filter(|digest| digest.bound).map(|digest| {
        let mut bytes = Vec::new();
        let hash = digest.hash.to_ascii_lowercase();
        for field in [hash.as_bytes(), &digest.iterations.to_be_bytes(), &digest.salt, &digest.digest] {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field);
        }
        bytes
    });
    let mut encoded: Vec<_> = encoded.collect();
    encoded.sort();
    if encoded.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    hasher.update(b"cofre-fde volume key digest 1\0");
    encoded.iter().for_each(|digest| hasher.update(digest));
    Some(hex::encode(&hasher.finalize()))
}
