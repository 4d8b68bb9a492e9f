//! Key vaults of this installation, in this process: [`KeySource`] and [`KeyTarget`] over
//! `cofre-keyvault`.

use std::sync::Arc;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_keyvault::{
    AttributesChange, Caller, ErrorKind, KeyPermission, KeyVaultError, KeyVaults, PageRequest, Permissions,
    Principal, SecretPermission, SecretSpec, SecretValue,
    proof::{
        CaptureReason, HeaderProver, ObjectReference, ProofMaterial, ProofRequest, ProofState as Proven,
    },
};
use zeroize::Zeroizing;

use crate::{
    captured::WrappedSecret,
    key_source::{
        KeySource, KeyTarget, KeyVaultInfo, ObjectState, ProofAnswer, ProofQuestion, ProofState, RestoredKey,
        StoredSecret,
    },
};

/// Key vaults as one caller sees them.
pub struct LocalKeyVaults {
    vaults: Arc<KeyVaults>,
    caller: Caller,
    prover: Arc<dyn HeaderProver>,
}

/// An error of a key vault, as the control plane reports it.
#[must_use]
pub fn key_vault_error(error: KeyVaultError) -> ApiError {
    let problem = match error.kind() {
        ErrorKind::VaultNotFound | ErrorKind::ObjectNotFound => Problem::NotFound,
        ErrorKind::VaultExists | ErrorKind::Conflict | ErrorKind::TooManyVersions => Problem::Conflict,
        ErrorKind::Forbidden | ErrorKind::PurgeProtected | ErrorKind::NotEnabledForDiskEncryption => {
            Problem::Forbidden
        }
        ErrorKind::Disabled => Problem::KeyVersionNotFound,
        ErrorKind::NameConflict | ErrorKind::SoftDeleted => Problem::KeyVaultNameConflict,
        ErrorKind::BlobNotUsable => Problem::KeyVaultBlobNotUsable,
        ErrorKind::RootKey
        | ErrorKind::Damaged
        | ErrorKind::Audit
        | ErrorKind::State
        | ErrorKind::Cryptography => Problem::StateUnavailable,
        _ => Problem::InvalidParameter,
    };
    let message = error.to_string();
    let api = match error.kind() {
        ErrorKind::SoftDeleted => ApiError::new(problem, message)
            .recommend("Recover what holds the name, purge it, or use another name or key vault."),
        ErrorKind::PurgeProtected => {
            ApiError::new(problem, message).recommend("Wait for that date, or recover it.")
        }
        _ => ApiError::new(problem, message),
    };
    // the message is taken over; what caused it is told behind it
    match cause(&error) {
        Some(cause) => api.because(cause),
        None => api,
    }
}

fn cause(error: &dyn std::error::Error) -> Option<String> {
    let mut next = error.source()?;
    let mut text = next.to_string();
    while let Some(source) = next.source() {
        text = format!("{text}: {source}");
        next = source;
    }
    Some(text)
}

/// The permissions that a backup needs at least.
fn needed() -> Permissions {
    Permissions {
        keys: [KeyPermission::Get, KeyPermission::List, KeyPermission::Backup].into(),
        secrets: [SecretPermission::Get, SecretPermission::List].into(),
        ..Permissions::default()
    }
}

impl LocalKeyVaults {
    /// Key vaults as `caller` sees them. `prover` tries secrets on headers.
    #[must_use]
    pub fn new(vaults: Arc<KeyVaults>, caller: Caller, prover: Arc<dyn HeaderProver>) -> Self {
        Self { vaults, caller, prover }
    }

    fn info(&self, name: &str) -> Result<Option<KeyVaultInfo>> {
        match self.vaults.vault(name) {
            Ok(vault) => Ok(Some(KeyVaultInfo {
                id: vault.id.parse()?,
                enabled_for_disk_encryption: vault.enabled_for_disk_encryption,
            })),
            Err(e) if e.kind() == ErrorKind::VaultNotFound => Ok(None),
            Err(e) => Err(key_vault_error(e)),
        }
    }

    /// All versions of a key; none where there is no key.
    fn list_versions(
        &self,
        vault: &str,
        name: &str,
    ) -> std::result::Result<Option<Vec<String>>, KeyVaultError> {
        let mut versions = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let request = PageRequest { after: after.as_deref(), limit: 250 };
            match self.vaults.list_key_versions(&self.caller, vault, name, request) {
                Ok(page) => {
                    versions.extend(page.items.into_iter().map(|i| i.version));
                    after = page.next;
                }
                Err(e) if e.kind() == ErrorKind::ObjectNotFound => return Ok(None),
                Err(e) => return Err(e),
            }
            if after.is_none() {
                return Ok((!versions.is_empty()).then_some(versions));
            }
        }
    }

    /// An error met while reading for a backup.
    fn refused(&self, vault: &str, error: KeyVaultError) -> ApiError {
        match error.kind() {
            ErrorKind::Forbidden => {
                let message = format!("the backup service may not read the key vault {vault}");
                let id = self.info(vault).ok().flatten().map(|i| i.id);
                let refused = ApiError::new(Problem::KeyVaultPermissions, message).because(error);
                match id {
                    Some(id) => refused.about(id),
                    None => refused,
                }
            }
            ErrorKind::VaultNotFound => {
                ApiError::new(Problem::KeyVaultUnreachable, format!("the key vault {vault} does not exist"))
            }
            ErrorKind::ObjectNotFound => ApiError::new(Problem::KeyVersionNotFound, error.to_string()),
            _ => key_vault_error(error),
        }
    }

    fn state_of<T>(
        &self,
        vault: &str,
        found: std::result::Result<T, KeyVaultError>,
        enabled: impl Fn(&T) -> bool,
    ) -> Result<ObjectState> {
        match found {
            Ok(object) if enabled(&object) => Ok(ObjectState::Usable),
            Ok(_) => Ok(ObjectState::Disabled),
            Err(e) => match e.kind() {
                ErrorKind::Disabled => Ok(ObjectState::Disabled),
                ErrorKind::ObjectNotFound | ErrorKind::VaultNotFound => Ok(ObjectState::Gone),
                _ => Err(self.refused(vault, e)),
            },
        }
    }
}

impl KeySource for LocalKeyVaults {
    fn vault(&self, name: &str) -> Result<Option<KeyVaultInfo>> {
        self.info(name)
    }

    fn missing_permissions(&self, vault: &str) -> Result<Vec<String>> {
        let principal = Principal::from(&self.caller);
        let missing = self
            .vaults
            .missing_permissions(vault, &principal, &needed())
            .map_err(|e| self.refused(vault, e))?;
        let keys = missing.keys.iter().map(|p| format!("keys/{p}"));
        Ok(keys.chain(missing.secrets.iter().map(|p| format!("secrets/{p}"))).collect())
    }

    fn secret_state(&self, vault: &str, name: &str, version: &str) -> Result<ObjectState> {
        let found = self.vaults.secret(&self.caller, vault, name, Some(version));
        self.state_of(vault, found, |s| s.properties.attributes.enabled)
    }

    fn key_state(&self, vault: &str, name: &str, version: &str) -> Result<ObjectState> {
        let found = self.vaults.key(&self.caller, vault, name, Some(version));
        self.state_of(vault, found, |k| k.attributes.enabled)
    }

    fn secret(&self, vault: &str, name: &str, version: &str) -> Result<StoredSecret> {
        let bundle = self
            .vaults
            .secret(&self.caller, vault, name, Some(version))
            .map_err(|e| self.refused(vault, e))?;
        Ok(StoredSecret {
            value: WrappedSecret::new(Zeroizing::new(bundle.value.expose().to_owned())),
            content_type: bundle.properties.content_type,
            tags: bundle.properties.tags,
        })
    }

    fn versions_of_key(&self, vault: &str, name: &str) -> Result<Vec<String>> {
        let versions = self.list_versions(vault, name).map_err(|e| self.refused(vault, e))?;
        let mut versions = versions.ok_or_else(|| {
            ApiError::new(Problem::KeyVersionNotFound, format!("the key vault {vault} holds no key {name}"))
        })?;
        versions.sort();
        Ok(versions)
    }

    fn backup_key(&self, vault: &str, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        let blob = self.vaults.backup_key(&self.caller, vault, name).map_err(|e| self.refused(vault, e))?;
        Ok(Zeroizing::new(blob))
    }

    fn prove(&self, question: &ProofQuestion<'_>) -> Result<ProofAnswer> {
        let captured =
            |reason: String| Ok(ProofAnswer { state: ProofState::Captured { reason }, record: None });
        let Ok(algorithm) = question.algorithm.parse() else {
            return captured(format!("secrets wrapped with {:?} cannot be proven", question.algorithm));
        };
        let value = SecretValue::new(Zeroizing::new(question.secret_value.expose().to_owned()))
            .map_err(key_vault_error)?;
        let reference = |vault: &str, name: &str, version: &str| ObjectReference {
            vault: vault.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let (key_vault, key_name, key_version) = question.key;
        let request = ProofRequest {
            point: question.point,
            disk: question.disk,
            header: question.header,
            data_size: question.disk_size,
            algorithm,
            material: ProofMaterial::Captured {
                secret: &reference(question.vault, question.secret.0, question.secret.1),
                value: &value,
                key: &reference(key_vault, key_name, key_version),
                key_blob: question.key_backup,
            },
        };
        let record = match self.vaults.prove(&self.caller, &request, &*self.prover) {
            Ok(record) => record,
            Err(e) => {
                return match e.kind() {
                    // the key vault itself does not work: that is no property of the point
                    ErrorKind::State | ErrorKind::Audit | ErrorKind::RootKey | ErrorKind::Cryptography => {
                        Err(key_vault_error(e))
                    }
                    _ => captured(e.to_string()),
                };
            }
        };
        let state = match &record.state {
            Proven::Proven => ProofState::Proven,
            Proven::Captured { reason: CaptureReason::DoesNotOpen, .. } => ProofState::DoesNotOpen,
            Proven::Captured { detail, .. } => ProofState::Captured { reason: detail.clone() },
        };
        let record = serde_json::to_value(&record)
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a proof cannot be recorded").because(e))?;
        Ok(ProofAnswer { state, record: Some(record) })
    }
}

impl KeyTarget for LocalKeyVaults {
    fn vault(&self, name: &str) -> Result<Option<KeyVaultInfo>> {
        self.info(name)
    }

    fn key_versions(&self, vault: &str, name: &str) -> Result<Option<Vec<String>>> {
        self.list_versions(vault, name).map_err(key_vault_error)
    }

    fn restore_key(&self, vault: &str, blob: &[u8]) -> Result<RestoredKey> {
        let bundle = self.vaults.restore_key(&self.caller, vault, blob).map_err(key_vault_error)?;
        let versions = KeyTarget::key_versions(self, vault, &bundle.name)?.unwrap_or_default();
        Ok(RestoredKey { name: bundle.name, versions })
    }

    fn set_secret(&self, vault: &str, name: &str, secret: &StoredSecret) -> Result<String> {
        let value =
            SecretValue::new(Zeroizing::new(secret.value.expose().to_owned())).map_err(key_vault_error)?;
        let spec = SecretSpec {
            value,
            content_type: secret.content_type.clone(),
            attributes: AttributesChange::default(),
            tags: secret.tags.clone(),
        };
        let bundle = self.vaults.set_secret(&self.caller, vault, name, &spec).map_err(key_vault_error)?;
        Ok(bundle.properties.version)
    }
}

/// The resource id that a key vault of this name has.
///
/// # Errors
/// `InvalidParameter`.
pub fn key_vault_id(subscription: &str, group: &str, name: &str) -> Result<ResourceId> {
    ResourceId::resource(subscription, group, cofre_arm::names::KEY_VAULT, name)
}
