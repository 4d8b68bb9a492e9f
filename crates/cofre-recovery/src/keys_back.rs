//! Putting keys back into a key vault, from the encryption file that a restore wrote.

use cofre_arm::{ApiError, ObjectKind, ObjectUrl, Problem, ResourceId, Result};
use cofre_compute::OsType;
use zeroize::Zeroizing;

use crate::{
    key_source::{KeyTarget, KeyVaultName, ObjectState, StoredSecret},
    outputs::{EncryptionFile, KeyAndSecret, MovedKeys, encryption, keys_back},
    service::Recovery,
};

/// What was done with a key or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was put back.
    Restored,
    /// It was there.
    AlreadyThere,
}

/// A pair of secret and key, where it is now.
#[derive(Clone, Debug)]
pub struct KeysBack {
    /// Old and new places.
    pub moved: MovedKeys,
    /// What was done with the key.
    pub key: Outcome,
    /// What was done with the secret.
    pub secret: Outcome,
}

/// Where keys go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Each to the key vault it was in.
    Original,
    /// All to one key vault: `NAME`, one with the suffix of this service, or `NAME.SUFFIX`.
    Vault(String),
}

/// A key vault that keys go to.
struct Place<'a> {
    vault: KeyVaultName<'a>,
    id: ResourceId,
}

impl Recovery {
    /// Puts keys and secrets of an encryption file back: each key once, from its backup blob; then each
    /// secret, with tags that name the restored key. A key that is there in the version that is needed is
    /// left alone, and so is a secret that never moved. The call may be repeated: a secret that moved
    /// gets one more version.
    ///
    /// # Errors
    /// `KeyVaultNotFound`, `KeyVaultNameConflict`, `KeyVaultBlobNotUsable`, `Forbidden`.
    pub fn put_keys_back(
        &self,
        file: &EncryptionFile,
        machine: &str,
        os_type: OsType,
        destination: &Destination,
        target: &dyn KeyTarget,
    ) -> Result<Vec<KeysBack>> {
        // all vaults before the first write
        for entry in &file.entries {
            self.destined(target, destination, &entry.key_url, entry.key_vault_id.as_ref())?;
            self.destined(target, destination, &entry.secret_url, entry.secret_vault_id.as_ref())?;
        }
        let mut all = Vec::new();
        for entry in file.secrets() {
            let key_place =
                self.destined(target, destination, &entry.key_url, entry.key_vault_id.as_ref())?;
            let (key_url, key) = key_back(entry, key_place.vault, target)?;
            let secret_place =
                self.destined(target, destination, &entry.secret_url, entry.secret_vault_id.as_ref())?;
            let (secret_url, secret) =
                self.secret_back(entry, secret_place.vault, &key_url, machine, os_type, target)?;
            let moved = MovedKeys {
                old_secret: entry.secret_url.clone(),
                old_key: entry.key_url.clone(),
                secret: secret_url,
                secret_vault_id: secret_place.id,
                key: key_url,
                key_vault_id: key_place.id,
            };
            let mut batch = self.batch();
            let detail =
                serde_json::json!({"secret": moved.secret.to_string(), "key": moved.key.to_string()});
            batch.events.push(self.event("keys.restore", &moved.secret_vault_id, Some(detail))?);
            self.commit(&batch)?;
            all.push(KeysBack { moved, key, secret });
        }
        Ok(all)
    }

    fn secret_back(
        &self,
        entry: &KeyAndSecret,
        vault: KeyVaultName<'_>,
        key: &ObjectUrl,
        machine: &str,
        os_type: OsType,
        target: &dyn KeyTarget,
    ) -> Result<(ObjectUrl, Outcome)> {
        let name = &entry.secret_url.name;
        let version = entry.secret_url.version.clone().unwrap_or_default();
        let unchanged = vault == (&entry.secret_url).into() && *key == entry.key_url;
        if unchanged && matches!(self.keys().secret_state(vault, name, &version), Ok(ObjectState::Usable)) {
            return Ok((entry.secret_url.clone(), Outcome::AlreadyThere));
        }
        let set = keys_back::secret_to_set(&entry.into(), key, machine, os_type)?;
        let secret = StoredSecret { value: set.value, content_type: Some(set.content_type), tags: set.tags };
        let version = target.set_secret(vault, &set.name, &secret)?;
        Ok((url(vault, ObjectKind::Secret, &set.name, &version), Outcome::Restored))
    }

    /// Where a key or secret goes. `was_in` is the id of the key vault it was in.
    fn destined<'a>(
        &'a self,
        target: &dyn KeyTarget,
        destination: &'a Destination,
        url: &'a ObjectUrl,
        was_in: Option<&ResourceId>,
    ) -> Result<Place<'a>> {
        let vault = match destination {
            Destination::Original => KeyVaultName::from(url),
            Destination::Vault(text) => match text.split_once('.') {
                // a port is read over, as in URLs
                Some((name, suffix)) => {
                    KeyVaultName { name, suffix: suffix.split_once(':').map_or(suffix, |(host, _)| host) }
                }
                None => KeyVaultName { name: text, suffix: &self.settings().key_vault_suffix },
            },
        };
        let Some(info) = target.vault(vault)? else {
            let message = format!("the key vault {vault} does not exist");
            return Err(ApiError::new(Problem::KeyVaultNotFound, message).recommend(format!(
                "Create it (`cofre keyvault create --name {vault}`), or name another one with `--vault`."
            )));
        };
        let known = was_in.filter(|_| vault == url.into()).cloned();
        let id = info.id.or(known).ok_or_else(|| {
            let message = format!("nobody says the resource id of the key vault {vault}");
            ApiError::new(Problem::KeyVaultUnreachable, message).recommend(
                "Name the resource endpoint of its service (`cofre host key-vaults add --arm-endpoint`), and let the \
                 principal read the key vault there.",
            )
        })?;
        Ok(Place { vault, id })
    }

    /// Reads an encryption file that a restore wrote.
    ///
    /// # Errors
    /// `InvalidParameter` when it is none.
    pub fn read_encryption_file(bytes: &Zeroizing<Vec<u8>>) -> Result<EncryptionFile> {
        encryption::parse(bytes)
    }
}

fn key_back(
    entry: &KeyAndSecret,
    vault: KeyVaultName<'_>,
    target: &dyn KeyTarget,
) -> Result<(ObjectUrl, Outcome)> {
    let name = &entry.key_url.name;
    let version = entry.key_url.version.clone().unwrap_or_default();
    let here = url(vault, ObjectKind::Key, name, &version);
    if let Some(versions) = target.key_versions(vault, name)? {
        if versions.iter().any(|v| v.eq_ignore_ascii_case(&version)) {
            return Ok((here, Outcome::AlreadyThere));
        }
        let message =
            format!("the key vault {vault} holds another key {name}, without the version {version}");
        return Err(ApiError::new(Problem::KeyVaultNameConflict, message)
            .recommend("Delete that key if nobody needs it, or put the keys into another key vault."));
    }
    let restored = target.restore_key(vault, entry.key_backup.expose())?;
    if !restored.versions.iter().any(|v| v.eq_ignore_ascii_case(&version)) {
        let message = format!("the backup of key {name} does not hold the version {version}");
        return Err(ApiError::new(Problem::KeyVaultBlobNotUsable, message));
    }
    Ok((keys_back::restored_key(&entry.key_url, &here)?, Outcome::Restored))
}

fn url(vault: KeyVaultName<'_>, kind: ObjectKind, name: &str, version: &str) -> ObjectUrl {
    ObjectUrl {
        vault: vault.name.to_owned(),
        suffix: vault.suffix.to_ascii_lowercase(),
        kind,
        name: name.to_owned(),
        version: Some(version.to_owned()),
    }
}

/// The settings of a machine, after its keys were put back.
///
/// # Errors
/// `KeyOrSecretNotFound` when some of its keys were not.
pub fn rewritten(
    machine: &cofre_compute::VirtualMachine,
    back: &[KeysBack],
) -> Result<cofre_compute::VirtualMachine> {
    let moved: Vec<_> = back.iter().map(|b| b.moved.clone()).collect();
    keys_back::rewritten_machine(machine, &moved)
}
