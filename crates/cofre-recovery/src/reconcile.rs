//! Bringing database and repositories together after a crash: the database is a view.

use std::collections::HashMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_repo::{PointId, repository::PointSelector};
use cofre_store::{Batch, Change, JobRow, PointChange};

use crate::{
    backup::point_id,
    clean_up::quiet,
    documents::{self, unavailable},
    item::{ProtectedItem, ProtectionState},
    item_repository::transfer_failed,
    job::{Job, JobRequest, JobRun, Operation, withdrawn_path},
    points::{AuditAnchor, LOST, MachineRecord, RecoveryPoint, VISIBLE},
    service::Recovery,
};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Points that had no row, by number.
    pub adopted: Vec<String>,
    /// Rows whose point is gone, by number.
    pub lost: Vec<String>,
    /// Rows that were called lost and whose point is there after all, by number.
    pub found: Vec<String>,
    /// Points that were anchored to audit events which the database does not hold, by number: the
    /// database is older than they are, or was tampered with.
    pub unanchored: Vec<String>,
}

/// A point as it lies in its repository.
struct Stored {
    id: PointId,
    row: RecoveryPoint,
    audit: Vec<AuditAnchor>,
}

/// A job whose process had died.
#[derive(Debug)]
pub struct OrphanedJob {
    /// Its id.
    pub id: String,
    /// Whether it could be ended.
    pub outcome: Result<()>,
}

impl Recovery {
    /// Ends the jobs of commands that died. A backup that had published its point counts as done. A job
    /// whose outcome cannot be told, because its repository cannot be opened, is left as it is. Jobs of workers that
    /// died wait for another worker from now on.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn close_orphaned_jobs(&self) -> Result<Vec<OrphanedJob>> {
        self.requeue_orphans()?;
        let mut closed = Vec::new();
        for (job, row) in self.orphaned_jobs()? {
            let id = job.id.clone();
            match self.close(job, &row) {
                // another command was faster
                Err(e) if e.problem() == Problem::Conflict => {}
                outcome => closed.push(OrphanedJob { id, outcome }),
            }
        }
        Ok(closed)
    }

    fn close(&self, job: Job, row: &JobRow) -> Result<()> {
        let died = || ApiError::new(Problem::JobInterrupted, "the process that ran the job died");
        self.clear_up(&job, row.epoch + 1);
        let item = match &job.item_id {
            Some(id) if job.operation == Operation::Backup => {
                documents::find::<ProtectedItem>(self.store(), id)?
            }
            _ => None,
        };
        let Some(mut item) = item else {
            return self.close_orphan(job, row, Some(&died()), self.batch());
        };
        let mut batch = self.batch();
        let published = self.published(&item.value, &job.id)?;
        if let Some(point) = &published {
            item.value.protection_state = ProtectionState::Protected;
            item.value.recover();
            batch.points.push(PointChange::Insert(point.row(&item.value.id)?));
        }
        item.value.last_backup_status =
            Some(if published.is_some() { "Completed" } else { "Failed" }.to_owned());
        item.value.last_backup_time = Some(self.now());
        batch.changes.push(documents::replace(&item)?);
        let error = published.is_none().then(died);
        self.close_orphan(job, row, error.as_ref(), batch)
    }

    /// Ends a job whose work an earlier process had done: its point is there. None if it is not.
    ///
    /// # Errors
    /// As of completing a job; `TransferFailed`.
    pub(crate) fn complete_published(&self, run: &JobRun<'_>) -> Result<Option<Job>> {
        let job = run.job();
        let (Some(id), Some(JobRequest::Backup(_))) = (&job.item_id, &job.request) else { return Ok(None) };
        let Some(item) = documents::find::<ProtectedItem>(self.store(), id)? else { return Ok(None) };
        let Some(point) = self.published(&item.value, &job.id)? else { return Ok(None) };
        let path = withdrawn_path(&job.id);
        let is_withdrawn = || self.store().read(&path).map(|found| found.is_some()).map_err(unavailable);
        if !is_withdrawn()? {
            run.note(&[("Recovery Point", point.name.clone())])?;
            let adopted = run.complete_adopted(|| {
                let mut batch = self.backup_made(&item.value.id, &point, "Completed")?;
                // whoever published it may be about to withdraw it: one of the two comes first
                batch.changes.push(Change::Expect { path: path.clone(), revision: None });
                Ok(batch)
            });
            match adopted {
                Err(e) if e.problem() == Problem::Conflict && is_withdrawn()? => {}
                other => return other.map(Some),
            }
        }
        // it is withdrawn, and whoever decided that may have died before the deed
        let repository = self.open_repository(&item.value)?;
        let selector = PointSelector::Id(point_id(&job.id)?.to_hex());
        match repository.forget(&[selector], None) {
            Err(e) if e.kind() != cofre_repo::ErrorKind::PointNotFound => Err(transfer_failed(e)),
            _ => Ok(None),
        }
    }

    /// The point that a job made, if it got so far and has no row yet.
    fn published(&self, item: &ProtectedItem, job: &str) -> Result<Option<RecoveryPoint>> {
        let id = point_id(job)?;
        let points = self.points_in_repository(item)?;
        Ok(points.into_iter().find(|p| p.id == id).map(|p| p.row))
    }

    fn points_in_repository(&self, item: &ProtectedItem) -> Result<Vec<Stored>> {
        if item.repository.is_none() {
            return Ok(Vec::new());
        }
        let repository = match self.open_repository(item) {
            Ok(repository) => repository,
            // its first backup died before the repository was made
            Err(e) if is_missing(&e) => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, _) = repository.points(&index).map_err(transfer_failed)?;
        let mut all = Vec::new();
        for point in points {
            if let Some(record) = MachineRecord::of(&point.document)? {
                let row = RecoveryPoint::of(&point.document, &record);
                all.push(Stored { id: point.document.id, row, audit: record.audit });
            }
        }
        Ok(all)
    }

    /// Compares the rows of an item's points with its repository: points without a row get one, rows
    /// without a point are shown as lost.
    ///
    /// # Errors
    /// `NotFound`, `StateUnavailable`, `TransferFailed`.
    pub fn reconcile(&self, item: &ResourceId) -> Result<Reconciled> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?.value;
        let mut rows: HashMap<String, RecoveryPoint> =
            self.recovery_points(&item.id)?.into_iter().map(|p| (p.point.clone(), p)).collect();
        let mut done = Reconciled::default();
        let mut batch: Batch = self.batch();
        for Stored { row: point, audit, .. } in self.points_in_repository(&item)? {
            if !self.holds(&audit)? {
                done.unanchored.push(point.name.clone());
            }
            match rows.remove(&point.point) {
                None => {
                    batch.points.push(PointChange::Insert(point.row(&item.id)?));
                    done.adopted.push(point.name);
                }
                Some(row) if row.state == LOST => {
                    batch.points.push(PointChange::Replace(point.row(&item.id)?));
                    done.found.push(point.name);
                }
                Some(_) => {}
            }
        }
        for gone in rows.into_values().filter(|p| p.state == VISIBLE) {
            let lost = RecoveryPoint { state: LOST.to_owned(), ..gone };
            batch.points.push(PointChange::Replace(lost.row(&item.id)?));
            done.lost.push(lost.name);
        }
        if !batch.is_empty() {
            let detail = serde_json::json!({"adopted": done.adopted, "lost": done.lost, "found": done.found});
            // other points, other dates: the next round looks at it
            batch.changes.push(Change::Delete { path: quiet::path(&item.id), revision: None });
            batch.events.push(self.event("points.reconcile", &item.id, Some(detail))?);
            self.commit(&batch)?;
            // a point says until when it was to be kept when it was made: the policy may have changed since
            self.redate(&item.id)?;
        }
        Ok(done)
    }
}

/// Whether an error says that there is no repository.
fn is_missing(error: &ApiError) -> bool {
    let source = std::error::Error::source(error).and_then(|s| s.downcast_ref::<cofre_repo::RepoError>());
    source.is_some_and(|e| e.kind() == cofre_repo::ErrorKind::NoRepository)
}
