//! The error type of this crate.
//!
//! Rules: the kind is small and stable and has a machine code that also stands in the audit; the
//! message says what happened to which object and, where it helps, what to do next. A message never
//! holds a secret, a key or bytes of a blob, and never says more about why something stayed closed
//! than whoever tried may know. The source keeps the chain and is not repeated in the message.

use std::error::Error as StdError;

use crate::state::StateError;

/// The result of everything fallible here.
pub type Result<T, E = KeyVaultError> = std::result::Result<T, E>;

/// What went wrong, as far as callers have to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no key vault of this name here.
    VaultNotFound,
    /// The name of the key vault is taken.
    VaultExists,
    /// The name belongs to a deleted vault, key or secret that can still be recovered.
    SoftDeleted,
    /// What is deleted may not be purged before its scheduled date.
    PurgeProtected,
    /// There is no such key or secret, or not in this version.
    ObjectNotFound,
    /// The access policies do not allow it.
    Forbidden,
    /// The key vault is not enabled for disk encryption.
    NotEnabledForDiskEncryption,
    /// The version of the key or secret is disabled.
    Disabled,
    /// The key may not be used yet.
    NotYetValid,
    /// The key may not be used any more.
    Expired,
    /// The key's list of operations does not have this one.
    OperationNotPermitted,
    /// The algorithm is unknown, or refused on purpose.
    UnsupportedAlgorithm,
    /// The wrapped value does not open; why is not said.
    UnwrapFailed,
    /// A key or secret of the name that a blob restores is there already.
    NameConflict,
    /// The backup blob cannot be opened here.
    BlobNotUsable,
    /// There are more versions than a backup blob holds.
    TooManyVersions,
    /// The proof record was not made by this service, or was changed since.
    ProofNotValid,
    /// A request contradicts itself or a rule.
    Invalid,
    /// Others kept changing the same object; nothing was done.
    Conflict,
    /// The root key is missing, exposed, or not the one that sealed the ring.
    RootKey,
    /// A stored record is malformed or fails its authentication.
    Damaged,
    /// The audit could not be written, so the operation was not done or not answered.
    Audit,
    /// The storage could not be read or written.
    State,
    /// The cryptographic library failed: no random bytes, no memory.
    Cryptography,
}

impl ErrorKind {
    /// The machine code: stable, also the reason in audit events.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::VaultNotFound => "KeyVaultNotFound",
            Self::VaultExists => "KeyVaultExists",
            Self::SoftDeleted => "KeyVaultNameSoftDeleted",
            Self::PurgeProtected => "KeyVaultPurgeProtected",
            Self::ObjectNotFound => "KeyOrSecretNotFound",
            Self::Forbidden => "KeyVaultForbidden",
            Self::NotEnabledForDiskEncryption => "KeyVaultNotEnabledForDiskEncryption",
            Self::Disabled => "KeyOrSecretDisabled",
            Self::NotYetValid => "KeyNotYetValid",
            Self::Expired => "KeyExpired",
            Self::OperationNotPermitted => "KeyOperationNotPermitted",
            Self::UnsupportedAlgorithm => "KeyAlgorithmNotSupported",
            Self::UnwrapFailed => "KeyUnwrapFailed",
            Self::NameConflict => "KeyVaultNameConflict",
            Self::BlobNotUsable => "KeyVaultBlobNotUsable",
            Self::TooManyVersions => "KeyVaultTooManyVersions",
            Self::ProofNotValid => "KeyVaultProofNotValid",
            Self::Invalid => "InvalidRequest",
            Self::Conflict => "KeyVaultConflict",
            Self::RootKey => "KeyVaultRootKey",
            Self::Damaged => "KeyVaultDamaged",
            Self::Audit => "KeyVaultAuditFailed",
            Self::State => "KeyVaultStateFailed",
            Self::Cryptography => "KeyVaultCryptographyFailed",
        }
    }
}

/// An error of a key vault.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct KeyVaultError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl KeyVaultError {
    /// An error without a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A stored record that is not what this service wrote.
    pub(crate) fn damaged(path: &str) -> Self {
        Self::new(
            ErrorKind::Damaged,
            format!(
                "the record {path} was not written by this service, or was changed or moved since: \
                 restore it from a backup of the storage"
            ),
        )
    }

    /// The cryptographic library refused `what`.
    pub(crate) fn cryptography(what: &str) -> Self {
        Self::new(ErrorKind::Cryptography, format!("the cryptographic library could not {what}"))
    }

    /// The storage refused `what`.
    pub(crate) fn state(what: &str, source: StateError) -> Self {
        Self::new(ErrorKind::State, format!("the storage could not {what}")).with_source(source)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
