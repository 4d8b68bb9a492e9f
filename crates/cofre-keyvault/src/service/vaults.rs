//! Vaults and their access policies. Who may manage a vault was decided by the layer above; who may use
//! what is in it is decided here.

use serde::{Deserialize, Serialize};

use super::{Done, KeyVaults, OpenVault, open_record, seal_record};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    bundle::{Page, PageRequest},
    caller::Caller,
    envelope::{self, RECORD},
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::Kind,
    place::Place,
    policy::{AccessPolicy, Permissions, Principal},
    state::{Change, Record},
    vault::{Vault, VaultSpec, VaultUpdate},
};

/// Where vaults are.
pub(super) const VAULTS: &str = "vaults/";

/// A vault's record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredVault {
    place: Place,
    vault: Vault,
}

fn path(name: &str) -> String {
    format!("{VAULTS}{}", name.to_ascii_lowercase())
}

fn not_found(name: &str) -> KeyVaultError {
    KeyVaultError::new(ErrorKind::VaultNotFound, format!("there is no key vault {name}"))
}

fn event(caller: &Caller, operation: Operation, vault: &str) -> AuditEvent {
    AuditEvent::begin(caller, operation, Scope::Vault, vault, "", None)
}

impl KeyVaults {
    /// Makes a vault, with a key of its own for what will be in it.
    ///
    /// # Errors
    /// [`ErrorKind::VaultExists`], [`ErrorKind::Invalid`], and those of the storage.
    pub fn create_vault(&self, caller: &Caller, spec: &VaultSpec) -> Result<Vault> {
        self.audited(event(caller, Operation::CreateVault, &spec.name), |_| {
            let now = self.clock.now();
            let vault = Vault::new(spec, &self.place, now)?;
            let path = path(&vault.name);
            if self.read(&path)?.is_some() {
                return Err(KeyVaultError::new(
                    ErrorKind::VaultExists,
                    format!("the name {} is taken by another key vault", vault.name),
                ));
            }
            let mut ring = self.open_ring()?;
            let key = ring.ring.add_vault_key(&vault.name, &self.place, now)?;
            let stored = StoredVault { place: self.place.clone(), vault };
            let body = seal_record(&key, &path, &stored)?;
            let changes = vec![self.replace_ring(&ring)?, Change::Create { path, body }];
            Ok(Done { answer: stored.vault, changes })
        })
    }

    /// A vault by its name.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn vault(&self, name: &str) -> Result<Vault> {
        Ok(self.open_vault(name)?.vault)
    }

    /// Vaults of this place, by name. A page may hold fewer than asked for and not be the last.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn list_vaults(&self, page: PageRequest<'_>) -> Result<Page<Vault>> {
        let after = page.after.map(path);
        let records = self.list(VAULTS, after.as_deref(), page.bounded())?;
        let full = records.len() == page.bounded();
        let next = records.last().filter(|_| full).map(|record| record.path[VAULTS.len()..].to_owned());
        let mut items = Vec::new();
        for record in records {
            items.extend(self.unseal_vault(record)?.map(|open| open.vault));
        }
        Ok(Page { items, next })
    }

    /// Changes flags, or all policies at once. Takes effect with the next operation.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], [`ErrorKind::Invalid`], and those of the storage.
    pub fn update_vault(&self, caller: &Caller, name: &str, update: &VaultUpdate) -> Result<Vault> {
        self.change_vault(event(caller, Operation::UpdateVault, name), name, |vault| vault.update(update))
    }

    /// Sets the policy of one principal, in place of the one it had. Takes effect with the next operation.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], [`ErrorKind::Invalid`], and those of the storage.
    pub fn set_access_policy(&self, caller: &Caller, name: &str, policy: &AccessPolicy) -> Result<Vault> {
        let mut event = event(caller, Operation::SetAccessPolicy, name);
        event.set_context(&policy.principal.object_id);
        self.change_vault(event, name, |vault| vault.set_policy(policy))
    }

    /// Removes the policy of one principal; whether there was one makes no difference. Takes effect with
    /// the next operation.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn remove_access_policy(&self, caller: &Caller, name: &str, principal: &Principal) -> Result<Vault> {
        let mut event = event(caller, Operation::RemoveAccessPolicy, name);
        event.set_context(&principal.object_id);
        self.change_vault(event, name, |vault| {
            vault.remove_policy(principal);
            Ok(())
        })
    }

    /// Deletes a vault with all keys and secrets in it, for good. Backup blobs of them stay usable.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn delete_vault(&self, caller: &Caller, name: &str) -> Result<Vault> {
        self.audited(event(caller, Operation::DeleteVault, name), |_| {
            let open = self.open_vault(name)?;
            let mut changes = vec![Change::Delete { path: open.path, revision: open.revision }];
            for kind in [Kind::Key, Kind::Secret] {
                for prefix in [kind.heads(&open.key.id), kind.all_versions(&open.key.id)] {
                    let records = self.list_all(&prefix, usize::MAX)?;
                    changes.extend(
                        records
                            .into_iter()
                            .map(|Record { path, revision, .. }| Change::Delete { path, revision }),
                    );
                }
            }
            Ok(Done { answer: open.vault, changes })
        })
    }

    /// Which of the permissions needed a principal lacks on a vault.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn missing_permissions(
        &self,
        vault: &str,
        principal: &Principal,
        needed: &Permissions,
    ) -> Result<Permissions> {
        Ok(needed.without(&self.open_vault(vault)?.vault.permissions_of(principal)))
    }

    fn change_vault(
        &self,
        event: AuditEvent,
        name: &str,
        mut change: impl FnMut(&mut Vault) -> Result<()>,
    ) -> Result<Vault> {
        self.audited(event, |_| {
            let OpenVault { path, revision, mut vault, key } = self.open_vault(name)?;
            change(&mut vault)?;
            let stored = StoredVault { place: self.place.clone(), vault };
            let body = seal_record(&key, &path, &stored)?;
            Ok(Done { answer: stored.vault, changes: vec![Change::Replace { path, revision, body }] })
        })
    }

    pub(super) fn open_vault(&self, name: &str) -> Result<OpenVault> {
        names::check_vault_name(name)?;
        let record = self.read(&path(name))?.ok_or_else(|| not_found(name))?;
        self.unseal_vault(record)?.ok_or_else(|| not_found(name))
    }

    /// `None` when the vault is of another place: it is as good as not there.
    fn unseal_vault(&self, record: Record) -> Result<Option<OpenVault>> {
        let Record { path, revision, body } = record;
        let damaged = || KeyVaultError::damaged(&path);
        let id = envelope::key_id(RECORD, &body).ok_or_else(damaged)?;
        let key = self.open_ring()?.ring.vault_key(&id, &path[VAULTS.len()..])?.ok_or_else(damaged)?;
        let stored: StoredVault = open_record(&key, &path, &body)?;
        if !stored.place.is_same_as(&self.place) {
            return Ok(None);
        }
        Ok(Some(OpenVault { path, revision, vault: stored.vault, key }))
    }
}
