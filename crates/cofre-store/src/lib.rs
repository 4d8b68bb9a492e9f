//! The database of cofre's control plane: documents, jobs, recovery points and an audit log.
//!
//! A [`Store`] is one SQLite file, or a database on a PostgreSQL server. It knows nothing of backups: a document is a path, a kind and bytes; of a job and
//! a point it knows the columns that lists filter on. Everything is changed through one call, [`Store::commit`], which
//! applies a [`Batch`] wholly or not at all; when it returns, the batch is on the disk. The exception are events that go
//! with no other change: [`Store::append`] puts those of many callers into one transaction. All calls block, and may
//! be made from any number of threads and processes at once.
//!
//! ```
//! use cofre_store::{Batch, Change, ErrorKind, Store};
//!
//! let store = Store::in_memory()?;
//! let mut batch = Batch::new(jiff::Timestamp::UNIX_EPOCH);
//! batch.changes.push(Change::Create {
//!     path: "/vaults/blue".to_owned(),
//!     kind: "vault".to_owned(),
//!     body: b"{}".to_vec(),
//! });
//! store.commit(&batch)?;
//! let again = store.commit(&batch).unwrap_err();
//! assert_eq!(again.kind(), ErrorKind::Conflict);
//! assert_eq!(again.subject(), Some("/vaults/blue"));
//! # Ok::<(), cofre_store::StoreError>(())
//! ```
//!
//! What the tables mean and what is promised is in `docs/database.md`.

mod backend;
mod batch;
mod bundle;
mod chain;
mod column;
mod connection;
mod documents;
mod error;
mod events;
mod executor;
mod group;
mod jobs;
mod points;
mod postgres;
mod resident;
mod schema;
mod sqlite;
mod statement;
mod store;
mod subtree;

pub use batch::{Batch, Committed};
pub use chain::{ChainHead, Digest};
pub use documents::{Change, Document};
pub use error::{ErrorKind, Result, StoreError};
pub use events::{Event, EventRow};
pub use jobs::{JobChange, JobFilter, JobRow};
pub use points::{PointChange, PointFilter, PointRow};
pub use store::{Position, Store};

/// The longest path, item, vault or writer, in bytes. A key and a word fit together into an entry of PostgreSQL's indexes,
/// which has 2704 bytes.
pub const MAX_KEY: usize = 2048;

/// The longest kind, id of a job or point, or name of a point, in bytes.
pub const MAX_WORD: usize = 512;

/// The largest body of a document, job, point or event, in bytes.
pub const MAX_BODY: usize = 16 << 20;
