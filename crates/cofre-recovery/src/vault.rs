//! Recovery Services vaults.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result, names};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
        let id = self.vault_id(group, name)?;
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
        let vault = RecoveryVault {
            id,
            location: location.to_owned(),
            redundancy,
            created: self.now(),
            tags: BTreeMap::new(),
        };
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
