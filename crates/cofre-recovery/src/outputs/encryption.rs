//! `encryption.json`: the secrets of the disks, wrapped as they are, and backup blobs of the keys that
//! wrap them.
//!
//! Published are `OsDiskKeyAndSecretDetails` and its first five members; the others are cofre's, and a
//! file without them is read. A key's blob is in the file once: it can be restored once.

mod blob;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cofre_arm::{ApiError, ObjectKind, ObjectUrl, Problem, ResourceId, Result};
use cofre_compute::{EncryptionMechanism, VirtualMachine};
use zeroize::Zeroizing;

pub use self::blob::KeyBlob;
use self::wire::{Details, File};
use super::{members::List, text};
use crate::captured::{CapturedKeys, CapturedSet, WrappedSecret};

/// Name of the blob.
pub const BLOB: &str = "encryption.json";
/// Longest file that is read, in bytes. A blob holds all versions of a key, up to 500.
pub const MAX_BYTES: usize = 64 << 20;
/// What errors call it.
const WHAT: &str = "encryption file";

/// What the file says.
#[derive(Clone, Debug)]
pub struct EncryptionFile {
    /// Where the machine kept its encryption settings.
    pub mechanism: Option<EncryptionMechanism>,
    /// Secrets and keys: of the disk that the machine boots from first, then by slot.
    pub entries: Vec<KeyAndSecret>,
}

/// The secret of a disk and the key that wraps it.
#[derive(Clone, Debug)]
pub struct KeyAndSecret {
    /// Slot of the disk; none for the one that the machine boots from.
    pub lun: Option<u32>,
    /// URL of the secret, with its version.
    pub secret_url: ObjectUrl,
    /// Its key vault.
    pub secret_vault_id: Option<ResourceId>,
    /// Its value, wrapped.
    pub secret_data: WrappedSecret,
    /// Its content type.
    pub secret_content_type: Option<String>,
    /// Its tags.
    pub secret_tags: BTreeMap<String, String>,
    /// URL of the key, with its version.
    pub key_url: ObjectUrl,
    /// Its key vault.
    pub key_vault_id: Option<ResourceId>,
    /// The key's backup blob; entries of one key share it.
    pub key_backup: Arc<KeyBlob>,
}

/// The file for a machine's captured keys. `blobs` are the files that they name.
///
/// The disk that the machine boots from comes first. A data disk has entries when its secrets are not
/// those of that disk. Where settings changed while the snapshot was made, a disk has an entry for each;
/// the one that the machine's description names is first.
///
/// # Errors
/// `KeyVaultBlobNotUsable` when a blob is missing or damaged; `KeyUrlNotVersioned` for a URL that is
/// none or names no version; `InvalidParameter` when no disk of the machine has a secret.
pub fn encode(
    machine: &VirtualMachine,
    keys: &CapturedKeys,
    blobs: &BTreeMap<String, Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<Vec<u8>>> {
    let os_sets = sets_of(machine, keys, &machine.os_disk.name);
    let mut writer = Writer { keys, blobs, written: BTreeMap::new(), room: 4096 };
    let mut os_disk = None;
    let mut other = Vec::new();
    for set in &os_sets {
        let details = writer.details(set, None)?;
        match os_disk {
            None => os_disk = Some(details),
            Some(_) => other.push(details),
        }
    }
    let mut data_disks = Vec::new();
    for disk in &machine.data_disks {
        let sets = sets_of(machine, keys, &disk.disk.name);
        if sets.iter().map(|s| std::ptr::from_ref(*s)).eq(os_sets.iter().map(|s| std::ptr::from_ref(*s))) {
            continue;
        }
        for set in sets {
            data_disks.push(writer.details(set, Some(disk.lun))?);
        }
    }
    if os_disk.is_none() && data_disks.is_empty() {
        let message = format!("no secret was captured for a disk of {}", machine.name());
        return Err(ApiError::invalid(message).about(&machine.id));
    }
    let some = |list: Vec<_>| (!list.is_empty()).then_some(List(list));
    let room = writer.room;
    let file = File { os_disk, other_os_disk: some(other), data_disks: some(data_disks) };
    text::ascii_json(WHAT, &file, room)
}

/// The sets that are for a disk; those that the machine's description names first.
pub(super) fn sets_of<'a>(
    machine: &VirtualMachine,
    keys: &'a CapturedKeys,
    disk: &str,
) -> Vec<&'a CapturedSet> {
    let described: Vec<_> =
        machine.key_sets().into_iter().filter(|s| s.disks.iter().any(|d| d == disk)).collect();
    let named = |set: &CapturedSet| {
        described.iter().any(|s| {
            let key = s.settings.key_encryption_key.as_ref();
            same_text(&s.settings.disk_encryption_key.secret_url, &set.secret_url)
                && key.is_some_and(|k| same_text(&k.key_url, &set.key_url))
        })
    };
    let mut sets: Vec<_> = keys.sets.iter().filter(|s| s.disks.iter().any(|d| d == disk)).collect();
    sets.sort_by_key(|set| !named(set));
    sets
}

/// Whether two URLs name the same version of the same object.
fn same_text(a: &str, b: &str) -> bool {
    match (a.parse::<ObjectUrl>(), b.parse::<ObjectUrl>()) {
        (Ok(a), Ok(b)) => a.to_string().eq_ignore_ascii_case(&b.to_string()),
        _ => a == b,
    }
}

/// A URL that names a version of a key or a secret.
pub(super) fn versioned(text: &str, kind: ObjectKind) -> Result<ObjectUrl> {
    let bad = |why: &str| ApiError::new(Problem::KeyUrlNotVersioned, format!("{text:?} {why}"));
    let url: ObjectUrl =
        text.parse().map_err(|e: ApiError| ApiError::new(Problem::KeyUrlNotVersioned, e.to_string()))?;
    if url.kind != kind {
        return Err(bad(&format!("is no URL below {}/", kind.collection())));
    }
    if url.version.is_none() {
        return Err(bad("names no version"));
    }
    Ok(url)
}

/// A key in any version: what a blob holds.
fn identity(key: &ObjectUrl) -> String {
    ObjectUrl { version: None, ..key.clone() }.to_string().to_ascii_lowercase()
}

struct Writer<'a> {
    keys: &'a CapturedKeys,
    blobs: &'a BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Keys that have a blob in the file by now, and the blob that a reader takes for them.
    written: BTreeMap<String, &'a str>,
    /// Bytes that the file will have, at most.
    room: usize,
}

impl<'a> Writer<'a> {
    fn details(&mut self, set: &'a CapturedSet, lun: Option<u32>) -> Result<Details> {
        let secret_url = versioned(&set.secret_url, ObjectKind::Secret)?;
        let key_url = versioned(&set.key_url, ObjectKind::Key)?;
        let key = identity(&key_url);
        let key_backup = match self.written.get(&key) {
            Some(first) if *first == set.key_backup => None,
            // another blob of the same key
            Some(_) => Some(self.blob(set)?.encode()),
            None => {
                self.written.insert(key, &set.key_backup);
                Some(self.blob(set)?.encode())
            }
        };
        let tags: usize = set.secret_tags.iter().map(|(k, v)| 6 * (k.len() + v.len()) + 16).sum();
        self.room +=
            4096 + set.secret_data.expose().len() + tags + key_backup.as_ref().map_or(0, |b| b.len());
        Ok(Details {
            lun,
            key_backup,
            secret_data: Some(Zeroizing::new(set.secret_data.expose().to_owned())),
            secret_url: Some(secret_url.to_string()),
            key_url: Some(key_url.to_string()),
            secret_backup: None,
            secret_vault: Some(set.secret_vault_id.clone()),
            key_vault: Some(set.key_vault_id.clone()),
            mechanism: Some(self.keys.mechanism),
            tags: Some(set.secret_tags.clone()),
            content_type: set.secret_content_type.clone(),
        })
    }

    /// The blob that a set names, if it is what was captured.
    fn blob(&self, set: &CapturedSet) -> Result<KeyBlob> {
        let damaged = |why: &str| {
            let message = format!("the backup blob of {} {why} in the recovery point", set.key_url);
            ApiError::new(Problem::KeyVaultBlobNotUsable, message).about(&set.key_vault_id)
        };
        let bytes = self.blobs.get(&set.key_backup).ok_or_else(|| damaged("is missing"))?;
        let blob = KeyBlob::new(bytes.clone());
        if !blob.sha256().eq_ignore_ascii_case(&set.key_backup_sha256) {
            return Err(damaged("is damaged"));
        }
        Ok(blob)
    }
}

/// Reads the file: UTF-8 or UTF-16, with or without a byte order mark and NULs at its end.
///
/// # Errors
/// `InvalidParameter`: no text or JSON, more than [`MAX_BYTES`], or something in it is missing or wrong;
/// `KeyUrlNotVersioned` for a URL that is none or names no version; `BekOnly` for a secret that no key
/// wraps.
pub fn parse(bytes: &[u8]) -> Result<EncryptionFile> {
    let text = text::decode(WHAT, bytes, MAX_BYTES)?;
    let file: File = text::parse(WHAT, &text)?;
    let mut all: Vec<_> = file.os_disk.into_iter().collect();
    all.extend(file.other_os_disk.map(|list| list.0).unwrap_or_default());
    // of the disk that the machine boots from, whatever they say
    all.iter_mut().for_each(|details| details.lun = None);
    for details in file.data_disks.map(|list| list.0).unwrap_or_default() {
        if details.lun.is_none() {
            return Err(ApiError::invalid(format!("a data disk of the {WHAT} has no Lun")));
        }
        all.push(details);
    }
    if all.is_empty() {
        return Err(ApiError::invalid(format!("the {WHAT} has no OsDiskKeyAndSecretDetails")));
    }
    let mechanism = all.iter().find_map(|details| details.mechanism);
    let mut blobs = BTreeMap::new();
    let entries = all.into_iter().map(|details| details.read(&mut blobs)).collect::<Result<_>>()?;
    Ok(EncryptionFile { mechanism, entries })
}

impl EncryptionFile {
    /// The entry to use for a disk, by slot or none for the one that the machine boots from: its own
    /// first, or that of the disk that the machine boots from.
    #[must_use]
    pub fn of_disk(&self, lun: Option<u32>) -> Option<&KeyAndSecret> {
        let first = |lun| self.entries.iter().find(|e| e.lun == lun);
        first(lun).or_else(|| first(None))
    }

    /// An entry for each key to restore: a key, with all of its versions, is restored once. Of several
    /// blobs of a key it is the longest, which has the most versions.
    #[must_use]
    pub fn keys(&self) -> Vec<&KeyAndSecret> {
        let mut keys: BTreeMap<String, &KeyAndSecret> = BTreeMap::new();
        for entry in &self.entries {
            let best = keys.entry(identity(&entry.key_url)).or_insert(entry);
            if entry.key_backup.expose().len() > best.key_backup.expose().len() {
                *best = entry;
            }
        }
        keys.into_values().collect()
    }

    /// An entry for each secret to set.
    #[must_use]
    pub fn secrets(&self) -> Vec<&KeyAndSecret> {
        let mut seen = BTreeSet::new();
        self.entries.iter().filter(|e| seen.insert(e.secret_url.to_string().to_ascii_lowercase())).collect()
    }
}
