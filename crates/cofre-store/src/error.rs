//! The error type of this crate.
//!
//! The message says what happened to which object; what the database said is the source. No body is ever part of a
//! message.

use std::{error::Error as StdError, fmt, sync::Arc};

/// The result of everything fallible here.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What went wrong, as far as callers have to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something is not as the batch expected it: nothing was changed. [`StoreError::subject`] names it.
    Conflict,
    /// The database has another version than the caller decided on: nothing was written.
    Stale,
    /// Another process holds the database's lock for longer than we wait.
    Busy,
    /// The disk is full. What was committed before is there; the store goes on working when there is room.
    Full,
    /// The file or its directory, or the server's database, may not be written.
    ReadOnly,
    /// The file is not a database, or one of another program; the server's is not fit for ours.
    NotADatabase,
    /// The database was written by a newer version of cofre.
    NewerSchema,
    /// The database is damaged.
    Corrupt,
    /// The audit log was changed after it was written. [`StoreError::subject`] names the first bad event.
    ChainBroken,
    /// The file could not be opened, read or written for another reason; the server is not there or does not let us in.
    Unavailable,
    /// A key or a body is one that no database of ours accepts.
    Invalid,
}

impl ErrorKind {
    /// The machine code: stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Conflict => "StoreConflict",
            Self::Stale => "StoreStale",
            Self::Busy => "StoreBusy",
            Self::Full => "StoreFull",
            Self::ReadOnly => "StoreReadOnly",
            Self::NotADatabase => "StoreNotADatabase",
            Self::NewerSchema => "StoreNewerSchema",
            Self::Corrupt => "StoreCorrupt",
            Self::ChainBroken => "AuditChainBroken",
            Self::Unavailable => "StoreUnavailable",
            Self::Invalid => "StoreInvalidRequest",
        }
    }

    fn default_recommendation(self) -> &'static str {
        match self {
            Self::Conflict => "Read it again and decide anew; somebody else changed it.",
            Self::Stale => "Read again what you decided on, and decide anew; it may have changed.",
            Self::Busy => "Try again; if it stays so, look for a process that keeps the database locked.",
            Self::Full => "Free some space on the database's disk and try again; nothing was changed.",
            Self::ReadOnly => {
                "Let the service's user write the database (a file and the directory it is in; the tables of schema \
                 cofre on a server), and look whether the file system or the server is read-only."
            }
            Self::NotADatabase => {
                "Check the path or the URL. A new database is made where there is no file, and in a database of a \
                 server without a schema cofre."
            }
            Self::NewerSchema => "Use the version of cofre that wrote it, or a later one.",
            Self::Corrupt => {
                "Stop the service, keep a copy of the database with its -wal file, and restore it from a copy or \
                 rebuild it from the repositories."
            }
            Self::ChainBroken => "Keep a copy of the database and compare it with exported audit logs.",
            Self::Unavailable => {
                "Of a file, check that the directory exists, its permissions, the disk below it, and limits and quotas \
                 on its size; of a server, that it runs, its address, user, password and certificate."
            }
            Self::Invalid => "Shorten it, or leave out what is not allowed.",
        }
    }
}

/// An error of the store. A clone is for each of those whom one failure concerns.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: ErrorKind,
    message: String,
    subject: Option<String>,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), subject: None, source: None }
    }

    /// Something that is not as it was expected: `what` says of `subject` how it is instead.
    pub(crate) fn conflict(subject: &str, what: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Conflict, what.as_ref()).about(subject)
    }

    /// A stored value that cannot be.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// Says before the message what it is about.
    #[must_use]
    pub(crate) fn prefix(mut self, prefix: fmt::Arguments<'_>) -> Self {
        self.message = format!("{prefix}{}", self.message);
        self
    }

    #[must_use]
    pub(crate) fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a conflict or a broken chain is about: a document's path, a job's id, `ITEM#ID` of a point,
    /// `WRITER#SEQUENCE` of an event; where another job runs on the same item, the item.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// What the user should do next.
    #[must_use]
    pub fn recommendation(&self) -> &str {
        self.kind.default_recommendation()
    }
}
