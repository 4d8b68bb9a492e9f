//! The backup job.
//!
//! Preflight, on the machine as it is now → *Take Snapshot*: disks, headers, keys captured and proven →
//! *Transfer data to vault*: into the repository, where the point becomes visible with its keys or not
//! at all → the row of the point, the item and the job, in one transaction. A crash before that last
//! step leaves a point without a row; whoever comes next adopts it.

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_compute::{Consistency as SnapshotConsistency, Snapshot, VirtualMachine};
use cofre_repo::{
    Cancel, PointId, Repository,
    ingest::{DiskInput, IngestReport, IngestRequest, ParentChoice},
    point::{Consistency, KeyFile},
    progress::Progress,
};
use cofre_store::PointChange;
use jiff::{SignedDuration, Timestamp};

use crate::{
    capture::{self, ProofDisk},
    checks::{self, NamedKeys},
    documents::{self, Loaded, unavailable},
    header::{self, Found},
    item::{ProtectedItem, ProtectionState},
    item_repository::transfer_failed,
    job::{ErrorDetail, Finished, JobRun, Operation},
    key_source::{ProofAnswer, ProofState},
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
struct Taken {
    machine: VirtualMachine,
    time: Timestamp,
    snapshot: Snapshot,
    headers: Vec<Found>,
    proofs: Vec<ProofAnswer>,
    files: Vec<KeyFile>,
}

impl Recovery {
    /// Backs an item up now. The point is kept until `retain_until`, 30 days where none is given.
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
        let item = documents::load::<ProtectedItem>(self.store(), item)?;
        if item.value.protection_state == ProtectionState::ProtectionStopped {
            let message = format!("the protection of {} is stopped", item.value.friendly_name);
            return Err(ApiError::new(Problem::Conflict, message)
                .recommend("Resume it first.")
                .about(&item.value.id));
        }
        let now = self.now();
        let days = i64::from(self.settings().limits.on_demand_days);
        let expiry = retain_until.unwrap_or(now + SignedDuration::from_hours(24 * days));
        if expiry <= now {
            return Err(ApiError::invalid(format!("a point cannot be kept until {expiry}: that is over")));
        }
        self.backup_kept(item, Kept { retention: PointRetention::OnDemand, expiry }, progress, cancel)
    }

    /// Backs an item up because its schedule says so. Its point is kept as the policy says; the time of
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
        let item = documents::load::<ProtectedItem>(self.store(), item)?;
        let kept = self.kept_by_policy(&item.value, slot)?;
        self.backup_kept(item, kept, progress, cancel)
    }

    fn backup_kept(
        &self,
        mut item: Loaded<ProtectedItem>,
        kept: Kept,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<BackupReport>> {
        let (vault, id, name) =
            (item.value.vault_id.clone(), item.value.id.clone(), item.value.friendly_name.clone());
        let tasks = [TAKE_SNAPSHOT, TRANSFER];
        let mut run = JobRun::begin(self, &vault, Some(&id), Operation::Backup, &name, &tasks)?;
        // the lock of the item is held: read it again
        match documents::load(self.store(), &id) {
            Ok(fresh) => item = fresh,
            Err(e) => return Ok(Finished { job: run.fail(&e, self.batch()), result: Err(e) }),
        }
        if let PointRetention::Scheduled { slot, .. } = &kept.retention {
            item.value.last_slot = Some(*slot);
        }
        match self.run_backup(&mut run, &mut item, kept, progress, cancel) {
            Ok(report) => self.finish_backup(run, item, report),
            Err(error) => {
                let mut batch = self.batch();
                item.value.last_backup_status = Some("Failed".to_owned());
                item.value.last_backup_time = Some(self.now());
                if error.problem() != Problem::JobInterrupted {
                    item.value.ail(&error);
                }
                batch.changes.extend(documents::replace(&item));
                Ok(Finished { job: run.fail(&error, batch), result: Err(error) })
            }
        }
    }

    fn finish_backup(
        &self,
        mut run: JobRun<'_>,
        mut item: Loaded<ProtectedItem>,
        report: BackupReport,
    ) -> Result<Finished<BackupReport>> {
        run.job
            .property_bag
            .insert("Backup Size".to_owned(), report.transfer.repository_bytes_added.to_string());
        run.job.property_bag.insert("Recovery Point".to_owned(), report.point.name.clone());
        let clean = run.job.error_details.is_empty();
        item.value.protection_state = ProtectionState::Protected;
        item.value.last_backup_status =
            Some(if clean { "Completed" } else { "CompletedWithWarnings" }.to_owned());
        item.value.last_backup_time = Some(self.now());
        item.value.recover();
        let mut batch = self.batch();
        batch.changes.push(documents::replace(&item)?);
        batch.points.push(PointChange::Insert(report.point.row(&item.value.id)?));
        let job = run.complete(batch)?;
        Ok(Finished { job, result: Ok(report) })
    }

    fn run_backup(
        &self,
        run: &mut JobRun<'_>,
        item: &mut Loaded<ProtectedItem>,
        kept: Kept,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<BackupReport> {
        let (machine, named) = self.preflight(&item.value.source_resource_id)?;
        let repository = self.prepare_repository(item)?;
        run.start(TAKE_SNAPSHOT)?;
        interrupted(cancel)?;
        progress.begin(TAKE_SNAPSHOT, 0);
        let id = point_id(&run.job.id)?;
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
        interrupted(cancel)?;
        self.warn_of_keys(run, &repository, &taken);
        run.done();

        run.start(TRANSFER)?;
        let record = MachineRecord {
            version: points::VERSION,
            recovery_point: self.number(&item.value.id, taken.time)?,
            vault_id: item.value.vault_id.clone(),
            item_id: item.value.id.clone(),
            job_id: run.job.id.clone(),
            encryption_class: taken.machine.encryption_class(),
            encryption_mechanism: taken.machine.encryption_mechanism(),
            expiry: kept.expiry,
            retention: kept.retention,
            disks: disk_keys(&taken),
            virtual_machine: taken.machine.clone(),
            audit: self.audit_anchors()?,
        };
        let request = self.request(&id, taken, &record)?;
        let transfer = repository.ingest(&request, progress, cancel).map_err(transfer_failed)?;
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

    /// Says at once what would otherwise be found at the restore.
    fn warn_of_keys(&self, run: &mut JobRun<'_>, repository: &Repository, taken: &Taken) {
        for (disk, proof) in taken.snapshot.disks.iter().zip(&taken.proofs) {
            match &proof.state {
                ProofState::DoesNotOpen => run.warn(ErrorDetail::warning(
                    "KeysDoNotOpenDisk",
                    format!("the secret and key that the machine names do not open disk {}", disk.name),
                    "Correct the machine's encryption settings, or put the right secret into the key vault, and back up \
                     again: today this point could not be opened with its keys.",
                )),
                ProofState::Missing { reason } => run.warn(ErrorDetail::warning(
                    "KeysMissing",
                    format!("no keys were captured for disk {}: {reason}", disk.name),
                    "Give the machine encryption settings that name the disk's secret and key, or keep its passphrase \
                     elsewhere.",
                )),
                ProofState::Proven | ProofState::Captured { .. } | ProofState::NotEncrypted => {}
            }
        }
        for disk in self.headers_changed(repository, taken).unwrap_or_default() {
            run.warn(ErrorDetail::warning(
                "VolumeKeyChanged",
                format!("the volume key of disk {disk} changed since the last point, its secret did not"),
                "Make sure that this was meant: the secret that the machine names may no longer be the disk's.",
            ));
        }
    }

    /// Disks whose volume key is another than in the last point, though the secret's URL is the same
    /// and was not just proven to open the new header.
    fn headers_changed(&self, repository: &Repository, taken: &Taken) -> Result<Vec<String>> {
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, _) = repository.points(&index).map_err(transfer_failed)?;
        let Some(last) = points.last() else { return Ok(Vec::new()) };
        let Some(before) = MachineRecord::of(&last.document)? else { return Ok(Vec::new()) };
        let urls = |machine: &VirtualMachine, disk: &str| -> Vec<String> {
            let sets = machine.key_sets().into_iter().filter(|s| s.disks.iter().any(|d| d == disk));
            sets.map(|s| s.settings.disk_encryption_key.secret_url).collect()
        };
        let mut changed = Vec::new();
        for ((disk, found), proof) in taken.snapshot.disks.iter().zip(&taken.headers).zip(&taken.proofs) {
            let (Found::Header { record, .. }, Some(entry)) = (found, last.document.disk(&disk.name)) else {
                continue;
            };
            let document = repository.disk_document(&index, last, entry).map_err(transfer_failed)?;
            let old: Option<header::HeaderRecord> =
                document.encryption.and_then(|e| serde_json::from_value(e).ok());
            let same_secret = urls(&before.virtual_machine, &disk.name) == urls(&taken.machine, &disk.name);
            let other_key = old.is_some_and(|o| o.volume_key_digest != record.volume_key_digest);
            if same_secret && other_key && proof.state != ProofState::Proven {
                changed.push(disk.name.clone());
            }
        }
        Ok(changed)
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
