//! Machines, captured keys and restored disks.

use std::{collections::BTreeMap, path::PathBuf};

use cofre_arm::ResourceId;
use cofre_compute::{
    DataDisk, DeploymentModel, Disk, EncryptionMechanism, EncryptionSettings, Image, OsType, PowerState,
    ProvisioningState, VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};
use cofre_disk::ImageFormat;
use cofre_recovery::{
    captured::{CapturedKeys, CapturedSet, VERSION, WrappedSecret},
    outputs::{KeyBlob, RestoredDisk},
};
use zeroize::Zeroizing;

pub(crate) type Blobs = BTreeMap<String, Zeroizing<Vec<u8>>>;

pub(crate) const SECRET_VERSION: &str = "00112233445566778899aabbccddeeff";
pub(crate) const KEY_VERSION: &str = "ffeeddccbbaa99887766554433221100";

pub(crate) fn key_vault(name: &str) -> ResourceId {
    ResourceId::resource("s1", "keys", "Microsoft.KeyVault/vaults", name).unwrap()
}

pub(crate) fn secret_url(name: &str) -> String {
    format!("https://kv1.vault.localhost/secrets/{name}/{SECRET_VERSION}")
}

pub(crate) fn key_url(version: &str) -> String {
    format!("https://kv2.vault.localhost/keys/kek/{version}")
}

pub(crate) fn settings(secret: &str) -> EncryptionSettings {
    EncryptionSettings {
        enabled: true,
        disk_encryption_key: SecretReference {
            secret_url: secret_url(secret),
            source_vault: SubResource { id: key_vault("kv1") },
        },
        key_encryption_key: Some(KeyReference {
            key_url: key_url(KEY_VERSION),
            source_vault: SubResource { id: key_vault("kv2") },
        }),
    }
}

fn disk(name: &str) -> Disk {
    let image = Image { path: PathBuf::from("/vm/x.raw"), format: ImageFormat::Raw };
    Disk { name: name.into(), image, encryption_settings: None }
}

/// With disks `os`, `data` in slot 0 and `logs` in slot 3, none encrypted.
pub(crate) fn machine(os_type: OsType) -> VirtualMachine {
    VirtualMachine {
        id: ResourceId::resource("s1", "rg1", "Microsoft.Compute/virtualMachines", "web-1").unwrap(),
        vm_id: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".into(),
        location: "local".into(),
        model: DeploymentModel::ResourceManager,
        vm_size: "Standard_D2s_v3".into(),
        os_type,
        provisioning_state: ProvisioningState::Succeeded,
        power_state: PowerState::Stopped,
        os_disk: disk("os"),
        data_disks: vec![DataDisk { lun: 0, disk: disk("data") }, DataDisk { lun: 3, disk: disk("logs") }],
        encryption_settings: None,
        tags: BTreeMap::from([
            ("owner".into(), "Zoë 😀".into()),
            ("note".into(), "[resourceGroup().id]".into()),
        ]),
    }
}

/// Settings on the machine.
pub(crate) fn double_pass() -> VirtualMachine {
    VirtualMachine { encryption_settings: Some(settings("bek")), ..machine(OsType::Linux) }
}

/// Settings on each disk; `logs` has another secret.
pub(crate) fn single_pass() -> VirtualMachine {
    let mut machine = machine(OsType::Windows);
    machine.os_disk.encryption_settings = Some(settings("bek"));
    machine.data_disks[0].disk.encryption_settings = Some(settings("bek"));
    machine.data_disks[1].disk.encryption_settings = Some(settings("bek-logs"));
    machine
}

/// What would be captured of a machine, if all of its keys are in one blob.
pub(crate) fn captured(machine: &VirtualMachine) -> (CapturedKeys, Blobs) {
    let blob = Zeroizing::new((0..=255).collect::<Vec<u8>>());
    let sets = machine.key_sets().into_iter().map(|set| CapturedSet {
        disks: set.disks,
        secret_url: set.settings.disk_encryption_key.secret_url,
        secret_vault_id: set.settings.disk_encryption_key.source_vault.id,
        secret_data: WrappedSecret::new(Zeroizing::new("d3JhcHBlZA_-secret".into())),
        secret_content_type: Some("Wrapped BEK".into()),
        secret_tags: BTreeMap::from([
            ("DiskEncryptionKeyEncryptionAlgorithm".into(), "RSA-OAEP-256".into()),
            ("DiskEncryptionKeyEncryptionKeyURL".into(), key_url(KEY_VERSION)),
            ("VolumeLabel".into(), "Größe".into()),
        ]),
        key_url: key_url(KEY_VERSION),
        key_vault_id: key_vault("kv2"),
        key_backup: "key-0.blob".into(),
        key_backup_sha256: KeyBlob::new(blob.clone()).sha256(),
        key_versions: Vec::new(),
    });
    let keys = CapturedKeys {
        version: VERSION,
        mechanism: if machine.encryption_settings.is_some() {
            EncryptionMechanism::DoublePass
        } else {
            EncryptionMechanism::SinglePass
        },
        sets: sets.collect(),
    };
    (keys, BTreeMap::from([("key-0.blob".to_owned(), blob)]))
}

/// All disks of a machine, none of whose sizes is a whole GiB.
pub(crate) fn restored(machine: &VirtualMachine) -> Vec<RestoredDisk> {
    let slots = std::iter::once(None).chain(machine.data_disks.iter().map(|d| Some(d.lun)));
    let one = |(lun, disk): (Option<u32>, &Disk)| RestoredDisk {
        name: disk.name.clone(),
        lun,
        blob: format!("{}.vhd", disk.name),
        uri: format!("https://sa1.blob.localhost/restore-7/{}.vhd", disk.name),
        size: (1 << 30) + 512 * u64::from(lun.unwrap_or(7)),
    };
    slots.zip(machine.disks()).map(one).collect()
}
