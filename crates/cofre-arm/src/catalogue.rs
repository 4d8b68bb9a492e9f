//! The error catalogue: every problem the control plane can answer with, in one table.
//!
//! Codes and meanings are those of the published contract where it has one; `docs/errors.md` is made
//! from the table by `tests/guide.rs`, which also says which test raises each row.

/// A problem. What can be done about it does not depend on where it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// E-01.
    BekOnly,
    /// E-02.
    KeyVaultNotFound,
    /// E-03.
    KeyOrSecretNotFound,
    /// E-04.
    CreateEncryptedVm,
    /// E-05.
    KeyVaultPermissions,
    /// E-06.
    ClassicEncryptedVm,
    /// E-07.
    RegionMismatch,
    /// E-08.
    AlreadyProtected,
    /// E-10.
    VmNotFound,
    /// E-11.
    ProvisioningStateFailed,
    /// E-12.
    UnsupportedDisk,
    /// E-13.
    VmState,
    /// E-14.
    VaultLimit,
    /// E-15.
    PolicyItemLimit,
    /// E-16.
    OperationInProgress,
    /// E-21.
    KeyUrlNotVersioned,
    /// E-22.
    KeyVaultUnreachable,
    /// E-23.
    KeyVersionNotFound,
    /// E-26.
    KeyVaultNameConflict,
    /// E-27.
    KeyVaultBlobNotUsable,
    /// E-32.
    StorageAccountOffline,
    /// E-34.
    ReplaceDiskEncrypted,
    /// E-35.
    FileRecoveryEncrypted,
    /// E-36.
    TemplateNotAvailable,
    /// E-70.
    JobKindNotCancellable,
    /// E-71.
    JobNotCancellable,
    /// E-72.
    JobNotRunning,
    /// E-73.
    JobCancelFailed,
    /// The disks could not be read, stored or verified; the message says which and why.
    TransferFailed,
    /// The room that is kept free of backups is all that is left.
    StorageFull,
    /// The job's process was interrupted or died.
    JobInterrupted,
    /// A resource is not there.
    NotFound,
    /// A resource group is not there.
    GroupNotFound,
    /// A resource is there already, or in use.
    Conflict,
    /// A value cannot be accepted.
    InvalidParameter,
    /// The caller may not do this.
    Forbidden,
    /// The caller's roles do not hold the action.
    AuthorizationFailed,
    /// The request carries no token, or one that is not accepted.
    Unauthenticated,
    /// There is no such method for this path.
    MethodNotAllowed,
    /// The request's body is too large.
    RequestTooLarge,
    /// There were too many requests.
    TooManyRequests,
    /// The server did not get to an answer in time, or is shutting down.
    ServerBusy,
    /// A defect of this service.
    InternalError,
    /// An image lies outside the folders that machines may use.
    ImageOutsideRoots,
    /// An image cannot be opened.
    ImageUnavailable,
    /// The database, the key store or a file could not be used.
    StateUnavailable,
}

/// A row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Number in the published table; empty where it has none.
    pub id: &'static str,
    /// The machine code.
    pub code: &'static str,
    /// HTTP status of an answer with this problem.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// What to do next.
    pub action: &'static str,
    /// Whether trying again later, with nothing changed by hand, may help.
    pub transient: bool,
}

const fn row(
    id: &'static str,
    code: &'static str,
    status: u16,
    meaning: &'static str,
    action: &'static str,
) -> Row {
    Row { id, code, status, meaning, action, transient: false }
}

const fn passing(row: Row) -> Row {
    Row { transient: true, ..row }
}

impl Problem {
    /// All of them, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::BekOnly,
        Self::KeyVaultNotFound,
        Self::KeyOrSecretNotFound,
        Self::CreateEncryptedVm,
        Self::KeyVaultPermissions,
        Self::ClassicEncryptedVm,
        Self::RegionMismatch,
        Self::AlreadyProtected,
        Self::VmNotFound,
        Self::ProvisioningStateFailed,
        Self::UnsupportedDisk,
        Self::VmState,
        Self::VaultLimit,
        Self::PolicyItemLimit,
        Self::OperationInProgress,
        Self::KeyUrlNotVersioned,
        Self::KeyVaultUnreachable,
        Self::KeyVersionNotFound,
        Self::KeyVaultNameConflict,
        Self::KeyVaultBlobNotUsable,
        Self::StorageAccountOffline,
        Self::ReplaceDiskEncrypted,
        Self::FileRecoveryEncrypted,
        Self::TemplateNotAvailable,
        Self::JobKindNotCancellable,
        Self::JobNotCancellable,
        Self::JobNotRunning,
        Self::JobCancelFailed,
        Self::TransferFailed,
        Self::StorageFull,
        Self::JobInterrupted,
        Self::NotFound,
        Self::GroupNotFound,
        Self::Conflict,
        Self::InvalidParameter,
        Self::Forbidden,
        Self::AuthorizationFailed,
        Self::Unauthenticated,
        Self::MethodNotAllowed,
        Self::RequestTooLarge,
        Self::TooManyRequests,
        Self::ServerBusy,
        Self::InternalError,
        Self::ImageOutsideRoots,
        Self::ImageUnavailable,
        Self::StateUnavailable,
    ];

    /// Its row.
    #[must_use]
    pub const fn row(self) -> Row {
        match self {
            Self::BekOnly => row(
                "E-01",
                "UserErrorEncryptedVmBekOnly",
                400,
                "The machine is encrypted with a disk key (BEK) alone; only machines whose disk key is wrapped by a key \
                 (KEK) can be backed up.",
                "Encrypt the machine again with both BEK and KEK, then enable backup.",
            ),
            Self::KeyVaultNotFound => row(
                "E-02",
                "UserErrorKeyVaultNotFound",
                400,
                "The key vault of this encrypted machine is gone.",
                "Create a key vault in the same subscription and region, then put key and secret back into it: `cofre \
                 restore keys`.",
            ),
            Self::KeyOrSecretNotFound => row(
                "E-03",
                "UserErrorKeyOrSecretNotFound",
                400,
                "The key or the secret of this encrypted machine is gone from its key vault.",
                "Put key and secret back from the recovery point: `cofre restore keys`.",
            ),
            Self::CreateEncryptedVm => row(
                "E-04",
                "UserErrorNotAuthorizedOnSubscription",
                400,
                "An encrypted machine cannot be created directly from a recovery point.",
                "Restore the disks (`cofre restore disks`), then create the machine from them with the template or a \
                 script.",
            ),
            Self::KeyVaultPermissions => row(
                "E-05",
                "UserErrorKeyVaultPermissionsNotConfigured",
                400,
                "The backup service lacks permissions on the key vault.",
                "Make sure that the machine uses both BEK and KEK, give the backup service access (`cofre keyvault \
                 access-policy from-template --template azure-backup`), and try again.",
            ),
            Self::ClassicEncryptedVm => row(
                "E-06",
                "UserErrorClassicEncryptedVm",
                400,
                "Encrypted machines of the classic model cannot be backed up.",
                "Move the machine to the Resource Manager model.",
            ),
            Self::RegionMismatch => row(
                "E-07",
                "UserErrorRegionMismatch",
                400,
                "The machine and the vault are in different regions.",
                "Use a vault in the machine's region.",
            ),
            Self::AlreadyProtected => row(
                "E-08",
                "UserErrorAlreadyProtected",
                409,
                "The machine is protected already.",
                "Stop its protection first, or go on with the item there is.",
            ),
            Self::VmNotFound => row(
                "E-10",
                "BCMV2VMNotFound",
                404,
                "The machine does not exist.",
                "Create it again with the same name and resource group, or stop its protection.",
            ),
            Self::ProvisioningStateFailed => row(
                "E-11",
                "UserErrorVmProvisioningStateFailed",
                409,
                "The machine is in a failed provisioning state.",
                "Repair or import the machine again, then try again.",
            ),
            Self::UnsupportedDisk => row(
                "E-12",
                "UserErrorUnsupportedDiskSize",
                400,
                "The machine has too many disks, or one beyond the size limit.",
                "Move data to smaller or fewer disks, or raise the limit in the configuration.",
            ),
            Self::VmState => passing(row(
                "E-13",
                "UserErrorVmNotInDesirableState",
                409,
                "The machine is neither running nor stopped, or its disks are in use.",
                "Wait until it is running or stopped; for a driver that reads images, stop it.",
            )),
            Self::VaultLimit => row(
                "E-14",
                "UserErrorVaultLimit",
                409,
                "The vault holds as many machines or policies, or the subscription as many vaults, as it may.",
                "Use another vault.",
            ),
            Self::PolicyItemLimit => row(
                "E-15",
                "UserErrorPolicyItemLimit",
                409,
                "The policy has as many machines as it may.",
                "Use another policy.",
            ),
            Self::OperationInProgress => passing(row(
                "E-16",
                "UserErrorBackupOperationInProgress",
                409,
                "Another operation runs on the item.",
                "Wait until it is over (`cofre job list`), then try again.",
            )),
            Self::KeyUrlNotVersioned => row(
                "E-21",
                "UserErrorKeyUrlNotVersioned",
                400,
                "The URL of the machine's secret or key has no version, or is none.",
                "Correct the machine's encryption settings.",
            ),
            Self::KeyVaultUnreachable => row(
                "E-22",
                "UserErrorKeyVaultUnreachable",
                400,
                "The key vault of the machine is missing.",
                "Restore the key vault, or point the machine to another one.",
            ),
            Self::KeyVersionNotFound => row(
                "E-23",
                "UserErrorKeyVersionNotFound",
                400,
                "The version of key or secret that the machine names is gone or disabled.",
                "Enable or restore it, or correct the machine's encryption settings.",
            ),
            Self::KeyVaultNameConflict => row(
                "E-26",
                "KeyVaultNameConflict",
                409,
                "The key vault holds an object of this name already.",
                "Use that object, or another key vault.",
            ),
            Self::KeyVaultBlobNotUsable => row(
                "E-27",
                "KeyVaultBlobNotUsable",
                400,
                "The backup blob cannot be opened here.",
                "Restore it in the subscription and geography it was made in; if it was, the blob is damaged: take it \
                 from another recovery point.",
            ),
            Self::StorageAccountOffline => passing(row(
                "E-32",
                "UserErrorStorageAccountOffline",
                409,
                "The storage account cannot be reached or written.",
                "Make its folder writable, or choose another storage account.",
            )),
            Self::ReplaceDiskEncrypted => row(
                "E-34",
                "UserErrorReplaceDiskEncrypted",
                400,
                "The disks of an encrypted machine cannot be replaced in place.",
                "Restore the disks beside it and swap them by hand.",
            ),
            Self::FileRecoveryEncrypted => row(
                "E-35",
                "UserErrorFileRecoveryEncrypted",
                400,
                "Files cannot be recovered from an encrypted recovery point without the right to unwrap its key.",
                "Restore the disks.",
            ),
            Self::TemplateNotAvailable => row(
                "E-36",
                "UserErrorTemplateNotAvailable",
                404,
                "The recovery point is older than deployment templates.",
                "Create the machine from the restored disks with a script.",
            ),
            Self::JobKindNotCancellable => row(
                "E-70",
                "UserErrorJobKindNotCancellable",
                409,
                "A job of this kind cannot be cancelled.",
                "Wait until it is over.",
            ),
            Self::JobNotCancellable => row(
                "E-71",
                "UserErrorJobNotCancellable",
                409,
                "The job can no longer be cancelled.",
                "Wait until it is over.",
            ),
            Self::JobNotRunning => row(
                "E-72",
                "UserErrorJobNotRunning",
                409,
                "The job is not running.",
                "Nothing needs to be done.",
            ),
            Self::JobCancelFailed => passing(row(
                "E-73",
                "UserErrorJobCancelFailed",
                409,
                "The job could not be asked to stop.",
                "Try again, or wait until it is over.",
            )),
            Self::TransferFailed => passing(row(
                "",
                "DataTransferFailed",
                500,
                "The disks could not be read, stored or verified.",
                "See the cause; what was stored so far is reused by the next attempt.",
            )),
            Self::StorageFull => passing(row(
                "",
                "UserErrorStorageFull",
                409,
                "The storage of backups has no room but its reserve, which is kept for clean-up and restore.",
                "Make room: add storage, delete points, or shorten the retention of policies.",
            )),
            Self::JobInterrupted => passing(row(
                "",
                "JobInterrupted",
                500,
                "The job was interrupted before its end; no recovery point was made.",
                "Run it again: what was stored so far is reused.",
            )),
            Self::GroupNotFound => row(
                "",
                "ResourceGroupNotFound",
                404,
                "The resource group does not exist.",
                "Check its name (`az group list`), or make it: `az group create`.",
            ),
            Self::NotFound => row(
                "",
                "ResourceNotFound",
                404,
                "The resource does not exist.",
                "Check its name; the matching `list` command shows what there is.",
            ),
            Self::Conflict => row(
                "",
                "Conflict",
                409,
                "The resource exists already, is in use, or was changed at the same time.",
                "Look at it again, then decide.",
            ),
            Self::InvalidParameter => row(
                "",
                "InvalidParameter",
                400,
                "A value cannot be accepted.",
                "Correct the value that the message names.",
            ),
            Self::Forbidden => row(
                "",
                "Forbidden",
                403,
                "The caller lacks a permission.",
                "Have the permission that the message names granted.",
            ),
            Self::AuthorizationFailed => row(
                "",
                "AuthorizationFailed",
                403,
                "No role of the caller holds the action at this scope.",
                "Have a role assigned that holds the action which the message names (`cofre role assignment create`).",
            ),
            Self::Unauthenticated => row(
                "",
                "AuthenticationFailed",
                401,
                "The request carries no token, or one that is not accepted.",
                "Log in again (`az login --service-principal`).",
            ),
            Self::MethodNotAllowed => row(
                "",
                "MethodNotAllowed",
                405,
                "The resource exists in the contract, but not this method on it.",
                "Use a method that the message names.",
            ),
            Self::RequestTooLarge => row(
                "",
                "RequestTooLarge",
                413,
                "The body of the request is larger than the service accepts.",
                "Send less: what keys and secrets may hold fits by far.",
            ),
            Self::TooManyRequests => passing(row(
                "",
                "TooManyRequests",
                429,
                "The caller sent more requests than its share.",
                "Wait as long as the header `Retry-After` says.",
            )),
            Self::ServerBusy => passing(row(
                "",
                "ServerBusy",
                503,
                "The service is shutting down, or has too much to do.",
                "Try again in a moment.",
            )),
            Self::InternalError => row(
                "",
                "InternalError",
                500,
                "The service met a defect of its own.",
                "Report it with the request id; nothing says whether the request was done.",
            ),
            Self::ImageOutsideRoots => row(
                "",
                "ImageOutsideRoots",
                403,
                "A disk image lies outside the folders that machines may use.",
                "Allow its folder (`cofre host allow-folder`), or move the image.",
            ),
            Self::ImageUnavailable => row(
                "",
                "ImageUnavailable",
                409,
                "A disk image of the machine cannot be opened.",
                "Check that it exists, may be read, and is of the format that the machine names.",
            ),
            Self::StateUnavailable => passing(row(
                "",
                "StateUnavailable",
                503,
                "The service's own database or key store could not be used.",
                "See the cause; nothing was changed.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_rows_are_full() {
        let mut codes = HashSet::new();
        for problem in Problem::ALL {
            let row = problem.row();
            assert!(codes.insert(row.code), "{}", row.code);
            assert!(row.meaning.ends_with('.') && row.action.ends_with(['.', '`']), "{}", row.code);
            assert!((400..=503).contains(&row.status), "{}", row.code);
        }
    }
}
