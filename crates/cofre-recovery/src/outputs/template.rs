//! `azuredeploy.json`: a deployment template that makes a machine from the restored disks.
//!
//! Managed disks are imported from the VHDs, in their real sizes, and attached where they were. What the
//! machine must name of key vaults are parameters, with what it named as default: keys that were
//! restored elsewhere go in there.

mod encryption;
mod expression;
use cofre_arm::{ApiError, Problem, Result};
use cofre_compute::{EncryptionMechanism, OsType, VirtualMachine};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::{
    encryption::DiskParameters,
    expression::{literal, parameter, resource_id},
};
use super::{RestoredDisk, text, whole_gib};
use crate::captured::CapturedKeys;

/// Name of the blob.
pub const BLOB: &str = "azuredeploy.json";
/// Schema of the template.
pub const SCHEMA: &str = "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#";
const CONTENT_VERSION: &str = "1.0.0.0";
/// Version of the interface that disks and machines are made by: the first in which a disk can carry
/// settings of version 1.1.
const COMPUTE_API: &str = "2019-07-01";
/// Version of the interface that the network is made by.
const NETWORK_API: &str = "2019-04-01";
/// What errors call it.
const WHAT: &str = "deployment template";

/// From when on recovery points have a template: by the rules of 2017, before which there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateCutoffs {
    /// First instant for encrypted machines.
    pub encrypted: Timestamp,
    /// First instant for others.
    pub unencrypted: Timestamp,
}

impl Default for TemplateCutoffs {
    fn default() -> Self {
        Self {
            // after 26 April 2017
            encrypted: Timestamp::constant(1_493_251_200, 0),
            // after 1 March 2017
            unencrypted: Timestamp::constant(1_488_412_800, 0),
        }
    }
}

impl TemplateCutoffs {
    /// The cut-off for a point.
    #[must_use]
    pub fn of(&self, encrypted: bool) -> Timestamp {
        if encrypted { self.encrypted } else { self.unencrypted }
    }
}

/// Whether a point has a template.
#[must_use]
pub fn has_template(recovery_point_time: Timestamp, cutoff: Timestamp) -> bool {
    recovery_point_time >= cutoff
}

/// The template for a machine and the disks that were restored of it. Without captured keys, the keys
/// are those that the machine's description names.
///
/// # Errors
/// `TemplateNotAvailable` when the disk that the machine boots from was not restored.
pub fn template(
    machine: &VirtualMachine,
    disks: &[RestoredDisk],
    keys: Option<&CapturedKeys>,
) -> Result<Vec<u8>> {
    let Some(os_disk) = disks.iter().find(|d| d.lun.is_none()) else {
        let message = format!("the disk that {} boots from was not restored", machine.name());
        return Err(ApiError::new(Problem::TemplateNotAvailable, message)
            .recommend("Restore that disk too, or attach the restored disks to another machine."));
    };
    let mut data_disks: Vec<_> = disks.iter().filter_map(|d| Some((d.lun?, d))).collect();
    data_disks.sort_by_key(|(lun, _)| *lun);

    let encryption = encryption::parameters(machine, &data_disks, keys);
    let mut parameters = own_parameters(&data_disks);
    encryption.declare(&mut parameters);

    let mut resources = vec![public_address(machine), network_interface(machine)];
    let on_disks = encryption.mechanism == EncryptionMechanism::SinglePass;
    let of_disk = |lun| encryption.of(lun).filter(|_| on_disks);
    resources.push(managed_disk(machine, os_disk, &os_disk_name(), of_disk(None)));
    for (lun, disk) in &data_disks {
        resources.push(managed_disk(machine, disk, &data_disk_name(*lun), of_disk(Some(*lun))));
    }
    resources.push(virtual_machine(machine, &data_disks, encryption.of(None).filter(|_| !on_disks)));

    let template = json!({
        "$schema": SCHEMA,
        "contentVersion": CONTENT_VERSION,
        "parameters": parameters,
        "resources": resources,
    });
    Ok(text::ascii_json(WHAT, &template, 0)?.to_vec())
}

fn os_disk_name() -> String {
    "osDiskName".to_owned()
}

fn data_disk_name(lun: u32) -> String {
    format!("dataDisk{lun}Name")
}

/// Parameters that say what is made and where.
fn own_parameters(data_disks: &[(u32, &RestoredDisk)]) -> Map<String, Value> {
    let mut parameters = Map::new();
    let mut add = |name: &str, description: &str| {
        let declaration = json!({"type": "string", "metadata": {"description": description}});
        parameters.insert(name.to_owned(), declaration);
    };
    add("VirtualMachineName", "Name of the machine that is made.");
    add("VirtualNetwork", "Name of the virtual network that it joins.");
    add("VirtualNetworkResourceGroup", "Resource group of that network.");
    add("subnet", "Name of the subnet of that network.");
    add("networkInterfacePrefixName", "What the name of its network interface begins with.");
    add("publicIpAddressName", "Name of its public address.");
    add(&os_disk_name(), "Name of the managed disk that it boots from; no disk of the group has it yet.");
    for (lun, disk) in data_disks {
        let description = format!("Name of the managed disk in slot {lun}, {} before.", disk.name);
        add(&data_disk_name(*lun), &description);
    }
    parameters
}

fn public_address(machine: &VirtualMachine) -> Value {
    json!({
        "type": "Microsoft.Network/publicIPAddresses",
        "apiVersion": NETWORK_API,
        "name": parameter("publicIpAddressName"),
        "location": literal(&machine.location),
        "properties": {"publicIPAllocationMethod": "Dynamic"},
    })
}

/// Name of the network interface, as the inside of an expression.
const INTERFACE: &str = "concat(parameters('networkInterfacePrefixName'), parameters('VirtualMachineName'))";

fn network_interface(machine: &VirtualMachine) -> Value {
    let address = resource_id("Microsoft.Network/publicIPAddresses", "parameters('publicIpAddressName')");
    json!({
        "type": "Microsoft.Network/networkInterfaces",
        "apiVersion": NETWORK_API,
        "name": format!("[{INTERFACE}]"),
        "location": literal(&machine.location),
        "dependsOn": [address],
        "properties": {"ipConfigurations": [{
            "name": "ipconfig1",
            "properties": {
                "privateIPAllocationMethod": "Dynamic",
                "publicIPAddress": {"id": address},
                "subnet": {"id": "[resourceId(parameters('VirtualNetworkResourceGroup'), \
                    'Microsoft.Network/virtualNetworks/subnets', \
                    parameters('VirtualNetwork'), parameters('subnet'))]"},
            },
        }]},
    })
}

fn os_type(machine: &VirtualMachine) -> &'static str {
    match machine.os_type {
        OsType::Linux => "Linux",
        OsType::Windows => "Windows",
    }
}

/// Id of the managed disk whose name is a parameter.
fn disk_id(name: &str) -> String {
    resource_id("Microsoft.Compute/disks", &format!("parameters('{name}')"))
}

fn managed_disk(
    machine: &VirtualMachine,
    disk: &RestoredDisk,
    name: &str,
    encryption: Option<&DiskParameters>,
) -> Value {
    let mut properties = json!({
        "creationData": {"createOption": "Import", "sourceUri": literal(&disk.uri)},
        "diskSizeGB": whole_gib(disk.size),
    });
    if disk.lun.is_none() {
        properties["osType"] = json!(os_type(machine));
    }
    if let Some(encryption) = encryption {
        properties["encryptionSettingsCollection"] = encryption.collection();
    }
    json!({
        "type": "Microsoft.Compute/disks",
        "apiVersion": COMPUTE_API,
        "name": parameter(name),
        "location": literal(&machine.location),
        "properties": properties,
    })
}

fn virtual_machine(
    machine: &VirtualMachine,
    data_disks: &[(u32, &RestoredDisk)],
    encryption: Option<&DiskParameters>,
) -> Value {
    let attached = |name: &str| json!({"name": parameter(name), "createOption": "Attach", "managedDisk": {"id": disk_id(name)}});
    let mut os_disk = attached(&os_disk_name());
    os_disk["osType"] = json!(os_type(machine));
    if let Some(encryption) = encryption {
        os_disk["encryptionSettings"] = encryption.settings();
    }
    let attached_data: Vec<_> = data_disks
        .iter()
        .map(|(lun, _)| {
            let mut disk = attached(&data_disk_name(*lun));
            disk["lun"] = json!(lun);
            disk
        })
        .collect();
    let interface = resource_id("Microsoft.Network/networkInterfaces", INTERFACE);
    let mut depends_on = vec![interface.clone(), disk_id(&os_disk_name())];
    depends_on.extend(data_disks.iter().map(|(lun, _)| disk_id(&data_disk_name(*lun))));
    let tags: Map<_, _> =
        machine.tags.iter().map(|(tag, value)| (literal(tag), Value::from(literal(value)))).collect();
    json!({
        "type": "Microsoft.Compute/virtualMachines",
        "apiVersion": COMPUTE_API,
        "name": parameter("VirtualMachineName"),
        "location": literal(&machine.location),
        "tags": tags,
        "dependsOn": depends_on,
        "properties": {
            "hardwareProfile": {"vmSize": literal(&machine.vm_size)},
            "storageProfile": {"osDisk": os_disk, "dataDisks": attached_data},
            "networkProfile": {"networkInterfaces": [{"id": interface}]},
        },
    })
}
