//! Vaults that are deleted: what becomes of them until they are recovered or purged.

use super::{
    Done, KeyVaults, OpenVault,
    vaults::{VAULTS, event, not_found, path},
};
use crate::{
    audit::{AuditEvent, Operation},
    bundle::{Page, PageRequest},
    caller::Caller,
    deletion::{DeletedVault, Deletion, DeletionMark},
    error::{ErrorKind, KeyVaultError, Result},
    state::Change,
    vault::Vault,
};

impl KeyVaults {
    /// Deletes a vault with all keys and secrets in it. It keeps its name and can be recovered until its
    /// scheduled date; until then nothing in it can be reached. Backup blobs of its keys stay usable.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn delete_vault(&self, caller: &Caller, name: &str) -> Result<DeletedVault> {
        self.audited(event(caller, Operation::DeleteVault, name), |_| {
            let open = self.open_vault(name)?;
            let mark = DeletionMark::new(self.clock.now(), open.vault.soft_delete_retention_days);
            let changes = vec![self.mark_vault(&open, Some(mark))?];
            Ok(Done { answer: DeletedVault { vault: open.vault, deletion: mark.deletion }, changes })
        })
    }

    /// A deleted vault by its name.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn deleted_vault(&self, name: &str) -> Result<DeletedVault> {
        let (open, deletion) = self.find_deleted_vault(name)?;
        Ok(DeletedVault { vault: open.vault, deletion })
    }

    /// Deleted vaults of this place that can be recovered, by name.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn list_deleted_vaults(&self, page: PageRequest<'_>) -> Result<Page<DeletedVault>> {
        let now = self.clock.now();
        self.page_of(VAULTS, page, |record| {
            let Some(open) = self.unseal_vault(record)? else { return Ok(None) };
            let deletion = open.deletion.and_then(|mark| mark.recoverable(now));
            Ok(deletion.map(|deletion| DeletedVault { vault: open.vault, deletion }))
        })
    }

    /// Brings a deleted vault back with all that is in it. What was deleted in it before stays deleted.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`] when no vault of this name is deleted, and those of the storage.
    pub fn recover_vault(&self, caller: &Caller, name: &str) -> Result<Vault> {
        self.audited(event(caller, Operation::RecoverVault, name), |_| {
            let (open, _) = self.find_deleted_vault(name)?;
            let changes = vec![self.mark_vault(&open, None)?];
            Ok(Done { answer: open.vault, changes })
        })
    }

    /// Ends a deleted vault with all keys and secrets in it, for good, and frees its name. Backup blobs of
    /// its keys stay usable.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`] when no vault of this name is deleted, [`ErrorKind::PurgeProtected`], and
    /// those of the storage. Once it has begun it cannot be stopped: should the storage fail on the way, the
    /// vault is gone, and [`purge_due`](Self::purge_due) removes the rest.
    pub fn purge_vault(&self, caller: &Caller, name: &str) -> Result<()> {
        let event = event(caller, Operation::PurgeVault, name);
        let is_complete = self.audited(event.clone(), |_| {
            let (open, deletion) = self.find_deleted_vault(name)?;
            if open.vault.purge_protection {
                return Err(KeyVaultError::new(
                    ErrorKind::PurgeProtected,
                    format!(
                        "the key vault {} is protected against purging: it goes at {}, or can be recovered until \
                         then",
                        open.vault.name, deletion.scheduled_purge
                    ),
                ));
            }
            self.purge_vault_step(&open)
        })?;
        if is_complete { Ok(()) } else { self.finish_vault_purge(name, &event) }
    }

    /// Refuses a name that a vault has or that a deleted one holds. What is left of one whose scheduled date
    /// has come is removed.
    pub(super) fn claim_vault_name(&self, name: &str, event: &AuditEvent) -> Result<()> {
        let Some(record) = self.read(&path(name))? else { return Ok(()) };
        let mark = self.unseal_vault(record)?.and_then(|open| open.deletion);
        let Some(mark) = mark else {
            return Err(KeyVaultError::new(
                ErrorKind::VaultExists,
                format!("the name {name} is taken by another key vault"),
            ));
        };
        match mark.recoverable(self.clock.now()) {
            None => self.finish_vault_purge(name, event),
            Some(deletion) => Err(KeyVaultError::new(
                ErrorKind::SoftDeleted,
                format!(
                    "the name {name} is held by a deleted key vault until {}: recover it, or purge it",
                    deletion.scheduled_purge
                ),
            )),
        }
    }

    fn find_deleted_vault(&self, name: &str) -> Result<(OpenVault, Deletion)> {
        let open = self.find_vault(name)?;
        let deletion = open.deletion.and_then(|mark| mark.recoverable(self.clock.now()));
        deletion.map(|deletion| (open, deletion)).ok_or_else(|| {
            let error = not_found(name);
            KeyVaultError::new(error.kind(), format!("{error} that is deleted"))
        })
    }

    /// The change that says of a vault that it is deleted, or that it is not.
    pub(super) fn mark_vault(&self, open: &OpenVault, deletion: Option<DeletionMark>) -> Result<Change> {
        let body = self.seal_vault(&open.key, &open.path, &open.vault, deletion)?;
        Ok(Change::Replace { path: open.path.clone(), revision: open.revision, body })
    }
}
