//! Proofs that a secret opens a disk's header, without the secret leaving.

mod prover;
mod record;

pub use prover::{HeaderProver, ProverAnswer};
pub use record::{CaptureReason, ObjectReference, Origin, ProofRecord, ProofState};
pub(crate) use record::{ProofKeys, not_valid};

use crate::{rsa_key::WrapAlgorithm, secret_value::SecretValue};

/// Longest header that is looked at, in bytes.
pub const LONGEST_HEADER: usize = 4 << 20;

/// What is to be proven.
#[derive(Debug)]
pub struct ProofRequest<'a> {
    /// The recovery point, as it is called outside; at most 256 characters.
    pub point: &'a str,
    /// The disk within it; at most 256 characters.
    pub disk: &'a str,
    /// The encrypted disk's header as stored. One longer than 4 MiB is not tried.
    pub header: &'a [u8],
    /// Size of the data device that belongs to the header, in bytes.
    pub data_size: u64,
    /// How the secret is wrapped; not looked at when it is not.
    pub algorithm: WrapAlgorithm,
    /// Secret and key.
    pub material: ProofMaterial<'a>,
}

/// Where secret and key come from.
#[derive(Debug)]
pub enum ProofMaterial<'a> {
    /// What is in key vaults now.
    Stored {
        /// The secret: wrapped, or without a key the base64 of the plaintext.
        secret: &'a ObjectReference,
        /// The key that wraps it.
        key: Option<&'a ObjectReference>,
    },
    /// What was captured with a recovery point: proves the point, not what is in a vault now.
    Captured {
        /// Which secret it was.
        secret: &'a ObjectReference,
        /// Its value as captured, still wrapped.
        value: &'a SecretValue,
        /// Which key of the blob wraps it; vault and name must be the blob's own.
        key: &'a ObjectReference,
        /// The key's backup blob.
        key_blob: &'a [u8],
    },
}
