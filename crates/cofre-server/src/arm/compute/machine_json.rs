//! Machines in the shape of the contract.

use std::os::unix::ffi::OsStrExt as _;

use cofre_arm::names::{CLASSIC_VIRTUAL_MACHINE, VIRTUAL_MACHINE};
use cofre_compute::{Disk, EncryptionSettings, PowerState, ProvisioningState, VirtualMachine};
use serde_json::{Value, json};

/// A machine as a resource.
pub(in crate::arm) fn machine_json(machine: &VirtualMachine) -> Value {
    let mut os_disk = disk_json(&machine.os_disk);
    os_disk["osType"] = json!(machine.os_type);
    if let Some(settings) = &machine.encryption_settings {
        os_disk["encryptionSettings"] = json!(settings);
    }
    let data_disks: Vec<_> = machine
        .data_disks
        .iter()
        .map(|disk| {
            let mut shown = disk_json(&disk.disk);
            shown["lun"] = json!(disk.lun);
            shown
        })
        .collect();
    json!({
        "id": machine.id,
        "name": machine.name(),
        "type": kind(machine),
        "location": machine.location,
        "tags": machine.tags,
        "properties": {
            "vmId": machine.vm_id,
            "provisioningState": machine.provisioning_state,
            "hardwareProfile": {"vmSize": machine.vm_size},
            "storageProfile": {"osDisk": os_disk, "dataDisks": data_disks},
            "networkProfile": {"networkInterfaces": []},
        },
    })
}

/// The type, as it is written.
fn kind(machine: &VirtualMachine) -> &'static str {
    if machine.id.is_kind(CLASSIC_VIRTUAL_MACHINE) { CLASSIC_VIRTUAL_MACHINE } else { VIRTUAL_MACHINE }
}

fn disk_json(disk: &Disk) -> Value {
    let mut shown = json!({
        "name": disk.name,
        "createOption": "Attach",
        "caching": "None",
        "vhd": {"uri": uri(&disk.image.path), "format": disk.image.format.name()},
    });
    if let Some(settings) = &disk.encryption_settings {
        shown["encryptionSettingsCollection"] = collection_json(settings);
    }
    shown
}

fn collection_json(settings: &EncryptionSettings) -> Value {
    json!({
        "enabled": settings.enabled,
        "encryptionSettings": [{
            "diskEncryptionKey": settings.disk_encryption_key,
            "keyEncryptionKey": settings.key_encryption_key,
        }],
        "encryptionSettingsVersion": "1.1",
    })
}

fn uri(path: &std::path::Path) -> String {
    let byte = |byte: &u8| match byte {
        b if b.is_ascii_alphanumeric() || b"/-._~".contains(b) => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    format!("file://{}", path.as_os_str().as_bytes().iter().map(byte).collect::<String>())
}

/// What a machine does right now, as far as it is known.
pub(super) fn instance_view(machine: &VirtualMachine) -> Value {
    let status = |code: String, shown: &str| json!({"code": code, "level": "Info", "displayStatus": shown});
    let (code, shown) = match machine.provisioning_state {
        ProvisioningState::Succeeded => ("succeeded", "Provisioning succeeded"),
        ProvisioningState::Updating => ("updating", "Updating"),
        ProvisioningState::Failed => ("failed", "Provisioning failed"),
    };
    let provisioning = status(format!("ProvisioningState/{code}"), shown);
    let (code, shown) = match machine.power_state {
        PowerState::Running => ("running", "VM running"),
        PowerState::Stopped => ("stopped", "VM stopped"),
        PowerState::Deallocated => ("deallocated", "VM deallocated"),
        PowerState::Starting => ("starting", "VM starting"),
        PowerState::Stopping => ("stopping", "VM stopping"),
    };
    let power = status(format!("PowerState/{code}"), shown);
    let sets = machine.key_sets();
    let disks: Vec<_> = machine
        .disks()
        .map(|disk| {
            let settings: Vec<_> =
                sets.iter().filter(|set| set.disks.contains(&disk.name)).map(|set| &set.settings).collect();
            let (code, shown) = if settings.is_empty() {
                ("notEncrypted", "Disk is not encrypted")
            } else {
                ("encrypted", "Encryption is enabled on disk")
            };
            json!({
                "name": disk.name,
                "encryptionSettings": settings,
                "statuses": [status(format!("EncryptionState/{code}"), shown)],
            })
        })
        .collect();
    json!({"statuses": [provisioning, power], "disks": disks})
}
