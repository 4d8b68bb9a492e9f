//! Recovery points in the shape of the contract.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_arm::ResourceId;
use cofre_compute::EncryptionMechanism;
use cofre_recovery::{
    captured::CapturedSet,
    point_details::PointDetails,
    points::{LOST, RecoveryPoint},
};
use serde_json::{Value, json};

use super::dates;

/// The published word for where a machine kept its encryption settings.
fn mechanism_name(mechanism: EncryptionMechanism) -> &'static str {
    match mechanism {
        EncryptionMechanism::None => "None",
        EncryptionMechanism::SinglePass => "SinglePass",
        EncryptionMechanism::DoublePass => "DoublePass",
    }
}

/// A point as lists show it.
pub(super) fn point_json(item: &ResourceId, point: &RecoveryPoint) -> Value {
    let status = if point.state == LOST { "Deleted" } else { "Valid" };
    let disks: Vec<_> = point
        .disks
        .iter()
        .map(|disk| json!({"name": disk.name, "sizeInBytes": disk.size, "keys": disk.keys}))
        .collect();
    json!({
        "id": format!("{item}/recoveryPoints/{}", point.name),
        "name": point.name,
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints",
        "properties": {
            "objectType": "IaasVMRecoveryPoint",
            "recoveryPointType": point.kind,
            "recoveryPointTime": dates::text(point.time),
            "recoveryPointAdditionalInfo": "",
            // With it clients offer the resource group that disks are meant for.
            "isManagedVirtualMachine": true,
            "originalStorageAccountOption": false,
            "isSourceVMEncrypted": point.is_encrypted(),
            "keyAndSecret": null,
            "isInstantIlrSessionActive": false,
            "isPrivateAccessEnabledOnAnyDisk": false,
            "sourceVMStorageType": "NormalStorage",
            "recoveryPointTierDetails": [{"type": "HardenedRP", "status": status}],
            "recoveryPointDiskConfiguration": {
                "numberOfDisksIncludedInBackup": point.disks.len(),
                "numberOfDisksAttachedToVm": point.disks.len(),
                "includedDiskList": [],
                "excludedDiskList": [],
            },
            "recoveryPointProperties": {"expiryTime": dates::text(point.expiry), "isSoftDeleted": false},
            "cofreDisks": disks,
        },
    })
}

/// A point with its machine and keys; with the keys' data for those who may restore.
pub(super) fn detailed_point_json(
    item: &ResourceId,
    point: &RecoveryPoint,
    details: &PointDetails,
    with_data: bool,
) -> Value {
    let mut shown = point_json(item, point);
    let properties = &mut shown["properties"];
    properties["osType"] = json!(details.machine.os_type);
    properties["virtualMachineSize"] = json!(details.machine.vm_size);
    if let Some(keys) = &details.keys {
        // The contract has room for one pair; the encryption file of a restore has all of them.
        if let Some(set) = keys.sets.first() {
            properties["keyAndSecret"] = set_json(set, details, keys.mechanism, with_data);
        }
        if keys.sets.len() > 1 {
            properties["recoveryPointAdditionalInfo"] = json!(format!(
                "{} pairs of secret and key were captured, of which one is shown",
                keys.sets.len()
            ));
        }
    }
    shown
}

fn set_json(
    set: &CapturedSet,
    details: &PointDetails,
    mechanism: EncryptionMechanism,
    with_data: bool,
) -> Value {
    let mut shown = json!({
        "encryptionMechanism": mechanism_name(mechanism),
        "kekDetails": {"keyUrl": set.key_url, "keyVaultId": set.key_vault_id, "keyBackupData": null},
        "bekDetails": {"secretUrl": set.secret_url, "secretVaultId": set.secret_vault_id, "secretData": null},
    });
    if with_data {
        let blob = details.key_backup(set).map(Base64UrlUnpadded::encode_string);
        shown["kekDetails"]["keyBackupData"] = json!(blob);
        shown["bekDetails"]["secretData"] = json!(set.secret_data.expose());
    }
    shown
}
