//! Errors of key vaults, in the two shapes of the contract: the data plane's and that of resources.

use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{ErrorKind, KeyVaultError};
use serde_json::json;

use crate::http::Refusal;

/// What went wrong and what lay beneath, in one line.
fn in_full(error: &KeyVaultError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An error of the data plane: the published status and code, ours inside.
pub(super) fn data_plane(error: KeyVaultError) -> Refusal {
    let kind = error.kind();
    let (status, code) = match kind {
        ErrorKind::VaultNotFound => (404, "VaultNotFound"),
        ErrorKind::ObjectNotFound => (404, "ObjectNotFound"),
        ErrorKind::Forbidden
        | ErrorKind::Disabled
        | ErrorKind::NotYetValid
        | ErrorKind::Expired
        | ErrorKind::OperationNotPermitted
        | ErrorKind::PurgeProtected
        | ErrorKind::NotEnabledForDiskEncryption => (403, "Forbidden"),
        ErrorKind::NameConflict | ErrorKind::SoftDeleted | ErrorKind::VaultExists | ErrorKind::Conflict => {
            (409, "Conflict")
        }
        ErrorKind::BlobNotUsable
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::UnwrapFailed
        | ErrorKind::TooManyVersions
        | ErrorKind::ProofNotValid
        | ErrorKind::Invalid => (400, "BadParameter"),
        ErrorKind::State | ErrorKind::Audit => (503, "ServiceUnavailable"),
        _ => (500, "InternalError"),
    };
    let refusal = Refusal::key_vault(status, code, kind.code(), &in_full(&error));
    if status == 503 { refusal.with("retry-after", "1") } else { refusal }
}

/// A request of the data plane that cannot be read.
pub(super) fn bad_parameter(error: ApiError) -> Refusal {
    Refusal::key_vault(400, "BadParameter", error.code(), &error.in_full())
}

/// An error of a vault as a resource.
pub(crate) fn management_error(error: KeyVaultError) -> Refusal {
    let problem = match error.kind() {
        ErrorKind::VaultNotFound | ErrorKind::ObjectNotFound => Problem::NotFound,
        ErrorKind::VaultExists | ErrorKind::SoftDeleted | ErrorKind::Conflict => Problem::Conflict,
        ErrorKind::Forbidden | ErrorKind::PurgeProtected => Problem::Forbidden,
        ErrorKind::Invalid => Problem::InvalidParameter,
        _ => Problem::StateUnavailable,
    };
    ApiError::new(problem, in_full(&error)).into()
}

/// A refusal for want of a token, with the challenge that clients of key vaults look for.
pub(super) fn challenge(refusal: Refusal, authority: &str, resource: &str) -> Refusal {
    if refusal.status() != 401 {
        return refusal;
    }
    let message = refusal.message().to_owned();
    Refusal::new(401, json!({"error": {"code": "Unauthorized", "message": message}}))
        .with("www-authenticate", format!("Bearer authorization=\"{authority}\", resource=\"{resource}\""))
}
