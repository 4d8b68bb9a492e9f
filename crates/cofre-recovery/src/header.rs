//! Encryption headers of disks: read once at the snapshot, described in the point, shown to the key
//! vault for a proof.

use std::io;

use cofre_disk::{BlockSource, ErrorKind as DiskKind};
use cofre_fde::{ErrorKind, Inspection, ReadAt, inspect};
use serde::{Deserialize, Serialize};

/// Most bytes of a header that a key vault is shown.
pub(crate) const MAX_HEADER: u64 = 4 << 20;

/// A disk's bytes, for `cofre-fde`.
struct Bytes<'a>(&'a dyn BlockSource);

impl ReadAt for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset).map_err(|e| match e.kind() {
            DiskKind::Invalid | DiskKind::Changed => io::Error::new(io::ErrorKind::UnexpectedEof, e),
            _ => io::Error::other(e),
        })
    }
}

/// What a header says of itself without a key, as `disk.json` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeaderRecord {
    /// `luks1`, `luks2`.
    pub(crate) format: String,
    /// UUID of the volume.
    pub(crate) uuid: String,
    /// SHA-256 over the header up to the end of the last key area in use: changes with every keyslot.
    pub(crate) header_sha256: String,
    /// SHA-256 over the digests of the volume key: changes with the volume key alone.
    pub(crate) volume_key_digest: Option<String>,
}

/// What was found at the start of a disk.
pub(crate) enum Found {
    /// Nothing that looks like an encryption header.
    Nothing,
    /// A header, and its bytes.
    Header { record: HeaderRecord, bytes: Vec<u8> },
    /// Something that cannot be used; the disk is backed up all the same.
    Unusable(String),
}

/// Looks at the start of a disk. Never fails the backup: what cannot be read here will fail the
/// transfer, with a better message.
pub(crate) fn look(disk: &dyn BlockSource) -> Found {
    let source = Bytes(disk);
    let luks = match inspect(&source) {
        Ok(Inspection::Luks(luks)) => luks,
        Ok(_) => return Found::Unusable("an encryption that this version cannot prove".to_owned()),
        Err(e) if e.kind() == ErrorKind::NotEncrypted => return Found::Nothing,
        Err(e) => return Found::Unusable(e.to_string()),
    };
    let length = luks.header_length.min(MAX_HEADER).min(disk.size());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if let Err(e) = source.read_exact_at(&mut bytes, 0) {
        return Found::Unusable(format!("the header cannot be read: {e}"));
    }
    let record = HeaderRecord {
        format: format!("luks{}", luks.version),
        uuid: luks.uuid,
        header_sha256: luks.header_sha256,
        volume_key_digest: luks.volume_key_digest,
    };
    Found::Header { record, bytes }
}
