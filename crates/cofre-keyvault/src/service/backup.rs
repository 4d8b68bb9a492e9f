//! Backup and restore of keys and secrets, all versions at once.

use super::{Done, KeyVaults, OpenVault, keys, objects::create_version, seal_record, secrets};
use crate::{
    audit::{AuditEvent, Operation},
    blob,
    bundle::{ItemProperties, KeyBundle},
    caller::Caller,
    error::{ErrorKind, KeyVaultError, Result},
    objects::{Head, KeyVersion, Kind, SecretVersion, Version},
    permission::{KeyPermission, SecretPermission},
    rsa_key::RsaMaterial,
    state::Change,
};

impl KeyVaults {
    /// A blob with all versions of a key, which opens in this subscription and geography alone. Needs the
    /// permission *backup*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::ObjectNotFound`], [`ErrorKind::TooManyVersions`], and those of
    /// vault and storage.
    pub fn backup_key(&self, caller: &Caller, vault: &str, name: &str) -> Result<Vec<u8>> {
        self.audited(keys::event(caller, Operation::Backup, vault, name, None), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Backup)?;
            Ok(Done::reading(self.seal_blob::<KeyVersion>(&vault, name)?))
        })
    }

    /// A blob with all versions of a secret. Needs the permission *backup*.
    ///
    /// # Errors
    /// As [`backup_key`](Self::backup_key).
    pub fn backup_secret(&self, caller: &Caller, vault: &str, name: &str) -> Result<Vec<u8>> {
        self.audited(secrets::event(caller, Operation::Backup, vault, name, None), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Backup)?;
            Ok(Done::reading(self.seal_blob::<SecretVersion>(&vault, name)?))
        })
    }

    /// Restores a key with all versions under its own name. Needs the permission *restore*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::BlobNotUsable`], [`ErrorKind::NameConflict`],
    /// [`ErrorKind::SoftDeleted`], and those of vault and storage.
    pub fn restore_key(&self, caller: &Caller, vault: &str, blob: &[u8]) -> Result<KeyBundle> {
        self.audited(keys::event(caller, Operation::Restore, vault, "", None), |event| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Restore)?;
            let content = blob::open::<KeyVersion>(&self.open_ring()?.ring, &self.place, blob)?;
            for key in &content.versions {
                let material = RsaMaterial::from_pkcs8(key.pkcs8.clone());
                if !material.is_ok_and(|material| material.n == key.n && material.e == key.e) {
                    return Err(blob::unusable(Kind::Key));
                }
            }
            let (head, key, changes) = self.restore(&vault, content, event)?;
            Ok(Done { answer: keys::bundle(&vault, &head, key), changes })
        })
    }

    /// Restores a secret with all versions under its own name. Needs the permission *restore*.
    ///
    /// # Errors
    /// As [`restore_key`](Self::restore_key).
    pub fn restore_secret(&self, caller: &Caller, vault: &str, blob: &[u8]) -> Result<ItemProperties> {
        self.audited(secrets::event(caller, Operation::Restore, vault, "", None), |event| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Restore)?;
            let content = blob::open::<SecretVersion>(&self.open_ring()?.ring, &self.place, blob)?;
            let (head, secret, changes) = self.restore(&vault, content, event)?;
            Ok(Done { answer: secrets::properties(&vault, &head, secret), changes })
        })
    }

    fn seal_blob<T: Version>(&self, vault: &OpenVault, name: &str) -> Result<Vec<u8>> {
        let (head, _) = self.find::<T>(vault, name, None)?;
        let versions = self.all_versions::<T>(vault, &head.body, blob::MOST_VERSIONS)?;
        let key = self.open_ring()?.ring.current_blob_key(&self.place)?.ok_or_else(|| {
            KeyVaultError::new(ErrorKind::Damaged, "the ring has no blob key of this place")
        })?;
        blob::seal(&key, &self.place, &vault.vault.name, &head.body.name, versions)
    }

    fn restore<T: Version>(
        &self,
        vault: &OpenVault,
        content: blob::Content<T>,
        event: &mut AuditEvent,
    ) -> Result<(Head, T, Vec<Change>)> {
        event.object = Some(content.name.clone());
        if let Some(taken) = self.claim(vault, T::KIND, &content.name, event)? {
            return Err(KeyVaultError::new(
                ErrorKind::NameConflict,
                format!(
                    "the key vault {} has a {} {} already: use it if it has the versions needed, or restore \
                     into another key vault",
                    vault.vault.name,
                    T::KIND.noun(),
                    taken.body.name
                ),
            ));
        }
        let mut changes = Vec::with_capacity(content.versions.len() + 1);
        for version in &content.versions {
            changes.push(create_version(vault, &content.name, version)?);
        }
        // Opening a blob made sure that there is a newest one.
        let newest = content.versions.into_iter().next_back();
        let newest = newest.ok_or_else(|| KeyVaultError::invalid("the backup blob holds no version"))?;
        let about = newest.about();
        let head = Head {
            name: content.name,
            current: about.version.clone(),
            next: about.sequence.saturating_add(1),
            created: about.attributes.created,
            deletion: None,
        };
        let path = T::KIND.head(&vault.key.id, &head.name);
        let body = seal_record(&vault.key, &path, &head)?;
        changes.push(Change::Create { path, body });
        event.version = Some(head.current.clone());
        Ok((head, newest, changes))
    }
}
