//! What is set of a vault beside the vault itself: soft delete, storage, encryption.

use cofre_arm::{ApiError, Result as ApiResult};
use cofre_recovery::vault::{RecoveryVault, SoftDeleteState, VaultChange};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Visit,
    vault_json::{redundancy_name, soft_delete_name},
    vaults,
};
use crate::http::{Answer, Method, Refusal};

#[derive(Debug, Deserialize)]
struct Body<T> {
    properties: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VaultConfig {
    soft_delete_feature_state: Option<String>,
    soft_delete_retention_period_in_days: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StorageConfig {
    storage_model_type: Option<String>,
    storage_type: Option<String>,
    cross_region_restore_flag: Option<bool>,
}

fn named(visit: &Visit<'_>, kind: &str, name: &str, properties: &Value) -> Value {
    json!({
        "id": format!("{}/{kind}/{name}", visit.vault.id),
        "name": name,
        "type": format!("Microsoft.RecoveryServices/vaults/{kind}"),
        "properties": properties,
    })
}

/// Whether nothing is stored yet that a change of the redundancy would be too late for.
fn storage_state(visit: &Visit<'_>) -> ApiResult<&'static str> {
    Ok(if visit.recovery.storage_locked(&visit.vault.id)? { "Locked" } else { "Unlocked" })
}

/// `…/backupconfig/vaultconfig`.
pub(super) fn vault_config(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let shown = |vault: &RecoveryVault| -> Result<Answer, Refusal> {
        let redundancy = redundancy_name(vault.redundancy);
        let properties = json!({
            "storageModelType": redundancy,
            "storageType": redundancy,
            "storageTypeState": storage_state(visit)?,
            "enhancedSecurityState": "Enabled",
            "softDeleteFeatureState": soft_delete_name(vault.soft_delete.state),
            "softDeleteRetentionPeriodInDays": vault.soft_delete.retention_days,
            "isSoftDeleteFeatureStateEditable": vault.soft_delete.state != SoftDeleteState::AlwaysOn,
        });
        Ok(Answer::ok(&named(visit, "backupconfig", "vaultconfig", &properties)))
    };
    if visit.call.method == Method::Get {
        return shown(&visit.vault);
    }
    let Body { properties: wished } = visit.call.json::<Body<VaultConfig>>()?;
    let mut settings = visit.vault.soft_delete;
    if let Some(state) = &wished.soft_delete_feature_state {
        settings.state = vaults::soft_delete_state(state)?;
    }
    if let Some(days) = wished.soft_delete_retention_period_in_days {
        settings.retention_days = days;
    }
    let change = VaultChange { soft_delete: Some(settings), ..VaultChange::default() };
    shown(&visit.recovery.update_vault(&visit.vault.id, &change)?)
}

/// `…/backupstorageconfig/vaultstorageconfig`.
pub(super) fn storage_config(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let shown = |vault: &RecoveryVault| -> Result<Answer, Refusal> {
        let redundancy = redundancy_name(vault.redundancy);
        let properties = json!({
            "storageModelType": redundancy,
            "storageType": redundancy,
            "storageTypeState": storage_state(visit)?,
            "crossRegionRestoreFlag": vault.cross_region_restore,
            "dedupState": "Enabled",
            "xcoolState": "Disabled",
        });
        Ok(Answer::ok(&named(visit, "backupstorageconfig", "vaultstorageconfig", &properties)))
    };
    if visit.call.method == Method::Get {
        return shown(&visit.vault);
    }
    let Body { properties: wished } = visit.call.json::<Body<StorageConfig>>()?;
    let redundancies = [&wished.storage_model_type, &wished.storage_type];
    let mut redundancies = redundancies.into_iter().flatten().map(|name| vaults::redundancy(name));
    let redundancy = redundancies.next().transpose()?;
    if let Some(other) = redundancies.next().transpose()?
        && Some(other) != redundancy
    {
        return Err(ApiError::invalid("storageModelType and storageType say different things").into());
    }
    let change = VaultChange {
        redundancy,
        cross_region_restore: wished.cross_region_restore_flag,
        ..VaultChange::default()
    };
    let vault = visit.recovery.update_vault(&visit.vault.id, &change)?;
    if visit.call.method == Method::Patch { Ok(Answer::empty(204)) } else { shown(&vault) }
}

/// `…/backupEncryptionConfigs/backupResourceEncryptionConfig`: repositories are always encrypted, with keys of their own.
pub(super) fn encryption_config(visit: &Visit<'_>) -> Answer {
    let properties = json!({
        "encryptionAtRestType": "MicrosoftManaged",
        "infrastructureEncryptionState": "Disabled",
        "keyUri": null,
        "subscriptionId": null,
        "lastUpdateStatus": "NotEnabled",
    });
    Answer::ok(&named(visit, "backupEncryptionConfigs", "backupResourceEncryptionConfig", &properties))
}
