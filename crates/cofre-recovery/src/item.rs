//! Protected items: machines that a vault backs up.

use std::collections::HashMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Page, Resource},
    points::VISIBLE,
    service::Recovery,
};

/// A protected item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedItem {
    /// Its resource id, below the vault's.
    pub id: ResourceId,
    /// The vault.
    pub vault_id: ResourceId,
    /// Name of the machine.
    pub friendly_name: String,
    /// The machine.
    pub source_resource_id: ResourceId,
    /// The policy.
    pub policy_id: ResourceId,
    /// How protection stands.
    pub protection_state: ProtectionState,
    /// Whether something has to be done.
    pub health_status: HealthStatus,
    /// What has to be done.
    #[serde(default)]
    pub health_details: Vec<HealthDetail>,
    /// How the last backup ended.
    pub last_backup_status: Option<String>,
    /// When the last backup ended.
    pub last_backup_time: Option<Timestamp>,
    /// The time of its newest recovery point, as the backup that made it noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_point_time: Option<Timestamp>,
    /// Its repository, once there is one.
    pub repository: Option<ItemRepository>,
    /// Since when it is protected.
    pub created: Timestamp,
    /// The time of the schedule that was handled last: nothing older is made up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<Timestamp>,
    /// That what was backed up is to go, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// What was backed up of an item is to go. Until then nothing is restored from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// When it was asked for.
    pub at: Timestamp,
    /// When it goes for good.
    pub purge_due: Timestamp,
    /// Whether it has begun to go, so that the deletion cannot be taken back any more.
    #[serde(default)]
    pub removing: bool,
}

/// The repository of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemRepository {
    /// Its id, the name of its folder.
    pub id: String,
    /// Its secret, sealed under the service key.
    pub sealed_secret: String,
}

/// How protection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtectionState {
    /// Protected; the first backup is still to come.
    IRPending,
    /// There is at least one recovery point.
    Protected,
    /// Stopped; what is there is kept.
    ProtectionStopped,
}

/// Whether something has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Nothing.
    Passed,
    /// Something: backups do not work until then.
    ActionRequired,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthDetail {
    /// Machine code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub recommendations: Vec<String>,
}

impl Resource for ProtectedItem {
    const KIND: &'static str = "item";
    const NOUN: &'static str = "protected item";

    fn id(&self) -> &ResourceId {
        &self.id
    }
}

impl ProtectedItem {
    /// The policy that backups follow; none while the protection is stopped.
    #[must_use]
    pub fn active_policy(&self) -> Option<&ResourceId> {
        (self.protection_state != ProtectionState::ProtectionStopped).then_some(&self.policy_id)
    }

    /// Refuses what cannot be done while the item is to be deleted.
    pub(crate) fn refuse_deleted(&self) -> Result<()> {
        let Some(deletion) = &self.deletion else { return Ok(()) };
        let message = format!(
            "the backup data of {} were deleted at {}, and go for good at {}",
            self.friendly_name, deletion.at, deletion.purge_due
        );
        let error = ApiError::new(Problem::Conflict, message).about(&self.id);
        Err(if deletion.removing {
            error.recommend("They are being removed now; protect the machine anew when they are gone.")
        } else {
            error.recommend("Take the deletion back first: `cofre protection undelete`.")
        })
    }

    /// Notes what a failed backup asks for.
    pub(crate) fn ail(&mut self, error: &ApiError) {
        self.health_status = HealthStatus::ActionRequired;
        self.health_details = vec![HealthDetail {
            code: error.code().to_owned(),
            message: error.in_full(),
            recommendations: vec![error.recommendation().to_owned()],
        }];
    }

    /// Notes that nothing has to be done.
    pub(crate) fn recover(&mut self) {
        self.health_status = HealthStatus::Passed;
        self.health_details.clear();
    }
}

impl Recovery {
    /// A protected item.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn item(&self, id: &ResourceId) -> Result<ProtectedItem> {
        documents::load(self.store(), id).map(|i| i.value)
    }

    /// The protected items of a vault, or of all.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn items(&self, vault: Option<&ResourceId>) -> Result<Vec<ProtectedItem>> {
        documents::list(self.store(), &vault.map(ResourceId::key).unwrap_or_default())
    }

    /// At most `limit` of the items of a vault that are wanted, by id, after the mark of the page before.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn items_page(
        &self,
        vault: &ResourceId,
        after: Option<&str>,
        limit: usize,
        wanted: impl FnMut(&ProtectedItem) -> bool,
    ) -> Result<Page<ProtectedItem>> {
        let below = vault.key();
        let read = |after: Option<&str>, limit: usize| {
            self.store().list_kind(ProtectedItem::KIND, &below, after, limit)
        };
        documents::page(read, after, limit, wanted)
    }

    /// The first item at and below a path of a vault, such as its container.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn item_below(&self, path: &ResourceId) -> Result<Option<ProtectedItem>> {
        Ok(self.items_page(path, None, 1, |_| true)?.items.pop())
    }

    /// The time of the newest recovery point that is there, for each of the items that has one, by the item's key.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn latest_points<'a>(
        &self,
        items: impl IntoIterator<Item = &'a ResourceId>,
    ) -> Result<HashMap<String, Timestamp>> {
        let keys: Vec<_> = items.into_iter().map(ResourceId::key).collect();
        let found = self.store().latest_points(&keys, VISIBLE).map_err(documents::unavailable)?;
        Ok(found.into_iter().collect())
    }

    /// The item of a vault whose machine, or which itself, is called so.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when several machines are called so.
    pub fn item_named(&self, vault: &ResourceId, name: &str) -> Result<ProtectedItem> {
        let fits = |i: &ProtectedItem| {
            i.friendly_name.eq_ignore_ascii_case(name) || i.id.name().eq_ignore_ascii_case(name)
        };
        let mut items = self.items(Some(vault))?.into_iter().filter(fits);
        match (items.next(), items.next()) {
            (Some(item), None) => Ok(item),
            (None, _) => {
                let message = format!("the vault {} protects no machine {name}", vault.name());
                Err(ApiError::new(Problem::NotFound, message).about(vault))
            }
            (Some(_), Some(_)) => {
                let message = format!("the vault {} protects several machines {name}", vault.name());
                Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Give the item's full name, with its group."))
            }
        }
    }
}
