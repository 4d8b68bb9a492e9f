//! The repository's configuration: the sealed file `config`.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::random,
    error::{ErrorKind, RepoError, Result},
    id::RepositoryId,
    polynomial,
};

/// The format version this crate reads and writes.
pub const VERSION: u32 = 2;

/// A size of chunks in bytes: a power of two from 16 KiB to 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// 64 KiB, the granularity of QEMU's dirty bitmaps.
    pub const DEFAULT: Self = Self(64 * 1024);
    /// 16 KiB.
    pub const MIN: Self = Self(16 * 1024);
    /// 4 MiB.
    pub const MAX: Self = Self(4 * 1024 * 1024);

    /// A size of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is no power of two or out of bounds.
    pub fn new(bytes: u64) -> Result<Self> {
        match u32::try_from(bytes) {
            Ok(size) if size.is_power_of_two() && (Self::MIN.0..=Self::MAX.0).contains(&size) => {
                Ok(Self(size))
            }
            _ => Err(RepoError::new(
                ErrorKind::Invalid,
                format!("a chunk size of {bytes} bytes is not a power of two from 16 KiB to 4 MiB"),
            )),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// The size in bytes, as a divisor.
    #[must_use]
    pub fn non_zero(self) -> NonZeroU64 {
        NonZeroU64::new(self.bytes()).unwrap_or(NonZeroU64::MIN)
    }

    /// The size in bytes, for lengths of buffers.
    #[must_use]
    pub fn length(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u64> for ChunkSize {
    type Error = RepoError;
    fn try_from(bytes: u64) -> Result<Self> {
        Self::new(bytes)
    }
}

impl From<ChunkSize> for u64 {
    fn from(size: ChunkSize) -> Self {
        size.bytes()
    }
}

/// What `config` holds. restic reads the first three fields; `chunker` and `chunk_size` are
/// rustic's, so that a stray `rustic backup` cuts alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Format version.
    pub version: u32,
    /// The repository's own id.
    pub id: RepositoryId,
    /// Hex digits of the polynomial (see [`polynomial`]).
    pub chunker_polynomial: String,
    /// `FixedSize` in repositories of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunker: Option<String>,
    /// Size of chunks. Absent in repositories that restic made: then 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
}

impl Config {
    /// The configuration of a new repository.
    ///
    /// # Errors
    /// When the random generator fails.
    pub fn new(chunk_size: ChunkSize) -> Result<Self> {
        let mut id = [0; 32];
        random(&mut id)?;
        Ok(Self {
            version: VERSION,
            id: RepositoryId(id),
            chunker_polynomial: format!("{:x}", polynomial::random_irreducible()?),
            chunker: Some("FixedSize".to_owned()),
            chunk_size: Some(chunk_size.bytes()),
        })
    }

    /// Refuses versions this crate does not know.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedRepository`].
    pub fn check_version(&self) -> Result<()> {
        if self.version == VERSION {
            return Ok(());
        }
        let advice = if self.version < VERSION {
            "Raise it with `restic migrate upgrade_repo_v2`."
        } else {
            "Use a newer version of cofre."
        };
        Err(RepoError::new(
            ErrorKind::UnsupportedRepository,
            format!("the repository has format version {}, this program knows {VERSION}", self.version),
        )
        .recommend(advice))
    }

    /// The size of chunks of new points.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedRepository`] when the configuration asks for an impossible one.
    pub fn chunk_size(&self) -> Result<ChunkSize> {
        let Some(bytes) = self.chunk_size.filter(|_| self.chunker.as_deref() == Some("FixedSize")) else {
            return Ok(ChunkSize::DEFAULT);
        };
        ChunkSize::new(bytes).map_err(|e| {
            RepoError::new(ErrorKind::UnsupportedRepository, "the repository's chunk size is not supported")
                .with_source(e)
        })
    }
}
