//! Keys: making, reading, listing, changing.

use super::{
    Done, KeyVaults, OpenVault,
    objects::{about, update_about},
};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    bundle::{ItemProperties, KeyBundle, KeySpec, KeyUpdate, Page, PageRequest},
    caller::Caller,
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{Head, KeyVersion},
    permission::{KeyOperation, KeyPermission},
    rsa_key::{RsaComponents, RsaMaterial},
};

/// What a key may be used for when nothing is said.
const DEFAULT_OPERATIONS: &[KeyOperation] = KeyOperation::ALL;

pub(super) fn event(
    caller: &Caller,
    operation: Operation,
    vault: &str,
    name: &str,
    version: Option<&str>,
) -> AuditEvent {
    AuditEvent::begin(caller, operation, Scope::Keys, vault, name, version)
}

pub(super) fn bundle(vault: &OpenVault, head: &Head, key: KeyVersion) -> KeyBundle {
    KeyBundle {
        name: head.name.clone(),
        version: key.about.version,
        operations: key.operations,
        n: key.n.expose().to_vec(),
        e: key.e.expose().to_vec(),
        attributes: key.about.attributes,
        tags: key.about.tags,
        recovery: vault.vault.recovery(),
    }
}

pub(super) fn properties(vault: &OpenVault, head: &Head, key: KeyVersion) -> ItemProperties {
    ItemProperties {
        name: head.name.clone(),
        version: key.about.version,
        content_type: None,
        attributes: key.about.attributes,
        tags: key.about.tags,
        recovery: vault.vault.recovery(),
    }
}

/// Sorted, each once.
fn operations(wished: &[KeyOperation]) -> Vec<KeyOperation> {
    let mut operations = wished.to_vec();
    operations.sort_unstable();
    operations.dedup();
    operations
}

impl KeyVaults {
    /// Makes an RSA key, or a new version where the name exists. Needs the permission *create*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::Invalid`], [`ErrorKind::SoftDeleted`], and those of vault and
    /// storage.
    pub fn create_key(&self, caller: &Caller, vault: &str, name: &str, spec: &KeySpec) -> Result<KeyBundle> {
        self.add_key(caller, Operation::Create, KeyPermission::Create, (vault, name), spec, || {
            RsaMaterial::generate(spec.size)
        })
    }

    /// Takes an RSA key made elsewhere, as a new version where the name exists. Needs the permission
    /// *import*.
    ///
    /// # Errors
    /// As [`create_key`](Self::create_key).
    pub fn import_key(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        components: &RsaComponents,
        spec: &KeySpec,
    ) -> Result<KeyBundle> {
        self.add_key(caller, Operation::Import, KeyPermission::Import, (vault, name), spec, || {
            RsaMaterial::import(components)
        })
    }

    fn add_key(
        &self,
        caller: &Caller,
        operation: Operation,
        permission: KeyPermission,
        (vault, name): (&str, &str),
        spec: &KeySpec,
        make: impl Fn() -> Result<RsaMaterial>,
    ) -> Result<KeyBundle> {
        let mut made: Option<RsaMaterial> = None;
        self.audited(event(caller, operation, vault, name, None), |event| {
            let vault = self.authorize_key(caller, vault, permission)?;
            names::check_object_name(name)?;
            let about = about(spec.attributes, &spec.tags, self.clock.now())?;
            // Once, however often the batch is tried, and not before the caller is known to be allowed.
            let material = match made.take() {
                Some(material) => material,
                None => make()?,
            };
            let mut key = KeyVersion {
                about,
                operations: operations(spec.operations.as_deref().unwrap_or(DEFAULT_OPERATIONS)),
                pkcs8: material.pkcs8.clone(),
                n: material.n.clone(),
                e: material.e.clone(),
            };
            made = Some(material);
            event.version = Some(key.about.version.clone());
            let (head, changes) = self.add_version(&vault, name, &mut key, event)?;
            Ok(Done { answer: bundle(&vault, &head, key), changes })
        })
    }

    /// A key version, or the current one, with its public part. Needs the permission *get*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`],
    /// [`ErrorKind::ObjectNotFound`], and those of vault and storage.
    pub fn key(&self, caller: &Caller, vault: &str, name: &str, version: Option<&str>) -> Result<KeyBundle> {
        self.audited_reading(event(caller, Operation::Get, vault, name, version), |view, event| {
            let vault = self.authorize_in(view, caller, vault, KeyPermission::Get)?;
            let found = self.find_in::<KeyVersion>(view, &vault, name, version)?;
            event.version = Some(found.body.about.version.clone());
            Ok(bundle(&vault, &found.head, found.body.clone()))
        })
    }

    /// The keys of a vault, by name. Needs the permission *list*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], and those of vault and storage.
    pub fn list_keys(
        &self,
        caller: &Caller,
        vault: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<ItemProperties>> {
        self.audited(event(caller, Operation::List, vault, "", None), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::List)?;
            Ok(Done::reading(self.list_objects(&vault, page, properties)?))
        })
    }

    /// The versions of a key, by id. Needs the permission *list*.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn list_key_versions(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<ItemProperties>> {
        self.audited(event(caller, Operation::List, vault, name, None), |_| {
            let vault = self.authorize_key(caller, vault, KeyPermission::List)?;
            Ok(Done::reading(self.list_versions(&vault, name, page, properties)?))
        })
    }

    /// Changes attributes, tags or operations of a version, or of the current one. Needs the permission
    /// *update*.
    ///
    /// # Errors
    /// As [`key`](Self::key), and [`ErrorKind::Invalid`].
    pub fn update_key(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        update: &KeyUpdate,
    ) -> Result<KeyBundle> {
        self.audited(event(caller, Operation::Update, vault, name, version), |event| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Update)?;
            let (head, mut key) = self.find::<KeyVersion>(&vault, name, version)?;
            event.version = Some(key.body.about.version.clone());
            update_about(&mut key.body.about, update.attributes, update.tags.as_ref(), self.clock.now())?;
            if let Some(wished) = &update.operations {
                key.body.operations = operations(wished);
            }
            let changes = vec![self.replace_version(&vault, &key)?];
            Ok(Done { answer: bundle(&vault, &head.body, key.body), changes })
        })
    }
}

/// Refuses what the key's list of operations does not have.
pub(super) fn check_operation(key: &KeyVersion, operation: KeyOperation, what: &str) -> Result<()> {
    if key.operations.contains(&operation) {
        return Ok(());
    }
    Err(KeyVaultError::new(
        ErrorKind::OperationNotPermitted,
        format!("{what} may not be used for {operation}: its list of operations does not have it"),
    ))
}
