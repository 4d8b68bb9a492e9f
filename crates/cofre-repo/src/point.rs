//! What a recovery point says of itself: `point.json`, and `disk.json` for each disk.
//!
//! Both carry `version` and `requires`: a reader that does not know a version or an entry of
//! `requires` refuses the point instead of restoring something wrong.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    config::ChunkSize,
    crypto::Sha256,
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, PointId},
    tree::is_legal_name,
};

/// Version of `point.json` and `disk.json` that is written and read.
pub const VERSION: u32 = 1;
/// Bytes of a piece: the unit in which an unchanged part of a disk costs one tree id.
pub const PIECE_SIZE: u64 = 64 * 1024 * 1024;
/// Bytes of a group of pieces.
pub const GROUP_SIZE: u64 = 16 * 1024 * 1024 * 1024;
/// Largest disk: 64 TiB, one million pieces.
pub const MAX_DISK_SIZE: u64 = 64 << 40;
/// Largest `point.json`, `disk.json` or file below `keys/`.
pub const MAX_JSON: u32 = 4 * 1024 * 1024;

/// How far the guest's data agree with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// As after a power cut: what a plain read of a disk gives.
    CrashConsistent,
    /// The guest's file systems were frozen.
    FileSystemConsistent,
    /// The guest's applications took part.
    ApplicationConsistent,
}

impl Consistency {
    /// The name, as it stands in tags and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CrashConsistent => "CrashConsistent",
            Self::FileSystemConsistent => "FileSystemConsistent",
            Self::ApplicationConsistent => "ApplicationConsistent",
        }
    }
}

/// `point.json`: everything needed to list and restore a point with no database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointDocument {
    /// [`VERSION`].
    pub version: u32,
    /// Features a reader must know. Empty in version 1.
    pub requires: Vec<String>,
    /// The point's identity.
    pub id: PointId,
    /// Name of the virtual machine.
    pub name: String,
    /// Its resource id, or a path made of its name.
    pub resource: String,
    /// Instant of the guest's snapshot.
    pub time: Timestamp,
    /// Instant at which everything was stored and the point was about to become visible.
    pub committed: Timestamp,
    /// The point it was compared with.
    pub parent: Option<PointId>,
    /// Consistency of the data.
    pub consistency: Consistency,
    /// The user's tags.
    pub tags: Vec<String>,
    /// Name and version of the program that wrote it.
    pub software: String,
    /// The disks, by logical unit number.
    pub disks: Vec<PointDisk>,
    /// The machine as the program above this crate describes it; this crate does not look into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<serde_json::Value>,
    /// The files below `keys/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PointKeyFile>,
}

/// A file below `keys/`, as `point.json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointKeyFile {
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A file that goes with a point, below `keys/`: what opens its disks.
pub struct KeyFile {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Its bytes: [`MAX_JSON`] at most.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFile({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A disk in `point.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointDisk {
    /// Logical unit number.
    pub lun: u32,
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Directory below `disks/`.
    pub directory: String,
}

/// `disk.json`: shape and digest of one disk. Unchanged disks have the same `disk.json`, so nothing
/// in it may vary without need.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskDocument {
    /// [`VERSION`].
    pub version: u32,
    /// Features a reader must know. Empty in version 1.
    pub requires: Vec<String>,
    /// Logical unit number.
    pub lun: u32,
    /// Name.
    pub name: String,
    /// Bytes, as the guest sees the disk.
    pub size: u64,
    /// Format of the image it was read from.
    pub format: String,
    /// Bytes of a chunk.
    pub chunk_size: ChunkSize,
    /// Bytes of a piece.
    pub piece_size: u64,
    /// Bytes of a group.
    pub group_size: u64,
    /// How parts of the disk are stored. Version 1: one raw region.
    pub regions: Vec<Region>,
    /// What the disk's encryption header said of itself without a key; `None` where nobody looked or
    /// nothing was found. For people and for comparison, not for restoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<serde_json::Value>,
    /// Reserved: how stored plaintext maps to the disk's bytes.
    pub mapping: Option<serde_json::Value>,
    /// Reserved: the volume key, sealed.
    pub sealed_volume_key: Option<serde_json::Value>,
    /// Reserved: the domain in which plaintext is shared.
    pub dedup_domain: Option<String>,
    /// Digest of the content.
    pub digest: DiskDigest,
}

/// A part of a disk and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// `raw`; `verbatim` and `mapped` are reserved.
    pub kind: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Where the grid of chunks begins.
    pub grid_origin: u64,
}

/// A digest of a whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskDigest {
    /// [`DiskDigest::ALGORITHM`].
    pub algorithm: String,
    /// Hex digits.
    pub value: BlobId,
}

impl DiskDigest {
    /// SHA-256 over (offset, length, piece tree id) of every piece in order; numbers as 64-bit
    /// big-endian. A piece tree's id is itself the SHA-256 over its ordered chunk ids in canonical
    /// form, so the digest covers every chunk, costs no reading of unchanged pieces, and is equal
    /// for equal disks cut alike.
    pub const ALGORITHM: &str = "sha256-of-piece-trees";

    /// The digest of a disk of `size` bytes with these piece trees.
    #[must_use]
    pub fn of_pieces(size: u64, piece_size: u64, pieces: &[BlobId]) -> Self {
        let mut digest = Sha256::default();
        let mut offset = 0_u64;
        for piece in pieces {
            digest.update(&offset.to_be_bytes());
            digest.update(&piece_size.min(size - offset).to_be_bytes());
            digest.update(&piece.0);
            offset += piece_size;
        }
        Self { algorithm: Self::ALGORITHM.to_owned(), value: BlobId(digest.finish()) }
    }
}

fn unsupported(what: String) -> RepoError {
    RepoError::new(ErrorKind::UnsupportedRepository, what)
}

fn check_requirements(what: &str, version: u32, requires: &[String]) -> Result<()> {
    if version != VERSION {
        return Err(unsupported(format!("{what} has version {version}, this program knows {VERSION}")));
    }
    match requires.first() {
        None => Ok(()),
        Some(feature) => Err(unsupported(format!("{what} requires {feature:?}, which this program lacks"))),
    }
}

/// The first thing to be read of a document: enough to refuse it well.
#[derive(Deserialize)]
struct Head {
    version: u32,
    #[serde(default)]
    requires: Vec<String>,
}

fn parse<'a, T: Deserialize<'a>>(what: &str, json: &'a [u8]) -> Result<T> {
    let bad = |e| RepoError::damaged(what, "does not hold what it should").with_source(e);
    let head: Head = serde_json::from_slice(json).map_err(bad)?;
    check_requirements(what, head.version, &head.requires)?;
    serde_json::from_slice(json).map_err(bad)
}

fn encode(what: &str, document: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(document).map_err(|e| {
        RepoError::new(ErrorKind::Storage, format!("{what} could not be encoded")).with_source(e)
    })?;
    json.push(b'\n');
    Ok(json)
}

impl PointDocument {
    /// Decodes and checks a `point.json`.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedRepository`], [`ErrorKind::Damaged`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let point: Self = parse("point.json", json)?;
        if point.disks.iter().any(|d| !is_legal_name(&d.directory) || d.size > MAX_DISK_SIZE) {
            return Err(RepoError::damaged("point.json", "lists an impossible disk"));
        }
        if point.keys.iter().any(|k| !is_legal_name(&k.name) || k.size > u64::from(MAX_JSON)) {
            return Err(RepoError::damaged("point.json", "lists an impossible key file"));
        }
        Ok(point)
    }

    /// Encodes it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode("point.json", self)
    }

    /// The disk called `name`, or else the one whose directory is called so.
    #[must_use]
    pub fn disk(&self, name: &str) -> Option<&PointDisk> {
        self.disks.iter().find(|d| d.name == name).or_else(|| self.disks.iter().find(|d| d.directory == name))
    }
}

impl DiskDocument {
    /// Decodes and checks a `disk.json`.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedRepository`], [`ErrorKind::Damaged`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let disk: Self = parse("disk.json", json)?;
        let damaged = |what| Err(RepoError::damaged("disk.json", what));
        let whole = [Region { kind: "raw".to_owned(), offset: 0, length: disk.size, grid_origin: 0 }];
        if disk.regions != whole {
            return Err(unsupported("disk.json has regions that this program cannot restore".to_owned()));
        }
        if disk.mapping.is_some() || disk.sealed_volume_key.is_some() || disk.dedup_domain.is_some() {
            return Err(unsupported("disk.json uses a mapping that this program cannot restore".to_owned()));
        }
        if disk.size == 0 || disk.size > MAX_DISK_SIZE {
            return damaged("has an impossible size");
        }
        let (chunk, piece, group) = (disk.chunk_size.bytes(), disk.piece_size, disk.group_size);
        let pieces_fit = piece.is_power_of_two() && (chunk..=1 << 30).contains(&piece);
        let groups_fit = group.is_power_of_two() && (piece..=1 << 40).contains(&group);
        if !pieces_fit || !groups_fit {
            return damaged("has an impossible piece or group size");
        }
        if disk.digest.algorithm != DiskDigest::ALGORITHM {
            return Err(unsupported(format!("the disk's digest is of kind {:?}", disk.digest.algorithm)));
        }
        Ok(disk)
    }

    /// Encodes it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode("disk.json", self)
    }
}

/// The name of a piece or group: its first byte as 16 hex digits, which sort as numbers do.
#[must_use]
pub fn offset_name(offset: u64) -> String {
    format!("{offset:016x}")
}
