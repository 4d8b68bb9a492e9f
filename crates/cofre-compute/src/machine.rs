//! The model of a virtual machine.

use std::{collections::BTreeMap, path::PathBuf};

use cofre_arm::ResourceId;
use cofre_disk::ImageFormat;
use serde::{Deserialize, Serialize, de::Error};

use crate::encryption::EncryptionSettings;

/// A virtual machine: what backup and restore need to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualMachine {
    /// Its resource id; the last name is the machine's.
    pub id: ResourceId,
    /// A GUID that no other machine ever had.
    pub vm_id: String,
    /// Region.
    pub location: String,
    /// Which of the two models it belongs to.
    pub model: DeploymentModel,
    /// Its size, `Standard_D2s_v3`.
    pub vm_size: String,
    /// Kind of the guest's operating system.
    pub os_type: OsType,
    /// Whether it was set up properly.
    pub provisioning_state: ProvisioningState,
    /// Whether it runs.
    pub power_state: PowerState,
    /// The disk it boots from.
    pub os_disk: Disk,
    /// Its other disks, by slot.
    pub data_disks: Vec<DataDisk>,
    /// Encryption settings of the machine, for all of its disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_settings: Option<EncryptionSettings>,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The two models a machine can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentModel {
    /// Today's.
    ResourceManager,
    /// The older one.
    Classic,
}

/// Kind of operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OsType {
    /// Disks are encrypted by dm-crypt (LUKS).
    Linux,
    /// Disks are encrypted by BitLocker.
    Windows,
}

/// State of the machine's set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisioningState {
    /// Set up.
    Succeeded,
    /// Being changed.
    Updating,
    /// Broken.
    Failed,
}

/// Whether the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    /// It runs.
    Running,
    /// Shut down.
    Stopped,
    /// Shut down, and holds no host.
    Deallocated,
    /// On its way up.
    Starting,
    /// On its way down.
    Stopping,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Name: letters, digits, `.`, `_`, `-`; no other disk of the machine has it.
    pub name: String,
    /// The image that holds it.
    pub image: Image,
    /// Encryption settings of this disk alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_settings: Option<EncryptionSettings>,
}

/// A disk in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataDisk {
    /// The slot: logical unit number, 0 to 63.
    pub lun: u32,
    /// The disk.
    #[serde(flatten)]
    pub disk: Disk,
}

/// An image on the host. Its format is fixed when the machine is described, and never guessed from
/// bytes that the guest can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute path.
    pub path: PathBuf,
    /// Format.
    #[serde(with = "format")]
    pub format: ImageFormat,
}

impl VirtualMachine {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.name()
    }

    /// All disks: the one it boots from first, then by slot.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        std::iter::once(&self.os_disk).chain(self.data_disks.iter().map(|d| &d.disk))
    }
}

mod format {
    use super::ImageFormat;

    pub(super) fn serialize<S: serde::Serializer>(format: &ImageFormat, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(format.name())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<ImageFormat, D::Error> {
        let name = <String as serde::Deserialize>::deserialize(from)?;
        name.parse().map_err(<D::Error as super::Error>::custom)
    }
}
