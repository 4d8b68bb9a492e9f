//! Making, changing and deleting policies.

use std::collections::HashMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result, names};
use serde_json::Value;

use super::{DEFAULT_POLICY, Policy, reading, validation};
use crate::{
    documents::{self, Loaded},
    item::{ProtectedItem, ProtectionState},
    service::Recovery,
    vault::RecoveryVault,
};

impl Recovery {
    /// A policy of a vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn policy(&self, vault: &ResourceId, name: &str) -> Result<Policy> {
        documents::load(self.store(), &vault.child("backupPolicies", name)?).map(|p| p.value)
    }

    /// The policies of a vault.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn policies(&self, vault: &ResourceId) -> Result<Vec<Policy>> {
        documents::list(self.store(), &vault.key())
    }

    /// Makes a policy, or changes it, from `properties` as clients send them; says whether it is new.
    ///
    /// A change takes effect at once on all items that use it: scheduled points that are there get a new
    /// date. Where that is interrupted, the next [`clean_up`](Self::clean_up) of the item goes on with it.
    ///
    /// # Errors
    /// `NotFound` when there is no such vault, `InvalidParameter` naming the field, `VaultLimit` when the
    /// vault has as many policies as it may, `Conflict` when the policy was changed at the same time.
    pub fn put_policy(&self, vault: &ResourceId, name: &str, properties: &Value) -> Result<(Policy, bool)> {
        let vault = documents::load::<RecoveryVault>(self.store(), vault)?.value.id;
        names::check_name("policy", name)?;
        let properties = reading::read(properties)?;
        validation::check(&properties, &self.settings().limits)?;
        let id = vault.child("backupPolicies", name)?;
        let mut batch = self.batch();
        let record = serde_json::to_value(&properties).ok();
        let Some(mut stored) = documents::find::<Policy>(self.store(), &id)? else {
            self.check_policy_limit(&vault)?;
            let policy = Policy { id, properties, scheduled_since: Some(self.now()) };
            batch.changes.push(documents::create(&policy)?);
            batch.events.push(self.event("policy.create", &policy.id, record)?);
            self.commit(&batch)?;
            return Ok((policy, true));
        };
        let before = &stored.value.properties;
        if before.time_zone != properties.time_zone || before.schedule_policy != properties.schedule_policy {
            stored.value.scheduled_since = Some(self.now());
        }
        stored.value.properties = properties;
        batch.changes.push(documents::replace(&stored)?);
        batch.events.push(self.event("policy.update", &stored.value.id, record)?);
        self.commit(&batch)?;
        cofre_repo::failpoint::reached("policy.stored");
        for item in self.policy_items(&stored.value.id)? {
            self.redate(&item.id)?;
        }
        Ok((stored.value, false))
    }

    fn check_policy_limit(&self, vault: &ResourceId) -> Result<()> {
        let (there, most) = (self.policies(vault)?.len() as u64, self.settings().limits.policies_per_vault);
        if there < most {
            return Ok(());
        }
        let message = format!("the vault {} has {there} policies, and may have no more", vault.name());
        Err(ApiError::new(Problem::VaultLimit, message)
            .recommend("Delete a policy that no machine uses, or change one.")
            .about(vault))
    }

    /// Deletes a policy that no item uses.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for `DefaultPolicy`, and naming the items that use it.
    pub fn delete_policy(&self, vault: &ResourceId, name: &str) -> Result<()> {
        let policy: Loaded<Policy> = documents::load(self.store(), &vault.child("backupPolicies", name)?)?;
        let id = policy.value.id.clone();
        if id.name().eq_ignore_ascii_case(DEFAULT_POLICY) {
            let message = format!("every vault has the policy {DEFAULT_POLICY}: it cannot be deleted");
            return Err(ApiError::new(Problem::Conflict, message)
                .recommend("Change it, or use another policy.")
                .about(&id));
        }
        let items = self.policy_items(&id)?;
        if !items.is_empty() {
            let names: Vec<_> = items.iter().map(|i| i.friendly_name.as_str()).collect();
            let message = format!("the policy {} is used by: {}", id.name(), names.join(", "));
            let error = ApiError::new(Problem::Conflict, message)
                .recommend("Give these machines another policy, or stop their protection, then delete it.");
            return Err(items.iter().fold(error, |e, item| e.about(&item.id)));
        }
        let mut batch = self.batch();
        batch.changes.push(documents::delete(&policy));
        batch.events.push(self.event("policy.delete", &id, None)?);
        self.commit(&batch)
    }

    /// The items that are protected by a policy. One whose protection is stopped uses none.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn policy_items(&self, policy: &ResourceId) -> Result<Vec<ProtectedItem>> {
        let key = policy.key();
        let vault = key.rsplit_once("/backuppolicies/").map_or(key.as_str(), |(vault, _)| vault);
        let mut items = documents::list::<ProtectedItem>(self.store(), vault)?;
        items.retain(|i| i.policy_id == *policy && uses_a_policy(i));
        Ok(items)
    }

    /// How many items each policy of a vault protects; those that protect none are not in it.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn policy_item_counts(&self, vault: &ResourceId) -> Result<HashMap<ResourceId, u64>> {
        let mut counts = HashMap::new();
        for item in self.items(Some(vault))?.into_iter().filter(uses_a_policy) {
            *counts.entry(item.policy_id).or_default() += 1;
        }
        Ok(counts)
    }
}

fn uses_a_policy(item: &ProtectedItem) -> bool {
    item.protection_state != ProtectionState::ProtectionStopped
}
