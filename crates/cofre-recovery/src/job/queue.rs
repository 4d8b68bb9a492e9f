//! The queue: jobs that wait in the database for a worker. They have no owner; whoever runs one has written himself
//! into its row, with an epoch higher than all before.

use cofre_arm::{Problem, Result};
use cofre_repo::{Cancel, failpoint, progress::Progress};
use cofre_store::{ErrorKind, JobChange, JobRow};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Job, JobRequest, NewJob,
    record::{self, Owner},
    run::{JobRun, occupied},
};
use crate::{documents::unavailable, service::Recovery};

/// How many jobs are looked at for one that can be had.
const LOOK: usize = 16;

impl Recovery {
    /// Puts a job among those that wait.
    pub(crate) fn submit(&self, new: NewJob<'_>) -> Result<Job> {
        self.submit_with(new, self.batch())
    }

    /// [`submit`](Self::submit), together with other changes.
    pub(crate) fn submit_with(&self, new: NewJob<'_>, mut batch: cofre_store::Batch) -> Result<Job> {
        let job = new.job(self)?;
        batch.jobs.push(JobChange::Insert(record::row(&job, None, 0, self.now())?));
        batch.events.push(self.event("job.submit", &job.id, Some(job.operation.name().into()))?);
        self.store().commit(&batch).map_err(|e| occupied(&job, e))?;
        failpoint::reached("job.submitted");
        self.bell().ring();
        Ok(job)
    }

    /// The instant before which a process must have been heard of to count as alive.
    fn stale(&self) -> Timestamp {
        let seconds = i64::try_from(self.settings().jobs.stale_seconds).unwrap_or(i64::MAX >> 32);
        self.now() - SignedDuration::from_secs(seconds)
    }

    /// Jobs that have not ended, the oldest first, with their rows; those without an owner wait for a worker.
    pub(crate) fn unended_jobs(&self) -> Result<Vec<(Job, JobRow)>> {
        let rows = self.store().running().map_err(unavailable)?.into_iter();
        rows.map(|row| Ok((record::decode(&row)?, row))).collect()
    }

    /// Takes the oldest job that can be had.
    pub(crate) fn claim(&self, worker: &str, cancel: &Cancel) -> Result<Option<JobRun<'_>>> {
        let rows = self.store().claimable(self.now(), self.stale(), LOOK).map_err(unavailable)?;
        let mut unreadable = None;
        for row in rows {
            match self.take_job(row, Owner::worker(worker), true, cancel) {
                Ok(Some(run)) => return Ok(Some(run)),
                Ok(None) => {}
                // one record must not hold up the others
                Err(e) => unreadable = Some(e),
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// Writes `owner` into the row of a job; none when somebody else was faster.
    fn take_job(
        &self,
        row: JobRow,
        owner: Owner,
        worker: bool,
        cancel: &Cancel,
    ) -> Result<Option<JobRun<'_>>> {
        let mut job = record::decode(&row)?;
        if row.owner.is_some() {
            job.take_overs += 1;
            record::rewind(&mut job);
        }
        let by = owner.worker.clone();
        let taken = record::row(&job, Some(owner.encode()?), row.epoch + 1, self.now())?;
        let mut batch = self.batch();
        batch.jobs.push(JobChange::Replace { epoch: row.epoch, body: row.body, job: taken.clone() });
        let detail = json!({"operation": job.operation.name(), "epoch": taken.epoch, "worker": by});
        batch.events.push(self.event("job.begin", &job.id, Some(detail))?);
        match self.store().commit(&batch) {
            Ok(_) => {
                failpoint::reached("job.claimed");
                Ok(Some(JobRun::of(self, taken, job, worker, cancel)))
            }
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(None),
            Err(e) => Err(unavailable(e)),
        }
    }

    /// Runs a job that waits, here and now, unless a worker has it already. Returns it as it is then.
    ///
    /// # Errors
    /// `NotFound`, `StateUnavailable`; that the job failed stands in the job.
    pub fn run_queued(&self, id: &str, progress: &dyn Progress, cancel: &Cancel) -> Result<Job> {
        let row = self.store().job(&id.to_lowercase()).map_err(unavailable)?;
        if let Some(row) = row.filter(|row| row.ended.is_none() && row.owner.is_none())
            && let Some(run) = self.take_job(row, Owner::command(), false, cancel)?
        {
            return Ok(self.conduct(run, progress));
        }
        self.job(id)
    }

    /// Runs a job to its end.
    pub(crate) fn conduct(&self, mut run: JobRun<'_>, progress: &dyn Progress) -> Job {
        run.keep_alive();
        let job = run.job();
        if run.lease().is_cancelled() {
            self.clear_up(&job, run.lease().epoch());
            return run.fail(&interrupted("the job was cancelled"), || Ok(self.batch()));
        }
        if run.lease().epoch() > 1 {
            match self.complete_published(&run) {
                Ok(Some(job)) => return job,
                Ok(None) => {}
                Err(e) => return run.fail(&e, || Ok(self.batch())),
            }
        }
        if job.take_overs > self.settings().jobs.take_overs {
            self.clear_up(&job, run.lease().epoch());
            let times = job.take_overs;
            return run.give_up(&interrupted(&format!(
                "the process that ran the job died or fell silent, {times} times"
            )));
        }
        match &job.request {
            Some(JobRequest::Backup(request)) => self.conduct_backup(run, request, progress).job,
            Some(JobRequest::Restore(request)) => self.conduct_restore(run, request, None, progress).job,
            Some(JobRequest::DeleteBackupData) => self.conduct_removal(&run),
            // its process did all of it in one transaction, or nothing
            None => run.give_up(&interrupted("the process that ran the job died")),
        }
    }
}

fn interrupted(message: &str) -> cofre_arm::ApiError {
    cofre_arm::ApiError::new(Problem::JobInterrupted, message)
}
