//! The service: every operation checks who asks, does its work in one batch, and writes its audit event
//! in the same batch.

mod backup;
mod cryptography;
mod deleted;
mod deleted_vaults;
mod keys;
mod objects;
#[cfg(test)]
mod older_records;
mod paging;
mod proof_cache;
mod prove;
mod purge;
mod reading;
mod rings;
mod secrets;
mod signing;
mod vaults;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

pub use self::reading::Recorded;
use self::reading::Views;
use crate::{
    audit::AuditEvent,
    caller::Caller,
    clock::Clock,
    deletion::DeletionMark,
    encoding::{Fields, to_json},
    envelope::{self, NamedKey, RECORD},
    error::{ErrorKind, KeyVaultError, Result},
    permission::{KeyPermission, SecretPermission},
    place::Place,
    policy::{Permissions, Principal},
    ring::{self, Ring},
    roles::RolePermissions,
    root_key::RootKey,
    state::{Change, Record, State, StateError},
    vault::Vault,
};

/// How often a batch that somebody else overtook is tried again.
const ATTEMPTS: usize = 200;

/// Key vaults of one place, over a storage.
pub struct KeyVaults {
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    place: Place,
    /// What seals the ring. Held for writing while it changes.
    root: RwLock<NamedKey>,
    /// Proofs cost memory and time: one runs after another.
    proving: Mutex<()>,
    /// What decides in role-based vaults.
    roles: Option<Arc<dyn RolePermissions>>,
    /// What reading operations looked at last.
    views: Views,
}

impl fmt::Debug for KeyVaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyVaults").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Work that is done but for its batch.
struct Done<T> {
    answer: T,
    changes: Vec<Change>,
}

impl<T> Done<T> {
    fn reading(answer: T) -> Self {
        Self { answer, changes: Vec::new() }
    }
}

/// The ring, and the revision it was read at.
struct OpenRing {
    revision: u64,
    ring: Ring,
}

/// A vault that was found, with the key its records are sealed under.
struct OpenVault {
    path: String,
    revision: u64,
    vault: Vault,
    key: NamedKey,
    /// When it is deleted.
    deletion: Option<DeletionMark>,
}

impl KeyVaults {
    /// Opens the vaults of `place` in a storage; makes a ring in an empty one, and a blob key for a
    /// place that has none.
    ///
    /// # Errors
    /// [`ErrorKind::RootKey`] when the ring is sealed under another root key, [`ErrorKind::Damaged`] when
    /// it was changed or is gone, [`ErrorKind::Invalid`] for an impossible place, [`ErrorKind::State`].
    pub fn open(
        state: Arc<dyn State>,
        root_key: &RootKey,
        clock: Arc<dyn Clock>,
        place: &Place,
    ) -> Result<Self> {
        let (place, root) = (place.checked()?, RwLock::new(root_key.ring_key()?));
        let service =
            Self { state, clock, place, root, proving: Mutex::new(()), roles: None, views: Views::default() };
        service.ensure_blob_key()?;
        Ok(service)
    }

    /// Lets `roles` say who may do what in role-based vaults. Without it nobody may do anything there.
    #[must_use]
    pub fn with_roles(mut self, roles: Arc<dyn RolePermissions>) -> Self {
        self.roles = Some(roles);
        self
    }

    /// The place, in lower case.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Does `work`, and commits its changes together with its event. What was refused or failed is
    /// audited as well, and an answer whose event cannot be written is not given.
    fn audited<T>(
        &self,
        mut event: AuditEvent,
        mut work: impl FnMut(&mut AuditEvent) -> Result<Done<T>>,
    ) -> Result<T> {
        let mut refusal = None;
        for _ in 0..ATTEMPTS {
            let Done { answer, changes } = match work(&mut event) {
                Ok(done) => done,
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            };
            event.allowed(self.clock.now());
            let events = std::slice::from_ref(&event);
            let committed = if changes.is_empty() {
                self.state.append(events, None)
            } else {
                self.state.commit(&changes, events)
            };
            match committed {
                Ok(()) => return Ok(answer),
                Err(StateError::Conflict { .. }) if !changes.is_empty() => std::thread::yield_now(),
                Err(error) if changes.is_empty() => return Err(unaudited(error)),
                Err(error) => return Err(KeyVaultError::state("write the change", error)),
            }
        }
        let error = refusal.unwrap_or_else(|| {
            KeyVaultError::new(
                ErrorKind::Conflict,
                "others kept changing the same object; nothing was done: try again",
            )
        });
        event.refused(self.clock.now(), &error);
        self.state.append(&[event], None).map_err(unaudited)?;
        Err(error)
    }

    fn read(&self, path: &str) -> Result<Option<Record>> {
        self.state.read(path).map_err(|error| KeyVaultError::state("read a record", error))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        self.state.list(prefix, after, limit).map_err(|error| KeyVaultError::state("list records", error))
    }

    /// All records below a prefix, up to one more than `most`.
    fn list_all(&self, prefix: &str, most: usize) -> Result<Vec<Record>> {
        const BATCH: usize = 250;
        let mut records: Vec<Record> = Vec::new();
        while records.len() <= most {
            let after = records.last().map(|record| record.path.clone());
            let batch = self.list(prefix, after.as_deref(), BATCH)?;
            let ended = batch.len() < BATCH;
            records.extend(batch);
            if ended {
                break;
            }
        }
        Ok(records)
    }

    fn open_ring(&self) -> Result<OpenRing> {
        // The root key may not change between the look at it and the read.
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        self.open_ring_under(&root)
    }

    fn open_ring_under(&self, root: &NamedKey) -> Result<OpenRing> {
        let record = self.read(ring::PATH)?.ok_or_else(|| KeyVaultError::damaged(ring::PATH))?;
        Ok(OpenRing { revision: record.revision, ring: Ring::open(root, &record.body)? })
    }

    /// The change that stores a changed ring.
    fn replace_ring(&self, ring: &OpenRing) -> Result<Change> {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        let body = ring.ring.seal(&root)?;
        Ok(Change::Replace { path: ring::PATH.to_owned(), revision: ring.revision, body })
    }

    /// The vault, if the caller has all of the permissions needed.
    fn authorize(&self, caller: &Caller, vault: &str, needed: &Permissions) -> Result<OpenVault> {
        let open = self.open_vault(vault)?;
        let missing = needed.without(&self.permissions_in(&open.vault, &caller.into())?);
        if missing.is_empty() {
            return Ok(open);
        }
        Err(lacking(caller, &open.vault, &missing))
    }

    /// What a principal may do in a vault: by its access policies, or, where it is role-based, by roles.
    fn permissions_in(&self, vault: &Vault, principal: &Principal) -> Result<Permissions> {
        match &self.roles {
            _ if !vault.role_based => Ok(vault.permissions_of(principal)),
            None => Ok(Permissions::default()),
            Some(roles) => roles.permissions(principal, &vault.id).map_err(|error| {
                let message = format!("the roles on the key vault {} cannot be read", vault.name);
                KeyVaultError::new(ErrorKind::State, message).with_source(error)
            }),
        }
    }

    fn authorize_key(&self, caller: &Caller, vault: &str, permission: KeyPermission) -> Result<OpenVault> {
        self.authorize(caller, vault, &Permissions { keys: [permission].into(), ..Permissions::default() })
    }

    fn authorize_secret(
        &self,
        caller: &Caller,
        vault: &str,
        permission: SecretPermission,
    ) -> Result<OpenVault> {
        self.authorize(caller, vault, &Permissions { secrets: [permission].into(), ..Permissions::default() })
    }
}

/// The refusal of a caller who lacks permissions.
fn lacking(caller: &Caller, vault: &Vault, missing: &Permissions) -> KeyVaultError {
    let keys = missing.keys.iter().map(|permission| format!("keys/{permission}"));
    let secrets = missing.secrets.iter().map(|permission| format!("secrets/{permission}"));
    let advice = if vault.role_based { "assign a role" } else { "add an access policy" };
    KeyVaultError::new(
        ErrorKind::Forbidden,
        format!(
            "the principal {} lacks {} on the key vault {}: {advice}",
            crate::audit::tidy(&caller.object_id),
            keys.chain(secrets).collect::<Vec<_>>().join(", "),
            vault.name
        ),
    )
}

fn unaudited(error: StateError) -> KeyVaultError {
    KeyVaultError::new(ErrorKind::Audit, "the audit could not be written, so the operation was not answered")
        .with_source(error)
}

/// What a record is bound to: where it is, which says kind, vault, name and version.
fn context(path: &str) -> Fields {
    Fields::default().field("record").field(path)
}

/// Seals the body of the record at `path` under a vault's key.
fn seal_record<T: serde::Serialize>(key: &NamedKey, path: &str, body: &T) -> Result<Vec<u8>> {
    let derived = NamedKey { id: key.id.clone(), key: key.key.derive("cofre-keyvault record")? };
    envelope::seal(RECORD, &derived, &context(path), &to_json(body)?)
}

fn open_record<T: serde::de::DeserializeOwned>(key: &NamedKey, path: &str, sealed: &[u8]) -> Result<T> {
    let derived = NamedKey { id: key.id.clone(), key: key.key.derive("cofre-keyvault record")? };
    let json = envelope::open(RECORD, &derived, &context(path), sealed)?;
    let json = json.ok_or_else(|| KeyVaultError::damaged(path))?;
    serde_json::from_slice(&json).map_err(|_| KeyVaultError::damaged(path))
}
