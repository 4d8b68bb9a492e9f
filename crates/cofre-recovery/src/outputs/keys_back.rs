//! Keys and secrets on their way back into a key vault: which secret to set once a key was restored,
//! and what a machine made from the restored disks must name.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, ObjectKind, ObjectUrl, Problem, ResourceId, Result};
use cofre_compute::{
    EncryptionSettings, OsType, VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};

use super::encryption::{KeyAndSecret, versioned};
use crate::captured::{CapturedSet, WrappedSecret};

/// Content type of a secret that a key wraps.
pub const WRAPPED_BEK: &str = "Wrapped BEK";
/// Tag: how the disk key is wrapped.
pub const TAG_ALGORITHM: &str = "DiskEncryptionKeyEncryptionAlgorithm";
/// Tag: name of the file in which the guest gets the disk key.
pub const TAG_FILE_NAME: &str = "DiskEncryptionKeyFileName";
/// Tag: URL of the key that wraps the disk key.
pub const TAG_KEY_URL: &str = "DiskEncryptionKeyEncryptionKeyURL";
/// Tag: the machine's name.
pub const TAG_MACHINE: &str = "MachineName";
/// How disk keys are wrapped when nothing says otherwise.
pub const DEFAULT_ALGORITHM: &str = "RSA-OAEP";
/// The file's name in Linux guests.
pub(crate) const LINUX_FILE_NAME: &str = "LinuxPassPhraseFileName";

/// A secret as it was captured: of a recovery point or of an encryption file.
#[derive(Clone, Debug)]
pub struct CapturedSecret<'a> {
    url: ObjectUrl,
    key: ObjectUrl,
    data: &'a WrappedSecret,
    content_type: Option<&'a str>,
    tags: &'a BTreeMap<String, String>,
}

/// A secret to set in a key vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretToSet {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: WrappedSecret,
    /// Its content type.
    pub content_type: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A secret and its key, where they were and where they are now.
#[derive(Clone, Debug)]
pub struct MovedKeys {
    /// The secret as the machine named it, with its version.
    pub old_secret: ObjectUrl,
    /// The key as the machine named it, with its version.
    pub old_key: ObjectUrl,
    /// The secret that was set: the version that setting it made.
    pub secret: ObjectUrl,
    /// The key vault it is in.
    pub secret_vault_id: ResourceId,
    /// The key that was restored ([`restored_key`]).
    pub key: ObjectUrl,
    /// The key vault it is in.
    pub key_vault_id: ResourceId,
}

impl<'a> TryFrom<&'a CapturedSet> for CapturedSecret<'a> {
    type Error = ApiError;

    fn try_from(set: &'a CapturedSet) -> Result<Self> {
        Ok(Self {
            url: versioned(&set.secret_url, ObjectKind::Secret)?,
            key: versioned(&set.key_url, ObjectKind::Key)?,
            data: &set.secret_data,
            content_type: set.secret_content_type.as_deref(),
            tags: &set.secret_tags,
        })
    }
}

impl<'a> From<&'a KeyAndSecret> for CapturedSecret<'a> {
    fn from(entry: &'a KeyAndSecret) -> Self {
        Self {
            url: entry.secret_url.clone(),
            key: entry.key_url.clone(),
            data: &entry.secret_data,
            content_type: entry.secret_content_type.as_deref(),
            tags: &entry.secret_tags,
        }
    }
}

/// The URL to name a restored key by: in the key vault it is in now, in the version that wraps the
/// captured secret. A restored key has all of its versions, and a key vault answers with the newest,
/// which after a rotation is another one.
///
/// # Errors
/// `InvalidParameter` when `restored` is no key or has another name: a restored key keeps its name.
/// `KeyUrlNotVersioned` when the captured URL names no version.
pub fn restored_key(captured: &ObjectUrl, restored: &ObjectUrl) -> Result<ObjectUrl> {
    let Some(version) = &captured.version else {
        return Err(ApiError::new(Problem::KeyUrlNotVersioned, format!("{captured} names no version")));
    };
    if restored.kind != ObjectKind::Key || !restored.name.eq_ignore_ascii_case(&captured.name) {
        return Err(ApiError::invalid(format!("{restored} is not {captured} restored into a key vault")));
    }
    Ok(restored.with_version(version))
}

/// The secret to set for a captured one, once its key was restored as `restored`.
///
/// Captured tags are kept, but for the key's URL, which becomes the restored key's; what is missing is
/// filled in from the machine's name and kind of system.
///
/// # Errors
/// See [`restored_key`].
pub fn secret_to_set(
    captured: &CapturedSecret<'_>,
    restored: &ObjectUrl,
    machine: &str,
    os_type: OsType,
) -> Result<SecretToSet> {
    let key = restored_key(&captured.key, restored)?;
    let name = captured.url.name.clone();
    let mut tags = captured.tags.clone();
    // one spelling: who reads tags may not tell letter case apart
    tags.retain(|tag, _| !tag.eq_ignore_ascii_case(TAG_KEY_URL));
    tags.insert(TAG_KEY_URL.to_owned(), key.to_string());
    let file_name = match os_type {
        OsType::Linux => LINUX_FILE_NAME.to_owned(),
        OsType::Windows => format!("{name}.BEK"),
    };
    let defaults = [
        (TAG_ALGORITHM, DEFAULT_ALGORITHM.to_owned()),
        (TAG_FILE_NAME, file_name),
        (TAG_MACHINE, machine_tag(machine).to_owned()),
    ];
    for (tag, value) in defaults {
        if !tags.keys().any(|t| t.eq_ignore_ascii_case(tag)) {
            tags.insert(tag.to_owned(), value);
        }
    }
    let content_type = captured.content_type.filter(|t| !t.is_empty()).unwrap_or(WRAPPED_BEK).to_owned();
    Ok(SecretToSet { name, value: captured.data.clone(), content_type, tags })
}

/// The machine's name as the tag holds it.
pub(crate) fn machine_tag(name: &str) -> &str {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if name.bytes().all(allowed) { name } else { "" }
}

impl MovedKeys {
    /// The settings that name the new places.
    ///
    /// # Errors
    /// `KeyUrlNotVersioned` when a new URL names no version or something else than it should.
    pub fn settings(&self) -> Result<EncryptionSettings> {
        let vault = |id: &ResourceId| SubResource { id: id.clone() };
        Ok(EncryptionSettings {
            enabled: true,
            disk_encryption_key: SecretReference {
                secret_url: versioned(&self.secret.to_string(), ObjectKind::Secret)?.to_string(),
                source_vault: vault(&self.secret_vault_id),
            },
            key_encryption_key: Some(KeyReference {
                key_url: versioned(&self.key.to_string(), ObjectKind::Key)?.to_string(),
                source_vault: vault(&self.key_vault_id),
            }),
        })
    }

    /// Whether these settings name the old places.
    fn is_for(&self, settings: &EncryptionSettings) -> bool {
        let same = |text: &str, url: &ObjectUrl| {
            text.parse::<ObjectUrl>().is_ok_and(|u| u.to_string().eq_ignore_ascii_case(&url.to_string()))
        };
        same(&settings.disk_encryption_key.secret_url, &self.old_secret)
            && settings.key_encryption_key.as_ref().is_some_and(|k| same(&k.key_url, &self.old_key))
    }
}

/// The settings that a machine made from the restored disks must have for these of the old one.
/// Settings that do not count stay as they are.
///
/// # Errors
/// `KeyOrSecretNotFound` when `moved` has nothing for them: the old URLs must not be used.
/// `KeyUrlNotVersioned` when a new URL names no version.
pub fn rewritten_settings(settings: &EncryptionSettings, moved: &[MovedKeys]) -> Result<EncryptionSettings> {
    if !settings.enabled {
        return Ok(settings.clone());
    }
    let Some(keys) = moved.iter().find(|m| m.is_for(settings)) else {
        let secret = &settings.disk_encryption_key.secret_url;
        let message = format!("neither {secret} nor its key was put back into a key vault");
        return Err(ApiError::new(Problem::KeyOrSecretNotFound, message));
    };
    keys.settings()
}

/// The machine with all of its settings, and those of its disks, rewritten.
///
/// # Errors
/// See [`rewritten_settings`].
pub fn rewritten_machine(machine: &VirtualMachine, moved: &[MovedKeys]) -> Result<VirtualMachine> {
    let mut machine = machine.clone();
    let disks =
        std::iter::once(&mut machine.os_disk).chain(machine.data_disks.iter_mut().map(|d| &mut d.disk));
    let all = disks.map(|d| &mut d.encryption_settings).chain([&mut machine.encryption_settings]);
    for settings in all.flatten() {
        *settings = rewritten_settings(settings, moved)?;
    }
    Ok(machine)
}
