//! Vaults and their access policies. Who may manage a vault was decided by the layer above; who may use
//! what is in it is decided here.

use serde::{Deserialize, Serialize};

use super::{Done, KeyVaults, OpenVault, open_record, seal_record};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    bundle::{Page, PageRequest},
    caller::Caller,
    deletion::DeletionMark,
    envelope::{self, NamedKey, RECORD},
    error::{ErrorKind, KeyVaultError, Result},
    names,
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
    /// When it is deleted; the record stays in its place and so holds the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionMark>,
}

pub(super) fn path(name: &str) -> String {
    format!("{VAULTS}{}", name.to_ascii_lowercase())
}

pub(super) fn not_found(name: &str) -> KeyVaultError {
    KeyVaultError::new(ErrorKind::VaultNotFound, format!("there is no key vault {name}"))
}

pub(super) fn event(caller: &Caller, operation: Operation, vault: &str) -> AuditEvent {
    AuditEvent::begin(caller, operation, Scope::Vault, vault, "", None)
}

impl KeyVaults {
    /// Makes a vault, with a key of its own for what will be in it.
    ///
    /// # Errors
    /// [`ErrorKind::VaultExists`], [`ErrorKind::SoftDeleted`], [`ErrorKind::Invalid`], and those of the storage.
    pub fn create_vault(&self, caller: &Caller, spec: &VaultSpec) -> Result<Vault> {
        self.audited(event(caller, Operation::CreateVault, &spec.name), |event| {
            let now = self.clock.now();
            let vault = Vault::new(spec, &self.place, now)?;
            let path = path(&vault.name);
            self.claim_vault_name(&vault.name, event)?;
            let mut ring = self.open_ring()?;
            let key = ring.ring.add_vault_key(&vault.name, &self.place, now)?;
            let body = self.seal_vault(&key, &path, &vault, None)?;
            let changes = vec![self.replace_ring(&ring)?, Change::Create { path, body }];
            Ok(Done { answer: vault, changes })
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
        self.page_of(VAULTS, page, |record| {
            let open = self.unseal_vault(record)?.filter(|open| open.deletion.is_none());
            Ok(open.map(|open| open.vault))
        })
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

    /// Which of the permissions needed a principal lacks on a vault: by its access policies, or, where it is
    /// role-based, by roles.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`], and those of the storage.
    pub fn missing_permissions(
        &self,
        vault: &str,
        principal: &Principal,
        needed: &Permissions,
    ) -> Result<Permissions> {
        let open = self.open_vault(vault)?;
        Ok(needed.without(&self.permissions_in(&open.vault, principal)?))
    }

    fn change_vault(
        &self,
        event: AuditEvent,
        name: &str,
        mut change: impl FnMut(&mut Vault) -> Result<()>,
    ) -> Result<Vault> {
        self.audited(event, |_| {
            let OpenVault { path, revision, mut vault, key, deletion } = self.open_vault(name)?;
            change(&mut vault)?;
            let body = self.seal_vault(&key, &path, &vault, deletion)?;
            Ok(Done { answer: vault, changes: vec![Change::Replace { path, revision, body }] })
        })
    }

    /// The record of a vault, sealed under its own key.
    pub(super) fn seal_vault(
        &self,
        key: &NamedKey,
        path: &str,
        vault: &Vault,
        deletion: Option<DeletionMark>,
    ) -> Result<Vec<u8>> {
        seal_record(key, path, &StoredVault { place: self.place.clone(), vault: vault.clone(), deletion })
    }

    /// A vault that is not deleted.
    pub(super) fn open_vault(&self, name: &str) -> Result<OpenVault> {
        let open = self.find_vault(name)?;
        let Some(mark) = open.deletion else { return Ok(open) };
        let deletion = mark.recoverable(self.clock.now()).ok_or_else(|| not_found(name))?;
        Err(KeyVaultError::new(
            ErrorKind::VaultNotFound,
            format!(
                "the key vault {} was deleted: it can be recovered until {}",
                open.vault.name, deletion.scheduled_purge
            ),
        ))
    }

    /// A vault, be it deleted or not.
    pub(super) fn find_vault(&self, name: &str) -> Result<OpenVault> {
        names::check_vault_name(name)?;
        let record = self.read(&path(name))?.ok_or_else(|| not_found(name))?;
        self.unseal_vault(record)?.ok_or_else(|| not_found(name))
    }

    /// `None` when the vault is of another place: it is as good as not there.
    pub(super) fn unseal_vault(&self, record: Record) -> Result<Option<OpenVault>> {
        let Record { path, revision, body } = record;
        let damaged = || KeyVaultError::damaged(&path);
        let id = envelope::key_id(RECORD, &body).ok_or_else(damaged)?;
        let key = self.open_ring()?.ring.vault_key(&id, &path[VAULTS.len()..])?.ok_or_else(damaged)?;
        let stored: StoredVault = open_record(&key, &path, &body)?;
        if !stored.place.is_same_as(&self.place) {
            return Ok(None);
        }
        Ok(Some(OpenVault { path, revision, vault: stored.vault, key, deletion: stored.deletion }))
    }
}
