//! Key vaults of this process take the exam, once as they are and once behind a router.

use std::sync::Arc;

use cofre_keyvault::{
    AccessPolicy, AccessTemplate, AttributesChange, Caller, KeyPermission, KeySpec, KeyUpdate, KeyVaults,
    Permissions, Place, Principal, RootKey, SecretPermission, SecretUpdate, SystemClock, VaultSpec,
    VaultUpdate,
    proof::{HeaderProver, ProverAnswer},
    state::MemoryState,
};

use super::*;
use crate::{KeyVaultRouter, LocalKeyVaults, disk_key, key_vault_id};

const SUBSCRIPTION: &str = "11111111-2222-4333-8444-555555555555";
const SUFFIX: &str = "vault.localhost";

/// Tries secrets in this process.
struct InProcess;

impl HeaderProver for InProcess {
    fn try_open(&self, header: &[u8], _: u64, secret: &[u8]) -> ProverAnswer {
        match luks::unlock(&header.to_vec(), secret, &cofre_fde::Limits::default()) {
            Ok(unlocked) => ProverAnswer::Opens {
                volume_key_fingerprint_input: Zeroizing::new([7; 32]),
                keyslot: unlocked.slot(),
            },
            Err(e) if e.kind() == cofre_fde::ErrorKind::WrongKey => ProverAnswer::DoesNotOpen,
            Err(e) => ProverAnswer::Unsupported(e.to_string()),
        }
    }
}

struct Local<T> {
    vaults: Arc<KeyVaults>,
    operator: Caller,
    backup: Caller,
    source: T,
    target: T,
}

fn caller(name: &str) -> Caller {
    Caller { object_id: name.into(), tenant: "tenant".into(), name: name.into(), ..Caller::default() }
}

impl<T> Local<T> {
    fn new(body: impl Fn(LocalKeyVaults) -> T) -> Self {
        let place =
            Place { tenant: "tenant".into(), subscription: SUBSCRIPTION.into(), geography: "local".into() };
        let root = RootKey::from_bytes(&[7; 32].into());
        let vaults =
            KeyVaults::open(Arc::new(MemoryState::new()), &root, Arc::new(SystemClock), &place).unwrap();
        let vaults = Arc::new(vaults);
        let (operator, backup) = (caller("operator"), caller("backup"));
        let seen_by =
            |caller: &Caller| body(LocalKeyVaults::new(vaults.clone(), caller.clone(), Arc::new(InProcess)));
        Self { source: seen_by(&backup), target: seen_by(&operator), vaults, operator, backup }
    }
}

impl<T: KeySource + KeyTarget> Examined for Local<T> {
    fn source(&self) -> &dyn KeySource {
        &self.source
    }

    fn target(&self) -> &dyn KeyTarget {
        &self.target
    }

    fn suffix(&self) -> String {
        SUFFIX.to_owned()
    }

    fn create_vault(&self, vault: &str) -> ResourceId {
        let all = Permissions {
            keys: KeyPermission::ALL.iter().copied().collect(),
            secrets: SecretPermission::ALL.iter().copied().collect(),
            ..Permissions::default()
        };
        let id = key_vault_id(SUBSCRIPTION, "g", vault).unwrap();
        let spec = VaultSpec {
            id: id.to_string(),
            name: vault.into(),
            location: "local".into(),
            tenant: "tenant".into(),
            enabled_for_disk_encryption: true,
            access_policies: vec![AccessPolicy {
                principal: Principal::from(&self.operator),
                permissions: all,
            }],
            ..VaultSpec::default()
        };
        self.vaults.create_vault(&self.operator, &spec).unwrap();
        id
    }

    fn delete_vault(&self, vault: &str) {
        self.vaults.delete_vault(&self.operator, vault).unwrap();
    }

    fn grant(&self, vault: &str) {
        let mut policies = self.vaults.vault(vault).unwrap().access_policies;
        policies.push(AccessTemplate::AzureBackup.policy(Principal::from(&self.backup)));
        let update = VaultUpdate { access_policies: Some(policies), ..VaultUpdate::default() };
        self.vaults.update_vault(&self.operator, vault, &update).unwrap();
    }

    fn create_key(&self, vault: &str, key: &str) -> String {
        self.vaults.create_key(&self.operator, vault, key, &KeySpec::default()).unwrap().version
    }

    fn disable_key(&self, vault: &str, key: &str, version: &str) {
        let attributes = AttributesChange { enabled: Some(false), ..AttributesChange::default() };
        let update = KeyUpdate { attributes, ..KeyUpdate::default() };
        self.vaults.update_key(&self.operator, vault, key, Some(version), &update).unwrap();
    }

    fn disable_secret(&self, vault: &str, secret: &str, version: &str) {
        let attributes = AttributesChange { enabled: Some(false), ..AttributesChange::default() };
        let update = SecretUpdate { attributes, ..SecretUpdate::default() };
        self.vaults.update_secret(&self.operator, vault, secret, Some(version), &update).unwrap();
    }

    fn wrap(&self, vault: &str, key: &str, secret: &str, disk_key: &[u8]) -> String {
        let wrapped = self.vaults.wrap_key(&self.operator, vault, key, None, "RSA-OAEP", disk_key).unwrap();
        let url = format!("https://{vault}.{SUFFIX}/keys/{key}/{}", wrapped.version).parse().unwrap();
        let stored =
            disk_key::secret(secret, wrapped.value.expose(), &url, "web", cofre_compute::OsType::Linux);
        self.target.set_secret(KeyVaultName { name: vault, suffix: SUFFIX }, secret, &stored).unwrap()
    }
}

#[test]
fn local_key_vaults_pass() {
    key_vaults_contract(&Local::new(|local| local));
}

#[test]
fn a_router_without_other_places_passes() {
    key_vaults_contract(&Local::new(|local| KeyVaultRouter::new(local, Vec::new())));
}
