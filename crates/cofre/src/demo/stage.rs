//! What the story plays with: a home in a temporary folder, a machine, its disk key.

use std::path::{Path, PathBuf};

use cofre_arm::{ApiError, Problem, ResourceId, Result as ApiResult};
use cofre_compute::{
    DeploymentModel, Disk, EncryptionSettings, Image, OsType, PowerState, ProvisioningState, VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};
use cofre_disk::{BlockSource, ImageFormat, VhdSource, open_source};
use cofre_fde::{Limits, luks};
use cofre_keyvault::{
    AccessPolicy, Caller, KeyPermission, KeySpec, Permissions, Principal, SecretPermission, VaultSpec,
};
use cofre_recovery::{job::Finished, key_vault_error, key_vault_id};
use zeroize::Zeroizing;

use super::{disk, failed, listing, listing::Listing};
use crate::{
    Context,
    disk::DiskBytes,
    home::{self, DEFAULT_GROUP, Home, InitRequest, NewRootKey, WrappedDiskKey},
    report::{Report, Result},
};

/// Names in the story.
pub(super) const MACHINE: &str = "web1";
pub(super) const KEY_VAULT: &str = "kv-web";
pub(super) const NEW_KEY_VAULT: &str = "kv-new";
pub(super) const VAULT: &str = "backup-vault";
pub(super) const KEY: &str = "kek";
pub(super) const SECRET: &str = "web1-disk-key";

/// Everything, below one folder.
pub(super) struct Stage {
    pub(super) home: Home,
    pub(super) image: PathBuf,
    pub(super) disk_key: Zeroizing<Vec<u8>>,
}

impl Stage {
    /// Makes the home.
    pub(super) fn new(folder: &Path, context: &Context) -> Result<Self> {
        let images = folder.join("images");
        std::fs::create_dir(&images).map_err(|e| failed("cannot make a folder", e))?;
        let root = folder.join("home");
        home::init(&InitRequest {
            folder: root.clone(),
            location: "local".to_owned(),
            image_folders: vec![images.clone()],
            kit: Some(folder.join("recovery-kit.json")),
            server: home::ServerSettings::default(),
            root_key: NewRootKey::File,
            database: None,
        })?;
        let (home, _) = Home::open(&root, &context.cancel)?;
        let disk_key = cofre_recovery::disk_key::generate()?;
        Ok(Self { home, image: images.join("web1.raw"), disk_key })
    }

    /// Makes a key vault, which its maker may use fully.
    pub(super) fn make_key_vault(&self, name: &str) -> Result<ResourceId> {
        let place = &self.home.config.place;
        let id = key_vault_id(&place.subscription_id, DEFAULT_GROUP, name)?;
        let operator = self.home.operator();
        let all = Permissions {
            keys: KeyPermission::ALL.iter().copied().collect(),
            secrets: SecretPermission::ALL.iter().copied().collect(),
            ..Permissions::default()
        };
        let spec = VaultSpec {
            id: id.to_string(),
            name: name.to_owned(),
            location: place.location.clone(),
            tenant: place.tenant_id.clone(),
            enabled_for_disk_encryption: true,
            access_policies: vec![AccessPolicy { principal: Principal::from(&operator), permissions: all }],
            ..VaultSpec::default()
        };
        self.home.key_vaults.create_vault(&operator, &spec).map_err(key_vault_error)?;
        Ok(id)
    }

    /// Makes the wrapping key, wraps the disk key.
    pub(super) fn make_keys(&self) -> Result<WrappedDiskKey> {
        let operator = self.home.operator();
        self.home
            .key_vaults
            .create_key(&operator, KEY_VAULT, KEY, &KeySpec::default())
            .map_err(key_vault_error)?;
        self.home.wrap_disk_key(KEY_VAULT, KEY, SECRET, &self.disk_key, MACHINE, OsType::Linux)
    }

    /// The principal that reads key vaults for backups.
    pub(super) fn backup_service(&self) -> Caller {
        self.home.config.caller(&self.home.config.backup_service)
    }

    /// A machine whose settings name these objects; without a key for a machine with BEK alone.
    pub(super) fn machine(
        &self,
        name: &str,
        keys: &WrappedDiskKey,
        with_key: bool,
    ) -> Result<VirtualMachine> {
        let recovery = &self.home.recovery;
        let place = &self.home.config.place;
        let source_vault =
            SubResource { id: key_vault_id(&place.subscription_id, DEFAULT_GROUP, KEY_VAULT)? };
        let image = Image { path: self.image.clone(), format: ImageFormat::Raw };
        Ok(VirtualMachine {
            id: recovery.machine_id(DEFAULT_GROUP, name)?,
            vm_id: cofre_recovery::new_guid()?,
            location: place.location.clone(),
            model: DeploymentModel::ResourceManager,
            vm_size: "Standard_D2s_v3".to_owned(),
            os_type: OsType::Linux,
            provisioning_state: ProvisioningState::Succeeded,
            power_state: PowerState::Deallocated,
            os_disk: Disk { name: "os".to_owned(), image, encryption_settings: None },
            data_disks: Vec::new(),
            encryption_settings: Some(EncryptionSettings {
                enabled: true,
                disk_encryption_key: SecretReference {
                    secret_url: keys.secret.to_string(),
                    source_vault: source_vault.clone(),
                },
                key_encryption_key: with_key
                    .then(|| KeyReference { key_url: keys.key.to_string(), source_vault }),
            }),
            tags: std::collections::BTreeMap::new(),
        })
    }

    /// The bytes that must be nowhere in the home: disk key and volume key, in the forms they may have.
    pub(super) fn secrets(&self) -> Result<Vec<Vec<u8>>> {
        use base64ct::Encoding as _;
        let source = open_source(&self.image, ImageFormat::Raw).map_err(Report::source)?;
        let unlocked = luks::unlock(&DiskBytes(source), &self.disk_key, &Limits::default())?;
        let volume_key = unlocked.volume_key().expose();
        let mut patterns = Vec::new();
        for key in [&self.disk_key[..], volume_key] {
            patterns.push(key.to_vec());
            patterns.push(key.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect());
            patterns.push(base64ct::Base64UrlUnpadded::encode_string(key).into_bytes());
            patterns.push(base64ct::Base64Unpadded::encode_string(key).into_bytes());
        }
        Ok(patterns)
    }
}

/// A refusal that has to happen.
pub(super) fn refusal<T>(what: &str, result: ApiResult<T>, expected: Problem) -> Result<ApiError> {
    match result {
        Err(e) if e.problem() == expected => Ok(e),
        Err(e) => {
            Err(failed(format!("{what} was refused, but not with {}", expected.row().code), e.in_full()))
        }
        Ok(_) => Err(failed(format!("{what} was not refused"), expected.row().meaning)),
    }
}

/// What a job brought; its error where it failed.
pub(super) fn finished<T>(finished: ApiResult<Finished<T>>) -> Result<(cofre_recovery::job::Job, T)> {
    let Finished { job, result } = finished?;
    Ok((job, result?))
}

/// The files on a restored VHD, read through its encryption with `disk_key`.
pub(super) fn files_of(vhd: &Path, disk_key: &[u8]) -> Result<Listing> {
    let open = || VhdSource::open(vhd).map_err(Report::source);
    let unlocked = luks::unlock(&DiskBytes(Box::new(open()?)), disk_key, &Limits::default())?;
    listing::read(DiskBytes(Box::new(open()?)), &unlocked)
}

/// Compares two disks byte by byte; returns how many bytes they have.
pub(super) fn compare_bytes(image: &Path, vhd: &Path) -> Result<u64> {
    const PART: usize = 1 << 20;
    let source = open_source(image, ImageFormat::Raw).map_err(Report::source)?;
    let restored = VhdSource::open(vhd).map_err(Report::source)?;
    if source.size() != restored.size() {
        let sizes = format!("{} and {} bytes", source.size(), restored.size());
        return Err(failed("the restored disk has another size", sizes));
    }
    let (mut one, mut other) = (vec![0; PART], vec![0; PART]);
    let mut at = 0;
    while at < source.size() {
        let length = usize::try_from(source.size() - at).unwrap_or(PART).min(PART);
        source.read_exact_at(&mut one[..length], at).map_err(Report::source)?;
        restored.read_exact_at(&mut other[..length], at).map_err(Report::source)?;
        if let Some(different) = one[..length].iter().zip(&other[..length]).position(|(a, b)| a != b) {
            return Err(failed("the restored disk differs", format!("at byte {}", at + different as u64)));
        }
        at += length as u64;
    }
    Ok(source.size())
}

/// Compares files with what they should be; returns how many there are.
pub(super) fn compare_files(found: &Listing, expected: &Listing) -> Result<usize> {
    let different = found.differences(expected);
    if different.is_empty() {
        return Ok(found.entries().count());
    }
    Err(failed("the restored files differ", different.join(", ")))
}

/// The files on the source disk.
pub(super) fn source_files(stage: &Stage) -> Result<Listing> {
    disk::list(&stage.image, &stage.disk_key)
}
