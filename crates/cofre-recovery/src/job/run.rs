//! A job that this process runs.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use cofre_arm::{ApiError, Problem, Result};
use cofre_repo::{Cancel, failpoint};
use cofre_store::{Batch, ErrorKind, JobChange, JobRow};
use jiff::{SignedDuration, Timestamp};

use super::{
    Attempt, ErrorDetail, Job, JobStatus, NewJob, TaskStatus, Transferred,
    lease::Lease,
    record::{self, Owner, end_tasks},
};
use crate::{documents::unavailable, service::Recovery};

/// A job that this process runs.
pub(crate) struct JobRun<'a> {
    recovery: &'a Recovery,
    lease: Arc<Lease>,
    /// What the process that runs it is stopped by.
    stop: Cancel,
    /// Whether the job can be given back, to be run by another worker or later.
    worker: bool,
    keeper: Option<JoinHandle<()>>,
}

/// For how long after its begin a job that was taken over waits for a repository that is in use.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// What becomes of a job whose work failed.
enum Verdict {
    Lost,
    Cancelled,
    GivenBack,
    Later(Timestamp),
    Failed,
}

impl<'a> JobRun<'a> {
    /// Begins a job that this process runs itself. At most one runs on an item.
    ///
    /// # Errors
    /// `OperationInProgress`, `StateUnavailable`.
    pub(crate) fn begin(recovery: &'a Recovery, new: NewJob<'_>, cancel: &Cancel) -> Result<Self> {
        Self::begin_with(recovery, new, cancel, recovery.batch())
    }

    /// [`begin`](Self::begin), together with other changes.
    pub(crate) fn begin_with(
        recovery: &'a Recovery,
        new: NewJob<'_>,
        cancel: &Cancel,
        mut batch: Batch,
    ) -> Result<Self> {
        let job = new.job(recovery)?;
        let row = record::row(&job, Some(Owner::command().encode()?), 1, recovery.now())?;
        batch.jobs.push(JobChange::Insert(row.clone()));
        batch.events.push(recovery.event("job.begin", &job.id, Some(job.operation.name().into()))?);
        recovery.store().commit(&batch).map_err(|e| occupied(&job, e))?;
        Ok(Self::of(recovery, row, job, false, cancel))
    }

    /// The run of a job whose row this process has just written.
    pub(super) fn of(recovery: &'a Recovery, row: JobRow, job: Job, worker: bool, cancel: &Cancel) -> Self {
        let parts = recovery.parts();
        let lease = Lease::new(parts.store.clone(), parts.clock.clone(), row, job, cancel.child());
        if lease.is_cancelled() {
            lease.cancel().cancel();
        }
        Self { recovery, lease, stop: cancel.clone(), worker, keeper: None }
    }

    /// Gives signs of life from now on.
    pub(crate) fn keep_alive(&mut self) {
        let every = Duration::from_secs(self.recovery.settings().jobs.heartbeat_seconds.max(1));
        if self.keeper.is_none() {
            self.keeper = self.lease.keep(every);
        }
    }

    /// The right to run it.
    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// The job's id.
    pub(crate) fn id(&self) -> &str {
        self.lease.id()
    }

    /// The job as it is.
    pub(crate) fn job(&self) -> Job {
        self.lease.job()
    }

    /// Notes that a part begins.
    ///
    /// # Errors
    /// `JobInterrupted` where somebody asked the job to stop before.
    pub(crate) fn start(&self, task: &str) -> Result<()> {
        self.lease.change(|job| {
            if job.status == JobStatus::Cancelling {
                return Err(ApiError::new(Problem::JobInterrupted, "the job was cancelled"));
            }
            let now = self.recovery.now();
            if let Some(task) = job.tasks.iter_mut().find(|t| t.task_id == task) {
                task.status = TaskStatus::InProgress;
                task.start_time = Some(now);
            }
            Ok(())
        })
    }

    /// Notes that the part that runs is done.
    pub(crate) fn done(&self) -> Result<()> {
        self.lease.change(|job| {
            end_tasks(job, TaskStatus::Completed, self.recovery.now());
            Ok(())
        })
    }

    /// Notes something that deserves attention.
    pub(crate) fn warn(&self, warning: ErrorDetail) -> Result<()> {
        self.lease.change(|job| {
            job.error_details.push(warning.clone());
            Ok(())
        })
    }

    /// Notes what the job has to say.
    pub(crate) fn note(&self, properties: &[(&str, String)]) -> Result<()> {
        self.lease.change(|job| {
            job.property_bag
                .extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Ok(())
        })
    }

    /// Notes what was moved.
    pub(crate) fn transferred(&self, transferred: Transferred) -> Result<()> {
        self.lease.change(|job| {
            job.transferred = Some(transferred);
            Ok(())
        })
    }

    /// Whether nothing deserved attention so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.job().error_details.is_empty()
    }

    /// Ends the job well, together with what `brought` makes, which is asked again where somebody else changed the
    /// same things.
    ///
    /// # Errors
    /// `JobInterrupted` where the job was cancelled before, or is another worker's now.
    pub(crate) fn complete(&self, brought: impl Fn() -> Result<Batch>) -> Result<Job> {
        self.complete_as(false, brought)
    }

    /// [`complete`](Self::complete) for work that another process had done.
    pub(crate) fn complete_adopted(&self, brought: impl Fn() -> Result<Batch>) -> Result<Job> {
        self.complete_as(true, brought)
    }

    fn complete_as(&self, adopted: bool, brought: impl Fn() -> Result<Batch>) -> Result<Job> {
        let end = |job: &mut Job| {
            if job.status == JobStatus::Cancelling {
                return Err(ApiError::new(Problem::JobInterrupted, "the job was cancelled"));
            }
            if adopted {
                let last = job.tasks.iter_mut();
                last.for_each(|task| task.status = TaskStatus::Completed);
            }
            self.finish(job, TaskStatus::Completed);
            job.adopted = adopted;
            let clean = job.error_details.is_empty();
            job.status = if clean { JobStatus::Completed } else { JobStatus::CompletedWithWarnings };
            Ok(())
        };
        let clean = self.is_clean();
        failpoint::reached("job.before-end");
        let ended = self.lease.change_with(None, end, || {
            let mut batch = brought()?;
            let detail = if clean { JobStatus::Completed } else { JobStatus::CompletedWithWarnings }.name();
            batch.events.push(self.recovery.event("job.end", self.id(), Some(detail.into()))?);
            Ok(batch)
        })?;
        failpoint::reached("job.ended");
        Ok(ended)
    }

    /// Ends the job badly: as failed, with what `noted` makes; as cancelled; or it goes back to those that wait. When
    /// even that cannot be stored, the job will be found without a sign of life later.
    pub(crate) fn fail(&self, error: &ApiError, noted: impl Fn() -> Result<Batch>) -> Job {
        let verdict = self.verdict(error);
        let ended = match verdict {
            Verdict::Lost => return self.recovery.job(self.id()).unwrap_or_else(|_| self.job()),
            Verdict::GivenBack => self.give_back(self.recovery.now(), None),
            Verdict::Later(again) => {
                let attempt = Attempt { failed: self.recovery.now(), error: error.into(), again };
                self.give_back(again, Some(attempt))
            }
            Verdict::Cancelled => {
                self.end(TaskStatus::Cancelled, JobStatus::Cancelled, None, || Ok(self.recovery.batch()))
            }
            Verdict::Failed => self.end(TaskStatus::Failed, JobStatus::Failed, Some(error), noted),
        };
        ended.unwrap_or_else(|_| self.job())
    }

    fn verdict(&self, error: &ApiError) -> Verdict {
        let settings = &self.recovery.settings().jobs;
        if self.lease.is_lost() {
            return Verdict::Lost;
        }
        // what the row says last
        let _ = self.lease.beat();
        let job = self.job();
        let tried = job.attempts.len();
        // the process it was taken from may live, or have died where nobody sees it: its hold on the repository ends
        let patient = job.take_overs > 0
            && error.problem() == Problem::OperationInProgress
            && self.recovery.now() < job.start_time + PATIENCE;
        if self.lease.is_lost() {
            Verdict::Lost
        } else if self.lease.is_cancelled() {
            Verdict::Cancelled
        } else if !self.worker {
            Verdict::Failed
        } else if self.stop.is_cancelled() {
            Verdict::GivenBack
        } else if patient {
            let wait = i64::try_from(settings.retry_seconds.min(86_400)).unwrap_or(86_400);
            Verdict::Later(self.recovery.now() + SignedDuration::from_secs(wait))
        } else if error.problem().row().transient && tried < settings.retries as usize {
            let wait = settings.retry_seconds.saturating_mul(1 << tried.min(16));
            let wait = SignedDuration::from_secs(i64::try_from(wait.min(86_400)).unwrap_or(86_400));
            Verdict::Later(self.recovery.now() + wait)
        } else {
            Verdict::Failed
        }
    }

    /// Ends the job as failed whatever the reason, though it might be tried again.
    pub(crate) fn give_up(&self, error: &ApiError) -> Job {
        let ended =
            self.end(TaskStatus::Failed, JobStatus::Failed, Some(error), || Ok(self.recovery.batch()));
        ended.unwrap_or_else(|_| self.job())
    }

    fn give_back(&self, again: Timestamp, attempt: Option<Attempt>) -> Result<Job> {
        let back = |job: &mut Job| {
            record::rewind(job);
            // one that waits for the same thing all the time says so once
            let same = |last: &mut Attempt| attempt.as_ref().is_some_and(|a| a.error.code == last.error.code);
            job.attempts.pop_if(|last| job.take_overs > 0 && same(last));
            job.attempts.extend(attempt.clone());
            Ok(())
        };
        self.lease.change_with(Some(again), back, || Ok(self.recovery.batch()))
    }

    fn end(
        &self,
        task: TaskStatus,
        status: JobStatus,
        error: Option<&ApiError>,
        noted: impl Fn() -> Result<Batch>,
    ) -> Result<Job> {
        let end = |job: &mut Job| {
            self.finish(job, task);
            job.status = status;
            if let Some(error) = error {
                job.error_details.insert(0, error.into());
            }
            Ok(())
        };
        self.lease.change_with(None, end, || {
            let mut batch = noted()?;
            batch.events.push(self.recovery.event("job.end", self.id(), Some(status.name().into()))?);
            Ok(batch)
        })
    }

    fn finish(&self, job: &mut Job, task: TaskStatus) {
        let now = self.recovery.now();
        end_tasks(job, task, now);
        job.end_time = Some(now);
        job.progress = self.lease.progress().or(job.progress);
    }
}

impl Drop for JobRun<'_> {
    fn drop(&mut self) {
        self.lease.stop();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Why a job could not be begun.
pub(super) fn occupied(job: &Job, error: cofre_store::StoreError) -> ApiError {
    match (error.kind(), &job.item_id) {
        (ErrorKind::Conflict, Some(item)) if error.subject() == Some(item.key().as_str()) => {
            let message = format!("another job runs on {}", job.entity_friendly_name);
            ApiError::new(Problem::OperationInProgress, message).about(item)
        }
        _ => unavailable(error),
    }
}
