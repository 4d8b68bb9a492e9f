//! What a restore may be asked for, and what it is then called.

use cofre_arm::{ApiError, Problem, Result};
use cofre_repo::point::PointDisk;

use crate::{
    item::ProtectedItem,
    job::{Job, JobRequest, NewJob, Operation, RestoreRequest},
    points::{OpenPoint, RecoveryPoint},
    protection::lun,
    restore::{RecoveryType, TRANSFER},
};

pub(crate) fn new_restore<'a>(item: &'a ProtectedItem, request: &RestoreRequest) -> NewJob<'a> {
    NewJob {
        vault: &item.vault_id,
        item: Some(&item.id),
        operation: Operation::Restore,
        name: &item.friendly_name,
        tasks: &[TRANSFER],
        request: Some(JobRequest::Restore(request.clone())),
        user_triggered: true,
    }
}

/// Name of the container of an attempt: at most 63 of lower-case letters, digits and hyphens, as containers are called
/// elsewhere too.
pub(crate) fn container_name(job: &Job, attempt: u64) -> String {
    let id = job.id.replace('-', "");
    let name = job.entity_friendly_name.to_lowercase().replace(['.', '_'], "-");
    match attempt {
        1 => format!("{name:.30}-{id}"),
        later => format!("{name:.26}-{id}-{later}"),
    }
}

/// The disks of a point that a restore asks for: the one that the machine boots from, and those in the slots.
pub(crate) fn wanted<'a>(open: &'a OpenPoint, request: &RestoreRequest) -> Result<Vec<&'a PointDisk>> {
    let machine = &open.record.virtual_machine;
    let disks = &open.point.document.disks;
    let Some(luns) = &request.luns else { return Ok(disks.iter().collect()) };
    for wanted in luns {
        if !disks.iter().any(|d| lun(machine, &d.name) == Some(*wanted)) {
            let message = format!("the recovery point has no disk in slot {wanted}");
            return Err(ApiError::invalid(message).recommend("Name slots of data disks of the machine."));
        }
    }
    Ok(disks.iter().filter(|d| lun(machine, &d.name).is_none_or(|lun| luns.contains(&lun))).collect())
}

/// R7 and R8: what cannot be made of an encrypted point.
pub(crate) fn refuse(item: &ProtectedItem, point: &RecoveryPoint, recovery_type: RecoveryType) -> Result<()> {
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
