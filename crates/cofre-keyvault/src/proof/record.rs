//! What a proof leaves: a record that nobody else can make, kept with the recovery point.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    crypto::{SymmetricKey, equal},
    encoding::{Fields, hex, unhex},
    envelope::NamedKey,
    error::{ErrorKind, KeyVaultError, Result},
    place::Place,
    rsa_key::WrapAlgorithm,
};

const VERSION: u32 = 2;
/// Records that do not say when the secret was tried: it was then.
const WITHOUT_TRIED: u32 = 1;

/// One version of a key or secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectReference {
    /// The key vault's name.
    pub vault: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

/// Where secret and key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// From key vaults, at the time of the proof.
    Stored,
    /// From what the recovery point holds: proves the point, not what the key vault holds.
    Captured,
}

/// Why there is no more than a captured secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaptureReason {
    /// The secret does not open the header: it does not unwrap, or what it unwraps to does not open.
    DoesNotOpen,
    /// Trying would cost more than is allowed.
    TooCostly,
    /// The header is of a kind that cannot be tried.
    Unsupported,
    /// Something went wrong on the way.
    Failed,
}

/// What is known about a disk's secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProofState {
    /// The secret opens the header.
    Proven,
    /// The secret is there; that it opens the header is not proven.
    Captured {
        /// Why.
        reason: CaptureReason,
        /// In words.
        detail: String,
    },
}

/// A sealed answer. It says that the secret opens the header, not that the data decrypt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProofRecord {
    /// Version of the record's format: 2, and 1 of older ones.
    pub version: u32,
    /// The answer.
    pub state: ProofState,
    /// Where secret and key came from.
    pub origin: Origin,
    /// The recovery point, as stated by the caller.
    pub point: String,
    /// The disk, as stated by the caller.
    pub disk: String,
    /// SHA-256 of the header, in hexadecimal digits.
    pub header_sha256: String,
    /// The secret; when captured, as stated by the caller.
    pub secret: ObjectReference,
    /// The key that wraps the secret, if any.
    pub key: Option<ObjectReference>,
    /// The algorithm the secret is wrapped with, if it is.
    pub algorithm: Option<WrapAlgorithm>,
    /// SHA-256 of the key's captured backup blob, in hexadecimal digits.
    pub key_blob_sha256: Option<String>,
    /// The keyslot that opened.
    pub keyslot: Option<u32>,
    /// HMAC of the volume key's hash, in hexadecimal digits: equal for equal volume keys under one MAC key.
    pub fingerprint: Option<String>,
    /// When the question was answered.
    pub time: Timestamp,
    /// When the secret was tried on the header: at `time`, or up to seven days before while header, secret and key were the
    /// same. Absent in records of version 1, where it was at `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Timestamp>,
    /// The blob key that the MAC key is derived from.
    pub mac_key_id: String,
    /// HMAC-SHA-256 over all of the above, in hexadecimal digits.
    pub mac: String,
}

/// The keys of records, derived from a blob key: they outlive every key vault.
pub(crate) struct ProofKeys {
    id: String,
    mac: SymmetricKey,
    fingerprint: SymmetricKey,
}

impl ProofKeys {
    pub(crate) fn of(blob_key: &NamedKey) -> Result<Self> {
        Ok(Self {
            id: blob_key.id.clone(),
            mac: blob_key.key.derive("cofre-keyvault proof")?,
            fingerprint: blob_key.key.derive("cofre-keyvault fingerprint")?,
        })
    }

    /// What stands for a volume key in a record.
    pub(crate) fn fingerprint(&self, volume_key_sha256: &[u8; 32]) -> String {
        hex(&self.fingerprint.authenticate(volume_key_sha256))
    }
}

fn reference(fields: Fields, reference: &ObjectReference) -> Fields {
    fields.field(&reference.vault).field(&reference.name).field(&reference.version)
}

fn state_code(state: &ProofState) -> &'static str {
    match state {
        ProofState::Proven => "proven",
        ProofState::Captured { reason: CaptureReason::DoesNotOpen, .. } => "captured/doesNotOpen",
        ProofState::Captured { reason: CaptureReason::TooCostly, .. } => "captured/tooCostly",
        ProofState::Captured { reason: CaptureReason::Unsupported, .. } => "captured/unsupported",
        ProofState::Captured { reason: CaptureReason::Failed, .. } => "captured/failed",
    }
}

impl ProofRecord {
    /// All fields but the MAC, in one order and unambiguous, for one place.
    fn canonical(&self, place: &Place) -> Fields {
        let detail = match &self.state {
            ProofState::Proven => "",
            ProofState::Captured { detail, .. } => detail,
        };
        let origin = match self.origin {
            Origin::Stored => "stored",
            Origin::Captured => "captured",
        };
        let fields = Fields::default()
            .field("cofre-keyvault proof")
            .field(&place.subscription)
            .field(&place.geography)
            .field(self.version.to_be_bytes())
            .field(state_code(&self.state))
            .field(detail)
            .field(origin)
            .field(&self.point)
            .field(&self.disk)
            .field(&self.header_sha256);
        let fields = reference(fields, &self.secret);
        let key = self.key.as_ref().map(|key| reference(Fields::default(), key));
        let fields = fields
            .optional(key.as_ref().map(Fields::bytes))
            .optional(self.algorithm.map(WrapAlgorithm::as_str))
            .optional(self.key_blob_sha256.as_ref())
            .optional(self.keyslot.map(u32::to_be_bytes))
            .optional(self.fingerprint.as_ref())
            .field(self.time.as_nanosecond().to_be_bytes());
        // The version, which is in there too, says whether this field is.
        let fields = match self.tried {
            Some(tried) => fields.field(tried.as_nanosecond().to_be_bytes()),
            None => fields,
        };
        fields.field(&self.mac_key_id)
    }

    /// Fills in version, key id and MAC.
    pub(crate) fn seal(mut self, keys: &ProofKeys, place: &Place) -> Self {
        self.version = VERSION;
        self.mac_key_id.clone_from(&keys.id);
        self.mac = hex(&keys.mac.authenticate(self.canonical(place).bytes()));
        self
    }

    pub(crate) fn verify(&self, keys: &ProofKeys, place: &Place) -> Result<()> {
        let expected = keys.mac.authenticate(self.canonical(place).bytes());
        let stated = unhex::<32>(self.mac.as_bytes());
        let matches = stated.is_some_and(|stated| equal(&expected, &*stated));
        let known = match self.version {
            VERSION => self.tried.is_some_and(|tried| tried <= self.time),
            WITHOUT_TRIED => self.tried.is_none(),
            _ => false,
        };
        if matches && known && self.mac_key_id == keys.id { Ok(()) } else { Err(not_valid()) }
    }
}

pub(crate) fn not_valid() -> KeyVaultError {
    KeyVaultError::new(
        ErrorKind::ProofNotValid,
        "the proof record was not made in this place, or was changed since: treat the disk as captured, and \
         prove it again",
    )
}
