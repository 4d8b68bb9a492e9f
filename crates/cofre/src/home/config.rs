//! `config.json` of a home. It is written last by `cofre init`: a home exists when it does.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use cofre_arm::{ApiError, Problem};
use cofre_keyvault::Caller;
use cofre_notify::NotificationSettings;
use cofre_recovery::{settings::Settings, trust::kit::Place};
use serde::{Deserialize, Serialize};

use super::{Layout, remote::RemoteService};
use crate::report::Result;

const VERSION: u32 = 1;
/// Largest file that is read.
const LIMIT: u64 = 1 << 20;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    version: u32,
    /// Tenant, subscription, region, geography.
    pub(crate) place: Place,
    /// Whoever uses the home.
    pub(crate) operator: Principal,
    /// The principal that reads key vaults for backups.
    pub(crate) backup_service: Principal,
    /// Folders that images of machines may lie in.
    pub(crate) image_folders: Vec<PathBuf>,
    /// URL of the PostgreSQL database; none is a file in the home. It has no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    /// Limits and names.
    #[serde(default)]
    pub(crate) settings: Settings,
    /// Where and how the service is reached.
    #[serde(default)]
    pub(crate) server: ServerSettings,
    /// Who is told when backups fail.
    #[serde(default)]
    pub(crate) notifications: NotificationSettings,
    /// Key vaults of other services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remote_key_vaults: Vec<RemoteService>,
}

/// Where and how the service is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// The address of the server.
    pub(crate) listen: SocketAddr,
    /// The address of the proxy that finds key vaults by name; none is no proxy.
    pub(crate) proxy_listen: Option<SocketAddr>,
    /// An address of this host alone where metrics are answered without a token; none is no such address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// The name that clients use for the server.
    pub(crate) host: String,
    /// Requests a second that one caller may send; 0 is any number.
    pub(crate) requests_per_second: u32,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(8443),
            proxy_listen: Some(local(8444)),
            metrics_listen: None,
            host: "localhost".to_owned(),
            requests_per_second: 2000,
        }
    }
}

impl ServerSettings {
    /// The names of the service when it listens on a port.
    pub(crate) fn addresses(&self, port: u16, key_vault_suffix: &str) -> cofre_server::addresses::Addresses {
        cofre_server::addresses::Addresses {
            host: self.host.clone(),
            port,
            key_vault_suffix: key_vault_suffix.to_owned(),
        }
    }
}

/// Somebody whom access policies can name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Principal {
    /// Object id, a GUID.
    pub(crate) object_id: String,
    /// Name.
    pub(crate) display_name: String,
    /// Application id, where it is an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) application_id: Option<String>,
}

impl Config {
    pub(crate) fn new(
        place: Place,
        operator: Principal,
        backup_service: Principal,
        image_folders: Vec<PathBuf>,
    ) -> Self {
        Self {
            version: VERSION,
            place,
            operator,
            backup_service,
            image_folders,
            database: None,
            settings: Settings::default(),
            server: ServerSettings::default(),
            notifications: NotificationSettings::default(),
            remote_key_vaults: Vec::new(),
        }
    }

    /// Reads the configuration of a home.
    pub(crate) fn read(layout: &Layout) -> Result<Self> {
        let path = layout.config();
        let bad =
            |what: String| ApiError::new(Problem::StateUnavailable, format!("{}: {what}", path.display()));
        let bytes = match fs::metadata(&path) {
            Ok(m) if m.len() > LIMIT => {
                return Err(bad("is too long to be a configuration".to_owned()).into());
            }
            Ok(_) => fs::read(&path),
            Err(e) => Err(e),
        };
        let bytes = bytes.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                ApiError::new(Problem::NotFound, format!("there is no home in {}", layout.root().display()))
                    .recommend("Make one with `cofre init`, or name another with `--home` or COFRE_HOME.")
            }
            _ => bad("cannot be read".to_owned()).because(e),
        })?;
        let config: Self = serde_json::from_slice(&bytes)
            .map_err(|e| bad("is no configuration of a home".to_owned()).because(e))?;
        if config.version != VERSION {
            return Err(bad(format!("has version {}, this program knows {VERSION}", config.version)).into());
        }
        Ok(config)
    }

    /// Writes it anew, whole or not at all.
    pub(crate) fn replace(&self, layout: &Layout) -> Result<()> {
        let path = layout.config();
        let fresh = path.with_extension("json.new");
        let _ = fs::remove_file(&fresh);
        self.write_new(&fresh)?;
        fs::rename(&fresh, &path).and_then(|()| fs::File::open(layout.root())?.sync_all()).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, format!("cannot replace {}", path.display())).because(e)
        })?;
        Ok(())
    }

    pub(crate) fn write_new(&self, path: &std::path::Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, "the configuration cannot be encoded").because(e)
        })?;
        json.push(b'\n');
        Ok(cofre_recovery::trust::write_private(path, &json)?)
    }

    /// A principal, as key vaults know callers.
    pub(crate) fn caller(&self, principal: &Principal) -> Caller {
        Caller {
            object_id: principal.object_id.clone(),
            tenant: self.place.tenant_id.clone(),
            name: principal.display_name.clone(),
            ..Caller::default()
        }
    }

    /// The place, as key vaults know it.
    pub(crate) fn key_vault_place(&self) -> cofre_keyvault::Place {
        cofre_keyvault::Place {
            tenant: self.place.tenant_id.clone(),
            subscription: self.place.subscription_id.clone(),
            geography: self.place.geography.clone(),
        }
    }
}
