//! The restore job: the disks of a recovery point, and the files that a machine is made from again.
//!
//! Works without the key vault: putting keys back needs the encryption file that this job writes. What
//! is missing there ends the job with a warning, since no machine could start from these disks yet.

use cofre_arm::{ApiError, ObjectUrl, Problem, ResourceId, Result};
use cofre_disk::{VhdIdentity, vhd};
use cofre_repo::{Cancel, failpoint, progress::Progress, repository::PointSelector};
use serde::{Deserialize, Serialize};

use crate::{
    captured::CapturedKeys,
    documents,
    item::ProtectedItem,
    item_repository::transfer_failed,
    job::{Finished, Job, JobRequest, JobRun, Metered, RestoreRequest},
    key_source::{KeyVaultName, ObjectState},
    outputs::{RestoredDisk, configuration, encryption, template},
    points::{OpenPoint, RecoveryPoint, VISIBLE},
    protection::lun,
    restore_checks::{container_name, new_restore, refuse, wanted},
    service::Recovery,
    storage_account::{Container, StorageAccount},
};

/// The part of a restore that moves the data.
pub const TRANSFER: &str = "Transfer data from vault";
/// Name of the machine's description.
pub const CONFIGURATION_FILE: &str = "config.json";
/// Name of the encryption file.
pub const ENCRYPTION_FILE: &str = "encryption.json";
/// Name of the deployment template.
pub const TEMPLATE_FILE: &str = "azuredeploy.json";

/// What is to be made of a recovery point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryType {
    /// Its disks, and files to make a machine from.
    RestoreDisks,
    /// A new machine.
    AlternateLocation,
    /// The disks of the machine that is there.
    OriginalLocation,
}

/// What a restore brought.
#[derive(Debug)]
pub struct RestoreReport {
    /// Folder of the container.
    pub container: std::path::PathBuf,
    /// The disks.
    pub disks: Vec<RestoredDisk>,
    /// Bytes that were written; the rest of the disks are holes.
    pub bytes_written: u64,
    /// Whether there is an encryption file.
    pub encrypted: bool,
    /// Whether there is a template.
    pub template: bool,
}

impl Recovery {
    /// Has the disks of a recovery point restored by whichever worker is free first.
    ///
    /// # Errors
    /// As of [`restore_disks`](Self::restore_disks), `NotFound` for the storage account, `InvalidParameter` for slots
    /// in which the point has no disk.
    pub fn submit_restore(&self, item: &ResourceId, request: &RestoreRequest) -> Result<Job> {
        let (item, request) = self.restore_allowed(item, request)?;
        self.parts().accounts.account(&request.account)?;
        self.submit(new_restore(&item, &request))
    }

    /// Restores the disks of a recovery point into a new container of a storage account, in this process.
    ///
    /// # Errors
    /// Those that begin no job: `NotFound`, `CreateEncryptedVm` and `ReplaceDiskEncrypted` for what
    /// cannot be made of an encrypted point, `Conflict` where the item is to be deleted, `OperationInProgress`.
    /// Everything else is the job's result.
    pub fn restore_disks(
        &self,
        item: &ResourceId,
        point: &str,
        account: &StorageAccount,
        recovery_type: RecoveryType,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<RestoreReport>> {
        let request = RestoreRequest {
            point: point.to_owned(),
            account: account.name.clone(),
            recovery_type,
            luns: None,
            target_resource_group: None,
        };
        self.restore_here(item, &request, account, progress, cancel)
    }

    /// [`restore_disks`](Self::restore_disks) with all that can be asked for. The account is the one that is given,
    /// whatever the request calls it.
    ///
    /// # Errors
    /// As of [`restore_disks`](Self::restore_disks) and [`submit_restore`](Self::submit_restore).
    pub fn restore_here(
        &self,
        item: &ResourceId,
        request: &RestoreRequest,
        account: &StorageAccount,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<RestoreReport>> {
        let (item, request) = self.restore_allowed(item, request)?;
        let mut run = JobRun::begin(self, new_restore(&item, &request), cancel)?;
        run.keep_alive();
        Ok(self.conduct_restore(run, &request, Some(account), progress))
    }

    /// The item and the request with the point's number, if it may be restored as asked.
    fn restore_allowed(
        &self,
        item: &ResourceId,
        request: &RestoreRequest,
    ) -> Result<(ProtectedItem, RestoreRequest)> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?.value;
        item.refuse_deleted()?;
        let point = self.restorable(&item, request)?;
        if request.luns.is_some() {
            wanted(&self.open_point(&item, &point)?, request)?;
        }
        Ok((item, RestoreRequest { point: point.name, ..request.clone() }))
    }

    fn restorable(&self, item: &ProtectedItem, request: &RestoreRequest) -> Result<RecoveryPoint> {
        let point = self.recovery_point(&item.id, &request.point)?;
        if point.state != VISIBLE {
            let message = format!("recovery point {} is gone from its repository", point.name);
            return Err(ApiError::new(Problem::NotFound, message).recommend("Take another recovery point."));
        }
        refuse(item, &point, request.recovery_type)?;
        Ok(point)
    }

    /// Runs a restore job to its end.
    pub(crate) fn conduct_restore(
        &self,
        run: JobRun<'_>,
        request: &RestoreRequest,
        account: Option<&StorageAccount>,
        progress: &dyn Progress,
    ) -> Finished<RestoreReport> {
        // what an earlier attempt left; it may be writing still, so this one gets another container
        self.clear_up(&run.job(), run.lease().epoch());
        let named = match account {
            Some(account) => Ok(account.clone()),
            None => self.parts().accounts.account(&request.account),
        };
        let done = named.and_then(|account| {
            let (report, container) = self.run_restore(&run, request, &account, progress)?;
            let job = run.complete(|| Ok(self.batch()))?;
            container.keep();
            Ok((job, report))
        });
        match done {
            Ok((job, report)) => Finished { job, result: Ok(report) },
            Err(error) => Finished { job: run.fail(&error, || Ok(self.batch())), result: Err(error) },
        }
    }

    /// Deletes the containers that earlier attempts of a job left.
    pub(crate) fn clear_up(&self, job: &Job, epoch: u64) {
        let Some(JobRequest::Restore(request)) = &job.request else { return };
        // a folder that a command was given is no account of the home
        let Ok(account) = self.parts().accounts.account(&request.account) else { return };
        for earlier in 1..epoch {
            Container::delete(&account, &container_name(job, earlier));
        }
    }

    fn run_restore(
        &self,
        run: &JobRun<'_>,
        request: &RestoreRequest,
        account: &StorageAccount,
        progress: &dyn Progress,
    ) -> Result<(RestoreReport, Container)> {
        let job = run.job();
        let id = job.item_id.as_ref().ok_or_else(|| {
            ApiError::new(Problem::StateUnavailable, format!("job {} names no item", job.id))
        })?;
        // the lock of the item is held: it is read again
        let item = documents::load::<ProtectedItem>(self.store(), id)?.value;
        item.refuse_deleted()?;
        let point = self.restorable(&item, request)?;
        let open = self.open_point(&item, &point)?;
        let machine = &open.record.virtual_machine;
        let container_name = container_name(&job, run.lease().epoch());
        let wanted = wanted(&open, request)?;
        let container = Container::create(account, &container_name)?;
        failpoint::reached("restore.container-made");
        let disks: Vec<_> = wanted
            .into_iter()
            .map(|disk| {
                let blob = format!("{}.vhd", disk.name);
                let uri = container.uri(&blob);
                RestoredDisk {
                    name: disk.name.clone(),
                    lun: lun(machine, &disk.name),
                    blob,
                    uri,
                    size: disk.size,
                }
            })
            .collect();
        let mut properties = vec![
            ("Target Storage Account Name", account.name.clone()),
            ("Config Blob Container Name", container_name),
            ("Config Blob Name", CONFIGURATION_FILE.to_owned()),
            ("Recovery Point", point.name.clone()),
        ];
        properties
            .extend(request.target_resource_group.clone().map(|group| ("Target resource group", group)));
        run.start(TRANSFER)?;
        run.lease().expect(disks.iter().map(|d| d.size).sum());
        let metered = Metered { lease: run.lease(), inner: progress };
        // the keys first: without them the disks are worth nothing
        if let Some(keys) = &open.keys {
            container.write(ENCRYPTION_FILE, &encryption::encode(machine, keys, &open.blobs)?)?;
            properties.push(("Encryption Info Blob Name", ENCRYPTION_FILE.to_owned()));
        }
        container.write(CONFIGURATION_FILE, &configuration::encode(machine, &disks)?)?;
        let mut bytes_written = 0;
        for disk in &disks {
            bytes_written += restore_disk(&open, &container, disk, &metered, run.lease().cancel())?;
        }
        failpoint::reached("restore.disks-written");
        let settings = self.settings();
        let cutoff = if open.keys.is_some() {
            settings.encrypted_template_since
        } else {
            settings.plain_template_since
        };
        let has_template = template::has_template(point.time, cutoff);
        if has_template {
            container.write(TEMPLATE_FILE, &template::template(machine, &disks, open.keys.as_ref())?)?;
            properties.push(("Template Blob Uri", container.uri(TEMPLATE_FILE)));
        }
        for missing in open.keys.iter().flat_map(|keys| self.missing_keys(keys)) {
            run.warn((&missing).into())?;
        }
        run.note(&properties)?;
        let report = RestoreReport {
            container: container.folder().to_owned(),
            disks,
            bytes_written,
            encrypted: open.keys.is_some(),
            template: has_template,
        };
        Ok((report, container))
    }

    /// What a machine made from these disks would miss: E-02 and E-03.
    fn missing_keys(&self, keys: &CapturedKeys) -> Vec<ApiError> {
        let mut missing: Vec<ApiError> = Vec::new();
        for set in &keys.sets {
            for (url, vault_id) in
                [(&set.secret_url, &set.secret_vault_id), (&set.key_url, &set.key_vault_id)]
            {
                let found = self.missing_object(url, vault_id).unwrap_or_else(Some);
                // one vault that is gone is one warning
                missing.extend(found.filter(|e| missing.iter().all(|m| m.to_string() != e.to_string())));
            }
        }
        missing
    }

    fn missing_object(&self, url: &str, vault_id: &ResourceId) -> Result<Option<ApiError>> {
        let object: ObjectUrl = url.parse()?;
        let vault = KeyVaultName::from(&object);
        if self.keys().vault(vault)?.is_none() {
            let message =
                format!("the key vault {vault} does not exist: no machine can start from these disks yet");
            return Ok(Some(ApiError::new(Problem::KeyVaultNotFound, message).about(vault_id)));
        }
        let version = object.version.clone().unwrap_or_default();
        let state = match object.kind {
            cofre_arm::ObjectKind::Secret => self.keys().secret_state(vault, &object.name, &version)?,
            cofre_arm::ObjectKind::Key => self.keys().key_state(vault, &object.name, &version)?,
        };
        let what = match state {
            ObjectState::Usable => return Ok(None),
            ObjectState::Disabled => "is disabled",
            ObjectState::Gone => "is gone",
        };
        let message = format!("{object} {what}: no machine can start from these disks yet");
        Ok(Some(ApiError::new(Problem::KeyOrSecretNotFound, message).about(&object)))
    }
}

fn restore_disk(
    open: &OpenPoint,
    container: &Container,
    disk: &RestoredDisk,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<u64> {
    let selector = PointSelector::Id(open.point.document.id.to_hex());
    let plan =
        open.repository.plan_restore(&selector, None, &disk.name, progress).map_err(transfer_failed)?;
    let mut unique_id = [0; 16];
    aws_lc_rs::rand::fill(&mut unique_id)
        .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system gives no random bytes"))?;
    let taken = u64::try_from(open.point.document.time.as_second()).unwrap_or_default();
    let identity = VhdIdentity { unique_id, timestamp: vhd::timestamp(taken) };
    container.write_vhd(&disk.blob, disk.size, identity, |sink| {
        let report = plan.run(sink, progress, cancel).map_err(transfer_failed)?;
        cancel.check().map_err(transfer_failed)?;
        Ok(report.bytes_written)
    })
}
