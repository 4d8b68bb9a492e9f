//! Vaults as resources.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, ResourceId, Result as ApiResult};
use cofre_recovery::vault::{RecoveryVault, Redundancy, SoftDelete, SoftDeleteState, VaultChange};
use serde::Deserialize;

use super::{READ_VAULT, find, missing, vault_json::vault_json};
use crate::{
    app::{App, Session},
    arm::{key_vaults, new_in_group, only, paging},
    directory,
    http::{Answer, Call, Method, Refusal},
};

/// A vault; clients send more fields, which are read-only or have no meaning here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VaultBody {
    location: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    properties: Option<Properties>,
    identity: Option<IdentityBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    public_network_access: Option<String>,
    security_settings: Option<SecuritySettings>,
    redundancy_settings: Option<RedundancySettings>,
    encryption: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct IdentityBody {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecuritySettings {
    soft_delete_settings: Option<SoftDeleteSettings>,
    immutability_settings: Option<Immutability>,
}

#[derive(Debug, Deserialize)]
struct Immutability {
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SoftDeleteSettings {
    soft_delete_state: Option<String>,
    soft_delete_retention_period_in_days: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedundancySettings {
    standard_tier_storage_redundancy: Option<String>,
    cross_region_restore: Option<String>,
}

/// A redundancy by its name.
pub(super) fn redundancy(name: &str) -> ApiResult<Redundancy> {
    let all = [Redundancy::GeoRedundant, Redundancy::LocallyRedundant, Redundancy::ZoneRedundant];
    let found =
        all.into_iter().find(|known| super::vault_json::redundancy_name(*known).eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        ApiError::invalid("the redundancy of a vault is GeoRedundant, LocallyRedundant or ZoneRedundant")
    })
}

/// A state of soft delete by its name.
pub(super) fn soft_delete_state(name: &str) -> ApiResult<SoftDeleteState> {
    let all = [SoftDeleteState::Enabled, SoftDeleteState::Disabled, SoftDeleteState::AlwaysOn];
    let found =
        all.into_iter().find(|known| super::vault_json::soft_delete_name(*known).eq_ignore_ascii_case(name));
    found.ok_or_else(|| ApiError::invalid("soft delete is Enabled, Disabled or AlwaysOn"))
}

/// A switch by the names that the contract has for its two sides.
pub(super) fn switch(field: &str, name: &str) -> ApiResult<bool> {
    match name.to_ascii_lowercase().as_str() {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err(ApiError::invalid(format!("{field} is Enabled or Disabled"))),
    }
}

impl VaultBody {
    /// Refuses what would be promised and not kept.
    fn check_supported(&self) -> ApiResult<()> {
        let is = |given: Option<&str>, ours: &str| given.is_none_or(|given| given.eq_ignore_ascii_case(ours));
        let properties = self.properties.as_ref();
        if !is(properties.and_then(|p| p.public_network_access.as_deref()), "Enabled") {
            return Err(ApiError::invalid("a vault cannot be closed to the network").recommend(
                "Close the service's port to others with a firewall, or listen on loopback alone.",
            ));
        }
        if !is(self.identity.as_ref().and_then(|identity| identity.kind.as_deref()), "None") {
            return Err(ApiError::invalid("vaults have no identities of their own here")
                .recommend("The backup service reaches key vaults as its one principal."));
        }
        if properties.is_some_and(|p| p.encryption.as_ref().is_some_and(|encryption| !encryption.is_null())) {
            return Err(ApiError::invalid(
                "repositories are encrypted with keys of their own, not with a customer's",
            ));
        }
        let security = properties.and_then(|p| p.security_settings.as_ref());
        if !is(security.and_then(|s| s.immutability_settings.as_ref()?.state.as_deref()), "Disabled") {
            return Err(ApiError::invalid("immutable vaults are not supported"));
        }
        Ok(())
    }

    /// What the body changes of a vault, or of the settings it has from the start.
    fn change(&self, present: Option<&RecoveryVault>) -> ApiResult<VaultChange> {
        self.check_supported()?;
        if let Some(tags) = &self.tags {
            directory::check_tags(tags)?;
        }
        let properties = self.properties.as_ref();
        let redundancy_settings = properties.and_then(|p| p.redundancy_settings.as_ref());
        let soft_delete = properties
            .and_then(|p| p.security_settings.as_ref()?.soft_delete_settings.as_ref())
            .map(|wished| -> ApiResult<SoftDelete> {
                let mut settings = present.map_or_else(SoftDelete::default, |vault| vault.soft_delete);
                if let Some(state) = &wished.soft_delete_state {
                    settings.state = soft_delete_state(state)?;
                }
                if let Some(days) = wished.soft_delete_retention_period_in_days {
                    settings.retention_days = days;
                }
                Ok(settings)
            });
        let named = redundancy_settings.and_then(|r| r.standard_tier_storage_redundancy.as_deref());
        let cross = redundancy_settings.and_then(|r| r.cross_region_restore.as_deref());
        Ok(VaultChange {
            redundancy: named.map(redundancy).transpose()?,
            cross_region_restore: cross.map(|name| switch("crossRegionRestore", name)).transpose()?,
            soft_delete: soft_delete.transpose()?,
            tags: self.tags.clone(),
        })
    }
}

/// `GET …/vaults`, of a group or of the subscription.
pub(super) fn list(
    app: &App,
    call: &Call,
    session: &Session,
    group: Option<&str>,
) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let of_list = |vault: &&RecoveryVault| {
        let found = vault.id.resource_group().unwrap_or_default();
        group.is_none_or(|group| group.eq_ignore_ascii_case(found))
            && session.may(READ_VAULT, vault.id.as_str())
    };
    let vaults = app.parts.recovery.vaults()?;
    Ok(paging::page(call, vaults.iter().filter(of_list).map(vault_json).collect(), None))
}

/// `…/vaults/V`, for a caller who may do what is asked.
pub(super) fn one(app: &App, call: &Call, session: &Session, id: &ResourceId) -> Result<Answer, Refusal> {
    let recovery = session.recovery(app);
    let there = find(&recovery, id)?;
    match call.method {
        Method::Put => {
            let body: VaultBody = call.json()?;
            let named =
                body.location.as_deref().ok_or_else(|| ApiError::invalid("a vault needs a location"))?;
            let location = key_vaults::location(app, named)?;
            let change = body.change(there.as_ref())?;
            if there.is_some() {
                return Ok(Answer::ok(&vault_json(&recovery.update_vault(id, &change)?)));
            }
            let id = new_in_group(app, id)?;
            let group = id.resource_group().unwrap_or_default();
            let redundancy = change.redundancy.unwrap_or_default();
            let vault = recovery.create_vault(group, id.name(), &location, redundancy)?;
            match recovery.update_vault(&vault.id, &change) {
                Ok(vault) => Ok(Answer::json(201, &vault_json(&vault))),
                Err(error) => {
                    // Nobody has seen it yet: what was asked for is there as a whole or not at all.
                    recovery.delete_vault(&vault.id)?;
                    Err(error.into())
                }
            }
        }
        Method::Delete => {
            if there.is_some() {
                recovery.delete_vault(id)?;
            }
            Ok(Answer::empty(204))
        }
        Method::Patch => {
            let there = there.ok_or_else(|| missing(id))?;
            let body: VaultBody = call.json_or_empty()?;
            let change = body.change(Some(&there))?;
            Ok(Answer::ok(&vault_json(&recovery.update_vault(id, &change)?)))
        }
        _ => Ok(Answer::ok(&vault_json(&there.ok_or_else(|| missing(id))?))),
    }
}
