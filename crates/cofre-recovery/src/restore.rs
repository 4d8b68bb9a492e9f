//! The restore job: the disks of a recovery point, and the files that a machine is made from again.
//!
//! Works without the key vault: putting keys back needs the encryption file that this job writes. What
//! is missing there ends the job with a warning, since no machine could start from these disks yet.

use cofre_arm::{ApiError, ObjectUrl, Problem, ResourceId, Result};
use cofre_disk::{VhdIdentity, vhd};
use cofre_repo::{Cancel, progress::Progress, repository::PointSelector};

use crate::{
    captured::CapturedKeys,
    documents,
    item::ProtectedItem,
    item_repository::transfer_failed,
    job::{Finished, JobRun, Operation},
    key_source::{KeyVaultName, ObjectState},
    outputs::{RestoredDisk, configuration, encryption, template},
    points::{LOST, OpenPoint, RecoveryPoint},
    protection::lun,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Restores the disks of a recovery point into a new container of a storage account.
    ///
    /// # Errors
    /// Those that begin no job: `NotFound`, `CreateEncryptedVm` and `ReplaceDiskEncrypted` for what
    /// cannot be made of an encrypted point, `OperationInProgress`. Everything else is the job's result.
    pub fn restore_disks(
        &self,
        item: &ResourceId,
        point: &str,
        account: &StorageAccount,
        recovery_type: RecoveryType,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Finished<RestoreReport>> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?.value;
        let point = self.recovery_point(&item.id, point)?;
        if point.state == LOST {
            let message = format!("recovery point {} is gone from its repository", point.name);
            return Err(ApiError::new(Problem::NotFound, message).recommend("Take another recovery point."));
        }
        refuse(&item, &point, recovery_type)?;
        let (vault, name) = (&item.vault_id, &item.friendly_name);
        let mut run = JobRun::begin(self, vault, Some(&item.id), Operation::Restore, name, &[TRANSFER])?;
        match self.run_restore(&mut run, &item, &point, account, progress, cancel) {
            Ok(report) => Ok(Finished { job: run.complete(self.batch())?, result: Ok(report) }),
            Err(error) => Ok(Finished { job: run.fail(&error, self.batch()), result: Err(error) }),
        }
    }

    fn run_restore(
        &self,
        run: &mut JobRun<'_>,
        item: &ProtectedItem,
        point: &RecoveryPoint,
        account: &StorageAccount,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<RestoreReport> {
        let open = self.open_point(item, point)?;
        let machine = &open.record.virtual_machine;
        let id = run.job.id.replace('-', "");
        // at most 63 of lower-case letters, digits and hyphens, as containers are called elsewhere too
        let name = machine.name().to_lowercase().replace(['.', '_'], "-");
        let container_name = format!("{:.30}-{id}", name);
        let container = Container::create(account, &container_name)?;
        let disks: Vec<_> = open
            .point
            .document
            .disks
            .iter()
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
        run.start(TRANSFER)?;
        // the keys first: without them the disks are worth nothing
        if let Some(keys) = &open.keys {
            container.write(ENCRYPTION_FILE, &encryption::encode(machine, keys, &open.blobs)?)?;
            properties.push(("Encryption Info Blob Name", ENCRYPTION_FILE.to_owned()));
        }
        container.write(CONFIGURATION_FILE, &configuration::encode(machine, &disks)?)?;
        let mut bytes_written = 0;
        for disk in &disks {
            bytes_written += restore_disk(&open, &container, disk, progress, cancel)?;
        }
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
            run.warn((&missing).into());
        }
        run.job.property_bag.extend(properties.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(RestoreReport {
            container: container.keep(),
            disks,
            bytes_written,
            encrypted: open.keys.is_some(),
            template: has_template,
        })
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

/// R7 and R8: what cannot be made of an encrypted point.
fn refuse(item: &ProtectedItem, point: &RecoveryPoint, recovery_type: RecoveryType) -> Result<()> {
    let name = &item.friendly_name;
    let of = |problem, what: &str| {
        Err(ApiError::new(problem, format!("recovery point {} of {name} is encrypted: {what}", point.name))
            .about(&item.id))
    };
    match recovery_type {
        RecoveryType::RestoreDisks => Ok(()),
        RecoveryType::AlternateLocation if point.is_encrypted() => {
            of(Problem::CreateEncryptedVm, "no machine can be made of it directly")
        }
        RecoveryType::OriginalLocation if point.is_encrypted() => {
            of(Problem::ReplaceDiskEncrypted, "disks cannot be replaced from it")
        }
        RecoveryType::AlternateLocation | RecoveryType::OriginalLocation => {
            let message =
                "this version restores disks, and makes no machines from recovery points".to_owned();
            Err(ApiError::invalid(message).recommend("Restore the disks, and make the machine from them."))
        }
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
