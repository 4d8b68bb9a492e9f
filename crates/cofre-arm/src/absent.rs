//! Rows of the published tables of errors that cannot arise here, and why.

/// A row of the published tables that nothing here answers with.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// Number in the published table.
    pub id: &'static str,
    /// The machine codes there.
    pub code: &'static str,
    /// What it means there.
    pub meaning: &'static str,
    /// Why it cannot arise here, or what is answered instead.
    pub reason: &'static str,
}

const fn absent(id: &'static str, code: &'static str, meaning: &'static str, reason: &'static str) -> Absent {
    Absent { id, code, meaning, reason }
}

const NO_AGENT: &str =
    "Snapshots are taken of the disks from outside; there is no agent or extension in the guest.";
const NO_MACHINE: &str = "A restore makes disks and files, no machine.";

/// All of them, in the order of the published tables.
pub const ABSENT: &[Absent] = &[
    absent(
        "E-17",
        "UserErrorEncryptedVmNotSupportedWithDiskEx",
        "Disks of an encrypted machine are excluded.",
        "No disk of any machine can be excluded: `InvalidParameter`.",
    ),
    absent(
        "E-18",
        "BCMProtGetSaSUriAsyncError",
        "The vault's own customer key cannot be reached.",
        "Vaults have no customer keys: what is backed up is sealed with a key of the home.",
    ),
    absent(
        "E-19",
        "UserErrorRequestDisallowedByPolicy",
        "A governance policy forbids the snapshot.",
        "There are no governance policies.",
    ),
    absent(
        "E-24",
        "DiskEncryptionInternalError",
        "A machine that is made or started cannot get its secret.",
        "No machines are made or started. A restore warns with E-02 and E-03 of what they would miss.",
    ),
    absent(
        "E-25",
        "UserErrorCertificateBackedKey",
        "The key belongs to a certificate.",
        "Key vaults hold no certificates.",
    ),
    absent(
        "E-30",
        "UserErrorStorageAccountRegion",
        "The storage account is in another region than the vault.",
        "Storage accounts are folders of the home, which has one region.",
    ),
    absent(
        "E-31",
        "UserErrorStorageAccountKind",
        "The storage account is of a kind that is not supported.",
        "There is one kind of storage account: a folder.",
    ),
    absent(
        "E-33",
        "UserErrorStorageAccountSse",
        "The storage account encrypts what it stores.",
        "Storage accounts are folders and encrypt nothing.",
    ),
    absent(
        "E-37",
        "UserErrorInstantRpNotFound",
        "The snapshot of an instant recovery point is gone.",
        "There is no snapshot tier: every point is in the repository.",
    ),
    absent("E-38", "UserErrorSkuNotAvailable", "The size of the machine is not available.", NO_MACHINE),
    absent(
        "E-39",
        "UserErrorVmNotShutDown",
        "The machine whose disk is replaced runs.",
        "Disks are not replaced in place; of an encrypted machine that is refused with E-34.",
    ),
    absent("E-40", "UserErrorVnetInvalid", "The network does not exist or does not fit.", NO_MACHINE),
    absent(
        "E-41",
        "UserErrorResourceGroupQuota",
        "There are as many resource groups as there may be.",
        "A restore makes no resource group.",
    ),
    absent("E-42", "UserErrorTargetVmExists", "There is a machine of that name.", NO_MACHINE),
    absent(
        "E-43",
        "CopyingVHDsFromBackUpVaultTakingLongTime",
        "The copy did not end in time.",
        "A restore has no time limit. It ends with the data, with an error, or cancelled.",
    ),
    absent("E-44", "UserErrorMarketPlaceVMNotSupported", "The image is no longer sold.", NO_MACHINE),
    absent("E-50", "UserErrorGuestAgentStatusUnavailable", "The agent does not answer.", NO_AGENT),
    absent("E-51", "ExtensionSnapshotFailedNoNetwork", "The guest cannot reach storage.", NO_AGENT),
    absent(
        "E-52",
        "GuestAgentSnapshotTaskStatusError",
        "The state of the snapshot cannot be read.",
        NO_AGENT,
    ),
    absent("E-53", "ExtensionOperationFailedForManagedDisks", "The extension failed.", NO_AGENT),
    absent(
        "E-54",
        "UserErrorBCMPremiumStorageQuotaError",
        "There is no room for a staging copy.",
        "No copy is staged: disks are read in place.",
    ),
    absent("E-55", "ExtensionSnapshotBitlockerError", "A BitLocker drive is locked in the guest.", NO_AGENT),
    absent("E-56", "ExtensionFailedVssWriterInBadState", "VSS writers are not stable.", NO_AGENT),
    absent("E-57", "ExtensionFailedVssServiceInBadState", "The VSS service is not stable.", NO_AGENT),
    absent("E-58", "ExtensionConfigParsingFailure", "The extension cannot read its settings.", NO_AGENT),
    absent(
        "E-59",
        "ExtensionSnapshotFailedCOM, ExtensionInstallationFailedCOM, ExtensionInstallationFailedMDTC",
        "COM+ or DTC does not work in the guest.",
        NO_AGENT,
    ),
    absent("E-60", "UserErrorFsFreezeFailed", "A file system could not be frozen.", NO_AGENT),
    absent("E-61", "ExtensionSnapshotFailedNoSecureNetwork", "No secure channel from the guest.", NO_AGENT),
    absent("E-62", "ExtensionVCRedistInstallationFailure", "A runtime could not be installed.", NO_AGENT),
    absent("E-63", "AzureVmOffline", "The extension cannot be installed.", NO_AGENT),
    absent("E-64", "ExtensionStuckInDeletionState", "The extension is in no consistent state.", NO_AGENT),
    absent(
        "E-65",
        "ExtensionFailedSnapshotLimitReachedError",
        "A disk has as many snapshots as it may.",
        "Images are read in place; the driver keeps no snapshots.",
    ),
    absent(
        "E-66",
        "ExtensionFailedTimeoutVMNetworkUnresponsive",
        "The machine was too busy for the snapshot.",
        NO_AGENT,
    ),
    absent(
        "E-67",
        "UserErrorRpCollectionLimitReached",
        "There are as many restore points as there may be.",
        "The number of points of a machine has no limit.",
    ),
    absent(
        "E-68",
        "BackUpOperationFailed, BackUpOperationFailedV2",
        "A backup failed inside the service.",
        "`DataTransferFailed`, `StateUnavailable`, `InternalError` and E-10 say which it was.",
    ),
    absent("E-69", "VMRestorePointInternalError", "Antivirus blocks the extension.", NO_AGENT),
];
