//! Jobs whose process is dead, as this host can see.

use cofre_arm::{ApiError, Result};
use cofre_repo::process::Process;
use cofre_store::{Batch, ErrorKind, JobChange, JobRow};

use super::{
    ErrorDetail, Job, JobStatus, TaskStatus,
    record::{self, Owner, end_tasks},
};
use crate::{
    documents::{self, unavailable},
    service::Recovery,
};

impl Recovery {
    /// Jobs that count as running though the command that ran them is dead.
    pub(crate) fn orphaned_jobs(&self) -> Result<Vec<(Job, JobRow)>> {
        let mut orphans = Vec::new();
        for (row, owner) in self.dead()? {
            if owner.worker.is_none() {
                orphans.push((record::decode(&row)?, row));
            }
        }
        Ok(orphans)
    }

    /// Puts the jobs of workers that are dead back among those that wait. Returns their ids.
    pub(crate) fn requeue_orphans(&self) -> Result<Vec<String>> {
        let mut back = Vec::new();
        for (row, owner) in self.dead()? {
            if owner.worker.is_none() {
                continue;
            }
            let mut job = record::decode(&row)?;
            job.take_overs += 1;
            record::rewind(&mut job);
            let free = record::row(&job, None, row.epoch, self.now())?;
            let change = JobChange::Replace { epoch: row.epoch, body: row.body, job: free };
            match self.store().change_job(&change) {
                Ok(()) => back.push(row.id),
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(unavailable(e)),
            }
        }
        if !back.is_empty() {
            self.bell().ring();
        }
        Ok(back)
    }

    fn dead(&self) -> Result<Vec<(JobRow, Owner)>> {
        let this = Process::this();
        let rows = self.store().running().map_err(unavailable)?.into_iter();
        Ok(rows
            .filter_map(|row| Owner::of(&row).map(|owner| (row, owner)))
            .filter(|(_, owner)| owner.process.is_dead(&this))
            .collect())
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
        let cancelled = error.is_some() && job.status == JobStatus::Cancelling;
        let (task, status) = match error {
            None => (TaskStatus::Completed, JobStatus::Completed),
            Some(_) if cancelled => (TaskStatus::Cancelled, JobStatus::Cancelled),
            Some(_) => (TaskStatus::Failed, JobStatus::Failed),
        };
        end_tasks(&mut job, task, now);
        job.status = status;
        job.error_details.extend(error.filter(|_| !cancelled).map(ErrorDetail::from));
        job.end_time = Some(now);
        let ended = record::row(&job, row.owner.clone(), row.epoch + 1, now)?;
        batch.jobs.push(JobChange::Replace { epoch: row.epoch, body: row.body.clone(), job: ended });
        batch.events.push(self.event("job.end", &job.id, Some(job.status.name().into()))?);
        documents::commit(self.store(), &batch)
    }
}
