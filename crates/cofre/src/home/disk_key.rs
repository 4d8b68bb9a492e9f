//! Wrapping and unwrapping disk keys through the home's key vaults, with the operator's rights.

use cofre_arm::{ObjectKind, ObjectUrl};
use cofre_compute::OsType;
use cofre_recovery::{
    disk_key,
    key_source::{KeyTarget as _, KeyVaultName},
    key_vault_error,
};
use zeroize::Zeroizing;

use super::Home;
use crate::report::Result;

/// A wrapped disk key: where the secret and the key are, in the versions that belong together.
#[derive(Clone, Debug)]
pub(crate) struct WrappedDiskKey {
    pub(crate) secret: ObjectUrl,
    pub(crate) key: ObjectUrl,
}

impl Home {
    /// The URL of a version of a key or secret in one of the home's key vaults.
    pub(crate) fn object_url(&self, vault: &str, kind: ObjectKind, name: &str, version: &str) -> ObjectUrl {
        ObjectUrl {
            vault: vault.to_owned(),
            suffix: self.config.settings.key_vault_suffix.clone(),
            kind,
            name: name.to_owned(),
            version: Some(version.to_owned()),
        }
    }

    /// Wraps a disk key with the newest version of a key, and keeps it as a secret of the same vault.
    pub(crate) fn wrap_disk_key(
        &self,
        vault: &str,
        key: &str,
        secret: &str,
        disk_key: &[u8],
        machine: &str,
        os_type: OsType,
    ) -> Result<WrappedDiskKey> {
        let operator = self.operator();
        let algorithm = cofre_recovery::outputs::keys_back::DEFAULT_ALGORITHM;
        let wrapped = self
            .key_vaults
            .wrap_key(&operator, vault, key, None, algorithm, disk_key)
            .map_err(key_vault_error)?;
        let key = self.object_url(vault, ObjectKind::Key, &wrapped.name, &wrapped.version);
        let stored = disk_key::secret(secret, wrapped.value.expose(), &key, machine, os_type);
        let version = {
            let vault = KeyVaultName { name: vault, suffix: &self.config.settings.key_vault_suffix };
            self.operator_keys(None).set_secret(vault, secret, &stored)?
        };
        Ok(WrappedDiskKey { secret: self.object_url(vault, ObjectKind::Secret, secret, &version), key })
    }

    /// The disk key behind a wrapped secret: needs the rights to get the secret and to unwrap.
    pub(crate) fn unwrap_disk_key(&self, wrapped: &WrappedDiskKey) -> Result<Zeroizing<Vec<u8>>> {
        let operator = self.operator();
        let WrappedDiskKey { secret, key } = wrapped;
        let bundle = self
            .key_vaults
            .secret(&operator, &secret.vault, &secret.name, secret.version.as_deref())
            .map_err(key_vault_error)?;
        let bytes = disk_key::wrapped_bytes(bundle.value.expose())?;
        let tags = &bundle.properties.tags;
        let algorithm = tags
            .get(cofre_recovery::outputs::keys_back::TAG_ALGORITHM)
            .map_or(cofre_recovery::outputs::keys_back::DEFAULT_ALGORITHM, String::as_str);
        let plain = self
            .key_vaults
            .unwrap_key(&operator, &key.vault, &key.name, key.version.as_deref(), algorithm, &bytes)
            .map_err(key_vault_error)?;
        Ok(Zeroizing::new(plain.value.expose().to_vec()))
    }
}
