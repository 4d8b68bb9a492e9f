//! A service whose parts are real; only the prover runs in this process, and the driver can be watched.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use cofre_arm::{ApiError, Problem, ResourceId, Result as ApiResult};
use cofre_compute::{
    DataDisk, DeploymentModel, Disk, Driver, EncryptionSettings, Image, ImageDriver, OsType, PowerState,
    ProvisioningState, Snapshot, VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};
use cofre_disk::ImageFormat;
use cofre_fde::{
    Limits,
    luks::{self, FormatOptions, Kdf},
};
use cofre_keyvault::{
    AccessPolicy, AccessTemplate, AttributesChange, Caller, KeyPermission, KeySpec, KeyVaults, Permissions,
    Place, Principal, RootKey, SecretPermission, SecretSpec, SecretValue, SystemClock, VaultSpec,
    proof::{HeaderProver, ProverAnswer},
    state::MemoryState,
};
use cofre_recovery::{
    LocalKeyVaults, Parts, Recovery, disk_key, new_guid,
    settings::Settings,
    storage_account::{StorageAccount, StorageAccounts},
    trust::{RecoveryKey, ServiceKey, kit},
    vault::Redundancy,
};
use cofre_repo::{Cancel, clock::Clock, progress::Silent};
use cofre_store::Store;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const SUBSCRIPTION: &str = "11111111-2222-4333-8444-555555555555";
const TENANT: &str = "tenant";

/// Tries secrets in this process.
struct InProcess;

impl HeaderProver for InProcess {
    fn try_open(&self, header: &[u8], _: u64, secret: &[u8]) -> ProverAnswer {
        match luks::unlock(&header.to_vec(), secret, &Limits::default()) {
            Ok(unlocked) => ProverAnswer::Opens {
                volume_key_fingerprint_input: Zeroizing::new(
                    Sha256::digest(unlocked.volume_key().expose()).into(),
                ),
                keyslot: unlocked.slot(),
            },
            Err(e) if e.kind() == cofre_fde::ErrorKind::WrongKey => ProverAnswer::DoesNotOpen,
            Err(e) => ProverAnswer::Unsupported(e.to_string()),
        }
    }
}

/// The system's clock until a test sets another time; a test can put it forward.
#[derive(Default)]
pub(crate) struct TestClock {
    set: Mutex<Option<Timestamp>>,
    ahead: AtomicI64,
}

impl TestClock {
    pub(crate) fn set(&self, time: Timestamp) {
        *self.set.lock().unwrap() = Some(time);
    }

    pub(crate) fn forward(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let set = *self.set.lock().unwrap();
        let time = set.unwrap_or_else(|| cofre_repo::clock::SystemClock.now());
        time + jiff::SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst))
    }
}

/// Storage accounts that are folders of a folder.
struct Accounts(PathBuf);

impl StorageAccounts for Accounts {
    fn account(&self, name: &str) -> ApiResult<StorageAccount> {
        let folder = self.0.join(name);
        if !folder.is_dir() {
            return Err(ApiError::new(Problem::NotFound, format!("there is no storage account {name}")));
        }
        Ok(StorageAccount { name: name.to_owned(), folder })
    }

    fn names(&self) -> ApiResult<Vec<String>> {
        Ok(vec!["default".to_owned()])
    }
}

pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// Reads images, and does something once while a snapshot is taken.
pub(crate) struct Watched {
    images: ImageDriver,
    pub(crate) during: Mutex<Option<Hook>>,
}

impl Driver for Watched {
    fn snapshot(&self, machine: &VirtualMachine) -> ApiResult<Snapshot> {
        let snapshot = self.images.snapshot(machine)?;
        // it may take snapshots itself
        let hook = self.during.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(snapshot)
    }
}

/// What the services of a world share.
#[derive(Clone)]
struct Shared {
    folder: PathBuf,
    settings: Settings,
    vaults: Arc<KeyVaults>,
    driver: Arc<Watched>,
    backup: Caller,
    clock: Arc<TestClock>,
}

impl Shared {
    fn service(&self, store: Arc<Store>) -> Recovery {
        let path = |name: &str| self.folder.join(name);
        let keys = LocalKeyVaults::new(self.vaults.clone(), self.backup.clone(), Arc::new(InProcess));
        Recovery::new(Parts {
            place: kit::Place {
                tenant_id: TENANT.into(),
                subscription_id: SUBSCRIPTION.into(),
                location: "local".into(),
                geography: "local".into(),
            },
            settings: self.settings.clone(),
            store,
            service_key: ServiceKey::from_file(&path("service.key")).unwrap(),
            recovery_key: RecoveryKey::generate().unwrap().public().unwrap(),
            repositories: path("repositories"),
            driver: self.driver.clone(),
            keys: Arc::new(keys),
            accounts: Arc::new(Accounts(path("storage"))),
            clock: self.clock.clone(),
            software: "test".into(),
        })
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) store: Arc<Store>,
    pub(crate) vaults: Arc<KeyVaults>,
    pub(crate) driver: Arc<Watched>,
    pub(crate) operator: Caller,
    pub(crate) backup: Caller,
    pub(crate) clock: Arc<TestClock>,
    parts: Shared,
}

fn caller(name: &str) -> Caller {
    Caller {
        object_id: format!("id-of-{name}"),
        tenant: TENANT.into(),
        name: name.into(),
        ..Caller::default()
    }
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cofre.db")).unwrap();
        Self::on(settings, folder, store)
    }

    /// A world whose state is in this store.
    pub(crate) fn on(settings: Settings, folder: TempDir, store: Store) -> Self {
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("vm")).unwrap();
        fs::create_dir_all(path("storage/default")).unwrap();
        let clock = Arc::new(TestClock::default());
        let place =
            Place { tenant: TENANT.into(), subscription: SUBSCRIPTION.into(), geography: "local".into() };
        let root = RootKey::create_file(&path("root.key")).unwrap();
        let vaults =
            KeyVaults::open(Arc::new(MemoryState::new()), &root, Arc::new(SystemClock), &place).unwrap();
        let vaults = Arc::new(vaults);
        let (operator, backup) = (caller("operator"), caller("backup"));
        let images = ImageDriver::new(vec![path("vm").canonicalize().unwrap()]);
        let driver = Arc::new(Watched { images, during: Mutex::new(None) });
        ServiceKey::create_file(&path("service.key")).unwrap();
        let store = Arc::new(store);
        let parts = Shared { folder: folder.path().to_owned(), settings, vaults, driver, backup, clock };
        let recovery = Arc::new(parts.service(store.clone()));
        let Shared { vaults, driver, backup, clock, .. } = parts.clone();
        Self { folder, recovery, store, vaults, driver, operator, backup, clock, parts }
    }

    /// Another service on the same state, as another process would have.
    pub(crate) fn another(&self, store: Store) -> Arc<Recovery> {
        Arc::new(self.parts.service(Arc::new(store)))
    }

    /// Another service on the same state, with other settings.
    pub(crate) fn set_otherwise(&self, settings: Settings) -> Arc<Recovery> {
        Arc::new(Shared { settings, ..self.parts.clone() }.service(self.store.clone()))
    }

    /// A vault `v1`, and a key vault with access granted and a key in it.
    pub(crate) fn ready() -> (Self, ResourceId) {
        Self::ready_with(Settings::default())
    }

    pub(crate) fn ready_with(settings: Settings) -> (Self, ResourceId) {
        let world = Self::new(settings);
        let vault = world.recovery.create_vault("g", "v1", "local", Redundancy::GeoRedundant).unwrap().id;
        world.key_vault("kv1");
        (world, vault)
    }

    /// Sets the time.
    pub(crate) fn at(&self, time: &str) -> Timestamp {
        let time = time.parse().unwrap();
        self.clock.set(time);
        time
    }

    pub(crate) fn key_vault(&self, name: &str) {
        let all = Permissions {
            keys: KeyPermission::ALL.iter().copied().collect(),
            secrets: SecretPermission::ALL.iter().copied().collect(),
            ..Permissions::default()
        };
        let spec = VaultSpec {
            id: self.key_vault_id(name).to_string(),
            name: name.into(),
            location: "local".into(),
            tenant: TENANT.into(),
            enabled_for_disk_encryption: true,
            access_policies: vec![
                AccessPolicy { principal: Principal::from(&self.operator), permissions: all },
                AccessTemplate::AzureBackup.policy(Principal::from(&self.backup)),
            ],
            ..VaultSpec::default()
        };
        self.vaults.create_vault(&self.operator, &spec).unwrap();
        self.vaults.create_key(&self.operator, name, "kek", &KeySpec::default()).unwrap();
    }

    pub(crate) fn key_vault_id(&self, name: &str) -> ResourceId {
        cofre_recovery::key_vault_id(SUBSCRIPTION, "g", name).unwrap()
    }

    /// Wraps a disk key by the newest version of the vault's key; returns the settings that name both.
    pub(crate) fn wrap(&self, vault: &str, secret: &str, disk_key: &str) -> EncryptionSettings {
        let wrapped = self
            .vaults
            .wrap_key(&self.operator, vault, "kek", None, "RSA-OAEP", disk_key.as_bytes())
            .unwrap();
        let key_url = format!("https://{vault}.vault.localhost/keys/kek/{}", wrapped.version);
        let stored =
            disk_key::secret(secret, wrapped.value.expose(), &key_url.parse().unwrap(), "web", OsType::Linux);
        let spec = SecretSpec {
            value: SecretValue::new(Zeroizing::new(stored.value.expose().to_owned())).unwrap(),
            content_type: stored.content_type,
            attributes: AttributesChange::default(),
            tags: stored.tags,
        };
        let version =
            self.vaults.set_secret(&self.operator, vault, secret, &spec).unwrap().properties.version;
        let source_vault = SubResource { id: self.key_vault_id(vault) };
        EncryptionSettings {
            enabled: true,
            disk_encryption_key: SecretReference {
                secret_url: format!("https://{vault}.vault.localhost/secrets/{secret}/{version}"),
                source_vault: source_vault.clone(),
            },
            key_encryption_key: Some(KeyReference { key_url, source_vault }),
        }
    }

    /// A LUKS2 image that `disk_key` opens.
    pub(crate) fn image(&self, name: &str, disk_key: &str) -> PathBuf {
        let kdf = Kdf::Pbkdf2 { hash: "sha256".into(), iterations: 1000 };
        let mut random = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).map_err(std::io::Error::other);
        let formatted = luks::format(&FormatOptions::new(kdf), &[disk_key.as_bytes()], &mut random).unwrap();
        let mut image = formatted.header().to_vec();
        image.resize(17 << 20, 0);
        let path = self.folder.path().join("vm").canonicalize().unwrap().join(name);
        fs::write(&path, image).unwrap();
        path
    }

    pub(crate) fn disk(name: &str, path: &std::path::Path, settings: Option<EncryptionSettings>) -> Disk {
        let image = Image { path: path.to_owned(), format: ImageFormat::Raw };
        Disk { name: name.into(), image, encryption_settings: settings }
    }

    pub(crate) fn machine(&self, name: &str, os_disk: Disk, data_disks: Vec<DataDisk>) -> VirtualMachine {
        VirtualMachine {
            id: self.recovery.machine_id("g", name).unwrap(),
            vm_id: new_guid().unwrap(),
            location: "local".into(),
            model: DeploymentModel::ResourceManager,
            vm_size: "Standard_D2s_v3".into(),
            os_type: OsType::Linux,
            provisioning_state: ProvisioningState::Succeeded,
            power_state: PowerState::Deallocated,
            os_disk,
            data_disks,
            encryption_settings: None,
            tags: Default::default(),
        }
    }

    /// A protected machine of one plain disk of one mebibyte.
    pub(crate) fn plain(&self, vault: &ResourceId, name: &str) -> ResourceId {
        let path = self.folder.path().join("vm").canonicalize().unwrap().join(format!("{name}.raw"));
        fs::write(&path, name.repeat((1 << 20) / name.len() + 1).as_bytes()).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
        let machine = self.machine(name, Self::disk("os", &path, None), Vec::new());
        self.protect(vault, &machine)
    }

    pub(crate) fn protect(&self, vault: &ResourceId, machine: &VirtualMachine) -> ResourceId {
        self.protect_with(vault, machine, "DefaultPolicy")
    }

    pub(crate) fn protect_with(
        &self,
        vault: &ResourceId,
        machine: &VirtualMachine,
        policy: &str,
    ) -> ResourceId {
        self.recovery.register_machine(machine).unwrap();
        self.recovery.enable_protection(vault, &machine.id, policy).unwrap().result.unwrap().id
    }

    /// A backup that the schedule asked for, at its time; the number of its point.
    pub(crate) fn backup_scheduled(&self, item: &ResourceId, slot: &str) -> String {
        let slot = self.at(slot);
        let done = self.recovery.backup_scheduled(item, slot, &Silent, &Cancel::new()).unwrap();
        done.result.unwrap().point.name
    }

    pub(crate) fn backup(
        &self,
        item: &ResourceId,
    ) -> cofre_recovery::job::Finished<cofre_recovery::backup::BackupReport> {
        self.recovery.backup(item, None, &Silent, &Cancel::new()).unwrap()
    }
}
