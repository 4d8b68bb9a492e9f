//! Keys and secrets that are deleted: what becomes of them until they are recovered or purged.

use super::{
    Done, KeyVaults, OpenVault, keys,
    objects::{no_object, unseal},
    seal_record, secrets,
};
use crate::{
    audit::{DELETED, Operation},
    bundle::{ItemProperties, KeyBundle, Page, PageRequest},
    caller::Caller,
    deletion::{DeletedItem, DeletedKey, Deletion, DeletionMark},
    error::{ErrorKind, KeyVaultError, Result},
    objects::{Head, KeyVersion, Kind, SecretVersion, Stored, Version},
    permission::{KeyPermission, SecretPermission},
    state::Change,
};

impl KeyVaults {
    /// Deletes a key with all its versions. It keeps its name and can be recovered until its scheduled date.
    /// Needs the permission *delete*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::ObjectNotFound`], and those of vault and storage.
    pub fn delete_key(&self, caller: &Caller, vault: &str, name: &str) -> Result<DeletedKey> {
        self.audited(keys::event(caller, Operation::Delete, vault, name, None), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Delete)?;
            let (head, key, deletion, changes) = self.delete_object::<KeyVersion>(&vault, name)?;
            Ok(Done { answer: DeletedKey { key: keys::bundle(&vault, &head, key), deletion }, changes })
        })
    }

    /// A deleted key: its current version, with the public part. Needs the permission *get*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::ObjectNotFound`] when no key of this name is deleted, and those
    /// of vault and storage.
    pub fn deleted_key(&self, caller: &Caller, vault: &str, name: &str) -> Result<DeletedKey> {
        self.audited(keys::event(caller, Operation::Get, vault, name, None), |event| {
            event.set_context(DELETED);
            let vault = self.authorize_key(caller, vault, KeyPermission::Get)?;
            let (head, deletion) = self.find_deleted(&vault, Kind::Key, name)?;
            let key = self.version::<KeyVersion>(&vault, &head.body, None)?.body;
            Ok(Done::reading(DeletedKey { key: keys::bundle(&vault, &head.body, key), deletion }))
        })
    }

    /// The deleted keys of a vault, by name. Needs the permission *list*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], and those of vault and storage.
    pub fn list_deleted_keys(
        &self,
        caller: &Caller,
        vault: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<DeletedItem>> {
        self.audited(keys::event(caller, Operation::List, vault, "", None), |event| {
            event.set_context(DELETED);
            let vault = self.authorize_key(caller, vault, KeyPermission::List)?;
            Ok(Done::reading(self.list_deleted::<KeyVersion>(&vault, page, keys::properties)?))
        })
    }

    /// Brings a deleted key back with all its versions; returns its current version. Needs the permission
    /// *recover*.
    ///
    /// # Errors
    /// As [`deleted_key`](Self::deleted_key).
    pub fn recover_key(&self, caller: &Caller, vault: &str, name: &str) -> Result<KeyBundle> {
        self.audited(keys::event(caller, Operation::Recover, vault, name, None), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Recover)?;
            let (head, key, changes) = self.recover_object::<KeyVersion>(&vault, name)?;
            Ok(Done { answer: keys::bundle(&vault, &head, key), changes })
        })
    }

    /// Ends a deleted key with all its versions, for good, and frees its name. Backup blobs of it stay
    /// usable. Needs the permission *purge*.
    ///
    /// # Errors
    /// As [`deleted_key`](Self::deleted_key), and [`ErrorKind::PurgeProtected`]. Once it has begun it cannot
    /// be stopped: should the storage fail on the way, the key is gone, and
    /// [`purge_due`](Self::purge_due) removes the rest.
    pub fn purge_key(&self, caller: &Caller, vault: &str, name: &str) -> Result<()> {
        let event = keys::event(caller, Operation::Purge, vault, name, None);
        let rest = self.audited(event.clone(), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Purge)?;
            self.purge_object(vault, Kind::Key, name)
        })?;
        rest.map_or(Ok(()), |vault| self.finish_object_purge(&vault, Kind::Key, name, &event))
    }

    /// Deletes a secret with all its versions. It keeps its name and can be recovered until its scheduled
    /// date. Needs the permission *delete*.
    ///
    /// # Errors
    /// As [`delete_key`](Self::delete_key).
    pub fn delete_secret(&self, caller: &Caller, vault: &str, name: &str) -> Result<DeletedItem> {
        self.audited(secrets::event(caller, Operation::Delete, vault, name, None), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Delete)?;
            let (head, secret, deletion, changes) = self.delete_object::<SecretVersion>(&vault, name)?;
            let properties = secrets::properties(&vault, &head, secret);
            Ok(Done { answer: DeletedItem { properties, deletion }, changes })
        })
    }

    /// A deleted secret: its current version, without the value. Needs the permission *get*.
    ///
    /// # Errors
    /// As [`deleted_key`](Self::deleted_key).
    pub fn deleted_secret(&self, caller: &Caller, vault: &str, name: &str) -> Result<DeletedItem> {
        self.audited(secrets::event(caller, Operation::Get, vault, name, None), |event| {
            event.set_context(DELETED);
            let vault = self.authorize_secret(caller, vault, SecretPermission::Get)?;
            let (head, deletion) = self.find_deleted(&vault, Kind::Secret, name)?;
            let secret = self.version::<SecretVersion>(&vault, &head.body, None)?.body;
            let properties = secrets::properties(&vault, &head.body, secret);
            Ok(Done::reading(DeletedItem { properties, deletion }))
        })
    }

    /// The deleted secrets of a vault, by name. Needs the permission *list*.
    ///
    /// # Errors
    /// As [`list_deleted_keys`](Self::list_deleted_keys).
    pub fn list_deleted_secrets(
        &self,
        caller: &Caller,
        vault: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<DeletedItem>> {
        self.audited(secrets::event(caller, Operation::List, vault, "", None), |event| {
            event.set_context(DELETED);
            let vault = self.authorize_secret(caller, vault, SecretPermission::List)?;
            Ok(Done::reading(self.list_deleted::<SecretVersion>(&vault, page, secrets::properties)?))
        })
    }

    /// Brings a deleted secret back with all its versions; returns its current version. Needs the permission
    /// *recover*.
    ///
    /// # Errors
    /// As [`recover_key`](Self::recover_key).
    pub fn recover_secret(&self, caller: &Caller, vault: &str, name: &str) -> Result<ItemProperties> {
        self.audited(secrets::event(caller, Operation::Recover, vault, name, None), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Recover)?;
            let (head, secret, changes) = self.recover_object::<SecretVersion>(&vault, name)?;
            Ok(Done { answer: secrets::properties(&vault, &head, secret), changes })
        })
    }

    /// Ends a deleted secret with all its versions, for good, and frees its name. Needs the permission
    /// *purge*.
    ///
    /// # Errors
    /// As [`purge_key`](Self::purge_key).
    pub fn purge_secret(&self, caller: &Caller, vault: &str, name: &str) -> Result<()> {
        let event = secrets::event(caller, Operation::Purge, vault, name, None);
        let rest = self.audited(event.clone(), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Purge)?;
            self.purge_object(vault, Kind::Secret, name)
        })?;
        rest.map_or(Ok(()), |vault| self.finish_object_purge(&vault, Kind::Secret, name, &event))
    }

    /// The changes that delete an object; its versions stay where they are.
    fn delete_object<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
    ) -> Result<(Head, T, Deletion, Vec<Change>)> {
        let (head, current) = self.find::<T>(vault, name, None)?;
        let mark = DeletionMark::new(self.clock.now(), vault.vault.soft_delete_retention_days);
        let change = mark_head(vault, &head, Some(mark))?;
        Ok((head.body, current.body, mark.deletion, vec![change]))
    }

    fn recover_object<T: Version>(&self, vault: &OpenVault, name: &str) -> Result<(Head, T, Vec<Change>)> {
        let (head, _) = self.find_deleted(vault, T::KIND, name)?;
        let current = self.version::<T>(vault, &head.body, None)?;
        let change = mark_head(vault, &head, None)?;
        Ok((head.body, current.body, vec![change]))
    }

    /// The first batch of a purge that somebody asked for; the answer is the vault where there is more.
    fn purge_object(&self, vault: OpenVault, kind: Kind, name: &str) -> Result<Done<Option<OpenVault>>> {
        let (head, deletion) = self.find_deleted(&vault, kind, name)?;
        if vault.vault.purge_protection {
            return Err(KeyVaultError::new(
                ErrorKind::PurgeProtected,
                format!(
                    "the key vault {} protects the {} {} against purging: it goes at {}, or can be recovered until \
                     then",
                    vault.vault.name,
                    kind.noun(),
                    head.body.name,
                    deletion.scheduled_purge
                ),
            ));
        }
        let Done { answer: is_complete, changes } = self.purge_object_step(&vault, kind, &head)?;
        Ok(Done { answer: (!is_complete).then_some(vault), changes })
    }

    /// The head of a deleted object, while there is a way back.
    fn find_deleted(&self, vault: &OpenVault, kind: Kind, name: &str) -> Result<(Stored<Head>, Deletion)> {
        let found = self.head(vault, kind, name)?.and_then(|head| {
            let deletion = head.body.deletion?.recoverable(self.clock.now())?;
            Some((head, deletion))
        });
        found.ok_or_else(|| {
            let error = no_object(kind, name, vault);
            KeyVaultError::new(error.kind(), format!("{error} that is deleted"))
        })
    }

    fn list_deleted<T: Version>(
        &self,
        vault: &OpenVault,
        page: PageRequest<'_>,
        properties: impl Fn(&OpenVault, &Head, T) -> ItemProperties,
    ) -> Result<Page<DeletedItem>> {
        let now = self.clock.now();
        self.page_of(&T::KIND.heads(&vault.key.id), page, |record| {
            let head = unseal::<Head>(vault, record)?.body;
            let Some(deletion) = head.deletion.and_then(|mark| mark.recoverable(now)) else {
                return Ok(None);
            };
            let current = self.current::<T>(vault, &head)?;
            Ok(current.map(|version| DeletedItem { properties: properties(vault, &head, version), deletion }))
        })
    }
}

/// The change that says of an object that it is deleted, or that it is not.
fn mark_head(vault: &OpenVault, head: &Stored<Head>, deletion: Option<DeletionMark>) -> Result<Change> {
    let body = seal_record(&vault.key, &head.path, &Head { deletion, ..head.body.clone() })?;
    Ok(Change::Replace { path: head.path.clone(), revision: head.revision, body })
}
