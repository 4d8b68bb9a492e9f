//! A home: the folder that holds everything the service keeps, and the service made from it.
//!
//! `docs/home.md` says what is in it and what must be kept safe.

mod config;
mod database;
mod disk_key;
mod identity;
mod init;
mod key_state;
mod keys_lock;
mod passphrase;
mod prover;
mod remote;
mod root_key;
mod rotation;
mod storage_accounts;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cofre_arm::{ApiError, Problem};
use cofre_compute::ImageDriver;
use cofre_keyvault::{Caller, KeyVaults, SystemClock, proof::HeaderProver};
use cofre_recovery::{
    KeyVaultRouter, LocalKeyVaults, Parts, Recovery, key_vault_error,
    reconcile::OrphanedJob,
    storage_account::{StorageAccount, StorageAccounts as _},
    trust::{RecoveryPublicKey, ServiceKey},
};
use cofre_repo::Cancel;
use cofre_server::{directory::Directory, tls::TlsFiles};
use cofre_store::Store;

pub(crate) use self::{
    config::{Config, Principal, ServerSettings},
    disk_key::WrappedDiskKey,
    identity::operator_actor,
    init::{InitReport, InitRequest, image_folder, init},
    remote::{RemotePrincipal, RemoteService},
    root_key::{NewRootKey, RootKeyKind},
};
use self::{key_state::KeyState, keys_lock::KeysLock, prover::Prover, storage_accounts::Folders};
use crate::report::Result;

/// Name of the resource group that is used when none is given.
pub(crate) const DEFAULT_GROUP: &str = cofre_server::directory::DEFAULT_GROUP;
/// Name of the storage account that every home has.
pub(crate) const DEFAULT_STORAGE_ACCOUNT: &str = "default";

/// Where things are in a home.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config.json")
    }

    fn database(&self) -> PathBuf {
        self.root.join("cofre.db")
    }

    fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    fn root_key(&self, kind: RootKeyKind) -> PathBuf {
        self.keys().join(match kind {
            RootKeyKind::File => "keyvault-root.key",
            RootKeyKind::Passphrase => "keyvault-root.passphrase.json",
        })
    }

    /// Shared by whoever has the home open.
    fn keys_lock(&self) -> PathBuf {
        self.keys().join("lock")
    }

    fn service_key(&self) -> PathBuf {
        self.keys().join("service.key")
    }

    fn recovery_key(&self) -> PathBuf {
        self.keys().join("recovery.pub.pem")
    }

    /// The recovery kit, where it was not written elsewhere.
    pub(crate) fn kit(&self) -> PathBuf {
        self.root.join("recovery-kit.json")
    }

    /// What tokens are signed with.
    pub(crate) fn token_key(&self) -> PathBuf {
        self.keys().join("tokens.key")
    }

    /// Certificates and their keys.
    pub(crate) fn tls(&self) -> TlsFiles {
        TlsFiles::new(&self.keys())
    }

    /// A folder for each repository.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    /// A folder for each storage account.
    pub(crate) fn storage(&self) -> PathBuf {
        self.root.join("storage")
    }
}

/// The home to use: what was given, `COFRE_HOME`, or a folder below the user's data.
pub(crate) fn folder(given: Option<&Path>) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = given
        .map(Path::to_owned)
        .or_else(|| set("COFRE_HOME"))
        .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("cofre")))
        .or_else(|| set("HOME").map(|h| h.join(".local/share/cofre")));
    let folder = folder.ok_or_else(|| {
        ApiError::invalid("no home is named, and there is no HOME to look in").recommend("Give `--home DIR`.")
    })?;
    std::path::absolute(&folder).map_err(|e| {
        ApiError::invalid(format!("{} is no path of a home", folder.display())).because(e).into()
    })
}

/// A home that is open.
pub(crate) struct Home {
    pub(crate) layout: Layout,
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) key_vaults: Arc<KeyVaults>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) recovery: Arc<Recovery>,
    prover: Arc<Prover>,
    cancel: Cancel,
    keys_lock: KeysLock,
}

impl Home {
    /// Opens a home. Jobs of processes that died are ended first, and returned too.
    pub(crate) fn open(folder: &Path, cancel: &Cancel) -> Result<(Self, Vec<OrphanedJob>)> {
        let layout = Layout::new(folder);
        let config = Config::read(&layout)?;
        let store = Arc::new(database::open(&layout, config.database.as_deref())?);
        let state = Arc::new(KeyState::new(store.clone()));
        let keys_lock = KeysLock::share(&layout.keys_lock())?;
        let root = root_key::open(&layout, &*state, &keys_lock, cancel)?;
        let key_vaults = KeyVaults::open(state, &root, Arc::new(SystemClock), &config.key_vault_place());
        let directory = Arc::new(config.directory(store.clone()));
        let key_vaults = Arc::new(key_vaults.map_err(key_vault_error)?.with_roles(directory.clone()));
        let prover = Arc::new(Prover::new(cancel.clone()));
        let backup =
            LocalKeyVaults::new(key_vaults.clone(), config.caller(&config.backup_service), prover.clone());
        let recovery = Arc::new(Recovery::new(Parts {
            place: config.place.clone(),
            settings: config.settings.clone(),
            store: store.clone(),
            service_key: ServiceKey::from_file(&layout.service_key())?,
            recovery_key: read_recovery_key(&layout)?,
            repositories: layout.repositories(),
            driver: Arc::new(ImageDriver::new(config.image_folders.clone())),
            keys: Arc::new(KeyVaultRouter::new(backup, config.remote_key_vaults(None, cancel))),
            accounts: Arc::new(Folders(layout.storage())),
            clock: Arc::new(cofre_repo::clock::SystemClock),
            software: concat!("cofre ", env!("CARGO_PKG_VERSION")).to_owned(),
        }));
        let closed = recovery.close_orphaned_jobs()?;
        let cancel = cancel.clone();
        let home = Self { layout, config, store, key_vaults, directory, recovery, prover, cancel, keys_lock };
        Ok((home, closed))
    }

    /// Whoever uses the home: may do everything that access policies let him.
    pub(crate) fn operator(&self) -> Caller {
        self.config.caller(&self.config.operator)
    }

    /// Key vaults as the operator sees them; those elsewhere as a principal there, which is the one that
    /// backups use where no other is named.
    pub(crate) fn operator_keys(&self, elsewhere: Option<&RemotePrincipal>) -> KeyVaultRouter {
        let local = LocalKeyVaults::new(self.key_vaults.clone(), self.operator(), self.prover.clone());
        KeyVaultRouter::new(local, self.config.remote_key_vaults(elsewhere, &self.cancel))
    }

    /// What tries secrets on headers.
    pub(crate) fn prover(&self) -> Arc<dyn HeaderProver> {
        self.prover.clone()
    }

    /// A storage account of the home.
    pub(crate) fn storage_account(&self, name: &str) -> Result<StorageAccount> {
        Ok(Folders(self.layout.storage()).account(name)?)
    }
}

fn read_recovery_key(layout: &Layout) -> Result<RecoveryPublicKey> {
    let path = layout.recovery_key();
    let pem = std::fs::read_to_string(&path).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, format!("cannot read {}", path.display())).because(e)
    })?;
    Ok(RecoveryPublicKey::from_pem(&pem)?)
}
