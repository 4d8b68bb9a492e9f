//! Putting keys back into a key vault, from the encryption file that a restore wrote.

use cofre_arm::{ApiError, ObjectKind, ObjectUrl, Problem, Result};
use cofre_compute::OsType;
use zeroize::Zeroizing;

use crate::{
    key_source::{KeyTarget, KeyVaultInfo, ObjectState, StoredSecret},
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
    /// All to the key vault of this name.
    Vault(String),
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
            vault_of(target, destination, &entry.key_url)?;
            vault_of(target, destination, &entry.secret_url)?;
        }
        let mut all = Vec::new();
        for entry in file.secrets() {
            let (vault, info) = vault_of(target, destination, &entry.key_url)?;
            let (key_url, key) = self.key_back(entry, &vault, target)?;
            let (secret_vault, secret_info) = vault_of(target, destination, &entry.secret_url)?;
            let (secret_url, secret) =
                self.secret_back(entry, &secret_vault, &key_url, machine, os_type, target)?;
            let moved = MovedKeys {
                old_secret: entry.secret_url.clone(),
                old_key: entry.key_url.clone(),
                secret: secret_url,
                secret_vault_id: secret_info.id,
                key: key_url,
                key_vault_id: info.id,
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

    fn key_back(
        &self,
        entry: &KeyAndSecret,
        vault: &str,
        target: &dyn KeyTarget,
    ) -> Result<(ObjectUrl, Outcome)> {
        let name = &entry.key_url.name;
        let version = entry.key_url.version.clone().unwrap_or_default();
        let here = self.url(vault, ObjectKind::Key, name, &version, &entry.key_url);
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

    fn secret_back(
        &self,
        entry: &KeyAndSecret,
        vault: &str,
        key: &ObjectUrl,
        machine: &str,
        os_type: OsType,
        target: &dyn KeyTarget,
    ) -> Result<(ObjectUrl, Outcome)> {
        let name = &entry.secret_url.name;
        let version = entry.secret_url.version.clone().unwrap_or_default();
        let unchanged = vault.eq_ignore_ascii_case(&entry.secret_url.vault) && *key == entry.key_url;
        if unchanged && matches!(self.keys().secret_state(vault, name, &version), Ok(ObjectState::Usable)) {
            return Ok((entry.secret_url.clone(), Outcome::AlreadyThere));
        }
        let set = keys_back::secret_to_set(&entry.into(), key, machine, os_type)?;
        let secret = StoredSecret { value: set.value, content_type: Some(set.content_type), tags: set.tags };
        let version = target.set_secret(vault, &set.name, &secret)?;
        Ok((self.url(vault, ObjectKind::Secret, &set.name, &version, &entry.secret_url), Outcome::Restored))
    }

    /// The URL of an object in a vault: of the vault it was in with the suffix it had, of another with
    /// ours.
    fn url(&self, vault: &str, kind: ObjectKind, name: &str, version: &str, old: &ObjectUrl) -> ObjectUrl {
        let same = vault.eq_ignore_ascii_case(&old.vault);
        let suffix = if same { &old.suffix } else { &self.settings().key_vault_suffix };
        ObjectUrl {
            vault: vault.to_owned(),
            suffix: suffix.clone(),
            kind,
            name: name.to_owned(),
            version: Some(version.to_owned()),
        }
    }

    /// Reads an encryption file that a restore wrote.
    ///
    /// # Errors
    /// `InvalidParameter` when it is none.
    pub fn read_encryption_file(bytes: &Zeroizing<Vec<u8>>) -> Result<EncryptionFile> {
        encryption::parse(bytes)
    }
}

fn vault_of(
    target: &dyn KeyTarget,
    destination: &Destination,
    url: &ObjectUrl,
) -> Result<(String, KeyVaultInfo)> {
    let name = match destination {
        Destination::Original => &url.vault,
        Destination::Vault(name) => name,
    };
    match target.vault(name)? {
        Some(info) => Ok((name.clone(), info)),
        None => {
            let message = format!("the key vault {name} does not exist");
            Err(ApiError::new(Problem::KeyVaultNotFound, message).recommend(format!(
                "Create it (`cofre keyvault create --name {name}`), or name another one with `--vault`."
            )))
        }
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
