//! The one error type of this crate.
//!
//! Rules: the kind is small and stable, callers match on it; the message says what happened and
//! where (path, offset) and never repeats the source; the source keeps the chain, which is printed
//! once, at the top.

use std::{io, path::Path};

/// What went wrong, as far as a caller has to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The image or the target's directory does not exist.
    NotFound,
    /// The target exists already.
    Exists,
    /// The operating system refused access.
    Denied,
    /// Bytes of a source could not be read (bad sector, I/O error).
    Unreadable,
    /// A target could not be written.
    Unwritable,
    /// The target's file system is full.
    NoSpace,
    /// A source changed its size or was replaced while it was read.
    Changed,
    /// Another process (a running QEMU) holds the image for writing.
    InUse,
    /// The image contradicts its format: truncated, out of range, inconsistent.
    Malformed,
    /// The image is sound but uses a feature this crate refuses; the message names it.
    Unsupported,
    /// A request outside the disk or against a rule (a dirty range past the end, say).
    Invalid,
}

/// An error of a disk image.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DiskError {
    kind: ErrorKind,
    message: String,
    offset: Option<u64>,
    #[source]
    source: Option<io::Error>,
}

impl DiskError {
    /// An error without a cause of its own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), offset: None, source: None }
    }

    /// An error that came from the operating system. `NotFound`, `AlreadyExists`, `PermissionDenied`
    /// and "no space" choose their own kind; everything else becomes `otherwise`.
    pub fn io(otherwise: ErrorKind, doing: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => otherwise,
        };
        let message = format!("cannot {doing} {}", path.display());
        Self { kind, message, offset: None, source: Some(source) }
    }

    /// The same error, knowing the first byte of the disk (as the guest counts) it is about.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The first byte of the disk (as the guest counts) that could not be read, where that is known.
    /// The message of an image format may name another offset, the one inside the image file.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
