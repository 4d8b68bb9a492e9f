//! Deleting what was backed up of a machine.
//!
//! The item is marked first; from then on nothing is backed up or restored. When it is due, everything in the
//! repository's folder goes, and then, in one transaction, the rows of the points, the machine's protection and the item.
//! A crash in between leaves an item that is marked, and the removal is done again.

use std::{fs, io};

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_repo::failpoint;
use cofre_store::{Batch, Change, PointChange};
use jiff::SignedDuration;

use crate::{
    clean_up::quiet,
    documents::{self, Loaded},
    item::{Deletion, ProtectedItem, ProtectionState},
    job::{Job, JobRequest, JobRun, NewJob, Operation},
    protection::protection_path,
    service::Recovery,
};

fn new_removal(item: &ProtectedItem, user_triggered: bool, now: bool) -> NewJob<'_> {
    NewJob {
        vault: &item.vault_id,
        item: Some(&item.id),
        operation: Operation::DeleteBackupData,
        name: &item.friendly_name,
        tasks: &[],
        request: now.then_some(JobRequest::DeleteBackupData),
        user_triggered,
    }
}

impl Recovery {
    /// Deletes what was backed up of a machine, and ends its protection. Where the vault keeps deleted data, they stay
    /// for its days and can be taken back; otherwise a worker removes them. A job `DeleteBackupData`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where they are deleted already; `OperationInProgress`.
    pub fn delete_backup_data(&self, item: &ResourceId) -> Result<Job> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?;
        item.value.refuse_deleted()?;
        match self.kept_after_deletion(&item.value.vault_id)? {
            Some(days) => self.delete_softly(item, days),
            None => {
                let (marked, batch) = self.marked(item, 0)?;
                self.submit_with(new_removal(&marked, true, true), batch)
            }
        }
    }

    /// Days that a vault keeps what is deleted; none where that is off.
    fn kept_after_deletion(&self, vault: &ResourceId) -> Result<Option<u32>> {
        let kept = self.vault(vault)?.soft_delete;
        Ok(kept.is_on().then_some(kept.retention_days))
    }

    fn delete_softly(&self, item: Loaded<ProtectedItem>, days: u32) -> Result<Job> {
        let run = JobRun::begin(self, new_removal(&item.value, true, false), &cofre_repo::Cancel::new())?;
        let id = item.value.id.clone();
        let done = run.complete(|| {
            let item = documents::load::<ProtectedItem>(self.store(), &id)?;
            item.value.refuse_deleted()?;
            self.marked(item, days).map(|(_, batch)| batch)
        });
        match done {
            Ok(job) => Ok(job),
            Err(e) => {
                run.fail(&e, || Ok(self.batch()));
                Err(e)
            }
        }
    }

    /// The item, marked to go in so many days, and what stores that.
    fn marked(&self, mut item: Loaded<ProtectedItem>, days: u32) -> Result<(ProtectedItem, Batch)> {
        let at = self.now();
        let purge_due = at + SignedDuration::from_hours(24 * i64::from(days));
        item.value.protection_state = ProtectionState::ProtectionStopped;
        item.value.deletion = Some(Deletion { at, purge_due, removing: false });
        item.value.recover();
        let mut batch = self.batch();
        batch.changes.push(documents::replace(&item)?);
        let due = Some(purge_due.to_string().into());
        batch.events.push(self.event("protection.delete-data", &item.value.id, due)?);
        Ok((item.value, batch))
    }

    /// Has a worker remove the data of all items whose time has come. Returns the jobs.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn submit_removals(&self) -> Result<Vec<Job>> {
        let now = self.now();
        let mut jobs = Vec::new();
        for item in self.items(None)? {
            if item.deletion.is_none_or(|deletion| deletion.purge_due > now) {
                continue;
            }
            match self.submit(new_removal(&item, false, true)) {
                Ok(job) => jobs.push(job),
                // it is being removed already
                Err(e) if e.problem() == Problem::OperationInProgress => {}
                Err(e) => return Err(e),
            }
        }
        Ok(jobs)
    }

    /// Runs a removal to its end.
    pub(crate) fn conduct_removal(&self, run: &JobRun<'_>) -> Job {
        let job = run.job();
        let done = match &job.item_id {
            Some(item) => self.remove(run, item),
            None => Err(ApiError::new(Problem::StateUnavailable, format!("job {} names no item", job.id))),
        };
        done.unwrap_or_else(|e| run.fail(&e, || Ok(self.batch())))
    }

    fn remove(&self, run: &JobRun<'_>, id: &ResourceId) -> Result<Job> {
        let Some(mut item) = documents::find::<ProtectedItem>(self.store(), id)? else {
            return run.complete(|| Ok(self.batch()));
        };
        let deletion = item.value.deletion.filter(|deletion| deletion.purge_due <= self.now());
        let Some(deletion) = deletion else {
            let message = format!("the deletion of {} was taken back", item.value.friendly_name);
            return Err(ApiError::new(Problem::Conflict, message).about(id));
        };
        if !deletion.removing {
            // from here on there is no way back
            item.value.deletion = Some(Deletion { removing: true, ..deletion });
            let mut batch = self.batch();
            batch.changes.push(documents::replace(&item)?);
            self.commit(&batch)?;
            failpoint::reached("removal.begun");
        }
        if let Some(repository) = &item.value.repository {
            // nobody else removes at the same time: another worker may have been given the job
            run.lease().beat()?;
            let folder = self.repository_folder(&repository.id);
            // without the data the envelope opens nothing
            for part in [folder.join("repository"), folder.clone()] {
                match fs::remove_dir_all(&part) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        let message = format!("cannot remove {}", part.display());
                        return Err(ApiError::new(Problem::StateUnavailable, message)
                            .recommend("See the cause; the removal is tried again.")
                            .because(e));
                    }
                    _ => {}
                }
            }
        }
        failpoint::reached("removal.repository-removed");
        run.complete(|| {
            let mut batch = self.batch();
            let Some(item) = documents::find::<ProtectedItem>(self.store(), id)? else { return Ok(batch) };
            batch.changes.push(documents::delete(&item));
            let path = protection_path(&item.value.source_resource_id);
            if let Some(marker) = self.store().read(&path).map_err(documents::unavailable)? {
                batch.changes.push(Change::Delete { path, revision: Some(marker.revision) });
            }
            batch.changes.push(Change::Delete { path: quiet::path(id), revision: None });
            batch.points.push(PointChange::Clear { item: id.key() });
            batch.events.push(self.event("protection.removed", id, None)?);
            Ok(batch)
        })
    }
}
