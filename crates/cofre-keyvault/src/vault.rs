//! Key vaults as resources.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    attributes::{self, Tags},
    deletion::{DEFAULT_RETENTION_DAYS, LEAST_RETENTION_DAYS, Recovery},
    error::{KeyVaultError, Result},
    names,
    place::Place,
    policy::{AccessPolicy, Permissions, Principal},
};

/// Most access policies of one vault, as published.
const MOST_POLICIES: usize = 1024;
/// Longest resource id, location and the like, in bytes.
const LONGEST_TEXT: usize = 2048;

/// A key vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vault {
    /// The resource id.
    pub id: String,
    /// The name, unique in the whole installation without regard to case.
    pub name: String,
    /// The region.
    pub location: String,
    /// The directory its callers come from.
    pub tenant: String,
    /// The platform may hand its secrets to a booting machine, and proofs may be made.
    pub enabled_for_disk_encryption: bool,
    /// Kept and shown.
    pub enabled_for_deployment: bool,
    /// Kept and shown.
    pub enabled_for_template_deployment: bool,
    /// Who may do what; at most one policy a principal.
    pub access_policies: Vec<AccessPolicy>,
    /// When it was made.
    pub created: Timestamp,
    /// Tags of the resource.
    #[serde(default)]
    pub tags: Tags,
    /// Whether its sku is `premium`, else `standard`. Kept and shown.
    #[serde(default)]
    pub premium: bool,
    /// Days that it, and what is deleted in it, can be recovered: 7 to 90.
    #[serde(default = "default_retention_days")]
    pub soft_delete_retention_days: u8,
    /// Whether nothing of it may be purged before these days are over. Stays on once it is.
    #[serde(default)]
    pub purge_protection: bool,
    /// Whether roles say who may do what; access policies are then kept and not looked at.
    #[serde(default)]
    pub role_based: bool,
}

/// Of vaults that were stored before there was a choice.
fn default_retention_days() -> u8 {
    DEFAULT_RETENTION_DAYS
}

/// What a vault is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultSpec {
    /// The resource id; begins with `/subscriptions/` and the service's own subscription.
    pub id: String,
    /// The name: 3 to 24 letters, digits and hyphens.
    pub name: String,
    /// The region.
    pub location: String,
    /// The directory its callers come from.
    pub tenant: String,
    /// See [`Vault::enabled_for_disk_encryption`].
    pub enabled_for_disk_encryption: bool,
    /// See [`Vault::enabled_for_deployment`].
    pub enabled_for_deployment: bool,
    /// See [`Vault::enabled_for_template_deployment`].
    pub enabled_for_template_deployment: bool,
    /// See [`Vault::access_policies`].
    pub access_policies: Vec<AccessPolicy>,
    /// See [`Vault::tags`].
    #[serde(default)]
    pub tags: Tags,
    /// See [`Vault::premium`].
    #[serde(default)]
    pub premium: bool,
    /// See [`Vault::soft_delete_retention_days`]; `None` is 90.
    #[serde(default)]
    pub soft_delete_retention_days: Option<u8>,
    /// See [`Vault::purge_protection`].
    #[serde(default)]
    pub purge_protection: bool,
    /// See [`Vault::role_based`].
    #[serde(default)]
    pub role_based: bool,
}

/// What is to change; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VaultUpdate {
    /// See [`Vault::enabled_for_disk_encryption`].
    pub enabled_for_disk_encryption: Option<bool>,
    /// See [`Vault::enabled_for_deployment`].
    pub enabled_for_deployment: Option<bool>,
    /// See [`Vault::enabled_for_template_deployment`].
    pub enabled_for_template_deployment: Option<bool>,
    /// All policies anew.
    pub access_policies: Option<Vec<AccessPolicy>>,
    /// All tags anew.
    pub tags: Option<Tags>,
    /// See [`Vault::premium`].
    pub premium: Option<bool>,
    /// See [`Vault::soft_delete_retention_days`]; must be what it is.
    pub soft_delete_retention_days: Option<u8>,
    /// See [`Vault::purge_protection`]; cannot be switched off.
    pub purge_protection: Option<bool>,
    /// See [`Vault::role_based`].
    pub role_based: Option<bool>,
}

impl Vault {
    pub(crate) fn new(spec: &VaultSpec, place: &Place, created: Timestamp) -> Result<Self> {
        names::check_vault_name(&spec.name)?;
        let mut segments = spec.id.split('/');
        let in_subscription = segments.next() == Some("")
            && segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case("subscriptions"))
            && segments.next().is_some_and(|segment| segment.to_lowercase() == place.subscription);
        if !in_subscription {
            return Err(KeyVaultError::invalid(format!(
                "the resource id of the key vault {} lies outside the subscription {}",
                spec.name, place.subscription
            )));
        }
        for text in [&spec.id, &spec.location, &spec.tenant] {
            if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
                return Err(KeyVaultError::invalid(
                    "a property of the key vault is too long or not plain text",
                ));
            }
        }
        let vault = Self {
            id: spec.id.clone(),
            name: spec.name.clone(),
            location: spec.location.clone(),
            tenant: spec.tenant.clone(),
            enabled_for_disk_encryption: spec.enabled_for_disk_encryption,
            enabled_for_deployment: spec.enabled_for_deployment,
            enabled_for_template_deployment: spec.enabled_for_template_deployment,
            access_policies: spec.access_policies.clone(),
            created,
            tags: spec.tags.clone(),
            premium: spec.premium,
            soft_delete_retention_days: spec.soft_delete_retention_days.unwrap_or(DEFAULT_RETENTION_DAYS),
            purge_protection: spec.purge_protection,
            role_based: spec.role_based,
        };
        if !(LEAST_RETENTION_DAYS..=DEFAULT_RETENTION_DAYS).contains(&vault.soft_delete_retention_days) {
            return Err(KeyVaultError::invalid(format!(
                "what is deleted can be recovered for {LEAST_RETENTION_DAYS} to {DEFAULT_RETENTION_DAYS} days, \
                 not for {}",
                vault.soft_delete_retention_days
            )));
        }
        attributes::check_vault_tags(&vault.tags)?;
        vault.check_policies()?;
        Ok(vault)
    }

    pub(crate) fn update(&mut self, update: &VaultUpdate) -> Result<()> {
        if update.soft_delete_retention_days.is_some_and(|days| days != self.soft_delete_retention_days) {
            return Err(KeyVaultError::invalid(format!(
                "the days that what is deleted in the key vault {} can be recovered were set to {} when it was \
                 made and cannot be changed",
                self.name, self.soft_delete_retention_days
            )));
        }
        if self.purge_protection && update.purge_protection == Some(false) {
            return Err(KeyVaultError::invalid(format!(
                "the purge protection of the key vault {} cannot be switched off",
                self.name
            )));
        }
        let set = |flag: &mut bool, to: Option<bool>| *flag = to.unwrap_or(*flag);
        set(&mut self.enabled_for_disk_encryption, update.enabled_for_disk_encryption);
        set(&mut self.enabled_for_deployment, update.enabled_for_deployment);
        set(&mut self.enabled_for_template_deployment, update.enabled_for_template_deployment);
        set(&mut self.premium, update.premium);
        set(&mut self.purge_protection, update.purge_protection);
        set(&mut self.role_based, update.role_based);
        if let Some(tags) = &update.tags {
            attributes::check_vault_tags(tags)?;
            self.tags.clone_from(tags);
        }
        if let Some(policies) = &update.access_policies {
            self.access_policies.clone_from(policies);
        }
        self.check_policies()
    }

    /// Replaces the policy of one principal, or adds it.
    pub(crate) fn set_policy(&mut self, policy: &AccessPolicy) -> Result<()> {
        self.remove_policy(&policy.principal);
        self.access_policies.push(policy.clone());
        self.check_policies()
    }

    /// Whether there was one to remove.
    pub(crate) fn remove_policy(&mut self, principal: &Principal) -> bool {
        let before = self.access_policies.len();
        self.access_policies.retain(|policy| !policy.principal.is(principal));
        self.access_policies.len() < before
    }

    /// What becomes of keys and secrets that are deleted in it.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        Recovery { days: self.soft_delete_retention_days, purgeable: !self.purge_protection }
    }

    /// What the policies allow a principal; of a role-based vault they are not looked at.
    #[must_use]
    pub fn permissions_of(&self, principal: &Principal) -> Permissions {
        let policy = self.access_policies.iter().find(|policy| policy.principal.is(principal));
        policy.map(|policy| policy.permissions.clone()).unwrap_or_default()
    }

    fn check_policies(&self) -> Result<()> {
        if self.access_policies.len() > MOST_POLICIES {
            return Err(KeyVaultError::invalid(format!(
                "a key vault has at most {MOST_POLICIES} access policies"
            )));
        }
        let mut principals = std::collections::BTreeSet::new();
        for AccessPolicy { principal, .. } in &self.access_policies {
            let parts = [&principal.tenant, &principal.object_id];
            if parts
                .iter()
                .any(|part| part.is_empty() || part.len() > 128 || part.chars().any(char::is_control))
            {
                return Err(KeyVaultError::invalid(
                    "an access policy names a principal by tenant and object id, each of 1 to 128 bytes",
                ));
            }
            if !principals.insert(parts.map(|part| part.to_ascii_lowercase())) {
                return Err(KeyVaultError::invalid("a principal has more than one access policy: join them"));
            }
        }
        Ok(())
    }
}
