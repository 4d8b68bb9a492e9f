//! The one error type of this crate.
//!
//! Rules: the kind is small and stable, callers match on it; the message says what is wrong, where
//! (byte offset, keyslot number), and what to do next where something can be done. A message never
//! holds a secret, a derived key or bytes of a volume key. The source keeps the chain and is never
//! repeated in the message.

use std::{error::Error, io};

/// What went wrong, as far as a caller has to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no header of a format this crate knows.
    NotEncrypted,
    /// A header is there but contradicts its format or its checksum.
    Damaged,
    /// The source ends before the bytes that the header speaks of.
    Truncated,
    /// The header is sound but uses a feature this crate refuses; the message names it. The disk
    /// can still be kept as it is, byte for byte.
    Unsupported,
    /// Trying the secret would cost more than the [`Limits`](crate::Limits) allow; the message names
    /// the limit to raise.
    TooCostly,
    /// The secret opens none of the keyslots.
    WrongKey,
    /// There is no keyslot that could be tried: none is enabled, or the one asked for does not exist.
    NoKeyslot,
    /// The caller asked for something that cannot be, such as half a sector.
    Invalid,
    /// The source could not be read, or there were no random bytes.
    Io,
}

/// An error of an encrypted volume.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FdeError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl FdeError {
    /// An error without a cause of its own.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An error of the source, met while reading `length` bytes of `what` at `offset`.
    pub(crate) fn io(what: &str, length: usize, offset: u64, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("cannot read {what}: {length} bytes at byte {offset}"),
            source: Some(Box::new(source)),
        }
    }

    /// An error of the generator of random bytes.
    pub(crate) fn no_random_bytes(source: io::Error) -> Self {
        Self::new(ErrorKind::Io, "there are no random bytes for a key or a salt").because(source)
    }

    /// Keeps `source` as the cause.
    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Stands in for `other`, whose message this one repeats: takes over its cause.
    pub(crate) fn in_place_of(mut self, other: Self) -> Self {
        self.source = other.source;
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
