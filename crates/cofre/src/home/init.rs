//! Making a home.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID, KeyVaults, SystemClock};
use cofre_recovery::{
    key_vault_error,
    trust::{Kit, RecoveryKey, ServiceKey, kit::Place, write_private},
};
use cofre_repo::clock::Clock as _;
use cofre_server::directory::NewSecret;
use zeroize::Zeroizing;

use super::{
    Config, DEFAULT_STORAGE_ACCOUNT, KeyState, Layout, NewRootKey, Principal, ServerSettings, database,
    identity,
};
use crate::report::Result;

/// What a home is to be like.
#[derive(Clone, Debug)]
pub(crate) struct InitRequest {
    /// Where.
    pub(crate) folder: PathBuf,
    /// Region and geography.
    pub(crate) location: String,
    /// Folders that images of machines may lie in.
    pub(crate) image_folders: Vec<PathBuf>,
    /// Where the recovery kit goes; into the home where nothing is said.
    pub(crate) kit: Option<PathBuf>,
    /// Where the service will be reached.
    pub(crate) server: ServerSettings,
    /// What seals the key vaults.
    pub(crate) root_key: NewRootKey,
    /// URL of the PostgreSQL database, where it is no file in the home.
    pub(crate) database: Option<String>,
}

/// The home that was made.
#[derive(Debug)]
pub(crate) struct InitReport {
    pub(crate) config: Config,
    /// Where the kit was written; none when the home was there already.
    pub(crate) kit: Option<PathBuf>,
    /// The operator's secret, told once; none when the home was there already.
    pub(crate) secret: Option<NewSecret>,
}

fn failed(doing: &str, path: &Path, error: io::Error) -> ApiError {
    ApiError::new(Problem::StateUnavailable, format!("cannot {doing} {}", path.display())).because(error)
}

fn make_folder(path: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(e) => Err(failed("make the folder", path, e).into()),
    }
}

/// Makes a home in a folder that is empty or not there. The configuration is written last, so a folder
/// without one is no home; what an attempt that died has left is for a person to delete, since it may
/// also be a home that lost its configuration. A home that is there already stays as it is.
pub(crate) fn init(request: &InitRequest) -> Result<InitReport> {
    let layout = Layout::new(&request.folder);
    if layout.config().exists() {
        let config = Config::read(&layout)?;
        if !config.place.location.eq_ignore_ascii_case(&request.location) {
            let message = format!(
                "there is a home in {} already, in the location {}",
                request.folder.display(),
                config.place.location
            );
            return Err(ApiError::new(Problem::Conflict, message)
                .recommend("Use it, or name another folder with `--home`.")
                .into());
        }
        return Ok(InitReport { config, kit: None, secret: None });
    }
    let is_empty = match fs::read_dir(&request.folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        Err(e) => return Err(failed("read", &request.folder, e).into()),
    };
    if !is_empty {
        let message = format!("{} is not empty, and holds no config.json", request.folder.display());
        return Err(ApiError::new(Problem::Conflict, message)
            .recommend(
                "Name an empty folder. If this is what an interrupted `cofre init` left, delete it; if it is a home that \
                 lost its config.json, restore that file.",
            )
            .into());
    }
    let image_folders = request.image_folders.iter().map(|f| image_folder(f)).collect::<Result<Vec<_>>>()?;
    if request.location.trim().is_empty() {
        return Err(ApiError::invalid("the location is empty").into());
    }
    request.database.as_deref().map_or(Ok(()), database::check)?;
    for folder in [
        &request.folder,
        &layout.keys(),
        &layout.repositories(),
        &layout.storage().join(DEFAULT_STORAGE_ACCOUNT),
    ] {
        make_folder(folder)?;
    }

    let place = Place {
        tenant_id: new_guid()?,
        subscription_id: new_guid()?,
        location: request.location.clone(),
        geography: request.location.clone(),
    };
    let principal = |name: &str, application: Option<&str>| -> Result<Principal> {
        Ok(Principal {
            object_id: new_guid()?,
            display_name: name.to_owned(),
            application_id: application.map(str::to_owned),
        })
    };
    let operator = principal("Local operator", Some(&new_guid()?))?;
    let backup = principal("Backup Management Service", Some(BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID))?;
    let mut config = Config::new(place, operator, backup, image_folders);
    config.server = request.server.clone();
    config.database = request.database.clone();
    // First, for a server may be out of reach.
    let store = Arc::new(database::open_new(&layout, request.database.as_deref())?);

    let root = request.root_key.create(&layout.root_key(request.root_key.kind()))?;
    ServiceKey::create_file(&layout.service_key())?;
    let recovery_key = RecoveryKey::generate()?;
    write_private(&layout.recovery_key(), recovery_key.public()?.to_pem().as_bytes())?;
    let key_vaults = KeyVaults::open(
        Arc::new(KeyState::new(store.clone())),
        &root,
        Arc::new(SystemClock),
        &config.key_vault_place(),
    )
    .map_err(key_vault_error)?;
    let ring = key_vaults.export_ring_for_kit(&config.caller(&config.operator)).map_err(key_vault_error)?;
    let ring = Zeroizing::new(String::from_utf8(ring.to_vec()).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, "the blob keys are no text").because(e.utf8_error())
    })?);
    let kit = request.kit.clone().unwrap_or_else(|| layout.kit());
    Kit::new(cofre_repo::clock::SystemClock.now(), &config.place, &recovery_key, &ring)?.write(&kit)?;
    let secret = identity::establish(&layout, &config, &config.directory(store))?;
    config.write_new(&layout.config())?;
    Ok(InitReport { config, kit: Some(kit), secret: Some(secret) })
}

/// A folder that images may lie in, by its real path.
pub(crate) fn image_folder(folder: &Path) -> Result<PathBuf> {
    let real = folder.canonicalize().map_err(|e| {
        ApiError::invalid(format!("{} cannot be a folder for images", folder.display())).because(e)
    })?;
    if !real.is_dir() {
        return Err(ApiError::invalid(format!("{} is no folder", folder.display())).into());
    }
    Ok(real)
}

/// A random GUID (version 4).
fn new_guid() -> Result<String> {
    Ok(cofre_recovery::new_guid()?)
}
