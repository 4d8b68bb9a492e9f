//! Operations that change nothing, at the speed of memory.
//!
//! What such an operation looks at is kept opened in a *view*, which belongs to one version of the storage. The event
//! is then appended on the condition that the storage still has that version: if anybody changed anything, be it another
//! process, nothing is written, the view is thrown away and the operation decides anew. So a view can be out of date,
//! but no answer can rest on one that is: a policy that was removed counts with the next answer.
//!
//! A view holds keys and values in the clear, as the process holds the ring anyway. It is small, lives a minute at most,
//! and wipes what it held.

use std::{
    any::Any,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{ATTEMPTS, KeyVaults, OpenVault, unaudited};
use crate::{
    audit::AuditEvent,
    caller::Caller,
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{Head, KeyVersion, Stored, Version},
    permission::Permission,
    policy::{Permissions, Principal},
    private_key::PrivateKey,
    state::StateError,
};

/// How long a view is used.
const LIFE: Duration = Duration::from_secs(60);
/// Most vaults, and most versions of keys and secrets, in a view.
const MOST: usize = 1024;
/// Most private keys that are kept ready.
const MOST_KEYS: usize = 256;

/// What was read of the storage at one version.
pub(super) struct View {
    version: u64,
    begun: Instant,
    vaults: Mutex<HashMap<String, Arc<OpenVault>>>,
    objects: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
}

/// A version that was found, with its head.
pub(super) struct Found<T> {
    pub(super) head: Head,
    pub(super) path: String,
    pub(super) revision: u64,
    pub(super) body: T,
}

/// What an operation looked at in memory.
pub(super) struct Seen<T> {
    pub(super) view: Arc<View>,
    pub(super) vault: Arc<OpenVault>,
    pub(super) found: Arc<Found<T>>,
}

/// Whether the line of the audit was written on which an answer waits.
#[derive(Debug)]
pub enum Recorded {
    /// It was: the answer may be given.
    Yes,
    /// The storage was changed: the operation is to be done again, in the usual way.
    Anew,
    /// It was not: there is no answer.
    No(KeyVaultError),
}

/// The present view, and private keys that outlive views: reading one costs half as much as using it.
#[derive(Default)]
pub(super) struct Views {
    view: Mutex<Option<Arc<View>>>,
    keys: Mutex<HashMap<String, (u64, PrivateKey)>>,
}

/// Whether these are among the permissions.
fn has(permissions: &Permissions, permission: Permission) -> bool {
    match permission {
        Permission::Key(permission) => permissions.keys.contains(&permission),
        Permission::Secret(permission) => permissions.secrets.contains(&permission),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a value, and forgets the others where there are too many.
fn keep<K: Eq + Hash, V>(kept: &mut HashMap<K, V>, most: usize, key: K, value: V) {
    if kept.len() >= most {
        kept.clear();
    }
    kept.insert(key, value);
}

/// Whether a policy of a vault that goes by policies gives a principal a permission.
fn by_policy(open: &OpenVault, principal: &Principal, needed: Permission) -> bool {
    let mut policies = open.vault.access_policies.iter();
    !open.vault.role_based
        && policies
            .find(|policy| policy.principal.is(principal))
            .is_some_and(|policy| has(&policy.permissions, needed))
}

fn object_key<T: Version>(vault: &OpenVault, name: &str, version: Option<&str>) -> String {
    let version = version.unwrap_or_default();
    format!("{} {name} {version}", T::KIND.heads(&vault.key.id)).to_ascii_lowercase()
}

impl View {
    fn known<T: Send + Sync + 'static>(&self, key: &str) -> Option<Arc<Found<T>>> {
        let known = lock(&self.objects).get(key).cloned();
        known.and_then(|known| known.downcast::<Found<T>>().ok())
    }
}

impl KeyVaults {
    /// What a reading operation would look at, if all of it is in memory and the caller may: else none, and the
    /// operation is done in the usual way.
    pub(super) fn at_once<T: Version + Send + Sync + 'static>(
        &self,
        caller: &Caller,
        vault: &str,
        needed: impl Into<Permission>,
        name: &str,
        version: Option<&str>,
    ) -> Option<Seen<T>> {
        names::check_object_name(name).ok()?;
        version.map_or(Ok(()), names::check_version).ok()?;
        let view = lock(&self.views.view).clone().filter(|view| view.begun.elapsed() < LIFE)?;
        let open = lock(&view.vaults).get(&vault.to_ascii_lowercase()).cloned()?;
        if !self.allows_at_once(&open, caller, needed.into())? {
            return None;
        }
        let found = view.known(&object_key::<T>(&open, name, version))?;
        Some(Seen { view, vault: open, found })
    }

    /// Appends the event of an operation that was allowed as of a view, without waiting.
    pub(super) fn record_then(
        &self,
        mut event: AuditEvent,
        view: &View,
        then: impl FnOnce(Recorded) + Send + 'static,
    ) {
        event.allowed(self.clock.now());
        let then = move |appended| {
            then(match appended {
                Ok(()) => Recorded::Yes,
                Err(StateError::Stale) => Recorded::Anew,
                Err(error) => Recorded::No(unaudited(error)),
            });
        };
        self.state.append_then(event, view.version, Box::new(then));
    }

    /// Does work that only looks, and appends its event; what was refused is audited as well. An answer whose event
    /// cannot be written, or that rests on what is no longer so, is not given.
    pub(super) fn audited_reading<T>(
        &self,
        mut event: AuditEvent,
        work: impl Fn(&View, &mut AuditEvent) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let view = self.view()?;
            let result = work(&view, &mut event);
            match &result {
                Ok(_) => event.allowed(self.clock.now()),
                Err(error) => event.refused(self.clock.now(), error),
            }
            match self.state.append(std::slice::from_ref(&event), Some(view.version)) {
                Ok(()) => return result,
                Err(StateError::Stale) => self.forget(&view),
                Err(error) => return Err(unaudited(error)),
            }
        }
        Err(KeyVaultError::new(
            ErrorKind::Conflict,
            "others kept changing the storage while it was read; nothing was answered: try again",
        ))
    }

    fn view(&self) -> Result<Arc<View>> {
        if let Some(view) = &*lock(&self.views.view)
            && view.begun.elapsed() < LIFE
        {
            return Ok(view.clone());
        }
        let version =
            self.state.version().map_err(|error| KeyVaultError::state("tell its version", error))?;
        let view = Arc::new(View {
            version,
            begun: Instant::now(),
            vaults: Mutex::default(),
            objects: Mutex::default(),
        });
        *lock(&self.views.view) = Some(view.clone());
        Ok(view)
    }

    /// Throws a view away, if it is still the present one.
    fn forget(&self, stale: &Arc<View>) {
        let mut view = lock(&self.views.view);
        if view.as_ref().is_some_and(|view| Arc::ptr_eq(view, stale)) {
            *view = None;
        }
    }

    /// The vault, if the caller has the permission needed.
    pub(super) fn authorize_in(
        &self,
        view: &View,
        caller: &Caller,
        vault: &str,
        needed: impl Into<Permission>,
    ) -> Result<Arc<OpenVault>> {
        let needed = needed.into();
        let name = vault.to_ascii_lowercase();
        let known = lock(&view.vaults).get(&name).cloned();
        let open = match known {
            Some(open) => open,
            None => {
                let open = Arc::new(self.open_vault(vault)?);
                keep(&mut lock(&view.vaults), MOST, name, open.clone());
                open
            }
        };
        // The usual case, without a copy of the policy.
        if by_policy(&open, &caller.into(), needed)
            || has(&self.permissions_in(&open.vault, &caller.into())?, needed)
        {
            return Ok(open);
        }
        let missing = match needed {
            Permission::Key(permission) => {
                Permissions { keys: [permission].into(), ..Permissions::default() }
            }
            Permission::Secret(permission) => {
                Permissions { secrets: [permission].into(), ..Permissions::default() }
            }
        };
        Err(super::lacking(caller, &open.vault, &missing))
    }

    /// Whether the caller has a permission in a vault, if that can be told from memory.
    fn allows_at_once(&self, open: &OpenVault, caller: &Caller, needed: Permission) -> Option<bool> {
        let principal = caller.into();
        match &self.roles {
            _ if !open.vault.role_based => Some(by_policy(open, &principal, needed)),
            Some(roles) => roles.allows_at_once(&principal, &open.vault.id, needed),
            None => Some(false),
        }
    }

    /// A version, or the current one.
    pub(super) fn find_in<T: Version + Send + Sync + 'static>(
        &self,
        view: &View,
        vault: &OpenVault,
        name: &str,
        version: Option<&str>,
    ) -> Result<Arc<Found<T>>> {
        names::check_object_name(name)?;
        version.map_or(Ok(()), names::check_version)?;
        let key = object_key::<T>(vault, name, version);
        if let Some(found) = view.known(&key) {
            return Ok(found);
        }
        let (head, Stored { path, revision, body }) = self.find::<T>(vault, name, version)?;
        let found = Arc::new(Found { head: head.body, path, revision, body });
        keep(&mut lock(&view.objects), MOST, key, found.clone());
        Ok(found)
    }

    /// The private key of a version, ready to be used.
    pub(super) fn private_key(&self, found: &Found<KeyVersion>) -> Result<PrivateKey> {
        if let Some((revision, key)) = lock(&self.views.keys).get(&found.path)
            && *revision == found.revision
        {
            return Ok(key.clone());
        }
        let key = PrivateKey::from_pkcs8(&found.body.pkcs8)?;
        keep(&mut lock(&self.views.keys), MOST_KEYS, found.path.clone(), (found.revision, key.clone()));
        Ok(key)
    }
}
