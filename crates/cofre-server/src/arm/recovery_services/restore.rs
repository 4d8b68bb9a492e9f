//! What is made of recovery points.

use cofre_arm::{ApiError, Problem, ResourceId, Result as ApiResult};
use cofre_recovery::{job::RestoreRequest, restore::RecoveryType};
use serde::Deserialize;

use super::{Visit, accepted::accepted};
use crate::{
    arm::{key_vaults, storage},
    http::{Answer, Refusal},
};

#[derive(Debug, Deserialize)]
struct RestoreBody {
    properties: RestoreProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreProperties {
    object_type: Option<String>,
    recovery_point_id: Option<String>,
    recovery_type: Option<String>,
    region: Option<String>,
    source_resource_id: Option<String>,
    storage_account_id: Option<String>,
    target_resource_group_id: Option<String>,
    restore_disk_lun_list: Option<Vec<u32>>,
    disk_encryption_set_id: Option<String>,
}

fn recovery_type(name: Option<&str>) -> ApiResult<RecoveryType> {
    match name.unwrap_or("RestoreDisks").to_ascii_lowercase().as_str() {
        "restoredisks" => Ok(RecoveryType::RestoreDisks),
        "alternatelocation" => Ok(RecoveryType::AlternateLocation),
        "originallocation" => Ok(RecoveryType::OriginalLocation),
        _ => Err(ApiError::invalid("recoveryType is RestoreDisks, AlternateLocation or OriginalLocation")),
    }
}

/// `POST …/recoveryPoints/R/restore`.
pub(super) fn restore(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let RestoreBody { properties } = visit.call.json()?;
    let point = visit.segment(7);
    let kind = properties.object_type.as_deref();
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("IaasVMRestoreRequest")) {
        return Err(ApiError::invalid("the objectType of a restore is IaasVMRestoreRequest").into());
    }
    let named = properties.recovery_point_id.as_deref().and_then(|id| id.rsplit('/').next());
    if named.is_some_and(|named| named != point) {
        return Err(ApiError::invalid("recoveryPointId is not the recovery point of the path").into());
    }
    if let Some(region) = &properties.region {
        key_vaults::location(visit.app, region)?;
    }
    let there = visit.recovery.item(item)?;
    if let Some(source) = properties.source_resource_id.as_deref().filter(|source| !source.is_empty())
        && source.parse::<ResourceId>()? != there.source_resource_id
    {
        let message =
            format!("sourceResourceId is not {}, which the item protects", there.source_resource_id);
        return Err(ApiError::invalid(message).into());
    }
    if properties.disk_encryption_set_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return Err(
            ApiError::invalid("there are no disk encryption sets: disks come back as they were").into()
        );
    }
    let recovery_type = recovery_type(properties.recovery_type.as_deref())?;
    let account = properties.storage_account_id.as_deref().filter(|id| !id.is_empty());
    let account =
        account.ok_or_else(|| ApiError::invalid("storageAccountId names where the disks go"))?.parse()?;
    let account = storage::named(visit.app, visit.session, &account)?;
    let group = properties.target_resource_group_id.as_deref().filter(|id| !id.is_empty());
    let request = RestoreRequest {
        point: point.to_owned(),
        account,
        recovery_type,
        luns: properties.restore_disk_lun_list,
        target_resource_group: group.map(|id| target_group(visit, id)).transpose()?,
    };
    let job = visit.recovery.submit_restore(item, &request)?;
    Ok(accepted(visit.call, item, &job.id))
}

/// The resource group that an id names, which must be there and be seen by the caller.
fn target_group(visit: &Visit<'_>, id: &str) -> Result<String, Refusal> {
    let id: ResourceId = id.parse()?;
    visit.session.authorize("Microsoft.Resources/subscriptions/resourceGroups/read", id.as_str())?;
    let name = id.resource_group().filter(|name| id.name() == *name);
    let name =
        name.ok_or_else(|| ApiError::invalid("targetResourceGroupId is the id of a resource group"))?;
    Ok(visit.app.parts.directory.group(name)?.name)
}

/// `POST …/recoveryPoints/R/provisionInstantItemRecovery`: files are not taken out of disks here, and those of encrypted
/// disks cannot be.
pub(super) fn file_recovery(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let point = visit.recovery.recovery_point(item, visit.segment(7))?;
    if point.is_encrypted() {
        let message =
            format!("recovery point {} is encrypted: files cannot be recovered from it", point.name);
        return Err(ApiError::new(Problem::FileRecoveryEncrypted, message).about(item).into());
    }
    Err(ApiError::invalid("single files are not recovered by this service")
        .recommend(
            "Restore the disks and attach them, or take files out of the repository with restic or rustic.",
        )
        .into())
}
