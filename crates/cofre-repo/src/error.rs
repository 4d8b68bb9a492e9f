//! The error type of this crate.
//!
//! Rules: [`ErrorKind`] is small and stable and has a machine code; the message says what happened
//! and to what object, never what the source says (the chain is printed once, at the top); every
//! kind has a default recommendation, and the place that knows better replaces it. No secret, key
//! or password is ever part of a message.

use std::error::Error as StdError;

use cofre_disk::DiskError;

/// The result of everything fallible here.
pub type Result<T, E = RepoError> = std::result::Result<T, E>;

/// What went wrong, as far as callers have to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no repository at the place given.
    NoRepository,
    /// `init` found a repository, or the remains of one, at the place given.
    RepositoryExists,
    /// No key file opens with the secret given.
    WrongSecret,
    /// The repository's format version, or something it requires, is unknown to this version.
    UnsupportedRepository,
    /// Somebody holds a lock or a lease that excludes this operation.
    Locked,
    /// This process lost its lock or lease while it worked; it has published nothing.
    LeaseLost,
    /// No recovery point answers to the name given.
    PointNotFound,
    /// More than one recovery point answers to the name given.
    PointAmbiguous,
    /// The recovery point has no disk of this name.
    DiskNotFound,
    /// A file to be written exists already.
    TargetExists,
    /// A stored object is missing, truncated or fails its authentication.
    Damaged,
    /// A source disk could not be read.
    SourceUnreadable,
    /// A source disk changed while it was read.
    SourceChanged,
    /// A source disk is malformed or uses a feature that is refused.
    SourceUnsupported,
    /// A restore target could not be written.
    TargetUnwritable,
    /// The storage or the target is full.
    StorageFull,
    /// The storage could not be read or written for another reason.
    Storage,
    /// A request contradicts itself or a rule.
    Invalid,
    /// The caller cancelled the operation.
    Interrupted,
}

impl ErrorKind {
    /// The machine code: stable, part of the command line's contract.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoRepository => "RepositoryNotFound",
            Self::RepositoryExists => "RepositoryExists",
            Self::WrongSecret => "RepositorySecretWrong",
            Self::UnsupportedRepository => "RepositoryUnsupported",
            Self::Locked => "RepositoryLocked",
            Self::LeaseLost => "LeaseLost",
            Self::PointNotFound => "RecoveryPointNotFound",
            Self::PointAmbiguous => "RecoveryPointAmbiguous",
            Self::DiskNotFound => "DiskNotFound",
            Self::TargetExists => "TargetExists",
            Self::Damaged => "RepositoryDamaged",
            Self::SourceUnreadable => "SourceUnreadable",
            Self::SourceChanged => "SourceChanged",
            Self::SourceUnsupported => "SourceUnsupported",
            Self::TargetUnwritable => "TargetUnwritable",
            Self::StorageFull => "StorageFull",
            Self::Storage => "StorageFailed",
            Self::Invalid => "InvalidRequest",
            Self::Interrupted => "Interrupted",
        }
    }

    fn default_recommendation(self) -> &'static str {
        match self {
            Self::NoRepository => "Check the path, or create a repository with `cofre repo init`.",
            Self::RepositoryExists => "Use another path, or remove what lies there if it is not needed.",
            Self::WrongSecret => "Give the file with this repository's own secret.",
            Self::UnsupportedRepository => "Use a version of cofre that knows this format.",
            Self::Locked => {
                "Wait for the other operation to end. Locks of dead processes are removed by themselves: \
                 at once on the same host, after 30 minutes otherwise."
            }
            Self::LeaseLost => "Nothing was published. Run the command again.",
            Self::PointNotFound => "List the recovery points with `cofre repo points`.",
            Self::PointAmbiguous => "Name the point by its id, or give `--name`.",
            Self::DiskNotFound => "List the point's disks with `cofre repo points --json`.",
            Self::TargetExists => "Choose another path, or say `--force` to replace it.",
            Self::Damaged => {
                "Run `cofre repo check --read-data` to see what is hit; a new backup from the source stores \
                 damaged chunks again."
            }
            Self::SourceUnreadable => "Check the disk below the image, then run the backup again.",
            Self::SourceChanged => "Back up a snapshot or a stopped disk, then run the backup again.",
            Self::SourceUnsupported => "Convert the image, for example with `qemu-img convert`.",
            Self::TargetUnwritable => "Check the target's permissions and the disk below it.",
            Self::StorageFull => {
                "Free some space and run the command again; what was stored so far is reused."
            }
            Self::Storage => "Check the storage's permissions and the disk below it.",
            Self::Invalid => "See `--help` for what is accepted.",
            Self::Interrupted => "Run the same command again: what was stored so far is reused.",
        }
    }
}

/// An error of a repository.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RepoError {
    kind: ErrorKind,
    message: String,
    recommendation: Option<String>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl RepoError {
    /// An error with its kind's own recommendation and no source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), recommendation: None, source: None }
    }

    /// Damage in the stored object called `object`.
    pub fn damaged(object: &str, what: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Damaged, format!("{object}: {}", what.as_ref()))
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Replaces the kind's recommendation.
    #[must_use]
    pub fn recommend(mut self, recommendation: impl Into<String>) -> Self {
        self.recommendation = Some(recommendation.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user should do next.
    #[must_use]
    pub fn recommendation(&self) -> &str {
        self.recommendation.as_deref().unwrap_or_else(|| self.kind.default_recommendation())
    }

    /// An error of a source disk; keeps the disk's message and source as the chain.
    pub fn source_disk(error: DiskError) -> Self {
        use cofre_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Changed => ErrorKind::SourceChanged,
            Disk::Malformed | Disk::Unsupported => ErrorKind::SourceUnsupported,
            Disk::Invalid => ErrorKind::Invalid,
            _ => ErrorKind::SourceUnreadable,
        };
        Self::new(kind, "the source disk could not be backed up").with_source(error)
    }

    /// An error of a restore target.
    pub fn target_disk(error: DiskError) -> Self {
        use cofre_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Exists => ErrorKind::TargetExists,
            Disk::NoSpace => ErrorKind::StorageFull,
            Disk::Invalid | Disk::Unsupported => ErrorKind::Invalid,
            _ => ErrorKind::TargetUnwritable,
        };
        Self::new(kind, "the disk could not be restored").with_source(error)
    }
}
