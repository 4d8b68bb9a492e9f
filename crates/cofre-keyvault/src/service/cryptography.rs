//! Using keys: wrap and unwrap, encrypt and decrypt. Both pairs do the same under their own permissions.

use super::{
    KeyVaults,
    keys::{check_operation, event},
    objects::describe,
};
use crate::{
    audit::Operation,
    bundle::KeyOperationResult,
    caller::Caller,
    encoding::SecretBytes,
    error::Result,
    objects::{KeyVersion, Kind},
    permission::{KeyOperation, KeyPermission},
    rsa_key::WrapAlgorithm,
};

/// What is asked of a key.
struct Use<'a> {
    vault: &'a str,
    name: &'a str,
    version: Option<&'a str>,
    algorithm: &'a str,
    value: &'a [u8],
}

impl KeyVaults {
    /// Wraps a symmetric key with a key version, or the current one. `algorithm` is `RSA-OAEP` or
    /// `RSA-OAEP-256`; `value` are the bytes themselves. Needs the permission *wrapKey*, and a version
    /// that is enabled and within its period.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden),
    /// [`ErrorKind::ObjectNotFound`](crate::ErrorKind::ObjectNotFound),
    /// [`ErrorKind::UnsupportedAlgorithm`](crate::ErrorKind::UnsupportedAlgorithm),
    /// [`ErrorKind::Disabled`](crate::ErrorKind::Disabled), [`ErrorKind::NotYetValid`](crate::ErrorKind::NotYetValid),
    /// [`ErrorKind::Expired`](crate::ErrorKind::Expired),
    /// [`ErrorKind::OperationNotPermitted`](crate::ErrorKind::OperationNotPermitted),
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the value is too long, and those of vault and
    /// storage.
    pub fn wrap_key(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        value: &[u8],
    ) -> Result<KeyOperationResult> {
        self.use_key(caller, KeyOperation::WrapKey, &Use { vault, name, version, algorithm, value })
    }

    /// Unwraps what [`wrap_key`](Self::wrap_key) made. Needs the permission *unwrapKey*, and a version
    /// that is enabled; its period is not looked at, so that what it once wrapped stays readable.
    ///
    /// # Errors
    /// As [`wrap_key`](Self::wrap_key), and [`ErrorKind::UnwrapFailed`](crate::ErrorKind::UnwrapFailed), which
    /// is the same whatever is wrong with the value.
    pub fn unwrap_key(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        value: &[u8],
    ) -> Result<KeyOperationResult> {
        self.use_key(caller, KeyOperation::UnwrapKey, &Use { vault, name, version, algorithm, value })
    }

    /// As [`wrap_key`](Self::wrap_key), under the permission *encrypt*.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        value: &[u8],
    ) -> Result<KeyOperationResult> {
        self.use_key(caller, KeyOperation::Encrypt, &Use { vault, name, version, algorithm, value })
    }

    /// As [`unwrap_key`](Self::unwrap_key), under the permission *decrypt*.
    ///
    /// # Errors
    /// As there.
    pub fn decrypt(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        value: &[u8],
    ) -> Result<KeyOperationResult> {
        self.use_key(caller, KeyOperation::Decrypt, &Use { vault, name, version, algorithm, value })
    }

    fn use_key(
        &self,
        caller: &Caller,
        operation: KeyOperation,
        using: &Use<'_>,
    ) -> Result<KeyOperationResult> {
        let (audited, permission, seals) = match operation {
            KeyOperation::WrapKey => (Operation::WrapKey, KeyPermission::WrapKey, true),
            KeyOperation::Encrypt => (Operation::Encrypt, KeyPermission::Encrypt, true),
            KeyOperation::UnwrapKey => (Operation::UnwrapKey, KeyPermission::UnwrapKey, false),
            _ => (Operation::Decrypt, KeyPermission::Decrypt, false),
        };
        self.audited_reading(event(caller, audited, using.vault, using.name, using.version), |view, event| {
            let vault = self.authorize_in(view, caller, using.vault, permission)?;
            let algorithm: WrapAlgorithm = using.algorithm.parse()?;
            let found = self.find_in::<KeyVersion>(view, &vault, using.name, using.version)?;
            let about = &found.body.about;
            event.version = Some(about.version.clone());
            let what = describe(Kind::Key, &found.head, about);
            about.attributes.check_enabled(&what)?;
            check_operation(&found.body, operation, &what)?;
            let value = if seals {
                about.attributes.check_period(&what, self.clock.now())?;
                SecretBytes::new(self.private_key(&found)?.wrap(algorithm, using.value)?.into())
            } else {
                self.private_key(&found)?.unwrap(algorithm, using.value)?
            };
            let (name, version) = (found.head.name.clone(), about.version.clone());
            Ok(KeyOperationResult { name, version, algorithm: algorithm.as_str(), value })
        })
    }
}
