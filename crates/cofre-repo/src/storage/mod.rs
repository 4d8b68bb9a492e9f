//! Where the objects of a repository lie.
//!
//! [`Storage`] is narrow on purpose: whole objects written once, ranges read, atomic creation. A
//! local directory ([`local::LocalStorage`]) is the body there is; object stores come behind the
//! same trait. Every body gives the same promises:
//!
//! * an object is either wholly there or not there at all, at any instant, also after a crash;
//! * when [`create`](Storage::create), [`replace`](Storage::replace) or [`Staged::commit`] returns,
//!   the object is durable and every later listing shows it;
//! * of two processes that [`create`](Storage::create) one object, exactly one succeeds.

use std::fmt;

use crate::{
    error::Result,
    id::{IndexId, KeyId, LockId, PackId, SnapshotId},
};

pub mod local;

/// The kinds of objects, which are also the directories they lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `config`: one object without a name of its own.
    Config,
    /// `keys/`: key files.
    Key,
    /// `snapshots/`: one for each recovery point.
    Snapshot,
    /// `index/`: where the blobs are.
    Index,
    /// `locks/`: restic's locks.
    Lock,
    /// `data/xx/`: packs of blobs, spread by the first two hex digits of their names.
    Pack,
    /// `cofre/leases/`: leases with epochs, cofre's own.
    Lease,
    /// `cofre/prune/`: packs marked for deletion, cofre's own.
    Mark,
    /// `cofre/damage/`: packs found damaged, cofre's own.
    Damage,
}

impl Kind {
    /// All kinds that have directories.
    pub const DIRECTORIES: [Self; 8] = [
        Self::Key,
        Self::Snapshot,
        Self::Index,
        Self::Lock,
        Self::Pack,
        Self::Lease,
        Self::Mark,
        Self::Damage,
    ];

    /// The directory, relative to the repository; the file itself for [`Kind::Config`].
    #[must_use]
    pub fn directory(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Lock => "locks",
            Self::Pack => "data",
            Self::Lease => "cofre/leases",
            Self::Mark => "cofre/prune",
            Self::Damage => "cofre/damage",
        }
    }
}

/// The name of an object: its kind and, but for the configuration, a name of hex digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Object {
    kind: Kind,
    name: String,
}

impl Object {
    /// The configuration.
    #[must_use]
    pub fn config() -> Self {
        Self { kind: Kind::Config, name: String::new() }
    }

    /// A lease, named by its epoch so that only one process can create it.
    #[must_use]
    pub fn lease(epoch: u64) -> Self {
        Self { kind: Kind::Lease, name: format!("{epoch:016x}") }
    }

    /// A prune mark, named by the epoch of the lease under which it was made.
    #[must_use]
    pub fn mark(epoch: u64) -> Self {
        Self { kind: Kind::Mark, name: format!("{epoch:016x}") }
    }

    /// The record that a pack is damaged.
    #[must_use]
    pub fn damage(pack: PackId) -> Self {
        Self { kind: Kind::Damage, name: pack.to_hex() }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name inside its kind's directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

macro_rules! object_from {
    ($($id:ty => $kind:ident),*) => {$(
        impl From<$id> for Object {
            fn from(id: $id) -> Self {
                Self { kind: Kind::$kind, name: id.to_hex() }
            }
        }
    )*};
}
object_from!(KeyId => Key, SnapshotId => Snapshot, IndexId => Index, LockId => Lock, PackId => Pack);

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Config => f.write_str("config"),
            Kind::Pack => write!(f, "data/{}/{}", self.name.get(..2).unwrap_or_default(), self.name),
            kind => write!(f, "{}/{}", kind.directory(), self.name),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A store of objects. See the module's promises. All calls block and may come from any thread.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Where this is, for messages: no credentials.
    fn location(&self) -> String;

    /// The whole object, or `None` where there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] when it is longer than `limit` bytes,
    /// [`crate::ErrorKind::Storage`] when it cannot be read.
    fn read(&self, object: &Object, limit: u64) -> Result<Option<Vec<u8>>>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] when the object is missing or too short.
    fn read_range(&self, object: &Object, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Length in bytes, or `None` where there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`].
    fn length(&self, object: &Object) -> Result<Option<u64>>;

    /// Names and lengths of all objects of a kind, in no order. Names that cannot be of the kind (no
    /// hex digits) are left out.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`].
    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>>;

    /// Writes an object that must not exist. `false`: it exists, and stays as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StorageFull`], [`crate::ErrorKind::Storage`].
    fn create(&self, object: &Object, bytes: &[u8]) -> Result<bool>;

    /// Writes an object whether it exists or not, at once: readers see the old bytes or the new.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn replace(&self, object: &Object, bytes: &[u8]) -> Result<()>;

    /// Deletes objects; those that do not exist are no error. Durable on return.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`].
    fn delete(&self, objects: &[Object]) -> Result<()>;

    /// Begins an object that is written in pieces and named at the end. Dropping it discards it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn stage(&self) -> Result<Box<dyn Staged>>;

    /// Makes the directories of a new repository.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn prepare(&self) -> Result<()>;

    /// Removes what writers that are no more have left half written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`].
    fn sweep(&self) -> Result<()>;
}

/// An object under construction.
pub trait Staged: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// As [`Storage::create`].
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the object durable and visible. An object of that name that exists is replaced: names
    /// are digests of the content, so it holds the same bytes or is damaged.
    ///
    /// # Errors
    /// As [`Storage::create`].
    fn commit(self: Box<Self>, object: &Object) -> Result<()>;
}
