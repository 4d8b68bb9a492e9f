//! Recovery Services vaults.

mod change;

use std::{collections::BTreeMap, ops::RangeInclusive};

use cofre_arm::{ApiError, Problem, ResourceId, Result, names};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::change::VaultChange;
use crate::{
    documents::{self, Resource},
    item::ProtectedItem,
    policy::Policy,
    service::Recovery,
};

/// A vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryVault {
    /// Its resource id.
    pub id: ResourceId,
    /// Region: that of every machine it protects.
    pub location: String,
    /// How its storage is replicated.
    pub redundancy: Redundancy,
    /// When it was made.
    pub created: Timestamp,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What becomes of items whose data are deleted.
    #[serde(default)]
    pub soft_delete: SoftDelete,
    /// Whether points may be restored in the other region. Needs [`Redundancy::GeoRedundant`].
    #[serde(default)]
    pub cross_region_restore: bool,
}

/// Whether deleted items stay for a while, in which they can be had back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SoftDeleteState {
    /// They do.
    #[default]
    Enabled,
    /// They go at once.
    Disabled,
    /// They do, and that cannot be changed any more.
    AlwaysOn,
}

/// What becomes of items whose data are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SoftDelete {
    /// Whether they stay for a while.
    pub state: SoftDeleteState,
    /// For how many days: 14 to 180.
    pub retention_days: u32,
}

/// The published bounds of how long deleted items stay, in days.
pub const SOFT_DELETE_DAYS: RangeInclusive<u32> = 14..=180;

impl Default for SoftDelete {
    fn default() -> Self {
        Self { state: SoftDeleteState::Enabled, retention_days: *SOFT_DELETE_DAYS.start() }
    }
}

impl SoftDelete {
    /// Whether deleted items stay for a while.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.state != SoftDeleteState::Disabled
    }
}

/// Storage replication. What it means is up to the storage that the operator provides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redundancy {
    /// Also in another region. The default of the published contract.
    #[default]
    GeoRedundant,
    /// In one place.
    LocallyRedundant,
    /// In several zones of one region.
    ZoneRedundant,
}

impl Resource for RecoveryVault {
    const KIND: &'static str = "vault";
    const NOUN: &'static str = "vault";

    fn id(&self) -> &ResourceId {
        &self.id
    }
}

impl Recovery {
    /// The id that a vault of this name has.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn vault_id(&self, group: &str, name: &str) -> Result<ResourceId> {
        names::check_recovery_vault(name)?;
        ResourceId::resource(&self.place().subscription_id, group, names::RECOVERY_VAULT, name)
    }

    /// Makes a vault and its `DefaultPolicy`.
    ///
    /// # Errors
    /// `InvalidParameter`, `Conflict` when there is one of this name in the subscription, `VaultLimit`.
    pub fn create_vault(
        &self,
        group: &str,
        name: &str,
        location: &str,
        redundancy: Redundancy,
    ) -> Result<RecoveryVault> {
        let change = VaultChange { redundancy: Some(redundancy), ..VaultChange::default() };
        self.new_vault(self.vault_id(group, name)?, location, &change)
    }

    /// Makes a vault, or changes the one there is; says whether it is new.
    ///
    /// # Errors
    /// As [`create_vault`](Self::create_vault) and [`update_vault`](Self::update_vault); `Conflict` when
    /// there is one in another region.
    pub fn put_vault(
        &self,
        group: &str,
        name: &str,
        location: &str,
        change: &VaultChange,
    ) -> Result<(RecoveryVault, bool)> {
        let id = self.vault_id(group, name)?;
        match documents::find::<RecoveryVault>(self.store(), &id)? {
            None => self.new_vault(id, location, change).map(|vault| (vault, true)),
            Some(vault) if !vault.value.location.eq_ignore_ascii_case(location) => {
                let message = format!("the vault {name} is in {}, and cannot be moved", vault.value.location);
                Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Name its region, or make another vault.")
                    .about(&id))
            }
            Some(_) => self.update_vault(&id, change).map(|vault| (vault, false)),
        }
    }

    fn new_vault(&self, id: ResourceId, location: &str, change: &VaultChange) -> Result<RecoveryVault> {
        let name = id.name();
        let others = self.vaults()?;
        if let Some(other) = others.iter().find(|v| v.id.name().eq_ignore_ascii_case(name)) {
            return Err(ApiError::new(
                Problem::Conflict,
                format!("there is a vault {} already", other.id.name()),
            )
            .about(&other.id));
        }
        if others.len() as u64 >= self.settings().limits.vaults {
            let message = format!("the subscription has {} vaults, and may have no more", others.len());
            return Err(ApiError::new(Problem::VaultLimit, message)
                .recommend("Delete a vault that is no longer used."));
        }
        let mut vault = RecoveryVault {
            id,
            location: location.to_owned(),
            redundancy: Redundancy::default(),
            created: self.now(),
            tags: BTreeMap::new(),
            soft_delete: SoftDelete::default(),
            cross_region_restore: false,
        };
        change.apply(&mut vault, false)?;
        let policy = Policy::default_of(&vault.id)?;
        let mut batch = self.batch();
        batch.changes.extend([documents::create(&vault)?, documents::create(&policy)?]);
        batch.events.push(self.event("vault.create", &vault.id, None)?);
        self.commit(&batch)?;
        Ok(vault)
    }

    /// A vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn vault(&self, id: &ResourceId) -> Result<RecoveryVault> {
        documents::load(self.store(), id).map(|v| v.value)
    }

    /// All vaults, by id.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn vaults(&self) -> Result<Vec<RecoveryVault>> {
        documents::list(self.store(), "")
    }

    /// Changes a vault.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for another redundancy while an item is registered, for soft delete that is
    /// always on, and when the vault was changed at the same time; `InvalidParameter`.
    pub fn update_vault(&self, id: &ResourceId, change: &VaultChange) -> Result<RecoveryVault> {
        let mut vault = documents::load::<RecoveryVault>(self.store(), id)?;
        let before = vault.value.clone();
        change.apply(&mut vault.value, self.storage_locked(id)?)?;
        if vault.value == before {
            return Ok(before);
        }
        let mut batch = self.batch();
        batch.changes.push(documents::replace(&vault)?);
        let detail = serde_json::json!({
            "redundancy": vault.value.redundancy,
            "crossRegionRestore": vault.value.cross_region_restore,
            "softDelete": vault.value.soft_delete,
            "tags": vault.value.tags,
        });
        batch.events.push(self.event("vault.update", id, Some(detail))?);
        self.commit(&batch)?;
        Ok(vault.value)
    }

    /// Whether the redundancy of a vault can no longer be changed: an item is registered, protected or
    /// not, deleted softly or not.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn storage_locked(&self, vault: &ResourceId) -> Result<bool> {
        Ok(self.item_below(vault)?.is_some())
    }

    /// Deletes a vault that holds nothing.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` naming what it holds.
    pub fn delete_vault(&self, id: &ResourceId) -> Result<()> {
        let vault = documents::load::<RecoveryVault>(self.store(), id)?;
        let items = documents::list::<ProtectedItem>(self.store(), &id.key())?;
        if !items.is_empty() {
            let names: Vec<_> = items.iter().map(|i| i.friendly_name.as_str()).collect();
            let message = format!(
                "the vault {} holds existing resources within the vault: {}",
                id.name(),
                names.join(", ")
            );
            let error = ApiError::new(Problem::Conflict, message)
                .recommend("Stop their protection and delete their backup data first.");
            return Err(items.iter().fold(error, |e, item| e.about(&item.id)));
        }
        let mut batch = self.batch();
        for document in self.store().list(&id.key(), None, usize::MAX >> 1).map_err(documents::unavailable)? {
            if document.path != id.key() {
                batch.changes.push(cofre_store::Change::Delete {
                    path: document.path,
                    revision: Some(document.revision),
                });
            }
        }
        batch.changes.push(documents::delete(&vault));
        batch.events.push(self.event("vault.delete", id, None)?);
        self.commit(&batch)
    }
}
