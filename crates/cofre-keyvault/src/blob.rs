//! Backup blobs: a key or a secret with all its versions, sealed under the blob key of a subscription
//! and geography. Only the plain header is looked at before the whole is authenticated.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    encoding::{Fields, to_json},
    envelope::{self, KEY_BLOB, NamedKey, Purpose, SECRET_BLOB},
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{Kind, Version},
    place::Place,
    ring::Ring,
};

/// Most versions in a blob.
pub const MOST_VERSIONS: usize = 500;
/// Longest blob, in bytes.
pub const LONGEST_BLOB: usize = 64 << 20;
const VERSION: u32 = 1;

/// What is sealed in a blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content<T> {
    version: u32,
    /// The vault it was made in.
    pub(crate) vault: String,
    /// The name as created.
    pub(crate) name: String,
    /// All versions, oldest first.
    pub(crate) versions: Vec<T>,
}

/// What a backup blob's plain header says. Nothing of it is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobHeader {
    /// Whether it is of a key; else of a secret.
    pub is_key: bool,
    /// The id of the blob key it says it was sealed under.
    pub key_id: String,
}

/// Reads the plain header of a backup blob; `None` when it is none of this version.
#[must_use]
pub fn read_blob_header(blob: &[u8]) -> Option<BlobHeader> {
    if blob.len() > LONGEST_BLOB {
        return None;
    }
    let of_kind =
        |purpose, is_key| envelope::key_id(purpose, blob).map(|key_id| BlobHeader { is_key, key_id });
    of_kind(KEY_BLOB, true).or_else(|| of_kind(SECRET_BLOB, false))
}

fn purpose(kind: Kind) -> Purpose {
    match kind {
        Kind::Key => KEY_BLOB,
        Kind::Secret => SECRET_BLOB,
    }
}

fn context(place: &Place) -> Fields {
    Fields::default().field("blob").field(&place.subscription).field(&place.geography)
}

fn derived(key: &NamedKey) -> Result<NamedKey> {
    Ok(NamedKey { id: key.id.clone(), key: key.key.derive("cofre-keyvault blob")? })
}

/// Seals all versions of an object.
pub(crate) fn seal<T: Version>(
    key: &NamedKey,
    place: &Place,
    vault: &str,
    name: &str,
    versions: Vec<T>,
) -> Result<Vec<u8>> {
    let content = Content { version: VERSION, vault: vault.to_owned(), name: name.to_owned(), versions };
    let blob = envelope::seal(purpose(T::KIND), &derived(key)?, &context(place), &to_json(&content)?)?;
    if blob.len() > LONGEST_BLOB {
        return Err(KeyVaultError::invalid(format!(
            "a backup of {name} would be longer than {LONGEST_BLOB} bytes"
        )));
    }
    Ok(blob)
}

/// One answer, whatever is wrong: what differs would tell a forger how far he came.
pub(crate) fn unusable(kind: Kind) -> KeyVaultError {
    KeyVaultError::new(
        ErrorKind::BlobNotUsable,
        format!(
            "the backup blob cannot be opened here as one of a {}: restore it unchanged into a key vault of \
             the subscription and geography it was made in; in a new installation, import the blob keys of the \
             recovery kit first",
            kind.noun()
        ),
    )
}

/// Opens a blob that was made in this place.
pub(crate) fn open<T: Version + DeserializeOwned>(
    ring: &Ring,
    place: &Place,
    blob: &[u8],
) -> Result<Content<T>> {
    let unusable = || unusable(T::KIND);
    if blob.len() > LONGEST_BLOB {
        return Err(unusable());
    }
    let id = envelope::key_id(purpose(T::KIND), blob).ok_or_else(unusable)?;
    let key = ring.blob_key(&id, place)?.ok_or_else(unusable)?;
    let json =
        envelope::open(purpose(T::KIND), &derived(&key)?, &context(place), blob)?.ok_or_else(unusable)?;
    let content: Content<T> = serde_json::from_slice(&json).map_err(|_| unusable())?;
    let ids: BTreeSet<_> = content.versions.iter().map(|version| version.about().version.as_str()).collect();
    let ordered = content.versions.is_sorted_by(|a, b| a.about().sequence < b.about().sequence);
    let sound = content.version == VERSION
        && names::is_object_name(&content.name)
        && (1..=MOST_VERSIONS).contains(&content.versions.len())
        && ids.len() == content.versions.len()
        && ids.iter().all(|id| names::is_version(id) && !id.bytes().any(|byte| byte.is_ascii_uppercase()))
        && ordered;
    if sound { Ok(content) } else { Err(unusable()) }
}
