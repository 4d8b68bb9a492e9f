//! What the test files share: a service over a storage in memory, callers, a clock to be moved, and a
//! prover over `cofre-fde`.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use cofre_fde::Limits;
use cofre_keyvault::{
    AccessPolicy, AuditEvent, Caller, Clock, ErrorKind, KeyPermission, KeyVaultError, KeyVaults, Permissions,
    Place, Principal, RootKey, SecretPermission, SecretSpec, SecretValue, Tags, VaultSpec,
    proof::{HeaderProver, ProverAnswer},
    state::MemoryState,
};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub(crate) const START: &str = "2026-03-01T12:00:00Z";

/// A clock that a test moves.
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn advance_days(&self, days: i64) {
        self.advance(days * 86_400);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// One installation.
pub(crate) struct Home {
    pub(crate) state: Arc<MemoryState>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) root: RootKey,
    pub(crate) vaults: KeyVaults,
    pub(crate) admin: Caller,
}

pub(crate) fn root_key(byte: u8) -> RootKey {
    RootKey::from_bytes(&Zeroizing::new([byte; 32]))
}

pub(crate) fn place(subscription: &str, geography: &str) -> Place {
    Place { tenant: "Tenant".into(), subscription: subscription.into(), geography: geography.into() }
}

pub(crate) fn caller(object_id: &str) -> Caller {
    Caller {
        object_id: object_id.into(),
        tenant: "tenant".into(),
        name: format!("the {object_id}"),
        ..Caller::default()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::at("Sub-1", "Europe")
    }

    pub(crate) fn at(subscription: &str, geography: &str) -> Self {
        let state = Arc::new(MemoryState::new());
        let clock = Arc::new(TestClock(Mutex::new(START.parse().unwrap())));
        let root = root_key(1);
        let place = place(subscription, geography);
        let vaults = KeyVaults::open(state.clone(), &root, clock.clone(), &place).unwrap();
        Self { state, clock, root, vaults, admin: caller("admin") }
    }

    /// A vault on which the administrator may do everything.
    pub(crate) fn with_vault(self, name: &str) -> Self {
        self.vaults.create_vault(&self.admin, &self.spec(name)).unwrap();
        self
    }

    /// What such a vault is made of.
    pub(crate) fn spec(&self, name: &str) -> VaultSpec {
        let everything = Permissions {
            keys: KeyPermission::ALL.iter().copied().collect(),
            secrets: SecretPermission::ALL.iter().copied().collect(),
            certificates: BTreeSet::new(),
        };
        let subscription = &self.vaults.place().subscription;
        VaultSpec {
            id: format!(
                "/subscriptions/{subscription}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/{name}"
            ),
            name: name.into(),
            location: "local".into(),
            tenant: "tenant".into(),
            enabled_for_disk_encryption: true,
            access_policies: vec![AccessPolicy {
                principal: Principal::from(&self.admin),
                permissions: everything,
            }],
            ..VaultSpec::default()
        }
    }

    /// Deletes a key for good.
    pub(crate) fn end_key(&self, vault: &str, name: &str) {
        self.vaults.delete_key(&self.admin, vault, name).unwrap();
        self.vaults.purge_key(&self.admin, vault, name).unwrap();
    }

    /// Deletes a secret for good.
    pub(crate) fn end_secret(&self, vault: &str, name: &str) {
        self.vaults.delete_secret(&self.admin, vault, name).unwrap();
        self.vaults.purge_secret(&self.admin, vault, name).unwrap();
    }

    /// Deletes a vault for good.
    pub(crate) fn end_vault(&self, name: &str) {
        self.vaults.delete_vault(&self.admin, name).unwrap();
        self.vaults.purge_vault(&self.admin, name).unwrap();
    }

    pub(crate) fn allow(
        &self,
        vault: &str,
        caller: &Caller,
        keys: &[KeyPermission],
        secrets: &[SecretPermission],
    ) {
        let permissions = Permissions {
            keys: keys.iter().copied().collect(),
            secrets: secrets.iter().copied().collect(),
            certificates: BTreeSet::new(),
        };
        let policy = AccessPolicy { principal: Principal::from(caller), permissions };
        self.vaults.set_access_policy(&self.admin, vault, &policy).unwrap();
    }

    /// Sets a secret as the administrator; returns the version.
    pub(crate) fn set(&self, vault: &str, name: &str, value: &str) -> String {
        self.vaults.set_secret(&self.admin, vault, name, &secret(value)).unwrap().properties.version
    }

    pub(crate) fn last_event(&self) -> AuditEvent {
        self.state.events().pop().unwrap()
    }
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::new(Zeroizing::new(text.to_owned())).unwrap()
}

pub(crate) fn secret(text: &str) -> SecretSpec {
    SecretSpec { value: value(text), content_type: None, attributes: Default::default(), tags: Tags::new() }
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, KeyVaultError>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Tries secrets in this process: the headers of these tests are not hostile.
#[derive(Default)]
pub(crate) struct LuksProver {
    /// The secrets that were tried.
    pub(crate) tried: Mutex<Vec<Vec<u8>>>,
}

impl HeaderProver for LuksProver {
    fn try_open(&self, header: &[u8], _: u64, secret: &[u8]) -> ProverAnswer {
        self.tried.lock().unwrap().push(secret.to_vec());
        let limits = Limits {
            argon2_memory_kib: 1024,
            argon2_work_kib: 4096,
            argon2_lanes: 4,
            pbkdf2_iterations: 100_000,
        };
        match cofre_fde::luks::unlock(&header, secret, &limits) {
            Ok(unlocked) => ProverAnswer::Opens {
                volume_key_fingerprint_input: Zeroizing::new(
                    Sha256::digest(unlocked.volume_key().expose()).into(),
                ),
                keyslot: unlocked.slot(),
            },
            Err(error) => match error.kind() {
                cofre_fde::ErrorKind::WrongKey | cofre_fde::ErrorKind::NoKeyslot => ProverAnswer::DoesNotOpen,
                cofre_fde::ErrorKind::TooCostly => ProverAnswer::TooCostly(error.to_string()),
                cofre_fde::ErrorKind::Unsupported => ProverAnswer::Unsupported(error.to_string()),
                _ => ProverAnswer::Failed(error.to_string()),
            },
        }
    }
}

/// A header that cryptsetup made.
pub(crate) fn header(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cofre-fde/tests/fixtures/").to_owned() + name;
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Parts of a key that openssl made, in the order of its text.
pub(crate) fn openssl_components(text: &str) -> cofre_keyvault::RsaComponents {
    let part = |label: &str| -> Vec<u8> {
        let rest = text.split(&format!("{label}:\n")).nth(1).unwrap();
        let digits: String = rest
            .lines()
            .take_while(|line| line.starts_with(' '))
            .flat_map(str::chars)
            .filter(char::is_ascii_hexdigit)
            .collect();
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
            .collect();
        bytes.strip_prefix(&[0]).unwrap_or(&bytes).to_vec()
    };
    let secret = |label| cofre_keyvault::SecretBytes::new(part(label).into());
    cofre_keyvault::RsaComponents {
        n: part("modulus"),
        e: vec![1, 0, 1],
        d: secret("privateExponent"),
        p: secret("prime1"),
        q: secret("prime2"),
        dp: secret("exponent1"),
        dq: secret("exponent2"),
        qi: secret("coefficient"),
    }
}
