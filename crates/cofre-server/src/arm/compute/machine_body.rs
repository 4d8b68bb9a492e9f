//! What clients say of a machine: the published body, with images of this host in place of blobs.

use std::{collections::BTreeMap, os::unix::ffi::OsStringExt as _, path::PathBuf};

use cofre_arm::{ApiError, ResourceId, Result};
use cofre_compute::{
    DataDisk, DeploymentModel, Disk, EncryptionSettings, Image, OsType, PowerState, ProvisioningState,
    VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};
use cofre_disk::ImageFormat;
use cofre_recovery::new_guid;
use serde::Deserialize;

use crate::{app::App, directory};

/// A machine; clients send more fields, which have no meaning here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachineBody {
    location: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    vm_id: Option<String>,
    hardware_profile: Option<HardwareProfile>,
    storage_profile: Option<StorageProfile>,
    instance_view: Option<InstanceView>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HardwareProfile {
    vm_size: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StorageProfile {
    os_disk: Option<DiskBody>,
    data_disks: Option<Vec<DiskBody>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiskBody {
    name: Option<String>,
    os_type: Option<String>,
    lun: Option<u32>,
    vhd: Option<ImageBody>,
    encryption_settings: Option<SettingsBody>,
    encryption_settings_collection: Option<SettingsCollection>,
}

/// `vhd`: the image's address, and of our own its format.
#[derive(Debug, Deserialize)]
struct ImageBody {
    uri: String,
    format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingsCollection {
    enabled: Option<bool>,
    encryption_settings: Option<Vec<SettingsBody>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingsBody {
    enabled: Option<bool>,
    disk_encryption_key: Option<SecretBody>,
    key_encryption_key: Option<KeyBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretBody {
    secret_url: String,
    source_vault: VaultBody,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyBody {
    key_url: String,
    source_vault: VaultBody,
}

#[derive(Debug, Deserialize)]
struct VaultBody {
    id: String,
}

#[derive(Debug, Deserialize)]
struct InstanceView {
    statuses: Option<Vec<Status>>,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: Option<String>,
}

impl MachineBody {
    /// The machine that is meant. Of the one there is, `there`, stays what cannot change, and what the body leaves out
    /// of what the host knows: the power state, and the formats of images.
    pub(super) fn machine(
        &self,
        app: &App,
        id: ResourceId,
        there: Option<&VirtualMachine>,
    ) -> Result<VirtualMachine> {
        let properties = &self.properties;
        let named =
            self.location.as_deref().ok_or_else(|| ApiError::invalid("a machine needs a location"))?;
        let location = super::super::key_vaults::location(app, named)?;
        let tags = self.tags.clone().unwrap_or_default();
        directory::check_tags(&tags)?;
        let storage = properties.storage_profile.as_ref();
        let os_disk = storage
            .and_then(|storage| storage.os_disk.as_ref())
            .ok_or_else(|| ApiError::invalid("a machine needs properties.storageProfile.osDisk"))?;
        let formats = |path: &PathBuf| {
            let disk = there?.disks().find(|disk| disk.image.path == *path)?;
            Some(disk.image.format)
        };
        let mut data_disks = Vec::new();
        for body in storage.and_then(|storage| storage.data_disks.as_ref()).into_iter().flatten() {
            let lun = body.lun.ok_or_else(|| ApiError::invalid("a data disk needs its slot, lun"))?;
            if body.encryption_settings.is_some() {
                return Err(ApiError::invalid(
                    "encryptionSettings of a whole machine stand in osDisk; those of a data disk alone in its \
                     encryptionSettingsCollection",
                ));
            }
            data_disks.push(DataDisk { lun, disk: body.disk(&format!("data-{lun}"), formats)? });
        }
        data_disks.sort_by_key(|disk| disk.lun);
        let os_type = os_disk.os_type.as_deref();
        Ok(VirtualMachine {
            id,
            vm_id: self.vm_id(there)?,
            location,
            model: there.map_or(DeploymentModel::ResourceManager, |there| there.model),
            vm_size: self.vm_size()?,
            os_type: match os_type {
                Some(name) if name.eq_ignore_ascii_case("Windows") => OsType::Windows,
                Some(name) if name.eq_ignore_ascii_case("Linux") => OsType::Linux,
                Some(_) => return Err(ApiError::invalid("osType is Linux or Windows")),
                None => there.map_or(OsType::Linux, |there| there.os_type),
            },
            provisioning_state: ProvisioningState::Succeeded,
            power_state: match self.power_state()? {
                Some(state) => state,
                None => there.map_or(PowerState::Deallocated, |there| there.power_state),
            },
            os_disk: os_disk.disk("os", formats)?,
            data_disks,
            encryption_settings: os_disk
                .encryption_settings
                .as_ref()
                .map(|settings| settings.settings(None))
                .transpose()?
                .flatten(),
            tags,
        })
    }

    /// The GUID that tells this machine from one that had its name before.
    fn vm_id(&self, there: Option<&VirtualMachine>) -> Result<String> {
        let Some(given) = &self.properties.vm_id else {
            return there.map_or_else(new_guid, |there| Ok(there.vm_id.clone()));
        };
        let given = directory::guid("vmId", given)?;
        match there {
            Some(there) if !there.vm_id.eq_ignore_ascii_case(&given) => {
                Err(ApiError::invalid(format!("the machine's vmId is {}, and stays", there.vm_id))
                    .recommend("Delete the machine first if it is another one now."))
            }
            _ => Ok(given),
        }
    }

    fn vm_size(&self) -> Result<String> {
        let size = self.properties.hardware_profile.as_ref().and_then(|profile| profile.vm_size.as_deref());
        let size = size.unwrap_or("Standard_D2s_v3");
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=64).contains(&size.len()) && size.bytes().all(fits) {
            return Ok(size.to_owned());
        }
        Err(ApiError::invalid("vmSize has 1 to 64 letters, digits, `_` and `-`"))
    }

    /// What `instanceView.statuses` say of it.
    fn power_state(&self) -> Result<Option<PowerState>> {
        let statuses = self.properties.instance_view.as_ref().and_then(|view| view.statuses.as_ref());
        for status in statuses.into_iter().flatten() {
            let Some((kind, state)) = status.code.as_deref().and_then(|code| code.split_once('/')) else {
                continue;
            };
            if !kind.eq_ignore_ascii_case("PowerState") {
                continue;
            }
            return Ok(Some(match state.to_ascii_lowercase().as_str() {
                "running" => PowerState::Running,
                "stopped" => PowerState::Stopped,
                "deallocated" => PowerState::Deallocated,
                "starting" => PowerState::Starting,
                "stopping" | "deallocating" => PowerState::Stopping,
                _ => return Err(ApiError::invalid("the status code PowerState/… is none that is known")),
            }));
        }
        Ok(None)
    }
}

impl DiskBody {
    fn disk(&self, name: &str, formats: impl Fn(&PathBuf) -> Option<ImageFormat>) -> Result<Disk> {
        let vhd = self.vhd.as_ref().ok_or_else(|| {
            ApiError::invalid("a disk needs vhd.uri, the address of its image: file:///folder/image.qcow2")
        })?;
        let path = path_of(&vhd.uri)?;
        let format = match &vhd.format {
            Some(format) => format
                .to_ascii_lowercase()
                .parse()
                .map_err(|_| ApiError::invalid("vhd.format is raw, qcow2 or vhd"))?,
            // What a format was is never asked of bytes that the guest can write, nor of a new name for them.
            None => formats(&path).unwrap_or_else(|| from_suffix(&path)),
        };
        Ok(Disk {
            name: self.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| name.to_owned()),
            image: Image { path, format },
            encryption_settings: self
                .encryption_settings_collection
                .as_ref()
                .map(SettingsCollection::settings)
                .transpose()?
                .flatten(),
        })
    }
}

/// The format by the end of the name.
fn from_suffix(path: &std::path::Path) -> ImageFormat {
    if path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("vhd")) {
        ImageFormat::Vhd
    } else {
        ImageFormat::from_suffix(path)
    }
}

/// The path that a `file:///…` address names.
fn path_of(uri: &str) -> Result<PathBuf> {
    let bad = || {
        ApiError::invalid(
            "vhd.uri is file:/// and the absolute path of an image of this host, with other characters than those of \
             addresses as %XX",
        )
    };
    let raw = uri.strip_prefix("file://").ok_or_else(bad)?;
    let raw = raw.strip_prefix("localhost").unwrap_or(raw);
    if !raw.starts_with('/') || raw.len() > 4096 || raw.contains(['?', '#']) {
        return Err(bad());
    }
    let bytes = percent_decoded(raw).filter(|bytes| !bytes.contains(&0)).ok_or_else(bad)?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit(rest.next()?)? << 4 | digit(rest.next()?)?
        } else {
            byte
        });
    }
    Some(bytes)
}

impl SettingsCollection {
    /// The settings of a disk; none where there are none that are named.
    fn settings(&self) -> Result<Option<EncryptionSettings>> {
        match self.encryption_settings.as_deref() {
            None | Some([]) => Ok(None),
            Some([one]) => one.settings(self.enabled),
            Some(_) => Err(ApiError::invalid("a disk has one pair of encryption settings, not several")),
        }
    }
}

impl SettingsBody {
    fn settings(&self, enabled: Option<bool>) -> Result<Option<EncryptionSettings>> {
        let enabled = self.enabled.or(enabled).unwrap_or(true);
        let Some(secret) = &self.disk_encryption_key else {
            return if enabled {
                Err(ApiError::invalid("encryption settings that are enabled name a diskEncryptionKey"))
            } else {
                Ok(None)
            };
        };
        let url = |text: &str| {
            if text.len() <= 2048 && !text.chars().any(char::is_control) {
                Ok(text.to_owned())
            } else {
                Err(ApiError::invalid("the URL of a secret or key has at most 2048 plain characters"))
            }
        };
        let vault = |vault: &VaultBody| -> Result<SubResource> { Ok(SubResource { id: vault.id.parse()? }) };
        let key = self.key_encryption_key.as_ref().map(|key| -> Result<KeyReference> {
            Ok(KeyReference { key_url: url(&key.key_url)?, source_vault: vault(&key.source_vault)? })
        });
        Ok(Some(EncryptionSettings {
            enabled,
            disk_encryption_key: SecretReference {
                secret_url: url(&secret.secret_url)?,
                source_vault: vault(&secret.source_vault)?,
            },
            key_encryption_key: key.transpose()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_images() {
        for (uri, path) in [
            ("file:///vm/a.qcow2", "/vm/a.qcow2"),
            ("file://localhost/vm/a.raw", "/vm/a.raw"),
            ("file:///vm/a%20b%2C.raw", "/vm/a b,.raw"),
        ] {
            assert_eq!(path_of(uri).unwrap(), PathBuf::from(path), "{uri}");
        }
        for bad in [
            "",
            "/vm/a",
            "file://host/a",
            "file:vm",
            "https://sa.blob/a.vhd",
            "file:///a%",
            "file:///a%zz",
            "file:///a%00",
            "file:///a?b",
        ] {
            assert!(path_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formats_by_name() {
        for (path, format) in [
            ("/a.qcow2", ImageFormat::Qcow2),
            ("/a.VHD", ImageFormat::Vhd),
            ("/a.raw", ImageFormat::Raw),
            ("/a.qcow2/b", ImageFormat::Raw),
            ("/a", ImageFormat::Raw),
        ] {
            assert_eq!(from_suffix(std::path::Path::new(path)), format, "{path}");
        }
    }
}
