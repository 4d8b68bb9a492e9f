//! Using keys: sign and verify.

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
        self.audited_reading(event(caller, Operation::Sign, vault, name, version), |view, event| {
            let vault = self.authorize_in(view, caller, vault, KeyPermission::Sign)?;
            let algorithm: SignatureAlgorithm = algorithm.parse()?;
            let found = self.find_in::<KeyVersion>(view, &vault, name, version)?;
            let about = &found.body.about;
            event.version = Some(about.version.clone());
            let what = describe(Kind::Key, &found.head, about);
            about.attributes.check_enabled(&what)?;
            check_operation(&found.body, KeyOperation::Sign, &what)?;
            about.attributes.check_period(&what, self.clock.now())?;
            let signature = self.private_key(&found)?.sign(algorithm, digest)?;
            Ok(KeyOperationResult {
                name: found.head.name.clone(),
                version: about.version.clone(),
                algorithm: algorithm.as_str(),
                value: SecretBytes::new(signature.into()),
            })
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
        self.audited_reading(event(caller, Operation::Verify, vault, name, version), |view, event| {
            let vault = self.authorize_in(view, caller, vault, KeyPermission::Verify)?;
            let algorithm: SignatureAlgorithm = algorithm.parse()?;
            let found = self.find_in::<KeyVersion>(view, &vault, name, version)?;
            let about = &found.body.about;
            event.version = Some(about.version.clone());
            let what = describe(Kind::Key, &found.head, about);
            about.attributes.check_enabled(&what)?;
            check_operation(&found.body, KeyOperation::Verify, &what)?;
            self.private_key(&found)?.verify(algorithm, digest, signature)
        })
    }
}
