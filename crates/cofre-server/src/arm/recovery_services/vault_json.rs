//! Vaults in the shape of the contract.

use cofre_recovery::vault::{RecoveryVault, Redundancy, SoftDelete, SoftDeleteState};
use serde_json::{Value, json};

use super::dates;

/// The published name of a state of soft delete.
pub(super) fn soft_delete_name(state: SoftDeleteState) -> &'static str {
    match state {
        SoftDeleteState::Enabled => "Enabled",
        SoftDeleteState::Disabled => "Disabled",
        SoftDeleteState::AlwaysOn => "AlwaysOn",
    }
}

/// The published name of a redundancy.
pub(super) fn redundancy_name(redundancy: Redundancy) -> &'static str {
    match redundancy {
        Redundancy::GeoRedundant => "GeoRedundant",
        Redundancy::LocallyRedundant => "LocallyRedundant",
        Redundancy::ZoneRedundant => "ZoneRedundant",
    }
}

/// A vault as a resource.
pub(in crate::arm) fn vault_json(vault: &RecoveryVault) -> Value {
    let SoftDelete { state, retention_days } = vault.soft_delete;
    json!({
        "id": vault.id,
        "name": vault.id.name(),
        "type": cofre_arm::names::RECOVERY_VAULT,
        "location": vault.location,
        "tags": vault.tags,
        "sku": {"name": "Standard"},
        "systemData": {"createdAt": dates::text(vault.created)},
        "properties": {
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled",
            "privateEndpointConnections": [],
            "privateEndpointStateForBackup": "None",
            "securitySettings": {"softDeleteSettings": {
                "softDeleteState": soft_delete_name(state),
                "enhancedSecurityState": "Enabled",
                "softDeleteRetentionPeriodInDays": retention_days,
            }},
            "redundancySettings": {
                "standardTierStorageRedundancy": redundancy_name(vault.redundancy),
                "crossRegionRestore": if vault.cross_region_restore { "Enabled" } else { "Disabled" },
            },
            "monitoringSettings": {
                "azureMonitorAlertSettings": {
                    "alertsForAllJobFailures": "Disabled",
                    "alertsForAllReplicationIssues": "Disabled",
                    "alertsForAllFailoverIssues": "Disabled",
                },
                "classicAlertSettings": {
                    "alertsForCriticalOperations": "Disabled",
                    "emailNotificationsForSiteRecovery": "Disabled",
                },
            },
            "restoreSettings": {
                "crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "PermanentlyDisabled"},
            },
        },
    })
}
