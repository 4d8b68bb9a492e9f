//! Key vaults of another service, over HTTPS: [`KeySource`] and [`KeyTarget`] over `cofre-keyvault-client`.

use std::sync::OnceLock;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_keyvault_client::{
    Client, ClientError, ErrorKind, NewSecret, ObjectName, ProofQuestion as RemoteQuestion, ProofWord, Right,
    Vault, VaultAddress,
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    capture::sha256_hex,
    captured::WrappedSecret,
    key_source::{
        KeySource, KeyTarget, KeyVaultInfo, KeyVaultName, NEEDED, ObjectState, ProofAnswer, ProofQuestion,
        ProofState, RestoredKey, StoredSecret,
    },
};

/// Where the key vaults of another service are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What follows a key vault's name in its host, with the port where there is one.
    pub suffix: String,
    /// Where resources are asked for: `https://HOST[:PORT]`. Without it nobody says the id of a key vault.
    pub arm_endpoint: Option<String>,
}

/// Key vaults of another service, as the principal of a client sees them.
pub struct RemoteKeyVaults {
    connect: Connect,
    client: OnceLock<Client>,
    service: Service,
}

/// Makes the client when it is first needed: what is done without these key vaults is done also when a
/// file of theirs is missing.
type Connect = Box<dyn Fn() -> cofre_keyvault_client::Result<Client> + Send + Sync>;

/// An error of a key vault elsewhere, as the control plane reports it.
fn remote_error(error: ClientError) -> ApiError {
    let message = error.to_string();
    let (problem, advice) = match error.kind() {
        ErrorKind::Forbidden => (Problem::Forbidden, None),
        ErrorKind::Disabled => (Problem::KeyVersionNotFound, None),
        ErrorKind::VaultNotFound | ErrorKind::NotFound => (Problem::NotFound, None),
        ErrorKind::Conflict => (
            Problem::KeyVaultNameConflict,
            Some(
                "Use what is there, recover or purge what was deleted under the name, or use another key vault.",
            ),
        ),
        ErrorKind::BadRequest if error.code() == "KeyVaultBlobNotUsable" => {
            (Problem::KeyVaultBlobNotUsable, None)
        }
        ErrorKind::BadRequest => (Problem::InvalidParameter, None),
        ErrorKind::Busy => (Problem::ServerBusy, None),
        ErrorKind::Setting => {
            (Problem::InvalidParameter, Some("`cofre host key-vaults list` shows what is set."))
        }
        ErrorKind::Login | ErrorKind::Challenge => (
            Problem::KeyVaultUnreachable,
            Some("Correct client id, secret or authority: `cofre host key-vaults list` shows what is set."),
        ),
        _ => (
            Problem::KeyVaultUnreachable,
            Some("Check that the service runs and can be reached from here, then try again."),
        ),
    };
    let api = ApiError::new(problem, message);
    let api = match advice {
        Some(advice) => api.recommend(advice),
        None => api,
    };
    match std::error::Error::source(&error) {
        Some(source) => api.because(source.to_string()),
        None => api,
    }
}

/// An error met while reading for a backup.
fn refused(vault: KeyVaultName<'_>, error: ClientError) -> ApiError {
    match error.kind() {
        ErrorKind::Forbidden => ApiError::new(
            Problem::KeyVaultPermissions,
            format!("the backup service may not read the key vault {vault}"),
        )
        .because(error),
        ErrorKind::VaultNotFound => {
            ApiError::new(Problem::KeyVaultUnreachable, format!("the key vault {vault} does not exist"))
        }
        ErrorKind::NotFound => ApiError::new(Problem::KeyVersionNotFound, error.to_string()),
        _ => remote_error(error),
    }
}

/// Why a question for a proof has no answer.
fn not_proven(reason: impl Into<String>) -> ProofAnswer {
    ProofAnswer { state: ProofState::Captured { reason: reason.into() }, record: None }
}

/// What a record says it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    point: String,
    disk: String,
    header_sha256: String,
    secret: Reference,
    key: Option<Reference>,
    key_blob_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    vault: String,
    name: String,
    version: String,
}

impl Reference {
    fn is(&self, vault: &str, name: &str, version: &str) -> bool {
        self.vault.eq_ignore_ascii_case(vault)
            && self.name.eq_ignore_ascii_case(name)
            && self.version.eq_ignore_ascii_case(version)
    }
}

/// Whether a record answers this question and no other.
fn answers(record: &serde_json::Value, question: &ProofQuestion<'_>) -> bool {
    let (key_vault, key_name, key_version) = question.key;
    About::deserialize(record).is_ok_and(|about| {
        about.point == question.point
            && about.disk == question.disk
            && about.header_sha256.eq_ignore_ascii_case(&sha256_hex(question.header))
            && about.secret.is(question.vault.name, question.secret.0, question.secret.1)
            && about.key.is_some_and(|key| key.is(key_vault.name, key_name, key_version))
            && about
                .key_blob_sha256
                .is_some_and(|hash| hash.eq_ignore_ascii_case(&sha256_hex(question.key_backup)))
    })
}

impl RemoteKeyVaults {
    /// The key vaults of a service, as the principal of a client sees them. The client is made when it is
    /// first needed.
    #[must_use]
    pub fn new(
        service: Service,
        connect: impl Fn() -> cofre_keyvault_client::Result<Client> + Send + Sync + 'static,
    ) -> Self {
        Self { connect: Box::new(connect), client: OnceLock::new(), service }
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = (self.connect)().map_err(remote_error)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Whether a key vault is one of this service: by its suffix, over whose port is read.
    #[must_use]
    pub fn serves(&self, vault: KeyVaultName<'_>) -> bool {
        let suffix = &self.service.suffix;
        let domain = suffix.split_once(':').map_or(suffix.as_str(), |(domain, _)| domain);
        domain.eq_ignore_ascii_case(vault.suffix)
    }

    fn address(&self, vault: KeyVaultName<'_>) -> Result<VaultAddress> {
        VaultAddress::new(vault.name, &self.service.suffix).map_err(remote_error)
    }

    fn at(&self, vault: KeyVaultName<'_>) -> Result<Vault<'_>> {
        Ok(self.client()?.vault(self.address(vault)?))
    }

    fn info(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>> {
        let address = self.address(vault)?;
        if let Some(endpoint) = &self.service.arm_endpoint
            && let Some(facts) = self.client()?.vault_facts(endpoint, &address).map_err(remote_error)?
        {
            return Ok(Some(KeyVaultInfo {
                id: Some(facts.id.parse::<ResourceId>()?),
                enabled_for_disk_encryption: Some(facts.enabled_for_disk_encryption),
            }));
        }
        // The principal may have no rights on resources: then the key vault itself says whether it is there.
        match self.client()?.vault(address).may(Right::ListKeys) {
            Ok(_) => Ok(Some(KeyVaultInfo { id: None, enabled_for_disk_encryption: None })),
            Err(error) if error.kind() == ErrorKind::VaultNotFound => Ok(None),
            Err(error) => Err(remote_error(error)),
        }
    }

    /// All versions of a key; none where there is no key.
    fn list_versions(
        &self,
        vault: KeyVaultName<'_>,
        name: &str,
        failed: impl Fn(ClientError) -> ApiError,
    ) -> Result<Option<Vec<String>>> {
        match self.at(vault)?.key_versions(name) {
            Ok(versions) => Ok((!versions.is_empty()).then_some(versions)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn state_of<T>(
        vault: KeyVaultName<'_>,
        found: std::result::Result<T, ClientError>,
        enabled: impl Fn(&T) -> bool,
    ) -> Result<ObjectState> {
        match found {
            Ok(object) if enabled(&object) => Ok(ObjectState::Usable),
            Ok(_) => Ok(ObjectState::Disabled),
            Err(error) => match error.kind() {
                ErrorKind::Disabled => Ok(ObjectState::Disabled),
                ErrorKind::NotFound | ErrorKind::VaultNotFound => Ok(ObjectState::Gone),
                _ => Err(refused(vault, error)),
            },
        }
    }
}

impl KeySource for RemoteKeyVaults {
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>> {
        self.info(vault)
    }

    fn missing_permissions(&self, vault: KeyVaultName<'_>) -> Result<Vec<String>> {
        const RIGHTS: [Right; 5] =
            [Right::GetKeys, Right::ListKeys, Right::BackupKeys, Right::GetSecrets, Right::ListSecrets];
        let at = self.at(vault)?;
        let mut missing = Vec::new();
        for (name, right) in NEEDED.iter().zip(RIGHTS) {
            if !at.may(right).map_err(|error| refused(vault, error))? {
                missing.push((*name).to_owned());
            }
        }
        Ok(missing)
    }

    fn secret_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState> {
        Self::state_of(vault, self.at(vault)?.secret(name, Some(version)), |secret| secret.enabled)
    }

    fn key_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState> {
        Self::state_of(vault, self.at(vault)?.key(name, Some(version)), |key| key.enabled)
    }

    fn secret(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<StoredSecret> {
        let secret = self.at(vault)?.secret(name, Some(version)).map_err(|error| refused(vault, error))?;
        Ok(StoredSecret {
            value: WrappedSecret::new(secret.value),
            content_type: secret.content_type,
            tags: secret.tags,
        })
    }

    fn versions_of_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Vec<String>> {
        let versions = self.list_versions(vault, name, |error| refused(vault, error))?;
        let mut versions = versions.ok_or_else(|| {
            ApiError::new(Problem::KeyVersionNotFound, format!("the key vault {vault} holds no key {name}"))
        })?;
        versions.sort();
        Ok(versions)
    }

    fn backup_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        self.at(vault)?.backup_key(name).map_err(|error| refused(vault, error))
    }

    fn prove(&self, question: &ProofQuestion<'_>) -> Result<ProofAnswer> {
        let (key_vault, key_name, key_version) = question.key;
        if !self.serves(key_vault) {
            return Ok(not_proven("the key is in a key vault of another service than the secret"));
        }
        let asked = self.at(question.vault)?.prove(&RemoteQuestion {
            point: question.point,
            disk: question.disk,
            header: question.header,
            data_size: question.disk_size,
            algorithm: question.algorithm,
            secret: ObjectName {
                vault: question.vault.name,
                name: question.secret.0,
                version: question.secret.1,
            },
            secret_value: question.secret_value.expose(),
            key: ObjectName { vault: key_vault.name, name: key_name, version: key_version },
            key_backup: question.key_backup,
        });
        match asked {
            Ok(Some(reply)) if !answers(&reply.record, question) => {
                Ok(not_proven("the key vault answered for another point, disk, secret or key"))
            }
            Ok(Some(reply)) => {
                let state = match reply.word {
                    ProofWord::Proven => ProofState::Proven,
                    ProofWord::DoesNotOpen => ProofState::DoesNotOpen,
                    ProofWord::NotShown { reason } => ProofState::Captured { reason },
                };
                Ok(ProofAnswer { state, record: Some(reply.record) })
            }
            Ok(None) => Ok(not_proven("this key vault cannot prove: it has no such operation")),
            Err(error) => match error.kind() {
                // that the service cannot be asked is no property of the point
                ErrorKind::Unreachable
                | ErrorKind::Login
                | ErrorKind::Challenge
                | ErrorKind::Busy
                | ErrorKind::Failed => Err(remote_error(error)),
                _ => Ok(not_proven(error.to_string())),
            },
        }
    }
}

impl KeyTarget for RemoteKeyVaults {
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>> {
        self.info(vault)
    }

    fn key_versions(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Option<Vec<String>>> {
        self.list_versions(vault, name, remote_error)
    }

    fn restore_key(&self, vault: KeyVaultName<'_>, blob: &[u8]) -> Result<RestoredKey> {
        let key = self.at(vault)?.restore_key(blob).map_err(|error| match error.kind() {
            // Azure gives no code of its own for a blob that it cannot open
            ErrorKind::BadRequest => ApiError::new(Problem::KeyVaultBlobNotUsable, error.to_string()),
            _ => remote_error(error),
        })?;
        let versions = KeyTarget::key_versions(self, vault, &key.name)?.unwrap_or_default();
        Ok(RestoredKey { name: key.name, versions })
    }

    fn set_secret(&self, vault: KeyVaultName<'_>, name: &str, secret: &StoredSecret) -> Result<String> {
        let new = NewSecret {
            value: secret.value.expose(),
            content_type: secret.content_type.as_deref(),
            tags: &secret.tags,
        };
        self.at(vault)?.set_secret(name, &new).map_err(remote_error)
    }
}
