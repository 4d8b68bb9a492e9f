//! Key vaults of other services: where they are, and who asks them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cofre_keyvault_client::{Client, ClientSecret, Settings};
use cofre_recovery::{RemoteKeyVaults, Service};
use cofre_repo::Cancel;
use serde::{Deserialize, Serialize};

use super::Config;

/// How often it is looked whether waiting is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The key vaults of another service, in `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RemoteService {
    /// What follows a key vault's name in its host, with the port where there is one.
    pub(crate) suffix: String,
    /// Application id of the principal that reads them for backups.
    pub(crate) client_id: String,
    /// The file that holds its secret.
    pub(crate) secret_file: PathBuf,
    /// The certificates to trust; those of the system where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A proxy; what `HTTPS_PROXY` says where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
    /// Where the secret may be sent, besides the resource endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<String>,
    /// Where resources are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arm_endpoint: Option<String>,
}

/// Somebody else to ask them as.
#[derive(Clone, Debug)]
pub(crate) struct RemotePrincipal {
    pub(crate) client_id: String,
    pub(crate) secret_file: PathBuf,
}

impl RemoteService {
    /// The suffix without the port.
    pub(crate) fn domain(&self) -> &str {
        self.suffix.split_once(':').map_or(&self.suffix, |(domain, _)| domain)
    }

    /// A client for it; nothing is sent yet.
    pub(crate) fn client(&self, cancel: &Cancel) -> cofre_keyvault_client::Result<Client> {
        let cancel = cancel.clone();
        Client::new(Settings {
            client_id: self.client_id.clone(),
            secret: ClientSecret::from_file(&self.secret_file)?,
            authorities: self.authority.iter().chain(&self.arm_endpoint).cloned().collect(),
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            pause: Arc::new(move |wait| pause(wait, &cancel)),
        })
    }
}

/// Waits; false when nobody wants it any more.
fn pause(wait: Duration, cancel: &Cancel) -> bool {
    let mut left = wait;
    while !left.is_zero() && !cancel.is_cancelled() {
        let step = left.min(LOOK);
        std::thread::sleep(step);
        left -= step;
    }
    !cancel.is_cancelled()
}

impl Config {
    /// Key vaults of other services, as the principal that backs up or as another.
    pub(super) fn remote_key_vaults(
        &self,
        principal: Option<&RemotePrincipal>,
        cancel: &Cancel,
    ) -> Vec<RemoteKeyVaults> {
        let one = |service: &RemoteService| {
            let mut service = service.clone();
            if let Some(principal) = principal {
                service.client_id.clone_from(&principal.client_id);
                service.secret_file.clone_from(&principal.secret_file);
            }
            let place =
                Service { suffix: service.suffix.clone(), arm_endpoint: service.arm_endpoint.clone() };
            let cancel = cancel.clone();
            RemoteKeyVaults::new(place, move || service.client(&cancel))
        };
        self.remote_key_vaults.iter().map(one).collect()
    }
}
