//! Using keys: sign and verify.

use super::{
    Done, KeyVaults,
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
    private_key::PrivateKey,
    signature::SignatureAlgorithm,
};

impl KeyVaults {
    /// Signs a digest with a key version, or the current one. `algorithm` is `RS256`, `RS384`, `RS512`, `PS256`,
    /// `PS384` or `PS512`; `digest` is the digest itself, of that algorithm's length. Needs the permission *sign*,
    /// and a version that is enabled and within its period.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden),
    /// [`ErrorKind::ObjectNotFound`](crate::ErrorKind::ObjectNotFound),
    /// [`ErrorKind::UnsupportedAlgorithm`](crate::ErrorKind::UnsupportedAlgorithm),
    /// [`ErrorKind::Disabled`](crate::ErrorKind::Disabled), [`ErrorKind::NotYetValid`](crate::ErrorKind::NotYetValid),
    /// [`ErrorKind::Expired`](crate::ErrorKind::Expired),
    /// [`ErrorKind::OperationNotPermitted`](crate::ErrorKind::OperationNotPermitted),
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the digest has another length, and those of vault
    /// and storage.
    pub fn sign(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        digest: &[u8],
    ) -> Result<KeyOperationResult> {
        self.audited(event(caller, Operation::Sign, vault, name, version), |event| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Sign)?;
            let algorithm: SignatureAlgorithm = algorithm.parse()?;
            let (head, key) = self.find::<KeyVersion>(&vault, name, version)?;
            let (head, key) = (head.body, key.body);
            event.version = Some(key.about.version.clone());
            let what = describe(Kind::Key, &head, &key.about);
            key.about.attributes.check_enabled(&what)?;
            check_operation(&key, KeyOperation::Sign, &what)?;
            key.about.attributes.check_period(&what, self.clock.now())?;
            let signature = PrivateKey::from_pkcs8(&key.pkcs8)?.sign(algorithm, digest)?;
            Ok(Done::reading(KeyOperationResult {
                name: head.name,
                version: key.about.version,
                algorithm: algorithm.as_str(),
                value: SecretBytes::new(signature.into()),
            }))
        })
    }

    /// Whether `signature` is what a key version, or the current one, gave for a digest. Needs the permission
    /// *verify*, and a version that is enabled; its period is not looked at, so that what it once signed can be
    /// verified.
    ///
    /// # Errors
    /// As [`sign`](Self::sign). A signature that is not the key's is an answer, not an error.
    #[expect(clippy::too_many_arguments, reason = "each is one value of the published operation")]
    pub fn verify(
        &self,
        caller: &Caller,
        vault: &str,
        name: &str,
        version: Option<&str>,
        algorithm: &str,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        self.audited(event(caller, Operation::Verify, vault, name, version), |event| {
            let vault = self.authorize_key(caller, vault, KeyPermission::Verify)?;
            let algorithm: SignatureAlgorithm = algorithm.parse()?;
            let (head, key) = self.find::<KeyVersion>(&vault, name, version)?;
            let (head, key) = (head.body, key.body);
            event.version = Some(key.about.version.clone());
            let what = describe(Kind::Key, &head, &key.about);
            key.about.attributes.check_enabled(&what)?;
            check_operation(&key, KeyOperation::Verify, &what)?;
            let verified = PrivateKey::from_pkcs8(&key.pkcs8)?.verify(algorithm, digest, signature)?;
            Ok(Done::reading(verified))
        })
    }
}
