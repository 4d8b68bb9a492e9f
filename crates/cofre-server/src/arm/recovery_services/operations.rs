//! Operations: whether what was asked for was taken on. What becomes of it is the job's to say.

use cofre_arm::{ApiError, Problem, ResourceId};
use cofre_recovery::job::{Job, Operation};
use serde_json::json;

use super::{Visit, dates, item_json::item_json};
use crate::{
    directory,
    http::{Answer, Refusal},
};

/// The job of an operation, if it is of this vault.
fn job(visit: &Visit<'_>, operation: &str) -> Result<Job, ApiError> {
    let missing = || {
        ApiError::new(
            Problem::NotFound,
            format!("the vault {} knows no operation {operation}", visit.vault.id.name()),
        )
    };
    let id = directory::guid("operation", operation)?;
    match visit.recovery.job(&id) {
        Ok(job) if job.vault_id == visit.vault.id => Ok(job),
        Ok(_) => Err(missing()),
        Err(error) if error.problem() == Problem::NotFound => Err(missing()),
        Err(error) => Err(error),
    }
}

/// `…/backupOperations/O` and `…/operationsStatus/O`: succeeded as soon as there is the job.
pub(super) fn status(visit: &Visit<'_>, operation: &str) -> Result<Answer, Refusal> {
    let job = job(visit, operation)?;
    Ok(Answer::ok(&json!({
        "id": job.id,
        "name": job.id,
        "status": "Succeeded",
        "startTime": dates::text(job.start_time),
        "endTime": dates::text(job.start_time),
        "properties": {"objectType": "OperationStatusJobExtendedInfo", "jobId": job.id},
    }))
    .with("retry-after", "1"))
}

/// `…/operationResults/O`: the item, where the operation was about the item itself, and nothing otherwise.
pub(super) fn result(visit: &Visit<'_>, item: &ResourceId, operation: &str) -> Result<Answer, Refusal> {
    let job = job(visit, operation)?;
    if matches!(job.operation, Operation::Backup | Operation::Restore) {
        return Ok(Answer::empty(204));
    }
    match visit.recovery.item(item) {
        Ok(item) => {
            let latest = visit.recovery.latest_points([&item.id])?.into_values().next();
            Ok(Answer::ok(&item_json(visit, &item, latest)))
        }
        Err(error) if error.problem() == Problem::NotFound => Ok(Answer::empty(204)),
        Err(error) => Err(error.into()),
    }
}

/// `…/backupFabrics/Azure/operationResults/O`: machines are known without looking for them, so that every search is over.
pub(super) fn refreshed(operation: &str) -> Result<Answer, Refusal> {
    directory::guid("operation", operation)?;
    Ok(Answer::empty(204))
}
