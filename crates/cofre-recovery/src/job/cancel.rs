//! Asking a job to stop.

use cofre_arm::{ApiError, Problem, Result};
use cofre_store::{Batch, ErrorKind, JobChange, JobRow};

use super::{
    Job, JobRequest, JobStatus, TaskStatus,
    record::{self, end_tasks},
};
use crate::{backup, documents::unavailable, service::Recovery};

/// How often it is tried against a worker that writes.
const TRIES: usize = 16;

impl Job {
    /// Why it cannot be asked to stop.
    fn refuses_to_stop(&self) -> Option<ApiError> {
        let about = |problem, message: String| Some(ApiError::new(problem, message));
        if self.status.is_over() {
            let message = format!("job {} is over: {}", self.id, self.status.name());
            return about(Problem::JobNotRunning, message);
        }
        match &self.request {
            Some(JobRequest::Restore(_)) => None,
            Some(JobRequest::Backup(_)) => {
                let moving =
                    self.tasks.iter().find(|t| t.task_id == backup::TRANSFER && t.start_time.is_some());
                moving.and_then(|task| {
                    let message = format!("job {} is past its snapshot: {}", self.id, task.task_id);
                    about(Problem::JobNotCancellable, message)
                })
            }
            _ => {
                let message = format!("a job that does {} cannot be cancelled", self.operation.name());
                about(Problem::JobKindNotCancellable, message)
            }
        }
    }

    /// Whether it can be asked to stop now.
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.status == JobStatus::InProgress && self.refuses_to_stop().is_none()
    }
}

impl Recovery {
    /// Asks a job to stop. One that waits is cancelled at once; whoever runs one notices within seconds.
    ///
    /// # Errors
    /// `NotFound`; `JobNotRunning` for one that is over, `JobKindNotCancellable`, `JobNotCancellable` for a backup that
    /// moves data already, `JobCancelFailed` where its row changes all the time.
    pub fn cancel_job(&self, id: &str) -> Result<Job> {
        let id = id.to_lowercase();
        for _ in 0..TRIES {
            let Some(row) = self.store().job(&id).map_err(unavailable)? else {
                return Err(ApiError::new(Problem::NotFound, format!("there is no job {id}")));
            };
            let mut job = record::decode(&row)?;
            if let Some(refusal) = job.refuses_to_stop() {
                return Err(refusal);
            }
            if job.status == JobStatus::Cancelling {
                return Ok(job);
            }
            let mut batch = self.cancelling(&mut job, row)?;
            batch.events.push(self.event("job.cancel", &id, None)?);
            match self.store().commit(&batch) {
                Ok(_) => return Ok(job),
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(unavailable(e)),
            }
        }
        Err(ApiError::new(Problem::JobCancelFailed, format!("job {id} changes all the time")))
    }

    fn cancelling(&self, job: &mut Job, row: JobRow) -> Result<Batch> {
        let mut batch = self.batch();
        job.status = JobStatus::Cancelling;
        // nobody runs it, nor ever did: nothing is left behind that has to be cleared up
        if row.owner.is_none() && row.epoch == 0 {
            let now = self.now();
            job.status = JobStatus::Cancelled;
            end_tasks(job, TaskStatus::Cancelled, now);
            job.end_time = Some(now);
            batch.events.push(self.event("job.end", &job.id, Some(job.status.name().into()))?);
        }
        // one that waits for its next attempt is taken at once, to be ended
        let at = if row.owner.is_none() { self.now() } else { row.heartbeat };
        let changed = record::row(job, row.owner.clone(), row.epoch, at)?;
        batch.jobs.push(JobChange::Replace { epoch: row.epoch, body: row.body, job: changed });
        if row.owner.is_none() {
            self.bell().ring();
        }
        Ok(batch)
    }
}
