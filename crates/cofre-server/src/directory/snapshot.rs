//! Principals and assignments as they were at one moment, kept in memory.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use cofre_arm::{Result, RoleDefinition, roles::scope_contains};
use cofre_keyvault::{KeyPermission, Permission, Permissions, SecretPermission};
use cofre_store::Store;

use super::{Assignment, Directory, Principal, decode, unavailable};

pub(super) const PRINCIPALS: &str = "/directory/principals/";
pub(super) const ASSIGNMENTS: &str = "/directory/assignments/";
/// How old a snapshot may be where asking the database each time would cost more than the request itself. Changes made
/// by this process are seen at once.
const TOLERATED: Duration = Duration::from_millis(500);

/// Principals and assignments at one moment.
#[derive(Debug)]
pub struct Snapshot {
    principals: HashMap<String, Principal>,
    applications: HashMap<String, String>,
    assignments: HashMap<String, Vec<Assignment>>,
}

/// A snapshot, and when it was last known to be right.
pub(super) struct Cached {
    version: u64,
    checked: Instant,
    snapshot: Arc<Snapshot>,
}

impl Snapshot {
    fn read(store: &Store) -> Result<Self> {
        let (mut principals, mut applications, mut assignments) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for (path, body) in documents(store, PRINCIPALS)? {
            let principal: Principal = decode(&path, &body)?;
            applications.insert(principal.application_id.to_ascii_lowercase(), principal.object_id.clone());
            principals.insert(principal.object_id.clone(), principal);
        }
        for (path, body) in documents(store, ASSIGNMENTS)? {
            let assignment: Assignment = decode(&path, &body)?;
            assignments.entry(assignment.principal.clone()).or_insert_with(Vec::new).push(assignment);
        }
        Ok(Self { principals, applications, assignments })
    }

    /// The principal of an object id.
    #[must_use]
    pub fn principal(&self, object_id: &str) -> Option<&Principal> {
        self.principals.get(object_id).or_else(|| self.principals.get(&object_id.to_ascii_lowercase()))
    }

    /// The principal of an application id.
    #[must_use]
    pub fn application(&self, application_id: &str) -> Option<&Principal> {
        self.principals.get(self.applications.get(&application_id.to_ascii_lowercase())?)
    }

    /// All principals, in no order.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// All assignments, in no order.
    pub fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        self.assignments.values().flatten()
    }

    /// The assignments of a principal.
    pub fn assignments_of<'a>(&'a self, object_id: &str) -> impl Iterator<Item = &'a Assignment> + use<'a> {
        self.assignments.get(object_id).into_iter().flatten()
    }

    /// The roles that a principal has for a resource, at whatever scope above it.
    fn roles<'a>(
        &'a self,
        object_id: &'a str,
        resource: &'a str,
    ) -> impl Iterator<Item = &'static RoleDefinition> + 'a {
        self.assignments_of(object_id)
            .filter(move |assignment| scope_contains(&assignment.scope, resource))
            .filter_map(|assignment| RoleDefinition::find(&assignment.role))
    }

    /// Whether a principal may do an action on a resource.
    #[must_use]
    pub fn allows(&self, object_id: &str, action: &str, resource: &str) -> bool {
        self.roles(object_id, resource).any(|role| role.allows(action))
    }

    /// Whether a role of a principal allows something with keys or secrets of a key vault.
    pub(crate) fn allows_data(&self, object_id: &str, permission: Permission, vault: &str) -> bool {
        let action = match permission {
            Permission::Key(permission) => key_action(permission),
            Permission::Secret(permission) => secret_action(permission),
        };
        self.roles(object_id, vault).any(|role| role.allows_data(action))
    }

    /// What the roles of a principal allow with keys and secrets of a key vault.
    #[must_use]
    pub fn data_permissions(&self, object_id: &str, vault: &str) -> Permissions {
        let roles: Vec<_> = self.roles(object_id, vault).collect();
        let allows = |action: &str| roles.iter().any(|role| role.allows_data(action));
        let (keys, secrets) = (KeyPermission::ALL.iter().copied(), SecretPermission::ALL.iter().copied());
        Permissions {
            keys: keys.filter(|permission| allows(key_action(*permission))).collect(),
            secrets: secrets.filter(|permission| allows(secret_action(*permission))).collect(),
            ..Permissions::default()
        }
    }
}

fn key_action(permission: KeyPermission) -> &'static str {
    use KeyPermission as P;
    match permission {
        P::Get | P::List => "Microsoft.KeyVault/vaults/keys/read",
        P::Create => "Microsoft.KeyVault/vaults/keys/create/action",
        P::Import => "Microsoft.KeyVault/vaults/keys/import/action",
        P::Update => "Microsoft.KeyVault/vaults/keys/update/action",
        P::Delete => "Microsoft.KeyVault/vaults/keys/delete",
        P::Backup => "Microsoft.KeyVault/vaults/keys/backup/action",
        P::Restore => "Microsoft.KeyVault/vaults/keys/restore/action",
        P::Recover => "Microsoft.KeyVault/vaults/keys/recover/action",
        P::Purge => "Microsoft.KeyVault/vaults/keys/purge/action",
        P::Encrypt => "Microsoft.KeyVault/vaults/keys/encrypt/action",
        P::Decrypt => "Microsoft.KeyVault/vaults/keys/decrypt/action",
        P::WrapKey => "Microsoft.KeyVault/vaults/keys/wrap/action",
        P::UnwrapKey => "Microsoft.KeyVault/vaults/keys/unwrap/action",
        P::Sign => "Microsoft.KeyVault/vaults/keys/sign/action",
        P::Verify => "Microsoft.KeyVault/vaults/keys/verify/action",
        P::Release => "Microsoft.KeyVault/vaults/keys/release/action",
        P::Rotate => "Microsoft.KeyVault/vaults/keys/rotate/action",
        P::GetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/read",
        P::SetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/write",
    }
}

fn secret_action(permission: SecretPermission) -> &'static str {
    use SecretPermission as P;
    match permission {
        P::Get => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        P::List => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        P::Set => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        P::Delete => "Microsoft.KeyVault/vaults/secrets/delete",
        P::Backup => "Microsoft.KeyVault/vaults/secrets/backup/action",
        P::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
        P::Recover => "Microsoft.KeyVault/vaults/secrets/recover/action",
        P::Purge => "Microsoft.KeyVault/vaults/secrets/purge/action",
    }
}

fn documents(store: &Store, below: &str) -> Result<Vec<(String, Vec<u8>)>> {
    const PAGE: usize = 500;
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        let after = all.last().map(|(path, _)| path.clone());
        let page = store.list(below, after.as_deref(), PAGE).map_err(unavailable)?;
        let ended = page.len() < PAGE;
        all.extend(page.into_iter().map(|document| (document.path, document.body)));
        if ended {
            return Ok(all);
        }
    }
}

impl Directory {
    /// The directory as it is now.
    ///
    /// # Errors
    /// Those of the database.
    pub fn fresh(&self) -> Result<Arc<Snapshot>> {
        self.snapshot(Duration::ZERO)
    }

    /// The directory as it was at most half a second ago.
    ///
    /// # Errors
    /// Those of the database.
    pub fn recent(&self) -> Result<Arc<Snapshot>> {
        self.snapshot(TOLERATED)
    }

    /// As [`recent`](Self::recent), if it is in memory.
    pub(crate) fn known(&self) -> Option<Arc<Snapshot>> {
        let cached = self.cached.try_lock().ok()?;
        let cached = cached.as_ref().filter(|cached| cached.checked.elapsed() < TOLERATED)?;
        Some(cached.snapshot.clone())
    }

    fn snapshot(&self, tolerated: Duration) -> Result<Arc<Snapshot>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*cached
            && cached.checked.elapsed() < tolerated
        {
            return Ok(cached.snapshot.clone());
        }
        // In this order: what changes after the version was read is read again next time.
        let (version, checked) = (self.store.version().map_err(unavailable)?, Instant::now());
        let snapshot = match &*cached {
            Some(cached) if cached.version == version => cached.snapshot.clone(),
            _ => Arc::new(Snapshot::read(&self.store)?),
        };
        *cached = Some(Cached { version, checked, snapshot: snapshot.clone() });
        Ok(snapshot)
    }

    /// Makes the next look at the directory a fresh one.
    pub(super) fn forget(&self) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
