//! Jobs as rows of the database.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_repo::process::Process;
use cofre_store::JobRow;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Job, JobRequest, JobStatus, Operation, Task, TaskStatus};
use crate::service::{Recovery, new_guid};

/// Who runs a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The process.
    #[serde(flatten)]
    pub(crate) process: Process,
    /// Name of the worker; none for a command that runs its own job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<String>,
}

impl Owner {
    /// This process, for a job of its own.
    pub(crate) fn command() -> Self {
        Self { process: Process::this(), worker: None }
    }

    /// A worker of this process.
    pub(crate) fn worker(name: &str) -> Self {
        Self { process: Process::this(), worker: Some(name.to_owned()) }
    }

    pub(crate) fn of(row: &JobRow) -> Option<Self> {
        row.owner.as_deref().and_then(|owner| serde_json::from_str(owner).ok())
    }

    pub(crate) fn encode(&self) -> Result<String> {
        serde_json::to_string(self).map_err(unwritable)
    }
}

pub(super) fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(error)
}

pub(super) fn decode(row: &JobRow) -> Result<Job> {
    serde_json::from_slice(&row.body).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, format!("the record of job {} cannot be read", row.id))
            .because(e)
    })
}

/// The row of a job. Without an owner, `heartbeat` is the instant from which on it may be taken.
pub(super) fn row(job: &Job, owner: Option<String>, epoch: u64, heartbeat: Timestamp) -> Result<JobRow> {
    Ok(JobRow {
        id: job.id.clone(),
        vault: job.vault_id.key(),
        item: job.item_id.as_ref().map(ResourceId::key).unwrap_or_default(),
        operation: job.operation.name().to_owned(),
        status: job.status.name().to_owned(),
        started: job.start_time,
        ended: job.end_time,
        owner,
        epoch,
        heartbeat,
        body: serde_json::to_vec(job).map_err(unwritable)?,
    })
}

/// Sets the parts of a job that run to `status`.
pub(super) fn end_tasks(job: &mut Job, status: TaskStatus, now: Timestamp) {
    for task in job.tasks.iter_mut().filter(|t| t.status == TaskStatus::InProgress) {
        task.status = status;
        task.end_time = Some(now);
    }
}

/// A job as it is before anybody ran it.
pub(super) fn rewind(job: &mut Job) {
    for task in &mut job.tasks {
        *task = waiting(&task.task_id);
    }
    job.progress = None;
    job.error_details.clear();
}

fn waiting(task: &str) -> Task {
    Task { task_id: task.to_owned(), status: TaskStatus::NotStarted, start_time: None, end_time: None }
}

/// What a new job is about.
pub(crate) struct NewJob<'a> {
    pub(crate) vault: &'a ResourceId,
    pub(crate) item: Option<&'a ResourceId>,
    pub(crate) operation: Operation,
    /// Name of the machine.
    pub(crate) name: &'a str,
    pub(crate) tasks: &'a [&'a str],
    pub(crate) request: Option<JobRequest>,
    pub(crate) user_triggered: bool,
}

impl NewJob<'_> {
    pub(super) fn job(self, recovery: &Recovery) -> Result<Job> {
        Ok(Job {
            id: new_guid()?,
            vault_id: self.vault.clone(),
            item_id: self.item.cloned(),
            operation: self.operation,
            status: JobStatus::InProgress,
            entity_friendly_name: self.name.to_owned(),
            start_time: recovery.now(),
            end_time: None,
            tasks: self.tasks.iter().map(|task| waiting(task)).collect(),
            property_bag: BTreeMap::from([("VM Name".to_owned(), self.name.to_owned())]),
            error_details: Vec::new(),
            request: self.request,
            user_triggered: self.user_triggered,
            progress: None,
            transferred: None,
            adopted: false,
            attempts: Vec::new(),
            take_overs: 0,
        })
    }
}
