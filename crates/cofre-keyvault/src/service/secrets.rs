//! Secrets: setting, reading, listing, changing.

use zeroize::Zeroizing;

use super::{
    Done, KeyVaults, OpenVault,
    objects::{about, describe, update_about},
    reading::{Found, Recorded},
};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    bundle::{ItemProperties, Page, PageRequest, SecretBundle, SecretSpec, SecretUpdate},
    caller::Caller,
    encoding::SecretBytes,
    error::{KeyVaultError, Result},
    names,
    objects::{Head, Kind, SecretVersion},
    permission::SecretPermission,
    secret_value::{SecretValue, check_content_type},
};

pub(super) fn event(
    caller: &Caller,
    operation: Operation,
    vault: &str,
    name: &str,
    version: Option<&str>,
) -> AuditEvent {
    AuditEvent::begin(caller, operation, Scope::Secrets, vault, name, version)
}

pub(super) fn properties(vault: &OpenVault, head: &Head, secret: SecretVersion) -> ItemProperties {
    ItemProperties {
        name: head.name.clone(),
        version: secret.about.version,
        content_type: secret.content_type,
        attributes: secret.about.attributes,
        tags: secret.about.tags,
        recovery: vault.vault.recovery(),
    }
}

/// The value of a stored version.
pub(super) fn value(secret: &SecretVersion) -> Result<SecretValue> {
    let text = std::str::from_utf8(secret.value.expose())
        .map_err(|_| KeyVaultError::damaged("of a secret whose value is not text"))?;
    SecretValue::new(Zeroizing::new(text.to_owned()))
}

/// A version with its value, if it is enabled.
fn bundle(vault: &OpenVault, found: &Found<SecretVersion>) -> Result<SecretBundle> {
    let secret = &found.body;
    secret.about.attributes.check_enabled(&describe(Kind::Secret, &found.head, &secret.about))?;
    let value = value(secret)?;
    Ok(SecretBundle { properties: properties(vault, &found.head, secret.clone()), value })
}

impl KeyVaults {
    /// Sets a secret: always a new version. Needs the permission *set*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden), [`ErrorKind::Invalid`](crate::ErrorKind::Invalid),
    /// [`ErrorKind::SoftDeleted`](crate::ErrorKind::SoftDeleted), and those of vault and storage.
    pub fn set_secret(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        spec: &SecretSpec,
    ) -> Result<SecretBundle> {
        self.audited(event(caller, Operation::Set, vault, name, None), |event| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Set)?;
            names::check_object_name(name)?;
            check_content_type(spec.content_type.as_deref())?;
            let mut secret = SecretVersion {
                about: about(spec.attributes, &spec.tags, self.clock.now())?,
                content_type: spec.content_type.clone(),
                value: SecretBytes::new(Zeroizing::new(spec.value.expose().as_bytes().to_vec())),
            };
            event.version = Some(secret.about.version.clone());
            let (head, changes) = self.add_version(&vault, name, &mut secret, event)?;
            let answer =
                SecretBundle { properties: properties(&vault, &head, secret), value: spec.value.clone() };
            Ok(Done { answer, changes })
        })
    }

    /// A secret version, or the current one, with its value. Needs the permission *get*, and a version
    /// that is enabled; its period is not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden),
    /// [`ErrorKind::ObjectNotFound`](crate::ErrorKind::ObjectNotFound),
    /// [`ErrorKind::Disabled`](crate::ErrorKind::Disabled), and those of vault and storage.
    pub fn secret(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<SecretBundle> {
        self.audited_reading(event(caller, Operation::Get, vault, name, version), |view, event| {
            let vault = self.authorize_in(view, caller, vault, SecretPermission::Get)?;
            let found = self.find_in::<SecretVersion>(view, &vault, name, version)?;
            event.version = Some(found.body.about.version.clone());
            bundle(&vault, &found)
        })
    }

    /// As [`secret`](Self::secret), without waiting for the storage: an answer if all that it rests on is in memory and
    /// the caller may have it, else none. It may be given when `then` is told [`Recorded::Yes`]; that is told once, and
    /// only where there is an answer.
    pub fn secret_at_once(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        then: impl FnOnce(Recorded) + Send + 'static,
    ) -> Option<SecretBundle> {
        let permission = SecretPermission::Get;
        let seen = self.at_once::<SecretVersion>(caller, vault, permission, name, version)?;
        let bundle = bundle(&seen.vault, &seen.found).ok()?;
        let mut event = event(caller, Operation::Get, vault, name, version);
        event.version = Some(seen.found.body.about.version.clone());
        self.record_then(event, &seen.view, then);
        Some(bundle)
    }

    /// The secrets of a vault, by name, without values. Needs the permission *list*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden), and those of vault and storage.
    pub fn list_secrets(
        &self,
        caller: &Caller,
        vault: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<ItemProperties>> {
        self.audited(event(caller, Operation::List, vault, "", None), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::List)?;
            Ok(Done::reading(self.list_objects(&vault, page, properties)?))
        })
    }

    /// The versions of a secret, by id, without values. Needs the permission *list*.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden),
    /// [`ErrorKind::ObjectNotFound`](crate::ErrorKind::ObjectNotFound), and those of vault and storage.
    pub fn list_secret_versions(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<ItemProperties>> {
        self.audited(event(caller, Operation::List, vault, name, None), |_| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::List)?;
            Ok(Done::reading(self.list_versions(&vault, name, page, properties)?))
        })
    }

    /// Changes content type, attributes or tags of a version, or of the current one; the value stays.
    /// Needs the permission *set*.
    ///
    /// # Errors
    /// As [`list_secret_versions`](Self::list_secret_versions), and
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid).
    pub fn update_secret(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        update: &SecretUpdate,
    ) -> Result<ItemProperties> {
        self.audited(event(caller, Operation::Update, vault, name, version), |event| {
            let vault = self.authorize_secret(caller, vault, SecretPermission::Set)?;
            check_content_type(update.content_type.as_deref())?;
            let (head, mut secret) = self.find::<SecretVersion>(&vault, name, version)?;
            event.version = Some(secret.body.about.version.clone());
            update_about(&mut secret.body.about, update.attributes, update.tags.as_ref(), self.clock.now())?;
            if update.content_type.is_some() {
                secret.body.content_type.clone_from(&update.content_type);
            }
            let changes = vec![self.replace_version(&vault, &secret)?];
            Ok(Done { answer: properties(&vault, &head.body, secret.body), changes })
        })
    }
}
