//! `config.json`: what the machine was and where its disks lie now.
//!
//! UTF-16, little-endian. The members at the top have names with dots in them, `properties.…`: scripts
//! of old read them so.

mod wire;

use std::collections::BTreeMap;

use cofre_arm::{ApiError, ResourceId, Result, names};
use cofre_compute::{EncryptionSettings, OsType, VirtualMachine};

use self::wire::{Disk, File, Hardware, Settings, Storage, lacks};
use super::{RestoredDisk, members::List, text, without_port};

/// Name of the blob.
pub const BLOB: &str = "config.json";
/// Longest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// What errors call it.
const WHAT: &str = "configuration file";

/// What the file says. Of a file that others wrote, only size and kind of system need be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Id of the machine that was backed up.
    pub id: Option<ResourceId>,
    /// Its GUID.
    pub vm_id: Option<String>,
    /// Its region.
    pub location: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its size, `Standard_D2s_v3`.
    pub vm_size: String,
    /// Kind of its operating system.
    pub os_type: OsType,
    /// The disk it boots from; with no URI when that disk was not restored.
    pub os_disk: ConfiguredDisk,
    /// The other disks that were restored, by slot.
    pub data_disks: BTreeMap<u32, ConfiguredDisk>,
    /// Encryption settings of the machine, for all of its disks.
    pub encryption_settings: Option<EncryptionSettings>,
}

/// A disk in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfiguredDisk {
    /// Its name in the machine.
    pub name: Option<String>,
    /// Where its blob is.
    pub uri: Option<String>,
    /// Name of its blob.
    pub blob: Option<String>,
    /// Its bytes.
    pub size: Option<u64>,
    /// Encryption settings of this disk alone.
    pub encryption_settings: Option<EncryptionSettings>,
}

/// The file for a machine and the disks that were restored of it.
///
/// # Errors
/// See [`Configuration::encode`].
pub fn encode(machine: &VirtualMachine, disks: &[RestoredDisk]) -> Result<Vec<u8>> {
    Configuration::new(machine, disks).encode()
}

/// Reads the file, with or without a byte order mark and NULs at its end.
///
/// # Errors
/// `InvalidParameter`: no text or JSON, more than [`MAX_BYTES`], or something in it is missing or wrong.
pub fn parse(bytes: &[u8]) -> Result<Configuration> {
    let text = text::decode(WHAT, bytes, MAX_BYTES)?;
    let file: File = text::parse(WHAT, &text)?;
    let storage = file.storage.ok_or_else(|| lacks("properties.storageProfile"))?;
    let mut os_disk = storage.os_disk.ok_or_else(|| lacks("osDisk"))?;
    let mut data_disks = BTreeMap::new();
    for disk in storage.data_disks.map(|list| list.0).unwrap_or_default() {
        let lun = disk.lun.ok_or_else(|| lacks("lun of a data disk"))?;
        if data_disks.insert(lun, disk.read()?).is_some() {
            return Err(ApiError::invalid(format!("two disks of the {WHAT} are in slot {lun}")));
        }
    }
    Ok(Configuration {
        id: file.id,
        vm_id: file.vm_id,
        location: file.location,
        tags: file.tags.unwrap_or_default(),
        vm_size: file.hardware.and_then(|h| h.vm_size).ok_or_else(|| lacks("vmSize"))?,
        os_type: os_type(os_disk.os_type.as_deref())?,
        encryption_settings: os_disk.settings.take().map(Settings::read).transpose()?.flatten(),
        os_disk: os_disk.read()?,
        data_disks,
    })
}

fn os_type(text: Option<&str>) -> Result<OsType> {
    match text {
        Some(t) if t.eq_ignore_ascii_case("Linux") => Ok(OsType::Linux),
        Some(t) if t.eq_ignore_ascii_case("Windows") => Ok(OsType::Windows),
        _ => Err(ApiError::invalid(format!("osType of the {WHAT} is neither Linux nor Windows"))),
    }
}

impl Configuration {
    /// What is to be said of a machine and the disks that were restored of it. Other data disks are left
    /// out, since whoever reads the file attaches each that it lists.
    #[must_use]
    pub fn new(machine: &VirtualMachine, disks: &[RestoredDisk]) -> Self {
        let portless = |settings: &EncryptionSettings| {
            let mut settings = settings.clone();
            let secret = &mut settings.disk_encryption_key.secret_url;
            *secret = without_port(secret);
            if let Some(key) = &mut settings.key_encryption_key {
                key.key_url = without_port(&key.key_url);
            }
            settings
        };
        let configured = |disk: &RestoredDisk, settings: Option<&EncryptionSettings>| ConfiguredDisk {
            name: Some(disk.name.clone()),
            uri: Some(disk.uri.clone()),
            blob: Some(disk.blob.clone()),
            size: Some(disk.size),
            encryption_settings: settings.map(portless),
        };
        let os_settings = machine.os_disk.encryption_settings.as_ref();
        let os_disk = disks.iter().find(|d| d.lun.is_none()).map_or_else(
            || ConfiguredDisk {
                name: Some(machine.os_disk.name.clone()),
                encryption_settings: os_settings.map(portless),
                ..ConfiguredDisk::default()
            },
            |disk| configured(disk, os_settings),
        );
        let data_disks = disks.iter().filter_map(|disk| {
            let lun = disk.lun?;
            let there = machine.data_disks.iter().find(|d| d.lun == lun);
            Some((lun, configured(disk, there.and_then(|d| d.disk.encryption_settings.as_ref()))))
        });
        Self {
            id: Some(machine.id.clone()),
            vm_id: Some(machine.vm_id.clone()),
            location: Some(machine.location.clone()),
            tags: machine.tags.clone(),
            vm_size: machine.vm_size.clone(),
            os_type: machine.os_type,
            os_disk,
            data_disks: data_disks.collect(),
            encryption_settings: machine.encryption_settings.as_ref().map(portless),
        }
    }

    /// The file.
    ///
    /// # Errors
    /// None that is known: all that it holds fits into JSON.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let os_type = match self.os_type {
            OsType::Linux => "Linux",
            OsType::Windows => "Windows",
        };
        let file = File {
            id: self.id.clone(),
            name: self.id.as_ref().map(|id| id.name().to_owned()),
            kind: Some(names::VIRTUAL_MACHINE.to_owned()),
            location: self.location.clone(),
            tags: Some(self.tags.clone()),
            vm_id: self.vm_id.clone(),
            hardware: Some(Hardware { vm_size: Some(self.vm_size.clone()) }),
            storage: Some(Storage {
                os_disk: Some(Disk {
                    os_type: Some(os_type.to_owned()),
                    settings: self.encryption_settings.as_ref().map(Settings::write),
                    ..Disk::write(&self.os_disk)
                }),
                data_disks: Some(List(
                    self.data_disks
                        .iter()
                        .map(|(lun, disk)| Disk { lun: Some(*lun), ..Disk::write(disk) })
                        .collect(),
                )),
            }),
        };
        text::utf16_json(WHAT, &file)
    }
}
