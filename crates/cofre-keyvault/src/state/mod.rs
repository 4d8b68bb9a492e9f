//! Where records are kept: a trait, so that this crate knows no database.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod memory;

use std::error::Error;

pub use memory::MemoryState;

use crate::audit::AuditEvent;

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is: lower-case letters, digits, hyphens and slashes, at most 255 bytes.
    pub path: String,
    /// Changes with every write. A path that is deleted and created again never gets a revision it had.
    pub revision: u64,
    /// What is in it: sealed by this crate.
    pub body: Vec<u8>,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A record that must not be there yet.
    Create {
        /// Where.
        path: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// A new body for a record.
    Replace {
        /// Where.
        path: String,
        /// The revision it must have.
        revision: u64,
        /// Its new body.
        body: Vec<u8>,
    },
    /// The end of a record.
    Delete {
        /// Where.
        path: String,
        /// The revision it must have.
        revision: u64,
    },
}

impl Change {
    /// The path it is about.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. } | Self::Replace { path, .. } | Self::Delete { path, .. } => path,
        }
    }
}

/// Why a storage did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A record is there, gone, or has another revision than a change expects. Nothing was done.
    #[error("somebody else changed the record {path}")]
    Conflict {
        /// The record.
        path: String,
    },
    /// The storage has another version than what was decided rests on. Nothing was done.
    #[error("somebody else changed the storage")]
    Stale,
    /// The storage failed. After a failed commit it may have been done or not.
    #[error("the storage failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// A storage of records, with the audit beside it.
///
/// Every body must pass `contract::state_contract` (feature `contract`).
pub trait State: Send + Sync {
    /// The record at a path.
    ///
    /// # Errors
    /// [`StateError::Failed`].
    fn read(&self, path: &str) -> Result<Option<Record>, StateError>;

    /// At most `limit` records whose path begins with `prefix` and is greater than `after`, in
    /// ascending order of the paths' bytes.
    ///
    /// # Errors
    /// [`StateError::Failed`].
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError>;

    /// Makes all changes durable and appends all events in their order, or does neither. A path
    /// occurs at most once among the changes. Either may be empty.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when a change does not find what it expects, [`StateError::Failed`].
    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError>;

    /// A number that every commit with changes changes, whichever process makes it; appended events do not.
    ///
    /// # Errors
    /// [`StateError::Failed`].
    fn version(&self) -> Result<u64, StateError>;

    /// Makes events durable, in their order, with no change to records. With `as_of` nothing is done unless the storage
    /// has that version in the same instant.
    ///
    /// # Errors
    /// [`StateError::Stale`], [`StateError::Failed`].
    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError>;

    /// As [`append`](Self::append) of one event as of a version, for a caller that does not wait: `then` is told once,
    /// on whatever thread. A storage that has no way to do it does it as it does that one.
    fn append_then(
        &self,
        event: AuditEvent,
        as_of: u64,
        then: Box<dyn FnOnce(Result<(), StateError>) + Send>,
    ) {
        then(self.append(&[event], Some(as_of)));
    }
}
