//! Putting a machine under a vault's protection.

use cofre_arm::{ApiError, Problem, ResourceId, Result, names};
use cofre_compute::{DataDisk, EncryptionClass, VirtualMachine};
use cofre_store::Change;
use serde::{Deserialize, Serialize};

use crate::{
    checks,
    documents::{self, Resource, unavailable},
    item::{HealthStatus, ProtectedItem, ProtectionState},
    job::{Finished, Operation},
    policy::Policy,
    service::Recovery,
    vault::RecoveryVault,
};

/// Says which item protects a machine. Its path holds the machine's id, so that two vaults cannot both
/// create one.
#[derive(Debug, Serialize, Deserialize)]
struct Protection {
    item: ResourceId,
}

/// What these paths begin with; the machine's own follows.
pub(crate) const PROTECTION: &str = "/protection";

pub(crate) fn protection_path(machine: &ResourceId) -> String {
    format!("{PROTECTION}{}", machine.key())
}

/// What enabling would need, or why it is refused.
#[derive(Debug)]
pub struct Eligibility {
    /// How the machine is encrypted.
    pub class: EncryptionClass,
    /// The key vaults it names, which the backup service must be able to read.
    pub key_vaults: Vec<ResourceId>,
}

impl Recovery {
    /// Runs the checks V1 to V13 in their order; changes nothing. V1, the caller's rights, has been
    /// passed by whoever can use the home.
    ///
    /// # Errors
    /// The first check that fails: `VmNotFound`, `ClassicEncryptedVm`, `RegionMismatch`,
    /// `AlreadyProtected`, `UnsupportedDisk`, `ProvisioningStateFailed`, `VmState`, `BekOnly`,
    /// `KeyUrlNotVersioned`, `KeyVaultUnreachable`, `KeyVaultPermissions`, `KeyVersionNotFound`,
    /// `VaultLimit`, `PolicyItemLimit`.
    pub fn check_protection(
        &self,
        vault: &ResourceId,
        machine: &ResourceId,
        policy: &str,
    ) -> Result<Eligibility> {
        let vault = documents::load::<RecoveryVault>(self.store(), vault)?.value;
        let policy = self.policy(&vault.id, policy)?;
        self.checked(&vault, machine, &policy).map(|(machine, keys)| {
            let mut key_vaults: Vec<ResourceId> = Vec::new();
            for id in keys.into_iter().flat_map(|k| [k.secret_vault, k.key_vault]) {
                if !key_vaults.contains(&id) {
                    key_vaults.push(id);
                }
            }
            Eligibility { class: machine.encryption_class(), key_vaults }
        })
    }

    fn checked(
        &self,
        vault: &RecoveryVault,
        machine: &ResourceId,
        policy: &Policy,
    ) -> Result<(VirtualMachine, Vec<checks::NamedKeys>)> {
        let machine = self.machine(machine)?;
        if !machine.location.eq_ignore_ascii_case(&vault.location) {
            let message = format!(
                "{} is in {}, the vault {} in {}",
                machine.name(),
                machine.location,
                vault.id.name(),
                vault.location
            );
            return Err(ApiError::new(Problem::RegionMismatch, message).about(&machine.id));
        }
        if let Some(item) = self.protecting(&machine.id)? {
            let message = format!("{} is protected already", machine.name());
            return Err(ApiError::new(Problem::AlreadyProtected, message).about(item));
        }
        checks::check_model(self, &machine)?;
        self.check_disk_sizes(&machine)?;
        let keys = checks::check_keys(self, &machine)?;
        let limits = &self.settings().limits;
        let items = self.count_items(&vault.id)?;
        if items >= limits.machines_per_vault {
            let message =
                format!("the vault {} protects {items} machines, and may protect no more", vault.id.name());
            return Err(ApiError::new(Problem::VaultLimit, message).about(&vault.id));
        }
        self.check_policy_users(&vault.id, policy, None)?;
        Ok((machine, keys))
    }

    /// V6, for as much as can be seen while the machine may be running.
    fn check_disk_sizes(&self, machine: &VirtualMachine) -> Result<()> {
        let snapshot = match self.snapshot(machine) {
            Ok(snapshot) => snapshot,
            Err(e) if e.problem() == Problem::VmState => return Ok(()),
            Err(e) => return Err(e.about(&machine.id)),
        };
        let most = self.settings().limits.disk_bytes;
        match snapshot.disks.iter().find(|d| d.source.size() > most) {
            None => Ok(()),
            Some(disk) => {
                let (name, size) = (&disk.name, disk.source.size());
                let message = format!(
                    "disk {name} of {} has {size} bytes, at most {most} are backed up",
                    machine.name()
                );
                Err(ApiError::new(Problem::UnsupportedDisk, message).about(&machine.id))
            }
        }
    }

    /// The item that protects a machine.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn protecting(&self, machine: &ResourceId) -> Result<Option<ResourceId>> {
        let document = self.store().read(&protection_path(machine)).map_err(unavailable)?;
        let Some(document) = document else { return Ok(None) };
        let protection: Protection = serde_json::from_slice(&document.body).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, format!("the record {} cannot be read", document.path))
                .because(e)
        })?;
        Ok(Some(protection.item))
    }

    /// Protects a machine: makes its item, but no recovery point. Where the same vault protects it already, its policy
    /// changes; where that was stopped, it goes on. A refusal leaves no item and no job.
    ///
    /// # Errors
    /// As [`check_protection`](Self::check_protection), [`change_policy`](Self::change_policy) and
    /// [`resume_protection`](Self::resume_protection).
    pub fn enable_protection(
        &self,
        vault: &ResourceId,
        machine: &ResourceId,
        policy: &str,
    ) -> Result<Finished<ProtectedItem>> {
        let vault = documents::load::<RecoveryVault>(self.store(), vault)?.value;
        let policy = self.policy(&vault.id, policy)?;
        if let Some(id) = self.protecting(machine)?
            && let Some(item) = documents::find::<ProtectedItem>(self.store(), &id)?
            && item.value.vault_id.key() == vault.id.key()
        {
            return match item.value.protection_state {
                ProtectionState::ProtectionStopped => self.resume_protection(&id, policy.id.name()),
                _ => self.change_policy(&id, policy.id.name()),
            };
        }
        let (machine, _) = self.checked(&vault, machine, &policy)?;
        let group = machine.id.resource_group().unwrap_or_default();
        let item = ProtectedItem {
            id: vault
                .id
                .child("backupFabrics", "Azure")?
                .child("protectionContainers", &names::container(group, machine.name()))?
                .child("protectedItems", &names::item(group, machine.name()))?,
            vault_id: vault.id.clone(),
            friendly_name: machine.name().to_owned(),
            source_resource_id: machine.id.clone(),
            policy_id: policy.id,
            protection_state: ProtectionState::IRPending,
            health_status: HealthStatus::Passed,
            health_details: Vec::new(),
            last_backup_status: None,
            last_backup_time: None,
            last_point_time: None,
            repository: None,
            created: self.now(),
            last_slot: None,
            deletion: None,
        };
        self.at_once(&item, Operation::ConfigureBackup, || {
            let mut batch = self.batch();
            batch.changes = self.protection_changes(&item, &machine.id)?;
            batch.events.push(self.event("protection.enable", &item.id, None)?);
            Ok((batch, item.clone()))
        })
    }

    /// V13: how many machines a policy may have. Those that are stopped do not count, nor does `except`.
    pub(crate) fn check_policy_users(
        &self,
        vault: &ResourceId,
        policy: &Policy,
        except: Option<&ResourceId>,
    ) -> Result<()> {
        // As long as the vault has fewer than one policy may have, nobody has to look which they follow.
        if self.count_items(vault)? < self.settings().limits.machines_per_policy {
            return Ok(());
        }
        let items = self.items(Some(vault))?;
        let users =
            items.iter().filter(|i| i.active_policy() == Some(policy.id()) && Some(&i.id) != except).count();
        if users as u64 >= self.settings().limits.machines_per_policy {
            let message =
                format!("the policy {} has {users} machines, and may have no more", policy.id.name());
            return Err(ApiError::new(Problem::PolicyItemLimit, message).about(&policy.id));
        }
        Ok(())
    }

    /// How many items a vault has, whatever became of their protection.
    fn count_items(&self, vault: &ResourceId) -> Result<u64> {
        self.store().count_kind(ProtectedItem::KIND, &vault.key()).map_err(unavailable)
    }

    fn protection_changes(&self, item: &ProtectedItem, machine: &ResourceId) -> Result<Vec<Change>> {
        let body = serde_json::to_vec(&Protection { item: item.id.clone() })
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(e))?;
        let marker = Change::Create { path: protection_path(machine), kind: "protection".to_owned(), body };
        Ok(vec![marker, documents::create(item)?])
    }
}

/// The slot of a disk: that of a data disk, none for the one the machine boots from.
#[must_use]
pub fn lun(machine: &VirtualMachine, disk: &str) -> Option<u32> {
    machine.data_disks.iter().find(|d: &&DataDisk| d.disk.name == disk).map(|d| d.lun)
}
