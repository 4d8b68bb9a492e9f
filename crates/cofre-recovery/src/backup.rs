//! The backup job.
//!
//! Preflight, on the machine as it is now → *Take Snapshot*: disks, headers, keys captured and proven →
//! *Transfer data to vault*: into the repository, where the point becomes visible with its keys or not
//! at all → the row of the point, the item and the job, in one transaction. A crash before that last
//! step leaves a point without a row; whoever comes next adopts it.

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_compute::{Consistency as SnapshotConsistency, Snapshot, VirtualMachine};
use cofre_repo::{
    Cancel, PointId, Repository, failpoint,
    ingest::{DiskInput, IngestReport, IngestRequest, ParentChoice},
    point::{Consistency, KeyFile},
    progress::Progress,
};
use cofre_store::{Batch, PointChange};
use jiff::{SignedDuration, Timestamp};

use crate::{
    capture::{self, ProofDisk},
    checks::{self, NamedKeys},
    documents::{self, Loaded, unavailable},
    header::{self, Found},
    item::{ProtectedItem, ProtectionState},
    item_repository::transfer_failed,
    job::{
        BackupRequest, Finished, Job, JobRequest, JobRun, Metered, NewJob, Operation, Transferred, Trigger,
    },
    key_source::ProofAnswer,
    points::{self, DiskKeys, MachineRecord, OpenPoint, RecoveryPoint},
    retention::{Kept, PointRetention},
    service::Recovery,
};

/// The part of a backup that takes the snapshot.
pub const TAKE_SNAPSHOT: &str = "Take Snapshot";
/// The part of a backup that moves the data.
pub const TRANSFER: &str = "Transfer data to vault";

/// What a backup brought.
#[derive(Debug)]
pub struct BackupReport {
    /// The new point.
    pub point: RecoveryPoint,
    /// What was read and stored.
    pub transfer: IngestReport,
}

/// The snapshot of a machine, with all that is known of its keys.
pub(crate) struct Taken {
    pub(crate) machine: VirtualMachine,
    pub(crate) time: Timestamp,
    pub(crate) snapshot: Snapshot,
    pub(crate) headers: Vec<Found>,
    pub(crate) proofs: Vec<ProofAnswer>,
    pub(crate) files: Vec<KeyFile>,
}

impl Recovery {
    /// Has an item backed up by whichever worker is free first.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for an item whose protection is stopped, `InvalidParameter`, `OperationInProgress`.
    pub fn submit_backup(&self, item: &ResourceId, request: &BackupRequest) -> Result<Job> {
        let item = self.backup_allowed(item, request)?;
        let batch = self.slot_handled(&item, request)?;
        self.submit_with(new_backup(&item.value, request), batch)
    }

    /// Backs an item up now, in this process. The point is kept until `retain_until`, 30 days where none is given.
    ///
    /// # Errors
    /// Those that begin no job: `NotFound`, `OperationInProgress`, `InvalidParameter`. Everything else
    /// is the job's result.
    pub fn backup(
        &self,
        item: &ResourceId,
        retain_until: Option<Timestamp>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<BackupReport>> {
        self.backup_here(item, &BackupRequest { retain_until, ..BackupRequest::user() }, progress, cancel)
    }

    /// Backs an item up in this process, as the schedule asks for. Its point is kept as the policy says; the time of
    /// the schedule counts as handled, however the backup ends.
    ///
    /// # Errors
    /// As [`backup`](Self::backup).
    pub fn backup_scheduled(
        &self,
        item: &ResourceId,
        slot: Timestamp,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<BackupReport>> {
        let request = BackupRequest { retain_until: None, trigger: Trigger::Schedule { slot } };
        self.backup_here(item, &request, progress, cancel)
    }

    fn backup_here(
        &self,
        item: &ResourceId,
        request: &BackupRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<BackupReport>> {
        let item = self.backup_allowed(item, request)?;
        let batch = self.slot_handled(&item, request)?;
        let mut run = JobRun::begin_with(self, new_backup(&item.value, request), cancel, batch)?;
        run.keep_alive();
        Ok(self.conduct_backup(run, request, progress))
    }

    /// The item, if it may be backed up as asked.
    fn backup_allowed(&self, item: &ResourceId, request: &BackupRequest) -> Result<Loaded<ProtectedItem>> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?;
        item.value.refuse_deleted()?;
        if item.value.protection_state == ProtectionState::ProtectionStopped {
            let message = format!("the protection of {} is stopped", item.value.friendly_name);
            return Err(ApiError::new(Problem::Conflict, message)
                .recommend("Resume it first: `cofre protection resume`.")
                .about(&item.value.id));
        }
        self.kept(&item.value, request)?;
        Ok(item)
    }

    /// Notes that a time of the schedule is handled, in the transaction that begins its job.
    fn slot_handled(&self, item: &Loaded<ProtectedItem>, request: &BackupRequest) -> Result<Batch> {
        let mut batch = self.batch();
        if let Trigger::Schedule { slot } = request.trigger {
            let mut item = item.clone();
            item.value.last_slot = Some(slot);
            batch.changes.push(documents::replace(&item)?);
        }
        Ok(batch)
    }

    /// How long the point of a backup is kept, and why.
    fn kept(&self, item: &ProtectedItem, request: &BackupRequest) -> Result<Kept> {
        let now = self.now();
        let expiry = match (request.trigger, request.retain_until) {
            (Trigger::Schedule { slot }, None) => return self.kept_by_policy(item, slot),
            (_, Some(until)) => until,
            (Trigger::User, None) => {
                let days = i64::from(self.settings().limits.on_demand_days);
                now + SignedDuration::from_hours(24 * days)
            }
        };
        if expiry <= now {
            return Err(ApiError::invalid(format!("a point cannot be kept until {expiry}: that is over")));
        }
        Ok(Kept { retention: PointRetention::OnDemand, expiry })
    }

    /// Runs a backup job to its end.
    pub(crate) fn conduct_backup(
        &self,
        run: JobRun<'_>,
        request: &BackupRequest,
        progress: &dyn Progress,
    ) -> Finished<BackupReport> {
        let job = run.job();
        let Some(id) = &job.item_id else {
            let error = ApiError::new(Problem::StateUnavailable, format!("job {} names no item", job.id));
            return Finished { job: run.give_up(&error), result: Err(error) };
        };
        let done = self
            .run_backup(&run, id, request, progress)
            .and_then(|report| self.finish_backup(&run, id, &report).map(|job| (job, report)));
        match done {
            Ok((job, report)) => Finished { job, result: Ok(report) },
            Err(error) => {
                let job = run.fail(&error, || self.note_failure(id, &error));
                Finished { job, result: Err(error) }
            }
        }
    }

    /// What a failed backup leaves with its item.
    fn note_failure(&self, item: &ResourceId, error: &ApiError) -> Result<Batch> {
        let mut batch = self.batch();
        if let Some(mut item) = documents::find::<ProtectedItem>(self.store(), item)? {
            item.value.last_backup_status = Some("Failed".to_owned());
            item.value.last_backup_time = Some(self.now());
            if error.problem() != Problem::JobInterrupted {
                item.value.ail(error);
            }
            batch.changes.push(documents::replace(&item)?);
        }
        Ok(batch)
    }

    fn finish_backup(&self, run: &JobRun<'_>, item: &ResourceId, report: &BackupReport) -> Result<Job> {
        run.note(&[
            ("Backup Size", report.transfer.repository_bytes_added.to_string()),
            ("Recovery Point", report.point.name.clone()),
        ])?;
        run.transferred(Transferred {
            disks: report.transfer.disks.iter().map(|d| d.size).sum(),
            read: report.transfer.disks.iter().map(|d| d.bytes_read).sum(),
            stored: report.transfer.repository_bytes_added,
        })?;
        let status = if run.is_clean() { "Completed" } else { "CompletedWithWarnings" };
        run.complete(|| self.backup_made(item, &report.point, status))
    }

    /// What a backup that made a point changes besides its job.
    pub(crate) fn backup_made(
        &self,
        item: &ResourceId,
        point: &RecoveryPoint,
        status: &str,
    ) -> Result<Batch> {
        let mut item = documents::load::<ProtectedItem>(self.store(), item)?;
        item.value.protection_state = ProtectionState::Protected;
        item.value.last_backup_status = Some(status.to_owned());
        item.value.last_backup_time = Some(self.now());
        item.value.last_point_time = item.value.last_point_time.max(Some(point.time));
        item.value.recover();
        let mut batch = self.batch();
        batch.changes.push(documents::replace(&item)?);
        // whoever compared rows and repository meanwhile has made the row already
        if self.store().point(&item.value.id.key(), &point.name).map_err(unavailable)?.is_none() {
            batch.points.push(PointChange::Insert(point.row(&item.value.id)?));
        }
        Ok(batch)
    }

    fn run_backup(
        &self,
        run: &JobRun<'_>,
        item: &ResourceId,
        request: &BackupRequest,
        progress: &dyn Progress,
    ) -> Result<BackupReport> {
        // the lock of the item is held: it is read again
        let mut item = self.backup_allowed(item, request)?;
        let kept = self.kept(&item.value, request)?;
        let cancel = run.lease().cancel();
        self.check_room()?;
        let (machine, named) = self.preflight(&item.value.source_resource_id)?;
        let repository = self.prepare_repository(&mut item)?;
        run.start(TAKE_SNAPSHOT)?;
        interrupted(cancel)?;
        progress.begin(TAKE_SNAPSHOT, 0);
        let id = point_id(run.id())?;
        let earlier = match named.as_slice() {
            [] => None,
            // a point that cannot be read is no reason against a new one
            _ => self
                .recovery_point(&item.value.id, "latest")
                .and_then(|p| self.open_point(&item.value, &p))
                .ok(),
        };
        let taken = self.take(machine, named, &id, earlier.as_ref())?;
        progress.end();
        failpoint::reached("backup.snapshot-taken");
        interrupted(cancel)?;
        self.warn_of_keys(run, &repository, &taken)?;
        run.done()?;

        run.start(TRANSFER)?;
        let record = MachineRecord {
            version: points::VERSION,
            recovery_point: self.number(&item.value.id, taken.time)?,
            vault_id: item.value.vault_id.clone(),
            item_id: item.value.id.clone(),
            job_id: run.id().to_owned(),
            encryption_class: taken.machine.encryption_class(),
            encryption_mechanism: taken.machine.encryption_mechanism(),
            expiry: kept.expiry,
            retention: kept.retention,
            disks: disk_keys(&taken),
            virtual_machine: taken.machine.clone(),
            audit: self.audit_anchors()?,
        };
        let request = self.request(&id, taken, &record)?;
        run.lease().expect(request.disks.iter().map(|d| d.source.size()).sum());
        let metered = Metered { lease: run.lease(), inner: progress };
        let transfer =
            repository.ingest_guarded(&request, &**run.lease(), &metered, cancel).map_err(transfer_failed)?;
        failpoint::reached("backup.published");
        let point = self.point_of(&repository, &id)?;
        Ok(BackupReport { point, transfer })
    }

    /// The point as it lies in the repository: what the row says is read back from there.
    fn point_of(&self, repository: &Repository, id: &PointId) -> Result<RecoveryPoint> {
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, _) = repository.points(&index).map_err(transfer_failed)?;
        let lost = || {
            ApiError::new(
                Problem::TransferFailed,
                format!("point {} is not there after its backup", id.short()),
            )
        };
        let point = points.into_iter().find(|p| p.document.id == *id).ok_or_else(lost)?;
        let record = MachineRecord::of(&point.document)?.ok_or_else(lost)?;
        Ok(RecoveryPoint::of(&point.document, &record))
    }

    /// V2, V3, V6 to V12, on the machine as it is now: its encryption may have changed since it was
    /// protected.
    fn preflight(&self, machine: &ResourceId) -> Result<(VirtualMachine, Vec<NamedKeys>)> {
        let machine = self.machine(machine)?;
        checks::check_model(self, &machine)?;
        let named = checks::check_keys(self, &machine)?;
        Ok((machine, named))
    }

    fn take(
        &self,
        machine: VirtualMachine,
        mut named: Vec<NamedKeys>,
        id: &PointId,
        earlier: Option<&OpenPoint>,
    ) -> Result<Taken> {
        let time = self.now();
        let snapshot = self.snapshot(&machine)?;
        let most = self.settings().limits.disk_bytes;
        if let Some(disk) = snapshot.disks.iter().find(|d| d.source.size() > most) {
            let message =
                format!("disk {} has {} bytes, at most {most} are backed up", disk.name, disk.source.size());
            return Err(ApiError::new(Problem::UnsupportedDisk, message).about(&machine.id));
        }
        let headers: Vec<_> = snapshot.disks.iter().map(|d| header::look(&*d.source)).collect();
        // rotation in between must not lose the version that the disks need
        let after = self.machine(&machine.id)?;
        if after.key_sets() != machine.key_sets() {
            checks::check_model(self, &after)?;
            for keys in checks::check_keys(self, &after)? {
                if !named.contains(&keys) {
                    named.push(keys);
                }
            }
        }
        let capture = capture::capture(self, &machine, named, earlier)?;
        let disks: Vec<_> = snapshot
            .disks
            .iter()
            .zip(&headers)
            .map(|(d, found)| ProofDisk { name: &d.name, size: d.source.size(), found })
            .collect();
        let proofs = capture.prove(self, &id.to_hex(), &disks)?;
        let files = capture.into_files(&proofs)?;
        Ok(Taken { machine, time, snapshot, headers, proofs, files })
    }

    fn request(&self, id: &PointId, taken: Taken, record: &MachineRecord) -> Result<IngestRequest> {
        let unwritable =
            |e| ApiError::new(Problem::TransferFailed, "the machine cannot be described").because(e);
        let mut disks = Vec::new();
        for (disk, found) in taken.snapshot.disks.into_iter().zip(&taken.headers) {
            let encryption = match found {
                Found::Header { record, .. } => Some(serde_json::to_value(record).map_err(unwritable)?),
                _ => None,
            };
            disks.push(DiskInput {
                name: disk.name,
                format: disk.format.to_owned(),
                source: disk.source,
                changed: disk.changed,
                encryption,
            });
        }
        Ok(IngestRequest {
            id: Some(*id),
            name: taken.machine.name().to_owned(),
            resource: Some(taken.machine.id.to_string()),
            tags: Vec::new(),
            time: Some(taken.time),
            consistency: match taken.snapshot.consistency {
                SnapshotConsistency::Crash => Consistency::CrashConsistent,
                SnapshotConsistency::FileSystem => Consistency::FileSystemConsistent,
                SnapshotConsistency::Application => Consistency::ApplicationConsistent,
            },
            parent: ParentChoice::Newest,
            disks,
            machine: Some(serde_json::to_value(record).map_err(unwritable)?),
            keys: taken.files,
            software: self.parts().software.clone(),
        })
    }

    /// The number of a new point: milliseconds of its time, or the next that is free.
    fn number(&self, item: &ResourceId, time: Timestamp) -> Result<String> {
        let mut number = time.as_millisecond();
        while self.store().point(&item.key(), &number.to_string()).map_err(unavailable)?.is_some() {
            number += 1;
        }
        Ok(number.to_string())
    }
}

fn new_backup<'a>(item: &'a ProtectedItem, request: &BackupRequest) -> NewJob<'a> {
    NewJob {
        vault: &item.vault_id,
        item: Some(&item.id),
        operation: Operation::Backup,
        name: &item.friendly_name,
        tasks: &[TAKE_SNAPSHOT, TRANSFER],
        request: Some(JobRequest::Backup(request.clone())),
        user_triggered: request.trigger == Trigger::User,
    }
}

fn disk_keys(taken: &Taken) -> Vec<DiskKeys> {
    let disks = taken.snapshot.disks.iter().zip(&taken.proofs);
    disks.map(|(d, proof)| DiskKeys { name: d.name.clone(), keys: proof.state.clone() }).collect()
}

fn interrupted(cancel: &Cancel) -> Result<()> {
    cancel.check().map_err(transfer_failed)
}

/// The id of the point that a job makes: the job's own.
pub(crate) fn point_id(job: &str) -> Result<PointId> {
    let digits: String = job.chars().filter(|c| *c != '-').collect();
    digits.parse().map_err(|_| ApiError::new(Problem::StateUnavailable, format!("{job} is no id of a job")))
}
