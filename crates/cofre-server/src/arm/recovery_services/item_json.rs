//! Containers and protected items in the shape of the contract.

use cofre_arm::{Problem, ResourceId};
use cofre_recovery::item::{HealthStatus, ProtectedItem, ProtectionState};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Visit, dates};

/// Stands for the time of the last backup where there was none, as published.
const NEVER: &str = "2001-01-01T00:00:00Z";

/// The name of an item's container, as the item's id has it.
fn container_name(item: &ProtectedItem) -> String {
    let mut segments = item.id.as_str().split('/');
    let found = segments.by_ref().find(|segment| segment.eq_ignore_ascii_case("protectionContainers"));
    found.and_then(|_| segments.next()).unwrap_or_default().to_owned()
}

/// A container's name without its kind, which is how items and jobs name it.
pub(super) fn short_name(container: &str) -> &str {
    container.split_once(';').map_or(container, |(_, rest)| rest)
}

/// A container as a resource: there is one for each item.
pub(super) fn container_json(visit: &Visit<'_>, item: &ProtectedItem) -> Value {
    let name = container_name(item);
    json!({
        "id": format!("{}/backupFabrics/Azure/protectionContainers/{name}", visit.vault.id),
        "name": name,
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers",
        "properties": {
            "containerType": "Microsoft.Compute/virtualMachines",
            "friendlyName": item.friendly_name,
            "backupManagementType": "AzureIaasVM",
            "registrationStatus": "Registered",
            "healthStatus": "Healthy",
            "resourceGroup": item.source_resource_id.resource_group(),
            "virtualMachineId": item.source_resource_id,
            "virtualMachineVersion": "Compute",
        },
    })
}

/// An item as a resource, with the time of its newest recovery point.
pub(super) fn item_json(visit: &Visit<'_>, item: &ProtectedItem, latest: Option<Timestamp>) -> Value {
    let pending = item.protection_state == ProtectionState::IRPending;
    let healthy = item.health_status == HealthStatus::Passed;
    let details: Vec<_> = item
        .health_details
        .iter()
        .map(|detail| {
            json!({
                "code": error_number(&detail.code),
                "title": detail.code,
                "message": detail.message,
                "recommendations": detail.recommendations,
            })
        })
        .collect();
    let policy = item.active_policy();
    let status = item.last_backup_status.as_deref().unwrap_or(if pending { "IRPending" } else { "" });
    let mut properties = json!({
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "backupManagementType": "AzureIaasVM",
        "workloadType": "VM",
        "friendlyName": item.friendly_name,
        "containerName": short_name(&container_name(item)),
        "sourceResourceId": item.source_resource_id,
        "virtualMachineId": item.source_resource_id,
        "policyId": policy.map_or("", ResourceId::as_str),
        "policyName": policy.map_or("", ResourceId::name),
        "policyType": "V1",
        "protectionState": item.protection_state,
        "protectionStatus": if healthy { "Healthy" } else { "Unhealthy" },
        "healthStatus": item.health_status,
        "healthDetails": details,
        "lastBackupStatus": status,
        "lastBackupTime": item.last_backup_time.map_or_else(|| NEVER.to_owned(), dates::text),
        "lastRecoveryPoint": latest.map(dates::text),
        "protectedItemDataId": item.repository.as_ref().map(|repository| &repository.id),
        "isScheduledForDeferredDelete": item.deletion.is_some(),
        "extendedProperties": {},
    });
    if let Some(deletion) = &item.deletion {
        let left = deletion.purge_due.duration_since(visit.app.parts.clock.now());
        let days = (left.as_hours().max(0) + 23) / 24;
        properties["deferredDeleteTimeInUTC"] = json!(dates::text(deletion.at));
        properties["deferredDeleteTimeRemaining"] = json!(format!("{days}.00:00:00"));
        properties["isDeferredDeleteScheduleUpcoming"] = json!(days <= 2);
    }
    json!({
        "id": item.id,
        "name": item.id.name(),
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems",
        "properties": properties,
    })
}

/// An error's number, which clients want beside its code: that of the published table, 0 where it has none.
pub(super) fn error_number(code: &str) -> u32 {
    let row = Problem::ALL.iter().map(|problem| problem.row()).find(|row| row.code == code);
    row.and_then(|row| row.id.strip_prefix("E-")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        assert_eq!(error_number("UserErrorKeyVaultPermissionsNotConfigured"), 5);
        assert_eq!((error_number("DataTransferFailed"), error_number("?")), (0, 0));
        assert_eq!(short_name("iaasvmcontainer;iaasvmcontainerv2;g;m"), "iaasvmcontainerv2;g;m");
    }
}
