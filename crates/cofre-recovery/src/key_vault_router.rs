//! Key vaults of several places: those with certain suffixes are elsewhere, all others are here.

use cofre_arm::Result;
use zeroize::Zeroizing;

use crate::{
    key_source::{
        KeySource, KeyTarget, KeyVaultInfo, KeyVaultName, ObjectState, ProofAnswer, ProofQuestion,
        ProofState, RestoredKey, StoredSecret,
    },
    key_vaults::LocalKeyVaults,
    remote_key_vaults::RemoteKeyVaults,
};

/// Sends each question to where its key vault is, by the suffix.
///
/// A suffix is configured by the operator. One that is not, is taken for ours: URLs of our own key vaults
/// are recognised by the vault's name, whatever host they were written with.
pub struct KeyVaultRouter {
    local: LocalKeyVaults,
    remote: Vec<RemoteKeyVaults>,
}

impl KeyVaultRouter {
    /// Key vaults here, and key vaults elsewhere.
    #[must_use]
    pub fn new(local: LocalKeyVaults, remote: Vec<RemoteKeyVaults>) -> Self {
        Self { local, remote }
    }

    fn remote_of(&self, vault: KeyVaultName<'_>) -> Option<&RemoteKeyVaults> {
        self.remote.iter().find(|remote| remote.serves(vault))
    }

    fn source(&self, vault: KeyVaultName<'_>) -> &dyn KeySource {
        self.remote_of(vault).map_or(&self.local, |remote| remote)
    }

    fn target(&self, vault: KeyVaultName<'_>) -> &dyn KeyTarget {
        self.remote_of(vault).map_or(&self.local, |remote| remote)
    }
}

impl KeySource for KeyVaultRouter {
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>> {
        self.source(vault).vault(vault)
    }

    fn missing_permissions(&self, vault: KeyVaultName<'_>) -> Result<Vec<String>> {
        self.source(vault).missing_permissions(vault)
    }

    fn secret_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState> {
        self.source(vault).secret_state(vault, name, version)
    }

    fn key_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState> {
        self.source(vault).key_state(vault, name, version)
    }

    fn secret(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<StoredSecret> {
        self.source(vault).secret(vault, name, version)
    }

    fn versions_of_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Vec<String>> {
        self.source(vault).versions_of_key(vault, name)
    }

    fn backup_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        self.source(vault).backup_key(vault, name)
    }

    /// Only a service that holds both secret and key can try one with the other.
    fn prove(&self, question: &ProofQuestion<'_>) -> Result<ProofAnswer> {
        let place = |vault| self.remote.iter().position(|remote| remote.serves(vault));
        if place(question.vault) != place(question.key.0) {
            let reason = format!(
                "the secret is in a key vault of {}, the key in one of {}: neither service can try both",
                question.vault.suffix, question.key.0.suffix
            );
            return Ok(ProofAnswer { state: ProofState::Captured { reason }, record: None });
        }
        self.source(question.vault).prove(question)
    }
}

impl KeyTarget for KeyVaultRouter {
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>> {
        self.target(vault).vault(vault)
    }

    fn key_versions(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Option<Vec<String>>> {
        self.target(vault).key_versions(vault, name)
    }

    fn restore_key(&self, vault: KeyVaultName<'_>, blob: &[u8]) -> Result<RestoredKey> {
        self.target(vault).restore_key(vault, blob)
    }

    fn set_secret(&self, vault: KeyVaultName<'_>, name: &str, secret: &StoredSecret) -> Result<String> {
        self.target(vault).set_secret(vault, name, secret)
    }
}
