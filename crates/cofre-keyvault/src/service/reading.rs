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
    permission::{KeyPermission, SecretPermission},
    policy::Permissions,
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

/// The present view, and private keys that outlive views: reading one costs half as much as using it.
#[derive(Default)]
pub(super) struct Views {
    view: Mutex<Option<Arc<View>>>,
    keys: Mutex<HashMap<String, (u64, PrivateKey)>>,
}

/// The permission that an operation needs.
#[derive(Clone, Copy)]
pub(super) enum Needed {
    Key(KeyPermission),
    Secret(SecretPermission),
}

impl From<KeyPermission> for Needed {
    fn from(permission: KeyPermission) -> Self {
        Self::Key(permission)
    }
}

impl From<SecretPermission> for Needed {
    fn from(permission: SecretPermission) -> Self {
        Self::Secret(permission)
    }
}

impl Needed {
    fn is_in(self, permissions: &Permissions) -> bool {
        match self {
            Self::Key(permission) => permissions.keys.contains(&permission),
            Self::Secret(permission) => permissions.secrets.contains(&permission),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a value, and forgets the others where there are too many.
fn keep<V>(kept: &mut HashMap<String, V>, most: usize, key: String, value: V) {
    if kept.len() >= most {
        kept.clear();
    }
    kept.insert(key, value);
}

impl KeyVaults {
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
        needed: impl Into<Needed>,
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
        let principal = caller.into();
        let policy = open.vault.access_policies.iter().find(|policy| policy.principal.is(&principal));
        if !open.vault.role_based && policy.is_some_and(|policy| needed.is_in(&policy.permissions)) {
            return Ok(open);
        }
        if needed.is_in(&self.permissions_in(&open.vault, &principal)?) {
            return Ok(open);
        }
        let missing = match needed {
            Needed::Key(permission) => Permissions { keys: [permission].into(), ..Permissions::default() },
            Needed::Secret(permission) => {
                Permissions { secrets: [permission].into(), ..Permissions::default() }
            }
        };
        Err(super::lacking(caller, &open.vault, &missing))
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
        let version_key = version.unwrap_or_default();
        let key = format!("{} {name} {version_key}", T::KIND.heads(&vault.key.id)).to_ascii_lowercase();
        let known = lock(&view.objects).get(&key).cloned();
        if let Some(found) = known.and_then(|known| known.downcast::<Found<T>>().ok()) {
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
