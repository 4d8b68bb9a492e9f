//! Jobs: what was begun, how far it got, how it ended.

mod cancel;
mod lease;
mod orphan;
mod page;
mod queue;
mod record;
mod request;
mod run;

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Detail, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    lease::{Metered, withdrawn_path},
    page::{mark, place},
    record::NewJob,
    run::JobRun,
};
pub use self::{
    page::{JobPage, JobQuery},
    request::{BackupRequest, JobRequest, RestoreRequest, Trigger},
};

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// A GUID; without its hyphens, also the id of the point that a backup makes.
    pub id: String,
    /// The vault.
    pub vault_id: ResourceId,
    /// The item.
    pub item_id: Option<ResourceId>,
    /// What it does.
    pub operation: Operation,
    /// How it stands.
    pub status: JobStatus,
    /// Name of the machine.
    pub entity_friendly_name: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Its parts, in their order.
    pub tasks: Vec<Task>,
    /// What it has to say, by name.
    pub property_bag: BTreeMap<String, String>,
    /// Why it failed, or what deserves attention.
    pub error_details: Vec<ErrorDetail>,
    /// What was asked for, where somebody else than the asker may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<JobRequest>,
    /// Whether a user asked for it, and not a schedule or the service itself.
    #[serde(default = "yes")]
    pub user_triggered: bool,
    /// How far the transfer got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// What a backup moved, once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred: Option<Transferred>,
    /// Whether the worker that ended it found its work done by another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// What was tried and will be tried again, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// How often it was taken over from a process that died or fell silent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub take_overs: u32,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How far the transfer of a job got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobProgress {
    /// Bytes of the disks that are dealt with, holes included.
    pub bytes_done: u64,
    /// Bytes of the disks.
    pub bytes_total: u64,
    /// Bytes that were new to the repository.
    pub bytes_new: u64,
    /// Bytes dealt with a second, since the transfer began.
    pub bytes_per_second: u64,
}

impl JobProgress {
    /// How much of it is done, 0 to 100.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let done = u128::from(self.bytes_done.min(self.bytes_total)) * 100;
        u8::try_from(done / u128::from(self.bytes_total.max(1))).unwrap_or(100)
    }
}

/// What a backup moved, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transferred {
    /// Of the disks, holes included.
    pub disks: u64,
    /// Read from the disks.
    pub read: u64,
    /// Added to the repository.
    pub stored: u64,
}

/// An attempt that failed for a reason that may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it failed.
    pub failed: Timestamp,
    /// Why.
    pub error: ErrorDetail,
    /// When it is tried again.
    pub again: Timestamp,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Protects a machine.
    ConfigureBackup,
    /// Makes a recovery point.
    Backup,
    /// Brings disks back.
    Restore,
    /// Stops the protection of a machine; what is there is kept.
    DisableBackup,
    /// Deletes what was backed up of a machine.
    DeleteBackupData,
    /// Takes the deletion of what was backed up back.
    Undelete,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// It runs.
    InProgress,
    /// Done.
    Completed,
    /// Done, and something deserves attention.
    CompletedWithWarnings,
    /// Not done.
    Failed,
    /// Somebody asked it to stop; it runs until it notices.
    Cancelling,
    /// Stopped because somebody asked.
    Cancelled,
}

/// A part of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its name in the contract.
    pub task_id: String,
    /// How it stands.
    pub status: TaskStatus,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}

/// How a part of a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Still to come.
    NotStarted,
    /// It runs.
    InProgress,
    /// Done.
    Completed,
    /// Not done.
    Failed,
    /// Stopped because somebody asked.
    Cancelled,
}

/// An error, or a warning, as a job keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// Machine code.
    pub code: String,
    /// What happened and why.
    pub message: String,
    /// The resources it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// What to do next.
    pub recommendations: Vec<String>,
}

impl From<&ApiError> for ErrorDetail {
    fn from(error: &ApiError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.in_full(),
            details: error.details().to_vec(),
            recommendations: vec![error.recommendation().to_owned()],
        }
    }
}

impl ErrorDetail {
    /// A warning that is no error of the catalogue.
    pub(crate) fn warning(code: &str, message: impl Into<String>, recommendation: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            recommendations: vec![recommendation.to_owned()],
        }
    }
}

impl Operation {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::ConfigureBackup,
        Self::Backup,
        Self::Restore,
        Self::DisableBackup,
        Self::DeleteBackupData,
        Self::Undelete,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigureBackup => "ConfigureBackup",
            Self::Backup => "Backup",
            Self::Restore => "Restore",
            Self::DisableBackup => "DisableBackup",
            Self::DeleteBackupData => "DeleteBackupData",
            Self::Undelete => "Undelete",
        }
    }
}

impl JobStatus {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::InProgress,
        Self::Completed,
        Self::CompletedWithWarnings,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::InProgress | Self::Cancelling)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::CompletedWithWarnings => "CompletedWithWarnings",
            Self::Failed => "Failed",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// A job that is over, and what it brought.
#[derive(Debug)]
pub struct Finished<T> {
    /// The job.
    pub job: Job,
    /// What it brought, or why it failed.
    pub result: Result<T>,
}
