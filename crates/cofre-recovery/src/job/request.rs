//! What can be asked of a job, in a form that is kept with it: whichever process runs it reads it there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::restore::RecoveryType;

/// What a queued job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum JobRequest {
    /// Back an item up.
    Backup(BackupRequest),
    /// Restore disks.
    Restore(RestoreRequest),
    /// Delete all that was backed up of an item, and the item.
    DeleteBackupData,
}

/// A backup that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRequest {
    /// Until when the point is kept; what is usual where none is given.
    pub retain_until: Option<Timestamp>,
    /// Who asks.
    pub trigger: Trigger,
}

/// Who asks for a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// A user.
    User,
    /// The schedule of the item's policy.
    Schedule {
        /// The time that was due.
        slot: Timestamp,
    },
}

/// A restore that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRequest {
    /// Number of the recovery point, or `latest`.
    pub point: String,
    /// Name of the storage account.
    pub account: String,
    /// What is to be made of the point.
    pub recovery_type: RecoveryType,
    /// The slots of the data disks that are wanted; all where none is given. The disk that the machine boots from is
    /// always restored.
    #[serde(default)]
    pub luns: Option<Vec<u32>>,
    /// The resource group that the disks are for.
    #[serde(default)]
    pub target_resource_group: Option<String>,
}

impl BackupRequest {
    /// A backup that a user asks for, kept as long as is usual.
    #[must_use]
    pub fn user() -> Self {
        Self { retain_until: None, trigger: Trigger::User }
    }
}
