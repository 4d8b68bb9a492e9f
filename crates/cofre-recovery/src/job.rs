//! Jobs: what was begun, how far it got, how it ended.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Detail, Problem, ResourceId, Result};
use cofre_repo::process::Process;
use cofre_store::{Batch, ErrorKind, JobChange, JobFilter, JobRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, unavailable},
    service::{Recovery, new_guid},
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
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigureBackup => "ConfigureBackup",
            Self::Backup => "Backup",
            Self::Restore => "Restore",
        }
    }
}

impl JobStatus {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::CompletedWithWarnings => "CompletedWithWarnings",
            Self::Failed => "Failed",
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

/// A job that this process runs.
pub(crate) struct JobRun<'a> {
    recovery: &'a Recovery,
    epoch: u64,
    owner: String,
    pub(crate) job: Job,
}

fn body<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(e))
}

fn decode(row: &JobRow) -> Result<Job> {
    serde_json::from_slice(&row.body).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, format!("the record of job {} cannot be read", row.id))
            .because(e)
    })
}

impl<'a> JobRun<'a> {
    /// Begins a job. At most one runs on an item.
    ///
    /// # Errors
    /// `OperationInProgress`, `StateUnavailable`.
    pub(crate) fn begin(
        recovery: &'a Recovery,
        vault: &ResourceId,
        item: Option<&ResourceId>,
        operation: Operation,
        name: &str,
        tasks: &[&str],
    ) -> Result<Self> {
        let owner = serde_json::to_string(&Process::this())
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(e))?;
        let task = |id: &&str| Task {
            task_id: (*id).to_owned(),
            status: TaskStatus::NotStarted,
            start_time: None,
            end_time: None,
        };
        let job = Job {
            id: new_guid()?,
            vault_id: vault.clone(),
            item_id: item.cloned(),
            operation,
            status: JobStatus::InProgress,
            entity_friendly_name: name.to_owned(),
            start_time: recovery.now(),
            end_time: None,
            tasks: tasks.iter().map(task).collect(),
            property_bag: BTreeMap::from([("VM Name".to_owned(), name.to_owned())]),
            error_details: Vec::new(),
        };
        let run = Self { recovery, epoch: 1, owner, job };
        let mut batch = recovery.batch();
        batch.jobs.push(JobChange::Insert(run.row()?));
        batch.events.push(recovery.event("job.begin", &run.job.id, Some(operation.name().into()))?);
        recovery.store().commit(&batch).map_err(|e| match (e.kind(), item) {
            (ErrorKind::Conflict, Some(item)) => {
                let message = format!("another job runs on {name}");
                ApiError::new(Problem::OperationInProgress, message).about(item)
            }
            _ => unavailable(e),
        })?;
        Ok(run)
    }

    fn row(&self) -> Result<JobRow> {
        row(&self.job, &self.owner, self.epoch, self.recovery.now())
    }

    /// The change that stores the job as it is.
    pub(crate) fn change(&self) -> Result<JobChange> {
        Ok(JobChange::Update { epoch: self.epoch, job: self.row()? })
    }

    fn store(&self) -> Result<()> {
        let mut batch = self.recovery.batch();
        batch.jobs.push(self.change()?);
        self.recovery.commit(&batch)
    }

    /// Notes that a part begins.
    pub(crate) fn start(&mut self, task: &str) -> Result<()> {
        let now = self.recovery.now();
        if let Some(task) = self.job.tasks.iter_mut().find(|t| t.task_id == task) {
            task.status = TaskStatus::InProgress;
            task.start_time = Some(now);
        }
        self.store()
    }

    /// Notes that the part that runs is done; stored with the next change.
    pub(crate) fn done(&mut self) {
        let now = self.recovery.now();
        end_tasks(&mut self.job, TaskStatus::Completed, now);
    }

    /// Notes something that deserves attention.
    pub(crate) fn warn(&mut self, warning: ErrorDetail) {
        self.job.error_details.push(warning);
    }

    /// Ends the job well, together with what it brought.
    pub(crate) fn complete(mut self, mut batch: Batch) -> Result<Job> {
        self.done();
        let clean = self.job.error_details.is_empty();
        self.job.status = if clean { JobStatus::Completed } else { JobStatus::CompletedWithWarnings };
        self.end(&mut batch)?;
        self.recovery.commit(&batch)?;
        Ok(self.job)
    }

    /// Ends the job badly, together with what has to be noted elsewhere. When even that cannot be
    /// stored, the job's process will be found dead later.
    pub(crate) fn fail(mut self, error: &ApiError, mut batch: Batch) -> Job {
        let now = self.recovery.now();
        end_tasks(&mut self.job, TaskStatus::Failed, now);
        self.job.status = JobStatus::Failed;
        self.job.error_details.insert(0, error.into());
        if self.end(&mut batch).is_ok() {
            let _ = self.recovery.commit(&batch);
        }
        self.job
    }

    fn end(&mut self, batch: &mut Batch) -> Result<()> {
        self.job.end_time = Some(self.recovery.now());
        batch.jobs.push(self.change()?);
        let detail = Some(self.job.status.name().into());
        batch.events.push(self.recovery.event("job.end", &self.job.id, detail)?);
        Ok(())
    }
}

fn end_tasks(job: &mut Job, status: TaskStatus, now: Timestamp) {
    for task in job.tasks.iter_mut().filter(|t| t.status == TaskStatus::InProgress) {
        task.status = status;
        task.end_time = Some(now);
    }
}

fn row(job: &Job, owner: &str, epoch: u64, now: Timestamp) -> Result<JobRow> {
    Ok(JobRow {
        id: job.id.clone(),
        vault: job.vault_id.key(),
        item: job.item_id.as_ref().map(ResourceId::key).unwrap_or_default(),
        operation: job.operation.name().to_owned(),
        status: job.status.name().to_owned(),
        started: job.start_time,
        ended: job.end_time,
        owner: Some(owner.to_owned()),
        epoch,
        heartbeat: now,
        body: body(job)?,
    })
}

impl Recovery {
    /// A job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn job(&self, id: &str) -> Result<Job> {
        let row = self.store().job(&id.to_lowercase()).map_err(unavailable)?;
        let row = row.ok_or_else(|| ApiError::new(Problem::NotFound, format!("there is no job {id}")))?;
        decode(&row)
    }

    /// Jobs, the newest first, at most `limit`.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn jobs(&self, vault: Option<&ResourceId>, limit: usize) -> Result<Vec<Job>> {
        let filter = JobFilter { vault: vault.map(ResourceId::key), ..JobFilter::default() };
        self.store().jobs(&filter, None, limit).map_err(unavailable)?.iter().map(decode).collect()
    }

    /// Jobs that count as running though their process is dead.
    pub(crate) fn orphaned_jobs(&self) -> Result<Vec<(Job, JobRow)>> {
        let this = Process::this();
        let mut orphans = Vec::new();
        for row in self.store().running().map_err(unavailable)? {
            let owner: Option<Process> = row.owner.as_deref().and_then(|o| serde_json::from_str(o).ok());
            if owner.is_some_and(|o| o.is_dead(&this)) {
                orphans.push((decode(&row)?, row));
            }
        }
        Ok(orphans)
    }

    /// Ends a job whose process is dead, in a batch with what it still brought.
    pub(crate) fn close_orphan(
        &self,
        mut job: Job,
        row: &JobRow,
        error: Option<&ApiError>,
        mut batch: Batch,
    ) -> Result<()> {
        let now = self.now();
        let status = if error.is_some() { TaskStatus::Failed } else { TaskStatus::Completed };
        end_tasks(&mut job, status, now);
        job.status = if error.is_some() { JobStatus::Failed } else { JobStatus::Completed };
        job.error_details.extend(error.map(ErrorDetail::from));
        job.end_time = Some(now);
        let owner = row.owner.clone().unwrap_or_default();
        batch
            .jobs
            .push(JobChange::Update { epoch: row.epoch, job: self::row(&job, &owner, row.epoch + 1, now)? });
        batch.events.push(self.event("job.end", &job.id, Some(job.status.name().into()))?);
        documents::commit(self.store(), &batch)
    }
}
